/* A worker: one thread, one loop, and the sessions that are its own.
 *
 * The acceptor reads `hello` and hands the connection over; from then on nothing of it is touched
 * by any other thread. Protocol: "Sessions". */
#ifndef WBI_WORKER_H
#define WBI_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "app/directory.h"
#include "conn/session_conn.h"
#include "job/keys.h"
#include "job/principal.h"
#include "job/registry.h"
#include "session/session.h"
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
	struct wbi_worker **workers; /* worker_count of them */
	unsigned worker_count;
	const char *spool_folder;
	unsigned long nofile; /* soft limit of open files for commands; 0: as it is */
	/* Called in a worker's thread when it drains and its last session has ended. */
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

/* Frees every session of a stopped worker, and kills and reaps what still runs. NULL is allowed. */
void wbi_worker_free(struct wbi_worker *worker);

/* From any thread: no new calls; every session is told `bye` as soon as it has no calls. */
void wbi_worker_drain(struct wbi_worker *worker);

/* A connection whose `hello` has been read, on its way to the worker that owns its session. */
struct wbi_handover {
	struct wbi_task task;
	struct wbi_worker *worker;
	struct wbi_session_conn conn; /* released; the handover owns it */
	struct wbi_hello hello;
	struct wbi_principal who;
	int fd;
};

/* What that worker's sessions stand on; from another thread only its loop, to post to. */
struct wbi_served_env *wbi_worker_env(struct wbi_worker *worker);

/* From any thread: gives the handover (heap) away. */
void wbi_worker_give(struct wbi_worker *worker, struct wbi_handover *handover);

#endif
