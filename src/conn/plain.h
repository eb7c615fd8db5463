/* A plain connection: a stream link that a service reads from and writes to, for peers that know
 * nothing of Waybill. It reads into one buffer that all connections of a worker share, so that an
 * idle connection costs its own few words and nothing else. */
#ifndef WBI_PLAIN_H
#define WBI_PLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "sys/addr.h"
#include "sys/loop.h"
#include "transport/stream.h"

enum {
	WBI_PLAIN_SCRATCH_BYTES = 64 * 1024,
	WBI_PLAIN_LINGER_MS = 2000, /* how long a refused peer may take to hear why */
	WBI_PLAIN_LINGER_BYTES = 16 * 1024 * 1024, /* and how much it may still send meanwhile */
};

struct wbi_plain;

/* What all plain connections of a worker share. Caller-owned; fields are read-only to services. */
struct wbi_plain_env {
	struct wbi_loop *loop;
	uint8_t *scratch; /* WBI_PLAIN_SCRATCH_BYTES */
	struct wbi_list connections;
	unsigned count;
	void (*closed)(struct wbi_plain_env *env); /* a connection has gone; may be NULL */
};

/* What a service does with its connection. Each may close it, and must not touch it afterwards. */
struct wbi_plain_ops {
	/* Bytes have come; `data` is the shared buffer: changed in place at will, gone afterwards.
	 */
	void (*input)(struct wbi_plain *plain, uint8_t *data, size_t bytes);
	void (*end)(struct wbi_plain *plain); /* the peer will send no more */
	void (*writable)(
		struct wbi_plain *plain); /* room to write, asked for with wbi_plain_want */
	/* The peer will send no more, or has gone; asked for with WBI_PEER_END, else NULL. */
	void (*hung_up)(struct wbi_plain *plain);
	void (*expired)(struct wbi_plain *plain); /* the timer; NULL if the service sets none */
	void (*drain)(struct wbi_plain *plain);   /* finish what is under way, then close */
	void (*done)(struct wbi_plain *plain);    /* closed: release everything, itself included */
};

struct wbi_plain {
	struct wbi_stream_link stream;
	const struct wbi_plain_ops *ops;
	struct wbi_plain_env *env;
	struct wbi_list node;
	struct wbi_timer timer; /* the service's, until wbi_plain_finish takes it */
	uint32_t linger_left;   /* bytes still passed over; meaningful while finishing */
	bool finishing;
};

WB_WARN_UNUSED enum wb_err wbi_plain_env_init(struct wbi_plain_env *env, struct wbi_loop *loop);
void wbi_plain_env_done(struct wbi_plain_env *env); /* closes every connection */

/* Makes a connection of an accepted, non-blocking stream socket, and reads from it.
 * Returns WB_OK and the connection owns fd; on failure the caller still does. */
WB_WARN_UNUSED enum wb_err wbi_plain_init(struct wbi_plain *plain, struct wbi_plain_env *env,
					  const struct wbi_plain_ops *ops, int fd,
					  struct wb_fault *fault);

/* What to be called for: WBI_READ, WBI_WRITE, WBI_PEER_END, or 0 (then only a reset is noticed). */
void wbi_plain_want(struct wbi_plain *plain, unsigned events);

/* Writes what is taken now: > 0, -EAGAIN, or another -errno (then close). */
static inline ssize_t wbi_plain_write(struct wbi_plain *plain, const struct iovec *parts, int count)
{
	return wbi_link_write(&plain->stream.link, parts, count);
}

/* Closes now and releases it. Unread input makes TCP send a reset, which may overtake a reply. */
void wbi_plain_close(struct wbi_plain *plain);

/* Closes so that the peer can read what was written: ends our side, then passes over what the peer
 * still sends, for a bounded time and amount. */
void wbi_plain_finish(struct wbi_plain *plain);

/* The same where there may be nothing to wait for: closes at once if the peer has everything that
 * was written and has sent nothing that was not read. */
void wbi_plain_leave(struct wbi_plain *plain);

/* The peer's address, for the log. */
void wbi_plain_peer_text(const struct wbi_plain *plain, char out[WBI_ADDR_TEXT_MAX]);

#endif
