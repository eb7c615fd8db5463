/* Who is calling: asked about honest callers, and about those who try to be somebody else. */
#include "peer_fixture.h"

static int dial_then_become_other(const struct sockaddr_storage *to)
{
	int fd = dial(to);

	return setresuid(OTHER_UID, OTHER_UID, OTHER_UID) == 0 ? fd : -1;
}

static int dial_as_other_then_become_root(const struct sockaddr_storage *to)
{
	if (setresuid(OTHER_UID, OTHER_UID, 0) != 0)
		return -1;
	int fd = dial(to);
	return setresuid(0, 0, 0) == 0 ? fd : -1;
}

static int send_as_other_and_close(const struct sockaddr_storage *to)
{
	int fd = dial_as_other(to);

	if (fd < 0 || send(fd, "id", 2, 0) != 2)
		return -1;
	return close(fd);
}

static void assert_caller_uid(caller_fn *fn, uid_t expected)
{
	struct wbi_peer_finder *finder = finder_new();
	struct sockaddr_storage addr;
	int listener = listen_on("127.0.0.1", &addr);
	struct caller caller;

	caller_start(&caller, fn, &addr);
	int server = accept(listener, NULL, NULL);
	assert_uid(finder, server, expected);
	close(server);
	close(listener);
	caller_end(&caller);
	wbi_peer_finder_free(finder);
}

/* ---- honest callers ---- */

static void own_uid_on(const char *host)
{
	struct wbi_peer_finder *finder = finder_new();
	struct pair pair;

	pair_open(&pair, host);
	assert_uid(finder, pair.server, geteuid());
	/* The same question from the other side: the daemon's socket, as its client sees it. */
	assert_uid(finder, pair.client, geteuid());
	pair_close(&pair);
	wbi_peer_finder_free(finder);
}

static void own_uid_ipv4(void **state)
{
	(void)state;
	own_uid_on("127.0.0.1");
	own_uid_on("127.9.8.7");
}

static bool has_ipv6(void)
{
	struct sockaddr_storage addr = address_of("::1");
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool has = fd >= 0 && bind(fd, (struct sockaddr *)&addr, bytes_of(&addr)) == 0;

	if (fd >= 0)
		close(fd);
	return has;
}

static void own_uid_ipv6(void **state)
{
	(void)state;
	if (!has_ipv6())
		SKIP("no ::1 here");
	own_uid_on("::1");
}

/* An IPv6 socket that dials an IPv4 server, and an IPv6 server that IPv4 reaches. */
static void own_uid_mapped(void **state)
{
	(void)state;
	if (!has_ipv6())
		SKIP("no ::1 here");
	struct wbi_peer_finder *finder = finder_new();
	struct sockaddr_storage to;
	int listener = listen_on("127.0.0.1", &to);
	struct sockaddr_storage mapped = address_of("::ffff:127.0.0.1");
	((struct sockaddr_in6 *)&mapped)->sin6_port = ((struct sockaddr_in *)&to)->sin_port;
	int client = dial(&mapped);
	int server = accept(listener, NULL, NULL);

	assert_true(client >= 0 && server >= 0);
	assert_uid(finder, server, geteuid());
	assert_uid(finder, client, geteuid());
	close(client);
	close(server);
	close(listener);
	own_uid_on("::ffff:127.0.0.1");
	wbi_peer_finder_free(finder);
}

static void half_closed_is_still_somebody(void **state)
{
	struct wbi_peer_finder *finder = finder_new();
	struct pair pair;
	(void)state;

	pair_open(&pair, "127.0.0.1");
	assert_int_equal(shutdown(pair.client, SHUT_WR), 0);
	assert_uid(finder, pair.server, geteuid()); /* its socket: FIN_WAIT */
	assert_uid(finder, pair.client, geteuid()); /* its socket: CLOSE_WAIT */
	pair_close(&pair);
	wbi_peer_finder_free(finder);
}

/* Sends until neither side has room, so that what it says next waits behind that. */
static void fill(int fd)
{
	static const char zeros[65536];

	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	while (send(fd, zeros, sizeof(zeros), MSG_NOSIGNAL) > 0)
		;
}

static unsigned state_of(int fd)
{
	struct tcp_info info;
	socklen_t bytes = sizeof(info);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &bytes), 0);
	return info.tcpi_state;
}

/* Its end was heard, and it may still be waiting for a reply. */
static void half_closed_and_acknowledged(void **state)
{
	struct wbi_peer_finder *finder = finder_new();
	uint64_t until_ms = wbi_clock_ms() + 20000;
	struct pair pair;
	int on = 1;
	(void)state;

	pair_open(&pair, "127.0.0.1");
	assert_int_equal(shutdown(pair.client, SHUT_WR), 0);
	while (state_of(pair.client) != TCP_FIN_WAIT2) {
		setsockopt(pair.server, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
		assert_true(wbi_clock_ms() < until_ms);
	}
	assert_uid(finder, pair.server, geteuid());
	pair_close(&pair);
	wbi_peer_finder_free(finder);
}

/* Its end has not got through yet. */
static void half_closed_behind_a_full_buffer(void **state)
{
	struct wbi_peer_finder *finder = finder_new();
	struct pair pair;
	(void)state;

	pair_open(&pair, "127.0.0.1");
	fill(pair.client);
	assert_int_equal(shutdown(pair.client, SHUT_WR), 0);
	assert_int_equal(state_of(pair.client), TCP_FIN_WAIT1);
	assert_uid(finder, pair.server, geteuid());
	pair_close(&pair);
	wbi_peer_finder_free(finder);
}

/* Both directions are closed, while its owner still holds it: that is no connection any more. */
static void fully_closed_but_held(void **state)
{
	struct wbi_peer_finder *finder = finder_new();
	struct pair pair;
	(void)state;

	pair_open(&pair, "127.0.0.1");
	fill(pair.client);
	assert_int_equal(shutdown(pair.server, SHUT_WR), 0);
	assert_int_equal(shutdown(pair.client, SHUT_WR), 0);
	assert_int_equal(state_of(pair.client), TCP_LAST_ACK);
	assert_refused(finder, pair.server, "not connected");
	pair_close(&pair);
	wbi_peer_finder_free(finder);
}

/* Everything that was sent waits to be read, and nobody is there any more: also our own uid. */
static void closed_with_words_left(void **state)
{
	struct wbi_peer_finder *finder = finder_new();
	struct pair pair;
	char word[8];
	(void)state;

	pair_open(&pair, "127.0.0.1");
	assert_int_equal(send(pair.client, "id", 2, 0), 2);
	close(pair.client);
	assert_refused(finder, pair.server, "no owner any more");
	assert_int_equal(read(pair.server, word, sizeof(word)), 2);
	pair.client = -1;
	pair_close(&pair);
	wbi_peer_finder_free(finder);
}

static void second_uid_is_seen(void **state)
{
	(void)state;
	NEED_ROOT();
	assert_caller_uid(dial_as_other, OTHER_UID);
}

static void the_opener_counts(void **state)
{
	(void)state;
	NEED_ROOT();
	assert_caller_uid(dial_then_become_other, 0);
	assert_caller_uid(dial_as_other_then_become_root, OTHER_UID);
}

/* ---- the others ---- */

/* The command is there to be read; its sender is not. */
static void sent_and_closed_at_once(void **state)
{
	(void)state;
	NEED_ROOT();
	struct wbi_peer_finder *finder = finder_new();
	struct sockaddr_storage addr;
	int listener = listen_on("127.0.0.1", &addr);
	struct caller caller;
	char command[8];

	caller_start(&caller, send_as_other_and_close, &addr);
	int server = accept(listener, NULL, NULL);
	assert_refused(finder, server, "no owner any more");
	caller_end(&caller);
	assert_refused(finder, server, "no owner any more");
	assert_int_equal(read(server, command, sizeof(command)), 2);
	close(server);
	close(listener);
	wbi_peer_finder_free(finder);
}

static void reset_by_peer(void **state)
{
	struct wbi_peer_finder *finder = finder_new();
	struct linger reset = {.l_onoff = 1};
	struct pair pair;
	(void)state;

	pair_open(&pair, "127.0.0.1");
	assert_int_equal(setsockopt(pair.client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	close(pair.client);
	assert_refused(finder, pair.server, "the peer has gone");
	pair.client = -1;
	pair_close(&pair);
	wbi_peer_finder_free(finder);
}

/* A socket bound to `addr`, which may be bound again at once. */
static int bound_socket(const struct sockaddr_storage *addr)
{
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)addr, bytes_of(addr)), 0);
	return fd;
}

/* A client that vanishes without a word, and a listener of ours in its place: the kernel's look-up
 * falls back to listeners, and ours has the right uid and an inode. */
static void a_listener_is_no_caller(void **state)
{
	struct wbi_peer_finder *finder = finder_new();
	struct sockaddr_storage to, from = address_of("127.0.0.1");
	socklen_t bytes = sizeof(from);
	struct pair pair = {.listener = listen_on("127.0.0.1", &to)};
	int on = 1;
	(void)state;

	/* Not a port of connect's choice: that may share it with a closing connection. */
	pair.client = bound_socket(&from);
	getsockname(pair.client, (struct sockaddr *)&from, &bytes);
	assert_int_equal(connect(pair.client, (struct sockaddr *)&to, bytes_of(&to)), 0);
	pair.server = accept(pair.listener, NULL, NULL);
	if (setsockopt(pair.client, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) != 0) {
		pair_close(&pair);
		wbi_peer_finder_free(finder);
		SKIP("no TCP_REPAIR here (needs CAP_NET_ADMIN)");
	}
	close(pair.client); /* in repair: without a FIN */
	assert_refused(finder, pair.server, "no such connection");
	pair.client = bound_socket(&from);
	assert_int_equal(listen(pair.client, 1), 0);
	assert_refused(finder, pair.server, "no such connection");
	pair_close(&pair);
	wbi_peer_finder_free(finder);
}

static void no_tcp_connection(void **state)
{
	struct wbi_peer_finder *finder = finder_new();
	struct sockaddr_storage addr;
	int listener = listen_on("127.0.0.1", &addr);
	int ends[2];
	(void)state;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_refused(finder, ends[0], "no TCP connection");
	assert_refused(finder, listener, "the peer has gone");
	close(ends[0]);
	close(ends[1]);
	int datagrams = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(datagrams, (struct sockaddr *)&addr, bytes_of(&addr)), 0);
	assert_refused(finder, datagrams, "no such connection");
	close(datagrams);
	close(listener);
	wbi_peer_finder_free(finder);
}

/* ---- the finder itself ---- */

static unsigned count_fds(void)
{
	unsigned count = 0;
	DIR *folder = opendir("/proc/self/fd");

	assert_non_null(folder);
	while (readdir(folder) != NULL)
		count++;
	closedir(folder);
	return count;
}

/* An answer that came too late for its question must not be taken for the next one's. */
static void stale_answers_are_dropped(void **state)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 body;
	} question = {.header = {.nlmsg_len = sizeof(question),
				 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
				 .nlmsg_flags = NLM_F_REQUEST,
				 .nlmsg_seq = 0xdead},
		      .body = {.sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP}};
	struct pair pair;
	(void)state;

	int next = dup(0);
	close(next);
	struct wbi_peer_finder *finder = finder_new(); /* its socket is number `next` */
	for (int i = 0; i < 3; i++)
		assert_int_equal(send(next, &question, sizeof(question), 0), sizeof(question));
	pair_open(&pair, "127.0.0.1");
	assert_uid(finder, pair.server, geteuid());
	assert_uid(finder, pair.server, geteuid());
	pair_close(&pair);
	wbi_peer_finder_free(finder);
}

static void a_thousand_questions(void **state)
{
	enum { QUESTIONS = 1000 };
	struct wbi_peer_finder *finder = finder_new();
	struct pair pair;
	(void)state;

	pair_open(&pair, "127.0.0.1");
	unsigned before = count_fds();
	uint64_t start_ns = wbi_clock_ns();
	for (int i = 0; i < QUESTIONS; i++)
		assert_uid(finder, pair.server, geteuid());
	print_message("one look-up: %.1f us\n",
		      (double)(wbi_clock_ns() - start_ns) / 1000 / QUESTIONS);
	assert_int_equal(count_fds(), before);
	pair_close(&pair);
	wbi_peer_finder_free(finder);
	wbi_peer_finder_free(NULL);
}

/* ---- who listens ---- */

static struct wbi_addr as_addr(const struct sockaddr_storage *storage)
{
	return (struct wbi_addr){.storage = *storage, .bytes = bytes_of(storage)};
}

static void assert_listener(struct wbi_peer_finder *finder, const struct wbi_addr *addr,
			    uid_t expected)
{
	struct wb_fault fault = {0};
	uid_t uid = (uid_t)-7;

	if (wbi_peer_of_listener(finder, addr, &uid, &fault) != WB_OK)
		fail_msg("refused: %s", fault.text);
	assert_int_equal(uid, expected);
}

static void assert_no_listener(struct wbi_peer_finder *finder, const struct wbi_addr *addr,
			       const char *why)
{
	struct wb_fault fault = {0};
	uid_t uid = (uid_t)-7;

	assert_int_equal(wbi_peer_of_listener(finder, addr, &uid, &fault), WB_ERR_REFUSED);
	assert_int_equal(uid, (uid_t)-7);
	assert_non_null(strstr(fault.text, why));
}

static void the_listener_is_known(void **state)
{
	static const char *const hosts[] = {"127.0.0.1", "::1"};
	struct wbi_peer_finder *finder = finder_new();
	struct sockaddr_storage storage;
	(void)state;

	for (unsigned i = 0; i < 2; i++) {
		int fd = listen_on(hosts[i], &storage);
		struct wbi_addr addr = as_addr(&storage);
		int client = dial(&storage); /* one that nobody accepts changes nothing */

		assert_true(client >= 0);
		assert_listener(finder, &addr, geteuid());
		close(client);
		close(fd);
		assert_no_listener(finder, &addr, "nobody listens");
	}
	wbi_peer_finder_free(finder);
}

static void a_listener_at_all_addresses_counts(void **state)
{
	static const struct {
		const char *listens, *asked;
	} cases[] = {{"0.0.0.0", "127.0.0.1"}, {"::", "::1"}, {"::", "127.0.0.1"}};
	struct wbi_peer_finder *finder = finder_new();
	(void)state;

	for (unsigned i = 0; i < 3; i++) {
		struct sockaddr_storage bound, asked = address_of(cases[i].asked);
		int fd = listen_on(cases[i].listens, &bound);
		struct wbi_addr addr = as_addr(&asked);

		/* The port stands at the same place in both families. */
		((struct sockaddr_in *)&addr.storage)->sin_port =
			((struct sockaddr_in *)&bound)->sin_port;
		assert_listener(finder, &addr, geteuid());
		close(fd);
	}
	wbi_peer_finder_free(finder);
}

static int listen_as_other(const struct sockaddr_storage *to)
{
	int fd, on = 1;

	if (setresuid(OTHER_UID, OTHER_UID, OTHER_UID) != 0)
		return -1;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(fd, (const struct sockaddr *)to, bytes_of(to)) != 0 || listen(fd, 8) != 0)
		return -1;
	return fd;
}

static void a_listener_of_somebody_else_is_seen(void **state)
{
	struct wbi_peer_finder *finder = finder_new();
	struct sockaddr_storage storage;
	struct caller caller;
	(void)state;

	NEED_ROOT();
	close(listen_on("127.0.0.1", &storage)); /* a port that is free */
	caller_start(&caller, listen_as_other, &storage);
	struct wbi_addr addr = as_addr(&storage);
	assert_listener(finder, &addr, OTHER_UID);
	caller_end(&caller);
	wbi_peer_finder_free(finder);
}

/* Only a socket that listens is an answer, and only on loopback is there a question. */
static void a_connection_is_no_listener(void **state)
{
	struct wbi_peer_finder *finder = finder_new();
	struct wbi_addr addr = {.bytes = sizeof(addr.storage)};
	struct sockaddr_storage away = address_of("192.0.2.1");
	struct pair pair;
	(void)state;

	pair_open(&pair, "127.0.0.1");
	assert_int_equal(getsockname(pair.client, &addr.any, &addr.bytes), 0);
	assert_no_listener(finder, &addr, "nobody listens");
	pair_close(&pair);
	addr = as_addr(&away);
	assert_no_listener(finder, &addr, "not on loopback");
	wbi_peer_finder_free(finder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_uid_ipv4),
		cmocka_unit_test(own_uid_ipv6),
		cmocka_unit_test(own_uid_mapped),
		cmocka_unit_test(half_closed_is_still_somebody),
		cmocka_unit_test(half_closed_and_acknowledged),
		cmocka_unit_test(half_closed_behind_a_full_buffer),
		cmocka_unit_test(fully_closed_but_held),
		cmocka_unit_test(closed_with_words_left),
		cmocka_unit_test(second_uid_is_seen),
		cmocka_unit_test(the_opener_counts),
		cmocka_unit_test(sent_and_closed_at_once),
		cmocka_unit_test(reset_by_peer),
		cmocka_unit_test(a_listener_is_no_caller),
		cmocka_unit_test(no_tcp_connection),
		cmocka_unit_test(the_listener_is_known),
		cmocka_unit_test(a_listener_at_all_addresses_counts),
		cmocka_unit_test(a_listener_of_somebody_else_is_seen),
		cmocka_unit_test(a_connection_is_no_listener),
		cmocka_unit_test(stale_answers_are_dropped),
		cmocka_unit_test(a_thousand_questions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
