/* The job of an exec: what its files tell each other, but for views (see exec_view.h). Nobody
 * else includes this.
 *
 * A job without a view is detached: it runs on, or has ended and is kept for somebody to collect.
 */
#ifndef WBI_EXEC_JOB_H
#define WBI_EXEC_JOB_H

#include "service/call_service.h"
#include "service/exec_request.h"

enum {
	WBI_EXEC_KEPT_MAX = 64,        /* jobs of a worker that have ended and wait for somebody */
	WBI_EXEC_INPUT_MAX = 16 << 20, /* unread stdin of one job; more than one client's window */
};

/* Why it was ended, where it did not by itself. */
enum wbi_exec_cause {
	WBI_EXEC_BY_ITSELF,
	WBI_EXEC_BY_KILL, /* from elsewhere; how it ended then is its own outcome */
	WBI_EXEC_BY_TIMEOUT,
	WBI_EXEC_BY_CANCEL,
	WBI_EXEC_BY_DAMAGE, /* its stdin did not arrive as it was sent */
};

struct wbi_exec_view;

/* stdin that the command has not read and whose client has left. */
struct wbi_exec_input {
	uint64_t bytes;
	uint64_t borrowed;     /* <= bytes; from the pool */
	struct wbi_pool *pool; /* the worker's, of windows; NULL: there is none */
};

struct wbi_exec_job {
	struct wbi_list node; /* in env->jobs->records */
	struct wbi_call_env *env;
	struct wbi_job *job;
	struct wbi_exec_view *view; /* NULL: nobody looks */
	struct wbi_registry_entry entry;
	pid_t pid;
	bool terminal, keyed; /* keyed: a key stands for it */
	enum wbi_exec_policy policy;
	uint64_t hold_ms;
	enum wbi_exec_cause cause;
	bool ended; /* `exit` stands */
	struct wbi_exit exit;
	char *forced;               /* command= of the key that began it; NULL: none */
	struct wbi_exec_input left; /* by earlier views, for the command to read first */
	struct wbi_timer timeout, hold;
	struct wbi_timer look; /* soon after there was output: tells the registry, trims the logs */
};

/* Starts what was asked for, in the registry too, for whoever the session belongs to. The job has
 * no view yet. fault->system_errno as for wbi_job_start_live. */
WB_WARN_UNUSED enum wb_err wbi_exec_job_new(struct wbi_call_env *env, struct wbi_session *session,
					    const struct wbi_exec_request *request,
					    unsigned streams, struct wbi_exec_job **ret_exec,
					    struct wb_fault *fault);

/* Ends whatever runs, and forgets the job. It must have no view. */
void wbi_exec_job_free(struct wbi_exec_job *exec);

/* The view is gone for good; the job goes on without, and is kept for a while once it has ended. */
void wbi_exec_job_detach(struct wbi_exec_job *exec);

/* Whether its client is there. What nobody there reads is kept in files too. */
void wbi_exec_job_attended(struct wbi_exec_job *exec, bool attended);

/* HUP, TERM, KILL; the outcome will say why. */
void wbi_exec_job_end(struct wbi_exec_job *exec, enum wbi_exec_cause cause);

/* The client of this call, which looks at the job, leaves (and the job goes on): what the command
 * has not read of its stdin is the job's from here on. The session must not have been freed. */
void wbi_exec_input_leave(struct wbi_exec_job *exec, struct wbi_call *call);

/* So many bytes of input were written. Returns how many of them are the present view's. */
size_t wbi_exec_input_read(struct wbi_exec_job *exec, size_t bytes);

/* Nobody will read what was left. Repeatable. */
void wbi_exec_input_drop(struct wbi_exec_job *exec);

/* Whether another client may bring stdin, in the place of the present one if there is one: not
 * where the command leaves too much of it unread already, nor where the worker's pool is so short
 * that what there is exceeds what can be borrowed for it by more than WBI_WINDOW_OWN. */
bool wbi_exec_input_may_grow(struct wbi_exec_job *exec);

struct wbi_exec_job *wbi_exec_job_find(struct wbi_call_env *env, uint64_t number);

#endif
