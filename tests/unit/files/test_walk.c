/* Walking: every entry once and in order, folders around what is in them, whatever they are called
 * and however deep they lie; patterns that leave out; links that lead nowhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "files/exclude.h"
#include "files/links.h"
#include "files/walk.h"
#include "tree.h"

static struct tree tree;

static int set_up(void **state)
{
	(void)state;
	tree_make(&tree);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tree_remove(&tree);
	return 0;
}

static struct wbi_walk *walk_new(const char *const *excludes)
{
	struct wbi_walk *walk;
	int top = openat(tree.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(top >= 0);
	assert_int_equal(wbi_walk_new(top, excludes, &walk), WB_OK);
	return walk;
}

/* The whole walk as text: "<" enters, ">" leaves, "!" fails. */
static void tell(const char *const *excludes, char *out, size_t size)
{
	struct wbi_walk *walk = walk_new(excludes);
	struct wbi_walk_entry entry;
	size_t used = 0;

	out[0] = '\0';
	for (;;) {
		enum wbi_walk_event event = wbi_walk_next(walk, &entry);

		if (event == WBI_WALK_OVER)
			break;
		if (event == WBI_WALK_ENTRY) {
			const char *slash = strrchr(entry.path, '/');

			assert_string_equal(entry.name, slash ? slash + 1 : entry.path);
			assert_true(faccessat(entry.folder, entry.name, F_OK,
					      AT_SYMLINK_NOFOLLOW) == 0);
		}
		used += (size_t)snprintf(out + used, size - used, "%s%s ",
					 event == WBI_WALK_FOLDER       ? "<"
					 : event == WBI_WALK_FOLDER_END ? ">"
					 : event == WBI_WALK_FAILED     ? "!"
									: "",
					 entry.path);
		assert_true(used < size);
	}
	wbi_walk_free(walk);
}

static void check(const char *const *excludes, const char *expected)
{
	char told[4096];

	tell(excludes, told, sizeof(told));
	assert_string_equal(told, expected);
}

static void test_order(void **state)
{
	(void)state;
	check(NULL, "< > ");
	tree_folder(&tree, "b");
	tree_folder(&tree, "b/y");
	tree_folder(&tree, "b/x");
	tree_folder(&tree, "empty");
	tree_text(&tree, "z", "");
	tree_text(&tree, "a", "");
	tree_text(&tree, "b/one", "");
	tree_text(&tree, "b/x/deep", "");
	tree_text(&tree, "b/y/deep", "");
	assert_int_equal(symlinkat("b", tree.fd, "link"), 0);
	check(NULL,
	      "< a link z <b b/one <b/x b/x/deep >b/x <b/y b/y/deep >b/y >b <empty >empty > ");
}

static void test_types(void **state)
{
	struct wbi_walk *walk;
	struct wbi_walk_entry entry;

	(void)state;
	tree_text(&tree, "1", "");
	assert_int_equal(symlinkat("1", tree.fd, "2"), 0);
	assert_int_equal(mkfifoat(tree.fd, "3", 0600), 0);
	walk = walk_new(NULL);
	assert_int_equal(wbi_walk_next(walk, &entry), WBI_WALK_FOLDER);
	assert_true(S_ISDIR(entry.stat.st_mode));
	assert_int_equal(wbi_walk_next(walk, &entry), WBI_WALK_ENTRY);
	assert_int_equal(entry.type, DT_REG);
	assert_int_equal(wbi_walk_next(walk, &entry), WBI_WALK_ENTRY);
	assert_int_equal(entry.type, DT_LNK);
	assert_int_equal(wbi_walk_next(walk, &entry), WBI_WALK_ENTRY);
	assert_int_equal(entry.type, DT_FIFO);
	assert_int_equal(wbi_walk_next(walk, &entry), WBI_WALK_FOLDER_END);
	assert_int_equal(wbi_walk_next(walk, &entry), WBI_WALK_OVER);
	assert_int_equal(wbi_walk_next(walk, &entry), WBI_WALK_OVER);
	wbi_walk_free(walk);
}

/* What is left out still stands in the listing: it is there, and nobody may delete it elsewhere. */
static void test_listing(void **state)
{
	static const char *const excludes[] = {"*.o", NULL};
	struct wbi_walk *walk;
	struct wbi_walk_entry entry;
	size_t bytes;
	const char *names;

	(void)state;
	tree_text(&tree, "a", "");
	tree_text(&tree, "b.o", "");
	walk = walk_new(excludes);
	while (wbi_walk_next(walk, &entry) != WBI_WALK_FOLDER_END)
		;
	names = wbi_walk_listing(walk, &bytes);
	assert_int_equal(bytes, 6);
	assert_true(memmem(names, bytes, "a\0", 2) && memmem(names, bytes, "b.o\0", 4));
	wbi_walk_free(walk);
}

static unsigned descriptors(void)
{
	DIR *stream = opendir("/proc/self/fd");
	unsigned count = 0;

	tree_need(stream, "/proc/self/fd");
	while (readdir(stream))
		count++;
	closedir(stream);
	return count;
}

/* As deep as allowed, and one deeper: told as a failure, and the rest goes on. */
static void test_deep(void **state)
{
	enum { DEEPER = WBI_WALK_DEPTH_MAX + 3 };
	struct wbi_walk *walk;
	struct wbi_walk_entry entry;
	unsigned before = descriptors(), most = before, folders = 0, failures = 0, last = 0;
	enum wbi_walk_event event;
	int fd = dup(tree.fd);

	(void)state;
	for (int i = 0; i < DEEPER; i++) {
		int next;

		assert_int_equal(mkdirat(fd, "d", 0755), 0);
		next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = next;
	}
	close(fd);
	tree_folder(&tree, "e");
	tree_text(&tree, "e/last", "");
	walk = walk_new(NULL);
	while ((event = wbi_walk_next(walk, &entry)) != WBI_WALK_OVER) {
		unsigned open = descriptors();

		most = open > most ? open : most;
		folders += event == WBI_WALK_FOLDER;
		failures += event == WBI_WALK_FAILED;
		last += event == WBI_WALK_ENTRY;
		if (event == WBI_WALK_FAILED)
			assert_int_equal(entry.error, ENAMETOOLONG);
	}
	wbi_walk_free(walk);
	assert_int_equal(folders, WBI_WALK_DEPTH_MAX + 1);
	assert_int_equal(failures, 1);
	assert_int_equal(last, 1);
	assert_true(most - before <= 3);
	assert_int_equal(descriptors(), before);
}

/* Components of 255 bytes: 15 of them are a path that fits, 16 are one too many. */
static void test_long(void **state)
{
	char name[256];
	struct wbi_walk *walk = NULL;
	struct wbi_walk_entry entry;
	enum wbi_walk_event event;
	unsigned failures = 0, ends = 0;
	int fd = dup(tree.fd);

	(void)state;
	memset(name, '\xff', 255);
	name[255] = '\0';
	for (int i = 0; i < 17; i++) {
		int next;

		assert_int_equal(mkdirat(fd, name, 0755), 0);
		next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = next;
	}
	close(fd);
	walk = walk_new(NULL);
	while ((event = wbi_walk_next(walk, &entry)) != WBI_WALK_OVER) {
		assert_true(strlen(entry.path) <= WBI_WALK_PATH_MAX);
		ends += event == WBI_WALK_FOLDER_END;
		failures += event == WBI_WALK_FAILED;
		if (event == WBI_WALK_FAILED)
			assert_int_equal(entry.error, ENAMETOOLONG);
	}
	wbi_walk_free(walk);
	assert_int_equal(failures, 1);
	assert_int_equal(ends, 17); /* the top, and 16 × 255 + 15 slashes = 4,095 */
	/* A path that long cannot be removed by name: its lower end is moved up, again and again.
	 */
	while ((fd = openat(tree.fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0 &&
	       renameat(fd, name, tree.fd, "up") == 0) {
		assert_int_equal(unlinkat(tree.fd, name, AT_REMOVEDIR), 0);
		assert_int_equal(renameat(tree.fd, "up", tree.fd, name), 0);
		close(fd);
	}
	close(fd);
}

/* A folder that nobody may read: told, and the rest goes on. Root reads everything, so it is a
 * folder that has gone since it was listed. */
static void test_vanished(void **state)
{
	struct wbi_walk *walk;
	struct wbi_walk_entry entry;

	(void)state;
	tree_folder(&tree, "a");
	tree_folder(&tree, "b");
	tree_folder(&tree, "c");
	walk = walk_new(NULL);
	assert_int_equal(wbi_walk_next(walk, &entry), WBI_WALK_FOLDER);
	assert_int_equal(unlinkat(tree.fd, "a", AT_REMOVEDIR), 0);
	/* In the place of the second there is a link out. */
	assert_int_equal(unlinkat(tree.fd, "b", AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("/etc", tree.fd, "b"), 0);
	assert_int_equal(wbi_walk_next(walk, &entry), WBI_WALK_FAILED);
	assert_string_equal(entry.path, "a");
	assert_int_equal(entry.error, ENOENT);
	assert_int_equal(wbi_walk_next(walk, &entry), WBI_WALK_FAILED);
	assert_string_equal(entry.path, "b");
	assert_true(entry.error == ELOOP || entry.error == ENOTDIR);
	assert_int_equal(wbi_walk_next(walk, &entry), WBI_WALK_FOLDER);
	assert_string_equal(entry.path, "c");
	wbi_walk_free(walk); /* in the middle */
}

/* A link in the place of a folder that was entered does not lead the walk away either. */
static void test_moved(void **state)
{
	struct wbi_walk *walk;
	struct wbi_walk_entry entry;

	(void)state;
	tree_folder(&tree, "a");
	tree_folder(&tree, "a/x");
	tree_folder(&tree, "a/y");
	walk = walk_new(NULL);
	while (wbi_walk_next(walk, &entry) != WBI_WALK_FOLDER_END)
		; /* of a/x */
	assert_string_equal(entry.path, "a/x");
	assert_int_equal(renameat(tree.fd, "a", tree.fd, "moved"), 0);
	assert_int_equal(symlinkat("moved", tree.fd, "a"), 0);
	assert_int_equal(wbi_walk_next(walk, &entry), WBI_WALK_FAILED);
	assert_string_equal(entry.path, "a/y");
	wbi_walk_free(walk);
}

/* ---- patterns ---- */

static void test_patterns(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool is_folder, excluded;
	} cases[] = {
		{"x", "x", false, true},
		{"x", "a/b/x", false, true},
		{"x", "xy", false, false},
		{"x", "x/y", false, false}, /* but x itself was, and with it this */
		{"*.o", "a/b.o", false, true},
		{"*.o", ".o", false, true},
		{"*", ".hidden", false, true},
		{"b?[0-9]", "a/bx7", false, true},
		{"b?[!0-9]", "a/bx7", false, false},
		{"build/", "build", true, true},
		{"build/", "a/build", true, true},
		{"build/", "build", false, false},
		{"/build", "build", false, true},
		{"/build", "a/build", false, false},
		{"/build/", "build", true, true},
		{"/build/", "build", false, false},
		{"a/b", "a/b", false, true},
		{"a/b", "x/a/b", false, false},
		{"a/*", "a/b", false, true},
		{"a/*", "a/b/c", false, false},
		{"a/*/", "a/b", true, true},
		{"\\*", "*", false, true},
		{"\\*", "x", false, false},
		{"\xff*", "\xff\xfe", false, true},
		{"", "x", false, false},
		{"/", "x", true, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *const patterns[] = {"never", cases[i].pattern, NULL};

		if (wbi_file_excluded(patterns, cases[i].path, cases[i].is_folder) !=
		    cases[i].excluded)
			fail_msg("'%s' and '%s'", cases[i].pattern, cases[i].path);
	}
	assert_false(wbi_file_excluded(NULL, "x", false));
}

/* Patterns come from the peer: one that is made to be slow is not. */
static void test_slow_pattern(void **state)
{
	char pattern[200], path[201];
	const char *const patterns[] = {pattern, NULL};

	(void)state;
	for (size_t i = 0; i + 2 < sizeof(pattern); i += 2)
		memcpy(pattern + i, "*a", 2);
	memcpy(pattern + sizeof(pattern) - 2, "b", 2);
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_false(wbi_file_excluded(patterns, path, false));
}

static void test_temporaries_are_nobodys(void **state)
{
	(void)state;
	tree_text(&tree, ".waybill-00123456789abcdef0123456789abcde.part", "");
	tree_folder(&tree, ".waybill-00123456789abcdef0123456789abcdf.part");
	tree_text(&tree, ".waybill-0.part", "");
	check(NULL, "< .waybill-0.part > ");
}

static void test_excluded(void **state)
{
	static const char *const excludes[] = {"*.o", "/top/", "sub/only", NULL};

	(void)state;
	tree_folder(&tree, "top");
	tree_text(&tree, "top/inside", "");
	tree_folder(&tree, "sub");
	tree_folder(&tree, "sub/top");
	tree_text(&tree, "sub/x.o", "");
	tree_text(&tree, "sub/only", "");
	tree_text(&tree, "sub/other", "");
	tree_text(&tree, "only", "");
	check(excludes, "< only <sub sub/other <sub/top >sub/top >sub > ");
}

/* ---- hard links ---- */

static void test_links(void **state)
{
	struct wbi_links links = {0};
	struct stat status = {.st_dev = 1, .st_nlink = 2};
	char name[32];

	(void)state;
	for (int i = 0; i < WBI_LINKS_MAX; i++) {
		status.st_ino = (ino_t)i;
		snprintf(name, sizeof(name), "f%d", i);
		assert_null(wbi_links_find(&links, &status, name));
	}
	status.st_ino = WBI_LINKS_MAX; /* no place: it travels twice */
	assert_null(wbi_links_find(&links, &status, "more"));
	assert_null(wbi_links_find(&links, &status, "again"));
	status.st_ino = 77;
	assert_string_equal(wbi_links_find(&links, &status, "other"), "f77");
	wbi_links_withdraw(&links, &status);
	assert_null(wbi_links_find(&links, &status, "second"));
	assert_string_equal(wbi_links_find(&links, &status, "third"), "second");
	status.st_dev = 2;
	wbi_links_withdraw(&links, &status);
	assert_null(wbi_links_find(&links, &status, "elsewhere"));
	wbi_links_done(&links);
	wbi_links_withdraw(&links, &status);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_types, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_listing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_deep, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_vanished, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_moved, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_temporaries_are_nobodys, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_excluded, set_up, tear_down),
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_slow_pattern),
		cmocka_unit_test(test_links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
