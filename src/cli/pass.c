/* Passing through: bytes, and the whole from beginning to end. */
#include "cli/pass.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/outcome.h"
#include "cli/terminal.h"
#include "sys/fd.h"

enum { PIECE_BYTES = 65536, SIGNAL_CODE = 128 };

/* ---- output ---- */

/* Nobody reads it any more, or it cannot be written: the command is to meet a closed pipe. */
static void sink_failed(struct wbi_pass *pass, unsigned stream, int error)
{
	pass->done[stream] = true;
	if (error != EPIPE && error != ECONNRESET && error != EIO) {
		pass->write_failed = true;
		if (stream != WB_STDERR)
			fprintf(stderr, "waybill %s: stdout: %s\n", pass->options->command->name,
				error == EBADF ? "is closed" : strerror(error));
	}
	wb_call_close_output(pass->call, stream);
}

static size_t on_output(struct wb_call *call, unsigned stream, const void *data, size_t bytes,
			void *context)
{
	struct wbi_pass *pass = context;
	size_t written = 0;

	(void)call;
	while (written < bytes && !pass->done[stream]) {
		ssize_t result = wbi_sink_write(&pass->sinks[stream], (const char *)data + written,
						bytes - written);

		if (result == -EAGAIN) {
			pass->blocked[stream] = true;
			return written;
		}
		if (result < 0)
			sink_failed(pass, stream, (int)-result);
		else
			written += (size_t)result;
	}
	return bytes;
}

/* Whoever reads our stdout learns now that the command's is at its end. The number stays taken. */
static void on_output_end(struct wb_call *call, unsigned stream, void *context)
{
	struct wbi_pass *pass = context;
	int null_fd;

	(void)call;
	pass->done[stream] = true;
	if (stream != WB_STDOUT)
		return;
	wbi_sink_close(&pass->sinks[stream]);
	null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null_fd >= 0)
		dup2(null_fd, STDOUT_FILENO);
	wbi_fd_close(&null_fd);
}

/* poll has something to say about an output. */
static void output_ready(struct wbi_pass *pass, unsigned stream, short ready)
{
	if (!ready || pass->done[stream])
		return;
	/* A write that waits finds out by itself, with the true reason. */
	if (!pass->blocked[stream]) {
		sink_failed(pass, stream, EPIPE);
		return;
	}
	pass->blocked[stream] = false;
	wb_call_pull(pass->call, stream);
}

/* ---- input ---- */

static void end_input(struct wbi_pass *pass)
{
	pass->input_open = false;
	wb_call_end_input(pass->call);
}

static void input_failed(struct wbi_pass *pass, int error)
{
	if (error == EAGAIN || error == EINTR)
		return;
	if (error != EIO) /* a terminal that is gone, or not ours any more: an end like any other */
		fprintf(stderr, "waybill %s: stdin: %s\n", pass->options->command->name,
			strerror(error));
	end_input(pass);
}

static void input_ready(struct wbi_pass *pass)
{
	static char piece[PIECE_BYTES];
	size_t room = wb_call_input_room(pass->call), taken = 0;
	ssize_t bytes;

	if (pass->input_is_terminal && !wbi_terminal_is_ours(STDIN_FILENO))
		wbi_pass_stop(pass, SIGTTIN);
	bytes = read(STDIN_FILENO, piece, room < sizeof(piece) ? room : sizeof(piece));
	if (bytes < 0)
		input_failed(pass, errno);
	else if (bytes == 0)
		end_input(pass);
	else if (wb_call_write(pass->call, piece, (size_t)bytes, &taken) == WB_ERR_NOMEM)
		input_failed(pass, ENOMEM);
}

/* ---- what the client tells ---- */

/* Only now is stdin touched: a command that cannot be started eats nothing. */
static void on_opened(struct wb_call *call, void *context)
{
	struct wbi_pass *pass = context;

	pass->opened = true;
	pass->input_is_terminal = isatty(STDIN_FILENO);
	pass->input_open = !pass->options->no_input && !wb_call_input_closed(call);
	/* Output may come in the same breath, and is to find the terminal as it needs it. Where we
	 * are in the background the rest of it has to wait until we may. */
	if (wb_call_is_pty(call) && pass->input_open && pass->input_is_terminal &&
	    wbi_terminal_is_ours(STDIN_FILENO) && wbi_terminal_raw(STDIN_FILENO, NULL))
		pass->input_is_terminal = false;
}

static void on_ended(struct wb_call *call, const struct wb_result *result, void *context)
{
	struct wbi_pass *pass = context;

	(void)call;
	pass->ended = true;
	pass->result = *result;
}

/* In raw mode a line ends with both. */
static void tell_person(const struct wbi_pass *pass, const char *text, const char *more)
{
	const char *end = wbi_terminal_is_raw() ? "\r\n" : "\n";

	if (isatty(STDERR_FILENO))
		fprintf(stderr, "%swaybill %s: %s%s%s", wbi_terminal_is_raw() ? end : "",
			pass->options->command->name, text, more, end);
}

static void on_connected(struct wb_client *client, bool resumed, void *context)
{
	(void)client;
	if (resumed)
		tell_person(context, "connected again", "");
}

static void on_disconnected(struct wb_client *client, const struct wb_fault *why, uint64_t retry_ms,
			    void *context)
{
	char more[64];

	(void)client;
	(void)why;
	snprintf(more, sizeof(more), ", trying again for %llu s; ^C gives up",
		 (unsigned long long)(retry_ms + 999) / 1000);
	tell_person(context, "the connection was lost", more);
}

static const struct wb_call_callbacks call_callbacks = {
	.opened = on_opened,
	.output = on_output,
	.output_end = on_output_end,
	.ended = on_ended,
};

static const struct wb_client_callbacks client_callbacks = {
	.connected = on_connected,
	.disconnected = on_disconnected,
};

/* ---- turns ---- */

void wbi_pass_client_turn(struct wbi_pass *pass, int wait_ms)
{
	struct pollfd fd = {wb_client_fd(pass->client), wb_client_events(pass->client), 0};
	int timeout_ms = wb_client_timeout_ms(pass->client);

	if (timeout_ms < 0 || timeout_ms > wait_ms)
		timeout_ms = wait_ms;
	if (poll(&fd, 1, timeout_ms) < 0)
		fd.revents = 0;
	wb_client_process(pass->client, fd.revents);
}

enum { CLIENT, SIGNALS, INPUT, OUTPUT, ERROR_OUTPUT, POLLED };

static int output_fd(const struct wbi_pass *pass, unsigned stream)
{
	return pass->opened && !pass->done[stream] ? pass->sinks[stream].own_fd : -1;
}

static bool wants_input(const struct wbi_pass *pass)
{
	return pass->input_open && wb_call_input_room(pass->call) > 0;
}

static enum wb_err turn(struct wbi_pass *pass, struct wb_fault *fault)
{
	struct pollfd fds[POLLED] = {
		[CLIENT] = {wb_client_fd(pass->client), wb_client_events(pass->client), 0},
		[SIGNALS] = {pass->signal_fd, POLLIN, 0},
		[INPUT] = {wants_input(pass) ? STDIN_FILENO : -1, POLLIN, 0},
	};

	/* Without POLLOUT, an output still tells when its reader has gone. */
	for (unsigned i = WB_STDOUT; i <= WB_STDERR; i++)
		fds[INPUT + i] = (struct pollfd){output_fd(pass, i),
						 pass->blocked[i] ? POLLOUT : (short)0, 0};
	if (poll(fds, POLLED, wb_client_timeout_ms(pass->client)) < 0) {
		if (errno == EINTR)
			return WB_OK;
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "poll: %m");
	}
	if (fds[SIGNALS].revents)
		wbi_pass_on_signals(pass);
	for (unsigned i = WB_STDOUT; i <= WB_STDERR; i++)
		output_ready(pass, i, fds[INPUT + i].revents);
	if (fds[INPUT].revents && wants_input(pass))
		input_ready(pass);
	wb_client_process(pass->client, fds[CLIENT].revents);
	return WB_OK;
}

/* Takes leave, so that the daemon keeps nothing for us. */
static void leave(struct wbi_pass *pass)
{
	enum { LEAVE_MS = 2000 };

	wb_client_close(pass->client);
	while (!wb_client_is_closed(pass->client))
		wbi_pass_client_turn(pass, LEAVE_MS);
}

static enum wb_err open_call(struct wbi_pass *pass, struct wb_fault *fault)
{
	const struct wbi_pass_options *options = pass->options;
	struct wb_client_options client = options->client;
	enum wb_err err;

	client.callbacks = &client_callbacks;
	client.context = pass;
	err = wb_client_new(&client, &pass->client, fault);

	if (!err)
		err = options->open(pass->client, &call_callbacks, pass, &pass->call, fault,
				    options->asked);
	return err;
}

static enum wb_err run(struct wbi_pass *pass, struct wb_fault *fault)
{
	bool entered = false;
	enum wb_err err = open_call(pass, fault);

	while (!err && !pass->ended && !pass->abandoned) {
		err = turn(pass, fault);
		if (!err && pass->opened && !entered) {
			entered = true;
			wbi_pass_enter_terminal(pass);
		}
	}
	if (!err && pass->ended)
		leave(pass);
	return err;
}

/* ---- from beginning to end ---- */

/* A closed 0, 1 or 2 would be given to the next file or socket that is opened. */
static void fill_standard(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
			return;
}

static int open_result(const struct wbi_pass_options *options, int *ret_fd)
{
	*ret_fd = -1;
	if (!options->result_path)
		return 0;
	*ret_fd = open(options->result_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (*ret_fd >= 0)
		return 0;
	return wbi_opt_wrong(options->command, "--result: %s: %s", options->result_path,
			     strerror(errno));
}

/* What went wrong before there was a call is an outcome too. */
static void result_of_fault(struct wb_result *result, enum wb_err err, const struct wb_fault *fault)
{
	*result = (struct wb_result){.outcome = err == WB_ERR_REFUSED ? WB_OUTCOME_REFUSED
								      : WB_OUTCOME_FAILED};
	snprintf(result->error, sizeof(result->error), "%s", wb_err_name(err));
	snprintf(result->text, sizeof(result->text), "%s", fault->text);
}

/* Its outcome stands, and we were told not to wait until somebody reads the rest of the output. */
static int abandon(struct wbi_pass *pass)
{
	const struct wb_result *result = pass->call ? wb_call_result(pass->call) : NULL;

	if (result)
		pass->result = *result;
	else
		pass->result.outcome = WB_OUTCOME_LOST;
	pass->result.complete = false;
	snprintf(pass->result.missing, sizeof(pass->result.missing), "output was not written");
	return SIGNAL_CODE + pass->abandon_signal;
}

static int conclude(struct wbi_pass *pass, int result_fd)
{
	const struct wbi_pass_options *options = pass->options;
	struct wb_fault fault;
	int code = pass->abandoned ? abandon(pass) : wbi_outcome_code(&pass->result);

	if (code == 0 && pass->write_failed)
		code = WBI_EXIT_NO_OUTCOME;
	wbi_terminal_restore();
	if (!pass->abandoned)
		wbi_outcome_explain(options->command, options->client.uri, &pass->result);
	if (result_fd >= 0 &&
	    wbi_outcome_write(result_fd, &pass->result, pass->call ? wb_call_job(pass->call) : 0,
			      &fault) != WB_OK) {
		fprintf(stderr, "waybill %s: --result: %s\n", options->command->name, fault.text);
		code = code ? code : WBI_EXIT_NO_OUTCOME;
	}
	return code;
}

/* The client is not freed: its memory goes with the process, and a connection of which no leave was
 * taken. To give all that back piece by piece costs a short command a fiftieth of its time. */
int wbi_pass_run(const struct wbi_pass_options *options)
{
	static struct wbi_pass pass; /* so that the client is still somebody's, to the very end */
	struct wb_fault fault;
	int result_fd, code;
	enum wb_err err;

	pass.options = options;
	fill_standard();
	code = open_result(options, &result_fd);
	if (code)
		return code;
	for (unsigned i = WB_STDOUT; i <= WB_STDERR; i++)
		wbi_sink_open(&pass.sinks[i], (int)i);
	err = wbi_pass_take_signals(&pass, &fault);
	if (!err)
		err = run(&pass, &fault);
	if (err)
		result_of_fault(&pass.result, err, &fault);
	code = conclude(&pass, result_fd);
	for (unsigned i = WB_STDOUT; i <= WB_STDERR; i++)
		wbi_sink_close(&pass.sinks[i]);
	wbi_fd_close(&pass.signal_fd);
	wbi_fd_close(&result_fd);
	return code;
}
