/* The witnesses, asked about sockets whose state is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "lab/record.h"

static const struct lab_experiment nothing = {.name = "nothing"};

static void sock_diag_tells_of_a_listener(void **state)
{
	struct lab *lab = lab_new(&nothing);
	int listener = lab_listener(lab, 7);
	struct lab_row row = {0};

	(void)state;
	assert_int_equal(lab_diag(lab_port(listener), 0, &row, 1), 1);
	assert_int_equal(row.state, LAB_TCP_LISTEN);
	assert_int_equal(row.recv_queue, 0);
	assert_int_equal(row.send_queue, 7);
	assert_int_equal(lab_diag_count(lab_port(listener), LAB_TCP_LISTEN), 1);
	assert_int_equal(lab_diag_count(lab_port(listener), LAB_TCP_TIME_WAIT), 0);
	lab_free(lab);
}

static void sock_diag_tells_both_ends_apart(void **state)
{
	struct lab *lab = lab_new(&nothing);
	struct lab_row client = {0}, server = {0};
	struct lab_pair pair;
	char byte;

	(void)state;
	assert_true(lab_tcp_pair(lab, &pair));
	assert_int_equal(lab_send(lab, pair.client, "four", 4, 0), 4);
	assert_true(lab_wait_readable(pair.server, 4, 2000));
	assert_int_equal(lab_diag(lab_port(pair.client), lab_port(pair.server), &client, 1), 1);
	assert_int_equal(lab_diag(lab_port(pair.server), lab_port(pair.client), &server, 1), 1);
	assert_int_equal(client.recv_queue, 0);
	assert_int_equal(server.recv_queue, 4);
	assert_int_equal(lab_recv(lab, pair.server, &byte, 1, 0), 1);
	assert_int_equal(lab_diag(lab_port(pair.server), lab_port(pair.client), &server, 1), 1);
	assert_int_equal(server.recv_queue, 3);
	lab_free(lab);
}

static void counters_count(void **state)
{
	struct lab *lab = lab_new(&nothing);
	uint64_t before = lab_counter("Udp", "OutDatagrams");
	struct lab_udp udp;

	(void)state;
	assert_true(lab_udp_pair(lab, &udp));
	assert_int_equal(lab_sendto(lab, udp.sender, "x", 1, udp.port), 1);
	assert_true(lab_counter("Udp", "OutDatagrams") > before);
	assert_true(lab_counter("TcpExt", "DelayedACKs") < UINT64_MAX);
	assert_int_equal(lab_counter("Udp", "NoSuchCounter"), 0);
	assert_int_equal(lab_counter("NoSuchGroup", "OutDatagrams"), 0);
	assert_int_equal(lab_counter("Udp", "Out"), 0); /* a prefix is not the name */
	lab_free(lab);
}

static void drops_belong_to_one_socket(void **state)
{
	struct lab *lab = lab_new(&nothing);
	struct lab_udp udp;
	char datagram[1000] = {0};
	long received = 0;

	(void)state;
	assert_true(lab_udp_pair(lab, &udp));
	assert_int_equal(lab_udp_drops(udp.port), 0);
	assert_int_equal(LAB_OPTION(lab, udp.receiver, SOL_SOCKET, SO_RCVBUF, 4096), 0);
	lab_quiet(lab, true);
	for (int i = 0; i < 50; i++)
		lab_sendto(lab, udp.sender, datagram, sizeof(datagram), udp.port);
	while (lab_wait_readable(udp.receiver, 1, 0) &&
	       lab_recv(lab, udp.receiver, datagram, sizeof(datagram), 0) > 0)
		received++;
	assert_true(received < 50);
	assert_int_equal(lab_udp_drops(udp.port), 50 - received);
	assert_int_equal(lab_udp_drops(lab_port(udp.sender)), 0);
	lab_free(lab);
}

static void settings_are_read(void **state)
{
	(void)state;
	assert_true(lab_setting("net/core/somaxconn") > 0);
	assert_int_equal(lab_setting("net/ipv4/tcp_backlog"), -1);
}

static void the_median_is_in_the_middle(void **state)
{
	double values[] = {9, 1, 5};

	(void)state;
	assert_true(lab_median(values, 3) == 5);
	assert_true(lab_median(values, 0) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sock_diag_tells_of_a_listener),
		cmocka_unit_test(sock_diag_tells_both_ends_apart),
		cmocka_unit_test(counters_count),
		cmocka_unit_test(drops_belong_to_one_socket),
		cmocka_unit_test(settings_are_read),
		cmocka_unit_test(the_median_is_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
