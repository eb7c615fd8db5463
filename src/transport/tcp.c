/* TCP: listening, accepting, dialling. */
#include "transport/tcp.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>

#include "sys/clock.h"
#include "sys/fd.h"
#include "transport/stream.h"

static int set_on(int fd, int level, int option)
{
	int on = 1;
	return setsockopt(fd, level, option, &on, sizeof(on));
}

static int get_bound(int fd, struct wbi_addr *bound)
{
	bound->bytes = sizeof(bound->storage);
	return getsockname(fd, &bound->any, &bound->bytes);
}

/* "what ADDRESS: why"; leaves errno as it was. */
static enum wb_err address_fault(struct wb_fault *fault, enum wb_err err, const char *what,
				 const struct wbi_addr *addr)
{
	char text[WBI_ADDR_TEXT_MAX];
	int why = errno;

	wbi_addr_format(addr, text);
	errno = why;
	return wb_fault_set(fault, err, NULL, 0, "%s %s: %m", what, text);
}

/* ---- listening ---- */

/* Accepted sockets take TCP_NODELAY over from their listener: no call for each. */
static int bind_listener(int fd, const struct wbi_addr *addr, struct wbi_addr *bound)
{
	if (set_on(fd, SOL_SOCKET, SO_REUSEADDR) != 0 || set_on(fd, IPPROTO_TCP, TCP_NODELAY) != 0)
		return -1;
	if (addr->any.sa_family == AF_INET6 && set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY) != 0)
		return -1;
	return bind(fd, &addr->any, addr->bytes) == 0 ? get_bound(fd, bound) : -1;
}

enum wb_err wbi_tcp_listen(const struct wbi_addr *addr, int *ret_fd, struct wbi_addr *ret_bound,
			   struct wb_fault *fault)
{
	struct wbi_addr bound;
	enum wb_err err;
	int fd = socket(addr->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind_listener(fd, addr, &bound) != 0)
		err = address_fault(fault, WB_ERR_SYSTEM, "listen on", addr);
	else
		err = wbi_stream_listen(fd, fault);
	if (err) {
		wbi_fd_close(&fd);
		return err;
	}
	*ret_fd = fd;
	*ret_bound = bound;
	return WB_OK;
}

enum wb_err wbi_tcp_accept(int listener, int *ret_fd, struct wbi_addr *ret_peer,
			   struct wb_fault *fault)
{
	return wbi_stream_accept(listener, ret_fd, ret_peer, fault);
}

/* ---- dialling ---- */

/* Waits for a connect under way. 0, or -1 with errno; ETIMEDOUT once the deadline has passed. */
static int await_connect(int fd, int timeout_ms)
{
	struct pollfd wait = {.fd = fd, .events = POLLOUT};
	uint64_t deadline_ms = wbi_clock_ms() + (uint64_t)timeout_ms;
	int error, ready;
	socklen_t bytes = sizeof(error);

	do {
		uint64_t now_ms = wbi_clock_ms();
		ready = poll(&wait, 1, now_ms < deadline_ms ? (int)(deadline_ms - now_ms) : 0);
	} while (ready < 0 && errno == EINTR);
	if (ready < 0)
		return -1;
	if (ready == 0) {
		errno = ETIMEDOUT;
		return -1;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0)
		return -1;
	errno = error;
	return error == 0 ? 0 : -1;
}

/* TCP connects a socket to itself where nobody listens on a local port and that very port is chosen
 * as the source. A client that tries again and again meets it, and would talk to itself. */
static bool is_own_peer(int fd)
{
	struct wbi_addr own, peer = {.bytes = sizeof(peer.storage)};

	return get_bound(fd, &own) == 0 && getpeername(fd, &peer.any, &peer.bytes) == 0 &&
	       own.bytes == peer.bytes && memcmp(&own.any, &peer.any, own.bytes) == 0;
}

static int dial_one(int fd, const struct wbi_addr *addr, int timeout_ms)
{
	if (fd < 0 || set_on(fd, IPPROTO_TCP, TCP_NODELAY) != 0)
		return -1;
	if (connect(fd, &addr->any, addr->bytes) != 0 &&
	    (errno != EINPROGRESS || await_connect(fd, timeout_ms) != 0))
		return -1;
	if (is_own_peer(fd)) {
		errno = ECONNREFUSED;
		return -1;
	}
	return 0;
}

enum wb_err wbi_tcp_dial(const struct wbi_addr *addrs, unsigned count, int timeout_ms, int *ret_fd,
			 struct wb_fault *fault)
{
	enum wb_err err = WB_ERR_ARGUMENT;

	if (count == 0)
		return wb_fault_set(fault, err, NULL, 0, "connect: no address");
	for (unsigned i = 0; i < count; i++) {
		int fd = socket(addrs[i].any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
				0);
		if (dial_one(fd, &addrs[i], timeout_ms) == 0) {
			*ret_fd = fd;
			return WB_OK;
		}
		err = errno == ETIMEDOUT ? WB_ERR_TIMEOUT : WB_ERR_SYSTEM;
		address_fault(fault, err, "connect to", &addrs[i]);
		wbi_fd_close(&fd);
	}
	return err;
}
