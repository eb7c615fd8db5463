/* The log: a ring, a file behind it, and what a reader at any offset finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "job/log.h"
#include "sys/fd.h"

enum { RING = WBI_LOG_RING_OWN, MOST = 1 << 20 };

struct fixture {
	struct wbi_spool_account account;
	struct wbi_log_memory memory;
	struct wbi_log_store store;
	struct wbi_log log;
	int reader, writer;
	uint64_t written;
	char folder[40];
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	strcpy(fixture->folder, "/tmp/waybill-log-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	fixture->account =
		(struct wbi_spool_account){.folder = fixture->folder, .limit_bytes = 1 << 30};
	fixture->memory.limit_bytes = 1 << 30;
	fixture->store = (struct wbi_log_store){
		.account = &fixture->account, .memory = &fixture->memory, .limit_bytes = 1 << 26};
	wbi_log_init(&fixture->log, &fixture->store);
	assert_int_equal(wbi_fd_pipe(&fixture->reader, &fixture->writer, NULL), WB_OK);
	assert_true(fcntl(fixture->writer, F_SETPIPE_SZ, MOST) >= 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	wbi_log_done(&fixture->log);
	wbi_log_done(&fixture->log);
	assert_int_equal(fixture->memory.bytes, 0);
	assert_int_equal(fixture->account.bytes, 0);
	assert_int_equal(fixture->store.bytes, 0);
	wbi_fd_close(&fixture->reader);
	wbi_fd_close(&fixture->writer);
	assert_int_equal(rmdir(fixture->folder), 0);
	free(fixture);
	return 0;
}

/* The byte that stands at an offset: no two places of a ring look alike for long. */
static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset * 31 + (offset >> 8) * 7 + (offset >> 16));
}

static void put(struct fixture *fixture, size_t bytes)
{
	uint8_t *data = malloc(bytes);

	for (size_t i = 0; i < bytes; i++)
		data[i] = byte_at(fixture->written + i);
	assert_int_equal(write(fixture->writer, data, bytes), bytes);
	fixture->written += bytes;
	free(data);
}

/* Puts and takes; what the log said in the end. */
static ssize_t feed(struct fixture *fixture, size_t bytes)
{
	ssize_t taken;

	put(fixture, bytes);
	do
		taken = wbi_log_fill(&fixture->log, fixture->reader, MOST);
	while (taken > 0);
	return taken;
}

static void release(struct fixture *fixture, uint64_t offset)
{
	fixture->log.source.ops->release(&fixture->log.source, offset);
}

/* Reads [from, to) in pieces of at most `most`, as the engine would. */
static void check(struct fixture *fixture, uint64_t from, uint64_t to, size_t most)
{
	struct wbi_source *source = &fixture->log.source;

	assert_true(from >= wbi_log_kept(&fixture->log) && to <= source->end);
	while (from < to) {
		size_t wanted = to - from < most ? (size_t)(to - from) : most;
		struct wbi_slice slice = source->ops->peek(source, from, wanted);
		assert_true(slice.bytes >= 1 && slice.bytes <= wanted);
		for (size_t i = 0; i < slice.bytes; i++) {
			if (slice.data[i] != byte_at(from + i))
				fail_msg("wrong byte at %llu", (unsigned long long)(from + i));
		}
		from += slice.bytes;
	}
}

static void check_kept(struct fixture *fixture)
{
	check(fixture, wbi_log_kept(&fixture->log), fixture->log.source.end, MOST);
}

/* ---- the ring ---- */

static void nothing_is_taken_before_it_is_needed(void **state)
{
	struct fixture *fixture = *state;

	assert_null(fixture->log.ring);
	assert_int_equal(wbi_log_fill(&fixture->log, fixture->reader, MOST), -EAGAIN);
	wbi_fd_close(&fixture->writer);
	assert_int_equal(wbi_log_fill(&fixture->log, fixture->reader, MOST), 0);
	assert_int_equal(fixture->log.source.end, 0);
	assert_int_equal(fixture->memory.bytes, 0);
}

/* With every offset of the ring as the place where the write wraps, and the read. */
static void wraps_at_every_offset(void **state)
{
	struct fixture *fixture = *state;
	uint64_t turns = 0;

	for (int offset = 0; offset < RING + 3; offset++) {
		/* One byte more than a whole turn: each time the wrap is one place earlier. */
		for (int left = RING + 1; left > 0; turns++) {
			size_t step = left < 5000 ? (size_t)left : 5000;
			assert_int_equal(feed(fixture, step), -EAGAIN);
			release(fixture, fixture->log.source.end);
			left -= (int)step;
		}
		if (offset % 64 == 0 || offset < 8 || offset > RING - 8)
			check_kept(fixture);
		else
			check(fixture, fixture->log.source.end - RING,
			      fixture->log.source.end - RING + 3, 2);
	}
	assert_int_equal(fixture->log.ring_bytes, RING);
	assert_true(turns > RING);
}

static void read_in_pieces_of_every_size(void **state)
{
	static const size_t sizes[] = {1, 2, 3, 4095, 4096, RING - 1, RING, RING + 1};
	struct fixture *fixture = *state;

	for (int i = 0; i < 7; i++) {
		assert_int_equal(feed(fixture, 5000), -EAGAIN);
		release(fixture, fixture->log.source.end);
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		check(fixture, wbi_log_kept(&fixture->log), fixture->log.source.end, sizes[i]);
}

/* A reader that lags makes the ring grow, up to its limit; then the log is full. */
static void grows_and_is_full(void **state)
{
	struct fixture *fixture = *state;

	put(fixture, 350000);
	while (wbi_log_fill(&fixture->log, fixture->reader, 100000) > 0)
		;
	assert_int_equal(fixture->log.source.end, 350000);
	check(fixture, 0, 350000, MOST);
	assert_int_equal(feed(fixture, 350000), -ENOBUFS);
	assert_int_equal(fixture->log.source.end, WBI_LOG_RING_NEAR);
	assert_int_equal(fixture->log.ring_bytes, WBI_LOG_RING_NEAR);
	assert_int_equal(fixture->memory.bytes, WBI_LOG_RING_NEAR - WBI_LOG_RING_OWN);
	assert_false(wbi_log_has_room(&fixture->log));
	check_kept(fixture);
	release(fixture, 10);
	assert_false(wbi_log_has_room(&fixture->log)); /* not worth it */
	release(fixture, 150000);
	assert_true(wbi_log_has_room(&fixture->log));
	assert_int_equal(wbi_log_fill(&fixture->log, fixture->reader, MOST), 150000);
	assert_int_equal(wbi_log_kept(&fixture->log), 150000);
	check_kept(fixture);
}

static void grows_further_for_a_reader_far_away(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(feed(fixture, 600000), -ENOBUFS);
	assert_int_equal(fixture->log.source.end, WBI_LOG_RING_NEAR);
	assert_true(fixture->log.source.full);
	put(fixture, 600000);
	wbi_log_reader_far(&fixture->log);
	assert_false(fixture->log.source.full);
	assert_true(wbi_log_has_room(&fixture->log));
	while (wbi_log_fill(&fixture->log, fixture->reader, MOST) > 0)
		;
	assert_int_equal(fixture->log.source.end, WBI_LOG_RING_MAX);
	assert_true(fixture->log.source.full);
	check(fixture, 0, WBI_LOG_RING_MAX, MOST);
}

static void grows_no_further_than_all_may(void **state)
{
	struct fixture *fixture = *state;

	fixture->memory.limit_bytes = 100000;
	assert_int_equal(feed(fixture, 200000), -ENOBUFS);
	assert_true(fixture->memory.bytes <= 100000);
	assert_true(fixture->log.source.end >= WBI_LOG_RING_OWN);
	check_kept(fixture);
	release(fixture, fixture->log.source.end);
	assert_true(wbi_log_has_room(&fixture->log));
	assert_true(wbi_log_fill(&fixture->log, fixture->reader, MOST) > 0);
	check_kept(fixture);
}

static void gives_back_when_idle(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(feed(fixture, 500000), -EAGAIN);
	wbi_log_trim(&fixture->log);
	assert_int_equal(fixture->log.ring_bytes, WBI_LOG_RING_NEAR); /* nothing was released */
	release(fixture, 500000 - 1000);
	wbi_log_trim(&fixture->log);
	assert_int_equal(fixture->log.ring_bytes, WBI_LOG_RING_IDLE);
	assert_int_equal(wbi_log_kept(&fixture->log), 500000 - WBI_LOG_RING_IDLE);
	check_kept(fixture);
	assert_int_equal(feed(fixture, 500000), -EAGAIN);
	check(fixture, 500000 - 1000, 1000000, MOST);
}

/* ---- the file ---- */

static void spills_in_order(void **state)
{
	struct fixture *fixture = *state;

	wbi_log_spill(&fixture->log, true);
	for (int i = 0; i < 6; i++)
		assert_int_equal(feed(fixture, 900000), -EAGAIN);
	assert_int_equal(fixture->log.source.end, 5400000);
	assert_int_equal(wbi_log_kept(&fixture->log), 0);
	assert_true(fixture->account.bytes > 4000000);
	assert_int_equal(fixture->account.bytes, fixture->store.bytes);
	check(fixture, 0, 5400000, MOST);
	check(fixture, fixture->log.ring_start - 5, fixture->log.ring_start + 5, 3);
}

/* A reader comes: it reads the file, then the ring, while more arrives; and leaves, and more
 * spills. */
static void spills_read_and_spills_again(void **state)
{
	struct fixture *fixture = *state;
	uint64_t read_at = 0;

	wbi_log_spill(&fixture->log, true);
	for (int i = 0; i < 3; i++)
		assert_int_equal(feed(fixture, 900000), -EAGAIN);
	wbi_log_spill(&fixture->log, false);
	for (int i = 0; i < 40; i++) {
		ssize_t said = feed(fixture, 10000);
		assert_true(said == -EAGAIN || said == -ENOBUFS);
		check(fixture, read_at, read_at + 50000, 4096);
		read_at += 50000;
		release(fixture, read_at);
	}
	wbi_log_spill(&fixture->log, true);
	while (wbi_log_fill(&fixture->log, fixture->reader, MOST) > 0)
		;
	assert_int_equal(feed(fixture, 900000), -EAGAIN);
	check(fixture, read_at, fixture->written, MOST);
	check_kept(fixture);
}

/* What has been read to its end and falls out of the ring takes the file with it. */
static void the_file_goes_once_it_is_not_kept(void **state)
{
	struct fixture *fixture = *state;

	wbi_log_spill(&fixture->log, true);
	for (int i = 0; i < 3; i++)
		assert_int_equal(feed(fixture, 900000), -EAGAIN);
	wbi_log_spill(&fixture->log, false);
	assert_true(fixture->log.file >= 0);
	for (int i = 0; i < 4; i++) {
		release(fixture, fixture->log.source.end);
		assert_int_equal(feed(fixture, 300000), -EAGAIN);
	}
	assert_int_equal(fixture->log.file, -1);
	assert_int_equal(fixture->account.bytes, 0);
	check_kept(fixture);
	assert_true(fixture->log.source.end - wbi_log_kept(&fixture->log) >= 300000);
}

static void spills_up_to_its_limit(void **state)
{
	struct fixture *fixture = *state;
	ssize_t said = -EAGAIN;

	fixture->store.limit_bytes = 1500000;
	wbi_log_spill(&fixture->log, true);
	for (int i = 0; i < 5 && said == -EAGAIN; i++)
		said = feed(fixture, 800000);
	assert_int_equal(said, -ENOBUFS);
	assert_int_equal(fixture->store.bytes, 1500000);
	assert_false(wbi_log_has_room(&fixture->log));
	check(fixture, 0, fixture->log.source.end, MOST);
	assert_int_equal(fixture->log.source.end, 1500000 + WBI_LOG_RING_NEAR);
}

static void the_account_is_full(void **state)
{
	struct fixture *fixture = *state;

	fixture->account.limit_bytes = 1000;
	wbi_log_spill(&fixture->log, true);
	assert_int_equal(feed(fixture, 400000), -EAGAIN);
	assert_int_equal(feed(fixture, 400000), -ENOBUFS);
	assert_int_equal(fixture->log.source.end, WBI_LOG_RING_NEAR + 1000);
	check_kept(fixture);
}

static void no_folder_for_files(void **state)
{
	struct fixture *fixture = *state;

	fixture->account.folder = "/nonexistent";
	wbi_log_spill(&fixture->log, true);
	assert_int_equal(feed(fixture, 400000), -EAGAIN);
	assert_int_equal(feed(fixture, 400000), -ENOBUFS);
	assert_int_equal(fixture->log.source.end, WBI_LOG_RING_NEAR);
	check_kept(fixture);
	fixture->account.folder = fixture->folder;
	while (wbi_log_fill(&fixture->log, fixture->reader, MOST) > 0)
		;
	assert_int_equal(fixture->log.source.end, 800000);
	check(fixture, 0, 800000, MOST);
}

static void read_again_from_what_is_kept(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(feed(fixture, 400000), -EAGAIN);
	release(fixture, 400000);
	wbi_log_rewind(&fixture->log, wbi_log_kept(&fixture->log));
	assert_int_equal(feed(fixture, 400000), -ENOBUFS);
	check(fixture, 0, WBI_LOG_RING_NEAR, MOST);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Most streams never have a byte. */
static void memory_comes_with_the_first_byte(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(wbi_log_fill(&fixture->log, fixture->reader, MOST), -EAGAIN);
	assert_null(fixture->log.ring);
	put(fixture, 5);
	assert_int_equal(wbi_log_fill(&fixture->log, fixture->reader, MOST), 5);
	assert_non_null(fixture->log.ring);
	check_kept(fixture);
}

static void no_memory_for_an_end(void **state)
{
	struct fixture *fixture = *state;

	wbi_fd_close(&fixture->writer);
	assert_int_equal(wbi_log_fill(&fixture->log, fixture->reader, MOST), 0);
	assert_null(fixture->log.ring);
}

static void a_read_that_fails(void **state)
{
	struct fixture *fixture = *state;

	int folder = open("/", O_RDONLY | O_CLOEXEC);

	assert_int_equal(wbi_log_fill(&fixture->log, folder, MOST), -EISDIR);
	close(folder);
}

/* The reader is told when the command waits for it, and only then. */
static void full_is_told(void **state)
{
	struct fixture *fixture = *state;
	struct wbi_source *source = &fixture->log.source;

	fixture->memory.limit_bytes = 0;
	assert_int_equal(feed(fixture, RING - 1), -EAGAIN);
	assert_false(source->full);
	assert_int_equal(feed(fixture, 1000), -ENOBUFS);
	assert_true(source->full);
	release(fixture, 1);
	assert_false(source->full);
	assert_int_equal(wbi_log_fill(&fixture->log, fixture->reader, MOST), 1);
	assert_true(source->full);
	wbi_log_spill(&fixture->log, true);
	assert_false(source->full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_taken_before_it_is_needed),
		TEST(wraps_at_every_offset),
		TEST(read_in_pieces_of_every_size),
		TEST(grows_and_is_full),
		TEST(grows_further_for_a_reader_far_away),
		TEST(grows_no_further_than_all_may),
		TEST(gives_back_when_idle),
		TEST(spills_in_order),
		TEST(spills_read_and_spills_again),
		TEST(the_file_goes_once_it_is_not_kept),
		TEST(spills_up_to_its_limit),
		TEST(the_account_is_full),
		TEST(no_folder_for_files),
		TEST(read_again_from_what_is_kept),
		TEST(memory_comes_with_the_first_byte),
		TEST(no_memory_for_an_end),
		TEST(a_read_that_fails),
		TEST(full_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
