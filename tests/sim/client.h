/* The simulator's client: it opens what the seed has planned, and believes nothing. */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include "server.h"

struct errand {
	bool answered, ended, released;
	struct wbi_call *call;
	struct feed feed;
	struct sink sinks[STREAMS_MAX];
	unsigned signals, resizes;
	bool cancelled;
};

static struct {
	struct wbi_session *session;
	struct wbi_pool pool;
	struct errand errands[CALLS_MAX + 1];
	unsigned opened_count;
	uint64_t asleep_until; /* stopped by ^Z */
	uint64_t dial_at;
	uint8_t old_hello[4096]; /* to be sent again, late */
	size_t old_hello_bytes;
	unsigned successes;
} client;

static void client_init(void)
{
	struct wbi_session_config config = make_config(WBI_CLIENT);
	uint8_t id[WBI_SESSION_ID_BYTES], secret[WBI_SECRET_BYTES];

	memset(&client, 0, sizeof(client));
	memset(id, 1, sizeof(id));
	memset(secret, 2, sizeof(secret));
	client.pool = (struct wbi_pool){.limit_bytes = below(400000)};
	config.pool = &client.pool;
	CHECK(!wbi_session_new(&config, id, secret, sim.now_ms, &client.session, NULL));
}

static void put_tag(struct wb_header_writer *writer, void *context)
{
	wb_header_put_integer(writer, "tag", *(const uint64_t *)context);
}

static void client_open_next(void)
{
	uint64_t id = ++client.opened_count;
	const struct plan *plan = &plans[id];
	struct errand *errand = &client.errands[id];
	struct wbi_open open = {.service = "exec",
				.key = chance(300) ? "a key" : NULL,
				.up = plan->up,
				.down = plan->down,
				.undigested = plan->undigested,
				.payload = {content(id, 9, 0), plan->payload_bytes},
				.put_fields = put_tag,
				.context = &id};

	CHECK(!wbi_call_open(client.session, &open, &errand->call, NULL));
	CHECK(errand->call->id == id);
	errand->call->owner = errand;
	feed_init(&errand->feed, id, 0);
	for (unsigned i = 1; i < STREAMS_MAX; i++)
		sink_init(&errand->sinks[i], id, i);
	if (plan->up & 1)
		wbi_stream_set_source(wbi_call_stream(errand->call, 0), &errand->feed.source);
}

static bool client_open(void)
{
	if (client.opened_count == plan_count || client.session->call_count == limits.calls)
		return false;
	if (chance(30))
		client_open_next();
	return true; /* it thinks */
}

/* No success without `exit` and every `eof`. */
static void check_success(const struct errand *errand)
{
	const struct wbi_call *call = errand->call;

	CHECK(server.starts[call->id] == 1);
	CHECK(call->result.exit.code == plans[call->id].code);
	for (unsigned i = 1; i < STREAMS_MAX; i++) {
		const struct sink *sink = &errand->sinks[i];

		if (!(plans[call->id].down >> i & 1) || sink->reset)
			continue;
		CHECK(sink->ended && sink->offset == plans[call->id].end[i]);
	}
	client.successes++;
}

static void client_exit(struct errand *errand)
{
	const struct wbi_result *result = &errand->call->result;
	const struct plan *plan = &plans[errand->call->id];

	CHECK(!errand->ended);
	errand->ended = true;
	errand->feed.dead = true;
	switch (result->exit.outcome) {
	case WBI_OUTCOME_EXITED:
		CHECK(result->complete && !result->missing[0]);
		check_success(errand);
		break;
	case WBI_OUTCOME_CANCELLED:
		CHECK(errand->cancelled);
		break;
	case WBI_OUTCOME_REFUSED:
		CHECK(plan->refuse && !strcmp(result->exit.error, "policy"));
		break;
	case WBI_OUTCOME_LOST:
		CHECK(may_lose && !result->complete);
		break;
	default:
		CHECK(!"an outcome that nobody gave");
	}
}

static void client_event(const struct wbi_event *event)
{
	struct errand *errand = event->call ? event->call->owner : NULL;

	CHECK(!event->call || (errand && !errand->released));
	switch (event->kind) {
	case WBI_EVENT_OPENED:
		CHECK(!errand->answered && !errand->ended);
		errand->answered = true;
		break;
	case WBI_EVENT_DATA:
		CHECK(errand->answered && !errand->ended);
		sink_take(&errand->sinks[event->stream->number], event);
		break;
	case WBI_EVENT_EOF:
		sink_end(&errand->sinks[event->stream->number], event);
		break;
	case WBI_EVENT_RESET:
		errand->feed.dead = true;
		break;
	case WBI_EVENT_EXIT:
		client_exit(errand);
		break;
	default:
		break;
	}
}

static void keep_hello(const struct conn *conn)
{
	const struct pipe *pipe = &conn->pipes[UP];

	if (!pipe->span_count || pipe->spans[0].end > sizeof(client.old_hello) ||
	    pipe->spans[0].end > pipe->written)
		return;
	client.old_hello_bytes = pipe->spans[0].end;
	memcpy(client.old_hello, pipe->data, client.old_hello_bytes);
}

/* conn->clone: another process that holds the same secret; it has no calls of its own. */
static bool client_read(struct conn *conn)
{
	struct wbi_event event;
	bool any = false;

	while (conn->carriers[0] && conn_read(conn, 0, &event) != WBI_EVENT_NONE) {
		any = true;
		if (event.kind == WBI_EVENT_WELCOME && !conn->clone && chance(200))
			keep_hello(conn);
		if (event.kind == WBI_EVENT_ERROR)
			check_problem(event.problem);
		else if (event.kind == WBI_EVENT_CLOSED)
			conn_end(conn, 0);
		else if (conn->clone)
			may_lose |= event.kind == WBI_EVENT_WELCOME;
		else
			client_event(&event);
	}
	return any;
}

static bool client_dial(struct wbi_session *session)
{
	struct wbi_session_config server_config = make_config(WBI_SERVER);
	struct wbi_session_config client_config = make_config(WBI_CLIENT);
	struct conn *conn = conn_open();

	if (!conn)
		return false;
	CHECK(!wbi_carrier_new(&client_config, sim.now_ms, &conn->carriers[0]));
	CHECK(!wbi_carrier_new(&server_config, sim.now_ms, &conn->carriers[1]));
	CHECK(!wbi_session_attach(session, conn->carriers[0], sim.now_ms, NULL));
	return true;
}

static void errand_signals(struct errand *errand, const struct plan *plan)
{
	char name[WBI_SIGNAL_NAME_MAX];

	if (errand->signals < plan->signals && chance(200)) {
		enum wb_err err;

		snprintf(name, sizeof(name), "S%u", errand->signals + 1);
		err = wbi_call_signal(errand->call, name);
		CHECK(!err || err == WB_ERR_LIMIT);
		errand->signals += !err;
	}
	if (errand->resizes < plan->resizes && chance(200))
		wbi_call_resize(errand->call, (uint16_t)++errand->resizes, 80);
	if (plan->cancels && !errand->cancelled && chance(60)) {
		errand->cancelled = true;
		wbi_call_cancel(errand->call);
	}
}

static bool errand_reads(struct errand *errand, const struct plan *plan)
{
	bool any = false;

	for (unsigned i = 1; i < STREAMS_MAX; i++) {
		struct sink *sink = &errand->sinks[i];
		struct wbi_stream *stream = wbi_call_stream(errand->call, i);

		if (!stream || sink->reset)
			continue;
		any |= chance(500) && sink_consume(sink, stream);
		if (i == 1 && plan->client_resets && !sink->ended && !errand->ended && chance(60)) {
			sink->reset = any = true;
			wbi_stream_reset(stream);
		}
	}
	return any;
}

static bool errand_step(struct errand *errand, const struct plan *plan)
{
	bool any = false, all_read = true;

	if (!errand->ended) {
		errand_signals(errand, plan);
		if ((plan->up & 1) && !errand->feed.dead && chance(500) &&
		    feed_more(&errand->feed)) {
			wbi_stream_wake(wbi_call_stream(errand->call, 0));
			any = true;
		}
	}
	any |= errand_reads(errand, plan);
	for (unsigned i = 1; i < STREAMS_MAX; i++)
		all_read &= !errand->sinks[i].held || errand->sinks[i].reset;
	if ((errand->ended && (all_read || chance(50))) || (plan->abandons && chance(20))) {
		errand->released = any = true;
		wbi_call_release(errand->call);
		errand->feed.dead = true;
		errand->call = NULL;
	}
	return any;
}

static bool client_step(void)
{
	bool any = client_open();

	for (unsigned id = 1; id <= client.opened_count; id++) {
		struct errand *errand = &client.errands[id];

		if (!errand->released && chance(600))
			any |= errand_step(errand, &plans[id]);
	}
	return any;
}

/* ^Z: says so, and then does nothing for a while. */
static void client_suspend(void)
{
	struct conn *conn = NULL;

	for (unsigned i = 0; i < CONNS_MAX; i++) {
		if (conns[i].used && !conns[i].clone && conns[i].carriers[0])
			conn = &conns[i];
	}
	if (!conn || !client.session->carrier)
		return;
	wbi_session_suspend(client.session);
	for (int i = 0; i < 20 && conn_write(conn, 0); i++)
		;
	client.asleep_until = sim.now_ms + below(200000);
}

static bool all_done(void)
{
	if (client.opened_count < plan_count)
		return false;
	for (unsigned id = 1; id <= plan_count; id++) {
		if (!client.errands[id].released)
			return false;
	}
	return !client.session->call_count && (!server.session || !server.session->call_count);
}

#endif
