/* Many files whose beginnings or old versions are here: each has a basis in its turn, and the call
 * holds few descriptors at a time, however many files are offered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "receiver_fixture.h"

#include "files/receiver_state.h"

enum {
	BLOCK = 128 * 1024,
	SIZE = 2 * BLOCK,
	LIMIT = 512,
	BASES = LIMIT / 32,
	FILES = BASES + 8,
	FEW = 10
};

static struct fixture *f;
static uint8_t *content;
static struct rlimit before;

static int set_up(void **state)
{
	struct rlimit limit;

	(void)state;
	f = fixture_new();
	content = make_content(SIZE, 1);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	limit.rlim_cur = LIMIT;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(content);
	fixture_free(f);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	return 0;
}

static const char *name_of(unsigned i)
{
	static char name[16];

	snprintf(name, sizeof(name), "f%u", i);
	return name;
}

/* Files of SIZE bytes, of which the second block is to be another one. */
static void make_old(unsigned count)
{
	uint8_t *old = malloc(SIZE);

	memcpy(old, content, SIZE);
	old[BLOCK] ^= 1;
	for (unsigned i = 0; i < count; i++)
		put_file(path_of(f, name_of(i)), old, SIZE);
	free(old);
}

/* Transfers that ended behind the first block. */
static void make_left(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		begin(f);
		add(f, offer(f, name_of(i), SIZE), NULL);
		assert_int_equal(run(f), WB_OK);
		add_data(f, 1, content, 0, BLOCK);
		assert_int_equal(run(f), WB_OK);
		wbi_file_receiver_free(f->receiver);
		f->receiver = NULL;
	}
	assert_int_equal(temporaries(f), count);
}

static unsigned offer_all(unsigned count)
{
	unsigned wanted = 0;

	begin(f);
	for (unsigned i = 0; i < count; i++)
		add(f, offer(f, name_of(i), SIZE), NULL);
	assert_int_equal(run(f), WB_OK);
	for (unsigned i = 0; i < count; i++)
		wanted += answer_of(f, WBI_ANSWER_WANT, i + 1) != NULL;
	return wanted;
}

/* Each has come by the time that it is its turn; of each, one block is sent. */
static void send_all(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const struct wbi_answer *want = answer_of(f, WBI_ANSWER_WANT, i + 1);

		assert_non_null(want);
		assert_true(want->block_count > 0);
		add(f, piece(WBI_ITEM_COPY, i + 1, 0, BLOCK), NULL);
		add_data(f, i + 1, content, BLOCK, SIZE);
		add_end(f, i + 1, content, SIZE);
		assert_int_equal(run(f), WB_OK);
	}
	finish(f);
	assert_string_equal(last_error(f), "");
	for (unsigned i = 0; i < count; i++)
		assert_file(path_of(f, name_of(i)), content, SIZE);
	assert_int_equal(temporaries(f), 0);
}

static void old_files(void **state)
{
	(void)state;
	make_old(FILES);
	assert_int_equal(offer_all(FILES), BASES);
	send_all(FILES);
}

static void left_over_files(void **state)
{
	(void)state;
	make_left(FILES);
	assert_int_equal(offer_all(FILES), BASES);
	send_all(FILES);
}

/* A file without a basis waits for none, but for those before it; nor does one of which nothing is
 * found. */
static void new_files(void **state)
{
	(void)state;
	assert_int_equal(offer_all(FILES), FILES);
	put_file(path_of(f, "other"), content, SIZE);
	assert_int_equal(offer_all(FILES), FILES);
}

/* One that can have no basis is asked for as soon as it is its turn, whatever the others hold. */
static void small_one_behind_them(void **state)
{
	(void)state;
	make_old(BASES);
	assert_int_equal(offer_all(BASES), BASES);
	add(f, offer(f, "small", 100), NULL);
	add(f, offer(f, "another", SIZE), NULL);
	assert_int_equal(run(f), WB_OK);
	assert_non_null(answer_of(f, WBI_ANSWER_WANT, BASES + 1));
	assert_null(answer_of(f, WBI_ANSWER_WANT, BASES + 2));
}

/* The one that is waited for may never come: then the next one has its turn. */
static void aborted(void **state)
{
	struct wbi_item *item;

	(void)state;
	make_left(FILES);
	offer_all(FILES);
	for (unsigned i = 0; i < FILES - BASES; i++) {
		assert_null(answer_of(f, WBI_ANSWER_WANT, BASES + i + 1));
		item = piece(WBI_ITEM_ABORT, i + 1, 0, 0);
		memcpy(item->error, "changed", sizeof("changed"));
		add(f, item, NULL);
		assert_int_equal(run(f), WB_OK);
		assert_non_null(answer_of(f, WBI_ANSWER_WANT, BASES + i + 1));
	}
}

/* Where half of all descriptors are in use, one at a time: and each goes on from what there was. */
static void scarce(void **state)
{
	struct rlimit few = before;
	int free_one;

	(void)state;
	make_left(FEW);
	wbi_file_target_close(&f->target);
	free_one = dup(0); /* the target's; then one file's is not one too many yet */
	close(free_one);
	few.rlim_cur = 2 * (rlim_t)free_one + 4;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(offer_all(FEW), 1);
	send_all(FEW);
}

/* Others took the last ones: it waits for its turn, rather than be asked for as if nothing were
 * there. */
static void none_to_be_had(void **state)
{
	struct rlimit none = before;
	int free_one;

	(void)state;
	make_left(2);
	assert_int_equal(offer_all(1), 1);
	free_one = dup(0);
	close(free_one);
	none.rlim_cur = (rlim_t)free_one;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	add(f, offer(f, "f1", SIZE), NULL);
	assert_int_equal(run(f), WB_OK);
	assert_null(answer_of(f, WBI_ANSWER_WANT, 2));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	send_all(2);
}

static unsigned count_descriptors(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < LIMIT; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* A transfer that holds what it found of the files; it lives in `other` from here on. */
static void hold(struct fixture *other, unsigned count)
{
	make_left(count);
	offer_all(count);
	*other = *f;
	f->receiver = NULL;
	f->target.folder = -1;
	wbi_buf_init(&f->input, 64 << 20);
	wbi_buf_init(&f->output, 1 << 20);
}

static void let_go(struct fixture *other)
{
	wbi_file_receiver_free(other->receiver);
	wbi_file_target_close(&other->target);
	wbi_buf_done(&other->input);
	wbi_buf_done(&other->output);
	free(other);
}

/* What another transfer has is looked at, too, and has a descriptor as long. */
static void held_files(void **state)
{
	struct fixture *other = malloc(sizeof(*other));

	(void)state;
	hold(other, FILES);
	assert_int_equal(offer_all(FILES), BASES);
	let_go(other);
}

static void held_and_scarce(void **state)
{
	struct fixture *other = malloc(sizeof(*other));
	struct rlimit few = before;
	unsigned count;
	int free_one;

	(void)state;
	hold(other, 2);
	count = count_descriptors();
	free_one = dup(0);
	close(free_one);
	few.rlim_cur = 2 * (rlim_t)free_one + 6; /* the target's, and two of one file */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(offer_all(2), 1);
	assert_int_equal(count_descriptors(), count + 3);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	let_go(other);
}

/* What was found when it was not its turn yet may be gone when it is. */
static void gone_before_its_turn(void **state)
{
	struct rlimit few = before;
	char temporary[WBI_TEMPORARY_NAME_MAX];
	int free_one;

	(void)state;
	make_old(2);
	make_left(2);
	wbi_file_target_close(&f->target);
	free_one = dup(0);
	close(free_one);
	few.rlim_cur = 2 * (rlim_t)free_one + 6; /* the target's, and the two of one file */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(offer_all(2), 1);
	wbi_temporary_name_of("f1", temporary);
	assert_int_equal(unlink(path_of(f, temporary)), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	add(f, piece(WBI_ITEM_COPY, 1, 0, BLOCK), NULL);
	add_data(f, 1, content, BLOCK, SIZE);
	add_end(f, 1, content, SIZE);
	assert_int_equal(run(f), WB_OK);
	assert_int_equal(send_wanted(f, 2, content, SIZE), BLOCK);
	finish(f);
	assert_file(path_of(f, "f1"), content, SIZE);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH(old_files),       WITH(left_over_files),
		WITH(new_files),       WITH(small_one_behind_them),
		WITH(aborted),         WITH(scarce),
		WITH(none_to_be_had),  WITH(held_files),
		WITH(held_and_scarce), WITH(gone_before_its_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
