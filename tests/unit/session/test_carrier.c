/* One connection: what is heard when, limits, deadlines, and the one `error` that answers bad
 * input. */
#include "pair.h"

#include "session/engine.h"

#define HELLO_BEGIN                                                                                \
	"{\"op\":\"hello\",\"waybill\":1,\"session\":\"01000000000000000000000000000000\","        \
	"\"secret\":\"0200000000000000000000000000000000000000000000000000000000000000\","         \
	"\"epoch\":1"
#define HELLO HELLO_BEGIN ",\"digests\":[\"sha256\"]}"

static bool says(const struct wire *wire, const char *text)
{
	return memmem(wire->data, wire->bytes, text, strlen(text)) != NULL;
}

/* What one end has read was bad: it says so once, and that is the end. */
static void expect_error(struct pair *pair, int end, const char *code, const char *field)
{
	assert_non_null(strstr(pair->log[end], "error "));
	assert_string_equal(pair->problem[end].code, code);
	if (field)
		assert_string_equal(pair->problem[end].field, field);
	assert_true(pair->problem[end].ours);
	assert_null(wbi_carrier_session(pair->carrier[end]));
	/* Exactly one parcel, `error`, and then the end. */
	pair->wire[end].bytes = pair->wire[end].read = 0;
	pair_write(pair, end);
	assert_memory_equal(pair->wire[end].data + 4, "{\"op\":\"error\",", 14);
	assert_int_equal(pair->wire[end].data[0] + 256 * pair->wire[end].data[1] + 4,
			 pair->wire[end].bytes);
	assert_true(wbi_carrier_closed(pair->carrier[end]));
	pair->log[end][0] = '\0';
	pair_read(pair, end, pair->wire[1 - end].read);
	assert_log(pair, end, "closed ");
}

/* A fresh server hears this and refuses it. */
static void bad_beginning(const char *header, const char *code, const char *field)
{
	struct pair pair;

	pair_init(&pair);
	assert_int_equal(wbi_carrier_new(&pair.config[1], pair.now_ms, &pair.carrier[1]), WB_OK);
	pair_forge(&pair, 0, header, "");
	pair_read(&pair, 1, pair.wire[0].bytes);
	expect_error(&pair, 1, code, field);
	pair_done(&pair);
}

static void test_nothing_but_hello(void **state)
{
	char padded[WB_PARCEL_HEADER_UNKNOWN_MAX + 2];

	(void)state;
	bad_beginning("{\"op\":\"open\",\"id\":1,\"service\":\"exec\"}", "malformed", "op");
	bad_beginning("{\"op\":\"novel\"}", "malformed", "op");
	bad_beginning("{\"id\":1}", "malformed", "op");
	bad_beginning("[]", "malformed", NULL);
	bad_beginning("{\"op\":\"hello\",\"waybill\":2}", "version", "waybill");
	bad_beginning("{\"op\":\"hello\",\"waybill\":1,\"crit\":[\"speed\"]}", "unsupported",
		      "speed");
	bad_beginning("{\"op\":\"hello\",\"waybill\":1,\"session\":\"01\"}", "malformed",
		      "session");
	bad_beginning(HELLO_BEGIN "}", "malformed", "digests");
	bad_beginning(HELLO_BEGIN ",\"total_size\":1}", "limit", "total_size");
	bad_beginning(HELLO_BEGIN ",\"digests\":[\"crc\"]}", "digest", NULL);
	bad_beginning(HELLO_BEGIN ",\"digests\":[],\"limits\":{\"calls\":0}}", "malformed",
		      "limits");
	memset(padded, ' ', sizeof(padded));
	memcpy(padded, HELLO, strlen(HELLO));
	padded[sizeof(padded) - 1] = '\0';
	bad_beginning(padded, "limit", NULL);
}

static void test_a_plain_hello(void **state)
{
	struct pair pair;

	(void)state;
	pair_init(&pair);
	assert_int_equal(wbi_carrier_new(&pair.config[1], pair.now_ms, &pair.carrier[1]), WB_OK);
	pair_forge(&pair, 0, HELLO, "");
	pair_deliver(&pair, 1);
	assert_log(&pair, 1, "hello ");
	assert_int_equal(pair.session[1]->digest, WB_DIGEST_SHA256);
	pair_done(&pair);
}

/* A server with one running call 1 that hears this from its client; NULL code: it does not mind. */
static void hears(const char *header, const char *payload, const char *code, const char *field)
{
	struct pair pair;

	pair_init(&pair);
	pair_connect(&pair);
	pair_open(&pair, 1 << 0, 1 << 1);
	pair_pump(&pair);
	assert_int_equal(wbi_call_accept(pair.call[1], NULL, NULL, NULL, NULL), WB_OK);
	pair_pump(&pair);
	pair_forge(&pair, 0, header, payload);
	pair_deliver(&pair, 1);
	if (code) {
		expect_error(&pair, 1, code, field);
	} else {
		assert_string_equal(pair.problem[1].code, "");
		assert_non_null(pair.session[1]->carrier);
	}
	pair_done(&pair);
}

static void test_bad_parcels(void **state)
{
	(void)state;
	hears("{\"op\":\"data\",\"id\":1,\"stream\":0,\"offset\":0,\"total_size\":2}", "ab", NULL,
	      NULL);
	hears("{\"op\":\"data\",\"id\":1,\"stream\":0,\"offset\":1,\"total_size\":2}", "ab",
	      "malformed", "offset");
	hears("{\"op\":\"data\",\"id\":1,\"stream\":1,\"offset\":0,\"total_size\":2}", "ab",
	      "malformed", "stream");
	hears("{\"op\":\"data\",\"id\":1,\"stream\":99,\"offset\":0}", "", "malformed", "stream");
	hears("{\"op\":\"data\",\"id\":2,\"stream\":0,\"offset\":0}", "", "malformed", "id");
	hears("{\"op\":\"data\",\"id\":1,\"stream\":0,\"offset\":0,\"total_size\":65537}", "",
	      "limit", "offset");
	hears("{\"op\":\"data\",\"id\":1,\"stream\":0,\"offset\":0,\"total_size\":262145}", "",
	      "limit", "total_size");
	hears("{\"op\":\"data\",\"id\":-1}", "", "malformed", "id");
	hears("{\"op\":\"eof\",\"id\":1,\"stream\":0,\"from\":0,\"offset\":1}", "", "malformed",
	      "offset");
	hears("{\"op\":\"eof\",\"id\":1,\"stream\":0,\"from\":0,\"offset\":0}", "", NULL, NULL);
	hears("{\"op\":\"credit\",\"id\":1,\"stream\":1,\"offset\":0,\"limit\":70000}", "", NULL,
	      NULL);
	hears("{\"op\":\"credit\",\"id\":1,\"stream\":1,\"offset\":1,\"limit\":70000}", "",
	      "malformed", "offset");
	hears("{\"op\":\"signal\",\"id\":1,\"n\":2,\"name\":\"INT\"}", "", "malformed", "n");
	hears("{\"op\":\"signal\",\"id\":1,\"n\":1,\"name\":\"INT\"}", "", NULL, NULL);
	hears("{\"op\":\"resize\",\"id\":1,\"rows\":0,\"cols\":1}", "", "malformed", "rows");
	hears("{\"op\":\"resize\",\"id\":1,\"rows\":1,\"cols\":65536}", "", "malformed", "rows");
	hears("{\"op\":\"exit\",\"id\":1,\"outcome\":\"exited\"}", "", "malformed", "op");
	hears("{\"op\":\"synced\"}", "", "malformed", "op");
	hears("{\"op\":\"open\",\"id\":2,\"service\":\"exec\",\"down\":[1,1]}", "", "malformed",
	      "down");
	hears("{\"op\":\"open\",\"id\":2,\"service\":\"exec\",\"down\":[16]}", "", "malformed",
	      "down");
	hears("{\"op\":\"open\",\"id\":2,\"service\":\"exec\",\"up\":[0],\"down\":[0]}", "",
	      "malformed", "down");
	hears("{\"op\":\"open\",\"id\":2,\"service\":\"exec\",\"down\":[0,1,2,3,4,5,6,7,8]}", "",
	      "limit", "down");
	hears("{\"op\":\"open\",\"id\":2,\"service\":\"exec\",\"total_size\":1048577}", "", "limit",
	      "total_size");
	hears("{\"op\":\"open\",\"id\":2}", "", "malformed", "service");
	hears("{\"op\":\"open\",\"id\":2,\"service\":\"exec\",\"crit\":[\"cwd\"]}", "",
	      "unsupported", "cwd");
}

/* A client with calls 1, which runs, and 2, which waits, that hears this from its server. */
static void client_hears(const char *header, const char *payload, const char *code,
			 const char *field)
{
	struct pair pair;

	pair_init(&pair);
	pair_connect(&pair);
	pair_open(&pair, 1 << 0, 1 << 1);
	pair_pump(&pair);
	assert_int_equal(wbi_call_accept(pair.call[1], NULL, NULL, NULL, NULL), WB_OK);
	pair_open(&pair, 1 << 0, 1 << 1);
	pair_pump(&pair);
	pair_open(&pair, 0, 0);
	pair_forge(&pair, 1, header, payload);
	pair_deliver(&pair, 0);
	if (code) {
		expect_error(&pair, 0, code, field);
	} else {
		assert_string_equal(pair.problem[0].code, "");
		assert_non_null(pair.session[0]->carrier);
	}
	pair_done(&pair);
}

#define EOF_0 "{\"op\":\"eof\",\"id\":1,\"stream\":1,\"from\":0,\"offset\":0"

static void test_bad_parcels_to_the_client(void **state)
{
	(void)state;
	client_hears("{\"op\":\"data\",\"id\":2,\"stream\":1,\"offset\":0,\"total_size\":1}", "a",
		     "malformed", "id");
	client_hears("{\"op\":\"eof\",\"id\":2,\"stream\":1,\"from\":0,\"offset\":0}", "",
		     "malformed", "id");
	client_hears("{\"op\":\"opened\",\"id\":3}", "", "malformed", "id");
	client_hears("{\"op\":\"exit\",\"id\":4,\"outcome\":\"exited\",\"code\":0}", "",
		     "malformed", "id");
	client_hears("{\"op\":\"opened\",\"id\":2,\"from\":[]}", "", "malformed", "from");
	client_hears("{\"op\":\"opened\",\"id\":2,\"from\":{\"1\":9007199254740991}}", "",
		     "malformed", "from");
	client_hears("{\"op\":\"opened\",\"id\":2,\"from\":{\"1\":7}}", "", NULL, NULL);
	client_hears(EOF_0 ",\"held_open\":1}", "", "malformed", "held_open");
	client_hears(EOF_0 "}", "", NULL, NULL);
	client_hears("{\"op\":\"exit\",\"id\":1,\"outcome\":\"lost\"}", "", "unsupported",
		     "outcome");
	client_hears("{\"op\":\"exit\",\"id\":1,\"outcome\":\"exited\"}", "", "malformed", "code");
	client_hears("{\"op\":\"exit\",\"id\":1,\"outcome\":\"exited\",\"code\":4294967296}", "",
		     "malformed", "code");
	client_hears("{\"op\":\"exit\",\"id\":1,\"outcome\":\"exited\",\"code\":0,\"bytes\":3}", "",
		     "malformed", "bytes");
	client_hears("{\"op\":\"exit\",\"id\":1,\"outcome\":\"exited\",\"code\":0,\"rusage\":[]}",
		     "", "malformed", "rusage");
	client_hears("{\"op\":\"have\",\"id\":1,\"signal\":1}", "", "malformed", "signal");
	client_hears("{\"op\":\"have\",\"id\":3,\"signal\":0}", "", "malformed", "id");
	client_hears("{\"op\":\"have\",\"id\":77,\"signal\":0}", "", NULL, NULL);
	client_hears("{\"op\":\"forget\",\"id\":1}", "", "malformed", "op");
	client_hears("{\"op\":\"open\",\"id\":9,\"service\":\"exec\"}", "", "malformed", "op");
}

/* Behind its eof a stream has nothing; below its offset all is old. */
static void test_data_behind_eof(void **state)
{
	(void)state;
	for (int behind = 0; behind < 2; behind++) {
		struct pair pair;

		pair_init(&pair);
		pair_connect(&pair);
		pair_open(&pair, 1 << 0, 0);
		pair_pump(&pair);
		pair_forge(&pair, 0,
			   "{\"op\":\"data\",\"id\":1,\"stream\":0,\"offset\":0,\"total_size\":3}",
			   "abc");
		pair_forge(&pair, 0,
			   "{\"op\":\"eof\",\"id\":1,\"stream\":0,\"from\":0,\"offset\":3,"
			   "\"digest\":\"06b05ab6733a618578af5f94892f3950\"}",
			   "");
		pair_forge(&pair, 0,
			   behind ? "{\"op\":\"data\",\"id\":1,\"stream\":0,\"offset\":1,\"total_"
				    "size\":3}"
				  : "{\"op\":\"data\",\"id\":1,\"stream\":0,\"offset\":0,\"total_"
				    "size\":3}",
			   "bcd");
		pair_deliver(&pair, 1);
		assert_int_equal(pair.got[0].bytes, 3);
		if (behind)
			expect_error(&pair, 1, "malformed", "offset");
		else
			assert_string_equal(pair.problem[1].code, "");
		pair_done(&pair);
	}
}

static void put_fields(struct wb_header_writer *writer, void *context)
{
	(void)context;
	wb_header_put_string(writer, "cwd", "/");
}

/* What a service knows, `open` may insist on. */
static void test_crit_of_services(void **state)
{
	static const char *const known[] = {"cwd", NULL};
	const char *const names[2] = {"service", "pty"};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct pair pair;
		const char *const crit[] = {"cwd", names[i], NULL};
		struct wbi_open open = {.service = "exec", .put_fields = put_fields, .crit = crit};
		struct wbi_call *call;

		pair_init(&pair);
		pair.config[1].open_fields = known;
		pair_connect(&pair);
		assert_int_equal(wbi_call_open(pair.session[0], &open, &call, NULL), WB_OK);
		pair_write(&pair, 0);
		pair_deliver(&pair, 1);
		if (!i)
			assert_log(&pair, 1, "hello open ");
		else
			expect_error(&pair, 1, "unsupported", "pty");
		pair_done(&pair);
	}
}

static void test_unknown_op(void **state)
{
	struct pair pair;

	(void)state;
	pair_init(&pair);
	pair_connect(&pair);
	pair_forge(&pair, 0, "{\"op\":\"novel\",\"total_size\":5}", "12345");
	pair_forge(&pair, 0, "{\"op\":\"other\"}", "");
	pair_forge(&pair, 0, "{\"op\":\"ping\",\"n\":9}", "");
	pair_deliver(&pair, 1);
	pair_write(&pair, 1);
	assert_true(says(&pair.wire[1], "{\"op\":\"unsupported\",\"what\":\"novel\"}"));
	assert_false(says(&pair.wire[1], "other"));
	assert_true(says(&pair.wire[1], "{\"op\":\"pong\",\"n\":9}"));
	pair_pump(&pair);
	assert_string_equal(pair.problem[0].code, "");
	pair_forge(&pair, 0, "{\"op\":\"novel\",\"total_size\":262145}", "");
	pair_deliver(&pair, 1);
	expect_error(&pair, 1, "limit", "total_size");
	pair_done(&pair);
}

/* What is to go undigested must be a stream of the call; and it is insisted on. */
static void test_undigested_of_open(void **state)
{
	const struct wbi_open open = {.service = "exec", .down = 1 << 1, .undigested = 1 << 1};
	struct wbi_call *call;
	struct pair pair;

	(void)state;
	pair_init(&pair);
	pair_connect(&pair);
	assert_int_equal(wbi_call_open(pair.session[0], &open, &call, NULL), WB_OK);
	pair_write(&pair, 0);
	assert_true(says(&pair.wire[0], "\"undigested\":[1]"));
	assert_true(says(&pair.wire[0], "\"crit\":[\"undigested\"]"));
	pair_deliver(&pair, 1);
	assert_true(wbi_call_stream(pair.call[1], 1)->undigested);
	pair_forge(&pair, 0,
		   "{\"op\":\"open\",\"id\":2,\"service\":\"exec\",\"up\":[0],"
		   "\"undigested\":[1]}",
		   "");
	pair_deliver(&pair, 1);
	expect_error(&pair, 1, "malformed", "undigested");
	pair_done(&pair);
}

static void test_calls_limit(void **state)
{
	struct pair pair;
	char header[80];

	(void)state;
	pair_init(&pair);
	pair.config[1].limits.calls = 3;
	pair_connect(&pair);
	for (int id = 1; id <= 4; id++) {
		snprintf(header, sizeof(header), "{\"op\":\"open\",\"id\":%d,\"service\":\"exec\"}",
			 id);
		pair_forge(&pair, 0, header, "");
	}
	pair_deliver(&pair, 1);
	assert_non_null(strstr(pair.log[1], "open open open error "));
	assert_string_equal(pair.problem[1].code, "limit");
	assert_int_equal(pair.session[1]->call_count, 3);
	pair_done(&pair);
}

static void test_deadlines(void **state)
{
	struct pair pair;
	struct wbi_carrier *server;

	(void)state;
	pair_init(&pair);
	pair_dial(&pair);
	server = pair.carrier[1];
	/* `hello` in time */
	assert_int_equal(wbi_carrier_deadline(server), 11000);
	pair.now_ms = 10999;
	wbi_carrier_tick(server, pair.now_ms);
	assert_false(wbi_carrier_closed(server));
	pair_pump(&pair);
	/* silence, then a ping, then death */
	assert_int_equal(wbi_carrier_deadline(server), 10999 + 15000);
	pair.now_ms = wbi_carrier_deadline(server);
	wbi_carrier_tick(server, pair.now_ms);
	pair_write(&pair, 1);
	assert_true(says(&pair.wire[1], "{\"op\":\"ping\",\"n\":1}"));
	assert_int_equal(wbi_carrier_deadline(server), 10999 + 45000);
	pair_pump(&pair);
	assert_int_equal(wbi_carrier_deadline(server), pair.now_ms + 15000);
	pair.now_ms += 45000;
	wbi_carrier_tick(server, pair.now_ms);
	pair_read(&pair, 1, pair.wire[0].read);
	assert_string_equal(pair.reason[1], "the peer is silent");
	assert_null(pair.session[1]->carrier);
	pair_done(&pair);
}

static void test_header_deadline(void **state)
{
	struct pair pair;
	uint64_t began;

	(void)state;
	pair_init(&pair);
	pair_connect(&pair);
	pair_forge(&pair, 0, "{\"op\":\"ping\",\"n\":9}", "");
	began = pair.now_ms += 5000;
	pair_read(&pair, 1, 3);
	pair.now_ms += 4000;
	pair_read(&pair, 1, 12);
	assert_int_equal(wbi_carrier_deadline(pair.carrier[1]), began + 10000);
	pair.now_ms = began + 10000;
	wbi_carrier_tick(pair.carrier[1], pair.now_ms);
	pair_read(&pair, 1, 12);
	expect_error(&pair, 1, "timeout", NULL);
	assert_true(pair.problem[1].retry);
	pair_done(&pair);
}

/* A peer that does not read an `error` does not hold the connection for ever. */
static void test_closing_deadline(void **state)
{
	struct pair pair;

	(void)state;
	pair_init(&pair);
	pair_connect(&pair);
	wbi_carrier_refuse(pair.carrier[1], "full", true, "no room");
	assert_false(wbi_carrier_closed(pair.carrier[1]));
	pair.now_ms = wbi_carrier_deadline(pair.carrier[1]);
	wbi_carrier_tick(pair.carrier[1], pair.now_ms);
	assert_true(wbi_carrier_closed(pair.carrier[1]));
	assert_int_equal(wbi_carrier_deadline(pair.carrier[1]), WBI_NEVER_MS);
	pair_done(&pair);
}

static void test_names(void **state)
{
	(void)state;
	for (int kind = WBI_EVENT_NONE; kind <= WBI_EVENT_EXPIRED; kind++)
		assert_non_null(wbi_event_name((enum wbi_event_kind)kind));
	for (int i = WBI_CALL_NEW; i <= WBI_CALL_RELEASED; i++)
		assert_non_null(wbi_call_state_name((enum wbi_call_state)i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_but_hello),
		cmocka_unit_test(test_a_plain_hello),
		cmocka_unit_test(test_bad_parcels),
		cmocka_unit_test(test_unknown_op),
		cmocka_unit_test(test_bad_parcels_to_the_client),
		cmocka_unit_test(test_data_behind_eof),
		cmocka_unit_test(test_crit_of_services),
		cmocka_unit_test(test_undigested_of_open),
		cmocka_unit_test(test_calls_limit),
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_header_deadline),
		cmocka_unit_test(test_closing_deadline),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
