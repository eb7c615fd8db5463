/* What the engine's files tell each other. Nobody else includes this. */
#ifndef WBI_SESSION_ENGINE_H
#define WBI_SESSION_ENGINE_H

#include "base/buf.h"
#include "session/session.h"
#include "waybill/parcel.h"

enum wbi_carrier_state {
	WBI_CARRIER_FRESH,    /* server: nothing but `hello` is heard; client: not attached yet */
	WBI_CARRIER_ASKING,   /* server: the owner is to attach or refuse; nothing is read */
	WBI_CARRIER_GREETING, /* client: `hello` is on its way, nothing but `welcome` is heard */
	WBI_CARRIER_SYNCING,  /* each side says what it has */
	WBI_CARRIER_LIVE,
	WBI_CARRIER_CLOSING, /* the last parcel is being written; nothing is read */
	WBI_CARRIER_CLOSED,
};

/* Of the carrier itself; written in this order. */
enum {
	WBI_DUE_ERROR = 1 << 0,
	WBI_DUE_HELLO = 1 << 1,
	WBI_DUE_WELCOME = 1 << 2,
	WBI_DUE_PONG = 1 << 3,
	WBI_DUE_PING = 1 << 4,
	WBI_DUE_HAVES = 1 << 5,
	WBI_DUE_SYNCED = 1 << 6,
	WBI_DUE_UNSUPPORTED = 1 << 7,
	WBI_DUE_SUSPEND = 1 << 8,
	WBI_DUE_BYE = 1 << 9,
};

enum {
	WBI_PARTS_MAX = 32,
	WBI_HEADS_BYTES = 8192, /* staged heads; each but `open` and `opened` fits in half of it */
	WBI_HEAD_ROOM_MIN = 4096,
	WBI_PARCEL_HEAD_MAX = WB_LENGTH_BYTES + WB_HEADER_BYTES_MAX,
	WBI_CREDIT_BYTES = 131072, /* a credit that says so much is not too small for any window */
	WBI_MEASURE_PAUSE_MS = 1000, /* after a measurement that changed nothing */
};

/* A piece of what is to be written; a parcel is a head and perhaps a payload behind it. Its bytes
 * lie in `copy`, or else in call->parcel, or else in the stream's source, or else in output.heads.
 */
struct wbi_part {
	bool head;             /* a parcel begins here */
	bool started;          /* a byte of it was written */
	struct wbi_call *call; /* its `open` or `opened` */
	struct wbi_stream *stream;
	uint8_t *copy;
	uint64_t at;  /* offset of the next byte in whatever holds it */
	size_t bytes; /* still to be written */
};

struct wbi_output {
	uint8_t *heads; /* WBI_HEADS_BYTES; NULL while nothing was ever due, or for long */
	size_t head_bytes;
	struct wbi_part parts[WBI_PARTS_MAX];
	unsigned first, count;
	size_t staged_bytes;
	bool broken; /* no memory to keep what was begun: the connection cannot go on */
};

struct wbi_op;

struct wbi_carrier {
	enum wbi_role role;
	enum wbi_carrier_state state;
	struct wbi_session_limits limits;
	wbi_trace_fn *trace;
	void *trace_context;
	struct wbi_session *session;

	/* reading */
	struct wb_parcel_reader reader;
	const struct wbi_op *op;      /* of the parcel whose payload is due; NULL: skip it */
	struct wbi_stream *in_stream; /* `data`: where it goes; NULL: nowhere */
	uint64_t in_offset;           /* of its next byte */
	struct wbi_buf gathered;      /* `open`: header, then payload */
	size_t gathered_header_bytes;
	struct wb_header gathered_header;
	uint64_t read_bytes; /* consumed since the beginning */
	size_t left_bytes;   /* held by the caller after the last read */

	/* what is due */
	unsigned due;
	uint64_t pong_n;
	uint64_t ping_n;
	bool ping_out;  /* not answered yet */
	bool measuring; /* by that ping */
	bool answered;  /* measuring: the round trip is over, but it took less than a tick so far */
	uint64_t measure_ms; /* measuring: since when */
	bool quiet;          /* `suspend` was written */
	char unsupported[WBI_CODE_MAX];
	uint64_t have_id;     /* the haves before this call and stream were written */
	unsigned have_stream; /* 0: the call itself; else index + 1 */

	/* time */
	uint64_t now_ms;
	uint64_t heard_ms;
	uint64_t head_ms;    /* since when a head is incomplete; WBI_NEVER_MS: none is */
	uint64_t closing_ms; /* since when closing */

	/* how it ends */
	struct wbi_hello hello;
	struct wbi_problem problem;
	bool problem_owed, bye_owed, closed_owed;
	const char *reason; /* static text */

	struct wbi_output output;
};

/* carrier.c */
void wbi_carrier_set_state(struct wbi_carrier *carrier, enum wbi_carrier_state state);
/* The connection ends with an `error`: `fault` says why. Detaches the session. */
void wbi_carrier_fail(struct wbi_carrier *carrier, const struct wb_fault *fault);
void wbi_carrier_report(struct wbi_carrier *carrier, const char *code, bool retry, const char *text,
			const char *field, uint64_t offset);
/* Nothing more is read or written. */
void wbi_carrier_end(struct wbi_carrier *carrier, const char *reason);
void wbi_carrier_begin_closing(struct wbi_carrier *carrier, const char *reason);
void wbi_carrier_forget_call(struct wbi_carrier *carrier, const struct wbi_call *call);

/* output.c */
void wbi_output_done(struct wbi_output *output);
/* Drops what was not begun; what was is copied, so that nothing is borrowed any more. */
void wbi_output_truncate(struct wbi_carrier *carrier);
/* Copies what is staged of a parcel, or of a source, that is about to go. */
void wbi_output_unborrow_parcel(struct wbi_carrier *carrier, const struct wbi_call *call);
void wbi_output_unborrow_stream(struct wbi_carrier *carrier, const struct wbi_stream *stream);
/* All of the stream below this was written; what is staged beyond it still borrows from its source.
 */
uint64_t wbi_output_written(const struct wbi_carrier *carrier, const struct wbi_stream *stream);
/* Room for one more head, WBI_HEAD_ROOM_MIN bytes or more. WB_ERR_LIMIT: not before some were
 * written. */
WB_WARN_UNUSED enum wb_err wbi_output_head_room(struct wbi_output *output, uint8_t **ret_room,
						size_t *ret_bytes);
void wbi_output_add_head(struct wbi_output *output, size_t bytes);
void wbi_output_add_parcel(struct wbi_output *output, struct wbi_call *call);
void wbi_output_add_data(struct wbi_output *output, struct wbi_stream *stream, uint64_t offset,
			 size_t bytes);

/* stage.c: puts the next parcel into the output. False: nothing to write now, or no room. */
bool wbi_stage_next(struct wbi_carrier *carrier);

/* encode.c: one parcel each into the output. WB_ERR_LIMIT: no room now, nothing has changed. */
WB_WARN_UNUSED enum wb_err wbi_encode_own(struct wbi_carrier *carrier, unsigned due);
WB_WARN_UNUSED enum wb_err wbi_encode_have(struct wbi_carrier *carrier, const struct wbi_call *call,
					   const struct wbi_stream *stream);
WB_WARN_UNUSED enum wb_err wbi_encode_call(struct wbi_carrier *carrier, const struct wbi_call *call,
					   unsigned due);
WB_WARN_UNUSED enum wb_err wbi_encode_stream(struct wbi_carrier *carrier,
					     const struct wbi_stream *stream, unsigned due);
WB_WARN_UNUSED enum wb_err wbi_encode_data(struct wbi_carrier *carrier,
					   const struct wbi_stream *stream, size_t bytes);
WB_WARN_UNUSED enum wb_err wbi_encode_gone(struct wbi_carrier *carrier, uint64_t id);
/* The head of `open` and `opened`, whole, into `out` of WBI_PARCEL_HEAD_MAX bytes. */
WB_WARN_UNUSED enum wb_err wbi_encode_open(const struct wbi_call *call, const struct wbi_open *open,
					   uint8_t *out, size_t *ret_bytes, struct wb_fault *fault);
WB_WARN_UNUSED enum wb_err wbi_encode_opened(const struct wbi_call *call,
					     wbi_put_fields_fn *put_fields, void *context,
					     uint8_t *out, size_t *ret_bytes,
					     struct wb_fault *fault);

/* receive.c, receive_call.c: what a parcel does. *event stays NONE unless the owner is to hear. */
typedef enum wb_err wbi_receive_fn(struct wbi_carrier *carrier, const struct wb_header *header,
				   struct wbi_event *event, struct wb_fault *fault);
wbi_receive_fn wbi_receive_hello, wbi_receive_welcome, wbi_receive_have, wbi_receive_synced;
wbi_receive_fn wbi_receive_ping, wbi_receive_pong, wbi_receive_bye, wbi_receive_error;
wbi_receive_fn wbi_receive_suspend, wbi_receive_ignored;
wbi_receive_fn wbi_receive_open, wbi_receive_opened, wbi_receive_exit, wbi_receive_gone;
wbi_receive_fn wbi_receive_signal, wbi_receive_resize, wbi_receive_cancel, wbi_receive_forget;
wbi_receive_fn wbi_receive_data, wbi_receive_eof, wbi_receive_credit, wbi_receive_reset;
/* The whole `open` has been gathered. */
wbi_receive_fn wbi_receive_open_end;
/* Reads `exit` into *exit, and what it says of the streams into the call's result. */
WB_WARN_UNUSED enum wb_err wbi_result_read(struct wbi_call *call, const struct wb_header *header,
					   struct wb_fault *fault);
void wbi_result_lost(struct wbi_call *call, const char *error, const char *text);

/* ops.c: the table of parcels. */
enum wbi_payload { WBI_PAYLOAD_NONE, WBI_PAYLOAD_CHUNK, WBI_PAYLOAD_OPEN };
struct wbi_op {
	const char *name;
	unsigned senders; /* bits 1 << enum wbi_role */
	unsigned states;  /* of the receiving carrier: bits 1 << enum wbi_carrier_state */
	enum wbi_payload payload;
	wbi_receive_fn *receive;
	const char *const *fields; /* for `crit` */
};
/* The op of a head that has arrived, checked against state, role, payload limits and crit. *ret_op
 * is NULL for an unknown one that is to be skipped; its name goes to carrier->unsupported. */
WB_WARN_UNUSED enum wb_err wbi_op_find(struct wbi_carrier *carrier, const struct wb_header *header,
				       uint64_t payload_bytes, const struct wbi_op **ret_op,
				       struct wb_fault *fault);

/* call.c */
/* Numbers of streams as bits; as in struct wbi_open. */
struct wbi_masks {
	uint16_t up, down, undigested;
};
WB_WARN_UNUSED enum wb_err wbi_call_new(struct wbi_session *session, uint64_t id,
					const struct wbi_masks *masks, struct wbi_call **ret_call,
					struct wb_fault *fault);
void wbi_call_free(struct wbi_call *call);
void wbi_call_set_state(struct wbi_call *call, enum wbi_call_state state);
/* It still hears what the peer sends; no longer, once the outcome stands. */
bool wbi_call_hears(const struct wbi_call *call);
/* Nothing more is said: the outcome was told, or nobody wants it. */
bool wbi_call_over(const struct wbi_call *call);
void wbi_call_mark(struct wbi_call *call, unsigned due);
void wbi_call_announce(struct wbi_call *call); /* the peer knows it: what is due may be written */
void wbi_call_rewind(struct wbi_call *call);   /* the connection is gone */
void wbi_call_drop_parcel(struct wbi_call *call);
void wbi_call_notice(struct wbi_call *call);    /* the owner is to be told */
void wbi_call_check_end(struct wbi_call *call); /* server: all streams said: `exit` is due */
void wbi_call_bury(struct wbi_call *call);      /* server: RELEASED; freed at the next entry */

/* stream.c */
void wbi_stream_init(struct wbi_stream *stream, struct wbi_call *call, unsigned number, bool sends);
void wbi_stream_done(struct wbi_stream *stream);
void wbi_stream_begin_at(struct wbi_stream *stream, uint64_t from);
void wbi_stream_rewind(struct wbi_stream *stream);
void wbi_stream_check_ready(struct wbi_stream *stream); /* puts it among the ready, or marks eof */
void wbi_stream_stop(struct wbi_stream *stream);        /* sending: reset, or the call is over */
void wbi_stream_end(struct wbi_stream *stream);         /* receiving: eof has come */
WB_WARN_UNUSED enum wb_err wbi_stream_digest(struct wbi_stream *stream, uint64_t offset,
					     struct wbi_slice data, struct wb_fault *fault);
void wbi_stream_finish_digest(struct wbi_stream *stream);
void wbi_stream_acknowledge(struct wbi_stream *stream, uint64_t offset);
uint64_t wbi_stream_target(const struct wbi_stream *stream); /* what a credit now would say */
void wbi_stream_credited(struct wbi_stream *stream);         /* it was written */
/* One that is due: whether the sender can go on for a good while without it. */
bool wbi_stream_credit_can_wait(const struct wbi_stream *stream);
void wbi_stream_give_back(struct wbi_stream *stream);
bool wbi_stream_wants_measure(const struct wbi_stream *stream, uint64_t now_ms);
void wbi_stream_grow(struct wbi_stream *stream, uint64_t now_ms); /* after a measurement */

/* session.c */
struct wbi_call *wbi_session_find(struct wbi_session *session, uint64_t id);
void wbi_session_detach(struct wbi_session *session, uint64_t now_ms);
void wbi_session_go_live(struct wbi_session *session);
void wbi_session_lose(struct wbi_session *session, const char *text);
void wbi_session_empty_graveyard(struct wbi_session *session);
void wbi_session_trace(const struct wbi_session *session, const char *machine, uint64_t number,
		       const char *from, const char *to);

/* The node's container, for walking the lists. */
#define WBI_CALL_OF(list_node) WBI_CONTAINER((list_node), struct wbi_call, node)

#endif
