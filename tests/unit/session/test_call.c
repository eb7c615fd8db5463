/* Calls from `open` to `forget`, in every split of the bytes; what counts as success; signals and
 * such. */
#include "pair.h"

static const struct wbi_exit exit_3 = {.outcome = WBI_OUTCOME_EXITED, .code = 3};

/* A whole call with all three streams; `step` bytes arrive at a time. */
static void whole_call(size_t step)
{
	struct pair pair;
	struct wbi_call *call;
	struct bytes in = make_bytes("input", 0, 5), out = make_bytes("output", 0, 6);

	pair_init(&pair);
	pair.step = step;
	pair_connect(&pair);
	assert_log(&pair, 0, "welcome ");
	assert_log(&pair, 1, "hello ");
	call = pair_open(&pair, 1 << 0, 1 << 1 | 1 << 2);
	wbi_stream_set_source(wbi_call_stream(call, 0), &in.source);
	pair_pump(&pair);
	assert_string_equal(pair.payload, "true");
	assert_string_equal(pair.call[1]->service, "exec");
	assert_int_equal(call->state, WBI_CALL_OPENING);
	assert_int_equal(wbi_call_accept(pair.call[1], NULL, NULL, NULL, NULL), WB_OK);
	wbi_stream_set_source(wbi_call_stream(pair.call[1], 1), &out.source);
	wbi_call_exit(pair.call[1], &exit_3);
	pair_pump(&pair);
	assert_int_equal(call->state, WBI_CALL_ENDED);
	assert_int_equal(call->result.exit.outcome, WBI_OUTCOME_EXITED);
	assert_int_equal(call->result.exit.code, 3);
	assert_true(call->result.complete);
	assert_int_equal(pair.got[0].bytes, 5);
	assert_memory_equal(pair.got[0].data, "input", 5);
	assert_int_equal(pair.got[1].bytes, 6);
	assert_memory_equal(pair.got[1].data, "output", 6);
	wbi_call_release(call);
	pair_pump(&pair);
	assert_int_equal(pair.session[0]->call_count, 0);
	assert_non_null(strstr(pair.log[1], "forget "));
	pair_read(&pair, 1, pair.wire[0].read);
	assert_int_equal(pair.session[1]->call_count, 0);
	assert_int_equal(pair.session[0]->pool.used_bytes, 0);
	assert_int_equal(pair.session[1]->pool.used_bytes, 0);
	pair_done(&pair);
}

static void test_whole_call(void **state)
{
	(void)state;
	whole_call(0);
	for (size_t step = 1; step < 200; step += step < 20 ? 1 : 17)
		whole_call(step);
}

/* A served call whose result is made to lack something by a server that lies. */
static void liar_of(uint16_t undigested, const char *eof, const char *exit, const char *missing)
{
	const struct wbi_open open = {.service = "exec", .down = 1 << 1, .undigested = undigested};
	struct pair pair;
	struct wbi_call *call;

	pair_init(&pair);
	pair_connect(&pair);
	assert_int_equal(wbi_call_open(pair.session[0], &open, &call, NULL), WB_OK);
	pair_pump(&pair);
	pair_forge(&pair, 1, "{\"op\":\"opened\",\"id\":1}", "");
	pair_forge(&pair, 1,
		   "{\"op\":\"data\",\"id\":1,\"stream\":1,\"offset\":0,\"total_size\":3}", "abc");
	if (eof)
		pair_forge(&pair, 1, eof, "");
	pair_forge(&pair, 1, exit, "");
	pair_deliver(&pair, 0);
	assert_int_equal(call->state, WBI_CALL_ENDED);
	assert_int_equal(call->result.exit.outcome, WBI_OUTCOME_EXITED);
	assert_string_equal(call->result.missing, missing);
	assert_int_equal(call->result.complete, !missing[0]);
	pair_done(&pair);
}

static void liar(const char *eof, const char *exit, const char *missing)
{
	liar_of(0, eof, exit, missing);
}

#define EXIT_0(bytes) "{\"op\":\"exit\",\"id\":1,\"outcome\":\"exited\",\"code\":0" bytes "}"
#define EOF_3(digest)                                                                              \
	"{\"op\":\"eof\",\"id\":1,\"stream\":1,\"from\":0,\"offset\":3,\"digest\":\"" digest "\"}"
#define EOF_3_BARE "{\"op\":\"eof\",\"id\":1,\"stream\":1,\"from\":0,\"offset\":3}"
/* xxh128 of "abc" */
#define RIGHT "06b05ab6733a618578af5f94892f3950"

static void test_success_is_never_assumed(void **state)
{
	(void)state;
	liar(EOF_3(RIGHT), EXIT_0(",\"bytes\":{\"1\":3}"), "");
	liar(NULL, EXIT_0(",\"bytes\":{\"1\":3}"), "stream 1: it has no eof");
	liar(EOF_3(RIGHT), EXIT_0(""), "stream 1: nobody said how many bytes it had");
	liar(EOF_3(RIGHT), EXIT_0(",\"bytes\":{\"1\":4}"),
	     "stream 1: another number of bytes arrived");
	liar(EOF_3("00000000000000000000000000000000"), EXIT_0(",\"bytes\":{\"1\":3}"),
	     "stream 1: its digest differs");
}

static void test_success_without_a_digest(void **state)
{
	(void)state;
	liar_of(1 << 1, EOF_3_BARE, EXIT_0(",\"bytes\":{\"1\":3}"), "");
	liar_of(1 << 1, NULL, EXIT_0(",\"bytes\":{\"1\":3}"), "stream 1: it has no eof");
	liar_of(1 << 1, EOF_3_BARE, EXIT_0(",\"bytes\":{\"1\":4}"),
		"stream 1: another number of bytes arrived");
}

static void test_signals_resize_cancel(void **state)
{
	struct pair pair;
	struct wbi_call *call;

	(void)state;
	pair_init(&pair);
	pair_connect(&pair);
	call = pair_open(&pair, 0, 0);
	pair_pump(&pair);
	assert_log(&pair, 1, "hello open ");
	for (int i = 0; i < WBI_SIGNALS_MAX; i++)
		assert_int_equal(wbi_call_signal(call, "INT"), WB_OK);
	assert_int_equal(wbi_call_signal(call, "INT"), WB_ERR_LIMIT);
	assert_int_equal(wbi_call_signal(call, ""), WB_ERR_ARGUMENT);
	pair_pump(&pair);
	pair.log[1][0] = '\0';
	assert_int_equal(pair.call[1]->signal_last, WBI_SIGNALS_MAX);
	assert_int_equal(wbi_call_signal(call, "TERM"), WB_OK);
	wbi_call_resize(call, 24, 80);
	wbi_call_resize(call, 25, 81);
	wbi_call_cancel(call);
	wbi_call_cancel(call);
	pair_pump(&pair);
	assert_log(&pair, 1, "signal resize cancel ");
	assert_string_equal(pair.signal, "TERM");
	assert_int_equal(pair.call[1]->rows, 25);
	assert_int_equal(pair.call[1]->cols, 81);
	assert_int_equal(call->signal_count, 0);
	/* What has arrived is delivered once, however often it is said, the last as well. */
	pair_forge(&pair, 0, "{\"op\":\"signal\",\"id\":1,\"n\":17,\"name\":\"TERM\"}", "");
	pair_forge(&pair, 0, "{\"op\":\"signal\",\"id\":1,\"n\":1,\"name\":\"INT\"}", "");
	pair_forge(&pair, 0, "{\"op\":\"cancel\",\"id\":1}", "");
	pair_pump(&pair);
	assert_log(&pair, 1, "");
	wbi_call_exit(pair.call[1], &(struct wbi_exit){.outcome = WBI_OUTCOME_CANCELLED});
	pair_pump(&pair);
	assert_int_equal(call->result.exit.outcome, WBI_OUTCOME_CANCELLED);
	assert_int_equal(wbi_call_signal(call, "INT"), WB_ERR_CLOSED);
	pair_done(&pair);
}

static void test_exit_says_everything(void **state)
{
	struct pair pair;
	struct wbi_call *call;
	struct wbi_exit end = {.outcome = WBI_OUTCOME_SIGNALED,
			       .signal = "SEGV",
			       .core = true,
			       .error = "policy",
			       .text = "because \"it\" is so\n",
			       .has_usage = true,
			       .user_ms = 5,
			       .system_ms = 6,
			       .memory_bytes = 7};

	(void)state;
	pair_init(&pair);
	pair_connect(&pair);
	call = pair_open(&pair, 0, 0);
	pair_pump(&pair);
	wbi_call_exit(pair.call[1], &end);
	wbi_call_exit(pair.call[1], &exit_3);
	pair_pump(&pair);
	assert_memory_equal(&call->result.exit, &end, sizeof(end));
	pair_done(&pair);
}

static void test_open_refuses_bad_arguments(void **state)
{
	struct pair pair;
	struct wbi_call *call = NULL;
	struct wb_fault fault;
	uint8_t large[16] = {0};
	struct wbi_open open = {.service = "", .down = 2};

	(void)state;
	pair_init(&pair);
	pair.session[0]->config.limits.calls = 1;
	assert_int_equal(wbi_call_open(pair.session[0], &open, &call, &fault), WB_ERR_ARGUMENT);
	open.service = "exec";
	open.up = 2;
	assert_int_equal(wbi_call_open(pair.session[0], &open, &call, &fault), WB_ERR_ARGUMENT);
	open.up = 0;
	open.undigested = 4;
	assert_int_equal(wbi_call_open(pair.session[0], &open, &call, &fault), WB_ERR_ARGUMENT);
	assert_string_equal(fault.field, "undigested");
	open.undigested = 0;
	open.down = 0xffff;
	assert_int_equal(wbi_call_open(pair.session[0], &open, &call, &fault), WB_ERR_LIMIT);
	open.down = 2;
	open.payload = (struct wbi_slice){large, sizeof(large)};
	pair.session[0]->peer_open_bytes = sizeof(large) - 1;
	assert_int_equal(wbi_call_open(pair.session[0], &open, &call, &fault), WB_ERR_LIMIT);
	pair.session[0]->peer_open_bytes = sizeof(large);
	assert_int_equal(wbi_call_open(pair.session[0], &open, &call, &fault), WB_OK);
	assert_int_equal(wbi_call_open(pair.session[0], &open, &call, &fault), WB_ERR_LIMIT);
	wbi_call_release(pair.session[0]->last ? pair.session[0]->last : call);
	assert_int_equal(pair.session[0]->call_count, 0);
	assert_int_equal(pair.session[0]->pool.used_bytes, 0);
	pair_done(&pair);
}

/* What a server accepts at once, a client keeps to, whatever it has to ask. */
static void test_opens_wait_for_room(void **state)
{
	struct pair pair;
	struct wbi_call *first, *second;

	(void)state;
	pair_init(&pair);
	pair.config[1].limits.calls = 1;
	pair_connect(&pair);
	first = pair_open(&pair, 0, 0);
	second = pair_open(&pair, 0, 0);
	pair_pump(&pair);
	assert_int_equal(first->state, WBI_CALL_OPENING);
	assert_int_equal(second->state, WBI_CALL_NEW);
	wbi_call_exit(pair.call[1], &exit_3);
	pair_pump(&pair);
	assert_int_equal(second->state, WBI_CALL_NEW);
	wbi_call_release(first);
	pair_pump(&pair);
	assert_int_equal(second->state, WBI_CALL_OPENING);
	assert_int_equal(pair.call[1]->id, 2);
	pair_done(&pair);
}

static void test_outcome_names(void **state)
{
	enum wbi_outcome outcome;

	(void)state;
	for (int i = WBI_OUTCOME_EXITED; i <= WBI_OUTCOME_LOST; i++) {
		assert_true(wbi_outcome_by_name(wbi_outcome_name((enum wbi_outcome)i), &outcome));
		assert_int_equal(outcome, i);
	}
	assert_false(wbi_outcome_by_name("fine", &outcome));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_call),
		cmocka_unit_test(test_success_is_never_assumed),
		cmocka_unit_test(test_success_without_a_digest),
		cmocka_unit_test(test_signals_resize_cancel),
		cmocka_unit_test(test_exit_says_everything),
		cmocka_unit_test(test_open_refuses_bad_arguments),
		cmocka_unit_test(test_opens_wait_for_room),
		cmocka_unit_test(test_outcome_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
