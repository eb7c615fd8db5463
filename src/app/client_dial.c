/* One connection of a client: dialling without blocking, and whether it is our daemon that answers.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/client.h"
#include "sys/fd.h"

enum { UNSENT_BYTES = 262144 }; /* in the kernel; the rest stays where control can overtake it */

/* ---- where to ---- */

/* Keys are what would make anything wider safe. */
static enum wb_err check_loopback(const struct wbi_target *target, const char *host,
				  struct wb_fault *fault)
{
	for (unsigned i = 0; i < target->count; i++)
		if (!wbi_addr_is_loopback(&target->addrs[i]))
			return wb_fault_set(
				fault, WB_ERR_REFUSED, NULL, 0,
				"tcp://%s: not on loopback; beyond it only tls:// is safe", host);
	return WB_OK;
}

enum wb_err wbi_target_init(struct wbi_target *target, const char *text, struct wb_fault *fault)
{
	struct wbi_uri *uri = &target->destination.uri;
	enum wb_err err;

	*target = (struct wbi_target){.server_uid = geteuid()};
	err = wbi_destination_parse(text, &target->destination, fault);
	if (!err)
		err = wbi_addr_resolve(uri, false, target->addrs, WBI_DIAL_ADDRESSES_MAX,
				       &target->count, fault);
	if (!err && uri->transport == WBI_TCP)
		err = check_loopback(target, uri->host, fault);
	return err;
}

void wbi_target_done(struct wbi_target *target)
{
	wbi_peer_finder_free(target->finder);
	target->finder = NULL;
}

/* ---- connecting ---- */

/* Leaves errno as it was. */
static enum wb_err dial_fault(struct wb_fault *fault, enum wb_err err, const struct wbi_addr *addr)
{
	char text[WBI_ADDR_TEXT_MAX];
	int why = errno;

	wbi_addr_format(addr, text);
	errno = why;
	return wb_fault_set(fault, err, NULL, 0, "connect to %s: %m", text);
}

static void set_tcp_options(int fd)
{
	int on = 1, unsent = UNSENT_BYTES;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
}

enum wb_err wbi_dial_begin(const struct wbi_target *target, unsigned i, int *ret_fd,
			   bool *ret_pending, struct wb_fault *fault)
{
	const struct wbi_addr *addr = &target->addrs[i];
	int fd = socket(addr->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int failed = fd < 0;

	if (!failed && addr->any.sa_family != AF_UNIX)
		set_tcp_options(fd);
	if (!failed)
		failed = connect(fd, &addr->any, addr->bytes);
	if (failed && errno != EINPROGRESS) {
		/* A unix socket's full queue fails at once and cannot be waited for. */
		enum wb_err err = errno == EAGAIN ? WB_ERR_TIMEOUT : WB_ERR_SYSTEM;

		dial_fault(fault, err, addr);
		wbi_fd_close(&fd);
		return err;
	}
	*ret_fd = fd;
	*ret_pending = failed;
	return WB_OK;
}

enum wb_err wbi_dial_finish(const struct wbi_target *target, unsigned i, int fd,
			    struct wb_fault *fault)
{
	int error = 0;
	socklen_t bytes = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0)
		return dial_fault(fault, WB_ERR_SYSTEM, &target->addrs[i]);
	errno = error;
	return error ? dial_fault(fault, WB_ERR_SYSTEM, &target->addrs[i]) : WB_OK;
}

/* ---- who answers ---- */

/* TCP connects a socket to itself where nobody listens and the port is chosen as its own source:
 * whoever tries again and again meets it, and the kernel would vouch for it. */
static bool is_own_peer(int fd)
{
	struct wbi_addr own = {.bytes = sizeof(own.storage)}, peer = own;

	return getsockname(fd, &own.any, &own.bytes) == 0 &&
	       getpeername(fd, &peer.any, &peer.bytes) == 0 && own.bytes == peer.bytes &&
	       memcmp(&own.any, &peer.any, own.bytes) == 0;
}

/* Before it is accepted the server's end has no owner, and stands in the queue of whoever listens;
 * after that it has one, who may have stopped listening since. So both are asked, that end first.
 */
static enum wb_err server_of_tcp(struct wbi_target *target, unsigned i, int fd, uid_t *ret_uid,
				 struct wb_fault *fault)
{
	enum wb_err err = WB_OK;

	if (!target->finder)
		err = wbi_peer_finder_new(&target->finder, fault);
	if (err || wbi_peer_of_tcp(target->finder, fd, ret_uid, NULL) == WB_OK)
		return err;
	return wbi_peer_of_listener(target->finder, &target->addrs[i], ret_uid, fault);
}

enum wb_err wbi_dial_check(struct wbi_target *target, unsigned i, int fd, struct wb_fault *fault)
{
	const struct wbi_addr *addr = &target->addrs[i];
	enum wb_err err;
	uid_t uid;
	pid_t pid;

	if (target->destination.uri.transport == WBI_TLS)
		return WB_OK; /* its key will tell */
	if (addr->any.sa_family == AF_UNIX) {
		err = wbi_peer_of_unix(fd, &uid, &pid, fault);
	} else if (is_own_peer(fd)) {
		errno = ECONNREFUSED;
		err = dial_fault(fault, WB_ERR_SYSTEM, addr);
	} else {
		err = server_of_tcp(target, i, fd, &uid, fault);
	}
	if (!err && uid != target->server_uid)
		err = wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0,
				   "the daemon belongs to uid %u, not to uid %u", (unsigned)uid,
				   (unsigned)target->server_uid);
	return err;
}
