/* Carriers: one connection's bytes in, its clock, and how it ends. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "session/engine.h"

static const char *const state_names[] = {
	[WBI_CARRIER_FRESH] = "fresh",       [WBI_CARRIER_ASKING] = "asking",
	[WBI_CARRIER_GREETING] = "greeting", [WBI_CARRIER_SYNCING] = "syncing",
	[WBI_CARRIER_LIVE] = "live",         [WBI_CARRIER_CLOSING] = "closing",
	[WBI_CARRIER_CLOSED] = "closed",
};

static const char *const event_names[] = {
	[WBI_EVENT_NONE] = "none",       [WBI_EVENT_HELLO] = "hello",
	[WBI_EVENT_WELCOME] = "welcome", [WBI_EVENT_RESUMED] = "resumed",
	[WBI_EVENT_OPEN] = "open",       [WBI_EVENT_OPENED] = "opened",
	[WBI_EVENT_DATA] = "data",       [WBI_EVENT_EOF] = "eof",
	[WBI_EVENT_CREDIT] = "credit",   [WBI_EVENT_RESET] = "reset",
	[WBI_EVENT_SIGNAL] = "signal",   [WBI_EVENT_RESIZE] = "resize",
	[WBI_EVENT_CANCEL] = "cancel",   [WBI_EVENT_EXIT] = "exit",
	[WBI_EVENT_FORGET] = "forget",   [WBI_EVENT_SUSPEND] = "suspend",
	[WBI_EVENT_BYE] = "bye",         [WBI_EVENT_ERROR] = "error",
	[WBI_EVENT_CLOSED] = "closed",   [WBI_EVENT_EXPIRED] = "expired",
};

const char *wbi_event_name(enum wbi_event_kind kind)
{
	return event_names[kind];
}

void wbi_carrier_set_state(struct wbi_carrier *carrier, enum wbi_carrier_state state)
{
	if (carrier->trace && carrier->state != state)
		carrier->trace(carrier->trace_context, "carrier", 0, state_names[carrier->state],
			       state_names[state]);
	carrier->state = state;
	/* A peer that is known may send longer headers. */
	if (state == WBI_CARRIER_SYNCING || state == WBI_CARRIER_LIVE)
		carrier->reader.limits.header_bytes = WB_HEADER_BYTES_MAX;
}

enum wb_err wbi_carrier_new(const struct wbi_session_config *config, uint64_t now_ms,
			    struct wbi_carrier **ret_carrier)
{
	const struct wbi_session_limits *limits = &config->limits;
	struct wb_parcel_limits parcel = {
		.header_bytes = WB_PARCEL_HEADER_UNKNOWN_MAX,
		.payload_bytes = limits->chunk_bytes > limits->open_bytes ? limits->chunk_bytes
									  : limits->open_bytes,
	};
	struct wbi_carrier *carrier = calloc(1, sizeof(*carrier));

	if (!carrier)
		return WB_ERR_NOMEM;
	carrier->role = config->role;
	carrier->limits = *limits;
	carrier->trace = config->trace;
	carrier->trace_context = config->trace_context;
	wb_parcel_reader_init(&carrier->reader, &parcel);
	wbi_buf_init(&carrier->gathered, (size_t)WB_HEADER_BYTES_MAX + limits->open_bytes);
	carrier->now_ms = carrier->heard_ms = carrier->head_ms = now_ms;
	*ret_carrier = carrier;
	return WB_OK;
}

void wbi_carrier_free(struct wbi_carrier *carrier)
{
	if (!carrier)
		return;
	if (carrier->session)
		wbi_session_detach(carrier->session, carrier->now_ms);
	wbi_output_done(&carrier->output);
	wbi_buf_done(&carrier->gathered);
	free(carrier);
}

bool wbi_carrier_closed(const struct wbi_carrier *carrier)
{
	return carrier->state == WBI_CARRIER_CLOSED;
}

struct wbi_session *wbi_carrier_session(const struct wbi_carrier *carrier)
{
	return carrier->session;
}

void wbi_carrier_forget_call(struct wbi_carrier *carrier, const struct wbi_call *call)
{
	if (carrier->in_stream && carrier->in_stream->call == call)
		carrier->in_stream = NULL;
	wbi_output_unborrow_parcel(carrier, call);
	for (unsigned i = 0; i < call->stream_count; i++)
		wbi_output_unborrow_stream(carrier, &call->streams[i]);
}

static void leave_session(struct wbi_carrier *carrier, const char *reason)
{
	carrier->reason = reason;
	carrier->in_stream = NULL;
	carrier->op = NULL;
	wbi_buf_reset(&carrier->gathered);
	if (carrier->session)
		wbi_session_detach(carrier->session, carrier->now_ms);
}

void wbi_carrier_end(struct wbi_carrier *carrier, const char *reason)
{
	if (carrier->state == WBI_CARRIER_CLOSED)
		return;
	if (!carrier->reason)
		carrier->reason = reason;
	wbi_output_done(&carrier->output);
	leave_session(carrier, carrier->reason);
	carrier->due = 0;
	carrier->closed_owed = true;
	wbi_carrier_set_state(carrier, WBI_CARRIER_CLOSED);
}

void wbi_carrier_begin_closing(struct wbi_carrier *carrier, const char *reason)
{
	if (carrier->state >= WBI_CARRIER_CLOSING)
		return;
	/* First the output: what was begun is copied out of the session's sources. */
	wbi_output_truncate(carrier);
	leave_session(carrier, reason);
	carrier->closing_ms = carrier->now_ms;
	wbi_carrier_set_state(carrier, WBI_CARRIER_CLOSING);
}

static void copy_text(char *out, size_t size, const char *text)
{
	size_t bytes = strnlen(text, size - 1);

	bytes = wbi_utf8_prefix(text, bytes);
	memcpy(out, text, bytes);
	out[bytes] = '\0';
}

void wbi_carrier_report(struct wbi_carrier *carrier, const char *code, bool retry, const char *text,
			const char *field, uint64_t offset)
{
	struct wbi_problem *problem = &carrier->problem;

	if (carrier->state >= WBI_CARRIER_CLOSING)
		return;
	*problem = (struct wbi_problem){.offset = offset, .retry = retry, .ours = true};
	copy_text(problem->code, sizeof(problem->code), code);
	copy_text(problem->text, sizeof(problem->text), text);
	copy_text(problem->field, sizeof(problem->field), field ? field : "");
	carrier->problem_owed = true;
	wbi_carrier_begin_closing(carrier, "error");
	carrier->due = WBI_DUE_ERROR;
}

void wbi_carrier_refuse(struct wbi_carrier *carrier, const char *code, bool retry, const char *text)
{
	wbi_carrier_report(carrier, code, retry, text, NULL, 0);
}

static const char *code_of(enum wb_err err)
{
	switch (err) {
	case WB_ERR_LIMIT:
		return "limit";
	case WB_ERR_UNSUPPORTED:
		return "unsupported";
	case WB_ERR_REFUSED:
		return "refused";
	case WB_ERR_TIMEOUT:
		return "timeout";
	case WB_ERR_NOMEM:
	case WB_ERR_SYSTEM:
		return "internal";
	default:
		return "malformed";
	}
}

void wbi_carrier_fail(struct wbi_carrier *carrier, const struct wb_fault *fault)
{
	bool retry = fault->err == WB_ERR_NOMEM || fault->err == WB_ERR_SYSTEM ||
		     fault->err == WB_ERR_TIMEOUT;

	wbi_carrier_report(carrier, code_of(fault->err), retry, fault->text, fault->field,
			   carrier->read_bytes + fault->offset);
}

void wbi_carrier_lost(struct wbi_carrier *carrier, uint64_t now_ms)
{
	carrier->now_ms = now_ms;
	wbi_carrier_end(carrier, "the connection was lost");
}

/* What the owner is still to hear, in this order. */
static enum wbi_event_kind owed_event(struct wbi_carrier *carrier, struct wbi_event *event)
{
	if (carrier->problem_owed) {
		carrier->problem_owed = false;
		event->problem = &carrier->problem;
		return event->kind = WBI_EVENT_ERROR;
	}
	if (carrier->session && wbi_session_event(carrier->session, event))
		return event->kind;
	if (carrier->state == WBI_CARRIER_CLOSED && carrier->closed_owed) {
		carrier->closed_owed = false;
		event->text = carrier->reason;
		return event->kind = WBI_EVENT_CLOSED;
	}
	return WBI_EVENT_NONE;
}

static enum wb_err take_head(struct wbi_carrier *carrier, struct wbi_event *event,
			     struct wb_fault *fault)
{
	const struct wb_parcel *parcel = &carrier->reader.parcel;
	enum wb_err err;

	carrier->in_stream = NULL;
	if (carrier->session)
		carrier->session->suspended = false;
	err = wbi_op_find(carrier, &parcel->header, parcel->payload_bytes, &carrier->op, fault);
	if (err || !carrier->op)
		return err;
	return carrier->op->receive(carrier, &parcel->header, event, fault);
}

/* Asks how much arrives within a round trip, where a window might be too small for it. */
static void measure(struct wbi_carrier *carrier, struct wbi_stream *stream, size_t bytes)
{
	struct wbi_session *session = carrier->session;

	if (carrier->ping_out || carrier->measuring ||
	    !wbi_stream_wants_measure(stream, carrier->now_ms))
		return;
	for (struct wbi_list *node = session->calls.next; node != &session->calls;
	     node = node->next) {
		struct wbi_call *call = WBI_CALL_OF(node);

		for (unsigned i = 0; i < call->stream_count; i++)
			call->streams[i].mark = call->streams[i].offset;
	}
	/* What has just come in one piece came within less than a round trip. */
	stream->mark -= bytes;
	carrier->ping_n++;
	carrier->ping_out = carrier->measuring = true;
	carrier->measure_ms = carrier->now_ms;
	carrier->due |= WBI_DUE_PING;
}

/* A round trip is over: what came meanwhile says how large windows should be. One shorter than a
 * tick of the clock counts as a tick: on the same machine it is not the way that takes time, but
 * each process waiting for its turn. */
static void measured(struct wbi_carrier *carrier)
{
	for (struct wbi_list *node = carrier->session->calls.next; node != &carrier->session->calls;
	     node = node->next) {
		struct wbi_call *call = WBI_CALL_OF(node);

		for (unsigned i = 0; wbi_call_hears(call) && i < call->stream_count; i++) {
			if (!call->streams[i].sends)
				wbi_stream_grow(&call->streams[i], carrier->now_ms);
		}
	}
	carrier->measuring = carrier->answered = false;
}

static enum wb_err take_stream_data(struct wbi_carrier *carrier, struct wbi_slice data,
				    struct wbi_event *event, struct wb_fault *fault)
{
	struct wbi_stream *stream = carrier->in_stream;
	uint64_t at = carrier->in_offset, old = stream->offset > at ? stream->offset - at : 0;
	enum wb_err err;

	carrier->in_offset += data.bytes;
	/* The owner may have lost interest since the parcel's head was read. */
	if (old >= data.bytes || stream->state != WBI_STREAM_OPEN || !wbi_call_hears(stream->call))
		return WB_OK;
	data.data += old;
	data.bytes -= (size_t)old;
	err = wbi_stream_digest(stream, stream->offset, data, fault);
	if (err)
		return err;
	*event = (struct wbi_event){.kind = WBI_EVENT_DATA,
				    .session = carrier->session,
				    .call = stream->call,
				    .stream = stream,
				    .offset = stream->offset,
				    .data = data};
	stream->offset += data.bytes;
	measure(carrier, stream, data.bytes);
	return WB_OK;
}

static enum wb_err take_payload(struct wbi_carrier *carrier, struct wbi_slice data,
				struct wbi_event *event, struct wb_fault *fault)
{
	if (carrier->in_stream)
		return take_stream_data(carrier, data, event, fault);
	if (!wbi_buf_bytes(&carrier->gathered))
		return WB_OK;
	return wbi_buf_append(&carrier->gathered, data.data, data.bytes)
		       ? wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "open: no memory")
		       : WB_OK;
}

static enum wb_err take_end(struct wbi_carrier *carrier, struct wbi_event *event,
			    struct wb_fault *fault)
{
	if (!wbi_buf_bytes(&carrier->gathered))
		return WB_OK;
	return wbi_receive_open_end(carrier, NULL, event, fault);
}

/* One step of the reader. Returns false where there is nothing more to take now. */
static bool step(struct wbi_carrier *carrier, const uint8_t *input, size_t bytes, size_t *ret_took,
		 struct wbi_event *event)
{
	struct wb_fault fault;
	struct wbi_slice data;
	enum wb_err err = WB_OK;
	enum wb_parcel_event kind = wb_parcel_reader_next(&carrier->reader, input, bytes, ret_took,
							  &data.data, &data.bytes, &fault);

	switch (kind) {
	case WB_PARCEL_NEED:
		return false;
	case WB_PARCEL_HEAD:
		err = take_head(carrier, event, &fault);
		break;
	case WB_PARCEL_DATA:
		err = take_payload(carrier, data, event, &fault);
		break;
	case WB_PARCEL_END:
		err = take_end(carrier, event, &fault);
		break;
	case WB_PARCEL_BAD:
		err = fault.err;
		break;
	}
	if (err)
		wbi_carrier_fail(carrier, &fault);
	carrier->read_bytes += *ret_took;
	return true;
}

/* The memory of the last `open` is given back once its event is done with. */
static void enter(struct wbi_carrier *carrier, size_t bytes, uint64_t now_ms)
{
	carrier->now_ms = now_ms;
	if (bytes > carrier->left_bytes)
		carrier->heard_ms = now_ms;
	if (carrier->op && carrier->op->payload == WBI_PAYLOAD_OPEN &&
	    wb_parcel_reader_idle(&carrier->reader))
		wbi_buf_reset(&carrier->gathered);
	if (carrier->session)
		wbi_session_empty_graveyard(carrier->session);
	if (carrier->output.broken)
		wbi_carrier_end(carrier, "no memory");
}

static bool hears(const struct wbi_carrier *carrier)
{
	return carrier->state < WBI_CARRIER_CLOSING && carrier->state != WBI_CARRIER_ASKING;
}

/* A header that has begun must become whole; `hello` must from the beginning of the connection. */
static void watch_head(struct wbi_carrier *carrier, size_t consumed, enum wbi_event_kind event)
{
	bool begun = hears(carrier) && !event && carrier->left_bytes &&
		     wb_parcel_reader_idle(&carrier->reader);

	if (carrier->state == WBI_CARRIER_FRESH)
		return;
	if (!begun)
		carrier->head_ms = WBI_NEVER_MS;
	else if (consumed || carrier->head_ms == WBI_NEVER_MS)
		carrier->head_ms = carrier->now_ms;
}

enum wbi_event_kind wbi_carrier_read(struct wbi_carrier *carrier, const void *input, size_t bytes,
				     uint64_t now_ms, size_t *ret_consumed,
				     struct wbi_event *ret_event)
{
	const uint8_t *bytes_in = bytes ? input : (const uint8_t *)"";
	size_t consumed = 0, took;

	enter(carrier, bytes, now_ms);
	*ret_event = (struct wbi_event){.session = carrier->session};
	while (!owed_event(carrier, ret_event) && hears(carrier) &&
	       step(carrier, bytes_in + consumed, bytes - consumed, &took, ret_event)) {
		consumed += took;
		if (ret_event->kind)
			break;
	}
	if (carrier->answered && now_ms > carrier->measure_ms && carrier->session)
		measured(carrier);
	if (carrier->state >= WBI_CARRIER_CLOSING)
		consumed = bytes;
	carrier->left_bytes = bytes - consumed;
	watch_head(carrier, consumed, ret_event->kind);
	*ret_consumed = consumed;
	return ret_event->kind;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t after(uint64_t since_ms, uint64_t delay_ms)
{
	return since_ms == WBI_NEVER_MS ? WBI_NEVER_MS : since_ms + delay_ms;
}

uint64_t wbi_carrier_deadline(const struct wbi_carrier *carrier)
{
	const struct wbi_session_limits *limits = &carrier->limits;
	uint64_t head = after(carrier->head_ms, limits->header_ms);
	uint64_t dead = after(carrier->heard_ms, limits->dead_ms);

	switch (carrier->state) {
	case WBI_CARRIER_FRESH:
		return carrier->role == WBI_SERVER ? head : WBI_NEVER_MS;
	case WBI_CARRIER_ASKING:
	case WBI_CARRIER_CLOSED:
		return WBI_NEVER_MS;
	case WBI_CARRIER_GREETING:
		return earlier(head, dead);
	case WBI_CARRIER_SYNCING:
	case WBI_CARRIER_LIVE:
		if (!carrier->ping_out)
			dead = after(carrier->heard_ms, limits->ping_ms);
		return earlier(head, dead);
	case WBI_CARRIER_CLOSING:
		return after(carrier->closing_ms, limits->header_ms);
	}
	return WBI_NEVER_MS;
}

/* After long silence the peer is asked whether it lives, and what it consumed is told to it. */
static void ping(struct wbi_carrier *carrier)
{
	struct wbi_session *session = carrier->session;

	carrier->ping_n++;
	carrier->ping_out = true;
	carrier->due |= WBI_DUE_PING;
	for (struct wbi_list *node = session->calls.next; node != &session->calls;
	     node = node->next) {
		struct wbi_call *call = WBI_CALL_OF(node);

		for (unsigned i = 0; wbi_call_hears(call) && i < call->stream_count; i++) {
			struct wbi_stream *stream = &call->streams[i];

			if (!stream->sends && stream->state == WBI_STREAM_OPEN &&
			    stream->told != stream->acknowledged)
				stream->due |= WBI_DUE_CREDIT;
		}
		wbi_call_mark(call, 0);
	}
	if (!carrier->output.count)
		wbi_output_done(&carrier->output);
}

void wbi_carrier_tick(struct wbi_carrier *carrier, uint64_t now_ms)
{
	struct wb_fault fault;

	carrier->now_ms = now_ms;
	if (wbi_carrier_deadline(carrier) > now_ms)
		return;
	if (carrier->state == WBI_CARRIER_CLOSING) {
		wbi_carrier_end(carrier, "closed");
	} else if (after(carrier->head_ms, carrier->limits.header_ms) <= now_ms) {
		wb_fault_set(&fault, WB_ERR_TIMEOUT, NULL, carrier->left_bytes,
			     "parcel: its header did not arrive in time");
		wbi_carrier_fail(carrier, &fault);
	} else if (after(carrier->heard_ms, carrier->limits.dead_ms) <= now_ms) {
		wbi_carrier_end(carrier, "the peer is silent");
	} else {
		ping(carrier);
	}
}
