/* exec without its client: what each policy does, what is kept, and who may have it then. */
#include "exec_fixture.h"

static enum wbi_job_status status_of(struct fixture *fixture, uint64_t job)
{
	struct wbi_registry_entry entry = {.status = 99};

	if (!wbi_registry_find(fixture->registry, principal_of(NULL), job, &entry))
		return 99;
	return entry.status;
}

static bool is_known(struct fixture *fixture, uint64_t job)
{
	return status_of(fixture, job) != 99;
}

/* A command that says `word` for each line it is given. */
#define PARROT "echo on; while read x; do echo got $x; done; echo over"

static void begin_parrot(struct fixture *fixture, const char *policy, struct command *command)
{
	begin(&fixture->peers[0], (struct ask){.argv = SH(PARROT), .on_disconnect = policy},
	      command);
	RUN_UNTIL(fixture, has_text(command, "on\n"));
	assert_int_equal(status_of(fixture, command->job), WBI_JOB_STATUS_RUNNING);
}

static void reconnect(struct peer *peer)
{
	peer->resumed = false;
	connect_peer(peer);
	RUN_UNTIL(peer->fixture, peer->resumed);
}

static void attach(struct fixture *fixture, uint64_t job, bool from_start, struct command *command)
{
	begin(&fixture->peers[1], (struct ask){.attach = job, .from_start = from_start}, command);
	RUN_UNTIL(fixture, command->opened || command->exited);
}

/* ---- a cut ---- */

static void a_cut_loses_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct command command;

	begin(&fixture->peers[0],
	      (struct ask){.argv = SH("tr i o | tee /dev/stderr"),
			   .input_bytes = 6 << 20,
			   .counts_only = true},
	      &command);
	for (uint64_t at = 300000; at < 6 << 20; at += 700000) {
		RUN_UNTIL(fixture, command.out[0].bytes > at);
		cut(&fixture->peers[0]);
		for (int i = 0; i < 5; i++)
			step(fixture);
		reconnect(&fixture->peers[0]);
	}
	RUN_UNTIL(fixture, command.exited);
	assert_int_equal(command.result.exit.outcome, WBI_OUTCOME_EXITED);
	assert_true(command.result.complete);
	assert_int_equal(command.out[0].bytes, 6 << 20);
	assert_int_equal(command.out[1].bytes, 6 << 20);
	end(fixture, &command);
	assert_false(is_known(fixture, command.job));
}

static void held_and_resumed(void **state)
{
	struct fixture *fixture = *state;
	struct command command;

	begin_parrot(fixture, "hold", &command);
	cut(&fixture->peers[0]);
	assert_int_equal(status_of(fixture, command.job), WBI_JOB_STATUS_HELD);
	give_input(&command, "a\nb\n", 0, true);
	reconnect(&fixture->peers[0]);
	RUN_UNTIL(fixture, command.exited);
	assert_string_equal(text_of(&command, 1), "on\ngot a\ngot b\nover\n");
	end(fixture, &command);
}

/* It goes on and ends while nobody is there; the client comes back for the outcome. */
static void ended_while_held(void **state)
{
	struct fixture *fixture = *state;
	struct command command;

	begin(&fixture->peers[0],
	      (struct ask){.argv = SH("echo on; read x; head -c 3000000 /dev/zero; exit 4"),
			   .counts_only = true},
	      &command);
	RUN_UNTIL(fixture, command.out[0].bytes == 3);
	give_input(&command, "go\n", 0, true);
	RUN_UNTIL(fixture, command.out[0].bytes > 3);
	cut(&fixture->peers[0]);
	RUN_UNTIL(fixture, status_of(fixture, command.job) == WBI_JOB_STATUS_ENDED);
	assert_true(fixture->jobs.spool.bytes > 0);
	reconnect(&fixture->peers[0]);
	RUN_UNTIL(fixture, command.exited);
	assert_int_equal(command.result.exit.code, 4);
	assert_true(command.result.complete);
	assert_int_equal(command.out[0].bytes, 3000003);
	end(fixture, &command);
	assert_false(is_known(fixture, command.job));
	assert_int_equal(fixture->jobs.spool.bytes, 0);
}

static void killed_at_once(void **state)
{
	struct fixture *fixture = *state;
	struct command command;

	begin_parrot(fixture, "kill", &command);
	cut(&fixture->peers[0]);
	RUN_UNTIL(fixture, fixture->jobs.running == 0);
	reconnect(&fixture->peers[0]);
	RUN_UNTIL(fixture, command.exited);
	assert_int_equal(command.result.exit.outcome, WBI_OUTCOME_CANCELLED);
	end(fixture, &command);
}

static void held_for_so_long(void **state)
{
	struct fixture *fixture = *state;
	struct command command;

	begin(&fixture->peers[0],
	      (struct ask){.argv = SH(PARROT), .on_disconnect = "hold", .hold_ms = 100}, &command);
	RUN_UNTIL(fixture, has_text(&command, "on\n"));
	cut(&fixture->peers[0]);
	uint64_t begun_ms = wbi_clock_ms();
	RUN_UNTIL(fixture, fixture->jobs.running == 0);
	assert_true(wbi_clock_ms() - begun_ms >= 99);
	end(fixture, &command);
}

static void dropped_with_its_session(void **state)
{
	struct fixture *fixture = *state;
	struct command command;

	begin_parrot(fixture, NULL, &command);
	drop_server(&fixture->peers[0]);
	assert_false(is_known(fixture, command.job));
	RUN_UNTIL(fixture, fixture->jobs.running == 0);
	end(fixture, &command);
}

/* ^Z: no deadline runs, nothing is killed. */
static void a_client_that_stopped_itself(void **state)
{
	struct fixture *fixture = *state;
	struct command command;

	begin_parrot(fixture, "kill", &command);
	wbi_session_suspend(fixture->peers[0].client);
	RUN_UNTIL(fixture, fixture->peers[0].server->suspended);
	cut(&fixture->peers[0]);
	for (int i = 0; i < 20; i++)
		step(fixture);
	assert_int_equal(fixture->jobs.running, 1);
	wbi_session_continue(fixture->peers[0].client);
	reconnect(&fixture->peers[0]);
	give_input(&command, "a\n", 0, true);
	RUN_UNTIL(fixture, command.exited);
	assert_int_equal(command.result.exit.outcome, WBI_OUTCOME_EXITED);
	end(fixture, &command);
}

/* The client forgets what still runs. */
static void forgotten_while_running(void **state)
{
	struct fixture *fixture = *state;
	struct command command;

	begin_parrot(fixture, "hold", &command);
	end(fixture, &command);
	RUN_UNTIL(fixture, fixture->jobs.running == 0);
	assert_false(is_known(fixture, command.job));
}

/* ---- detached, and attached again ---- */

static void detached_and_attached(void **state)
{
	struct fixture *fixture = *state;
	struct command command, again;

	begin(&fixture->peers[0],
	      (struct ask){.argv = SH("head -c 200000 /dev/zero | tr '\\0' z; " PARROT),
			   .on_disconnect = "detach"},
	      &command);
	RUN_UNTIL(fixture, has_text(&command, "on\n"));
	for (int i = 0; i < 5; i++) /* until most of it is known to have arrived */
		step(fixture);
	drop_server(&fixture->peers[0]);
	assert_int_equal(status_of(fixture, command.job), WBI_JOB_STATUS_DETACHED);
	attach(fixture, command.job, false, &again);
	assert_true(again.opened);
	assert_int_equal(status_of(fixture, command.job), WBI_JOB_STATUS_RUNNING);
	give_input(&again, "a\n", 0, true);
	RUN_UNTIL(fixture, again.exited);
	assert_int_equal(again.result.exit.outcome, WBI_OUTCOME_EXITED);
	assert_true(again.result.complete);
	assert_true(has_text(&again, "got a\nover\n"));
	assert_true(again.out[0].bytes < 100000); /* what had not been acknowledged comes again */
	end(fixture, &again);
	RUN_UNTIL(fixture, !is_known(fixture, command.job));
	end(fixture, &command);
}

static void attached_from_its_start(void **state)
{
	struct fixture *fixture = *state;
	struct command command, again;

	begin_parrot(fixture, "detach", &command);
	give_input(&command, "a\n", 0, true);
	RUN_UNTIL(fixture, command.exited);
	drop_server(&fixture->peers[0]);
	assert_int_equal(status_of(fixture, command.job), WBI_JOB_STATUS_ENDED);
	attach(fixture, command.job, true, &again);
	RUN_UNTIL(fixture, again.exited);
	assert_string_equal(text_of(&again, 1), "on\ngot a\nover\n");
	assert_true(again.result.complete);
	end(fixture, &again);
	RUN_UNTIL(fixture, !is_known(fixture, command.job));
	end(fixture, &command);
}

static void what_nobody_reads_is_bounded(void **state)
{
	struct fixture *fixture = *state;
	struct command command, again;

	fixture->limits.output_bytes = 5 << 20;
	begin(&fixture->peers[0],
	      (struct ask){.argv = SH("echo on; read x; head -c 20000000 /dev/zero | tr '\\0' z"),
			   .on_disconnect = "detach"},
	      &command);
	RUN_UNTIL(fixture, has_text(&command, "on\n"));
	give_input(&command, "go\n", 0, true);
	for (int i = 0; i < 5; i++)
		step(fixture);
	drop_server(&fixture->peers[0]);
	RUN_UNTIL(fixture, fixture->jobs.spool.bytes > 4 << 20);
	for (int i = 0; i < 50; i++)
		step(fixture);
	assert_true(fixture->jobs.spool.bytes <= 5 << 20);
	assert_int_equal(fixture->jobs.running, 1);
	begin(&fixture->peers[1],
	      (struct ask){.attach = command.job, .from_start = true, .counts_only = true}, &again);
	RUN_UNTIL(fixture, again.exited);
	assert_true(again.result.complete);
	assert_int_equal(again.result.exit.code, 0);
	assert_true(again.out[0].bytes >= 19000000); /* some had arrived before */
	end(fixture, &again);
	RUN_UNTIL(fixture, fixture->jobs.spool.bytes == 0);
	end(fixture, &command);
}

static void one_view_at_a_time(void **state)
{
	struct fixture *fixture = *state;
	struct command command, again;

	begin_parrot(fixture, "hold", &command);
	attach(fixture, command.job, false, &again);
	assert_int_equal(again.result.exit.outcome, WBI_OUTCOME_REFUSED);
	assert_string_equal(again.result.exit.error, "busy");
	end(fixture, &again);
	attach(fixture, 999, false, &again);
	assert_string_equal(again.result.exit.error, "job");
	end(fixture, &again);
	give_input(&command, "a\n", 0, true);
	RUN_UNTIL(fixture, command.exited);
	end(fixture, &command);
}

/* The old client comes back to hear that somebody else has it, with its own bytes whole. */
static void taken_over(void **state)
{
	struct fixture *fixture = *state;
	struct command command, again;

	begin(&fixture->peers[0],
	      (struct ask){.argv = SH("head -c 500000 /dev/zero | tr '\\0' z; read x; echo got $x"),
			   .stopped = true},
	      &command);
	RUN_UNTIL(fixture, command.out[0].bytes > 60000);
	cut(&fixture->peers[0]);
	attach(fixture, command.job, true, &again);
	assert_true(again.opened);
	reconnect(&fixture->peers[0]);
	give_input(&again, "a\n", 0, true);
	go_on(&command);
	RUN_UNTIL(fixture, again.exited && command.exited);
	assert_int_equal(command.result.exit.outcome, WBI_OUTCOME_FAILED);
	assert_string_equal(command.result.exit.error, "taken");
	assert_true(command.result.complete);
	assert_int_equal(again.result.exit.outcome, WBI_OUTCOME_EXITED);
	assert_true(again.result.complete);
	assert_int_equal(again.out[0].bytes, 500000 + strlen("got a\n"));
	end(fixture, &again);
	end(fixture, &command);
	RUN_UNTIL(fixture, !is_known(fixture, command.job));
}

/* The job had ended before that: the old client hears how, but only with all of the output. */
static void taken_over_after_its_end(struct fixture *fixture, bool all_sent)
{
	struct command command, again;
	uint64_t bytes = all_sent ? 50000 : 500000;
	char line[64];

	snprintf(line, sizeof(line), "read x; head -c %u /dev/zero; exit 4", (unsigned)bytes);
	begin(&fixture->peers[0],
	      (struct ask){.argv = SH(line), .stopped = true, .on_disconnect = "detach"}, &command);
	give_input(&command, "go\n", 0, true);
	RUN_UNTIL(fixture, command.out[0].bytes >= (all_sent ? bytes : 60000));
	if (all_sent)
		RUN_UNTIL(fixture, command.out[0].eof && command.out[1].eof);
	cut(&fixture->peers[0]);
	RUN_UNTIL(fixture, status_of(fixture, command.job) == WBI_JOB_STATUS_ENDED);
	attach(fixture, command.job, true, &again);
	RUN_UNTIL(fixture, again.exited);
	assert_int_equal(again.result.exit.code, 4);
	assert_int_equal(again.out[0].bytes, bytes);
	reconnect(&fixture->peers[0]);
	go_on(&command);
	RUN_UNTIL(fixture, command.exited);
	assert_true(command.result.complete);
	if (all_sent) {
		assert_int_equal(command.result.exit.outcome, WBI_OUTCOME_EXITED);
		assert_int_equal(command.out[0].bytes, bytes);
	} else {
		assert_int_equal(command.result.exit.outcome, WBI_OUTCOME_FAILED);
		assert_string_equal(command.result.exit.error, "taken");
	}
	end(fixture, &again);
	end(fixture, &command);
}

static void taken_over_in_part(void **state)
{
	taken_over_after_its_end(*state, false);
}

static void taken_over_as_a_whole(void **state)
{
	taken_over_after_its_end(*state, true);
}

/* Input that the first client sent and the command had not read is not the second one's to consume.
 */
static void input_of_two_clients(void **state)
{
	struct fixture *fixture = *state;
	struct command command, again;

	begin(&fixture->peers[0],
	      (struct ask){.argv = SH("echo on; trap 'wc -c; exit' USR1; while :; do tail -f "
				      "/dev/null & wait; kill $!; done"),
			   .on_disconnect = "detach",
			   .input_bytes = 0},
	      &command);
	RUN_UNTIL(fixture, has_text(&command, "on\n"));
	give_input(&command, NULL, 400000, false);
	for (int i = 0; i < 20; i++)
		step(fixture);
	drop_server(&fixture->peers[0]);
	begin(&fixture->peers[1],
	      (struct ask){.attach = command.job, .from_start = true, .input_bytes = 1000000},
	      &again);
	RUN_UNTIL(fixture, has_text(&again, "on\n"));
	wbi_exec_kill(&fixture->env, command.job, "USR1");
	RUN_UNTIL(fixture, again.exited);
	assert_int_equal(again.result.exit.outcome, WBI_OUTCOME_EXITED);
	long long read_bytes = atoll(strchr(text_of(&again, 1), '\n'));
	assert_true(read_bytes > 1000000 && read_bytes <= 1400000);
	end(fixture, &again);
	end(fixture, &command);
}

/* ---- keys ---- */

static void assert_done(struct fixture *fixture, struct ask ask, const char *outcome)
{
	struct command again;
	char text[128];

	begin(&fixture->peers[1], ask, &again);
	RUN_UNTIL(fixture, again.exited);
	snprintf(text, sizeof(text), "the command of this key ran before: %s", outcome);
	assert_int_equal(again.result.exit.outcome, WBI_OUTCOME_REFUSED);
	assert_string_equal(again.result.exit.error, "done");
	assert_string_equal(again.result.exit.text, text);
	end(fixture, &again);
}

/* However it ended, and whether the call that asks again finds the job gone at once, or only once
 * it has come to the job's worker. */
static void the_outcome_of_a_key(void **state)
{
	static const struct {
		const char *key, *line, *outcome;
		uint64_t timeout_ms;
	} rows[] = {
		{"code", "exit 3", "exited with code 3", 0},
		{"signal", "kill -USR1 $$", "ended by signal USR1", 0},
		{"time", "exec tail -f /dev/null", "timeout", 1},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ask ask = {.argv = SH(rows[i].line),
				  .key = rows[i].key,
				  .timeout_ms = rows[i].timeout_ms};
		struct command command;

		run(*state, ask, &command);
		end(*state, &command);
		assert_done(*state, ask, rows[i].outcome);
		assert_done(*state, (struct ask){.key = ask.key, .attach = command.job},
			    rows[i].outcome);
	}
}

/* Given up before it had ended: nobody waits for that end, and it was none of its own. */
static void the_outcome_of_a_key_that_was_given_up(void **state)
{
	struct fixture *fixture = *state;
	struct ask ask = {.argv = SH("exec tail -f /dev/null"), .key = "k"};
	struct command command;

	begin(&fixture->peers[0], ask, &command);
	RUN_UNTIL(fixture, command.opened);
	end(fixture, &command);
	assert_done(fixture, ask, "cancelled");
}

static void ended_ones_are_kept_up_to_a_limit(void **state)
{
	enum { COUNT = 70, KEPT = 64 };
	struct fixture *fixture = *state;
	uint64_t jobs[COUNT];

	for (int i = 0; i < COUNT; i++) {
		struct command command;
		run(fixture, (struct ask){.argv = ARGV("true"), .on_disconnect = "detach"},
		    &command);
		jobs[i] = command.job;
		drop_server(&fixture->peers[0]);
		/* The session is gone for good: begin another. */
		end(fixture, &command);
		connect_peer(&fixture->peers[0]);
	}
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(is_known(fixture, jobs[i]), i >= COUNT - KEPT);
}

/* ---- kill ---- */

static void killed_from_elsewhere(void **state)
{
	struct fixture *fixture = *state;
	struct command command;

	begin_parrot(fixture, "detach", &command);
	wbi_exec_kill(&fixture->env, 999, NULL);
	wbi_exec_kill(&fixture->env, command.job, "NONSENSE");
	wbi_exec_kill(&fixture->env, command.job, NULL);
	RUN_UNTIL(fixture, command.exited);
	assert_int_equal(command.result.exit.outcome, WBI_OUTCOME_SIGNALED);
	end(fixture, &command);
	begin_parrot(fixture, "detach", &command);
	drop_server(&fixture->peers[0]);
	wbi_exec_kill(&fixture->env, command.job, NULL);
	RUN_UNTIL(fixture, status_of(fixture, command.job) == WBI_JOB_STATUS_ENDED);
	wbi_exec_kill(&fixture->env, command.job, NULL);
	assert_false(is_known(fixture, command.job));
	end(fixture, &command);
}

static void what_the_registry_shows(void **state)
{
	struct fixture *fixture = *state;
	struct wbi_registry_entry entry;
	struct command command;

	begin(&fixture->peers[0],
	      (struct ask){.argv = ARGV("sh", "-c", "echo \x1b[31m; echo err >&2; read x")},
	      &command);
	RUN_UNTIL(fixture, command.out[0].bytes > 0 && command.out[1].bytes > 0);
	RUN_UNTIL(fixture,
		  wbi_registry_find(fixture->registry, principal_of(NULL), command.job, &entry) &&
			  entry.output_bytes[1] == 4);
	assert_string_equal(entry.command, "sh -c 'echo \\x1B[31m; echo err >&2; read x'");
	assert_string_equal(entry.client, "test\\x1B");
	assert_true(entry.pid > 0);
	assert_int_equal(entry.output_bytes[0], command.out[0].bytes);
	end(fixture, &command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_cut_loses_nothing),
		TEST(held_and_resumed),
		TEST(ended_while_held),
		TEST(killed_at_once),
		TEST(held_for_so_long),
		TEST(dropped_with_its_session),
		TEST(a_client_that_stopped_itself),
		TEST(forgotten_while_running),
		TEST(detached_and_attached),
		TEST(attached_from_its_start),
		TEST(what_nobody_reads_is_bounded),
		TEST(one_view_at_a_time),
		TEST(taken_over),
		TEST(taken_over_in_part),
		TEST(taken_over_as_a_whole),
		TEST(input_of_two_clients),
		TEST(the_outcome_of_a_key),
		TEST(the_outcome_of_a_key_that_was_given_up),
		TEST(ended_ones_are_kept_up_to_a_limit),
		TEST(killed_from_elsewhere),
		TEST(what_the_registry_shows),
	};

	become_reaper();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
