/* Kin: every process that a command has started, found by asking the kernel who belongs to it.
 *
 * A command is started as the leader of a POSIX session of its own, so whatever it starts is its
 * kin, whatever groups a shell's job control has put them in, until it calls setsid itself. Where
 * the command has a cgroup of its own as well, whatever is in that is kin, too. */
#ifndef WBI_KIN_H
#define WBI_KIN_H

#include <sys/types.h>

#include "sys/cgroup.h"

struct wbi_kin {
	pid_t leader; /* a child of ours that is not reaped: so the number is nobody else's */
	struct wbi_leaf *leaf; /* borrowed; NULL: there is the session alone */
};

/* Sends each of `count` signals once to each of the kin that still runs.
 *
 * ret_other (may be NULL): a pidfd of one that is not the leader, readable when it has ended, for
 * the caller to watch and close; -1 if there is none. Returns how many still run, the leader
 * included; those that are not ours to signal do not count. Reads /proc; where there is none only
 * the leader's group is reached. Does not wait. */
unsigned wbi_kin_signal(const struct wbi_kin *kin, const int *signals, unsigned count,
			int *ret_other);

/* Sends KILL again and again until nobody is found who was not sent one, so that none escapes by
 * forking meanwhile; in the leaf the kernel sees to that, and it reaches those who are not ours to
 * signal. Otherwise as above. */
unsigned wbi_kin_kill(const struct wbi_kin *kin, int *ret_other);

#endif
