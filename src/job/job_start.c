/* Starting jobs, and the environment that they live in. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "job/job.h"
#include "job/job_state.h"
#include "sys/clock.h"
#include "sys/fd.h"
#include "sys/pty.h"

enum { LEAVES_TRIED = 3 }; /* before a command runs without */

/* ---- the streams ---- */

/* Our ends go into the job, the command's into stdio; a stream that was not asked for is /dev/null.
 */
static enum wb_err open_pipes(struct wbi_job *job, unsigned streams, int stdio[3],
			      struct wb_fault *fault)
{
	enum wb_err err = WB_OK;
	int writer;

	if (streams & 1) {
		err = wbi_fd_pipe_to(&stdio[0], &writer, fault);
		if (!err)
			wbi_inlet_open(&job->inlet, writer, false);
	}
	for (int i = 0; i < 2 && !err; i++) {
		if (streams >> (i + 1) & 1)
			err = wbi_outlet_open(&job->outlets[i], &stdio[i + 1], fault);
	}
	return err;
}

/* One terminal, two descriptors, so that input and output can be waited for apart. */
static enum wb_err open_terminal(struct wbi_job *job, const struct wbi_job_spec *spec, char *path,
				 struct wb_fault *fault)
{
	int master, writer;
	enum wb_err err = wbi_pty_open(spec->rows, spec->cols, &master, path, fault);

	if (err)
		return err;
	job->terminal = true;
	wbi_outlet_open_terminal(&job->outlets[0], master);
	writer = fcntl(master, F_DUPFD_CLOEXEC, 3);
	if (writer < 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "pseudo-terminal: %m");
	wbi_inlet_open(&job->inlet, writer, true);
	return WB_OK;
}

/* The others are the outlets'. */
static void close_stdin(const struct wbi_job_env *env, int stdio[3])
{
	if (stdio[0] != env->null_fd)
		wbi_fd_close(&stdio[0]);
}

/* ---- the process ---- */

/* In a leaf of its own, where there is one to be had and the kernel takes it. Too little of
 * something of ours is no reason to let it run where it might escape. */
static enum wb_err spawn_process(struct wbi_job *job, struct wbi_spawn *spawn,
				 struct wb_fault *fault)
{
	enum wb_err err = WB_ERR_REFUSED;

	for (int tries = 0; tries < LEAVES_TRIED && err == WB_ERR_REFUSED; tries++) {
		job->leaf = wbi_cgroup_take(job->env->cgroup);
		if (!job->leaf && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
			return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "cannot start %s: %m",
					    spawn->path);
		spawn->cgroup = job->leaf ? wbi_leaf_fd(job->leaf) : 0;
		err = wbi_spawn(spawn, &job->process, fault);
		if (err != WB_ERR_REFUSED)
			return err;
		wbi_cgroup_discard(job->leaf);
		job->leaf = NULL;
	}
	spawn->cgroup = 0;
	return wbi_spawn(spawn, &job->process, fault);
}

struct wbi_kin wbi_job_kin(const struct wbi_job *job)
{
	return (struct wbi_kin){.leader = job->process.pid, .leaf = job->leaf};
}

static enum wb_err start_process(struct wbi_job *job, struct wbi_spawn *spawn,
				 struct wb_fault *fault)
{
	struct wbi_job_env *env = job->env;
	enum wb_err err = spawn_process(job, spawn, fault);

	if (err)
		return err;
	/* While the command starts: it need not wait for this. */
	err = wbi_job_watch(job, fault);
	if (err) {
		const struct wbi_kin kin = wbi_job_kin(job);

		wbi_job_unwatch_process(job);
		wbi_kin_kill(&kin, NULL);
		wbi_process_bury(&job->process, WBI_JOB_BURY_MS);
	} else {
		env->running++;
	}
	return err;
}

static bool take_place(struct wbi_job_env *env)
{
	if (!env->together)
		return env->running < env->limits->commands;
	if (atomic_fetch_add(env->together, 1) < env->limits->commands)
		return true;
	atomic_fetch_sub(env->together, 1);
	return false;
}

static void leave_place(struct wbi_job_env *env)
{
	if (env->together)
		atomic_fetch_sub(env->together, 1);
}

void wbi_job_leave_place(struct wbi_job *job)
{
	if (job->placed)
		leave_place(job->env);
	job->placed = false;
	wbi_cgroup_give(job->leaf);
	job->leaf = NULL;
}

/* streams: as in the spec; of those, logs are kept if it is live. */
static enum wb_err job_new(struct wbi_job_env *env, bool live, unsigned streams,
			   struct wbi_job **ret_job, struct wb_fault *fault)
{
	struct wbi_job *job;

	if (!take_place(env))
		return wb_fault_set(fault, WB_ERR_LIMIT, NULL, 0, "%u commands are running already",
				    env->limits->commands);
	job = calloc(1, sizeof(*job));
	if (!job) {
		leave_place(env);
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "start a command: no memory");
	}
	job->placed = true;
	job->live = live;
	wbi_job_init(job, env, live ? streams >> 1 : 0);
	*ret_job = job;
	return WB_OK;
}

enum wb_err wbi_job_start_live(struct wbi_job_env *env, const struct wbi_job_spec *spec,
			       struct wbi_job **ret_job, struct wb_fault *fault)
{
	unsigned streams = spec->terminal ? 3 : spec->streams;
	char terminal[WBI_PTY_PATH_MAX];
	struct wbi_spawn spawn = {
		.path = spec->path,
		.argv = spec->argv,
		.envp = spec->envp,
		.stdio = {env->null_fd, env->null_fd, env->null_fd},
		.folder = spec->folder,
		.terminal = spec->terminal ? terminal : NULL,
		.nofile = env->nofile,
	};
	struct wbi_job *job;
	enum wb_err err = job_new(env, true, streams, &job, fault);

	if (err)
		return err;
	job->ops = *spec->ops;
	job->owner = spec->owner;
	/* Everything that can be refused is refused before the command runs: hence these first. */
	if (spec->terminal)
		err = open_terminal(job, spec, terminal, fault);
	else
		err = open_pipes(job, streams, spawn.stdio, fault);
	if (!err)
		err = start_process(job, &spawn, fault);
	close_stdin(env, spawn.stdio);
	if (err)
		wbi_job_destroy(job);
	else
		*ret_job = job;
	return err;
}

enum wb_err wbi_job_start(struct wbi_job_env *env, char *const *argv, wbi_job_fn *fn, void *owner,
			  struct wbi_job **ret_job, struct wb_fault *fault)
{
	struct wbi_spawn spawn = {
		.path = argv[0],
		.argv = argv,
		.search = true,
		.stdio = {env->null_fd, env->null_fd, env->null_fd},
		.nofile = env->nofile,
	};
	struct wbi_job *job;
	enum wb_err err = job_new(env, false, 0, &job, fault);

	if (err)
		return err;
	job->ops.ended = fn;
	job->owner = owner;
	err = open_pipes(job, 1 << 1 | 1 << 2, spawn.stdio, fault);
	if (!err)
		err = start_process(job, &spawn, fault);
	close_stdin(env, spawn.stdio);
	if (err)
		wbi_job_destroy(job);
	else
		*ret_job = job;
	return err;
}

/* ---- the environment ---- */

/* A command that closes its stdin is no reason to end; commands start with the default. */
static void ignore_sigpipe(void)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	sigemptyset(&ignore.sa_mask);
	(void)sigaction(SIGPIPE, &ignore, NULL);
	wbi_spawn_look();
}

enum wb_err wbi_job_env_init(struct wbi_job_env *env, struct wbi_loop *loop,
			     const struct wb_limits *limits, const char *folder,
			     unsigned long nofile, struct wb_fault *fault)
{
	struct sigaction child;

	if (sigaction(SIGCHLD, NULL, &child) == 0 &&
	    (child.sa_handler == SIG_IGN || (child.sa_flags & SA_NOCLDWAIT)))
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0,
				    "SIGCHLD is ignored: no command's outcome could be known");
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "/dev/null: %m");
	*env = (struct wbi_job_env){
		.loop = loop,
		.limits = limits,
		.spool = {.folder = folder, .limit_bytes = limits->spool_bytes},
		.log_memory = {.limit_bytes = WBI_JOB_LOG_BYTES},
		.null_fd = null_fd,
		.nofile = nofile,
	};
	wbi_list_init(&env->live);
	wbi_list_init(&env->lingering);
	wbi_list_init(&env->records);
	ignore_sigpipe();
	return WB_OK;
}

/* All are killed before the first is waited for, and one deadline serves all. */
static void end_all(struct wbi_list *jobs)
{
	uint64_t deadline_ms = wbi_clock_ms() + WBI_JOB_BURY_MS;

	for (struct wbi_list *at = jobs->next; at != jobs; at = at->next) {
		struct wbi_job *job = WBI_CONTAINER(at, struct wbi_job, node);
		const struct wbi_kin kin = wbi_job_kin(job);

		if (job->process.pid != 0)
			wbi_kin_kill(&kin, NULL);
	}
	while (!wbi_list_empty(jobs)) {
		struct wbi_job *job = WBI_CONTAINER(jobs->next, struct wbi_job, node);
		uint64_t now_ms = wbi_clock_ms();
		wbi_job_unwatch_process(job);
		if (job->process.pid != 0) {
			wbi_process_bury(&job->process,
					 now_ms < deadline_ms ? (int)(deadline_ms - now_ms) : 0);
			job->env->running--;
		}
		wbi_job_destroy(job);
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
