/* A view of a job: see exec_view.h. The engine reads output straight from the job's logs. */
#include "service/exec_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void wbi_exec_view_put_opened(struct wb_header_writer *writer, void *context)
{
	const struct wbi_exec_job *exec = context;

	wb_header_put_integer(writer, "job", exec->entry.job);
	wb_header_put_integer(writer, "pid", (uint64_t)exec->pid);
	wb_header_put_bool(writer, "pty", exec->terminal);
}

/* What there is no log for reads as ended. */
static struct wbi_slice peek_rest(struct wbi_source *source, uint64_t offset, size_t most)
{
	const struct wbi_exec_rest *rest = WBI_CONTAINER(source, struct wbi_exec_rest, source);
	uint64_t left = source->end - offset;

	return (struct wbi_slice){rest->data + (offset - rest->from),
				  left < most ? (size_t)left : most};
}

static const struct wbi_source_ops rest_ops = {.peek = peek_rest};

static void drop_rest(struct wbi_exec_rest *rest, struct wbi_call_env *env)
{
	env->rest_bytes -= rest->bytes;
	rest->bytes = 0;
	free(rest->data);
	rest->data = NULL;
}

struct wbi_exec_view *wbi_exec_view_new(struct wbi_call_env *env, struct wbi_call *call)
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

void wbi_exec_view_free(struct wbi_exec_view *view)
{
	if (!view)
		return;
	drop_rest(&view->rests[0], view->served.env);
	drop_rest(&view->rests[1], view->served.env);
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

bool wbi_exec_view_is_output(const struct wbi_stream *stream)
{
	return stream->sends && (stream->number == 1 || stream->number == 2);
}

bool wbi_exec_view_reads(const struct wbi_exec_view *view, int number)
{
	const struct wbi_stream *stream = wbi_call_stream(view->served.call, (unsigned)number);

	return stream && stream->sends && stream->state != WBI_STREAM_RESET;
}

/* ---- what the job tells ---- */

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

/* ---- a job comes and goes ---- */

/* The job's logs go under the call's streams. Those of which the job has none are at their ends. */
void wbi_exec_view_join(struct wbi_exec_view *view, struct wbi_exec_job *exec)
{
	struct wbi_call *call = call_of(view);

	view->job = exec;
	exec->view = view;
	for (unsigned i = 0; i < call->stream_count; i++) {
		struct wbi_stream *stream = &call->streams[i];
		struct wbi_log *log = wbi_exec_view_is_output(stream)
					      ? wbi_job_log(exec->job, stream->number)
					      : NULL;
		if (log)
			wbi_stream_set_source(stream, &log->source);
		else if (wbi_exec_view_is_output(stream))
			wbi_stream_set_source(stream, &view->rests[stream->number - 1].source);
		else if (!stream->sends && !wbi_job_takes_input(exec->job))
			wbi_stream_reset(stream);
	}
	wbi_exec_job_attended(exec, true);
}

static bool reads_log(const struct wbi_exec_view *view, const struct wbi_stream *stream)
{
	return wbi_exec_view_is_output(stream) && stream->source &&
	       stream->source != &view->rests[stream->number - 1].source;
}

/* A client that acknowledges nothing may have been sent whatever the log could keep, which is much:
 * hence the limit. */
static enum wb_err keep_rest(struct wbi_exec_view *view, const struct wbi_stream *stream)
{
	struct wbi_exec_rest *rest = &view->rests[stream->number - 1];
	struct wbi_call_env *env = view->served.env;
	struct wbi_source *log = stream->source;
	uint64_t bytes = stream->high - stream->acknowledged;

	drop_rest(rest, env);
	if (bytes > WBI_EXEC_RESTS_MAX - env->rest_bytes)
		return WB_ERR_LIMIT;
	rest->data = malloc(bytes > 0 ? (size_t)bytes : 1);
	if (!rest->data)
		return WB_ERR_NOMEM;
	rest->bytes = bytes;
	env->rest_bytes += bytes;
	rest->from = stream->acknowledged;
	rest->source.end = stream->high;
	rest->source.held_open = log->held_open;
	for (uint64_t done = 0; done < bytes;) {
		struct wbi_slice slice =
			log->ops->peek(log, rest->from + done, (size_t)(bytes - done));
		memcpy(rest->data + done, slice.data, slice.bytes);
		done += slice.bytes;
	}
	return WB_OK;
}

enum wb_err wbi_exec_view_keep_rests(struct wbi_exec_view *view)
{
	struct wbi_call *call = call_of(view);
	enum wb_err err = WB_OK;

	for (unsigned i = 0; i < call->stream_count && !err; i++) {
		if (reads_log(view, &call->streams[i]))
			err = keep_rest(view, &call->streams[i]);
	}
	return err;
}

/* Whether all that there is of a stream (that was not reset: such a one has no source) was sent
 * once, so that its rest goes on to its end. */
static bool is_sent(const struct wbi_stream *stream)
{
	return stream->source->ended && stream->high == stream->source->end;
}

/* The job may have ended while the client was away: then its outcome stands already, and is true
 * for the client too if its streams still go to their ends. */
void wbi_exec_view_part(struct wbi_exec_view *view)
{
	struct wbi_exit end = {.outcome = WBI_OUTCOME_FAILED};
	struct wbi_call *call = call_of(view);
	bool whole = true;

	for (unsigned i = 0; i < call->stream_count; i++) {
		struct wbi_stream *stream = &call->streams[i];
		if (!reads_log(view, stream))
			continue;
		whole = whole && is_sent(stream);
		wbi_stream_set_source(stream, &view->rests[stream->number - 1].source);
	}
	wbi_exec_input_leave(view->job, call);
	view->job->view = NULL;
	view->job = NULL;
	snprintf(end.error, sizeof(end.error), "taken");
	snprintf(end.text, sizeof(end.text), "somebody else attached to the job");
	if (!whole)
		wbi_call_replace_exit(call, &end);
	wbi_call_exit(call, &end);
	kick(view);
}
