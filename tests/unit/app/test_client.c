/* The client: commands, their streams and results, over a connection that holds. */
#include "client_seen.h"

#include <sys/wait.h>

static void a_command_from_start_to_end(void **state)
{
	struct seen seen = {0};
	(void)state;

	start(&seen, &(struct wb_exec){.argv = ARGV("say", "out", "err", "3")});
	assert_null(wb_call_result(seen.call));
	assert_string_equal(wb_client_state_name(seen.client), "waiting");
	TURN_UNTIL(seen.client, seen.ended);
	assert_string_equal(wb_client_state_name(seen.client), "up");
	assert_int_equal(seen.connected, 1);
	assert_true(seen.output_ended[1] && seen.output_ended[2]);
	assert_output(&seen, 1, "out");
	assert_output(&seen, 2, "err");
	assert_int_equal(seen.result.outcome, WB_OUTCOME_EXITED);
	assert_true(seen.result.complete && seen.result.has_code);
	assert_int_equal(seen.result.code, 3);
	assert_int_equal(seen.result.output_bytes[WB_STDOUT], 3);
	assert_string_equal(wb_outcome_name(seen.result.outcome), "exited");
	finish(&seen);
}

static void what_is_asked_for_arrives(void **state)
{
	struct seen seen = {0};
	(void)state;

	start(&seen, &(struct wb_exec){.argv = ARGV("say", "a b", "", "0"),
				       .env = ARGV("X=1", "Y=\xff z"),
				       .cwd = "/some where",
				       .timeout_ms = 1234,
				       .on_disconnect = WB_DISCONNECT_HOLD,
				       .hold_ms = 5000});
	TURN_UNTIL(seen.client, seen.ended);
	assert_int_equal(server.seen_argc, 4);
	assert_string_equal(server.seen_argv[1], "a b");
	assert_string_equal(server.seen_argv[2], "");
	assert_int_equal(server.seen_envc, 2);
	assert_string_equal(server.seen_env, "Y=\xff z");
	assert_string_equal(server.seen_cwd, "/some where");
	assert_int_equal(server.seen_timeout_ms, 1234);
	assert_string_equal(server.disconnect, "hold");
	finish(&seen);
}

static void what_makes_no_sense_is_refused(void **state)
{
	static const char *const none[] = {NULL};
	struct wb_exec cases[] = {
		{.argv = none},
		{.argv = ARGV("a", "b"), .shell = true},
		{.argv = ARGV("a"), .env = ARGV("=x")},
		{.argv = ARGV("a"), .key = ""},
	};
	struct seen seen = {0};
	struct wb_fault fault;
	(void)state;

	begin_at(&seen, server.uri);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(wb_client_exec(seen.client, &cases[i], &call_callbacks, &seen,
						&seen.call, &fault),
				 WB_ERR_ARGUMENT);
	assert_null(seen.call);
	char *huge = malloc(1 << 21);
	memset(huge, 'x', (1 << 21) - 1);
	huge[(1 << 21) - 1] = '\0';
	assert_int_equal(wb_client_exec(seen.client, &(struct wb_exec){.argv = ARGV("a", huge)},
					&call_callbacks, &seen, &seen.call, &fault),
			 WB_ERR_LIMIT);
	free(huge);
	finish(&seen);
}

static void stdin_goes_in_pieces_and_ends(void **state)
{
	enum { BYTES = 5000000 };
	struct seen seen = {0};
	uint64_t sent = 0;
	unsigned told = 0;
	(void)state;

	start(&seen, &(struct wb_exec){.argv = ARGV("cat")});
	feed(&seen, &sent, BYTES);
	assert_true(sent < BYTES); /* it holds no more than its limit */
	assert_int_equal(wb_call_input_room(seen.call), 0);
	while (sent < BYTES) {
		TURN_UNTIL(seen.client, seen.inputs > told);
		told = seen.inputs;
		feed(&seen, &sent, BYTES);
	}
	assert_true(wb_call_input_closed(seen.call));
	TURN_UNTIL(seen.client, seen.ended);
	assert_pattern(&seen, 1, BYTES);
	assert_true(seen.result.complete);
	assert_int_equal(wb_call_write(seen.call, "x", 1, &(size_t){0}), WB_ERR_CLOSED);
	finish(&seen);
}

static void output_that_is_not_taken_is_kept(void **state)
{
	enum { BYTES = 30000000 };
	struct seen seen = {0};
	uint64_t most = wbi_session_limits_default.pool_bytes, kept;
	(void)state;

	begin_at(&seen, server.uri);
	seen.take_most = 0;
	start(&seen, &(struct wb_exec){.argv = ARGV("blast", "30000000")});
	/* Until nothing moves any more: what a window holds has arrived. */
	do {
		kept = wbi_buf_bytes(&seen.call->outputs[1].kept);
		for (int i = 0; i < 20; i++)
			turn(seen.client);
	} while (!seen.opened || kept < wbi_buf_bytes(&seen.call->outputs[1].kept));
	assert_true(kept > 0 && kept <= most);
	assert_false(seen.ended);

	seen.take_most = SIZE_MAX;
	wb_call_pull(seen.call, 1);
	TURN_UNTIL(seen.client, seen.output_ended[1]);
	assert_pattern(&seen, 1, BYTES);
	assert_false(seen.output_ended[2]);
	wb_call_pull(seen.call, 2);
	TURN_UNTIL(seen.client, seen.ended);
	assert_pattern(&seen, 2, BYTES);
	assert_true(seen.result.complete);
	finish(&seen);
}

static void the_end_waits_for_the_last_output(void **state)
{
	struct seen seen = {0};
	(void)state;

	begin_at(&seen, server.uri);
	seen.take_most = 1;
	start(&seen, &(struct wb_exec){.argv = ARGV("say", "abc", "", "0")});
	TURN_UNTIL(seen.client, wb_call_result(seen.call));
	wb_call_pull(seen.call, 1);
	turn(seen.client);
	assert_false(seen.ended || seen.output_ended[1]);
	assert_int_equal(wbi_buf_bytes(&seen.outputs[1]), 2);
	wb_call_pull(seen.call, 1);
	assert_true(seen.output_ended[1]);
	assert_false(seen.ended); /* not from within pull */
	assert_int_equal(wb_client_timeout_ms(seen.client), 0);
	TURN_UNTIL(seen.client, seen.ended);
	assert_output(&seen, 1, "abc");
	finish(&seen);
}

static void output_that_nobody_wants(void **state)
{
	struct seen seen = {0};
	(void)state;

	begin_at(&seen, server.uri);
	seen.take_most = 0;
	start(&seen, &(struct wb_exec){.argv = ARGV("blast", "3000000")});
	TURN_UNTIL(seen.client, wbi_buf_bytes(&seen.call->outputs[1].kept) > 0);
	wb_call_close_output(seen.call, 1);
	wb_call_close_output(seen.call, 1);
	seen.take_most = SIZE_MAX;
	wb_call_pull(seen.call, 2);
	TURN_UNTIL(seen.client, seen.ended);
	assert_output(&seen, 1, "");
	assert_pattern(&seen, 2, 3000000);
	assert_true(seen.result.complete); /* what was not wanted is not missing */
	finish(&seen);
}

static void signals_and_sizes_arrive(void **state)
{
	struct seen seen = {0};
	(void)state;

	start(&seen, &(struct wb_exec){.argv = ARGV("wait"), .pty = true, .rows = 2, .cols = 3});
	TURN_UNTIL(seen.client, seen.opened);
	assert_true(wb_call_is_pty(seen.call));
	wb_call_resize(seen.call, 50, 132);
	TURN_UNTIL(seen.client, server.cols == 132);
	assert_int_equal(server.rows, 50);
	assert_int_equal(wb_call_signal(seen.call, ""), WB_ERR_ARGUMENT);
	assert_int_equal(wb_call_signal(seen.call, "INT"), WB_OK);
	TURN_UNTIL(seen.client, seen.ended);
	assert_int_equal(seen.result.outcome, WB_OUTCOME_SIGNALED);
	assert_string_equal(seen.result.signal, "INT");
	assert_int_equal(wb_call_signal(seen.call, "INT"), WB_ERR_CLOSED);
	finish(&seen);
}

static void a_cancel_ends_it(void **state)
{
	struct seen seen = {0};
	(void)state;

	start(&seen, &(struct wb_exec){.argv = ARGV("wait"), .no_input = true});
	assert_true(wb_call_input_closed(seen.call));
	TURN_UNTIL(seen.client, seen.opened);
	wb_call_cancel(seen.call);
	TURN_UNTIL(seen.client, seen.ended);
	assert_int_equal(seen.result.outcome, WB_OUTCOME_CANCELLED);
	finish(&seen);
}

static void a_deaf_command_is_told_of(void **state)
{
	struct seen seen = {0};
	(void)state;

	start(&seen, &(struct wb_exec){.argv = ARGV("deaf")});
	TURN_UNTIL(seen.client, seen.inputs == 1);
	assert_true(wb_call_input_closed(seen.call));
	assert_int_equal(wb_call_write(seen.call, "x", 1, &(size_t){0}), WB_ERR_CLOSED);
	finish(&seen);
}

static void free_at_the_end(struct wb_call *call, const struct wb_result *result, void *context)
{
	assert_int_equal(result->outcome, WB_OUTCOME_EXITED);
	++*(unsigned *)context;
	wb_call_free(call);
}

static size_t free_at_output(struct wb_call *call, unsigned stream, const void *data, size_t bytes,
			     void *context)
{
	(void)stream;
	(void)data;
	++*(unsigned *)context;
	wb_call_free(call);
	return bytes / 2;
}

static void calls_may_be_freed_in_callbacks(void **state)
{
	static const struct wb_call_callbacks at_end = {.ended = free_at_the_end},
					      at_output = {.output = free_at_output};
	struct seen seen = {0};
	struct wb_call *call;
	unsigned ended = 0, cut = 0;
	(void)state;

	begin_at(&seen, server.uri);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(
			wb_client_exec(seen.client,
				       &(struct wb_exec){.argv = ARGV("say", "o", "e", "0")},
				       &at_end, &ended, &call, NULL),
			WB_OK);
		assert_int_equal(wb_client_exec(seen.client,
						&(struct wb_exec){.argv = ARGV("blast", "9000")},
						&at_output, &cut, &call, NULL),
				 WB_OK);
	}
	TURN_UNTIL(seen.client, ended == 20 && cut == 20);
	assert_true(wbi_list_empty(&seen.client->calls) && wbi_list_empty(&seen.client->ended));
	finish(&seen);
}

static void other_services(void **state)
{
	struct seen seen = {0};
	(void)state;

	begin_at(&seen, server.uri);
	seen.opened = true; /* none of these is */
	assert_int_equal(
		wb_client_kill(seen.client, 42, "TERM", &call_callbacks, &seen, &seen.call, NULL),
		WB_OK);
	TURN_UNTIL(seen.client, seen.ended);
	assert_string_equal(server.service, "kill");
	assert_int_equal(server.seen_job, 42);
	assert_int_equal(seen.result.outcome, WB_OUTCOME_REFUSED);
	assert_string_equal(seen.result.error, "job");
	assert_string_equal(seen.result.text, "no such job");
	wb_call_free(seen.call);

	seen.ended = false;
	assert_int_equal(wb_client_attach(seen.client, &(struct wb_attach){.job = 43},
					  &call_callbacks, &seen, &seen.call, NULL),
			 WB_OK);
	TURN_UNTIL(seen.client, seen.ended);
	assert_string_equal(server.service, "attach");
	assert_int_equal(server.seen_job, 43);
	finish(&seen);
}

static void leaving_in_order(void **state)
{
	struct seen seen = {0};
	(void)state;

	start(&seen, &(struct wb_exec){.argv = ARGV("say", "", "", "0")});
	TURN_UNTIL(seen.client, seen.ended);
	wb_client_close(seen.client);
	TURN_UNTIL(seen.client, seen.closed == 1);
	TURN_UNTIL(NULL, server.said_bye);
	assert_true(wb_client_is_closed(seen.client));
	assert_int_equal(wb_client_fd(seen.client), -1);
	assert_int_equal(wb_client_timeout_ms(seen.client), -1);
	assert_int_equal(wb_client_exec(seen.client, &(struct wb_exec){.argv = ARGV("cat")}, NULL,
					NULL, &(struct wb_call *){NULL}, NULL),
			 WB_ERR_CLOSED);
	finish(&seen);
}

static void a_stop_is_announced(void **state)
{
	struct seen seen = {0};
	(void)state;

	start(&seen, &(struct wb_exec){.argv = ARGV("wait")});
	TURN_UNTIL(seen.client, seen.opened);
	wb_client_suspend(seen.client);
	assert_false(wb_client_is_flushed(seen.client));
	TURN_UNTIL(seen.client, wb_client_is_flushed(seen.client));
	TURN_UNTIL(NULL, server.suspended);
	wb_client_continue(seen.client);
	assert_int_equal(wb_call_signal(seen.call, "TERM"), WB_OK);
	TURN_UNTIL(seen.client, seen.ended);
	assert_string_equal(seen.result.signal, "TERM");
	finish(&seen);
}

/* ---- the blocking helper, against a daemon in a process of its own ---- */

static pid_t fork_server(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(PATIENCE_MS / 1000);
		while (!server.said_bye)
			turn(NULL);
		server_forget();
		_exit(0);
	}
	return pid;
}

static void assert_left(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void running_one_command(void **state)
{
	pid_t pid = fork_server();
	struct wb_output output;
	struct wb_fault fault;
	static char input[3000000];
	(void)state;

	memset(input, 'i', sizeof(input));
	if (wb_run(server.uri, &(struct wb_exec){.argv = ARGV("cat")}, input, sizeof(input),
		   sizeof(input), &output, &fault) != WB_OK)
		fail_msg("%s", fault.text);
	assert_int_equal(output.result.outcome, WB_OUTCOME_EXITED);
	assert_int_equal(output.out_bytes, sizeof(input));
	assert_memory_equal(output.out, input, sizeof(input));
	assert_int_equal(output.out[output.out_bytes], 0);
	assert_string_equal(output.err, "");
	wb_output_done(&output);
	assert_null(output.out);
	assert_left(pid);
}

static void running_one_command_within_limits(void **state)
{
	pid_t pid = fork_server();
	struct wb_output output;
	struct wb_fault fault;
	(void)state;

	assert_int_equal(wb_run(server.uri, &(struct wb_exec){.argv = ARGV("blast", "100001")},
				NULL, 0, 100000, &output, &fault),
			 WB_ERR_LIMIT);
	assert_non_null(strstr(fault.text, "100000"));
	assert_left(pid);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, server_start, server_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SERVER(a_command_from_start_to_end),
		WITH_SERVER(what_is_asked_for_arrives),
		WITH_SERVER(what_makes_no_sense_is_refused),
		WITH_SERVER(stdin_goes_in_pieces_and_ends),
		WITH_SERVER(output_that_is_not_taken_is_kept),
		WITH_SERVER(the_end_waits_for_the_last_output),
		WITH_SERVER(output_that_nobody_wants),
		WITH_SERVER(signals_and_sizes_arrive),
		WITH_SERVER(a_cancel_ends_it),
		WITH_SERVER(a_deaf_command_is_told_of),
		WITH_SERVER(calls_may_be_freed_in_callbacks),
		WITH_SERVER(other_services),
		WITH_SERVER(leaving_in_order),
		WITH_SERVER(a_stop_is_announced),
		WITH_SERVER(running_one_command),
		WITH_SERVER(running_one_command_within_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
