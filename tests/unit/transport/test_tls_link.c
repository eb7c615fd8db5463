/* TLS over a socket: from one loop to another with all that is buffered, without a loop, beside a
 * plain link, and what its owner hears. The suite for all transports is tests/conformance/. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>

#include <cmocka.h>
#include <poll.h>

#include "sys/clock.h"
#include "sys/fd.h"
#include "tls_wire.h"
#include "transport/tls_link.h"
#include "transport/tls_state.h"

enum { PATIENCE_MS = 20000, BIG_BYTES = 4 << 20 };

/* One end, as its owner sees it. */
struct owner {
	struct wbi_stream_link stream;
	struct wbi_loop *loop; /* NULL: polled */
	struct side side;
	uint8_t *in;
	size_t got, read_max;
	unsigned heard;
	unsigned calls; /* of on_link */
	ssize_t error;  /* of the last read that gave nothing */
};

static struct owner owners[2];
static int fds[2];

static struct wbi_link *link_of(struct owner *owner)
{
	return &owner->stream.link;
}

static void read_some(struct owner *owner)
{
	size_t room = owner->read_max ? owner->read_max : BIG_BYTES - owner->got;
	ssize_t n = wbi_link_read(link_of(owner), owner->in + owner->got, room);

	if (n > 0)
		owner->got += (size_t)n;
	else
		owner->error = n;
}

/* Once for each call, as an owner does that lets others have their turn. */
static void on_link(struct wbi_link *link, unsigned events)
{
	struct owner *owner = WBI_CONTAINER(WBI_CONTAINER(link, struct wbi_stream_link, link),
					    struct owner, stream);

	owner->calls++;
	owner->heard |= events;
	if (events & (WBI_READ | WBI_HANGUP))
		read_some(owner);
	if (owner->error != -EAGAIN && owner->error != 1)
		wbi_link_want(link, 0);
}

static void own(struct owner *owner, enum wbi_tls_role role, int fd, bool looped)
{
	*owner = (struct owner){.in = malloc(BIG_BYTES), .error = 1};
	assert_non_null(owner->in);
	if (looped)
		assert_int_equal(wbi_loop_new(&owner->loop, NULL), WB_OK);
	side_open(&owner->side, role, (uint8_t)role + 1);
	assert_int_equal(wbi_tls_new(owner->side.context, &owner->side.tls, NULL), WB_OK);
	assert_int_equal(wbi_tls_link_init(&owner->stream, owner->side.tls, owner->loop, fd,
					   looped ? on_link : NULL, WBI_READ, NULL),
			 WB_OK);
}

static void disown(struct owner *owner)
{
	wbi_link_close(link_of(owner));
	owner->side.tls = NULL; /* the link's */
	side_close(&owner->side);
	wbi_loop_free(owner->loop);
	free(owner->in);
}

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
	return 0;
}

static void turn(struct owner *owner, int wait_ms)
{
	assert_int_equal(wbi_loop_turn(owner->loop, wait_ms, NULL), WB_OK);
}

/* One step of an owner that polls. */
static void poll_once(struct owner *owner)
{
	bool now;
	struct pollfd wait = {.fd = owner->stream.watch.fd};
	unsigned wants = wbi_tls_link_wants(&owner->stream, WBI_READ, &now), ready;

	wait.events = (short)((wants & WBI_READ ? POLLIN : 0) | (wants & WBI_WRITE ? POLLOUT : 0));
	assert_true(poll(&wait, 1, 0) >= 0);
	ready = (unsigned)((wait.revents & POLLIN ? WBI_READ : 0) |
			   (wait.revents & POLLOUT ? WBI_WRITE : 0) |
			   (wait.revents & (POLLHUP | POLLERR) ? WBI_HANGUP : 0));
	if (!ready && !now)
		return;
	ready = wbi_tls_link_ready(&owner->stream, ready);
	owner->heard |= ready;
	if (ready & (WBI_READ | WBI_HANGUP))
		read_some(owner);
}

static void step(struct owner *owner)
{
	if (owner->loop)
		turn(owner, 0);
	else
		poll_once(owner);
}

static void step_until(bool (*done)(void))
{
	uint64_t deadline_ms = wbi_clock_ms() + PATIENCE_MS;

	while (!done()) {
		step(&owners[0]);
		step(&owners[1]);
		if (wbi_clock_ms() > deadline_ms)
			fail_msg("nothing moves any more");
	}
}

static bool both_open(void)
{
	return wbi_tls_is_open(owners[0].side.tls) && wbi_tls_is_open(owners[1].side.tls);
}

static void meet(bool client_looped)
{
	own(&owners[0], WBI_TLS_CLIENT, fds[0], client_looped);
	own(&owners[1], WBI_TLS_SERVER, fds[1], true);
	step_until(both_open);
}

static void part(void)
{
	disown(&owners[0]);
	disown(&owners[1]);
}

/* Writes until the link takes no more, and returns how much that was. */
static size_t fill(struct owner *owner)
{
	static const uint8_t block[100000] = "a block of data";
	struct iovec piece = {(void *)block, sizeof(block)};
	size_t total = 0;
	ssize_t n;

	while ((n = wbi_link_write(link_of(owner), &piece, 1)) > 0)
		total += (size_t)n;
	assert_int_equal(n, -EAGAIN);
	return total;
}

static size_t expected;

static bool server_has_it(void)
{
	return owners[1].got >= expected;
}

static bool client_has_it(void)
{
	return owners[0].got >= expected;
}

/* ---- owners ---- */

static void test_client_that_polls(void **state)
{
	struct iovec piece = {(char[]){"hello"}, 5};
	(void)state;

	meet(false);
	assert_int_equal(wbi_link_write(link_of(&owners[0]), &piece, 1), 5);
	expected = 5;
	step_until(server_has_it);
	assert_int_equal(wbi_link_write(link_of(&owners[1]), &piece, 1), 5);
	step_until(client_has_it);
	assert_memory_equal(owners[0].in, "hello", 5);
	part();
}

/* What the socket did not take is sent by the link itself, though its owner wants no more writes.
 */
static void test_rest_of_a_record(void **state)
{
	(void)state;
	for (int looped = 0; looped < 2; looped++) {
		meet(looped);
		expected = fill(&owners[0]);
		assert_true(wbi_tls_has_unsent(owners[0].side.tls));
		step_until(server_has_it);
		assert_false(wbi_tls_has_unsent(owners[0].side.tls));
		part();
		set_up(NULL);
	}
	wbi_fd_close(&fds[0]);
	wbi_fd_close(&fds[1]);
}

/* As long as the socket takes nothing, nobody is asked to write: not by what comes in, either. */
static void test_no_write_before_the_rest(void **state)
{
	(void)state;
	meet(true);
	fill(&owners[0]);
	owners[0].heard = 0;
	wbi_link_want(link_of(&owners[0]), WBI_READ | WBI_WRITE);
	assert_int_equal(wbi_link_write(link_of(&owners[1]), &(struct iovec){(char[]){"x"}, 1}, 1),
			 1);
	turn(&owners[0], PATIENCE_MS);
	assert_int_equal(owners[0].heard, WBI_READ);
	assert_int_equal(owners[0].got, 1);
	part();
}

/* A reader that takes a little at a time is called until all is read, though the socket is long
 * empty. */
static void test_small_reads(void **state)
{
	uint8_t data[10000] = {0};
	struct iovec piece = {data, sizeof(data)};
	(void)state;

	for (int looped = 0; looped < 2; looped++) {
		meet(looped);
		owners[0].read_max = owners[1].read_max = 97;
		assert_int_equal(wbi_link_write(link_of(&owners[0]), &piece, 1), sizeof(data));
		expected = sizeof(data);
		step_until(server_has_it);
		assert_int_equal(wbi_link_write(link_of(&owners[1]), &piece, 1), sizeof(data));
		step_until(client_has_it);
		part();
		set_up(NULL);
	}
	wbi_fd_close(&fds[0]);
	wbi_fd_close(&fds[1]);
}

/* ---- from loop to loop ---- */

static void move(struct owner *owner)
{
	struct wbi_tls *tls;
	int fd;

	wbi_tls_link_take(&owner->stream, &fd, &tls);
	assert_ptr_equal(tls, owner->side.tls);
	assert_null(wbi_tls_link_peek(&owner->stream));
	wbi_loop_free(owner->loop);
	assert_int_equal(wbi_loop_new(&owner->loop, NULL), WB_OK);
	assert_int_equal(
		wbi_tls_link_init(&owner->stream, tls, owner->loop, fd, on_link, WBI_READ, NULL),
		WB_OK);
}

static void test_moves_with_what_is_buffered(void **state)
{
	(void)state;
	meet(true);
	expected = fill(&owners[1]);
	assert_true(wbi_tls_has_unsent(owners[1].side.tls));
	owners[0].read_max = 11;
	turn(&owners[0], PATIENCE_MS); /* a part of a record is read: the rest waits inside */
	assert_true(wbi_tls_has_unread(owners[0].side.tls));
	move(&owners[0]);
	move(&owners[1]);
	owners[0].read_max = 0;
	step_until(client_has_it);
	assert_int_equal(owners[0].got, expected);
	part();
}

/* Taken in the very turn in which it had asked to be called again. */
static void test_moves_in_the_handshake(void **state)
{
	(void)state;
	own(&owners[0], WBI_TLS_CLIENT, fds[0], true);
	own(&owners[1], WBI_TLS_SERVER, fds[1], true);
	for (int i = 0; i < 3; i++) {
		move(&owners[0]);
		move(&owners[1]);
		step(&owners[0]);
		step(&owners[1]);
	}
	step_until(both_open);
	part();
}

/* Closed while it had asked to be called again. */
static void test_closed_before_it_is_called(void **state)
{
	(void)state;
	own(&owners[0], WBI_TLS_CLIENT, fds[0], true);
	wbi_link_close(link_of(&owners[0]));
	turn(&owners[0], 0);
	assert_int_equal(owners[0].calls, 0);
	owners[0].side.tls = NULL;
	side_close(&owners[0].side);
	wbi_loop_free(owners[0].loop);
	free(owners[0].in);
	wbi_fd_close(&fds[1]);
}

/* ---- what goes wrong ---- */

static bool server_has_failed(void)
{
	return wbi_tls_fault(owners[1].side.tls) && (owners[1].heard & WBI_HANGUP);
}

static void test_failed_handshake_is_told(void **state)
{
	(void)state;
	own(&owners[1], WBI_TLS_SERVER, fds[1], true);
	assert_int_equal(wbi_fd_write_all(fds[0], "GET / HTTP/1.0\r\n\r\n", 18, NULL), WB_OK);
	while (!server_has_failed())
		turn(&owners[1], PATIENCE_MS);
	assert_int_equal(owners[1].error, -EPROTO);
	expect_fault(&owners[1].side, WB_ERR_MALFORMED, "HTTP");
	disown(&owners[1]);
	wbi_fd_close(&fds[0]);
}

static void test_no_write_before_the_handshake(void **state)
{
	struct iovec piece = {(char[]){"x"}, 1};
	bool now;
	(void)state;

	own(&owners[1], WBI_TLS_SERVER, fds[1], true);
	assert_int_equal(wbi_link_write(link_of(&owners[1]), &piece, 1), -EAGAIN);
	assert_int_equal(wbi_tls_link_wants(&owners[1].stream, WBI_READ | WBI_WRITE, &now),
			 WBI_READ);
	assert_false(now);
	assert_int_equal(wbi_tls_link_wants(&owners[1].stream, 0, &now), 0);
	wbi_link_want(link_of(&owners[1]), WBI_WRITE);
	turn(&owners[1], 0);
	assert_int_equal(owners[1].heard, 0);
	disown(&owners[1]);
	wbi_fd_close(&fds[0]);
}

static ssize_t refuse(void *context, const void *data, size_t bytes)
{
	(void)context;
	(void)data;
	(void)bytes;
	return -ENOBUFS;
}

/* The socket itself knows of no error: the owner is called to write, and hears it there. */
static void test_error_between_link_and_socket(void **state)
{
	static const struct wbi_tls_io deaf = {.write = refuse};
	struct iovec piece = {(char[]){"x"}, 1};
	(void)state;

	meet(true);
	wbi_tls_set_io(owners[0].side.tls, &deaf, NULL);
	assert_int_equal(wbi_link_write(link_of(&owners[0]), &piece, 1), 1);
	owners[0].heard = 0;
	wbi_link_want(link_of(&owners[0]), WBI_WRITE);
	turn(&owners[0], PATIENCE_MS);
	assert_int_equal(owners[0].heard, WBI_WRITE);
	assert_int_equal(wbi_link_write(link_of(&owners[0]), &piece, 1), -ENOBUFS);
	part();
}

static bool client_has_ended(void)
{
	return owners[0].error == 0;
}

/* An end that is said before the handshake is done follows it, whatever its owner wants. */
static void test_early_end(void **state)
{
	(void)state;
	own(&owners[0], WBI_TLS_CLIENT, fds[0], true);
	own(&owners[1], WBI_TLS_SERVER, fds[1], true);
	assert_int_equal(wbi_link_shutdown(link_of(&owners[1])), 0);
	wbi_link_want(link_of(&owners[1]), 0);
	step_until(client_has_ended);
	part();
}

/* ---- peers that would keep us busy ---- */

enum { IDLE_TURNS = 100 };

/* Nothing is to be done: nobody is called, however often the loop turns. */
static void expect_rest(struct owner *owner)
{
	turn(owner, 0);
	owner->calls = 0;
	for (int i = 0; i < IDLE_TURNS; i++)
		turn(owner, 0);
	assert_int_equal(owner->calls, 0);
}

static struct {
	uint8_t data[8192];
	size_t bytes;
} held;

/* It asks for new keys again and again, says a little in between, and takes none of the answers. */
static void test_answers_that_nobody_takes(void **state)
{
	uint64_t deadline_ms = wbi_clock_ms() + PATIENCE_MS;
	SSL *ssl;
	(void)state;

	meet(false);
	ssl = owners[0].side.tls->ssl;
	expected = 0;
	while (!wbi_tls_has_unsent(owners[0].side.tls) && wbi_clock_ms() < deadline_ms) {
		assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
		SSL_do_handshake(ssl);
		assert_int_equal(SSL_write(ssl, "x", 1), 1);
		expected++;
		turn(&owners[1], 0);
	}
	assert_true(wbi_tls_is_choked(owners[1].side.tls));
	expect_rest(&owners[1]);
	while (!server_has_it() && wbi_clock_ms() < deadline_ms) {
		(void)recv(fds[0], held.data, sizeof(held.data), 0);
		wbi_tls_flush(owners[0].side.tls);
		turn(&owners[1], 0);
	}
	assert_true(server_has_it());
	assert_false(wbi_tls_is_choked(owners[1].side.tls));
	part();
}

/* What was not sent goes when the link is closed; an end is the socket's end, too. */
static void test_last_bytes(void **state)
{
	(void)state;
	meet(true);
	assert_int_equal(wbi_link_shutdown(link_of(&owners[1])), 0);
	assert_true(recv(fds[0], held.data, sizeof(held.data), 0) > 0);
	assert_int_equal(recv(fds[0], held.data, sizeof(held.data), 0), 0);
	fill(&owners[0]);
	while (recv(fds[1], held.data, sizeof(held.data), 0) > 0)
		;
	disown(&owners[0]);
	assert_true(recv(fds[1], held.data, sizeof(held.data), 0) > 0);
	disown(&owners[1]);
}

static ssize_t hold(void *context, const void *data, size_t bytes)
{
	(void)context;
	assert_true(bytes <= sizeof(held.data) - held.bytes);
	memcpy(held.data + held.bytes, data, bytes);
	held.bytes += bytes;
	return (ssize_t)bytes;
}

static ssize_t read_nothing(void *context, void *data, size_t bytes)
{
	(void)context;
	(void)data;
	(void)bytes;
	return -EAGAIN;
}

static int enlarge_ticket(SSL *ssl, void *context)
{
	static const uint8_t padding[2000];
	(void)context;

	return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), padding, sizeof(padding));
}

/* A message of several records, as RFC 8446, 5.1 allows: `held`, with an "x" behind it. */
static void make_long_message(struct owner *owner)
{
	static const struct wbi_tls_io io = {.read = read_nothing, .write = hold};
	SSL *ssl = owner->side.tls->ssl;

	held.bytes = 0;
	wbi_tls_set_io(owner->side.tls, &io, NULL);
	SSL_CTX_set_session_ticket_cb(owner->side.context->ssl_context, enlarge_ticket, NULL, NULL);
	SSL_set_max_send_fragment(ssl, 512);
	assert_int_equal(SSL_new_session_ticket(ssl), 1);
	assert_int_equal(SSL_do_handshake(ssl), 1);
	assert_int_equal(SSL_write(ssl, "x", 1), 1);
}

/* A part of a message is no reason to fail, nor to be asked for writes that cannot be. */
static void half_a_message(bool ending)
{
	enum { PART = 600 };
	struct iovec piece = {(char[]){"y"}, 1};

	own(&owners[0], WBI_TLS_SERVER, fds[0], false);
	own(&owners[1], WBI_TLS_CLIENT, fds[1], true);
	step_until(both_open);
	make_long_message(&owners[0]);
	assert_int_equal(wbi_fd_write_all(fds[0], held.data, PART, NULL), WB_OK);
	turn(&owners[1], 0);
	assert_true(wbi_tls_is_interrupted(owners[1].side.tls));
	if (ending)
		assert_int_equal(wbi_link_shutdown(link_of(&owners[1])), 0);
	else
		assert_int_equal(wbi_link_write(link_of(&owners[1]), &piece, 1), -EAGAIN);
	wbi_link_want(link_of(&owners[1]), ending ? 0 : WBI_READ | WBI_WRITE);
	expect_rest(&owners[1]);
	assert_int_equal(wbi_fd_write_all(fds[0], held.data + PART, held.bytes - PART, NULL),
			 WB_OK);
	turn(&owners[1], 0);
	assert_false(wbi_tls_is_interrupted(owners[1].side.tls));
	if (!ending)
		assert_int_equal(wbi_link_write(link_of(&owners[1]), &piece, 1), 1);
	wbi_link_want(link_of(&owners[1]), WBI_READ);
	expected = 1;
	for (int i = 0; i < IDLE_TURNS && owners[1].got < expected; i++)
		turn(&owners[1], 0);
	assert_int_equal(owners[1].got, expected);
	assert_true(recv(fds[0], held.data, sizeof(held.data), 0) > 0);
	part();
	set_up(NULL);
}

static void test_half_a_message(void **state)
{
	(void)state;
	half_a_message(false);
	half_a_message(true);
	wbi_fd_close(&fds[0]);
	wbi_fd_close(&fds[1]);
}

/* The same functions, and no TLS. */
static void test_plain_link(void **state)
{
	struct wbi_stream_link plain;
	struct wbi_tls *tls = (struct wbi_tls *)fds;
	struct iovec piece = {(char[]){"x"}, 1};
	char got;
	bool now = true;
	int fd;
	(void)state;

	assert_int_equal(wbi_tls_link_init(&plain, NULL, NULL, fds[0], NULL, 0, NULL), WB_OK);
	assert_null(wbi_tls_link_peek(&plain));
	assert_int_equal(wbi_tls_link_wants(&plain, WBI_WRITE, &now), WBI_WRITE);
	assert_false(now);
	assert_int_equal(wbi_tls_link_ready(&plain, WBI_WRITE), WBI_WRITE);
	assert_int_equal(wbi_link_write(&plain.link, &piece, 1), 1);
	assert_int_equal(recv(fds[1], &got, 1, 0), 1);
	wbi_tls_link_take(&plain, &fd, &tls);
	assert_int_equal(fd, fds[0]);
	assert_null(tls);
	wbi_fd_close(&fds[0]);
	wbi_fd_close(&fds[1]);
}

#define TEST(test) cmocka_unit_test_setup(test, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_client_that_polls),
		TEST(test_rest_of_a_record),
		TEST(test_no_write_before_the_rest),
		TEST(test_small_reads),
		TEST(test_moves_with_what_is_buffered),
		TEST(test_moves_in_the_handshake),
		TEST(test_closed_before_it_is_called),
		TEST(test_failed_handshake_is_told),
		TEST(test_no_write_before_the_handshake),
		TEST(test_error_between_link_and_socket),
		TEST(test_early_end),
		TEST(test_answers_that_nobody_takes),
		TEST(test_last_bytes),
		TEST(test_half_a_message),
		TEST(test_plain_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
