/* What a worker serves: its sessions, and the connections that carry them. Nobody but the worker's
 * own thread, and no file but worker.c, calls in here.
 *
 *   served.c         sessions and connections: coming in, being served, the end
 *   served_review.c  sessions of keys, when what the keys may do has changed */
#ifndef WBI_SERVED_H
#define WBI_SERVED_H

#include <stdbool.h>

#include "app/worker.h"
#include "base/list.h"
#include "job/audit.h"
#include "job/job.h"
#include "service/call_service.h"
#include "sys/loop.h"
#include "transport/tls_link.h"

/* The worker's side of all this. */
struct wbi_served_env {
	struct wbi_worker_shared *shared;
	unsigned index;
	struct wbi_loop *loop;
	struct wbi_session_config config;
	struct wbi_pool pool;
	struct wbi_job_env jobs;
	struct wbi_audit audit;
	struct wbi_call_env calls;
	uint8_t *scratch;
	struct wbi_list sessions;
	struct wbi_list connections;
	struct wbi_timer idle; /* runs down once there are no sessions any more */
	bool drained_told;
};

struct wbi_served_conn;

/* session->owner. */
struct wbi_served_session {
	struct wbi_list node;
	struct wbi_served_env *env;
	struct wbi_session *session;
	struct wbi_principal who;
	struct wbi_grant *grant;      /* of the newest connection */
	struct wbi_addr from;         /* likewise */
	char agent[WBI_AGENT_MAX];    /* as the first hello said */
	struct wbi_served_conn *conn; /* NULL while nobody is connected */
	struct wbi_timer timer;
	struct wbi_timer expiry; /* of the grant */
	struct wbi_task kick;
	struct wbi_served_move *move; /* it is about to go to another worker */
	bool leaving; /* `bye` was said by either side: it ends with its connection */
};

struct wbi_served_conn {
	struct wbi_stream_link stream;
	struct wbi_session_conn conn;
	struct wbi_served_env *env;
	struct wbi_served_session *session; /* NULL once it is another connection's */
	struct wbi_list node;
	struct wbi_timer timer;
	bool closed; /* the link is gone already */
};

/* Takes a handover (which it frees) whose session is, or is to be, of this worker. */
void wbi_served_take(struct wbi_served_env *env, struct wbi_handover *handover);

/* Says `bye` to what has no calls any more; what has none left ends. */
void wbi_served_drain(struct wbi_served_env *env);

/* Asks the authority about every session of a key; ends those that it does not let in. */
void wbi_served_review(struct wbi_served_env *env);
void wbi_served_review_one(struct wbi_served_session *served);

/* Frees all connections and sessions. */
void wbi_served_done(struct wbi_served_env *env);

/* Sees to the session's timer `expiry` after its grant has changed; and what that timer does. */
void wbi_served_watch_expiry(struct wbi_served_session *served);
void wbi_served_on_expiry(struct wbi_timer *timer);

/* For struct wbi_call_env. */
enum wb_err wbi_served_attach_elsewhere(struct wbi_call *call, unsigned worker, uint64_t job,
					bool from_start);
void wbi_served_kick(struct wbi_session *session);
const struct wbi_principal *wbi_served_principal(struct wbi_session *session);
const char *wbi_served_client(struct wbi_session *session);
const struct wbi_grant *wbi_served_grant(struct wbi_session *session);

#endif
