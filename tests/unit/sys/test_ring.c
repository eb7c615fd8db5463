/* A ring without a seam: whatever is held, and whatever is free, is one piece. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/ring.h"

enum { SIZE = 4096, STEP = 1000 };

static void fill(uint8_t *place, uint64_t number, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		place[i] = (uint8_t)((number + i) * 7 % 251);
}

static void check(struct wbi_slice slice, uint64_t number)
{
	for (size_t i = 0; i < slice.bytes; i++)
		assert_int_equal(slice.data[i], (uint8_t)((number + i) * 7 % 251));
}

static void test_size(void **state)
{
	struct wbi_ring ring = {0};
	size_t room;

	(void)state;
	assert_int_equal(wbi_ring_open(&ring, 1, NULL), WB_OK);
	wbi_ring_room(&ring, &room);
	assert_int_equal(room, (size_t)sysconf(_SC_PAGESIZE));
	wbi_ring_close(&ring);
	wbi_ring_close(&ring);
}

/* Never empty, so that it goes round and round. */
static void test_pieces(void **state)
{
	struct wbi_ring ring;
	uint64_t from = 0;

	(void)state;
	assert_int_equal(wbi_ring_open(&ring, SIZE, NULL), WB_OK);
	for (uint64_t end = 0; end < (uint64_t)ring.size * 50; end += STEP) {
		size_t room;
		uint8_t *place = wbi_ring_room(&ring, &room);

		assert_int_equal(room, ring.size - (end - from));
		fill(place, end, STEP);
		wbi_ring_add(&ring, STEP);
		check(wbi_ring_peek(&ring, from), from);
		assert_int_equal(wbi_ring_peek(&ring, from + 1).bytes, end + STEP - from - 1);
		if (end + STEP - from > ring.size - STEP) {
			from = end + STEP - 1;
			wbi_ring_drop(&ring, from);
		}
	}
	wbi_ring_close(&ring);
}

static void test_full(void **state)
{
	struct wbi_ring ring;
	size_t room;
	uint8_t *place;

	(void)state;
	assert_int_equal(wbi_ring_open(&ring, SIZE, NULL), WB_OK);
	place = wbi_ring_room(&ring, &room);
	fill(place, 0, room);
	wbi_ring_add(&ring, room);
	wbi_ring_room(&ring, &room);
	assert_int_equal(room, 0);
	check(wbi_ring_peek(&ring, 0), 0);
	wbi_ring_drop(&ring, 10);
	place = wbi_ring_room(&ring, &room);
	assert_int_equal(room, 10);
	fill(place, ring.end, room);
	wbi_ring_add(&ring, room);
	check(wbi_ring_peek(&ring, 10), 10);
	assert_int_equal(wbi_ring_peek(&ring, 10).bytes, ring.size);
	wbi_ring_close(&ring);
}

/* One that is empty begins at its first page again. */
static void test_begins_again(void **state)
{
	struct wbi_ring ring;
	size_t room;

	(void)state;
	assert_int_equal(wbi_ring_open(&ring, SIZE, NULL), WB_OK);
	for (int i = 0; i < 5; i++) {
		assert_ptr_equal(wbi_ring_room(&ring, &room), ring.data);
		wbi_ring_add(&ring, STEP);
		assert_ptr_equal(wbi_ring_room(&ring, &room), ring.data + STEP);
		wbi_ring_drop(&ring, ring.end);
	}
	wbi_ring_close(&ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_begins_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
