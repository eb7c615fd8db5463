/* waybill serve: the daemon. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/server.h"
#include "base/text.h"
#include "cli/opt.h"
#include "cli/serve_keys.h"
#include "sys/fd.h"
#include "sys/notify.h"

/* What the options set: one daemon a process, so one record, and a table that points into it. */
static struct {
	struct wbi_opt_list listen, allow_uid, authorized_keys;
	const char *host_key, *user, *log;
	bool insecure_plain;
	uint64_t max_connections, max_commands, max_output, max_spool;
	uint64_t max_sessions, max_jobs, hold_ms;
	const char *spool_folder, *root, *cgroup;
	uint64_t max_transfers, max_put_bytes, max_put_files;
} options;

static const struct wbi_opt table[] = {
	{'l', "listen", WBI_OPT_LIST, "URI", "serve at SERVICE+TRANSPORT://ADDRESS (repeatable)",
	 &options.listen, 0, 0},
	{0, "allow-uid", WBI_OPT_LIST, "UID", "another user who may call (repeatable)",
	 &options.allow_uid, 0, 0},
	{0, "insecure-plain", WBI_OPT_FLAG, NULL, "listen beyond loopback and serve everybody",
	 &options.insecure_plain, 0, 0},
	{0, "host-key", WBI_OPT_TEXT, "FILE",
	 "for tls://: what the daemon proves itself with (~/.config/waybill/host_key)",
	 &options.host_key, 0, 0},
	{0, "authorized-keys", WBI_OPT_LIST, "FILE",
	 "whose keys are let in over tls:// (repeatable; ~/.config/waybill/authorized_keys and "
	 "~/.ssh/authorized_keys)",
	 &options.authorized_keys, 0, 0},
	{0, "user", WBI_OPT_TEXT, "NAME", "become NAME before anybody is listened to",
	 &options.user, 0, 0},
	{0, "log", WBI_OPT_TEXT, "FORMAT", "text, or json: an object a line", &options.log, 0, 0},
	{0, "max-connections", WBI_OPT_INTEGER, "N", "connections of plain services open at once",
	 &options.max_connections, 1, 1000000},
	{0, "max-commands", WBI_OPT_INTEGER, "N", "commands running at once", &options.max_commands,
	 1, 100000},
	{0, "max-output", WBI_OPT_BYTES, "BYTES", "output of one command; past it, it is killed",
	 &options.max_output, 1, INT32_MAX},
	{0, "max-spool", WBI_OPT_BYTES, "BYTES", "output of all commands together",
	 &options.max_spool, 1, UINT64_C(1) << 50},
	{0, "max-sessions", WBI_OPT_INTEGER, "N", "sessions, connected or held",
	 &options.max_sessions, 1, 1000000},
	{0, "max-jobs", WBI_OPT_INTEGER, "N", "jobs that run or wait to be collected",
	 &options.max_jobs, 1, 1000000},
	{0, "hold", WBI_OPT_DURATION, "DURATION",
	 "how long a session without a client is kept (60s)", &options.hold_ms, 1,
	 UINT64_C(7) * 24 * 3600 * 1000},
	{0, "spool", WBI_OPT_TEXT, "FOLDER", "for output that outgrows memory ($TMPDIR, /tmp)",
	 &options.spool_folder, 0, 0},
	{0, "root", WBI_OPT_TEXT, "FOLDER", "put and get stay beneath FOLDER, and call it \"/\"",
	 &options.root, 0, 0},
	{0, "cgroup", WBI_OPT_TEXT, "FOLDER",
	 "where commands get a cgroup each: a folder; auto (our own, where delegated); none",
	 &options.cgroup, 0, 0},
	{0, "max-transfers", WBI_OPT_INTEGER, "N", "puts and gets at one time",
	 &options.max_transfers, 1, 10000},
	{0, "max-put-bytes", WBI_OPT_BYTES, "BYTES", "that one put may bring",
	 &options.max_put_bytes, 0, UINT64_MAX},
	{0, "max-put-files", WBI_OPT_INTEGER, "N",
	 "files, folders and links that one put may bring", &options.max_put_files, 0, UINT64_MAX},
	{0},
};

static int fail(const char *what, const struct wb_fault *fault)
{
	char shown[WBI_URI_TEXT_MAX];

	wbi_text_escape_message(what, shown, sizeof(shown));
	fprintf(stderr, "waybill serve: %s: %s\n", shown, fault->text);
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

static int listen_at(struct wbi_server *server, const char *text)
{
	char real[WBI_URI_TEXT_MAX];
	struct wbi_uri uri;
	struct wb_fault fault;

	if (wbi_uri_parse(text, &uri, &fault) || wbi_server_listen(server, &uri, real, &fault))
		return fail(text, &fault);
	fprintf(stderr, "listening %s\n", real);
	return EXIT_SUCCESS;
}

static int listen_all(struct wbi_server *server)
{
	int code = EXIT_SUCCESS;

	for (unsigned i = 0; i < options.listen.count && code == EXIT_SUCCESS; i++)
		code = listen_at(server, options.listen.values[i]);
	return code;
}

/* Nobody said where: at the user's own socket. */
static int listen_local(struct wbi_server *server)
{
	char text[WBI_URI_TEXT_MAX];
	struct wb_fault fault;

	if (wbi_uri_local(text, &fault))
		return fail("no --listen, and no socket of your own", &fault);
	return listen_at(server, text);
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
			return fail(sockets[i].name[0] ? sockets[i].name : "LISTEN_FDS", &fault);
		}
		fprintf(stderr, "listening %s\n", real);
	}
	return EXIT_SUCCESS;
}

/* A URI that is wrong is told of when its turn comes. */
static bool speaks_tls(const struct wbi_inherited *sockets, unsigned count)
{
	struct wbi_uri uri;

	for (unsigned i = 0; i < count; i++)
		if (strcmp(sockets[i].name, "tls") == 0)
			return true;
	for (unsigned i = 0; i < options.listen.count; i++)
		if (wbi_uri_parse(options.listen.values[i], &uri, NULL) == WB_OK &&
		    uri.transport == WBI_TLS)
			return true;
	return false;
}

static int serve(struct wbi_server_options *server_options, struct wbi_serve_keys *keys)
{
	struct wbi_inherited sockets[WBI_INHERITED_MAX];
	struct wbi_server *server = NULL;
	struct wb_fault fault;
	unsigned count = 0;
	int manager = -1, code;

	if (wbi_notify_inherited(sockets, &count, &fault))
		return fail("inherited sockets", &fault);
	manager = wbi_notify_open();
	if (wbi_serve_keys_init(keys, speaks_tls(sockets, count), &fault)) {
		code = fail("keys", &fault);
		goto out;
	}
	server_options->identity = keys->identity;
	server_options->authority = keys->authority;
	if (wbi_server_new(server_options, &server, &fault)) {
		code = fail("start", &fault);
		goto out;
	}
	code = adopt_all(server, sockets, count);
	if (code == EXIT_SUCCESS)
		code = listen_all(server);
	if (code == EXIT_SUCCESS && count == 0 && options.listen.count == 0)
		code = listen_local(server);
	if (code != EXIT_SUCCESS)
		goto out;
	wbi_notify_send(manager, "READY=1");
	if (wbi_server_run(server, &fault) != WB_OK)
		code = fail("run", &fault);
	wbi_notify_send(manager, "STOPPING=1");
out:
	wbi_server_free(server);
	wbi_serve_keys_done(keys);
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
		if (!parse_uid(options.allow_uid.values[i], &ret_uids[i]))
			return false;
	return true;
}

static bool parse_log(enum wbi_audit_format *ret_format)
{
	if (!options.log || strcmp(options.log, "text") == 0)
		*ret_format = WBI_AUDIT_TEXT;
	else if (strcmp(options.log, "json") == 0)
		*ret_format = WBI_AUDIT_JSON;
	else
		return false;
	return true;
}

static void set_defaults(void)
{
	const char *folder = getenv("TMPDIR");

	options.max_connections = wb_limits_default.connections;
	options.max_commands = wb_limits_default.commands;
	options.max_output = wb_limits_default.output_bytes;
	options.max_spool = wb_limits_default.spool_bytes;
	options.max_sessions = wb_limits_default.sessions;
	options.max_jobs = wb_limits_default.jobs;
	options.hold_ms = wb_limits_default.hold_ms;
	options.max_transfers = wb_limits_default.transfers;
	options.max_put_bytes = wb_limits_default.put_bytes;
	options.max_put_files = wb_limits_default.put_files;
	options.cgroup = "auto";
	options.spool_folder = folder && folder[0] != '\0' ? folder : "/tmp";
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
		return WBI_EXIT_USAGE;
	case WBI_OPT_GO:
		break;
	}
	if (operands < argc)
		return wbi_opt_wrong(command, "'%s': give addresses as --listen URI",
				     argv[operands]);
	if (!parse_uids(uids))
		return wbi_opt_wrong(command, "--allow-uid: a uid is a number, as 'id -u' prints");
	if (!parse_log(&server_options.log_format))
		return wbi_opt_wrong(command, "--log: give text or json");
	limits->connections = (uint32_t)options.max_connections;
	limits->commands = (uint32_t)options.max_commands;
	limits->output_bytes = options.max_output;
	limits->spool_bytes = options.max_spool;
	limits->sessions = (uint32_t)options.max_sessions;
	limits->jobs = (uint32_t)options.max_jobs;
	limits->hold_ms = (uint32_t)options.hold_ms;
	limits->transfers = (uint32_t)options.max_transfers;
	limits->put_bytes = options.max_put_bytes;
	limits->put_files = options.max_put_files;
	server_options.insecure_plain = options.insecure_plain;
	server_options.allowed_uids = uids;
	server_options.allowed_uid_count = options.allow_uid.count;
	server_options.spool_folder = options.spool_folder;
	server_options.files_root = options.root;
	server_options.cgroup = options.cgroup;
	struct wbi_serve_keys keys = {
		.host_key = options.host_key,
		.authorized_keys = options.authorized_keys.values,
		.authorized_count = options.authorized_keys.count,
		.user = options.user,
	};
	return serve(&server_options, &keys);
}

const struct wbi_command wbi_command_serve = {
	.name = "serve",
	.summary = "run the daemon",
	.usage = "serve [options]",
	.details =
		"Sessions (for exec, jobs, attach, kill, put, get) at unix:///path, "
		"tcp://127.0.0.1:PORT, and for other machines at tls://ADDRESS (port 9292); with "
		"no "
		"--listen at unix://$XDG_RUNTIME_DIR/waybill.sock, which clients call 'local'. "
		"Plain "
		"services at upper+tcp, upper+udp, exec-length+tcp and exec-header+tcp. Port 0 "
		"lets the "
		"kernel choose; 'listening URI' on stderr tells the real one.\n"
		"\n"
		"tls:// lets in whose key stands in authorized_keys, in OpenSSH's format: they run "
		"commands as the daemon's user, as far as their line allows. Changes count at "
		"once. "
		"Started by root it wants --user. The host key, where there is none, is made; its "
		"fingerprint is told, for clients to compare.\n"
		"\n"
		"All others have no keys: they stand on loopback only, the kernel is asked who "
		"opened "
		"each connection, and only the daemon's own user may call unless --allow-uid says "
		"so.\n"
		"\n"
		"SIGTERM or SIGINT lets what is under way finish; a second one ends at once. "
		"Sockets "
		"from a service manager are taken; FileDescriptorName= says what each serves "
		"(session, "
		"tls, upper, exec-length, exec-header).",
	.run = run_serve,
};
