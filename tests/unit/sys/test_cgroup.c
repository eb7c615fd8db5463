/* Cgroups: leaves that are made, reused and removed, and who is killed in them. */
#include "cgroup_fixture.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "sys/fd.h"
#include "sys/kin.h"
#include "sys/spawn.h"

enum { DEADLINE_MS = 20000, TEXT_MAX = 8192 };

/* ---- a cgroup of its own for each test, and commands in it ---- */

static int setup(void **state)
{
	struct cgroup_fixture *fixture = calloc(1, sizeof(*fixture));

	*state = fixture;
	if (cgroup_begin(fixture))
		return 0;
	free(fixture);
	*state = NULL;
	return 0;
}

static int teardown(void **state)
{
	if (*state)
		cgroup_end(*state);
	free(*state);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	return 0;
}

#define NEEDS_CGROUP(state)                                                                        \
	do {                                                                                       \
		if (!*(state))                                                                     \
			skip();                                                                    \
	} while (0)

struct family {
	struct wbi_kin kin;
	struct wbi_process leader;
	int output;
	char text[TEXT_MAX];
};

static int open_null(void)
{
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static void start(struct family *family, struct wbi_leaf *leaf, const char *line)
{
	char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)line, NULL};
	int null = open_null(), writer;
	struct wb_fault fault = {0};

	assert_int_equal(wbi_fd_pipe(&family->output, &writer, NULL), WB_OK);
	struct wbi_spawn spawn = {.path = argv[0],
				  .argv = argv,
				  .stdio = {null, writer, null},
				  .cgroup = leaf ? wbi_leaf_fd(leaf) : 0};
	if (wbi_spawn(&spawn, &family->leader, &fault) != WB_OK)
		fail_msg("%s", fault.text);
	family->kin = (struct wbi_kin){.leader = family->leader.pid, .leaf = leaf};
	close(writer);
	close(null);
}

static void read_lines(struct family *family, unsigned lines)
{
	size_t bytes = 0;

	while (lines > 0) {
		struct pollfd ready = {.fd = family->output, .events = POLLIN};
		assert_int_equal(poll(&ready, 1, DEADLINE_MS), 1);
		assert_int_equal(read(family->output, family->text + bytes, 1), 1);
		lines -= family->text[bytes++] == '\n';
		assert_true(bytes < TEXT_MAX);
	}
	family->text[bytes] = '\0';
}

/* Reads until everybody who held the output has gone. */
static void read_to_the_end(struct family *family)
{
	size_t bytes = 0;
	ssize_t taken = 1;

	while (taken > 0) {
		struct pollfd ready = {.fd = family->output, .events = POLLIN};
		assert_int_equal(poll(&ready, 1, DEADLINE_MS), 1);
		taken = read(family->output, family->text + bytes, TEXT_MAX - 1 - bytes);
		bytes += taken > 0 ? (size_t)taken : 0;
	}
	assert_int_equal(taken, 0);
	family->text[bytes] = '\0';
	close(family->output);
}

static void reap_all(struct family *family)
{
	wbi_process_bury(&family->leader, DEADLINE_MS);
	alarm(DEADLINE_MS / 1000);
	while (waitpid(-1, NULL, 0) > 0)
		;
	assert_int_equal(errno, ECHILD);
	alarm(0);
}

/* Runs a line in a leaf (which may be NULL) to its end, and everybody's. */
static void run(struct family *family, struct wbi_leaf *leaf, const char *line)
{
	start(family, leaf, line);
	read_to_the_end(family);
	reap_all(family);
}

static struct wbi_leaf *take(struct cgroup_fixture *fixture)
{
	struct wbi_leaf *leaf = wbi_cgroup_take(fixture->cgroup);

	assert_non_null(leaf);
	return leaf;
}

static void leaf_path(const struct wbi_leaf *leaf, char ret_path[CGROUP_TEXT_MAX])
{
	char link[64];
	ssize_t bytes;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", wbi_leaf_fd(leaf));
	bytes = readlink(link, ret_path, CGROUP_TEXT_MAX - 1);
	assert_true(bytes > 0);
	ret_path[bytes] = '\0';
}

/* ---- what a command gets ---- */

/* The same descriptors, signals and limits as anywhere else; only the cgroup differs. */
static void starts_in_its_leaf(void **state)
{
	static const char line[] =
		"ls /proc/self/fd | wc -l; grep -E '^(Sig[PBIC]|Shd)' /proc/self/status; ulimit "
		"-n; pwd;"
		"read a b c d e f rest </proc/$$/stat; [ $a = $e ] && [ $e = $f ] && echo leads";
	char path[CGROUP_TEXT_MAX], last[300];
	struct family family, other;

	NEEDS_CGROUP(state);
	struct wbi_leaf *leaf = take(*state);
	run(&family, leaf, line);
	run(&other, NULL, line);
	assert_string_equal(family.text, other.text);
	assert_non_null(strstr(family.text, "SigIgn:\t0000000000000000"));
	assert_non_null(strstr(family.text, "leads\n"));

	leaf_path(leaf, path);
	snprintf(last, sizeof(last), "%s\n", strrchr(path, '/'));
	run(&family, leaf, "grep ^0:: /proc/self/cgroup");
	assert_string_equal(strrchr(family.text, '/'), last);
	wbi_cgroup_give(leaf);
}

static void what_cannot_start(void **state)
{
	char *argv[] = {(char *)"/nonexistent/waybill", NULL};
	struct wbi_process process = {.pid = 77, .pidfd = 78};
	struct wb_fault fault;
	char path[CGROUP_TEXT_MAX];

	NEEDS_CGROUP(state);
	struct wbi_leaf *leaf = take(*state);
	struct wbi_spawn spawn = {
		.path = argv[0], .argv = argv, .stdio = {0, 1, 2}, .cgroup = wbi_leaf_fd(leaf)};
	assert_int_equal(wbi_spawn(&spawn, &process, &fault), WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, ENOENT);

	/* The leaf's own fault is told apart. */
	leaf_path(leaf, path);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(wbi_spawn(&spawn, &process, &fault), WB_ERR_REFUSED);
	wbi_cgroup_discard(leaf);
	assert_int_equal(process.pid, 77);
	assert_int_equal(process.pidfd, 78);
	assert_int_equal(count_leaves(*state, NULL), 0);
}

/* ---- leaves ---- */

static void one_after_the_other_uses_one(void **state)
{
	struct family family;

	NEEDS_CGROUP(state);
	for (int i = 0; i < 50; i++) {
		struct wbi_leaf *leaf = take(*state);
		run(&family, leaf, "exit");
		wbi_cgroup_give(leaf);
	}
	/* One more where the kernel is a little late to say that the last one was empty. */
	assert_true(count_leaves(*state, NULL) <= 2);
}

static void side_by_side_each_has_its_own(void **state)
{
	enum { COUNT = 100 };
	struct wbi_leaf *leaves[COUNT];

	NEEDS_CGROUP(state);
	for (int i = 0; i < COUNT; i++) {
		leaves[i] = take(*state);
		for (int k = 0; k < i; k++)
			assert_ptr_not_equal(leaves[i], leaves[k]);
	}
	assert_int_equal(count_leaves(*state, NULL), COUNT);
	for (int i = 0; i < COUNT; i++)
		wbi_cgroup_give(leaves[i]);
	assert_int_equal(count_leaves(*state, NULL), 64); /* so many rest */
}

static void a_survivor_keeps_its_leaf(void **state)
{
	struct family family, next;
	char path[CGROUP_TEXT_MAX], other[CGROUP_TEXT_MAX];

	NEEDS_CGROUP(state);
	struct wbi_leaf *leaf = take(*state);
	leaf_path(leaf, path);
	start(&family, leaf, "setsid sh -c 'echo $$; exec tail -f /dev/null' &");
	read_lines(&family, 1);
	pid_t survivor = (pid_t)atoi(family.text);
	wbi_process_bury(&family.leader, DEADLINE_MS);
	wbi_cgroup_give(leaf);
	for (int i = 0; i < 20; i++) {
		leaf = take(*state);
		leaf_path(leaf, other);
		assert_string_not_equal(other, path);
		start(&next, leaf, "exit");
		read_to_the_end(&next);
		wbi_process_bury(&next.leader, DEADLINE_MS);
		wbi_cgroup_give(leaf);
	}
	assert_int_equal(waitpid(survivor, NULL, WNOHANG), 0); /* alive, and nobody's kin */
	assert_true(count_leaves(*state, NULL) <= 3);
	assert_int_equal(kill(survivor, SIGKILL), 0);
	read_to_the_end(&family);
	reap_all(&family);
	wbi_cgroup_give(take(*state));
	assert_int_equal(access(path, F_OK), -1); /* no more reason to keep it */
}

static void a_spoilt_leaf_is_not_reused(void **state)
{
	char path[CGROUP_TEXT_MAX], below[CGROUP_TEXT_MAX + 8];

	NEEDS_CGROUP(state);
	struct wbi_leaf *leaf = take(*state);
	leaf_path(leaf, path);
	write_file(wbi_leaf_fd(leaf), "cgroup.freeze", "1");
	wbi_cgroup_give(leaf);
	wbi_cgroup_give(take(*state));
	assert_int_equal(access(path, F_OK), -1);

	leaf = take(*state);
	leaf_path(leaf, path);
	snprintf(below, sizeof(below), "%s/.b", path);
	assert_int_equal(mkdir(below, 0755), 0);
	wbi_cgroup_give(leaf);
	wbi_cgroup_give(take(*state));
	assert_int_equal(access(path, F_OK), -1);

	leaf = take(*state);
	leaf_path(leaf, path);
	assert_int_equal(rmdir(path), 0); /* somebody tidies up behind us */
	wbi_cgroup_give(leaf);
	wbi_cgroup_give(take(*state));
	assert_int_equal(count_leaves(*state, NULL), 1);
}

/* Whoever is started where somebody has written to cgroup.kill is killed at once by some kernels.
 * We do not do that to anybody; where others have written, it is told apart from a command's end.
 */
static void a_leaf_that_was_killed(void **state)
{
	char path[CGROUP_TEXT_MAX];
	struct family family;

	NEEDS_CGROUP(state);
	struct wbi_leaf *leaf = take(*state);
	leaf_path(leaf, path);
	wbi_leaf_kill(leaf);
	wbi_cgroup_give(leaf);
	assert_int_equal(access(path, F_OK), -1);
	leaf = take(*state);
	run(&family, leaf, "echo on");
	assert_string_equal(family.text, "on\n");

	char *argv[] = {(char *)"/bin/true", NULL};
	struct wbi_process process = {.pid = 77, .pidfd = 78};
	struct wbi_spawn spawn = {
		.path = argv[0], .argv = argv, .stdio = {0, 1, 2}, .cgroup = wbi_leaf_fd(leaf)};
	write_file(wbi_leaf_fd(leaf), "cgroup.kill", "1");
	enum wb_err err = wbi_spawn(&spawn, &process, NULL);
	if (err == WB_OK) /* a kernel that does not */
		wbi_process_bury(&process, DEADLINE_MS);
	else
		assert_int_equal(process.pid, 77);
	assert_true(err == WB_OK || err == WB_ERR_REFUSED);
	wbi_cgroup_discard(leaf);
}

static void leaves_are_bounded(void **state)
{
	static struct wbi_leaf *leaves[WBI_CGROUP_LEAVES_MAX];
	struct rlimit before, wide;

	NEEDS_CGROUP(state);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	wide = (struct rlimit){before.rlim_max, before.rlim_max};
	if (before.rlim_max < 2 * WBI_CGROUP_LEAVES_MAX + 64) {
		print_message("SKIPPED %s: too few descriptors\n", __func__);
		skip();
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &wide), 0);
	for (int i = 0; i < WBI_CGROUP_LEAVES_MAX; i++)
		leaves[i] = take(*state);
	assert_null(wbi_cgroup_take(((struct cgroup_fixture *)*state)->cgroup));
	for (int i = 0; i < WBI_CGROUP_LEAVES_MAX; i++)
		wbi_cgroup_give(leaves[i]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	wbi_cgroup_give(take(*state));
	assert_int_equal(count_leaves(*state, NULL), 64);
}

static void out_of_descriptors(void **state)
{
	struct cgroup_fixture *fixture = *state;
	struct rlimit before, tight;
	int next = dup(0);

	NEEDS_CGROUP(state);
	struct wbi_leaf *rests = take(fixture);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	tight = (struct rlimit){(rlim_t)next + 1, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	struct wbi_leaf *none = wbi_cgroup_take(fixture->cgroup);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_null(none);
	wbi_cgroup_give(rests);
	assert_int_equal(count_leaves(fixture, NULL), 1);
	assert_null(wbi_cgroup_take(NULL));
	wbi_cgroup_give(NULL);
}

/* ---- kin ---- */

/* Who has left the session is asked to end, once, and is waited for. */
static void those_who_left_are_kin(void **state)
{
	static const int signals[] = {SIGUSR1};
	struct family family;
	int other = -1;

	NEEDS_CGROUP(state);
	struct wbi_leaf *leaf = take(*state);
	start(&family, leaf,
	      "trap 'echo asked' USR1; setsid sh -c 'trap \"echo gone asked; exit\" USR1; echo on;"
	      "while :; do read x; done <>/dev/null' & echo on; wait; wait; echo end");
	read_lines(&family, 2);
	assert_int_equal(wbi_kin_signal(&family.kin, NULL, 0, &other), 2);
	assert_true(other >= 0);
	assert_int_equal(wbi_kin_signal(&family.kin, signals, 1, NULL), 2);
	struct pollfd ended = {.fd = other, .events = POLLIN};
	assert_int_equal(poll(&ended, 1, DEADLINE_MS), 1);
	close(other);
	read_to_the_end(&family);
	assert_non_null(strstr(family.text, "gone asked\n"));
	assert_non_null(strstr(family.text, "end\n"));
	reap_all(&family);
	assert_int_equal(wbi_kin_signal(&family.kin, NULL, 0, NULL), 0);
	wbi_cgroup_give(leaf);
}

static void killed_wherever_they_went(void **state)
{
	struct family family;
	char path[CGROUP_TEXT_MAX], line[3 * CGROUP_TEXT_MAX + 512];

	NEEDS_CGROUP(state);
	struct wbi_leaf *leaf = take(*state);
	leaf_path(leaf, path);
	/* One in a session of its own, and one that is also in a folder of its own. */
	snprintf(line, sizeof(line),
		 "trap '' TERM HUP; setsid sh -c 'echo on; exec tail -f /dev/null' &"
		 "setsid sh -c 'mkdir %s/a %s/a/b; echo $$ >%s/a/b/cgroup.procs; echo on; exec "
		 "tail -f "
		 "/dev/null' & wait",
		 path, path, path);
	start(&family, leaf, line);
	read_lines(&family, 2);
	assert_int_equal(wbi_kin_signal(&family.kin, NULL, 0, NULL), 3);
	assert_true(wbi_kin_kill(&family.kin, NULL) <= 3);
	read_to_the_end(&family);
	reap_all(&family);
	wbi_cgroup_give(leaf);
}

/* Each copy in a session of its own, ending as another begins: no look at /proc finds them all. */
static void one_that_forks_and_leaves_on_and_on(void **state)
{
	struct family family;

	NEEDS_CGROUP(state);
	struct wbi_leaf *leaf = take(*state);
	start(&family, leaf,
	      "trap '' TERM HUP; f() { setsid sh -c 'while :; do setsid sh -c : & done' & };"
	      "f; f; echo on; wait");
	read_lines(&family, 1);
	wbi_kin_kill(&family.kin, NULL);
	read_to_the_end(&family);
	reap_all(&family);
	wbi_cgroup_give(leaf);
}

/* ---- the end, and what others left ---- */

static pid_t start_survivor(struct cgroup_fixture *fixture, struct family *family)
{
	struct wbi_leaf *leaf = take(fixture);

	start(family, leaf, "setsid sh -c 'echo $$; exec tail -f /dev/null' &");
	read_lines(family, 1);
	wbi_process_bury(&family->leader, DEADLINE_MS);
	wbi_cgroup_give(leaf);
	return (pid_t)atoi(family->text);
}

static void reopen(struct cgroup_fixture *fixture)
{
	wbi_cgroup_close(fixture->cgroup);
	assert_int_equal(wbi_cgroup_open(fixture->folder, &fixture->cgroup, NULL), WB_OK);
}

static void an_end_spares_survivors(void **state)
{
	struct cgroup_fixture *fixture = *state;
	struct family family;

	NEEDS_CGROUP(state);
	pid_t survivor = start_survivor(fixture, &family);
	reopen(fixture);
	assert_int_equal(waitpid(survivor, NULL, WNOHANG), 0);
	assert_int_equal(count_leaves(fixture, NULL), 2); /* its own, and one that was tried */
	assert_int_equal(kill(survivor, SIGKILL), 0);
	read_to_the_end(&family);
	reap_all(&family);
	reopen(fixture);
	assert_int_equal(count_leaves(fixture, NULL), 1);
}

static void an_end_waits_for_what_was_killed(void **state)
{
	struct cgroup_fixture *fixture = *state;
	struct family family;

	NEEDS_CGROUP(state);
	struct wbi_leaf *leaf = take(fixture);
	start(&family, leaf, "setsid tail -f /dev/null & setsid tail -f /dev/null & echo on; wait");
	read_lines(&family, 1);
	wbi_leaf_kill(leaf);
	wbi_cgroup_give(leaf);
	wbi_cgroup_close(fixture->cgroup);
	fixture->cgroup = NULL;
	assert_int_equal(count_leaves(fixture, NULL), 0);
	read_to_the_end(&family);
	reap_all(&family);
}

static pid_t dead_pid(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return pid;
}

static void make_folder(const struct cgroup_fixture *fixture, const char *name,
			char ret_path[CGROUP_TEXT_MAX])
{
	snprintf(ret_path, CGROUP_TEXT_MAX, "%s/%s", fixture->folder, name);
	assert_int_equal(mkdir(ret_path, 0755), 0);
}

/* Only what has our form of name, and whose daemon is dead; and only what is empty. */
static void what_dead_daemons_left(void **state)
{
	struct cgroup_fixture *fixture = *state;
	char theirs[CGROUP_TEXT_MAX], live[CGROUP_TEXT_MAX], other[CGROUP_TEXT_MAX], name[64];

	NEEDS_CGROUP(state);
	snprintf(name, sizeof(name), "waybill-%d-7", dead_pid());
	make_folder(fixture, name, theirs);
	snprintf(name, sizeof(name), "waybill-%d-7", getppid());
	make_folder(fixture, name, live);
	make_folder(fixture, "waybill-1-x", other);
	reopen(fixture);
	assert_int_equal(access(theirs, F_OK), -1);
	assert_int_equal(rmdir(live), 0);
	assert_int_equal(rmdir(other), 0);
}

/* ---- what cannot be divided ---- */

static void assert_refused(const char *folder, enum wb_err expected, const char *word)
{
	struct wbi_cgroup *cgroup = NULL;
	struct wb_fault fault = {0};

	assert_int_equal(wbi_cgroup_open(folder, &cgroup, &fault), expected);
	assert_null(cgroup);
	assert_non_null(strstr(fault.text, word));
}

static void what_cannot_be_divided(void **state)
{
	char gone[CGROUP_TEXT_MAX];
	(void)state;

	assert_refused("/nonexistent", WB_ERR_SYSTEM, "/nonexistent");
	assert_refused("/dev/null", WB_ERR_SYSTEM, "/dev/null");
	assert_refused("/tmp", WB_ERR_ARGUMENT, "/tmp");
	NEEDS_CGROUP(state);
	/* A threaded one has no room for processes. */
	struct cgroup_fixture *fixture = *state;
	make_folder(fixture, "t", gone);
	int folder = open(gone, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	write_file(folder, "cgroup.type", "threaded");
	close(folder);
	assert_refused(gone, WB_ERR_REFUSED, "cgroup");
	assert_int_equal(rmdir(gone), 0);
	folder = open(fixture->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	write_file(folder, "cgroup.max.depth", "0");
	close(folder);
	assert_refused(fixture->folder, WB_ERR_REFUSED, fixture->folder);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(starts_in_its_leaf),           TEST(what_cannot_start),
		TEST(one_after_the_other_uses_one), TEST(side_by_side_each_has_its_own),
		TEST(a_survivor_keeps_its_leaf),    TEST(a_spoilt_leaf_is_not_reused),
		TEST(a_leaf_that_was_killed),       TEST(leaves_are_bounded),
		TEST(out_of_descriptors),           TEST(those_who_left_are_kin),
		TEST(killed_wherever_they_went),    TEST(one_that_forks_and_leaves_on_and_on),
		TEST(an_end_spares_survivors),      TEST(an_end_waits_for_what_was_killed),
		TEST(what_dead_daemons_left),       TEST(what_cannot_be_divided),
	};

	signal(SIGCHLD, SIG_DFL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
