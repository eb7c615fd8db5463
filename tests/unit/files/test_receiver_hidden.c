/* Folders that are new: nobody sees them before what is in them is safe, and whoever is quicker
 * loses nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/wait.h>

#include "receiver_fixture.h"

#include "files/temporary.h"

enum { MIB = 1 << 20, BIG = 6 * MIB, BATCH = 2048 };

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

static void make_folder(const char *name)
{
	assert_int_equal(mkdir(path_of(f, name), 0700), 0);
}

/* A tree whose folders are closed behind it, inside one that is hidden. */
static void add_tree(void)
{
	add_dir(f, "d");
	add_text(f, "d/one", "1");
	add_dir(f, "d/deep");
	add_text(f, "d/deep/two", "2");
	add_link(f, "d/deep/link", "two");
	add_hardlink(f, "d/deep/hard", "d/one");
	add_dir_end(f, "d/deep");
}

static void nothing_is_seen_before_it_is_safe(void **state)
{
	(void)state;
	for (int round = 0; round < 2; round++) {
		f->options.no_fsync = round;
		begin(f);
		add_tree();
		assert_int_equal(run(f), WB_OK);
		assert_false(exists(path_of(f, "d")));
		assert_int_equal(temporaries(f), 1);
		add_dir_end(f, "d");
		finish(f);
		assert_text(f, "d/one", "1");
		assert_text(f, "d/deep/two", "2");
		assert_int_equal(status_of(f, "d/deep/hard").st_ino, status_of(f, "d/one").st_ino);
		assert_int_equal(status_of(f, "d").st_mtim.tv_sec, 1000000000);
		assert_int_equal(status_of(f, "d").st_mode & 07777, 0755);
		assert_int_equal(status_of(f, "d/deep").st_mtim.tv_sec, 1000000000);
		assert_int_equal(answer_of(f, WBI_ANSWER_FINISHED, 0)->files, 6);
		nftw(path_of(f, "d"), remove_one, 16, FTW_PHYS | FTW_DEPTH);
	}
}

/* A batch that is full shows what there is; what comes then has temporaries of its own. */
static void a_batch_gives_the_name(void **state)
{
	char name[32];

	(void)state;
	begin(f);
	add_dir(f, "d");
	for (int i = 0; i < BATCH + 10; i++) {
		snprintf(name, sizeof(name), "d/%d", i);
		add_text(f, name, "text");
		if (i == BATCH - 10) {
			assert_int_equal(run(f), WB_OK);
			assert_false(exists(path_of(f, "d")));
		}
	}
	assert_int_equal(run(f), WB_OK);
	assert_text(f, "d/0", "text");
	assert_false(exists(path_of(f, "d/2057")));
	add_dir(f, "d/more");
	add_text(f, "d/more/x", "x");
	assert_int_equal(run(f), WB_OK);
	assert_false(exists(path_of(f, "d/more")));
	add_dir_end(f, "d/more");
	add_dir_end(f, "d");
	finish(f);
	assert_text(f, "d/2057", "text");
	assert_text(f, "d/more/x", "x");
	assert_int_equal(status_of(f, "d").st_mtim.tv_sec, 1000000000);
}

static void what_is_wrong_is_not_there(void **state)
{
	(void)state;
	begin(f);
	add_dir(f, "d");
	add_text(f, "d/good", "good");
	add(f, small(f, "d/bad", "right", 5), "wrong");
	add_dir_end(f, "d");
	finish(f);
	assert_failed(f, 3, "digest");
	assert_text(f, "d/good", "good");
	assert_false(exists(path_of(f, "d/bad")));
	assert_int_equal(answer_of(f, WBI_ANSWER_FINISHED, 0)->files, 2);
}

static void end_in_the_middle_shows_what_is_complete(void **state)
{
	(void)state;
	begin(f);
	add_tree();
	add(f, small(f, "d/part", "partly", 6), NULL);
	assert_int_equal(wbi_buf_append(&f->input, "par", 3), WB_OK);
	assert_int_equal(run(f), WB_OK);
	wbi_file_receiver_free(f->receiver);
	f->receiver = NULL;
	assert_text(f, "d/one", "1");
	assert_text(f, "d/deep/two", "2");
	assert_false(exists(path_of(f, "d/part")));
	assert_int_equal(temporaries(f), 0);
}

/* Two transfers of one tree, say. */
static void somebody_else_made_it_meanwhile(void **state)
{
	(void)state;
	begin(f);
	add_tree();
	assert_int_equal(run(f), WB_OK);
	make_folder("d");
	make_folder("d/deep");
	put_file(path_of(f, "d/theirs"), "theirs", 6);
	put_file(path_of(f, "d/deep/two"), "theirs", 6);
	put_file(path_of(f, "d/deep/theirs"), "theirs", 6);
	add_text(f, "d/three", "3");
	assert_int_equal(run(f), WB_OK);
	add_dir(f, "d/late");
	add_text(f, "d/late/four", "4");
	add_dir_end(f, "d/late");
	add_dir_end(f, "d");
	finish(f);
	assert_int_equal(wbi_file_receiver_failures(f->receiver)->count, 0);
	assert_text(f, "d/one", "1");
	assert_text(f, "d/three", "3");
	assert_text(f, "d/late/four", "4");
	assert_text(f, "d/deep/two", "2");
	assert_text(f, "d/theirs", "theirs");
	assert_text(f, "d/deep/theirs", "theirs");
	assert_int_equal(status_of(f, "d").st_mtim.tv_sec, 1000000000);
	assert_int_equal(status_of(f, "d").st_mode & 07777, 0755);
	assert_int_equal(status_of(f, "d/deep").st_mtim.tv_sec, 1000000000);
}

/* What comes after the batch in which that was found goes there too. */
static void goes_on_in_what_somebody_else_made(void **state)
{
	char name[32];

	(void)state;
	begin(f);
	add_dir(f, "d");
	add_dir(f, "d/deep");
	assert_int_equal(run(f), WB_OK);
	make_folder("d");
	make_folder("d/deep");
	put_file(path_of(f, "d/deep/4"), "theirs", 6);
	for (int i = 0; i < 2 * BATCH; i++) {
		snprintf(name, sizeof(name), "d/deep/%d", i);
		add_text(f, name, "text");
	}
	add_dir_end(f, "d/deep");
	add_text(f, "d/last", "last");
	add_dir_end(f, "d");
	finish(f);
	assert_int_equal(wbi_file_receiver_failures(f->receiver)->count, 0);
	assert_text(f, "d/deep/4", "text");
	assert_text(f, "d/deep/4095", "text");
	assert_text(f, "d/last", "last");
	assert_int_equal(status_of(f, "d/deep").st_mtim.tv_sec, 1000000000);
}

static void its_name_was_taken(void **state)
{
	(void)state;
	begin(f);
	add_tree();
	assert_int_equal(run(f), WB_OK);
	put_file(path_of(f, "d"), "a file", 6);
	add_text(f, "d/three", "3");
	add_dir_end(f, "d");
	finish(f);
	assert_failed(f, 1, "not-a-folder");
	assert_failed(f, 2, "not-a-folder");
	assert_failed(f, 4, "not-a-folder");
	assert_failed(f, 7, "not-a-folder");
	assert_int_equal(answer_of(f, WBI_ANSWER_FINISHED, 0)->files, 0);
	assert_int_equal(answer_of(f, WBI_ANSWER_FINISHED, 0)->bytes, 0);
	assert_int_equal(wbi_file_receiver_progress(f->receiver)->bytes_verified, 0);
	assert_text(f, "d", "a file");
}

/* A link is not followed, whoever put it there. */
static void its_name_became_a_link_out(void **state)
{
	char outside[80];

	(void)state;
	snprintf(outside, sizeof(outside), "%s/outside", f->root);
	assert_int_equal(mkdir(outside, 0755), 0);
	begin(f);
	add_tree();
	assert_int_equal(run(f), WB_OK);
	assert_int_equal(symlink("../outside", path_of(f, "d")), 0);
	add_dir_end(f, "d");
	finish(f);
	assert_failed(f, 1, "not-a-folder");
	assert_int_equal(rmdir(outside), 0);
}

/* Content that would be missed must be found again after a death: its folder has its name. */
static void large_ones_are_resumed_in_it(void **state)
{
	uint8_t *big = make_content(BIG, 4);
	const struct wbi_answer *want;
	pid_t child = fork();

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		begin(f);
		add_dir(f, "d");
		add_text(f, "d/one", "1");
		add(f, offer(f, "d/big", BIG), NULL);
		(void)run(f);
		add_data(f, 3, big, 0, 4 * MIB);
		(void)run(f);
		_exit(0); /* no clean-up: as good as killed */
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_text(f, "d/one", "1");
	begin(f);
	add_dir(f, "d");
	add(f, offer(f, "d/big", BIG), NULL);
	assert_int_equal(run(f), WB_OK);
	want = answer_of(f, WBI_ANSWER_WANT, 2);
	assert_int_equal(want->block_count * want->block_bytes, 4 * MIB);
	add(f, piece(WBI_ITEM_COPY, 2, 0, 4 * MIB), NULL);
	add_data(f, 2, big, 4 * MIB, BIG);
	add_end(f, 2, big, BIG);
	add_dir_end(f, "d");
	finish(f);
	assert_file(path_of(f, "d/big"), big, BIG);
	free(big);
}

static void what_the_dead_left_is_swept(void **state)
{
	uint8_t *content = make_content(MIB, 4);
	pid_t child = fork();
	int folder = open(path_of(f, ""), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_true(child >= 0 && folder >= 0);
	if (child == 0) {
		begin(f);
		add_tree();
		add(f, offer(f, "d/under way", MIB), NULL);
		(void)run(f);
		add_data(f, f->n, content, 0, MIB / 2);
		(void)run(f);
		_exit(0);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(temporaries(f), 2);
	assert_int_equal(wbi_temporary_sweep(folder, 3600), 0);
	assert_int_equal(temporaries(f), 2);
	assert_int_equal(wbi_temporary_sweep(folder, -1), 1);
	assert_int_equal(temporaries(f), 0);
	close(folder);
	free(content);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH(nothing_is_seen_before_it_is_safe),
		WITH(a_batch_gives_the_name),
		WITH(what_is_wrong_is_not_there),
		WITH(end_in_the_middle_shows_what_is_complete),
		WITH(somebody_else_made_it_meanwhile),
		WITH(goes_on_in_what_somebody_else_made),
		WITH(its_name_was_taken),
		WITH(its_name_became_a_link_out),
		WITH(large_ones_are_resumed_in_it),
		WITH(what_the_dead_left_is_swept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
