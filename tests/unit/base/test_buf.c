/* The bounded buffer: limits at, under and over; and a long random life beside a simple model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

static void check_invariant(const struct wbi_buf *buf)
{
	assert_true(buf->head <= buf->tail);
	assert_true(buf->tail <= buf->room);
	assert_true(buf->room <= buf->limit);
}

static void test_empty_takes_no_memory(void **state)
{
	struct wbi_buf buf;

	(void)state;
	wbi_buf_init(&buf, 100);
	assert_null(buf.data);
	assert_int_equal(wbi_buf_bytes(&buf), 0);
	assert_int_equal(wbi_buf_peek(&buf).bytes, 0);
	assert_int_equal(wbi_buf_append(&buf, NULL, 0), WB_OK);
	wbi_buf_consume(&buf, 0);
	assert_null(buf.data);
	wbi_buf_done(&buf);
	wbi_buf_done(NULL);
}

static void test_limit(void **state)
{
	static const size_t limits[] = {1, 2, 255, 256, 257, 1000, 4096};
	uint8_t data[4097] = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		size_t limit = limits[i];
		struct wbi_buf buf;

		wbi_buf_init(&buf, limit);
		assert_int_equal(wbi_buf_append(&buf, data, limit + 1), WB_ERR_LIMIT);
		assert_null(buf.data);
		assert_int_equal(wbi_buf_append(&buf, data, limit - 1), WB_OK);
		assert_int_equal(wbi_buf_append(&buf, data, 2), WB_ERR_LIMIT);
		assert_int_equal(wbi_buf_bytes(&buf), limit - 1);
		assert_int_equal(wbi_buf_append(&buf, data, 1), WB_OK);
		assert_int_equal(wbi_buf_append(&buf, data, 1), WB_ERR_LIMIT);
		assert_int_equal(wbi_buf_append(&buf, data, SIZE_MAX), WB_ERR_LIMIT);
		assert_int_equal(wbi_buf_bytes(&buf), limit);
		wbi_buf_consume(&buf, 1);
		assert_int_equal(wbi_buf_append(&buf, data, 1), WB_OK);
		check_invariant(&buf);
		wbi_buf_done(&buf);
	}
}

static void test_reset_gives_memory_back(void **state)
{
	struct wbi_buf buf;

	(void)state;
	wbi_buf_init(&buf, 1000);
	assert_int_equal(wbi_buf_append(&buf, "abc", 3), WB_OK);
	wbi_buf_reset(&buf);
	assert_null(buf.data);
	assert_int_equal(buf.room, 0);
	assert_int_equal(buf.limit, 1000);
	assert_int_equal(wbi_buf_append(&buf, "xyz", 3), WB_OK);
	assert_memory_equal(wbi_buf_peek(&buf).data, "xyz", 3);
	wbi_buf_done(&buf);
}

static void test_failed_reserve_changes_nothing(void **state)
{
	struct wbi_buf buf, before;
	uint8_t *data = NULL;

	(void)state;
	wbi_buf_init(&buf, 10);
	assert_int_equal(wbi_buf_append(&buf, "abcdef", 6), WB_OK);
	before = buf;
	assert_int_equal(wbi_buf_reserve(&buf, 5, &data), WB_ERR_LIMIT);
	assert_null(data);
	assert_memory_equal(&buf, &before, sizeof(buf));
	wbi_buf_done(&buf);
}

/* Small bites off a long queue must not move the queue each time. */
static void test_small_bites_do_not_move_the_queue(void **state)
{
	struct wbi_buf buf;
	uint8_t block[64] = {0};
	size_t moves = 0;

	(void)state;
	wbi_buf_init(&buf, 1 << 20);
	for (int i = 0; i < 1024; i++)
		assert_int_equal(wbi_buf_append(&buf, block, sizeof(block)), WB_OK);
	for (int i = 0; i < 10000; i++) {
		size_t head;

		wbi_buf_consume(&buf, sizeof(block));
		head = buf.head;
		assert_int_equal(wbi_buf_append(&buf, block, sizeof(block)), WB_OK);
		moves += buf.head != head;
	}
	assert_true(moves <= 10);
	wbi_buf_done(&buf);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Bytes are numbered as they go in; they must come out in that order. */
static void test_random_life(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 20; seed++) {
		uint32_t random = seed;
		size_t limit = 1 + next_random(&random) % 3000;
		uint8_t in = 0, out = 0;
		size_t held = 0;
		struct wbi_buf buf;

		wbi_buf_init(&buf, limit);
		for (int step = 0; step < 2000; step++) {
			size_t add = next_random(&random) % (limit + 2), drop;
			struct wbi_slice slice;
			uint8_t *data;
			enum wb_err err = wbi_buf_reserve(&buf, add, &data);

			assert_int_equal(err, held + add > limit ? WB_ERR_LIMIT : WB_OK);
			for (size_t i = 0; !err && i < add; i++)
				data[i] = in++;
			if (!err) {
				wbi_buf_commit(&buf, add);
				held += add;
			}
			check_invariant(&buf);
			slice = wbi_buf_peek(&buf);
			assert_int_equal(slice.bytes, held);
			drop = next_random(&random) % (held + 1);
			for (size_t i = 0; i < drop; i++)
				assert_int_equal(slice.data[i], out++);
			wbi_buf_consume(&buf, drop);
			held -= drop;
		}
		wbi_buf_done(&buf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty_takes_no_memory),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_reset_gives_memory_back),
		cmocka_unit_test(test_failed_reserve_changes_nothing),
		cmocka_unit_test(test_small_bites_do_not_move_the_queue),
		cmocka_unit_test(test_random_life),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
