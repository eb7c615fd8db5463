/* waybill serve: the daemon. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/server.h"
#include "cli/opt.h"
#include "sys/fd.h"
#include "sys/notify.h"

/* What the options set: one daemon a process, so one record, and a table that points into it. */
static struct {
	struct wbi_opt_list listen, allow_uid;
	bool insecure_plain;
	uint64_t max_connections, max_commands, max_output, max_spool;
	const char *spool_folder;
} options;

static const struct wbi_opt table[] = {
	{'l', "listen", WBI_OPT_LIST, "URI", "serve at SERVICE+TRANSPORT://ADDRESS (repeatable)",
	 &options.listen, 0, 0},
	{0, "allow-uid", WBI_OPT_LIST, "UID", "another user who may call (repeatable)",
	 &options.allow_uid, 0, 0},
	{0, "insecure-plain", WBI_OPT_FLAG, NULL, "listen beyond loopback and serve everybody",
	 &options.insecure_plain, 0, 0},
	{0, "max-connections", WBI_OPT_INTEGER, "N", "connections open at once",
	 &options.max_connections, 1, 1000000},
	{0, "max-commands", WBI_OPT_INTEGER, "N", "commands running at once", &options.max_commands,
	 1, 100000},
	{0, "max-output", WBI_OPT_BYTES, "BYTES", "output of one command; past it, it is killed",
	 &options.max_output, 1, INT32_MAX},
	{0, "max-spool", WBI_OPT_BYTES, "BYTES", "output of all commands together",
	 &options.max_spool, 1, UINT64_C(1) << 50},
	{0, "spool", WBI_OPT_TEXT, "FOLDER", "for output that outgrows memory ($TMPDIR, /tmp)",
	 &options.spool_folder, 0, 0},
	{0},
};

enum { EXIT_USAGE = 2 };

static int fail(const char *what, const struct wb_fault *fault)
{
	fprintf(stderr, "waybill serve: %s: %s\n", what, fault->text);
	return EXIT_FAILURE;
}

static bool parse_uid(const char *text, uid_t *ret_uid)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	/* (uid_t)-1 means "no uid" to the kernel. */
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || value >= (uid_t)-1)
		return false;
	*ret_uid = (uid_t)value;
	return true;
}

static int listen_all(struct wbi_server *server)
{
	char real[WBI_URI_TEXT_MAX];
	struct wb_fault fault;

	for (unsigned i = 0; i < options.listen.count; i++) {
		struct wbi_uri uri;

		if (wbi_uri_parse(options.listen.values[i], &uri, &fault) != WB_OK ||
		    wbi_server_listen(server, &uri, real, &fault) != WB_OK)
			return fail(options.listen.values[i], &fault);
		fprintf(stderr, "listening %s\n", real);
	}
	return EXIT_SUCCESS;
}

/* The name that the service manager gave a socket (FileDescriptorName=) says what it serves. */
static int adopt_all(struct wbi_server *server, const struct wbi_inherited *sockets, unsigned count)
{
	char real[WBI_URI_TEXT_MAX];
	struct wb_fault fault;

	for (unsigned i = 0; i < count; i++) {
		int fd = sockets[i].fd;

		if (wbi_server_adopt(server, fd, sockets[i].name, real, &fault) != WB_OK) {
			wbi_fd_close(&fd);
			return fail(sockets[i].name[0] != '\0' ? sockets[i].name : "LISTEN_FDS",
				    &fault);
		}
		fprintf(stderr, "listening %s\n", real);
	}
	return EXIT_SUCCESS;
}

static int serve(const struct wbi_server_options *server_options)
{
	struct wbi_inherited sockets[WBI_INHERITED_MAX];
	struct wbi_server *server = NULL;
	struct wb_fault fault;
	unsigned count = 0;
	int manager = -1, code;

	if (wbi_notify_inherited(sockets, &count, &fault) != WB_OK)
		return fail("inherited sockets", &fault);
	if (count == 0 && options.listen.count == 0) {
		fprintf(stderr,
			"waybill serve: nothing to listen on: give at least one --listen URI, "
			"such as --listen exec-header+tcp://127.0.0.1:8086\n");
		return EXIT_USAGE;
	}
	manager = wbi_notify_open();
	if (wbi_server_new(server_options, &server, &fault) != WB_OK) {
		code = fail("start", &fault);
		goto out;
	}
	code = adopt_all(server, sockets, count);
	if (code == EXIT_SUCCESS)
		code = listen_all(server);
	if (code != EXIT_SUCCESS)
		goto out;
	wbi_notify_send(manager, "READY=1");
	if (wbi_server_run(server, &fault) != WB_OK)
		code = fail("run", &fault);
	wbi_notify_send(manager, "STOPPING=1");
out:
	wbi_server_free(server);
	wbi_fd_close(&manager);
	return code;
}

/* What a parent may have left us. An ignored SIGCHLD would make the kernel drop every outcome; a
 * write to a closed pipe or past a file size limit is to be an error, not the daemon's end. */
static void set_signals(void)
{
	const struct sigaction usual = {.sa_handler = SIG_DFL}, ignored = {.sa_handler = SIG_IGN};

	sigaction(SIGCHLD, &usual, NULL);
	sigaction(SIGPIPE, &ignored, NULL);
	sigaction(SIGXFSZ, &ignored, NULL);
}

/* ret_uids: room for WBI_OPT_LIST_MAX. */
static bool parse_uids(uid_t *ret_uids)
{
	for (unsigned i = 0; i < options.allow_uid.count; i++)
		if (!parse_uid(options.allow_uid.values[i], &ret_uids[i])) {
			fprintf(stderr, "waybill serve: --allow-uid: a uid is a number, as `id -u` "
					"prints\n");
			return false;
		}
	return true;
}

static void set_defaults(void)
{
	const char *folder = getenv("TMPDIR");

	options.max_connections = wb_limits_default.connections;
	options.max_commands = wb_limits_default.commands;
	options.max_output = wb_limits_default.output_bytes;
	options.max_spool = wb_limits_default.spool_bytes;
	options.spool_folder = folder != NULL && folder[0] != '\0' ? folder : "/tmp";
}

static int run_serve(const struct wbi_command *command, int argc, char **argv)
{
	uid_t uids[WBI_OPT_LIST_MAX];
	struct wbi_server_options server_options = {.limits = wb_limits_default};
	struct wb_limits *limits = &server_options.limits;
	int operands;

	set_signals();
	set_defaults();
	switch (wbi_opt_parse(command, table, false, argc, argv, &operands)) {
	case WBI_OPT_HELP_SHOWN:
		return EXIT_SUCCESS;
	case WBI_OPT_WRONG:
		return EXIT_USAGE;
	case WBI_OPT_GO:
		break;
	}
	if (operands < argc) {
		fprintf(stderr,
			"waybill serve: unexpected operand; give addresses as --listen URI\n");
		return EXIT_USAGE;
	}
	if (!parse_uids(uids))
		return EXIT_USAGE;
	limits->connections = (uint32_t)options.max_connections;
	limits->commands = (uint32_t)options.max_commands;
	limits->output_bytes = options.max_output;
	limits->spool_bytes = options.max_spool;
	server_options.insecure_plain = options.insecure_plain;
	server_options.allowed_uids = uids;
	server_options.allowed_uid_count = options.allow_uid.count;
	server_options.spool_folder = options.spool_folder;
	return serve(&server_options);
}

const struct wbi_command wbi_command_serve = {
	.name = "serve",
	.summary = "run the daemon",
	.usage = "serve --listen URI [options]",
	.details =
		"Services: upper+tcp, upper+udp, exec-length+tcp, exec-header+tcp. Port 0 lets "
		"the\n"
		"kernel choose; \"listening URI\" on stderr tells the real one. These services "
		"have\n"
		"no keys: they listen on loopback only, and the kernel is asked who opened each\n"
		"connection; only the daemon's own user may call unless --allow-uid says so.\n"
		"SIGTERM or SIGINT lets what is under way finish; a second one ends at once.\n"
		"Sockets from a service manager are taken; FileDescriptorName= says what each\n"
		"serves (upper, exec-length, exec-header).\n",
	.run = run_serve,
};
