/* The receiver with a sender that means well: every kind of entry, offers, links, folders, batches.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "receiver_fixture.h"

#include "files/receiver_state.h"

enum { BLOCK = 128 * 1024, MIB = 1 << 20 };

static struct fixture *f;

static int set_up(void **state)
{
	(void)state;
	f = fixture_new();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fixture_free(f);
	return 0;
}

static void assert_time(const struct stat *status, int64_t seconds, long nanoseconds)
{
	assert_int_equal(status->st_mtim.tv_sec, seconds);
	assert_int_equal(status->st_mtim.tv_nsec, nanoseconds);
}

static void check_tree(void)
{
	struct stat status = status_of(f, "d/file");

	assert_int_equal(status.st_mode, S_IFREG | 0640);
	assert_time(&status, 1000000000, 123456789);
	status = status_of(f, "d");
	assert_int_equal(status.st_mode, S_IFDIR | 0555);
	assert_time(&status, 7, 8);
	status = status_of(f, "d/sub/link");
	assert_true(S_ISLNK(status.st_mode));
	assert_time(&status, 1000000000, 123456789);
	assert_text(f, "d/file", "text");
	assert_text(f, "d/empty", "");
	assert_text(f, "d/\xff\n\"\\", "odd");
	assert_int_equal(status_of(f, "d/past").st_mtim.tv_sec, -5);
}

static void receive_tree(void)
{
	begin(f);
	entry(f, WBI_ITEM_DIR, "d")->mode = 0555;
	scratch.mtime = (struct wbi_item_time){7, 8};
	add(f, &scratch, NULL);
	small(f, "d/file", "text", 4)->mode = 0640;
	add(f, &scratch, "text");
	add_text(f, "d/empty", "");
	add_text(f, "d/\xff\n\"\\", "odd");
	add_dir(f, "d/sub");
	add_link(f, "d/sub/link", "../../../../etc/passwd");
	add_dir_end(f, "d/sub");
	small(f, "d/past", "x", 1)->mtime = (struct wbi_item_time){-5, 1};
	add(f, &scratch, "x");
	add_dir_end(f, "d");
	finish(f);
}

static void tree_in_any_split(void **state)
{
	static const size_t splits[] = {0, 1, 7, 100, 4096};

	(void)state;
	for (unsigned i = 0; i < sizeof(splits) / sizeof(splits[0]); i++) {
		f->split = splits[i];
		f->options.no_fsync = i % 2;
		receive_tree();
		assert_true(answer_of(f, WBI_ANSWER_READY, 0)->fresh == (i == 0));
		assert_int_equal(answer_of(f, WBI_ANSWER_SAVED, 0)->n, 7);
		assert_int_equal(answer_of(f, WBI_ANSWER_FINISHED, 0)->files, 7);
		check_tree();
	}
}

static void digest_mismatch_keeps_the_old(void **state)
{
	(void)state;
	put_file(path_of(f, "file"), "old", 3);
	begin(f);
	small(f, "file", "new", 3);
	add(f, &scratch, "nEw");
	add_text(f, "other", "fine");
	add_done(f);
	assert_int_equal(run(f), WB_OK);
	assert_failed(f, 1, "digest");
	assert_int_equal(strlen(answer_of(f, WBI_ANSWER_FAILED, 1)->expected), 32);
	assert_string_not_equal(answer_of(f, WBI_ANSWER_FAILED, 1)->expected,
				answer_of(f, WBI_ANSWER_FAILED, 1)->found);
	assert_int_equal(answer_of(f, WBI_ANSWER_FINISHED, 0)->failed, 1);
	assert_text(f, "file", "old");
	assert_text(f, "other", "fine");
	assert_int_equal(temporaries(f), 0);
}

static void all_digests(void **state)
{
	(void)state;
	for (int kind = WB_DIGEST_MD5; kind <= WB_DIGEST_XXH128; kind++) {
		uint8_t *content = make_content(MIB, 3);
		f->options.digest = (enum wb_digest_kind)kind;
		begin(f);
		add_text(f, "small", "text");
		add(f, offer(f, "large", MIB), NULL);
		assert_int_equal(run(f), WB_OK);
		add_data(f, 2, content, 0, MIB);
		add_end(f, 2, content, MIB);
		finish(f);
		assert_file(path_of(f, "large"), content, MIB);
		unlink(path_of(f, "large"));
		free(content);
	}
}

/* ---- offers ---- */

static void have_skip_want(void **state)
{
	struct timespec newer[2] = {{.tv_sec = 2000000000}, {.tv_sec = 2000000000}};

	(void)state;
	put_file(path_of(f, "same"), "same", 4);
	put_file(path_of(f, "newer"), "newer", 5);
	assert_int_equal(utimensat(AT_FDCWD, path_of(f, "newer"), newer, 0), 0);
	put_file(path_of(f, "older"), "older", 5);
	assert_int_equal(
		utimensat(AT_FDCWD, path_of(f, "older"), (struct timespec[2]){{1, 0}, {1, 0}}, 0),
		0);
	f->options.update = true;
	begin(f);
	assert_int_equal(
		utimensat(AT_FDCWD, path_of(f, "same"), (struct timespec[2]){{1, 0}, {1, 0}}, 0),
		0);
	digest_of("same", 4, WB_DIGEST_XXH128, offer(f, "same", 4)->digest);
	add(f, &scratch, NULL);
	add(f, offer(f, "newer", 4), NULL);
	add(f, offer(f, "older", 3), NULL);
	assert_int_equal(run(f), WB_OK);
	assert_non_null(answer_of(f, WBI_ANSWER_HAVE, 1));
	assert_non_null(answer_of(f, WBI_ANSWER_SKIP, 2));
	assert_non_null(answer_of(f, WBI_ANSWER_WANT, 3));
	add_data(f, 3, (const uint8_t *)"now", 0, 3);
	add_end(f, 3, "now", 3);
	finish(f);
	assert_time(&(struct stat){.st_mtim = status_of(f, "same").st_mtim}, 1000000000, 123456789);
	assert_text(f, "newer", "newer");
	assert_text(f, "older", "now");
}

static void aborted_content(void **state)
{
	uint8_t *content = make_content(MIB, 1);

	(void)state;
	put_file(path_of(f, "big"), "old", 3);
	begin(f);
	add(f, offer(f, "big", MIB), NULL);
	add(f, offer(f, "never", MIB), NULL);
	assert_int_equal(run(f), WB_OK);
	add_data(f, 1, content, 0, MIB / 2);
	for (uint64_t n = 1; n <= 3; n++) {
		wbi_item_init(&scratch, WBI_ITEM_ABORT);
		scratch.n = n;
		strcpy(scratch.error, "changed");
		strcpy(scratch.text, "big: changed");
		add(f, &scratch, NULL);
	}
	add_done(f);
	assert_int_equal(run(f), WB_OK);
	assert_int_equal(wbi_file_receiver_failures(f->receiver)->count, 3);
	assert_string_equal(last_error(f), "changed");
	assert_text(f, "big", "old");
	free(content);
}

static void size_that_nobody_knows(void **state)
{
	uint8_t *content = make_content(MIB + 3, 1);

	(void)state;
	begin(f);
	offer(f, "stream", 0)->has_size = false;
	add(f, &scratch, NULL);
	assert_int_equal(run(f), WB_OK);
	add_data(f, 1, content, 0, MIB + 3);
	add_end(f, 1, content, MIB + 3);
	finish(f);
	assert_file(path_of(f, "stream"), content, MIB + 3);
	free(content);
}

/* More folders than descriptors are held, each with a file that is still to come. */
static void offers_in_many_folders(void **state)
{
	char name[64];

	(void)state;
	begin(f);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		entry(f, WBI_ITEM_DIR, name)->mode = 0500;
		scratch.mtime = (struct wbi_item_time){i, 0};
		add(f, &scratch, NULL);
		snprintf(name, sizeof(name), "d%d/file", i);
		add(f, offer(f, name, 2), NULL);
		snprintf(name, sizeof(name), "d%d", i);
		add_dir_end(f, name);
	}
	assert_int_equal(run(f), WB_OK);
	for (int i = 0; i < 200; i++) {
		add_data(f, 2 * i + 2, (const uint8_t *)"ab", 0, 2);
		add_end(f, 2 * i + 2, "ab", 2);
	}
	finish(f);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "d%d/file", i);
		assert_text(f, name, "ab");
		snprintf(name, sizeof(name), "d%d", i);
		assert_int_equal(status_of(f, name).st_mode, S_IFDIR | 0500);
		assert_int_equal(status_of(f, name).st_mtim.tv_sec, i);
	}
}

static void many_small_files(void **state)
{
	char name[64];

	(void)state;
	begin(f);
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		add_text(f, name, name);
	}
	finish(f);
	assert_text(f, "f2999", "f2999");
	unsigned told = 0;
	for (unsigned i = 0; i < f->answer_count; i++)
		told += f->answers[i].kind == WBI_ANSWER_SAVED;
	assert_int_equal(told, 3);
}

/* ---- links ---- */

/* The second name of a file that is still to come waits for it. */
static void hard_links(void **state)
{
	uint8_t *content = make_content(MIB, 1);

	(void)state;
	for (int round = 0; round < 3; round++) {
		f->options.no_fsync = round == 1;
		begin(f);
		add_text(f, "a", "text");
		add_hardlink(f, "b", "a");
		offer(f, "big", MIB)->mode = 0600;
		add(f, &scratch, NULL);
		add_hardlink(f, "big2", "big");
		assert_int_equal(run(f), WB_OK);
		assert_true(exists(path_of(f, "big2")) == (round > 0));
		send_wanted(f, 3, content, MIB);
		finish(f);
		assert_int_equal(status_of(f, "a").st_ino, status_of(f, "b").st_ino);
		assert_int_equal(status_of(f, "a").st_nlink, 2);
		assert_int_equal(status_of(f, "big").st_ino, status_of(f, "big2").st_ino);
		assert_file(path_of(f, "big2"), content, MIB);
	}
	free(content);
}

static void hard_link_waits_without_batches(void **state)
{
	(void)state;
	f->options.no_fsync = true;
	begin(f);
	add(f, offer(f, "a", 2), NULL);
	add_hardlink(f, "b", "a");
	assert_int_equal(run(f), WB_OK);
	add_data(f, 1, (const uint8_t *)"ab", 0, 2);
	add_end(f, 1, "ab", 2);
	finish(f);
	assert_int_equal(status_of(f, "b").st_nlink, 2);
}

static void links_replace_and_are_replaced(void **state)
{
	char aim[32] = "";

	(void)state;
	put_file(path_of(f, "outside"), "safe", 4);
	put_file(path_of(f, "a"), "old", 3);
	assert_int_equal(symlink("outside", path_of(f, "b")), 0);
	begin(f);
	add_link(f, "a", "outside");
	add_text(f, "b", "new");
	finish(f);
	assert_int_equal(readlink(path_of(f, "a"), aim, sizeof(aim)), 7);
	assert_text(f, "b", "new");
	assert_text(f, "outside", "safe");
}

/* ---- folders, deletion, target ---- */

static void wrong_kind_in_the_way(void **state)
{
	(void)state;
	put_file(path_of(f, "file"), "x", 1);
	assert_int_equal(mkdir(path_of(f, "folder"), 0755), 0);
	assert_int_equal(symlink("folder", path_of(f, "link")), 0);
	begin(f);
	add_dir(f, "file");
	add_text(f, "file/below", "x");
	add_dir_end(f, "file");
	add_text(f, "folder", "x");
	add_link(f, "folder2", "x");
	add_dir(f, "link");
	add_text(f, "link/below", "x");
	add_dir_end(f, "link");
	add_done(f);
	assert_int_equal(run(f), WB_OK);
	assert_failed(f, 1, "not-a-folder");
	assert_failed(f, 2, "parent");
	assert_failed(f, 3, "is-a-folder");
	assert_failed(f, 5, "not-a-folder");
	assert_failed(f, 6, "parent");
	assert_false(exists(path_of(f, "folder/below")));
	assert_text(f, "file", "x");
	assert_int_equal(temporaries(f), 0);
}

static void add_listing(const char *name, const char *names, size_t bytes)
{
	wbi_item_init(&scratch, WBI_ITEM_DIR_END);
	assert_true(wbi_item_set_name(&scratch, name, strlen(name)));
	scratch.has_listing = true;
	scratch.payload_bytes = bytes;
	add(f, &scratch, names);
}

static void deletes_what_was_not_sent(void **state)
{
	static const char *const excludes[] = {"*.keep", NULL};
	static const char names[] = "a\0sub";

	(void)state;
	assert_int_equal(mkdir(path_of(f, "d"), 0755), 0);
	assert_int_equal(mkdir(path_of(f, "d/gone"), 0755), 0);
	assert_int_equal(mkdir(path_of(f, "d/stays"), 0755), 0);
	put_file(path_of(f, "d/gone/x"), "x", 1);
	put_file(path_of(f, "d/stays/y.keep"), "y", 1);
	put_file(path_of(f, "d/z"), "z", 1);
	put_file(path_of(f, "safe"), "safe", 4);
	assert_int_equal(symlink("../safe", path_of(f, "d/link")), 0);
	f->options.excludes = excludes;
	for (int round = 0; round < 2; round++) {
		f->options.delete = round;
		f->split = 3;
		begin(f);
		add_dir(f, "d");
		add_text(f, "d/a", "a");
		add_dir(f, "d/sub");
		add_dir_end(f, "d/sub");
		add_listing("d", names, sizeof(names));
		finish(f);
		assert_true(exists(path_of(f, "d/z")) == !round);
	}
	assert_int_equal(answer_of(f, WBI_ANSWER_FINISHED, 0)->deleted, 4);
	assert_false(exists(path_of(f, "d/gone")));
	assert_false(exists(path_of(f, "d/link")));
	assert_text(f, "d/stays/y.keep", "y");
	assert_text(f, "d/a", "a");
	assert_text(f, "safe", "safe");
	assert_time(&(struct stat){.st_mtim = status_of(f, "d").st_mtim}, 1000000000, 123456789);
}

static void target_names(void **state)
{
	(void)state;
	begin_at(f, "new");
	assert_true(answer_of(f, WBI_ANSWER_READY, 0) || (drain(f), true));
	add_dir(f, "tree");
	add_text(f, "tree/file", "text");
	add_hardlink(f, "tree/link", "tree/file");
	add_dir_end(f, "tree");
	finish(f);
	assert_text(f, "new/file", "text");
	assert_int_equal(status_of(f, "new/link").st_nlink, 2);
	begin_at(f, "new");
	add_text(f, "other", "text");
	finish(f);
	assert_text(f, "new/other", "text");
	struct wbi_file_target target;
	assert_int_equal(wbi_file_target_open(AT_FDCWD, path_of(f, "none/"), false, &target, NULL),
			 WB_ERR_ARGUMENT);
	assert_int_equal(wbi_file_target_open(AT_FDCWD, path_of(f, "none/x"), false, &target, NULL),
			 WB_ERR_SYSTEM);
	assert_int_equal(
		wbi_file_target_open(AT_FDCWD, path_of(f, "new/file"), true, &target, NULL),
		WB_ERR_ARGUMENT);
}

static void target_beneath_a_root(void **state)
{
	struct wbi_file_target target;
	int root = open(path_of(f, ""), O_PATH | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_int_equal(mkdir(path_of(f, "sub"), 0755), 0);
	assert_int_equal(symlink("sub", path_of(f, "inside")), 0);
	assert_int_equal(symlink("../..", path_of(f, "outside")), 0);
	assert_int_equal(symlink("/tmp", path_of(f, "absolute")), 0);
	assert_int_equal(wbi_file_target_open(root, "/", false, &target, NULL), WB_OK);
	wbi_file_target_close(&target);
	assert_int_equal(wbi_file_target_open(root, "/inside/new", false, &target, NULL), WB_OK);
	assert_string_equal(target.as, "new");
	wbi_file_target_close(&target);
	static const char *const bad[] = {"..",          "../x",       "/../x",
					  "sub/../../x", "outside",    "outside/x",
					  "absolute",    "absolute/x", "sub/../../in"};
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (wbi_file_target_open(root, bad[i], false, &target, NULL) != WB_ERR_REFUSED)
			fail_msg("%s", bad[i]);
	close(root);
}

static void into_a_sink(void **state)
{
	int ends[2];
	char got[16] = "";

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	f->options.sink = ends[1];
	begin(f);
	add_text(f, "any", "text");
	add_text(f, "other", "more");
	add_dir(f, "folder");
	add_dir_end(f, "folder");
	add_done(f);
	assert_int_equal(run(f), WB_OK);
	assert_failed(f, 2, "sink");
	assert_failed(f, 3, "sink");
	begin(f);
	offer(f, "any", 0)->has_size = false;
	add(f, &scratch, NULL);
	assert_int_equal(run(f), WB_OK);
	add_data(f, 1, (const uint8_t *)"12", 0, 2);
	add(f, piece(WBI_ITEM_HOLE, 1, 2, 1), NULL);
	add_end(f, 1, "12", 3);
	add_done(f);
	assert_int_equal(run(f), WB_OK);
	close(ends[1]);
	assert_int_equal(read(ends[0], got, sizeof(got)), 7);
	assert_memory_equal(got, "text12\0", 7);
	close(ends[0]);
}

/* ---- attributes ---- */

static void set_user_id_needs_its_owner(void **state)
{
	(void)state;
	begin(f);
	small(f, "a", "x", 1)->mode = 06755;
	add(f, &scratch, "x");
	finish(f);
	assert_int_equal(status_of(f, "a").st_mode & 07777, 0755);
	if (geteuid() != 0) {
		print_message("SKIPPED in part: owners can be set by root only\n");
		return;
	}
	f->options.owner = true;
	begin(f);
	small(f, "b", "x", 1)->mode = 04755;
	scratch.has_owner = true;
	scratch.uid = 12345;
	scratch.gid = 54321;
	add(f, &scratch, "x");
	add_dir(f, "d");
	add_dir_end(f, "d");
	finish(f);
	assert_int_equal(status_of(f, "b").st_mode & 07777, 04755);
	assert_int_equal(status_of(f, "b").st_uid, 12345);
	assert_int_equal(status_of(f, "b").st_gid, 54321);
}

static void sweeps_what_nobody_holds(void **state)
{
	char held[WBI_TEMPORARY_NAME_MAX];
	struct wbi_temporary_names names = {{1, 2}};
	int folder = open(path_of(f, ""), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = wbi_temporary_make(folder, "file", &names, held);

	(void)state;
	put_file(path_of(f, ".waybill-0123456789abcdef0123456789abcdef.part"), "x", 1);
	put_file(path_of(f, ".waybill-0123456789abcdef0123456789abcdeg.part"), "x", 1);
	assert_int_equal(wbi_temporary_sweep(folder, 3600), 0);
	assert_int_equal(wbi_temporary_sweep(folder, -1), 1);
	assert_true(exists(path_of(f, held)));
	close(fd);
	assert_int_equal(wbi_temporary_sweep(folder, -1), 1);
	close(folder);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH(tree_in_any_split),
		WITH(digest_mismatch_keeps_the_old),
		WITH(all_digests),
		WITH(have_skip_want),
		WITH(aborted_content),
		WITH(size_that_nobody_knows),
		WITH(offers_in_many_folders),
		WITH(many_small_files),
		WITH(hard_links),
		WITH(hard_link_waits_without_batches),
		WITH(links_replace_and_are_replaced),
		WITH(wrong_kind_in_the_way),
		WITH(deletes_what_was_not_sent),
		WITH(target_names),
		WITH(target_beneath_a_root),
		WITH(into_a_sink),
		WITH(set_user_id_needs_its_owner),
		WITH(sweeps_what_nobody_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
