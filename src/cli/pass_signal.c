/* Passing through: signals, and the terminal that goes with them. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli/pass.h"
#include "cli/terminal.h"
#include "sys/clock.h"

enum { FLUSH_MS = 1000, SIGNALS_A_TURN = 8 };

static const struct {
	int number;
	const char *name; /* as it is sent; NULL: it is ours */
} signals[] = {
	{SIGINT, "INT"}, {SIGTERM, "TERM"}, {SIGHUP, "HUP"},  {SIGQUIT, "QUIT"},
	{SIGTSTP, NULL}, {SIGCONT, NULL},   {SIGWINCH, NULL},
};

enum { SIGNAL_COUNT = sizeof(signals) / sizeof(signals[0]) };

static bool is_ignored(int number)
{
	struct sigaction action;

	return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

enum wb_err wbi_pass_take_signals(struct wbi_pass *pass, struct wb_fault *fault)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};

	sigemptyset(&pass->taken);
	for (unsigned i = 0; i < SIGNAL_COUNT; i++)
		if (!is_ignored(signals[i].number))
			sigaddset(&pass->taken, signals[i].number);
	sigaction(SIGPIPE, &ignore, NULL); /* EPIPE says the same, and to whoever wrote */
	pass->signal_fd = -1;
	if (sigprocmask(SIG_BLOCK, &pass->taken, NULL) == 0)
		pass->signal_fd = signalfd(-1, &pass->taken, SFD_NONBLOCK | SFD_CLOEXEC);
	if (pass->signal_fd < 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "signals: %m");
	return WB_OK;
}

/* ---- the terminal ---- */

static void send_size(struct wbi_pass *pass)
{
	uint16_t rows, cols;

	if (!pass->call || !wb_call_is_pty(pass->call))
		return;
	wbi_terminal_size(&rows, &cols);
	wb_call_resize(pass->call, rows, cols);
}

static void say(const struct wbi_pass *pass, const struct wb_fault *fault)
{
	fprintf(stderr, "waybill %s: %s\n", pass->options->command->name, fault->text);
}

void wbi_pass_enter_terminal(struct wbi_pass *pass)
{
	struct wb_fault fault;

	if (!wb_call_is_pty(pass->call) || !pass->input_open || !pass->input_is_terminal)
		return;
	if (!wbi_terminal_is_ours(STDIN_FILENO))
		wbi_pass_stop(pass, SIGTTIN);
	if (wbi_terminal_raw(STDIN_FILENO, &fault) != WB_OK)
		say(pass, &fault);
	send_size(pass);
}

/* ---- stopping and going on ---- */

static void stop_here(int number)
{
	sigset_t only, before;
	const struct sigaction usual = {.sa_handler = SIG_DFL};

	sigemptyset(&only);
	sigaddset(&only, number);
	sigaction(number, &usual, NULL);
	raise(number);
	sigprocmask(SIG_UNBLOCK, &only, &before); /* here we stop */
	sigprocmask(SIG_SETMASK, &before, NULL);
}

void wbi_pass_stop(struct wbi_pass *pass, int number)
{
	uint64_t until_ms = wbi_clock_ms() + FLUSH_MS, now_ms;
	bool raw = wbi_terminal_is_raw();

	wb_client_suspend(pass->client);
	while (!wb_client_is_flushed(pass->client) && (now_ms = wbi_clock_ms()) < until_ms)
		wbi_pass_client_turn(pass, (int)(until_ms - now_ms));
	wbi_terminal_restore();
	stop_here(number);
	wb_client_continue(pass->client);
	if (raw)
		wbi_pass_enter_terminal(pass);
}

/* Whoever stopped us with SIGSTOP, or the shell meanwhile, may have changed the terminal. */
static void on_continue(struct wbi_pass *pass)
{
	if (!wbi_terminal_is_raw())
		return;
	wbi_terminal_restore();
	wbi_pass_enter_terminal(pass);
}

/* ---- forwarding ---- */

/* A signal goes to the command. Where that cannot be, it means us. */
static void forward(struct wbi_pass *pass, int number, const char *name)
{
	char why[64];

	if (!wb_client_is_connected(pass->client)) {
		snprintf(why, sizeof(why), "SIG%s came while there was no connection", name);
		wb_client_give_up(pass->client, why);
	} else if (!pass->call || wb_call_signal(pass->call, name) == WB_ERR_CLOSED) {
		pass->abandoned = true;
		pass->abandon_signal = number;
	}
}

static void on_signal(struct wbi_pass *pass, int number)
{
	switch (number) {
	case SIGTSTP:
		wbi_pass_stop(pass, SIGTSTP);
		return;
	case SIGCONT:
		on_continue(pass);
		return;
	case SIGWINCH:
		send_size(pass);
		return;
	default:
		for (unsigned i = 0; i < SIGNAL_COUNT; i++)
			if (signals[i].number == number)
				forward(pass, number, signals[i].name);
	}
}

void wbi_pass_on_signals(struct wbi_pass *pass)
{
	struct signalfd_siginfo infos[SIGNALS_A_TURN];
	ssize_t bytes = read(pass->signal_fd, infos, sizeof(infos));

	for (ssize_t i = 0; i < bytes / (ssize_t)sizeof(infos[0]); i++)
		on_signal(pass, (int)infos[i].ssi_signo);
}
