/* The job: three watches (stdout, stderr, the process), one timer, one state.
 *
 *   RUNNING ──process ended──▶ DRAINING ──both pipes at their end, or silence──▶ REPORTED
 *      └─────too much output, or no place for it──▶ ABORTING ──process ended────▶ REPORTED
 *
 * and, once the owner has given it up:
 *
 *   RUNNING, ABORTING ──▶ DYING ──process ended, pipes at their end or closed──▶ freed
 *   DRAINING, REPORTED ──▶ LINGERING ──pipes at their end──▶ freed
 *
 * The process is reaped only when nothing needs killing any more: until then its number, which is
 * also its group's, belongs to nobody else. */
#include "job/job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "job/outlet.h"
#include "sys/clock.h"
#include "sys/fd.h"

enum {
	GRACE_MS = 1000, /* from TERM to KILL */
	BURY_MS = 2000,  /* at exit: for what will not die */
};

enum job_state { JOB_RUNNING, JOB_DRAINING, JOB_ABORTING, JOB_REPORTED, JOB_DYING, JOB_LINGERING };

static const char *const state_names[] = {
	[JOB_RUNNING] = "running",   [JOB_DRAINING] = "draining", [JOB_ABORTING] = "aborting",
	[JOB_REPORTED] = "reported", [JOB_DYING] = "dying",       [JOB_LINGERING] = "lingering",
};

struct wbi_job {
	struct wbi_job_env *env;
	struct wbi_list node; /* in env->live or env->lingering */
	enum job_state state;
	struct wbi_outlet outlets[2]; /* stdout, stderr */
	struct wbi_process process;
	struct wbi_watch ended_watch; /* process.pidfd while it runs; fd is -1 afterwards */
	struct wbi_timer timer;       /* DRAINING: silence; DYING: grace */
	wbi_job_fn *fn;
	void *owner;
	enum wbi_job_outcome outcome;
	bool held_open;
	struct wbi_process_end end;
	struct wb_fault fault;
};

static void set_state(struct wbi_job *job, enum job_state state)
{
	job->state = state;
}

const char *wbi_job_state_name(const struct wbi_job *job)
{
	return state_names[job->state];
}

static bool has_ended(const struct wbi_job *job)
{
	return job->ended_watch.fd < 0;
}

static bool is_open(const struct wbi_job *job)
{
	return wbi_outlet_is_open(&job->outlets[0]) || wbi_outlet_is_open(&job->outlets[1]);
}

/* ---- letting go ---- */

static void close_outlets(struct wbi_job *job)
{
	wbi_outlet_close(&job->outlets[0]);
	wbi_outlet_close(&job->outlets[1]);
}

static void unwatch_process(struct wbi_job *job)
{
	wbi_loop_unwatch(job->env->loop, &job->ended_watch);
	job->ended_watch.fd = -1;
}

/* Only for a process that has ended. */
static void reap(struct wbi_job *job)
{
	struct wb_fault fault;

	if (job->process.pid == 0)
		return;
	if (wbi_process_reap(&job->process, &job->end, &fault) != WB_OK &&
	    job->outcome == WBI_JOB_ENDED) {
		job->outcome = WBI_JOB_FAILED;
		job->fault = fault;
	}
	job->env->running--;
}

/* Nothing of it runs any more, or was ever started. */
static void destroy(struct wbi_job *job)
{
	wbi_loop_cancel(job->env->loop, &job->timer);
	unwatch_process(job);
	wbi_outlet_done(&job->outlets[0]);
	wbi_outlet_done(&job->outlets[1]);
	if (job->state == JOB_LINGERING)
		job->env->lingering_count--;
	wbi_list_remove(&job->node);
	free(job);
}

/* ---- output ---- */

/* Takes what the open ones of the outlets from `first` up to `last` hold now. */
static enum wb_err drain(struct wbi_job *job, int first, int last, bool to_end, bool *ret_came)
{
	bool keeps = job->state == JOB_RUNNING || job->state == JOB_DRAINING;
	enum wbi_outlet_use use = keeps ? WBI_OUTLET_KEEP : WBI_OUTLET_DISCARD;
	enum wb_err err = WB_OK;

	for (int i = first; i <= last && !err; i++) {
		uint64_t kept = job->outlets[0].spool.bytes + job->outlets[1].spool.bytes;
		uint64_t room = keeps ? job->env->limits->output_bytes - kept : UINT64_MAX;
		if (wbi_outlet_is_open(&job->outlets[i]))
			err = wbi_outlet_drain(&job->outlets[i], use, room, to_end, ret_came,
					       &job->fault);
	}
	return err;
}

/* ---- what happens next ---- */

/* The owner may free the job in fn: nothing of it may be touched afterwards. */
static void report(struct wbi_job *job)
{
	wbi_loop_cancel(job->env->loop, &job->timer);
	reap(job);
	set_state(job, JOB_REPORTED);
	job->fn(job, job->owner);
}

/* The group is killed, and the pipes are closed: whoever outlives that and goes on writing is not
 * to be fed for ever. */
static void abort_job(struct wbi_job *job, enum wb_err err)
{
	wbi_loop_cancel(job->env->loop, &job->timer);
	job->outcome = err == WB_ERR_LIMIT ? WBI_JOB_OVERFLOW : WBI_JOB_FAILED;
	wbi_process_kill_group(&job->process, SIGKILL);
	close_outlets(job);
	set_state(job, JOB_ABORTING);
}

/* Without memory for a timer there is no waiting: silence is taken as having passed. */
static bool wait_for_silence(struct wbi_job *job)
{
	return wbi_loop_timer(job->env->loop, &job->timer, job->env->limits->held_open_ms) == WB_OK;
}

static void end_dying(struct wbi_job *job)
{
	wbi_process_kill_group(&job->process, SIGKILL);
	reap(job);
	destroy(job);
}

/* Takes the job as far as its facts allow. It may be gone afterwards. came: bytes were read. */
static void advance(struct wbi_job *job, bool came)
{
	switch (job->state) {
	case JOB_RUNNING:
		if (!has_ended(job))
			return;
		/* Silence is counted from the command's end. */
		set_state(job, JOB_DRAINING);
		came = true;
		/* fall through */
	case JOB_DRAINING:
		job->held_open = is_open(job);
		if (!job->held_open || (came && !wait_for_silence(job)))
			report(job);
		return;
	case JOB_ABORTING:
		if (has_ended(job))
			report(job);
		return;
	case JOB_DYING:
		if (has_ended(job) && !is_open(job))
			end_dying(job);
		return;
	case JOB_LINGERING:
		if (!is_open(job))
			destroy(job);
		return;
	case JOB_REPORTED:
		return;
	}
}

static void on_output(struct wbi_job *job, int i, unsigned events)
{
	bool came = false;
	/* Hung up: nobody can write any more. */
	enum wb_err err = drain(job, i, i, events & WBI_HANGUP, &came);

	if (err)
		abort_job(job, err);
	advance(job, came);
}

static void on_stdout(struct wbi_watch *watch, unsigned events)
{
	on_output(WBI_CONTAINER(watch, struct wbi_job, outlets[0].watch), 0, events);
}

static void on_stderr(struct wbi_watch *watch, unsigned events)
{
	on_output(WBI_CONTAINER(watch, struct wbi_job, outlets[1].watch), 1, events);
}

/* Whatever the process itself wrote stands in the pipes by now, most often with their ends. */
static void on_ended(struct wbi_watch *watch, unsigned events)
{
	struct wbi_job *job = WBI_CONTAINER(watch, struct wbi_job, ended_watch);
	bool came = false;
	(void)events;

	unwatch_process(job);
	enum wb_err err = drain(job, 0, 1, true, &came);
	if (err)
		abort_job(job, err);
	advance(job, came);
}

/* Silence, unless something came while this loop was busy elsewhere. */
static void silence_passed(struct wbi_job *job)
{
	bool came = false;
	enum wb_err err = drain(job, 0, 1, false, &came);

	if (err)
		abort_job(job, err);
	if (err || came || !is_open(job))
		advance(job, came);
	else
		report(job);
}

static void on_timer(struct wbi_timer *timer)
{
	struct wbi_job *job = WBI_CONTAINER(timer, struct wbi_job, timer);

	switch (job->state) {
	case JOB_DRAINING:
		silence_passed(job);
		return;
	case JOB_DYING:
		wbi_process_kill_group(&job->process, SIGKILL);
		close_outlets(job);
		advance(job, false);
		return;
	case JOB_RUNNING:
	case JOB_ABORTING:
	case JOB_REPORTED:
	case JOB_LINGERING:
		return;
	}
}

/* ---- starting ---- */

static struct wbi_job *job_new(struct wbi_job_env *env, wbi_job_fn *fn, void *owner)
{
	struct wbi_job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	job->env = env;
	job->fn = fn;
	job->owner = owner;
	job->process = (struct wbi_process){.pidfd = -1};
	job->timer.fn = on_timer;
	wbi_watch_init(&job->ended_watch, on_ended, -1, WBI_READ);
	for (int i = 0; i < 2; i++)
		wbi_outlet_init(&job->outlets[i], env->loop, i == 0 ? on_stdout : on_stderr,
				&env->spool, env->limits->spool_memory_bytes);
	wbi_list_append(&env->live, &job->node);
	return job;
}

static enum wb_err start_process(struct wbi_job *job, char *const *argv, const int writers[2],
				 struct wb_fault *fault)
{
	struct wbi_job_env *env = job->env;
	struct wbi_spawn spawn = {
		.path = argv[0],
		.argv = argv,
		.search = true,
		.stdio = {env->null_fd, writers[0], writers[1]},
		.nofile = env->nofile,
	};
	enum wb_err err = wbi_spawn(&spawn, &job->process, fault);

	if (err)
		return err;
	job->ended_watch.fd = job->process.pidfd;
	err = wbi_loop_watch(env->loop, &job->ended_watch, fault);
	if (err) {
		wbi_process_kill_group(&job->process, SIGKILL);
		wbi_process_bury(&job->process, BURY_MS);
	} else {
		env->running++;
	}
	return err;
}

enum wb_err wbi_job_start(struct wbi_job_env *env, char *const *argv, wbi_job_fn *fn, void *owner,
			  struct wbi_job **ret_job, struct wb_fault *fault)
{
	int writers[2] = {-1, -1};
	struct wbi_job *job;
	enum wb_err err;

	if (env->running >= env->limits->commands)
		return wb_fault_set(fault, WB_ERR_LIMIT, NULL, 0, "%u commands are running already",
				    env->running);
	job = job_new(env, fn, owner);
	if (!job)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "start a command: no memory");
	/* Everything that can be refused is refused before the command runs: hence these first. */
	err = wbi_outlet_open(&job->outlets[0], &writers[0], fault);
	if (!err)
		err = wbi_outlet_open(&job->outlets[1], &writers[1], fault);
	if (!err)
		err = start_process(job, argv, writers, fault);
	wbi_fd_close(&writers[0]);
	wbi_fd_close(&writers[1]);
	if (err)
		destroy(job);
	else
		*ret_job = job;
	return err;
}

/* ---- the owner's side ---- */

enum wbi_job_outcome wbi_job_outcome(const struct wbi_job *job)
{
	return job->outcome;
}

const struct wbi_process_end *wbi_job_end(const struct wbi_job *job)
{
	return &job->end;
}

const struct wb_fault *wbi_job_fault(const struct wbi_job *job)
{
	return &job->fault;
}

bool wbi_job_held_open(const struct wbi_job *job)
{
	return job->held_open;
}

const struct wbi_spool *wbi_job_output(const struct wbi_job *job, int stream)
{
	return &job->outlets[stream - 1].spool;
}

/* HUP and TERM ask; CONT lets the stopped hear it. */
static void begin_dying(struct wbi_job *job)
{
	set_state(job, JOB_DYING);
	wbi_process_kill_group(&job->process, SIGHUP);
	wbi_process_kill_group(&job->process, SIGTERM);
	wbi_process_kill_group(&job->process, SIGCONT);
	if (wbi_loop_timer(job->env->loop, &job->timer, GRACE_MS) != WB_OK) {
		wbi_process_kill_group(&job->process, SIGKILL);
		close_outlets(job);
	}
}

static void begin_lingering(struct wbi_job *job)
{
	struct wbi_job_env *env = job->env;

	reap(job);
	wbi_list_remove(&job->node);
	wbi_list_append(&env->lingering, &job->node);
	env->lingering_count++;
	set_state(job, JOB_LINGERING);
	if (env->lingering_count > env->limits->commands)
		destroy(WBI_CONTAINER(env->lingering.next, struct wbi_job, node));
}

void wbi_job_free(struct wbi_job *job)
{
	if (!job)
		return;
	wbi_loop_cancel(job->env->loop, &job->timer);
	wbi_spool_done(&job->outlets[0].spool);
	wbi_spool_done(&job->outlets[1].spool);
	switch (job->state) {
	case JOB_RUNNING:
		begin_dying(job);
		return;
	case JOB_ABORTING: /* killed already */
		set_state(job, JOB_DYING);
		return;
	case JOB_DRAINING:
	case JOB_REPORTED:
		if (is_open(job))
			begin_lingering(job);
		else
			destroy(job);
		return;
	case JOB_DYING:
	case JOB_LINGERING:
		return; /* has no owner */
	}
}

/* ---- the environment ---- */

enum wb_err wbi_job_env_init(struct wbi_job_env *env, struct wbi_loop *loop,
			     const struct wb_limits *limits, const char *folder,
			     unsigned long nofile, struct wb_fault *fault)
{
	struct sigaction child;

	if (sigaction(SIGCHLD, NULL, &child) == 0 &&
	    (child.sa_handler == SIG_IGN || (child.sa_flags & SA_NOCLDWAIT)))
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0,
				    "SIGCHLD is ignored: no command's outcome could be known");
	int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null_fd < 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "/dev/null: %m");
	*env = (struct wbi_job_env){
		.loop = loop,
		.limits = limits,
		.spool = {.folder = folder, .limit_bytes = limits->spool_bytes},
		.null_fd = null_fd,
		.nofile = nofile,
	};
	wbi_list_init(&env->live);
	wbi_list_init(&env->lingering);
	return WB_OK;
}

/* All are killed before the first is waited for, and one deadline serves all. */
static void end_all(struct wbi_list *jobs)
{
	uint64_t deadline_ms = wbi_clock_ms() + BURY_MS;

	for (struct wbi_list *at = jobs->next; at != jobs; at = at->next)
		wbi_process_kill_group(&WBI_CONTAINER(at, struct wbi_job, node)->process, SIGKILL);
	while (!wbi_list_empty(jobs)) {
		struct wbi_job *job = WBI_CONTAINER(jobs->next, struct wbi_job, node);
		uint64_t now_ms = wbi_clock_ms();
		unwatch_process(job);
		if (job->process.pid != 0) {
			wbi_process_bury(&job->process,
					 now_ms < deadline_ms ? (int)(deadline_ms - now_ms) : 0);
			job->env->running--;
		}
		destroy(job);
	}
}

void wbi_job_env_done(struct wbi_job_env *env)
{
	if (!env->loop)
		return;
	end_all(&env->live);
	end_all(&env->lingering);
	wbi_fd_close(&env->null_fd);
	env->loop = NULL;
}
