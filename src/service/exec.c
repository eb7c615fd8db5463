/* exec: a command that a call has started. Protocol: "Services of sessions", "Disconnects".
 *
 * Input is written to the command as it comes, and what the command has not taken is not consumed,
 * so that the client stops sending. */
#include "service/exec.h"

#include <errno.h>
#include <stdio.h>

#include "service/exec_grant.h"
#include "service/exec_job.h"
#include "service/exec_key.h"
#include "service/exec_view.h"
#include "sys/signal_name.h"

/* ---- opening ---- */

/* Why nothing was started, in the terms of a shell where it has any. */
static void tell_not_started(struct wbi_call *call, enum wb_err err, const struct wb_fault *fault)
{
	struct wbi_exit end = {.outcome = WBI_OUTCOME_FAILED, .has_code = true, .code = 126};
	const char *error = "not-executable";

	if (err != WB_ERR_SYSTEM) {
		wbi_call_refuse(call,
				err == WB_ERR_LIMIT || err == WB_ERR_NOMEM ? "limit"
				: err == WB_ERR_REFUSED                    ? "cwd"
									   : "malformed",
				fault->text);
		return;
	}
	switch (fault->system_errno) {
	case ENOENT:
	case ENOTDIR:
		error = "not-found";
		end.code = 127;
		break;
	case EACCES:
	case ENOEXEC:
	case EISDIR:
	case ELIBBAD:
		break;
	default:
		error = "system";
		end.has_code = false;
		break;
	}
	snprintf(end.error, sizeof(end.error), "%s", error);
	snprintf(end.text, sizeof(end.text), "%s", fault->text);
	wbi_call_exit(call, &end);
}

/* Which of the command's streams the call has; the rest will be /dev/null. */
static unsigned wanted_streams(struct wbi_call *call)
{
	unsigned streams = 0;

	for (unsigned n = 0; n <= 2; n++) {
		const struct wbi_stream *stream = wbi_call_stream(call, n);
		if (stream && stream->sends == (n > 0))
			streams |= 1u << n;
	}
	return streams;
}

static uint32_t least_ms(uint64_t asked_ms, uint32_t most_ms)
{
	return asked_ms < most_ms ? (uint32_t)asked_ms : most_ms;
}

static enum wb_err open_exec(struct wbi_exec_view *view, const struct wbi_exec_request *request,
			     struct wb_fault *fault)
{
	struct wbi_call_env *env = view->served.env;
	struct wbi_call *call = view->served.call;
	struct wbi_exec_job *exec;
	enum wb_err err =
		wbi_exec_job_new(env, call->session, request, wanted_streams(call), &exec, fault);

	if (err)
		return err;
	err = wbi_call_accept(call, NULL, wbi_exec_view_put_opened, exec, fault);
	if (err) {
		wbi_exec_job_free(exec);
		return err;
	}
	wbi_exec_view_join(view, exec);
	if (request->policy == WBI_EXEC_HOLD && request->hold_ms > 0)
		wbi_session_hold_at_least(call->session,
					  least_ms(request->hold_ms, env->limits->hold_max_ms));
	return WB_OK;
}

/* Starts what was asked for; with a key, if nobody has before. On failure the call has been told.
 */
static void start(struct wbi_exec_view *view, struct wbi_event *event,
		  const struct wbi_exec_request *request)
{
	struct wbi_call_env *env = view->served.env;
	bool has_key = event->call->key[0] != '\0';
	struct wb_fault fault = {0};
	struct wbi_key key;
	enum wb_err err;

	if (has_key && !wbi_exec_key_claim(env, event, request, &key)) {
		wbi_exec_view_free(view);
		return;
	}
	err = open_exec(view, request, &fault);
	if (has_key && err)
		wbi_keys_drop(env->keys, &key);
	else if (has_key)
		wbi_exec_key_started(view->job, &key);
	if (err) {
		wbi_exec_view_free(view);
		tell_not_started(event->call, err, &fault);
		return;
	}
	event->call->owner = &view->served;
}

static void on_open(struct wbi_call_env *env, struct wbi_event *event)
{
	struct wbi_exec_request request;
	struct wb_fault fault = {0};
	struct wbi_exec_view *view = wbi_exec_view_new(env, event->call);
	enum wb_err err;

	if (!view) {
		wbi_call_refuse(event->call, "limit", "the daemon has no memory for this");
		return;
	}
	err = wbi_exec_request_read(&request, event->header, event->data, &fault);
	if (!err && wbi_exec_request_confine(&request, env->grant(event->call->session), &fault)) {
		wbi_exec_view_free(view);
		wbi_call_refuse(event->call, fault.err == WB_ERR_REFUSED ? "denied" : "limit",
				fault.text);
	} else if (err) {
		wbi_exec_view_free(view);
		tell_not_started(event->call, err, &fault);
	} else {
		start(view, event, &request);
	}
	wbi_exec_request_done(&request);
}

/* ---- events ---- */

static void on_data(struct wbi_exec_view *view, struct wbi_event *event)
{
	struct wbi_job *job = view->job ? view->job->job : NULL;

	if (!job || !wbi_job_takes_input(job)) {
		wbi_stream_reset(event->stream);
		return;
	}
	wbi_stream_consume(event->stream, wbi_job_input(job, event->data.data, event->data.bytes));
	if (!wbi_job_takes_input(job))
		wbi_stream_reset(event->stream);
}

static void on_signal(struct wbi_exec_job *exec, const char *name)
{
	int number = wbi_signal_number(name);

	if (number > 0)
		wbi_job_signal(exec->job, number);
}

/* Nobody looks at it through this call any more. gone_for_good: the client said so, and not merely
 * did not come back. */
static void leave(struct wbi_exec_view *view, bool gone_for_good)
{
	struct wbi_exec_job *exec = view->job;
	struct wbi_call *call = view->served.call;

	wbi_exec_view_free(view);
	if (!exec)
		return;
	exec->view = NULL;
	if (exec->policy == WBI_EXEC_DETACH && !call->cancelled &&
	    !(exec->ended && gone_for_good)) {
		wbi_exec_input_leave(exec, call);
		wbi_exec_job_detach(exec);
	} else {
		wbi_exec_job_free(exec);
	}
}

static void on_job_event(struct wbi_exec_job *exec, enum wbi_event_kind kind,
			 struct wbi_event *event)
{
	switch (kind) {
	case WBI_EVENT_EOF:
		/* An end would say that all of it was there. */
		if (event->stream->intact)
			wbi_job_end_input(exec->job);
		else
			wbi_exec_job_end(exec, WBI_EXEC_BY_DAMAGE);
		break;
	case WBI_EVENT_CREDIT:
		if (wbi_exec_view_is_output(event->stream))
			wbi_job_resume(exec->job, event->stream->number);
		break;
	case WBI_EVENT_RESET:
		if (wbi_exec_view_is_output(event->stream) &&
		    wbi_job_log(exec->job, event->stream->number))
			wbi_job_close_output(exec->job, event->stream->number);
		break;
	case WBI_EVENT_SIGNAL:
		on_signal(exec, event->text);
		break;
	case WBI_EVENT_RESIZE:
		wbi_job_resize(exec->job, event->call->rows, event->call->cols);
		break;
	case WBI_EVENT_CANCEL:
		wbi_exec_job_end(exec, WBI_EXEC_BY_CANCEL);
		break;
	default:
		break;
	}
}

static void on_event(struct wbi_served_call *served, enum wbi_event_kind kind,
		     struct wbi_event *event)
{
	struct wbi_exec_view *view = WBI_CONTAINER(served, struct wbi_exec_view, served);
	struct wbi_exec_job *exec = view->job;

	if (kind == WBI_EVENT_FORGET)
		leave(view, true);
	else if (kind == WBI_EVENT_DATA)
		on_data(view, event);
	else if (exec)
		on_job_event(exec, kind, event);
}

/* A client that stopped itself said so before: it is away, not lost. */
static void on_connected(struct wbi_served_call *served, bool connected)
{
	struct wbi_exec_view *view = WBI_CONTAINER(served, struct wbi_exec_view, served);
	struct wbi_exec_job *exec = view->job;

	view->connected = connected;
	if (!exec)
		return;
	wbi_exec_job_attended(exec, connected);
	wbi_loop_cancel(served->env->loop, &exec->hold);
	if (connected || served->call->session->suspended || exec->ended)
		return;
	if (exec->policy == WBI_EXEC_KILL ||
	    (exec->policy == WBI_EXEC_HOLD && exec->hold_ms > 0 &&
	     wbi_loop_timer(served->env->loop, &exec->hold, exec->hold_ms) != WB_OK))
		wbi_exec_job_end(exec, WBI_EXEC_BY_CANCEL);
}

static void on_drop(struct wbi_served_call *served)
{
	leave(WBI_CONTAINER(served, struct wbi_exec_view, served), false);
}

const struct wbi_call_service wbi_exec_service = {
	.name = "exec",
	.open = on_open,
	.event = on_event,
	.connected = on_connected,
	.drop = on_drop,
};
