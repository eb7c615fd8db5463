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

/* The job goes on, but not its stdin: what waited for that is gone. */
static void a_stdin_that_is_closed_settles_it(void **state)
{
	struct fixture *fixture = *state;
	struct command command;

	begin(&fixture->peers[0],
	      (struct ask){.argv = SH("trap 'exec </dev/null' USR1; echo on;"
				      "while :; do tail -f /dev/null & wait; kill $!; done"),
			   .on_disconnect = "detach",
			   .input_bytes = 400000},
	      &command);
	fill(fixture, &command);
	replace_client(fixture, &command);
	assert_true(fixture->pool.used_bytes > 0);
	wbi_exec_kill(&fixture->env, command.job, "USR1");
	RUN_UNTIL(fixture, fixture->pool.used_bytes == 0);
	assert_false(is_over(fixture, command.job));
	drop_job(fixture, command.job);
}

/* The command has ended, and its outcome waits for somebody: what it started still has its stdin
 * open, and is not given any more. */
static void an_end_settles_it_though_its_stdin_is_open(void **state)
{
	struct fixture *fixture = *state;
	struct command command;
	pid_t survivor;

	begin(&fixture->peers[0],
	      (struct ask){
		      .argv = SH(
			      "exec 3<&0; setsid tail -f /dev/null <&3 >/dev/null 2>&1 & echo $!;"
			      "trap exit USR1; while :; do wait; done"),
		      .on_disconnect = "detach",
		      .input_bytes = 400000},
	      &command);
	fill(fixture, &command);
	survivor = (pid_t)strtol(text_of(&command, 1), NULL, 10);
	assert_true(survivor > 0);
	replace_client(fixture, &command);
	assert_true(fixture->pool.used_bytes > 0);
	wbi_exec_kill(&fixture->env, command.job, "USR1");
	RUN_UNTIL(fixture, is_over(fixture, command.job));
	assert_int_equal(fixture->pool.used_bytes, 0);
	assert_int_equal(kill(survivor, SIGKILL), 0);
	drop_job(fixture, command.job);
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

/* The old client is away and its job is taken over: its session lends to it no more, whether it had
 * more to say or not. */
static void taken_over(struct fixture *fixture, uint64_t bytes)
{
	struct command command, again;

	begin(&fixture->peers[0],
	      (struct ask){.argv = DEAF, .on_disconnect = "detach", .input_bytes = bytes},
	      &command);
	fill(fixture, &command);
	assert_true(waiting_of(fixture, command.job) > WBI_WINDOW_OWN);
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

static void taken_over_with_its_input(void **state)
{
	taken_over(*state, 400000);
}

static void taken_over_with_all_of_its_input(void **state)
{
	taken_over(*state, 300000); /* a pipe of 262144, and less than a window */
}

/* Left by the first client, and given up by the second. */
static void given_up_with_what_was_left(void **state)
{
	struct fixture *fixture = *state;
	struct command command, again;

	begin(&fixture->peers[0],
	      (struct ask){.argv = DEAF, .hold_ms = 60000, .input_bytes = 400000}, &command);
	fill(fixture, &command);
	cut(&fixture->peers[0]);
	begin(&fixture->peers[1], (struct ask){.attach = command.job, .no_input = true}, &again);
	RUN_UNTIL(fixture, again.opened);
	assert_true(fixture->pool.used_bytes > 0);
	drop_server(&fixture->peers[1]);
	assert_null(wbi_exec_job_find(&fixture->env, command.job));
	assert_int_equal(fixture->pool.used_bytes, 0);
	end(fixture, &again);
	end(fixture, &command);
}

/* Nor do those who take over from each other, each of whom was away and might have come back. */
static void take_over_in_turn(struct fixture *fixture, uint64_t pool_bytes)
{
	enum { CLIENTS_MAX = 6 };
	struct command commands[CLIENTS_MAX];
	unsigned count = 1;
	uint64_t job;

	fixture->pool.limit_bytes = pool_bytes;
	begin(&fixture->peers[0],
	      (struct ask){.argv = DEAF, .on_disconnect = "detach", .input_bytes = 10 << 20},
	      &commands[0]);
	fill(fixture, &commands[0]);
	job = commands[0].job;
	for (; count < CLIENTS_MAX; count++) {
		struct peer *away = &fixture->peers[(count - 1) % PEERS];
		struct peer *next = &fixture->peers[count % PEERS];

		cut(away);
		begin(next, (struct ask){.attach = job, .input_bytes = 10 << 20}, &commands[count]);
		RUN_UNTIL(fixture, commands[count].opened || commands[count].exited);
		if (commands[count].exited)
			break;
		fill(fixture, &commands[count]);
		drop_server(away);
		end(fixture, &commands[count - 1]);
		connect_peer(away);
	}
	assert_string_equal(commands[count].result.exit.error, "limit");
	assert_int_equal(count, 2);
	assert_int_equal(waiting_of(fixture, job), pool_bytes + 2 * WBI_WINDOW_OWN);
	drop_job(fixture, job);
	end(fixture, &commands[count]);
	end(fixture, &commands[count - 1]);
}

static void those_who_take_over_leave_no_more(void **state)
{
	take_over_in_turn(*state, 0);
}

/* What was lent to the one who is away is there for what it leaves. */
static void those_who_take_over_a_window(void **state)
{
	take_over_in_turn(*state, 3 * WBI_WINDOW_OWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_is_owed_until_it_is_read),
		TEST(an_end_settles_it),
		TEST(all_of_them_are_bounded),
		TEST(those_who_attach_leave_no_more),
		TEST(taken_over_with_its_input),
		TEST(taken_over_with_all_of_its_input),
		TEST(those_who_take_over_leave_no_more),
		TEST(those_who_take_over_a_window),
		TEST(a_stdin_that_is_closed_settles_it),
		TEST(given_up_with_what_was_left),
		TEST(an_end_settles_it_though_its_stdin_is_open),
	};

	become_reaper();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
