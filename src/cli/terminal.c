/* The user's terminal: see terminal.h. */
#include "cli/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

enum { ROWS_USUAL = 24, COLUMNS_USUAL = 80 };

/* Whatever ends a process and can be caught. Those that `exec` forwards never get here. */
static const int fatal_signals[] = {
	SIGHUP,  SIGINT,  SIGQUIT, SIGILL,  SIGTRAP, SIGABRT,   SIGBUS,  SIGFPE,
	SIGUSR1, SIGSEGV, SIGUSR2, SIGALRM, SIGTERM, SIGXCPU,   SIGXFSZ, SIGVTALRM,
	SIGPROF, SIGIO,   SIGPWR,  SIGSYS,  SIGPIPE, SIGSTKFLT,
};

static struct termios before;
static volatile sig_atomic_t raw_fd = -1;

void wbi_terminal_size(uint16_t *ret_rows, uint16_t *ret_cols)
{
	struct winsize size;

	*ret_rows = ROWS_USUAL;
	*ret_cols = COLUMNS_USUAL;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (ioctl(fd, TIOCGWINSZ, &size) != 0 || !size.ws_row || !size.ws_col)
			continue;
		*ret_rows = size.ws_row;
		*ret_cols = size.ws_col;
		return;
	}
}

bool wbi_terminal_is_ours(int fd)
{
	pid_t group = tcgetpgrp(fd);

	return group < 0 || group == getpgrp();
}

bool wbi_terminal_is_raw(void)
{
	return raw_fd >= 0;
}

/* From the background this would raise SIGTTOU and stop us; while that is blocked it does not. */
static int set_attributes(int fd, const struct termios *attributes)
{
	sigset_t output, old;
	int result;

	sigemptyset(&output);
	sigaddset(&output, SIGTTOU);
	sigprocmask(SIG_BLOCK, &output, &old);
	do
		result = tcsetattr(fd, TCSANOW, attributes);
	while (result != 0 && errno == EINTR);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return result;
}

void wbi_terminal_restore(void)
{
	int fd = raw_fd;

	if (fd < 0)
		return;
	raw_fd = -1;
	/* In the background it is somebody else's, who has made of it what they need. */
	if (wbi_terminal_is_ours(fd))
		set_attributes(fd, &before);
}

/* SA_RESETHAND has put the default back: the signal ends the process as if it had not been caught.
 */
static void on_fatal_signal(int number)
{
	wbi_terminal_restore();
	raise(number);
}

static void catch_fatal_signals(void)
{
	struct sigaction action = {.sa_handler = on_fatal_signal, .sa_flags = SA_RESETHAND}, old;

	sigemptyset(&action.sa_mask);
	for (unsigned i = 0; i < sizeof(fatal_signals) / sizeof(fatal_signals[0]); i++)
		if (sigaction(fatal_signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
			sigaction(fatal_signals[i], &action, NULL);
}

enum wb_err wbi_terminal_raw(int fd, struct wb_fault *fault)
{
	static bool prepared;
	struct termios raw;

	if (raw_fd >= 0)
		return WB_OK;
	if (tcgetattr(fd, &before) != 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "terminal: %m");
	if (!prepared) {
		catch_fatal_signals();
		atexit(wbi_terminal_restore);
		prepared = true;
	}
	raw = before;
	cfmakeraw(&raw);
	/* First the note, then the deed: a signal between the two restores what is still so. */
	raw_fd = fd;
	if (set_attributes(fd, &raw) != 0) {
		raw_fd = -1;
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "terminal: %m");
	}
	return WB_OK;
}
