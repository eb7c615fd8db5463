/* A stream: one direction of bytes within a call, counted from its first byte.
 *
 * The engine keeps no copy of a stream. What is sent is read from a *source*, which its owner keeps
 * from the acknowledged offset on, so a lost connection costs a rewind and nothing else. What is
 * received is handed over as it comes and *consumed* when the owner says so; only then is the
 * sender allowed more.
 *
 * Invariants of a sending stream:    from <= acknowledged <= offset <= high <= limit
 *             of a receiving stream: from <= acknowledged <= offset <= limit,
 *                                    limit - acknowledged <= WBI_WINDOW_OWN + borrowed
 * Protocol: docs/PROTOCOL.md, "Streams". */
#ifndef WBI_SESSION_STREAM_H
#define WBI_SESSION_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/slice.h"
#include "waybill/digest.h"
#include "waybill/err.h"

struct wbi_call;
struct wbi_source;

enum { WBI_WINDOW_OWN = 16384 }; /* what every stream may always have in flight */

/* A pool of window bytes. Sessions borrow from their own, which borrows from its parent (that of
 * the daemon, or of one worker: a pool belongs to one thread). */
struct wbi_pool {
	struct wbi_pool *parent; /* NULL: none above */
	uint64_t limit_bytes;
	uint64_t used_bytes; /* <= limit_bytes */
};

/* Takes up to `bytes`, as far as this pool and all above it can; returns how many. */
uint64_t wbi_pool_borrow(struct wbi_pool *pool, uint64_t bytes);
void wbi_pool_give_back(struct wbi_pool *pool, uint64_t bytes);

/* Takes a pool, with what it has lent, out from under its parent; and puts it under another, which
 * may have less than that left: it then lends nothing until enough has come back. So a session
 * changes threads. */
void wbi_pool_leave(struct wbi_pool *pool);
void wbi_pool_join(struct wbi_pool *pool, struct wbi_pool *parent);

uint64_t wbi_pool_free_bytes(const struct wbi_pool *pool);

struct wbi_source_ops {
	/* Bytes from `offset` on, at least 1 and at most `most` (> 0), in one piece.
	 * Only asked for where acknowledged <= offset < source->end. The slice is used before the
	 * engine is entered again, and asked for again after that. It must not enter the engine. */
	struct wbi_slice (*peek)(struct wbi_source *source, uint64_t offset, size_t most);
	/* The peer has everything below `offset`: it will not be asked for again. May be NULL. It
	 * must not enter the engine. */
	void (*release)(struct wbi_source *source, uint64_t offset);
};

/* Embedded in what the owner reads from. After changing `end` or `ended`, wbi_stream_wake. */
struct wbi_source {
	const struct wbi_source_ops *ops;
	uint64_t end;   /* bytes exist below this offset; only grows */
	bool ended;     /* no more will come: `end` is the length */
	bool held_open; /* ended although someone still holds the pipe */
	bool full; /* what lies below `end` is all it can keep: there will be no more until some
		    * of it is released */
};

enum wbi_stream_state {
	WBI_STREAM_OPEN,
	WBI_STREAM_ENDED, /* receiving: eof has arrived; sending: eof has been written at least once
			   */
	WBI_STREAM_RESET, /* the receiver wants no more */
};

/* Read-only for everybody outside src/session. */
struct wbi_stream {
	struct wbi_call *call;
	struct wbi_list ready_node; /* sending: in session->ready while it can send */
	struct wbi_source *source;  /* sending: NULL until set, and again after a reset */
	struct wb_digest *digest;   /* of [from, high) or [from, offset); made at the first byte */
	char digest_hex[WB_DIGEST_HEX_MAX]; /* once it has been taken; "" before, and of no bytes */
	enum wbi_stream_state state;
	uint8_t number;  /* 0 … WBI_STREAM_NUMBER_MAX */
	bool sends;      /* we are the sender */
	bool undigested; /* its bytes are only counted */
	bool held_open;  /* receiving: what eof said */
	bool pressed;    /* receiving: the sender can keep no more before it gets credit */
	bool intact;     /* receiving: eof came, and its digest, if it has one, agreed */
	unsigned due;    /* WBI_DUE_CREDIT, WBI_DUE_RESET, WBI_DUE_EOF */

	uint64_t from;         /* where this call's view of the stream begins */
	uint64_t offset;       /* sending: next byte for a parcel; receiving: all below arrived */
	uint64_t acknowledged; /* consumed by the receiver's owner */
	uint64_t limit;        /* the sender may go no further */

	uint64_t high;             /* sending: all below was sent once, and digested */
	uint64_t window;           /* receiving: limit - acknowledged is brought up to this */
	uint64_t borrowed;         /* receiving: from the session's pool */
	uint64_t told;             /* receiving: acknowledged, as the last credit said */
	uint64_t mark;             /* receiving: offset when the last measurement began */
	uint64_t measure_after_ms; /* receiving: the last one changed nothing */
};

enum { WBI_STREAM_NUMBER_MAX = 15 };

/* Sets where a sending stream reads from; the owner keeps the source until the stream is reset
 * (event) or the call is gone (release, event forget, session freed), and may free it then.
 * source->end >= stream->from. */
void wbi_stream_set_source(struct wbi_stream *stream, struct wbi_source *source);

/* The source has more, or has ended. */
void wbi_stream_wake(struct wbi_stream *stream);

/* The owner has done with `bytes` more of what it was given (in all never more than was given). */
void wbi_stream_consume(struct wbi_stream *stream, uint64_t bytes);

/* The owner of a receiving stream wants no more: what still arrives is dropped. Safe to repeat. */
void wbi_stream_reset(struct wbi_stream *stream);

/* "open", "ended", "reset". */
const char *wbi_stream_state_name(enum wbi_stream_state state);

#endif
