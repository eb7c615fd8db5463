/* Becoming another user: see become.h. */
#include "sys/become.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

static bool is_wholly(uid_t uid, gid_t gid)
{
	uid_t uids[3];
	gid_t gids[3];

	if (getresuid(&uids[0], &uids[1], &uids[2]) != 0 ||
	    getresgid(&gids[0], &gids[1], &gids[2]) != 0)
		return false;
	for (int i = 0; i < 3; i++)
		if (uids[i] != uid || gids[i] != gid)
			return false;
	return true;
}

static enum wb_err set_environment(const struct passwd *entry, struct wb_fault *fault)
{
	const char *shell = entry->pw_shell[0] ? entry->pw_shell : "/bin/sh";

	unsetenv("XDG_CONFIG_HOME");
	unsetenv("XDG_RUNTIME_DIR");
	if (setenv("HOME", entry->pw_dir[0] ? entry->pw_dir : "/", 1) ||
	    setenv("USER", entry->pw_name, 1) || setenv("LOGNAME", entry->pw_name, 1) ||
	    setenv("SHELL", shell, 1))
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "environment: %m");
	return WB_OK;
}

enum wb_err wbi_become_user(const char *name, struct wb_fault *fault)
{
	const struct passwd *entry;

	errno = 0;
	entry = getpwnam(name);
	if (!entry)
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0, "%.64s: there is no such user",
				    name);
	if (entry->pw_uid == geteuid() && entry->pw_uid == getuid())
		return WB_OK;
	if (geteuid() != 0)
		return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0,
				    "%.64s: only root can become another user", name);
	if (initgroups(entry->pw_name, entry->pw_gid) != 0 ||
	    setresgid(entry->pw_gid, entry->pw_gid, entry->pw_gid) != 0 ||
	    setresuid(entry->pw_uid, entry->pw_uid, entry->pw_uid) != 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "become %.64s: %m", name);
	if (!is_wholly(entry->pw_uid, entry->pw_gid) || setuid(0) == 0) {
		errno = EPERM;
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0,
				    "become %.64s: the way back to root is open", name);
	}
	return set_environment(entry, fault);
}
