/* attach: a new view of a job that was detached or lost its client.
 *
 * A job is touched by its own worker alone, so a session that attaches goes to live there. It can,
 * while that call is all it has. Protocol: "Services of sessions". */
#include <string.h>

#include "service/exec.h"
#include "service/exec_key.h"
#include "service/exec_view.h"

/* Where each of the call's streams begins. */
static void find_beginnings(struct wbi_exec_job *exec, struct wbi_call *call, bool from_start,
			    uint64_t *from)
{
	for (unsigned i = 0; i < call->stream_count; i++) {
		const struct wbi_stream *stream = &call->streams[i];
		const struct wbi_log *log = wbi_exec_view_is_output(stream)
						    ? wbi_job_log(exec->job, stream->number)
						    : NULL;
		from[i] = log ? (from_start ? wbi_log_kept(log) : log->released) : 0;
	}
}

static enum wb_err accept_attach(struct wbi_exec_job *exec, struct wbi_call *call, bool from_start,
				 struct wb_fault *fault)
{
	uint64_t from[WBI_STREAM_NUMBER_MAX + 1] = {0};
	enum wb_err err;

	find_beginnings(exec, call, from_start, from);
	err = wbi_call_accept(call, from, wbi_exec_view_put_opened, exec, fault);
	for (unsigned i = 0; i < call->stream_count && !err; i++) {
		const struct wbi_stream *stream = &call->streams[i];
		struct wbi_log *log = wbi_exec_view_is_output(stream)
					      ? wbi_job_log(exec->job, stream->number)
					      : NULL;
		if (log)
			wbi_log_rewind(log, from[i]);
	}
	return err;
}

/* Who is held to one command does not get into another, which ran before the key was narrowed. */
static bool may_look(const struct wbi_grant *grant, const struct wbi_exec_job *exec)
{
	return !grant->command || (exec->forced && strcmp(exec->forced, grant->command) == 0);
}

void wbi_exec_attach(struct wbi_call_env *env, uint64_t job, bool from_start,
		     struct wbi_event *event)
{
	struct wbi_exec_job *exec = wbi_exec_job_find(env, job);
	struct wbi_exec_view *view;

	/* It may have been collected while the call was on its way to this worker. */
	if (!exec && event->call->key[0] != '\0') {
		wbi_exec_key_refuse_done(env, event->call, job);
		return;
	}
	if (!exec) {
		wbi_call_refuse(event->call, "job", "there is no such job");
		return;
	}
	if (!may_look(env->grant(event->call->session), exec)) {
		wbi_call_refuse(event->call, "denied",
				"the key may run its own command only, and the job is another");
		return;
	}
	if (exec->view && exec->view->connected) {
		wbi_call_refuse(event->call, "busy", "the job's own client is connected");
		return;
	}
	if (wbi_call_stream(event->call, 0) && !wbi_exec_input_may_grow(exec)) {
		wbi_call_refuse(event->call, "limit",
				"the job leaves its stdin unread: attach without one");
		return;
	}
	view = wbi_exec_view_new(env, event->call);
	if (!view || (exec->view && wbi_exec_view_keep_rests(exec->view) != WB_OK) ||
	    accept_attach(exec, event->call, from_start, NULL) != WB_OK) {
		wbi_exec_view_free(view);
		wbi_call_refuse(event->call, "limit", "the daemon has no memory for this");
		return;
	}
	if (exec->view)
		wbi_exec_view_part(exec->view);
	event->call->owner = &view->served;
	wbi_loop_cancel(env->loop, &exec->hold);
	wbi_exec_view_join(view, exec);
	if (exec->ended)
		wbi_exec_view_ended(view);
}

/* ---- the service ---- */

struct attach_request {
	uint64_t job;
	bool from_start;
};

static enum wb_err read_request(const struct wb_header *header, struct attach_request *ret_request,
				struct wb_fault *fault)
{
	enum wb_err err = wb_header_get_integer(header, "job", &ret_request->job, fault);

	ret_request->from_start = wb_header_text_is(header, "from", "start");
	if (!err && wb_header_find(header, "from") && !ret_request->from_start &&
	    !wb_header_text_is(header, "from", "left"))
		err = wb_fault_set(fault, WB_ERR_MALFORMED, "from", 0,
				   "from: neither \"left\" nor \"start\"");
	return err;
}

static void attach_open(struct wbi_call_env *env, struct wbi_event *event)
{
	struct wbi_call *call = event->call;
	struct attach_request request;
	struct wbi_registry_entry entry;
	struct wb_fault fault;

	if (wbi_call_is_denied_jobs(env, call))
		return;
	if (read_request(event->header, &request, &fault))
		wbi_call_refuse(call, "malformed", fault.text);
	else if (!wbi_registry_find(env->registry, env->principal(call->session), request.job,
				    &entry))
		wbi_call_refuse(call, "job", "there is no such job");
	else if (entry.worker == env->worker)
		wbi_exec_attach(env, request.job, request.from_start, event);
	else if (call->session->call_count > 1)
		wbi_call_refuse(call, "busy", "attach needs a session without other calls");
	else if (env->attach_elsewhere(call, entry.worker, request.job, request.from_start))
		wbi_call_refuse(call, "limit", "the daemon has no memory for this");
}

/* Once it is attached, the call is exec's. */
const struct wbi_call_service wbi_attach_service = {.name = "attach", .open = attach_open};
