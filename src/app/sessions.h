/* The session side of a daemon: greeter, directory, registry, workers, as one thing with a life. */
#ifndef WBI_SESSIONS_H
#define WBI_SESSIONS_H

#include <stdatomic.h>

#include "app/greeter.h"
#include "job/audit.h"
#include "sys/cgroup.h"
#include "sys/loop.h"
#include "waybill/err.h"
#include "waybill/limits.h"

struct wbi_sessions; /* opaque, heap */

struct wbi_sessions_options {
	struct wbi_loop *loop; /* the acceptor's */
	struct wbi_audit *audit;
	const struct wb_limits *limits;
	const char *spool_folder;
	const char *files_root;    /* NULL: none */
	atomic_uint *commands;     /* that run, of the whole daemon */
	_Atomic uint64_t *spooled; /* bytes of their output in files */
	unsigned long nofile;
	struct wbi_cgroup *cgroup;           /* where commands get theirs; NULL: none */
	const struct wbi_identity *identity; /* the host's, for tls; NULL: no tls */
	struct wbi_authority *authority;     /* with it */
	wbi_task_fn *drained; /* called in the acceptor's loop, with `task`, when all have ended */
	struct wbi_task *task;
};

/* Starts the workers. Everything that options point at outlives this. */
WB_WARN_UNUSED enum wb_err wbi_sessions_new(const struct wbi_sessions_options *options,
					    struct wbi_sessions **ret_sessions,
					    struct wb_fault *fault);

/* Ends them: sessions are cut, what still runs is killed and reaped. NULL is allowed. */
void wbi_sessions_free(struct wbi_sessions *sessions);

/* Before the first caller who shows a key: starts TLS. Safe to repeat. */
WB_WARN_UNUSED enum wb_err wbi_sessions_begin_tls(struct wbi_sessions *sessions,
						  struct wb_fault *fault);

/* Takes over an accepted socket. On failure the caller still owns fd. */
WB_WARN_UNUSED enum wb_err wbi_sessions_accept(struct wbi_sessions *sessions, int fd,
					       const struct wbi_caller *caller,
					       struct wb_fault *fault);

/* No new calls; options.drained is called once every session has ended. */
void wbi_sessions_drain(struct wbi_sessions *sessions);

#endif
