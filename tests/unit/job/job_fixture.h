/* What the tests of jobs share: an environment for each test, and owners that remember what they
 * were told. We are the subreaper: what a command leaves behind becomes our child, so its end can
 * be waited for and nothing outlives a test unseen. */
#ifndef JOB_FIXTURE_H
#define JOB_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "job/job.h"
#include "sys/clock.h"
#include "sys/fd.h"

enum { DEADLINE_MS = 20000, MEGABYTE = 1000000 };

#define SKIP(why)                                                                                  \
	do {                                                                                       \
		print_message("SKIPPED %s: %s\n", __func__, why);                                  \
		skip();                                                                            \
	} while (0)

static inline unsigned count_fds(void)
{
	unsigned count = 0;
	DIR *folder = opendir("/proc/self/fd");

	assert_non_null(folder);
	while (readdir(folder) != NULL)
		count++;
	closedir(folder);
	return count;
}

/* ---- an environment of its own for each test ---- */

struct fixture {
	struct wbi_loop *loop;
	struct wb_limits limits;
	struct wbi_job_env env;
	unsigned fds_before;
	char folder[40];
};

static inline int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	fixture->fds_before = count_fds();
	strcpy(fixture->folder, "/tmp/waybill-job-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	fixture->limits = wb_limits_default;
	fixture->limits.held_open_ms = 50;
	assert_int_equal(wbi_loop_new(&fixture->loop, NULL), WB_OK);
	assert_int_equal(wbi_job_env_init(&fixture->env, fixture->loop, &fixture->limits,
					  fixture->folder, 0, NULL),
			 WB_OK);
	*state = fixture;
	return 0;
}

/* Whatever a test did: no descriptor, no process and no file is left. */
static inline int teardown(void **state)
{
	struct fixture *fixture = *state;

	wbi_job_env_done(&fixture->env);
	wbi_job_env_done(&fixture->env);
	assert_int_equal(fixture->env.running, 0);
	assert_int_equal(fixture->env.lingering_count, 0);
	assert_int_equal(fixture->env.spool.bytes, 0);
	wbi_loop_free(fixture->loop);
	assert_int_equal(count_fds(), fixture->fds_before);
	assert_int_equal(rmdir(fixture->folder), 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	free(fixture);
	return 0;
}

/* A command under way, and what its owner was told. */
struct told {
	struct wbi_job *job;
	unsigned times;
	bool free_in_call;
};

static inline void on_report(struct wbi_job *job, void *owner)
{
	struct told *told = owner;

	assert_ptr_equal(job, told->job);
	assert_string_equal(wbi_job_state_name(job), "reported");
	told->times++;
	if (told->free_in_call) {
		wbi_job_free(job);
		told->job = NULL;
	}
}

static inline enum wb_err try_start(struct fixture *fixture, const char *line, struct told *told,
				    struct wb_fault *fault)
{
	char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)line, NULL};

	return wbi_job_start(&fixture->env, argv, on_report, told, &told->job, fault);
}

static inline void start(struct fixture *fixture, const char *line, struct told *told)
{
	struct wb_fault fault = {0};

	*told = (struct told){0};
	if (try_start(fixture, line, told, &fault) != WB_OK)
		fail_msg("%s", fault.text);
	assert_int_equal(told->times, 0);
}

typedef bool until_fn(struct fixture *fixture, void *what);

static inline void run_until(struct fixture *fixture, until_fn *until, void *what)
{
	uint64_t deadline_ms = wbi_clock_ms() + DEADLINE_MS;

	while (!until(fixture, what)) {
		if (wbi_clock_ms() > deadline_ms)
			fail_msg("what was waited for has not come");
		assert_int_equal(wbi_loop_turn(fixture->loop, DEADLINE_MS, NULL), WB_OK);
	}
}

static inline bool is_told(struct fixture *fixture, void *what)
{
	(void)fixture;
	return ((struct told *)what)->times > 0;
}

static inline void finish(struct fixture *fixture, struct told *told)
{
	run_until(fixture, is_told, told);
	assert_int_equal(told->times, 1);
}

static inline void run(struct fixture *fixture, const char *line, struct told *told)
{
	start(fixture, line, told);
	finish(fixture, told);
}

/* A stream of the job as text; only what is in memory, which the caller must know. */
static inline void assert_output(const struct told *told, int stream, const char *expected)
{
	const struct wbi_spool *spool = wbi_job_output(told->job, stream);
	struct wbi_slice held = wbi_buf_peek(&spool->memory);
	char text[1024] = "";

	assert_int_equal(spool->file, -1);
	assert_true(held.bytes < sizeof(text));
	if (held.bytes > 0)
		memcpy(text, held.data, held.bytes);
	assert_string_equal(text, expected);
}

/* The number that a command printed on stdout, so far. */
static inline pid_t printed_pid(const struct told *told)
{
	struct wbi_slice held = wbi_buf_peek(&wbi_job_output(told->job, 1)->memory);

	return held.bytes > 0 ? (pid_t)atoi((const char *)held.data) : 0;
}

static inline bool has_printed(struct fixture *fixture, void *what)
{
	struct wbi_slice held =
		wbi_buf_peek(&wbi_job_output(((struct told *)what)->job, 1)->memory);
	(void)fixture;

	return held.bytes > 0 && held.data[held.bytes - 1] == '\n';
}

/* Waits for all that commands left behind; the alarm ends the program if one of them lives on. */
static inline void reap_killed_survivors(void)
{
	int status;

	alarm(DEADLINE_MS / 1000);
	while (waitpid(-1, &status, 0) > 0)
		assert_true(WIFSIGNALED(status));
	assert_int_equal(errno, ECHILD);
	alarm(0);
}

static inline bool nothing_runs(struct fixture *fixture, void *what)
{
	(void)what;
	return fixture->env.running == 0;
}

static inline bool nothing_lingers(struct fixture *fixture, void *what)
{
	(void)what;
	return fixture->env.lingering_count == 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static inline void become_reaper(void)
{
	signal(SIGCHLD, SIG_DFL); /* an ignored one would be inherited from whoever started us */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

#endif
