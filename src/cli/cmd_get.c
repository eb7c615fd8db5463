/* waybill get: files and trees from a daemon to here. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/transfer.h"
#include "cli/transfer_place.h"
#include "files/receiver.h"
#include "files/sender.h"
#include "files/target.h"

/* ---- the engine ---- */

static enum wb_err take(void *engine, const void *data, size_t bytes, size_t *ret_used,
			struct wb_fault *fault)
{
	return wbi_file_receiver_take(engine, data, bytes, ret_used, fault);
}

static enum wb_err give(void *engine, void *out, size_t room, size_t *ret_bytes,
			struct wb_fault *fault)
{
	return wbi_file_receiver_answers(engine, out, room, ret_bytes, fault);
}

static bool busy(const void *engine)
{
	return wbi_file_receiver_busy(engine);
}

static bool done(const void *engine)
{
	return wbi_file_receiver_done(engine);
}

static const struct wbi_file_progress *progress(const void *engine)
{
	return wbi_file_receiver_progress(engine);
}

static const struct wbi_file_failures *failures(const void *engine)
{
	return wbi_file_receiver_failures(engine);
}

static const struct wbi_transfer_ops ops = {
	.service = "get",
	.did = "received",
	.take = take,
	.give = give,
	.busy = busy,
	.done = done,
	.progress = progress,
	.failures = failures,
};

/* ---- places ---- */

/* The sources: all of one daemon. Returns 0, or an exit code. */
static int parse_sources(char **texts, int count, char destination[WBI_PLACE_DESTINATION_MAX],
			 const char **ret_paths)
{
	struct wbi_place place;
	struct wb_fault fault;

	for (int i = 0; i < count; i++) {
		if (wbi_place_parse(texts[i], &place, &fault))
			return wbi_opt_wrong(&wbi_command_get, "%s", fault.text);
		if (!place.remote)
			return wbi_opt_wrong(&wbi_command_get,
					     "'%s' is here: a source is DEST:PATH", texts[i]);
		if (i > 0 && strcmp(place.destination, destination) != 0)
			return wbi_opt_wrong(
				&wbi_command_get,
				"'%s' and '%s' are two daemons: get from one at a time",
				destination, place.destination);
		snprintf(destination, WBI_PLACE_DESTINATION_MAX, "%s", place.destination);
		ret_paths[i] = place.path;
	}
	ret_paths[count] = NULL;
	return 0;
}

static void free_names(char **names)
{
	for (char **name = names; name && *name; name++)
		free(*name);
	free(names);
}

/* What the daemon has to call what it was asked for: heap, or NULL. */
static char **names_of(const char **paths, int count)
{
	char **names = calloc((size_t)count + 1, sizeof(names[0]));

	for (int i = 0; names && i < count; i++) {
		const char *name;
		size_t bytes = wbi_file_source_name(paths[i], &name);

		names[i] = bytes > 0 ? strndup(name, bytes) : strdup(".");
		if (!names[i]) {
			free_names(names);
			return NULL;
		}
	}
	return names;
}

/* A link that is where a folder is to be is the user's own affair; everything else is looked at by
 * the receiver. Returns 0, or an exit code. */
static int open_receiver(const char *target, const struct wbi_files_request *request, bool several,
			 char **names, struct wbi_file_target *ret_target,
			 struct wbi_file_receiver **ret_receiver)
{
	struct wbi_file_receiver_options options = WBI_FILE_RECEIVER_DEFAULTS;
	struct wb_fault fault;

	options.target = ret_target;
	if (strcmp(target, "-") == 0) {
		options.sink = STDOUT_FILENO;
		options.sink_name = "stdout";
	} else if (wbi_file_target_open(AT_FDCWD, target, several, ret_target, &fault)) {
		return wbi_transfer_fail(&wbi_command_get, NULL, &fault);
	}
	options.asked = (const char *const *)names;
	options.asked_folders = request->recursive;
	options.digest = request->digest;
	options.update = request->update;
	options.delete = request->delete;
	options.excludes = request->excludes;
	options.owner = request->owner;
	options.no_fsync = request->unsynced;
	options.no_delta = request->whole;
	if (wbi_file_receiver_new(&options, ret_receiver, &fault))
		return wbi_transfer_fail(&wbi_command_get, target, &fault);
	return 0;
}

static int check_stdout(bool several)
{
	if (several || wbi_transfer_flags.recursive)
		return wbi_opt_wrong(&wbi_command_get, "'-' takes one file");
	if (wbi_transfer_flags.json)
		return wbi_opt_wrong(&wbi_command_get, "--json and '-' both want stdout");
	return wbi_transfer_standard(&wbi_command_get, STDOUT_FILENO);
}

/* paths: count + 1 of them. */
static int get_paths(char **texts, int count, const char *target, struct wbi_files_request *request,
		     const char **paths)
{
	char destination[WBI_PLACE_DESTINATION_MAX];
	struct wbi_file_target place = {.folder = -1};
	struct wbi_file_receiver *receiver = NULL;
	struct wbi_place here;
	struct wb_fault fault;
	char **names;
	int code = parse_sources(texts, count, destination, paths);

	if (!code && wbi_place_parse(target, &here, &fault) == WB_OK && here.remote)
		code = wbi_opt_wrong(&wbi_command_get,
				     "'%s' is elsewhere: get brings files to here", target);
	if (!code && strcmp(target, "-") == 0)
		code = check_stdout(count > 1);
	if (code)
		return code;
	request->paths = paths;
	names = names_of(paths, count);
	if (!names)
		return wbi_transfer_no_memory(&wbi_command_get);
	code = open_receiver(target, request, count > 1, names, &place, &receiver);
	if (!code)
		code = wbi_transfer_run(&wbi_command_get, destination, request, &ops, receiver);
	wbi_file_receiver_free(receiver);
	free_names(names);
	if (place.folder >= 0)
		wbi_file_target_close(&place);
	return code;
}

static int get(char **texts, int count, const char *target, struct wbi_files_request *request)
{
	const char **paths = calloc((size_t)count + 1, sizeof(paths[0]));
	int code = paths ? get_paths(texts, count, target, request, paths)
			 : wbi_transfer_no_memory(&wbi_command_get);

	free(paths);
	return code;
}

static int run_get(const struct wbi_command *command, int argc, char **argv)
{
	return wbi_transfer_command(command, argc, argv, "give DEST:PATH... and a TARGET here",
				    get);
}

const struct wbi_command wbi_command_get = {
	.name = "get",
	.summary = "copy files and folders from a daemon to here",
	.usage = "get [options] DEST:PATH... TARGET",
	.details = WBI_TRANSFER_DETAILS "\n"
					"  waybill get host:report.pdf .\n"
					"  waybill get -r local:/srv/photos backup/\n"
					"  waybill get tcp://127.0.0.1:9292:log.txt - | less",
	.run = run_get,
};
