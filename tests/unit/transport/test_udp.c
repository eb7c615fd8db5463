/* UDP: datagrams of every size whole, batches, replies that wait, are refused, or are dropped.
 *
 * What loopback UDP never does (cut a datagram, hold back a reply, refuse one) unix datagram
 * sockets do, through the same calls. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/addr.h"
#include "sys/fd.h"
#include "transport/udp.h"

enum { PATIENCE_MS = 10000, IPV6_PAYLOAD_MAX = 65527 };

/* A bound server with its batch, and a client connected to it. */
struct meeting {
	int server, client;
	struct wbi_udp_batch *batch;
};

static struct wbi_addr address(const char *text, unsigned port)
{
	struct wbi_addr addr;
	struct wbi_uri uri;
	unsigned count;

	assert_int_equal(wbi_uri_parse(text, &uri, NULL), WB_OK);
	uri.port = (uint16_t)port;
	assert_int_equal(wbi_addr_resolve(&uri, true, &addr, 1, &count, NULL), WB_OK);
	return addr;
}

static struct meeting meet(const char *server, const char *client)
{
	struct meeting meeting;
	struct wbi_addr at = address(server, 0), bound;
	struct wb_fault fault;

	if (wbi_udp_bind(&at, &meeting.server, &bound, &fault) != WB_OK)
		fail_msg("%s", fault.text);
	at = address(client, wbi_addr_port(&bound));
	assert_int_equal(wbi_udp_dial(&at, 1, &meeting.client, NULL), WB_OK);
	assert_int_equal(wbi_udp_batch_new(meeting.server, wbi_addr_is_wildcard(&bound),
					   &meeting.batch, NULL),
			 WB_OK);
	return meeting;
}

static struct meeting meet_in_pair(void)
{
	struct meeting meeting;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends),
			 0);
	meeting.server = ends[0];
	meeting.client = ends[1];
	assert_int_equal(wbi_udp_batch_new(meeting.server, false, &meeting.batch, NULL), WB_OK);
	return meeting;
}

static void part(struct meeting *meeting)
{
	wbi_udp_batch_free(meeting->batch);
	wbi_fd_close(&meeting->server);
	wbi_fd_close(&meeting->client);
}

static void await_readable(int fd)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
}

static int receive(struct meeting *meeting)
{
	await_readable(meeting->server);
	return wbi_udp_batch_receive(meeting->batch);
}

static void reply_all(struct meeting *meeting)
{
	unsigned refused = 77;
	assert_int_equal(wbi_udp_batch_reply(meeting->batch, &refused), 0);
	assert_int_equal(refused, 0);
}

static char large[70000], answer[70000];

/* One datagram there and back; the server changes its first byte in place. */
static void echo(struct meeting *meeting, size_t bytes)
{
	uint8_t *data;
	size_t arrived;
	bool truncated;

	memset(large, 'd', sizeof(large));
	assert_int_equal(send(meeting->client, large, bytes, 0), bytes);
	assert_int_equal(receive(meeting), 1);
	wbi_udp_batch_at(meeting->batch, 0, &data, &arrived, &truncated);
	assert_int_equal(arrived, bytes);
	assert_false(truncated);
	assert_memory_equal(data, large, bytes);
	if (bytes > 0)
		data[0] = large[0] = 'D';
	reply_all(meeting);
	await_readable(meeting->client);
	assert_int_equal(recv(meeting->client, answer, sizeof(answer), 0), bytes);
	assert_memory_equal(answer, large, bytes);
}

static void test_every_size_comes_whole(void **state)
{
	struct meeting meeting = meet("udp://127.0.0.1", "udp://127.0.0.1");
	(void)state;

	echo(&meeting, WBI_UDP_PAYLOAD_MAX);
	echo(&meeting, 0);
	echo(&meeting, 1);
	echo(&meeting, 1472);
	echo(&meeting, WBI_UDP_PAYLOAD_MAX);
	assert_int_equal(wbi_udp_batch_receive(meeting.batch), 0);
	part(&meeting);
}

static bool has_ipv6(void)
{
	struct wbi_addr addr = address("udp://[::1]", 0);
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool has = fd >= 0 && bind(fd, &addr.any, addr.bytes) == 0;

	wbi_fd_close(&fd);
	if (!has)
		print_message("SKIPPED: this machine has no IPv6 on loopback\n");
	return has;
}

static void test_ipv6(void **state)
{
	(void)state;
	if (!has_ipv6())
		skip();
	struct meeting meeting = meet("udp://[::1]", "udp://[::1]");
	echo(&meeting, 64);
	echo(&meeting, IPV6_PAYLOAD_MAX);
	part(&meeting);
	meeting = meet("udp://[::]", "udp://[::1]");
	echo(&meeting, 64);
	echo(&meeting, 65);
	part(&meeting);
}

/* The client is connected: it hears nothing that comes from another address than it wrote to. */
static void test_a_wildcard_answers_from_where_it_was_called(void **state)
{
	struct meeting meeting = meet("udp://0.0.0.0", "udp://127.0.0.2");
	(void)state;

	echo(&meeting, 64);
	echo(&meeting, WBI_UDP_PAYLOAD_MAX);
	part(&meeting);
}

static void test_the_peer_is_told(void **state)
{
	struct meeting meeting = meet("udp://127.0.0.1", "udp://127.0.0.1");
	struct wbi_addr own = {.bytes = sizeof(own.storage)};
	socklen_t bytes;
	(void)state;

	assert_int_equal(send(meeting.client, "x", 1, 0), 1);
	assert_int_equal(receive(&meeting), 1);
	const struct sockaddr *peer = wbi_udp_batch_peer(meeting.batch, 0, &bytes);
	assert_int_equal(getsockname(meeting.client, &own.any, &own.bytes), 0);
	assert_int_equal(bytes, own.bytes);
	assert_memory_equal(peer, &own.any, bytes);
	part(&meeting);
}

static void send_number(int fd, int number)
{
	assert_int_equal(send(fd, &number, sizeof(number), 0), sizeof(number));
}

static void expect_number(int fd, int want)
{
	int number = -1;

	await_readable(fd);
	assert_int_equal(recv(fd, &number, sizeof(number), 0), sizeof(number));
	assert_int_equal(number, want);
}

static void expect_silence(int fd)
{
	char byte;
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

static void test_more_than_a_batch_in_order(void **state)
{
	struct meeting meeting = meet("udp://127.0.0.1", "udp://127.0.0.1");
	(void)state;

	for (int i = 0; i < 100; i++)
		send_number(meeting.client, i);
	assert_int_equal(receive(&meeting), WBI_UDP_BATCH);
	reply_all(&meeting);
	assert_int_equal(receive(&meeting), 100 - WBI_UDP_BATCH);
	reply_all(&meeting);
	for (int i = 0; i < 100; i++)
		expect_number(meeting.client, i);
	expect_silence(meeting.client);
	part(&meeting);
}

static void test_what_is_dropped_is_not_answered(void **state)
{
	static const int dropped[] = {0, 1, 5, 62, 63};
	struct meeting meeting = meet("udp://127.0.0.1", "udp://127.0.0.1");
	(void)state;

	for (int i = 0; i < WBI_UDP_BATCH; i++)
		send_number(meeting.client, i);
	assert_int_equal(receive(&meeting), WBI_UDP_BATCH);
	for (int i = 0; i < 5; i++)
		wbi_udp_batch_drop(meeting.batch, dropped[i]);
	reply_all(&meeting);
	for (int i = 2; i < 62; i++)
		if (i != 5)
			expect_number(meeting.client, i);
	expect_silence(meeting.client);

	send_number(meeting.client, 64); /* left unanswered, then forgotten */
	assert_int_equal(receive(&meeting), 1);
	assert_int_equal(wbi_udp_batch_receive(meeting.batch), 0);
	reply_all(&meeting);
	expect_silence(meeting.client);
	part(&meeting);
}

static void test_a_cut_datagram_is_told_and_not_answered(void **state)
{
	struct meeting meeting = meet_in_pair();
	uint8_t *data;
	size_t bytes;
	bool truncated;
	(void)state;

	assert_int_equal(send(meeting.client, large, 65537, 0), 65537);
	assert_int_equal(send(meeting.client, large, 65536, 0), 65536);
	assert_int_equal(receive(&meeting), 2);
	wbi_udp_batch_at(meeting.batch, 0, &data, &bytes, &truncated);
	assert_true(truncated);
	assert_int_equal(bytes, 65536);
	wbi_udp_batch_at(meeting.batch, 1, &data, &bytes, &truncated);
	assert_false(truncated);
	assert_int_equal(bytes, 65536);
	reply_all(&meeting);
	assert_int_equal(recv(meeting.client, answer, sizeof(answer), 0), 65536);
	expect_silence(meeting.client);
	part(&meeting);
}

/* The way back is full, then has room for some: each reply goes once, in order. */
static void test_replies_wait_and_go_on_where_they_stopped(void **state)
{
	enum { COUNT = 8, FILLER = -7 };
	struct meeting meeting = meet_in_pair();
	unsigned refused;
	int filler = FILLER, fillers = 0;
	(void)state;

	for (int i = 0; i < COUNT; i++)
		send_number(meeting.client, i);
	assert_int_equal(receive(&meeting), COUNT);
	while (send(meeting.server, &filler, sizeof(filler), MSG_DONTWAIT) > 0)
		fillers++;
	assert_true(fillers > 3);

	assert_int_equal(wbi_udp_batch_reply(meeting.batch, &refused), -EAGAIN);
	for (int i = 0; i < 3; i++)
		expect_number(meeting.client, FILLER);
	assert_int_equal(wbi_udp_batch_reply(meeting.batch, &refused), -EAGAIN);
	for (int i = 3; i < fillers; i++)
		expect_number(meeting.client, FILLER);
	for (int i = 0; i < 3; i++)
		expect_number(meeting.client, i);
	reply_all(&meeting);
	for (int i = 3; i < COUNT; i++)
		expect_number(meeting.client, i);
	expect_silence(meeting.client);
	part(&meeting);
}

/* A client with a short abstract name that the kernel chose. */
static int new_named_client(const struct wbi_addr *server)
{
	struct sockaddr_un nameless = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&nameless, sizeof(sa_family_t)), 0);
	assert_int_equal(connect(fd, &server->any, server->bytes), 0);
	return fd;
}

static void test_a_refused_reply_is_counted_and_skipped(void **state)
{
	struct wbi_addr server = {.un.sun_family = AF_UNIX, .bytes = sizeof(sa_family_t)};
	struct meeting meeting = {.server = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
	unsigned refused;
	(void)state;

	assert_int_equal(bind(meeting.server, &server.any, server.bytes), 0);
	server.bytes = sizeof(server.storage);
	assert_int_equal(getsockname(meeting.server, &server.any, &server.bytes), 0);
	assert_int_equal(wbi_udp_batch_new(meeting.server, false, &meeting.batch, NULL), WB_OK);
	meeting.client = new_named_client(&server);
	int gone = new_named_client(&server);

	send_number(gone, 0);
	send_number(meeting.client, 1);
	send_number(gone, 2);
	send_number(gone, 3);
	send_number(meeting.client, 4);
	assert_int_equal(receive(&meeting), 5);
	wbi_fd_close(&gone);
	assert_int_equal(wbi_udp_batch_reply(meeting.batch, &refused), 0);
	assert_int_equal(refused, 3);
	expect_number(meeting.client, 1);
	expect_number(meeting.client, 4);
	expect_silence(meeting.client);
	part(&meeting);
}

static void test_a_taken_port_is_an_error_that_names_it(void **state)
{
	struct wbi_addr at = address("udp://127.0.0.1", 0), bound, again;
	struct wb_fault fault;
	char text[WBI_ADDR_TEXT_MAX];
	int first, second = -1;
	(void)state;

	assert_int_equal(wbi_udp_bind(&at, &first, &bound, NULL), WB_OK);
	assert_int_equal(wbi_udp_bind(&bound, &second, &again, &fault), WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, EADDRINUSE);
	wbi_addr_format(&bound, text);
	assert_non_null(strstr(fault.text, text));
	assert_int_equal(second, -1);
	wbi_fd_close(&first);
}

static void test_an_error_is_told(void **state)
{
	struct meeting meeting = meet_in_pair();
	(void)state;

	wbi_fd_close(&meeting.server);
	assert_int_equal(wbi_udp_batch_receive(meeting.batch), -EBADF);
	part(&meeting);
	wbi_udp_batch_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_size_comes_whole),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_a_wildcard_answers_from_where_it_was_called),
		cmocka_unit_test(test_the_peer_is_told),
		cmocka_unit_test(test_more_than_a_batch_in_order),
		cmocka_unit_test(test_what_is_dropped_is_not_answered),
		cmocka_unit_test(test_a_cut_datagram_is_told_and_not_answered),
		cmocka_unit_test(test_replies_wait_and_go_on_where_they_stopped),
		cmocka_unit_test(test_a_refused_reply_is_counted_and_skipped),
		cmocka_unit_test(test_a_taken_port_is_an_error_that_names_it),
		cmocka_unit_test(test_an_error_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
