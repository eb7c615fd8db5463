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

/* A file without a basis waits for none, but for those before it. */
static void new_files(void **state)
{
	(void)state;
	assert_int_equal(offer_all(FILES), FILES);
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

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH(old_files), WITH(left_over_files), WITH(new_files),
		WITH(aborted),   WITH(scarce),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
