/* A sink: see sink.h. */
#include "cli/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fd.h"

static int open_again(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static enum wbi_sink_kind find_kind(struct wbi_sink *sink)
{
	struct stat file;
	int flags = fcntl(sink->fd, F_GETFL);

	/* What stands in its place would swallow everything. */
	if (wbi_fd_was_closed(sink->fd))
		return WBI_SINK_CLOSED;
	if (fstat(sink->fd, &file) != 0)
		return WBI_SINK_DIRECT;
	if (S_ISSOCK(file.st_mode))
		return WBI_SINK_SOCKET;
	if (!S_ISFIFO(file.st_mode) && !isatty(sink->fd))
		return WBI_SINK_DIRECT;
	if (flags >= 0 && flags & O_NONBLOCK)
		return WBI_SINK_OWN;
	sink->own_fd = open_again(sink->fd);
	if (sink->own_fd >= 0)
		return WBI_SINK_OWN;
	/* Somebody else's pipe or terminal, which we may use but not open. */
	sink->own_fd = sink->fd;
	return WBI_SINK_CAREFUL;
}

void wbi_sink_open(struct wbi_sink *sink, int fd)
{
	sink->fd = sink->own_fd = fd;
	sink->kind = find_kind(sink);
}

void wbi_sink_close(struct wbi_sink *sink)
{
	if (sink->own_fd != sink->fd)
		wbi_fd_close(&sink->own_fd);
	sink->own_fd = sink->fd;
}

/* A pipe that is writable takes PIPE_BUF bytes without waiting, as long as nobody else fills it. */
static ssize_t write_carefully(int fd, const void *data, size_t bytes)
{
	struct pollfd ready = {fd, POLLOUT, 0};

	if (poll(&ready, 1, 0) <= 0 || !(ready.revents & (POLLOUT | POLLERR | POLLHUP)))
		return -EAGAIN;
	return write(fd, data, bytes < PIPE_BUF ? bytes : PIPE_BUF);
}

ssize_t wbi_sink_write(struct wbi_sink *sink, const void *data, size_t bytes)
{
	ssize_t result;

	if (sink->kind == WBI_SINK_CLOSED)
		return -EBADF;
	do {
		if (sink->kind == WBI_SINK_SOCKET)
			result = send(sink->fd, data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
		else if (sink->kind == WBI_SINK_CAREFUL)
			result = write_carefully(sink->fd, data, bytes);
		else
			result = write(sink->own_fd, data, bytes);
	} while (result == -1 && errno == EINTR);
	return result == -1 ? -errno : result;
}
