/* What arrives about calls. Parcels of a call that this side has dropped are passed over: they were
 * on their way when it was. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "session/engine.h"

/* The call that a parcel names; NULL where it is one that is gone, or that hears nothing any more.
 */
static enum wb_err get_call(struct wbi_carrier *carrier, const struct wb_header *header,
			    struct wbi_call **ret_call, struct wb_fault *fault)
{
	struct wbi_session *session = carrier->session;
	struct wbi_call *call;
	uint64_t id;
	enum wb_err err = wb_header_get_integer(header, "id", &id, fault);

	if (err)
		return err;
	call = wbi_session_find(session, id);
	if (!id || id > session->highest_id || (call && call->state == WBI_CALL_NEW))
		return wb_fault_set(fault, WB_ERR_MALFORMED, "id", 0, "id: no such call yet");
	*ret_call = call;
	return WB_OK;
}

/* The stream that a parcel names; NULL as above. sends: which way it must go. */
static enum wb_err get_stream(struct wbi_carrier *carrier, const struct wb_header *header,
			      bool sends, struct wbi_stream **ret_stream, struct wb_fault *fault)
{
	struct wbi_call *call;
	struct wbi_stream *stream;
	uint64_t number;
	enum wb_err err = get_call(carrier, header, &call, fault);

	if (!err)
		err = wb_header_get_integer(header, "stream", &number, fault);
	if (err)
		return err;
	*ret_stream = NULL;
	if (!call)
		return WB_OK;
	stream = number <= WBI_STREAM_NUMBER_MAX ? wbi_call_stream(call, (unsigned)number) : NULL;
	if (!stream || stream->sends != sends)
		return wb_fault_set(fault, WB_ERR_MALFORMED, "stream", 0,
				    "stream: the call has none like that");
	*ret_stream = stream;
	return WB_OK;
}

static void tell(struct wbi_event *event, enum wbi_event_kind kind, struct wbi_stream *stream)
{
	event->kind = kind;
	event->stream = stream;
	event->call = stream->call;
}

/* Whether a receiving stream takes what comes. The client hears nothing of a call before `opened`.
 */
static enum wb_err check_hears(const struct wbi_stream *stream, bool *ret_hears,
			       struct wb_fault *fault)
{
	const struct wbi_call *call = stream->call;

	if (call->session->config.role == WBI_CLIENT && call->state == WBI_CALL_OPENING)
		return wb_fault_set(fault, WB_ERR_MALFORMED, "id", 0, "id: not opened yet");
	*ret_hears = wbi_call_hears(call) && stream->state != WBI_STREAM_RESET;
	return WB_OK;
}

enum wb_err wbi_receive_data(struct wbi_carrier *carrier, const struct wb_header *header,
			     struct wbi_event *event, struct wb_fault *fault)
{
	uint64_t bytes = carrier->reader.parcel.payload_bytes, offset;
	struct wbi_stream *stream;
	bool hears, full = false;
	enum wb_err err = get_stream(carrier, header, false, &stream, fault);

	(void)event;
	if (!err)
		err = wb_header_get_integer(header, "offset", &offset, fault);
	if (err || !stream)
		return err;
	err = check_hears(stream, &hears, fault);
	if (err || !hears)
		return err;
	if (offset > stream->offset)
		return wb_fault_set(fault, WB_ERR_MALFORMED, "offset", 0, "data: a gap before it");
	if (offset + bytes > stream->limit)
		return wb_fault_set(fault, WB_ERR_LIMIT, "offset", 0, "data: beyond its credit");
	if (stream->state == WBI_STREAM_ENDED && offset + bytes > stream->offset)
		return wb_fault_set(fault, WB_ERR_MALFORMED, "offset", 0, "data: behind its eof");
	if (wb_header_find(header, "full"))
		err = wb_header_get_bool(header, "full", &full, fault);
	if (err)
		return err;
	stream->pressed = full;
	carrier->in_stream = stream;
	carrier->in_offset = offset;
	return WB_OK;
}

static enum wb_err check_digest(struct wbi_stream *stream, const struct wb_header *header,
				struct wb_fault *fault)
{
	char digest[WB_DIGEST_HEX_MAX] = "";
	enum wb_err err = WB_OK;

	wbi_stream_finish_digest(stream);
	/* Of no bytes there is no digest. */
	if (stream->offset > stream->from && !stream->undigested)
		err = wb_header_get_text(header, "digest", digest, sizeof(digest), NULL, fault);
	stream->intact = !strcmp(digest, stream->digest_hex);
	return err;
}

enum wb_err wbi_receive_eof(struct wbi_carrier *carrier, const struct wb_header *header,
			    struct wbi_event *event, struct wb_fault *fault)
{
	struct wbi_stream *stream;
	uint64_t from, offset;
	bool hears;
	enum wb_err err = get_stream(carrier, header, false, &stream, fault);

	if (!err)
		err = wb_header_get_integer(header, "from", &from, fault);
	if (!err)
		err = wb_header_get_integer(header, "offset", &offset, fault);
	if (err || !stream)
		return err;
	err = check_hears(stream, &hears, fault);
	if (err || !hears)
		return err;
	if (from != stream->from || offset != stream->offset)
		return wb_fault_set(fault, WB_ERR_MALFORMED, "offset", 0,
				    "eof: not where the stream began and got to");
	if (stream->state == WBI_STREAM_ENDED)
		return WB_OK;
	if (wb_header_find(header, "held_open"))
		err = wb_header_get_bool(header, "held_open", &stream->held_open, fault);
	if (!err)
		err = check_digest(stream, header, fault);
	if (err)
		return err;
	wbi_stream_end(stream);
	tell(event, WBI_EVENT_EOF, stream);
	return WB_OK;
}

enum wb_err wbi_receive_credit(struct wbi_carrier *carrier, const struct wb_header *header,
			       struct wbi_event *event, struct wb_fault *fault)
{
	struct wbi_stream *stream;
	uint64_t offset, limit;
	enum wb_err err = get_stream(carrier, header, true, &stream, fault);

	if (!err)
		err = wb_header_get_integer(header, "offset", &offset, fault);
	if (!err)
		err = wb_header_get_integer(header, "limit", &limit, fault);
	if (err || !stream || stream->state == WBI_STREAM_RESET)
		return err;
	if (offset < stream->acknowledged || offset > wbi_output_written(carrier, stream) ||
	    limit < offset)
		return wb_fault_set(fault, WB_ERR_MALFORMED, "offset", 0,
				    "credit: less than before, or more than was sent");
	if (limit > stream->limit)
		stream->limit = limit;
	if (offset > stream->acknowledged) {
		wbi_stream_acknowledge(stream, offset);
		tell(event, WBI_EVENT_CREDIT, stream);
	}
	wbi_stream_wake(stream);
	return WB_OK;
}

enum wb_err wbi_receive_reset(struct wbi_carrier *carrier, const struct wb_header *header,
			      struct wbi_event *event, struct wb_fault *fault)
{
	struct wbi_stream *stream;
	enum wb_err err = get_stream(carrier, header, true, &stream, fault);

	if (err || !stream || stream->state == WBI_STREAM_RESET)
		return err;
	wbi_stream_stop(stream);
	wbi_call_check_end(stream->call);
	if (!wbi_call_over(stream->call))
		tell(event, WBI_EVENT_RESET, stream);
	return WB_OK;
}

/* Numbers of streams as bits. Absent is none. */
static enum wb_err get_streams(const struct wb_header *header, const char *name, uint16_t *ret_mask,
			       struct wb_fault *fault)
{
	const struct wb_json_value *array = wb_header_find(header, name);
	struct wb_json_value value;
	uint16_t mask = 0;
	uint32_t cursor = 0;

	if (array && array->type != WB_JSON_ARRAY)
		return wb_fault_set(fault, WB_ERR_MALFORMED, name, 0, "%s: not an array", name);
	while (array && wb_json_next(header, array, &cursor, NULL, &value)) {
		uint64_t number;
		enum wb_err err = wb_json_integer(header, &value, &number, fault);

		if (err)
			return err;
		if (number > WBI_STREAM_NUMBER_MAX || mask >> number & 1)
			return wb_fault_set(fault, WB_ERR_RANGE, name, 0,
					    "%s: not a stream's number, or twice the same", name);
		mask |= (uint16_t)(1u << number);
	}
	*ret_mask = mask;
	return WB_OK;
}

/* The id's `open` can't be served; the answer waits its turn. A peer that asks more often than it
 * may have calls is not waiting for answers. */
static enum wb_err answer_gone(struct wbi_session *session, uint64_t id, struct wb_fault *fault)
{
	uint32_t room = session->config.limits.calls;

	for (uint32_t i = 0; i < session->gone_count; i++) {
		if (session->gone[i] == id)
			return WB_OK;
	}
	if (!session->gone)
		session->gone = calloc(room, sizeof(session->gone[0]));
	if (!session->gone)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "open: no memory");
	if (session->gone_count == room)
		return wb_fault_set(fault, WB_ERR_LIMIT, "id", 0, "open: too many that are gone");
	session->gone[session->gone_count++] = id;
	return WB_OK;
}

/* The head of `open`. Nothing counts before its payload is whole: an `open` that is cut leaves no
 * trace. */
enum wb_err wbi_receive_open(struct wbi_carrier *carrier, const struct wb_header *header,
			     struct wbi_event *event, struct wb_fault *fault)
{
	struct wbi_session *session = carrier->session;
	uint64_t id;
	enum wb_err err = wb_header_get_integer(header, "id", &id, fault);

	(void)event;
	if (err)
		return err;
	if (id <= session->highest_id)
		return wbi_session_find(session, id) ? WB_OK : answer_gone(session, id, fault);
	if (wbi_buf_append(&carrier->gathered, header->text, header->text_bytes))
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "open: no memory");
	carrier->gathered_header_bytes = header->text_bytes;
	return WB_OK;
}

static enum wb_err make_call(struct wbi_session *session, const struct wb_header *header,
			     struct wbi_call **ret_call, struct wb_fault *fault)
{
	char service[WBI_SERVICE_MAX], key[WBI_KEY_MAX] = "";
	uint64_t id, window = 0;
	struct wbi_masks masks;
	enum wb_err err = wb_header_get_integer(header, "id", &id, fault);

	if (!err)
		err = wb_header_get_text(header, "service", service, sizeof(service), NULL, fault);
	if (!err && wb_header_find(header, "key"))
		err = wb_header_get_text(header, "key", key, sizeof(key), NULL, fault);
	if (!err)
		err = get_streams(header, "up", &masks.up, fault);
	if (!err)
		err = get_streams(header, "down", &masks.down, fault);
	if (!err)
		err = get_streams(header, "undigested", &masks.undigested, fault);
	if (!err && wb_header_find(header, "window"))
		err = wb_header_get_integer(header, "window", &window, fault);
	if (!err)
		err = wbi_call_new(session, id, &masks, ret_call, fault);
	if (err)
		return err;
	memcpy((*ret_call)->service, service, sizeof(service));
	memcpy((*ret_call)->key, key, sizeof(key));
	for (unsigned i = 0; i < (*ret_call)->stream_count; i++) {
		struct wbi_stream *stream = &(*ret_call)->streams[i];

		if (stream->sends && window > stream->limit)
			stream->limit = window;
	}
	session->highest_id = id;
	return WB_OK;
}

enum wb_err wbi_receive_open_end(struct wbi_carrier *carrier, const struct wb_header *header,
				 struct wbi_event *event, struct wb_fault *fault)
{
	struct wbi_slice all = wbi_buf_peek(&carrier->gathered);
	size_t header_bytes = carrier->gathered_header_bytes;
	struct wbi_call *call;
	enum wb_err err = wb_header_parse(&carrier->gathered_header, all.data, header_bytes, fault);

	(void)header;
	if (!err)
		err = make_call(carrier->session, &carrier->gathered_header, &call, fault);
	if (err)
		return err;
	wbi_call_set_state(call, WBI_CALL_OPENING);
	wbi_call_announce(call);
	*event = (struct wbi_event){.kind = WBI_EVENT_OPEN,
				    .session = carrier->session,
				    .call = call,
				    .header = &carrier->gathered_header,
				    .data = {all.data + header_bytes, all.bytes - header_bytes}};
	return WB_OK;
}

/* Where the server's streams begin: an object of numbers by stream. Absent is 0. */
static enum wb_err get_from(struct wbi_call *call, const struct wb_header *header,
			    struct wb_fault *fault)
{
	const struct wb_json_value *object = wb_header_find(header, "from");
	char name[WBI_DIGITS_MAX];

	if (object && object->type != WB_JSON_OBJECT)
		return wb_fault_set(fault, WB_ERR_MALFORMED, "from", 0, "from: not an object");
	for (unsigned i = 0; object && i < call->stream_count; i++) {
		struct wbi_stream *stream = &call->streams[i];
		const struct wb_json_value *value;
		uint64_t from;
		enum wb_err err;

		wbi_text_number(stream->number, name);
		value = stream->sends ? NULL : wb_json_find(header, object, name);
		if (!value)
			continue;
		err = wb_json_integer(header, value, &from, fault);
		if (!err && from > WB_INTEGER_MAX / 2)
			err = wb_fault_set(fault, WB_ERR_RANGE, "from", 0, "from: too large");
		if (err)
			return err;
		wbi_stream_begin_at(stream, from);
	}
	return WB_OK;
}

enum wb_err wbi_receive_opened(struct wbi_carrier *carrier, const struct wb_header *header,
			       struct wbi_event *event, struct wb_fault *fault)
{
	struct wbi_call *call;
	uint64_t window = 0;
	enum wb_err err = get_call(carrier, header, &call, fault);

	if (err || !call || call->state != WBI_CALL_OPENING)
		return err;
	if (wb_header_find(header, "window"))
		err = wb_header_get_integer(header, "window", &window, fault);
	if (!err)
		err = get_from(call, header, fault);
	if (err)
		return err;
	wbi_call_set_state(call, WBI_CALL_RUNNING);
	wbi_call_drop_parcel(call);
	for (unsigned i = 0; i < call->stream_count; i++) {
		struct wbi_stream *stream = &call->streams[i];

		if (!stream->sends || window <= stream->limit)
			continue;
		stream->limit = window;
		wbi_stream_wake(stream);
	}
	event->kind = WBI_EVENT_OPENED;
	event->call = call;
	event->header = header;
	return WB_OK;
}

enum wb_err wbi_receive_exit(struct wbi_carrier *carrier, const struct wb_header *header,
			     struct wbi_event *event, struct wb_fault *fault)
{
	struct wbi_call *call;
	enum wb_err err = get_call(carrier, header, &call, fault);

	if (err || !call || wbi_call_over(call))
		return err;
	err = wbi_result_read(call, header, fault);
	if (err)
		return err;
	event->kind = WBI_EVENT_EXIT;
	event->call = call;
	event->header = header;
	return WB_OK;
}

enum wb_err wbi_receive_gone(struct wbi_carrier *carrier, const struct wb_header *header,
			     struct wbi_event *event, struct wb_fault *fault)
{
	struct wbi_call *call;
	enum wb_err err = get_call(carrier, header, &call, fault);

	(void)event;
	if (err || !call || wbi_call_over(call))
		return err;
	call->listed = call->announced = false; /* there is nothing to forget */
	wbi_list_remove(&call->control_node);
	wbi_result_lost(call, "gone", "the server no longer knows the call");
	return WB_OK;
}

enum wb_err wbi_receive_signal(struct wbi_carrier *carrier, const struct wb_header *header,
			       struct wbi_event *event, struct wb_fault *fault)
{
	struct wbi_call *call;
	uint64_t n;
	char name[WBI_SIGNAL_NAME_MAX];
	enum wb_err err = get_call(carrier, header, &call, fault);

	if (!err)
		err = wb_header_get_integer(header, "n", &n, fault);
	if (!err)
		err = wb_header_get_text(header, "name", name, sizeof(name), NULL, fault);
	if (err || !call)
		return err;
	if (n > call->signal_last + 1)
		return wb_fault_set(fault, WB_ERR_MALFORMED, "n", 0, "signal: one is missing");
	if (!wbi_call_over(call))
		wbi_call_mark(call, WBI_DUE_HAVE);
	if (n <= call->signal_last)
		return WB_OK;
	call->signal_last = n;
	if (!wbi_call_hears(call))
		return WB_OK;
	memcpy(call->signals[0].name, name, sizeof(name));
	event->kind = WBI_EVENT_SIGNAL;
	event->call = call;
	event->text = call->signals[0].name;
	return WB_OK;
}

enum wb_err wbi_receive_resize(struct wbi_carrier *carrier, const struct wb_header *header,
			       struct wbi_event *event, struct wb_fault *fault)
{
	struct wbi_call *call;
	uint64_t rows, cols;
	enum wb_err err = get_call(carrier, header, &call, fault);

	if (!err)
		err = wb_header_get_integer(header, "rows", &rows, fault);
	if (!err)
		err = wb_header_get_integer(header, "cols", &cols, fault);
	if (err || !call)
		return err;
	if (!rows || !cols || rows > UINT16_MAX || cols > UINT16_MAX)
		return wb_fault_set(fault, WB_ERR_RANGE, "rows", 0, "resize: 1 to 65535");
	if (!wbi_call_hears(call) || (call->rows == rows && call->cols == cols))
		return WB_OK;
	call->rows = (uint16_t)rows;
	call->cols = (uint16_t)cols;
	event->kind = WBI_EVENT_RESIZE;
	event->call = call;
	return WB_OK;
}

enum wb_err wbi_receive_cancel(struct wbi_carrier *carrier, const struct wb_header *header,
			       struct wbi_event *event, struct wb_fault *fault)
{
	struct wbi_call *call;
	enum wb_err err = get_call(carrier, header, &call, fault);

	if (err || !call || !wbi_call_hears(call) || call->cancelled)
		return err;
	call->cancelled = true;
	event->kind = WBI_EVENT_CANCEL;
	event->call = call;
	return WB_OK;
}

enum wb_err wbi_receive_forget(struct wbi_carrier *carrier, const struct wb_header *header,
			       struct wbi_event *event, struct wb_fault *fault)
{
	struct wbi_call *call;
	enum wb_err err = get_call(carrier, header, &call, fault);

	if (err || !call)
		return err;
	wbi_call_bury(call);
	event->kind = WBI_EVENT_FORGET;
	event->call = call;
	return WB_OK;
}
