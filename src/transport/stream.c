/* Stream sockets: what tcp and unix have in common. */
#include "transport/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "sys/fd.h"

/* ---- the link ---- */

static struct wbi_stream_link *stream_of(struct wbi_link *link)
{
	return WBI_CONTAINER(link, struct wbi_stream_link, link);
}

static ssize_t result(ssize_t n)
{
	return n < 0 ? -errno : n;
}

static ssize_t stream_read(struct wbi_link *link, void *data, size_t bytes)
{
	return result(recv(stream_of(link)->watch.fd, data, bytes, 0));
}

static ssize_t stream_write(struct wbi_link *link, const struct iovec *parts, int count)
{
	int fd = stream_of(link)->watch.fd;

	if (count == 1)
		return result(send(fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL));

	struct msghdr message = {
		.msg_iov = (struct iovec *)parts,
		.msg_iovlen = (size_t)(count < IOV_MAX ? count : IOV_MAX),
	};
	return result(sendmsg(fd, &message, MSG_NOSIGNAL));
}

/* sendfile knows no MSG_NOSIGNAL, and raises SIGPIPE even where it then tells of bytes that it had
 * moved before: so the signal is held back around it, and taken away in case it came. */
static ssize_t stream_send_file(struct wbi_link *link, int file, off_t offset, size_t bytes)
{
	static const struct timespec no_wait;
	sigset_t broken_pipe, before;

	sigemptyset(&broken_pipe);
	sigaddset(&broken_pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &broken_pipe, &before);

	ssize_t n = result(sendfile(stream_of(link)->watch.fd, file, &offset,
				    bytes < INT_MAX ? bytes : INT_MAX));
	if (!sigismember(&before, SIGPIPE)) {
		sigtimedwait(&broken_pipe, NULL, &no_wait);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	return n;
}

static void stream_want(struct wbi_link *link, unsigned events)
{
	struct wbi_stream_link *stream = stream_of(link);

	if (stream->loop)
		wbi_loop_want(stream->loop, &stream->watch, events);
	else
		stream->watch.events = events;
}

static int stream_shutdown(struct wbi_link *link)
{
	return shutdown(stream_of(link)->watch.fd, SHUT_WR) == 0 ? 0 : -errno;
}

static void stream_close(struct wbi_link *link)
{
	struct wbi_stream_link *stream = stream_of(link);

	if (stream->loop)
		wbi_loop_unwatch(stream->loop, &stream->watch);
	wbi_fd_close(&stream->watch.fd);
}

static const struct wbi_link_ops stream_ops = {
	.name = "stream",
	.read = stream_read,
	.write = stream_write,
	.send_file = stream_send_file,
	.want = stream_want,
	.shutdown = stream_shutdown,
	.close = stream_close,
};

static void on_ready(struct wbi_watch *watch, unsigned events)
{
	struct wbi_link *link = &WBI_CONTAINER(watch, struct wbi_stream_link, watch)->link;
	link->fn(link, events);
}

enum wb_err wbi_stream_link_init(struct wbi_stream_link *stream, struct wbi_loop *loop, int fd,
				 wbi_link_fn *fn, unsigned events, struct wb_fault *fault)
{
	stream->link = (struct wbi_link){.ops = &stream_ops, .fn = fn};
	stream->loop = loop;
	stream->filter = NULL;
	wbi_watch_init(&stream->watch, on_ready, fd, events);
	return loop ? wbi_loop_watch(loop, &stream->watch, fault) : WB_OK;
}

/* ---- listening and accepting ---- */

static int somaxconn(void)
{
	char text[16] = "";
	int file = open("/proc/sys/net/core/somaxconn", O_RDONLY | O_CLOEXEC);
	ssize_t bytes = file < 0 ? -1 : read(file, text, sizeof(text) - 1);
	long backlog = bytes > 0 ? strtol(text, NULL, 10) : 0;

	wbi_fd_close(&file);
	return backlog > 0 && backlog <= INT_MAX ? (int)backlog : SOMAXCONN;
}

enum wb_err wbi_stream_listen(int fd, struct wb_fault *fault)
{
	if (listen(fd, somaxconn()) != 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "listen: %m");
	return WB_OK;
}

/* Errors of the one connection, which accept takes from the queue and reports (so says Linux's
 * accept(2)), are no reason to think ill of the listener. */
static enum wb_err accept_fault(struct wb_fault *fault)
{
	switch (errno) {
	case EAGAIN:
	case EINTR:
	case ECONNABORTED:
	case EPERM: /* a firewall rule */
	case EPROTO:
	case ENOPROTOOPT:
	case EOPNOTSUPP:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
		return wb_fault_set(fault, WB_ERR_TIMEOUT, NULL, 0, "accept: %m");
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return wb_fault_set(fault, WB_ERR_LIMIT, NULL, 0, "accept: %m");
	default:
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "accept: %m");
	}
}

enum wb_err wbi_stream_accept(int listener, int *ret_fd, struct wbi_addr *ret_peer,
			      struct wb_fault *fault)
{
	struct wbi_addr peer;

	peer.bytes = sizeof(peer.storage);
	int fd = accept4(listener, ret_peer ? &peer.any : NULL, ret_peer ? &peer.bytes : NULL,
			 SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return accept_fault(fault);
	if (ret_peer)
		*ret_peer = peer;
	*ret_fd = fd;
	return WB_OK;
}
