/* The parcels, as they are written. */
#include <string.h>

#include "base/text.h"
#include "session/engine.h"

/* A head under way in the output. */
struct head {
	struct wbi_output *output;
	uint8_t *room;
	struct wb_header_writer writer;
};

static enum wb_err begin(struct head *head, struct wbi_carrier *carrier, const char *op)
{
	size_t bytes;
	enum wb_err err;

	head->output = &carrier->output;
	err = wbi_output_head_room(head->output, &head->room, &bytes);
	if (err)
		return err;
	wb_parcel_writer_init(&head->writer, head->room, bytes);
	wb_header_put_string(&head->writer, "op", op);
	return WB_OK;
}

static enum wb_err end(struct head *head)
{
	size_t bytes;
	enum wb_err err = wb_parcel_writer_finish(&head->writer, head->room, &bytes, NULL);

	if (!err)
		wbi_output_add_head(head->output, bytes);
	return err;
}

static void put_hex(struct wb_header_writer *writer, const char *name, const uint8_t *bytes,
		    size_t count)
{
	static const char digits[] = "0123456789abcdef";
	char text[2 * WBI_SECRET_BYTES];

	for (size_t i = 0; i < count; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	wb_header_put_text(writer, name, text, 2 * count);
}

static void put_limits(struct wb_header_writer *writer, const struct wbi_session_limits *limits)
{
	wb_header_open_object(writer, "limits");
	wb_header_put_integer(writer, "calls", limits->calls);
	wb_header_put_integer(writer, "streams", limits->streams);
	wb_header_put_integer(writer, "chunk", limits->chunk_bytes);
	wb_header_put_integer(writer, "open", limits->open_bytes);
	wb_header_close_object(writer);
}

static void put_names(struct wb_header_writer *writer, const char *name, const char *const *names)
{
	wb_header_open_array(writer, name);
	for (; names && *names; names++)
		wb_header_put_string(writer, NULL, *names);
	wb_header_close_array(writer);
}

static void put_hello(struct wb_header_writer *writer, const struct wbi_session *session)
{
	static const char *const digests[] = {"xxh128", "sha256", NULL};
	const struct wbi_session_config *config = &session->config;

	wb_header_put_integer(writer, "waybill", WBI_PROTOCOL_VERSION);
	wb_header_put_string(writer, "agent", config->agent ? config->agent : "");
	put_hex(writer, "session", session->id, WBI_SESSION_ID_BYTES);
	put_hex(writer, "secret", session->secret, WBI_SECRET_BYTES);
	wb_header_put_integer(writer, "epoch", session->epoch);
	if (config->user)
		wb_header_put_string(writer, "user", config->user);
	put_limits(writer, &config->limits);
	put_names(writer, "digests", config->digests ? config->digests : digests);
}

static void put_welcome(struct wb_header_writer *writer, const struct wbi_session *session)
{
	const struct wbi_session_config *config = &session->config;

	wb_header_put_integer(writer, "waybill", WBI_PROTOCOL_VERSION);
	wb_header_put_string(writer, "agent", config->agent ? config->agent : "");
	put_hex(writer, "instance", config->instance, WBI_INSTANCE_BYTES);
	wb_header_put_bool(writer, "resumed", session->since < session->epoch);
	wb_header_put_integer(writer, "born", session->born);
	put_limits(writer, &config->limits);
	put_names(writer, "services", config->services);
	wb_header_put_string(writer, "digest", wb_digest_name(session->digest));
	wb_header_put_integer(writer, "hold_ms", session->hold_ms);
}

static void put_error(struct wb_header_writer *writer, const struct wbi_problem *problem)
{
	wb_header_put_string(writer, "code", problem->code);
	wb_header_put_string(writer, "text", problem->text);
	if (problem->field[0])
		wb_header_put_string(writer, "field", problem->field);
	wb_header_put_integer(writer, "offset", problem->offset);
	wb_header_put_bool(writer, "retry", problem->retry);
}

static const char *own_name(unsigned due)
{
	switch (due) {
	case WBI_DUE_ERROR:
		return "error";
	case WBI_DUE_HELLO:
		return "hello";
	case WBI_DUE_WELCOME:
		return "welcome";
	case WBI_DUE_PONG:
		return "pong";
	case WBI_DUE_PING:
		return "ping";
	case WBI_DUE_SYNCED:
		return "synced";
	case WBI_DUE_UNSUPPORTED:
		return "unsupported";
	case WBI_DUE_SUSPEND:
		return "suspend";
	default:
		return "bye";
	}
}

enum wb_err wbi_encode_own(struct wbi_carrier *carrier, unsigned due)
{
	struct head head;
	enum wb_err err = begin(&head, carrier, own_name(due));

	if (err)
		return err;
	switch (due) {
	case WBI_DUE_ERROR:
		put_error(&head.writer, &carrier->problem);
		break;
	case WBI_DUE_HELLO:
		put_hello(&head.writer, carrier->session);
		break;
	case WBI_DUE_WELCOME:
		put_welcome(&head.writer, carrier->session);
		break;
	case WBI_DUE_PONG:
		wb_header_put_integer(&head.writer, "n", carrier->pong_n);
		break;
	case WBI_DUE_PING:
		wb_header_put_integer(&head.writer, "n", carrier->ping_n);
		break;
	case WBI_DUE_UNSUPPORTED:
		wb_header_put_string(&head.writer, "what", carrier->unsupported);
		break;
	default:
		break;
	}
	return end(&head);
}

enum wb_err wbi_encode_have(struct wbi_carrier *carrier, const struct wbi_call *call,
			    const struct wbi_stream *stream)
{
	struct head head;
	enum wb_err err = begin(&head, carrier, "have");

	if (err)
		return err;
	wb_header_put_integer(&head.writer, "id", call->id);
	if (stream) {
		wb_header_put_integer(&head.writer, "stream", stream->number);
		wb_header_put_integer(&head.writer, "offset", stream->offset);
	} else if (carrier->role == WBI_SERVER) {
		wb_header_put_integer(&head.writer, "signal", call->signal_last);
	}
	return end(&head);
}

enum wb_err wbi_encode_gone(struct wbi_carrier *carrier, uint64_t id)
{
	struct head head;
	enum wb_err err = begin(&head, carrier, "gone");

	if (err)
		return err;
	wb_header_put_integer(&head.writer, "id", id);
	return end(&head);
}

static void put_usage(struct wb_header_writer *writer, const struct wbi_exit *exit)
{
	wb_header_open_object(writer, "rusage");
	wb_header_put_integer(writer, "user_ms", exit->user_ms);
	wb_header_put_integer(writer, "system_ms", exit->system_ms);
	wb_header_put_integer(writer, "memory_bytes", exit->memory_bytes);
	wb_header_close_object(writer);
}

static void put_exit(struct wb_header_writer *writer, const struct wbi_call *call)
{
	const struct wbi_exit *exit = &call->result.exit;
	char name[WBI_DIGITS_MAX];

	wb_header_put_string(writer, "outcome", wbi_outcome_name(exit->outcome));
	if (exit->has_code || exit->outcome == WBI_OUTCOME_EXITED)
		wb_header_put_integer(writer, "code", exit->code);
	if (exit->outcome == WBI_OUTCOME_SIGNALED) {
		wb_header_put_string(writer, "signal", exit->signal);
		wb_header_put_bool(writer, "core", exit->core);
	}
	if (exit->error[0])
		wb_header_put_string(writer, "error", exit->error);
	if (exit->text[0])
		wb_header_put_string(writer, "text", exit->text);
	wb_header_open_object(writer, "bytes");
	for (unsigned i = 0; i < call->stream_count; i++) {
		const struct wbi_stream *stream = &call->streams[i];

		if (!stream->sends)
			continue;
		wbi_text_number(stream->number, name);
		wb_header_put_integer(writer, name, stream->offset);
	}
	wb_header_close_object(writer);
	if (exit->has_usage)
		put_usage(writer, exit);
}

static const char *call_name(unsigned due)
{
	switch (due) {
	case WBI_DUE_HAVE:
		return "have";
	case WBI_DUE_SIGNAL:
		return "signal";
	case WBI_DUE_RESIZE:
		return "resize";
	case WBI_DUE_CANCEL:
		return "cancel";
	case WBI_DUE_EXIT:
		return "exit";
	default:
		return "forget";
	}
}

enum wb_err wbi_encode_call(struct wbi_carrier *carrier, const struct wbi_call *call, unsigned due)
{
	const struct wbi_signal *signal = &call->signals[call->signal_sent % WBI_SIGNALS_MAX];
	struct head head;
	enum wb_err err = begin(&head, carrier, call_name(due));

	if (err)
		return err;
	wb_header_put_integer(&head.writer, "id", call->id);
	switch (due) {
	case WBI_DUE_HAVE:
		wb_header_put_integer(&head.writer, "signal", call->signal_last);
		break;
	case WBI_DUE_SIGNAL:
		wb_header_put_integer(&head.writer, "n", signal->n);
		wb_header_put_string(&head.writer, "name", signal->name);
		break;
	case WBI_DUE_RESIZE:
		wb_header_put_integer(&head.writer, "rows", call->rows);
		wb_header_put_integer(&head.writer, "cols", call->cols);
		break;
	case WBI_DUE_EXIT:
		put_exit(&head.writer, call);
		break;
	default:
		break;
	}
	return end(&head);
}

static enum wb_err begin_stream(struct head *head, struct wbi_carrier *carrier, const char *op,
				const struct wbi_stream *stream)
{
	enum wb_err err = begin(head, carrier, op);

	if (err)
		return err;
	wb_header_put_integer(&head->writer, "id", stream->call->id);
	wb_header_put_integer(&head->writer, "stream", stream->number);
	return WB_OK;
}

static enum wb_err encode_credit(struct wbi_carrier *carrier, const struct wbi_stream *stream)
{
	struct head head;
	enum wb_err err = begin_stream(&head, carrier, "credit", stream);

	if (err)
		return err;
	wb_header_put_integer(&head.writer, "offset", stream->acknowledged);
	wb_header_put_integer(&head.writer, "limit", wbi_stream_target(stream));
	return end(&head);
}

static enum wb_err encode_eof(struct wbi_carrier *carrier, const struct wbi_stream *stream)
{
	struct head head;
	enum wb_err err = begin_stream(&head, carrier, "eof", stream);

	if (err)
		return err;
	wb_header_put_integer(&head.writer, "from", stream->from);
	wb_header_put_integer(&head.writer, "offset", stream->offset);
	if (stream->digest_hex[0])
		wb_header_put_string(&head.writer, "digest", stream->digest_hex);
	if (stream->source && stream->source->held_open)
		wb_header_put_bool(&head.writer, "held_open", true);
	return end(&head);
}

enum wb_err wbi_encode_stream(struct wbi_carrier *carrier, const struct wbi_stream *stream,
			      unsigned due)
{
	struct head head;
	enum wb_err err;

	if (due == WBI_DUE_CREDIT)
		return encode_credit(carrier, stream);
	if (due == WBI_DUE_EOF)
		return encode_eof(carrier, stream);
	err = begin_stream(&head, carrier, "reset", stream);
	return err ? err : end(&head);
}

enum wb_err wbi_encode_data(struct wbi_carrier *carrier, const struct wbi_stream *stream,
			    size_t bytes)
{
	const struct wbi_source *source = stream->source;
	struct head head;
	enum wb_err err = begin_stream(&head, carrier, "data", stream);

	if (err)
		return err;
	wb_header_put_integer(&head.writer, "offset", stream->offset);
	wb_header_put_integer(&head.writer, "total_size", bytes);
	if (source->full && stream->offset + bytes == source->end)
		wb_header_put_bool(&head.writer, "full", true);
	return end(&head);
}

static void put_numbers(struct wb_header_writer *writer, const char *name, uint16_t mask)
{
	if (!mask)
		return;
	wb_header_open_array(writer, name);
	for (unsigned n = 0; n <= WBI_STREAM_NUMBER_MAX; n++) {
		if (mask >> n & 1)
			wb_header_put_integer(writer, NULL, n);
	}
	wb_header_close_array(writer);
}

/* What the server must understand, or refuse. */
static void put_critical(struct wb_header_writer *writer, const struct wbi_open *open)
{
	const char *const *names = open->crit;

	if (!open->undigested && !(names && *names))
		return;
	wb_header_open_array(writer, "crit");
	if (open->undigested)
		wb_header_put_string(writer, NULL, "undigested");
	for (; names && *names; names++)
		wb_header_put_string(writer, NULL, *names);
	wb_header_close_array(writer);
}

/* How far beyond its beginning each stream from the peer may go at first. */
static void put_window(struct wb_header_writer *writer, const struct wbi_call *call)
{
	for (unsigned i = 0; i < call->stream_count; i++) {
		const struct wbi_stream *stream = &call->streams[i];

		if (stream->sends)
			continue;
		wb_header_put_integer(writer, "window", stream->limit - stream->from);
		break;
	}
}

enum wb_err wbi_encode_open(const struct wbi_call *call, const struct wbi_open *open, uint8_t *out,
			    size_t *ret_bytes, struct wb_fault *fault)
{
	struct wb_header_writer writer;

	wb_parcel_writer_init(&writer, out, WBI_PARCEL_HEAD_MAX);
	wb_header_put_string(&writer, "op", "open");
	wb_header_put_integer(&writer, "id", call->id);
	wb_header_put_string(&writer, "service", open->service);
	if (open->key)
		wb_header_put_string(&writer, "key", open->key);
	put_numbers(&writer, "up", open->up);
	put_numbers(&writer, "down", open->down);
	put_numbers(&writer, "undigested", open->undigested);
	put_window(&writer, call);
	if (open->put_fields)
		open->put_fields(&writer, open->context);
	put_critical(&writer, open);
	if (open->payload.bytes)
		wb_header_put_integer(&writer, "total_size", open->payload.bytes);
	return wb_parcel_writer_finish(&writer, out, ret_bytes, fault);
}

/* Where streams to the peer begin, those that do not at 0. */
static void put_from(struct wb_header_writer *writer, const struct wbi_call *call)
{
	char name[WBI_DIGITS_MAX];
	bool any = false;

	for (unsigned i = 0; i < call->stream_count; i++) {
		const struct wbi_stream *stream = &call->streams[i];

		if (!stream->sends || !stream->from)
			continue;
		if (!any)
			wb_header_open_object(writer, "from");
		any = true;
		wbi_text_number(stream->number, name);
		wb_header_put_integer(writer, name, stream->from);
	}
	if (any)
		wb_header_close_object(writer);
}

enum wb_err wbi_encode_opened(const struct wbi_call *call, wbi_put_fields_fn *put_fields,
			      void *context, uint8_t *out, size_t *ret_bytes,
			      struct wb_fault *fault)
{
	struct wb_header_writer writer;

	wb_parcel_writer_init(&writer, out, WBI_PARCEL_HEAD_MAX);
	wb_header_put_string(&writer, "op", "opened");
	wb_header_put_integer(&writer, "id", call->id);
	put_from(&writer, call);
	put_window(&writer, call);
	if (put_fields)
		put_fields(&writer, context);
	return wb_parcel_writer_finish(&writer, out, ret_bytes, fault);
}
