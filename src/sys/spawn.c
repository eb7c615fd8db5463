/* Starting commands: a vfork of our own, a pidfd, and nothing of ours inherited.
 *
 * posix_spawn would do, but it makes a mapping and some eighty system calls more, which a short
 * command feels; and it has no attribute for limits, and no way to a pidfd but through the number.
 *
 * The child shares our memory while we stand still, until it has exec'd or exited. So long it runs
 * on a piece of our stack and makes system calls, nothing else: it allocates nothing, takes no lock
 * and lets no sanitizer watch. What it changes (descriptors, folder, limit, dispositions, mask) is
 * its own. No signal reaches it before it is what the command is to be: until then all are blocked,
 * but for SIGCHLD where that is ignored by default.
 */
#include "sys/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/fd.h"

/* Newer than some C libraries that are still in use; the kernel's numbers are the same on every
 * architecture. */
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
static const uint64_t into_cgroup = UINT64_C(0x200000000); /* CLONE_INTO_CGROUP */
static const idtype_t wait_for_pidfd = (idtype_t)3;        /* P_PIDFD */

#define UNWATCHED __attribute__((no_sanitize("address", "thread", "undefined")))

/* TSan's notes of who has joined whom are upset by a child that writes to them: there it gets
 * memory of its own, and one page in common to say what failed. */
#ifdef __has_feature
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_THREAD__) || HAS_FEATURE(thread_sanitizer)
enum { SHARED_MEMORY = 0 };
#else
enum { SHARED_MEMORY = CLONE_VM };
#endif

/* Into a cgroup only clone3 leads, for which the C library has no function. On a stack of its own a
 * child needs some lines of assembly; elsewhere it gets memory of its own, which is slower. */
#ifdef __x86_64__
enum { SHARED_WITH_CGROUP = SHARED_MEMORY };
#else
enum { SHARED_WITH_CGROUP = 0 };
#endif

enum {
	CHILD_STACK_BYTES = 32768,
	UNBORN = -1, /* it has not come to say anything */
};

/* ---- signals ---- */

/* As the kernel has it, bit n - 1 for signal n. The C library's sigset_t leaves out the two signals
 * that it keeps for itself; whoever started us may have left those ignored. */
typedef uint64_t signal_set;

enum { SIGNALS = 64 };
static const signal_set library_signals = (signal_set)3 << 31;

/* Those that are not at their defaults in this process. Everybody who looks finds the same. */
static _Atomic signal_set unusual;
static atomic_bool has_looked;

void wbi_spawn_look(void)
{
	signal_set found = library_signals;

	for (int number = 1; number <= SIGNALS; number++) {
		struct sigaction action;

		if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_DFL)
			found |= (signal_set)1 << (number - 1);
	}
	atomic_store(&unusual, found);
	atomic_store(&has_looked, true);
}

UNWATCHED static void set_mask(signal_set mask, signal_set *ret_before)
{
	(void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, ret_before, sizeof(mask));
}

/* ---- the child ---- */

struct child {
	const struct wbi_spawn *spawn;
	char *const *envp;
	signal_set unusual;
	const char *path; /* folders to search, with colons between; NULL: it is no bare name */
	bool limited;
	struct rlimit nofile; /* where limited */
	int *error;           /* said by the child; 0: it became the command; or UNBORN */
	bool is_refused;      /* by the cgroup */
	char candidate[PATH_MAX];
};

/* The handlers are gone with the exec, but what is ignored would stay so. */
UNWATCHED static void reset_signals(signal_set set)
{
	/* The kernel's struct sigaction, whichever order its fields have here: all of it zero. */
	static const long by_default[8];

	for (int number = 1; number <= SIGNALS; number++) {
		if (set >> (number - 1) & 1)
			(void)syscall(SYS_rt_sigaction, number, by_default, NULL, sizeof(set));
	}
}

/* The first terminal that a session's leader opens becomes its controlling terminal. */
UNWATCHED static bool take_terminal(const char *terminal)
{
	long fd = syscall(SYS_openat, AT_FDCWD, terminal, O_RDWR, 0);

	for (int i = 0; i < 3 && fd >= 0; i++) {
		if (i != fd && syscall(SYS_dup3, fd, i, 0) < 0)
			return false;
	}
	return fd >= 0;
}

/* A source within 0 … 2 that is not in its own place would be overwritten before its turn: such a
 * one is copied out of the way first. */
UNWATCHED static bool take_stdio(const int stdio[3])
{
	long fds[3];

	for (int i = 0; i < 3; i++) {
		fds[i] = stdio[i];
		if (stdio[i] <= 2 && stdio[i] != i)
			fds[i] = syscall(SYS_fcntl, stdio[i], F_DUPFD, 3);
		if (fds[i] < 0)
			return false;
	}
	for (int i = 0; i < 3; i++) {
		long taken = fds[i] == i ? syscall(SYS_fcntl, i, F_SETFD, 0)
					 : syscall(SYS_dup3, fds[i], i, 0);
		if (taken < 0)
			return false;
	}
	return true;
}

UNWATCHED static bool make_ready(const struct child *child)
{
	const struct wbi_spawn *spawn = child->spawn;

	(void)syscall(SYS_setsid);
	if (!(spawn->terminal ? take_terminal(spawn->terminal) : take_stdio(spawn->stdio)))
		return false;
	if (spawn->folder && syscall(SYS_chdir, spawn->folder) != 0)
		return false;
	/* Ours are all close-on-exec; this is for what a library or our own parent left open. */
	(void)syscall(SYS_close_range, 3, ~0u, 0);
	if (child->limited && syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &child->nofile, NULL) != 0)
		return false;
	reset_signals(child->unusual);
	return true;
}

/* "folder/name" into child->candidate; *ret_next: behind the folder. False: too long. An empty
 * folder is the current one. */
UNWATCHED static bool next_candidate(struct child *child, const char *folder, const char **ret_next)
{
	const char *name = child->spawn->path;
	size_t at = 0;

	for (; *folder && *folder != ':'; folder++)
		if (at < PATH_MAX - 1)
			child->candidate[at++] = *folder;
	*ret_next = *folder ? folder + 1 : NULL;
	if (at > 0)
		child->candidate[at++] = '/';
	while (*name && at < PATH_MAX - 1)
		child->candidate[at++] = *name++;
	if (*name || at >= PATH_MAX - 1)
		return false;
	child->candidate[at] = '\0';
	return true;
}

/* As execvpe does it, without its alternative of a shell: that needs room for all arguments once
 * more. errno says why nothing was found; a file that may not be run outweighs one that is not
 * there. */
UNWATCHED static void search_exec(struct child *child)
{
	bool denied = false;

	for (const char *folder = child->path; folder;) {
		if (!next_candidate(child, folder, &folder))
			continue;
		(void)syscall(SYS_execve, child->candidate, child->spawn->argv, child->envp);
		denied = denied || errno == EACCES;
		if (errno != EACCES && errno != ENOENT && errno != ENOTDIR)
			return;
	}
	errno = denied ? EACCES : ENOENT;
}

UNWATCHED static int be_child(void *context)
{
	struct child *child = context;
	const struct wbi_spawn *spawn = child->spawn;

	*child->error = 0;
	if (make_ready(child)) {
		set_mask(0, NULL);
		if (child->path)
			search_exec(child);
		else
			(void)syscall(SYS_execve, spawn->path, spawn->argv, child->envp);
	}
	*child->error = errno;
	(void)syscall(SYS_exit_group, 127);
	return 0;
}

/* ---- starting ---- */

/* Where a command is looked for when nobody says where: execvp(3). */
static const char default_path[] = "/bin:/usr/bin";

/* A signal that is blocked counts as wanted. A command that ends before this thread has come round
 * to lifting the mask would so wake the main thread with a SIGCHLD that nobody asked for. */
static signal_set harmless_signals(const struct child *child)
{
	return ((signal_set)1 << (SIGCHLD - 1)) & ~child->unusual;
}

/* The kernel's struct clone_args, as far as 5.7 knows it. Source: clone(2). */
struct clone_arguments {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_bytes, tls;
	uint64_t set_tid, set_tid_count, cgroup;
};

/* The child goes on in be_child; with memory of its own, as a copy of us. Returns in the parent, as
 * the system call does: a pid, or -errno. */
UNWATCHED static long clone3_child(struct clone_arguments *arguments, struct child *child)
{
	long result = SYS_clone3;

#ifdef __x86_64__
	if (SHARED_WITH_CGROUP) {
		__asm__ volatile(
			"syscall\n\t"
			"test %%rax, %%rax\n\t"
			"jnz 1f\n\t"
			"mov %[child], %%rdi\n\t"
			"call *%[begin]\n\t"
			"hlt\n"
			"1:"
			: "+a"(result)
			: "D"(arguments),
			  "S"(sizeof(*arguments)), [begin] "r"(be_child), [child] "r"(child)
			: "rcx", "r11", "memory", "cc");
		return result;
	}
#endif
	arguments->stack = arguments->stack_bytes = 0;
	result = syscall(SYS_clone3, arguments, sizeof(*arguments));
	if (result == 0)
		(void)be_child(child);
	return result < 0 ? -errno : result;
}

/* Whether the cgroup takes no process, or the kernel knows of no such thing: other than where there
 * is too little of something (EAGAIN, EMFILE, ENFILE, ENOMEM), the same start succeeds without.
 * Source: clone(2), cgroups(7). */
static bool is_refusal(int error)
{
	static const int refusals[] = {EACCES, EPERM,  EBUSY, EOPNOTSUPP, ENODEV,
				       ENOENT, EINVAL, E2BIG, ENOSYS};

	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
		if (error == refusals[i])
			return true;
	return false;
}

/* Returns -1 with errno. */
static pid_t clone_into(struct child *child, char *stack, int *ret_pidfd)
{
	struct clone_arguments arguments = {
		.flags = (uint64_t)SHARED_WITH_CGROUP | CLONE_VFORK | CLONE_PIDFD | into_cgroup,
		.pidfd = (uint64_t)(uintptr_t)ret_pidfd,
		.exit_signal = SIGCHLD,
		.stack = (uint64_t)(uintptr_t)stack,
		.stack_bytes = CHILD_STACK_BYTES,
		.cgroup = (uint64_t)child->spawn->cgroup,
	};
	long result = clone3_child(&arguments, child);

	if (result >= 0)
		return (pid_t)result;
	errno = (int)-result;
	child->is_refused = is_refusal(errno);
	return -1;
}

/* It was killed before its first instruction. Linux does that to all who are started from outside
 * in a cgroup whose cgroup.kill was ever written to. Anywhere else it is somebody's signal. */
static void note_stillborn(struct child *child)
{
	child->is_refused = child->spawn->cgroup > 0;
	*child->error = child->is_refused ? ECANCELED : 0;
}

/* Its errno was ours while it ran. Returns 0 or what failed; then nothing is left of it. */
static int clone_child(struct child *child, struct wbi_process *ret_process)
{
	_Alignas(16) char stack[CHILD_STACK_BYTES];
	struct wbi_process process = {.pidfd = -1};
	signal_set before;

	*child->error = UNBORN;
	set_mask(~harmless_signals(child), &before);
	if (child->spawn->cgroup > 0)
		process.pid = clone_into(child, stack, &process.pidfd);
	else
		process.pid = clone(be_child, stack + sizeof(stack),
				    SHARED_MEMORY | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, child,
				    &process.pidfd);
	if (process.pid < 0)
		*child->error = errno;
	else if (*child->error == UNBORN)
		note_stillborn(child);
	set_mask(before, NULL);
	if (process.pid > 0 && *child->error != 0)
		wbi_process_bury(&process, -1);
	else if (process.pid > 0)
		*ret_process = process;
	return *child->error;
}

static int start(struct child *child, struct wbi_process *ret_process)
{
	bool shares = child->spawn->cgroup > 0 ? SHARED_WITH_CGROUP : SHARED_MEMORY;
	int error = 0;

	child->error = &error;
	if (shares)
		return clone_child(child, ret_process);
	child->error = mmap(NULL, sizeof(error), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			    -1, 0);
	if (child->error == MAP_FAILED)
		return errno;
	error = clone_child(child, ret_process);
	munmap(child->error, sizeof(error));
	return error;
}

/* Only where it is not so already: `limit` is what the command would have. */
static bool limit_files(unsigned long nofile, struct rlimit *limit)
{
	rlim_t wanted;

	if (nofile == 0 || getrlimit(RLIMIT_NOFILE, limit) != 0)
		return false;
	wanted = nofile < limit->rlim_max ? nofile : limit->rlim_max;
	if (limit->rlim_cur == wanted)
		return false;
	limit->rlim_cur = wanted;
	return true;
}

enum wb_err wbi_spawn(const struct wbi_spawn *spawn, struct wbi_process *ret_process,
		      struct wb_fault *fault)
{
	struct child child;

	child.spawn = spawn;
	child.envp = spawn->envp ? spawn->envp : environ;
	child.path = spawn->search && !strchr(spawn->path, '/') ? getenv("PATH") : NULL;
	if (spawn->search && !strchr(spawn->path, '/') && !child.path)
		child.path = default_path;
	if (!atomic_load(&has_looked))
		wbi_spawn_look();
	child.unusual = atomic_load(&unusual);
	child.limited = limit_files(spawn->nofile, &child.nofile);
	child.is_refused = false;
	errno = start(&child, ret_process);
	if (child.is_refused)
		return wb_fault_set(
			fault, WB_ERR_REFUSED, NULL, 0,
			"no process can be started in that cgroup: %m%s",
			errno == ENOSYS ? " (clone3, which filters of system calls hide)" : "");
	if (errno != 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "cannot start %s: %m",
				    spawn->path);
	return WB_OK;
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

enum wb_err wbi_process_wait(struct wbi_process *process, struct wbi_process_end *ret_end,
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
		process->pid = 0;
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
	process->pid = 0;
	return WB_OK;
}

enum wb_err wbi_process_reap(struct wbi_process *process, struct wbi_process_end *ret_end,
			     struct wb_fault *fault)
{
	enum wb_err err = wbi_process_wait(process, ret_end, fault);

	if (err != WB_ERR_TIMEOUT)
		forget(process);
	return err;
}

void wbi_process_kill_group(const struct wbi_process *process, int signal)
{
	if (process->pid > 0)
		(void)kill(-process->pid, signal);
}

void wbi_process_bury(struct wbi_process *process, int timeout_ms)
{
	struct pollfd ended = {.fd = process->pidfd, .events = POLLIN};
	bool wait;

	if (process->pid <= 0)
		return;
	wait = timeout_ms < 0 || poll(&ended, 1, timeout_ms) == 1;
	while (waitpid(process->pid, NULL, wait ? 0 : WNOHANG) < 0 && errno == EINTR)
		continue;
	forget(process);
}
