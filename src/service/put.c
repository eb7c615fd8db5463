/* put: files in. The receiver runs in the call's thread. Protocol: "put and get". */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "files/attributes.h"
#include "files/receiver.h"
#include "files/target.h"
#include "service/files_call.h"
#include "sys/landlock.h"

enum { ANSWER_ROOM_MIN = 64 * 1024 };

struct put_engine {
	struct wbi_file_target target;
	struct wbi_file_receiver *receiver; /* NULL: the target was not found */
};

/* ---- the thread ---- */

static enum wb_err open_target(struct wbi_files_call *files, int root,
			       struct wbi_file_target *ret_target, struct wb_fault *fault)
{
	char *path = wbi_files_path(files, files->request.paths[0]);
	enum wb_err err;

	if (!path)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "the daemon has no memory");
	err = wbi_file_target_open(root, path, files->request.into, ret_target, fault);
	free(path);
	return err;
}

static enum wb_err begin(struct wbi_files_call *files, int root, const char **error,
			 struct wb_fault *fault)
{
	const struct wbi_files_request *request = &files->request;
	const struct wb_limits *limits = files->served.env->limits;
	struct wbi_file_receiver_options options = WBI_FILE_RECEIVER_DEFAULTS;
	struct put_engine *put = calloc(1, sizeof(*put));
	enum wb_err err;

	if (!put)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "the daemon has no memory");
	put->target.folder = -1;
	files->engine = put;
	/* An owner and set-id bits would be worth more than the folder that was granted. */
	if (request->owner && files->confined) {
		*error = "owner";
		return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0,
				    "owners (-p) are not taken over in a folder that puts are "
				    "confined to");
	}
	err = open_target(files, root, &put->target, fault);
	if (err) {
		*error = wbi_files_error_name(err, fault);
		return err;
	}
	wbi_attributes_read_umask();
	/* Names of owners are looked up in files elsewhere, by root only. */
	if (!request->owner || geteuid() != 0)
		err = wbi_landlock_restrict(put->target.folder, WBI_LANDLOCK_WRITE, NULL, fault);
	options.target = &put->target;
	options.digest = request->digest;
	options.bytes_max = limits->put_bytes;
	options.files_max = limits->put_files;
	options.update = request->update;
	options.delete = request->delete;
	options.excludes = request->excludes;
	options.owner = request->owner;
	options.no_fsync = request->unsynced;
	options.no_delta = request->whole;
	return err ? err : wbi_file_receiver_new(&options, &put->receiver, fault);
}

static enum wb_err answer(struct put_engine *put, struct wbi_files_step *step,
			  struct wb_fault *fault)
{
	size_t bytes = 1;
	enum wb_err err = WB_OK;

	while (!err && bytes > 0 && step->room - step->written >= ANSWER_ROOM_MIN) {
		bytes = 0;
		err = wbi_file_receiver_answers(put->receiver, step->out + step->written,
						step->room - step->written, &bytes, fault);
		step->written += bytes;
	}
	return err;
}

static const char *last_error(const struct put_engine *put)
{
	const struct wbi_file_failures *failures = wbi_file_receiver_failures(put->receiver);

	if (failures->count == 0 || failures->count > WBI_FILE_FAILURES_MAX)
		return NULL;
	return failures->first[failures->count - 1].error;
}

/* Even where it fails, what there is to answer says more than the failure. */
static enum wb_err step(struct wbi_files_call *files, struct wbi_files_step *step,
			struct wb_fault *fault)
{
	struct put_engine *put = files->engine;
	struct wb_fault unsaid;
	enum wb_err err = wbi_file_receiver_take(put->receiver, step->in.data, step->in.bytes,
						 &step->used, fault);
	enum wb_err answer_err = answer(put, step, err ? &unsaid : fault);

	err = err ? err : answer_err;
	step->done = !err && wbi_file_receiver_done(put->receiver);
	step->partly = wbi_file_receiver_failures(put->receiver)->count > 0;
	if (!err && !step->done && step->in_ended && step->used == 0 && step->written == 0 &&
	    !wbi_file_receiver_busy(put->receiver))
		err = wb_fault_set(fault, WB_ERR_CLOSED, NULL, 0,
				   "the client's files ended in the middle");
	if (err)
		step->error = last_error(put);
	return err;
}

static bool busy(struct wbi_files_call *files)
{
	const struct put_engine *put = files->engine;

	return wbi_file_receiver_busy(put->receiver);
}

static void end(struct wbi_files_call *files)
{
	struct put_engine *put = files->engine;

	if (!put)
		return;
	wbi_file_receiver_free(put->receiver);
	if (put->target.folder >= 0)
		wbi_file_target_close(&put->target);
	free(put);
	files->engine = NULL;
}

static const struct wbi_files_ops ops = {.begin = begin, .step = step, .busy = busy, .end = end};

/* ---- the loop ---- */

static void on_open(struct wbi_call_env *env, struct wbi_event *event)
{
	const struct wbi_grant *grant = env->grant(event->call->session);

	wbi_files_open(env, event, &wbi_put_service, &ops, grant->put, grant->put_root, true);
}

const struct wbi_call_service wbi_put_service = {
	.name = "put",
	.open = on_open,
	.event = wbi_files_event,
	.connected = wbi_files_connected,
	.drop = wbi_files_drop,
};
