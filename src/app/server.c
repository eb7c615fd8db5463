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
#include "service/service.h"
#include "sys/fd.h"
#include "transport/tcp.h"
#include "transport/udp.h"

enum { LISTENERS_MAX = 64, ADDRS_MAX = 8 };

struct wbi_server {
	struct wbi_loop *loop;
	struct wbi_service_env env;
	struct wbi_policy policy;
	struct wb_limits limits;
	struct wbi_listener listeners[LISTENERS_MAX];
	unsigned listener_count;
};

static void stop_if_drained(struct wbi_server *server)
{
	if (server->env.draining && server->env.plain.count == 0)
		wbi_loop_stop(server->loop);
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
	if (server->env.draining)
		wbi_loop_stop(server->loop);
	else
		drain(server);
}

static enum wb_err init_policy(struct wbi_server *server, const struct wbi_server_options *options,
			       struct wb_fault *fault)
{
	struct wbi_policy *policy = &server->policy;

	policy->insecure_plain = options->insecure_plain;
	policy->uids[policy->uid_count++] = geteuid();
	for (unsigned i = 0; i < options->allowed_uid_count; i++) {
		if (policy->uid_count == WBI_POLICY_UIDS_MAX)
			return wb_fault_set(fault, WB_ERR_LIMIT, NULL, 0,
					    "at most %d uids may be allowed",
					    WBI_POLICY_UIDS_MAX - 1);
		policy->uids[policy->uid_count++] = options->allowed_uids[i];
	}
	if (policy->insecure_plain)
		return WB_OK;
	enum wb_err err = wbi_peer_finder_new(&policy->finder, fault);

	server->env.finder = policy->finder;
	return err;
}

static enum wb_err init_env(struct wbi_server *server, const struct wbi_server_options *options,
			    struct wb_fault *fault)
{
	struct wbi_service_env *env = &server->env;
	unsigned long nofile;
	enum wb_err err;

	server->limits = options->limits;
	env->limits = &server->limits;
	wbi_audit_init(&env->audit, STDERR_FILENO);
	err = wbi_fd_raise_limit(&nofile, fault);
	if (err == WB_OK)
		err = wbi_plain_env_init(&env->plain, server->loop);
	if (err != WB_OK)
		return err;
	env->plain.closed = connection_closed;
	return wbi_job_env_init(&env->jobs, server->loop, &server->limits, options->spool_folder,
				nofile, fault);
}

enum wb_err wbi_server_new(const struct wbi_server_options *options, struct wbi_server **ret_server,
			   struct wb_fault *fault)
{
	static const int signals[] = {SIGTERM, SIGINT, 0};
	struct wbi_server *server = calloc(1, sizeof *server);
	enum wb_err err;

	if (server == NULL)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "no memory for a daemon");
	err = wbi_loop_new(&server->loop, fault);
	if (err == WB_OK)
		err = wbi_loop_signals(server->loop, signals, on_signal, server, fault);
	if (err == WB_OK)
		err = init_policy(server, options, fault);
	if (err == WB_OK)
		err = init_env(server, options, fault);
	if (err != WB_OK) {
		wbi_server_free(server);
		return err;
	}
	*ret_server = server;
	return WB_OK;
}

void wbi_server_free(struct wbi_server *server)
{
	if (server == NULL)
		return;
	close_listeners(server);
	wbi_plain_env_done(&server->env.plain);
	wbi_job_env_done(&server->env.jobs);
	wbi_peer_finder_free(server->policy.finder);
	wbi_loop_free(server->loop);
	free(server);
}

static enum wb_err open_socket(enum wbi_transport transport, const struct wbi_addr *addr,
			       int *ret_fd, struct wbi_addr *ret_bound, struct wb_fault *fault)
{
	if (transport == WBI_UDP)
		return wbi_udp_bind(addr, ret_fd, ret_bound, fault);
	return wbi_tcp_listen(addr, ret_fd, ret_bound, fault);
}

static enum wb_err add_listener(struct wbi_server *server, const struct wbi_service *service,
				int fd, const struct wbi_addr *bound, const char *uri,
				struct wb_fault *fault)
{
	enum wb_err err;

	if (server->listener_count == LISTENERS_MAX)
		return wb_fault_set(fault, WB_ERR_LIMIT, NULL, 0, "at most %d listeners",
				    LISTENERS_MAX);
	err = wbi_listener_init(&server->listeners[server->listener_count], service, &server->env,
				&server->policy, fd, bound, uri, fault);
	if (err == WB_OK)
		server->listener_count++;
	return err;
}

static enum wb_err listen_at(struct wbi_server *server, const struct wbi_service *service,
			     const struct wbi_uri *uri, const struct wbi_addr *addr,
			     char ret_uri[WBI_URI_TEXT_MAX], struct wb_fault *fault)
{
	struct wbi_uri real = *uri;
	struct wbi_addr bound;
	int fd = -1;
	enum wb_err err = wbi_policy_may_listen(&server->policy, addr, fault);

	if (err == WB_OK)
		err = open_socket(uri->transport, addr, &fd, &bound, fault);
	if (err != WB_OK)
		return err;
	real.port = wbi_addr_port(&bound);
	real.has_port = true;
	wbi_uri_format(&real, ret_uri);
	err = add_listener(server, service, fd, &bound, ret_uri, fault);
	if (err != WB_OK)
		wbi_fd_close(&fd);
	return err;
}

static enum wb_err find_service(const char *name, enum wbi_transport transport,
				const struct wbi_service **ret_service, struct wb_fault *fault)
{
	char known[128];

	*ret_service = wbi_service_find(name, transport);
	if (*ret_service != NULL)
		return WB_OK;
	wbi_service_list(known, sizeof known);
	return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0, "no such service; there are %s",
			    known);
}

enum wb_err wbi_server_listen(struct wbi_server *server, const struct wbi_uri *uri,
			      char ret_uri[WBI_URI_TEXT_MAX], struct wb_fault *fault)
{
	struct wbi_uri full = *uri;
	struct wbi_addr addrs[ADDRS_MAX];
	const struct wbi_service *service;
	unsigned count = 0;
	enum wb_err err = find_service(uri->service, uri->transport, &service, fault);

	if (err != WB_OK)
		return err;
	if (!full.has_port) {
		full.port = service->default_port;
		full.has_port = true;
	}
	err = wbi_addr_resolve(&full, true, addrs, ADDRS_MAX, &count, fault);
	if (err != WB_OK)
		return err;
	for (unsigned i = 0; i < count; i++) {
		err = listen_at(server, service, &full, &addrs[i], ret_uri, fault);
		if (err == WB_OK)
			break;
	}
	return err;
}

/* What kind of socket somebody handed us. */
static enum wb_err inspect(int fd, enum wbi_transport *ret_transport, struct wbi_addr *ret_bound,
			   struct wb_fault *fault)
{
	int type = 0, listening = 0;
	socklen_t bytes = sizeof type;

	*ret_bound = (struct wbi_addr){.bytes = sizeof ret_bound->storage};
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) != 0 ||
	    getsockname(fd, &ret_bound->any, &ret_bound->bytes) != 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "descriptor %d: %s", fd,
				    strerror(errno));
	bytes = sizeof listening;
	(void)getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &bytes);
	if (ret_bound->any.sa_family != AF_INET && ret_bound->any.sa_family != AF_INET6)
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0,
				    "descriptor %d is no internet socket", fd);
	if (type == SOCK_STREAM && !listening)
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0,
				    "descriptor %d does not listen", fd);
	*ret_transport = type == SOCK_STREAM ? WBI_TCP : WBI_UDP;
	return WB_OK;
}

enum wb_err wbi_server_adopt(struct wbi_server *server, int fd, const char *service_name,
			     char ret_uri[WBI_URI_TEXT_MAX], struct wb_fault *fault)
{
	const struct wbi_service *service;
	enum wbi_transport transport = WBI_TCP;
	struct wbi_addr bound;
	char text[WBI_ADDR_TEXT_MAX];
	enum wb_err err = inspect(fd, &transport, &bound, fault);

	if (err == WB_OK)
		err = find_service(service_name, transport, &service, fault);
	if (err == WB_OK)
		err = wbi_policy_may_listen(&server->policy, &bound, fault);
	if (err != WB_OK)
		return err;
	wbi_addr_format(&bound, text);
	snprintf(ret_uri, WBI_URI_TEXT_MAX, "%s+%s://%s", service_name,
		 transport == WBI_UDP ? "udp" : "tcp", text);
	return add_listener(server, service, fd, &bound, ret_uri, fault);
}

enum wb_err wbi_server_run(struct wbi_server *server, struct wb_fault *fault)
{
	return wbi_loop_run(server->loop, fault);
}
