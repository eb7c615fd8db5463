/* The job: watches (stdout, stderr, stdin, the process), one timer, one state.
 *
 *   RUNNING ──process ended──▶ DRAINING ──both pipes at their end, or silence──▶ REPORTED
 *      │  └─kill──▶ KILLING ──all of its kin have ended──▲
 *      └─────too much output, or no place for it──▶ ABORTING ──process ended────▶ REPORTED
 *
 * and, once the owner has given it up:
 *
 *   RUNNING, KILLING, ABORTING ──▶ DYING ──kin ended, pipes at their end or closed──▶ freed
 *   DRAINING, REPORTED ──▶ LINGERING ──pipes at their end──▶ freed
 *
 * The process is reaped only when nothing needs killing any more: until then its number, which is
 * also its group's and its session's, belongs to nobody else. */
#include "job/job.h"

#include <signal.h>
#include <stdlib.h>

#include "job/job_state.h"
#include "sys/fd.h"

enum {
	GRACE_MS = 1000, /* from TERM to KILL */
	KILLS_MAX = 3,   /* as often, then what is left is stuck in the kernel */
	END_SOON_MS = 4, /* how long the end of a stream waits for the command's */
	HOLD_MS = 4,     /* so long the end of a stream is not even heard of before that */
	HURRY_MS = 250,  /* for a command that is just being started to let go of our pipes */
};

static const char *const state_names[] = {
	[WBI_JOB_STATE_RUNNING] = "running",     [WBI_JOB_STATE_KILLING] = "killing",
	[WBI_JOB_STATE_DRAINING] = "draining",   [WBI_JOB_STATE_ABORTING] = "aborting",
	[WBI_JOB_STATE_REPORTED] = "reported",   [WBI_JOB_STATE_DYING] = "dying",
	[WBI_JOB_STATE_LINGERING] = "lingering",
};

static void set_state(struct wbi_job *job, enum wbi_job_state state)
{
	job->state = state;
}

const char *wbi_job_state_name(const struct wbi_job *job)
{
	return state_names[job->state];
}

static bool has_ended(const struct wbi_job *job)
{
	return job->ended;
}

static bool is_open(const struct wbi_job *job)
{
	return wbi_outlet_is_open(&job->outlets[0]) || wbi_outlet_is_open(&job->outlets[1]);
}

/* Output waits for its reader, not for the command. */
static bool is_paused(const struct wbi_job *job)
{
	return job->outlets[0].paused || job->outlets[1].paused;
}

static bool keeps_output(const struct wbi_job *job)
{
	return job->state <= WBI_JOB_STATE_DRAINING;
}

/* ---- letting go ---- */

static void close_outlets(struct wbi_job *job)
{
	wbi_outlet_close(&job->outlets[0]);
	wbi_outlet_close(&job->outlets[1]);
}

void wbi_job_unwatch_process(struct wbi_job *job)
{
	wbi_loop_unwatch(job->env->loop, &job->ended_watch);
	job->ended_watch.fd = -1;
}

/* From here on its pipes end with their last writer. */
static void let_go(struct wbi_job *job)
{
	wbi_loop_cancel(job->env->loop, &job->hold);
	wbi_outlet_let_go(&job->outlets[0]);
	wbi_outlet_let_go(&job->outlets[1]);
}

/* Most commands end soon, and their pipes a moment before them. To be woken for each of these would
 * cost a short command a good part of its time, so at first we hold the pipes open ourselves, and
 * its end is the first that is heard of. */
enum wb_err wbi_job_watch(struct wbi_job *job, struct wb_fault *fault)
{
	struct wbi_loop *loop = job->env->loop;
	enum wb_err err;

	job->ended_watch.fd = job->process.pidfd;
	err = wbi_loop_watch(loop, &job->ended_watch, fault);
	for (int i = 0; i < 2 && !err; i++)
		err = wbi_outlet_watch(&job->outlets[i], fault);
	if (!err && is_open(job) && wbi_loop_timer(loop, &job->hold, HOLD_MS) != WB_OK)
		let_go(job);
	return err;
}

static void unwatch_kin(struct wbi_job *job)
{
	wbi_loop_unwatch(job->env->loop, &job->kin_watch);
	wbi_fd_close(&job->kin_watch.fd);
}

/* Only for a process that has ended. */
static void reap(struct wbi_job *job)
{
	struct wb_fault fault;

	if (job->process.pid == 0)
		return;
	if (wbi_process_wait(&job->process, &job->end, &fault) != WB_OK &&
	    job->outcome == WBI_JOB_ENDED) {
		job->outcome = WBI_JOB_FAILED;
		job->fault = fault;
	}
	wbi_loop_retire(job->env->loop, &job->ended_watch);
	job->process.pidfd = -1;
	job->env->running--;
	wbi_job_leave_place(job);
}

void wbi_job_destroy(struct wbi_job *job)
{
	wbi_loop_cancel(job->env->loop, &job->timer);
	wbi_loop_cancel(job->env->loop, &job->hold);
	wbi_job_unwatch_process(job);
	unwatch_kin(job);
	wbi_job_leave_place(job);
	wbi_inlet_close(&job->inlet);
	wbi_outlet_done(&job->outlets[0]);
	wbi_outlet_done(&job->outlets[1]);
	if (job->state == WBI_JOB_STATE_LINGERING)
		job->env->lingering_count--;
	wbi_list_remove(&job->node);
	free(job);
}

/* ---- output ---- */

/* Its pipe is at its end, which nobody was told yet. */
static bool is_ending(const struct wbi_outlet *outlet)
{
	return outlet->has_log && !wbi_outlet_is_open(outlet) && !outlet->log.source.ended;
}

static void tell_ends(struct wbi_job *job)
{
	for (int i = 0; i < 2; i++) {
		if (!is_ending(&job->outlets[i]))
			continue;
		wbi_log_end(&job->outlets[i].log, false);
		job->ops.output(job, job->owner, i + 1);
	}
}

/* Most commands end a moment after their pipes: then one thing is told, and not three. */
static bool ends_soon(struct wbi_job *job)
{
	return job->state == WBI_JOB_STATE_RUNNING && !has_ended(job) &&
	       wbi_loop_timer(job->env->loop, &job->timer, END_SOON_MS) == WB_OK;
}

static void tell_output(struct wbi_job *job, int i, bool came)
{
	if (came)
		job->ops.output(job, job->owner, i + 1);
	if (is_ending(&job->outlets[i]) && !ends_soon(job))
		tell_ends(job);
}

static uint64_t spool_room(const struct wbi_job *job)
{
	uint64_t kept = job->outlets[0].spool.bytes + job->outlets[1].spool.bytes;

	return job->env->limits->output_bytes - kept;
}

static enum wb_err drain_one(struct wbi_job *job, int i, bool to_end, bool *ret_came)
{
	struct wbi_outlet *outlet = &job->outlets[i];
	bool keeps = keeps_output(job), came = false;
	uint64_t room = keeps && !job->live ? spool_room(job) : UINT64_MAX;
	enum wb_err err;

	if (!wbi_outlet_is_open(outlet))
		return WB_OK;
	err = wbi_outlet_drain(outlet, keeps ? WBI_OUTLET_KEEP : WBI_OUTLET_DISCARD, room, to_end,
			       &came, &job->fault);
	if (keeps && job->live)
		tell_output(job, i, came);
	*ret_came |= came;
	return err;
}

static enum wb_err drain_both(struct wbi_job *job, bool to_end, bool *ret_came)
{
	enum wb_err err = drain_one(job, 0, to_end, ret_came);

	return err ? err : drain_one(job, 1, to_end, ret_came);
}

/* ---- killing ---- */

/* What a reader has not made room for goes to files, as if there were none. */
static void do_without_reader(struct wbi_job *job)
{
	for (int i = 0; i < 2; i++) {
		if (!job->outlets[i].has_log)
			continue;
		wbi_log_spill(&job->outlets[i].log, true);
		wbi_outlet_resume(&job->outlets[i], false);
	}
}

/* HUP and TERM ask; CONT lets the stopped hear it. */
static void ask_to_end(struct wbi_job *job)
{
	static const int signals[] = {SIGHUP, SIGTERM, SIGCONT};
	const struct wbi_kin kin = wbi_job_kin(job);

	let_go(job);
	wbi_kin_signal(&kin, signals, 3, NULL);
	job->kills = 0;
	if (wbi_loop_timer(job->env->loop, &job->timer, GRACE_MS) != WB_OK) {
		job->kills = KILLS_MAX;
		wbi_kin_kill(&kin, NULL);
	}
}

/* Whether all of its kin have ended, the leader first. If not, this will be asked again when one
 * of those that remain has: no need to look at any other before. */
static bool is_kin_gone(struct wbi_job *job)
{
	const struct wbi_kin kin = wbi_job_kin(job);
	int other;

	if (!has_ended(job) || job->kin_watch.fd >= 0)
		return false;
	unsigned left =
		job->kills > 0 ? wbi_kin_kill(&kin, &other) : wbi_kin_signal(&kin, NULL, 0, &other);
	if (left == 0 && !(job->leaf && wbi_leaf_is_populated(job->leaf)))
		return true;
	if (other < 0) /* no descriptor to be told by: the next grace is waited for */
		return job->kills >= KILLS_MAX;
	job->kin_watch.fd = other;
	if (job->kills < KILLS_MAX &&
	    wbi_loop_watch(job->env->loop, &job->kin_watch, NULL) == WB_OK)
		return false;
	unwatch_kin(job);
	return true;
}

static void grace_passed(struct wbi_job *job)
{
	const struct wbi_kin kin = wbi_job_kin(job);

	job->kills++;
	unwatch_kin(job);
	if (!has_ended(job))
		wbi_kin_kill(&kin, NULL);
	if (job->kills < KILLS_MAX &&
	    wbi_loop_timer(job->env->loop, &job->timer, GRACE_MS) != WB_OK)
		job->kills = KILLS_MAX;
}

/* ---- what happens next ---- */

/* What is still held open ends here for its readers; whoever holds it may go on writing. */
static void end_output(struct wbi_job *job)
{
	for (int i = 0; i < 2; i++) {
		struct wbi_outlet *outlet = &job->outlets[i];
		if (!outlet->has_log || outlet->log.source.ended)
			continue;
		wbi_log_end(&outlet->log, wbi_outlet_is_open(outlet));
		wbi_outlet_resume(outlet, true);
	}
}

/* Some of what the command wrote has no place, and the job was not to wait until it has: whatever
 * its exit code, this is not how it ended. */
static void note_loss(struct wbi_job *job)
{
	if (!is_paused(job) || job->outcome != WBI_JOB_ENDED)
		return;
	job->outcome = WBI_JOB_FAILED;
	wb_fault_set(&job->fault, WB_ERR_LIMIT, NULL, 0,
		     "the job was ended before all of its output could be kept");
}

/* The owner may free the job in `ended`: nothing of it may be touched afterwards. */
static void report(struct wbi_job *job)
{
	wbi_loop_cancel(job->env->loop, &job->timer);
	reap(job);
	note_loss(job);
	wbi_inlet_close(&job->inlet);
	end_output(job);
	set_state(job, WBI_JOB_STATE_REPORTED);
	job->ops.ended(job, job->owner);
}

/* Everything is killed, and the pipes are closed: whoever outlives that and goes on writing is not
 * to be fed for ever. */
static void abort_job(struct wbi_job *job, enum wb_err err)
{
	const struct wbi_kin kin = wbi_job_kin(job);

	wbi_loop_cancel(job->env->loop, &job->timer);
	job->outcome = err == WB_ERR_LIMIT ? WBI_JOB_OVERFLOW : WBI_JOB_FAILED;
	wbi_kin_kill(&kin, NULL);
	close_outlets(job);
	set_state(job, WBI_JOB_STATE_ABORTING);
	job->kills = wbi_loop_timer(job->env->loop, &job->timer, GRACE_MS) == WB_OK ? 1 : KILLS_MAX;
}

static bool wait_at_most(struct wbi_job *job, uint32_t ms)
{
	return wbi_loop_timer(job->env->loop, &job->timer, ms) == WB_OK;
}

/* In a hurry no silence is waited for, but its length, once, whatever still comes. Without memory
 * for a timer there is no waiting: silence is taken as having passed. */
static bool wait_for_silence(struct wbi_job *job)
{
	if (job->hurried && job->timer.node.place != 0)
		return true;
	return wait_at_most(job, job->env->limits->held_open_ms);
}

static void begin_draining(struct wbi_job *job)
{
	wbi_loop_cancel(job->env->loop, &job->timer);
	set_state(job, WBI_JOB_STATE_DRAINING);
}

/* Takes the job as far as its facts allow. It may be gone afterwards. came: bytes were read. */
static void advance(struct wbi_job *job, bool came)
{
	switch (job->state) {
	case WBI_JOB_STATE_RUNNING:
	case WBI_JOB_STATE_KILLING:
		if (!has_ended(job) || (job->state == WBI_JOB_STATE_KILLING && !is_kin_gone(job)))
			return;
		/* Silence is counted from the command's end. */
		begin_draining(job);
		tell_ends(job);
		came = true;
		/* fall through */
	case WBI_JOB_STATE_DRAINING:
		job->held_open = is_open(job);
		if (!job->held_open || (came && !wait_for_silence(job)))
			report(job);
		return;
	case WBI_JOB_STATE_ABORTING:
		if (is_kin_gone(job))
			report(job);
		return;
	case WBI_JOB_STATE_DYING:
		if (is_open(job) || !is_kin_gone(job))
			return;
		reap(job);
		wbi_job_destroy(job);
		return;
	case WBI_JOB_STATE_LINGERING:
		if (!is_open(job))
			wbi_job_destroy(job);
		return;
	case WBI_JOB_STATE_REPORTED:
		return;
	}
}

static void on_output(struct wbi_job *job, int i, unsigned events)
{
	bool came = false;
	/* Hung up: nobody can write any more. */
	enum wb_err err = drain_one(job, i, events & WBI_HANGUP, &came);

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

static void on_stdin(struct wbi_watch *watch, unsigned events)
{
	struct wbi_job *job = WBI_CONTAINER(watch, struct wbi_job, inlet.watch);
	size_t taken = wbi_inlet_flush(&job->inlet);
	(void)events;

	if (job->owner)
		job->ops.input(job, job->owner, taken);
}

/* Whatever the process itself wrote stands in the pipes by now, most often with their ends. */
static void on_ended(struct wbi_watch *watch, unsigned events)
{
	struct wbi_job *job = WBI_CONTAINER(watch, struct wbi_job, ended_watch);
	bool came = false;
	(void)events;

	job->ended = true;
	let_go(job);
	enum wb_err err = drain_both(job, true, &came);
	if (err)
		abort_job(job, err);
	advance(job, came);
}

static void on_hold(struct wbi_timer *timer)
{
	let_go(WBI_CONTAINER(timer, struct wbi_job, hold));
}

static void on_kin_ended(struct wbi_watch *watch, unsigned events)
{
	struct wbi_job *job = WBI_CONTAINER(watch, struct wbi_job, kin_watch);
	(void)events;

	unwatch_kin(job);
	advance(job, false);
}

/* Silence, unless something came while this loop was busy elsewhere, or could not come. */
static void silence_passed(struct wbi_job *job)
{
	bool came = false;
	enum wb_err err;

	/* In a hurry there is no second look: what the command itself wrote is all taken now. */
	if (job->hurried)
		do_without_reader(job);
	err = drain_both(job, job->hurried, &came);

	if (err)
		abort_job(job, err);
	came |= is_paused(job);
	if (err || (came && !job->hurried) || !is_open(job))
		advance(job, came);
	else
		report(job);
}

static void on_timer(struct wbi_timer *timer)
{
	struct wbi_job *job = WBI_CONTAINER(timer, struct wbi_job, timer);

	switch (job->state) {
	case WBI_JOB_STATE_DRAINING:
		silence_passed(job);
		return;
	case WBI_JOB_STATE_DYING:
		close_outlets(job);
		/* fall through */
	case WBI_JOB_STATE_KILLING:
	case WBI_JOB_STATE_ABORTING:
		grace_passed(job);
		advance(job, false);
		return;
	case WBI_JOB_STATE_RUNNING:
		tell_ends(job);
		return;
	case WBI_JOB_STATE_REPORTED:
	case WBI_JOB_STATE_LINGERING:
		return;
	}
}

void wbi_job_init(struct wbi_job *job, struct wbi_job_env *env, unsigned logs)
{
	static wbi_watch_fn *const fns[] = {on_stdout, on_stderr};

	job->env = env;
	job->process = (struct wbi_process){.pidfd = -1};
	job->timer.fn = on_timer;
	job->hold.fn = on_hold;
	job->store = (struct wbi_log_store){
		.account = &env->spool,
		.memory = &env->log_memory,
		.limit_bytes = env->limits->output_bytes,
	};
	wbi_watch_init(&job->ended_watch, on_ended, -1, WBI_READ | WBI_ONCE);
	wbi_watch_init(&job->kin_watch, on_kin_ended, -1, WBI_READ);
	wbi_inlet_init(&job->inlet, env->loop, on_stdin);
	for (int i = 0; i < 2; i++) {
		if (logs >> i & 1)
			wbi_outlet_init_log(&job->outlets[i], env->loop, fns[i], &job->store);
		else
			wbi_outlet_init(&job->outlets[i], env->loop, fns[i], &env->spool,
					env->limits->spool_memory_bytes);
	}
	wbi_list_append(&env->live, &job->node);
}

/* ---- the owner ends it ---- */

bool wbi_job_kill(struct wbi_job *job)
{
	job->hurried = true;
	switch (job->state) {
	case WBI_JOB_STATE_RUNNING:
		set_state(job, WBI_JOB_STATE_KILLING);
		do_without_reader(job); /* what it writes now must not keep it from ending */
		ask_to_end(job);
		return true;
	case WBI_JOB_STATE_DRAINING:
		do_without_reader(job);
		(void)wait_at_most(job, HURRY_MS);
		return false;
	case WBI_JOB_STATE_KILLING:
		return true;
	case WBI_JOB_STATE_ABORTING:
	case WBI_JOB_STATE_REPORTED:
	case WBI_JOB_STATE_DYING:
	case WBI_JOB_STATE_LINGERING:
		break;
	}
	return false;
}

static void begin_lingering(struct wbi_job *job)
{
	struct wbi_job_env *env = job->env;

	reap(job);
	wbi_list_remove(&job->node);
	wbi_list_append(&env->lingering, &job->node);
	env->lingering_count++;
	set_state(job, WBI_JOB_STATE_LINGERING);
	if (env->lingering_count > env->limits->commands)
		wbi_job_destroy(WBI_CONTAINER(env->lingering.next, struct wbi_job, node));
}

/* Nobody reads any more: what the logs held back, the pipes may now give. */
static void drop_output(struct wbi_job *job)
{
	for (int i = 0; i < 2; i++) {
		wbi_outlet_resume(&job->outlets[i], true);
		wbi_outlet_drop(&job->outlets[i]);
	}
}

void wbi_job_free(struct wbi_job *job)
{
	if (!job)
		return;
	job->owner = NULL;
	drop_output(job);
	wbi_inlet_close(&job->inlet);
	switch (job->state) {
	case WBI_JOB_STATE_RUNNING:
		ask_to_end(job);
		set_state(job, WBI_JOB_STATE_DYING);
		return;
	case WBI_JOB_STATE_KILLING:
	case WBI_JOB_STATE_ABORTING: /* killed already */
		set_state(job, WBI_JOB_STATE_DYING);
		return;
	case WBI_JOB_STATE_DRAINING:
	case WBI_JOB_STATE_REPORTED:
		wbi_loop_cancel(job->env->loop, &job->timer);
		if (is_open(job)) {
			begin_lingering(job);
		} else {
			reap(job);
			wbi_job_destroy(job);
		}
		return;
	case WBI_JOB_STATE_DYING:
	case WBI_JOB_STATE_LINGERING:
		return; /* has no owner */
	}
}
