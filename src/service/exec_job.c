/* The job of an exec: what the registry shows of it, how it ends, and how long it is kept. */
#include "service/exec_job.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "service/exec.h"
#include "service/exec_key.h"
#include "service/exec_view.h"
#include "sys/signal_name.h"

enum { LOOK_MS = 1000 };

static struct wbi_loop *loop_of(const struct wbi_exec_job *exec)
{
	return exec->env->loop;
}

/* ---- what the registry shows ---- */

/* As far as it fits, its NUL included. Returns the new length. */
static size_t add(char *out, size_t size, size_t used, const char *text)
{
	for (; *text && used + 1 < size; text++)
		out[used++] = *text;
	out[used] = '\0';
	return used;
}

/* argv much as one would type it. */
static void describe(char *const *argv, char *out, size_t size)
{
	size_t used = 0;

	for (bool first = true; *argv && used + 4 < size; argv++, first = false) {
		const char *quote = wbi_exec_is_plain_word(*argv) ? "" : "'";
		used = add(out, size, used, first ? "" : " ");
		used = add(out, size, used, quote);
		used += wbi_text_escape(*argv, strlen(*argv), out + used, size - used, NULL);
		used = add(out, size, used, quote);
	}
}

static uint64_t output_bytes(const struct wbi_exec_job *exec, int stream)
{
	const struct wbi_log *log = wbi_job_log(exec->job, stream);

	return log ? log->source.end : 0;
}

static enum wbi_job_status status_of(const struct wbi_exec_job *exec)
{
	if (exec->view && exec->view->connected)
		return WBI_JOB_STATUS_RUNNING;
	if (exec->ended)
		return WBI_JOB_STATUS_ENDED;
	return exec->view ? WBI_JOB_STATUS_HELD : WBI_JOB_STATUS_DETACHED;
}

static void show(struct wbi_exec_job *exec)
{
	exec->entry.status = status_of(exec);
	exec->entry.pid = exec->pid;
	for (int i = 0; i < 2; i++)
		exec->entry.output_bytes[i] = output_bytes(exec, i + 1);
	wbi_registry_update(exec->env->registry, &exec->entry);
}

static bool has_moved(const struct wbi_exec_job *exec)
{
	return exec->entry.output_bytes[0] != output_bytes(exec, 1) ||
	       exec->entry.output_bytes[1] != output_bytes(exec, 2);
}

/* At once, and then once a second. Without memory for a timer the registry lags behind. */
static void show_output(struct wbi_exec_job *exec)
{
	if (exec->look.node.place != 0)
		return;
	show(exec);
	if (wbi_loop_timer(loop_of(exec), &exec->look, LOOK_MS) != WB_OK)
		return;
}

/* A second in which nothing came is idle; then there is nothing more to look at. */
static void on_look(struct wbi_timer *timer)
{
	struct wbi_exec_job *exec = WBI_CONTAINER(timer, struct wbi_exec_job, look);

	if (has_moved(exec)) {
		show_output(exec);
		return;
	}
	for (int stream = 1; stream <= 2; stream++) {
		struct wbi_log *log = wbi_job_log(exec->job, stream);
		if (log)
			wbi_log_trim(log);
	}
}

/* ---- the end ---- */

static void write_end(struct wbi_exec_job *exec, const struct wbi_process_end *end)
{
	struct wbi_exit *out = &exec->exit;

	switch (exec->cause) {
	case WBI_EXEC_BY_TIMEOUT:
		out->outcome = WBI_OUTCOME_TIMEOUT;
		break;
	case WBI_EXEC_BY_CANCEL:
		out->outcome = WBI_OUTCOME_CANCELLED;
		break;
	case WBI_EXEC_BY_DAMAGE:
		out->outcome = WBI_OUTCOME_FAILED;
		snprintf(out->error, sizeof(out->error), "digest");
		snprintf(out->text, sizeof(out->text), "stdin did not arrive as it was sent");
		break;
	case WBI_EXEC_BY_ITSELF:
	case WBI_EXEC_BY_KILL:
		out->outcome = end->signaled ? WBI_OUTCOME_SIGNALED : WBI_OUTCOME_EXITED;
		if (end->signaled)
			wbi_signal_name(end->code, out->signal, sizeof(out->signal));
		out->core = end->core;
		out->has_code = !end->signaled;
		out->code = end->signaled ? 0 : (uint32_t)end->code;
		break;
	}
	out->has_usage = true;
	out->user_ms = end->user_ms;
	out->system_ms = end->system_ms;
	out->memory_bytes = end->memory_bytes;
}

/* The oldest of those that wait for somebody give way. */
static void drop_oldest_kept(struct wbi_call_env *env)
{
	struct wbi_list *records = &env->jobs->records;
	struct wbi_exec_job *oldest = NULL;
	unsigned kept = 0;

	for (struct wbi_list *node = records->prev; node != records; node = node->prev) {
		struct wbi_exec_job *exec = WBI_CONTAINER(node, struct wbi_exec_job, node);
		if (!exec->ended || exec->view)
			continue;
		kept++;
		oldest = exec;
	}
	if (kept > WBI_EXEC_KEPT_MAX)
		wbi_exec_job_free(oldest);
}

/* From here on it counts among those that are kept, as the youngest. */
static void keep(struct wbi_exec_job *exec)
{
	wbi_list_remove(&exec->node);
	wbi_list_append(&exec->env->jobs->records, &exec->node);
	show(exec);
	drop_oldest_kept(exec->env);
}

/* Then the reason is the outcome, whatever became of the command and its output. */
static bool is_ended_for_a_reason(const struct wbi_exec_job *exec)
{
	return exec->cause != WBI_EXEC_BY_ITSELF && exec->cause != WBI_EXEC_BY_KILL;
}

static void on_ended(struct wbi_job *job, void *owner)
{
	struct wbi_exec_job *exec = owner;

	exec->ended = true;
	wbi_exec_input_drop(exec);
	wbi_loop_cancel(loop_of(exec), &exec->timeout);
	wbi_loop_cancel(loop_of(exec), &exec->hold);
	if (wbi_job_outcome(job) == WBI_JOB_ENDED || is_ended_for_a_reason(exec)) {
		write_end(exec, wbi_job_end(job));
	} else {
		exec->exit.outcome = WBI_OUTCOME_FAILED;
		snprintf(exec->exit.error, sizeof(exec->exit.error), "end");
		snprintf(exec->exit.text, sizeof(exec->exit.text), "%s", wbi_job_fault(job)->text);
	}
	if (exec->keyed)
		wbi_exec_key_ended(exec);
	if (!exec->view) {
		keep(exec);
		return;
	}
	wbi_exec_view_ended(exec->view);
	if (!exec->view->connected)
		show(exec);
}

static void on_output(struct wbi_job *job, void *owner, int stream)
{
	struct wbi_exec_job *exec = owner;
	(void)job;

	show_output(exec);
	if (exec->view)
		wbi_exec_view_output(exec->view, stream);
}

static void on_input(struct wbi_job *job, void *owner, size_t bytes)
{
	struct wbi_exec_job *exec = owner;
	size_t own = wbi_exec_input_read(exec, bytes);
	(void)job;

	if (exec->view)
		wbi_exec_view_input(exec->view, own);
}

static void on_timeout(struct wbi_timer *timer)
{
	wbi_exec_job_end(WBI_CONTAINER(timer, struct wbi_exec_job, timeout), WBI_EXEC_BY_TIMEOUT);
}

static void on_hold(struct wbi_timer *timer)
{
	wbi_exec_job_end(WBI_CONTAINER(timer, struct wbi_exec_job, hold), WBI_EXEC_BY_CANCEL);
}

void wbi_exec_job_end(struct wbi_exec_job *exec, enum wbi_exec_cause cause)
{
	/* Whoever was first has ended it; and what had ended by itself stays as it was. */
	if (wbi_job_kill(exec->job) && exec->cause == WBI_EXEC_BY_ITSELF)
		exec->cause = cause;
}

/* ---- beginning ---- */

static void release(struct wbi_exec_job *exec)
{
	free(exec->forced);
	free(exec);
}

static struct wbi_exec_job *make(struct wbi_call_env *env, struct wbi_session *session,
				 const struct wbi_exec_request *request)
{
	const char *forced = env->grant(session)->command;
	struct wbi_exec_job *exec = calloc(1, sizeof(*exec));

	if (!exec || (forced && !(exec->forced = strdup(forced)))) {
		free(exec);
		return NULL;
	}
	exec->env = env;
	exec->terminal = request->terminal;
	exec->policy = request->policy;
	exec->hold_ms = request->hold_ms;
	exec->left.pool = session->pool.parent;
	exec->timeout.fn = on_timeout;
	exec->hold.fn = on_hold;
	exec->look.fn = on_look;
	exec->entry = (struct wbi_registry_entry){
		.worker = env->worker,
		.owner = *env->principal(session),
		.started_ms = wbi_loop_now_ms(env->loop),
	};
	const char *client = env->client(session);
	wbi_text_escape(client, strlen(client), exec->entry.client, sizeof(exec->entry.client),
			NULL);
	describe(request->argv, exec->entry.command, sizeof(exec->entry.command));
	wbi_list_init(&exec->node);
	return exec;
}

static enum wb_err start(struct wbi_exec_job *exec, const struct wbi_exec_request *request,
			 unsigned streams, struct wb_fault *fault)
{
	static const struct wbi_job_ops ops = {
		.ended = on_ended, .output = on_output, .input = on_input};
	struct wbi_job_spec spec = {.streams = streams, .ops = &ops, .owner = exec};
	enum wb_err err = wbi_exec_request_start(request, exec->env->jobs, exec->entry.job, &spec,
						 &exec->job, fault);

	if (err)
		return err;
	exec->pid = wbi_job_pid(exec->job);
	if (request->timeout_ms > 0)
		err = wbi_loop_timer(loop_of(exec), &exec->timeout, request->timeout_ms);
	if (err) {
		wbi_job_free(exec->job);
		err = wb_fault_set(fault, err, NULL, 0, "exec: no memory");
	}
	return err;
}

enum wb_err wbi_exec_job_new(struct wbi_call_env *env, struct wbi_session *session,
			     const struct wbi_exec_request *request, unsigned streams,
			     struct wbi_exec_job **ret_exec, struct wb_fault *fault)
{
	struct wbi_exec_job *exec = make(env, session, request);
	enum wb_err err;

	if (!exec)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "exec: no memory");
	/* Its number is part of its environment: hence the registry first. */
	err = wbi_registry_add(env->registry, &exec->entry);
	if (err) {
		release(exec);
		return wb_fault_set(fault, err, NULL, 0, "the daemon has no room for another job");
	}
	err = start(exec, request, streams, fault);
	if (err) {
		wbi_registry_remove(env->registry, exec->entry.job);
		release(exec);
		return err;
	}
	wbi_list_append(&env->jobs->records, &exec->node);
	*ret_exec = exec;
	return WB_OK;
}

/* ---- who looks at it ---- */

void wbi_exec_job_attended(struct wbi_exec_job *exec, bool attended)
{
	for (int stream = 1; stream <= 2; stream++) {
		struct wbi_log *log = wbi_job_log(exec->job, stream);
		if (!log)
			continue;
		wbi_log_spill(log, !attended || !wbi_exec_view_reads(exec->view, stream));
		wbi_job_resume(exec->job, stream);
	}
	show(exec);
}

void wbi_exec_job_detach(struct wbi_exec_job *exec)
{
	exec->view = NULL;
	wbi_loop_cancel(loop_of(exec), &exec->hold);
	wbi_exec_job_attended(exec, false);
	if (exec->ended)
		keep(exec);
}

void wbi_exec_job_free(struct wbi_exec_job *exec)
{
	wbi_loop_cancel(loop_of(exec), &exec->timeout);
	wbi_loop_cancel(loop_of(exec), &exec->hold);
	wbi_loop_cancel(loop_of(exec), &exec->look);
	/* Before that it is not to be found any more: whoever asks for the key then is told. */
	if (exec->keyed && !exec->ended) {
		exec->exit.outcome = WBI_OUTCOME_CANCELLED;
		wbi_exec_key_ended(exec);
	}
	wbi_registry_remove(exec->env->registry, exec->entry.job);
	wbi_list_remove(&exec->node);
	wbi_exec_input_drop(exec);
	wbi_job_free(exec->job);
	release(exec);
}

struct wbi_exec_job *wbi_exec_job_find(struct wbi_call_env *env, uint64_t number)
{
	struct wbi_list *records = &env->jobs->records;

	for (struct wbi_list *node = records->next; node != records; node = node->next) {
		struct wbi_exec_job *exec = WBI_CONTAINER(node, struct wbi_exec_job, node);
		if (exec->entry.job == number)
			return exec;
	}
	return NULL;
}

void wbi_exec_kill(struct wbi_call_env *env, uint64_t job, const char *signal)
{
	struct wbi_exec_job *exec = wbi_exec_job_find(env, job);
	int number = signal ? wbi_signal_number(signal) : 0;

	if (!exec)
		return;
	if (number > 0)
		wbi_job_signal(exec->job, number);
	else if (!signal && exec->ended && !exec->view)
		wbi_exec_job_free(exec);
	else if (!signal)
		wbi_exec_job_end(exec, WBI_EXEC_BY_KILL);
}

void wbi_exec_done(struct wbi_call_env *env)
{
	struct wbi_list *records = &env->jobs->records, *next;

	for (struct wbi_list *node = records->next; node != records; node = next) {
		struct wbi_exec_job *exec = WBI_CONTAINER(node, struct wbi_exec_job, node);
		next = node->next;
		if (!exec->view)
			wbi_exec_job_free(exec);
	}
}
