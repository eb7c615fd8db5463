/* The spool: in memory, in a file, at its limits, and on a full disk; sent, and digested. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "job/spool.h"
#include "sys/fd.h"
#include "tiny_disk.h"

enum { MEMORY = 8192, PIPE = 65536, MOST = 1 << 20, BIG = 300000 };

#define SKIP(why)                                                                                  \
	do {                                                                                       \
		print_message("SKIPPED %s: %s\n", __func__, why);                                  \
		skip();                                                                            \
	} while (0)

static unsigned count_entries(const char *path)
{
	unsigned count = 0;
	DIR *folder = opendir(path);

	assert_non_null(folder);
	while (readdir(folder) != NULL)
		count++;
	closedir(folder);
	return count;
}

static unsigned count_fds(void)
{
	return count_entries("/proc/self/fd");
}

/* ---- a spool with a pipe before it ---- */

struct fixture {
	struct wbi_spool_account account;
	struct wbi_spool spool;
	char folder[40];
	int reader, writer;
	unsigned fds_before;
	uint8_t *pattern; /* BIG bytes */
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	fixture->fds_before = count_fds();
	strcpy(fixture->folder, "/tmp/waybill-spool-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	fixture->account.folder = fixture->folder;
	fixture->account.limit_bytes = UINT64_MAX;
	assert_int_equal(wbi_fd_pipe(&fixture->reader, &fixture->writer, NULL), WB_OK);
	wbi_spool_init(&fixture->spool, &fixture->account, MEMORY);
	fixture->pattern = malloc(BIG);
	for (size_t i = 0; i < BIG; i++)
		fixture->pattern[i] = (uint8_t)(i * 7 + i / 251);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	wbi_fd_close(&fixture->reader);
	wbi_fd_close(&fixture->writer);
	wbi_spool_done(&fixture->spool);
	wbi_spool_done(&fixture->spool);
	assert_int_equal(fixture->account.bytes, 0);
	assert_int_equal(count_fds(), fixture->fds_before);
	assert_int_equal(rmdir(fixture->folder), 0); /* fails if a file was left in it */
	free(fixture->pattern);
	free(fixture);
	return 0;
}

/* Puts pattern[from, from + bytes) into the pipe, which must have the room. */
static void put(struct fixture *fixture, size_t from, size_t bytes)
{
	assert_int_equal(write(fixture->writer, fixture->pattern + from, bytes), bytes);
}

static size_t fill(struct fixture *fixture, size_t most)
{
	struct wb_fault fault = {0};
	size_t taken = 0;

	if (wbi_spool_fill(&fixture->spool, fixture->reader, most, &taken, &fault) != WB_OK)
		fail_msg("%s", fault.text);
	return taken;
}

static enum wb_err try_fill(struct fixture *fixture, size_t most, struct wb_fault *fault)
{
	size_t taken = 77;
	enum wb_err err = wbi_spool_fill(&fixture->spool, fixture->reader, most, &taken, fault);

	if (err)
		assert_int_equal(taken, 77);
	return err;
}

/* Spools the first `bytes` of the pattern, by pipefuls of `step`. */
static void spool_all(struct fixture *fixture, size_t bytes, size_t step)
{
	for (size_t at = 0; at < bytes;) {
		size_t now = bytes - at < step ? bytes - at : step;
		put(fixture, at, now);
		for (size_t left = now; left > 0;)
			left -= fill(fixture, MOST);
		at += now;
		assert_int_equal(fixture->spool.bytes, at);
		assert_int_equal(fixture->account.bytes, at > MEMORY ? at : 0);
	}
}

/* ---- a link that takes what it is told to ---- */

struct sink {
	struct wbi_link link;
	struct wbi_link_ops ops;
	uint8_t *data;
	size_t bytes, most; /* most: taken by one call; 0: -EAGAIN */
	unsigned files;     /* calls of send_file */
	int file_errno;     /* what send_file answers with, if not 0 */
};

static ssize_t sink_take(struct sink *sink, const void *data, size_t bytes)
{
	size_t taken = bytes < sink->most ? bytes : sink->most;

	if (taken == 0)
		return -EAGAIN;
	memcpy(sink->data + sink->bytes, data, taken);
	sink->bytes += taken;
	return (ssize_t)taken;
}

static ssize_t sink_write(struct wbi_link *link, const struct iovec *parts, int count)
{
	assert_int_equal(count, 1);
	return sink_take((struct sink *)link, parts[0].iov_base, parts[0].iov_len);
}

static ssize_t sink_send_file(struct wbi_link *link, int file, off_t offset, size_t bytes)
{
	struct sink *sink = (struct sink *)link;
	size_t most = bytes < sink->most ? bytes : sink->most;

	sink->files++;
	if (sink->file_errno != 0)
		return -sink->file_errno;
	if (most == 0)
		return -EAGAIN;
	ssize_t taken = pread(file, sink->data + sink->bytes, most, offset);
	sink->bytes += (size_t)taken;
	return taken;
}

static void sink_init(struct sink *sink, size_t most, bool with_file)
{
	*sink = (struct sink){.most = most, .data = malloc(BIG)};
	sink->ops.write = sink_write;
	sink->ops.send_file = with_file ? sink_send_file : NULL;
	sink->link.ops = &sink->ops;
}

static void assert_sent(struct fixture *fixture, struct sink *sink, size_t bytes)
{
	for (uint64_t offset = 0; offset < bytes;) {
		ssize_t sent = wbi_spool_send(&fixture->spool, offset, &sink->link);
		assert_true(sent > 0);
		offset += (uint64_t)sent;
		assert_int_equal(sink->bytes, offset);
	}
	assert_memory_equal(sink->data, fixture->pattern, bytes);
	free(sink->data);
}

static void assert_holds(struct fixture *fixture, size_t bytes)
{
	struct sink sink;

	assert_int_equal(fixture->spool.bytes, bytes);
	sink_init(&sink, 10007, true);
	assert_sent(fixture, &sink, bytes);
}

/* ---- filling ---- */

static void small_stays_in_memory(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(try_fill(fixture, MOST, NULL), WB_ERR_TIMEOUT);
	put(fixture, 0, 5);
	assert_int_equal(fill(fixture, MOST), 5);
	assert_true(fixture->spool.memory.room <= 4096);
	assert_int_equal(try_fill(fixture, MOST, NULL), WB_ERR_TIMEOUT);
	put(fixture, 5, 6);
	assert_int_equal(fill(fixture, MOST), 6);
	wbi_fd_close(&fixture->writer);
	assert_int_equal(fill(fixture, MOST), 0);
	assert_int_equal(fill(fixture, MOST), 0);
	assert_int_equal(fixture->spool.file, -1);
	assert_holds(fixture, 11);
}

/* Exactly what memory holds needs no file, one byte more does. */
static void the_edge_of_memory(void **state)
{
	struct fixture *fixture = *state;

	spool_all(fixture, MEMORY, PIPE);
	assert_int_equal(try_fill(fixture, MOST, NULL), WB_ERR_TIMEOUT);
	assert_int_equal(fixture->spool.file, -1);
	put(fixture, MEMORY, 1);
	assert_int_equal(fill(fixture, MOST), 1);
	assert_true(fixture->spool.file >= 0);
	assert_int_equal(wbi_buf_bytes(&fixture->spool.memory), 0);
	assert_int_equal(fixture->spool.memory.room, 0);
	assert_int_equal(count_entries(fixture->folder), 2); /* unlinked: . and .. alone */
	assert_int_equal(try_fill(fixture, MOST, NULL), WB_ERR_TIMEOUT);
	wbi_fd_close(&fixture->writer);
	assert_int_equal(fill(fixture, MOST), 0);
	assert_holds(fixture, MEMORY + 1);
}

static void the_end_at_the_edge_makes_no_file(void **state)
{
	struct fixture *fixture = *state;

	spool_all(fixture, MEMORY, PIPE);
	wbi_fd_close(&fixture->writer);
	assert_int_equal(fill(fixture, MOST), 0);
	assert_int_equal(fixture->spool.file, -1);
	assert_holds(fixture, MEMORY);
}

static void large_goes_to_a_file(void **state)
{
	struct fixture *fixture = *state;

	spool_all(fixture, BIG, PIPE);
	assert_true(fixture->spool.file >= 0);
	assert_false(fixture->spool.by_copy);
	assert_holds(fixture, BIG);
}

static void large_by_small_steps(void **state)
{
	struct fixture *fixture = *state;

	spool_all(fixture, 3 * MEMORY, 1013);
	assert_holds(fixture, 3 * MEMORY);
}

/* A file that is open for appending is one that splice refuses. */
static void where_splice_is_refused(void **state)
{
	struct fixture *fixture = *state;

	spool_all(fixture, MEMORY + 1, PIPE);
	assert_int_equal(fcntl(fixture->spool.file, F_SETFL, O_APPEND), 0);
	put(fixture, MEMORY + 1, 50000);
	for (size_t left = 50000; left > 0;)
		left -= fill(fixture, MOST);
	assert_true(fixture->spool.by_copy);
	assert_int_equal(try_fill(fixture, MOST, NULL), WB_ERR_TIMEOUT);
	wbi_fd_close(&fixture->writer);
	assert_int_equal(fill(fixture, MOST), 0);
	assert_holds(fixture, MEMORY + 1 + 50000);
}

static void no_more_than_asked(void **state)
{
	struct fixture *fixture = *state;

	put(fixture, 0, PIPE);
	assert_int_equal(fill(fixture, 10), 10);
	assert_int_equal(fill(fixture, MEMORY), MEMORY);
	assert_int_equal(fill(fixture, 100), 100);
	assert_int_equal(fill(fixture, 20000), 20000);
	assert_holds(fixture, 10 + MEMORY + 100 + 20000);
}

/* Nothing is taken beyond the limit; one byte is looked at, to know whether there is more. */
static void the_account_is_full(void **state)
{
	struct fixture *fixture = *state;
	struct wb_fault fault = {0};

	fixture->account.limit_bytes = MEMORY + 20000;
	put(fixture, 0, MEMORY + 20001);
	assert_int_equal(fill(fixture, MOST), MEMORY + 20000);
	assert_int_equal(fixture->account.bytes, MEMORY + 20000);
	assert_int_equal(try_fill(fixture, MOST, &fault), WB_ERR_LIMIT);
	assert_int_equal(fault.err, WB_ERR_LIMIT);
	assert_non_null(strstr(fault.text, "--max-spool"));
	assert_int_equal(fixture->account.bytes, MEMORY + 20000);
}

static void the_account_is_just_enough(void **state)
{
	struct fixture *fixture = *state;

	fixture->account.limit_bytes = MEMORY + 100;
	put(fixture, 0, MEMORY + 100);
	assert_int_equal(fill(fixture, MOST), MEMORY + 100);
	assert_int_equal(try_fill(fixture, MOST, NULL), WB_ERR_TIMEOUT);
	wbi_fd_close(&fixture->writer);
	assert_int_equal(fill(fixture, MOST), 0);
}

/* A full account stops what outgrows its memory, and nothing else. */
static void the_account_is_shared(void **state)
{
	struct fixture *fixture = *state;
	struct wbi_spool other;
	struct wb_fault fault = {0};
	size_t taken;

	fixture->account.limit_bytes = MEMORY + 80;
	wbi_spool_init(&other, &fixture->account, MEMORY);
	put(fixture, 0, MEMORY + 80);
	assert_int_equal(fill(fixture, MOST), MEMORY + 80);
	put(fixture, 0, MEMORY + 1);
	assert_int_equal(wbi_spool_fill(&other, fixture->reader, MOST, &taken, NULL), WB_OK);
	assert_int_equal(taken, MEMORY);
	assert_int_equal(wbi_spool_fill(&other, fixture->reader, MOST, &taken, &fault),
			 WB_ERR_LIMIT);
	wbi_spool_done(&other);
	assert_int_equal(fixture->account.bytes, MEMORY + 80);
}

static void asked_for_nothing(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(try_fill(fixture, 0, NULL), WB_ERR_TIMEOUT);
	put(fixture, 0, 1);
	assert_int_equal(try_fill(fixture, 0, NULL), WB_ERR_LIMIT);
	wbi_fd_close(&fixture->writer);
	assert_int_equal(fill(fixture, 0), 0);
}

/* ---- where the disk says no ---- */

static void no_such_folder(void **state)
{
	struct fixture *fixture = *state;
	struct wb_fault fault = {0};

	fixture->account.folder = "/nonexistent/waybill";
	put(fixture, 0, MEMORY + 1);
	assert_int_equal(try_fill(fixture, MOST, &fault), WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, ENOENT);
	assert_non_null(strstr(fault.text, "/nonexistent/waybill"));
	assert_int_equal(fixture->spool.file, -1);
}

static void disk_full(void **state)
{
	struct fixture *fixture = *state;
	struct wb_fault fault = {0};
	enum wb_err err = WB_OK;

	if (!mount_tiny_disk(fixture->folder))
		SKIP("may not mount a small file system");
	assert_true(fcntl(fixture->writer, F_SETPIPE_SZ, 4 * PIPE) >= 4 * PIPE);
	put(fixture, 0, 3 * PIPE);
	while (!err)
		err = try_fill(fixture, MOST, &fault);
	wbi_spool_done(&fixture->spool); /* else the file system is busy */
	assert_int_equal(umount(fixture->folder), 0);
	assert_int_equal(err, WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, ENOSPC);
	assert_non_null(strstr(fault.text, "No space left"));
	assert_non_null(strstr(fault.text, fixture->folder));
}

/* ---- sending ---- */

static void sent_from_memory(void **state)
{
	struct fixture *fixture = *state;
	struct sink sink;

	spool_all(fixture, 5000, PIPE);
	sink_init(&sink, 999, true);
	assert_sent(fixture, &sink, 5000);
	assert_int_equal(sink.files, 0);
}

static void sent_by_the_kernel(void **state)
{
	struct fixture *fixture = *state;
	struct sink sink;

	spool_all(fixture, BIG, PIPE);
	sink_init(&sink, BIG, true);
	assert_sent(fixture, &sink, BIG);
	assert_int_equal(sink.files, 1);
}

static void sent_by_copy(void **state)
{
	struct fixture *fixture = *state;
	struct sink sink;

	spool_all(fixture, BIG, PIPE);
	sink_init(&sink, 7001, false);
	assert_sent(fixture, &sink, BIG);
	sink_init(&sink, 7001, true);
	sink.file_errno = EINVAL;
	assert_sent(fixture, &sink, BIG);
}

static void the_link_says_no(void **state)
{
	struct fixture *fixture = *state;
	struct sink sink;

	spool_all(fixture, 100, PIPE);
	sink_init(&sink, 0, true);
	assert_int_equal(wbi_spool_send(&fixture->spool, 0, &sink.link), -EAGAIN);
	put(fixture, 100, PIPE);
	fill(fixture, MOST);
	assert_int_equal(wbi_spool_send(&fixture->spool, 0, &sink.link), -EAGAIN);
	sink.file_errno = EPIPE;
	assert_int_equal(wbi_spool_send(&fixture->spool, 0, &sink.link), -EPIPE);
	free(sink.data);
}

/* ---- digesting ---- */

static void assert_digest(struct fixture *fixture, size_t bytes, size_t step)
{
	struct wb_digest *digest;
	char found[WB_DIGEST_HEX_MAX], expected[WB_DIGEST_HEX_MAX];

	assert_int_equal(wb_digest_new(WB_DIGEST_SHA256, &digest, NULL), WB_OK);
	for (size_t at = 0; at < bytes; at += step) {
		size_t now = bytes - at < step ? bytes - at : step;
		assert_int_equal(wbi_spool_digest(&fixture->spool, at, now, digest, NULL), WB_OK);
	}
	wb_digest_hex(digest, found);
	wb_digest_reset(digest);
	wb_digest_update(digest, fixture->pattern, bytes);
	wb_digest_hex(digest, expected);
	assert_string_equal(found, expected);
	wb_digest_free(digest);
}

static void digested(void **state)
{
	struct fixture *fixture = *state;

	spool_all(fixture, 5000, PIPE);
	assert_digest(fixture, 5000, 777);
	put(fixture, 5000, 60000);
	for (size_t left = 60000; left > 0;)
		left -= fill(fixture, MOST);
	assert_true(fixture->spool.file >= 0);
	assert_digest(fixture, 65000, 20001);
	assert_digest(fixture, 65000, 65000);
}

static void digest_of_a_short_file(void **state)
{
	struct fixture *fixture = *state;
	struct wb_digest *digest;
	struct wb_fault fault = {0};

	spool_all(fixture, PIPE, PIPE);
	assert_int_equal(ftruncate(fixture->spool.file, 10), 0);
	assert_int_equal(wb_digest_new(WB_DIGEST_MD5, &digest, NULL), WB_OK);
	assert_int_equal(wbi_spool_digest(&fixture->spool, 0, PIPE, digest, &fault), WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, EIO);
	wb_digest_free(digest);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(small_stays_in_memory),
		TEST(the_edge_of_memory),
		TEST(the_end_at_the_edge_makes_no_file),
		TEST(large_goes_to_a_file),
		TEST(large_by_small_steps),
		TEST(where_splice_is_refused),
		TEST(no_more_than_asked),
		TEST(the_account_is_full),
		TEST(the_account_is_just_enough),
		TEST(the_account_is_shared),
		TEST(asked_for_nothing),
		TEST(no_such_folder),
		TEST(sent_from_memory),
		TEST(sent_by_the_kernel),
		TEST(sent_by_copy),
		TEST(the_link_says_no),
		TEST(digested),
		TEST(digest_of_a_short_file),
		TEST(disk_full), /* last: it may leave the program in another namespace */
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
