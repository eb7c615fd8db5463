/* Whose processes ours are: see account.h. */
#include "sys/account.h"

#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct wbi_account own;
static char *texts[WBI_ACCOUNT_VARIABLES];

static void make(const char *name, const char *home, const char *shell)
{
	static const char *const names[] = {"HOME", "USER", "LOGNAME", "SHELL"};
	const char *const values[] = {home, name, name, shell};

	for (int i = 0; i < WBI_ACCOUNT_VARIABLES; i++) {
		if (asprintf(&texts[i], "%s=%s", names[i], values[i]) < 0)
			return;
		own.variables[i] = texts[i];
	}
	own.home = strchr(texts[0], '=') + 1;
	own.shell = strchr(texts[3], '=') + 1;
}

/* getpwuid's own storage would be overwritten by whoever asks next. */
static void load(void)
{
	char buffer[16384], number[16];
	struct passwd entry, *found = NULL;

	snprintf(number, sizeof(number), "%u", (unsigned)geteuid());
	if (getpwuid_r(geteuid(), &entry, buffer, sizeof(buffer), &found) != 0 || !found)
		make(number, "/", "/bin/sh");
	else
		make(entry.pw_name, entry.pw_dir[0] ? entry.pw_dir : "/",
		     entry.pw_shell[0] ? entry.pw_shell : "/bin/sh");
}

const struct wbi_account *wbi_account_own(void)
{
	pthread_once(&once, load);
	return own.shell ? &own : NULL;
}
