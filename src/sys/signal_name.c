/* Signals by name: see signal_name.h. */
#include "sys/signal_name.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	int number;
} names[] = {
	{"HUP", SIGHUP},       {"INT", SIGINT},   {"QUIT", SIGQUIT},   {"ILL", SIGILL},
	{"TRAP", SIGTRAP},     {"ABRT", SIGABRT}, {"BUS", SIGBUS},     {"FPE", SIGFPE},
	{"KILL", SIGKILL},     {"USR1", SIGUSR1}, {"SEGV", SIGSEGV},   {"USR2", SIGUSR2},
	{"PIPE", SIGPIPE},     {"ALRM", SIGALRM}, {"TERM", SIGTERM},   {"CHLD", SIGCHLD},
	{"CONT", SIGCONT},     {"STOP", SIGSTOP}, {"TSTP", SIGTSTP},   {"TTIN", SIGTTIN},
	{"TTOU", SIGTTOU},     {"URG", SIGURG},   {"XCPU", SIGXCPU},   {"XFSZ", SIGXFSZ},
	{"VTALRM", SIGVTALRM}, {"PROF", SIGPROF}, {"WINCH", SIGWINCH}, {"IO", SIGIO},
	{"PWR", SIGPWR},       {"SYS", SIGSYS},
};

enum { NAMES = sizeof(names) / sizeof(names[0]) };

void wbi_signal_name(int number, char *out, size_t size)
{
	for (unsigned i = 0; i < NAMES; i++) {
		if (names[i].number == number) {
			snprintf(out, size, "%s", names[i].name);
			return;
		}
	}
	if (number >= SIGRTMIN && number <= SIGRTMAX)
		snprintf(out, size, "RTMIN+%d", number - SIGRTMIN);
	else
		snprintf(out, size, "%d", number);
}

int wbi_signal_number(const char *name)
{
	for (unsigned i = 0; i < NAMES; i++) {
		if (strcmp(names[i].name, name) == 0)
			return names[i].number;
	}
	if (strncmp(name, "RTMIN+", 6) != 0 || name[6] < '0' || name[6] > '9')
		return 0;
	long offset = strtol(name + 6, NULL, 10);
	return offset <= SIGRTMAX - SIGRTMIN ? SIGRTMIN + (int)offset : 0;
}
