/* jobs and kill: what a principal's jobs are, and an end to one of them.
 * Protocol: "Services of sessions". */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "service/call_service.h"
#include "service/exec.h"
#include "sys/clock.h"
#include "sys/signal_name.h"

enum {
	LIST_BYTES_MAX = 4 * 1024 * 1024,
	LINE_BYTES_MAX = 1024,
	ENTRIES_A_LOOK = 16, /* copied under the registry's lock at one time */
};

/* ---- jobs ---- */

/* The whole list, made when it is asked for and kept until the client has it. */
struct jobs_call {
	struct wbi_served_call served;
	struct wbi_source source;
	struct wbi_buf list;
};

static const char *status_name(enum wbi_job_status status)
{
	static const char *const names[] = {
		[WBI_JOB_STATUS_RUNNING] = "running",
		[WBI_JOB_STATUS_HELD] = "held",
		[WBI_JOB_STATUS_DETACHED] = "detached",
		[WBI_JOB_STATUS_ENDED] = "ended",
	};

	return names[status];
}

/* One JSON object and a newline. */
static enum wb_err append_line(struct wbi_buf *list, const struct wbi_registry_entry *entry)
{
	char line[LINE_BYTES_MAX];
	struct wb_header_writer writer;
	size_t bytes;
	enum wb_err err;

	wb_header_writer_init(&writer, line, sizeof(line) - 1);
	wb_header_put_integer(&writer, "job", entry->job);
	wb_header_put_integer(&writer, "pid", (uint64_t)entry->pid);
	wb_header_put_string(&writer, "status", status_name(entry->status));
	wb_header_put_integer(&writer, "age_ms", wbi_clock_ms() - entry->started_ms);
	wb_header_put_integer(&writer, "stdout_bytes", entry->output_bytes[0]);
	wb_header_put_integer(&writer, "stderr_bytes", entry->output_bytes[1]);
	wb_header_put_string(&writer, "command", entry->command);
	wb_header_put_string(&writer, "client", entry->client);
	err = wb_header_finish(&writer, &bytes, NULL);
	if (err)
		return err;
	line[bytes++] = '\n';
	return wbi_buf_append(list, line, bytes);
}

static enum wb_err make_list(struct wbi_call_env *env, const struct wbi_principal *who,
			     struct wbi_buf *list)
{
	struct wbi_registry_entry entries[ENTRIES_A_LOOK];
	uint64_t after = 0;
	unsigned count;
	enum wb_err err = WB_OK;

	do {
		count = wbi_registry_list(env->registry, who, after, entries, ENTRIES_A_LOOK);
		for (unsigned i = 0; i < count && !err; i++) {
			err = append_line(list, &entries[i]);
			after = entries[i].job;
		}
	} while (count == ENTRIES_A_LOOK && !err);
	return err;
}

static struct wbi_slice list_peek(struct wbi_source *source, uint64_t offset, size_t most)
{
	struct jobs_call *jobs = WBI_CONTAINER(source, struct jobs_call, source);
	struct wbi_slice list = wbi_buf_peek(&jobs->list);
	size_t left = list.bytes - (size_t)offset;

	return (struct wbi_slice){list.data + offset, left < most ? left : most};
}

static const struct wbi_source_ops list_ops = {.peek = list_peek};

static void jobs_drop(struct wbi_served_call *served)
{
	struct jobs_call *jobs = WBI_CONTAINER(served, struct jobs_call, served);

	wbi_buf_done(&jobs->list);
	free(jobs);
}

static void jobs_event(struct wbi_served_call *served, enum wbi_event_kind kind,
		       struct wbi_event *event)
{
	(void)event;
	if (kind == WBI_EVENT_FORGET)
		jobs_drop(served);
}

static void jobs_open(struct wbi_call_env *env, struct wbi_event *event)
{
	struct wbi_call *call = event->call;
	struct wbi_stream *out = wbi_call_stream(call, 1);
	struct jobs_call *jobs;

	if (wbi_call_is_denied_jobs(env, call))
		return;
	if (!out || !out->sends) {
		wbi_call_refuse(call, "malformed", "jobs writes to stream 1, which was not opened");
		return;
	}
	jobs = calloc(1, sizeof(*jobs));
	if (!jobs) {
		wbi_call_refuse(call, "limit", "the daemon has no memory for this");
		return;
	}
	jobs->served = (struct wbi_served_call){&wbi_jobs_service, env, call};
	wbi_buf_init(&jobs->list, LIST_BYTES_MAX);
	call->owner = &jobs->served;
	if (make_list(env, env->principal(call->session), &jobs->list) != WB_OK ||
	    wbi_call_accept(call, NULL, NULL, NULL, NULL) != WB_OK) {
		wbi_call_refuse(call, "limit", "the list is too long for the daemon's memory");
		return;
	}
	jobs->source = (struct wbi_source){
		.ops = &list_ops, .end = wbi_buf_bytes(&jobs->list), .ended = true};
	wbi_stream_set_source(out, &jobs->source);
	wbi_call_succeed(call);
}

const struct wbi_call_service wbi_jobs_service = {
	.name = "jobs", .open = jobs_open, .event = jobs_event, .drop = jobs_drop};

/* ---- kill ---- */

/* A kill on its way to the worker that owns the job. */
struct kill_task {
	struct wbi_task task;
	struct wbi_call_env *env;
	uint64_t job;
	char signal[WBI_SIGNAL_NAME_MAX]; /* "": the usual end */
};

static void on_kill(struct wbi_task *task)
{
	struct kill_task *kill = WBI_CONTAINER(task, struct kill_task, task);

	wbi_exec_kill(kill->env, kill->job, kill->signal[0] != '\0' ? kill->signal : NULL);
	free(kill);
}

static enum wb_err read_kill(struct wbi_event *event, struct kill_task *kill,
			     struct wb_fault *fault)
{
	enum wb_err err = wb_header_get_integer(event->header, "job", &kill->job, fault);

	if (err || wb_header_find(event->header, "signal") == NULL)
		return err;
	err = wb_header_get_text(event->header, "signal", kill->signal, sizeof(kill->signal), NULL,
				 fault);
	if (!err && wbi_signal_number(kill->signal) <= 0)
		err = wb_fault_set(fault, WB_ERR_MALFORMED, "signal", 0,
				   "signal: this daemon knows none of that name");
	return err;
}

static void kill_open(struct wbi_call_env *env, struct wbi_event *event)
{
	struct wbi_registry_entry entry;
	struct wb_fault fault;
	struct kill_task *kill;

	if (wbi_call_is_denied_jobs(env, event->call))
		return;
	kill = calloc(1, sizeof(*kill));
	if (!kill) {
		wbi_call_refuse(event->call, "limit", "the daemon has no memory for this");
		return;
	}
	if (read_kill(event, kill, &fault) != WB_OK) {
		wbi_call_refuse(event->call, "malformed", fault.text);
		free(kill);
		return;
	}
	if (!wbi_registry_find(env->registry, env->principal(event->call->session), kill->job,
			       &entry)) {
		wbi_call_refuse(event->call, "job", "there is no such job");
		free(kill);
		return;
	}
	kill->env = env->other(env, entry.worker);
	kill->task.fn = on_kill;
	wbi_list_init(&kill->task.node);
	wbi_loop_post(kill->env->loop, &kill->task);
	if (wbi_call_accept(event->call, NULL, NULL, NULL, NULL) == WB_OK)
		wbi_call_succeed(event->call);
	else
		wbi_call_refuse(event->call, "limit", "the daemon has no memory for this");
}

/* No event follows: a kill leaves nothing behind. */
const struct wbi_call_service wbi_kill_service = {.name = "kill", .open = kill_open};
