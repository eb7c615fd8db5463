/* Breaks a connection under the library that uses it: by reset, by an end, by half an end, or by
 * silence (both sides keep a socket, and nothing comes through any more). */
#ifndef STRESS_CUT_H
#define STRESS_CUT_H

#include <sys/socket.h>
#include <unistd.h>

enum cut_kind { CUT_RESET, CUT_END, CUT_HALF, CUT_SILENCE, CUT_KINDS };

static const char *const cut_names[CUT_KINDS] = {"reset", "end", "half", "silence"};

enum { GRAVES = 128 };

/* Sockets that only seem to be alive. The oldest goes when there are too many. */
struct graveyard {
	int fds[GRAVES];
	unsigned next;
};

static inline void graveyard_init(struct graveyard *yard)
{
	for (int i = 0; i < GRAVES; i++)
		yard->fds[i] = -1;
	yard->next = 0;
}

static inline void graveyard_add(struct graveyard *yard, int fd)
{
	if (yard->fds[yard->next] >= 0)
		close(yard->fds[yard->next]);
	yard->fds[yard->next] = fd;
	yard->next = (yard->next + 1) % GRAVES;
}

static inline void graveyard_done(struct graveyard *yard)
{
	for (int i = 0; i < GRAVES; i++)
		if (yard->fds[i] >= 0)
			close(yard->fds[i]);
}

/* The descriptor's number stays, so that nobody else can get it meanwhile. */
static inline void replace(int fd, int with)
{
	dup2(with, fd);
	close(with);
}

/* A TCP connection that is closed so forgets what it had still to send, and says so. */
static inline void cut_reset(int fd)
{
	const struct linger at_once = {1, 0};
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	replace(fd, ends[0]);
	close(ends[1]);
}

static inline void cut_silence(int fd, struct graveyard *yard)
{
	int ends[2], kept = dup(fd);

	if (kept < 0)
		return;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
		close(kept);
		return;
	}
	replace(fd, ends[0]);
	graveyard_add(yard, ends[1]);
	graveyard_add(yard, kept);
}

static inline void cut(int fd, enum cut_kind kind, struct graveyard *yard)
{
	if (kind == CUT_RESET)
		cut_reset(fd);
	else if (kind == CUT_SILENCE)
		cut_silence(fd, yard);
	else
		shutdown(fd, kind == CUT_END ? SHUT_RDWR : SHUT_WR);
}

#endif
