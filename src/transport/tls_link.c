/* TLS between a stream link and its owner: see tls_link.h.
 *
 * The filter stands in for the link's functions and for its watch. What is watched is what TLS
 * needs, not what the owner wants: the handshake reads, and what the socket did not take waits to
 * be written, whatever the owner does. */
#include "transport/tls_link.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "sys/fd.h"

struct wbi_tls_filter {
	struct wbi_stream_link *stream;
	struct wbi_tls *tls;
	unsigned wanted;      /* by the owner */
	bool ending;          /* it has said its end; the peer is to hear of it */
	bool ended;           /* and has */
	struct wbi_task wake; /* in a loop: go on without the socket */
};

static struct wbi_stream_link *stream_of(struct wbi_link *link)
{
	return WBI_CONTAINER(link, struct wbi_stream_link, link);
}

/* ---- the socket below ---- */

static ssize_t socket_read(void *context, void *data, size_t bytes)
{
	struct wbi_tls_filter *filter = context;
	ssize_t n = recv(filter->stream->watch.fd, data, bytes, 0);

	return n < 0 ? -errno : n;
}

/* Without MSG_MORE: what that holds back waits for the next write, or for a timer. */
static ssize_t socket_write(void *context, const void *data, size_t bytes)
{
	struct wbi_tls_filter *filter = context;
	ssize_t n = send(filter->stream->watch.fd, data, bytes, MSG_NOSIGNAL);

	return n < 0 ? -errno : n;
}

static const struct wbi_tls_io socket_io = {.read = socket_read, .write = socket_write};

/* ---- readiness ---- */

/* Of the socket. A handshake reads, and so does whoever cannot write before a message is whole.
 * What can be neither read nor written now is not waited for: it would be ready all the time. */
static unsigned needed(const struct wbi_tls_filter *filter, unsigned wanted)
{
	const struct wbi_tls *tls = filter->tls;
	bool ending = filter->ending && !filter->ended;
	bool idle = !wanted && !ending;
	unsigned events = wbi_tls_is_open(tls) || idle ? wanted : WBI_READ;

	if (wbi_tls_is_interrupted(tls) && !idle)
		events = (events & ~(unsigned)WBI_WRITE) | WBI_READ;
	return wbi_tls_is_choked(tls) ? events & ~(unsigned)WBI_READ : events;
}

unsigned wbi_tls_link_wants(const struct wbi_stream_link *stream, unsigned wanted, bool *ret_now)
{
	const struct wbi_tls_filter *filter = stream->filter;
	unsigned events;

	*ret_now = false;
	if (!filter)
		return wanted;
	events = needed(filter, wanted);
	*ret_now = (events & WBI_READ) && wbi_tls_has_unread(filter->tls);
	return events | (wbi_tls_has_unsent(filter->tls) ? WBI_WRITE : 0);
}

/* The end that the owner has said follows what was written before. 0 or -errno. */
static int tell_end(struct wbi_tls_filter *filter)
{
	int error;

	if (!filter->ending || filter->ended)
		return 0;
	error = wbi_tls_shutdown(filter->tls);
	if (error)
		return error == -EAGAIN ? 0 : error;
	filter->ended = true;
	return shutdown(filter->stream->watch.fd, SHUT_WR) == 0 ? 0 : -errno;
}

unsigned wbi_tls_link_ready(struct wbi_stream_link *stream, unsigned events)
{
	struct wbi_tls_filter *filter = stream->filter;
	unsigned ready = events & ~(unsigned)WBI_WRITE;
	bool done = false;

	if (!filter)
		return events;
	if (wbi_tls_handshake(filter->tls, &done, NULL))
		return WBI_READ | WBI_HANGUP;
	/* An error is told by the next write, and the socket itself may know of none. */
	if (wbi_tls_flush(filter->tls) != -EAGAIN && done)
		ready |= WBI_WRITE;
	if (tell_end(filter))
		ready |= WBI_HANGUP;
	if (!done)
		return ready & WBI_HANGUP;
	return ready | (wbi_tls_has_unread(filter->tls) ? WBI_READ : 0);
}

/* ---- in a loop ---- */

static void watch_for(struct wbi_stream_link *stream)
{
	struct wbi_tls_filter *filter = stream->filter;
	bool now;
	unsigned events = wbi_tls_link_wants(stream, filter->wanted, &now);

	if (!stream->loop) {
		stream->watch.events = events;
		return;
	}
	wbi_loop_want(stream->loop, &stream->watch, events);
	if (now)
		wbi_loop_defer(stream->loop, &filter->wake);
}

/* HANGUP and PEER_END go with whatever is wanted. The owner may close the link. */
static void tell_owner(struct wbi_stream_link *stream, unsigned ready)
{
	unsigned told = ready & (stream->filter->wanted | ~(unsigned)(WBI_READ | WBI_WRITE));

	watch_for(stream);
	if (told)
		stream->link.fn(&stream->link, told);
}

static void on_socket(struct wbi_watch *watch, unsigned events)
{
	struct wbi_stream_link *stream = WBI_CONTAINER(watch, struct wbi_stream_link, watch);

	tell_owner(stream, wbi_tls_link_ready(stream, events));
}

static void on_wake(struct wbi_task *task)
{
	struct wbi_tls_filter *filter = WBI_CONTAINER(task, struct wbi_tls_filter, wake);

	tell_owner(filter->stream, wbi_tls_link_ready(filter->stream, 0));
}

/* ---- the link ---- */

static ssize_t tls_read(struct wbi_link *link, void *data, size_t bytes)
{
	ssize_t n = wbi_tls_read(stream_of(link)->filter->tls, data, bytes);

	watch_for(stream_of(link));
	return n;
}

static ssize_t tls_write(struct wbi_link *link, const struct iovec *parts, int count)
{
	ssize_t n = wbi_tls_write(stream_of(link)->filter->tls, parts, count);

	watch_for(stream_of(link));
	return n;
}

static void tls_want(struct wbi_link *link, unsigned events)
{
	stream_of(link)->filter->wanted = events;
	watch_for(stream_of(link));
}

static int tls_shutdown(struct wbi_link *link)
{
	int error;

	stream_of(link)->filter->ending = true;
	error = tell_end(stream_of(link)->filter);
	watch_for(stream_of(link));
	return error;
}

static void tls_close(struct wbi_link *link)
{
	struct wbi_tls *tls;
	int fd;

	wbi_tls_flush(stream_of(link)->filter->tls); /* an alert, perhaps */
	wbi_tls_link_take(stream_of(link), &fd, &tls);
	wbi_tls_free(tls);
	wbi_fd_close(&fd);
}

static const struct wbi_link_ops tls_ops = {
	.name = "tls",
	.read = tls_read,
	.write = tls_write,
	.want = tls_want,
	.shutdown = tls_shutdown,
	.close = tls_close,
};

/* ---- coming and going ---- */

static void put_between(struct wbi_stream_link *stream, struct wbi_tls_filter *filter,
			struct wbi_tls *tls, unsigned wanted)
{
	*filter = (struct wbi_tls_filter){.stream = stream, .tls = tls, .wanted = wanted};
	filter->wake.fn = on_wake;
	wbi_list_init(&filter->wake.node);
	stream->filter = filter;
	stream->link.ops = &tls_ops;
	stream->watch.fn = on_socket;
	wbi_tls_set_io(tls, &socket_io, filter);
	watch_for(stream);
}

enum wb_err wbi_tls_link_init(struct wbi_stream_link *stream, struct wbi_tls *tls,
			      struct wbi_loop *loop, int fd, wbi_link_fn *fn, unsigned events,
			      struct wb_fault *fault)
{
	struct wbi_tls_filter *filter = tls ? malloc(sizeof(*filter)) : NULL;
	enum wb_err err;

	if (tls && !filter)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "tls: no memory");
	err = wbi_stream_link_init(stream, loop, fd, fn, events, fault);
	if (err)
		free(filter);
	else if (tls)
		put_between(stream, filter, tls, events);
	return err;
}

void wbi_tls_link_take(struct wbi_stream_link *stream, int *ret_fd, struct wbi_tls **ret_tls)
{
	struct wbi_tls_filter *filter = stream->filter;

	if (stream->loop)
		wbi_loop_unwatch(stream->loop, &stream->watch);
	*ret_fd = stream->watch.fd;
	*ret_tls = filter ? filter->tls : NULL;
	stream->watch.fd = -1;
	stream->filter = NULL;
	if (!filter)
		return;
	wbi_list_remove(&filter->wake.node);
	free(filter);
}

struct wbi_tls *wbi_tls_link_peek(const struct wbi_stream_link *stream)
{
	return stream->filter ? stream->filter->tls : NULL;
}
