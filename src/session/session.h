/* The session engine: commands that run once and survive the network, as a pure machine.
 *
 * No socket, clock, thread or random source: time (milliseconds that never go back) and random
 * bytes are arguments. Two objects:
 *
 *   a *session* holds calls and outlives connections;
 *   a *carrier* is the protocol's side of one connection. On the server it exists before its
 *   session is known.
 *
 * The caller moves the bytes:
 *
 *   received   wbi_carrier_read(carrier, input, …)  until it says WBI_EVENT_NONE; drop `consumed`
 *   to write   wbi_carrier_peek(carrier, parts, …)  then write, then wbi_carrier_ack(written)
 *   time       wbi_carrier_deadline, wbi_carrier_tick; wbi_session_deadline, wbi_session_tick
 *   lost       wbi_carrier_lost
 *
 * After anything but peek and ack there may be events (read with no input gives them) and bytes to
 * write. Nothing blocks. One session and its carriers belong to one thread at a time; a carrier
 * that has said WBI_EVENT_HELLO may be handed to another thread before it is attached. Protocol:
 * docs/PROTOCOL.md, "Sessions". */
#ifndef WBI_SESSION_H
#define WBI_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"
#include "base/slice.h"
#include "session/call.h"
#include "session/stream.h"
#include "waybill/digest.h"
#include "waybill/err.h"
#include "waybill/header.h"

enum wbi_role { WBI_CLIENT, WBI_SERVER };

enum {
	WBI_PROTOCOL_VERSION = 1,
	WBI_SESSION_ID_BYTES = 16,
	WBI_SECRET_BYTES = 32,
	WBI_INSTANCE_BYTES = 16,
	WBI_AGENT_MAX = 64, /* with the NUL */
	WBI_USER_MAX = 64,
	WBI_CODE_MAX = 32,
};

#define WBI_NEVER_MS UINT64_MAX

/* Everything that a peer can make grow, and how long anything may take. */
struct wbi_session_limits {
	uint32_t calls;              /* of a session, from open to forget; >= 1 */
	uint32_t streams;            /* of a call, both directions; 1 … 16 */
	uint32_t chunk_bytes;        /* payload of one parcel; 1024 … 16 MiB */
	uint32_t open_bytes;         /* payload of `open` */
	uint32_t window_start_bytes; /* of a receiving stream; >= WBI_WINDOW_OWN */
	uint32_t window_max_bytes;   /* what it may grow to */
	uint64_t pool_bytes;         /* borrowed by all receiving streams of a session */
	uint32_t hold_ms;            /* server: a session without a connection lives this long */
	uint32_t ping_ms;            /* silence before a ping */
	uint32_t dead_ms;            /* silence that ends a connection */
	uint32_t header_ms; /* a header that has begun, and `hello`, must be whole by then */
};

extern const struct wbi_session_limits wbi_session_limits_default;

/* One line for a person who debugs: machine ("carrier", "call", "stream"), its number, and the
 * step. */
typedef void wbi_trace_fn(void *context, const char *machine, uint64_t number, const char *from,
			  const char *to);

struct wbi_session_config {
	enum wbi_role role;
	struct wbi_session_limits limits;
	const char *agent;     /* "waybill/0.1.0" */
	struct wbi_pool *pool; /* what the session's pool borrows from; NULL: nothing above it */
	const char *const *digests; /* NULL-terminated, best first; NULL: xxh128, sha256 */
	const char *const
		*open_fields; /* server: fields of `open` that services know, for `crit` */
	/* server */
	uint8_t instance[WBI_INSTANCE_BYTES]; /* random per daemon start */
	const char *const *services;          /* NULL-terminated names for `welcome`; NULL: none */
	/* client */
	const char *user; /* NULL: whoever we are */
	wbi_trace_fn *trace;
	void *trace_context;
};

/* What `hello` said. No pointers. */
struct wbi_hello {
	uint8_t session[WBI_SESSION_ID_BYTES];
	uint8_t secret[WBI_SECRET_BYTES];
	uint64_t epoch;
	char agent[WBI_AGENT_MAX];
	char user[WBI_USER_MAX];                          /* "" where it was absent */
	uint32_t calls, streams, chunk_bytes, open_bytes; /* the peer's limits */
	bool has_digest[3];                               /* by enum wb_digest_kind */
};

/* Why a connection ends, in one parcel `error`. */
struct wbi_problem {
	char code[WBI_CODE_MAX]; /* stable: malformed limit unsupported refused stale superseded
				  * full timeout version digest internal */
	char field[WB_FAULT_FIELD_MAX];
	char text[WB_FAULT_TEXT_MAX];
	uint64_t offset; /* in the bytes that the reporting side had received */
	bool retry;      /* whether trying again can help */
	bool ours;       /* we reported it */
};

enum wbi_event_kind {
	WBI_EVENT_NONE,    /* nothing more until there is more input, or a deadline passes */
	WBI_EVENT_HELLO,   /* server: event.hello; attach or refuse the carrier */
	WBI_EVENT_WELCOME, /* client: connected; event.header holds `services` and so on */
	WBI_EVENT_RESUMED, /* both sides know what the other has; the calls go on */
	WBI_EVENT_OPEN,   /* server: event.call, .header, .data (payload): accept or exit, sooner or
			     later */
	WBI_EVENT_OPENED, /* client: event.header holds the service's fields */
	WBI_EVENT_DATA, /* event.stream, .offset, .data: keep or use it, then wbi_stream_consume */
	WBI_EVENT_EOF,  /* event.stream; stream->intact, ->held_open */
	WBI_EVENT_CREDIT,  /* event.stream: acknowledged moved */
	WBI_EVENT_RESET,   /* event.stream: the peer wants no more; its source is not used again */
	WBI_EVENT_SIGNAL,  /* server: event.text */
	WBI_EVENT_RESIZE,  /* server: call->rows, ->cols */
	WBI_EVENT_CANCEL,  /* server: end it; wbi_call_exit is still to come */
	WBI_EVENT_EXIT,    /* client: call->result stands; event.header, NULL where it is LOST */
	WBI_EVENT_FORGET,  /* server: the call is freed at the next call into the engine */
	WBI_EVENT_SUSPEND, /* server: the client stops itself; held without a deadline */
	WBI_EVENT_BYE,     /* the peer ends the session in order; event closed follows */
	WBI_EVENT_ERROR,   /* event.problem: sent or received; event closed follows */
	WBI_EVENT_CLOSED, /* close the socket: the session, if any, is detached; event.text says why
			   */
	WBI_EVENT_EXPIRED, /* server: nobody came back in time; free the session */
};

/* Borrowed parts live until the next call into the engine or until the input is dropped. */
struct wbi_event {
	enum wbi_event_kind kind;
	struct wbi_session *session;
	struct wbi_call *call;
	struct wbi_stream *stream;
	uint64_t offset;
	struct wbi_slice data;
	const struct wb_header *header;
	const struct wbi_hello *hello;
	const struct wbi_problem *problem;
	const char *text;
	bool resumed; /* WELCOME: it is the session that was there before */
};

const char *wbi_event_name(enum wbi_event_kind kind);

struct wbi_carrier; /* opaque, heap */

/* Read-only for everybody outside src/session, but for `owner`. */
struct wbi_session {
	void *owner;
	struct wbi_session_config config; /* strings and arrays are the owner's, and outlive it */
	uint8_t id[WBI_SESSION_ID_BYTES];
	uint8_t secret[WBI_SECRET_BYTES];
	uint64_t epoch; /* of the connection seen last */
	uint64_t since; /* server: epoch with which it began here */
	uint64_t born;  /* when it was made on the server (its ms): with `instance`, which one it is
			 */
	uint8_t instance[WBI_INSTANCE_BYTES]; /* client: of the server seen last */
	struct wbi_carrier *carrier;          /* NULL while detached */
	struct wbi_pool pool;
	enum wb_digest_kind digest;
	uint32_t peer_calls, peer_streams, peer_open_bytes, chunk_bytes;
	uint32_t hold_ms; /* what welcome said, or says */

	struct wbi_list calls; /* ids ascending */
	uint32_t call_count;
	uint64_t highest_id;       /* client: given; server: seen */
	struct wbi_list opens;     /* client: calls whose `open` is to be written, ids ascending */
	struct wbi_list control;   /* announced calls with something due */
	struct wbi_list ready;     /* streams that may send data */
	struct wbi_list notices;   /* calls of which an event is owed */
	struct wbi_list graveyard; /* calls that are freed at the next entry */
	struct wbi_call *last;     /* found last, or NULL */

	uint64_t
		*gone; /* server: ids whose `open` is to be answered `gone`; limits.calls of room */
	uint32_t gone_count;

	uint64_t detached_ms; /* since when without a connection */
	bool suspended;       /* held without a deadline */
	bool welcomed;        /* client: a server has answered */
	bool expired, expired_told;
};

/* A client's session: id and secret are random bytes of the caller's. A server's: from event.hello.
 * Returns WB_OK and the caller owns *ret_session; WB_ERR_ARGUMENT (limits), WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_session_new(const struct wbi_session_config *config,
					   const uint8_t id[WBI_SESSION_ID_BYTES],
					   const uint8_t secret[WBI_SECRET_BYTES], uint64_t now_ms,
					   struct wbi_session **ret_session,
					   struct wb_fault *fault);

/* Frees it and its calls, without events; a carrier still attached is closed without a word. */
void wbi_session_free(struct wbi_session *session);

/* Puts a carrier under a session.
 *
 * Client: a fresh carrier; writes `hello` with the next epoch.
 * Server: a carrier that said WBI_EVENT_HELLO. The owner has checked that this principal owns this
 * session; here the secret and the epoch are checked. An older connection is told `superseded`, and
 * what it had not delivered is dropped. Returns WB_OK; WB_ERR_REFUSED: the carrier was told why and
 * is closing, the session is as it was. */
WB_WARN_UNUSED enum wb_err wbi_session_attach(struct wbi_session *session,
					      struct wbi_carrier *carrier, uint64_t now_ms,
					      struct wb_fault *fault);

/* Client, about to stop itself: writes `suspend` behind the control that is due, and then nothing
 * more until wbi_session_continue. */
void wbi_session_suspend(struct wbi_session *session);
void wbi_session_continue(struct wbi_session *session);

/* Writes what control is due, then `bye`, and closes; the session is then to be freed. */
void wbi_session_bye(struct wbi_session *session);

/* Server: a session that loses its connection is to be held at least this long, and the next
 * `welcome` says so. A call may ask for longer than the default. */
void wbi_session_hold_at_least(struct wbi_session *session, uint32_t hold_ms);

/* Server: a client that said `suspend` is known to have ended, not merely to be unreachable: its
 * session is held like any other from now on. */
void wbi_session_end_suspension(struct wbi_session *session);

/* Client: gives up for good; every call that has not ended is LOST (events exit; error "unsent"
 * where it can't have started). Server: as if the client had forgotten every call (events forget).
 */
void wbi_session_give_up(struct wbi_session *session);

/* Events that are owed without a connection (EXPIRED, EXIT, FORGET). */
enum wbi_event_kind wbi_session_event(struct wbi_session *session, struct wbi_event *ret_event);

/* When wbi_session_tick has something to do (WBI_NEVER_MS: not by time alone), and doing it. */
uint64_t wbi_session_deadline(const struct wbi_session *session);
void wbi_session_tick(struct wbi_session *session, uint64_t now_ms);

/* A carrier for a connection that has just begun. limits and trace are those of the config; it is
 * copied. Returns WB_OK and the caller owns *ret_carrier, or WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_carrier_new(const struct wbi_session_config *config, uint64_t now_ms,
					   struct wbi_carrier **ret_carrier);
void wbi_carrier_free(struct wbi_carrier *carrier); /* detaches its session first */

/* Server: answers `hello` with an `error` and closes. */
void wbi_carrier_refuse(struct wbi_carrier *carrier, const char *code, bool retry,
			const char *text);

/* Takes the next step through what has been received.
 *
 * input, bytes: what arrived and was not consumed yet, in one piece. ret_consumed: bytes to drop
 * from its front once the event is done with. The buffer must be able to hold 4 +
 * WB_HEADER_BYTES_MAX. Call until it says WBI_EVENT_NONE. */
enum wbi_event_kind wbi_carrier_read(struct wbi_carrier *carrier, const void *input, size_t bytes,
				     uint64_t now_ms, size_t *ret_consumed,
				     struct wbi_event *ret_event);

/* What is to be written next: fills up to `room` (>= 2) parts, which borrow from the engine and the
 * sources until the next call into the engine. Returns how many; 0: nothing to write now. Control
 * goes before data; data goes round the streams. */
int wbi_carrier_peek(struct wbi_carrier *carrier, struct iovec *parts, int room, uint64_t now_ms);

/* Whether something is due, and all of it can wait a moment for company: `opened` of a call that
 * the client sends nothing to, `forget`, a `credit` that the sender can go on without for a good
 * while. Nobody waits for those, and most often what they wait for follows at once: so whoever puts
 * the next peek off by a few milliseconds saves both sides a system call and a wake-up for each. */
bool wbi_carrier_can_wait(const struct wbi_carrier *carrier);

/* `bytes` of what the last peek gave were written. */
void wbi_carrier_ack(struct wbi_carrier *carrier, size_t bytes);

/* The connection is gone (end of stream, reset, refused): detaches the session. */
void wbi_carrier_lost(struct wbi_carrier *carrier, uint64_t now_ms);

uint64_t wbi_carrier_deadline(const struct wbi_carrier *carrier);
void wbi_carrier_tick(struct wbi_carrier *carrier, uint64_t now_ms);

/* True once the caller may close the socket (event closed says the same). */
bool wbi_carrier_closed(const struct wbi_carrier *carrier);

/* The session under it, or NULL. */
struct wbi_session *wbi_carrier_session(const struct wbi_carrier *carrier);

#endif
