/* A call that moves files: see files_call.h.
 *
 * What the loop does and what the thread does stand in parts of their own below; both are short
 * under the lock, and neither calls out with it. */
#include "service/files_call.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files/progress.h"
#include "sys/account.h"
#include "sys/beneath.h"
#include "sys/fd.h"

enum {
	AHEAD_BYTES = 512 * 1024, /* made ready beyond what the client has granted */
	OUT_ROOM_MIN =
		128 * 1024, /* an engine is asked for no less, so that it writes whole pieces */
	STEP_BYTES =
		256 * 1024, /* handed to an engine at one time: it may be stopped between two */
};

static struct wbi_files_call *of(struct wbi_served_call *served)
{
	return WBI_CONTAINER(served, struct wbi_files_call, served);
}

static void change(struct wbi_files_call *files)
{
	files->changes++;
	pthread_cond_signal(&files->changed);
}

/* ---- the thread ---- */

char *wbi_files_path(const struct wbi_files_call *files, const char *path)
{
	const struct wbi_account *account = wbi_account_own();
	char *text;

	if (files->confined || path[0] == '/')
		return strdup(path);
	if (!account || asprintf(&text, "%s/%s", account->home, path) < 0)
		return NULL;
	return text;
}

const char *wbi_files_error_name(enum wb_err err, const struct wb_fault *fault)
{
	return err == WB_ERR_SYSTEM ? wbi_file_error_name(fault->system_errno) : wb_err_name(err);
}

/* The daemon's folder, and beneath it the grant's. Where both are named, the grant's path is read
 * as a client's would be: "/" means the daemon's folder. */
static enum wb_err open_root(const struct wbi_files_call *files, int *ret_root,
			     struct wb_fault *fault)
{
	enum { FLAGS = O_RDONLY | O_DIRECTORY | O_CLOEXEC };
	const char *outer = files->served.env->files_root, *inner = files->root;
	int root = -1, within = -1;

	if (outer)
		root = open(outer, FLAGS);
	if (outer && root >= 0 && inner)
		within = wbi_beneath_open(root, inner + strspn(inner, "/"), FLAGS, 0,
					  WBI_BENEATH_LINKS);
	else if (!outer)
		root = open(inner, FLAGS);
	if (root < 0 || (outer && inner && within < 0)) {
		wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0,
			     "the folder that this daemon keeps files in cannot be opened: %m");
		wbi_fd_close(&root);
		return WB_ERR_SYSTEM;
	}
	if (within >= 0)
		wbi_fd_close(&root);
	*ret_root = within >= 0 ? within : root;
	return WB_OK;
}

static void set_failure(struct wbi_exit *exit, const char *error, const struct wb_fault *fault)
{
	*exit = (struct wbi_exit){.outcome = WBI_OUTCOME_FAILED};
	snprintf(exit->error, sizeof(exit->error), "%s", error ? error : wb_err_name(fault->err));
	snprintf(exit->text, sizeof(exit->text), "%s", fault->text);
}

/* Room for as much as the client has asked for and a little more, so that a ring is no larger than
 * its connection is long. */
static size_t room_ahead(const struct wbi_files_call *files, size_t room)
{
	uint64_t until = files->granted + AHEAD_BYTES;
	uint64_t ahead = until > files->out.end ? until - files->out.end : 0;

	if (room > ahead)
		room = (size_t)ahead;
	return room < OUT_ROOM_MIN ? 0 : room;
}

/* Lends the step what there is. Under the lock. */
static void lend(struct wbi_files_call *files, struct wbi_files_step *step)
{
	*step = (struct wbi_files_step){.in = wbi_ring_peek(&files->in, files->in.begin)};
	step->in_ended = files->in_ended && step->in.bytes <= STEP_BYTES;
	if (step->in.bytes > STEP_BYTES)
		step->in.bytes = STEP_BYTES;
	step->out = wbi_ring_room(&files->out, &step->room);
	step->room = room_ahead(files, step->room);
}

/* Tells the loop that there is news. Under the lock. */
static void post(struct wbi_files_call *files)
{
	if (files->posted)
		return;
	files->posted = true;
	wbi_loop_post(files->served.env->loop, &files->task);
}

/* Under the lock. */
static void settle_step(struct wbi_files_call *files, const struct wbi_files_step *step)
{
	wbi_ring_drop(&files->in, files->in.begin + step->used);
	wbi_ring_add(&files->out, step->written);
	if (step->used > 0 || step->written > 0)
		post(files);
}

/* Waits until there is something to do. False: stop. Under the lock. */
static bool wait_for_change(struct wbi_files_call *files, uint64_t *seen)
{
	while (!files->stopping && files->changes == *seen)
		pthread_cond_wait(&files->changed, &files->mutex);
	*seen = files->changes;
	return !files->stopping;
}

/* Under the lock. */
static void set_stopped(const struct wbi_files_call *files, struct wbi_exit *exit)
{
	*exit = (struct wbi_exit){.outcome = WBI_OUTCOME_CANCELLED};
	if (!files->taken)
		return;
	exit->outcome = WBI_OUTCOME_FAILED;
	snprintf(exit->error, sizeof(exit->error), "taken");
	snprintf(exit->text, sizeof(exit->text),
		 "the same was started again while this had no connection");
}

/* Another wants to go on from what this one has, whose client is away. */
static bool yield(struct wbi_files_claim *claim)
{
	struct wbi_files_call *files = WBI_CONTAINER(claim, struct wbi_files_call, claim);
	bool yields;

	pthread_mutex_lock(&files->mutex);
	yields = !files->connected || files->stopping;
	if (yields && !files->stopping) {
		files->stopping = files->taken = true;
		change(files);
	}
	pthread_mutex_unlock(&files->mutex);
	return yields;
}

/* Steps until the engine is done, fails, or is stopped. */
static void run_steps(struct wbi_files_call *files, struct wbi_exit *ret_exit)
{
	struct wbi_files_step step;
	struct wb_fault fault = {0};
	uint64_t seen = 0;
	enum wb_err err = WB_OK;
	bool go_on;

	pthread_mutex_lock(&files->mutex);
	seen = files->changes;
	go_on = !files->stopping;
	while (go_on && !err) {
		lend(files, &step);
		pthread_mutex_unlock(&files->mutex);
		err = files->ops->step(files, &step, &fault);
		pthread_mutex_lock(&files->mutex);
		settle_step(files, &step);
		if (step.done)
			break;
		if (files->stopping)
			go_on = false;
		else if (!err && step.used == 0 && step.written == 0 && !files->ops->busy(files))
			go_on = wait_for_change(files, &seen);
	}
	if (!go_on)
		set_stopped(files, ret_exit);
	else if (err)
		set_failure(ret_exit, step.error, &fault);
	else
		*ret_exit = (struct wbi_exit){
			.outcome = WBI_OUTCOME_EXITED, .has_code = true, .code = step.partly};
	pthread_mutex_unlock(&files->mutex);
}

static void *run(void *argument)
{
	struct wbi_files_call *files = argument;
	struct wbi_exit exit;
	struct wb_fault fault = {0};
	const char *error = NULL;
	int root = AT_FDCWD;
	enum wb_err err = WB_OK;

	wbi_files_claim(files->served.env->claims, &files->claim);
	if (files->confined)
		err = open_root(files, &root, &fault);
	if (!err)
		err = files->ops->begin(files, root, &error, &fault);
	if (err)
		set_failure(&exit, error, &fault);
	else
		run_steps(files, &exit);
	files->ops->end(files);
	if (root >= 0)
		wbi_fd_close(&root);
	wbi_files_claims_leave(files->served.env->claims, &files->claim);
	pthread_mutex_lock(&files->mutex);
	files->exit = exit;
	files->ended = true;
	post(files);
	pthread_mutex_unlock(&files->mutex);
	return NULL;
}

/* ---- the loop ---- */

static struct wbi_slice out_peek(struct wbi_source *source, uint64_t offset, size_t most)
{
	struct wbi_files_call *files = WBI_CONTAINER(source, struct wbi_files_call, source);
	struct wbi_slice slice;

	pthread_mutex_lock(&files->mutex);
	slice = wbi_ring_peek(&files->out, offset);
	pthread_mutex_unlock(&files->mutex);
	if (slice.bytes > most)
		slice.bytes = most;
	return slice;
}

static void out_release(struct wbi_source *source, uint64_t offset)
{
	struct wbi_files_call *files = WBI_CONTAINER(source, struct wbi_files_call, source);

	pthread_mutex_lock(&files->mutex);
	wbi_ring_drop(&files->out, offset);
	change(files);
	pthread_mutex_unlock(&files->mutex);
}

static const struct wbi_source_ops out_ops = {out_peek, out_release};

static void free_files(struct wbi_files_call *files)
{
	wbi_list_remove(&files->node);
	wbi_ring_close(&files->in);
	wbi_ring_close(&files->out);
	wbi_files_request_done(&files->request);
	pthread_cond_destroy(&files->changed);
	pthread_mutex_destroy(&files->mutex);
	free(files->root);
	free(files);
}

/* Hands what the thread did to the engine of the session. */
static void pass_on(struct wbi_files_call *files, uint64_t consumed, uint64_t written, bool ended)
{
	struct wbi_call *call = files->served.call;
	struct wbi_stream *in = wbi_call_stream(call, 0), *out = wbi_call_stream(call, 1);

	wbi_stream_consume(in, consumed - files->consumed);
	files->consumed = consumed;
	files->source.end = written;
	files->source.ended = ended;
	wbi_stream_wake(out);
	if (ended)
		wbi_call_exit(call, &files->exit);
	files->served.env->kick(call->session);
}

static void on_news(struct wbi_task *task)
{
	struct wbi_files_call *files = WBI_CONTAINER(task, struct wbi_files_call, task);
	uint64_t consumed, written;
	bool ended;

	pthread_mutex_lock(&files->mutex);
	files->posted = false;
	consumed = files->in.begin;
	written = files->out.end;
	ended = files->ended;
	pthread_mutex_unlock(&files->mutex);
	if (ended) {
		pthread_join(files->thread, NULL);
		files->joined = true;
	}
	if (files->served.call)
		pass_on(files, consumed, written, ended);
	else if (ended)
		free_files(files);
}

static void stop(struct wbi_files_call *files)
{
	pthread_mutex_lock(&files->mutex);
	files->stopping = true;
	change(files);
	pthread_mutex_unlock(&files->mutex);
}

/* Nobody wants it any more. */
static void leave(struct wbi_files_call *files)
{
	files->served.call = NULL;
	if (files->joined)
		free_files(files);
	else
		stop(files);
}

void wbi_files_connected(struct wbi_served_call *served, bool connected)
{
	struct wbi_files_call *files = of(served);

	pthread_mutex_lock(&files->mutex);
	files->connected = connected;
	pthread_mutex_unlock(&files->mutex);
}

void wbi_files_drop(struct wbi_served_call *served)
{
	leave(of(served));
}

/* The ring has room for all that the session lets a client send ahead. */
static void on_data(struct wbi_files_call *files, struct wbi_slice data)
{
	size_t room;
	uint8_t *place;

	pthread_mutex_lock(&files->mutex);
	place = wbi_ring_room(&files->in, &room);
	pthread_mutex_unlock(&files->mutex);
	assert(data.bytes <= room);
	memcpy(place, data.data, data.bytes);
	pthread_mutex_lock(&files->mutex);
	wbi_ring_add(&files->in, data.bytes);
	change(files);
	pthread_mutex_unlock(&files->mutex);
}

void wbi_files_event(struct wbi_served_call *served, enum wbi_event_kind kind,
		     struct wbi_event *event)
{
	struct wbi_files_call *files = of(served);

	switch (kind) {
	case WBI_EVENT_DATA:
		on_data(files, event->data);
		break;
	case WBI_EVENT_EOF:
		pthread_mutex_lock(&files->mutex);
		files->in_ended = true;
		change(files);
		pthread_mutex_unlock(&files->mutex);
		break;
	case WBI_EVENT_CREDIT:
		pthread_mutex_lock(&files->mutex);
		files->granted = event->stream->limit;
		change(files);
		pthread_mutex_unlock(&files->mutex);
		break;
	case WBI_EVENT_CANCEL:
	case WBI_EVENT_RESET: /* one that hears no answers cannot be told how it went */
		stop(files);
		break;
	case WBI_EVENT_FORGET:
		leave(files);
		break;
	default:
		break;
	}
}

/* ---- opening ---- */

static enum wb_err read_request(struct wbi_files_call *files, struct wbi_event *event,
				const char *root, bool claims, struct wb_fault *fault)
{
	enum wb_err err =
		wbi_files_request_read(&files->request, event->header, event->data, fault);

	files->confined = root || files->served.env->files_root;
	if (!err && root && !(files->root = strdup(root)))
		err = wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "the daemon has no memory");
	if (claims && !err) {
		files->claim.who = *files->served.env->principal(event->session);
		files->claim.target = files->request.paths ? files->request.paths[0] : NULL;
	}
	return err;
}

/* Among those that may run at one time. */
static enum wb_err enter(struct wbi_files_call *files, struct wb_fault *fault)
{
	struct wbi_call_env *env = files->served.env;

	if (wbi_files_claims_enter(env->claims, &files->claim, env->limits->transfers))
		return WB_OK;
	return wb_fault_set(fault, WB_ERR_LIMIT, NULL, 0,
			    "as many transfers run as this daemon allows "
			    "(--max-transfers, its limit of open files); try again later");
}

static enum wb_err open_rings(struct wbi_files_call *files, const struct wbi_session_limits *limits,
			      struct wb_fault *fault)
{
	enum wb_err err =
		wbi_ring_open(&files->in, WBI_WINDOW_OWN + limits->window_max_bytes, fault);

	if (!err)
		err = wbi_ring_open(&files->out, AHEAD_BYTES + limits->window_max_bytes, fault);
	return err;
}

static struct wbi_files_call *new_files(struct wbi_call_env *env, struct wbi_event *event,
					const struct wbi_call_service *service)
{
	struct wbi_files_call *files = calloc(1, sizeof(*files));

	if (!files)
		return NULL;
	files->served = (struct wbi_served_call){service, env, event->call};
	files->source.ops = &out_ops;
	files->task.fn = on_news;
	wbi_list_init(&files->task.node);
	wbi_list_init(&files->claim.node);
	files->claim.yield = yield;
	files->connected = true;
	wbi_list_append(&env->transfers, &files->node);
	pthread_mutex_init(&files->mutex, NULL);
	pthread_cond_init(&files->changed, NULL);
	return files;
}

/* All signals are the main thread's. */
static enum wb_err start(struct wbi_files_call *files, struct wb_fault *fault)
{
	sigset_t all, before;
	int failed;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = pthread_create(&files->thread, NULL, run, files);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed != 0)
		return wb_fault_set(fault, WB_ERR_LIMIT, NULL, 0, "no thread for a transfer");
	return WB_OK;
}

static bool has_streams(struct wbi_call *call)
{
	const struct wbi_stream *in = wbi_call_stream(call, 0), *out = wbi_call_stream(call, 1);

	return in && !in->sends && out && out->sends;
}

static const char *refusal_of(enum wb_err err)
{
	switch (err) {
	case WB_ERR_MALFORMED:
	case WB_ERR_MISSING:
	case WB_ERR_RANGE:
		return "malformed";
	case WB_ERR_UNSUPPORTED:
		return "unsupported";
	default:
		return "limit";
	}
}

void wbi_files_open(struct wbi_call_env *env, struct wbi_event *event,
		    const struct wbi_call_service *service, const struct wbi_files_ops *ops,
		    bool granted, const char *root, bool claims)
{
	struct wbi_call *call = event->call;
	struct wbi_files_call *files;
	struct wb_fault fault = {0};
	bool entered;
	enum wb_err err;

	if (!granted) {
		wbi_call_refuse(call, "denied", "this key may not do that");
		return;
	}
	if (!has_streams(call)) {
		wbi_call_refuse(call, "malformed", "streams 0 (up) and 1 (down) are needed");
		return;
	}
	files = new_files(env, event, service);
	if (!files) {
		wbi_call_refuse(call, "limit", "the daemon has no memory for this");
		return;
	}
	files->ops = ops;
	err = read_request(files, event, root, claims, &fault);
	if (!err)
		err = enter(files, &fault);
	entered = !err;
	if (!err)
		err = open_rings(files, &event->session->config.limits, &fault);
	if (!err)
		err = start(files, &fault);
	if (err) {
		if (entered)
			wbi_files_claims_leave(env->claims, &files->claim);
		free_files(files);
		wbi_call_refuse(call, refusal_of(err), fault.text);
		return;
	}
	call->owner = &files->served;
	if (wbi_call_accept(call, NULL, NULL, NULL, NULL) != WB_OK) {
		wbi_call_refuse(call, "limit", "the daemon has no memory for this");
		return;
	}
	wbi_stream_set_source(wbi_call_stream(call, 1), &files->source);
}

void wbi_files_done(struct wbi_call_env *env)
{
	struct wbi_list *node;

	/* A thread's last word goes to the loop's queue, by way of its neighbours there: none may
	 * be freed before all have said it. */
	for (node = env->transfers.next; node != &env->transfers; node = node->next) {
		struct wbi_files_call *files = WBI_CONTAINER(node, struct wbi_files_call, node);

		if (!files->joined)
			pthread_join(files->thread, NULL);
	}
	while (!wbi_list_empty(&env->transfers))
		free_files(WBI_CONTAINER(env->transfers.next, struct wbi_files_call, node));
}
