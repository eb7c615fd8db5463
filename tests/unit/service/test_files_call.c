/* A call that moves files, with an engine that moves none: it gives back what it gets, each byte
 * one higher. What is looked at is the thread, its rings, and every way to an end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "conn/session_conn.h"
#include "service/files_call.h"
#include "sys/clock.h"
#include "transport/mem.h"

enum { DEADLINE_MS = 60000, CAPACITY = 1 << 18, BYTES = 24 << 20, PIECE = 64 * 1024 };

/* ---- the engine ---- */

static struct {
	enum wb_err begin_err;
	uint64_t fail_at; /* a step fails once so much was used; 0: never */
	bool deaf;        /* uses nothing */
	bool partly;
	atomic_uint steps, ended;
} echo;

static enum wb_err echo_begin(struct wbi_files_call *files, int root, const char **error,
			      struct wb_fault *fault)
{
	assert_int_equal(root, AT_FDCWD);
	if (echo.begin_err) {
		*error = "not-found";
		return wb_fault_set(fault, echo.begin_err, NULL, 0, "it is not there");
	}
	files->engine = calloc(1, sizeof(uint64_t));
	return files->engine ? WB_OK : WB_ERR_NOMEM;
}

static enum wb_err echo_step(struct wbi_files_call *files, struct wbi_files_step *step,
			     struct wb_fault *fault)
{
	uint64_t *used = files->engine;
	size_t bytes = step->in.bytes < step->room ? step->in.bytes : step->room;

	atomic_fetch_add(&echo.steps, 1);
	if (echo.deaf)
		bytes = 0;
	for (size_t i = 0; i < bytes; i++)
		step->out[i] = (uint8_t)(step->in.data[i] + 1);
	step->used = step->written = bytes;
	*used += bytes;
	if (echo.fail_at && *used >= echo.fail_at) {
		step->error = "digest";
		return wb_fault_set(fault, WB_ERR_MALFORMED, NULL, 0, "as it was told to");
	}
	step->done = step->in_ended && step->in.bytes == bytes;
	step->partly = echo.partly;
	return WB_OK;
}

static bool echo_busy(struct wbi_files_call *files)
{
	(void)files;
	return false;
}

static void echo_end(struct wbi_files_call *files)
{
	atomic_fetch_add(&echo.ended, 1);
	free(files->engine);
	files->engine = NULL;
}

static const struct wbi_files_ops echo_ops = {echo_begin, echo_step, echo_busy, echo_end};

static void echo_open(struct wbi_call_env *env, struct wbi_event *event);

static const struct wbi_call_service echo_service = {
	.name = "echo", .open = echo_open, .event = wbi_files_event, .drop = wbi_files_drop};

static void echo_open(struct wbi_call_env *env, struct wbi_event *event)
{
	wbi_files_open(env, event, &echo_service, &echo_ops, true, NULL, false);
}

/* ---- a client and a worker, without sockets ---- */

struct world {
	struct wbi_loop *loop;
	struct wb_limits limits;
	struct wbi_files_claims claims;
	struct wbi_call_env env;
	struct wbi_session_config configs[2];
	struct wbi_session *client, *server;
	struct wbi_mem_pair *pair; /* NULL: cut */
	struct wbi_session_conn conns[2];
	uint8_t *scratch;
	bool moved;

	struct wbi_call *call;
	struct wbi_source source;
	uint64_t got;
	bool wrong, opened, exited;
	struct wbi_result result;
};

static struct world *world_of(struct wbi_session *session)
{
	return session->owner;
}

static void kick(struct wbi_session *session)
{
	world_of(session)->moved = true;
}

static struct wbi_slice pattern_peek(struct wbi_source *source, uint64_t offset, size_t most)
{
	static uint8_t bytes[PIECE + 251];
	uint64_t left = source->end - offset;

	if (!bytes[1])
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)(i % 251);
	if (most > PIECE)
		most = PIECE;
	return (struct wbi_slice){bytes + offset % 251, left < most ? (size_t)left : most};
}

static const struct wbi_source_ops pattern_ops = {.peek = pattern_peek};

static void client_data(struct world *world, const struct wbi_event *event)
{
	for (size_t i = 0; i < event->data.bytes; i++)
		if (event->data.data[i] != (world->got + i) % 251 + 1)
			world->wrong = true;
	world->got += event->data.bytes;
	wbi_stream_consume(event->stream, event->data.bytes);
}

static void on_client(struct wbi_session_conn *conn, enum wbi_event_kind kind,
		      struct wbi_event *event)
{
	struct world *world = WBI_CONTAINER(conn, struct world, conns[0]);

	world->moved = true;
	if (kind == WBI_EVENT_OPENED)
		world->opened = true;
	else if (kind == WBI_EVENT_DATA)
		client_data(world, event);
	else if (kind == WBI_EVENT_EXIT) {
		world->exited = true;
		world->result = event->call->result;
	}
}

static void hello(struct world *world, struct wbi_event *event)
{
	if (!world->server) {
		assert_int_equal(wbi_session_new(&world->configs[1], event->hello->session,
						 event->hello->secret, wbi_clock_ms(),
						 &world->server, NULL),
				 WB_OK);
		world->server->owner = world;
	}
	assert_int_equal(
		wbi_session_attach(world->server, world->conns[1].carrier, wbi_clock_ms(), NULL),
		WB_OK);
}

static void on_server(struct wbi_session_conn *conn, enum wbi_event_kind kind,
		      struct wbi_event *event)
{
	struct world *world = WBI_CONTAINER(conn, struct world, conns[1]);
	struct wbi_served_call *served = event->call ? event->call->owner : NULL;

	world->moved = true;
	if (kind == WBI_EVENT_HELLO)
		hello(world, event);
	else if (kind == WBI_EVENT_OPEN)
		echo_open(&world->env, event);
	else if (served) {
		if (kind == WBI_EVENT_FORGET)
			event->call->owner = NULL;
		served->service->event(served, kind, event);
	}
}

static void join(struct world *world)
{
	const struct wbi_mem_faults faults = {.capacity = CAPACITY};

	assert_int_equal(wbi_mem_pair_new(&faults, &world->pair), WB_OK);
	for (int i = 0; i < 2; i++) {
		struct wbi_carrier *carrier;
		assert_int_equal(wbi_carrier_new(&world->configs[i], wbi_clock_ms(), &carrier),
				 WB_OK);
		wbi_session_conn_init(&world->conns[i], wbi_mem_end(world->pair, i), carrier,
				      world->scratch, i == 0 ? on_client : on_server);
	}
	assert_int_equal(
		wbi_session_attach(world->client, world->conns[0].carrier, wbi_clock_ms(), NULL),
		WB_OK);
}

static void cut(struct world *world)
{
	if (!world->pair)
		return;
	wbi_session_conn_done(&world->conns[0]);
	wbi_session_conn_done(&world->conns[1]);
	wbi_mem_pair_free(world->pair);
	world->pair = NULL;
}

static void step(struct world *world)
{
	bool moved = world->moved;

	world->moved = false;
	assert_int_equal(wbi_loop_turn(world->loop, moved ? 0 : 5, NULL), WB_OK);
	for (int i = 0; i < 2 && world->pair; i++) {
		wbi_session_conn_process(&world->conns[i], WBI_READ | WBI_WRITE, wbi_clock_ms());
		world->moved = world->moved || world->conns[i].writing;
	}
}

#define RUN_UNTIL(world, condition)                                                                \
	do {                                                                                       \
		uint64_t until_ms = wbi_clock_ms() + DEADLINE_MS;                                  \
		while (!(condition)) {                                                             \
			if (wbi_clock_ms() > until_ms)                                             \
				fail_msg("this has not come: %s", #condition);                     \
			step(world);                                                               \
		}                                                                                  \
	} while (0)

static int set_up(void **state)
{
	static const uint8_t id[WBI_SESSION_ID_BYTES + WBI_SECRET_BYTES] = {1};
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	memset(&echo, 0, sizeof(echo));
	assert_int_equal(wbi_loop_new(&world->loop, NULL), WB_OK);
	world->limits = wb_limits_default;
	world->env = (struct wbi_call_env){.loop = world->loop,
					   .limits = &world->limits,
					   .claims = &world->claims,
					   .kick = kick};
	wbi_list_init(&world->env.transfers);
	wbi_files_claims_init(&world->claims);
	for (int i = 0; i < 2; i++)
		world->configs[i] =
			(struct wbi_session_config){.role = i == 0 ? WBI_CLIENT : WBI_SERVER,
						    .limits = wbi_session_limits_default,
						    .agent = "test",
						    .open_fields = wbi_call_fields};
	world->scratch = malloc(WBI_SESSION_SCRATCH_BYTES);
	assert_int_equal(wbi_session_new(&world->configs[0], id, id + WBI_SESSION_ID_BYTES,
					 wbi_clock_ms(), &world->client, NULL),
			 WB_OK);
	world->client->owner = world;
	join(world);
	*state = world;
	return 0;
}

/* What a worker does to a session that nobody comes back to. */
static void drop_server(struct world *world)
{
	cut(world);
	if (!world->server)
		return;
	for (struct wbi_list *node = world->server->calls.next; node != &world->server->calls;
	     node = node->next) {
		struct wbi_served_call *served = WBI_CONTAINER(node, struct wbi_call, node)->owner;
		if (served)
			served->service->drop(served);
	}
	wbi_session_free(world->server);
	world->server = NULL;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	drop_server(world);
	wbi_files_done(&world->env);
	assert_true(wbi_list_empty(&world->env.transfers));
	wbi_files_claims_done(&world->claims);
	wbi_session_free(world->client);
	wbi_loop_free(world->loop);
	free(world->scratch);
	free(world);
	return 0;
}

static void put_request(struct wb_header_writer *writer, void *context)
{
	wb_header_put_integer(writer, "paths", *(unsigned *)context);
}

static void begin_with(struct world *world, unsigned paths, uint64_t bytes, bool ended)
{
	struct wbi_open open = {
		.service = "echo",
		.up = 1 << 0,
		.down = 1 << 1,
		.undigested = 1 << 0 | 1 << 1,
		.payload = {(const uint8_t *)"path", sizeof("path")},
		.put_fields = put_request,
		.context = &paths,
	};

	assert_int_equal(wbi_call_open(world->client, &open, &world->call, NULL), WB_OK);
	world->source = (struct wbi_source){.ops = &pattern_ops, .end = bytes, .ended = ended};
	wbi_stream_set_source(wbi_call_stream(world->call, 0), &world->source);
	world->moved = true;
}

static void begin(struct world *world, uint64_t bytes, bool ended)
{
	begin_with(world, 1, bytes, ended);
}

static bool all_gone(const struct world *world)
{
	return wbi_list_empty(&world->env.transfers) && world->claims.running == 0;
}

/* ---- the tests ---- */

static void assert_echoed(struct world *world)
{
	RUN_UNTIL(world, world->exited);
	assert_int_equal(world->result.exit.outcome, WBI_OUTCOME_EXITED);
	assert_true(world->result.complete);
	assert_int_equal(world->got, BYTES);
	assert_false(world->wrong);
	wbi_call_release(world->call);
	world->moved = true;
	RUN_UNTIL(world, all_gone(world));
	assert_int_equal(echo.ended, 1);
}

static void test_echo(void **state)
{
	struct world *world = *state;

	begin(world, BYTES, true);
	assert_echoed(world);
	assert_int_equal(world->result.exit.code, 0);
}

static void test_partly(void **state)
{
	struct world *world = *state;

	echo.partly = true;
	begin(world, BYTES, true);
	assert_echoed(world);
	assert_int_equal(world->result.exit.code, 1);
}

/* A connection that is lost loses no byte of either ring. */
static void test_cuts(void **state)
{
	struct world *world = *state;

	begin(world, BYTES, true);
	for (uint64_t at = 1; at < BYTES; at += BYTES / 20) {
		RUN_UNTIL(world, world->got >= at || world->exited);
		cut(world);
		join(world);
	}
	assert_echoed(world);
}

static void test_engine_fails(void **state)
{
	struct world *world = *state;

	echo.fail_at = BYTES / 2;
	begin(world, BYTES, true);
	RUN_UNTIL(world, world->exited);
	assert_int_equal(world->result.exit.outcome, WBI_OUTCOME_FAILED);
	assert_string_equal(world->result.exit.error, "digest");
	assert_string_equal(world->result.exit.text, "as it was told to");
	assert_true(world->got >= echo.fail_at); /* what it wrote before arrives */
	assert_false(world->wrong);
}

static void test_cannot_begin(void **state)
{
	struct world *world = *state;

	echo.begin_err = WB_ERR_SYSTEM;
	begin(world, BYTES, true);
	RUN_UNTIL(world, world->exited);
	assert_int_equal(world->result.exit.outcome, WBI_OUTCOME_FAILED);
	assert_string_equal(world->result.exit.error, "not-found");
	assert_int_equal(echo.ended, 1);
}

/* One that waits for input, and one that is in the middle of it. */
static void cancel_after(struct world *world, uint64_t bytes)
{
	begin(world, bytes, false);
	RUN_UNTIL(world, world->got >= bytes / 2 && world->opened);
	wbi_call_cancel(world->call);
	world->moved = true;
	RUN_UNTIL(world, world->exited);
	assert_int_equal(world->result.exit.outcome, WBI_OUTCOME_CANCELLED);
	assert_int_equal(echo.ended, 1);
}

static void test_cancel_idle(void **state)
{
	cancel_after(*state, 0);
}

static void test_cancel_busy(void **state)
{
	cancel_after(*state, BYTES);
}

/* The client takes no answers any more. */
static void test_reset(void **state)
{
	struct world *world = *state;

	begin(world, BYTES, true);
	RUN_UNTIL(world, world->got > 0);
	wbi_stream_reset(wbi_call_stream(world->call, 1));
	world->moved = true;
	RUN_UNTIL(world, world->exited);
	assert_int_equal(world->result.exit.outcome, WBI_OUTCOME_CANCELLED);
}

/* A client that forgets its call in the middle. */
static void test_forget(void **state)
{
	struct world *world = *state;

	begin(world, BYTES, false);
	RUN_UNTIL(world, world->got > 0);
	wbi_call_release(world->call);
	world->moved = true;
	RUN_UNTIL(world, all_gone(world));
	assert_int_equal(echo.ended, 1);
}

/* A session that expires; its thread ends by itself. */
static void test_drop(void **state)
{
	struct world *world = *state;

	begin(world, BYTES, true);
	RUN_UNTIL(world, world->got > 0);
	drop_server(world);
	world->moved = true;
	RUN_UNTIL(world, all_gone(world));
}

/* The worker ends, and its loop with it: see tear_down. */
static void test_end_of_the_worker(void **state)
{
	struct world *world = *state;

	begin(world, BYTES, true);
	RUN_UNTIL(world, world->got > 0);
}

/* No more is kept than the windows say, and an engine that can do nothing is not asked over and
 * over.
 */
static void test_deaf_engine(void **state)
{
	struct world *world = *state;
	unsigned steps;
	int quiet = 0;

	echo.deaf = true;
	begin(world, BYTES, true);
	RUN_UNTIL(world, (quiet = world->moved ? 0 : quiet + 1) == 10);
	assert_true(wbi_call_stream(world->call, 0)->offset <=
		    WBI_WINDOW_OWN + wbi_session_limits_default.window_max_bytes);
	steps = echo.steps;
	assert_int_not_equal(steps, 0);
	for (int i = 0; i < 20; i++)
		step(world);
	assert_int_equal(echo.steps, steps);
}

static void test_refusals(void **state)
{
	struct world *world = *state;

	begin_with(world, 2, 0, true);
	RUN_UNTIL(world, world->exited);
	assert_int_equal(world->result.exit.outcome, WBI_OUTCOME_REFUSED);
	assert_string_equal(world->result.exit.error, "malformed");
	assert_true(all_gone(world));
	wbi_call_release(world->call);
	world->exited = false;
	world->limits.transfers = 0;
	begin(world, 0, true);
	RUN_UNTIL(world, world->exited);
	assert_int_equal(world->result.exit.outcome, WBI_OUTCOME_REFUSED);
	assert_string_equal(world->result.exit.error, "limit");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_echo),
		TEST(test_partly),
		TEST(test_cuts),
		TEST(test_engine_fails),
		TEST(test_cannot_begin),
		TEST(test_cancel_idle),
		TEST(test_cancel_busy),
		TEST(test_reset),
		TEST(test_forget),
		TEST(test_drop),
		TEST(test_end_of_the_worker),
		TEST(test_deaf_engine),
		TEST(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
