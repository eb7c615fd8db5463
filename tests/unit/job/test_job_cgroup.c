/* Jobs whose commands have cgroups: who is killed, who is spared, and what becomes of the leaves.
 */
#include "job_fixture.h"

#include "../sys/cgroup_fixture.h"

#include <sys/resource.h>

#include "sys/loop.h"

/* The fixture of every job's test, with leaves. */
struct divided {
	void *jobs; /* a struct fixture */
	bool has_cgroup;
	struct cgroup_fixture cgroup;
};

static int setup_divided(void **state)
{
	struct divided *divided = calloc(1, sizeof(*divided));

	assert_non_null(divided);
	*state = divided;
	assert_int_equal(setup(&divided->jobs), 0);
	divided->has_cgroup = cgroup_begin(&divided->cgroup);
	((struct fixture *)divided->jobs)->env.cgroup = divided->cgroup.cgroup;
	return 0;
}

static int teardown_divided(void **state)
{
	struct divided *divided = *state;

	wbi_job_env_done(&((struct fixture *)divided->jobs)->env);
	if (divided->has_cgroup)
		cgroup_end(&divided->cgroup);
	assert_int_equal(teardown(&divided->jobs), 0);
	free(divided);
	return 0;
}

static struct fixture *jobs_of(void **state)
{
	struct divided *divided = *state;

	if (!divided->has_cgroup)
		skip();
	return divided->jobs;
}

static const char leaves_it[] = "setsid sh -c 'echo $$; exec tail -f /dev/null' & wait";

static void start_one_that_leaves(struct fixture *fixture, const char *line, struct told *told,
				  pid_t *ret_gone)
{
	start(fixture, line, told);
	run_until(fixture, has_printed, told);
	*ret_gone = printed_pid(told);
	assert_true(*ret_gone > 0);
	assert_int_not_equal(getsid(*ret_gone), wbi_job_pid(told->job));
}

static void assert_signaled(pid_t pid, int number)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), number);
}

static void killed_though_it_left(void **state)
{
	struct fixture *fixture = jobs_of(state);
	struct told told;
	pid_t gone;

	start_one_that_leaves(fixture, leaves_it, &told, &gone);
	assert_true(wbi_job_kill(told.job));
	finish(fixture, &told);
	assert_signaled(gone, SIGHUP); /* asked first */
	wbi_job_free(told.job);
}

/* It does not hear: it gets KILL, and the report waits for that. */
static void killed_though_deaf(void **state)
{
	struct fixture *fixture = jobs_of(state);
	struct told told;
	pid_t gone;

	start_one_that_leaves(fixture,
			      "setsid sh -c 'trap \"\" HUP TERM; echo $$; exec tail -f /dev/null' &"
			      "wait",
			      &told, &gone);
	uint64_t start_ms = wbi_clock_ms();
	assert_true(wbi_job_kill(told.job));
	finish(fixture, &told);
	assert_true(wbi_clock_ms() - start_ms >= 900);
	assert_signaled(gone, SIGKILL);
	wbi_job_free(told.job);
}

static void given_up_though_it_left(void **state)
{
	struct fixture *fixture = jobs_of(state);
	struct told told;
	pid_t gone;

	start_one_that_leaves(fixture, leaves_it, &told, &gone);
	wbi_job_free(told.job);
	run_until(fixture, nothing_runs, NULL);
	assert_signaled(gone, SIGHUP);
}

/* Says its own number once it has left, and holds no pipe. */
#define GONE "echo $(setsid sh -c 'echo $$; exec tail -f /dev/null >/dev/null 2>&1' &);"

static void too_much_output_kills_it_too(void **state)
{
	struct fixture *fixture = jobs_of(state);
	struct told told;

	fixture->limits.output_bytes = 5000;
	run(fixture, GONE "exec cat /dev/zero", &told);
	assert_int_equal(wbi_job_outcome(told.job), WBI_JOB_OVERFLOW);
	assert_signaled(printed_pid(&told), SIGKILL);
	wbi_job_free(told.job);
}

static void the_environment_ends(void **state)
{
	struct fixture *fixture = jobs_of(state);
	struct told told;
	pid_t gone;

	start_one_that_leaves(fixture, leaves_it, &told, &gone);
	wbi_job_env_done(&fixture->env);
	assert_signaled(gone, SIGKILL);
}

/* After a normal end nothing is killed, also not by what is killed later; nobody gets its leaf. */
static void a_normal_end_spares_it(void **state)
{
	struct fixture *fixture = jobs_of(state);
	struct told told, next;

	run(fixture, GONE, &told);
	assert_false(wbi_job_held_open(told.job));
	pid_t survivor = printed_pid(&told);
	wbi_job_free(told.job);
	for (int i = 0; i < 5; i++) {
		start(fixture, "echo on; exec tail -f /dev/null", &next);
		run_until(fixture, has_printed, &next);
		assert_true(wbi_job_kill(next.job));
		finish(fixture, &next);
		wbi_job_free(next.job);
	}
	assert_int_equal(waitpid(survivor, NULL, WNOHANG), 0);
	assert_int_equal(kill(survivor, SIGTERM), 0);
	assert_signaled(survivor, SIGTERM);
}

static void what_cannot_start_costs_no_leaf(void **state)
{
	struct fixture *fixture = jobs_of(state);
	struct divided *divided = *state;
	char *argv[] = {(char *)"/nonexistent/waybill", NULL};
	struct wbi_job *job;
	struct wb_fault fault;

	for (int i = 0; i < 20; i++) {
		assert_int_equal(wbi_job_start(&fixture->env, argv, on_report, NULL, &job, &fault),
				 WB_ERR_SYSTEM);
		assert_int_equal(fault.system_errno, ENOENT);
	}
	assert_true(count_leaves(&divided->cgroup, NULL) <= 2);
}

/* No leaf is to be had any more: commands start without. */
static void where_there_is_no_leaf(void **state)
{
	struct fixture *fixture = jobs_of(state);
	struct divided *divided = *state;
	char path[CGROUP_TEXT_MAX], name[300];
	struct told told;

	assert_int_equal(count_leaves(&divided->cgroup, name), 1);
	snprintf(path, sizeof(path), "%s/%s", divided->cgroup.folder, name);
	assert_int_equal(rmdir(path), 0);
	int folder = open(divided->cgroup.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	write_file(folder, "cgroup.max.descendants", "0");
	close(folder);
	run(fixture, "echo x", &told);
	assert_int_equal(wbi_job_outcome(told.job), WBI_JOB_ENDED);
	assert_output(&told, 1, "x\n");
	wbi_job_free(told.job);
}

/* The one that rests kills whoever comes: another is made. */
static void where_one_leaf_kills(void **state)
{
	struct fixture *fixture = jobs_of(state);
	struct divided *divided = *state;
	char path[CGROUP_TEXT_MAX], name[300];
	struct told told;

	assert_int_equal(count_leaves(&divided->cgroup, name), 1);
	snprintf(path, sizeof(path), "%s/%s", divided->cgroup.folder, name);
	int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	write_file(folder, "cgroup.kill", "1");
	close(folder);
	run(fixture, "grep -c /waybill- /proc/self/cgroup", &told);
	assert_output(&told, 1, "1\n");
	wbi_job_free(told.job);
}

/* The kernel refuses a process in a leaf that can be had: the same. A child of a threaded cgroup
 * is such a leaf. */
static void where_the_leaf_takes_nobody(void **state)
{
	struct fixture *fixture = jobs_of(state);
	struct divided *divided = *state;
	struct told told;

	int folder = open(divided->cgroup.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	write_file(folder, "cgroup.type", "threaded");
	close(folder);
	for (int i = 0; i < 3; i++) {
		run(fixture, "echo x", &told);
		assert_output(&told, 1, "x\n");
		wbi_job_free(told.job);
	}
	assert_int_equal(count_leaves(&divided->cgroup, NULL), 0);
}

/* With too few descriptors it does not start; it never starts outside of a leaf. */
static void short_of_descriptors(void **state)
{
	struct fixture *fixture = jobs_of(state);
	struct rlimit before, tight;
	struct told told = {0};
	unsigned failed = 0;
	enum wb_err err;

	/* None rests: each start needs another. */
	struct wbi_leaf *rests = wbi_cgroup_take(fixture->env.cgroup);
	int next = dup(0);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	do {
		struct wb_fault fault;
		tight = (struct rlimit){(rlim_t)next + failed, before.rlim_max};
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
		err = try_start(fixture, "grep -c /waybill- /proc/self/cgroup", &told, &fault);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		assert_true(err == WB_OK || (err == WB_ERR_SYSTEM && fault.system_errno == EMFILE));
		/* What was opened is closed with the turn. */
		assert_int_equal(wbi_loop_turn(fixture->loop, 0, NULL), WB_OK);
	} while (err && failed++ < 20);
	assert_int_equal(err, WB_OK);
	assert_true(failed > 4);
	finish(fixture, &told);
	assert_output(&told, 1, "1\n");
	wbi_job_free(told.job);
	wbi_cgroup_give(rests);
}

#define TEST_DIVIDED(name) cmocka_unit_test_setup_teardown(name, setup_divided, teardown_divided)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_DIVIDED(killed_though_it_left),
		TEST_DIVIDED(killed_though_deaf),
		TEST_DIVIDED(given_up_though_it_left),
		TEST_DIVIDED(too_much_output_kills_it_too),
		TEST_DIVIDED(the_environment_ends),
		TEST_DIVIDED(a_normal_end_spares_it),
		TEST_DIVIDED(what_cannot_start_costs_no_leaf),
		TEST_DIVIDED(where_there_is_no_leaf),
		TEST_DIVIDED(where_one_leaf_kills),
		TEST_DIVIDED(where_the_leaf_takes_nobody),
		TEST_DIVIDED(short_of_descriptors),
	};

	become_reaper();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
