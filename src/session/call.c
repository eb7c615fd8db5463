/* Calls: what their owners on both sides do with them, and the states they go through. */
#include "session/call.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "session/engine.h"

static const char *const state_names[] = {
	[WBI_CALL_NEW] = "new",         [WBI_CALL_OPENING] = "opening",
	[WBI_CALL_RUNNING] = "running", [WBI_CALL_ENDING] = "ending",
	[WBI_CALL_ENDED] = "ended",     [WBI_CALL_RELEASED] = "released",
};

const char *wbi_call_state_name(enum wbi_call_state state)
{
	return state_names[state];
}

void wbi_call_set_state(struct wbi_call *call, enum wbi_call_state state)
{
	if (call->state == state)
		return;
	wbi_session_trace(call->session, "call", call->id, state_names[call->state],
			  state_names[state]);
	call->state = state;
}

static bool is_client(const struct wbi_call *call)
{
	return call->session->config.role == WBI_CLIENT;
}

bool wbi_call_hears(const struct wbi_call *call)
{
	return call->state < WBI_CALL_ENDING;
}

bool wbi_call_over(const struct wbi_call *call)
{
	return call->state >= WBI_CALL_ENDED;
}

static bool has_due(const struct wbi_call *call)
{
	if (call->due)
		return true;
	for (unsigned i = 0; i < call->stream_count; i++) {
		if (call->streams[i].due)
			return true;
	}
	return false;
}

void wbi_call_mark(struct wbi_call *call, unsigned due)
{
	call->due |= due;
	if (call->announced && wbi_list_empty(&call->control_node) && has_due(call))
		wbi_list_append(&call->session->control, &call->control_node);
}

void wbi_call_announce(struct wbi_call *call)
{
	wbi_list_remove(&call->control_node);
	call->announced = true;
	wbi_call_check_end(call);
	wbi_call_mark(call, 0);
	for (unsigned i = 0; i < call->stream_count; i++)
		wbi_stream_check_ready(&call->streams[i]);
}

void wbi_call_notice(struct wbi_call *call)
{
	wbi_list_remove(&call->notice_node);
	wbi_list_append(&call->session->notices, &call->notice_node);
}

void wbi_call_drop_parcel(struct wbi_call *call)
{
	if (call->session->carrier)
		wbi_output_unborrow_parcel(call->session->carrier, call);
	free(call->parcel);
	call->parcel = NULL;
	call->parcel_bytes = 0;
}

static unsigned count_bits(uint16_t mask)
{
	unsigned count = 0;

	for (; mask; mask &= (uint16_t)(mask - 1))
		count++;
	return count;
}

static void init_streams(struct wbi_call *call, const struct wbi_masks *masks)
{
	bool client = is_client(call);
	unsigned i = 0;

	for (unsigned n = 0; n <= WBI_STREAM_NUMBER_MAX; n++) {
		if (!((masks->up | masks->down) >> n & 1))
			continue;
		wbi_stream_init(&call->streams[i], call, n, (masks->up >> n & 1) == client);
		call->streams[i++].undigested = masks->undigested >> n & 1;
	}
}

enum wb_err wbi_call_new(struct wbi_session *session, uint64_t id, const struct wbi_masks *masks,
			 struct wbi_call **ret_call, struct wb_fault *fault)
{
	unsigned count = count_bits(masks->up) + count_bits(masks->down);
	struct wbi_call *call;

	if (masks->up & masks->down)
		return wb_fault_set(fault, WB_ERR_ARGUMENT, "down", 0,
				    "open: a stream goes one way only");
	if (masks->undigested & ~(masks->up | masks->down))
		return wb_fault_set(fault, WB_ERR_ARGUMENT, "undigested", 0,
				    "open: the call has no such stream");
	if (count > session->config.limits.streams)
		return wb_fault_set(fault, WB_ERR_LIMIT, "down", 0, "open: more than %u streams",
				    session->config.limits.streams);
	if (session->call_count >= session->config.limits.calls)
		return wb_fault_set(fault, WB_ERR_LIMIT, "id", 0, "open: more than %u calls",
				    session->config.limits.calls);
	call = calloc(1, sizeof(*call) + count * sizeof(call->streams[0]));
	if (!call)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "open: no memory");
	call->session = session;
	call->id = id;
	call->stream_count = count;
	wbi_list_init(&call->control_node);
	wbi_list_init(&call->notice_node);
	wbi_list_append(&session->calls, &call->node);
	session->call_count++;
	init_streams(call, masks);
	*ret_call = call;
	return WB_OK;
}

void wbi_call_free(struct wbi_call *call)
{
	struct wbi_session *session = call->session;

	if (session->last == call)
		session->last = NULL;
	if (session->carrier)
		wbi_carrier_forget_call(session->carrier, call);
	for (unsigned i = 0; i < call->stream_count; i++)
		wbi_stream_done(&call->streams[i]);
	wbi_list_remove(&call->node);
	wbi_list_remove(&call->control_node);
	wbi_list_remove(&call->notice_node);
	session->call_count--;
	free(call->parcel);
	free(call);
}

/* Its parcels stop at once; the owner may look at it until the engine is entered again. */
void wbi_call_bury(struct wbi_call *call)
{
	struct wbi_session *session = call->session;

	wbi_call_set_state(call, WBI_CALL_RELEASED);
	if (session->carrier)
		wbi_carrier_forget_call(session->carrier, call);
	for (unsigned i = 0; i < call->stream_count; i++) {
		struct wbi_stream *stream = &call->streams[i];

		if (stream->sends)
			wbi_stream_stop(stream);
		else
			wbi_stream_give_back(stream);
	}
	if (session->last == call)
		session->last = NULL;
	wbi_list_remove(&call->control_node);
	wbi_list_remove(&call->node);
	wbi_list_append(&session->graveyard, &call->node);
}

void wbi_call_rewind(struct wbi_call *call)
{
	bool client = is_client(call);

	wbi_list_remove(&call->control_node);
	call->announced = call->listed = false;
	call->signal_sent = 0;
	call->due = 0;
	if (client && call->signal_count)
		call->due |= WBI_DUE_SIGNAL;
	if (client && call->rows)
		call->due |= WBI_DUE_RESIZE;
	if (client && call->cancelled)
		call->due |= WBI_DUE_CANCEL;
	if (client && wbi_call_over(call))
		call->due = 0;
	if (!client && call->parcel)
		call->due |= WBI_DUE_OPENED;
	if (!client && call->signal_last)
		call->due |= WBI_DUE_HAVE;
	for (unsigned i = 0; i < call->stream_count; i++) {
		wbi_stream_rewind(&call->streams[i]);
		if (call->streams[i].sends)
			continue;
		if (!wbi_call_hears(call))
			call->streams[i].due = 0;
		/* Before `opened` nothing came, and where it will begin is not known. */
		if (client && call->state < WBI_CALL_RUNNING)
			call->streams[i].due &= ~(unsigned)WBI_DUE_CREDIT;
	}
	if (!client && call->state == WBI_CALL_ENDED)
		wbi_call_set_state(call, WBI_CALL_ENDING);
}

struct wbi_stream *wbi_call_stream(struct wbi_call *call, unsigned number)
{
	for (unsigned i = 0; i < call->stream_count; i++) {
		if (call->streams[i].number == number)
			return &call->streams[i];
	}
	return NULL;
}

static bool is_name(const char *name, size_t size)
{
	size_t bytes = strnlen(name, size);

	return bytes > 0 && bytes < size && wbi_utf8_prefix(name, bytes) == bytes;
}

static enum wb_err check_open(const struct wbi_session *session, const struct wbi_open *open,
			      struct wb_fault *fault)
{
	if (session->config.role != WBI_CLIENT)
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0, "open: not a client");
	if (!is_name(open->service, WBI_SERVICE_MAX))
		return wb_fault_set(fault, WB_ERR_ARGUMENT, "service", 0, "open: bad service name");
	if (open->key && !is_name(open->key, WBI_KEY_MAX))
		return wb_fault_set(fault, WB_ERR_ARGUMENT, "key", 0, "open: bad key");
	if (open->payload.bytes > session->peer_open_bytes)
		return wb_fault_set(fault, WB_ERR_LIMIT, "total_size", 0,
				    "open: %zu bytes of arguments, %u are allowed",
				    open->payload.bytes, session->peer_open_bytes);
	if (count_bits(open->up) + count_bits(open->down) > session->peer_streams)
		return wb_fault_set(fault, WB_ERR_LIMIT, "down", 0, "open: more than %u streams",
				    session->peer_streams);
	return WB_OK;
}

/* What `open` and `opened` promise: the least of what the receiving streams may take. */
static void promise_windows(struct wbi_call *call)
{
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < call->stream_count; i++) {
		if (!call->streams[i].sends && call->streams[i].window < least)
			least = call->streams[i].window;
	}
	for (unsigned i = 0; i < call->stream_count; i++) {
		struct wbi_stream *stream = &call->streams[i];

		if (!stream->sends && stream->limit < stream->from + least)
			stream->limit = stream->from + least;
	}
}

static enum wb_err keep_parcel(struct wbi_call *call, const uint8_t *head, size_t head_bytes,
			       struct wbi_slice payload, struct wb_fault *fault)
{
	call->parcel = malloc(head_bytes + payload.bytes);
	if (!call->parcel)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "open: no memory");
	memcpy(call->parcel, head, head_bytes);
	if (payload.bytes)
		memcpy(call->parcel + head_bytes, payload.data, payload.bytes);
	call->parcel_bytes = head_bytes + payload.bytes;
	return WB_OK;
}

enum wb_err wbi_call_open(struct wbi_session *session, const struct wbi_open *open,
			  struct wbi_call **ret_call, struct wb_fault *fault)
{
	const struct wbi_masks masks = {open->up, open->down, open->undigested};
	uint8_t head[WBI_PARCEL_HEAD_MAX];
	struct wbi_call *call;
	size_t head_bytes;
	enum wb_err err = check_open(session, open, fault);

	if (err)
		return err;
	err = wbi_call_new(session, session->highest_id + 1, &masks, &call, fault);
	if (err)
		return err;
	memcpy(call->service, open->service, strlen(open->service) + 1);
	if (open->key)
		memcpy(call->key, open->key, strlen(open->key) + 1);
	promise_windows(call);
	err = wbi_encode_open(call, open, head, &head_bytes, fault);
	if (!err)
		err = keep_parcel(call, head, head_bytes, open->payload, fault);
	if (err) {
		wbi_call_free(call);
		return err;
	}
	session->highest_id = call->id;
	if (session->carrier && session->carrier->state == WBI_CARRIER_LIVE)
		wbi_list_append(&session->opens, &call->control_node);
	*ret_call = call;
	return WB_OK;
}

enum wb_err wbi_call_signal(struct wbi_call *call, const char *name)
{
	struct wbi_signal *signal = &call->signals[call->signal_count];

	if (!is_client(call) || !is_name(name, WBI_SIGNAL_NAME_MAX))
		return WB_ERR_ARGUMENT;
	if (wbi_call_over(call))
		return WB_ERR_CLOSED;
	if (call->signal_count == WBI_SIGNALS_MAX)
		return WB_ERR_LIMIT;
	signal->n = ++call->signal_last;
	memcpy(signal->name, name, strlen(name) + 1);
	call->signal_count++;
	wbi_call_mark(call, WBI_DUE_SIGNAL);
	return WB_OK;
}

void wbi_call_resize(struct wbi_call *call, uint16_t rows, uint16_t cols)
{
	if (!is_client(call) || wbi_call_over(call) || !rows || !cols)
		return;
	call->rows = rows;
	call->cols = cols;
	wbi_call_mark(call, WBI_DUE_RESIZE);
}

void wbi_call_cancel(struct wbi_call *call)
{
	if (!is_client(call) || wbi_call_over(call) || call->cancelled)
		return;
	call->cancelled = true;
	wbi_call_mark(call, WBI_DUE_CANCEL);
}

/* What the server does not know it need not forget; without a connection, that the call is not
 * listed when it resumes says the same. While the two agree on what there is, nobody knows yet. */
static bool is_unknown_to_server(const struct wbi_call *call)
{
	const struct wbi_carrier *carrier = call->session->carrier;

	return !call->announced &&
	       (call->state == WBI_CALL_NEW || !carrier || carrier->state == WBI_CARRIER_LIVE);
}

void wbi_call_release(struct wbi_call *call)
{
	struct wbi_session *session = call->session;

	if (is_unknown_to_server(call)) {
		wbi_call_free(call);
		return;
	}
	wbi_call_set_state(call, WBI_CALL_RELEASED);
	for (unsigned i = 0; i < call->stream_count; i++) {
		call->streams[i].due = 0;
		if (call->streams[i].sends)
			wbi_stream_stop(&call->streams[i]);
		else
			wbi_stream_give_back(&call->streams[i]);
	}
	if (session->carrier)
		wbi_carrier_forget_call(session->carrier, call);
	wbi_list_remove(&call->notice_node);
	call->owner = NULL;
	call->due = 0;
	wbi_call_mark(call, WBI_DUE_FORGET);
}

enum wb_err wbi_call_accept(struct wbi_call *call, const uint64_t *from,
			    wbi_put_fields_fn *put_fields, void *context, struct wb_fault *fault)
{
	uint8_t head[WBI_PARCEL_HEAD_MAX];
	size_t head_bytes;
	enum wb_err err;

	if (is_client(call) || call->state != WBI_CALL_OPENING)
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0, "accept: not an offered call");
	for (unsigned i = 0; from && i < call->stream_count; i++) {
		if (call->streams[i].sends)
			wbi_stream_begin_at(&call->streams[i], from[i]);
	}
	promise_windows(call);
	err = wbi_encode_opened(call, put_fields, context, head, &head_bytes, fault);
	if (!err)
		err = keep_parcel(call, head, head_bytes, (struct wbi_slice){0}, fault);
	if (err)
		return err;
	wbi_call_set_state(call, WBI_CALL_RUNNING);
	wbi_call_mark(call, WBI_DUE_OPENED);
	return WB_OK;
}

/* Text of the owner's may be anything; what is not UTF-8 would make a header that cannot be. */
static void make_text(char *text, size_t size)
{
	text[wbi_utf8_prefix(text, strnlen(text, size - 1))] = '\0';
}

static void take_exit(struct wbi_call *call, const struct wbi_exit *exit)
{
	call->result.exit = *exit;
	make_text(call->result.exit.signal, sizeof(exit->signal));
	make_text(call->result.exit.error, sizeof(exit->error));
	make_text(call->result.exit.text, sizeof(exit->text));
}

void wbi_call_check_end(struct wbi_call *call)
{
	if (is_client(call) || call->state != WBI_CALL_ENDING)
		return;
	for (unsigned i = 0; call->parcel && i < call->stream_count; i++) {
		if (call->streams[i].sends && call->streams[i].state == WBI_STREAM_OPEN)
			return;
	}
	wbi_call_mark(call, WBI_DUE_EXIT);
}

void wbi_call_exit(struct wbi_call *call, const struct wbi_exit *exit)
{
	if (is_client(call) || call->state < WBI_CALL_OPENING || call->state >= WBI_CALL_ENDING)
		return;
	take_exit(call, exit);
	wbi_call_set_state(call, WBI_CALL_ENDING);
	for (unsigned i = 0; i < call->stream_count; i++) {
		struct wbi_stream *stream = &call->streams[i];

		if (!stream->sends) {
			stream->due = 0;
			wbi_stream_give_back(stream);
		} else {
			wbi_stream_wake(stream);
		}
	}
	wbi_call_check_end(call);
}

void wbi_call_replace_exit(struct wbi_call *call, const struct wbi_exit *exit)
{
	if (!is_client(call) && call->state == WBI_CALL_ENDING)
		take_exit(call, exit);
}
