/* waybill put: files and trees from here to a daemon. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/transfer.h"
#include "cli/transfer_place.h"
#include "files/sender.h"

/* ---- the engine ---- */

static enum wb_err take(void *engine, const void *data, size_t bytes, size_t *ret_used,
			struct wb_fault *fault)
{
	return wbi_file_sender_answer(engine, data, bytes, ret_used, fault);
}

static enum wb_err give(void *engine, void *out, size_t room, size_t *ret_bytes,
			struct wb_fault *fault)
{
	return wbi_file_sender_fill(engine, out, room, ret_bytes, fault);
}

static bool busy(const void *engine)
{
	(void)engine;
	return false;
}

static bool done(const void *engine)
{
	return wbi_file_sender_done(engine);
}

static int waits_for(const void *engine)
{
	return wbi_file_sender_waits_for(engine);
}

static const struct wbi_file_progress *progress(const void *engine)
{
	return wbi_file_sender_progress(engine);
}

static const struct wbi_file_failures *failures(const void *engine)
{
	return wbi_file_sender_failures(engine);
}

static const struct wbi_transfer_ops ops = {
	.service = "put",
	.did = "sent",
	.take = take,
	.give = give,
	.busy = busy,
	.done = done,
	.waits_for = waits_for,
	.progress = progress,
	.failures = failures,
};

/* ---- places ---- */

/* Returns 0, or an exit code. */
static int parse_sources(char **texts, int count, struct wbi_file_source *ret_sources)
{
	struct wbi_place place;
	struct wb_fault fault;
	int code = 0;

	for (int i = 0; i < count; i++) {
		bool standard = strcmp(texts[i], "-") == 0;

		if (wbi_place_parse(texts[i], &place, &fault) || place.remote)
			return wbi_opt_wrong(&wbi_command_put,
					     "'%s' is elsewhere: a source is here (./%s is a file "
					     "of that name)",
					     texts[i], texts[i]);
		if (standard && (count > 1 || wbi_transfer_flags.recursive))
			return wbi_opt_wrong(&wbi_command_put, "'-' is a source by itself");
		if (standard)
			code = wbi_transfer_standard(&wbi_command_put, STDIN_FILENO);
		ret_sources[i] =
			standard ? (struct wbi_file_source){.stream = STDIN_FILENO, .name = "stdin"}
				 : (struct wbi_file_source){.path = texts[i], .stream = -1};
	}
	return code;
}

static int parse_target(const char *text, struct wbi_place *ret_place)
{
	struct wb_fault fault;

	if (wbi_place_parse(text, ret_place, &fault))
		return wbi_opt_wrong(&wbi_command_put, "%s", fault.text);
	if (!ret_place->remote)
		return wbi_opt_wrong(&wbi_command_put, "'%s' is here: a target is DEST:PATH", text);
	return 0;
}

static int put_sources(char **texts, int count, const char *target,
		       struct wbi_files_request *request, struct wbi_file_source *sources)
{
	struct wbi_file_sender *sender = NULL;
	struct wbi_place place;
	struct wb_fault fault;
	const char *paths[2] = {NULL, NULL};
	int code = parse_target(target, &place);

	if (!code)
		code = parse_sources(texts, count, sources);
	if (code)
		return code;
	paths[0] = place.path;
	request->paths = paths;
	request->into = count > 1;
	const struct wbi_file_sender_options options = {
		.root = AT_FDCWD,
		.sources = sources,
		.source_count = (size_t)count,
		.excludes = request->excludes,
		.digest = request->digest,
		.recursive = request->recursive,
		.owner = request->owner,
		.delete = request->delete,
		.compress = request->compress,
	};
	if (wbi_file_sender_new(&options, &sender, &fault) != WB_OK)
		return wbi_transfer_fail(&wbi_command_put, target, &fault);
	if (wbi_file_sender_check(sender))
		code = wbi_transfer_run(&wbi_command_put, place.destination, request, &ops, sender);
	else
		code = wbi_transfer_nothing(&wbi_command_put, &ops, sender);
	wbi_file_sender_free(sender);
	return code;
}

static int put(char **texts, int count, const char *target, struct wbi_files_request *request)
{
	struct wbi_file_source *sources = calloc((size_t)count, sizeof(sources[0]));
	int code = sources ? put_sources(texts, count, target, request, sources)
			   : wbi_transfer_no_memory(&wbi_command_put);

	free(sources);
	return code;
}

static int run_put(const struct wbi_command *command, int argc, char **argv)
{
	return wbi_transfer_command(command, argc, argv, "give SOURCE... and a target DEST:PATH",
				    put);
}

const struct wbi_command wbi_command_put = {
	.name = "put",
	.summary = "copy files and folders from here to a daemon",
	.usage = "put [options] SOURCE... DEST:PATH",
	.details = WBI_TRANSFER_DETAILS "\n"
					"  waybill put report.pdf host:\n"
					"  waybill put -r photos local:/srv/backup/\n"
					"  tar c . | waybill put - tcp://127.0.0.1:9292:all.tar",
	.run = run_put,
};
