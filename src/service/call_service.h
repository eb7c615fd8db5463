/* Services of sessions: what a call can ask for. One file each, one table that names them. */
#ifndef WBI_CALL_SERVICE_H
#define WBI_CALL_SERVICE_H

#include "job/audit.h"
#include "job/grant.h"
#include "job/job.h"
#include "job/keys.h"
#include "job/principal.h"
#include "job/registry.h"
#include "service/files_claim.h"
#include "session/session.h"
#include "sys/loop.h"
#include "waybill/limits.h"

/* What call services stand on; one a worker, one thread. */
struct wbi_call_env {
	struct wbi_loop *loop;
	struct wbi_job_env *jobs;
	struct wbi_registry *registry; /* shared by all workers */
	struct wbi_keys *keys;         /* likewise */
	struct wbi_audit *audit;
	const struct wb_limits *limits;
	const char *files_root;          /* put and get stay beneath this folder; NULL: none */
	uint64_t rest_bytes;             /* of exec, see exec_view.h */
	struct wbi_list transfers;       /* this worker's, see files_call.h */
	struct wbi_files_claims *claims; /* of the daemon's */
	unsigned worker;
	bool draining;
	/* Something was done to this session outside its events: its connection is to be processed
	 * soon. Cheap, may be repeated. */
	void (*kick)(struct wbi_session *session);
	/* Who the session belongs to. */
	const struct wbi_principal *(*principal)(struct wbi_session *session);
	/* What the client of the session calls itself; not escaped. */
	const char *(*client)(struct wbi_session *session);
	/* What the session may do; borrowed until the next event of the session. */
	const struct wbi_grant *(*grant)(struct wbi_session *session);
	/* Moves the session of an offered call, its only one, to the job's worker, and attaches the
	 * call to the job there. WB_OK: nothing of the session may be touched any more.
	 * WB_ERR_NOMEM. */
	enum wb_err (*attach_elsewhere)(struct wbi_call *call, unsigned worker, uint64_t job,
					bool from_start);
	/* What another worker's calls stand on. Only its loop may be touched, to post to. */
	struct wbi_call_env *(*other)(struct wbi_call_env *env, unsigned worker);
};

struct wbi_call_service;

/* What call->owner points at; a service embeds it first in its own record, which it frees at
 * WBI_EVENT_FORGET (or _drop). */
struct wbi_served_call {
	const struct wbi_call_service *service;
	struct wbi_call_env *env;
	struct wbi_call *call; /* NULL once forgotten */
};

struct wbi_call_service {
	const char *name;
	/* WBI_EVENT_OPEN: sets call->owner and ends in wbi_call_accept or wbi_call_exit, now or
	 * later. Where it refuses at once it may leave call->owner NULL: then no further event
	 * reaches it. */
	void (*open)(struct wbi_call_env *env, struct wbi_event *event);
	/* Any later event of the call (DATA, EOF, CREDIT, RESET, SIGNAL, RESIZE, CANCEL, FORGET).
	 */
	void (*event)(struct wbi_served_call *served, enum wbi_event_kind kind,
		      struct wbi_event *event);
	/* The session's connection was lost (connected = false), or is there again. NULL: no
	 * matter. */
	void (*connected)(struct wbi_served_call *served, bool connected);
	/* The session is about to be freed without FORGET (expired, or the daemon ends): the call
	 * dies with it; what goes on (a detached job) goes on without it. */
	void (*drop)(struct wbi_served_call *served);
};

/* NULL-terminated, in the order of `welcome`. */
extern const struct wbi_call_service *const wbi_call_services[];

extern const struct wbi_call_service wbi_attach_service;
extern const struct wbi_call_service wbi_jobs_service;
extern const struct wbi_call_service wbi_kill_service;
extern const struct wbi_call_service wbi_put_service;
extern const struct wbi_call_service wbi_get_service;

/* Ends a call that is not accepted: outcome refused, with a stable name and a sentence. */
void wbi_call_refuse(struct wbi_call *call, const char *error, const char *text);

/* Whether the session may have nothing to do with jobs; then the call was refused ("denied"). */
bool wbi_call_is_denied_jobs(struct wbi_call_env *env, struct wbi_call *call);

/* Ends a call that did what it was asked: outcome exited, code 0. */
void wbi_call_succeed(struct wbi_call *call);

/* The fields of `open` that any of them knows, NULL-terminated: what `crit` may name. */
extern const char *const wbi_call_fields[];

extern const struct wbi_call_service wbi_exec_service;

#endif
