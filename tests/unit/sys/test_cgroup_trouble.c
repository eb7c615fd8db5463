/* Cgroups in trouble: what is short is not taken for a refusal, and what a command makes in its
 * leaf holds up nobody. */
#include "cgroup_fixture.h"

#include <sys/resource.h>
#include <sys/wait.h>

#include "sys/spawn.h"

enum { DEADLINE_MS = 20000 };

static int setup(void **state)
{
	struct cgroup_fixture *fixture = calloc(1, sizeof(*fixture));

	if (!cgroup_begin(fixture)) {
		free(fixture);
		fixture = NULL;
	}
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	if (*state)
		cgroup_end(*state);
	free(*state);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	return 0;
}

#define NEEDS_CGROUP(state)                                                                        \
	do {                                                                                       \
		if (!*(state))                                                                     \
			skip();                                                                    \
	} while (0)

/* ---- what is short ---- */

/* Leaves room for so many more descriptors; returns the limit as it was. */
static struct rlimit leave_room(unsigned descriptors)
{
	struct rlimit before, tight;
	int next = dup(0);

	assert_true(next >= 0);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	tight = (struct rlimit){(rlim_t)next + descriptors, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	return before;
}

static void restore(struct rlimit before)
{
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void no_descriptor_for_the_process(void **state)
{
	char *argv[] = {(char *)"/bin/true", NULL};
	struct cgroup_fixture *fixture = *state;
	struct wbi_process process;
	struct wb_fault fault;

	NEEDS_CGROUP(state);
	struct wbi_leaf *leaf = wbi_cgroup_take(fixture->cgroup);
	assert_non_null(leaf);
	struct wbi_spawn spawn = {
		.path = argv[0], .argv = argv, .stdio = {0, 1, 2}, .cgroup = wbi_leaf_fd(leaf)};
	struct rlimit before = leave_room(0);
	enum wb_err err = wbi_spawn(&spawn, &process, &fault);
	restore(before);
	assert_int_equal(err, WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, EMFILE);
	wbi_cgroup_give(leaf);
}

static void no_descriptor_for_a_leaf(void **state)
{
	struct cgroup_fixture *fixture = *state;

	NEEDS_CGROUP(state);
	struct wbi_leaf *rests = wbi_cgroup_take(fixture->cgroup);
	for (unsigned room = 0; room < 2; room++) {
		struct rlimit before = leave_room(room);
		errno = 0;
		struct wbi_leaf *leaf = wbi_cgroup_take(fixture->cgroup);
		int error = errno;
		restore(before);
		assert_null(leaf);
		assert_int_equal(error, EMFILE);
	}
	wbi_cgroup_give(rests);
	errno = EMFILE;
	assert_null(wbi_cgroup_take(NULL));
	assert_int_not_equal(errno, EMFILE);
}

/* However far it gets with what there is, the folder is not blamed. */
static void no_descriptor_to_try_it(void **state)
{
	struct cgroup_fixture *fixture = *state;
	struct wb_fault fault;
	unsigned room = 0;
	enum wb_err err;

	NEEDS_CGROUP(state);
	wbi_cgroup_close(fixture->cgroup);
	fixture->cgroup = NULL;
	do {
		struct rlimit before = leave_room(room++);
		err = wbi_cgroup_open(fixture->folder, &fixture->cgroup, &fault);
		restore(before);
		assert_true(err == WB_OK || (err == WB_ERR_SYSTEM && fault.system_errno == EMFILE));
	} while (err && room < 20);
	assert_int_equal(err, WB_OK);
	assert_true(room > 4); /* the folder, a leaf's two, the process */
}

/* ---- what a command makes ---- */

static void make_folder(int parent, const char *name)
{
	assert_int_equal(mkdirat(parent, name, 0755), 0);
}

static void bounded_by_the_kernel(void **state)
{
	enum { LEVELS = 8 };
	struct cgroup_fixture *fixture = *state;
	char path[8 * LEVELS] = "a";

	NEEDS_CGROUP(state);
	struct wbi_leaf *leaf = wbi_cgroup_take(fixture->cgroup);
	int folder = wbi_leaf_fd(leaf);
	for (int i = 0; i < LEVELS; i++, strcat(path, "/a"))
		make_folder(folder, path);
	int deeper = mkdirat(folder, path, 0755);
	(void)unlinkat(folder, path, AT_REMOVEDIR); /* or nobody would ever */
	assert_int_equal(deeper, -1);
	unsigned made = LEVELS;
	char name[16];
	do
		snprintf(name, sizeof(name), "b%u", made++);
	while (made < 2000 && mkdirat(folder, name, 0755) == 0);
	assert_int_equal(made, 512 + 1);
	wbi_cgroup_give(leaf);
}

static unsigned count_folders(const char *path)
{
	struct stat found;

	return stat(path, &found) == 0 ? (unsigned)found.st_nlink - 1 : 0;
}

/* A command that has lifted the limits, and made many: each start removes some. */
static void removed_some_at_a_time(void **state)
{
	enum { COUNT = 300, REMOVED_MAX = 64 };
	struct cgroup_fixture *fixture = *state;
	char path[CGROUP_TEXT_MAX], name[300];
	unsigned left, takes = 0;

	NEEDS_CGROUP(state);
	struct wbi_leaf *leaf = wbi_cgroup_take(fixture->cgroup);
	assert_int_equal(count_leaves(fixture, name), 1);
	snprintf(path, sizeof(path), "%s/%s", fixture->folder, name);
	write_file(wbi_leaf_fd(leaf), "cgroup.max.descendants", "max");
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(name, sizeof(name), "b%u", i);
		make_folder(wbi_leaf_fd(leaf), name);
	}
	wbi_cgroup_give(leaf);
	left = count_folders(path);
	assert_int_equal(left, COUNT + 1);
	while (left > 0) {
		wbi_cgroup_give(wbi_cgroup_take(fixture->cgroup));
		unsigned before = left;
		left = count_folders(path);
		assert_true(left < before && before - left <= REMOVED_MAX);
		takes++;
	}
	assert_true(takes >= COUNT / REMOVED_MAX);
	assert_int_equal(count_leaves(fixture, NULL), 1);
}

/* However many have something in them: it is the levels below each that count. */
static void removed_at_once_where_it_is_little(void **state)
{
	enum { COUNT = 12 };
	struct cgroup_fixture *fixture = *state;
	char path[CGROUP_TEXT_MAX], name[300];

	NEEDS_CGROUP(state);
	struct wbi_leaf *leaf = wbi_cgroup_take(fixture->cgroup);
	assert_int_equal(count_leaves(fixture, name), 1);
	snprintf(path, sizeof(path), "%s/%s", fixture->folder, name);
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(name, sizeof(name), "b%u", i);
		make_folder(wbi_leaf_fd(leaf), name);
		strcat(name, "/a");
		make_folder(wbi_leaf_fd(leaf), name);
	}
	wbi_cgroup_give(leaf);
	wbi_cgroup_give(wbi_cgroup_take(fixture->cgroup));
	assert_int_equal(count_folders(path), 0);
	assert_int_equal(count_leaves(fixture, NULL), 1);
}

/* Needs a controller that may be handed on; where we have none, nobody can do this to a leaf. */
static void a_leaf_with_controllers_is_not_reused(void **state)
{
	struct cgroup_fixture *fixture = *state;
	char text[256] = "+", name[300], other[300];

	NEEDS_CGROUP(state);
	int folder = open(fixture->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int file = openat(folder, "cgroup.controllers", O_RDONLY | O_CLOEXEC);
	ssize_t bytes = read(file, text + 1, sizeof(text) - 2);
	close(file);
	text[bytes > 0 ? 1 + strcspn(text + 1, " \n") : 1] = '\0';
	if (text[1] == '\0') {
		close(folder);
		print_message("SKIPPED %s: there are no controllers\n", __func__);
		skip();
	}
	write_file(folder, "cgroup.subtree_control", text);
	close(folder);
	struct wbi_leaf *leaf = wbi_cgroup_take(fixture->cgroup);
	assert_int_equal(count_leaves(fixture, name), 1);
	write_file(wbi_leaf_fd(leaf), "cgroup.subtree_control", text);
	wbi_cgroup_give(leaf);
	wbi_cgroup_give(wbi_cgroup_take(fixture->cgroup));
	assert_int_equal(count_leaves(fixture, other), 1);
	assert_string_not_equal(name, other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_descriptor_for_the_process),
		TEST(no_descriptor_for_a_leaf),
		TEST(no_descriptor_to_try_it),
		TEST(bounded_by_the_kernel),
		TEST(removed_some_at_a_time),
		TEST(a_leaf_with_controllers_is_not_reused),
		TEST(removed_at_once_where_it_is_little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
