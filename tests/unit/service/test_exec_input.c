/* exec: stdin that clients have left for commands that do not read it. However many there are, it
 * is held to what a worker may lend. */
#include "exec_fixture.h"

#include "service/exec_job.h"

/* Reads nothing before it is told to, and then everything up to the end. */
#define DEAF                                                                                       \
	SH("trap 'wc -c; exit' USR1; echo on; while :; do tail -f /dev/null & wait; kill $!; "     \
	   "done")

static size_t waiting_of(struct fixture *fixture, uint64_t job)
{
	return wbi_job_input_waiting(wbi_exec_job_find(&fixture->env, job)->job);
}

/* Until its client has sent all that it may. */
static void fill(struct fixture *fixture, struct command *command)
{
	enum { QUIET_TURNS = 20 };
	size_t before = 0;

	RUN_UNTIL(fixture, command->opened);
	for (int quiet = 0; quiet < QUIET_TURNS; quiet++) {
		size_t waiting = waiting_of(fixture, command->job);

		if (waiting != before)
			quiet = 0;
		before = waiting;
		step(fixture);
	}
}

/* The client is gone, and another comes in its place. */
static void replace_client(struct fixture *fixture, struct command *command)
{
	drop_server(&fixture->peers[0]);
	end(fixture, command);
	connect_peer(&fixture->peers[0]);
}

/* Returns the job's number. */
static uint64_t leave_input(struct fixture *fixture, uint64_t bytes)
{
	struct command command;
	uint64_t job;

	begin(&fixture->peers[0],
	      (struct ask){.argv = DEAF, .on_disconnect = "detach", .input_bytes = bytes},
	      &command);
	fill(fixture, &command);
	assert_true(has_text(&command, "on\n"));
	job = command.job;
	replace_client(fixture, &command);
	return job;
}

/* Whether a client with stdin may attach; if so, it leaves as much as it may. */
static bool leave_more(struct fixture *fixture, uint64_t job)
{
	struct command command;
	bool opened;

	begin(&fixture->peers[0], (struct ask){.attach = job, .input_bytes = 10 << 20}, &command);
	RUN_UNTIL(fixture, command.opened || command.exited);
	opened = command.opened;
	if (opened)
		fill(fixture, &command);
	else
		assert_string_equal(command.result.exit.error, "limit");
	replace_client(fixture, &command);
	return opened;
}

static bool is_over(struct fixture *fixture, uint64_t job)
{
	return wbi_exec_job_find(&fixture->env, job)->ended;
}

static void drop_job(struct fixture *fixture, uint64_t job)
{
	if (!is_over(fixture, job))
		wbi_exec_kill(&fixture->env, job, NULL);
	RUN_UNTIL(fixture, is_over(fixture, job));
	wbi_exec_kill(&fixture->env, job, NULL);
}

static void it_is_owed_until_it_is_read(void **state)
{
	struct fixture *fixture = *state;
	uint64_t job = leave_input(fixture, 400000);
	size_t waiting = waiting_of(fixture, job);

	assert_true(waiting > WBI_WINDOW_OWN);
	assert_int_equal(fixture->pool.used_bytes, waiting);
	wbi_exec_kill(&fixture->env, job, "USR1");
	RUN_UNTIL(fixture, waiting_of(fixture, job) < waiting);
	assert_int_equal(fixture->pool.used_bytes, waiting_of(fixture, job));
	RUN_UNTIL(fixture, waiting_of(fixture, job) == 0);
	assert_int_equal(fixture->pool.used_bytes, 0);
	drop_job(fixture, job);
}

static void an_end_settles_it(void **state)
{
	struct fixture *fixture = *state;
	uint64_t job = leave_input(fixture, 400000);

	assert_true(fixture->pool.used_bytes > 0);
	wbi_exec_kill(&fixture->env, job, NULL);
	RUN_UNTIL(fixture, is_over(fixture, job));
	assert_int_equal(fixture->pool.used_bytes, 0);
	drop_job(fixture, job);
}

/* Commands that still run, whose clients would send any amount. */
static void all_of_them_are_bounded(void **state)
{
	enum { COUNT = 6, POOL_BYTES = 200000 };
	struct fixture *fixture = *state;
	uint64_t jobs[COUNT];
	size_t waiting = 0;

	fixture->pool.limit_bytes = POOL_BYTES;
	for (int i = 0; i < COUNT; i++) {
		jobs[i] = leave_input(fixture, 10 << 20);
		waiting += waiting_of(fixture, jobs[i]);
	}
	assert_true(waiting > POOL_BYTES);
	assert_true(waiting <= POOL_BYTES + COUNT * WBI_WINDOW_OWN);
	for (int i = 0; i < COUNT; i++)
		drop_job(fixture, jobs[i]);
}

/* Each client has some bytes that need not be borrowed; they do not add up. */
static void those_who_attach_leave_no_more(void **state)
{
	struct fixture *fixture = *state;
	uint64_t job, other;
	int more = 0;

	fixture->pool.limit_bytes = 100000;
	job = leave_input(fixture, 10 << 20);
	other = leave_input(fixture, 10 << 20);
	while (leave_more(fixture, other))
		assert_true(more++ < 20);
	assert_true(waiting_of(fixture, job) + waiting_of(fixture, other) <=
		    100000 + 4 * WBI_WINDOW_OWN);
	/* Once there is room again, it may. */
	drop_job(fixture, job);
	assert_true(leave_more(fixture, other));
	drop_job(fixture, other);
}

/* The old client is away and its job is taken over: its session lends to it no more. */
static void taken_over_with_its_input(void **state)
{
	struct fixture *fixture = *state;
	struct command command, again;

	begin(&fixture->peers[0],
	      (struct ask){.argv = DEAF, .on_disconnect = "detach", .input_bytes = 400000},
	      &command);
	fill(fixture, &command);
	cut(&fixture->peers[0]);
	begin(&fixture->peers[1],
	      (struct ask){.attach = command.job, .from_start = true, .no_input = true}, &again);
	RUN_UNTIL(fixture, again.opened && has_text(&again, "on\n"));
	assert_int_equal(fixture->peers[0].server->pool.used_bytes, 0);
	assert_int_equal(fixture->pool.used_bytes, waiting_of(fixture, command.job));
	wbi_exec_kill(&fixture->env, command.job, NULL);
	RUN_UNTIL(fixture, again.exited);
	assert_int_equal(fixture->pool.used_bytes, 0);
	end(fixture, &again);
	end(fixture, &command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_is_owed_until_it_is_read), TEST(an_end_settles_it),
		TEST(all_of_them_are_bounded),     TEST(those_who_attach_leave_no_more),
		TEST(taken_over_with_its_input),
	};

	become_reaper();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
