/* The in-process pair: its faults do what they say, to the byte. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "transport/mem.h"

static struct wbi_mem_pair *new_pair(struct wbi_mem_faults faults)
{
	struct wbi_mem_pair *pair;
	assert_int_equal(wbi_mem_pair_new(&faults, &pair), WB_OK);
	return pair;
}

static ssize_t put(struct wbi_link *link, const char *text, size_t bytes)
{
	struct iovec part = {.iov_base = (char *)text, .iov_len = bytes};
	return wbi_link_write(link, &part, 1);
}

static void expect(struct wbi_link *link, const char *want)
{
	char data[64];
	ssize_t n = wbi_link_read(link, data, sizeof(data));

	assert_int_equal(n, strlen(want));
	assert_memory_equal(data, want, strlen(want));
}

static void test_capacity_and_wrapping(void **state)
{
	struct wbi_mem_pair *pair = new_pair((struct wbi_mem_faults){.capacity = 5});
	struct wbi_link *a = wbi_mem_end(pair, 0), *b = wbi_mem_end(pair, 1);
	char byte;
	(void)state;

	assert_int_equal(put(a, "abcdefg", 7), 5);
	assert_int_equal(put(a, "f", 1), -EAGAIN);
	assert_int_equal(wbi_link_read(b, &byte, 1), 1);
	assert_int_equal(byte, 'a');
	assert_int_equal(put(a, "fg", 2), 1);
	expect(b, "bcdef");
	assert_int_equal(wbi_link_read(b, &byte, 1), -EAGAIN);
	assert_int_equal(put(b, "xy", 2), 2);
	expect(a, "xy");
	wbi_mem_pair_free(pair);
}

static void test_small_reads_and_writes(void **state)
{
	struct wbi_mem_pair *pair =
		new_pair((struct wbi_mem_faults){.capacity = 99, .read_max = 2, .write_max = 3});
	struct wbi_link *a = wbi_mem_end(pair, 0), *b = wbi_mem_end(pair, 1);
	char text[] = "abcde";
	struct iovec parts[] = {{text, 1}, {text, 0}, {text + 1, 1}, {text + 2, 3}};
	(void)state;

	assert_int_equal(wbi_link_write(a, parts, 4), 3);
	expect(b, "ab");
	expect(b, "c");
	wbi_mem_pair_free(pair);
}

static void test_cut_after_so_many_bytes(void **state)
{
	struct wbi_mem_pair *pair =
		new_pair((struct wbi_mem_faults){.capacity = 99, .cut_after = 6});
	struct wbi_link *a = wbi_mem_end(pair, 0), *b = wbi_mem_end(pair, 1);
	char byte;
	(void)state;

	assert_int_equal(put(a, "abcd", 4), 4);
	expect(b, "abcd");
	assert_int_equal(put(b, "efgh", 4), 2);
	for (int end = 0; end < 2; end++) {
		struct wbi_link *link = wbi_mem_end(pair, end);
		assert_int_equal(wbi_link_read(link, &byte, 1), -ECONNRESET);
		assert_int_equal(put(link, "x", 1), -ECONNRESET);
		assert_int_equal(wbi_link_shutdown(link), -ENOTCONN);
	}
	wbi_mem_pair_free(pair);
}

static unsigned heard[2];
static int calls[2];
static struct wbi_mem_pair *heard_pair;

static void count_events(struct wbi_link *link, unsigned events)
{
	int end = link == wbi_mem_end(heard_pair, 1);
	calls[end]++;
	heard[end] = events;
}

static struct wbi_mem_pair *new_heard_pair(void)
{
	heard_pair = new_pair((struct wbi_mem_faults){.capacity = 4});
	for (int end = 0; end < 2; end++) {
		heard[end] = 0;
		calls[end] = 0;
		wbi_mem_end(heard_pair, end)->fn = count_events;
		wbi_link_want(wbi_mem_end(heard_pair, end), WBI_READ);
	}
	wbi_mem_pump(heard_pair);
	return heard_pair;
}

static void test_pump_says_what_the_loop_would(void **state)
{
	struct wbi_mem_pair *pair = new_heard_pair();
	struct wbi_link *a = wbi_mem_end(pair, 0), *b = wbi_mem_end(pair, 1);
	(void)state;

	assert_false(wbi_mem_pump(pair));
	assert_int_equal(calls[0] + calls[1], 0);
	wbi_link_want(a, WBI_READ | WBI_WRITE);
	wbi_mem_pump(pair);
	assert_int_equal(heard[0], WBI_WRITE);
	assert_int_equal(calls[1], 0);

	assert_int_equal(put(a, "full", 4), 4);
	heard[0] = 0;
	wbi_mem_pump(pair);
	assert_int_equal(heard[0], 0);
	assert_int_equal(heard[1], WBI_READ);
	expect(b, "full");

	wbi_link_close(b);
	heard[1] = 0;
	wbi_mem_pump(pair);
	assert_int_equal(heard[0], WBI_READ | WBI_WRITE);
	assert_int_equal(heard[1], 0);
	expect(a, "");
	assert_int_equal(put(a, "x", 1), -EPIPE);
	wbi_link_close(a);
	wbi_mem_pair_free(pair);
}

static void test_a_cut_is_heard_by_both(void **state)
{
	struct wbi_mem_pair *pair = new_heard_pair();
	(void)state;

	wbi_mem_cut(pair, false);
	wbi_mem_pump(pair);
	assert_int_equal(heard[0], WBI_READ | WBI_HANGUP);
	assert_int_equal(heard[1], WBI_READ | WBI_HANGUP);
	wbi_mem_pair_free(pair);
}

static void test_a_pulled_cable_is_heard_by_nobody(void **state)
{
	struct wbi_mem_pair *pair = new_heard_pair();
	struct wbi_link *a = wbi_mem_end(pair, 0), *b = wbi_mem_end(pair, 1);
	char byte;
	(void)state;

	assert_int_equal(put(a, "lost", 4), 4);
	wbi_mem_cut(pair, true);
	wbi_mem_pump(pair);
	assert_int_equal(calls[0] + calls[1], 0);
	assert_int_equal(wbi_link_read(b, &byte, 1), -EAGAIN);
	for (int i = 0; i < 10; i++)
		assert_int_equal(put(a, "vanishes", 8), 8);
	assert_int_equal(wbi_link_read(b, &byte, 1), -EAGAIN);
	assert_int_equal(wbi_link_shutdown(a), 0);
	assert_int_equal(wbi_link_read(b, &byte, 1), -EAGAIN);
	wbi_mem_pair_free(pair);
}

static void test_freeing_nothing_is_allowed(void **state)
{
	(void)state;
	wbi_mem_pair_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_capacity_and_wrapping),
		cmocka_unit_test(test_small_reads_and_writes),
		cmocka_unit_test(test_cut_after_so_many_bytes),
		cmocka_unit_test(test_pump_says_what_the_loop_would),
		cmocka_unit_test(test_a_cut_is_heard_by_both),
		cmocka_unit_test(test_a_pulled_cable_is_heard_by_nobody),
		cmocka_unit_test(test_freeing_nothing_is_allowed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
