/* Jobs: how they end, and what becomes of their output. */
#include "job_fixture.h"

#include <fcntl.h>
#include <spawn.h>

#include "tiny_disk.h"

/* ---- ends ---- */

static void exit_codes(void **state)
{
	static const struct {
		const char *line;
		bool signaled;
		int code;
	} rows[] = {
		{"exit 0", false, 0},
		{"exit 1", false, 1},
		{"exit 255", false, 255},
		{"nonexistent-command", false, 127},
		{"kill -KILL $$", true, SIGKILL},
		{"kill -TERM $$", true, SIGTERM},
	};
	struct told told;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		run(*state, rows[i].line, &told);
		assert_int_equal(wbi_job_outcome(told.job), WBI_JOB_ENDED);
		assert_int_equal(wbi_job_end(told.job)->signaled, rows[i].signaled);
		assert_int_equal(wbi_job_end(told.job)->code, rows[i].code);
		assert_false(wbi_job_held_open(told.job));
		wbi_job_free(told.job);
	}
}

static void streams_apart(void **state)
{
	struct told told;

	run(*state, "echo out; echo err >&2; echo out2", &told);
	assert_output(&told, 1, "out\nout2\n");
	assert_output(&told, 2, "err\n");
	wbi_job_free(told.job);
}

static void stdin_is_at_its_end(void **state)
{
	struct told told;

	run(*state, "cat; readlink /proc/self/fd/0", &told);
	assert_output(&told, 1, "/dev/null\n");
	wbi_job_free(told.job);
}

static void freed_in_the_report(void **state)
{
	struct told told;

	start(*state, "echo x", &told);
	told.free_in_call = true;
	finish(*state, &told);
	assert_null(told.job);
}

/* The pipes end long before the process does. */
static void pipes_closed_early(void **state)
{
	struct fixture *fixture = *state;
	struct told told;
	char line[128];
	int reader, writer;

	assert_int_equal(wbi_fd_pipe(&reader, &writer, NULL), WB_OK);
	snprintf(line, sizeof(line), "exec >&- 2>&-; read x </proc/%d/fd/%d; exit 3", getpid(),
		 reader);
	start(fixture, line, &told);
	for (int i = 0; i < 20; i++)
		assert_int_equal(wbi_loop_turn(fixture->loop, 5, NULL), WB_OK);
	assert_int_equal(told.times, 0);
	assert_int_equal(write(writer, "x\n", 2), 2);
	close(writer);
	finish(fixture, &told);
	assert_int_equal(wbi_job_end(told.job)->code, 3);
	wbi_job_free(told.job);
	close(reader);
}

static void cannot_start(void **state)
{
	struct fixture *fixture = *state;
	char *argv[] = {(char *)"/nonexistent/waybill", NULL};
	struct told told = {0};
	struct wb_fault fault = {0};
	enum wb_err err = wbi_job_start(&fixture->env, argv, on_report, &told, &told.job, &fault);

	assert_int_equal(err, WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, ENOENT);
	assert_null(told.job);
	assert_int_equal(fixture->env.running, 0);
}

static void at_most_so_many(void **state)
{
	struct fixture *fixture = *state;
	struct told first, second, third = {0};
	struct wb_fault fault = {0};

	fixture->limits.commands = 2;
	start(fixture, "echo a", &first);
	start(fixture, "echo b", &second);
	assert_int_equal(try_start(fixture, "echo c", &third, &fault), WB_ERR_LIMIT);
	finish(fixture, &first);
	finish(fixture, &second);
	wbi_job_free(first.job);
	wbi_job_free(second.job);
	run(fixture, "echo c", &third);
	assert_output(&third, 1, "c\n");
	wbi_job_free(third.job);
}

/* ---- output ---- */

/* Neither stream waits for the other, nor for anybody to read. */
static void three_megabytes_each(void **state)
{
	struct told told;

	run(*state, "head -c 3000000 /dev/zero & head -c 3000000 /dev/zero >&2 & wait; echo end",
	    &told);
	assert_int_equal(wbi_job_outcome(told.job), WBI_JOB_ENDED);
	assert_int_equal(wbi_job_output(told.job, 1)->bytes, 3 * MEGABYTE + 4);
	assert_int_equal(wbi_job_output(told.job, 2)->bytes, 3 * MEGABYTE);
	assert_int_equal(((struct fixture *)*state)->env.spool.bytes, 6 * MEGABYTE + 4);
	wbi_job_free(told.job);
	assert_int_equal(((struct fixture *)*state)->env.spool.bytes, 0);
}

/* A flood is taken in turns: another command is served meanwhile. */
static void a_flood_holds_up_nobody(void **state)
{
	struct fixture *fixture = *state;
	struct told flood, small;

	fixture->limits.output_bytes = UINT64_C(1) << 40;
	start(fixture, "exec yes", &flood);
	for (int i = 0; i < 10; i++) {
		run(fixture, "echo x", &small);
		assert_output(&small, 1, "x\n");
		wbi_job_free(small.job);
	}
	assert_int_equal(flood.times, 0);
	wbi_job_free(flood.job);
	run_until(fixture, nothing_runs, NULL);
}

static void just_enough_output(void **state)
{
	struct fixture *fixture = *state;
	struct told told;

	fixture->limits.output_bytes = 100000;
	run(fixture, "head -c 60000 /dev/zero; head -c 40000 /dev/zero >&2", &told);
	assert_int_equal(wbi_job_outcome(told.job), WBI_JOB_ENDED);
	wbi_job_free(told.job);
}

static void one_byte_too_many(void **state)
{
	struct fixture *fixture = *state;
	struct told told;

	fixture->limits.output_bytes = 100000;
	run(fixture, "head -c 60000 /dev/zero; exec head -c 40001 /dev/zero >&2", &told);
	assert_int_equal(wbi_job_outcome(told.job), WBI_JOB_OVERFLOW);
	assert_int_equal(wbi_job_fault(told.job)->err, WB_ERR_LIMIT);
	wbi_job_free(told.job);
}

static void no_end_of_output(void **state)
{
	struct fixture *fixture = *state;
	struct told told;

	fixture->limits.output_bytes = MEGABYTE;
	run(fixture, "yes & yes >&2", &told);
	assert_int_equal(wbi_job_outcome(told.job), WBI_JOB_OVERFLOW);
	assert_true(wbi_job_end(told.job)->signaled);
	assert_true(fixture->env.spool.bytes <= MEGABYTE);
	wbi_job_free(told.job);
	reap_killed_survivors(); /* those in the background were in the group, too */
}

/* The leader has ended; the flood comes from what it left in its group. */
static void a_flood_from_the_background(void **state)
{
	struct fixture *fixture = *state;
	struct told told;

	fixture->limits.output_bytes = MEGABYTE;
	run(fixture, "yes & exit 4", &told);
	assert_int_equal(wbi_job_outcome(told.job), WBI_JOB_OVERFLOW);
	assert_int_equal(wbi_job_end(told.job)->code, 4);
	wbi_job_free(told.job);
	reap_killed_survivors();
}

static void the_spool_is_full(void **state)
{
	struct fixture *fixture = *state;
	struct told told, other;

	fixture->env.spool.limit_bytes = 500000;
	run(fixture, "exec head -c 300000 /dev/zero", &told);
	assert_int_equal(wbi_job_outcome(told.job), WBI_JOB_ENDED);
	run(fixture, "exec head -c 300000 /dev/zero", &other);
	assert_int_equal(wbi_job_outcome(other.job), WBI_JOB_OVERFLOW);
	wbi_job_free(other.job);
	run(fixture, "echo small", &other);
	assert_int_equal(wbi_job_outcome(other.job), WBI_JOB_ENDED);
	wbi_job_free(other.job);
	wbi_job_free(told.job);
}

static void no_place_for_output(void **state)
{
	struct fixture *fixture = *state;
	struct told told;

	fixture->env.spool.folder = "/nonexistent/waybill";
	run(fixture, "exec yes", &told);
	assert_int_equal(wbi_job_outcome(told.job), WBI_JOB_FAILED);
	assert_int_equal(wbi_job_fault(told.job)->system_errno, ENOENT);
	assert_int_equal(wbi_job_end(told.job)->code, SIGKILL);
	wbi_job_free(told.job);
}

static void disk_full(void **state)
{
	struct fixture *fixture = *state;
	struct told told;

	if (!mount_tiny_disk(fixture->folder))
		SKIP("may not mount a small file system");
	run(fixture, "exec yes", &told);
	assert_int_equal(wbi_job_outcome(told.job), WBI_JOB_FAILED);
	assert_int_equal(wbi_job_fault(told.job)->system_errno, ENOSPC);
	wbi_job_free(told.job);
	assert_int_equal(umount(fixture->folder), 0);
}

/* ---- what a command inherits; what a hundred of them cost ---- */

static void no_descriptor_of_ours(void **state)
{
	struct told told, other;

	start(*state, "exec tail -f /dev/null", &other);
	/* The fourth is that of ls itself, on the folder. */
	run(*state, "exec ls /proc/self/fd", &told);
	assert_output(&told, 1, "0\n1\n2\n3\n");
	wbi_job_free(told.job);
	wbi_job_free(other.job);
	run_until(*state, nothing_runs, NULL);
}

static void no_leak(void **state)
{
	struct fixture *fixture = *state;
	struct told told;

	unsigned before = count_fds();
	for (int i = 0; i < 100; i++) {
		run(*state, "echo x", &told);
		wbi_job_free(told.job);
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	}
	/* What a turn has no more need of goes when the next begins. */
	assert_int_equal(wbi_loop_turn(fixture->loop, 0, NULL), WB_OK);
	assert_int_equal(count_fds(), before);
}

/* The same command without us: the floor. */
static void bare(void)
{
	char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)"true", NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int out[2], status;
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	posix_spawnattr_init(&attributes);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF |
						      POSIX_SPAWN_SETSIGMASK);
	assert_int_equal(posix_spawn(&pid, argv[0], &actions, &attributes, argv, environ), 0);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	close(out[1]);
	assert_int_equal(read(out[0], &byte, 1), 0);
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void cost_beside_the_floor(void **state)
{
	enum { ROUNDS = 300 };
	uint64_t ours_ns = 0, floor_ns = 0;
	struct told told;

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t start_ns = wbi_clock_ns();
		bare();
		uint64_t middle_ns = wbi_clock_ns();
		run(*state, "true", &told);
		wbi_job_free(told.job);
		ours_ns += wbi_clock_ns() - middle_ns;
		floor_ns += middle_ns - start_ns;
	}
	print_message("sh -c true: %.0f us as a job, %.0f us bare\n",
		      (double)ours_ns / 1000 / ROUNDS, (double)floor_ns / 1000 / ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(exit_codes),
		TEST(streams_apart),
		TEST(stdin_is_at_its_end),
		TEST(freed_in_the_report),
		TEST(pipes_closed_early),
		TEST(cannot_start),
		TEST(at_most_so_many),
		TEST(three_megabytes_each),
		TEST(a_flood_holds_up_nobody),
		TEST(just_enough_output),
		TEST(one_byte_too_many),
		TEST(no_end_of_output),
		TEST(a_flood_from_the_background),
		TEST(the_spool_is_full),
		TEST(no_place_for_output),
		TEST(no_descriptor_of_ours),
		TEST(no_leak),
		TEST(cost_beside_the_floor),
		TEST(disk_full), /* last: it may leave the program in another namespace */
	};

	become_reaper();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
