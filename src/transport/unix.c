/* Unix stream sockets: listening, accepting, dialling. */
#include "transport/unix.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "sys/fd.h"
#include "transport/stream.h"

static enum wb_err path_fault(struct wb_fault *fault, enum wb_err err, const char *what,
			      const struct wbi_addr *addr)
{
	return wb_fault_set(fault, err, NULL, 0, "%s %s: %m", what, addr->un.sun_path);
}

/* ---- listening ---- */

/* Only a refused connection proves that nobody listens: a full queue (EAGAIN), a socket that we may
 * not use (EACCES) or one of another type (EPROTOTYPE) is somebody's. */
static bool is_dead_socket(const struct wbi_addr *addr)
{
	struct stat file;

	if (lstat(addr->un.sun_path, &file) != 0 || !S_ISSOCK(file.st_mode))
		return false;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool dead = fd >= 0 && connect(fd, &addr->any, addr->bytes) != 0 && errno == ECONNREFUSED;
	wbi_fd_close(&fd);
	return dead;
}

/* Leaves errno at EADDRINUSE where the path is not ours to take. */
static int bind_path(int fd, const struct wbi_addr *addr)
{
	if (bind(fd, &addr->any, addr->bytes) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return -1;
	if (is_dead_socket(addr) && unlink(addr->un.sun_path) == 0)
		return bind(fd, &addr->any, addr->bytes);
	errno = EADDRINUSE;
	return -1;
}

/* Linux makes the file with the socket's own mode, less the umask: so it is never wider than
 * `mode`, and the chmod can only give back what the umask took. */
static int bind_with_mode(int fd, const struct wbi_addr *addr, mode_t mode)
{
	if (fchmod(fd, mode) != 0 || bind_path(fd, addr) != 0)
		return -1;
	return chmod(addr->un.sun_path, mode);
}

enum wb_err wbi_unix_listen(const struct wbi_addr *addr, mode_t mode, int *ret_fd,
			    struct wb_fault *fault)
{
	enum wb_err err;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind_with_mode(fd, addr, mode) != 0)
		err = path_fault(fault, WB_ERR_SYSTEM, "listen on", addr);
	else
		err = wbi_stream_listen(fd, fault);
	if (err) {
		wbi_fd_close(&fd);
		return err;
	}
	*ret_fd = fd;
	return WB_OK;
}

enum wb_err wbi_unix_accept(int listener, int *ret_fd, struct wb_fault *fault)
{
	return wbi_stream_accept(listener, ret_fd, NULL, fault);
}

/* ---- dialling ---- */

/* A non-blocking connect to a full queue fails at once and cannot be waited for; a blocking one
 * waits as long as SO_SNDTIMEO says, then fails with EAGAIN. */
static int connect_within(int fd, const struct wbi_addr *addr, int timeout_ms)
{
	struct timeval limit = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
	int failed;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0)
		return -1;
	do
		failed = connect(fd, &addr->any, addr->bytes);
	while (failed && errno == EINTR);
	return failed ? -1 : fcntl(fd, F_SETFL, O_NONBLOCK);
}

enum wb_err wbi_unix_dial(const struct wbi_addr *addr, int timeout_ms, int *ret_fd,
			  struct wb_fault *fault)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect_within(fd, addr, timeout_ms) != 0) {
		enum wb_err err = errno == EAGAIN ? WB_ERR_TIMEOUT : WB_ERR_SYSTEM;
		path_fault(fault, err, "connect to", addr);
		wbi_fd_close(&fd);
		return err;
	}
	*ret_fd = fd;
	return WB_OK;
}
