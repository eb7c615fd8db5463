/* Passing through: one call whose stdin, stdout, stderr, signals and terminal are ours, to its end.
 * What `exec` and `attach` have in common. */
#ifndef WBI_PASS_H
#define WBI_PASS_H

#include <signal.h>
#include <stdbool.h>

#include "cli/opt.h"
#include "cli/sink.h"
#include "waybill/client.h"

struct wbi_pass;

/* Opens the call: wb_client_exec or wb_client_attach, with the callbacks and context given. */
typedef enum wb_err wbi_pass_open_fn(struct wb_client *client,
				     const struct wb_call_callbacks *callbacks, void *context,
				     struct wb_call **ret_call, struct wb_fault *fault,
				     void *asked);

struct wbi_pass_options {
	const struct wbi_command *command;
	struct wb_client_options client; /* its callbacks are ours */
	const char *result_path;         /* NULL: none */
	bool no_input;
	wbi_pass_open_fn *open;
	void *asked;
};

/* Runs it, once in a process, which is to end then. Returns its exit code; what was wrong, and the
 * result file, have been written. */
int wbi_pass_run(const struct wbi_pass_options *options);

/* ---- inside: pass.c moves the bytes, pass_signal.c minds signals and the terminal ---- */

struct wbi_pass {
	const struct wbi_pass_options *options;
	struct wb_client *client;
	struct wb_call *call;
	struct wbi_sink sinks[WB_STDERR + 1]; /* by stream; stdin's is unused */
	bool blocked[WB_STDERR + 1];
	bool done[WB_STDERR + 1]; /* nothing more to write, or nobody to read it */
	bool write_failed;        /* and not for want of a reader */
	bool input_open;          /* stdin is to be read */
	bool input_is_terminal;
	bool opened, ended, abandoned;
	int abandon_signal;
	struct wb_result result;

	sigset_t taken; /* signals that come through signal_fd */
	int signal_fd;
};

/* Takes over the signals that are not ignored. Call before anything else. */
WB_WARN_UNUSED enum wb_err wbi_pass_take_signals(struct wbi_pass *pass, struct wb_fault *fault);

/* signal_fd is readable. */
void wbi_pass_on_signals(struct wbi_pass *pass);

/* Stops this process as `number` (SIGTSTP, SIGTTIN) would have, but in order: the daemon knows of
 * it and the terminal is as it was. Returns when it goes on. */
void wbi_pass_stop(struct wbi_pass *pass, int number);

/* A command with a terminal of its own gets ours, where we have one. */
void wbi_pass_enter_terminal(struct wbi_pass *pass);

/* One turn of the client alone: waits at most wait_ms. */
void wbi_pass_client_turn(struct wbi_pass *pass, int wait_ms);

#endif
