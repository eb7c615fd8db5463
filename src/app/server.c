/* The daemon: see server.h. */
#include "app/server.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/listener.h"
#include "app/sessions.h"
#include "base/text.h"
#include "service/service.h"
#include "sys/cgroup.h"
#include "sys/clock.h"
#include "sys/fd.h"
#include "transport/tcp.h"
#include "transport/udp.h"
#include "transport/unix.h"

enum {
	LISTENERS_MAX = 64,
	ADDRS_MAX = 8,
	SESSION_PORT = 9292,
	UNIX_MODE = 0600,
	LAST_GRACE_MS = 1500, /* a job's grace, and then some */
};

struct wbi_server {
	struct wbi_loop *loop;
	struct wbi_service_env env;
	struct wbi_policy policy;
	struct wb_limits limits;
	struct wbi_listener listeners[LISTENERS_MAX];
	unsigned listener_count;
	struct wbi_sessions *sessions; /* NULL until a listener for them is asked for */
	struct wbi_task sessions_drained;
	bool sessions_busy;
	atomic_uint commands;     /* that run, of all kinds */
	_Atomic uint64_t spooled; /* bytes of their output that are in files */
	bool hasty;               /* told to end a second time */
	const char *spool_folder, *files_root;
	const struct wbi_identity *identity;
	struct wbi_authority *authority;
	unsigned long nofile;
	struct wbi_cgroup *cgroup; /* NULL: commands have none of their own */
	struct wb_fault no_cgroup; /* and why */
};

static void stop_if_drained(struct wbi_server *server)
{
	if (server->env.draining && server->env.plain.count == 0 && !server->sessions_busy)
		wbi_loop_stop(server->loop);
}

static void on_sessions_drained(struct wbi_task *task)
{
	struct wbi_server *server = WBI_CONTAINER(task, struct wbi_server, sessions_drained);

	server->sessions_busy = false;
	stop_if_drained(server);
}

static void connection_closed(struct wbi_plain_env *plain)
{
	struct wbi_service_env *env = WBI_CONTAINER(plain, struct wbi_service_env, plain);

	stop_if_drained(WBI_CONTAINER(env, struct wbi_server, env));
}

static void close_listeners(struct wbi_server *server)
{
	for (unsigned i = 0; i < server->listener_count; i++)
		wbi_listener_done(&server->listeners[i]);
	server->listener_count = 0;
}

/* Draining a connection may close it, but no other: the next one stays valid. */
static void drain(struct wbi_server *server)
{
	struct wbi_list *connections = &server->env.plain.connections;
	struct wbi_list *next;

	server->env.draining = true;
	close_listeners(server);
	if (server->sessions) {
		server->sessions_busy = true;
		wbi_sessions_drain(server->sessions);
	}
	for (struct wbi_list *node = connections->next; node != connections; node = next) {
		struct wbi_plain *plain = WBI_CONTAINER(node, struct wbi_plain, node);

		next = node->next;
		if (!plain->finishing)
			plain->ops->drain(plain);
	}
	stop_if_drained(server);
}

static void on_signal(void *context, int signal)
{
	struct wbi_server *server = context;

	(void)signal;
	if (server->env.draining) {
		server->hasty = true;
		wbi_loop_stop(server->loop);
	} else {
		drain(server);
	}
}

static enum wb_err init_policy(struct wbi_server *server, const struct wbi_server_options *options,
			       struct wb_fault *fault)
{
	struct wbi_policy *policy = &server->policy;
	enum wb_err err;

	policy->insecure_plain = options->insecure_plain;
	policy->uids[policy->uid_count++] = geteuid();
	for (unsigned i = 0; i < options->allowed_uid_count; i++) {
		if (policy->uid_count == WBI_POLICY_UIDS_MAX)
			return wb_fault_set(fault, WB_ERR_LIMIT, NULL, 0,
					    "at most %d uids may be allowed",
					    WBI_POLICY_UIDS_MAX - 1);
		policy->uids[policy->uid_count++] = options->allowed_uids[i];
	}
	err = wbi_peer_finder_new(&policy->finder, fault);
	if (!err && !policy->insecure_plain)
		server->env.finder = policy->finder;
	return err;
}

/* Better told at start than to the first command whose output is large. */
static enum wb_err check_spool_folder(const char *folder, struct wb_fault *fault)
{
	int fd = -1;
	enum wb_err err = wbi_fd_temporary(folder, &fd, fault);

	if (err)
		wb_fault_set(fault, err, NULL, 0, "--spool: %.100s: no place for output: %m",
			     folder);
	wbi_fd_close(&fd);
	return err;
}

static enum wb_err open_cgroup(struct wbi_server *server, const char *wanted,
			       struct wb_fault *fault)
{
	struct wb_fault found;
	enum wb_err err;

	if (!wanted || strcmp(wanted, "none") == 0) {
		wb_fault_set(&server->no_cgroup, WB_ERR_REFUSED, NULL, 0, "--cgroup none");
		return WB_OK;
	}
	if (strcmp(wanted, "auto") == 0) {
		(void)!wbi_cgroup_open_own(&server->cgroup, &server->no_cgroup);
		return WB_OK;
	}
	err = wbi_cgroup_open(wanted, &server->cgroup, &found);
	return err ? wb_fault_set(fault, err, NULL, 0, "--cgroup: %s", found.text) : WB_OK;
}

static enum wb_err init_env(struct wbi_server *server, const struct wbi_server_options *options,
			    struct wb_fault *fault)
{
	struct wbi_service_env *env = &server->env;
	enum wb_err err;

	server->spool_folder = options->spool_folder;
	server->files_root = options->files_root;
	server->identity = options->identity;
	server->authority = options->authority;
	server->limits = options->limits;
	env->limits = &server->limits;
	wbi_audit_init(&env->audit, STDERR_FILENO, options->log_format);
	err = wbi_fd_raise_limit(&server->nofile, fault);
	if (!err)
		err = check_spool_folder(options->spool_folder, fault);
	if (!err)
		err = open_cgroup(server, options->cgroup, fault);
	if (!err)
		err = wbi_plain_env_init(&env->plain, server->loop);
	if (err)
		return err;
	env->plain.closed = connection_closed;
	err = wbi_job_env_init(&env->jobs, server->loop, &server->limits, options->spool_folder,
			       server->nofile, fault);
	env->jobs.together = &server->commands;
	env->jobs.cgroup = server->cgroup;
	env->jobs.spool.together = &server->spooled;
	return err;
}

enum wb_err wbi_server_new(const struct wbi_server_options *options, struct wbi_server **ret_server,
			   struct wb_fault *fault)
{
	static const int signals[] = {SIGTERM, SIGINT, 0};
	struct wbi_server *server = calloc(1, sizeof(*server));
	enum wb_err err;

	if (!server)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "no memory for a daemon");
	server->sessions_drained.fn = on_sessions_drained;
	wbi_list_init(&server->sessions_drained.node);
	err = wbi_loop_new(&server->loop, fault);
	if (!err)
		err = wbi_loop_signals(server->loop, signals, on_signal, server, fault);
	if (!err)
		err = init_policy(server, options, fault);
	if (!err)
		err = init_env(server, options, fault);
	if (err) {
		wbi_server_free(server);
		return err;
	}
	*ret_server = server;
	return WB_OK;
}

void wbi_server_free(struct wbi_server *server)
{
	if (!server)
		return;
	close_listeners(server);
	wbi_sessions_free(server->sessions);
	wbi_plain_env_done(&server->env.plain);
	wbi_job_env_done(&server->env.jobs);
	wbi_cgroup_close(server->cgroup);
	wbi_peer_finder_free(server->policy.finder);
	wbi_loop_free(server->loop);
	free(server);
}

static enum wb_err open_socket(enum wbi_transport transport, const struct wbi_addr *addr,
			       int *ret_fd, struct wbi_addr *ret_bound, struct wb_fault *fault)
{
	switch (transport) {
	case WBI_UDP:
		return wbi_udp_bind(addr, ret_fd, ret_bound, fault);
	case WBI_TCP:
	case WBI_TLS:
		return wbi_tcp_listen(addr, ret_fd, ret_bound, fault);
	case WBI_UNIX:
		break;
	}
	*ret_bound = *addr;
	return wbi_unix_listen(addr, UNIX_MODE, ret_fd, fault);
}

static enum wb_err add_listener(struct wbi_server *server, const struct wbi_listener_target *target,
				int fd, const struct wbi_addr *bound, const char *uri,
				struct wb_fault *fault)
{
	enum wb_err err;

	if (server->listener_count == LISTENERS_MAX)
		return wb_fault_set(fault, WB_ERR_LIMIT, NULL, 0, "at most %d listeners",
				    LISTENERS_MAX);
	err = wbi_listener_init(&server->listeners[server->listener_count], target, fd, bound, uri,
				fault);
	if (!err)
		server->listener_count++;
	return err;
}

static enum wb_err listen_at(struct wbi_server *server, const struct wbi_listener_target *target,
			     const struct wbi_uri *uri, const struct wbi_addr *addr,
			     char ret_uri[WBI_URI_TEXT_MAX], struct wb_fault *fault)
{
	struct wbi_uri real = *uri;
	struct wbi_addr bound;
	int fd = -1;
	enum wb_err err = wbi_policy_may_listen(&server->policy, target->door, addr, fault);

	if (!err)
		err = open_socket(uri->transport, addr, &fd, &bound, fault);
	if (err)
		return err;
	real.port = wbi_addr_port(&bound);
	wbi_uri_format(&real, ret_uri);
	err = add_listener(server, target, fd, &bound, ret_uri, fault);
	if (err)
		wbi_fd_close(&fd);
	return err;
}

static enum wb_err find_service(const char *name, enum wbi_transport transport,
				const struct wbi_service **ret_service, struct wb_fault *fault)
{
	char known[128];

	*ret_service = wbi_service_find(name, transport);
	if (*ret_service)
		return WB_OK;
	wbi_service_list(known, sizeof(known));
	return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0,
			    "no such service; there are %s, and unix://, tcp:// and tls:// for "
			    "sessions",
			    known);
}

/* The workers start with the first listener that needs them. */
static enum wb_err start_sessions(struct wbi_server *server, struct wb_fault *fault)
{
	const struct wbi_sessions_options options = {
		.loop = server->loop,
		.audit = &server->env.audit,
		.limits = &server->limits,
		.spool_folder = server->spool_folder,
		.files_root = server->files_root,
		.cgroup = server->cgroup,
		.identity = server->identity,
		.authority = server->authority,
		.nofile = server->nofile,
		.commands = &server->commands,
		.spooled = &server->spooled,
		.drained = on_sessions_drained,
		.task = &server->sessions_drained,
	};

	if (server->sessions)
		return WB_OK;
	return wbi_sessions_new(&options, &server->sessions, fault);
}

/* What stands behind a listener of that name: "" for sessions. */
static enum wb_err find_target(struct wbi_server *server, const char *name,
			       enum wbi_transport transport, struct wbi_listener_target *ret_target,
			       struct wb_fault *fault)
{
	enum wb_err err;

	*ret_target = (struct wbi_listener_target){.env = &server->env, .policy = &server->policy};
	if (name[0] != '\0' || transport == WBI_UDP)
		return find_service(name, transport, &ret_target->service, fault);
	err = start_sessions(server, fault);
	if (!err && transport == WBI_TLS)
		err = wbi_sessions_begin_tls(server->sessions, fault);
	ret_target->door = transport == WBI_TLS ? WBI_DOOR_KEY : WBI_DOOR_SESSION;
	ret_target->sessions = server->sessions;
	return err;
}

enum wb_err wbi_server_listen(struct wbi_server *server, const struct wbi_uri *uri,
			      char ret_uri[WBI_URI_TEXT_MAX], struct wb_fault *fault)
{
	struct wbi_uri full = *uri;
	struct wbi_addr addrs[ADDRS_MAX];
	struct wbi_listener_target target;
	unsigned count = 0;
	enum wb_err err = find_target(server, uri->service, uri->transport, &target, fault);

	if (err)
		return err;
	if (!full.has_port && full.transport != WBI_UNIX) {
		full.port = target.service ? target.service->default_port : SESSION_PORT;
		full.has_port = true;
	}
	err = wbi_addr_resolve(&full, true, addrs, ADDRS_MAX, &count, fault);
	if (err)
		return err;
	for (unsigned i = 0; i < count; i++) {
		err = listen_at(server, &target, &full, &addrs[i], ret_uri, fault);
		if (!err)
			break;
	}
	return err;
}

static const char *const transport_names[] = {
	[WBI_TCP] = "tcp", [WBI_UDP] = "udp", [WBI_UNIX] = "unix", [WBI_TLS] = "tls"};

/* What a socket that somebody handed us can carry. */
static enum wb_err find_transport(int fd, int family, int type, enum wbi_transport *ret_transport,
				  struct wb_fault *fault)
{
	int listening = 0;
	socklen_t bytes = sizeof(listening);

	(void)getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &bytes);
	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0,
				    "descriptor %d is neither an internet nor a unix socket", fd);
	if (type != SOCK_STREAM && (type != SOCK_DGRAM || family == AF_UNIX))
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0,
				    "descriptor %d is neither a stream nor a datagram socket", fd);
	if (type == SOCK_STREAM && !listening)
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0,
				    "descriptor %d does not listen", fd);
	*ret_transport = family == AF_UNIX ? WBI_UNIX : type == SOCK_STREAM ? WBI_TCP : WBI_UDP;
	return WB_OK;
}

static enum wb_err inspect(int fd, enum wbi_transport *ret_transport, struct wbi_addr *ret_bound,
			   struct wb_fault *fault)
{
	int type = 0;
	socklen_t bytes = sizeof(type);

	*ret_bound = (struct wbi_addr){.bytes = sizeof(ret_bound->storage)};
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) != 0 ||
	    getsockname(fd, &ret_bound->any, &ret_bound->bytes) != 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "descriptor %d: %m", fd);
	return find_transport(fd, ret_bound->any.sa_family, type, ret_transport, fault);
}

/* A name that stands for sessions says what carries them; nothing else in a socket does. */
static enum wb_err find_service_name(const char **name, enum wbi_transport *transport,
				     struct wb_fault *fault)
{
	bool is_tls = strcmp(*name, "tls") == 0;

	if (is_tls && *transport != WBI_TCP)
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0, "tls needs a tcp socket");
	if (is_tls)
		*transport = WBI_TLS;
	if (is_tls || strcmp(*name, "session") == 0)
		*name = "";
	return WB_OK;
}

enum wb_err wbi_server_adopt(struct wbi_server *server, int fd, const char *name,
			     char ret_uri[WBI_URI_TEXT_MAX], struct wb_fault *fault)
{
	struct wbi_listener_target target;
	enum wbi_transport transport = WBI_TCP;
	struct wbi_addr bound;
	char text[WBI_ADDR_TEXT_MAX];
	enum wb_err err = inspect(fd, &transport, &bound, fault);

	if (!err)
		err = find_service_name(&name, &transport, fault);
	if (!err)
		err = find_target(server, name, transport, &target, fault);
	if (!err)
		err = wbi_policy_may_listen(&server->policy, target.door, &bound, fault);
	if (err)
		return err;
	wbi_addr_format(&bound, text);
	snprintf(ret_uri, WBI_URI_TEXT_MAX, "%s%s%s://%s",
		 target.service ? target.service->name : "", target.service ? "+" : "",
		 transport_names[transport], text);
	return add_listener(server, &target, fd, &bound, ret_uri, fault);
}

/* Who is killed with a command depends on it, and nothing else shows it. */
static void tell_cgroup(struct wbi_server *server)
{
	const char *folder = server->cgroup ? wbi_cgroup_path(server->cgroup) : "";
	const char *reason = server->cgroup ? "" : server->no_cgroup.text;
	const struct wbi_audit_field fields[] = {
		{"folder", folder, 0},
		{"reason", reason, 0},
		{NULL, NULL, 0},
	};
	char shown[WB_FAULT_TEXT_MAX];

	wbi_text_escape_message(server->cgroup ? folder : reason, shown, sizeof(shown));
	wbi_audit_event(&server->env.audit, WBI_AUDIT_TRAIL, "cgroup", fields,
			server->cgroup ? "each command gets a cgroup, in %s"
				       : "commands get no cgroups: %s",
			shown);
}

enum wb_err wbi_server_run(struct wbi_server *server, struct wb_fault *fault)
{
	enum wb_err err;

	tell_cgroup(server);
	err = wbi_loop_run(server->loop, fault);
	uint64_t deadline_ms = wbi_clock_ms() + LAST_GRACE_MS, now_ms;

	/* What was told to end because its client has gone still has its time to do so. */
	while (!err && !server->hasty && server->env.jobs.running > 0 &&
	       (now_ms = wbi_clock_ms()) < deadline_ms)
		err = wbi_loop_turn(server->loop, (int)(deadline_ms - now_ms), fault);
	return err;
}
