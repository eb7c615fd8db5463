/* Connections that die, and sessions that do not: what each side says again, and what it never does
 * twice. */
#include "pair.h"

static uint8_t big[200000];

static void make_big(void)
{
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 31 + i / 251);
}

/* stdout of 200,000 bytes over connections that die after every `life` bytes that arrived. */
static void survive(size_t life)
{
	struct pair pair;
	struct wbi_call *call;
	struct bytes out = make_bytes(big, 0, sizeof(big));
	unsigned dials = 0;
	bool started = false;

	pair_init(&pair);
	pair.config[1].limits.chunk_bytes = 5000;
	call = pair_open(&pair, 0, 1 << 1);
	while (call->state != WBI_CALL_ENDED) {
		size_t budget = life;

		pair_dial(&pair);
		assert_true(++dials < 2000);
		for (int i = 0; i < 50 && budget; i++) {
			struct wire *down = &pair.wire[1];
			size_t bytes;

			pair_write(&pair, 0);
			pair_deliver(&pair, 1);
			if (!started && pair.call[1]) {
				started = true;
				assert_int_equal(
					wbi_call_accept(pair.call[1], NULL, NULL, NULL, NULL), 0);
				wbi_stream_set_source(wbi_call_stream(pair.call[1], 1),
						      &out.source);
				wbi_call_exit(pair.call[1],
					      &(struct wbi_exit){.outcome = WBI_OUTCOME_EXITED});
			}
			pair_write(&pair, 1);
			bytes = down->bytes - down->read < budget ? down->bytes - down->read
								  : budget;
			pair_read(&pair, 0, down->read + bytes);
			budget -= bytes;
		}
	}
	assert_true(call->result.complete);
	assert_int_equal(pair.got[1].bytes, sizeof(big));
	assert_memory_equal(pair.got[1].data, big, sizeof(big));
	assert_null(strstr(strstr(pair.log[1], "open ") + 1, "open "));
	pair_done(&pair);
}

static void test_survives_cuts(void **state)
{
	(void)state;
	make_big();
	survive(3000);
	survive(7777);
	survive(100000);
}

static void test_epochs(void **state)
{
	struct pair pair;
	struct wbi_carrier *old;
	struct wbi_event event;
	size_t took;

	(void)state;
	pair_init(&pair);
	pair_connect(&pair);
	/* A higher epoch takes the session from the older connection, which is told. */
	old = pair.carrier[1];
	pair.carrier[1] = NULL;
	pair.log[0][0] = '\0';
	pair_connect(&pair);
	assert_log(&pair, 0, "welcome resumed ");
	assert_int_equal(wbi_carrier_read(old, NULL, 0, pair.now_ms, &took, &event),
			 WBI_EVENT_ERROR);
	assert_string_equal(event.problem->code, "superseded");
	assert_false(event.problem->retry);
	assert_null(wbi_carrier_session(old));
	wbi_carrier_free(old);
	/* One that is not higher is refused. */
	pair.session[0]->epoch = 1;
	pair_connect(&pair);
	assert_log(&pair, 0, "error closed ");
	assert_string_equal(pair.problem[0].code, "stale");
	/* A wrong secret is, too. */
	pair.session[0]->secret[3] ^= 1;
	pair.session[0]->epoch = 5;
	pair_connect(&pair);
	assert_string_equal(pair.problem[0].code, "refused");
	assert_int_equal(pair.session[1]->epoch, 2);
	pair_done(&pair);
}

/* The server that comes back is another one: what may have run there is lost, what was never sent
 * is not. */
static void test_new_server(void **state)
{
	struct pair pair;
	struct wbi_call *sent, *unsent;

	(void)state;
	pair_init(&pair);
	pair_connect(&pair);
	sent = pair_open(&pair, 0, 1 << 1);
	pair_pump(&pair);
	pair_hang_up(&pair);
	unsent = pair_open(&pair, 0, 1 << 1);
	wbi_session_free(pair.session[1]);
	pair.session[1] = NULL;
	memset(pair.config[1].instance, 8, sizeof(pair.config[1].instance));
	pair.log[0][0] = pair.log[1][0] = '\0';
	pair_connect(&pair);
	assert_log(&pair, 0, "welcome exit ");
	assert_log(&pair, 1, "hello open ");
	assert_int_equal(sent->result.exit.outcome, WBI_OUTCOME_LOST);
	assert_string_equal(sent->result.missing, "no exit");
	assert_int_equal(unsent->state, WBI_CALL_OPENING);
	assert_int_equal(pair.call[1]->id, unsent->id);
	pair_done(&pair);
}

/* The same, where the very `hello` that made the first session arrives once more and makes another.
 */
static void test_old_hello_makes_a_session(void **state)
{
	struct pair pair;
	struct wbi_call *call;
	uint8_t hello[1024];
	size_t hello_bytes;

	(void)state;
	pair_init(&pair);
	pair_dial(&pair);
	pair_write(&pair, 0);
	hello_bytes = pair.wire[0].bytes;
	memcpy(hello, pair.wire[0].data, hello_bytes);
	call = pair_open(&pair, 0, 1 << 1);
	pair_pump(&pair);
	assert_int_equal(call->state, WBI_CALL_OPENING);
	pair_hang_up(&pair);
	wbi_session_free(pair.session[1]);
	pair.session[1] = NULL;
	pair.now_ms++;
	assert_int_equal(wbi_carrier_new(&pair.config[1], pair.now_ms, &pair.carrier[1]), WB_OK);
	wire_add(&pair.wire[0], hello, hello_bytes);
	pair_deliver(&pair, 1);
	assert_int_equal(pair.session[1]->epoch, 1);
	pair.log[1][0] = '\0';
	pair_connect(&pair);
	assert_log(&pair, 1, "hello resumed ");
	assert_int_equal(call->result.exit.outcome, WBI_OUTCOME_LOST);
	pair_done(&pair);
}

/* `open` at or below the highest id, with no such call any more. */
/* The very session that it was before, and yet it was not resumed, or reckons in other digests. */
static void contradict(const char *resumed, const char *digest)
{
	char welcome[256];
	struct pair pair;

	pair_init(&pair);
	pair_connect(&pair);
	pair_dial(&pair);
	snprintf(welcome, sizeof(welcome),
		 "{\"op\":\"welcome\",\"waybill\":1,\"instance\":"
		 "\"07070707070707070707070707070707\",\"born\":%llu,\"resumed\":%s,"
		 "\"digest\":\"%s\",\"hold_ms\":60000,\"services\":[]}",
		 (unsigned long long)pair.session[1]->born, resumed, digest);
	pair_forge(&pair, 1, welcome, "");
	pair_read(&pair, 0, pair.wire[1].bytes);
	assert_string_equal(pair.problem[0].code, "malformed");
	assert_string_equal(pair.problem[0].field, "resumed");
	pair_done(&pair);
}

static void test_a_welcome_that_contradicts(void **state)
{
	(void)state;
	contradict("false", "xxh128");
	contradict("true", "sha256");
}

static void test_gone(void **state)
{
	struct pair pair;
	struct wbi_call *call;

	(void)state;
	pair_init(&pair);
	pair_connect(&pair);
	call = pair_open(&pair, 0, 0);
	pair_pump(&pair);
	wbi_call_release(call);
	pair_pump(&pair);
	pair.log[1][0] = '\0';
	call = pair_open(&pair, 0, 0);
	pair_pump(&pair);
	assert_log(&pair, 1, "open ");
	pair_forge(&pair, 0, "{\"op\":\"open\",\"id\":1,\"service\":\"exec\"}", "");
	pair_forge(&pair, 0, "{\"op\":\"open\",\"id\":2,\"service\":\"exec\"}", "");
	pair_deliver(&pair, 1);
	assert_log(&pair, 1, "");
	pair_write(&pair, 1);
	assert_memory_equal(pair.wire[1].data + 4, "{\"op\":\"gone\",\"id\":1}", 20);
	assert_int_equal(pair.wire[1].bytes, 24);
	pair_deliver(&pair, 0);
	assert_int_equal(call->state, WBI_CALL_OPENING);
	pair_forge(&pair, 1, "{\"op\":\"gone\",\"id\":2}", "");
	pair_deliver(&pair, 0);
	assert_string_equal(call->result.exit.error, "gone");
	pair_done(&pair);
}

/* A live call that the resuming client does not list is forgotten. */
static void test_unlisted_is_forgotten(void **state)
{
	struct pair pair;
	struct wbi_call *kept;

	(void)state;
	pair_init(&pair);
	pair_connect(&pair);
	wbi_call_release(pair_open(&pair, 0, 0));
	kept = pair_open(&pair, 0, 0);
	pair_open(&pair, 0, 0);
	pair_pump(&pair);
	pair_hang_up(&pair);
	wbi_call_release(pair.call[0]);
	pair.log[1][0] = '\0';
	pair_connect(&pair);
	assert_log(&pair, 1, "hello resumed forget ");
	assert_int_equal(kept->state, WBI_CALL_OPENING);
	assert_true(kept->announced);
	pair_done(&pair);
}

static void test_hold_and_suspend(void **state)
{
	struct pair pair;
	struct wbi_event event;

	(void)state;
	pair_init(&pair);
	pair_connect(&pair);
	assert_int_equal(wbi_session_deadline(pair.session[1]), WBI_NEVER_MS);
	wbi_session_suspend(pair.session[0]);
	pair_pump(&pair);
	assert_non_null(strstr(pair.log[1], "suspend "));
	/* Nothing comes behind it: the least word would end the suspension. */
	pair_forge(&pair, 1, "{\"op\":\"ping\",\"n\":1}", "");
	pair_pump(&pair);
	assert_true(pair.session[1]->suspended);
	pair_hang_up(&pair);
	assert_int_equal(wbi_session_deadline(pair.session[1]), WBI_NEVER_MS);
	pair_connect(&pair);
	pair_hang_up(&pair);
	assert_int_equal(wbi_session_deadline(pair.session[1]), pair.now_ms + 60000);
	wbi_session_tick(pair.session[1], pair.now_ms + 59999);
	assert_int_equal(wbi_session_event(pair.session[1], &event), WBI_EVENT_NONE);
	wbi_session_tick(pair.session[1], pair.now_ms + 60000);
	assert_int_equal(wbi_session_event(pair.session[1], &event), WBI_EVENT_EXPIRED);
	assert_int_equal(wbi_session_event(pair.session[1], &event), WBI_EVENT_NONE);
	pair_done(&pair);
}

static void test_give_up(void **state)
{
	struct pair pair;
	struct wbi_call *sent, *unsent;
	struct wbi_event event;

	(void)state;
	pair_init(&pair);
	pair_connect(&pair);
	sent = pair_open(&pair, 1 << 0, 1 << 1);
	pair_pump(&pair);
	unsent = pair_open(&pair, 0, 0);
	wbi_session_give_up(pair.session[0]);
	assert_true(wbi_carrier_closed(pair.carrier[0]));
	assert_int_equal(wbi_session_event(pair.session[0], &event), WBI_EVENT_EXIT);
	assert_ptr_equal(event.call, sent);
	assert_string_equal(sent->result.exit.error, "lost");
	assert_int_equal(wbi_session_event(pair.session[0], &event), WBI_EVENT_EXIT);
	assert_ptr_equal(event.call, unsent);
	assert_string_equal(unsent->result.exit.error, "unsent");
	assert_int_equal(wbi_session_event(pair.session[0], &event), WBI_EVENT_NONE);
	wbi_call_release(sent);
	wbi_call_release(unsent);
	assert_int_equal(pair.session[0]->call_count, 0);
	/* The server: as if the client had forgotten everything. */
	wbi_session_give_up(pair.session[1]);
	assert_int_equal(wbi_session_event(pair.session[1], &event), WBI_EVENT_FORGET);
	assert_ptr_equal(event.call, pair.call[1]);
	assert_int_equal(wbi_session_event(pair.session[1], &event), WBI_EVENT_NONE);
	pair_done(&pair);
}

static void test_bye(void **state)
{
	struct pair pair;

	(void)state;
	pair_init(&pair);
	pair_connect(&pair);
	wbi_call_release(pair_open(&pair, 0, 0));
	wbi_session_bye(pair.session[0]);
	pair_pump(&pair);
	assert_string_equal(pair.reason[0], "bye");
	assert_string_equal(pair.reason[1], "bye");
	assert_null(pair.session[1]->carrier);
	assert_true(wbi_carrier_closed(pair.carrier[0]));
	pair_done(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_survives_cuts),
		cmocka_unit_test(test_epochs),
		cmocka_unit_test(test_new_server),
		cmocka_unit_test(test_old_hello_makes_a_session),
		cmocka_unit_test(test_a_welcome_that_contradicts),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_unlisted_is_forgotten),
		cmocka_unit_test(test_hold_and_suspend),
		cmocka_unit_test(test_give_up),
		cmocka_unit_test(test_bye),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
