/* What the tests of peer share: connected pairs, and callers in processes of their own. */
#ifndef PEER_FIXTURE_H
#define PEER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/clock.h"
#include "sys/peer.h"

enum { OTHER_UID = 4242, CALLER_OK = 0, CALLER_FAILED = 99 };

/* ---- connections ---- */

struct pair {
	int listener, client, server;
};

static inline struct sockaddr_storage address_of(const char *host)
{
	struct sockaddr_storage storage = {.ss_family = AF_INET};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;

	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1)
		return storage;
	storage.ss_family = AF_INET6;
	assert_int_equal(inet_pton(AF_INET6, host, &v6->sin6_addr), 1);
	return storage;
}

static inline socklen_t bytes_of(const struct sockaddr_storage *addr)
{
	return addr->ss_family == AF_INET ? sizeof(struct sockaddr_in)
					  : sizeof(struct sockaddr_in6);
}

/* Listens on a free port of `host`; *ret_addr is what a client may dial. */
static inline int listen_on(const char *host, struct sockaddr_storage *ret_addr)
{
	struct sockaddr_storage addr = address_of(host);
	socklen_t bytes = sizeof(*ret_addr);
	int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, bytes_of(&addr)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)ret_addr, &bytes), 0);
	return fd;
}

/* No asserts: also runs in children that have changed who they are. */
static inline int dial(const struct sockaddr_storage *addr)
{
	int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (const struct sockaddr *)addr, bytes_of(addr)) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static inline void pair_open(struct pair *pair, const char *host)
{
	struct sockaddr_storage addr;

	pair->listener = listen_on(host, &addr);
	pair->client = dial(&addr);
	assert_true(pair->client >= 0);
	pair->server = accept(pair->listener, NULL, NULL);
	assert_true(pair->server >= 0);
}

static inline void pair_close(struct pair *pair)
{
	close(pair->server);
	close(pair->client);
	close(pair->listener);
}

static inline struct wbi_peer_finder *finder_new(void)
{
	struct wbi_peer_finder *finder = NULL;
	struct wb_fault fault = {0};

	if (wbi_peer_finder_new(&finder, &fault) != WB_OK)
		fail_msg("%s", fault.text);
	return finder;
}

static inline void assert_uid(struct wbi_peer_finder *finder, int fd, uid_t expected)
{
	struct wb_fault fault = {0};
	uid_t uid = (uid_t)-7;

	if (wbi_peer_of_tcp(finder, fd, &uid, &fault) != WB_OK)
		fail_msg("refused: %s", fault.text);
	assert_int_equal(uid, expected);
}

static inline void assert_refused(struct wbi_peer_finder *finder, int fd, const char *why)
{
	struct wb_fault fault = {0};
	uid_t uid = (uid_t)-7;

	assert_int_equal(wbi_peer_of_tcp(finder, fd, &uid, &fault), WB_ERR_REFUSED);
	assert_int_equal(uid, (uid_t)-7);
	if (strstr(fault.text, why) == NULL)
		fail_msg("expected \"%s\" within \"%s\"", why, fault.text);
}

#define SKIP(why)                                                                                  \
	do {                                                                                       \
		print_message("SKIPPED %s: %s\n", __func__, why);                                  \
		skip();                                                                            \
	} while (0)

#define NEED_ROOT()                                                                                \
	do {                                                                                       \
		if (geteuid() != 0)                                                                \
			SKIP("needs root to become another uid");                                  \
	} while (0)

/* ---- a caller in a process of its own ---- */

struct caller {
	pid_t pid;
	int go; /* closing it lets the caller end */
};

typedef int caller_fn(const struct sockaddr_storage *to);

/* Runs fn in a child, which gives a connected socket or -1; once that is there, returns. The child
 * keeps the socket until it is told to go. */
static inline void caller_start(struct caller *caller, caller_fn *fn,
				const struct sockaddr_storage *to)
{
	int ready[2], go[2];
	char byte;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	caller->pid = fork();
	assert_true(caller->pid >= 0);
	if (caller->pid == 0) {
		close(go[1]);
		if (fn(to) < 0)
			_exit(CALLER_FAILED);
		if (write(ready[1], "r", 1) != 1 || read(go[0], &byte, 1) < 0)
			_exit(CALLER_FAILED);
		_exit(CALLER_OK);
	}
	close(ready[1]);
	close(go[0]);
	caller->go = go[1];
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

static inline void wait_ok(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), CALLER_OK);
}

static inline void caller_end(struct caller *caller)
{
	close(caller->go);
	wait_ok(caller->pid);
}

static inline int dial_as_other(const struct sockaddr_storage *to)
{
	return setresuid(OTHER_UID, OTHER_UID, OTHER_UID) == 0 ? dial(to) : -1;
}

#endif
