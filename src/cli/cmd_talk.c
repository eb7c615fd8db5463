/* waybill talk: lines to a plain service, and its replies. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/list.h"
#include "cli/lines.h"
#include "cli/opt.h"
#include "cli/recode.h"
#include "cli/show.h"
#include "cli/talk.h"
#include "service/service.h"
#include "sys/fd.h"
#include "transport/udp.h"
#include "waybill/limits.h"

enum {
	EXIT_NO_READER = 128 + SIGPIPE, /* as if the signal had ended us: what a filter does */
	DATAGRAM_MS = 2000,
	ENCODED_BYTES_MAX = 8 * WBI_LINES_PIECE_MAX, /* a piece, in any character set */
	TIMEOUT_MS_MAX = 24 * 3600 * 1000,
};

static const char prompt[] = ">>: ";

static const uint32_t datagram_bytes_max = WBI_UDP_PAYLOAD_MAX;

struct service {
	const char *name;
	enum wbi_transport transport;
	const uint32_t *line_bytes_max; /* NULL: a line may come in any number of pieces */
	wbi_talk_exchange_fn *exchange;
};

static const struct service services[] = {
	{"upper", WBI_TCP, NULL, wbi_talk_upper_tcp},
	{"upper", WBI_UDP, &datagram_bytes_max, wbi_talk_upper_udp},
	{"exec-length", WBI_TCP, &wb_limits_default.command_bytes, wbi_talk_exec_length},
	{"exec-header", WBI_TCP, &wb_limits_default.command_bytes, wbi_talk_exec_header},
};

static struct {
	const char *encoding;
	uint64_t timeout_ms;
	bool raw, verbose;
} options;

static const struct wbi_opt table[] = {
	{'e', "encoding", WBI_OPT_TEXT, "NAME",
	 "the server's character set (gbk, latin1, ...): replies are converted from it, and what "
	 "is typed into it",
	 &options.encoding, 0, 0},
	{0, "raw", WBI_OPT_FLAG, NULL, "pass control characters through to the terminal",
	 &options.raw, 0, 0},
	{'t', "timeout", WBI_OPT_DURATION, "DURATION",
	 "how long to wait for a datagram's reply (2s), or for the rest of a reply's head once it "
	 "has begun (10s)",
	 &options.timeout_ms, 1, TIMEOUT_MS_MAX},
	{'v', "verbose", WBI_OPT_FLAG, NULL,
	 "show the length and the header of each exec reply on stderr, as hex and text",
	 &options.verbose, 0, 0},
	{0},
};

/* All that a run of talk holds. */
struct session {
	const struct service *service;
	struct wbi_talk talk;
	struct wbi_show *show;
	struct wbi_lines *lines;
	bool interactive;

	/* what is sent, where it has to be converted */
	struct wbi_recode encode;
	struct wbi_filter collector;
	struct wbi_buf encoded;
	enum wb_err collect_err;
};

static void collect(struct wbi_filter *filter, const void *data, size_t bytes)
{
	struct session *session = WBI_CONTAINER(filter, struct session, collector);
	enum wb_err err = wbi_buf_append(&session->encoded, data, bytes);

	if (err)
		session->collect_err = err;
}

static void collect_finish(struct wbi_filter *filter)
{
	(void)filter;
}

/* Converts a piece in place: *piece then borrows session->encoded. first: a line begins. */
static enum wb_err encode_piece(struct session *session, bool first, struct wbi_line_piece *piece,
				struct wb_fault *fault)
{
	struct wbi_slice slice;

	if (!session->encode.open)
		return WB_OK;
	wbi_buf_reset(&session->encoded);
	if (first)
		wbi_recode_begin(&session->encode);
	wbi_filter_give(&session->encode.filter, piece->data, piece->bytes);
	if (piece->last)
		wbi_filter_finish(&session->encode.filter);
	if (session->collect_err)
		return wb_fault_set(fault, session->collect_err, NULL, 0, "line: no memory");
	if (session->encode.bad)
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0,
				    "line: it holds a character that %s does not have",
				    options.encoding);
	slice = wbi_buf_peek(&session->encoded);
	piece->data = slice.data;
	piece->bytes = slice.bytes;
	return WB_OK;
}

static enum wb_err check_length(const struct session *session, const struct wbi_line_piece *piece,
				struct wb_fault *fault)
{
	const uint32_t *most = session->service->line_bytes_max;

	if (!most || (piece->last && piece->bytes <= *most))
		return WB_OK;
	return wb_fault_set(
		fault, WB_ERR_ARGUMENT, NULL, 0,
		"line: longer than %" PRIu32 " bytes, the most that %s+%s takes at once", *most,
		session->service->name, session->service->transport == WBI_UDP ? "udp" : "tcp");
}

static enum wb_err send_piece(struct session *session, bool first, struct wbi_line_piece piece,
			      struct wb_fault *fault)
{
	enum wb_err err = check_length(session, &piece, fault);

	if (!err)
		err = encode_piece(session, first, &piece, fault);
	if (!err)
		err = check_length(session, &piece, fault);
	return err ? err : session->service->exchange(&session->talk, &piece, fault);
}

/* Says what went wrong, on a line of its own, and how to exit. */
static int fail(const struct session *session, const struct wb_fault *fault)
{
	if (session->show && wbi_show_abandoned(session->show))
		return EXIT_NO_READER;
	if (session->show && session->interactive && !wbi_show_at_line_start(session->show))
		fputc('\n', stderr);
	fprintf(stderr, "waybill talk: %s\n", fault->text);
	return fault->err == WB_ERR_ARGUMENT ? WBI_EXIT_USAGE : EXIT_FAILURE;
}

/* A reply that did not end its line must not share it with the prompt. */
static enum wb_err end_line(struct session *session, struct wb_fault *fault)
{
	if (!session->interactive || wbi_show_at_line_start(session->show))
		return WB_OK;
	return wbi_show_end(session->show, "\n", fault);
}

static int run_lines(struct session *session)
{
	struct wb_fault fault;
	bool first = true;

	for (;;) {
		struct wbi_line_piece piece;

		switch (wbi_lines_next(session->lines, &piece, &fault)) {
		case WBI_LINES_END:
			return EXIT_SUCCESS;
		case WBI_LINES_FAILED:
			return fail(session, &fault);
		case WBI_LINES_DROPPED:
			first = true;
			continue;
		case WBI_LINES_PIECE:
			break;
		}
		if (first && piece.last && piece.bytes == 0)
			continue;
		if (send_piece(session, first, piece, &fault) != WB_OK)
			return fail(session, &fault);
		if (piece.last && end_line(session, &fault) != WB_OK)
			return fail(session, &fault);
		first = piece.last;
	}
}

/* Opens what the run needs. */
static enum wb_err open_session(struct session *session, const struct wbi_uri *uri,
				struct wb_fault *fault)
{
	struct wbi_show_options show = {
		.fd = STDOUT_FILENO,
		.charset = wbi_charset_init(),
		.encoding = options.encoding,
		.raw = options.raw,
	};
	enum wb_err err = wbi_show_new(&show, &session->show, fault);

	session->talk.show = session->show;
	if (!err && options.encoding)
		err = wbi_recode_open(&session->encode, show.charset, options.encoding, true,
				      &session->collector, fault);
	if (!err)
		err = wbi_talk_connect(&session->talk, uri, fault);
	else if (err == WB_ERR_ARGUMENT)
		wb_fault_set(fault, err, NULL, 0, "--encoding: %s; 'iconv -l' lists the names",
			     fault->text);
	if (!err && wbi_lines_new(session->interactive ? prompt : NULL, &session->lines) != WB_OK)
		err = wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "no memory");
	return err;
}

static void close_session(struct session *session)
{
	wbi_lines_free(session->lines);
	wbi_fd_close(&session->talk.fd);
	wbi_recode_done(&session->encode);
	wbi_buf_done(&session->encoded);
	wbi_show_free(session->show);
}

/* EPIPE says the same, and to whoever wrote. */
static void ignore_pipe_signal(void)
{
	struct sigaction action = {.sa_handler = SIG_IGN};

	sigemptyset(&action.sa_mask);
	sigaction(SIGPIPE, &action, NULL);
}

static int talk_to(const struct service *service, const struct wbi_uri *uri)
{
	static struct session session;
	struct wb_fault fault;
	int code;

	session.service = service;
	session.talk.fd = -1;
	session.talk.verbose = options.verbose;
	session.talk.timeout_ms = options.timeout_ms;
	if (options.timeout_ms == 0)
		session.talk.timeout_ms =
			service->transport == WBI_UDP ? DATAGRAM_MS : wb_limits_default.header_ms;
	session.interactive = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	session.collector = (struct wbi_filter){collect, collect_finish, NULL};
	wbi_buf_init(&session.encoded, ENCODED_BYTES_MAX);
	ignore_pipe_signal();
	if (open_session(&session, uri, &fault) == WB_OK)
		code = run_lines(&session);
	else
		code = fail(&session, &fault);
	close_session(&session);
	return code;
}

static const struct service *find_service(const struct wbi_uri *uri)
{
	for (size_t i = 0; i < sizeof(services) / sizeof(*services); i++)
		if (strcmp(services[i].name, uri->service) == 0 &&
		    services[i].transport == uri->transport)
			return &services[i];
	return NULL;
}

static int run(const struct wbi_command *command, int argc, char **argv)
{
	const struct service *service;
	struct wb_fault fault;
	struct wbi_uri uri;
	int operands;

	switch (wbi_opt_parse(command, table, false, argc, argv, &operands)) {
	case WBI_OPT_HELP_SHOWN:
		return EXIT_SUCCESS;
	case WBI_OPT_WRONG:
		return WBI_EXIT_USAGE;
	case WBI_OPT_GO:
		break;
	}
	if (argc - operands != 1 || *argv[operands] == '\0')
		return wbi_opt_wrong(command, "give one URI, such as upper+tcp://127.0.0.1:8080");
	if (wbi_uri_parse(argv[operands], &uri, &fault) != WB_OK)
		return wbi_opt_wrong(command, "%s", fault.text);
	service = find_service(&uri);
	if (!service)
		return wbi_opt_wrong(command,
				     "%s: not a plain service: give upper+tcp://, upper+udp://, "
				     "exec-length+tcp:// or exec-header+tcp://",
				     argv[operands]);
	if (options.encoding && strchr(options.encoding, '/'))
		return wbi_opt_wrong(command, "--encoding: '%s' is not a character set",
				     options.encoding);
	if (!uri.has_port) {
		uri.port = wbi_service_find(service->name, service->transport)->default_port;
		uri.has_port = true;
	}
	return talk_to(service, &uri);
}

const struct wbi_command wbi_command_talk = {
	.name = "talk",
	.summary = "send lines to a plain service and show its replies",
	.usage = "talk [options] URI",
	.details =
		"Sends each line of its input and shows the reply before it sends the next. On a "
		"terminal it prompts '>>: ', edits lines and keeps their history; from a pipe it "
		"prompts nothing. Empty lines are skipped.\n"
		"\n"
		"  upper+tcp://HOST[:8080]        letters come back upper-cased\n"
		"  upper+udp://HOST[:8092]        the same, a datagram a line (65507 bytes)\n"
		"  exec-length+tcp://HOST[:8085]  runs the line as a shell command (64 KiB)\n"
		"  exec-header+tcp://HOST[:8086]  the same, with a JSON header and md5\n"
		"\n"
		"On a terminal, bytes of a reply that it would obey instead of show stand there "
		"as \\xNN. Into a pipe or a file go exactly the bytes that came.\n"
		"\n"
		"Exit code: 0 at the end of the input, 1 on a bad reply or a lost connection, 2 on "
		"a wrong command line or a line too long to send, 130 on ^C, 141 when nobody "
		"reads the output any more.",
	.run = run,
};
