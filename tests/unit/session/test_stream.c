/* Streams: pools, credit, windows that grow, nothing copied, nobody blocked by somebody else. */
#include "pair.h"

static uint8_t big[3 << 20];

static void test_pool(void **state)
{
	struct wbi_pool top = {.limit_bytes = 100};
	struct wbi_pool a = {.parent = &top, .limit_bytes = 80},
			b = {.parent = &top, .limit_bytes = 80};

	(void)state;
	assert_int_equal(wbi_pool_borrow(&a, 90), 80);
	assert_int_equal(wbi_pool_borrow(&a, 1), 0);
	assert_int_equal(wbi_pool_free_bytes(&b), 20);
	assert_int_equal(wbi_pool_borrow(&b, 50), 20);
	assert_int_equal(top.used_bytes, 100);
	wbi_pool_give_back(&a, 80);
	assert_int_equal(top.used_bytes, 20);
	assert_int_equal(wbi_pool_free_bytes(&b), 60);
	wbi_pool_give_back(&b, 20);
	assert_int_equal(top.used_bytes, 0);
}

/* A call that runs, with its output from `out` and `err`. */
static struct wbi_call *start(struct pair *pair, struct bytes *out, struct bytes *err)
{
	struct wbi_call *call;

	pair_connect(pair);
	call = pair_open(pair, 0, err ? 1 << 1 | 1 << 2 : 1 << 1);
	pair_pump(pair);
	assert_int_equal(wbi_call_accept(pair->call[1], NULL, NULL, NULL, NULL), WB_OK);
	wbi_stream_set_source(wbi_call_stream(pair->call[1], 1), &out->source);
	if (err)
		wbi_stream_set_source(wbi_call_stream(pair->call[1], 2), &err->source);
	return call;
}

static void test_sender_stops_at_its_credit(void **state)
{
	struct pair pair;
	struct bytes out = make_bytes(big, 0, sizeof(big)), err = make_bytes(big, 0, 1000);
	struct wbi_call *call;
	struct wbi_stream *stream;

	(void)state;
	pair_init(&pair);
	pair.hold = true;
	call = start(&pair, &out, &err);
	stream = wbi_call_stream(call, 1);
	pair_pump(&pair);
	assert_int_equal(pair.got[1].bytes, stream->limit);
	assert_true(stream->limit <= WBI_WINDOW_OWN + stream->borrowed);
	/* A full stdout does not keep stderr back. */
	assert_int_equal(pair.got[2].bytes, 1000);
	assert_int_equal(wbi_call_stream(call, 2)->state, WBI_STREAM_ENDED);
	/* A little consumed is not worth a parcel, a quarter of the window is. */
	wbi_stream_consume(stream, stream->window / 4 - 1);
	assert_false(stream->due & WBI_DUE_CREDIT);
	wbi_stream_consume(stream, 1);
	assert_true(stream->due & WBI_DUE_CREDIT);
	pair_pump(&pair);
	assert_int_equal(pair.got[1].bytes, stream->limit);
	assert_int_equal(out.released, stream->acknowledged);
	pair_done(&pair);
}

static void test_credit_is_not_taken_back(void **state)
{
	struct pair pair;
	struct bytes out = make_bytes(big, 0, sizeof(big));
	struct wbi_stream *stream;
	uint64_t limit;

	(void)state;
	pair_init(&pair);
	pair.hold = true;
	start(&pair, &out, NULL);
	stream = wbi_call_stream(pair.call[1], 1);
	pair_pump(&pair);
	limit = stream->limit;
	pair_forge(&pair, 0,
		   "{\"op\":\"credit\",\"id\":1,\"stream\":1,\"offset\":100,\"limit\":200}", "");
	pair_read(&pair, 1, pair.wire[0].bytes);
	assert_int_equal(stream->acknowledged, 100);
	assert_int_equal(stream->limit, limit);
	pair_done(&pair);
}

/* A source may hold less than a quarter of the window: it must hear that all of it was consumed. */
static void test_all_consumed_is_worth_a_parcel(void **state)
{
	struct pair pair;
	struct bytes out = make_bytes(big, 0, 8192);
	struct wbi_call *call;
	struct wbi_stream *stream;

	(void)state;
	pair_init(&pair);
	pair.hold = true;
	out.source.ended = false;
	call = start(&pair, &out, NULL);
	stream = wbi_call_stream(call, 1);
	pair_pump(&pair);
	assert_int_equal(pair.got[1].bytes, 8192);
	assert_true(8192 < stream->window / 4);
	wbi_stream_consume(stream, 8191);
	assert_false(stream->due & WBI_DUE_CREDIT);
	wbi_stream_consume(stream, 1);
	assert_true(stream->due & WBI_DUE_CREDIT);
	pair_pump(&pair);
	assert_int_equal(out.released, 8192);
	pair_done(&pair);
}

static void test_windows_grow(void **state)
{
	struct pair pair;
	struct bytes out = make_bytes(big, 0, sizeof(big));
	struct wbi_call *call;
	struct wbi_stream *stream;
	uint64_t start_window;

	(void)state;
	pair_init(&pair);
	call = start(&pair, &out, NULL);
	stream = wbi_call_stream(call, 1);
	start_window = stream->window;
	assert_int_equal(start_window, 65536);
	for (int i = 0; i < 4; i++) {
		pair_write(&pair, 1);
		pair_deliver(&pair, 0);
		pair_write(&pair, 0);
		pair_deliver(&pair, 1);
	}
	/* Within one tick of the clock nothing is measured. */
	assert_int_equal(stream->window, start_window);
	pair.now_ms++;
	pair_pump(&pair);
	assert_int_equal(pair.got[1].bytes, sizeof(big));
	assert_true(stream->window > 4 * start_window);
	assert_int_equal(stream->borrowed, 0); /* it has ended: given back */
	assert_int_equal(stream->state, WBI_STREAM_ENDED);
	pair_done(&pair);
}

static void test_poor_pool_still_moves(void **state)
{
	struct pair pair;
	struct bytes out = make_bytes(big, 0, sizeof(big));
	struct wbi_pool none = {.limit_bytes = 0};
	struct wbi_call *call;

	(void)state;
	pair_init(&pair);
	pair.session[0]->pool.parent = &none;
	call = start(&pair, &out, NULL);
	assert_int_equal(wbi_call_stream(call, 1)->window, WBI_WINDOW_OWN);
	pair_pump(&pair);
	assert_int_equal(pair.got[1].bytes, sizeof(big));
	assert_int_equal(wbi_call_stream(call, 1)->window, WBI_WINDOW_OWN);
	pair_done(&pair);
}

/* What is lent to the caller for writing is the source's own memory. */
static void test_nothing_is_copied(void **state)
{
	struct pair pair;
	struct bytes out = make_bytes(big, 0, sizeof(big));
	struct iovec parts[8];
	int count;

	(void)state;
	pair_init(&pair);
	start(&pair, &out, NULL);
	count = wbi_carrier_peek(pair.carrier[1], parts, 8, pair.now_ms);
	assert_int_equal(count, 3); /* opened, data's head, data */
	assert_ptr_equal(parts[2].iov_base, big);
	assert_int_equal(parts[2].iov_len, 65536);
	wbi_carrier_ack(pair.carrier[1], parts[0].iov_len + parts[1].iov_len + 100);
	count = wbi_carrier_peek(pair.carrier[1], parts, 8, pair.now_ms);
	assert_int_equal(count, 1);
	assert_ptr_equal(parts[0].iov_base, big + 100);
	pair_done(&pair);
}

/* What was staged and not written cannot have been consumed: its source still lends it. */
static void test_credit_for_what_was_not_written(void **state)
{
	struct pair pair;
	struct bytes out = make_bytes(big, 0, sizeof(big));
	struct iovec parts[8];

	(void)state;
	pair_init(&pair);
	start(&pair, &out, NULL);
	assert_int_equal(wbi_carrier_peek(pair.carrier[1], parts, 8, pair.now_ms), 3);
	wbi_carrier_ack(pair.carrier[1], parts[0].iov_len + parts[1].iov_len + 100);
	pair_forge(&pair, 0,
		   "{\"op\":\"credit\",\"id\":1,\"stream\":1,\"offset\":100,\"limit\":65536}", "");
	pair_read(&pair, 1, pair.wire[0].bytes);
	assert_int_equal(out.released, 100);
	assert_string_equal(pair.problem[1].code, "");
	pair_forge(&pair, 0,
		   "{\"op\":\"credit\",\"id\":1,\"stream\":1,\"offset\":101,\"limit\":65536}", "");
	pair_read(&pair, 1, pair.wire[0].bytes);
	assert_string_equal(pair.problem[1].code, "malformed");
	assert_int_equal(out.released, 100);
	pair_done(&pair);
}

/* The owner may free its source with a parcel half written: the rest of that parcel is kept. */
static void test_release_in_mid_parcel(void **state)
{
	struct pair pair;
	uint8_t *own = calloc(1, 10000);
	struct bytes in = make_bytes(own, 0, 10000);
	struct iovec parts[8];
	struct wbi_call *call;
	size_t bytes = 0;
	int count;

	(void)state;
	assert_non_null(own);
	pair_init(&pair);
	pair_connect(&pair);
	call = pair_open(&pair, 1 << 0, 0);
	in.source.ended = false;
	wbi_stream_set_source(wbi_call_stream(call, 0), &in.source);
	count = wbi_carrier_peek(pair.carrier[0], parts, 8, pair.now_ms);
	for (int i = 0; i < count - 1; i++) {
		wire_add(&pair.wire[0], parts[i].iov_base, parts[i].iov_len);
		bytes += parts[i].iov_len;
	}
	wbi_carrier_ack(pair.carrier[0], bytes);
	wbi_call_release(call);
	free(own);
	in.source.ops = NULL;
	pair_pump(&pair);
	assert_log(&pair, 1, "hello open data forget ");
	assert_int_equal(pair.got[0].bytes, 10000);
	assert_int_equal(pair.session[0]->call_count, 0);
	pair_done(&pair);
}

static void test_reset(void **state)
{
	struct pair pair;
	struct bytes out = make_bytes(big, 0, sizeof(big));
	struct wbi_call *call;

	(void)state;
	pair_init(&pair);
	pair.hold = true;
	call = start(&pair, &out, NULL);
	pair_pump(&pair);
	wbi_stream_reset(wbi_call_stream(call, 1));
	wbi_stream_reset(wbi_call_stream(call, 1));
	out.source.ops = NULL;
	pair_pump(&pair);
	assert_non_null(strstr(pair.log[1], "reset "));
	assert_null(wbi_call_stream(pair.call[1], 1)->source);
	wbi_call_exit(pair.call[1], &(struct wbi_exit){.outcome = WBI_OUTCOME_EXITED});
	pair_pump(&pair);
	assert_int_equal(call->state, WBI_CALL_ENDED);
	assert_true(call->result.complete);
	assert_int_equal(pair.session[0]->pool.used_bytes, 0);
	pair_done(&pair);
}

/* `attach`: a stream that begins somewhere, digested from there, and whose pipe somebody still
 * holds. */
static void test_begins_at(void **state)
{
	struct pair pair;
	const uint64_t from[] = {70000};
	struct bytes out = make_bytes(big, 70000, 5);
	struct wbi_call *call;

	(void)state;
	pair_init(&pair);
	pair_connect(&pair);
	call = pair_open(&pair, 0, 1 << 1);
	pair_pump(&pair);
	out.source.held_open = true;
	assert_int_equal(wbi_call_accept(pair.call[1], from, NULL, NULL, NULL), WB_OK);
	wbi_stream_set_source(wbi_call_stream(pair.call[1], 1), &out.source);
	wbi_call_exit(pair.call[1], &(struct wbi_exit){.outcome = WBI_OUTCOME_EXITED});
	pair_pump(&pair);
	assert_int_equal(wbi_call_stream(call, 1)->from, 70000);
	assert_int_equal(wbi_call_stream(call, 1)->offset, 70005);
	assert_true(wbi_call_stream(call, 1)->held_open);
	assert_true(call->result.complete);
	pair_done(&pair);
}

/* Up and down, and across a lost connection: nothing is digested, and every byte still counts. */
static void test_undigested(void **state)
{
	struct pair pair;
	struct bytes in = make_bytes(big, 0, 100000), out = make_bytes(big, 0, 200000);
	const struct wbi_open open = {
		.service = "exec", .up = 1 << 0, .down = 1 << 1 | 1 << 2, .undigested = 3};
	struct wbi_call *call;

	(void)state;
	pair_init(&pair);
	pair_connect(&pair);
	assert_int_equal(wbi_call_open(pair.session[0], &open, &call, NULL), WB_OK);
	wbi_stream_set_source(wbi_call_stream(call, 0), &in.source);
	pair_write(&pair, 0);
	pair_deliver(&pair, 1);
	assert_int_equal(wbi_call_accept(pair.call[1], NULL, NULL, NULL, NULL), WB_OK);
	wbi_stream_set_source(wbi_call_stream(pair.call[1], 1), &out.source);
	for (int i = 0; i < 3; i++) {
		pair_write(&pair, 1);
		pair_deliver(&pair, 0);
	}
	pair_connect(&pair); /* what was on its way is lost, and sent again */
	assert_true(wbi_call_stream(pair.call[1], 0)->undigested);
	assert_true(wbi_call_stream(call, 1)->undigested);
	assert_false(wbi_call_stream(call, 2)->undigested);
	assert_null(wbi_call_stream(call, 1)->digest);
	assert_null(wbi_call_stream(pair.call[1], 1)->digest);
	wbi_call_exit(pair.call[1], &(struct wbi_exit){.outcome = WBI_OUTCOME_EXITED});
	pair_pump(&pair);
	assert_int_equal(pair.got[0].bytes, 100000);
	assert_int_equal(pair.got[1].bytes, 200000);
	assert_memory_equal(pair.got[1].data, big, 200000);
	assert_string_equal(wbi_call_stream(call, 1)->digest_hex, "");
	assert_true(call->result.complete);
	pair_done(&pair);
}

/* Two streams that could both send for ever get turns of one parcel each. */
static void test_streams_take_turns(void **state)
{
	struct pair pair;
	struct bytes out = make_bytes(big, 0, 60000), err = make_bytes(big, 0, 60000);
	struct iovec parts[12];
	int count;

	(void)state;
	pair_init(&pair);
	pair.config[1].limits.chunk_bytes = 20000;
	start(&pair, &out, &err);
	pair_write(&pair, 1); /* opened, and one of stdout */
	count = wbi_carrier_peek(pair.carrier[1], parts, 12, pair.now_ms);
	assert_int_equal(count, 2);
	assert_non_null(memmem(parts[0].iov_base, parts[0].iov_len, "\"stream\":2", 10));
	pair_done(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pool),
		cmocka_unit_test(test_sender_stops_at_its_credit),
		cmocka_unit_test(test_credit_is_not_taken_back),
		cmocka_unit_test(test_all_consumed_is_worth_a_parcel),
		cmocka_unit_test(test_windows_grow),
		cmocka_unit_test(test_poor_pool_still_moves),
		cmocka_unit_test(test_nothing_is_copied),
		cmocka_unit_test(test_credit_for_what_was_not_written),
		cmocka_unit_test(test_release_in_mid_parcel),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_begins_at),
		cmocka_unit_test(test_undigested),
		cmocka_unit_test(test_streams_take_turns),
	};

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7 + i / 255);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
