/* Kin: every process of one POSIX session, found by asking the kernel who belongs to it.
 *
 * A command is started as the leader of a session of its own, so whatever it starts is its kin,
 * whatever groups a shell's job control has put them in, until it calls setsid itself. */
#ifndef WBI_KIN_H
#define WBI_KIN_H

#include <sys/types.h>

/* Sends each of `count` signals to each member of the session that still runs. The leader must be a
 * child of ours that is not reaped: then the number is nobody else's.
 *
 * ret_other (may be NULL): a pidfd of a member that is not the leader, readable when it has ended,
 * for the caller to watch and close; -1 if there is none. Returns how many still run, the leader
 * included; those that are not ours to signal do not count. Reads /proc; where there is none only
 * the leader's group is reached. Does not wait. */
unsigned wbi_kin_signal(pid_t leader, const int *signals, unsigned count, int *ret_other);

/* Sends KILL again and again until nobody is found who was not sent one, so that none escapes by
 * forking meanwhile. Otherwise as above. */
unsigned wbi_kin_kill(pid_t leader, int *ret_other);

#endif
