/* Kin: see kin.h. A number from /proc may be somebody else's a moment later, so a member is pinned
 * down by a pidfd first, looked at again whether it is kin, and then signalled through that.
 */
#include "sys/kin.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/fd.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

enum { KILL_ROUNDS = 16 }; /* against one that forks as fast as it is killed */

static bool has_ended(int pidfd)
{
	struct pollfd ended = {.fd = pidfd, .events = POLLIN};

	return poll(&ended, 1, 0) != 0;
}

/* Whether it took them. Somebody else's (a set-uid program) does not. */
static bool send(int pidfd, const int *signals, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (syscall(SYS_pidfd_send_signal, pidfd, signals[i], NULL, 0) != 0)
			return false;
	}
	return true;
}

/* Without a descriptor to pin it down, by its number: in a moment this short that becomes nobody
 * else's, and to let a member live would be worse. */
static bool send_to_number(pid_t pid, const int *signals, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (kill(pid, signals[i]) != 0)
			return false;
	}
	return true;
}

static bool is_kin(const struct wbi_kin *kin, pid_t pid)
{
	return getsid(pid) == kin->leader || (kin->leaf && wbi_leaf_holds(kin->leaf, pid));
}

struct round {
	const struct wbi_kin *kin;
	const int *signals;
	unsigned count;
	unsigned running; /* and were signalled */
	int other;        /* a pidfd, or -1 */
};

/* Whether it is one that still runs, and was signalled. *ret_pidfd: -1 if not, or if there was none
 * to be had. */
static bool signal_one(const struct round *round, pid_t pid, int *ret_pidfd)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	*ret_pidfd = pidfd;
	if (pidfd < 0)
		return errno != ESRCH && is_kin(round->kin, pid) &&
		       send_to_number(pid, round->signals, round->count);
	if (is_kin(round->kin, pid) && !has_ended(pidfd) &&
	    send(pidfd, round->signals, round->count))
		return true;
	wbi_fd_close(ret_pidfd);
	return false;
}

static void visit(struct round *round, pid_t pid)
{
	int pidfd;

	round->running += signal_one(round, pid, &pidfd);
	if (pid != round->kin->leader && round->other < 0)
		round->other = pidfd;
	else
		wbi_fd_close(&pidfd);
}

static void visit_session(struct round *round)
{
	DIR *folder = opendir("/proc");
	const struct dirent *entry;

	for (unsigned i = 0; !folder && i < round->count; i++)
		(void)kill(-round->kin->leader, round->signals[i]);
	while (folder && (entry = readdir(folder)) != NULL) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
		if (pid > 0 && getsid(pid) == round->kin->leader)
			visit(round, pid);
	}
	if (folder)
		closedir(folder);
}

/* Who is in the session as well has had its turn. */
static void visit_in_leaf(void *context, pid_t pid)
{
	struct round *round = context;

	if (getsid(pid) != round->kin->leader)
		visit(round, pid);
}

unsigned wbi_kin_signal(const struct wbi_kin *kin, const int *signals, unsigned count,
			int *ret_other)
{
	struct round round = {.kin = kin, .signals = signals, .count = count, .other = -1};

	visit_session(&round);
	if (kin->leaf)
		wbi_leaf_each(kin->leaf, visit_in_leaf, &round);
	if (ret_other)
		*ret_other = round.other;
	else
		wbi_fd_close(&round.other);
	return round.running;
}

unsigned wbi_kin_kill(const struct wbi_kin *kin, int *ret_other)
{
	static const int signals[] = {SIGKILL};
	unsigned before = 0, running = 0;
	int other = -1;

	if (kin->leaf)
		wbi_leaf_kill(kin->leaf);
	/* Those that were killed take their time to end: what matters is that none is added. */
	for (int round = 0; round < KILL_ROUNDS; round++) {
		wbi_fd_close(&other);
		running = wbi_kin_signal(kin, signals, 1, &other);
		if (running == 0 || (round > 0 && running <= before))
			break;
		before = running;
	}
	if (ret_other)
		*ret_other = other;
	else
		wbi_fd_close(&other);
	return running;
}
