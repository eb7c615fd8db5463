/* The keys that are our own: see own_keys.h. */
#include "app/own_keys.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/key_file.h"
#include "app/places.h"
#include "transport/agent.h"

enum {
	FILES_MAX = 64,
	AGENT_KEYS_MAX = 64,
	TRIED_MAX = FILES_MAX + AGENT_KEYS_MAX,
	AGENT_LIST_MS = 5000,
	AGENT_SIGN_MS = 60000, /* it may ask its user; the daemon waits longer (greeter.c) */
};

struct wbi_own_keys {
	char *paths[FILES_MAX];
	unsigned path_count, path_next;
	bool named; /* the files were: no others, and each must be of use */
	bool listed;
	struct wbi_agent_key in_agent[AGENT_KEYS_MAX];
	size_t agent_count, agent_next;
	struct wb_fault agent_why; /* why it did not list them; err is WB_OK: it did */
	struct wbi_public_key tried[TRIED_MAX];
	unsigned tried_count;
	struct wbi_identity *now;
	struct wb_fault
		why; /* the first of the usual files that cannot be used; err is WB_OK: none */
};

static enum wb_err add_path(struct wbi_own_keys *keys, const char *path)
{
	if (keys->path_count == FILES_MAX)
		return WB_ERR_LIMIT;
	keys->paths[keys->path_count] = strdup(path);
	return keys->paths[keys->path_count++] ? WB_OK : WB_ERR_NOMEM;
}

static enum wb_err add_usual_paths(struct wbi_own_keys *keys)
{
	char path[PATH_MAX];
	enum wb_err err = WB_OK;

	if (wbi_place_own("id_ed25519", path))
		err = add_path(keys, path);
	if (!err && wbi_place_ssh("id_ed25519", path))
		err = add_path(keys, path);
	return err;
}

enum wb_err wbi_own_keys_new(const char *const *paths, struct wbi_own_keys **ret_keys)
{
	struct wbi_own_keys *keys = calloc(1, sizeof(*keys));
	enum wb_err err = WB_OK;

	if (!keys)
		return WB_ERR_NOMEM;
	keys->named = paths && paths[0];
	for (; keys->named && *paths && !err; paths++)
		err = add_path(keys, *paths);
	if (!keys->named)
		err = add_usual_paths(keys);
	if (err)
		wbi_own_keys_free(keys);
	else
		*ret_keys = keys;
	return err;
}

void wbi_own_keys_free(struct wbi_own_keys *keys)
{
	if (!keys)
		return;
	for (unsigned i = 0; i < keys->path_count; i++)
		free(keys->paths[i]);
	wbi_identity_free(keys->now);
	free(keys);
}

/* ---- ssh-agent ---- */

static const char *agent_path(void)
{
	const char *path = getenv("SSH_AUTH_SOCK");

	return path ? path : "";
}

/* Asks once. Without an agent there are simply no keys in it. */
static void list_agent(struct wbi_own_keys *keys)
{
	struct wbi_agent *agent;

	if (keys->listed)
		return;
	keys->listed = true;
	if (!agent_path()[0] ||
	    wbi_agent_open(agent_path(), AGENT_LIST_MS, &agent, &keys->agent_why) != WB_OK)
		return;
	if (wbi_agent_list(agent, keys->in_agent, AGENT_KEYS_MAX, &keys->agent_count, NULL,
			   &keys->agent_why) != WB_OK)
		keys->agent_count = 0;
	wbi_agent_close(agent);
}

static bool is_in_agent(struct wbi_own_keys *keys, const struct wbi_public_key *key)
{
	list_agent(keys);
	for (size_t i = 0; i < keys->agent_count; i++)
		if (wbi_public_key_equal(&keys->in_agent[i].key, key))
			return true;
	return false;
}

/* ---- one after the other ---- */

static bool was_tried(const struct wbi_own_keys *keys, const struct wbi_public_key *key)
{
	for (unsigned i = 0; i < keys->tried_count; i++)
		if (wbi_public_key_equal(&keys->tried[i], key))
			return true;
	return false;
}

static enum wb_err take_file(struct wbi_own_keys *keys, const struct wbi_key_file *file,
			     const char *path, struct wb_fault *fault)
{
	const struct wbi_public_key *key = &file->key.public_key;

	if (!file->needs_agent)
		return wbi_identity_new(&file->key, &keys->now, fault);
	if (is_in_agent(keys, key))
		return wbi_identity_new_in_agent(key, agent_path(), AGENT_SIGN_MS, &keys->now,
						 fault);
	if (keys->agent_why.err)
		return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0,
				    "%.60s: only an ssh-agent could use this key: %.100s", path,
				    keys->agent_why.text);
	return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0,
			    "%.80s: the key is locked by a passphrase, and no ssh-agent holds it: "
			    "run ssh-add first",
			    path);
}

/* keys->now stays NULL where the file's key was tried already. */
static enum wb_err try_file(struct wbi_own_keys *keys, const char *path, struct wb_fault *fault)
{
	struct wbi_key_file file;
	enum wb_err err = wbi_key_file_read(path, &file, fault);

	if (err)
		return err;
	if (!was_tried(keys, &file.key.public_key))
		err = take_file(keys, &file, path, fault);
	wbi_private_key_done(&file.key);
	return err;
}

static enum wb_err next_file(struct wbi_own_keys *keys, struct wb_fault *fault)
{
	while (keys->path_next < keys->path_count && !keys->now) {
		struct wb_fault here;
		enum wb_err err = try_file(keys, keys->paths[keys->path_next++], &here);

		if (err && keys->named) {
			*fault = here;
			return err;
		}
		if (err && err != WB_ERR_MISSING && !keys->why.err)
			keys->why = here;
	}
	return WB_OK;
}

static enum wb_err next_in_agent(struct wbi_own_keys *keys, struct wb_fault *fault)
{
	enum wb_err err = WB_OK;

	list_agent(keys);
	while (keys->agent_next < keys->agent_count && !keys->now && !err) {
		const struct wbi_public_key *key = &keys->in_agent[keys->agent_next++].key;

		if (!was_tried(keys, key))
			err = wbi_identity_new_in_agent(key, agent_path(), AGENT_SIGN_MS,
							&keys->now, fault);
	}
	return err;
}

static enum wb_err none_left(const struct wbi_own_keys *keys, struct wb_fault *fault)
{
	if (keys->why.err)
		return wb_fault_set(fault, WB_ERR_MISSING, NULL, 0, "%s", keys->why.text);
	if (keys->agent_why.err)
		return wb_fault_set(fault, WB_ERR_MISSING, NULL, 0,
				    "there is no key to show: none in the usual files, and %s",
				    keys->agent_why.text);
	return wb_fault_set(fault, WB_ERR_MISSING, NULL, 0,
			    "there is no key to show (it has to be an Ed25519 key): 'waybill "
			    "keygen' makes one, and -i names one");
}

enum wb_err wbi_own_keys_next(struct wbi_own_keys *keys, const struct wbi_identity **ret_identity,
			      struct wb_fault *fault)
{
	struct wb_fault here;
	enum wb_err err;

	wbi_identity_free(keys->now);
	keys->now = NULL;
	err = next_file(keys, &here);
	if (!err && !keys->now && !keys->named)
		err = next_in_agent(keys, &here);
	if (!err && !keys->now)
		err = none_left(keys, &here);
	if (err) {
		if (fault)
			*fault = here;
		return err;
	}
	if (keys->tried_count < TRIED_MAX)
		keys->tried[keys->tried_count++] = *wbi_identity_key(keys->now);
	*ret_identity = keys->now;
	return WB_OK;
}
