/* A worker: one thread, one loop, and the sessions that are its own.
 *
 * The acceptor reads `hello` and hands the connection over; from then on nothing of it is touched
 * by any other thread. Protocol: "Sessions". */
#ifndef WBI_WORKER_H
#define WBI_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "app/authority.h"
#include "app/directory.h"
#include "conn/session_conn.h"
#include "job/audit.h"
#include "job/grant.h"
#include "job/keys.h"
#include "job/principal.h"
#include "job/registry.h"
#include "service/files_claim.h"
#include "session/session.h"
#include "transport/tls.h"
#include "waybill/err.h"
#include "waybill/limits.h"

struct wbi_worker; /* opaque, heap */
struct wbi_served_env;

/* What all workers of a daemon share; read-only but for what guards itself. Outlives them. */
struct wbi_worker_shared {
	struct wbi_session_config session; /* role server; its pool is set by each worker */
	const struct wb_limits *limits;    /* of the daemon */
	struct wbi_directory *directory;
	struct wbi_registry *registry;
	struct wbi_keys *keys;
	struct wbi_authority *authority; /* never changes; NULL: nobody is known by a key */
	atomic_uint guests;              /* sessions of those who are known by a key */
	enum wbi_audit_format log_format;
	struct wbi_worker **workers; /* worker_count of them */
	unsigned worker_count;
	atomic_uint *commands;     /* that run, of the whole daemon */
	_Atomic uint64_t *spooled; /* bytes of their output in files */
	struct wbi_cgroup *cgroup; /* where commands get theirs; NULL: none */
	const char *spool_folder;
	const char *files_root;         /* put and get stay beneath it; NULL: no such folder */
	struct wbi_files_claims claims; /* of puts and gets that run */
	unsigned long nofile;           /* soft limit of open files for commands; 0: as it is */
	/* Workers that have not drained, and sessions on their way from one to another. */
	atomic_uint undrained;
	/* Called, in a worker's thread, when there is neither any more. */
	void (*drained)(struct wbi_worker_shared *shared);
};

/* Makes worker number `index` of shared->workers, without a thread yet. */
WB_WARN_UNUSED enum wb_err wbi_worker_new(struct wbi_worker_shared *shared, unsigned index,
					  struct wbi_worker **ret_worker, struct wb_fault *fault);

/* Starts its thread. Returns WB_OK or WB_ERR_SYSTEM. */
WB_WARN_UNUSED enum wb_err wbi_worker_start(struct wbi_worker *worker, struct wb_fault *fault);

/* Stops the thread, if it runs. All workers are stopped before the first is freed: each may still
 * hand a connection to each. NULL is allowed. */
void wbi_worker_stop(struct wbi_worker *worker);

/* Once all are stopped: lets what was on its way to this one arrive, so that it has an owner, who
 * frees it. May send it on: call it for all of them, twice. */
void wbi_worker_settle(struct wbi_worker *worker);

/* Frees every session of a stopped worker, and kills and reaps what still runs. NULL is allowed. */
void wbi_worker_free(struct wbi_worker *worker);

/* From any thread: no new calls; every session is told `bye` as soon as it has no calls. */
void wbi_worker_drain(struct wbi_worker *worker);

/* From any thread: the authorities were changed. Sessions of keys that are not let in any more are
 * ended. */
void wbi_worker_review(struct wbi_worker *worker);

/* A connection whose `hello` has been read, on its way to the worker that owns its session. */
struct wbi_handover {
	struct wbi_task task;
	struct wbi_worker *worker;
	struct wbi_session_conn conn; /* released; the handover owns it */
	struct wbi_hello hello;
	struct wbi_principal who;
	struct wbi_addr from;
	struct wbi_grant *grant; /* the handover's own, and so are these: */
	struct wbi_tls *tls;     /* NULL: none */
	int fd;
	bool passed_on; /* from one worker to another: a change of the keys may have overtaken it */
};

/* What that worker's sessions stand on; from another thread only its loop, to post to. */
struct wbi_served_env *wbi_worker_env(struct wbi_worker *worker);

/* From any thread: gives the handover (heap) away. */
void wbi_worker_give(struct wbi_worker *worker, struct wbi_handover *handover);

#endif
