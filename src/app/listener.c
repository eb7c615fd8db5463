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

/* Hands an accepted socket to what stands behind the listener, if its owner may call and there is
 * room. */
static enum wb_err hand_over(struct wbi_listener *listener, int fd, struct wb_fault *fault)
{
	const struct wbi_listener_target *target = &listener->target;
	struct wbi_principal who;
	enum wb_err err = wbi_policy_may_call(target->policy, target->service, fd, &who, fault);

	if (err)
		return err;
	if (!target->service)
		return wbi_sessions_accept(target->sessions, fd, &who, fault);
	if (target->env->plain.count >= target->env->limits->connections)
		return wb_fault_set(fault, WB_ERR_LIMIT, NULL, 0,
				    "%u connections are open, the limit (--max-connections)",
				    target->env->plain.count);
	return target->service->accept(target->env, fd, fault);
}

static bool accept_one(struct wbi_listener *listener)
{
	struct wb_fault fault;
	struct wbi_addr peer;
	char peer_text[WBI_ADDR_TEXT_MAX];
	int fd;
	enum wb_err err = wbi_stream_accept(listener->watch.fd, &fd, &peer, &fault);

	if (err == WB_ERR_TIMEOUT)
		return false;
	if (err) {
		pause_accepting(listener, &fault);
		return false;
	}
	listener->told = false;
	err = hand_over(listener, fd, &fault);
	if (err) {
		wbi_addr_format(&peer, peer_text);
		wbi_audit(&listener->target.env->audit, "%s: refused %s: %s", listener->uri,
			  peer_text, fault.text);
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
