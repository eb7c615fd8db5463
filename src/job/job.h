/* A job: one command that runs, and its output as it comes.
 *
 * A shell line or an argv with stdin from /dev/null, stdout and stderr spooled. The job reports
 * once, when the command has ended and its output is complete. Protocol: "Ends". */
#ifndef WBI_JOB_H
#define WBI_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "job/spool.h"
#include "sys/loop.h"
#include "sys/spawn.h"
#include "waybill/limits.h"

struct wbi_job; /* opaque, heap */

/* What all jobs of a worker share. */
struct wbi_job_env {
	struct wbi_loop *loop; /* NULL: not initialised, or done */
	const struct wb_limits *limits;
	struct wbi_spool_account spool;
	struct wbi_list live;      /* jobs that have an owner, or a process that must still end */
	struct wbi_list lingering; /* the others, whose pipes someone still holds; oldest first */
	unsigned running;          /* processes that have not been reaped */
	unsigned lingering_count; /* at most limits->commands: past that the oldest pipes are closed
				   */
	int null_fd;              /* /dev/null, read-only */
	unsigned long nofile;     /* soft limit of open files for commands; 0: as it is */
};

/* loop, limits, folder (for temporary files) are borrowed until _done. limits->spool_bytes bounds
 * what this environment spools. Returns WB_OK, WB_ERR_SYSTEM, or WB_ERR_ARGUMENT where SIGCHLD is
 * ignored: the kernel would then drop every outcome. */
WB_WARN_UNUSED enum wb_err wbi_job_env_init(struct wbi_job_env *env, struct wbi_loop *loop,
					    const struct wb_limits *limits, const char *folder,
					    unsigned long nofile, struct wb_fault *fault);

/* Kills whatever still runs, reaps it (blocking; 2 s at the very most for what will not die), and
 * frees every job, also those that still have an owner: none may be used afterwards. All zero is
 * allowed. */
void wbi_job_env_done(struct wbi_job_env *env);

enum wbi_job_outcome {
	WBI_JOB_ENDED,    /* by itself; see end */
	WBI_JOB_OVERFLOW, /* killed: its output passed limits->output_bytes, or the spool is full */
	WBI_JOB_FAILED,   /* killed: its output could not be kept (disk full); see fault */
};

/* Called once, never from within wbi_job_start. The owner may free the job in it. */
typedef void wbi_job_fn(struct wbi_job *job, void *owner);

/* Starts `argv` (argv[0] absolute or searched in PATH).
 * Returns WB_OK; WB_ERR_LIMIT: limits->commands are running; WB_ERR_SYSTEM, WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_job_start(struct wbi_job_env *env, char *const *argv, wbi_job_fn *fn,
					 void *owner, struct wbi_job **ret_job,
					 struct wb_fault *fault);

/* What became of it; valid once fn was called. Borrowed. end: how the process ended, also where it
 * was killed. fault: why, for OVERFLOW and FAILED. */
enum wbi_job_outcome wbi_job_outcome(const struct wbi_job *job);
const struct wbi_process_end *wbi_job_end(const struct wbi_job *job);
const struct wb_fault *wbi_job_fault(const struct wbi_job *job);

/* Whether the command ended while someone else (a child in the background) held its pipes: the
 * output is what came until there was silence for limits->held_open_ms. Valid once fn was called.
 */
bool wbi_job_held_open(const struct wbi_job *job);

/* Its output: 1 stdout, 2 stderr. Borrowed; complete once fn was called (only for ENDED). */
const struct wbi_spool *wbi_job_output(const struct wbi_job *job, int stream);

/* "running", "draining", …: for logs and tests. Static storage. */
const char *wbi_job_state_name(const struct wbi_job *job);

/* Gives the job up; fn is not called any more. If the command still runs, its whole group is sent
 * HUP and TERM, and a second later KILL; what has left the group (setsid, or a shell's job control)
 * survives. It is reaped by the environment. After the command's own end nothing is killed; if
 * someone still holds its pipes, they are drained and discarded until they close, so that the
 * survivor gets no SIGPIPE. NULL is allowed. */
void wbi_job_free(struct wbi_job *job);

#endif
