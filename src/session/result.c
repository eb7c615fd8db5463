/* How a call ended: reading `exit`, and saying what is missing from a success. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "session/engine.h"

static const char *const outcome_names[] = {
	[WBI_OUTCOME_EXITED] = "exited",   [WBI_OUTCOME_SIGNALED] = "signaled",
	[WBI_OUTCOME_TIMEOUT] = "timeout", [WBI_OUTCOME_CANCELLED] = "cancelled",
	[WBI_OUTCOME_REFUSED] = "refused", [WBI_OUTCOME_FAILED] = "failed",
	[WBI_OUTCOME_LOST] = "lost",
};

const char *wbi_outcome_name(enum wbi_outcome outcome)
{
	return outcome_names[outcome];
}

bool wbi_outcome_by_name(const char *name, enum wbi_outcome *ret_outcome)
{
	for (unsigned i = 0; i < sizeof(outcome_names) / sizeof(outcome_names[0]); i++) {
		if (!strcmp(outcome_names[i], name)) {
			*ret_outcome = (enum wbi_outcome)i;
			return true;
		}
	}
	return false;
}

static enum wb_err get_text(const struct wb_header *header, const char *name, char *out,
			    size_t size, struct wb_fault *fault)
{
	return wb_header_find(header, name)
		       ? wb_header_get_text(header, name, out, size, NULL, fault)
		       : WB_OK;
}

static enum wb_err read_outcome(const struct wb_header *header, struct wbi_exit *exit,
				struct wb_fault *fault)
{
	char name[WBI_ERROR_NAME_MAX];
	uint64_t code = 0;
	enum wb_err err = wb_header_get_text(header, "outcome", name, sizeof(name), NULL, fault);

	if (err)
		return err;
	if (!wbi_outcome_by_name(name, &exit->outcome) || exit->outcome == WBI_OUTCOME_LOST)
		return wb_fault_set(fault, WB_ERR_UNSUPPORTED, "outcome", 0,
				    "outcome: not known here");
	exit->has_code = exit->outcome == WBI_OUTCOME_EXITED || wb_header_find(header, "code");
	if (exit->has_code)
		err = wb_header_get_integer(header, "code", &code, fault);
	if (!err && code > UINT32_MAX)
		err = wb_fault_set(fault, WB_ERR_RANGE, "code", 0, "code: too large");
	exit->code = (uint32_t)code;
	if (!err && exit->outcome == WBI_OUTCOME_SIGNALED)
		err = wb_header_get_text(header, "signal", exit->signal, sizeof(exit->signal), NULL,
					 fault);
	if (!err && wb_header_find(header, "core"))
		err = wb_header_get_bool(header, "core", &exit->core, fault);
	if (!err)
		err = get_text(header, "error", exit->error, sizeof(exit->error), fault);
	if (!err)
		err = get_text(header, "text", exit->text, sizeof(exit->text), fault);
	return err;
}

static enum wb_err read_usage(const struct wb_header *header, struct wbi_exit *exit,
			      struct wb_fault *fault)
{
	const struct wb_json_value *usage = wb_header_find(header, "rusage");
	const char *const names[] = {"user_ms", "system_ms", "memory_bytes"};
	uint64_t *const targets[] = {&exit->user_ms, &exit->system_ms, &exit->memory_bytes};

	if (!usage)
		return WB_OK;
	if (usage->type != WB_JSON_OBJECT)
		return wb_fault_set(fault, WB_ERR_MALFORMED, "rusage", 0, "rusage: not an object");
	exit->has_usage = true;
	for (unsigned i = 0; i < 3; i++) {
		const struct wb_json_value *value = wb_json_find(header, usage, names[i]);
		enum wb_err err = value ? wb_json_integer(header, value, targets[i], fault) : WB_OK;

		if (err)
			return err;
	}
	return WB_OK;
}

static void missing(struct wbi_result *result, unsigned stream, const char *what)
{
	result->complete = false;
	if (!result->missing[0])
		snprintf(result->missing, sizeof(result->missing), "stream %u: %s", stream, what);
}

static void check_stream(struct wbi_result *result, const struct wbi_stream *stream,
			 const struct wb_header *header, const struct wb_json_value *counts)
{
	char name[WBI_DIGITS_MAX];
	const struct wb_json_value *value;
	uint64_t count;

	if (stream->sends || stream->state == WBI_STREAM_RESET)
		return;
	wbi_text_number(stream->number, name);
	value = counts ? wb_json_find(header, counts, name) : NULL;
	if (stream->state != WBI_STREAM_ENDED)
		missing(result, stream->number, "it has no eof");
	else if (!value || wb_json_integer(header, value, &count, NULL))
		missing(result, stream->number, "nobody said how many bytes it had");
	else if (count != stream->offset)
		missing(result, stream->number, "another number of bytes arrived");
	else if (!stream->intact)
		missing(result, stream->number, "its digest differs");
}

static void end_call(struct wbi_call *call)
{
	wbi_call_set_state(call, WBI_CALL_ENDED);
	wbi_call_drop_parcel(call);
	call->due = 0;
	for (unsigned i = 0; i < call->stream_count; i++) {
		struct wbi_stream *stream = &call->streams[i];

		if (stream->sends)
			wbi_stream_stop(stream);
		else
			wbi_stream_give_back(stream);
		stream->due = 0;
	}
	wbi_list_remove(&call->control_node);
}

enum wb_err wbi_result_read(struct wbi_call *call, const struct wb_header *header,
			    struct wb_fault *fault)
{
	const struct wb_json_value *counts = wb_header_find(header, "bytes");
	struct wbi_result result = {.complete = true};
	enum wb_err err = read_outcome(header, &result.exit, fault);

	if (!err)
		err = read_usage(header, &result.exit, fault);
	if (!err && counts && counts->type != WB_JSON_OBJECT)
		err = wb_fault_set(fault, WB_ERR_MALFORMED, "bytes", 0, "bytes: not an object");
	if (err)
		return err;
	for (unsigned i = 0; i < call->stream_count; i++)
		check_stream(&result, &call->streams[i], header, counts);
	call->result = result;
	end_call(call);
	return WB_OK;
}

void wbi_result_lost(struct wbi_call *call, const char *error, const char *text)
{
	struct wbi_result *result = &call->result;

	*result = (struct wbi_result){.exit.outcome = WBI_OUTCOME_LOST};
	snprintf(result->exit.error, sizeof(result->exit.error), "%s", error);
	snprintf(result->exit.text, sizeof(result->exit.text), "%s", text);
	snprintf(result->missing, sizeof(result->missing), "no exit");
	end_call(call);
	wbi_call_notice(call);
}
