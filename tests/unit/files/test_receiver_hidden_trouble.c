/* Folders that are new, and trouble: system calls that fail, and a transfer that ends in the
 * middle. No name shows a part, and what is counted is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/resource.h>
#include <sys/syscall.h>

#include "receiver_fixture.h"

#include "files/temporary.h"

enum { MIB = 1 << 20 };

static struct fixture *f;

/* ---- system calls that fail, or are watched ---- */

/* errno that they fail with; 0: they do what they are for. */
static int fail_unlinkat, fail_linkat, fail_renameat, fail_fsync;
static void (*before_unlinkat)(void), (*before_renameat)(void);

static int refuse(int error)
{
	errno = error;
	return -1;
}

int unlinkat(int folder, const char *name, int flags)
{
	if (before_unlinkat)
		before_unlinkat();
	return fail_unlinkat && !flags ? refuse(fail_unlinkat)
				       : (int)syscall(SYS_unlinkat, folder, name, flags);
}

int linkat(int from, const char *old, int to, const char *new, int flags)
{
	return fail_linkat ? refuse(fail_linkat)
			   : (int)syscall(SYS_linkat, from, old, to, new, flags);
}

int renameat(int from, const char *old, int to, const char *new)
{
	if (before_renameat)
		before_renameat();
	return fail_renameat ? refuse(fail_renameat)
			     : (int)syscall(SYS_renameat2, from, old, to, new, 0);
}

int fsync(int fd)
{
	return fail_fsync ? refuse(fail_fsync) : (int)syscall(SYS_fsync, fd);
}

static int set_up(void **state)
{
	(void)state;
	fail_unlinkat = fail_linkat = fail_renameat = fail_fsync = 0;
	before_unlinkat = before_renameat = NULL;
	f = fixture_new();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fixture_free(f);
	return 0;
}

static void make_folder(const char *name, mode_t mode)
{
	assert_int_equal(mkdir(path_of(f, name), 0700), 0);
	assert_int_equal(chmod(path_of(f, name), mode), 0);
}

/* Ends it where it may have failed. */
static void run_to_end(void)
{
	add_done(f);
	(void)run(f);
	assert_non_null(answer_of(f, WBI_ANSWER_FINISHED, 0));
}

static uint64_t finished_files(void)
{
	return answer_of(f, WBI_ANSWER_FINISHED, 0)->files;
}

/* ---- no part is seen ---- */

static bool seen;

static void look(void)
{
	seen |= exists(path_of(f, "d/part"));
}

static void part_is_gone_before_its_folder_is_seen(void **state)
{
	(void)state;
	begin(f);
	add_dir(f, "d");
	add_text(f, "d/whole", "whole");
	add(f, small(f, "d/part", "partly", 6), NULL);
	assert_int_equal(wbi_buf_append(&f->input, "par", 3), WB_OK);
	assert_int_equal(run(f), WB_OK);
	seen = false;
	before_unlinkat = look;
	wbi_file_receiver_free(f->receiver);
	f->receiver = NULL;
	assert_false(seen);
	assert_text(f, "d/whole", "whole");
	assert_false(exists(path_of(f, "d/part")));
}

/* A twin is in the middle of the same file, of a size that has a temporary which is found again: it
 * must not get this one's content for its own. */
static void twins_keep_their_temporaries_apart(void **state)
{
	uint8_t *content = make_content(MIB, 4);
	char temporary[WBI_TEMPORARY_NAME_MAX], path[128];

	(void)state;
	wbi_temporary_name_of("f", temporary);
	snprintf(path, sizeof(path), "d/%s", temporary);
	begin(f);
	add_dir(f, "d");
	add(f, offer(f, "d/f", MIB), NULL);
	assert_int_equal(run(f), WB_OK);
	add_data(f, 2, content, 0, MIB / 2);
	assert_int_equal(run(f), WB_OK);
	make_folder("d", 0755);
	put_file(path_of(f, path), "the twin's", 10);
	/* Has the folder named while the file is under way. */
	add(f, offer(f, "d/large", 8 * MIB), NULL);
	assert_int_equal(run(f), WB_OK);
	assert_text(f, path, "the twin's");
	add_data(f, 2, content, MIB / 2, MIB);
	add_end(f, 2, content, MIB);
	assert_int_equal(run(f), WB_OK);
	assert_text(f, path, "the twin's");
	assert_file(path_of(f, "d/f"), content, MIB);
	free(content);
}

/* What is wrong and cannot be removed takes its folder with it. */
static void wrong_content_that_stays_is_not_seen(void **state)
{
	(void)state;
	begin(f);
	add_dir(f, "d");
	add_text(f, "d/good", "good");
	fail_unlinkat = EIO;
	add(f, small(f, "d/bad", "right", 5), "wrong");
	assert_int_equal(run(f), WB_OK);
	fail_unlinkat = 0;
	add_dir_end(f, "d");
	run_to_end();
	assert_false(exists(path_of(f, "d")));
	assert_failed(f, 1, "io");
	assert_failed(f, 2, "io");
	assert_failed(f, 3, "digest");
	assert_int_equal(finished_files(), 0);
	assert_int_equal(temporaries(f), 0);
}

static void content_that_is_not_on_disk_is_not_seen(void **state)
{
	(void)state;
	begin(f);
	add_text(f, "old", "old");
	add_dir(f, "d");
	add_text(f, "d/one", "1");
	add_dir(f, "d/deep");
	add_dir_end(f, "d/deep");
	add_dir_end(f, "d");
	assert_int_equal(run(f), WB_OK);
	fail_fsync = fail_unlinkat = EIO;
	run_to_end();
	assert_false(exists(path_of(f, "d")));
	for (uint64_t n = 1; n <= 4; n++)
		assert_failed(f, n, "io");
	assert_int_equal(finished_files(), 0);
	assert_int_equal(answer_of(f, WBI_ANSWER_FINISHED, 0)->bytes, 0);
	fail_fsync = fail_unlinkat = 0;
}

/* ---- what is counted is there ---- */

static void folders_of_a_lost_one_are_not_counted(void **state)
{
	(void)state;
	begin(f);
	add_dir(f, "d");
	add_dir(f, "d/empty");
	add_dir_end(f, "d/empty");
	add_dir_end(f, "d");
	assert_int_equal(run(f), WB_OK);
	put_file(path_of(f, "d"), "a file", 6);
	run_to_end();
	assert_failed(f, 1, "not-a-folder");
	assert_failed(f, 2, "not-a-folder");
	assert_int_equal(wbi_file_receiver_failures(f->receiver)->count, 2);
	assert_int_equal(finished_files(), 0);
}

static void full_while_names_are_given(void **state)
{
	(void)state;
	begin(f);
	add_text(f, "a", "a");
	add_text(f, "b", "b");
	add_text(f, "c", "c");
	assert_int_equal(run(f), WB_OK);
	fail_renameat = ENOSPC;
	run_to_end();
	fail_renameat = 0;
	assert_int_equal(f->err, WB_ERR_SYSTEM);
	assert_int_equal(finished_files(), 0);
	assert_int_equal(answer_of(f, WBI_ANSWER_FINISHED, 0)->bytes, 0);
}

static void full_while_links_are_made(void **state)
{
	(void)state;
	begin(f);
	add_dir(f, "d");
	add_text(f, "d/a", "a");
	add_hardlink(f, "d/b", "d/a");
	add_hardlink(f, "d/c", "d/a");
	add_dir_end(f, "d");
	assert_int_equal(run(f), WB_OK);
	fail_linkat = ENOSPC;
	run_to_end();
	fail_linkat = 0;
	assert_int_equal(f->err, WB_ERR_SYSTEM);
	assert_text(f, "d/a", "a");
	assert_int_equal(finished_files(), 2);
}

/* What is complete beside a folder that nobody may see gets its name. */
static void a_folder_that_is_not_seen_takes_nothing_along(void **state)
{
	(void)state;
	begin(f);
	add_text(f, "a", "a");
	add_dir(f, "d");
	add_text(f, "d/b", "b");
	fail_unlinkat = EIO;
	add(f, small(f, "d/bad", "right", 5), "wrong");
	add_dir_end(f, "d");
	assert_int_equal(run(f), WB_OK);
	fail_unlinkat = 0;
	run_to_end();
	assert_text(f, "a", "a");
	assert_int_equal(finished_files(), 1);
	assert_int_equal(answer_of(f, WBI_ANSWER_FINISHED, 0)->bytes, 1);
}

static void link_first(void)
{
	static bool done;

	if (!done)
		assert_int_equal(link(path_of(f, "d/a"), path_of(f, "d/b")), 0);
	done = true;
}

/* Renaming one name of a file to another of the same leaves both. */
static void the_same_link_was_made_meanwhile(void **state)
{
	(void)state;
	begin(f);
	add_dir(f, "d");
	add_text(f, "d/a", "a");
	add_hardlink(f, "d/b", "d/a");
	add_dir_end(f, "d");
	before_renameat = link_first;
	finish(f);
	assert_int_equal(status_of(f, "d/a").st_nlink, 2);
}

static void many_hard_links_of_one_file(void **state)
{
	enum { LINKS = 30000 };
	char name[400];

	(void)state;
	begin(f);
	memset(name, 'x', sizeof(name));
	add_dir(f, "d");
	add_text(f, "d/a", "a");
	for (int i = 0; i < LINKS; i++) {
		snprintf(name, sizeof(name), "d/%0200d", i);
		add_hardlink(f, name, "d/a");
		if (i % 1000 == 0)
			assert_int_equal(run(f), WB_OK);
	}
	add_dir_end(f, "d");
	finish(f);
	assert_int_equal(wbi_file_receiver_failures(f->receiver)->count, 0);
	assert_int_equal(status_of(f, "d/a").st_nlink, LINKS + 1);
}

/* A folder that was made and cannot be opened is not there. */
static void no_descriptor_for_what_was_made(void **state)
{
	struct rlimit was, few;
	int first;

	(void)state;
	begin(f);
	add_dir(f, "d");
	assert_int_equal(run(f), WB_OK);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	first = dup(0);
	close(first);
	few = (struct rlimit){(rlim_t)first, was.rlim_max};
	add_dir(f, "d/deep");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(run(f), WB_OK);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	add_dir_end(f, "d/deep");
	add_dir_end(f, "d");
	run_to_end();
	assert_failed(f, 2, "too-many-open");
	assert_true(exists(path_of(f, "d")));
	assert_false(exists(path_of(f, "d/deep")));
	assert_int_equal(finished_files(), 1);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH(part_is_gone_before_its_folder_is_seen),
		WITH(twins_keep_their_temporaries_apart),
		WITH(wrong_content_that_stays_is_not_seen),
		WITH(content_that_is_not_on_disk_is_not_seen),
		WITH(folders_of_a_lost_one_are_not_counted),
		WITH(full_while_names_are_given),
		WITH(full_while_links_are_made),
		WITH(a_folder_that_is_not_seen_takes_nothing_along),
		WITH(the_same_link_was_made_meanwhile),
		WITH(many_hard_links_of_one_file),
		WITH(no_descriptor_for_what_was_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
