/* upper: whatever comes goes back with its ASCII letters upper-cased.
 *
 * Over TCP there are no messages, so it answers byte for byte; over UDP datagram for datagram.
 * Bytes from 0x80 on are left alone, so UTF-8 and GB2312 text survives. (Not all of GBK does: the
 * second byte of its rarer characters can be an ASCII letter, and this service knows no encoding.)
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "service/service.h"
#include "sys/fd.h"
#include "transport/udp.h"

enum { BLOCK_BYTES = 32 };

static inline void upper_some(uint8_t *data, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		data[i] ^= (uint8_t)(((uint8_t)(data[i] - 'a') < 26) << 5);
}

/* In blocks of a known length, for which compilers use vector instructions at -O2 as well: a byte
 * at a time takes a third of the daemon's processor. */
static void upper(uint8_t *data, size_t bytes)
{
	for (; bytes >= BLOCK_BYTES; data += BLOCK_BYTES, bytes -= BLOCK_BYTES)
		upper_some(data, BLOCK_BYTES);
	upper_some(data, bytes);
}

struct upper_conn {
	struct wbi_plain plain;
	struct wbi_buf unsent; /* while it holds anything, nothing more is read */
	bool last;             /* close once everything is sent */
};

static struct upper_conn *upper_of(struct wbi_plain *plain)
{
	return WBI_CONTAINER(plain, struct upper_conn, plain);
}

/* Keeps what the kernel did not take. At most one read is outstanding, which bounds it. */
static void keep_unsent(struct upper_conn *upper, const uint8_t *data, size_t bytes)
{
	if (wbi_buf_append(&upper->unsent, data, bytes) != WB_OK) {
		wbi_plain_close(&upper->plain);
		return;
	}
	wbi_plain_want(&upper->plain, WBI_WRITE);
}

static void upper_input(struct wbi_plain *plain, uint8_t *data, size_t bytes)
{
	struct iovec part = {data, bytes};
	ssize_t sent;

	upper(data, bytes);
	sent = wbi_plain_write(plain, &part, 1);
	if (sent == (ssize_t)bytes)
		return;
	if (sent < 0 && sent != -EAGAIN) {
		wbi_plain_close(plain);
		return;
	}
	if (sent < 0)
		sent = 0;
	keep_unsent(upper_of(plain), data + sent, bytes - (size_t)sent);
}

static void upper_writable(struct wbi_plain *plain)
{
	struct upper_conn *upper = upper_of(plain);
	struct wbi_slice unsent = wbi_buf_peek(&upper->unsent);
	struct iovec part = {(void *)unsent.data, unsent.bytes};
	ssize_t sent = wbi_plain_write(plain, &part, 1);

	if (sent == -EAGAIN)
		return;
	if (sent < 0) {
		wbi_plain_close(plain);
		return;
	}
	wbi_buf_consume(&upper->unsent, (size_t)sent);
	if (wbi_buf_bytes(&upper->unsent) > 0)
		return;
	wbi_buf_reset(&upper->unsent);
	if (upper->last)
		wbi_plain_finish(plain);
	else
		wbi_plain_want(plain, WBI_READ);
}

static void upper_end(struct wbi_plain *plain)
{
	wbi_plain_close(plain); /* input is read only while nothing is unsent */
}

static void upper_drain(struct wbi_plain *plain)
{
	struct upper_conn *upper = upper_of(plain);

	upper->last = true;
	if (wbi_buf_bytes(&upper->unsent) == 0)
		wbi_plain_leave(plain);
}

static void upper_done(struct wbi_plain *plain)
{
	struct upper_conn *upper = upper_of(plain);

	wbi_buf_done(&upper->unsent);
	free(upper);
}

static const struct wbi_plain_ops upper_ops = {
	.input = upper_input,
	.end = upper_end,
	.writable = upper_writable,
	.drain = upper_drain,
	.done = upper_done,
};

enum wb_err wbi_upper_accept(struct wbi_service_env *env, int fd,
			     const struct wbi_plain_caller *caller, struct wb_fault *fault)
{
	struct upper_conn *upper = calloc(1, sizeof(*upper));
	enum wb_err err;
	(void)caller;

	if (!upper)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "no memory for a connection");
	wbi_buf_init(&upper->unsent, WBI_PLAIN_SCRATCH_BYTES);
	err = wbi_plain_init(&upper->plain, &env->plain, &upper_ops, fd, fault);
	if (err)
		free(upper);
	return err;
}

struct upper_socket {
	struct wbi_datagram_service service;
	struct wbi_service_env *env;
	struct wbi_watch watch;
	struct wbi_udp_batch *batch;
	uint16_t port;         /* our own */
	struct wbi_task flood; /* while it is queued, the socket is not watched */
};

enum { FLOOD_BATCHES = 8 }; /* in one turn of the loop: half a millisecond */

/* Sends the batch back; while the kernel takes no more, nothing new is received. */
static void reply_batch(struct upper_socket *udp)
{
	unsigned refused = 0;
	int result = wbi_udp_batch_reply(udp->batch, &refused);

	if (refused > 0)
		wbi_audit(&udp->env->audit, "upper+udp: the kernel refused to send %u replies",
			  refused);
	wbi_loop_want(udp->env->plain.loop, &udp->watch, result == 0 ? WBI_READ : WBI_WRITE);
}

/* A datagram from our own port comes from this service or another like it, on somebody's forged
 * behalf: the reply would be answered, and so on for ever. */
static bool is_our_like(const struct upper_socket *udp, int i)
{
	struct wbi_addr peer;
	const struct sockaddr *from = wbi_udp_batch_peer(udp->batch, i, &peer.bytes);

	memcpy(&peer.storage, from, peer.bytes);
	return wbi_addr_port(&peer) == udp->port;
}

/* Returns whether more is likely to wait: the batch was full, and is answered. */
static bool receive_batch(struct upper_socket *udp)
{
	int count = wbi_udp_batch_receive(udp->batch);

	if (count <= 0)
		return false; /* a datagram service has no connection to lose */
	for (int i = 0; i < count; i++) {
		uint8_t *data;
		size_t bytes;
		bool truncated;

		wbi_udp_batch_at(udp->batch, i, &data, &bytes, &truncated);
		if (truncated)
			wbi_audit(&udp->env->audit,
				  "upper+udp: a datagram was longer than any can be: not answered");
		else if (is_our_like(udp, i))
			wbi_udp_batch_drop(udp->batch, i);
		else
			upper(data, bytes);
	}
	reply_batch(udp);
	return count == WBI_UDP_BATCH && udp->watch.events == WBI_READ;
}

/* A watched socket costs every datagram, in and out, a call into epoll, on memory that sender and
 * receiver then fight over: a tenth of the rate. So a flood is taken turn by turn, unwatched. */
static void take_flood(struct wbi_task *task)
{
	struct upper_socket *udp = WBI_CONTAINER(task, struct upper_socket, flood);
	struct wbi_loop *loop = udp->env->plain.loop;
	struct wb_fault fault;
	bool more = true;

	for (int i = 0; i < FLOOD_BATCHES && more; i++)
		more = receive_batch(udp);
	if (more || wbi_loop_watch(loop, &udp->watch, &fault) != WB_OK)
		wbi_loop_defer(loop, task);
}

static void on_udp(struct wbi_watch *watch, unsigned events)
{
	struct upper_socket *udp = WBI_CONTAINER(watch, struct upper_socket, watch);

	if (watch->events & WBI_WRITE && events & WBI_WRITE) {
		reply_batch(udp);
	} else if (receive_batch(udp)) { /* also takes a pending error off the socket */
		wbi_loop_unwatch(udp->env->plain.loop, watch);
		wbi_loop_defer(udp->env->plain.loop, &udp->flood);
	}
}

static void upper_socket_close(struct wbi_datagram_service *service)
{
	struct upper_socket *udp = WBI_CONTAINER(service, struct upper_socket, service);

	wbi_list_remove(&udp->flood.node);
	wbi_loop_unwatch(udp->env->plain.loop, &udp->watch);
	wbi_fd_close(&udp->watch.fd);
	wbi_udp_batch_free(udp->batch);
	free(udp);
}

static uint16_t own_port(int fd)
{
	struct wbi_addr own = {.bytes = sizeof(own.storage)};

	return getsockname(fd, &own.any, &own.bytes) == 0 ? wbi_addr_port(&own) : 0;
}

enum wb_err wbi_upper_bind(struct wbi_service_env *env, int fd, bool wildcard,
			   struct wbi_datagram_service **ret_service, struct wb_fault *fault)
{
	struct upper_socket *udp = calloc(1, sizeof(*udp));
	enum wb_err err;

	if (!udp)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "no memory for a socket");
	udp->env = env;
	udp->service.close = upper_socket_close;
	udp->flood.fn = take_flood;
	wbi_list_init(&udp->flood.node);
	wbi_watch_init(&udp->watch, on_udp, fd, WBI_READ);
	udp->port = own_port(fd);
	err = wbi_udp_batch_new(fd, wildcard, &udp->batch, fault);
	if (!err)
		err = wbi_loop_watch(env->plain.loop, &udp->watch, fault);
	if (err) {
		wbi_udp_batch_free(udp->batch);
		free(udp);
		return err;
	}
	*ret_service = &udp->service;
	return WB_OK;
}
