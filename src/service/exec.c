/* exec and attach: a call that looks at a job. Protocol: "Services of sessions", "Disconnects".
 *
 * The engine reads output straight from the job's logs; input is written to the command as it
 * comes, and what the command has not taken is not consumed, so that the client stops sending. */
#include "service/exec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/exec_grant.h"
#include "service/exec_job.h"
#include "service/exec_key.h"
#include "sys/signal_name.h"

/* ---- what the client is told at first ---- */

static void put_opened(struct wb_header_writer *writer, void *context)
{
	const struct wbi_exec_job *exec = context;

	wb_header_put_integer(writer, "job", exec->entry.job);
	wb_header_put_integer(writer, "pid", (uint64_t)exec->pid);
	wb_header_put_bool(writer, "pty", exec->terminal);
}

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

/* ---- a view ---- */

/* What there is no log for reads as ended. */
static struct wbi_slice peek_rest(struct wbi_source *source, uint64_t offset, size_t most)
{
	const struct wbi_exec_rest *rest = WBI_CONTAINER(source, struct wbi_exec_rest, source);
	uint64_t left = source->end - offset;

	return (struct wbi_slice){rest->data + (offset - rest->from),
				  left < most ? (size_t)left : most};
}

static const struct wbi_source_ops rest_ops = {.peek = peek_rest};

static struct wbi_exec_view *view_new(struct wbi_call_env *env, struct wbi_call *call)
{
	struct wbi_exec_view *view = calloc(1, sizeof(*view));

	if (!view)
		return NULL;
	view->served = (struct wbi_served_call){&wbi_exec_service, env, call};
	view->connected = true;
	for (int i = 0; i < 2; i++)
		view->rests[i].source = (struct wbi_source){.ops = &rest_ops, .ended = true};
	return view;
}

static void view_free(struct wbi_exec_view *view)
{
	free(view->rests[0].data);
	free(view->rests[1].data);
	free(view);
}

static struct wbi_call *call_of(struct wbi_exec_view *view)
{
	return view->served.call;
}

static void kick(struct wbi_exec_view *view)
{
	view->served.env->kick(call_of(view)->session);
}

static bool is_output(const struct wbi_stream *stream)
{
	return stream->sends && (stream->number == 1 || stream->number == 2);
}

void wbi_exec_view_output(struct wbi_exec_view *view, int number)
{
	struct wbi_stream *stream = wbi_call_stream(call_of(view), (unsigned)number);

	if (!stream || !stream->sends)
		return;
	wbi_stream_wake(stream);
	kick(view);
}

void wbi_exec_view_ended(struct wbi_exec_view *view)
{
	for (int number = 1; number <= 2; number++)
		wbi_exec_view_output(view, number);
	wbi_call_exit(call_of(view), &view->job->exit);
	kick(view);
}

void wbi_exec_view_input(struct wbi_exec_view *view, size_t bytes)
{
	struct wbi_stream *stream = wbi_call_stream(call_of(view), 0);

	if (!stream || stream->sends)
		return;
	wbi_stream_consume(stream, bytes);
	if (!wbi_job_takes_input(view->job->job))
		wbi_stream_reset(stream);
	kick(view);
}

/* ---- exec ---- */

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

/* The job's logs go under the call's streams. Those of which the job has none are at their ends. */
static void join(struct wbi_exec_view *view, struct wbi_exec_job *exec)
{
	struct wbi_call *call = call_of(view);

	view->job = exec;
	exec->view = view;
	for (unsigned i = 0; i < call->stream_count; i++) {
		struct wbi_stream *stream = &call->streams[i];
		struct wbi_log *log =
			is_output(stream) ? wbi_job_log(exec->job, stream->number) : NULL;
		if (log)
			wbi_stream_set_source(stream, &log->source);
		else if (is_output(stream))
			wbi_stream_set_source(stream, &view->rests[stream->number - 1].source);
		else if (!stream->sends && !wbi_job_takes_input(exec->job))
			wbi_stream_reset(stream);
	}
	wbi_exec_job_attended(exec, true);
}

static uint32_t least_ms(uint64_t asked_ms, uint32_t most_ms)
{
	return asked_ms < most_ms ? (uint32_t)asked_ms : most_ms;
}

static enum wb_err open_exec(struct wbi_exec_view *view, const struct wbi_exec_request *request,
			     struct wb_fault *fault)
{
	struct wbi_call_env *env = view->served.env;
	struct wbi_call *call = call_of(view);
	struct wbi_exec_job *exec;
	enum wb_err err =
		wbi_exec_job_new(env, call->session, request, wanted_streams(call), &exec, fault);

	if (err)
		return err;
	err = wbi_call_accept(call, NULL, put_opened, exec, fault);
	if (err) {
		wbi_exec_job_free(exec);
		return err;
	}
	join(view, exec);
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
		view_free(view);
		return;
	}
	err = open_exec(view, request, &fault);
	if (has_key && err)
		wbi_keys_drop(env->keys, &key);
	else if (has_key)
		wbi_keys_started(env->keys, &key, view->job->entry.job);
	if (err) {
		view_free(view);
		tell_not_started(event->call, err, &fault);
		return;
	}
	event->call->owner = &view->served;
}

static void on_open(struct wbi_call_env *env, struct wbi_event *event)
{
	struct wbi_exec_request request;
	struct wb_fault fault = {0};
	struct wbi_exec_view *view = view_new(env, event->call);
	enum wb_err err;

	if (!view) {
		wbi_call_refuse(event->call, "limit", "the daemon has no memory for this");
		return;
	}
	err = wbi_exec_request_read(&request, event->header, event->data, &fault);
	if (!err && wbi_exec_request_confine(&request, env->grant(event->call->session), &fault)) {
		view_free(view);
		wbi_call_refuse(event->call, fault.err == WB_ERR_REFUSED ? "denied" : "limit",
				fault.text);
	} else if (err) {
		view_free(view);
		tell_not_started(event->call, err, &fault);
	} else {
		start(view, event, &request);
	}
	wbi_exec_request_done(&request);
}

/* ---- attach ---- */

/* Copies what the old view's client may still ask for. Without memory for that it gets nothing
 * more. */
static void keep_rest(struct wbi_exec_rest *rest, const struct wbi_stream *stream)
{
	struct wbi_source *log = stream->source;
	size_t bytes = (size_t)(stream->high - stream->acknowledged), done = 0;

	rest->from = stream->acknowledged;
	rest->source.end = stream->high;
	rest->data = malloc(bytes ? bytes : 1);
	while (rest->data && done < bytes) {
		struct wbi_slice slice = log->ops->peek(log, rest->from + done, bytes - done);
		memcpy(rest->data + done, slice.data, slice.bytes);
		done += slice.bytes;
	}
}

/* Its client may come back: then it gets what was on its way to it, and hears that the job is gone.
 */
static bool take_from(struct wbi_exec_view *view)
{
	struct wbi_exit end = {.outcome = WBI_OUTCOME_FAILED};
	struct wbi_call *call = call_of(view);

	for (unsigned i = 0; i < call->stream_count; i++) {
		struct wbi_stream *stream = &call->streams[i];
		struct wbi_exec_rest *rest = &view->rests[stream->number == 2];
		if (!is_output(stream) || !stream->source || stream->source == &rest->source)
			continue;
		keep_rest(rest, stream);
		if (!rest->data)
			return false;
	}
	for (unsigned i = 0; i < call->stream_count; i++) {
		struct wbi_stream *stream = &call->streams[i];
		if (is_output(stream) && stream->source)
			wbi_stream_set_source(stream, &view->rests[stream->number == 2].source);
	}
	view->job->view = NULL;
	view->job = NULL;
	snprintf(end.error, sizeof(end.error), "taken");
	snprintf(end.text, sizeof(end.text), "somebody else attached to the job");
	wbi_call_exit(call, &end);
	kick(view);
	return true;
}

/* Where each of the call's streams begins. */
static void find_beginnings(struct wbi_exec_job *exec, struct wbi_call *call, bool from_start,
			    uint64_t *from)
{
	for (unsigned i = 0; i < call->stream_count; i++) {
		const struct wbi_stream *stream = &call->streams[i];
		const struct wbi_log *log =
			is_output(stream) ? wbi_job_log(exec->job, stream->number) : NULL;
		from[i] = log ? (from_start ? wbi_log_kept(log) : log->released) : 0;
	}
}

static enum wb_err accept_attach(struct wbi_exec_job *exec, struct wbi_call *call, bool from_start,
				 struct wb_fault *fault)
{
	uint64_t from[WBI_STREAM_NUMBER_MAX + 1] = {0};
	enum wb_err err;

	find_beginnings(exec, call, from_start, from);
	err = wbi_call_accept(call, from, put_opened, exec, fault);
	for (unsigned i = 0; i < call->stream_count && !err; i++) {
		const struct wbi_stream *stream = &call->streams[i];
		struct wbi_log *log =
			is_output(stream) ? wbi_job_log(exec->job, stream->number) : NULL;
		if (log)
			wbi_log_rewind(log, from[i]);
	}
	return err;
}

void wbi_exec_attach(struct wbi_call_env *env, uint64_t job, bool from_start,
		     struct wbi_event *event)
{
	struct wbi_exec_job *exec = wbi_exec_job_find(env, job);
	struct wbi_exec_view *view;

	/* It may have been collected while the call was on its way to this worker. */
	if (!exec && event->call->key[0] != '\0') {
		wbi_call_refuse(event->call, "done", "the command of this key ran before");
		return;
	}
	if (!exec) {
		wbi_call_refuse(event->call, "job", "there is no such job");
		return;
	}
	if (exec->view && exec->view->connected) {
		wbi_call_refuse(event->call, "busy", "the job's own client is connected");
		return;
	}
	view = view_new(env, event->call);
	if (!view || (exec->view && !take_from(exec->view)) ||
	    accept_attach(exec, event->call, from_start, NULL) != WB_OK) {
		free(view);
		wbi_call_refuse(event->call, "limit", "the daemon has no memory for this");
		return;
	}
	event->call->owner = &view->served;
	exec->foreign_bytes = wbi_job_input_waiting(exec->job);
	wbi_loop_cancel(env->loop, &exec->hold);
	join(view, exec);
	if (exec->ended)
		wbi_exec_view_ended(view);
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
	bool cancelled = view->served.call->cancelled;

	view_free(view);
	if (!exec)
		return;
	exec->view = NULL;
	if (exec->policy == WBI_EXEC_DETACH && !cancelled && !(exec->ended && gone_for_good))
		wbi_exec_job_detach(exec);
	else
		wbi_exec_job_free(exec);
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
		if (is_output(event->stream))
			wbi_job_resume(exec->job, event->stream->number);
		break;
	case WBI_EVENT_RESET:
		if (is_output(event->stream) && wbi_job_log(exec->job, event->stream->number))
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
