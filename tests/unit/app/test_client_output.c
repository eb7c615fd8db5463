/* The client's side of output: callbacks that change their mind while they hold a piece of it. */
#include "client_seen.h"

enum { BYTES = 3000000 };

enum manner {
	TAKES_NOTHING,
	TAKES_TOO_MUCH, /* or says so */
};

/* A reader that has had enough of stdout at `close_at`, and says so within `output`. */
struct leaver {
	struct seen seen;
	enum manner manner;
	size_t close_at;
	bool closed;
};

static size_t leave_in_output(struct wb_call *call, unsigned stream, const void *data, size_t bytes,
			      void *context)
{
	struct leaver *leaver = context;
	struct wbi_buf *output = &leaver->seen.outputs[stream];

	assert_false(stream == WB_STDOUT && leaver->closed);
	assert_int_equal(wbi_buf_append(output, data, bytes), WB_OK);
	if (stream == WB_STDOUT && wbi_buf_bytes(output) >= leaver->close_at) {
		leaver->closed = true;
		wb_call_close_output(call, WB_STDOUT);
		return leaver->manner == TAKES_NOTHING ? 0 : bytes;
	}
	return leaver->manner == TAKES_NOTHING ? bytes : bytes + 1000;
}

static const struct wb_call_callbacks leaver_callbacks = {
	.opened = on_opened, .output = leave_in_output, .ended = on_ended};

static void begin_leaver(struct leaver *leaver, const char *const *argv)
{
	begin_at(&leaver->seen, server.uri);
	assert_int_equal(wb_client_exec(leaver->seen.client,
					&(struct wb_exec){.argv = argv, .no_input = true},
					&leaver_callbacks, leaver, &leaver->seen.call, NULL),
			 WB_OK);
}

/* Whatever `output` returns after that: what it was lent is gone, nothing is kept, and the rest of
 * the call is as ever. */
static void close_within_output(enum manner manner)
{
	struct leaver leaver = {.manner = manner, .close_at = 1};

	begin_leaver(&leaver, ARGV("blast", "3000000"));
	TURN_UNTIL(leaver.seen.client, leaver.closed);
	assert_int_equal(wbi_buf_bytes(&leaver.seen.call->outputs[WB_STDOUT].kept), 0);
	TURN_UNTIL(leaver.seen.client, leaver.seen.ended);
	assert_true(leaver.seen.result.complete);
	assert_pattern(&leaver.seen, WB_STDERR, BYTES);
	finish(&leaver.seen);
}

static void closed_within_output(void **state)
{
	(void)state;
	close_within_output(TAKES_NOTHING);
}

static void closed_within_output_and_all_taken(void **state)
{
	(void)state;
	close_within_output(TAKES_TOO_MUCH);
}

/* More than was lent cannot be taken: every byte comes once. */
static void more_than_there_is(void **state)
{
	struct leaver leaver = {.manner = TAKES_TOO_MUCH, .close_at = SIZE_MAX};
	(void)state;

	begin_leaver(&leaver, ARGV("blast", "3000000"));
	TURN_UNTIL(leaver.seen.client, leaver.seen.ended);
	assert_true(leaver.seen.result.complete);
	assert_pattern(&leaver.seen, WB_STDOUT, BYTES);
	assert_pattern(&leaver.seen, WB_STDERR, BYTES);
	finish(&leaver.seen);
}

/* ---- what was kept, and is pulled ---- */

struct puller {
	struct seen seen;
	bool awake; /* until then it takes nothing */
	unsigned offers;
};

static size_t close_in_pull(struct wb_call *call, unsigned stream, const void *data, size_t bytes,
			    void *context)
{
	struct puller *puller = context;
	(void)data;
	(void)bytes;

	if (stream != WB_STDOUT || !puller->awake)
		return 0;
	puller->offers++;
	wb_call_close_output(call, WB_STDOUT);
	return 0;
}

static void closed_within_a_pull(void **state)
{
	static const struct wb_call_callbacks callbacks = {
		.opened = on_opened, .output = close_in_pull, .ended = on_ended};
	struct puller puller = {.awake = false};
	struct wb_call *call;
	(void)state;

	begin_at(&puller.seen, server.uri);
	assert_int_equal(wb_client_exec(puller.seen.client,
					&(struct wb_exec){.argv = ARGV("say", "abc", "", "0"),
							  .no_input = true},
					&callbacks, &puller, &puller.seen.call, NULL),
			 WB_OK);
	call = puller.seen.call;
	TURN_UNTIL(puller.seen.client, wb_call_result(call));
	assert_int_equal(wbi_buf_bytes(&call->outputs[WB_STDOUT].kept), 3);
	puller.awake = true;
	wb_call_pull(call, WB_STDOUT);
	assert_int_equal(puller.offers, 1);
	assert_int_equal(wbi_buf_bytes(&call->outputs[WB_STDOUT].kept), 0);
	TURN_UNTIL(puller.seen.client, puller.seen.ended);
	assert_true(puller.seen.result.complete);
	finish(&puller.seen);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, server_start, server_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SERVER(closed_within_output),
		WITH_SERVER(closed_within_output_and_all_taken),
		WITH_SERVER(more_than_there_is),
		WITH_SERVER(closed_within_a_pull),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
