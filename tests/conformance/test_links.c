/* One suite, every transport: what each link must do, whatever carries it.
 *
 * A maker connects two ends of its transport; a test moves bytes between them and never asks which
 * transport it is. A new transport needs one maker and one line in the table. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/addr.h"
#include "sys/clock.h"
#include "sys/fd.h"
#include "tls_pair.h"
#include "transport/mem.h"
#include "transport/stream.h"
#include "transport/tcp.h"
#include "transport/unix.h"

enum { PATIENCE_MS = 20000, HUGE_BYTES = 8 << 20 };

/* ---- a side: what one end sends, and what it has heard ---- */

struct side {
	struct wbi_link *link;
	const uint8_t *out;
	size_t out_bytes, sent;
	uint8_t *in;
	size_t in_room, got;
	size_t stop_at; /* closes once it has got this much; 0: reads to the end */
	bool shut_after, shut;
	bool open, ended;
	int partial_writes;
	int error; /* errno of the call that failed */
};

/* Two connected sides, and what moves them. */
struct pair {
	const struct maker *maker;
	struct wbi_loop *loop;
	struct wbi_stream_link streams[2];
	struct wbi_mem_pair *mem;
	struct tls_pair tls;
	struct side sides[2];
};

static struct pair pair;

static struct side *side_of(struct wbi_link *link)
{
	return link == pair.sides[0].link ? &pair.sides[0] : &pair.sides[1];
}

static void close_side(struct side *side)
{
	if (side->open)
		wbi_link_close(side->link);
	side->open = false;
}

static void fail_side(struct side *side, ssize_t error)
{
	side->error = (int)-error;
	close_side(side);
}

/* In two parts, so that gathering is tried along the way. */
static ssize_t write_rest(struct side *side)
{
	uint8_t *data = (uint8_t *)side->out + side->sent;
	size_t left = side->out_bytes - side->sent;
	struct iovec parts[] = {{data, left / 2}, {data + left / 2, left - left / 2}};

	return wbi_link_write(side->link, parts, 2);
}

static void write_some(struct side *side)
{
	while (side->open && side->sent < side->out_bytes) {
		ssize_t n = write_rest(side);
		if (n == -EAGAIN)
			return;
		if (n < 0) {
			fail_side(side, n);
			return;
		}
		side->sent += (size_t)n;
		side->partial_writes += side->sent < side->out_bytes;
	}
	if (side->open && side->shut_after && !side->shut) {
		side->shut = true;
		assert_int_equal(wbi_link_shutdown(side->link), 0);
	}
}

static void read_some(struct side *side)
{
	while (side->open && !side->ended) {
		ssize_t n =
			wbi_link_read(side->link, side->in + side->got, side->in_room - side->got);
		if (n == -EAGAIN)
			return;
		if (n < 0)
			fail_side(side, n);
		else if (n == 0)
			side->ended = true;
		else
			side->got += (size_t)n;
		if (side->stop_at && side->got >= side->stop_at)
			close_side(side);
	}
}

static void want_what_is_left(struct side *side)
{
	unsigned events = 0;

	if (!side->open)
		return;
	if (!side->ended)
		events |= WBI_READ;
	if (side->sent < side->out_bytes || (side->shut_after && !side->shut))
		events |= WBI_WRITE;
	wbi_link_want(side->link, events);
}

static void on_link(struct wbi_link *link, unsigned events)
{
	struct side *side = side_of(link);

	if (events & WBI_READ)
		read_some(side);
	if (events & WBI_WRITE)
		write_some(side);
	want_what_is_left(side);
}

/* ---- makers ---- */

struct maker {
	const char *name;
	void (*make)(struct pair *pair);
	/* Dials an address where nobody listens; NULL: nothing is dialled here. */
	enum wb_err (*dial_nobody)(struct wb_fault *fault);
	int nobody_errno;
};

static struct wbi_addr address(const char *text)
{
	struct wbi_addr addr;
	struct wbi_uri uri;
	unsigned count;

	assert_int_equal(wbi_uri_parse(text, &uri, NULL), WB_OK);
	assert_int_equal(wbi_addr_resolve(&uri, true, &addr, 1, &count, NULL), WB_OK);
	return addr;
}

static void link_sockets(struct pair *p, const int fds[2])
{
	assert_int_equal(wbi_loop_new(&p->loop, NULL), WB_OK);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(wbi_stream_link_init(&p->streams[i], p->loop, fds[i], on_link,
						      WBI_READ, NULL),
				 WB_OK);
		p->sides[i].link = &p->streams[i].link;
	}
}

static void meet_over_tcp(int fds[2])
{
	struct wbi_addr addr = address("tcp://127.0.0.1:0"), bound;
	int listener;

	assert_int_equal(wbi_tcp_listen(&addr, &listener, &bound, NULL), WB_OK);
	assert_int_equal(wbi_tcp_dial(&bound, 1, PATIENCE_MS, &fds[0], NULL), WB_OK);
	assert_int_equal(wbi_tcp_accept(listener, &fds[1], NULL, NULL), WB_OK);
	wbi_fd_close(&listener);
}

static void make_tcp(struct pair *p)
{
	int fds[2];
	meet_over_tcp(fds);
	link_sockets(p, fds);
}

static enum wb_err dial_nobody_tcp(struct wb_fault *fault)
{
	struct wbi_addr nobody = address("tcp://127.0.0.1:0");
	int holder = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

	assert_int_equal(bind(holder, &nobody.any, nobody.bytes), 0);
	assert_int_equal(getsockname(holder, &nobody.any, &nobody.bytes), 0);
	enum wb_err err = wbi_tcp_dial(&nobody, 1, PATIENCE_MS, &fd, fault);
	wbi_fd_close(&holder);
	return err;
}

/* A path in a folder of its own, both gone once `use` returns. */
static void with_path(void (*use)(const struct wbi_addr *addr, void *context), void *context)
{
	char folder[] = "/tmp/waybill-test-XXXXXX", uri[64];

	assert_non_null(mkdtemp(folder));
	snprintf(uri, sizeof(uri), "unix://%s/s", folder);
	struct wbi_addr addr = address(uri);
	use(&addr, context);
	unlink(addr.un.sun_path);
	assert_int_equal(rmdir(folder), 0);
}

static void meet_at_path(const struct wbi_addr *addr, void *fds)
{
	int listener;

	assert_int_equal(wbi_unix_listen(addr, 0600, &listener, NULL), WB_OK);
	assert_int_equal(wbi_unix_dial(addr, PATIENCE_MS, (int *)fds, NULL), WB_OK);
	assert_int_equal(wbi_unix_accept(listener, (int *)fds + 1, NULL), WB_OK);
	wbi_fd_close(&listener);
}

static void make_unix(struct pair *p)
{
	int fds[2];

	with_path(meet_at_path, fds);
	link_sockets(p, fds);
}

static void dial_path(const struct wbi_addr *addr, void *fault)
{
	int fd;
	assert_int_equal(wbi_unix_dial(addr, PATIENCE_MS, &fd, fault), WB_ERR_SYSTEM);
}

static enum wb_err dial_nobody_unix(struct wb_fault *fault)
{
	with_path(dial_path, fault);
	return fault->err;
}

static void make_tls(struct pair *p)
{
	int fds[2];

	meet_over_tcp(fds);
	assert_int_equal(wbi_loop_new(&p->loop, NULL), WB_OK);
	for (int i = 0; i < 2; i++)
		p->sides[i].link = &p->streams[i].link;
	tls_pair_open(&p->tls, p->loop, fds, p->streams, on_link);
}

static void make_mem_with(struct pair *p, struct wbi_mem_faults faults)
{
	assert_int_equal(wbi_mem_pair_new(&faults, &p->mem), WB_OK);
	for (int i = 0; i < 2; i++) {
		p->sides[i].link = wbi_mem_end(p->mem, i);
		p->sides[i].link->fn = on_link;
	}
}

static void make_mem(struct pair *p)
{
	make_mem_with(p, (struct wbi_mem_faults){.capacity = 65536});
}

/* The same with every read and write cut short. */
static void make_tight_mem(struct pair *p)
{
	make_mem_with(p,
		      (struct wbi_mem_faults){.capacity = 1021, .read_max = 97, .write_max = 331});
}

static const struct maker tcp = {"tcp", make_tcp, dial_nobody_tcp, ECONNREFUSED};
static const struct maker unix_path = {"unix", make_unix, dial_nobody_unix, ENOENT};
static const struct maker tls = {"tls", make_tls, NULL, 0};
static const struct maker mem = {"mem", make_mem, NULL, 0};
static const struct maker tight_mem = {"tight mem", make_tight_mem, NULL, 0};

static int set_up(void **state)
{
	pair = (struct pair){.maker = *state};
	pair.maker->make(&pair);
	for (int i = 0; i < 2; i++) {
		pair.sides[i].open = true;
		pair.sides[i].in_room = HUGE_BYTES + 1;
		pair.sides[i].in = malloc(HUGE_BYTES + 1);
		assert_non_null(pair.sides[i].in);
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		close_side(&pair.sides[i]);
		free(pair.sides[i].in);
	}
	tls_pair_close(&pair.tls);
	wbi_loop_free(pair.loop);
	wbi_mem_pair_free(pair.mem);
	return 0;
}

/* ---- moving ---- */

static void to_send(struct side *side, const void *data, size_t bytes, bool shut_after)
{
	side->out = data;
	side->out_bytes = bytes;
	side->sent = 0;
	side->shut_after = shut_after;
	want_what_is_left(side);
}

static bool is_over(const struct side *side)
{
	return !side->open || side->ended;
}

static bool both_over(void)
{
	return is_over(&pair.sides[0]) && is_over(&pair.sides[1]);
}

static bool first_over(void)
{
	return is_over(&pair.sides[0]);
}

static bool second_over(void)
{
	return is_over(&pair.sides[1]);
}

static void move_until(bool (*done)(void))
{
	uint64_t deadline_ms = wbi_clock_ms() + PATIENCE_MS;

	for (int i = 0; i < 2; i++)
		want_what_is_left(&pair.sides[i]);
	while (!done()) {
		if (wbi_clock_ms() > deadline_ms)
			fail_msg("%s: nothing moves any more", pair.maker->name);
		if (pair.mem)
			wbi_mem_pump(pair.mem);
		else
			assert_int_equal(wbi_loop_turn(pair.loop, PATIENCE_MS, NULL), WB_OK);
	}
}

static void expect(const struct side *side, const void *want, size_t bytes)
{
	assert_int_equal(side->error, 0);
	assert_true(side->ended);
	assert_int_equal(side->got, bytes);
	if (memcmp(side->in, want, bytes) != 0)
		fail_msg("%s: %zu bytes, but not those that were sent", pair.maker->name, bytes);
}

/* Bytes in which a lost, doubled or misplaced block shows. */
static uint8_t *new_pattern(size_t bytes)
{
	uint8_t *data = malloc(bytes);
	uint32_t x = 1;

	assert_non_null(data);
	for (size_t i = 0; i < bytes; i++) {
		x = x * 1664525 + 1013904223;
		data[i] = (uint8_t)(x >> 24);
	}
	return data;
}

/* ---- the suite ---- */

static void test_exchange(void **state)
{
	struct side *a = &pair.sides[0], *b = &pair.sides[1];
	(void)state;

	to_send(a, "hello", 5, true);
	to_send(b, "and hello to you", 16, true);
	move_until(both_over);
	expect(a, "and hello to you", 16);
	expect(b, "hello", 5);
}

static void test_one_byte(void **state)
{
	struct side *a = &pair.sides[0], *b = &pair.sides[1];
	struct iovec part = {.iov_base = (char[]){"x"}, .iov_len = 1};
	(void)state;

	assert_int_equal(wbi_link_read(a->link, a->in, 1), -EAGAIN);
	assert_int_equal(wbi_link_write(a->link, &part, 1), 1);
	to_send(a, "", 0, true);
	move_until(second_over);
	expect(b, "x", 1);
}

static void test_nothing_at_all(void **state)
{
	(void)state;
	to_send(&pair.sides[0], "", 0, true);
	to_send(&pair.sides[1], "", 0, true);
	move_until(both_over);
	expect(&pair.sides[0], "", 0);
	expect(&pair.sides[1], "", 0);
}

/* The end of one direction leaves the other as it was. */
static void test_half_close(void **state)
{
	struct side *a = &pair.sides[0], *b = &pair.sides[1];
	(void)state;

	to_send(a, "request", 7, true);
	move_until(second_over);
	expect(b, "request", 7);
	assert_false(a->ended);
	to_send(b, "reply", 5, true);
	move_until(first_over);
	expect(a, "reply", 5);
}

/* More than any buffer holds, both ways at once. */
static void test_huge_messages(void **state)
{
	struct side *a = &pair.sides[0], *b = &pair.sides[1];
	uint8_t *data = new_pattern(HUGE_BYTES);
	(void)state;

	to_send(a, data, HUGE_BYTES, true);
	to_send(b, data, HUGE_BYTES, true);
	move_until(both_over);
	expect(a, data, HUGE_BYTES);
	expect(b, data, HUGE_BYTES);
	assert_true(a->partial_writes > 0);
	free(data);
}

/* Many parts in one write: no more are taken than the kernel allows, and none is refused. */
static void test_many_parts(void **state)
{
	enum { PARTS = 3000 };
	struct side *a = &pair.sides[0], *b = &pair.sides[1];
	struct iovec *parts = calloc(PARTS, sizeof(*parts));
	uint8_t *data = new_pattern(PARTS);
	(void)state;

	assert_non_null(parts);
	for (int i = 0; i < PARTS; i++)
		parts[i] = (struct iovec){data + i, 1};
	ssize_t n = wbi_link_write(a->link, parts, PARTS);
	assert_in_range(n, 1, PARTS);
	to_send(a, data + n, (size_t)(PARTS - n), true);
	move_until(second_over);
	expect(b, data, PARTS);
	free(parts);
	free(data);
}

static void test_nobody_there(void **state)
{
	const struct maker *maker = *state;
	struct wb_fault fault = {0};

	assert_int_equal(maker->dial_nobody(&fault), WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, maker->nobody_errno);
}

/* The reader goes away in the middle: the writer hears of it, and no signal is raised. */
static void test_reader_cut_in_the_middle(void **state)
{
	struct side *a = &pair.sides[0], *b = &pair.sides[1];
	uint8_t *data = new_pattern(HUGE_BYTES);
	(void)state;

	to_send(a, data, HUGE_BYTES, true);
	b->stop_at = 100000;
	move_until(first_over);
	assert_false(b->open);
	assert_true(a->error == EPIPE || a->error == ECONNRESET);
	assert_true(a->sent < HUGE_BYTES);
	assert_memory_equal(b->in, data, b->got);
	free(data);
}

/* The writer goes away with input unread: the reader gets an error, never a clean end. */
static void test_writer_cut_in_the_middle(void **state)
{
	struct side *a = &pair.sides[0], *b = &pair.sides[1];
	struct iovec part = {.iov_base = (char[]){"abc"}, .iov_len = 3};
	(void)state;

	assert_int_equal(wbi_link_write(a->link, &part, 1), 3);
	assert_int_equal(wbi_link_write(b->link, &part, 1), 3);
	close_side(a);
	move_until(second_over);
	assert_false(b->ended);
	assert_int_equal(b->error, ECONNRESET);
}

/* ---- files ---- */

static int new_file(const uint8_t *data, size_t bytes)
{
	int file;

	assert_int_equal(wbi_fd_temporary("/tmp", &file, NULL), WB_OK);
	assert_int_equal(wbi_fd_write_all(file, data, bytes, NULL), WB_OK);
	return file;
}

static bool all_got(void)
{
	return pair.sides[1].got == pair.sides[0].out_bytes;
}

static void test_send_file(void **state)
{
	enum { FROM = 1000, BYTES = 1 << 20 };
	struct side *a = &pair.sides[0], *b = &pair.sides[1];
	uint8_t *data = new_pattern(FROM + BYTES + 1000);
	int file = new_file(data, FROM + BYTES + 1000);
	size_t sent = 0;
	(void)state;

	while (sent < BYTES) {
		ssize_t n =
			a->link->ops->send_file(a->link, file, (off_t)(FROM + sent), BYTES - sent);
		if (n == -EAGAIN) {
			a->out_bytes = a->sent = sent;
			move_until(all_got);
			continue;
		}
		assert_true(n > 0);
		sent += (size_t)n;
	}
	to_send(a, "", 0, true);
	move_until(second_over);
	expect(b, data + FROM, BYTES);
	wbi_fd_close(&file);
	free(data);
}

static void test_send_file_to_nobody(void **state)
{
	struct side *a = &pair.sides[0];
	uint8_t *data = new_pattern(HUGE_BYTES);
	int file = new_file(data, HUGE_BYTES);
	ssize_t n = 1;
	sigset_t blocked;
	(void)state;

	close_side(&pair.sides[1]);
	for (int i = 0; i < 100 && n > 0; i++)
		n = a->link->ops->send_file(a->link, file, 0, HUGE_BYTES);
	assert_true(n == -EPIPE || n == -ECONNRESET);
	n = a->link->ops->send_file(a->link, file, 0, HUGE_BYTES);
	assert_int_equal(n, -EPIPE);
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	assert_false(sigismember(&blocked, SIGPIPE));
	wbi_fd_close(&file);
	free(data);
}

/* clang-format off */
#define ONE(test, maker)  {#test " (" #maker ")", test, set_up, tear_down, (void *)&maker}
#define SOCKETS(test)     ONE(test, tcp), ONE(test, unix_path)
#define ALL(test)         SOCKETS(test), ONE(test, tls), ONE(test, mem), ONE(test, tight_mem)
/* clang-format on */

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALL(test_exchange),
		ALL(test_one_byte),
		ALL(test_nothing_at_all),
		ALL(test_half_close),
		ALL(test_huge_messages),
		ALL(test_many_parts),
		ALL(test_reader_cut_in_the_middle),
		ALL(test_writer_cut_in_the_middle),
		SOCKETS(test_nobody_there),
		SOCKETS(test_send_file),
		SOCKETS(test_send_file_to_nobody),
	};
	signal(SIGPIPE, SIG_DFL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
