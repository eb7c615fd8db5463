/* get: files out. The sender runs in the call's thread. Protocol: "put and get". */
#include <fcntl.h>
#include <stdlib.h>

#include "files/sender.h"
#include "service/files_call.h"
#include "sys/landlock.h"

struct get_engine {
	struct wbi_file_source *sources; /* their paths are its own */
	size_t count;
	struct wbi_file_sender *sender;
};

/* ---- the thread ---- */

static enum wb_err list_sources(struct wbi_files_call *files, struct get_engine *get,
				struct wb_fault *fault)
{
	const char **paths = files->request.paths;
	size_t count = 0;

	while (paths[count])
		count++;
	get->sources = calloc(count, sizeof(get->sources[0]));
	for (; get->sources && get->count < count; get->count++) {
		char *path = wbi_files_path(files, paths[get->count]);

		if (!path)
			break;
		get->sources[get->count] = (struct wbi_file_source){.path = path, .stream = -1};
	}
	return get->count == count
		       ? WB_OK
		       : wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "the daemon has no memory");
}

static enum wb_err begin(struct wbi_files_call *files, int root, const char **error,
			 struct wb_fault *fault)
{
	const struct wbi_files_request *request = &files->request;
	struct wbi_file_sender_options options = {
		.root = root,
		.excludes = request->excludes,
		.digest = request->digest,
		.recursive = request->recursive,
		.owner = request->owner,
		.delete = request->delete,
		.compress = request->compress,
	};
	struct get_engine *get = calloc(1, sizeof(*get));
	enum wb_err err;

	(void)error;
	if (!get)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "the daemon has no memory");
	files->engine = get;
	err = list_sources(files, get, fault);
	/* Behind this owners have numbers only: their names stand in files elsewhere. */
	if (!err && root != AT_FDCWD)
		err = wbi_landlock_restrict(root, WBI_LANDLOCK_READ, NULL, fault);
	options.sources = get->sources;
	options.source_count = get->count;
	return err ? err : wbi_file_sender_new(&options, &get->sender, fault);
}

static enum wb_err step(struct wbi_files_call *files, struct wbi_files_step *step,
			struct wb_fault *fault)
{
	struct get_engine *get = files->engine;
	enum wb_err err = wbi_file_sender_answer(get->sender, step->in.data, step->in.bytes,
						 &step->used, fault);

	if (!err && step->room >= WBI_FILE_ROOM_MIN)
		err = wbi_file_sender_fill(get->sender, step->out, step->room, &step->written,
					   fault);
	step->done = !err && wbi_file_sender_done(get->sender);
	step->partly = wbi_file_sender_failures(get->sender)->count > 0;
	if (!err && !step->done && step->in_ended && step->used == 0 && step->written == 0 &&
	    step->room > 0)
		err = wb_fault_set(fault, WB_ERR_CLOSED, NULL, 0,
				   "the client's answers ended in the middle");
	return err;
}

static bool busy(struct wbi_files_call *files)
{
	(void)files;
	return false;
}

static void end(struct wbi_files_call *files)
{
	struct get_engine *get = files->engine;

	if (!get)
		return;
	wbi_file_sender_free(get->sender);
	for (size_t i = 0; i < get->count; i++)
		free((char *)(uintptr_t)get->sources[i].path);
	free(get->sources);
	free(get);
	files->engine = NULL;
}

static const struct wbi_files_ops ops = {.begin = begin, .step = step, .busy = busy, .end = end};

/* ---- the loop ---- */

static void on_open(struct wbi_call_env *env, struct wbi_event *event)
{
	const struct wbi_grant *grant = env->grant(event->call->session);

	wbi_files_open(env, event, &wbi_get_service, &ops, grant->get, grant->get_root, false);
}

const struct wbi_call_service wbi_get_service = {
	.name = "get", .open = on_open, .event = wbi_files_event, .drop = wbi_files_drop};
