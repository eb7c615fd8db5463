/* waybill exec: one command on a daemon, as if it ran here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/opt.h"
#include "cli/pass.h"
#include "cli/reach.h"
#include "cli/terminal.h"
#include "waybill/client.h"

static struct {
	bool no_input, terminal;
	const char *shell, *cwd, *key, *on_disconnect, *result_path;
	struct wbi_opt_list env;
	uint64_t timeout_ms;
} options;

static const struct wbi_opt table[] = {
	{'n', "no-stdin", WBI_OPT_FLAG, NULL, "stdin is /dev/null; ours is left alone",
	 &options.no_input, 0, 0},
	{'t', "tty", WBI_OPT_FLAG, NULL, "run it on a terminal, for vim, top and the like",
	 &options.terminal, 0, 0},
	{0, "shell", WBI_OPT_TEXT, "LINE", "give LINE to the user's shell instead of ARGV",
	 &options.shell, 0, 0},
	{0, "cwd", WBI_OPT_TEXT, "DIR", "run it in DIR (the user's home)", &options.cwd, 0, 0},
	{'e', "env", WBI_OPT_LIST, "NAME=VALUE", "add to its environment (repeatable)",
	 &options.env, 0, 0},
	{0, "timeout", WBI_OPT_DURATION, "DURATION", "end it after this long; exit code 124",
	 &options.timeout_ms, 1, WBI_LONG_MS},
	{0, "key", WBI_OPT_TEXT, "NAME",
	 "a name for this request: sent again, it starts nothing new and brings the same outcome",
	 &options.key, 0, 0},
	{0, "on-disconnect", WBI_OPT_TEXT, "POLICY",
	 "without a connection, the command is ended (kill), kept for so long (hold=60s), or goes "
	 "on "
	 "by itself (detach; see 'waybill attach')",
	 &options.on_disconnect, 0, 0},
	{0, "result", WBI_OPT_TEXT, "FILE", "write the outcome to FILE, as one line of JSON",
	 &options.result_path, 0, 0},
	WBI_REACH_ROWS,
	{0},
};

static int wrong_policy(const char *text)
{
	return wbi_opt_wrong(&wbi_command_exec,
			     "--on-disconnect: '%s': give kill, hold=DURATION or detach", text);
}

/* Returns 0, or an exit code. */
static int parse_policy(struct wb_exec *exec)
{
	const char *text = options.on_disconnect;

	if (!text)
		return 0;
	if (strcmp(text, "kill") == 0)
		exec->on_disconnect = WB_DISCONNECT_KILL;
	else if (strcmp(text, "detach") == 0)
		exec->on_disconnect = WB_DISCONNECT_DETACH;
	else if (strncmp(text, "hold=", 5) == 0 && wbi_opt_duration(text + 5, &exec->hold_ms) &&
		 exec->hold_ms > 0 && exec->hold_ms <= WBI_LONG_MS)
		exec->on_disconnect = WB_DISCONNECT_HOLD;
	else
		return wrong_policy(text);
	return 0;
}

static int check_env(void)
{
	for (unsigned i = 0; i < options.env.count; i++) {
		const char *entry = options.env.values[i];

		if (!strchr(entry, '=') || entry[0] == '=')
			return wbi_opt_wrong(&wbi_command_exec, "--env: '%s': give NAME=VALUE",
					     entry);
	}
	return 0;
}

static enum wb_err open_exec(struct wb_client *client, const struct wb_call_callbacks *callbacks,
			     void *context, struct wb_call **ret_call, struct wb_fault *fault,
			     void *asked)
{
	return wb_client_exec(client, asked, callbacks, context, ret_call, fault);
}

/* Options may stand before DEST and behind it, up to the command or `--`. */
static enum wbi_opt_result parse(int *argc, char ***argv, int *ret_first)
{
	int operands;
	enum wbi_opt_result result =
		wbi_opt_parse(&wbi_command_exec, table, true, *argc, *argv, &operands);

	if (result != WBI_OPT_GO)
		return result;
	if (operands == *argc) {
		wbi_opt_wrong(&wbi_command_exec, "no destination: give local, HOST, or a URI such "
						 "as unix:///path");
		return WBI_OPT_WRONG;
	}
	*argc -= operands;
	*argv += operands;
	return wbi_opt_parse(&wbi_command_exec, table, true, *argc, *argv, ret_first);
}

/* The command: what follows DEST, or the shell's line. Returns 0, or an exit code. */
static int choose_command(char **rest, const char *line[2], struct wb_exec *exec)
{
	if (options.shell && rest[0])
		return wbi_opt_wrong(&wbi_command_exec, "--shell has the command; '%s' is one more",
				     rest[0]);
	if (!options.shell && !rest[0])
		return wbi_opt_wrong(&wbi_command_exec, "no command");
	line[0] = options.shell;
	exec->shell = options.shell != NULL;
	exec->argv = options.shell ? line : (const char *const *)rest;
	return 0;
}

static void fill_exec(struct wb_exec *exec)
{
	static const char *env[WBI_OPT_LIST_MAX + 1]; /* the list has no end of its own */

	memcpy(env, options.env.values, options.env.count * sizeof(env[0]));
	exec->env = env;
	exec->cwd = options.cwd;
	exec->no_input = options.no_input;
	exec->pty = options.terminal;
	exec->term = getenv("TERM");
	exec->timeout_ms = options.timeout_ms;
	exec->key = options.key;
	if (exec->pty)
		wbi_terminal_size(&exec->rows, &exec->cols);
}

static int run_exec(const struct wbi_command *command, int argc, char **argv)
{
	struct wb_exec exec = {0};
	struct wbi_pass_options pass = {.command = command, .open = open_exec, .asked = &exec};
	const char *line[2] = {NULL, NULL};
	int first, code;

	wbi_reach_init();
	switch (parse(&argc, &argv, &first)) {
	case WBI_OPT_HELP_SHOWN:
		return EXIT_SUCCESS;
	case WBI_OPT_WRONG:
		return WBI_EXIT_USAGE;
	case WBI_OPT_GO:
		break;
	}
	code = choose_command(argv + first, line, &exec);
	if (!code)
		code = parse_policy(&exec);
	if (!code)
		code = check_env();
	if (code)
		return code;
	fill_exec(&exec);
	pass.no_input = options.no_input;
	pass.result_path = options.result_path;
	wbi_reach_client(argv[0], &pass.client);
	/* So long the daemon holds this one. */
	if (pass.client.retry_ms == WB_RETRY_AS_HELD && exec.on_disconnect == WB_DISCONNECT_HOLD)
		pass.client.retry_ms = exec.hold_ms;
	return wbi_pass_run(&pass);
}

const struct wbi_command wbi_command_exec = {
	.name = "exec",
	.summary = "run a command, its arguments kept exact",
	.usage = "exec [options] DEST [--] COMMAND [ARGUMENT]...",
	.details =
		"DEST is [user@]host[:port] (over TLS, port 9292), unix:///path, tcp://host:port "
		"(loopback), or local, the user's own daemon at $XDG_RUNTIME_DIR/waybill.sock. No "
		"shell sees the command unless --shell says so.\n"
		"\n"
		"Over TLS the keys that ssh uses are found by themselves. A host that nobody knows "
		"yet is asked about on a terminal; elsewhere it is refused, with the 'waybill "
		"trust' "
		"command that would trust it. One whose key has changed is always refused.\n"
		"\n"
		"stdin, stdout and stderr are passed through, each with an end of its own. INT, "
		"TERM, "
		"HUP and QUIT go to the command, unless they were ignored when exec started. With "
		"-t "
		"the command has a terminal: keys go to it unread, and a change of the window's "
		"size is "
		"told. ^Z (without -t) stops exec and leaves the command running; the daemon "
		"waits.\n"
		"\n"
		"A connection that breaks is made again, and everything goes on where it was: no "
		"byte "
		"twice, no command twice.\n"
		"\n"
		"Exit code: the command's own; 128+n where signal n ended it; 124 after --timeout; "
		"127 "
		"where there is no such command and 126 where it cannot be run; 255 where the "
		"outcome "
		"could not be brought: one line on stderr says why, and --result tells "
		"\"refused\", "
		"\"failed\" and \"lost\" apart.\n"
		"\n"
		"  waybill exec local -- ls -l /\n"
		"  waybill exec me@far.example -- uname -a\n"
		"  tar c . | waybill exec local --cwd /srv/copy -- tar x\n"
		"  waybill exec -t local -- vim notes\n"
		"  waybill exec --shell 'ps aux | grep [s]erve' local",
	.run = run_exec,
};
