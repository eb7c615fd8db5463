/* ^C. At the prompt the signal is blocked but for the wait itself, so that none comes between the
 * look at the flag and the wait. */
#include "cli/interrupt.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

enum { EXIT_INTERRUPTED = 128 + SIGINT };

static volatile sig_atomic_t at_prompt, seen;

static void on_interrupt(int signal)
{
	(void)signal;
	if (!at_prompt)
		_exit(EXIT_INTERRUPTED);
	seen = 1;
}

static void mask_interrupt(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigprocmask(how, &set, NULL);
}

void wbi_interrupt_init(void)
{
	struct sigaction action = {.sa_handler = on_interrupt};

	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
}

void wbi_interrupt_begin_prompt(void)
{
	mask_interrupt(SIG_BLOCK);
	at_prompt = 1;
	seen = 0;
}

void wbi_interrupt_end_prompt(void)
{
	at_prompt = 0;
	mask_interrupt(SIG_UNBLOCK);
}

bool wbi_interrupt_wait(int fd)
{
	struct pollfd wanted = {fd, POLLIN, 0};
	sigset_t open;

	sigprocmask(SIG_BLOCK, NULL, &open);
	sigdelset(&open, SIGINT);
	return !seen && ppoll(&wanted, 1, NULL, &open) > 0;
}

bool wbi_interrupt_seen(void)
{
	return seen;
}
