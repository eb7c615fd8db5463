/* Where keys lie: see places.h. */
#include "app/places.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sys/account.h"

/* $HOME is what the user's other programs go by; a daemon that was given none has its account's. */
static const char *find_home(void)
{
	const char *home = getenv("HOME");
	const struct wbi_account *account;

	if (home && home[0] == '/')
		return home;
	account = wbi_account_own();
	return account ? account->home : "/";
}

static bool join(char out[PATH_MAX], const char *folder, const char *middle, const char *name)
{
	return snprintf(out, PATH_MAX, "%s/%s/%s", folder, middle, name) < PATH_MAX;
}

bool wbi_place_own(const char *name, char out[PATH_MAX])
{
	const char *folder = getenv("XDG_CONFIG_HOME");

	if (folder && folder[0] == '/')
		return join(out, folder, "waybill", name);
	return join(out, find_home(), ".config/waybill", name);
}

bool wbi_place_ssh(const char *name, char out[PATH_MAX])
{
	return join(out, find_home(), ".ssh", name);
}

bool wbi_place_is_ssh(const char *path)
{
	const char *name = strrchr(path, '/');
	size_t folder = name ? (size_t)(name - path) : 0;

	while (folder > 1 &&
	       (path[folder - 1] == '/' || (path[folder - 1] == '.' && path[folder - 2] == '/')))
		folder--;
	return (folder == 4 || (folder > 4 && path[folder - 5] == '/')) &&
	       strncmp(path + folder - 4, ".ssh", 4) == 0;
}
