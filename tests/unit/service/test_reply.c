/* Replies: framing, digest in steps, and sending through a link that takes a few bytes at a time.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "service/reply.h"
#include "sys/fd.h"
#include "transport/mem.h"

enum { RECEIVED_MAX = 64 * 1024 };

struct fixture {
	struct wbi_spool_account account;
	struct wbi_spool out, err;
	struct wbi_reply reply;
	char received[RECEIVED_MAX];
	size_t received_bytes;
};

static void fill(struct wbi_spool *spool, const char *text, size_t bytes)
{
	int read_end, write_end;
	size_t taken;
	struct wb_fault fault;

	assert_int_equal(wbi_fd_pipe(&read_end, &write_end, &fault), WB_OK);
	assert_int_equal(write(write_end, text, bytes), bytes);
	wbi_fd_close(&write_end);
	while (bytes > 0) {
		assert_int_equal(wbi_spool_fill(spool, read_end, bytes, &taken, &fault), WB_OK);
		bytes -= taken;
	}
	wbi_fd_close(&read_end);
}

static void fixture_init(struct fixture *f, enum wbi_reply_framing framing, size_t memory_bytes,
			 const char *out, size_t out_bytes, const char *err)
{
	memset(f, 0, sizeof(*f));
	f->account = (struct wbi_spool_account){.folder = "/tmp", .limit_bytes = 1 << 20};
	wbi_spool_init(&f->out, &f->account, memory_bytes);
	wbi_spool_init(&f->err, &f->account, memory_bytes);
	fill(&f->out, out, out_bytes);
	fill(&f->err, err, strlen(err));
	wbi_reply_init(&f->reply, framing);
	wbi_reply_output(&f->reply, &f->out, &f->err);
}

static void fixture_done(struct fixture *f)
{
	wbi_reply_done(&f->reply);
	wbi_spool_done(&f->out);
	wbi_spool_done(&f->err);
	assert_int_equal(f->account.bytes, 0);
}

static void receive(struct fixture *f, struct wbi_link *link)
{
	ssize_t bytes = wbi_link_read(link, f->received + f->received_bytes,
				      RECEIVED_MAX - f->received_bytes);

	if (bytes > 0)
		f->received_bytes += (size_t)bytes;
}

/* Sends the whole reply through a link that takes at most write_max bytes at a time. */
static void send_all(struct fixture *f, size_t write_max)
{
	const struct wbi_mem_faults faults = {.capacity = 4096, .write_max = write_max};
	struct wbi_mem_pair *pair;
	int result = 1;

	assert_int_equal(wbi_mem_pair_new(&faults, &pair), WB_OK);
	while (result != 0) {
		result = wbi_reply_send(&f->reply, wbi_mem_end(pair, 0));
		assert_true(result == 0 || result == 1 || result == -EAGAIN);
		receive(f, wbi_mem_end(pair, 1));
	}
	receive(f, wbi_mem_end(pair, 1));
	wbi_mem_pair_free(pair);
}

static void digest_in_steps(struct fixture *f, size_t step)
{
	bool complete = false;
	struct wb_fault fault;

	while (!complete)
		assert_int_equal(wbi_reply_digest(&f->reply, step, &complete, &fault), WB_OK);
}

static void check_length_reply(size_t memory_bytes, size_t write_max)
{
	struct fixture f;
	struct wb_fault fault;

	fixture_init(&f, WBI_REPLY_LENGTH, memory_bytes, "hello\n", 6, "oops\n");
	assert_int_equal(wbi_reply_head(&f.reply, &fault), WB_OK);
	send_all(&f, write_max);
	assert_int_equal(f.received_bytes, 15);
	assert_memory_equal(f.received, "\x0b\0\0\0hello\noops\n", 15);
	fixture_done(&f);
}

static void test_length_framing_in_every_split(void **state)
{
	(void)state;
	for (size_t write_max = 1; write_max <= 16; write_max++) {
		check_length_reply(4096, write_max); /* in memory */
		check_length_reply(4, write_max);    /* both in files */
		check_length_reply(5, write_max);    /* stdout in a file, stderr in memory */
	}
}

/* md5("hello\noops\n"), as md5sum prints it. */
static const char header_reply[] =
	"{\"filename\":\"output\",\"total_size\":11,\"md5\":\"b4c40ec06c46323d96f77bd70b758603\"}";

static void test_header_framing_digests_in_steps(void **state)
{
	(void)state;
	for (size_t step = 1; step <= 12; step++) {
		struct fixture f;
		struct wb_fault fault;
		size_t head_bytes = 4 + sizeof(header_reply) - 1;

		fixture_init(&f, WBI_REPLY_HEADER, step % 2 ? 4096 : 4, "hello\n", 6, "oops\n");
		digest_in_steps(&f, step);
		assert_int_equal(wbi_reply_head(&f.reply, &fault), WB_OK);
		send_all(&f, 7);
		assert_int_equal(f.received_bytes, head_bytes + 11);
		assert_int_equal(f.received[0], head_bytes - 4);
		assert_memory_equal(f.received + 4, header_reply, head_bytes - 4);
		assert_memory_equal(f.received + head_bytes, "hello\noops\n", 11);
		fixture_done(&f);
	}
}

static void test_a_message_takes_the_place_of_output(void **state)
{
	struct fixture f;
	struct wb_fault fault;

	(void)state;
	fixture_init(&f, WBI_REPLY_HEADER, 4096, "partial", 7, "");
	digest_in_steps(&f, 3);
	wbi_reply_message(&f.reply, "no\n");
	assert_int_equal(wbi_reply_head(&f.reply, &fault), WB_OK);
	send_all(&f, 100);
	f.received[f.received_bytes] = '\0';
	/* md5("no\n") */
	assert_non_null(
		strstr(f.received + 4,
		       "\"total_size\":3,\"md5\":\"e4ac654ba9b61686c2dc854a1128a323\"}no\n"));
	fixture_done(&f);
}

static void test_a_long_message_is_cut(void **state)
{
	struct fixture f;
	struct wb_fault fault;
	char message[1000];

	(void)state;
	memset(message, 'm', sizeof(message));
	message[sizeof(message) - 1] = '\0';
	fixture_init(&f, WBI_REPLY_LENGTH, 4096, "", 0, "");
	wbi_reply_message(&f.reply, message);
	assert_int_equal(wbi_reply_head(&f.reply, &fault), WB_OK);
	send_all(&f, 100);
	assert_int_equal(f.received_bytes, 4 + WB_FAULT_TEXT_MAX - 1);
	fixture_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_length_framing_in_every_split),
		cmocka_unit_test(test_header_framing_digests_in_steps),
		cmocka_unit_test(test_a_message_takes_the_place_of_output),
		cmocka_unit_test(test_a_long_message_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
