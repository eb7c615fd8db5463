/* What the files of a job tell each other. Nobody else includes this. */
#ifndef WBI_JOB_STATE_H
#define WBI_JOB_STATE_H

#include "job/inlet.h"
#include "job/job.h"
#include "job/outlet.h"
#include "sys/cgroup.h"
#include "sys/kin.h"

enum { WBI_JOB_BURY_MS = 2000 }; /* for what will not die */

enum wbi_job_state {
	WBI_JOB_STATE_RUNNING,
	WBI_JOB_STATE_KILLING,
	WBI_JOB_STATE_DRAINING,
	WBI_JOB_STATE_ABORTING,
	WBI_JOB_STATE_REPORTED,
	WBI_JOB_STATE_DYING,
	WBI_JOB_STATE_LINGERING,
};

struct wbi_job {
	struct wbi_job_env *env;
	struct wbi_list node; /* in env->live or env->lingering */
	enum wbi_job_state state;
	struct wbi_log_store store;   /* of its logs */
	struct wbi_outlet outlets[2]; /* stdout, stderr */
	struct wbi_inlet inlet;       /* stdin */
	struct wbi_process process;
	struct wbi_leaf *leaf;        /* NULL: the command has no cgroup of its own */
	struct wbi_watch ended_watch; /* process.pidfd; told once */
	struct wbi_watch kin_watch;   /* KILLING, DYING: one of its kin that is still there */
	struct wbi_timer hold;        /* as long as it is set, our copies hold the pipes open */
	struct wbi_timer timer;       /* RUNNING: ends that wait; DRAINING: silence; KILLING,
				       DYING: grace */
	struct wbi_job_ops ops;
	void *owner;
	bool live, terminal;
	bool ended;     /* the process has */
	bool placed;    /* it counts in env->together */
	bool hurried;   /* it was killed: DRAINING waits for a time, not for silence or a reader */
	unsigned kills; /* KILLING, DYING: how often the grace has passed */
	enum wbi_job_outcome outcome;
	bool held_open;
	struct wbi_process_end end;
	struct wb_fault fault;
};

/* For starting: puts a job that has nothing yet into env->live. logs: bit i, outlets[i] has a log.
 */
void wbi_job_init(struct wbi_job *job, struct wbi_job_env *env, unsigned logs);

/* The process does not run any more, or was never started. */
void wbi_job_destroy(struct wbi_job *job);

void wbi_job_unwatch_process(struct wbi_job *job);

/* The process has just been started: watches it and its pipes. */
WB_WARN_UNUSED enum wb_err wbi_job_watch(struct wbi_job *job, struct wb_fault *fault);

/* Everybody that it has started and that is still to be found; while the process is unreaped. */
struct wbi_kin wbi_job_kin(const struct wbi_job *job);

/* It does not count among those that run any more, and nobody of its kin is to be killed: gives its
 * leaf back. Repeatable. */
void wbi_job_leave_place(struct wbi_job *job);

#endif
