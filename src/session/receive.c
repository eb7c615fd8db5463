/* What arrives about the session itself: who is there, what each side has, how it goes on and ends.
 */
#include <string.h>

#include "session/engine.h"

static enum wb_err get_u32(const struct wb_header *header, const struct wb_json_value *object,
			   const char *name, uint32_t *ret_value, struct wb_fault *fault)
{
	const struct wb_json_value *value = wb_json_find(header, object, name);
	uint64_t wide;
	enum wb_err err;

	if (!value)
		return WB_OK;
	err = wb_json_integer(header, value, &wide, fault);
	if (err)
		return err;
	*ret_value = wide > UINT32_MAX ? UINT32_MAX : (uint32_t)wide;
	return WB_OK;
}

/* Reads `limits`; what is absent is the default. */
static enum wb_err get_limits(const struct wb_header *header, struct wbi_hello *hello,
			      struct wb_fault *fault)
{
	const struct wb_json_value *limits = wb_header_find(header, "limits");
	enum wb_err err = WB_OK;

	hello->calls = wbi_session_limits_default.calls;
	hello->streams = wbi_session_limits_default.streams;
	hello->chunk_bytes = wbi_session_limits_default.chunk_bytes;
	hello->open_bytes = wbi_session_limits_default.open_bytes;
	if (!limits)
		return WB_OK;
	if (limits->type != WB_JSON_OBJECT)
		return wb_fault_set(fault, WB_ERR_MALFORMED, "limits", limits->offset,
				    "limits: not an object");
	err = get_u32(header, limits, "calls", &hello->calls, fault);
	if (!err)
		err = get_u32(header, limits, "streams", &hello->streams, fault);
	if (!err)
		err = get_u32(header, limits, "chunk", &hello->chunk_bytes, fault);
	if (!err)
		err = get_u32(header, limits, "open", &hello->open_bytes, fault);
	if (!err && (!hello->calls || !hello->chunk_bytes))
		err = wb_fault_set(fault, WB_ERR_RANGE, "limits", limits->offset,
				   "limits: nothing could be sent");
	return err;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static enum wb_err get_bytes(const struct wb_header *header, const char *name, uint8_t *out,
			     size_t bytes, struct wb_fault *fault)
{
	char text[2 * WBI_SECRET_BYTES + 1];
	size_t length;
	enum wb_err err = wb_header_get_text(header, name, text, sizeof(text), &length, fault);

	if (err)
		return err;
	if (length != 2 * bytes)
		return wb_fault_set(fault, WB_ERR_MALFORMED, name, 0, "%s: not %zu hex digits",
				    name, 2 * bytes);
	for (size_t i = 0; i < bytes; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return wb_fault_set(fault, WB_ERR_MALFORMED, name, 0,
					    "%s: not lower-case hex", name);
		out[i] = (uint8_t)(high << 4 | low);
	}
	return WB_OK;
}

static enum wb_err get_optional_text(const struct wb_header *header, const char *name, char *out,
				     size_t size, struct wb_fault *fault)
{
	out[0] = '\0';
	return wb_header_find(header, name)
		       ? wb_header_get_text(header, name, out, size, NULL, fault)
		       : WB_OK;
}

static enum wb_err get_digests(const struct wb_header *header, struct wbi_hello *hello,
			       struct wb_fault *fault)
{
	const struct wb_json_value *digests = wb_header_find(header, "digests");
	struct wb_json_value value;
	enum wb_digest_kind kind;
	uint32_t cursor = 0;
	char name[WBI_CODE_MAX];

	if (!digests || digests->type != WB_JSON_ARRAY)
		return wb_fault_set(fault, WB_ERR_MALFORMED, "digests", 0,
				    "digests: not an array of names");
	while (wb_json_next(header, digests, &cursor, NULL, &value)) {
		if (value.type == WB_JSON_STRING &&
		    !wb_json_text(header, &value, name, sizeof(name), NULL, NULL) &&
		    wb_digest_by_name(name, &kind))
			hello->has_digest[kind] = true;
	}
	return WB_OK;
}

static enum wb_err check_version(struct wbi_carrier *carrier, const struct wb_header *header,
				 bool *ret_right, struct wb_fault *fault)
{
	uint64_t version;
	enum wb_err err = wb_header_get_integer(header, "waybill", &version, fault);

	if (err)
		return err;
	*ret_right = version == WBI_PROTOCOL_VERSION;
	if (!*ret_right)
		wbi_carrier_report(carrier, "version", false, "this side speaks waybill 1 only",
				   "waybill", 0);
	return WB_OK;
}

enum wb_err wbi_receive_hello(struct wbi_carrier *carrier, const struct wb_header *header,
			      struct wbi_event *event, struct wb_fault *fault)
{
	struct wbi_hello *hello = &carrier->hello;
	bool right;
	enum wb_err err = check_version(carrier, header, &right, fault);

	if (err || !right)
		return err;
	*hello = (struct wbi_hello){0};
	err = get_bytes(header, "session", hello->session, WBI_SESSION_ID_BYTES, fault);
	if (!err)
		err = get_bytes(header, "secret", hello->secret, WBI_SECRET_BYTES, fault);
	if (!err)
		err = wb_header_get_integer(header, "epoch", &hello->epoch, fault);
	if (!err)
		err = get_optional_text(header, "agent", hello->agent, sizeof(hello->agent), fault);
	if (!err)
		err = get_optional_text(header, "user", hello->user, sizeof(hello->user), fault);
	if (!err)
		err = get_limits(header, hello, fault);
	if (!err)
		err = get_digests(header, hello, fault);
	if (err)
		return err;
	if (!hello->epoch)
		return wb_fault_set(fault, WB_ERR_RANGE, "epoch", 0, "epoch: 0 is no epoch");
	wbi_carrier_set_state(carrier, WBI_CARRIER_ASKING);
	event->kind = WBI_EVENT_HELLO;
	event->hello = hello;
	return WB_OK;
}

/* Everything in `welcome` that changes the session; it is all read before any of it counts. */
struct welcome {
	uint8_t instance[WBI_INSTANCE_BYTES];
	uint64_t born, hold_ms;
	bool resumed;
	enum wb_digest_kind digest;
	struct wbi_hello limits;
};

static enum wb_err read_welcome(const struct wb_header *header, struct welcome *welcome,
				struct wb_fault *fault)
{
	char digest[WBI_CODE_MAX];
	enum wb_err err =
		get_bytes(header, "instance", welcome->instance, WBI_INSTANCE_BYTES, fault);

	if (!err)
		err = wb_header_get_integer(header, "born", &welcome->born, fault);
	if (!err)
		err = wb_header_get_integer(header, "hold_ms", &welcome->hold_ms, fault);
	if (!err)
		err = wb_header_get_bool(header, "resumed", &welcome->resumed, fault);
	if (!err)
		err = wb_header_get_text(header, "digest", digest, sizeof(digest), NULL, fault);
	if (!err)
		err = get_limits(header, &welcome->limits, fault);
	if (!err && !wb_digest_by_name(digest, &welcome->digest))
		err = wb_fault_set(fault, WB_ERR_UNSUPPORTED, "digest", 0,
				   "digest: not known here");
	return err;
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

enum wb_err wbi_receive_welcome(struct wbi_carrier *carrier, const struct wb_header *header,
				struct wbi_event *event, struct wb_fault *fault)
{
	struct wbi_session *session = carrier->session;
	struct welcome welcome;
	bool right, same;
	enum wb_err err = check_version(carrier, header, &right, fault);

	if (err || !right)
		return err;
	err = read_welcome(header, &welcome, fault);
	if (err)
		return err;
	same = session->welcomed && welcome.born == session->born &&
	       memcmp(welcome.instance, session->instance, WBI_INSTANCE_BYTES) == 0;
	if (same && (!welcome.resumed || welcome.digest != session->digest))
		return wb_fault_set(fault, WB_ERR_MALFORMED, "resumed", 0,
				    "welcome: it contradicts what was said before");
	if (!same)
		wbi_session_lose(session,
				 "the server has a new session in the place of the old one");
	memcpy(session->instance, welcome.instance, WBI_INSTANCE_BYTES);
	session->welcomed = true;
	session->born = welcome.born;
	session->digest = welcome.digest;
	session->hold_ms = welcome.hold_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)welcome.hold_ms;
	session->peer_calls = welcome.limits.calls;
	session->peer_streams = welcome.limits.streams;
	session->peer_open_bytes = welcome.limits.open_bytes;
	session->chunk_bytes =
		least(session->config.limits.chunk_bytes, welcome.limits.chunk_bytes);
	if (welcome.resumed) {
		carrier->due |= WBI_DUE_HAVES | WBI_DUE_SYNCED;
		wbi_carrier_set_state(carrier, WBI_CARRIER_SYNCING);
	} else {
		wbi_session_go_live(session);
	}
	event->kind = WBI_EVENT_WELCOME;
	event->header = header;
	event->resumed = same;
	return WB_OK;
}

/* The peer received all below `offset` of a stream of ours: it goes on from there. */
static enum wb_err have_stream(struct wbi_call *call, const struct wb_header *header,
			       struct wb_fault *fault)
{
	struct wbi_stream *stream;
	uint64_t number, offset;
	enum wb_err err = wb_header_get_integer(header, "stream", &number, fault);

	if (!err)
		err = wb_header_get_integer(header, "offset", &offset, fault);
	if (err)
		return err;
	stream = number <= WBI_STREAM_NUMBER_MAX ? wbi_call_stream(call, (unsigned)number) : NULL;
	if (!stream || !stream->sends)
		return wb_fault_set(fault, WB_ERR_MALFORMED, "stream", 0,
				    "have: not a stream that this side sends");
	if (stream->state == WBI_STREAM_RESET)
		return WB_OK;
	if (offset < stream->acknowledged || offset > stream->high)
		return wb_fault_set(fault, WB_ERR_MALFORMED, "offset", 0,
				    "have: less than it had, or more than was sent");
	stream->offset = offset;
	return WB_OK;
}

static enum wb_err have_signals(struct wbi_call *call, const struct wb_header *header,
				struct wb_fault *fault)
{
	uint64_t n;
	unsigned drop = 0;
	enum wb_err err = wb_header_get_integer(header, "signal", &n, fault);

	if (err)
		return err;
	if (n > call->signal_last)
		return wb_fault_set(fault, WB_ERR_MALFORMED, "signal", 0,
				    "have: a signal that was never sent");
	while (drop < call->signal_count && call->signals[drop].n <= n)
		drop++;
	call->signal_count -= drop;
	call->signal_sent -= drop < call->signal_sent ? drop : call->signal_sent;
	memmove(call->signals, call->signals + drop, call->signal_count * sizeof(call->signals[0]));
	if (call->signal_sent == call->signal_count)
		call->due &= ~(unsigned)WBI_DUE_SIGNAL;
	return WB_OK;
}

enum wb_err wbi_receive_have(struct wbi_carrier *carrier, const struct wb_header *header,
			     struct wbi_event *event, struct wb_fault *fault)
{
	struct wbi_session *session = carrier->session;
	struct wbi_call *call;
	uint64_t id;
	enum wb_err err = wb_header_get_integer(header, "id", &id, fault);

	(void)event;
	if (err)
		return err;
	call = wbi_session_find(session, id);
	if (!call)
		return WB_OK; /* one side dropped it; the other will see that it is not listed */
	if (call->state == WBI_CALL_NEW)
		return wb_fault_set(fault, WB_ERR_MALFORMED, "id", 0, "have: never asked for");
	if (carrier->state == WBI_CARRIER_SYNCING) {
		call->listed = true;
		if (wb_header_find(header, "stream"))
			return have_stream(call, header, fault);
	}
	return carrier->role == WBI_CLIENT && wb_header_find(header, "signal")
		       ? have_signals(call, header, fault)
		       : WB_OK;
}

enum wb_err wbi_receive_synced(struct wbi_carrier *carrier, const struct wb_header *header,
			       struct wbi_event *event, struct wb_fault *fault)
{
	(void)header;
	(void)fault;
	wbi_session_go_live(carrier->session);
	event->kind = WBI_EVENT_RESUMED;
	return WB_OK;
}

enum wb_err wbi_receive_ping(struct wbi_carrier *carrier, const struct wb_header *header,
			     struct wbi_event *event, struct wb_fault *fault)
{
	uint64_t n;
	enum wb_err err = wb_header_get_integer(header, "n", &n, fault);

	(void)event;
	if (err)
		return err;
	carrier->pong_n = n;
	carrier->due |= WBI_DUE_PONG;
	return WB_OK;
}

enum wb_err wbi_receive_pong(struct wbi_carrier *carrier, const struct wb_header *header,
			     struct wbi_event *event, struct wb_fault *fault)
{
	uint64_t n;
	enum wb_err err = wb_header_get_integer(header, "n", &n, fault);

	(void)event;
	if (err || !carrier->ping_out || n != carrier->ping_n)
		return err;
	carrier->ping_out = false;
	carrier->answered = carrier->measuring;
	return WB_OK;
}

enum wb_err wbi_receive_bye(struct wbi_carrier *carrier, const struct wb_header *header,
			    struct wbi_event *event, struct wb_fault *fault)
{
	(void)header;
	(void)fault;
	event->kind = WBI_EVENT_BYE;
	wbi_carrier_end(carrier, "bye");
	return WB_OK;
}

enum wb_err wbi_receive_error(struct wbi_carrier *carrier, const struct wb_header *header,
			      struct wbi_event *event, struct wb_fault *fault)
{
	struct wbi_problem *problem = &carrier->problem;
	enum wb_err err;

	*problem = (struct wbi_problem){0};
	err = wb_header_get_text(header, "code", problem->code, sizeof(problem->code), NULL, fault);
	if (err)
		return err;
	if (wb_header_get_text(header, "text", problem->text, sizeof(problem->text), NULL, NULL))
		problem->text[0] = '\0';
	if (wb_header_get_text(header, "field", problem->field, sizeof(problem->field), NULL, NULL))
		problem->field[0] = '\0';
	if (wb_header_get_integer(header, "offset", &problem->offset, NULL))
		problem->offset = 0;
	if (wb_header_get_bool(header, "retry", &problem->retry, NULL))
		problem->retry = false;
	event->kind = WBI_EVENT_ERROR;
	event->problem = problem;
	wbi_carrier_end(carrier, "error");
	return WB_OK;
}

enum wb_err wbi_receive_suspend(struct wbi_carrier *carrier, const struct wb_header *header,
				struct wbi_event *event, struct wb_fault *fault)
{
	(void)header;
	(void)fault;
	carrier->session->suspended = true;
	event->kind = WBI_EVENT_SUSPEND;
	return WB_OK;
}

enum wb_err wbi_receive_ignored(struct wbi_carrier *carrier, const struct wb_header *header,
				struct wbi_event *event, struct wb_fault *fault)
{
	(void)carrier;
	(void)header;
	(void)event;
	(void)fault;
	return WB_OK;
}
