/* The simulator's daemon: one session, its commands, and their appetite. */
#ifndef SIM_SERVER_H
#define SIM_SERVER_H

#include "net.h"

struct command {
	bool known; /* from `open` to `forget` */
	bool accepted, exited, cancelled;
	struct wbi_call *call;
	struct feed feeds[STREAMS_MAX];
	struct sink sink;
	unsigned signals;
};

static struct {
	struct wbi_session *session;
	struct wbi_pool pool;
	uint8_t instance;
	struct command commands[CALLS_MAX + 1];
	unsigned starts[CALLS_MAX + 1]; /* over all of the run: never above 1 */
} server;

/* Something happened after which calls may be lost with reason. */
static bool may_lose;
static bool draining; /* the daemon said `bye` */
static bool repeated; /* an `open` was put on the wire again */
static bool injected; /* bytes that are no parcel were put on a wire */

static void trace(void *context, const char *machine, uint64_t number, const char *from,
		  const char *to)
{
	printf("%6llu %8llu ms  %s %s %llu: %s -> %s\n", (unsigned long long)sim.step,
	       (unsigned long long)sim.now_ms, (const char *)context, machine,
	       (unsigned long long)number, from, to);
}

static char client_name[] = "client", server_name[] = "server";

static struct wbi_session_config make_config(enum wbi_role role)
{
	static const char *const services[] = {"exec", "attach", NULL};
	struct wbi_session_config config = {.role = role,
					    .limits = limits,
					    .agent = "sim",
					    .pool = &server.pool,
					    .services = services};

	memset(config.instance, server.instance, sizeof(config.instance));
	if (role == WBI_CLIENT)
		config.pool = NULL;
	config.trace = sim.trace ? trace : NULL;
	config.trace_context = role == WBI_CLIENT ? client_name : server_name;
	return config;
}

static void command_dies(struct command *command)
{
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		command->feeds[i].dead = true;
	command->known = false;
	command->call = NULL;
}

static void server_forgets_all(void)
{
	wbi_session_free(server.session);
	server.session = NULL;
	draining = false;
	sim.now_ms++; /* nobody frees and makes a session within the same moment */
	for (unsigned id = 1; id <= CALLS_MAX; id++)
		command_dies(&server.commands[id]);
	CHECK(server.pool.used_bytes == 0);
}

static void server_open(const struct wbi_event *event)
{
	struct wbi_call *call = event->call;
	struct command *command;
	uint64_t id = call->id, tag;

	CHECK(id >= 1 && id <= plan_count);
	CHECK(server.starts[id]++ == 0);
	CHECK(!wb_header_get_integer(event->header, "tag", &tag, NULL) && tag == id);
	CHECK(event->data.bytes == plans[id].payload_bytes);
	CHECK(!memcmp(event->data.data, content(id, 9, 0), event->data.bytes));
	CHECK(!strcmp(call->service, "exec"));
	for (unsigned i = 0; i < call->stream_count; i++)
		CHECK(call->streams[i].undigested ==
		      (plans[id].undigested >> call->streams[i].number & 1));
	command = &server.commands[id];
	*command = (struct command){.known = true, .call = call};
	call->owner = command;
	sink_init(&command->sink, id, 0);
	for (unsigned i = 1; i < STREAMS_MAX; i++)
		feed_init(&command->feeds[i], id, i);
}

static void server_event(const struct wbi_event *event)
{
	struct command *command = event->call ? event->call->owner : NULL;
	char name[WBI_SIGNAL_NAME_MAX];

	CHECK(!event->call || event->kind == WBI_EVENT_OPEN || (command && command->known));
	switch (event->kind) {
	case WBI_EVENT_OPEN:
		server_open(event);
		break;
	case WBI_EVENT_DATA:
		CHECK(!command->exited);
		sink_take(&command->sink, event);
		break;
	case WBI_EVENT_EOF:
		CHECK(command->sink.offset == plans[event->call->id].end[0]);
		sink_end(&command->sink, event);
		break;
	case WBI_EVENT_RESET:
		CHECK(!command->feeds[event->stream->number].dead);
		command->feeds[event->stream->number].dead = true;
		break;
	case WBI_EVENT_SIGNAL:
		snprintf(name, sizeof(name), "S%u", ++command->signals);
		CHECK(!strcmp(event->text, name));
		break;
	case WBI_EVENT_CANCEL:
		CHECK(!command->cancelled);
		command->cancelled = true;
		break;
	case WBI_EVENT_FORGET:
		command_dies(command);
		break;
	default:
		break;
	}
}

/* `hello`: the daemon finds the session or makes one. */
static void server_hello(struct conn *conn, const struct wbi_event *event)
{
	struct wbi_session_config config = make_config(WBI_SERVER);
	struct wb_fault fault;
	uint64_t before;

	if (faults && chance(30)) {
		wbi_carrier_refuse(conn->carriers[1], "full", true, "no room for a session");
		return;
	}
	if (!server.session)
		CHECK(!wbi_session_new(&config, event->hello->session, event->hello->secret,
				       sim.now_ms, &server.session, &fault));
	before = server.session->epoch;
	if (wbi_session_attach(server.session, conn->carriers[1], sim.now_ms, &fault))
		CHECK(fault.err == WB_ERR_REFUSED && server.session->epoch == before);
	else
		CHECK(event->hello->epoch > before);
}

static void check_problem(const struct wbi_problem *problem)
{
	static const char *const fine[] = {"stale", "superseded", "full", "timeout"};

	for (unsigned i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
		if (!strcmp(problem->code, fine[i]))
			return;
	}
	if (repeated && !strcmp(problem->text, "open: too many that are gone"))
		return;
	if (!injected || (strcmp(problem->code, "malformed") && strcmp(problem->code, "limit")))
		broken(problem->text, __FILE__, __LINE__);
}

static bool server_read(struct conn *conn)
{
	struct wbi_event event;
	bool any = false;

	while (conn->carriers[1] && conn_read(conn, 1, &event) != WBI_EVENT_NONE) {
		any = true;
		switch (event.kind) {
		case WBI_EVENT_HELLO:
			server_hello(conn, &event);
			break;
		case WBI_EVENT_BYE:
			server_forgets_all();
			break;
		case WBI_EVENT_ERROR:
			check_problem(event.problem);
			break;
		case WBI_EVENT_CLOSED:
			conn_end(conn, 1);
			if (draining && server.session && !server.session->carrier)
				server_forgets_all();
			break;
		default:
			server_event(&event);
		}
	}
	return any;
}

static void command_exit(struct command *command, uint64_t id)
{
	struct wbi_exit end = {.outcome = WBI_OUTCOME_EXITED, .code = plans[id].code};

	if (command->cancelled)
		end = (struct wbi_exit){.outcome = WBI_OUTCOME_CANCELLED};
	else if (!command->accepted)
		end = (struct wbi_exit){.outcome = WBI_OUTCOME_REFUSED, .error = "policy"};
	end.has_usage = chance(500);
	command->exited = true;
	wbi_call_exit(command->call, &end);
}

static bool command_accept(struct command *command, uint64_t id)
{
	struct wbi_call *call = command->call;
	uint64_t from[STREAMS_MAX];

	if (chance(500))
		return false;
	if (plans[id].refuse) {
		command_exit(command, id);
		return true;
	}
	for (unsigned i = 0; i < call->stream_count; i++)
		from[i] = plans[id].from[call->streams[i].number];
	CHECK(!wbi_call_accept(call, from, NULL, NULL, NULL));
	command->accepted = true;
	for (unsigned i = 0; i < call->stream_count; i++) {
		struct wbi_stream *stream = &call->streams[i];

		if (stream->sends && !command->feeds[stream->number].dead)
			wbi_stream_set_source(stream, &command->feeds[stream->number].source);
	}
	return true;
}

static bool command_feeds(struct command *command)
{
	bool any = false;

	for (unsigned i = 0; i < command->call->stream_count; i++) {
		struct wbi_stream *stream = &command->call->streams[i];
		struct feed *feed = &command->feeds[stream->number];

		if (!stream->sends || feed->dead || chance(500) || !feed_more(feed))
			continue;
		wbi_stream_wake(stream);
		any = true;
	}
	return any;
}

static bool is_fed(const struct command *command)
{
	for (unsigned i = 0; i < command->call->stream_count; i++) {
		const struct wbi_stream *stream = &command->call->streams[i];
		const struct feed *feed = &command->feeds[stream->number];

		if (stream->sends && !feed->dead && !feed->source.ended)
			return false;
	}
	return true;
}

static bool command_step(struct command *command, uint64_t id)
{
	const struct plan *plan = &plans[id];
	struct wbi_stream *stdin_stream;
	bool any;

	if (!command->accepted && !command->exited)
		return command_accept(command, id);
	if (command->exited)
		return command_feeds(command);
	any = command_feeds(command);
	stdin_stream = wbi_call_stream(command->call, 0);
	if (stdin_stream && !command->sink.reset) {
		any |= chance(600) && sink_consume(&command->sink, stdin_stream);
		if (plan->server_resets && !command->sink.ended && chance(100)) {
			command->sink.reset = any = true;
			wbi_stream_reset(stdin_stream);
		}
	}
	if (plan->needs_stdin && !command->sink.ended && !command->cancelled)
		return any;
	if (plan->runs_on && !command->cancelled)
		return any;
	/* The outcome may be known before all output was read from the pipes. */
	if (is_fed(command) || chance(50)) {
		command_exit(command, id);
		any = true;
	}
	return any;
}

static bool server_step(void)
{
	bool any = false;

	for (unsigned id = 1; id <= plan_count; id++) {
		struct command *command = &server.commands[id];

		if (command->known && chance(600))
			any |= command_step(command, id);
	}
	return any;
}

/* Events that are owed without a connection. */
static void server_session_events(void)
{
	struct wbi_event event;

	if (!server.session || server.session->carrier)
		return;
	wbi_session_tick(server.session, sim.now_ms);
	while (server.session && wbi_session_event(server.session, &event)) {
		if (event.kind == WBI_EVENT_EXPIRED) {
			CHECK(!server.session->suspended);
			may_lose = true;
			server_forgets_all();
		} else {
			server_event(&event);
		}
	}
}

/* Power fails: nothing is left, and nobody is told but by the network. */
static void server_restart(void)
{
	may_lose = true;
	server_forgets_all();
	server.instance++;
	for (unsigned i = 0; i < CONNS_MAX; i++) {
		if (!conns[i].used || conns[i].told[1])
			continue;
		conns[i].cut = true;
		conn_end(&conns[i], 1);
	}
}

#endif
