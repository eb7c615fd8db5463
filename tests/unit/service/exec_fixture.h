/* What the tests of exec share: real engines on both sides, joined in memory, and a real loop for
 * the commands. The server's part does what a worker does, without threads and sockets.
 *
 * We are the subreaper, so that what a command leaves behind can be waited for. */
#ifndef EXEC_FIXTURE_H
#define EXEC_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conn/session_conn.h"
#include "service/call_service.h"
#include "service/exec.h"
#include "sys/clock.h"
#include "sys/fd.h"
#include "transport/mem.h"

enum { DEADLINE_MS = 20000, PEERS = 2, CAPACITY = 1 << 20, COMMAND_MAX = 8 };

struct fixture;

/* A client's session, the server's side of it, and what joins them now. */
struct peer {
	struct fixture *fixture;
	struct wbi_session *client, *server; /* server: NULL before the first hello */
	struct wbi_mem_pair *pair;           /* NULL: cut */
	struct wbi_session_conn client_conn, server_conn;
	bool resumed;
};

struct fixture {
	struct wbi_loop *loop;
	struct wb_limits limits;
	struct wbi_job_env jobs;
	struct wbi_audit audit;
	struct wbi_registry *registry;
	struct wbi_keys *keys;
	struct wbi_grant *grant;
	struct wbi_call_env env;
	struct wbi_session_config client_config, server_config;
	struct wbi_pool pool; /* of windows, the worker's */
	struct peer peers[PEERS];
	uint8_t *scratch;
	char folder[40];
	unsigned fds_before;
	bool moved;
};

static inline unsigned count_fds(void)
{
	unsigned count = 0;
	DIR *folder = opendir("/proc/self/fd");

	assert_non_null(folder);
	while (readdir(folder) != NULL)
		count++;
	closedir(folder);
	return count;
}

/* ---- a command as its client sees it ---- */

struct command {
	struct wbi_call *call;
	uint64_t job;
	bool opened, exited, pty;
	bool stopped; /* reads nothing at present */
	struct wbi_result result;
	struct {
		struct wbi_buf buf;
		uint64_t unread; /* arrived, and not consumed yet */
		uint64_t bytes;  /* in all */
		bool eof, held_open;
	} out[2];
	bool counts_only; /* output is checked for being one byte and counted, not kept */
	struct {
		struct wbi_source source;
		const char *text; /* NULL: 'i' for ever up to `end` */
	} in;
	bool input_reset;
};

static inline struct wbi_slice input_peek(struct wbi_source *source, uint64_t offset, size_t most)
{
	static char filler[65536];
	struct command *command = WBI_CONTAINER(source, struct command, in.source);
	uint64_t left = source->end - offset;

	if (left < most)
		most = (size_t)left;
	if (command->in.text)
		return (struct wbi_slice){(const uint8_t *)command->in.text + offset, most};
	memset(filler, 'i', sizeof(filler));
	return (struct wbi_slice){(const uint8_t *)filler,
				  most < sizeof(filler) ? most : sizeof(filler)};
}

static const struct wbi_source_ops input_ops = {.peek = input_peek};

static inline void client_data(struct command *command, struct wbi_event *event)
{
	int i = event->stream->number - 1;

	command->out[i].bytes += event->data.bytes;
	if (!command->counts_only)
		assert_int_equal(
			wbi_buf_append(&command->out[i].buf, event->data.data, event->data.bytes),
			WB_OK);
	if (command->stopped)
		command->out[i].unread += event->data.bytes;
	else
		wbi_stream_consume(event->stream, event->data.bytes);
}

static inline void client_event(struct peer *peer, enum wbi_event_kind kind,
				struct wbi_event *event)
{
	struct command *command = event->call ? event->call->owner : NULL;

	if (kind == WBI_EVENT_RESUMED)
		peer->resumed = true;
	if (kind == WBI_EVENT_ERROR)
		print_message("client: %s: %s\n", event->problem->code, event->problem->text);
	if (!command)
		return;
	if (kind == WBI_EVENT_OPENED) {
		command->opened = true;
		assert_int_equal(wb_header_get_integer(event->header, "job", &command->job, NULL),
				 WB_OK);
		assert_int_equal(wb_header_get_bool(event->header, "pty", &command->pty, NULL),
				 WB_OK);
	} else if (kind == WBI_EVENT_DATA) {
		client_data(command, event);
	} else if (kind == WBI_EVENT_EOF) {
		command->out[event->stream->number - 1].eof = true;
		command->out[event->stream->number - 1].held_open = event->stream->held_open;
	} else if (kind == WBI_EVENT_RESET) {
		command->input_reset = true;
	} else if (kind == WBI_EVENT_EXIT) {
		command->exited = true;
		command->result = event->call->result;
	}
}

static inline void on_client(struct wbi_session_conn *conn, enum wbi_event_kind kind,
			     struct wbi_event *event)
{
	struct peer *peer = WBI_CONTAINER(conn, struct peer, client_conn);

	peer->fixture->moved = true;
	client_event(peer, kind, event);
}

/* ---- the server's side: what a worker does ---- */

static inline void tell_connected(struct peer *peer, bool connected)
{
	struct wbi_list *calls = &peer->server->calls;

	for (struct wbi_list *node = calls->next; node != calls; node = node->next) {
		struct wbi_served_call *call = WBI_CONTAINER(node, struct wbi_call, node)->owner;
		if (call)
			call->service->connected(call, connected);
	}
}

static inline void server_hello(struct peer *peer, struct wbi_event *event)
{
	uint64_t now_ms = wbi_clock_ms();

	if (!peer->server) {
		assert_int_equal(wbi_session_new(&peer->fixture->server_config,
						 event->hello->session, event->hello->secret,
						 now_ms, &peer->server, NULL),
				 WB_OK);
		peer->server->owner = peer;
	}
	assert_int_equal(wbi_session_attach(peer->server, peer->server_conn.carrier, now_ms, NULL),
			 WB_OK);
}

/* "exec", or "attach" with the fields of cli and worker left out: the test says what to attach. */
static inline void server_open(struct peer *peer, struct wbi_event *event)
{
	uint64_t job;

	if (strcmp(event->call->service, "attach") != 0) {
		wbi_exec_service.open(&peer->fixture->env, event);
		return;
	}
	assert_int_equal(wb_header_get_integer(event->header, "job", &job, NULL), WB_OK);
	wbi_exec_attach(&peer->fixture->env, job, wb_header_text_is(event->header, "from", "start"),
			event);
}

static inline void server_event(struct peer *peer, enum wbi_event_kind kind,
				struct wbi_event *event)
{
	struct wbi_served_call *served = event->call ? event->call->owner : NULL;

	switch (kind) {
	case WBI_EVENT_HELLO:
		server_hello(peer, event);
		return;
	case WBI_EVENT_OPEN:
		server_open(peer, event);
		return;
	case WBI_EVENT_RESUMED:
		tell_connected(peer, true);
		return;
	case WBI_EVENT_ERROR:
		print_message("server: %s: %s\n", event->problem->code, event->problem->text);
		return;
	default:
		break;
	}
	if (served && kind == WBI_EVENT_FORGET)
		event->call->owner = NULL;
	if (served)
		served->service->event(served, kind, event);
}

static inline void on_server(struct wbi_session_conn *conn, enum wbi_event_kind kind,
			     struct wbi_event *event)
{
	struct peer *peer = WBI_CONTAINER(conn, struct peer, server_conn);

	peer->fixture->moved = true;
	server_event(peer, kind, event);
}

static inline void on_kick(struct wbi_session *session)
{
	((struct peer *)session->owner)->fixture->moved = true;
}

static inline const struct wbi_principal *principal_of(struct wbi_session *session)
{
	static struct wbi_principal self;
	(void)session;

	self = (struct wbi_principal){.kind = WBI_PRINCIPAL_UID, .uid = getuid()};
	return &self;
}

static inline const struct wbi_grant *grant_of(struct wbi_session *session)
{
	return ((struct peer *)session->owner)->fixture->grant;
}

static inline const char *client_of(struct wbi_session *session)
{
	(void)session;
	return "test\x1b";
}

/* ---- connecting, cutting, moving ---- */

static inline void connect_peer(struct peer *peer)
{
	const struct wbi_mem_faults faults = {.capacity = CAPACITY};
	struct fixture *fixture = peer->fixture;
	struct wbi_carrier *client, *server;
	uint64_t now_ms = wbi_clock_ms();

	assert_int_equal(wbi_mem_pair_new(&faults, &peer->pair), WB_OK);
	assert_int_equal(wbi_carrier_new(&fixture->client_config, now_ms, &client), WB_OK);
	assert_int_equal(wbi_carrier_new(&fixture->server_config, now_ms, &server), WB_OK);
	wbi_session_conn_init(&peer->client_conn, wbi_mem_end(peer->pair, 0), client,
			      fixture->scratch, on_client);
	wbi_session_conn_init(&peer->server_conn, wbi_mem_end(peer->pair, 1), server,
			      fixture->scratch, on_server);
	assert_int_equal(wbi_session_attach(peer->client, client, now_ms, NULL), WB_OK);
}

/* What is on its way is lost. */
static inline void cut(struct peer *peer)
{
	if (!peer->pair)
		return;
	wbi_session_conn_done(&peer->client_conn);
	wbi_session_conn_done(&peer->server_conn);
	wbi_mem_pair_free(peer->pair);
	peer->pair = NULL;
	if (peer->server)
		tell_connected(peer, false);
}

/* The session is not held any longer (or the daemon ends). */
static inline void drop_server(struct peer *peer)
{
	cut(peer);
	if (!peer->server)
		return;
	for (struct wbi_list *node = peer->server->calls.next; node != &peer->server->calls;
	     node = node->next) {
		struct wbi_served_call *call = WBI_CONTAINER(node, struct wbi_call, node)->owner;
		WBI_CONTAINER(node, struct wbi_call, node)->owner = NULL;
		if (call)
			call->service->drop(call);
	}
	wbi_session_free(peer->server);
	peer->server = NULL;
}

static inline void step(struct fixture *fixture)
{
	bool moved = fixture->moved;

	fixture->moved = false;
	assert_int_equal(wbi_loop_turn(fixture->loop, moved ? 0 : 5, NULL), WB_OK);
	for (int i = 0; i < PEERS; i++) {
		struct peer *peer = &fixture->peers[i];
		if (!peer->pair)
			continue;
		wbi_session_conn_process(&peer->client_conn, WBI_READ | WBI_WRITE, wbi_clock_ms());
		wbi_session_conn_process(&peer->server_conn, WBI_READ | WBI_WRITE, wbi_clock_ms());
		fixture->moved |= peer->client_conn.writing || peer->server_conn.writing;
	}
}

#define RUN_UNTIL(fixture, condition)                                                              \
	do {                                                                                       \
		uint64_t until_ms = wbi_clock_ms() + DEADLINE_MS;                                  \
		while (!(condition)) {                                                             \
			if (wbi_clock_ms() > until_ms)                                             \
				fail_msg("this has not come: %s", #condition);                     \
			step(fixture);                                                             \
		}                                                                                  \
	} while (0)

/* ---- asking ---- */

struct ask {
	const char *const *argv; /* NULL-terminated */
	const char *const *env;
	const char *folder;
	bool shell, pty, no_input;
	uint16_t rows, cols;
	uint64_t timeout_ms, hold_ms;
	const char *on_disconnect;
	const char *input;    /* NULL: nothing yet, and it stays open */
	uint64_t input_bytes; /* without `input`: so many 'i' */
	bool counts_only, stopped;
	const char *key; /* NULL: none */
	uint64_t attach; /* the job; 0: exec */
	bool from_start;
	unsigned argc, envc; /* filled in */
};

static inline void put_ask(struct wb_header_writer *writer, void *context)
{
	const struct ask *ask = context;

	if (ask->attach) {
		wb_header_put_integer(writer, "job", ask->attach);
		wb_header_put_string(writer, "from", ask->from_start ? "start" : "left");
		return;
	}
	wb_header_put_integer(writer, "argc", ask->argc);
	wb_header_put_integer(writer, "envc", ask->envc);
	if (ask->folder)
		wb_header_put_bool(writer, "cwd", true);
	if (ask->shell)
		wb_header_put_bool(writer, "shell", true);
	if (ask->pty) {
		wb_header_put_bool(writer, "pty", true);
		wb_header_put_integer(writer, "rows", ask->rows);
		wb_header_put_integer(writer, "cols", ask->cols);
		wb_header_put_string(writer, "term", "xterm-waybill");
	}
	if (ask->timeout_ms)
		wb_header_put_integer(writer, "timeout_ms", ask->timeout_ms);
	if (ask->hold_ms)
		wb_header_put_integer(writer, "hold_ms", ask->hold_ms);
	if (ask->on_disconnect)
		wb_header_put_string(writer, "on_disconnect", ask->on_disconnect);
}

static inline void add_string(struct wbi_buf *payload, const char *text)
{
	assert_int_equal(wbi_buf_append(payload, text, strlen(text) + 1), WB_OK);
}

static inline void make_payload(struct ask *ask, struct wbi_buf *payload)
{
	for (; ask->argv && ask->argv[ask->argc]; ask->argc++)
		add_string(payload, ask->argv[ask->argc]);
	for (; ask->env && ask->env[ask->envc]; ask->envc++)
		add_string(payload, ask->env[ask->envc]);
	if (ask->folder)
		add_string(payload, ask->folder);
}

static inline void give_input(struct command *command, const char *text, uint64_t bytes, bool ended)
{
	struct wbi_stream *stream = wbi_call_stream(command->call, 0);

	command->in.text = text;
	command->in.source.end = text ? strlen(text) : bytes;
	command->in.source.ended = ended;
	if (stream->source)
		wbi_stream_wake(stream);
	else
		wbi_stream_set_source(stream, &command->in.source);
}

static inline void begin(struct peer *peer, struct ask ask, struct command *command)
{
	struct wbi_buf payload;
	struct wbi_open open = {
		.service = ask.attach ? "attach" : "exec",
		.key = ask.key,
		.up = ask.no_input ? 0 : 1,
		.down = ask.pty ? 1 << 1 : 1 << 1 | 1 << 2,
		.put_fields = put_ask,
		.context = &ask,
	};

	*command = (struct command){.counts_only = ask.counts_only, .stopped = ask.stopped};
	command->in.source.ops = &input_ops;
	wbi_buf_init(&command->out[0].buf, 64 << 20);
	wbi_buf_init(&command->out[1].buf, 64 << 20);
	wbi_buf_init(&payload, 4 << 20);
	make_payload(&ask, &payload);
	open.payload = wbi_buf_peek(&payload);
	assert_int_equal(wbi_call_open(peer->client, &open, &command->call, NULL), WB_OK);
	command->call->owner = command;
	if (ask.input || ask.input_bytes)
		give_input(command, ask.input, ask.input_bytes, true);
	wbi_buf_done(&payload);
}

/* The client reads again. */
static inline void go_on(struct command *command)
{
	command->stopped = false;
	for (unsigned i = 0; i < 2; i++) {
		struct wbi_stream *stream = wbi_call_stream(command->call, i + 1);
		if (stream)
			wbi_stream_consume(stream, command->out[i].unread);
		command->out[i].unread = 0;
	}
}

/* The client has what it wants. */
static inline void end(struct fixture *fixture, struct command *command)
{
	struct wbi_session *session = command->call ? command->call->session : NULL;
	uint32_t others = session ? session->call_count - 1 : 0;

	if (command->call)
		wbi_call_release(command->call);
	command->call = NULL;
	wbi_buf_done(&command->out[0].buf);
	wbi_buf_done(&command->out[1].buf);
	fixture->moved = true;
	step(fixture);
	/* `forget` waits a moment for company. */
	RUN_UNTIL(fixture, !session || !session->carrier || session->call_count <= others);
	step(fixture);
}

static inline const char *text_of(struct command *command, int stream)
{
	struct wbi_buf *buf = &command->out[stream - 1].buf;
	const char *text;

	assert_int_equal(wbi_buf_append(buf, "", 1), WB_OK);
	text = (const char *)wbi_buf_peek(buf).data;
	buf->tail--;
	return text;
}

static inline bool has_text(struct command *command, const char *text)
{
	return strstr(text_of(command, 1), text) != NULL;
}

static inline void run(struct fixture *fixture, struct ask ask, struct command *command)
{
	begin(&fixture->peers[0], ask, command);
	RUN_UNTIL(fixture, command->exited);
}

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})
#define SH(line)  ARGV("/bin/sh", "-c", line)

/* ---- around each test ---- */

static inline int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	fixture->fds_before = count_fds();
	strcpy(fixture->folder, "/tmp/waybill-exec-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	fixture->limits = wb_limits_default;
	fixture->limits.held_open_ms = 50;
	fixture->scratch = malloc(WBI_SESSION_SCRATCH_BYTES);
	assert_int_equal(wbi_loop_new(&fixture->loop, NULL), WB_OK);
	assert_int_equal(wbi_job_env_init(&fixture->jobs, fixture->loop, &fixture->limits,
					  fixture->folder, 0, NULL),
			 WB_OK);
	wbi_audit_init(&fixture->audit, STDERR_FILENO, WBI_AUDIT_TEXT);
	assert_int_equal(wbi_grant_new(true, &fixture->grant), WB_OK);
	assert_int_equal(wbi_registry_new(100, &fixture->registry), WB_OK);
	assert_int_equal(wbi_keys_new(&fixture->keys), WB_OK);
	fixture->env = (struct wbi_call_env){
		.loop = fixture->loop,
		.jobs = &fixture->jobs,
		.registry = fixture->registry,
		.keys = fixture->keys,
		.audit = &fixture->audit,
		.limits = &fixture->limits,
		.kick = on_kick,
		.principal = principal_of,
		.client = client_of,
		.grant = grant_of,
	};
	fixture->client_config = (struct wbi_session_config){
		.role = WBI_CLIENT, .limits = wbi_session_limits_default, .agent = "test"};
	fixture->server_config = fixture->client_config;
	fixture->server_config.role = WBI_SERVER;
	fixture->pool = (struct wbi_pool){.limit_bytes = 64 << 20};
	fixture->server_config.pool = &fixture->pool;
	for (int i = 0; i < PEERS; i++) {
		struct peer *peer = &fixture->peers[i];
		uint8_t id[WBI_SESSION_ID_BYTES] = {(uint8_t)i};
		uint8_t secret[WBI_SECRET_BYTES] = {(uint8_t)i};
		peer->fixture = fixture;
		assert_int_equal(wbi_session_new(&fixture->client_config, id, secret,
						 wbi_clock_ms(), &peer->client, NULL),
				 WB_OK);
		connect_peer(peer);
	}
	*state = fixture;
	return 0;
}

/* Whatever a test did: no descriptor, process, file, job or byte of an account is left. */
static inline int teardown(void **state)
{
	struct fixture *fixture = *state;
	struct wbi_registry_entry entry;

	for (int i = 0; i < PEERS; i++) {
		drop_server(&fixture->peers[i]);
		wbi_session_free(fixture->peers[i].client);
	}
	wbi_exec_done(&fixture->env);
	assert_int_equal(fixture->pool.used_bytes, 0);
	assert_true(wbi_list_empty(&fixture->jobs.records));
	assert_int_equal(wbi_registry_list(fixture->registry, principal_of(NULL), 0, &entry, 1), 0);
	wbi_job_env_done(&fixture->jobs);
	assert_int_equal(fixture->jobs.spool.bytes, 0);
	assert_int_equal(fixture->jobs.log_memory.bytes, 0);
	wbi_registry_free(fixture->registry);
	wbi_keys_free(fixture->keys);
	wbi_grant_free(fixture->grant);
	wbi_loop_free(fixture->loop);
	free(fixture->scratch);
	assert_int_equal(count_fds(), fixture->fds_before);
	assert_int_equal(rmdir(fixture->folder), 0);
	alarm(DEADLINE_MS / 1000); /* ends the program if something lives on */
	while (waitpid(-1, NULL, 0) > 0)
		;
	assert_int_equal(errno, ECHILD);
	alarm(0);
	free(fixture);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static inline void become_reaper(void)
{
	signal(SIGCHLD, SIG_DFL); /* an ignored one would be inherited from whoever started us */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

#endif
