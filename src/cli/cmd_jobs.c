/* waybill jobs, attach, kill: commands that outlive a client. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/job_table.h"
#include "cli/opt.h"
#include "cli/outcome.h"
#include "cli/pass.h"
#include "cli/reach.h"
#include "cli/terminal.h"
#include "sys/fd.h"
#include "sys/signal_name.h"
#include "waybill/client.h"
#include "waybill/header.h"

enum {
	LIST_BYTES_MAX = 64 << 20,
	SIGNAL_NAME_MAX = 16,
	JOBS_MAX = 200 /* within the calls of one session */
};

/* ---- one short call after another ---- */

struct talk {
	const struct wbi_command *command;
	struct wb_client *client;
	struct wbi_buf output;
	unsigned calls; /* that have not ended */
	bool failed;
	bool unreached; /* because of the connection, or of who is at either end of it */
};

/* One of its calls, and what to call it when it fails. */
struct errand {
	struct talk *talk;
	const char *name;
};

static size_t on_output(struct wb_call *call, unsigned stream, const void *data, size_t bytes,
			void *context)
{
	struct talk *talk = ((struct errand *)context)->talk;

	(void)stream;
	if (wbi_buf_append(&talk->output, data, bytes) != WB_OK) {
		talk->failed = true;
		wb_call_cancel(call);
	}
	return bytes;
}

static void on_ended(struct wb_call *call, const struct wb_result *result, void *context)
{
	const struct errand *errand = context;
	struct talk *talk = errand->talk;

	(void)call;
	if (wbi_outcome_code(result) != 0) {
		talk->failed = true;
		talk->unreached = talk->unreached || result->outcome == WB_OUTCOME_LOST ||
				  !wb_client_is_connected(talk->client);
		wbi_outcome_explain(talk->command, errand->name, result);
	}
	if (--talk->calls == 0)
		wb_client_close(talk->client);
}

static const struct wb_call_callbacks callbacks = {.output = on_output, .ended = on_ended};

static int fail(const struct talk *talk, const struct wb_fault *fault)
{
	fprintf(stderr, "waybill %s: %s\n", talk->command->name, fault->text);
	return WBI_EXIT_NO_OUTCOME;
}

/* Until every call has ended and the daemon was left. Returns an exit code. */
static int drive(struct talk *talk)
{
	struct wb_fault fault;

	while (!wb_client_is_closed(talk->client)) {
		struct pollfd fd = {wb_client_fd(talk->client), wb_client_events(talk->client), 0};

		if (poll(&fd, 1, wb_client_timeout_ms(talk->client)) < 0 && errno != EINTR) {
			wb_fault_set(&fault, WB_ERR_SYSTEM, NULL, 0, "poll: %m");
			return fail(talk, &fault);
		}
		wb_client_process(talk->client, fd.revents);
	}
	if (talk->unreached)
		return WBI_EXIT_NO_OUTCOME;
	return talk->failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static enum wb_err begin(struct talk *talk, const struct wbi_command *command,
			 const char *destination, struct wb_fault *fault)
{
	struct wb_client_options options;

	*talk = (struct talk){.command = command};
	wbi_buf_init(&talk->output, LIST_BYTES_MAX);
	wbi_reach_client(destination, &options);
	return wb_client_new(&options, &talk->client, fault);
}

static void finish(struct talk *talk)
{
	wb_client_free(talk->client);
	wbi_buf_done(&talk->output);
}

/* Parses; true where the command is to run. Otherwise *ret_code is what to exit with. */
static bool parse(const struct wbi_command *command, const struct wbi_opt *table, int argc,
		  char **argv, int *ret_first, int *ret_code)
{
	wbi_reach_init();
	switch (wbi_opt_parse(command, table, false, argc, argv, ret_first)) {
	case WBI_OPT_HELP_SHOWN:
		*ret_code = EXIT_SUCCESS;
		return false;
	case WBI_OPT_WRONG:
		*ret_code = WBI_EXIT_USAGE;
		return false;
	case WBI_OPT_GO:
		break;
	}
	return true;
}

static bool parse_job(const char *text, uint64_t *ret_job)
{
	char *end;
	unsigned long long job = strtoull(text, &end, 10);

	if (text[0] < '1' || text[0] > '9' || *end != '\0' || job > WB_INTEGER_MAX)
		return false;
	*ret_job = job;
	return true;
}

/* ---- jobs ---- */

static bool jobs_as_json;

static const struct wbi_opt jobs_table[] = {
	{0, "json", WBI_OPT_FLAG, NULL, "one JSON object a line", &jobs_as_json, 0, 0},
	WBI_REACH_ROWS,
	{0},
};

static int print_jobs(const struct talk *talk)
{
	struct wbi_slice list = wbi_buf_peek(&talk->output);
	uint16_t rows, width = 0;

	if (list.bytes > 0 && wbi_fd_was_closed(STDOUT_FILENO)) {
		fprintf(stderr, "waybill jobs: stdout: is closed\n");
		return EXIT_FAILURE;
	}
	if (jobs_as_json) {
		if (list.bytes > 0)
			fwrite(list.data, 1, list.bytes, stdout);
		return EXIT_SUCCESS;
	}
	if (isatty(STDOUT_FILENO))
		wbi_terminal_size(&rows, &width);
	if (wbi_job_table_print(list, width))
		return EXIT_SUCCESS;
	fprintf(stderr, "waybill jobs: the daemon's list cannot be read\n");
	return EXIT_FAILURE;
}

static int run_jobs(const struct wbi_command *command, int argc, char **argv)
{
	struct talk talk;
	struct errand errand = {&talk, NULL};
	struct wb_call *call;
	struct wb_fault fault;
	int first, code;
	enum wb_err err;

	if (!parse(command, jobs_table, argc, argv, &first, &code))
		return code;
	if (argc - first != 1)
		return wbi_opt_wrong(command, "give one destination");
	errand.name = argv[first];
	err = begin(&talk, command, argv[first], &fault);
	if (!err)
		err = wb_client_jobs(talk.client, &callbacks, &errand, &call, &fault);
	talk.calls = 1;
	code = err ? fail(&talk, &fault) : drive(&talk);
	if (code == EXIT_SUCCESS)
		code = print_jobs(&talk);
	finish(&talk);
	return code;
}

const struct wbi_command wbi_command_jobs = {
	.name = "jobs",
	.summary = "list the commands that a daemon runs or keeps",
	.usage = "jobs [options] DEST",
	.details =
		"One line each, in columns that tabs part (on a terminal, blanks): number, status, "
		"age in seconds, bytes of stdout and of stderr so far, pid, client, command. "
		"\"held\" lost its client, who may come back; \"detached\" runs by itself; "
		"\"ended\" has an outcome that nobody has fetched.\n",
	.run = run_jobs,
};

/* ---- attach ---- */

static struct {
	bool no_input;
	const char *from, *result_path;
} attach;

static const struct wbi_opt attach_table[] = {
	{'n', "no-stdin", WBI_OPT_FLAG, NULL, "leave stdin alone", &attach.no_input, 0, 0},
	{0, "from", WBI_OPT_TEXT, "WHERE",
	 "where output begins: \"left\", behind what a client is known to have had (default), or "
	 "\"start\", as far as it is still kept",
	 &attach.from, 0, 0},
	{0, "result", WBI_OPT_TEXT, "FILE", "write the outcome to FILE, as one line of JSON",
	 &attach.result_path, 0, 0},
	WBI_REACH_ROWS,
	{0},
};

static enum wb_err open_attach(struct wb_client *client, const struct wb_call_callbacks *events,
			       void *context, struct wb_call **ret_call, struct wb_fault *fault,
			       void *asked)
{
	return wb_client_attach(client, asked, events, context, ret_call, fault);
}

static int run_attach(const struct wbi_command *command, int argc, char **argv)
{
	struct wb_attach asked = {0};
	struct wbi_pass_options pass = {.command = command, .open = open_attach, .asked = &asked};
	int first, code;

	attach.from = "left";
	if (!parse(command, attach_table, argc, argv, &first, &code))
		return code;
	if (argc - first != 2)
		return wbi_opt_wrong(command, "give a destination and the number of a job");
	if (!parse_job(argv[first + 1], &asked.job))
		return wbi_opt_wrong(command, "'%s' is no job's number; see 'waybill jobs %s'",
				     argv[first + 1], argv[first]);
	asked.from_start = strcmp(attach.from, "start") == 0;
	if (!asked.from_start && strcmp(attach.from, "left") != 0)
		return wbi_opt_wrong(command, "--from: '%s': give left or start", attach.from);
	asked.no_input = pass.no_input = attach.no_input;
	pass.result_path = attach.result_path;
	wbi_reach_client(argv[first], &pass.client);
	return wbi_pass_run(&pass);
}

const struct wbi_command wbi_command_attach = {
	.name = "attach",
	.summary = "go on with a command that was detached or lost its client",
	.usage = "attach [options] DEST JOB",
	.details = "Shows its output and passes stdin, signals and the terminal as exec does, and "
		   "exits "
		   "as exec would have. JOB is a number that 'waybill jobs' lists.\n",
	.run = run_attach,
};

/* ---- kill ---- */

static const char *kill_signal;

static const struct wbi_opt kill_table[] = {
	{'s', "signal", WBI_OPT_TEXT, "SIGNAL",
	 "send only this, by name or number (HUP, then TERM, then KILL, until it has ended)",
	 &kill_signal, 0, 0},
	WBI_REACH_ROWS,
	{0},
};

/* "SIGTERM" and "15" become "TERM". False: there is no such signal. */
static bool parse_signal(const char *text, char out[SIGNAL_NAME_MAX])
{
	char *end;
	long number = strtol(text, &end, 10);

	if (*end == '\0' && number > 0 && number <= SIGRTMAX) {
		wbi_signal_name((int)number, out, SIGNAL_NAME_MAX);
		return true;
	}
	snprintf(out, SIGNAL_NAME_MAX, "%s", strncmp(text, "SIG", 3) == 0 ? text + 3 : text);
	return wbi_signal_number(out) > 0;
}

static enum wb_err kill_all(struct talk *talk, char **jobs, struct errand *errands, int count,
			    const char *name, struct wb_fault *fault)
{
	enum wb_err err = WB_OK;

	for (int i = 0; !err && i < count; i++) {
		struct wb_call *call;
		uint64_t job = strtoull(jobs[i], NULL, 10);

		errands[i] = (struct errand){talk, jobs[i]};
		err = wb_client_kill(talk->client, job, name, &callbacks, &errands[i], &call,
				     fault);
		talk->calls += !err;
	}
	return err;
}

static int run_kill(const struct wbi_command *command, int argc, char **argv)
{
	struct talk talk;
	struct wb_fault fault;
	struct errand errands[JOBS_MAX];
	char name[SIGNAL_NAME_MAX];
	uint64_t job;
	int first, code;
	enum wb_err err;

	if (!parse(command, kill_table, argc, argv, &first, &code))
		return code;
	if (argc - first < 2 || argc - first - 1 > JOBS_MAX)
		return wbi_opt_wrong(command, "give a destination and the numbers of 1 to %d jobs",
				     JOBS_MAX);
	for (int i = first + 1; i < argc; i++)
		if (!parse_job(argv[i], &job))
			return wbi_opt_wrong(command, "'%s' is no job's number", argv[i]);
	if (kill_signal && !parse_signal(kill_signal, name))
		return wbi_opt_wrong(command, "--signal: '%s': there is no such signal",
				     kill_signal);
	err = begin(&talk, command, argv[first], &fault);
	if (!err)
		err = kill_all(&talk, argv + first + 1, errands, argc - first - 1,
			       kill_signal ? name : NULL, &fault);
	code = err ? fail(&talk, &fault) : drive(&talk);
	finish(&talk);
	return code;
}

const struct wbi_command wbi_command_kill = {
	.name = "kill",
	.summary = "end a command that a daemon runs",
	.usage = "kill [options] DEST JOB...",
	.details =
		"Ends everything that the command has started and that has not left its session. "
		"Exit code 0 where every JOB was there.\n",
	.run = run_kill,
};
