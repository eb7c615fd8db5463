/* Entering: see enter.h. */
#include "files/enter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "sys/fd.h"

enum { FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, OPEN_MODE = 0700 };

/* A folder that its owner may not read can still be named, and its mode changed. */
static int open_closed(int parent, const char *name)
{
	char path[64];
	struct stat status;
	int fd = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fstat(fd, &status) == 0 && status.st_uid == geteuid())
		(void)!chmod(path, (status.st_mode & 07777) | OPEN_MODE);
	wbi_fd_close(&fd);
	return openat(parent, name, FLAGS);
}

static void make_writable(int fd, const struct stat *status)
{
	if (status->st_uid == geteuid() && (status->st_mode & OPEN_MODE) != OPEN_MODE)
		(void)!fchmod(fd, (status->st_mode & 07777) | OPEN_MODE);
}

int wbi_enter(int parent, const char *name, struct stat *ret_status)
{
	int fd = openat(parent, name, FLAGS);

	if (fd < 0 && errno == EACCES)
		fd = open_closed(parent, name);
	if (fd < 0) {
		errno = errno == ELOOP ? ENOTDIR : errno;
		return -1;
	}
	if (fstat(fd, ret_status) != 0) {
		int error = errno;
		wbi_fd_close(&fd);
		errno = error;
		return -1;
	}
	make_writable(fd, ret_status);
	return fd;
}
