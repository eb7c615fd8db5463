/* Jobs left behind: by a command whose children hold its pipes, or by an owner who gives up. */
#include "job_fixture.h"

static void reap_survivor(pid_t pid, int expected_signal)
{
	int status = 0;

	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (expected_signal != 0)
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == expected_signal);
	else
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Killed, but perhaps first seen by its own parent; and tail ends of SIGPIPE where its reader
 * closes a moment before the kill. */
static void assert_killed(pid_t pid)
{
	int status = 0;

	assert_true(pid > 0);
	if (waitpid(pid, &status, 0) < 0)
		assert_int_equal(errno, ECHILD);
	else
		assert_true(WIFSIGNALED(status) &&
			    (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGPIPE));
}

static bool is_alive(pid_t pid)
{
	return waitpid(pid, NULL, WNOHANG) == 0;
}

/* ---- pipes that someone else holds ---- */

static void held_open(void **state)
{
	struct fixture *fixture = *state;
	struct told told;

	uint64_t start_ms = wbi_clock_ms();
	run(fixture, "tail -f /dev/null & echo $!", &told);
	assert_true(wbi_clock_ms() - start_ms >= fixture->limits.held_open_ms);
	assert_int_equal(wbi_job_outcome(told.job), WBI_JOB_ENDED);
	assert_int_equal(wbi_job_end(told.job)->code, 0);
	assert_true(wbi_job_held_open(told.job));
	assert_int_equal(fixture->env.running, 0);
	pid_t survivor = printed_pid(&told);
	wbi_job_free(told.job);
	assert_int_equal(fixture->env.lingering_count, 1);
	assert_true(is_alive(survivor)); /* after a normal end nothing is killed */
	kill(survivor, SIGTERM);
	reap_survivor(survivor, SIGTERM);
	run_until(fixture, nothing_lingers, NULL);
}

/* The command itself is killed by somebody; its child holds the pipes. A report comes. */
static void killed_while_held_open(void **state)
{
	struct told told;

	run(*state, "tail -f /dev/null & echo $!; kill -KILL $$", &told);
	assert_true(wbi_job_held_open(told.job));
	assert_true(wbi_job_end(told.job)->signaled);
	pid_t survivor = printed_pid(&told);
	wbi_job_free(told.job);
	kill(survivor, SIGTERM);
	reap_survivor(survivor, SIGTERM);
}

/* The one in the background writes more than a pipe holds after everybody has gone: were the read
 * end closed it would die of SIGPIPE, and were nobody reading it would never end. */
static void survivors_get_no_sigpipe(void **state)
{
	struct fixture *fixture = *state;
	struct told told;
	char line[256];
	int reader, writer;

	assert_int_equal(wbi_fd_pipe(&reader, &writer, NULL), WB_OK);
	snprintf(line, sizeof(line),
		 "(read x </proc/%d/fd/%d; head -c 300000 /dev/zero; echo more) & echo $!",
		 getpid(), reader);
	run(fixture, line, &told);
	pid_t survivor = printed_pid(&told);
	wbi_job_free(told.job);
	assert_int_equal(write(writer, "x\n", 2), 2);
	close(writer);
	run_until(fixture, nothing_lingers, NULL);
	reap_survivor(survivor, 0);
	close(reader);
}

/* Output that trickles in is not silence. */
static void silence_counts_from_the_last_byte(void **state)
{
	struct fixture *fixture = *state;
	struct told told;
	int reader, writer;
	char line[256];

	fixture->limits.held_open_ms = 300;
	assert_int_equal(wbi_fd_pipe(&reader, &writer, NULL), WB_OK);
	snprintf(line, sizeof(line), "(while read x; do echo $x; done) </proc/%d/fd/%d & exit 0",
		 getpid(), reader);
	start(fixture, line, &told);
	uint64_t start_ms = wbi_clock_ms(), fed_ms = 0;
	for (int fed = 0; fed < 5; fed_ms = wbi_clock_ms() - start_ms) {
		if (fed_ms >= (uint64_t)fed * 100 && write(writer, "a\n", 2) == 2)
			fed++;
		assert_int_equal(wbi_loop_turn(fixture->loop, 10, NULL), WB_OK);
		if (told.times > 0 && wbi_clock_ms() - start_ms < 300)
			fail_msg("reported before there was silence");
	}
	close(writer);
	finish(fixture, &told);
	if (!wbi_job_held_open(told.job)) /* else this machine stood still for 300 ms */
		assert_output(&told, 1, "a\na\na\na\na\n");
	wbi_job_free(told.job);
	run_until(fixture, nothing_lingers, NULL);
	assert_true(waitpid(-1, NULL, 0) > 0);
	close(reader);
}

static void lingering_is_bounded(void **state)
{
	enum { COUNT = 4 };
	struct fixture *fixture = *state;
	struct told told;
	pid_t survivors[COUNT];

	fixture->limits.commands = COUNT - 1;
	for (int i = 0; i < COUNT; i++) {
		run(fixture, "tail -f /dev/null >/dev/null & echo $!", &told);
		survivors[i] = printed_pid(&told);
		wbi_job_free(told.job);
	}
	assert_int_equal(fixture->env.lingering_count, COUNT - 1);
	for (int i = 0; i < COUNT; i++) {
		kill(survivors[i], SIGTERM);
		reap_survivor(survivors[i], SIGTERM);
	}
	run_until(fixture, nothing_lingers, NULL);
}

static void given_up_while_held_open(void **state)
{
	struct fixture *fixture = *state;
	struct told told;

	fixture->limits.held_open_ms = DEADLINE_MS;
	start(fixture, "tail -f /dev/null & echo $!", &told);
	uint64_t deadline_ms = wbi_clock_ms() + DEADLINE_MS;
	while (strcmp(wbi_job_state_name(told.job), "draining") != 0) {
		assert_true(wbi_clock_ms() < deadline_ms);
		assert_int_equal(wbi_loop_turn(fixture->loop, DEADLINE_MS, NULL), WB_OK);
	}
	pid_t survivor = printed_pid(&told);
	wbi_job_free(told.job);
	assert_int_equal(fixture->env.running, 0);
	assert_true(is_alive(survivor));
	kill(survivor, SIGTERM);
	reap_survivor(survivor, SIGTERM);
	run_until(fixture, nothing_lingers, NULL);
}

/* ---- given up while running ---- */

static void freed_while_running(void **state)
{
	struct fixture *fixture = *state;
	struct told told;

	start(fixture, "tail -f /dev/null & echo $!; wait", &told);
	run_until(fixture, has_printed, &told);
	pid_t child = printed_pid(&told);
	uint64_t start_ms = wbi_clock_ms();
	wbi_job_free(told.job);
	assert_int_equal(fixture->env.running, 1);
	run_until(fixture, nothing_runs, NULL);
	assert_int_equal(told.times, 0);
	reap_survivor(child, SIGHUP);
	print_message("asked to end, it took %d ms\n", (int)(wbi_clock_ms() - start_ms));
}

/* One that will not hear: killed with what it started, after the grace. */
static void freed_while_deaf(void **state)
{
	struct fixture *fixture = *state;
	struct told told;

	start(fixture, "trap '' HUP TERM; tail -f /dev/null & echo $!; while :; do wait; done",
	      &told);
	run_until(fixture, has_printed, &told);
	pid_t child = printed_pid(&told);
	wbi_job_free(told.job);
	run_until(fixture, nothing_runs, NULL);
	assert_int_equal(told.times, 0);
	assert_killed(child);
}

static void freed_while_stopped(void **state)
{
	struct fixture *fixture = *state;
	struct told told;
	int status = 0;

	start(fixture, "echo $$; kill -STOP $$", &told);
	run_until(fixture, has_printed, &told);
	assert_int_equal(waitpid(printed_pid(&told), &status, WUNTRACED), printed_pid(&told));
	assert_true(WIFSTOPPED(status));
	wbi_job_free(told.job);
	run_until(fixture, nothing_runs, NULL);
}

/* One that takes its leave with more words than a pipe holds is let finish. */
static void freed_and_cleaning_up(void **state)
{
	struct fixture *fixture = *state;
	struct told told;
	char line[256];

	snprintf(line, sizeof(line),
		 "trap '' HUP; trap 'head -c 200000 /dev/zero; rmdir %s/sub; exit' TERM;"
		 "mkdir %s/sub; tail -f /dev/null & echo x; wait",
		 fixture->folder, fixture->folder);
	start(fixture, line, &told);
	run_until(fixture, has_printed, &told);
	wbi_job_free(told.job);
	run_until(fixture, nothing_runs, NULL);
	reap_killed_survivors(); /* teardown sees whether sub is still there */
}

static void freed_at_once(void **state)
{
	struct fixture *fixture = *state;
	struct told told;

	for (int i = 0; i < 20; i++) {
		start(fixture, "echo x", &told);
		wbi_job_free(told.job);
	}
	run_until(fixture, nothing_runs, NULL);
	assert_true(wbi_list_empty(&fixture->env.live));
	wbi_job_free(NULL);
}

/* The daemon ends: everything does, at once, owned or not. */
static void the_environment_ends(void **state)
{
	struct fixture *fixture = *state;
	struct told running, deaf, reported;

	start(fixture, "exec tail -f /dev/null", &running);
	start(fixture, "trap '' HUP TERM; echo x; exec tail -f /dev/null", &deaf);
	run_until(fixture, has_printed, &deaf);
	wbi_job_free(deaf.job);
	run(fixture, "echo x", &reported);
	uint64_t start_ms = wbi_clock_ms();
	wbi_job_env_done(&fixture->env);
	assert_true(wbi_clock_ms() - start_ms < 2000);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void an_environment_never_begun(void **state)
{
	struct wbi_job_env env = {0};
	struct wb_fault fault = {0};
	(void)state;

	wbi_job_env_done(&env);
	signal(SIGCHLD, SIG_IGN);
	enum wb_err err = wbi_job_env_init(&env, NULL, &wb_limits_default, "/tmp", 0, &fault);
	signal(SIGCHLD, SIG_DFL);
	assert_int_equal(err, WB_ERR_ARGUMENT);
	wbi_job_env_done(&env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(held_open),
		TEST(killed_while_held_open),
		TEST(survivors_get_no_sigpipe),
		TEST(silence_counts_from_the_last_byte),
		TEST(lingering_is_bounded),
		TEST(given_up_while_held_open),
		TEST(freed_while_running),
		TEST(freed_while_deaf),
		TEST(freed_while_stopped),
		TEST(freed_and_cleaning_up),
		TEST(freed_at_once),
		TEST(the_environment_ends),
		TEST(an_environment_never_begun),
	};

	become_reaper();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
