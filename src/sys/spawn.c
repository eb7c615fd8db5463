/* Starting commands: posix_spawn, a pidfd, and nothing of ours inherited. */
#include "sys/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/fd.h"

/* Both are newer than some C libraries that are still in use; the kernel's numbers are the same on
 * every architecture. */
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
static const idtype_t wait_for_pidfd = (idtype_t)3; /* P_PIDFD */

#if defined(__GLIBC__) && (__GLIBC__ > 2 || (__GLIBC__ == 2 && __GLIBC_MINOR__ >= 34))
#define HAVE_ADDCLOSEFROM 1
#endif

/* The stdio descriptors as the file actions may use them, plus those that had to be made. */
struct sources {
	int fd[3];
	int made[3];
	int spare; /* holds a place for the pidfd */
};

static void sources_done(struct sources *sources)
{
	wbi_fd_close(&sources->spare);
	for (int i = 0; i < 3; i++)
		wbi_fd_close(&sources->made[i]);
}

/* File actions run one after another, so a source within 0 … 2 that is not in its own place would
 * be overwritten before its turn: such a one is copied out of the way. */
static int sources_init(struct sources *sources, const struct wbi_spawn *spawn)
{
	const int *stdio = spawn->stdio;

	*sources = (struct sources){.made = {-1, -1, -1}, .spare = -1};
	for (int i = 0; i < 3 && !spawn->terminal; i++) {
		sources->fd[i] = stdio[i];
		if (stdio[i] > 2 || stdio[i] == i)
			continue;
		sources->made[i] = fcntl(stdio[i], F_DUPFD_CLOEXEC, 3);
		if (sources->made[i] < 0)
			return errno;
		sources->fd[i] = sources->made[i];
	}
	/* Out of descriptors must be found out before the command runs, not after. */
	sources->spare = open("/", O_PATH | O_CLOEXEC);
	return sources->spare < 0 ? errno : 0;
}

/* The child is a session's leader by then, and the first terminal that such a one opens becomes its
 * controlling terminal. */
static int add_terminal(posix_spawn_file_actions_t *actions, const char *terminal)
{
	int error = posix_spawn_file_actions_addopen(actions, 0, terminal, O_RDWR, 0);

	for (int i = 1; i < 3 && error == 0; i++)
		error = posix_spawn_file_actions_adddup2(actions, 0, i);
	return error;
}

/* dup2 onto itself is how a file action takes close-on-exec off. */
static int add_stdio(posix_spawn_file_actions_t *actions, const int fd[3])
{
	int error = 0;

	for (int i = 0; i < 3 && error == 0; i++)
		error = posix_spawn_file_actions_adddup2(actions, fd[i], i);
	return error;
}

static int actions_init(posix_spawn_file_actions_t *actions, const struct wbi_spawn *spawn,
			const int fd[3])
{
	int error = posix_spawn_file_actions_init(actions);
	if (error != 0)
		return error;
	error = spawn->terminal ? add_terminal(actions, spawn->terminal) : add_stdio(actions, fd);
	if (error == 0 && spawn->folder)
		error = posix_spawn_file_actions_addchdir_np(actions, spawn->folder);
#ifdef HAVE_ADDCLOSEFROM
	/* Ours are all close-on-exec; this is for what a library or our own parent left open. */
	if (error == 0)
		error = posix_spawn_file_actions_addclosefrom_np(actions, 3);
#endif
	if (error != 0)
		posix_spawn_file_actions_destroy(actions);
	return error;
}

static int attributes_init(posix_spawnattr_t *attributes)
{
	int error = posix_spawnattr_init(attributes);
	if (error != 0)
		return error;
	sigset_t all, none;
	/* Not sigfillset: it leaves out the two that the C library keeps for itself, and those
	 * would reach the command as ignored. */
	memset(&all, 0xff, sizeof all);
	sigdelset(&all, SIGKILL);
	sigdelset(&all, SIGSTOP);
	sigemptyset(&none);
	posix_spawnattr_setsigdefault(attributes, &all);
	posix_spawnattr_setsigmask(attributes, &none);
	posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF |
						     POSIX_SPAWN_SETSIGMASK);
	return 0;
}

static int start(const struct wbi_spawn *spawn, const int fd[3], pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int error = actions_init(&actions, spawn, fd);
	if (error != 0)
		return error;
	error = attributes_init(&attributes);
	if (error != 0)
		goto out;
	char *const *envp = spawn->envp != NULL ? spawn->envp : environ;
	error = (spawn->search ? posix_spawnp : posix_spawn)(ret_pid, spawn->path, &actions,
							     &attributes, spawn->argv, envp);
	posix_spawnattr_destroy(&attributes);
out:
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

/* Lowers the command's soft limit once it is there. posix_spawn has no attribute for it. Lowering
 * our own around the spawn would be exact for the command, but a limit belongs to the whole
 * process: every other thread that opened a high descriptor in that half millisecond would fail.
 * This way round, a command that looks at its limit in its first microseconds may see ours, which
 * is higher and works; that is the smaller harm. A set-uid program is not ours to limit: no error.
 */
static void limit_files(pid_t pid, unsigned long nofile)
{
	struct rlimit limit;
	if (nofile == 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = nofile < limit.rlim_max ? nofile : limit.rlim_max;
	(void)prlimit(pid, RLIMIT_NOFILE, &limit, NULL);
}

enum wb_err wbi_spawn(const struct wbi_spawn *spawn, struct wbi_process *ret_process,
		      struct wb_fault *fault)
{
	struct wbi_process process = {.pid = 0, .pidfd = -1};
	struct sources sources;
	int error = sources_init(&sources, spawn);
	if (error == 0)
		error = start(spawn, sources.fd, &process.pid);
	sources_done(&sources);
	if (error != 0)
		goto failed;
	limit_files(process.pid, spawn->nofile);
	process.pidfd = (int)syscall(SYS_pidfd_open, process.pid, 0);
	if (process.pidfd < 0) {
		error = errno;
		wbi_process_kill_group(&process, SIGKILL);
		wbi_process_bury(&process, -1);
		goto failed;
	}
	*ret_process = process;
	return WB_OK;
failed:
	errno = error;
	return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "cannot start %s: %m", spawn->path);
}

static void forget(struct wbi_process *process)
{
	wbi_fd_close(&process->pidfd);
	process->pid = 0;
}

static uint64_t to_ms(const struct timeval *time)
{
	return (uint64_t)time->tv_sec * 1000 + (uint64_t)time->tv_usec / 1000;
}

enum wb_err wbi_process_reap(struct wbi_process *process, struct wbi_process_end *ret_end,
			     struct wb_fault *fault)
{
	siginfo_t info = {.si_pid = 0};
	struct rusage usage = {0};
	long result;
	/* The C library's waitid leaves out the last argument. */
	do
		result = syscall(SYS_waitid, wait_for_pidfd, process->pidfd, &info,
				 WEXITED | WNOHANG, &usage);
	while (result != 0 && errno == EINTR);
	if (result != 0) {
		enum wb_err err = wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0,
					       "the command's end is unknown: %m");
		forget(process);
		return err;
	}
	if (info.si_pid == 0)
		return wb_fault_set(fault, WB_ERR_TIMEOUT, NULL, 0, "the command still runs");
	*ret_end = (struct wbi_process_end){
		.signaled = info.si_code != CLD_EXITED,
		.core = info.si_code == CLD_DUMPED,
		.code = info.si_status,
		.user_ms = to_ms(&usage.ru_utime),
		.system_ms = to_ms(&usage.ru_stime),
		.memory_bytes = (uint64_t)usage.ru_maxrss * 1024,
	};
	forget(process);
	return WB_OK;
}

void wbi_process_kill_group(const struct wbi_process *process, int signal)
{
	if (process->pid > 0)
		(void)kill(-process->pid, signal);
}

void wbi_process_bury(struct wbi_process *process, int timeout_ms)
{
	struct pollfd ended = {.fd = process->pidfd, .events = POLLIN};
	/* Without a pidfd poll has nothing to wait for: that is wbi_spawn's own child, just killed.
	 */
	bool wait = process->pidfd < 0 || timeout_ms < 0 || poll(&ended, 1, timeout_ms) == 1;
	while (process->pid > 0 && waitpid(process->pid, NULL, wait ? 0 : WNOHANG) < 0 &&
	       errno == EINTR)
		continue;
	forget(process);
}
