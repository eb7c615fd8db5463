/* Kin: see kin.h. A number from /proc may be somebody else's a moment later, so a member is pinned
 * down by a pidfd first, asked again to which session it belongs, and then signalled through that.
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

/* Whether the process is a member that still runs, and was signalled. *ret_pidfd: -1 if not, or if
 * there was none to be had. */
static bool signal_member(pid_t pid, pid_t leader, const int *signals, unsigned count,
			  int *ret_pidfd)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	*ret_pidfd = pidfd;
	if (pidfd < 0)
		return errno != ESRCH && getsid(pid) == leader &&
		       send_to_number(pid, signals, count);
	if (getsid(pid) == leader && !has_ended(pidfd) && send(pidfd, signals, count))
		return true;
	wbi_fd_close(ret_pidfd);
	return false;
}

unsigned wbi_kin_signal(pid_t leader, const int *signals, unsigned count, int *ret_other)
{
	DIR *folder = opendir("/proc");
	const struct dirent *entry;
	unsigned running = 0;
	int other = -1;

	for (unsigned i = 0; !folder && i < count; i++)
		(void)kill(-leader, signals[i]);
	while (folder && (entry = readdir(folder)) != NULL) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
		if (pid <= 0 || getsid(pid) != leader)
			continue;
		int pidfd;
		running += signal_member(pid, leader, signals, count, &pidfd);
		if (pid != leader && other < 0)
			other = pidfd;
		else
			wbi_fd_close(&pidfd);
	}
	if (folder)
		closedir(folder);
	if (ret_other)
		*ret_other = other;
	else
		wbi_fd_close(&other);
	return running;
}

unsigned wbi_kin_kill(pid_t leader, int *ret_other)
{
	static const int signals[] = {SIGKILL};
	unsigned before = 0, running = 0;
	int other = -1;

	/* Those that were killed take their time to end: what matters is that none is added. */
	for (int round = 0; round < KILL_ROUNDS; round++) {
		wbi_fd_close(&other);
		running = wbi_kin_signal(leader, signals, 1, &other);
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
