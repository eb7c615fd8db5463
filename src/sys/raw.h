/* System calls without glibc's guard around them.
 *
 * Every blocking call is a cancellation point: in a process with threads glibc brackets it with two
 * atomic operations. Nobody cancels threads here, and where a file costs but four system calls that
 * bracket is a twentieth of all. Only for such places. Sources: openat(2), write(2), close(2). */
#ifndef WBI_SYS_RAW_H
#define WBI_SYS_RAW_H

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef O_LARGEFILE
#define O_LARGEFILE 0
#endif

/* -1 with errno. */
static inline int wbi_raw_openat(int folder, const char *name, int flags, mode_t mode)
{
	return (int)syscall(SYS_openat, folder, name, flags | O_LARGEFILE, mode);
}

/* -1 with errno. */
static inline ssize_t wbi_raw_write(int fd, const void *data, size_t bytes)
{
	return (ssize_t)syscall(SYS_write, fd, data, bytes);
}

/* Closes *fd unless it is -1, which it is afterwards. */
static inline void wbi_raw_close(int *fd)
{
	if (*fd >= 0)
		(void)syscall(SYS_close, *fd);
	*fd = -1;
}

#endif
