/* The commit on its own: when a name appears, what stands in its way, and what is left when it does
 * not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "receiver_fixture.h"

#include "files/commit.h"
#include "files/names.h"

struct told {
	unsigned count;
	uint64_t n;
	int error;
};

static struct fixture *f;
static struct told told;
static struct wbi_folders folders;
static struct wbi_folder *target;
static struct wbi_temporary_names names;
static int fd = -1;

static void folder_failed(void *context, const struct wbi_folder *folder, const char *below,
			  int error)
{
	(void)below;
	*(struct told *)context = (struct told){told.count + 1, folder->n, error};
}

static void name_failed(void *context, const struct wbi_folder *folder, uint64_t n,
			const char *name, uint64_t bytes, int error)
{
	(void)folder;
	assert_int_equal(bytes, strlen(name));
	*(struct told *)context = (struct told){told.count + 1, n, error};
}

static int set_up(void **state)
{
	(void)state;
	f = fixture_new();
	told = (struct told){0};
	fd = open(path_of(f, ""), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	wbi_folders_init(&folders, fd, &names, folder_failed, &told);
	target = wbi_folder_target(&folders, false);
	assert_non_null(target);
	assert_int_equal(wbi_temporary_names_init(&names, NULL), WB_OK);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	wbi_folder_unuse(&folders, target);
	assert_int_equal(wbi_folders_sync(&folders, true), 0);
	close(fd);
	fixture_free(f);
	return 0;
}

static void add_one(struct wbi_commit *commit, struct wbi_folder *folder, const char *prefix,
		    const char *name, uint64_t n)
{
	char temporary[WBI_TEMPORARY_NAME_MAX], path[512];

	wbi_temporary_name_next(&names, temporary);
	snprintf(path, sizeof(path), "%s%s", prefix, temporary);
	put_file(path_of(f, path), name, strlen(name));
	assert_int_equal(wbi_commit_add(commit, folder, temporary, name, n, strlen(name)), 0);
}

static void flush(struct wbi_commit *commit)
{
	assert_int_equal(wbi_commit_sync(commit), 0);
	wbi_commit_rename(commit);
	assert_int_equal(wbi_commit_finish(commit), 0);
}

static void names_come_with_the_flush(void **state)
{
	char name[32];

	(void)state;
	for (unsigned count = 1; count <= 20; count += 19) {
		struct wbi_commit commit;
		wbi_commit_init(&commit, &folders, true, name_failed, &told);
		for (unsigned i = 0; i < count; i++) {
			snprintf(name, sizeof(name), "%u-%u", count, i);
			add_one(&commit, target, "", name, i + 1);
		}
		assert_false(exists(path_of(f, name)));
		assert_false(wbi_commit_due(&commit, target));
		flush(&commit);
		assert_text(f, name, name);
		wbi_commit_done(&commit);
	}
	assert_int_equal(temporaries(f), 0);
	assert_int_equal(told.count, 0);
}

static void without_sync_names_come_at_once(void **state)
{
	struct wbi_commit commit;

	(void)state;
	wbi_commit_init(&commit, &folders, false, name_failed, &told);
	add_one(&commit, target, "", "name", 1);
	assert_text(f, "name", "name");
	wbi_commit_done(&commit);
}

static void due_when_a_batch_is_full(void **state)
{
	struct wbi_commit commit;
	char name[32];

	(void)state;
	wbi_commit_init(&commit, &folders, true, name_failed, &told);
	for (unsigned i = 0; i < WBI_COMMIT_FILES; i++) {
		assert_false(wbi_commit_due(&commit, target));
		snprintf(name, sizeof(name), "%u", i);
		add_one(&commit, target, "", name, i + 1);
	}
	assert_true(wbi_commit_due(&commit, target));
	flush(&commit);
	assert_false(wbi_commit_due(&commit, target));
	assert_text(f, "1023", "1023");
	wbi_commit_done(&commit);
}

static void a_folder_is_not_replaced(void **state)
{
	struct wbi_commit commit;

	(void)state;
	assert_int_equal(mkdir(path_of(f, "name"), 0755), 0);
	wbi_commit_init(&commit, &folders, true, name_failed, &told);
	add_one(&commit, target, "", "before", 1);
	add_one(&commit, target, "", "name", 2);
	add_one(&commit, target, "", "behind", 3);
	flush(&commit);
	assert_int_equal(told.count, 1);
	assert_int_equal(told.n, 2);
	assert_int_equal(told.error, EISDIR);
	assert_text(f, "before", "before");
	assert_text(f, "behind", "behind");
	assert_int_equal(temporaries(f), 0);
	wbi_commit_done(&commit);
}

static void what_is_forgotten_leaves_nothing(void **state)
{
	struct wbi_commit commit;

	(void)state;
	put_file(path_of(f, "name"), "old", 3);
	wbi_commit_init(&commit, &folders, true, name_failed, &told);
	add_one(&commit, target, "", "name", 1);
	wbi_commit_forget(&commit, EIO);
	assert_int_equal(told.count, 1);
	assert_int_equal(told.error, EIO);
	add_one(&commit, target, "", "name", 2);
	wbi_commit_done(&commit);
	assert_int_equal(told.count, 2);
	assert_text(f, "name", "old");
	assert_int_equal(temporaries(f), 0);
}

/* A folder's own time is set when the last file in it has its name, not before. */
static void a_folder_settles_last(void **state)
{
	struct wbi_folder *folder = wbi_folder_make(&folders, target, "d");
	struct wbi_commit commit;

	(void)state;
	assert_non_null(folder);
	wbi_folders_publish(&folders, 0);
	folder->settles = true;
	folder->attributes = (struct wbi_attributes){.mode = 0750, .mtime = {.tv_sec = 5}};
	wbi_commit_init(&commit, &folders, true, name_failed, &told);
	add_one(&commit, folder, "d/", "file", 1);
	wbi_folder_unuse(&folders, folder);
	assert_int_not_equal(status_of(f, "d").st_mtim.tv_sec, 5);
	flush(&commit);
	assert_int_equal(status_of(f, "d").st_mtim.tv_sec, 5);
	assert_int_equal(status_of(f, "d").st_mode & 0777, 0750);
	wbi_commit_done(&commit);
}

/* merged: somebody else made it first, and what was hidden went there. */
static void assert_stale_once_replaced(bool merged)
{
	struct wbi_folder *folder = wbi_folder_make(&folders, target, "d"), *others[70];
	char name[32];

	assert_non_null(folder);
	assert_true(wbi_list_empty(&target->changed));
	if (merged)
		assert_int_equal(mkdir(path_of(f, "d"), 0755), 0);
	for (int i = 0; i < 70; i++) {
		snprintf(name, sizeof(name), "o%d", i);
		others[i] = wbi_folder_make(&folders, target, name);
		assert_non_null(others[i]);
	}
	wbi_folders_publish(&folders, 0);
	assert_false(wbi_list_empty(&target->changed));
	assert_int_equal(folder->merged, merged);
	assert_true(wbi_folder_fd(&folders, folder) >= 0);
	for (int i = 0; i < 70; i++)
		assert_true(wbi_folder_fd(&folders, others[i]) >= 0);
	assert_true(folders.opened_count <= 64);
	assert_int_equal(rename(path_of(f, "d"), path_of(f, "moved")), 0);
	assert_int_equal(mkdir(path_of(f, "d"), 0755), 0);
	assert_int_equal(wbi_folder_fd(&folders, folder), -1);
	assert_int_equal(errno, ESTALE);
	for (int i = 0; i < 70; i++)
		wbi_folder_unuse(&folders, others[i]);
	wbi_folder_unuse(&folders, folder);
}

static void a_folder_that_was_replaced(void **state)
{
	(void)state;
	assert_stale_once_replaced(false);
}

static void a_merged_folder_that_was_replaced(void **state)
{
	(void)state;
	assert_stale_once_replaced(true);
}

static void temporary_names(void **state)
{
	char a[WBI_TEMPORARY_NAME_MAX], b[WBI_TEMPORARY_NAME_MAX];

	(void)state;
	wbi_temporary_name_of("file", a);
	wbi_temporary_name_of("file", b);
	assert_string_equal(a, b);
	assert_true(wbi_temporary_is(a));
	wbi_temporary_name_of("filf", b);
	assert_string_not_equal(a, b);
	wbi_temporary_name_next(&names, a);
	wbi_temporary_name_next(&names, b);
	assert_string_not_equal(a, b);
	assert_true(wbi_temporary_is(a) && wbi_temporary_is(b));
	assert_false(wbi_temporary_is(".waybill-"));
	assert_false(wbi_temporary_is(".waybill-0123456789ABCDEF0123456789abcdef.part"));
	assert_false(wbi_temporary_is("waybill-00123456789abcdef0123456789abcdef.part"));
}

/* What only looks like a left-over temporary is not written into. */
static void left_over_must_be_ours(void **state)
{
	char name[WBI_TEMPORARY_NAME_MAX];
	uint64_t bytes;
	int left;

	(void)state;
	assert_int_equal(wbi_temporary_resume(fd, "file", name, &bytes), -1);
	put_file(path_of(f, "other"), "other", 5);
	wbi_temporary_name_of("file", name);
	assert_int_equal(symlink("other", path_of(f, name)), 0);
	assert_int_equal(wbi_temporary_resume(fd, "file", name, &bytes), -1);
	unlink(path_of(f, name));
	assert_int_equal(link(path_of(f, "other"), path_of(f, name)), 0);
	assert_int_equal(wbi_temporary_resume(fd, "file", name, &bytes), -1);
	unlink(path_of(f, name));
	assert_int_equal(mkfifo(path_of(f, name), 0600), 0);
	assert_int_equal(wbi_temporary_resume(fd, "file", name, &bytes), -1);
	unlink(path_of(f, name));
	put_file(path_of(f, name), "left", 4);
	left = wbi_temporary_resume(fd, "file", name, &bytes);
	assert_true(left >= 0);
	assert_int_equal(bytes, 4);
	assert_int_equal(wbi_temporary_resume(fd, "file", name, &bytes), -1);
	int fresh = wbi_temporary_make(fd, "file", &names, name);
	assert_true(fresh >= 0);
	assert_int_equal(temporaries(f), 2);
	close(fresh);
	close(left);
}

static void set_of_names(void **state)
{
	struct wbi_names set;
	char name[32];

	(void)state;
	wbi_names_init(&set, 5000);
	assert_false(wbi_names_have(&set, "x", 1));
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(wbi_names_add(&set, name, strlen(name)), WBI_NAMES_NEW);
	}
	assert_int_equal(wbi_names_add(&set, "77", 2), WBI_NAMES_KNOWN);
	assert_int_equal(wbi_names_add(&set, "5000", 4), WBI_NAMES_FULL);
	assert_true(wbi_names_have(&set, "4999", 4));
	assert_false(wbi_names_have(&set, "5000", 4));
	wbi_names_done(&set);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH(names_come_with_the_flush),
		WITH(without_sync_names_come_at_once),
		WITH(due_when_a_batch_is_full),
		WITH(a_folder_is_not_replaced),
		WITH(what_is_forgotten_leaves_nothing),
		WITH(a_folder_settles_last),
		WITH(a_folder_that_was_replaced),
		WITH(a_merged_folder_that_was_replaced),
		WITH(temporary_names),
		WITH(left_over_must_be_ours),
		WITH(set_of_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
