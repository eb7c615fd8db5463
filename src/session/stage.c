/* Staging: which parcel is written next. Control goes before data; data goes round the streams. */
#include <string.h>

#include "session/engine.h"

/* A refusal for want of room is no error while there is something to write that will make room. */
static bool staged(struct wbi_carrier *carrier, enum wb_err err)
{
	if (!err)
		return true;
	if (err != WB_ERR_LIMIT || !carrier->output.head_bytes)
		wbi_carrier_end(carrier, "a parcel could not be written");
	return false;
}

static bool is_listed(const struct wbi_call *call)
{
	return call->state != WBI_CALL_NEW && call->state != WBI_CALL_RELEASED;
}

static bool tells_offset(const struct wbi_call *call, const struct wbi_stream *stream)
{
	bool client = call->session->config.role == WBI_CLIENT;

	return !stream->sends && stream->state != WBI_STREAM_RESET &&
	       !(client && call->state == WBI_CALL_OPENING);
}

/* The next `have`, or NULL when all are written. *ret_stream is NULL where it is for the call
 * itself. */
static const struct wbi_call *next_have(struct wbi_carrier *carrier,
					const struct wbi_stream **ret_stream)
{
	struct wbi_list *calls = &carrier->session->calls;

	for (struct wbi_list *node = calls->next; node != calls; node = node->next) {
		struct wbi_call *call = WBI_CALL_OF(node);

		if (call->id < carrier->have_id || !is_listed(call))
			continue;
		if (call->id > carrier->have_id) {
			carrier->have_id = call->id;
			carrier->have_stream = 0;
		}
		*ret_stream = NULL;
		if (!carrier->have_stream)
			return call;
		for (; carrier->have_stream <= call->stream_count; carrier->have_stream++) {
			*ret_stream = &call->streams[carrier->have_stream - 1];
			if (tells_offset(call, *ret_stream))
				return call;
		}
	}
	return NULL;
}

static bool stage_have(struct wbi_carrier *carrier)
{
	const struct wbi_stream *stream;
	const struct wbi_call *call = next_have(carrier, &stream);

	if (!call) {
		carrier->due &= ~(unsigned)WBI_DUE_HAVES;
		return wbi_stage_next(carrier);
	}
	if (!staged(carrier, wbi_encode_have(carrier, call, stream)))
		return false;
	carrier->have_stream++;
	return true;
}

/* The carrier's own parcels, in the order of their bits. */
static bool stage_own(struct wbi_carrier *carrier, unsigned due)
{
	unsigned lowest = due & (~due + 1);

	if (lowest == WBI_DUE_HAVES)
		return stage_have(carrier);
	if (!staged(carrier, wbi_encode_own(carrier, lowest)))
		return false;
	carrier->due &= ~lowest;
	if (lowest == WBI_DUE_UNSUPPORTED)
		carrier->unsupported[0] = '\0';
	carrier->quiet = lowest == WBI_DUE_SUSPEND;
	return true;
}

static bool stage_gone(struct wbi_carrier *carrier)
{
	struct wbi_session *session = carrier->session;

	if (!staged(carrier, wbi_encode_gone(carrier, session->gone[0])))
		return false;
	session->gone_count--;
	memmove(session->gone, session->gone + 1, session->gone_count * sizeof(session->gone[0]));
	return true;
}

/* The server keeps a call from `open` to `forget`, and says how many it keeps. */
static bool may_open(const struct wbi_session *session)
{
	uint32_t known = 0;

	for (const struct wbi_list *node = session->calls.next; node != &session->calls;
	     node = node->next)
		known += WBI_CALL_OF(node)->announced;
	return known < session->peer_calls;
}

static bool stage_open(struct wbi_carrier *carrier)
{
	struct wbi_session *session = carrier->session;
	struct wbi_call *call = WBI_CONTAINER(session->opens.next, struct wbi_call, control_node);

	wbi_output_add_parcel(&carrier->output, call);
	wbi_call_announce(call);
	return true;
}

static bool stage_stream(struct wbi_carrier *carrier, struct wbi_stream *stream)
{
	unsigned lowest = stream->due & (~stream->due + 1);

	if (lowest == WBI_DUE_EOF)
		wbi_stream_finish_digest(stream);
	if (!staged(carrier, wbi_encode_stream(carrier, stream, lowest)))
		return false;
	stream->due &= ~lowest;
	if (lowest == WBI_DUE_CREDIT)
		wbi_stream_credited(stream);
	if (lowest == WBI_DUE_EOF) {
		wbi_stream_end(stream);
		wbi_call_check_end(stream->call);
	}
	return true;
}

static struct wbi_stream *due_stream(struct wbi_call *call)
{
	for (unsigned i = 0; i < call->stream_count; i++) {
		if (call->streams[i].due)
			return &call->streams[i];
	}
	return NULL;
}

/* What has been written once is not due any more; some of it has consequences. */
static void call_staged(struct wbi_call *call, unsigned due)
{
	if (due == WBI_DUE_SIGNAL && ++call->signal_sent < call->signal_count)
		return;
	call->due &= ~due;
	switch (due) {
	case WBI_DUE_OPENED:
		for (unsigned i = 0; i < call->stream_count; i++)
			wbi_stream_wake(&call->streams[i]);
		break;
	case WBI_DUE_EXIT:
		wbi_call_set_state(call, WBI_CALL_ENDED);
		break;
	case WBI_DUE_FORGET:
		wbi_call_free(call);
		break;
	default:
		break;
	}
}

/* `exit` and `forget` are the last of a call, so its streams come before them. */
static bool stage_control(struct wbi_carrier *carrier)
{
	struct wbi_call *call =
		WBI_CONTAINER(carrier->session->control.next, struct wbi_call, control_node);
	unsigned first = call->due & (WBI_DUE_EXIT - 1);
	struct wbi_stream *stream = due_stream(call);
	unsigned due = first ? first : call->due;

	due &= ~due + 1;
	if (!first && stream)
		return stage_stream(carrier, stream);
	if (!due) {
		wbi_list_remove(&call->control_node);
		return wbi_stage_next(carrier);
	}
	if (due == WBI_DUE_OPENED) {
		wbi_output_add_parcel(&carrier->output, call);
	} else if (!staged(carrier, wbi_encode_call(carrier, call, due))) {
		return false;
	}
	call_staged(call, due);
	return true;
}

static size_t data_bytes(const struct wbi_stream *stream)
{
	uint64_t most = stream->call->session->chunk_bytes;

	if (most > stream->limit - stream->offset)
		most = stream->limit - stream->offset;
	if (most > stream->source->end - stream->offset)
		most = stream->source->end - stream->offset;
	return (size_t)most;
}

static bool stage_data(struct wbi_carrier *carrier)
{
	struct wbi_stream *stream =
		WBI_CONTAINER(carrier->session->ready.next, struct wbi_stream, ready_node);
	struct wbi_slice slice =
		stream->source->ops->peek(stream->source, stream->offset, data_bytes(stream));
	enum wb_err err = wbi_encode_data(carrier, stream, slice.bytes);

	if (!staged(carrier, err))
		return false;
	err = wbi_stream_digest(stream, stream->offset, slice, NULL);
	if (!staged(carrier, err))
		return false;
	wbi_output_add_data(&carrier->output, stream, stream->offset, slice.bytes);
	stream->offset += slice.bytes;
	wbi_stream_check_ready(stream);
	return true;
}

static bool stage_of_calls(struct wbi_carrier *carrier)
{
	struct wbi_session *session = carrier->session;

	if (session->gone_count)
		return stage_gone(carrier);
	if (!wbi_list_empty(&session->opens) && may_open(session))
		return stage_open(carrier);
	if (!wbi_list_empty(&session->control))
		return stage_control(carrier);
	if (carrier->due & WBI_DUE_SUSPEND)
		return stage_own(carrier, WBI_DUE_SUSPEND);
	if (!wbi_list_empty(&session->ready) && !(carrier->due & WBI_DUE_BYE))
		return stage_data(carrier);
	return false;
}

/* `bye` is the last parcel: it waits until all before it is written, and then leaves the session.
 */
static bool stage_bye(struct wbi_carrier *carrier)
{
	if (carrier->output.count)
		return false;
	wbi_carrier_begin_closing(carrier, "bye");
	carrier->due = 0;
	return staged(carrier, wbi_encode_own(carrier, WBI_DUE_BYE));
}

bool wbi_stage_next(struct wbi_carrier *carrier)
{
	const struct wbi_output *output = &carrier->output;
	unsigned own = carrier->due & (WBI_DUE_SUSPEND - 1);

	if (output->count > WBI_PARTS_MAX - 2 ||
	    output->staged_bytes >= carrier->limits.chunk_bytes)
		return false;
	if (carrier->state >= WBI_CARRIER_CLOSING)
		return carrier->due & WBI_DUE_ERROR && stage_own(carrier, WBI_DUE_ERROR);
	if (!carrier->session || carrier->quiet)
		return false;
	if (own)
		return stage_own(carrier, own);
	if (carrier->state == WBI_CARRIER_LIVE && stage_of_calls(carrier))
		return true;
	return carrier->due & WBI_DUE_BYE && carrier->session && stage_bye(carrier);
}

/* The client may wait for `opened` with what it has to send; and so may bytes, here. */
static bool opened_can_wait(const struct wbi_call *call)
{
	if (call->state != WBI_CALL_RUNNING)
		return false;
	for (unsigned i = 0; i < call->stream_count; i++) {
		const struct wbi_stream *stream = &call->streams[i];

		if (!stream->sends || (stream->source && stream->source->end > stream->offset))
			return false;
	}
	return true;
}

static bool call_can_wait(const struct wbi_call *call)
{
	if (call->due & ~(unsigned)(WBI_DUE_OPENED | WBI_DUE_FORGET) ||
	    (call->due & WBI_DUE_OPENED && !opened_can_wait(call)))
		return false;
	for (unsigned i = 0; i < call->stream_count; i++) {
		const struct wbi_stream *stream = &call->streams[i];

		if (stream->due &&
		    (stream->due != WBI_DUE_CREDIT || !wbi_stream_credit_can_wait(stream)))
			return false;
	}
	return true;
}

bool wbi_carrier_can_wait(const struct wbi_carrier *carrier)
{
	const struct wbi_session *session = carrier->session;
	const struct wbi_list *control = session ? &session->control : NULL;

	if (carrier->state != WBI_CARRIER_LIVE || !session || carrier->due ||
	    carrier->output.count || session->gone_count || !wbi_list_empty(&session->opens) ||
	    !wbi_list_empty(&session->ready) || wbi_list_empty(control))
		return false;
	for (const struct wbi_list *node = control->next; node != control; node = node->next) {
		if (!call_can_wait(WBI_CONTAINER(node, struct wbi_call, control_node)))
			return false;
	}
	return true;
}
