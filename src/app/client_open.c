/* What a client asks for: exec, attach, jobs, kill. */
#include <string.h>

#include "app/client.h"

/* argv, environment and cwd are bytes, not text, so they travel as NUL-terminated strings in the
 * payload. */
enum { ARGUMENT_BYTES_MAX = 1 << 20 };

enum { INPUT = 1 << 0, OUTPUTS = 1 << WB_STDOUT | 1 << WB_STDERR };

struct exec_fields {
	const struct wb_exec *exec;
	unsigned argc, envc;
};

static enum wb_err add_string(struct wbi_buf *payload, const char *text)
{
	return wbi_buf_append(payload, text, strlen(text) + 1);
}

static enum wb_err add_strings(struct wbi_buf *payload, const char *const *strings,
			       unsigned *ret_count)
{
	enum wb_err err = WB_OK;
	unsigned count = 0;

	while (!err && strings && strings[count])
		err = add_string(payload, strings[count++]);
	*ret_count = count;
	return err;
}

static enum wb_err build_payload(struct wbi_buf *payload, struct exec_fields *fields,
				 struct wb_fault *fault)
{
	const struct wb_exec *exec = fields->exec;
	enum wb_err err = add_strings(payload, exec->argv, &fields->argc);

	if (!err)
		err = add_strings(payload, exec->env, &fields->envc);
	if (!err && exec->cwd)
		err = add_string(payload, exec->cwd);
	if (err == WB_ERR_LIMIT)
		return wb_fault_set(fault, err, NULL, 0,
				    "exec: more than %d bytes of arguments and environment",
				    ARGUMENT_BYTES_MAX);
	return err ? wb_fault_set(fault, err, NULL, 0, "exec: no memory") : WB_OK;
}

static enum wb_err check_exec(const struct exec_fields *fields, struct wb_fault *fault)
{
	const struct wb_exec *exec = fields->exec;

	if (fields->argc == 0)
		return wb_fault_set(fault, WB_ERR_ARGUMENT, "argv", 0, "exec: no command");
	if (exec->shell && fields->argc > 1)
		return wb_fault_set(fault, WB_ERR_ARGUMENT, "argv", 0,
				    "exec: a shell takes one line, not several arguments");
	for (unsigned i = 0; i < fields->envc; i++)
		if (!strchr(exec->env[i], '=') || exec->env[i][0] == '=')
			return wb_fault_set(fault, WB_ERR_ARGUMENT, "env", 0,
					    "exec: an environment entry is NAME=value");
	return WB_OK;
}

/* ---- the header ---- */

static const char *disconnect_name(enum wb_on_disconnect policy)
{
	switch (policy) {
	case WB_DISCONNECT_KILL:
		return "kill";
	case WB_DISCONNECT_HOLD:
		return "hold";
	default:
		return "detach";
	}
}

static void put_pty(struct wb_header_writer *writer, const struct wb_exec *exec)
{
	wb_header_put_bool(writer, "pty", true);
	wb_header_put_integer(writer, "rows", exec->rows);
	wb_header_put_integer(writer, "cols", exec->cols);
	wb_header_put_string(writer, "term", exec->term ? exec->term : "dumb");
}

static void put_exec(struct wb_header_writer *writer, void *context)
{
	const struct exec_fields *fields = context;
	const struct wb_exec *exec = fields->exec;

	wb_header_put_integer(writer, "argc", fields->argc);
	wb_header_put_integer(writer, "envc", fields->envc);
	if (exec->cwd)
		wb_header_put_bool(writer, "cwd", true);
	if (exec->shell)
		wb_header_put_bool(writer, "shell", true);
	if (exec->pty)
		put_pty(writer, exec);
	if (exec->timeout_ms)
		wb_header_put_integer(writer, "timeout_ms", exec->timeout_ms);
	if (exec->on_disconnect)
		wb_header_put_string(writer, "on_disconnect", disconnect_name(exec->on_disconnect));
	if (exec->on_disconnect == WB_DISCONNECT_HOLD)
		wb_header_put_integer(writer, "hold_ms", exec->hold_ms);
}

/* What the daemon must understand, or refuse. `names` has room for all of it. */
static void list_critical(const struct wb_exec *exec, const char **names)
{
	if (exec->pty)
		*names++ = "pty";
	if (exec->shell)
		*names++ = "shell";
	if (exec->timeout_ms)
		*names++ = "timeout_ms";
	if (exec->on_disconnect)
		*names++ = "on_disconnect";
	*names = NULL;
}

enum wb_err wb_client_exec(struct wb_client *client, const struct wb_exec *exec,
			   const struct wb_call_callbacks *callbacks, void *context,
			   struct wb_call **ret_call, struct wb_fault *fault)
{
	struct exec_fields fields = {.exec = exec};
	const char *critical[5];
	struct wbi_open open = {
		.service = "exec",
		.key = exec->key,
		.up = exec->no_input ? 0 : INPUT,
		.down = exec->pty ? 1 << WB_STDOUT : OUTPUTS,
		.put_fields = put_exec,
		.context = &fields,
		.crit = critical,
	};
	struct wb_call *call;
	struct wbi_buf payload;
	enum wb_err err;

	list_critical(exec, critical);
	wbi_buf_init(&payload, ARGUMENT_BYTES_MAX);
	err = build_payload(&payload, &fields, fault);
	if (!err)
		err = check_exec(&fields, fault);
	open.payload = wbi_buf_peek(&payload);
	if (!err)
		err = wbi_client_open(client, &open, callbacks, context, &call, fault);
	wbi_buf_done(&payload);
	if (err)
		return err;
	call->pty = exec->pty;
	*ret_call = call;
	return WB_OK;
}

/* ---- jobs that run already ---- */

static void put_attach(struct wb_header_writer *writer, void *context)
{
	const struct wb_attach *attach = context;

	wb_header_put_integer(writer, "job", attach->job);
	wb_header_put_string(writer, "from", attach->from_start ? "start" : "left");
}

enum wb_err wb_client_attach(struct wb_client *client, const struct wb_attach *attach,
			     const struct wb_call_callbacks *callbacks, void *context,
			     struct wb_call **ret_call, struct wb_fault *fault)
{
	struct wb_attach copy = *attach;
	const struct wbi_open open = {
		.service = "attach",
		.up = attach->no_input ? 0 : INPUT,
		.down = OUTPUTS,
		.put_fields = put_attach,
		.context = &copy,
	};

	return wbi_client_open(client, &open, callbacks, context, ret_call, fault);
}

enum wb_err wb_client_jobs(struct wb_client *client, const struct wb_call_callbacks *callbacks,
			   void *context, struct wb_call **ret_call, struct wb_fault *fault)
{
	const struct wbi_open open = {.service = "jobs", .down = 1 << WB_STDOUT};

	return wbi_client_open(client, &open, callbacks, context, ret_call, fault);
}

struct kill_fields {
	uint64_t job;
	const char *signal;
};

static void put_kill(struct wb_header_writer *writer, void *context)
{
	const struct kill_fields *fields = context;

	wb_header_put_integer(writer, "job", fields->job);
	if (fields->signal)
		wb_header_put_string(writer, "signal", fields->signal);
}

enum wb_err wb_client_kill(struct wb_client *client, uint64_t job, const char *signal,
			   const struct wb_call_callbacks *callbacks, void *context,
			   struct wb_call **ret_call, struct wb_fault *fault)
{
	struct kill_fields fields = {job, signal};
	const struct wbi_open open = {
		.service = "kill",
		.put_fields = put_kill,
		.context = &fields,
	};

	return wbi_client_open(client, &open, callbacks, context, ret_call, fault);
}
