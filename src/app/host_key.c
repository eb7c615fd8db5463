/* The host key: see host_key.h. */
#include "app/host_key.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/key_file.h"
#include "app/places.h"

#define SSHD_HOST_KEY "/etc/ssh/ssh_host_ed25519_key"

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

/* Which file it is, where nobody said. */
static enum wb_err choose(struct wbi_host_key *key, struct wb_fault *fault)
{
	struct wbi_public_key made;

	if (!wbi_place_own("host_key", key->path))
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0, "host key: too long a path");
	if (is_there(key->path))
		return WB_OK;
	if (geteuid() == 0 && is_there(SSHD_HOST_KEY)) {
		snprintf(key->path, sizeof(key->path), "%s", SSHD_HOST_KEY);
		return WB_OK;
	}
	key->made = true;
	return wbi_key_pair_create(key->path, "waybill host key", &made, fault);
}

static enum wb_err load(const char *path, struct wbi_identity **ret_identity,
			struct wb_fault *fault)
{
	struct wbi_key_file file;
	enum wb_err err = wbi_key_file_read(path, &file, fault);

	if (err)
		return err;
	if (file.needs_agent)
		err = wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0,
				   "%.80s: a host key has to be a private key without a passphrase",
				   path);
	else
		err = wbi_identity_new(&file.key, ret_identity, fault);
	wbi_private_key_done(&file.key);
	return err;
}

enum wb_err wbi_host_key_load(const char *path, struct wbi_host_key *ret_key,
			      struct wb_fault *fault)
{
	struct wbi_host_key key = {0};
	enum wb_err err = WB_OK;

	if (path && snprintf(key.path, sizeof(key.path), "%s", path) >= (int)sizeof(key.path))
		err = wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0, "host key: too long a path");
	else if (!path)
		err = choose(&key, fault);
	if (!err)
		err = load(key.path, &key.identity, fault);
	if (!err)
		*ret_key = key;
	return err;
}
