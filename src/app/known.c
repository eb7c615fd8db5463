/* Known hosts: see known.h. */
#include "app/known.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/places.h"
#include "sys/guarded.h"

enum { FILES_MAX = 3 };

struct wbi_known_files {
	char paths[FILES_MAX][PATH_MAX];
	struct wbi_guarded texts[FILES_MAX];
	uint64_t stamps[FILES_MAX]; /* from before they were read */
	unsigned count;
};

static void add(struct wbi_known_files *files, const char *path)
{
	snprintf(files->paths[files->count++], PATH_MAX, "%s", path);
}

static void list_files(struct wbi_known_files *files, const char *path)
{
	char usual[PATH_MAX];

	if (path) {
		add(files, path);
		return;
	}
	if (wbi_place_own("known_hosts", usual))
		add(files, usual);
	if (wbi_place_ssh("known_hosts", usual))
		add(files, usual);
	add(files, "/etc/ssh/ssh_known_hosts");
}

static enum wb_err read_files(struct wbi_known_files *files, struct wb_fault *fault)
{
	for (unsigned i = 0; i < files->count; i++) {
		enum wb_err err;

		files->stamps[i] = wbi_guarded_stamp(files->paths[i]);
		err = wbi_guarded_read(files->paths[i], WBI_GUARD_WRITING, geteuid(),
				       &files->texts[i], fault);
		if (err && err != WB_ERR_MISSING)
			return err;
	}
	return WB_OK;
}

enum wb_err wbi_known_read(const char *path, struct wbi_known_files **ret_files,
			   struct wb_fault *fault)
{
	struct wbi_known_files *files = calloc(1, sizeof(*files));
	enum wb_err err;

	if (!files)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "known_hosts: no memory");
	list_files(files, path);
	err = read_files(files, fault);
	if (err)
		wbi_known_free(files);
	else
		*ret_files = files;
	return err;
}

bool wbi_known_is_current(const struct wbi_known_files *files)
{
	for (unsigned i = 0; i < files->count; i++)
		if (wbi_guarded_stamp(files->paths[i]) != files->stamps[i])
			return false;
	return true;
}

void wbi_known_free(struct wbi_known_files *files)
{
	if (!files)
		return;
	for (unsigned i = 0; i < files->count; i++)
		wbi_guarded_done(&files->texts[i]);
	free(files);
}

static void note(const struct wbi_known_files *files, const struct wbi_known_host_finding *finding,
		 struct wbi_known *ret_known)
{
	*ret_known = (struct wbi_known){.verdict = finding->verdict,
					.line = finding->line,
					.bad_lines = finding->bad_lines,
					.bad_line = finding->bad_line};
	if (finding->line > 0)
		memcpy(ret_known->path, files->paths[finding->text], PATH_MAX);
	if (finding->bad_lines > 0)
		memcpy(ret_known->bad_path, files->paths[finding->bad_text], PATH_MAX);
	wbi_key_type_names(finding->other_types, ret_known->other_kinds);
}

void wbi_known_ask(const struct wbi_known_files *files, const char *host, uint16_t port,
		   const struct wbi_public_key *key, struct wbi_known *ret_known)
{
	struct wbi_slice texts[FILES_MAX];
	struct wbi_known_host_finding finding;

	for (unsigned i = 0; i < files->count; i++)
		texts[i] = (struct wbi_slice){(const uint8_t *)files->texts[i].data,
					      files->texts[i].bytes};
	wbi_known_hosts_find(texts, files->count, host, port, key, &finding);
	note(files, &finding, ret_known);
}

void wbi_known_tell(const struct wbi_known *known, struct wb_host *ret_host)
{
	static const enum wb_host_state states[] = {
		[WBI_HOST_UNKNOWN] = WB_HOST_UNKNOWN,
		[WBI_HOST_CHANGED] = WB_HOST_CHANGED,
		[WBI_HOST_REVOKED] = WB_HOST_REVOKED,
	};

	ret_host->state = states[known->verdict];
	ret_host->file = known->path;
	ret_host->line = known->line;
	ret_host->other_kinds = known->other_kinds;
	ret_host->bad_lines = known->bad_lines;
	ret_host->bad_file = known->bad_path;
	ret_host->bad_line = known->bad_line;
}

enum wb_err wbi_known_add(const char *path, const char *host, uint16_t port,
			  const struct wbi_public_key *key, struct wb_fault *fault)
{
	char line[WBI_KNOWN_HOST_LINE_SIZE], own[PATH_MAX];
	enum wb_err err = wbi_known_hosts_format(host, port, key, line, fault);

	if (err)
		return err;
	if (!path && !wbi_place_own("known_hosts", own))
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0,
				    "known_hosts: too long a path");
	return wbi_guarded_append(path ? path : own, line, fault);
}
