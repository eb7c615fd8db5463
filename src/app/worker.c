/* Workers: see worker.h. */
#include "app/worker.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/served.h"
#include "service/exec.h"
#include "service/files_call.h"

enum { POOL_BYTES = 64 * 1024 * 1024 }; /* of windows, for all sessions of a worker */

struct wbi_worker {
	struct wbi_served_env env;
	pthread_t thread;
	bool started;
	bool jobs_begun;
	struct wbi_task drain_task, stop_task; /* each posted at most once */
	bool drain_posted;
};

static void on_drain(struct wbi_task *task)
{
	struct wbi_worker *worker = WBI_CONTAINER(task, struct wbi_worker, drain_task);

	worker->env.calls.draining = true;
	wbi_served_drain(&worker->env);
}

static struct wbi_call_env *other_env(struct wbi_call_env *env, unsigned worker)
{
	struct wbi_served_env *served = WBI_CONTAINER(env, struct wbi_served_env, calls);

	return &served->shared->workers[worker]->env.calls;
}

static void on_stop(struct wbi_task *task)
{
	wbi_loop_stop(WBI_CONTAINER(task, struct wbi_worker, stop_task)->env.loop);
}

/* What a crowd has used lies in pieces, which malloc keeps for ever unless it is asked. */
static void on_idle(struct wbi_timer *timer)
{
	struct wbi_served_env *env = WBI_CONTAINER(timer, struct wbi_served_env, idle);

	if (!wbi_list_empty(&env->sessions))
		return;
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

static enum wb_err init_env(struct wbi_worker *worker, struct wbi_worker_shared *shared,
			    unsigned index, struct wb_fault *fault)
{
	struct wbi_served_env *env = &worker->env;
	enum wb_err err;

	env->shared = shared;
	env->index = index;
	wbi_list_init(&env->sessions);
	wbi_list_init(&env->connections);
	env->idle.fn = on_idle;
	wbi_audit_init(&env->audit, STDERR_FILENO, shared->log_format);
	env->pool = (struct wbi_pool){.limit_bytes = POOL_BYTES};
	env->config = shared->session;
	env->config.pool = &env->pool;
	env->scratch = malloc(WBI_SESSION_SCRATCH_BYTES);
	if (!env->scratch)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "no memory for a worker");
	err = wbi_loop_new(&env->loop, fault);
	if (!err)
		err = wbi_job_env_init(&env->jobs, env->loop, shared->limits, shared->spool_folder,
				       shared->nofile, fault);
	if (err)
		return err;
	worker->jobs_begun = true;
	env->jobs.together = shared->commands;
	env->jobs.cgroup = shared->cgroup;
	env->jobs.spool.together = shared->spooled;
	env->calls = (struct wbi_call_env){
		.loop = env->loop,
		.jobs = &env->jobs,
		.registry = shared->registry,
		.keys = shared->keys,
		.audit = &env->audit,
		.limits = shared->limits,
		.files_root = shared->files_root,
		.claims = &shared->claims,
		.worker = index,
		.kick = wbi_served_kick,
		.principal = wbi_served_principal,
		.client = wbi_served_client,
		.grant = wbi_served_grant,
		.other = other_env,
		.attach_elsewhere = wbi_served_attach_elsewhere,
	};
	wbi_list_init(&env->calls.transfers);
	return WB_OK;
}

enum wb_err wbi_worker_new(struct wbi_worker_shared *shared, unsigned index,
			   struct wbi_worker **ret_worker, struct wb_fault *fault)
{
	struct wbi_worker *worker = calloc(1, sizeof(*worker));
	enum wb_err err;

	if (!worker)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "no memory for a worker");
	worker->drain_task.fn = on_drain;
	worker->stop_task.fn = on_stop;
	wbi_list_init(&worker->drain_task.node);
	wbi_list_init(&worker->stop_task.node);
	err = init_env(worker, shared, index, fault);
	if (!err)
		*ret_worker = worker;
	else
		wbi_worker_free(worker);
	return err;
}

static void *run(void *argument)
{
	struct wbi_worker *worker = argument;
	struct wb_fault fault;

	if (wbi_loop_run(worker->env.loop, &fault) != WB_OK)
		wbi_audit(&worker->env.audit, "worker %u ends: %s", worker->env.index, fault.text);
	return NULL;
}

/* Signals are the main thread's: a worker's mask is full from its first instruction on. Except for
 * SIGCHLD: the kernel drops one that nobody handles only where the thread that started the child
 * does not block it; blocked, each end of a command would wake the main thread for nothing. */
enum wb_err wbi_worker_start(struct wbi_worker *worker, struct wb_fault *fault)
{
	sigset_t all, before;
	int failed;

	sigfillset(&all);
	sigdelset(&all, SIGCHLD);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = pthread_create(&worker->thread, NULL, run, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed != 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "no thread for a worker");
	worker->started = true;
	return WB_OK;
}

void wbi_worker_stop(struct wbi_worker *worker)
{
	if (!worker || !worker->started)
		return;
	wbi_loop_post(worker->env.loop, &worker->stop_task);
	pthread_join(worker->thread, NULL);
	worker->started = false;
}

void wbi_worker_settle(struct wbi_worker *worker)
{
	if (worker)
		(void)!wbi_loop_turn(worker->env.loop, 0, NULL);
}

void wbi_worker_free(struct wbi_worker *worker)
{
	if (!worker)
		return;
	if (worker->jobs_begun) {
		wbi_served_done(&worker->env);
		wbi_files_done(&worker->env.calls);
		wbi_exec_done(&worker->env.calls);
		wbi_job_env_done(&worker->env.jobs);
	}
	wbi_loop_free(worker->env.loop);
	free(worker->env.scratch);
	free(worker);
}

void wbi_worker_drain(struct wbi_worker *worker)
{
	if (!worker->drain_posted)
		wbi_loop_post(worker->env.loop, &worker->drain_task);
	worker->drain_posted = true;
}

struct review {
	struct wbi_task task;
	struct wbi_served_env *env;
};

static void on_review(struct wbi_task *task)
{
	struct review *review = WBI_CONTAINER(task, struct review, task);

	wbi_served_review(review->env);
	free(review);
}

/* Without memory it waits for the next change: whoever comes anew is looked at in any case. */
void wbi_worker_review(struct wbi_worker *worker)
{
	struct review *review = calloc(1, sizeof(*review));

	if (!review)
		return;
	review->env = &worker->env;
	review->task.fn = on_review;
	wbi_list_init(&review->task.node);
	wbi_loop_post(worker->env.loop, &review->task);
}

static void on_handover(struct wbi_task *task)
{
	struct wbi_handover *handover = WBI_CONTAINER(task, struct wbi_handover, task);

	wbi_served_take(&handover->worker->env, handover);
}

struct wbi_served_env *wbi_worker_env(struct wbi_worker *worker)
{
	return &worker->env;
}

void wbi_worker_give(struct wbi_worker *worker, struct wbi_handover *handover)
{
	handover->worker = worker;
	handover->task.fn = on_handover;
	wbi_list_init(&handover->task.node);
	wbi_loop_post(worker->env.loop, &handover->task);
}
