/* What need not travel: left-over temporaries, old files, holes; and a basis that is not what it
 * was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

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

static void interrupt_at(const uint8_t *content, uint64_t size, uint64_t at)
{
	begin(f);
	add(f, offer(f, "big", size), NULL);
	assert_int_equal(run(f), WB_OK);
	add_data(f, 1, content, 0, at);
	assert_int_equal(run(f), WB_OK);
	wbi_file_receiver_free(f->receiver);
	f->receiver = NULL;
	assert_int_equal(temporaries(f), 1);
}

static uint64_t send_again(const uint8_t *content, uint64_t size)
{
	uint64_t sent;

	begin(f);
	add(f, offer(f, "big", size), NULL);
	assert_int_equal(run(f), WB_OK);
	sent = send_wanted(f, 1, content, size);
	finish(f);
	assert_file(path_of(f, "big"), content, size);
	assert_time(&(struct stat){.st_mtim = status_of(f, "big").st_mtim}, 1000000000, 123456789);
	return sent;
}

static void resumes_where_it_was(void **state)
{
	uint64_t size = 3 * MIB + 77, at = MIB + 1000;
	uint8_t *content = make_content(size, 1);

	(void)state;
	interrupt_at(content, size, at);
	assert_false(exists(path_of(f, "big")));
	assert_int_equal(send_again(content, size), size - MIB);
	free(content);
}

static void resumes_only_what_agrees(void **state)
{
	uint64_t size = 2 * MIB;
	uint8_t *content = make_content(size, 1);

	(void)state;
	interrupt_at(content, size, MIB + MIB / 2);
	content[3 * BLOCK + 5] ^= 1;
	assert_int_equal(send_again(content, size), MIB / 2 + BLOCK);
	free(content);
}

/* The part that is left, and behind it the old file. */
static void resumes_a_delta(void **state)
{
	uint64_t size = 4 * MIB;
	uint8_t *content = make_content(size, 1);

	(void)state;
	put_file(path_of(f, "big"), content, size);
	content[0] ^= 1;
	content[size - 1] ^= 1;
	interrupt_at(content, size, MIB);
	assert_int_equal(send_again(content, size), BLOCK);
	free(content);
}

static void left_over_is_longer_than_the_file(void **state)
{
	uint64_t size = 2 * MIB;
	uint8_t *content = make_content(size, 1);

	(void)state;
	interrupt_at(content, size, size);
	assert_int_equal(send_again(content, MIB + 5), 5);
	free(content);
}

/* What has a second name is not ours to write to: it is as if it were not there, and the old file
 * serves from its beginning. */
static void left_over_of_somebody_else(void **state)
{
	uint64_t size = 2 * MIB;
	uint8_t *content = make_content(size, 1);
	char temporary[WBI_TEMPORARY_NAME_MAX];

	(void)state;
	put_file(path_of(f, "big"), content, size);
	content[size - 1] ^= 1;
	interrupt_at(content, size, MIB);
	wbi_temporary_name_of("big", temporary);
	assert_int_equal(link(path_of(f, temporary), path_of(f, "other")), 0);
	begin(f);
	add(f, offer(f, "big", size), NULL);
	assert_int_equal(run(f), WB_OK);
	assert_int_equal(send_wanted(f, 1, content, size), BLOCK);
	add_done(f);
	assert_int_equal(run(f), WB_OK);
	assert_true(wbi_file_receiver_done(f->receiver));
	assert_file(path_of(f, "big"), content, size);
	assert_file(path_of(f, "other"), content, MIB);
	free(content);
}

/* The second one takes what the first has written, without touching it. */
static void two_transfers_of_one_file(void **state)
{
	uint64_t size = MIB;
	uint8_t *content = make_content(size, 1);

	(void)state;
	for (int moves = 0; moves < 2; moves++) {
		struct fixture *first = calloc(1, sizeof(*first));
		assert_non_null(first);
		begin(f);
		add(f, offer(f, "big", size), NULL);
		assert_int_equal(run(f), WB_OK);
		add_data(f, 1, content, 0, MIB / 2);
		assert_int_equal(run(f), WB_OK);
		*first = *f;
		f->receiver = NULL;
		f->target.folder = -1;
		wbi_buf_init(&f->input, 64 << 20);
		wbi_buf_init(&f->output, 1 << 20);
		begin(f);
		add(f, offer(f, "big", size), NULL);
		assert_int_equal(run(f), WB_OK);
		assert_int_equal(send_wanted(f, 1, content, size), MIB / 2);
		if (moves) {
			add_data(first, 1, content, MIB / 2, size - 1);
			assert_int_equal(run(first), WB_OK);
		}
		add_done(f);
		assert_int_equal(run(f), WB_OK);
		assert_file(path_of(f, "big"), content, size);
		/* The first one's is its own, whether it moves or has gone silent. */
		assert_int_equal(temporaries(f), 1);
		add_data(first, 1, content, moves ? size - 1 : MIB / 2, size);
		add_end(first, 1, content, size);
		add_done(first);
		assert_int_equal(run(first), WB_OK);
		assert_string_equal(last_error(first), "");
		assert_file(path_of(f, "big"), content, size);
		assert_int_equal(temporaries(f), 0);
		unlink(path_of(f, "big"));
		wbi_file_receiver_free(first->receiver);
		wbi_file_target_close(&first->target);
		wbi_buf_done(&first->input);
		wbi_buf_done(&first->output);
		free(first);
	}
	free(content);
}

static void delta_sends_what_changed(void **state)
{
	uint64_t size = 4 * MIB + 321;
	uint8_t *content = make_content(size, 1);

	(void)state;
	put_file(path_of(f, "big"), content, size);
	content[2 * MIB] ^= 1;
	assert_int_equal(send_again(content, size), BLOCK);
	/* Longer, shorter. */
	assert_int_equal(send_again(content, 3 * MIB), 0);
	assert_int_equal(send_again(content, size), MIB + 321);
	f->options.no_delta = true;
	assert_int_equal(send_again(content, size), size);
	free(content);
}

static void same_content_is_not_written(void **state)
{
	uint64_t size = 2 * MIB + 5;
	uint8_t *content = make_content(size, 1);
	struct stat before;

	(void)state;
	put_file(path_of(f, "big"), content, size);
	before = status_of(f, "big");
	assert_int_equal(send_again(content, size), 0);
	assert_int_equal(status_of(f, "big").st_ino, before.st_ino);
	assert_int_equal(wbi_file_receiver_progress(f->receiver)->bytes_saved, size);
	assert_int_equal(wbi_file_receiver_progress(f->receiver)->bytes_verified, size);
	free(content);
}

/* Another transfer of the same file has given it its name since: what the digests are of is still
 * there for us, and the last one has the name. sent: bytes of the content that are new. */
static void old_file_replaced(uint64_t sent, bool removed)
{
	uint64_t size = 2 * MIB;
	uint8_t *content = make_content(size, 1), *other = make_content(size, 2);

	put_file(path_of(f, "big"), content, size);
	if (sent)
		content[MIB] ^= 1;
	begin(f);
	add(f, offer(f, "big", size), NULL);
	assert_int_equal(run(f), WB_OK);
	unlink(path_of(f, "big"));
	if (!removed)
		put_file(path_of(f, "big"), other, size);
	assert_int_equal(send_wanted(f, 1, content, size), sent);
	finish(f);
	assert_string_equal(last_error(f), "");
	assert_file(path_of(f, "big"), content, size);
	free(content);
	free(other);
}

static void old_file_replaced_meanwhile(void **state)
{
	(void)state;
	old_file_replaced(BLOCK, false);
	old_file_replaced(BLOCK, true);
	old_file_replaced(0, false);
	old_file_replaced(0, true);
}

static void old_file_changed_meanwhile(void **state)
{
	uint64_t size = 2 * MIB;
	uint8_t *content = make_content(size, 1), *other = make_content(size, 2);

	(void)state;
	for (int shorter = 0; shorter < 2; shorter++) {
		put_file(path_of(f, "big"), content, size);
		begin(f);
		add(f, offer(f, "big", size), NULL);
		assert_int_equal(run(f), WB_OK);
		put_file(path_of(f, "big"), other, size - shorter);
		send_wanted(f, 1, content, size);
		add_done(f);
		assert_int_equal(run(f), WB_OK);
		assert_failed(f, 1, "changed");
		assert_file(path_of(f, "big"), other, size - shorter);
		assert_int_equal(temporaries(f), 0);
	}
	free(content);
	free(other);
}

/* Another transfer of the same found the content there, and gave it a time: no reason to fail. */
static void old_file_gets_a_time_meanwhile(void **state)
{
	uint64_t size = 2 * MIB;
	uint8_t *content = make_content(size, 1);

	(void)state;
	put_file(path_of(f, "big"), content, size);
	begin(f);
	add(f, offer(f, "big", size), NULL);
	assert_int_equal(run(f), WB_OK);
	assert_int_equal(
		utimensat(AT_FDCWD, path_of(f, "big"), (struct timespec[2]){{1, 1}, {1, 1}}, 0), 0);
	assert_int_equal(send_wanted(f, 1, content, size), 0);
	finish(f);
	assert_string_equal(last_error(f), "");
	assert_time(&(struct stat){.st_mtim = status_of(f, "big").st_mtim}, 1000000000, 123456789);
	free(content);
}

/* Where descriptors are scarce nothing is compared, and everything arrives. */
static void few_descriptors(void **state)
{
	uint64_t size = 2 * MIB;
	uint8_t *content = make_content(size, 1);
	struct rlimit before, few;

	(void)state;
	put_file(path_of(f, "big"), content, size);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = 8;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(send_again(content, size), size);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	free(content);
}

/* Its bytes change while its time does not: nothing but the digest can tell. */
static void basis_that_lies(void **state)
{
	uint64_t size = 2 * MIB;
	uint8_t *content = make_content(size, 1);
	struct stat before;

	(void)state;
	put_file(path_of(f, "big"), content, size);
	before = status_of(f, "big");
	begin(f);
	add(f, offer(f, "big", size), NULL);
	assert_int_equal(run(f), WB_OK);
	int fd = open(path_of(f, "big"), O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "!", 1, MIB), 1);
	assert_int_equal(futimens(fd, (struct timespec[2]){before.st_atim, before.st_mtim}), 0);
	close(fd);
	send_wanted(f, 1, content, size);
	add_done(f);
	assert_int_equal(run(f), WB_OK);
	assert_failed(f, 1, "digest");
	assert_int_equal(temporaries(f), 0);
	free(content);
}

/* ---- holes ---- */

static void holes_stay_holes(void **state)
{
	uint64_t size = 64 * MIB;
	uint8_t *content = calloc(1, size);
	uint8_t *text = make_content(BLOCK, 1);

	(void)state;
	memcpy(content + 32 * MIB, text, BLOCK);
	begin(f);
	add(f, offer(f, "sparse", size), NULL);
	assert_int_equal(run(f), WB_OK);
	add(f, piece(WBI_ITEM_HOLE, 1, 0, 32 * MIB), NULL);
	add_data(f, 1, content, 32 * MIB, 32 * MIB + BLOCK);
	add(f, piece(WBI_ITEM_HOLE, 1, 32 * MIB + BLOCK, 32 * MIB - BLOCK), NULL);
	add_end(f, 1, content, size);
	finish(f);
	assert_file(path_of(f, "sparse"), content, size);
	assert_true(status_of(f, "sparse").st_blocks * 512 < 2 * BLOCK);
	free(content);
	free(text);
}

static void hole_where_data_was(void **state)
{
	uint64_t size = 2 * MIB;
	uint8_t *content = make_content(size, 1);

	(void)state;
	interrupt_at(content, size, size);
	memset(content + BLOCK, 0, MIB);
	begin(f);
	add(f, offer(f, "big", size), NULL);
	assert_int_equal(run(f), WB_OK);
	add(f, piece(WBI_ITEM_COPY, 1, 0, BLOCK), NULL);
	add(f, piece(WBI_ITEM_HOLE, 1, BLOCK, MIB), NULL);
	add(f, piece(WBI_ITEM_COPY, 1, BLOCK + MIB, size - BLOCK - MIB), NULL);
	add_end(f, 1, content, size);
	finish(f);
	assert_file(path_of(f, "big"), content, size);
	assert_true(status_of(f, "big").st_blocks * 512 <= (blkcnt_t)(size - MIB + 65536));
	free(content);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH(resumes_where_it_was),
		WITH(resumes_only_what_agrees),
		WITH(resumes_a_delta),
		WITH(left_over_is_longer_than_the_file),
		WITH(left_over_of_somebody_else),
		WITH(two_transfers_of_one_file),
		WITH(delta_sends_what_changed),
		WITH(same_content_is_not_written),
		WITH(old_file_replaced_meanwhile),
		WITH(old_file_changed_meanwhile),
		WITH(old_file_gets_a_time_meanwhile),
		WITH(few_descriptors),
		WITH(basis_that_lies),
		WITH(holes_stay_holes),
		WITH(hole_where_data_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
