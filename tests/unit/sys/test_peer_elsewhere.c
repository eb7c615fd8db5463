/* Who is calling: from beyond loopback, from other namespaces, and through unix sockets. */
#include "peer_fixture.h"

/* The text of an address of this machine that is not loopback; "" if there is none. */
static void find_outside_address(char out[INET_ADDRSTRLEN])
{
	struct ifaddrs *all = NULL;

	out[0] = '\0';
	assert_int_equal(getifaddrs(&all), 0);
	for (struct ifaddrs *at = all; at != NULL; at = at->ifa_next) {
		if (at->ifa_addr == NULL || at->ifa_addr->sa_family != AF_INET ||
		    (at->ifa_flags & IFF_LOOPBACK) || !(at->ifa_flags & IFF_UP))
			continue;
		struct sockaddr_in *v4 = (struct sockaddr_in *)at->ifa_addr;
		inet_ntop(AF_INET, &v4->sin_addr, out, INET_ADDRSTRLEN);
	}
	freeifaddrs(all);
}

static void outside_loopback(void **state)
{
	char host[INET_ADDRSTRLEN];
	struct pair pair;
	(void)state;

	find_outside_address(host);
	if (host[0] == '\0')
		SKIP("this machine has no address but loopback");
	struct wbi_peer_finder *finder = finder_new();
	pair_open(&pair, host);
	assert_refused(finder, pair.server, "not on loopback");
	pair_close(&pair);
	wbi_peer_finder_free(finder);
}

/* ---- namespaces: each in a child, for they cannot be left again ---- */

static bool lift_loopback(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool up = ioctl(fd, SIOCSIFFLAGS, &request) == 0;

	close(fd);
	return up;
}

/* A child's verdict: CALLER_OK if the look-up is refused for this reason. */
static int verdict(struct wbi_peer_finder *finder, const char *why)
{
	struct sockaddr_storage addr;
	struct wb_fault fault = {0};
	uid_t uid;
	int listener = listen_on("127.0.0.1", &addr);
	int client = dial(&addr);
	int server = client < 0 ? -1 : accept(listener, NULL, NULL);

	if (server < 0 || wbi_peer_of_tcp(finder, server, &uid, &fault) != WB_ERR_REFUSED)
		return CALLER_FAILED;
	return strstr(fault.text, why) != NULL ? CALLER_OK : CALLER_FAILED;
}

enum { NOT_HERE = 77 };

static int in_other_network(void)
{
	struct wbi_peer_finder *finder = finder_new();

	if (unshare(CLONE_NEWNET) != 0 || !lift_loopback())
		return NOT_HERE;
	int result = verdict(finder, "another network namespace");
	wbi_peer_finder_free(finder);
	return result;
}

/* Nobody is mapped: every uid is shown as the overflow uid, ours too. */
static int among_nameless_users(void)
{
	if (unshare(CLONE_NEWUSER) != 0)
		return NOT_HERE;
	struct wbi_peer_finder *finder = finder_new();
	int result = verdict(finder, "no name in our user namespace");
	wbi_peer_finder_free(finder);

	struct wb_fault fault = {0};
	uid_t uid;
	pid_t pid;
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0 ||
	    wbi_peer_of_unix(ends[0], &uid, &pid, &fault) != WB_ERR_REFUSED)
		return CALLER_FAILED;
	return result;
}

static int run_apart(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void another_network_namespace(void **state)
{
	(void)state;
	int result = run_apart(in_other_network);
	if (result == NOT_HERE)
		SKIP("may not make a network namespace");
	assert_int_equal(result, CALLER_OK);
}

static void the_overflow_uid_proves_nobody(void **state)
{
	(void)state;
	int result = run_apart(among_nameless_users);
	if (result == NOT_HERE)
		SKIP("may not make a user namespace");
	assert_int_equal(result, CALLER_OK);
}

/* ---- unix sockets ---- */

static const struct sockaddr_un *unix_address(socklen_t *ret_bytes)
{
	static struct sockaddr_un addr = {.sun_family = AF_UNIX};

	/* Abstract: no file to clean up. The number is the test's own, also in its children. */
	if (addr.sun_path[1] == '\0')
		snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "waybill-test-%d", getpid());
	*ret_bytes =
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(addr.sun_path + 1));
	return &addr;
}

static int dial_unix_as_other(const struct sockaddr_storage *unused)
{
	socklen_t bytes;
	const struct sockaddr_un *addr = unix_address(&bytes);
	(void)unused;

	if (setresuid(OTHER_UID, OTHER_UID, OTHER_UID) != 0)
		return -1;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return connect(fd, (const struct sockaddr *)addr, bytes) == 0 ? fd : -1;
}

static void unix_own(void **state)
{
	int ends[2];
	uid_t uid;
	pid_t pid;
	(void)state;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(wbi_peer_of_unix(ends[0], &uid, &pid, NULL), WB_OK);
	assert_int_equal(uid, geteuid());
	assert_int_equal(pid, getpid());
	close(ends[0]);
	close(ends[1]);
}

static void unix_second_uid(void **state)
{
	(void)state;
	NEED_ROOT();
	socklen_t bytes;
	const struct sockaddr_un *addr = unix_address(&bytes);
	struct caller caller;
	uid_t uid;
	pid_t pid;

	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (const struct sockaddr *)addr, bytes), 0);
	assert_int_equal(listen(listener, 1), 0);
	caller_start(&caller, dial_unix_as_other, NULL);
	int server = accept(listener, NULL, NULL);
	assert_int_equal(wbi_peer_of_unix(server, &uid, &pid, NULL), WB_OK);
	assert_int_equal(uid, OTHER_UID);
	assert_int_equal(pid, caller.pid);
	caller_end(&caller);
	close(server);
	close(listener);
}

static void unix_no_peer(void **state)
{
	struct wb_fault fault;
	struct pair pair;
	uid_t uid;
	pid_t pid;
	(void)state;

	pair_open(&pair, "127.0.0.1"); /* a TCP socket knows no such credentials */
	assert_int_equal(wbi_peer_of_unix(pair.server, &uid, &pid, &fault), WB_ERR_REFUSED);
	pair_close(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(outside_loopback),
		cmocka_unit_test(another_network_namespace),
		cmocka_unit_test(the_overflow_uid_proves_nobody),
		cmocka_unit_test(unix_own),
		cmocka_unit_test(unix_second_uid),
		cmocka_unit_test(unix_no_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
