/* The authority: see authority.h. */
#include "app/authority.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "app/places.h"
#include "job/policy.h"
#include "keys/authorized_keys.h"
#include "sys/guarded.h"

enum { PATH_SHOWN_MAX = 110 }; /* in the log; the reason stands behind it */

struct wbi_authority {
	char **paths;
	unsigned count;
};

/* ---- the files ---- */

/* A relative path keeps its meaning whatever folder we work in later. */
static enum wb_err add_path(struct wbi_authority *authority, const char *path)
{
	char folder[PATH_MAX] = "", *whole = NULL;

	if (path[0] == '/')
		whole = strdup(path);
	else if (!getcwd(folder, sizeof(folder)) || asprintf(&whole, "%s/%s", folder, path) < 0)
		whole = NULL;
	if (!whole)
		return WB_ERR_NOMEM;
	authority->paths[authority->count++] = whole;
	return WB_OK;
}

static enum wb_err add_usual_paths(struct wbi_authority *authority)
{
	char path[PATH_MAX];
	enum wb_err err = WB_OK;

	if (wbi_place_own("authorized_keys", path))
		err = add_path(authority, path);
	if (!err && wbi_place_ssh("authorized_keys", path))
		err = add_path(authority, path);
	return err;
}

enum wb_err wbi_authority_new(const char *const *paths, unsigned count,
			      struct wbi_authority **ret_authority)
{
	enum { USUAL = 2 };
	struct wbi_authority *authority = calloc(1, sizeof(*authority));
	enum wb_err err = WB_OK;

	if (!authority)
		return WB_ERR_NOMEM;
	authority->paths = calloc(count + USUAL, sizeof(authority->paths[0]));
	if (!authority->paths)
		err = WB_ERR_NOMEM;
	for (unsigned i = 0; i < count && !err; i++)
		err = add_path(authority, paths[i]);
	if (!err && count == 0)
		err = add_usual_paths(authority);
	if (err)
		wbi_authority_free(authority);
	else
		*ret_authority = authority;
	return err;
}

void wbi_authority_free(struct wbi_authority *authority)
{
	if (!authority)
		return;
	for (unsigned i = 0; i < authority->count; i++)
		free(authority->paths[i]);
	free(authority->paths);
	free(authority);
}

uint64_t wbi_authority_stamp(const struct wbi_authority *authority)
{
	uint64_t stamp = 0;

	for (unsigned i = 0; i < authority->count; i++)
		stamp = stamp * UINT64_C(0x9e3779b97f4a7c15) +
			wbi_guarded_stamp(authority->paths[i]);
	return stamp;
}

/* ---- decisions ---- */

/* The address as from= knows it: numeric, IPv4 as such where it came over IPv6. */
static bool format_address(const struct wbi_addr *from, char out[NI_MAXHOST])
{
	static const char mapped[] = "::ffff:";

	if (from->any.sa_family == AF_UNIX ||
	    getnameinfo(&from->any, from->bytes, out, NI_MAXHOST, NULL, 0, NI_NUMERICHOST) != 0)
		return false;
	if (strncmp(out, mapped, sizeof(mapped) - 1) == 0 && strchr(out, '.'))
		memmove(out, out + sizeof(mapped) - 1, strlen(out + sizeof(mapped) - 1) + 1);
	return true;
}

/* Keeps the first reason that says more than "no line has this key". */
static void note(struct wbi_denial *denial, const char *code, const char *path,
		 const struct wb_fault *fault)
{
	if (strcmp(denial->code, "unknown-key") != 0)
		return;
	snprintf(denial->code, sizeof(denial->code), "%s", code);
	wb_fault_set(&denial->why, WB_ERR_REFUSED, fault->field, 0, "%.*s%s%s", PATH_SHOWN_MAX,
		     path ? path : "", path ? ": " : "", fault->text);
	snprintf(denial->told, sizeof(denial->told), "%s", fault->text);
}

/* A line that makes no sense may have been meant for this key: for the log, not for the peer. */
static void note_bad_lines(struct wbi_denial *denial, const char *path,
			   const struct wb_fault *fault)
{
	if (strcmp(denial->code, "unknown-key") == 0 && fault->field[0] && !denial->why.field[0])
		wb_fault_set(&denial->why, WB_ERR_REFUSED, fault->field, 0, "%.*s: %s",
			     PATH_SHOWN_MAX, path, fault->text);
}

/* WB_OK: this file lets the key in. */
static enum wb_err ask_file(const char *path, const struct wbi_public_key *key,
			    const struct wbi_authorized_facts *facts, struct wbi_grant **ret_grant,
			    struct wbi_denial *denial)
{
	struct wbi_authorized line;
	struct wbi_guarded file;
	struct wb_fault fault;
	enum wb_err err = wbi_guarded_read(path, WBI_GUARD_WRITING, geteuid(), &file, &fault);

	if (err == WB_ERR_MISSING)
		return err;
	if (err) {
		note(denial, "keys-unusable", NULL, &fault);
		snprintf(denial->told, sizeof(denial->told),
			 "the daemon does not use its authorized_keys: %.140s",
			 strrchr(fault.text, ':') ? strrchr(fault.text, ':') + 2 : fault.text);
		return err;
	}
	err = wbi_authorized_keys_find(file.data, file.bytes, key, facts, &line, &fault);
	wbi_guarded_done(&file);
	if (err == WB_ERR_REFUSED)
		note(denial, "key-refused", path, &fault);
	else if (err == WB_ERR_MISSING)
		note_bad_lines(denial, path, &fault);
	if (err)
		return err;
	err = wbi_policy_grant_key(&line, ret_grant);
	wbi_authorized_done(&line);
	return err;
}

enum wb_err wbi_authority_decide(const struct wbi_authority *authority,
				 const struct wbi_public_key *key, const struct wbi_addr *from,
				 struct wbi_grant **ret_grant, struct wbi_denial *ret_denial)
{
	char fingerprint[WBI_FINGERPRINT_SIZE], address[NI_MAXHOST];
	struct wbi_denial denial = {.code = "unknown-key"};
	struct wbi_authorized_facts facts = {.now_s = time(NULL)};
	time_t now = (time_t)facts.now_s;
	struct tm local;

	wbi_public_key_fingerprint(key, fingerprint);
	snprintf(denial.told, sizeof(denial.told), "the key %s is not authorized here",
		 fingerprint);
	wb_fault_set(&denial.why, WB_ERR_REFUSED, NULL, 0, "no authorized_keys names the key");
	if (format_address(from, address))
		facts.address = address;
	if (localtime_r(&now, &local))
		facts.utc_offset_s = (int32_t)local.tm_gmtoff;
	for (unsigned i = 0; i < authority->count; i++) {
		facts.own_file = !wbi_place_is_ssh(authority->paths[i]);
		if (ask_file(authority->paths[i], key, &facts, ret_grant, &denial) == WB_OK)
			return WB_OK;
	}
	*ret_denial = denial;
	return WB_ERR_REFUSED;
}
