/* A session's connection: what it writes at once, and what it lets wait for company. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "conn/session_conn.h"
#include "transport/mem.h"

enum { CLIENT_END, SERVER_END, PATIENCE_MS = 4, START_MS = 1000, SOURCE_BYTES = 1 << 19 };

static uint8_t scratch[WBI_SESSION_SCRATCH_BYTES], content[SOURCE_BYTES];

/* What the server's stream reads from. */
struct bytes {
	struct wbi_source source;
};

static struct wbi_slice peek(struct wbi_source *source, uint64_t offset, size_t most)
{
	(void)source;
	return (struct wbi_slice){content + offset, most};
}

static const struct wbi_source_ops ops = {.peek = peek};

static struct {
	uint64_t now_ms;
	struct wbi_mem_pair *pair;
	struct wbi_session_config config[2];
	struct wbi_session *session[2];
	struct wbi_session_conn conn[2];
	struct wbi_call *call[2];
	bool opened, forgotten;
	uint64_t got_bytes;
} world;

static void on_client(struct wbi_session_conn *conn, enum wbi_event_kind kind,
		      struct wbi_event *event)
{
	(void)conn;
	world.opened |= kind == WBI_EVENT_OPENED;
	if (kind != WBI_EVENT_DATA)
		return;
	world.got_bytes += event->data.bytes;
	wbi_stream_consume(event->stream, event->data.bytes);
}

static void on_server(struct wbi_session_conn *conn, enum wbi_event_kind kind,
		      struct wbi_event *event)
{
	if (kind == WBI_EVENT_HELLO) {
		assert_int_equal(wbi_session_new(&world.config[SERVER_END], event->hello->session,
						 event->hello->secret, world.now_ms,
						 &world.session[SERVER_END], NULL),
				 WB_OK);
		assert_int_equal(wbi_session_attach(world.session[SERVER_END], conn->carrier,
						    world.now_ms, NULL),
				 WB_OK);
	}
	if (kind == WBI_EVENT_OPEN)
		world.call[SERVER_END] = event->call;
	world.forgotten |= kind == WBI_EVENT_FORGET;
}

static void process(int end)
{
	wbi_session_conn_process(&world.conn[end], WBI_READ, world.now_ms);
}

/* Both, as often as it takes for everything that is not to wait. */
static void settle(void)
{
	for (int i = 0; i < 50; i++)
		process(i % 2);
}

static void connect_both(void)
{
	uint8_t id[WBI_SESSION_ID_BYTES] = {1}, secret[WBI_SECRET_BYTES] = {2};
	struct wbi_mem_faults faults = {.capacity = 1 << 21};
	wbi_session_conn_fn *const fns[] = {on_client, on_server};

	assert_int_equal(wbi_mem_pair_new(&faults, &world.pair), WB_OK);
	for (int end = 0; end < 2; end++) {
		struct wbi_carrier *carrier;

		world.config[end] = (struct wbi_session_config){
			.role = end == CLIENT_END ? WBI_CLIENT : WBI_SERVER,
			.limits = wbi_session_limits_default,
			.agent = "test"};
		assert_int_equal(wbi_carrier_new(&world.config[end], world.now_ms, &carrier),
				 WB_OK);
		wbi_session_conn_init(&world.conn[end], wbi_mem_end(world.pair, end), carrier,
				      scratch, fns[end]);
	}
	assert_int_equal(wbi_session_new(&world.config[CLIENT_END], id, secret, world.now_ms,
					 &world.session[CLIENT_END], NULL),
			 WB_OK);
	assert_int_equal(wbi_session_attach(world.session[CLIENT_END],
					    world.conn[CLIENT_END].carrier, world.now_ms, NULL),
			 WB_OK);
	settle();
}

static int setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	world.now_ms = START_MS;
	connect_both();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int end = 0; end < 2; end++) {
		wbi_session_conn_done(&world.conn[end]);
		wbi_session_free(world.session[end]);
	}
	wbi_mem_pair_free(world.pair);
	return 0;
}

/* A call that the server has accepted. */
static void begin(uint16_t up)
{
	const struct wbi_open open = {.service = "exec", .up = up, .down = 1 << 1};

	assert_int_equal(
		wbi_call_open(world.session[CLIENT_END], &open, &world.call[CLIENT_END], NULL),
		WB_OK);
	settle();
	assert_non_null(world.call[SERVER_END]);
	assert_int_equal(wbi_call_accept(world.call[SERVER_END], NULL, NULL, NULL, NULL), WB_OK);
}

static void give(struct bytes *bytes, uint64_t end, bool ended)
{
	struct wbi_stream *stream = wbi_call_stream(world.call[SERVER_END], 1);

	bytes->source.ops = &ops;
	bytes->source.end = end;
	bytes->source.ended = ended;
	if (stream->source)
		wbi_stream_wake(stream);
	else
		wbi_stream_set_source(stream, &bytes->source);
}

static void opened_waits_for_company(void **state)
{
	struct bytes bytes = {{0}};
	(void)state;

	begin(0);
	settle();
	assert_false(world.opened);
	assert_int_equal(wbi_session_conn_deadline(&world.conn[SERVER_END]),
			 START_MS + PATIENCE_MS);
	give(&bytes, 3, false);
	settle();
	assert_true(world.opened);
	assert_int_equal(world.got_bytes, 3);
	assert_true(wbi_session_conn_deadline(&world.conn[SERVER_END]) > START_MS + PATIENCE_MS);
}

static void but_not_for_ever(void **state)
{
	(void)state;

	begin(0);
	settle();
	world.now_ms += PATIENCE_MS - 1;
	settle();
	assert_false(world.opened);
	world.now_ms += 1;
	settle();
	assert_true(world.opened);
}

/* Else its owner is called again and again, for as long as the patience lasts. */
static void what_waits_asks_for_no_room(void **state)
{
	struct wbi_session_conn *conn = &world.conn[SERVER_END];
	(void)state;

	begin(0);
	conn->writing = true; /* as a full turn leaves it */
	wbi_session_conn_process(conn, WBI_WRITE, world.now_ms);
	process(CLIENT_END);
	assert_false(world.opened);
	assert_int_equal(wbi_session_conn_wants(conn), WBI_READ);
	assert_int_equal(wbi_session_conn_deadline(conn), START_MS + PATIENCE_MS);
}

static void nor_where_the_client_may_wait_for_it(void **state)
{
	(void)state;

	begin(1 << 0);
	settle();
	assert_true(world.opened);
}

static void forget_goes_with_the_next_open(void **state)
{
	(void)state;

	begin(0);
	wbi_call_exit(world.call[SERVER_END], &(struct wbi_exit){.outcome = WBI_OUTCOME_EXITED});
	settle();
	wbi_call_release(world.call[CLIENT_END]);
	settle();
	assert_false(world.forgotten);
	begin(0);
	assert_true(world.forgotten);
}

/* Flowing data is answered with few credits; a source that can keep no more, at once. */
static void credit(bool full)
{
	struct bytes bytes = {{0}};
	const struct wbi_stream *stream;

	begin(0);
	give(&bytes, 1000, false);
	settle();
	stream = wbi_call_stream(world.call[SERVER_END], 1);
	assert_int_equal(stream->acknowledged, 0);
	bytes.source.full = full;
	give(&bytes, 2000, false);
	settle();
	assert_int_equal(world.got_bytes, 2000);
	assert_int_equal(stream->acknowledged, full ? 2000 : 0);
	world.now_ms += PATIENCE_MS;
	settle();
	assert_int_equal(stream->acknowledged, 2000);
}

static void a_small_credit_waits(void **state)
{
	(void)state;
	credit(false);
}

static void not_where_the_sender_is_full(void **state)
{
	(void)state;
	credit(true);
}

static void a_large_credit_does_not_wait(void **state)
{
	struct bytes bytes = {{0}};
	const struct wbi_stream *stream;
	(void)state;

	begin(0);
	stream = wbi_call_stream(world.call[SERVER_END], 1);
	for (uint64_t end = 1000; end <= 100000; end += 1000) {
		give(&bytes, end, false);
		settle();
	}
	assert_int_equal(world.got_bytes, 100000);
	assert_true(stream->acknowledged >= 100000 - 16384);
	assert_int_equal(world.now_ms, START_MS);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(opened_waits_for_company),       CASE(but_not_for_ever),
		CASE(what_waits_asks_for_no_room),    CASE(nor_where_the_client_may_wait_for_it),
		CASE(forget_goes_with_the_next_open), CASE(a_small_credit_waits),
		CASE(not_where_the_sender_is_full),   CASE(a_large_credit_does_not_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
