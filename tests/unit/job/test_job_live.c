/* Live jobs: the ends of their streams, and what becomes of output that has no place yet when a job
 * is ended that had ended by itself. */
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>

#include "job/job_state.h"
#include "job_fixture.h"

enum { WRITTEN = 40000 }; /* more than a log's own memory, less than a pipe */

static void on_output(struct wbi_job *job, void *owner, int stream)
{
	(void)job;
	(void)owner;
	(void)stream;
}

static void on_input(struct wbi_job *job, void *owner, size_t bytes)
{
	(void)job;
	(void)owner;
	(void)bytes;
}

/* Its logs can borrow nothing. */
static void start_live(struct fixture *fixture, const char *line, struct told *told)
{
	static const struct wbi_job_ops ops = {on_report, on_output, on_input};
	char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)line, NULL};
	const struct wbi_job_spec spec = {.path = argv[0],
					  .argv = argv,
					  .envp = environ,
					  .streams = 1 << 1,
					  .ops = &ops,
					  .owner = told};
	struct wb_fault fault = {0};

	fixture->env.log_memory.limit_bytes = 0;
	*told = (struct told){0};
	if (wbi_job_start_live(&fixture->env, &spec, &told->job, &fault) != WB_OK)
		fail_msg("%s", fault.text);
}

static bool is_draining(struct fixture *fixture, void *what)
{
	(void)fixture;
	return strcmp(wbi_job_state_name(((struct told *)what)->job), "draining") == 0;
}

static void start_and_drain(struct fixture *fixture, const char *line, struct told *told)
{
	fixture->limits.held_open_ms = 10 * DEADLINE_MS;
	start_live(fixture, line, told);
	run_until(fixture, is_draining, told);
}

static void flood_and_drain(struct fixture *fixture, struct told *told)
{
	start_and_drain(fixture, "head -c 40000 /dev/zero", told);
	assert_int_equal(wbi_job_log(told->job, 1)->source.end, WBI_LOG_RING_OWN);
}

static void assert_cut_off(struct fixture *fixture, struct told *told)
{
	run_until(fixture, is_told, told);
	assert_int_equal(wbi_job_outcome(told->job), WBI_JOB_FAILED);
	assert_int_equal(wbi_job_fault(told->job)->err, WB_ERR_LIMIT);
	assert_int_equal(wbi_job_end(told->job)->code, 0);
	assert_true(wbi_job_log(told->job, 1)->source.end < WRITTEN);
	wbi_job_free(told->job);
}

static void assert_all_there(struct fixture *fixture, struct told *told)
{
	run_until(fixture, is_told, told);
	assert_int_equal(wbi_job_outcome(told->job), WBI_JOB_ENDED);
	assert_false(wbi_job_held_open(told->job));
	assert_int_equal(wbi_job_log(told->job, 1)->source.end, WRITTEN);
	wbi_job_free(told->job);
}

/* There is a reader, who reads nothing: it need not make room for all to be kept. */
static void killed_with_a_full_log(void **state)
{
	struct fixture *fixture = *state;
	struct told told;

	flood_and_drain(fixture, &told);
	assert_false(wbi_job_kill(told.job)); /* it had ended by itself */
	assert_all_there(fixture, &told);
}

static bool is_full(struct fixture *fixture, void *what)
{
	(void)fixture;
	return wbi_job_log(((struct told *)what)->job, 1)->source.full;
}

/* All that it writes and the log has no place for stands in the pipe. */
static void wait_for_the_rest(struct told *told)
{
	uint64_t deadline_ms = wbi_clock_ms() + DEADLINE_MS;
	int standing = 0;

	while (standing < WRITTEN - WBI_LOG_RING_OWN) {
		assert_int_equal(ioctl(told->job->outlets[0].watch.fd, FIONREAD, &standing), 0);
		assert_true(wbi_clock_ms() < deadline_ms);
		sched_yield();
	}
}

/* The same a moment earlier, as far as anybody knows: the command still runs. */
static void killed_while_it_runs_with_a_full_log(void **state)
{
	struct fixture *fixture = *state;
	struct told told;

	start_live(fixture, "head -c 40000 /dev/zero; exec tail -f /dev/null", &told);
	run_until(fixture, is_full, &told);
	wait_for_the_rest(&told);
	assert_true(wbi_job_kill(told.job));
	assert_all_there(fixture, &told);
	while (waitpid(-1, NULL, 0) > 0)
		; /* head, if its shell was killed before it saw it end */
}

/* The file takes some, not all. */
static void killed_while_it_spills_too_much(void **state)
{
	struct fixture *fixture = *state;
	struct told told;

	fixture->limits.output_bytes = 20000;
	flood_and_drain(fixture, &told);
	assert_false(wbi_job_kill(told.job)); /* it goes on, as far as anybody knows */
	assert_cut_off(fixture, &told);
}

static void killed_while_it_spills(void **state)
{
	struct fixture *fixture = *state;
	struct told told;

	flood_and_drain(fixture, &told);
	wbi_log_spill(wbi_job_log(told.job, 1), true);
	wbi_job_resume(told.job, 1);
	assert_false(wbi_job_kill(told.job));
	assert_all_there(fixture, &told);
}

static pid_t told_pid(struct told *told)
{
	struct wbi_source *source = &wbi_job_log(told->job, 1)->source;
	struct wbi_slice slice = source->ops->peek(source, 0, (size_t)source->end);
	char text[16] = "";
	memcpy(text, slice.data, slice.bytes < sizeof(text) - 1 ? slice.bytes : sizeof(text) - 1);
	pid_t pid = (pid_t)strtol(text, NULL, 10);

	assert_true(pid > 0);
	return pid;
}

/* More than one turn takes. */
static void killed_with_a_large_pipe(void **state)
{
	struct fixture *fixture = *state;
	struct told told;

	fixture->limits.held_open_ms = 10 * DEADLINE_MS;
	start_live(fixture, "head -c 1064960 /dev/zero", &told);
	if (fcntl(told.job->outlets[0].watch.fd, F_SETPIPE_SZ, 1 << 20) < 0) {
		print_message("no pipe of 1 MiB is to be had\n");
		wbi_job_free(told.job);
		skip();
	}
	told.job->outlets[0].enlarged = true;
	run_until(fixture, is_draining, &told);
	assert_false(wbi_job_kill(told.job));
	run_until(fixture, is_told, &told);
	assert_int_equal(wbi_job_outcome(told.job), WBI_JOB_ENDED);
	assert_false(wbi_job_held_open(told.job));
	assert_int_equal(wbi_job_log(told.job, 1)->source.end, 1064960);
	wbi_job_free(told.job);
}

/* What it says on TERM has a place, though nobody reads. */
static void last_words(void **state)
{
	struct fixture *fixture = *state;
	struct told told;

	start_live(fixture,
		   "trap '' HUP; trap 'head -c 200000 /dev/zero; exit 7' TERM;"
		   "head -c 16384 /dev/zero;"
		   "tail -f /dev/null & wait",
		   &told);
	run_until(fixture, is_full, &told);
	assert_true(wbi_job_kill(told.job));
	run_until(fixture, is_told, &told);
	assert_int_equal(wbi_job_outcome(told.job), WBI_JOB_ENDED);
	assert_false(wbi_job_end(told.job)->signaled);
	assert_int_equal(wbi_job_end(told.job)->code, 7);
	assert_int_equal(wbi_job_log(told.job, 1)->source.end, 216384);
	wbi_job_free(told.job);
	reap_killed_survivors(); /* in the background */
}

static void on_moment(struct wbi_timer *timer)
{
	(void)timer;
}

static bool is_over(struct fixture *fixture, void *what)
{
	(void)fixture;
	return ((struct wbi_timer *)what)->node.place == 0;
}

/* As one does that the daemon is just starting: it lets go of its copy in a moment. */
static void killed_while_another_starts(void **state)
{
	struct fixture *fixture = *state;
	struct told told;
	struct wbi_timer moment = {.fn = on_moment};
	char path[32];
	int copy;

	start_live(fixture, "exec tail -f /dev/null", &told);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", told.job->outlets[0].watch.fd);
	copy = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(copy >= 0);
	assert_true(wbi_job_kill(told.job));
	run_until(fixture, is_draining, &told);
	assert_int_equal(wbi_loop_timer(fixture->loop, &moment, 20), WB_OK);
	run_until(fixture, is_over, &moment);
	assert_int_equal(told.times, 0);
	close(copy);
	run_until(fixture, is_told, &told);
	assert_false(wbi_job_held_open(told.job));
	wbi_job_free(told.job);
}

/* Nothing is left to wait for. */
static void unwanted_while_held_open(void **state)
{
	struct fixture *fixture = *state;
	struct told told;
	int status;

	start_and_drain(fixture, "tail -f /dev/null & printf %d $!", &told);
	pid_t survivor = told_pid(&told);
	wbi_job_close_output(told.job, 1);
	run_until(fixture, is_told, &told);
	assert_int_equal(wbi_job_outcome(told.job), WBI_JOB_ENDED);
	wbi_job_free(told.job);
	kill(survivor, SIGTERM);
	assert_int_equal(waitpid(survivor, &status, 0), survivor);
}

/* Nothing of its own is missing: only somebody else's silence is not waited for. */
static void killed_while_held_open(void **state)
{
	struct fixture *fixture = *state;
	struct told told;
	int status;

	start_and_drain(fixture, "tail -f /dev/null & printf %d $!", &told);
	assert_false(wbi_job_kill(told.job));
	run_until(fixture, is_told, &told);
	assert_int_equal(wbi_job_outcome(told.job), WBI_JOB_ENDED);
	assert_true(wbi_job_held_open(told.job));

	pid_t survivor = told_pid(&told);
	wbi_job_free(told.job);
	kill(survivor, SIGTERM);
	assert_int_equal(waitpid(survivor, &status, 0), survivor);
}

static bool has_no_more_output(struct fixture *fixture, void *what)
{
	const struct wbi_source *source = &wbi_job_log(((struct told *)what)->job, 1)->source;
	(void)fixture;

	return source->ended && source->end == 3;
}

/* The end of a stream may wait for the command's, but not for long. */
static void a_stream_ends_before_its_command(void **state)
{
	struct fixture *fixture = *state;
	struct told told;

	start_live(fixture, "echo on; exec >/dev/null; exec tail -f /dev/null", &told);
	run_until(fixture, has_no_more_output, &told);
	assert_string_equal(wbi_job_state_name(told.job), "running");
	assert_false(wbi_job_log(told.job, 1)->source.held_open);
	assert_true(wbi_job_kill(told.job));
	run_until(fixture, is_told, &told);
	wbi_job_free(told.job);
}

#define TEST_LIVE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_LIVE(killed_with_a_full_log),
		TEST_LIVE(killed_while_it_runs_with_a_full_log),
		TEST_LIVE(killed_while_it_spills_too_much),
		TEST_LIVE(killed_while_it_spills),
		TEST_LIVE(killed_with_a_large_pipe),
		TEST_LIVE(last_words),
		TEST_LIVE(killed_while_held_open),
		TEST_LIVE(killed_while_another_starts),
		TEST_LIVE(unwanted_while_held_open),
		TEST_LIVE(a_stream_ends_before_its_command),
	};

	become_reaper();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
