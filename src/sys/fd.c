/* File descriptors: opening them the way all of ours are, and moving whole buffers through them. */
#include "sys/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

void wbi_fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static bool was_closed[STDERR_FILENO + 1];

/* The lowest free number is taken, and those below `fd` are open: so open() gives `fd` itself. */
enum wb_err wbi_fd_open_stdio(struct wb_fault *fault)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
			continue;
		if (open("/dev/null", fd == STDIN_FILENO ? O_RDONLY : O_WRONLY) < 0)
			return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "/dev/null: %m");
		was_closed[fd] = true;
	}
	return WB_OK;
}

bool wbi_fd_was_closed(int fd)
{
	return was_closed[fd];
}

/* ours: the end that is not to block. */
static enum wb_err open_pipe(int ends[2], int ours, struct wb_fault *fault)
{
	if (pipe2(ends, O_CLOEXEC) != 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "pipe: %m");
	if (fcntl(ends[ours], F_SETFL, O_NONBLOCK) != 0) {
		enum wb_err err = wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "pipe: %m");
		wbi_fd_close(&ends[0]);
		wbi_fd_close(&ends[1]);
		return err;
	}
	return WB_OK;
}

enum wb_err wbi_fd_pipe(int *ret_read, int *ret_write, struct wb_fault *fault)
{
	int ends[2];
	enum wb_err err = open_pipe(ends, 0, fault);

	if (err)
		return err;
	*ret_read = ends[0];
	*ret_write = ends[1];
	return WB_OK;
}

enum wb_err wbi_fd_pipe_to(int *ret_read, int *ret_write, struct wb_fault *fault)
{
	int ends[2];
	enum wb_err err = open_pipe(ends, 1, fault);

	if (err)
		return err;
	*ret_read = ends[0];
	*ret_write = ends[1];
	return WB_OK;
}

enum wb_err wbi_fd_raise_limit(unsigned long *ret_before, struct wb_fault *fault)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "limit of open files: %m");
	rlim_t before = limit.rlim_cur;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "limit of open files: %m");
	*ret_before = before;
	return WB_OK;
}

bool wbi_fd_is_scarce(int fd)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) == 0 && (rlim_t)fd >= limit.rlim_cur / 2;
}

/* Not every file system knows O_TMPFILE (overlayfs before Linux 6.3, NFS, FUSE). */
static int open_temporary(const char *folder)
{
	char *name;
	int fd = open(folder, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd;
	if (asprintf(&name, "%s/.waybill-XXXXXX", folder) < 0)
		return -1;
	fd = mkostemp(name, O_CLOEXEC);
	if (fd >= 0)
		unlink(name);
	free(name);
	return fd;
}

enum wb_err wbi_fd_temporary(const char *folder, int *ret_fd, struct wb_fault *fault)
{
	int fd = open_temporary(folder);

	if (fd < 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "temporary file in %s: %m",
				    folder);
	*ret_fd = fd;
	return WB_OK;
}

/* Whether the call that just failed is worth repeating; waits until it is. */
static bool can_repeat(int fd, short events)
{
	struct pollfd wait = {.fd = fd, .events = events};

	if (errno == EAGAIN)
		return poll(&wait, 1, -1) >= 0 || errno == EINTR;
	return errno == EINTR;
}

/* A socket whose reader has gone must answer EPIPE, not raise SIGPIPE. */
static ssize_t write_some(int fd, const void *data, size_t bytes)
{
	ssize_t n = send(fd, data, bytes, MSG_NOSIGNAL);

	return n < 0 && errno == ENOTSOCK ? write(fd, data, bytes) : n;
}

enum wb_err wbi_fd_write_all(int fd, const void *data, size_t bytes, struct wb_fault *fault)
{
	size_t done = 0;

	while (done < bytes) {
		ssize_t n = write_some(fd, (const char *)data + done, bytes - done);
		if (n >= 0)
			done += (size_t)n;
		else if (!can_repeat(fd, POLLOUT))
			return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, done, "write: %m");
	}
	return WB_OK;
}

enum wb_err wbi_fd_read_all(int fd, void *data, size_t bytes, struct wb_fault *fault)
{
	size_t done = 0;

	while (done < bytes) {
		ssize_t n = read(fd, (char *)data + done, bytes - done);
		if (n > 0)
			done += (size_t)n;
		else if (n == 0)
			return wb_fault_set(fault, WB_ERR_CLOSED, NULL, done,
					    "read: the end came after %zu of %zu bytes", done,
					    bytes);
		else if (!can_repeat(fd, POLLIN))
			return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, done, "read: %m");
	}
	return WB_OK;
}
