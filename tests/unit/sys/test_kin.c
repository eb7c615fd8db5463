/* Kin: everybody in a session, nobody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/fd.h"
#include "sys/kin.h"
#include "sys/spawn.h"

enum { DEADLINE_MS = 20000, TEXT_MAX = 256 };

struct family {
	struct wbi_process leader;
	int output;
	char text[TEXT_MAX];
};

/* Starts a shell line as a leader and reads what it prints until that holds `lines` newlines. */
static void begin(struct family *family, const char *line, unsigned lines)
{
	char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)line, NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), writer;
	size_t bytes = 0;

	assert_int_equal(wbi_fd_pipe(&family->output, &writer, NULL), WB_OK);
	struct wbi_spawn spawn = {.path = argv[0], .argv = argv, .stdio = {null, writer, null}};
	assert_int_equal(wbi_spawn(&spawn, &family->leader, NULL), WB_OK);
	close(writer);
	close(null);
	while (lines > 0) {
		struct pollfd ready = {.fd = family->output, .events = POLLIN};
		assert_int_equal(poll(&ready, 1, DEADLINE_MS), 1);
		assert_int_equal(read(family->output, family->text + bytes, 1), 1);
		lines -= family->text[bytes++] == '\n';
	}
	family->text[bytes] = '\0';
}

/* Everybody who held the output has gone: nothing more can come. */
static void wait_for_the_last(struct family *family)
{
	struct pollfd ended = {.fd = family->output, .events = POLLIN};
	char byte;

	assert_int_equal(poll(&ended, 1, DEADLINE_MS), 1);
	assert_int_equal(read(family->output, &byte, 1), 0);
	close(family->output);
}

/* The session alone; test_cgroup.c has those with a leaf. */
static struct wbi_kin kin_of(const struct family *family)
{
	return (struct wbi_kin){.leader = family->leader.pid};
}

static unsigned count(const struct family *family)
{
	struct wbi_kin kin = kin_of(family);

	return wbi_kin_signal(&kin, NULL, 0, NULL);
}

static void reap_all(struct family *family)
{
	wbi_process_bury(&family->leader, DEADLINE_MS);
	alarm(DEADLINE_MS / 1000);
	while (waitpid(-1, NULL, 0) > 0)
		;
	assert_int_equal(errno, ECHILD);
	alarm(0);
}

static void one_alone(void **state)
{
	static const int signals[] = {SIGTERM};
	struct family family;
	int other = 7;
	(void)state;

	begin(&family, "echo on; exec tail -f /dev/null", 1);
	struct wbi_kin kin = kin_of(&family);
	assert_int_equal(wbi_kin_signal(&kin, NULL, 0, &other), 1);
	assert_int_equal(other, -1);
	assert_int_equal(wbi_kin_signal(&kin, signals, 1, NULL), 1);
	wait_for_the_last(&family);
	struct pollfd ended = {.fd = family.leader.pidfd, .events = POLLIN};
	assert_int_equal(poll(&ended, 1, DEADLINE_MS), 1);
	assert_int_equal(count(&family), 0); /* dead, though not reaped */
	reap_all(&family);
}

/* A shell's job control puts each job into a group of its own; the session is still the same. */
static void whatever_their_groups(void **state)
{
	struct family family;
	(void)state;

	begin(&family,
	      "set -m; (echo a; exec tail -f /dev/null) & (echo b; exec tail -f /dev/null) & "
	      "echo on; wait",
	      3);
	struct wbi_kin kin = kin_of(&family);
	assert_int_equal(count(&family), 3);
	assert_true(wbi_kin_kill(&kin, NULL) <= 3);
	wait_for_the_last(&family);
	reap_all(&family);
}

static void not_those_who_left(void **state)
{
	struct family family;
	(void)state;

	begin(&family, "setsid sh -c 'echo $$; exec tail -f /dev/null' & wait", 1);
	struct wbi_kin kin = kin_of(&family);
	pid_t gone = (pid_t)atoi(family.text);
	assert_int_equal(count(&family), 1);
	wbi_kin_kill(&kin, NULL);
	wbi_process_bury(&family.leader, DEADLINE_MS);
	assert_int_equal(waitpid(gone, NULL, WNOHANG), 0); /* ours now, and alive */
	assert_int_equal(kill(gone, SIGKILL), 0);
	wait_for_the_last(&family);
	reap_all(&family);
}

/* The leader has ended; one of its children lives, and its end can be waited for. */
static void one_who_is_left(void **state)
{
	struct family family;
	int other = -1;
	(void)state;

	begin(&family, "tail -f /dev/null & echo on", 1);
	struct wbi_kin kin = kin_of(&family);
	struct pollfd ended = {.fd = family.leader.pidfd, .events = POLLIN};
	assert_int_equal(poll(&ended, 1, DEADLINE_MS), 1);
	assert_int_equal(wbi_kin_signal(&kin, NULL, 0, &other), 1);
	assert_true(other >= 0);
	assert_true(fcntl(other, F_GETFD) & FD_CLOEXEC);
	struct pollfd left = {.fd = other, .events = POLLIN};
	assert_int_equal(poll(&left, 1, 0), 0);
	assert_true(wbi_kin_kill(&kin, NULL) <= 1);
	assert_int_equal(poll(&left, 1, DEADLINE_MS), 1);
	close(other);
	assert_int_equal(count(&family), 0);
	wait_for_the_last(&family);
	reap_all(&family);
}

/* With one descriptor left the folder of processes can be read, and nobody be pinned down. */
static void out_of_descriptors(void **state)
{
	struct family family;
	struct rlimit before, tight;
	(void)state;

	begin(&family, "tail -f /dev/null & echo on; wait", 1);
	struct wbi_kin kin = kin_of(&family);
	int next = dup(0);
	assert_true(next > 0);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	tight = (struct rlimit){(rlim_t)next + 1, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	unsigned running = wbi_kin_kill(&kin, NULL);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(running, 2);
	wait_for_the_last(&family);
	reap_all(&family);
}

/* One that forks as fast as it can, each copy ending as another begins. */
static void one_that_forks_on_and_on(void **state)
{
	struct family family;
	(void)state;

	begin(&family,
	      "trap '' TERM HUP; echo on; "
	      "while :; do (: & : &) done",
	      1);
	struct wbi_kin kin = kin_of(&family);
	for (int i = 0; i < 1000; i++) {
		if (wbi_kin_kill(&kin, NULL) == 0)
			break;
	}
	wait_for_the_last(&family);
	reap_all(&family);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_alone),          cmocka_unit_test(whatever_their_groups),
		cmocka_unit_test(not_those_who_left), cmocka_unit_test(one_who_is_left),
		cmocka_unit_test(out_of_descriptors), cmocka_unit_test(one_that_forks_on_and_on),
	};

	signal(SIGCHLD, SIG_DFL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
