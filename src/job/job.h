/* A job: one command that runs, what goes into it, and its output as it comes.
 *
 * Two kinds. A *plain* job (wbi_job_start) has stdin from /dev/null, and its output is spooled
 * until it is complete. A *live* job (wbi_job_start_live) has whatever streams were asked for, or a
 * terminal; its output goes to logs that are read while it runs, and where nobody reads them the
 * command blocks. Both report once, when the command has ended and its output is complete.
 * Protocol: "Ends". */
#ifndef WBI_JOB_H
#define WBI_JOB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "job/log.h"
#include "job/spool.h"
#include "sys/cgroup.h"
#include "sys/loop.h"
#include "sys/spawn.h"
#include "waybill/limits.h"

struct wbi_job; /* opaque, heap */

enum { WBI_JOB_LOG_BYTES = 32 << 20 }; /* lent to all logs of a worker, beyond what each owns */

/* What all jobs of a worker share. */
struct wbi_job_env {
	struct wbi_loop *loop; /* NULL: not initialised, or done */
	const struct wb_limits *limits;
	struct wbi_spool_account spool;
	struct wbi_log_memory log_memory;
	struct wbi_list live;      /* jobs that have an owner, or a process that must still end */
	struct wbi_list lingering; /* the others, whose pipes someone still holds; oldest first */
	struct wbi_list records;   /* of whoever owns the live jobs; never looked at here */
	unsigned running;          /* processes that have not been reaped */
	/* Commands of all environments under one limit; NULL: this is the only one. Set after
	 * _init. */
	atomic_uint *together;
	/* Where each command gets a leaf; NULL: none does. Set after _init; borrowed until _done.
	 */
	struct wbi_cgroup *cgroup;
	unsigned lingering_count; /* at most limits->commands: past that the oldest pipes are closed
				   */
	int null_fd;              /* /dev/null, for reading and writing */
	unsigned long nofile;     /* soft limit of open files for commands; 0: as it is */
};

/* loop, limits, folder (for temporary files) are borrowed until _done. limits->spool_bytes bounds
 * what this environment spools. From here on this process ignores SIGPIPE (commands do not).
 * Returns WB_OK, WB_ERR_SYSTEM, or WB_ERR_ARGUMENT where SIGCHLD is ignored: the kernel would then
 * drop every outcome. */
WB_WARN_UNUSED enum wb_err wbi_job_env_init(struct wbi_job_env *env, struct wbi_loop *loop,
					    const struct wb_limits *limits, const char *folder,
					    unsigned long nofile, struct wb_fault *fault);

/* Kills whatever still runs, reaps it (blocking; 2 s at the very most for what will not die), and
 * frees every job, also those that still have an owner: none may be used afterwards. All zero is
 * allowed. */
void wbi_job_env_done(struct wbi_job_env *env);

enum wbi_job_outcome {
	WBI_JOB_ENDED,    /* by itself, or by wbi_job_kill; see end */
	WBI_JOB_OVERFLOW, /* plain, killed: its output passed limits->output_bytes, or the spool is
			     full */
	WBI_JOB_FAILED, /* its output could not be kept, or not before it was to end; or its end is
			   unknown; see fault */
};

/* Called once, never from within wbi_job_start. The owner may free the job in it. */
typedef void wbi_job_fn(struct wbi_job *job, void *owner);

/* Starts `argv` (argv[0] absolute or searched in PATH).
 * Returns WB_OK; WB_ERR_LIMIT: limits->commands are running; WB_ERR_SYSTEM, WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_job_start(struct wbi_job_env *env, char *const *argv, wbi_job_fn *fn,
					 void *owner, struct wbi_job **ret_job,
					 struct wb_fault *fault);

/* What a live job tells its owner, never from within a call of the owner's to the job. */
struct wbi_job_ops {
	wbi_job_fn *ended; /* as above */
	/* The log of `stream` has more, or has ended (some milliseconds late, or with the command).
	 * May not free the job. */
	void (*output)(struct wbi_job *job, void *owner, int stream);
	/* `bytes` more of what waited were written, or (look at wbi_job_takes_input) there is
	 * nobody left to read them. May not free the job. */
	void (*input)(struct wbi_job *job, void *owner, size_t bytes);
};

/* What a live job is to be. All borrowed until _start_live returns. */
struct wbi_job_spec {
	const char *path; /* of the program: absolute, or relative to folder */
	char *const *argv;
	char *const *envp;
	const char *folder; /* NULL: where we are */
	unsigned streams;   /* bit n: 0, 1, 2 is a pipe; the others are /dev/null */
	bool terminal;      /* a pseudo-terminal is all three: streams 0 and 1 */
	uint16_t rows, cols;
	const struct wbi_job_ops *ops; /* static */
	void *owner;
};

/* Returns as wbi_job_start; with WB_ERR_SYSTEM, fault->system_errno says why it did not start. */
WB_WARN_UNUSED enum wb_err wbi_job_start_live(struct wbi_job_env *env,
					      const struct wbi_job_spec *spec,
					      struct wbi_job **ret_job, struct wb_fault *fault);

/* What became of it; valid once it was reported. Borrowed. end: how the process ended, also where
 * it was killed. fault: why, for OVERFLOW and FAILED. */
enum wbi_job_outcome wbi_job_outcome(const struct wbi_job *job);
const struct wbi_process_end *wbi_job_end(const struct wbi_job *job);
const struct wb_fault *wbi_job_fault(const struct wbi_job *job);

/* Whether the command ended while someone else (a child in the background) held its pipes: the
 * output is what came until there was silence for limits->held_open_ms. Valid once it was reported.
 */
bool wbi_job_held_open(const struct wbi_job *job);

/* Plain: its output, 1 stdout, 2 stderr. Borrowed; complete once fn was called (only for ENDED). */
const struct wbi_spool *wbi_job_output(const struct wbi_job *job, int stream);

/* "running", "draining", …: for logs and tests. Static storage. */
const char *wbi_job_state_name(const struct wbi_job *job);

/* ---- live jobs ---- */

/* The owner that was given; NULL for a plain job, and for one that was freed. */
void *wbi_job_owner(const struct wbi_job *job);

/* 0 once it was reaped. */
pid_t wbi_job_pid(const struct wbi_job *job);

/* The log of stream 1 or 2; NULL where the job has no such stream. Borrowed. */
struct wbi_log *wbi_job_log(struct wbi_job *job, int stream);

/* Something of a log was released: a command that was blocked may go on. */
void wbi_job_resume(struct wbi_job *job, int stream);

/* Nobody wants that stream any more: the command's next write to it fails (SIGPIPE). */
void wbi_job_close_output(struct wbi_job *job, int stream);

/* Gives bytes to the command's stdin. Returns how many it took at once; of the rest, which is kept,
 * ops->input tells. The caller bounds what is kept: it stops giving. */
size_t wbi_job_input(struct wbi_job *job, const void *data, size_t bytes);

/* How much of that still waits. */
size_t wbi_job_input_waiting(const struct wbi_job *job);

/* The end of stdin, behind what waits. A terminal is typed its end-of-file character. */
void wbi_job_end_input(struct wbi_job *job);

/* False: the job has no stdin, it has been ended, or nobody reads it any more. */
bool wbi_job_takes_input(const struct wbi_job *job);

/* Sends a signal: with a terminal to the group in its foreground, else to the job's own. */
void wbi_job_signal(struct wbi_job *job, int signal);

void wbi_job_resize(struct wbi_job *job, uint16_t rows, uint16_t cols);

/* Ends it: all of its POSIX session, and of its leaf, is sent HUP, TERM and CONT, and what is left
 * after a second KILL; what has left the session survives where there is no leaf. It is then
 * reported with all that it wrote, for which no reader has to make room. A command that has ended
 * and whose output is still being waited for is so reported soon. Returns whether it was still
 * running: so, whether this ended it. */
bool wbi_job_kill(struct wbi_job *job);

/* Gives the job up; nothing is told any more. If the command still runs, it is killed as above; it
 * is reaped by the environment. After the command's own end nothing is killed; if someone still
 * holds its pipes, they are drained and discarded until they close, so that the survivor gets no
 * SIGPIPE. NULL is allowed. */
void wbi_job_free(struct wbi_job *job);

#endif
