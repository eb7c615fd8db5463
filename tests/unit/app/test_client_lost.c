/* The client when connections break, daemons refuse, and nobody is there. */
#include "client_seen.h"

#include <netinet/in.h>

static void wait_for_an_exec(struct seen *seen)
{
	start(seen, &(struct wb_exec){.argv = ARGV("wait")});
	TURN_UNTIL(seen->client, seen->opened);
}

static void cut(void)
{
	for (unsigned i = 0; i < CONNS_MAX; i++)
		server_conn_close(&server.conns[i]);
}

static void stop_listening(void)
{
	wbi_fd_close(&server.listener);
}

static void no_byte_is_lost_or_comes_twice(void **state)
{
	enum { BYTES = 3000000 };
	struct seen seen = {0};
	uint64_t sent = 0;
	(void)state;

	server.cut_after = 70000;
	start(&seen, &(struct wb_exec){.argv = ARGV("cat")});
	while (!seen.ended) {
		if (!wb_call_input_closed(seen.call))
			feed(&seen, &sent, BYTES);
		turn(seen.client);
	}
	assert_pattern(&seen, 1, BYTES);
	assert_true(seen.result.complete);
	assert_int_equal(server.started, 1);
	assert_true(seen.connected > 10 && seen.resumed == seen.connected - 1);
	assert_int_equal(seen.disconnected, seen.resumed);
	finish(&seen);
}

static void a_cut_before_welcome_is_tried_again(void **state)
{
	struct seen seen = {0};
	(void)state;

	start(&seen, &(struct wb_exec){.argv = ARGV("say", "x", "", "0")});
	for (unsigned i = 0; i < 3; i++) {
		uint64_t until_ms = wbi_clock_ms() + PATIENCE_MS;

		while (server.accepted == i) {
			client_turn(seen.client);
			server_accept();
			assert_true(wbi_clock_ms() < until_ms);
		}
		cut();
	}
	TURN_UNTIL(seen.client, seen.ended);
	assert_output(&seen, 1, "x");
	assert_int_equal(server.started, 1);
	assert_int_equal(seen.disconnected, 0); /* there never was a connection to speak of */
	finish(&seen);
}

static void attempts_come_at_once_then_slower(void **state)
{
	static const int most_ms[] = {50, 100, 200, 400};
	struct seen seen = {0};
	(void)state;

	wait_for_an_exec(&seen);
	stop_listening();
	cut();
	TURN_UNTIL(seen.client, seen.disconnected == 1);
	assert_int_equal(wb_client_timeout_ms(seen.client), 0);
	assert_int_equal(seen.retry_ms, wbi_session_limits_default.hold_ms);
	for (unsigned i = 0; i < 4; i++) {
		int delay_ms;

		TURN_UNTIL(seen.client, (int)seen.client->attempts == (int)i + 2);
		delay_ms = wb_client_timeout_ms(seen.client);
		assert_in_range(delay_ms, most_ms[i] - 40, most_ms[i]);
		assert_int_equal(wb_client_fd(seen.client), -1);
	}
	server_listen();
	TURN_UNTIL(seen.client, seen.resumed == 1);
	assert_int_equal(seen.disconnected, 1);
	assert_false(seen.ended);
	finish(&seen);
}

static void giving_up_loses_the_call(void **state)
{
	struct seen seen = {0};
	(void)state;

	begin_with(&seen, (struct wb_client_options){.uri = server.uri, .retry_ms = 120});
	wait_for_an_exec(&seen);
	stop_listening();
	cut();
	TURN_UNTIL(seen.client, seen.closed == 1);
	assert_true(seen.ended);
	assert_int_equal(seen.result.outcome, WB_OUTCOME_LOST);
	assert_false(seen.result.complete);
	assert_true(seen.result.text[0]);
	assert_int_equal(seen.disconnected, 1);
	finish(&seen);
}

static void no_retry_means_none(void **state)
{
	struct seen seen = {0};
	(void)state;

	begin_with(&seen, (struct wb_client_options){.uri = server.uri, .retry_ms = 0});
	wait_for_an_exec(&seen);
	cut();
	TURN_UNTIL(seen.client, seen.closed == 1);
	assert_int_equal(seen.result.outcome, WB_OUTCOME_LOST);
	assert_int_equal(seen.disconnected, 0);
	assert_int_equal(server.accepted, 1);
	finish(&seen);
}

static void a_restarted_daemon_knows_nothing(void **state)
{
	struct seen seen = {0};
	(void)state;

	wait_for_an_exec(&seen);
	server_forget();
	TURN_UNTIL(seen.client, seen.ended);
	assert_int_equal(seen.result.outcome, WB_OUTCOME_LOST);
	assert_string_equal(seen.result.error, "lost");
	assert_int_equal(server.started, 0); /* and nothing is started again by itself */
	assert_int_equal(seen.closed, 0);
	finish(&seen);
}

/* The first welcome of the new daemon is lost. It then resumes what it has, which is nothing; that
 * is not what we had, and is not told as if it were. */
static void a_restarted_daemon_resumes_nothing(void **state)
{
	struct seen seen = {0};
	char welcome[4096];
	(void)state;

	wait_for_an_exec(&seen);
	assert_int_equal(seen.connected, 1);
	server_forget();
	TURN_UNTIL(seen.client, server.session);
	assert_true(recv(wb_client_fd(seen.client), welcome, sizeof(welcome), MSG_DONTWAIT) > 0);
	cut();
	TURN_UNTIL(seen.client, seen.ended);
	assert_int_equal(seen.result.outcome, WB_OUTCOME_LOST);
	assert_int_equal(server.started, 0);
	assert_int_equal(seen.connected, 2);
	assert_int_equal(seen.resumed, 0);
	finish(&seen);
}

static void nobody_is_there(void **state)
{
	struct seen seen = {0};
	(void)state;

	stop_listening();
	start(&seen, &(struct wb_exec){.argv = ARGV("cat")});
	TURN_UNTIL(seen.client, seen.closed == 1);
	assert_int_equal(seen.result.outcome, WB_OUTCOME_FAILED);
	assert_string_equal(seen.result.error, "connect");
	assert_non_null(strstr(seen.result.text, "connect to"));
	finish(&seen);
}

static void a_refusal_is_final(void **state)
{
	struct seen seen = {0};
	(void)state;

	server.refuse = "not today";
	start(&seen, &(struct wb_exec){.argv = ARGV("cat")});
	TURN_UNTIL(seen.client, seen.closed == 1);
	assert_int_equal(seen.result.outcome, WB_OUTCOME_REFUSED);
	assert_string_equal(seen.result.error, "refused");
	assert_string_equal(seen.result.text, "not today");
	assert_string_equal(seen.why.text, "not today");
	assert_int_equal(server.accepted, 1);
	finish(&seen);
}

static void a_refusal_may_say_try_again(void **state)
{
	struct seen seen = {0};
	(void)state;

	server.refuse = "full";
	server.refuse_retry = true;
	start(&seen, &(struct wb_exec){.argv = ARGV("say", "x", "", "0")});
	TURN_UNTIL(seen.client, server.accepted == 3);
	server.refuse = NULL;
	TURN_UNTIL(seen.client, seen.ended);
	assert_int_equal(seen.result.outcome, WB_OUTCOME_EXITED);
	finish(&seen);
}

/* The client writes all the time, and so learns by a failing write that the daemon has closed. */
static void the_reason_is_heard_also_while_writing(void **state)
{
	struct seen seen = {0};
	uint64_t sent = 0;
	(void)state;

	start(&seen, &(struct wb_exec){.argv = ARGV("wait")});
	TURN_UNTIL(seen.client, seen.opened);
	wbi_carrier_refuse(server.conns[0].conn.carrier, "superseded", false, "taken by another");
	wbi_session_conn_process(&server.conns[0].conn, 0, wbi_clock_ms());
	cut();
	feed(&seen, &sent, 1 << 20);
	wb_client_process(seen.client, POLLOUT);
	TURN_UNTIL(seen.client, seen.closed == 1);
	assert_int_equal(seen.result.outcome, WB_OUTCOME_LOST);
	assert_string_equal(seen.result.error, "superseded");
	assert_string_equal(seen.why.text, "taken by another");
	assert_int_equal(server.accepted, 1); /* and it stays away */
	finish(&seen);
}

static void silence_ends_a_connection(void **state)
{
	struct seen seen = {0};
	(void)state;

	begin_with(&seen, (struct wb_client_options){.uri = server.uri,
						     .retry_ms = WB_RETRY_AS_HELD,
						     .silence_ms = 90});
	wait_for_an_exec(&seen);
	/* The daemon does not answer; its socket stays open. */
	for (uint64_t until_ms = wbi_clock_ms() + PATIENCE_MS; !seen.disconnected;) {
		client_turn(seen.client);
		assert_true(wbi_clock_ms() < until_ms);
	}
	TURN_UNTIL(seen.client, seen.resumed == 1);
	assert_int_equal(wb_call_signal(seen.call, "TERM"), WB_OK);
	TURN_UNTIL(seen.client, seen.ended);
	assert_string_equal(seen.result.signal, "TERM");
	finish(&seen);
}

static void a_signal_sent_while_away_arrives(void **state)
{
	struct seen seen = {0};
	(void)state;

	wait_for_an_exec(&seen);
	stop_listening();
	cut();
	TURN_UNTIL(seen.client, seen.disconnected == 1);
	assert_int_equal(wb_call_signal(seen.call, "HUP"), WB_OK);
	server_listen();
	TURN_UNTIL(seen.client, seen.ended);
	assert_string_equal(server.last_signal, "HUP");
	assert_int_equal(server.signals, 1);
	finish(&seen);
}

static void giving_up_by_hand(void **state)
{
	struct seen seen = {0};
	(void)state;

	wait_for_an_exec(&seen);
	wb_client_give_up(seen.client, "that will do");
	TURN_UNTIL(seen.client, seen.closed == 1);
	assert_int_equal(seen.result.outcome, WB_OUTCOME_LOST);
	assert_string_equal(seen.result.error, "given_up");
	assert_string_equal(seen.result.text, "that will do");
	finish(&seen);
}

/* ---- whose daemon, and where ---- */

static void another_users_daemon_hears_nothing(void **state)
{
	uid_t other = geteuid() + 1;
	struct seen seen = {0};
	(void)state;

	begin_with(&seen, (struct wb_client_options){.uri = server.uri, .server_uid = &other});
	start(&seen, &(struct wb_exec){.argv = ARGV("cat")});
	TURN_UNTIL(seen.client, seen.closed == 1);
	assert_int_equal(seen.result.outcome, WB_OUTCOME_REFUSED);
	TURN_UNTIL(NULL, server.accepted == 1 && !server.conns[0].open);
	assert_null(server.session);
	finish(&seen);
}

static void make_uri(char uri[64], const struct wbi_addr *addr)
{
	snprintf(uri, 64, "tcp://127.0.0.1:%u", wbi_addr_port(addr));
}

/* The port's owner is asked, also where nobody has accepted yet. */
static void tcp_on_loopback(void **state)
{
	struct wbi_addr addr = {.bytes = sizeof(struct sockaddr_in)}, bound;
	struct sockaddr_in *ipv4 = (struct sockaddr_in *)&addr.storage;
	uid_t other = geteuid() + 1;
	struct seen seen = {0};
	char uri[64];
	(void)state;

	ipv4->sin_family = AF_INET;
	ipv4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	stop_listening();
	assert_int_equal(wbi_tcp_listen(&addr, &server.listener, &bound, NULL), WB_OK);
	make_uri(uri, &bound);

	begin_with(&seen, (struct wb_client_options){.uri = uri, .server_uid = &other});
	while (!seen.closed)
		client_turn(seen.client);
	assert_int_equal(seen.why.err, WB_ERR_REFUSED);
	finish(&seen);

	seen = (struct seen){0};
	begin_at(&seen, uri);
	start(&seen, &(struct wb_exec){.argv = ARGV("say", "x", "", "0")});
	TURN_UNTIL(seen.client, seen.ended);
	assert_output(&seen, 1, "x");
	finish(&seen);
}

static void only_addresses_that_can_be(void **state)
{
	static const struct {
		const char *uri;
		enum wb_err err;
	} cases[] = {
		{"tcp://192.0.2.1:9", WB_ERR_REFUSED},
		{"tcp://0.0.0.0:9", WB_ERR_REFUSED},
		{"udp://127.0.0.1:9", WB_ERR_UNSUPPORTED},
		{"upper+tcp://127.0.0.1:9", WB_ERR_ARGUMENT},
		{"tcp://127.0.0.1", WB_ERR_ARGUMENT},
		{"unix://", WB_ERR_ARGUMENT},
		{"local", WB_ERR_ARGUMENT},
	};
	struct wb_client *client;
	struct wb_fault fault;
	(void)state;

	unsetenv("XDG_RUNTIME_DIR");
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct wb_client_options options = {.uri = cases[i].uri};

		if (wb_client_new(&options, &client, &fault) != cases[i].err)
			fail_msg("%s: %s", cases[i].uri, fault.text);
	}
	wb_client_free(NULL);
	wb_call_free(NULL);
}

static void local_is_the_users_own(void **state)
{
	char path[100];
	struct seen seen = {0};
	(void)state;

	snprintf(path, sizeof(path), "%s/waybill.sock", server.folder);
	assert_int_equal(symlink("s", path), 0);
	setenv("XDG_RUNTIME_DIR", server.folder, 1);
	begin_at(&seen, "local");
	start(&seen, &(struct wb_exec){.argv = ARGV("say", "x", "", "0")});
	TURN_UNTIL(seen.client, seen.ended);
	assert_output(&seen, 1, "x");
	finish(&seen);
	unsetenv("XDG_RUNTIME_DIR");
	unlink(path);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, server_start, server_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SERVER(no_byte_is_lost_or_comes_twice),
		WITH_SERVER(a_cut_before_welcome_is_tried_again),
		WITH_SERVER(attempts_come_at_once_then_slower),
		WITH_SERVER(giving_up_loses_the_call),
		WITH_SERVER(no_retry_means_none),
		WITH_SERVER(a_restarted_daemon_knows_nothing),
		WITH_SERVER(a_restarted_daemon_resumes_nothing),
		WITH_SERVER(nobody_is_there),
		WITH_SERVER(a_refusal_is_final),
		WITH_SERVER(a_refusal_may_say_try_again),
		WITH_SERVER(the_reason_is_heard_also_while_writing),
		WITH_SERVER(silence_ends_a_connection),
		WITH_SERVER(a_signal_sent_while_away_arrives),
		WITH_SERVER(giving_up_by_hand),
		WITH_SERVER(another_users_daemon_hears_nothing),
		WITH_SERVER(tcp_on_loopback),
		WITH_SERVER(only_addresses_that_can_be),
		WITH_SERVER(local_is_the_users_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
