/* exec-length and exec-header: a shell command in, its output out, for peers that know nothing of
 * Waybill. Protocol: "Plain services".
 *
 * One connection runs one command at a time:
 *
 *   IDLE ──input──▶ GATHERING ──silence──▶ RUNNING ──ended──▶ DIGESTING ──▶ REPLYING ──▶ IDLE
 *     └──a short read───────────────────────▲                                  └─last──▶ closed
 *
 * (exec-length has no digest and goes from RUNNING to REPLYING.) */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "service/browser.h"
#include "service/plain_trail.h"
#include "service/reply.h"
#include "service/service.h"

enum {
	SHORT_READ = 1024,        /* a read below this is one command */
	DIGEST_STEP = 256 * 1024, /* of output a turn: some 0.4 ms of md5 */
	SEND_STEPS = 16,          /* writes a turn, so that one big reply holds up nobody */
};

enum exec_state { EXEC_IDLE, EXEC_GATHERING, EXEC_RUNNING, EXEC_DIGESTING, EXEC_REPLYING };

struct exec_conn {
	struct wbi_plain plain;
	struct wbi_service_env *env;
	struct wbi_plain_trail trail;
	struct wbi_buf command; /* while GATHERING */
	struct exec_call *call; /* from RUNNING to REPLYING; NULL otherwise */
	enum exec_state state;
	enum wbi_reply_framing framing;
	bool last; /* the peer will send no more, or may not: close after the reply */
};

/* One command and its reply. */
struct exec_call {
	struct exec_conn *exec;
	struct wbi_job *job; /* NULL where the reply is a message only */
	struct wbi_reply reply;
	struct wbi_task digest_task;
};

static struct exec_conn *exec_of(struct wbi_plain *plain)
{
	return WBI_CONTAINER(plain, struct exec_conn, plain);
}

static const char *service_name(const struct exec_conn *exec)
{
	return exec->framing == WBI_REPLY_LENGTH ? "exec-length" : "exec-header";
}

/* A command whose client has gone altogether runs for nobody. Its end of stream alone does not say
 * so: a client may half-close and wait for its reply. The kernel knows the difference, but for the
 * moment in which the client closes: hence the delay. */
enum { GONE_CHECK_MS = 20 };

static void log_about(struct exec_conn *exec, const char *what)
{
	char peer[WBI_ADDR_TEXT_MAX];

	wbi_plain_peer_text(&exec->plain, peer);
	wbi_audit(&exec->env->audit, "%s: %s: %s", service_name(exec), peer, what);
}

/* What came is no command: it never becomes a call. */
static void log_refusal(struct exec_conn *exec, const char *code, const char *why)
{
	char peer[WBI_ADDR_TEXT_MAX];

	wbi_plain_peer_text(&exec->plain, peer);
	wbi_plain_trail_turned_away(&exec->trail, service_name(exec), peer, code, why);
}

/* The one place where the state changes, and with it what is wanted of the socket: input only
 * between commands. */
static void set_state(struct exec_conn *exec, enum exec_state state)
{
	static const unsigned wanted[] = {
		[EXEC_IDLE] = WBI_READ, [EXEC_GATHERING] = WBI_READ, [EXEC_RUNNING] = WBI_PEER_END,
		[EXEC_DIGESTING] = 0,   [EXEC_REPLYING] = WBI_WRITE,
	};

	exec->state = state;
	wbi_plain_want(&exec->plain, wanted[state]);
}

static void call_free(struct exec_call *call)
{
	if (!call)
		return;
	wbi_list_remove(&call->digest_task.node);
	wbi_reply_done(&call->reply);
	wbi_job_free(call->job);
	free(call);
}

static void reply_sent(struct exec_conn *exec)
{
	wbi_loop_cancel(exec->env->plain.loop, &exec->plain.timer);
	call_free(exec->call);
	exec->call = NULL;
	if (exec->last || exec->env->draining)
		wbi_plain_finish(&exec->plain);
	else
		set_state(exec, EXEC_IDLE);
}

/* Sends what the kernel takes; the connection may be gone afterwards. */
static void push_reply(struct exec_conn *exec)
{
	for (int step = 0; step < SEND_STEPS; step++) {
		int result = wbi_reply_send(&exec->call->reply, &exec->plain.stream.link);

		if (result == 0) {
			reply_sent(exec);
			return;
		}
		if (result == -EAGAIN)
			break;
		if (result < 0) {
			wbi_plain_close(&exec->plain);
			return;
		}
	}
	set_state(exec, EXEC_REPLYING);
}

static void begin_reply(struct exec_conn *exec)
{
	struct wb_fault fault;

	if (wbi_reply_head(&exec->call->reply, &fault) != WB_OK) {
		log_about(exec, fault.text);
		wbi_plain_close(&exec->plain);
		return;
	}
	push_reply(exec);
}

/* Replies with a message in place of output, framed as usual. */
static void reply_message(struct exec_conn *exec, const char *reason)
{
	char message[WB_FAULT_TEXT_MAX];

	snprintf(message, sizeof(message), "waybill: %.180s\n", reason);
	wbi_reply_message(&exec->call->reply, message);
	begin_reply(exec);
}

static void reply_failure(struct exec_conn *exec, const char *reason)
{
	log_about(exec, reason);
	reply_message(exec, reason);
}

static void digest_step(struct wbi_task *task)
{
	struct exec_call *call = WBI_CONTAINER(task, struct exec_call, digest_task);
	struct exec_conn *exec = call->exec;
	bool complete;
	struct wb_fault fault;

	if (wbi_reply_digest(&call->reply, DIGEST_STEP, &complete, &fault) != WB_OK)
		reply_failure(exec, fault.text);
	else if (complete)
		begin_reply(exec);
	else
		wbi_loop_defer(exec->env->plain.loop, task);
}

static void begin_digest(struct exec_conn *exec)
{
	set_state(exec, EXEC_DIGESTING);
	digest_step(&exec->call->digest_task);
}

static void why_killed(const struct exec_conn *exec, const struct wb_fault *fault,
		       char out[WB_FAULT_TEXT_MAX])
{
	if (strcmp(fault->field, "max-output") == 0)
		snprintf(out, WB_FAULT_TEXT_MAX,
			 "the command was killed: its output passed the limit of %llu bytes",
			 (unsigned long long)exec->env->limits->output_bytes);
	else
		snprintf(out, WB_FAULT_TEXT_MAX, "the command was killed: %.150s", fault->text);
}

static void job_ended(struct wbi_job *job, void *owner)
{
	struct exec_conn *exec = owner;
	char reason[WB_FAULT_TEXT_MAX];

	wbi_plain_trail_ended(&exec->trail, job);
	if (wbi_job_outcome(job) != WBI_JOB_ENDED) {
		why_killed(exec, wbi_job_fault(job), reason);
		reply_failure(exec, reason);
		return;
	}
	wbi_reply_output(&exec->call->reply, wbi_job_output(job, 1), wbi_job_output(job, 2));
	if (exec->framing == WBI_REPLY_HEADER)
		begin_digest(exec);
	else
		begin_reply(exec);
}

/* Makes the call that every reply stands on. On failure the connection is gone. */
static bool begin_call(struct exec_conn *exec)
{
	struct exec_call *call = calloc(1, sizeof(*call));

	if (!call) {
		wbi_plain_close(&exec->plain);
		return false;
	}
	call->exec = exec;
	call->digest_task.fn = digest_step;
	wbi_list_init(&call->digest_task.node);
	wbi_reply_init(&call->reply, exec->framing);
	exec->call = call;
	return true;
}

/* Refuses with a message and ends the connection: what else the peer sent belongs to what was
 * refused, and must not be taken for a command. */
static void refuse(struct exec_conn *exec, const char *reason)
{
	log_refusal(exec, wb_err_name(WB_ERR_LIMIT), reason);
	exec->last = true;
	if (begin_call(exec))
		reply_message(exec, reason);
}

/* `command` is NUL-terminated. */
static void start_job(struct exec_conn *exec, char *command)
{
	static char shell[] = "/bin/sh", option[] = "-c";
	/* A command that begins with a dash is a command, not an option of the shell. */
	static char end_of_options[] = "--";
	char *argv[] = {shell, option, end_of_options, command, NULL};
	char reason[WB_FAULT_TEXT_MAX];
	struct wb_fault fault;

	if (!begin_call(exec))
		return;
	if (wbi_job_start(&exec->env->jobs, argv, job_ended, exec, &exec->call->job, &fault) ==
	    WB_OK) {
		set_state(exec, EXEC_RUNNING);
		return;
	}
	wbi_plain_trail_refused(&exec->trail, wb_err_name(fault.err));
	snprintf(reason, sizeof(reason), "the command did not start: %.150s", fault.text);
	reply_failure(exec, reason);
}

/* Runs `bytes` bytes at `data` (there is room for a NUL behind them), unless they are no command.
 */
static void run_command(struct exec_conn *exec, uint8_t *data, size_t bytes)
{
	const char *why = wbi_browser_check(data, bytes);

	if (why) {
		log_refusal(exec, "no-command", why);
		wbi_plain_close(&exec->plain);
		return;
	}
	wbi_plain_trail_call(&exec->trail, service_name(exec), data, bytes);
	data[bytes] = '\0';
	start_job(exec, (char *)data);
}

static void run_gathered(struct exec_conn *exec)
{
	struct wbi_buf command = exec->command;
	size_t bytes = wbi_buf_bytes(&command);

	wbi_loop_cancel(exec->env->plain.loop, &exec->plain.timer);
	wbi_buf_init(&exec->command, command.limit);
	/* gather() reserved the byte for the NUL. The connection may be gone after this. */
	run_command(exec, command.data + command.head, bytes);
	wbi_buf_done(&command);
}

static void gather(struct exec_conn *exec, const uint8_t *data, size_t bytes)
{
	const struct wb_limits *limits = exec->env->limits;
	char reason[WB_FAULT_TEXT_MAX];
	uint8_t *nul;

	if (wbi_buf_bytes(&exec->command) + bytes > limits->command_bytes) {
		snprintf(reason, sizeof(reason),
			 "refused: a command may have at most %u bytes; nothing was run",
			 limits->command_bytes);
		wbi_loop_cancel(exec->env->plain.loop, &exec->plain.timer);
		wbi_buf_reset(&exec->command);
		refuse(exec, reason);
		return;
	}
	if (wbi_buf_append(&exec->command, data, bytes) != WB_OK ||
	    wbi_buf_reserve(&exec->command, 1, &nul) != WB_OK ||
	    wbi_loop_timer(exec->env->plain.loop, &exec->plain.timer, limits->command_silence_ms) !=
		    WB_OK) {
		wbi_plain_close(&exec->plain);
		return;
	}
	set_state(exec, EXEC_GATHERING);
}

static void exec_input(struct wbi_plain *plain, uint8_t *data, size_t bytes)
{
	struct exec_conn *exec = exec_of(plain);

	if (exec->state == EXEC_IDLE && bytes < SHORT_READ)
		run_command(exec, data, bytes);
	else
		gather(exec, data, bytes);
}

static void exec_end(struct wbi_plain *plain)
{
	struct exec_conn *exec = exec_of(plain);

	exec->last = true;
	if (exec->state == EXEC_GATHERING)
		run_gathered(exec);
	else
		wbi_plain_close(plain);
}

/* The peer will send no more. Whether it has gone is asked for once it has had time to go. */
static void exec_hung_up(struct wbi_plain *plain)
{
	struct exec_conn *exec = exec_of(plain);

	wbi_plain_want(plain, 0);
	if (exec->env->finder &&
	    wbi_loop_timer(exec->env->plain.loop, &plain->timer, GONE_CHECK_MS) != WB_OK)
		wbi_plain_close(plain);
}

static bool peer_has_gone(struct exec_conn *exec)
{
	uid_t uid;

	return wbi_peer_of_tcp(exec->env->finder, exec->plain.stream.watch.fd, &uid, NULL) ==
	       WB_ERR_REFUSED;
}

static void exec_expired(struct wbi_plain *plain)
{
	struct exec_conn *exec = exec_of(plain);

	if (exec->state == EXEC_GATHERING)
		run_gathered(exec);
	else if (exec->state == EXEC_RUNNING && peer_has_gone(exec))
		wbi_plain_close(plain);
}

static void exec_writable(struct wbi_plain *plain)
{
	push_reply(exec_of(plain));
}

/* A command that runs is waited for; env->draining makes its reply the last. */
static void exec_drain(struct wbi_plain *plain)
{
	struct exec_conn *exec = exec_of(plain);

	if (exec->state == EXEC_IDLE || exec->state == EXEC_GATHERING)
		wbi_plain_leave(plain);
}

static void exec_done(struct wbi_plain *plain)
{
	struct exec_conn *exec = exec_of(plain);

	wbi_plain_trail_left(&exec->trail);
	call_free(exec->call);
	wbi_buf_done(&exec->command);
	free(exec);
}

static const struct wbi_plain_ops exec_ops = {
	.input = exec_input,
	.end = exec_end,
	.writable = exec_writable,
	.hung_up = exec_hung_up,
	.expired = exec_expired,
	.drain = exec_drain,
	.done = exec_done,
};

static enum wb_err exec_accept(struct wbi_service_env *env, int fd,
			       const struct wbi_plain_caller *caller,
			       enum wbi_reply_framing framing, struct wb_fault *fault)
{
	struct exec_conn *exec = calloc(1, sizeof(*exec));
	enum wb_err err;

	if (!exec)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "no memory for a connection");
	exec->env = env;
	exec->trail = (struct wbi_plain_trail){.audit = &env->audit, .caller = *caller};
	exec->framing = framing;
	wbi_buf_init(&exec->command, (size_t)env->limits->command_bytes + 1);
	err = wbi_plain_init(&exec->plain, &env->plain, &exec_ops, fd, fault);
	if (err)
		free(exec);
	return err;
}

enum wb_err wbi_exec_length_accept(struct wbi_service_env *env, int fd,
				   const struct wbi_plain_caller *caller, struct wb_fault *fault)
{
	return exec_accept(env, fd, caller, WBI_REPLY_LENGTH, fault);
}

enum wb_err wbi_exec_header_accept(struct wbi_service_env *env, int fd,
				   const struct wbi_plain_caller *caller, struct wb_fault *fault)
{
	return exec_accept(env, fd, caller, WBI_REPLY_HEADER, fault);
}
