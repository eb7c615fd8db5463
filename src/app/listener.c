/* Listeners: see listener.h. */
#include "app/listener.h"

#include <stdio.h>

#include "sys/fd.h"
#include "transport/stream.h"

enum { ACCEPTS_A_TURN = 64 }; /* so that a flood of connections does not starve those that are */

/* Too many descriptors are open: the kernel keeps the connection in its queue, so the listener
 * stays readable, and asking again at once would only spin. */
static void pause_accepting(struct wbi_listener *listener, const struct wb_fault *fault)
{
	struct wbi_loop *loop = listener->target.env->plain.loop;

	if (!listener->told)
		wbi_audit(&listener->target.env->audit, "%s: %s; connections wait in the queue",
			  listener->uri, fault->text);
	listener->told = true;
	if (wbi_loop_timer(loop, &listener->resume, WBI_LISTENER_PAUSE_MS) == WB_OK)
		wbi_loop_want(loop, &listener->watch, 0);
}

static void resume_accepting(struct wbi_timer *timer)
{
	struct wbi_listener *listener = WBI_CONTAINER(timer, struct wbi_listener, resume);

	wbi_loop_want(listener->target.env->plain.loop, &listener->watch, WBI_READ);
}

static void log_connection(struct wbi_listener *listener, uint64_t connection,
			   const struct wbi_caller *caller)
{
	char peer[WBI_ADDR_TEXT_MAX], who[WBI_PRINCIPAL_TEXT_MAX];
	const struct wbi_audit_field fields[] = {
		{"connection", NULL, connection}, {"who", who, 0}, {"from", peer, 0},
		{"at", listener->uri, 0},         {NULL, NULL, 0},
	};

	if (!wbi_audit_allows(&listener->target.env->audit, WBI_AUDIT_TRAIL))
		return;
	wbi_principal_format(&caller->who, who);
	wbi_addr_format(&caller->from, peer);
	wbi_audit_event(&listener->target.env->audit, WBI_AUDIT_TRAIL, "connection", fields,
			"%s: connection %llu: %s from %s", listener->uri,
			(unsigned long long)connection, who, peer);
}

static enum wb_err accept_plain(struct wbi_listener *listener, int fd,
				const struct wbi_caller *caller, struct wb_fault *fault)
{
	const struct wbi_listener_target *target = &listener->target;
	struct wbi_plain_caller plain = {target->env->accepted + 1, caller->who};
	enum wb_err err = target->service->accept(target->env, fd, &plain, fault);

	if (err)
		return err;
	target->env->accepted++;
	log_connection(listener, plain.connection, caller);
	return WB_OK;
}

/* Hands an accepted socket to what stands behind the listener, if its owner may call and there is
 * room. */
static enum wb_err hand_over(struct wbi_listener *listener, int fd, struct wbi_caller *caller,
			     struct wb_fault *fault)
{
	const struct wbi_listener_target *target = &listener->target;
	enum wb_err err = WB_OK;

	caller->shows_key = target->door == WBI_DOOR_KEY;
	if (!caller->shows_key) {
		err = wbi_policy_may_call(target->policy, target->door == WBI_DOOR_PLAIN, fd,
					  &caller->who, fault);
		caller->named = !err;
	}
	if (err)
		return err;
	if (!target->service)
		return wbi_sessions_accept(target->sessions, fd, caller, fault);
	if (target->env->plain.count >= target->env->limits->connections)
		return wb_fault_set(fault, WB_ERR_LIMIT, NULL, 0,
				    "%u connections are open, the limit (--max-connections)",
				    target->env->plain.count);
	return accept_plain(listener, fd, caller, fault);
}

static void log_refusal(struct wbi_listener *listener, const struct wbi_addr *from,
			const struct wb_fault *fault)
{
	char peer[WBI_ADDR_TEXT_MAX];
	const struct wbi_audit_field fields[] = {
		{"at", listener->uri, 0}, {"from", peer, 0}, {"code", wb_err_name(fault->err), 0},
		{"text", fault->text, 0}, {NULL, NULL, 0},
	};

	wbi_addr_format(from, peer);
	wbi_audit_event(&listener->target.env->audit, WBI_AUDIT_TROUBLE, "refused", fields,
			"%s: refused %s: %s", listener->uri, peer, fault->text);
}

/* Who speaks parcels hears why. Returns whether the socket was given away. */
static bool turn_away(struct wbi_listener *listener, int fd, struct wbi_caller *caller,
		      const struct wb_fault *fault)
{
	if (listener->target.door != WBI_DOOR_SESSION || fault->err != WB_ERR_REFUSED)
		return false;
	caller->refusal = fault->text;
	return wbi_sessions_accept(listener->target.sessions, fd, caller, NULL) == WB_OK;
}

static bool accept_one(struct wbi_listener *listener)
{
	struct wb_fault fault;
	struct wbi_caller caller = {0};
	int fd;
	enum wb_err err = wbi_stream_accept(listener->watch.fd, &fd, &caller.from, &fault);

	if (err == WB_ERR_TIMEOUT)
		return false;
	if (err) {
		pause_accepting(listener, &fault);
		return false;
	}
	listener->told = false;
	err = hand_over(listener, fd, &caller, &fault);
	if (err) {
		log_refusal(listener, &caller.from, &fault);
		if (!turn_away(listener, fd, &caller, &fault))
			wbi_fd_close(&fd);
	}
	return true;
}

static void on_listener(struct wbi_watch *watch, unsigned events)
{
	struct wbi_listener *listener = WBI_CONTAINER(watch, struct wbi_listener, watch);

	(void)events;
	for (int i = 0; i < ACCEPTS_A_TURN; i++)
		if (!accept_one(listener))
			return;
}

enum wb_err wbi_listener_init(struct wbi_listener *listener,
			      const struct wbi_listener_target *target, int fd,
			      const struct wbi_addr *bound, const char *uri, struct wb_fault *fault)
{
	*listener = (struct wbi_listener){.target = *target};
	wbi_watch_init(&listener->watch, on_listener, fd, WBI_READ);
	listener->resume.fn = resume_accepting;
	snprintf(listener->uri, sizeof(listener->uri), "%s", uri);
	if (target->service && target->service->bind)
		return target->service->bind(target->env, fd, wbi_addr_is_wildcard(bound),
					     &listener->datagrams, fault);
	return wbi_loop_watch(target->env->plain.loop, &listener->watch, fault);
}

void wbi_listener_done(struct wbi_listener *listener)
{
	struct wbi_loop *loop = listener->target.env->plain.loop;

	if (listener->datagrams) {
		listener->datagrams->close(listener->datagrams);
		listener->datagrams = NULL;
		return;
	}
	if (listener->target.service && listener->target.service->bind)
		return;
	wbi_loop_cancel(loop, &listener->resume);
	wbi_loop_unwatch(loop, &listener->watch);
	wbi_fd_close(&listener->watch.fd);
}
