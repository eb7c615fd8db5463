/* Sessions and their connections: see served.h.
 *
 * Nothing is freed within an event of the engine. A connection is processed by one function,
 * process(), which ends in settle(): there what is over is closed, and what has ended is freed. */
#include "app/served.h"

#include <stdlib.h>
#include <string.h>

#include "app/trail.h"
#include "service/exec.h"
#include "sys/clock.h"
#include "sys/fd.h"

enum { IDLE_MS = 1000 };

#define CALL_OF(list_node) WBI_CONTAINER((list_node), struct wbi_call, node)

static void process(struct wbi_served_conn *served, unsigned ready);

const struct wbi_principal *wbi_served_principal(struct wbi_session *session)
{
	return &((struct wbi_served_session *)session->owner)->who;
}

const char *wbi_served_client(struct wbi_session *session)
{
	return ((struct wbi_served_session *)session->owner)->agent;
}

const struct wbi_grant *wbi_served_grant(struct wbi_session *session)
{
	return ((struct wbi_served_session *)session->owner)->grant;
}

/* ---- calls ---- */

static const struct wbi_call_service *service_named(const char *name)
{
	for (unsigned i = 0; wbi_call_services[i]; i++)
		if (strcmp(wbi_call_services[i]->name, name) == 0)
			return wbi_call_services[i];
	return NULL;
}

static void open_call(struct wbi_served_env *env, struct wbi_event *event)
{
	const struct wbi_call_service *service = service_named(event->call->service);

	if (env->calls.draining)
		wbi_call_refuse(event->call, "draining", "the daemon is about to end");
	else if (!service)
		wbi_call_refuse(event->call, "unsupported", "this daemon has no such service");
	else
		service->open(&env->calls, event);
}

static void tell_call(enum wbi_event_kind kind, struct wbi_event *event)
{
	struct wbi_served_call *call = event->call ? event->call->owner : NULL;

	if (!call)
		return;
	if (kind == WBI_EVENT_FORGET)
		event->call->owner = NULL; /* the service frees its record now */
	call->service->event(call, kind, event);
}

static void tell_connected(struct wbi_session *session, bool connected)
{
	struct wbi_list *next;

	for (struct wbi_list *node = session->calls.next; node != &session->calls; node = next) {
		struct wbi_served_call *call = CALL_OF(node)->owner;

		next = node->next;
		if (call && call->service->connected)
			call->service->connected(call, connected);
	}
}

/* ---- sessions ---- */

static void count_drained(struct wbi_worker_shared *shared)
{
	if (atomic_fetch_sub(&shared->undrained, 1) == 1)
		shared->drained(shared);
}

/* Says once that nothing is left to wait for. */
static void tell_drained(struct wbi_served_env *env)
{
	if (!env->calls.draining || env->drained_told || !wbi_list_empty(&env->sessions))
		return;
	env->drained_told = true;
	count_drained(env->shared);
}

static void free_session(struct wbi_served_session *served)
{
	struct wbi_served_env *env = served->env;
	struct wbi_session *session = served->session;

	for (struct wbi_list *node = session->calls.next; node != &session->calls;
	     node = node->next) {
		struct wbi_served_call *call = CALL_OF(node)->owner;

		wbi_trail_outcome(served, CALL_OF(node));
		CALL_OF(node)->owner = NULL;
		if (call)
			call->service->drop(call);
	}
	if (served->conn)
		served->conn->session = NULL;
	wbi_loop_cancel(env->loop, &served->timer);
	wbi_loop_cancel(env->loop, &served->expiry);
	wbi_list_remove(&served->kick.node);
	wbi_list_remove(&served->node);
	if (served->who.kind == WBI_PRINCIPAL_KEY)
		atomic_fetch_sub(&env->shared->guests, 1);
	wbi_trail_ended(served);
	wbi_directory_remove(env->shared->directory, session->id, env->index);
	wbi_session_free(session);
	wbi_grant_free(served->grant);
	free(served);
	tell_drained(env);
	/* Without memory for a timer there is little to give back. */
	if (wbi_list_empty(&env->sessions))
		(void)!wbi_loop_timer(env->loop, &env->idle, IDLE_MS);
}

/* A client that comes back before its old connection was seen to end is nothing to tell. */
static void log_problem(struct wbi_served_env *env, const struct wbi_problem *problem)
{
	if (problem->ours && strcmp(problem->code, "superseded") == 0)
		return;
	wbi_audit(&env->audit, "session: %s: %s: %s",
		  problem->ours ? "ended" : "the client ended it", problem->code, problem->text);
}

static void on_event(enum wbi_event_kind kind, struct wbi_event *event, struct wbi_served_env *env,
		     struct wbi_served_session *served)
{
	switch (kind) {
	case WBI_EVENT_OPEN:
		open_call(env, event);
		wbi_trail_call(served, event); /* what was asked for need not wait for that */
		break;
	case WBI_EVENT_FORGET:
		wbi_trail_outcome(served, event->call);
		tell_call(kind, event);
		break;
	case WBI_EVENT_RESUMED:
		tell_connected(event->session, true);
		break;
	case WBI_EVENT_BYE:
	case WBI_EVENT_EXPIRED:
		if (served)
			served->leaving = true;
		break;
	case WBI_EVENT_ERROR:
		log_problem(env, event->problem);
		break;
	case WBI_EVENT_CLOSED: /* settle() closes */
	case WBI_EVENT_SUSPEND:
		break;
	default:
		tell_call(kind, event);
		break;
	}
}

/* What is owed without a connection. */
static void session_events(struct wbi_served_session *served)
{
	struct wbi_event event;
	enum wbi_event_kind kind;

	while ((kind = wbi_session_event(served->session, &event)) != WBI_EVENT_NONE)
		on_event(kind, &event, served->env, served);
}

static void say_bye(struct wbi_served_session *served)
{
	served->leaving = true;
	if (served->conn)
		wbi_session_bye(served->session);
}

static void set_timer(struct wbi_loop *loop, struct wbi_timer *timer, uint64_t deadline_ms)
{
	uint64_t now_ms = wbi_clock_ms();

	if (deadline_ms == WBI_NEVER_MS)
		wbi_loop_cancel(loop, timer);
	else if (wbi_loop_timer(loop, timer, deadline_ms > now_ms ? deadline_ms - now_ms : 0) !=
		 WB_OK)
		wbi_loop_cancel(loop, timer); /* no memory: it is looked at when something moves */
}

/* Frees the session if it has ended, else sees to its timer. */
static void settle_session(struct wbi_served_session *served)
{
	if (served->leaving && !served->conn) {
		free_session(served);
		return;
	}
	set_timer(served->env->loop, &served->timer, wbi_session_deadline(served->session));
}

static void on_session_timer(struct wbi_timer *timer)
{
	struct wbi_served_session *served = WBI_CONTAINER(timer, struct wbi_served_session, timer);

	wbi_session_tick(served->session, wbi_clock_ms());
	wbi_served_kick(served->session);
}

static void on_kick(struct wbi_task *task)
{
	struct wbi_served_session *served = WBI_CONTAINER(task, struct wbi_served_session, kick);

	if (served->conn) {
		process(served->conn, 0);
		return;
	}
	session_events(served);
	/* Nobody can come back any more: the listeners are closed. */
	if (served->env->calls.draining)
		served->leaving = true;
	settle_session(served);
}

void wbi_served_kick(struct wbi_session *session)
{
	struct wbi_served_session *served = session->owner;

	wbi_loop_defer(served->env->loop, &served->kick);
}

/* ---- connections ---- */

static void close_conn(struct wbi_served_conn *conn)
{
	struct wbi_served_session *served = conn->session;
	bool hung_up = conn->conn.failed;

	wbi_loop_cancel(conn->env->loop, &conn->timer);
	wbi_list_remove(&conn->node);
	wbi_session_conn_done(&conn->conn);
	if (!conn->closed)
		wbi_link_close(&conn->stream.link);
	free(conn);
	if (!served)
		return;
	served->conn = NULL;
	/* A stopped process keeps its sockets: where no network lies between, the client has ended.
	 */
	if (hung_up && served->who.kind == WBI_PRINCIPAL_UID)
		wbi_session_end_suspension(served->session);
	tell_connected(served->session, false);
	wbi_served_kick(served->session);
}

static void move_away(struct wbi_served_session *served);

static void settle(struct wbi_served_conn *conn)
{
	struct wbi_served_session *served = conn->session;

	if (served && served->move) {
		move_away(served);
		return;
	}
	if (wbi_session_conn_over(&conn->conn)) {
		close_conn(conn);
		return;
	}
	if (served && served->env->calls.draining && served->session->call_count == 0 &&
	    !served->leaving) {
		say_bye(served);
		wbi_served_kick(served->session);
	}
	wbi_link_want(&conn->stream.link, wbi_session_conn_wants(&conn->conn));
	set_timer(conn->env->loop, &conn->timer, wbi_session_conn_deadline(&conn->conn));
}

static void process(struct wbi_served_conn *conn, unsigned ready)
{
	wbi_session_conn_process(&conn->conn, ready, wbi_clock_ms());
	if (conn->session)
		session_events(conn->session);
	settle(conn);
}

static void on_link(struct wbi_link *link, unsigned events)
{
	process(WBI_CONTAINER(link, struct wbi_served_conn, stream.link), events);
}

static void on_conn_timer(struct wbi_timer *timer)
{
	process(WBI_CONTAINER(timer, struct wbi_served_conn, timer), 0);
}

static void on_conn_event(struct wbi_session_conn *session_conn, enum wbi_event_kind kind,
			  struct wbi_event *event)
{
	struct wbi_served_conn *conn = WBI_CONTAINER(session_conn, struct wbi_served_conn, conn);

	on_event(kind, event, conn->env, conn->session);
}

/* ---- coming in ---- */

static struct wbi_served_session *new_session(struct wbi_served_env *env,
					      const struct wbi_handover *handover)
{
	struct wbi_served_session *served = calloc(1, sizeof(*served));

	if (!served)
		return NULL;
	if (wbi_session_new(&env->config, handover->hello.session, handover->hello.secret,
			    wbi_clock_ms(), &served->session, NULL) != WB_OK) {
		free(served);
		return NULL;
	}
	served->session->owner = served;
	served->env = env;
	served->who = handover->who;
	if (served->who.kind == WBI_PRINCIPAL_KEY)
		atomic_fetch_add(&env->shared->guests, 1);
	memcpy(served->agent, handover->hello.agent, sizeof(served->agent));
	served->timer.fn = on_session_timer;
	served->expiry.fn = wbi_served_on_expiry;
	served->kick.fn = on_kick;
	served->leaving = true; /* until the first connection is attached */
	wbi_list_init(&served->kick.node);
	wbi_list_append(&env->sessions, &served->node);
	wbi_directory_set(env->shared->directory, served->session->id, served);
	return served;
}

static struct wbi_served_conn *new_conn(struct wbi_served_env *env, struct wbi_handover *handover)
{
	struct wbi_served_conn *conn = calloc(1, sizeof(*conn));

	if (!conn || wbi_tls_link_init(&conn->stream, handover->tls, env->loop, handover->fd,
				       on_link, WBI_READ, NULL) != WB_OK) {
		free(conn);
		wbi_session_conn_done(&handover->conn);
		wbi_tls_free(handover->tls);
		wbi_fd_close(&handover->fd);
		return NULL;
	}
	conn->env = env;
	conn->timer.fn = on_conn_timer;
	conn->conn = handover->conn;
	wbi_session_conn_adopt(&conn->conn, &conn->stream.link, env->scratch, on_conn_event);
	wbi_list_append(&env->connections, &conn->node);
	return conn;
}

/* Puts the connection under its session; the one that was there before is told, and closes. */
static void attach(struct wbi_served_conn *conn, struct wbi_served_session *served,
		   struct wbi_handover *handover)
{
	struct wbi_served_conn *older = served->conn;
	bool is_new = !served->grant;

	if (wbi_session_attach(served->session, conn->conn.carrier, wbi_clock_ms(), NULL) != WB_OK)
		return; /* the carrier has been told why */
	wbi_grant_free(served->grant);
	served->grant = handover->grant;
	handover->grant = NULL;
	if (is_new)
		wbi_trail_begun(served, &handover->from);
	else
		wbi_trail_returned(served, &handover->from);
	served->from = handover->from;
	wbi_served_watch_expiry(served);
	conn->session = served;
	served->conn = conn;
	served->leaving = false;
	if (handover->passed_on)
		wbi_served_review_one(served);
	if (older) {
		older->session = NULL;
		process(older, 0);
	}
}

void wbi_served_take(struct wbi_served_env *env, struct wbi_handover *handover)
{
	struct wbi_directory *directory = env->shared->directory;
	struct wbi_served_conn *conn;
	unsigned owner = env->index;
	void *found = NULL;
	bool has_place =
		wbi_directory_find(directory, handover->hello.session, &owner, &found) == WB_OK;
	struct wbi_served_session *served = found;

	if (owner != env->index) { /* it has moved since the greeter asked */
		handover->passed_on = true;
		wbi_worker_give(env->shared->workers[owner], handover);
		return;
	}
	conn = new_conn(env, handover);
	if (conn && !served && has_place && !env->calls.draining)
		served = new_session(env, handover);
	if (conn && !served)
		wbi_carrier_refuse(conn->conn.carrier, "full", true,
				   "the daemon can take no new session now");
	else if (conn && !wbi_principal_equal(&served->who, &handover->who))
		wbi_carrier_refuse(conn->conn.carrier, "refused", false,
				   "this session belongs to somebody else");
	else if (conn)
		attach(conn, served, handover);
	if (!served && has_place)
		wbi_directory_remove(directory, handover->hello.session, env->index);
	else if (served)
		wbi_served_kick(served->session); /* ends it if nothing was attached */
	wbi_grant_free(handover->grant);
	free(handover);
	if (conn)
		process(conn, 0);
}

/* ---- from one worker to another ---- */

/* A session on its way to the worker of the job that its only call is to be attached to. */
struct wbi_served_move {
	struct wbi_task task;
	struct wbi_served_env *to;
	struct wbi_served_session *session;
	struct wbi_call *call;
	uint64_t job;
	bool from_start;
	int fd; /* of its connection, and what is in it */
	struct wbi_tls *tls;
};

/* Takes everything off this thread's loop and lists; then the session is the other's. */
static void move_away(struct wbi_served_session *served)
{
	struct wbi_served_move *move = served->move;
	struct wbi_served_env *env = served->env;
	struct wbi_served_conn *conn = served->conn;

	served->move = NULL;
	move->session = served;
	wbi_loop_cancel(env->loop, &served->timer);
	wbi_loop_cancel(env->loop, &conn->timer);
	wbi_loop_cancel(env->loop, &served->expiry);
	wbi_tls_link_take(&conn->stream, &move->fd, &move->tls);
	wbi_list_remove(&served->kick.node);
	wbi_list_remove(&served->node);
	wbi_list_remove(&conn->node);
	wbi_pool_leave(&served->session->pool);
	atomic_fetch_add(&env->shared->undrained, 1);
	wbi_directory_move(env->shared->directory, served->session->id, move->to->index,
			   move->to->loop, &move->task);
	tell_drained(env);
}

static void on_arrival(struct wbi_task *task)
{
	struct wbi_served_move *move = WBI_CONTAINER(task, struct wbi_served_move, task);
	struct wbi_served_session *served = move->session;
	struct wbi_served_env *env = move->to;
	struct wbi_served_conn *conn = served->conn;
	struct wbi_event event = {
		.kind = WBI_EVENT_OPEN, .session = served->session, .call = move->call};

	/* Where all had gone there is one again: what stood for its journey stands for that now. */
	if (env->drained_told)
		env->drained_told = false;
	else
		count_drained(env->shared);
	served->env = conn->env = env;
	wbi_pool_join(&served->session->pool, &env->pool);
	wbi_list_append(&env->sessions, &served->node);
	wbi_list_append(&env->connections, &conn->node);
	wbi_session_conn_adopt(&conn->conn, &conn->stream.link, env->scratch, on_conn_event);
	if (wbi_tls_link_init(&conn->stream, move->tls, env->loop, move->fd, on_link, WBI_READ,
			      NULL)) {
		wbi_tls_free(move->tls);
		wbi_fd_close(&move->fd);
		conn->closed = conn->conn.failed = true;
	}
	wbi_served_review_one(served); /* while it was on its way, nobody looked */
	if (served->leaving)
		wbi_call_refuse(move->call, "denied", "this key is not let in any more");
	else
		wbi_exec_attach(&env->calls, move->job, move->from_start, &event);
	free(move);
	process(conn, 0);
}

enum wb_err wbi_served_attach_elsewhere(struct wbi_call *call, unsigned worker, uint64_t job,
					bool from_start)
{
	struct wbi_served_session *served = call->session->owner;
	struct wbi_served_move *move = calloc(1, sizeof(*move));

	if (!move || !served->conn) {
		free(move);
		return WB_ERR_NOMEM;
	}
	*move = (struct wbi_served_move){
		.task = {.fn = on_arrival},
		.to = wbi_worker_env(served->env->shared->workers[worker]),
		.call = call,
		.job = job,
		.from_start = from_start,
	};
	wbi_list_init(&move->task.node);
	served->move = move;
	wbi_session_conn_release(&served->conn->conn);
	return WB_OK;
}

/* ---- the end ---- */

void wbi_served_drain(struct wbi_served_env *env)
{
	for (struct wbi_list *node = env->sessions.next; node != &env->sessions; node = node->next)
		wbi_served_kick(WBI_CONTAINER(node, struct wbi_served_session, node)->session);
	tell_drained(env);
}

void wbi_served_done(struct wbi_served_env *env)
{
	env->calls.draining = false; /* nobody is to be told any more */
	while (!wbi_list_empty(&env->connections)) {
		struct wbi_served_conn *conn =
			WBI_CONTAINER(env->connections.next, struct wbi_served_conn, node);

		if (conn->session)
			conn->session->conn = NULL;
		conn->session = NULL;
		close_conn(conn);
	}
	while (!wbi_list_empty(&env->sessions))
		free_session(WBI_CONTAINER(env->sessions.next, struct wbi_served_session, node));
}
