/* TCP: options of its sockets, accepting when descriptors run out, dialling past dead addresses. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/addr.h"
#include "sys/fd.h"
#include "transport/tcp.h"

enum { PATIENCE_MS = 10000 };

static struct wbi_addr address(const char *text)
{
	struct wbi_addr addr;
	struct wbi_uri uri;
	unsigned count;

	assert_int_equal(wbi_uri_parse(text, &uri, NULL), WB_OK);
	assert_int_equal(wbi_addr_resolve(&uri, true, &addr, 1, &count, NULL), WB_OK);
	return addr;
}

static int listen_at(const char *text, struct wbi_addr *ret_bound)
{
	struct wbi_addr addr = address(text);
	struct wb_fault fault;
	int fd;

	if (wbi_tcp_listen(&addr, &fd, ret_bound, &fault) != WB_OK)
		fail_msg("%s", fault.text);
	return fd;
}

static int dial(const struct wbi_addr *addr)
{
	struct wb_fault fault;
	int fd;

	if (wbi_tcp_dial(addr, 1, PATIENCE_MS, &fd, &fault) != WB_OK)
		fail_msg("%s", fault.text);
	return fd;
}

static void await_readable(int fd)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t bytes = sizeof(value);
	assert_int_equal(getsockopt(fd, level, name, &value, &bytes), 0);
	return value;
}

static void check_connected(int fd)
{
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
}

/* An address where nobody listens, for as long as *ret_holder keeps it. */
static struct wbi_addr dead_address(int *ret_holder)
{
	struct wbi_addr bound = address("tcp://127.0.0.1:0");

	*ret_holder = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(*ret_holder, &bound.any, bound.bytes), 0);
	assert_int_equal(getsockname(*ret_holder, &bound.any, &bound.bytes), 0);
	return bound;
}

static void meet_at(const char *text)
{
	struct wbi_addr bound, peer, own = {.bytes = sizeof(own.storage)};
	int listener = listen_at(text, &bound), server = -1;

	assert_int_not_equal(wbi_addr_port(&bound), 0);
	assert_int_equal(wbi_tcp_accept(listener, &server, &peer, NULL), WB_ERR_TIMEOUT);
	assert_int_equal(server, -1);

	int client = dial(&bound);
	await_readable(listener);
	assert_int_equal(wbi_tcp_accept(listener, &server, &peer, NULL), WB_OK);
	check_connected(client);
	check_connected(server);
	assert_int_equal(getsockname(client, &own.any, &own.bytes), 0);
	assert_int_equal(own.bytes, peer.bytes);
	assert_memory_equal(&own.any, &peer.any, own.bytes);
	assert_int_equal(option(listener, SOL_SOCKET, SO_REUSEADDR), 1);
	wbi_fd_close(&client);
	wbi_fd_close(&server);
	wbi_fd_close(&listener);
}

static void test_ipv4(void **state)
{
	(void)state;
	meet_at("tcp://127.0.0.1:0");
}

static bool has_ipv6(void)
{
	struct wbi_addr addr = address("tcp://[::1]:0");
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
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
	meet_at("tcp://[::1]:0");
}

/* [::] must leave the same IPv4 port to others. */
static void test_ipv6_is_only_ipv6(void **state)
{
	struct wbi_addr ipv6, ipv4;
	char text[64];
	(void)state;

	if (!has_ipv6())
		skip();
	int listener6 = listen_at("tcp://[::]:0", &ipv6);
	snprintf(text, sizeof(text), "tcp://127.0.0.1:%u", wbi_addr_port(&ipv6));
	int listener4 = listen_at(text, &ipv4);
	wbi_fd_close(&listener6);
	wbi_fd_close(&listener4);
}

static void test_a_taken_port_is_an_error_that_names_it(void **state)
{
	struct wbi_addr bound, again;
	struct wb_fault fault;
	char text[WBI_ADDR_TEXT_MAX];
	int fd = -1, listener = listen_at("tcp://127.0.0.1:0", &bound);
	(void)state;

	wbi_addr_format(&bound, text);
	assert_int_equal(wbi_tcp_listen(&bound, &fd, &again, &fault), WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, EADDRINUSE);
	assert_non_null(strstr(fault.text, text));
	assert_int_equal(fd, -1);
	wbi_fd_close(&listener);
}

/* Out of descriptors: said as such, and the connection is there when there are some again. */
static void test_running_out_of_descriptors_is_survived(void **state)
{
	struct wbi_addr bound, peer;
	struct rlimit before, none;
	int listener = listen_at("tcp://127.0.0.1:0", &bound), server = -1;
	int client = dial(&bound);
	int lowest = dup(0);
	(void)state;

	await_readable(listener);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = (rlim_t)lowest;
	wbi_fd_close(&lowest);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	enum wb_err err = wbi_tcp_accept(listener, &server, &peer, NULL);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);

	assert_int_equal(err, WB_ERR_LIMIT);
	assert_int_equal(server, -1);
	await_readable(listener);
	assert_int_equal(wbi_tcp_accept(listener, &server, NULL, NULL), WB_OK);
	wbi_fd_close(&server);
	wbi_fd_close(&client);
	wbi_fd_close(&listener);
}

static void test_accept_on_what_does_not_listen_is_an_error(void **state)
{
	struct wb_fault fault;
	int holder, fd;
	(void)state;

	dead_address(&holder);
	assert_int_equal(wbi_tcp_accept(holder, &fd, NULL, &fault), WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, EINVAL);
	wbi_fd_close(&holder);
}

static void test_a_refusal_names_the_address(void **state)
{
	struct wb_fault fault;
	char text[WBI_ADDR_TEXT_MAX];
	int holder, fd = -1;
	struct wbi_addr dead = dead_address(&holder);
	(void)state;

	wbi_addr_format(&dead, text);
	assert_int_equal(wbi_tcp_dial(&dead, 1, PATIENCE_MS, &fd, &fault), WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, ECONNREFUSED);
	assert_non_null(strstr(fault.text, text));
	assert_int_equal(wbi_tcp_dial(&dead, 0, PATIENCE_MS, &fd, NULL), WB_ERR_ARGUMENT);
	assert_int_equal(fd, -1);
	wbi_fd_close(&holder);
}

static void test_every_address_is_tried(void **state)
{
	struct wbi_addr addrs[2];
	int holder, client = -1;
	int listener = listen_at("tcp://127.0.0.1:0", &addrs[1]);
	(void)state;

	addrs[0] = dead_address(&holder);
	assert_int_equal(wbi_tcp_dial(addrs, 2, PATIENCE_MS, &client, NULL), WB_OK);
	check_connected(client);
	wbi_fd_close(&client);
	wbi_fd_close(&listener);
	wbi_fd_close(&holder);
}

/* A full accept queue drops handshakes: the dialler hears nothing, and its deadline must end it. */
static void test_silence_meets_the_deadline(void **state)
{
	struct wbi_addr bound;
	int listener = listen_at("tcp://127.0.0.1:0", &bound), fillers[4], fd = -1;
	struct wb_fault fault;
	(void)state;

	assert_int_equal(listen(listener, 0), 0);
	for (int i = 0; i < 4; i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (connect(fillers[i], &bound.any, bound.bytes) != 0)
			assert_int_equal(errno, EINPROGRESS);
	}
	assert_int_equal(wbi_tcp_dial(&bound, 1, 50, &fd, &fault), WB_ERR_TIMEOUT);
	assert_int_equal(fd, -1);
	for (int i = 0; i < 4; i++)
		wbi_fd_close(&fillers[i]);
	wbi_fd_close(&listener);
}

/* With nobody listening on a port that the kernel hands out, one attempt in a few thousand connects
 * to itself; the kernel goes through its even ports in turn, so this many meet it for certain. */
static void test_no_client_talks_to_itself(void **state)
{
	enum { ATTEMPTS = 15000 };
	int holder, fd = -1;
	struct wbi_addr dead = dead_address(&holder);
	struct sockaddr_in *ipv4 = (struct sockaddr_in *)&dead.storage;
	struct wb_fault fault = {0};
	(void)state;

	ipv4->sin_port = htons(wbi_addr_port(&dead) & 0xfffe);
	wbi_fd_close(&holder);
	for (int i = 0; i < ATTEMPTS; i++) {
		assert_int_equal(wbi_tcp_dial(&dead, 1, PATIENCE_MS, &fd, &fault), WB_ERR_SYSTEM);
		assert_int_equal(fault.system_errno, ECONNREFUSED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ipv4),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_ipv6_is_only_ipv6),
		cmocka_unit_test(test_a_taken_port_is_an_error_that_names_it),
		cmocka_unit_test(test_running_out_of_descriptors_is_survived),
		cmocka_unit_test(test_accept_on_what_does_not_listen_is_an_error),
		cmocka_unit_test(test_a_refusal_names_the_address),
		cmocka_unit_test(test_every_address_is_tried),
		cmocka_unit_test(test_silence_meets_the_deadline),
		cmocka_unit_test(test_no_client_talks_to_itself),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
