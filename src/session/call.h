/* A call: one thing that the client asked the server to do, from `open` to `forget`.
 *
 *   client: new -> opening -> running -> ended -> released
 *   server:        opening -> running -> ending -> ended -> released
 *
 * A call outlives connections. The engine hands an `open` to the server's owner once for each id of
 * a session; that the owner starts at most one command for it is the other half of the promise.
 * Protocol: docs/PROTOCOL.md, "Calls". */
#ifndef WBI_CALL_H
#define WBI_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/slice.h"
#include "session/stream.h"
#include "waybill/err.h"
#include "waybill/header.h"

struct wbi_session;

enum {
	WBI_SERVICE_MAX = 32, /* with the NUL */
	WBI_KEY_MAX = 129,
	WBI_SIGNAL_NAME_MAX = 16,
	WBI_SIGNALS_MAX = 16, /* sent and not yet known to have arrived */
	WBI_ERROR_NAME_MAX = 32,
	WBI_ERROR_TEXT_MAX = 200,
	WBI_MISSING_MAX = 64,
};

enum wbi_call_state {
	WBI_CALL_NEW,      /* client: no byte of its `open` has been written */
	WBI_CALL_OPENING,  /* client: `open` is on its way; server: the owner has been asked */
	WBI_CALL_RUNNING,  /* `opened` has arrived; the owner has accepted */
	WBI_CALL_ENDING,   /* server: the owner has given the outcome; streams are drained first */
	WBI_CALL_ENDED,    /* client: the result stands; server: `exit` was written */
	WBI_CALL_RELEASED, /* the owner is done with it (client), the client is (server) */
};

enum wbi_outcome {
	WBI_OUTCOME_EXITED,
	WBI_OUTCOME_SIGNALED,
	WBI_OUTCOME_TIMEOUT,
	WBI_OUTCOME_CANCELLED,
	WBI_OUTCOME_REFUSED, /* nothing was started */
	WBI_OUTCOME_FAILED,
	WBI_OUTCOME_LOST, /* never on the wire: none or once, perhaps still running */
};

/* "exited", …, as on the wire; and back (false: unknown). */
const char *wbi_outcome_name(enum wbi_outcome outcome);
bool wbi_outcome_by_name(const char *name, enum wbi_outcome *ret_outcome);

/* How a call ended. No pointers; may be copied freely. */
struct wbi_exit {
	enum wbi_outcome outcome;
	bool has_code;
	uint32_t code;                    /* EXITED; FAILED where has_code (126, 127) */
	char signal[WBI_SIGNAL_NAME_MAX]; /* SIGNALED: "KILL" */
	bool core;
	char error[WBI_ERROR_NAME_MAX]; /* REFUSED, FAILED: a stable name; LOST: lost, gone, unsent
					 */
	char text[WBI_ERROR_TEXT_MAX];  /* and a sentence; UTF-8 */
	bool has_usage;
	uint64_t user_ms, system_ms, memory_bytes;
};

/* What the client knows in the end. Success needs exit.outcome == EXITED and `complete`. */
struct wbi_result {
	struct wbi_exit exit;
	bool complete; /* each output stream ended with the right count and digest (where it has
			* one), or we reset it */
	char missing[WBI_MISSING_MAX]; /* where not complete: "stream 1: no eof" */
};

struct wbi_signal {
	uint64_t n;
	char name[WBI_SIGNAL_NAME_MAX];
};

/* What waits to be written: each at most once, whatever the peer floods. */
enum {
	WBI_DUE_OPEN = 1 << 0,
	WBI_DUE_OPENED = 1 << 1,
	WBI_DUE_HAVE = 1 << 2, /* server: signals have arrived */
	WBI_DUE_SIGNAL = 1 << 3,
	WBI_DUE_RESIZE = 1 << 4,
	WBI_DUE_CANCEL = 1 << 5,
	WBI_DUE_EXIT = 1 << 6,
	WBI_DUE_FORGET = 1 << 7,
	/* of a stream */
	WBI_DUE_CREDIT = 1 << 8,
	WBI_DUE_RESET = 1 << 9,
	WBI_DUE_EOF = 1 << 10,
};

/* Read-only for everybody outside src/session, but for `owner`. */
struct wbi_call {
	void *owner; /* the owner's own; the engine never looks */

	struct wbi_session *session;
	struct wbi_list node;         /* in session->calls, ids ascending */
	struct wbi_list control_node; /* in session->opens or session->control */
	struct wbi_list notice_node;  /* in session->notices while an event is owed to the owner */
	uint64_t id;
	enum wbi_call_state state;
	unsigned due;
	bool listed;    /* the peer named it since the connection began */
	bool announced; /* on this connection the peer knows it: its parcels may be written */
	char service[WBI_SERVICE_MAX];
	char key[WBI_KEY_MAX]; /* "" for none */

	uint8_t *parcel; /* client: `open`, until it is known to have arrived; server: `opened` */
	size_t parcel_bytes;

	struct wbi_signal signals[WBI_SIGNALS_MAX]; /* client: not yet known to have arrived */
	unsigned signal_count, signal_sent;         /* the first signal_sent were written */
	uint64_t signal_last; /* client: highest given; server: highest taken */
	uint16_t rows, cols;  /* 0: never set */
	bool cancelled;
	struct wbi_result result; /* server: only .exit, from ENDING on */

	unsigned stream_count;
	struct wbi_stream streams[];
};

/* Writes a service's own fields into a header. It must be able to do so with what `context` holds
 * now; it is called before the function that it was given to returns. */
typedef void wbi_put_fields_fn(struct wb_header_writer *writer, void *context);

struct wbi_open {
	const char *service;           /* 1 … WBI_SERVICE_MAX - 1 bytes */
	const char *key;               /* NULL: none */
	uint16_t up, down;             /* bit n: stream n, client to server; server to client */
	uint16_t undigested;           /* of these, those whose content has digests of its own: the
					* engine only counts their bytes */
	struct wbi_slice payload;      /* copied */
	wbi_put_fields_fn *put_fields; /* NULL: none; must not write `crit` */
	void *context;
	const char *const *crit; /* the fields that the server must understand; NULL-terminated;
				  * NULL: none */
};

/* Client: asks for a call; connected or not, `open` is written as soon as it can be.
 * Returns WB_OK and a call that is the engine's and stays valid until wbi_call_release or the
 * session's end; WB_ERR_ARGUMENT (names, streams); WB_ERR_LIMIT (calls, streams, payload, header);
 * WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_call_open(struct wbi_session *session, const struct wbi_open *open,
					 struct wbi_call **ret_call, struct wb_fault *fault);

/* Client: sends a signal ("INT"). Returns WB_OK; WB_ERR_LIMIT: WBI_SIGNALS_MAX are on their way,
 * try again when some have arrived; WB_ERR_ARGUMENT: not a name; WB_ERR_CLOSED: it has ended. */
WB_WARN_UNUSED enum wb_err wbi_call_signal(struct wbi_call *call, const char *name);

/* Client: the window's size, both > 0; only the last one counts. */
void wbi_call_resize(struct wbi_call *call, uint16_t rows, uint16_t cols);

/* Client: end it, kill what it runs. The result still comes. Safe to repeat. */
void wbi_call_cancel(struct wbi_call *call);

/* Client: the owner has everything it wants, or wants no more; the pointer is dead. The server may
 * drop all that it kept (and ends what still runs). */
void wbi_call_release(struct wbi_call *call);

/* Server: accepts an offered call. from: for each stream in the order of call->streams where a
 * sending one begins (NULL: all 0). Returns WB_OK, WB_ERR_LIMIT (fields too long), WB_ERR_NOMEM;
 * after a failure wbi_call_exit is still to be called. */
WB_WARN_UNUSED enum wb_err wbi_call_accept(struct wbi_call *call, const uint64_t *from,
					   wbi_put_fields_fn *put_fields, void *context,
					   struct wb_fault *fault);

/* Server: how it ended, once (later ones are ignored). Every sending stream is drained to its
 * source's end first; a stream that has no source by now is empty. What arrives from now on is
 * dropped. The call is the engine's until event forget. */
void wbi_call_exit(struct wbi_call *call, const struct wbi_exit *exit);

/* Server: another outcome in the place of the one that was given, because a stream will end before
 * its source does. Nothing happens where none was given, or `exit` was written on this connection;
 * it is not, before all streams have ended. */
void wbi_call_replace_exit(struct wbi_call *call, const struct wbi_exit *exit);

/* The call's stream, or NULL. */
struct wbi_stream *wbi_call_stream(struct wbi_call *call, unsigned number);

const char *wbi_call_state_name(enum wbi_call_state state);

#endif
