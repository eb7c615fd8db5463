/* A disk that takes its time, for one process: loaded before libc (LD_PRELOAD), it holds what
 * $SLOW_DISK names ("write" or "sync") until it is told to go on.
 *
 * It speaks through two fifos in $SLOW_DISK_FOLDER: a byte in `asked` for each call that waits, and
 * one from `gate` for each that may go on. They are opened at the start, since who asks later may
 * be confined to some folder. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int asked = -1, gate = -1;
static char what;

static int open_fifo(const char *name)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", getenv("SLOW_DISK_FOLDER"), name);
	return open(path, O_RDWR | O_CLOEXEC);
}

__attribute__((constructor)) static void begin(void)
{
	const char *named = getenv("SLOW_DISK");

	if (!named || !getenv("SLOW_DISK_FOLDER"))
		return;
	what = named[0];
	asked = open_fifo("asked");
	gate = open_fifo("gate");
	unsetenv("LD_PRELOAD"); /* commands have a disk of their own */
}

static void wait_for_it(char kind, int fd)
{
	struct stat info;
	int error = errno;
	char byte = kind;

	if (kind != what || asked < 0 || gate < 0 || fstat(fd, &info) != 0 || info.st_nlink == 0 ||
	    !(S_ISREG(info.st_mode) || S_ISDIR(info.st_mode)))
		return;
	if (write(asked, &byte, 1) == 1)
		while (read(gate, &byte, 1) < 0 && errno == EINTR)
			;
	errno = error;
}

/* The next one of that name, which is libc's. */
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
	wait_for_it('w', fd);
	return NEXT(pwrite)(fd, data, bytes, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t offset)
{
	wait_for_it('w', fd);
	return NEXT(pwrite64)(fd, data, bytes, offset);
}

int fsync(int fd)
{
	wait_for_it('s', fd);
	return NEXT(fsync)(fd);
}

int fdatasync(int fd)
{
	wait_for_it('s', fd);
	return NEXT(fdatasync)(fd);
}

int syncfs(int fd)
{
	wait_for_it('s', fd);
	return NEXT(syncfs)(fd);
}
