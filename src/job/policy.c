/* Who may do what: see policy.h. */
#include "job/policy.h"

#include <sys/socket.h>

enum wb_err wbi_policy_may_listen(const struct wbi_policy *policy, enum wbi_door door,
				  const struct wbi_addr *addr, struct wb_fault *fault)
{
	if (door == WBI_DOOR_KEY || wbi_addr_is_loopback(addr))
		return WB_OK;
	if (door == WBI_DOOR_SESSION)
		return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0,
				    "a tcp listener has no keys, so it stands on loopback only; "
				    "other machines need tls");
	if (policy->insecure_plain)
		return WB_OK;
	return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0,
			    "a plain service has no keys, so it listens on loopback only; "
			    "--insecure-plain lifts that for everybody who can reach the port");
}

static enum wb_err find_uid(const struct wbi_policy *policy, int fd, uid_t *ret_uid,
			    struct wb_fault *fault)
{
	int family = AF_UNSPEC;
	socklen_t bytes = sizeof(family);
	pid_t pid;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &bytes) != 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "socket: %m");
	if (family == AF_UNIX)
		return wbi_peer_of_unix(fd, ret_uid, &pid, fault);
	return wbi_peer_of_tcp(policy->finder, fd, ret_uid, fault);
}

enum wb_err wbi_policy_may_call(const struct wbi_policy *policy, bool is_plain, int fd,
				struct wbi_principal *ret_who, struct wb_fault *fault)
{
	uid_t uid;
	enum wb_err err;

	if (is_plain && policy->insecure_plain)
		return WB_OK;
	err = find_uid(policy, fd, &uid, fault);
	if (err)
		return err;
	for (unsigned i = 0; i < policy->uid_count; i++)
		if (policy->uids[i] == uid) {
			*ret_who = (struct wbi_principal){.kind = WBI_PRINCIPAL_UID, .uid = uid};
			return WB_OK;
		}
	return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0,
			    "uid %lu opened the socket and is not among those who may call "
			    "(--allow-uid %lu would let it in)",
			    (unsigned long)uid, (unsigned long)uid);
}

/* ---- what is granted ---- */

enum wb_err wbi_policy_grant_uid(struct wbi_grant **ret_grant)
{
	return wbi_grant_new(true, ret_grant);
}

static enum wb_err grant_files(const struct wbi_authorized_files *files, bool *granted, char **root)
{
	*granted = files->allowed;
	return files->root ? wbi_grant_set_text(root, files->root) : WB_OK;
}

enum wb_err wbi_policy_grant_key(const struct wbi_authorized *line, struct wbi_grant **ret_grant)
{
	struct wbi_grant *grant = NULL;
	enum wb_err err = wbi_grant_new(false, &grant);

	if (err)
		return err;
	grant->exec = line->exec;
	grant->pty = line->pty;
	grant->jobs = line->jobs;
	/* Good in its last second, void in the next. */
	grant->expires = line->expires ? (uint64_t)line->expires_s + 1 : 0;
	err = grant_files(&line->put, &grant->put, &grant->put_root);
	if (!err)
		err = grant_files(&line->get, &grant->get, &grant->get_root);
	if (!err && line->command)
		err = wbi_grant_set_text(&grant->command, line->command);
	for (const char *const *variable = line->environment; *variable && !err; variable++)
		err = wbi_grant_set_variable(grant, *variable);
	if (err)
		wbi_grant_free(grant);
	else
		*ret_grant = grant;
	return err;
}
