/* Whose processes ours are: the account of our user, read once. */
#ifndef WBI_ACCOUNT_H
#define WBI_ACCOUNT_H

enum { WBI_ACCOUNT_VARIABLES = 4 };

struct wbi_account {
	const char *home;  /* "/" where nothing is known */
	const char *shell; /* "/bin/sh" where nothing is known */
	/* HOME=…, USER=…, LOGNAME=…, SHELL=…, for an environment */
	const char *variables[WBI_ACCOUNT_VARIABLES];
};

/* Static storage; any thread. The first call may block on whatever names users here. NULL: no
 * memory. */
const struct wbi_account *wbi_account_own(void);

#endif
