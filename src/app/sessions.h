/* The session side of a daemon: greeter, directory, registry, workers, as one thing with a life. */
#ifndef WBI_SESSIONS_H
#define WBI_SESSIONS_H

#include "job/audit.h"
#include "job/principal.h"
#include "sys/loop.h"
#include "waybill/err.h"
#include "waybill/limits.h"

struct wbi_sessions; /* opaque, heap */

struct wbi_sessions_options {
	struct wbi_loop *loop; /* the acceptor's */
	struct wbi_audit *audit;
	const struct wb_limits *limits;
	const char *spool_folder;
	unsigned long nofile;
	wbi_task_fn *drained; /* called in the acceptor's loop, with `task`, when all have ended */
	struct wbi_task *task;
};

/* Starts the workers. Everything that options point at outlives this. */
WB_WARN_UNUSED enum wb_err wbi_sessions_new(const struct wbi_sessions_options *options,
					    struct wbi_sessions **ret_sessions,
					    struct wb_fault *fault);

/* Ends them: sessions are cut, what still runs is killed and reaped. NULL is allowed. */
void wbi_sessions_free(struct wbi_sessions *sessions);

/* Takes over an accepted socket of a caller who is known. On failure the caller still owns fd. */
WB_WARN_UNUSED enum wb_err wbi_sessions_accept(struct wbi_sessions *sessions, int fd,
					       const struct wbi_principal *who,
					       struct wb_fault *fault);

/* No new calls; options.drained is called once every session has ended. */
void wbi_sessions_drain(struct wbi_sessions *sessions);

#endif
