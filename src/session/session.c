/* Sessions: what outlives a connection, and how it is put under the next one. */
#include "session/session.h"

#include <stdlib.h>
#include <string.h>

#include "session/engine.h"

const struct wbi_session_limits wbi_session_limits_default = {
	.calls = 256,
	.streams = 8,
	.chunk_bytes = 262144,
	.open_bytes = 1048576,
	.window_start_bytes = 65536,
	.window_max_bytes = 8388608,
	.pool_bytes = 16777216,
	.hold_ms = 60000,
	.ping_ms = 15000,
	.dead_ms = 45000,
	.header_ms = 10000,
};

void wbi_session_trace(const struct wbi_session *session, const char *machine, uint64_t number,
		       const char *from, const char *to)
{
	if (session->config.trace)
		session->config.trace(session->config.trace_context, machine, number, from, to);
}

static enum wb_err check_limits(const struct wbi_session_limits *limits, struct wb_fault *fault)
{
	if (!limits->calls || !limits->streams || limits->streams > WBI_STREAM_NUMBER_MAX + 1 ||
	    limits->chunk_bytes < 1024 || limits->chunk_bytes > 16 << 20 ||
	    limits->window_start_bytes < WBI_WINDOW_OWN || limits->ping_ms >= limits->dead_ms)
		return wb_fault_set(fault, WB_ERR_ARGUMENT, "limits", 0, "session: bad limits");
	return WB_OK;
}

static void init_lists(struct wbi_session *session)
{
	wbi_list_init(&session->calls);
	wbi_list_init(&session->opens);
	wbi_list_init(&session->control);
	wbi_list_init(&session->ready);
	wbi_list_init(&session->notices);
	wbi_list_init(&session->graveyard);
}

enum wb_err wbi_session_new(const struct wbi_session_config *config,
			    const uint8_t id[WBI_SESSION_ID_BYTES],
			    const uint8_t secret[WBI_SECRET_BYTES], uint64_t now_ms,
			    struct wbi_session **ret_session, struct wb_fault *fault)
{
	const struct wbi_session_limits *limits = &config->limits;
	struct wbi_session *session;
	enum wb_err err = check_limits(limits, fault);

	if (err)
		return err;
	session = calloc(1, sizeof(*session));
	if (!session)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "session: no memory");
	session->config = *config;
	memcpy(session->id, id, WBI_SESSION_ID_BYTES);
	memcpy(session->secret, secret, WBI_SECRET_BYTES);
	session->pool =
		(struct wbi_pool){.parent = config->pool, .limit_bytes = limits->pool_bytes};
	session->digest = WB_DIGEST_XXH128;
	session->peer_calls = limits->calls;
	session->peer_streams = limits->streams;
	session->peer_open_bytes = limits->open_bytes;
	session->chunk_bytes = limits->chunk_bytes;
	session->hold_ms = limits->hold_ms;
	session->detached_ms = now_ms;
	/* A session that was forgotten and one made anew for the same client must never look the
	 * same, not even where an old `hello` made the new one. */
	session->born = config->role == WBI_SERVER ? now_ms : 0;
	init_lists(session);
	*ret_session = session;
	return WB_OK;
}

/* Frees what the owner has been told of (all of it: a session that goes tells nobody). */
static void empty_graveyard(struct wbi_session *session, bool all)
{
	struct wbi_list *next;

	for (struct wbi_list *node = session->graveyard.next; node != &session->graveyard;
	     node = next) {
		struct wbi_call *call = WBI_CALL_OF(node);

		next = node->next;
		if (all || wbi_list_empty(&call->notice_node))
			wbi_call_free(call);
	}
}

void wbi_session_empty_graveyard(struct wbi_session *session)
{
	empty_graveyard(session, false);
}

void wbi_session_free(struct wbi_session *session)
{
	if (!session)
		return;
	if (session->carrier)
		wbi_carrier_end(session->carrier, "the session was freed");
	empty_graveyard(session, true);
	while (!wbi_list_empty(&session->calls))
		wbi_call_free(WBI_CALL_OF(session->calls.next));
	free(session->gone);
	free(session);
}

struct wbi_call *wbi_session_find(struct wbi_session *session, uint64_t id)
{
	if (session->last && session->last->id == id)
		return session->last;
	for (struct wbi_list *node = session->calls.next; node != &session->calls;
	     node = node->next) {
		struct wbi_call *call = WBI_CALL_OF(node);

		if (call->id == id)
			return session->last = call;
	}
	return NULL;
}

/* Everything that was said on the old connection may be lost: it is said again on the next one. */
void wbi_session_detach(struct wbi_session *session, uint64_t now_ms)
{
	struct wbi_list *next;

	session->carrier->session = NULL;
	session->carrier = NULL;
	session->detached_ms = now_ms;
	session->gone_count = 0;
	for (struct wbi_list *node = session->calls.next; node != &session->calls; node = next) {
		struct wbi_call *call = WBI_CALL_OF(node);

		next = node->next;
		if (call->state == WBI_CALL_RELEASED)
			wbi_call_free(call);
		else
			wbi_call_rewind(call);
	}
}

static bool same_secret(const uint8_t *a, const uint8_t *b)
{
	unsigned differs = 0;

	for (unsigned i = 0; i < WBI_SECRET_BYTES; i++)
		differs |= a[i] ^ b[i];
	return !differs;
}

static bool choose_digest(const struct wbi_session *session, const struct wbi_hello *hello,
			  enum wb_digest_kind *ret_kind)
{
	static const char *const usual[] = {"xxh128", "sha256", NULL};
	const char *const *names = session->config.digests ? session->config.digests : usual;

	for (; *names; names++) {
		if (wb_digest_by_name(*names, ret_kind) && hello->has_digest[*ret_kind])
			return true;
	}
	return false;
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static enum wb_err refuse(struct wbi_carrier *carrier, const char *code, const char *text,
			  struct wb_fault *fault)
{
	wbi_carrier_refuse(carrier, code, false, text);
	return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0, "hello: %s", text);
}

static enum wb_err attach_server(struct wbi_session *session, struct wbi_carrier *carrier,
				 struct wb_fault *fault)
{
	const struct wbi_hello *hello = &carrier->hello;
	enum wb_digest_kind digest;

	if (carrier->state != WBI_CARRIER_ASKING)
		return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0, "hello: it was not said");
	if (memcmp(session->id, hello->session, WBI_SESSION_ID_BYTES) != 0 ||
	    !same_secret(session->secret, hello->secret))
		return refuse(carrier, "refused", "wrong secret for this session", fault);
	if (hello->epoch <= session->epoch)
		return refuse(carrier, "stale", "a later connection has this session", fault);
	if (!choose_digest(session, hello, &digest))
		return refuse(carrier, "digest", "no digest that both sides know", fault);
	if (session->carrier)
		wbi_carrier_report(session->carrier, "superseded", false,
				   "a later connection has taken this session", NULL, 0);
	if (!session->since) {
		session->since = hello->epoch;
		session->digest = digest;
	}
	session->epoch = hello->epoch;
	session->peer_calls = hello->calls;
	session->peer_streams = hello->streams;
	session->chunk_bytes = least(session->config.limits.chunk_bytes, hello->chunk_bytes);
	session->suspended = session->expired = session->expired_told = false;
	carrier->due |= WBI_DUE_WELCOME;
	wbi_carrier_set_state(carrier, WBI_CARRIER_LIVE);
	if (session->since < session->epoch) {
		carrier->due |= WBI_DUE_HAVES | WBI_DUE_SYNCED;
		wbi_carrier_set_state(carrier, WBI_CARRIER_SYNCING);
	}
	return WB_OK;
}

enum wb_err wbi_session_attach(struct wbi_session *session, struct wbi_carrier *carrier,
			       uint64_t now_ms, struct wb_fault *fault)
{
	carrier->now_ms = carrier->heard_ms = now_ms;
	if (session->config.role == WBI_SERVER) {
		enum wb_err err = attach_server(session, carrier, fault);

		if (err)
			return err;
	} else {
		if (carrier->state != WBI_CARRIER_FRESH)
			return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0,
					    "attach: not a fresh connection");
		if (session->carrier)
			wbi_carrier_end(session->carrier, "replaced");
		session->epoch++;
		carrier->due |= WBI_DUE_HELLO;
		wbi_carrier_set_state(carrier, WBI_CARRIER_GREETING);
	}
	carrier->head_ms = WBI_NEVER_MS;
	session->carrier = carrier;
	carrier->session = session;
	return WB_OK;
}

/* The calls that both sides know go on; the client asks again for those that never arrived. */
static void client_call_live(struct wbi_session *session, struct wbi_call *call)
{
	switch (call->state) {
	case WBI_CALL_NEW:
	case WBI_CALL_OPENING:
		if (call->listed)
			wbi_call_announce(call);
		else
			wbi_list_append(&session->opens, &call->control_node);
		break;
	case WBI_CALL_RUNNING:
		if (call->listed)
			wbi_call_announce(call);
		else
			wbi_result_lost(call, "gone", "the server no longer knows the call");
		break;
	case WBI_CALL_ENDED:
		call->announced = call->listed;
		break;
	case WBI_CALL_RELEASED:
		if (!call->listed) {
			wbi_call_free(call);
			break;
		}
		call->due = WBI_DUE_FORGET;
		wbi_call_announce(call);
		break;
	case WBI_CALL_ENDING:
		break;
	}
}

static void server_call_live(struct wbi_call *call)
{
	if (call->listed) {
		wbi_call_announce(call);
		return;
	}
	wbi_call_bury(call);
	wbi_call_notice(call);
}

void wbi_session_go_live(struct wbi_session *session)
{
	struct wbi_list *next;

	wbi_carrier_set_state(session->carrier, WBI_CARRIER_LIVE);
	for (struct wbi_list *node = session->calls.next; node != &session->calls; node = next) {
		struct wbi_call *call = WBI_CALL_OF(node);

		next = node->next;
		if (session->config.role == WBI_CLIENT)
			client_call_live(session, call);
		else
			server_call_live(call);
	}
}

/* Client: what was sent to that server may have run there, and nobody can say. */
void wbi_session_lose(struct wbi_session *session, const char *text)
{
	for (struct wbi_list *node = session->calls.next; node != &session->calls;
	     node = node->next) {
		struct wbi_call *call = WBI_CALL_OF(node);

		if (call->state == WBI_CALL_OPENING || call->state == WBI_CALL_RUNNING)
			wbi_result_lost(call, "lost", text);
	}
}

void wbi_session_give_up(struct wbi_session *session)
{
	struct wbi_list *next;

	if (session->carrier)
		wbi_carrier_end(session->carrier, "given up");
	for (struct wbi_list *node = session->calls.next; node != &session->calls; node = next) {
		struct wbi_call *call = WBI_CALL_OF(node);

		next = node->next;
		if (session->config.role == WBI_SERVER)
			server_call_live(call);
		else if (call->state == WBI_CALL_NEW)
			wbi_result_lost(call, "unsent", "no byte of it was ever sent");
		else if (!wbi_call_over(call))
			wbi_result_lost(call, "lost", "the session was given up");
	}
}

void wbi_session_suspend(struct wbi_session *session)
{
	if (session->carrier && session->config.role == WBI_CLIENT)
		session->carrier->due |= WBI_DUE_SUSPEND;
}

void wbi_session_continue(struct wbi_session *session)
{
	if (!session->carrier)
		return;
	session->carrier->due &= ~(unsigned)WBI_DUE_SUSPEND;
	session->carrier->quiet = false;
}

void wbi_session_bye(struct wbi_session *session)
{
	if (session->carrier)
		session->carrier->due |= WBI_DUE_BYE;
}

static enum wbi_event_kind call_notice(struct wbi_session *session, struct wbi_event *ret_event)
{
	struct wbi_call *call = WBI_CONTAINER(session->notices.next, struct wbi_call, notice_node);

	wbi_list_remove(&call->notice_node);
	ret_event->call = call;
	return session->config.role == WBI_CLIENT ? WBI_EVENT_EXIT : WBI_EVENT_FORGET;
}

enum wbi_event_kind wbi_session_event(struct wbi_session *session, struct wbi_event *ret_event)
{
	*ret_event = (struct wbi_event){.session = session};
	if (!wbi_list_empty(&session->notices)) {
		ret_event->kind = call_notice(session, ret_event);
	} else if (session->expired && !session->expired_told) {
		session->expired_told = true;
		ret_event->kind = WBI_EVENT_EXPIRED;
	}
	return ret_event->kind;
}

void wbi_session_hold_at_least(struct wbi_session *session, uint32_t hold_ms)
{
	if (session->hold_ms < hold_ms)
		session->hold_ms = hold_ms;
}

void wbi_session_end_suspension(struct wbi_session *session)
{
	session->suspended = false;
}

uint64_t wbi_session_deadline(const struct wbi_session *session)
{
	if (session->config.role != WBI_SERVER || session->carrier || session->suspended ||
	    session->expired)
		return WBI_NEVER_MS;
	return session->detached_ms + session->hold_ms;
}

void wbi_session_tick(struct wbi_session *session, uint64_t now_ms)
{
	if (wbi_session_deadline(session) <= now_ms)
		session->expired = true;
}
