/* Starting commands: a vfork, a pidfd, and nothing of ours inherited. */
#ifndef WBI_SPAWN_H
#define WBI_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "waybill/err.h"

struct wbi_spawn {
	const char *path;     /* absolute, or a name looked up in PATH when search is set */
	char *const *argv;    /* NULL-terminated */
	char *const *envp;    /* NULL: the daemon's own */
	bool search;          /* as execvp(3) */
	int stdio[3];         /* become 0, 1, 2; each open and >= 0, in any order, even equal */
	const char *folder;   /* where it starts; NULL: where we are */
	const char *terminal; /* a pseudo-terminal's path: becomes 0, 1, 2 and the controlling
				 terminal, stdio is not used; NULL: none */
	unsigned long nofile; /* soft limit of open files in the command; 0: as it is */
	int cgroup;           /* the folder of a cgroup (v2) that it starts in; 0: ours */
};

/* A child that has not been reaped; pid is 0 once it has been, and pidfd -1 once it is closed. */
struct wbi_process {
	pid_t pid;
	int pidfd; /* readable when the process has ended; close-on-exec */
};

/* Starts a process in a session and a group of its own (setsid), all signals at their defaults and
 * unblocked, no descriptor but 0, 1, 2.
 * Returns WB_OK, or WB_ERR_SYSTEM with the errno of what failed (ENOENT, EACCES, EAGAIN, …; no
 * process is left), or WB_ERR_REFUSED: its cgroup takes no process of ours, and nothing was tried.
 * Blocks until the child has exec'd. The caller reaps; SIGCHLD must not be ignored, for then the
 * kernel reaps first and the outcome is lost. Linux 5.4; with a cgroup 5.7. */
WB_WARN_UNUSED enum wb_err wbi_spawn(const struct wbi_spawn *spawn, struct wbi_process *ret_process,
				     struct wb_fault *fault);

/* Looks which signals this process ignores or handles: those are what a command is given back at
 * their defaults. The first wbi_spawn does it; whoever changes a disposition later calls this. */
void wbi_spawn_look(void);

struct wbi_process_end {
	bool signaled;
	bool core;
	int code; /* exit code, or the signal's number */
	/* Of it and of those of its children that it waited for. */
	uint64_t user_ms, system_ms;
	uint64_t memory_bytes; /* the most that any of them held */
};

/* Reaps an ended process; its pidfd is the caller's to close. Does not block. Returns WB_OK;
 * WB_ERR_TIMEOUT if it still runs (nothing changes); WB_ERR_SYSTEM if somebody else has reaped it
 * (the outcome is unknown). */
WB_WARN_UNUSED enum wb_err wbi_process_wait(struct wbi_process *process,
					    struct wbi_process_end *ret_end,
					    struct wb_fault *fault);

/* The same, and closes the pidfd unless it still runs. If it is watched, unwatch it first. */
WB_WARN_UNUSED enum wb_err wbi_process_reap(struct wbi_process *process,
					    struct wbi_process_end *ret_end,
					    struct wb_fault *fault);

/* Sends a signal to the process's whole group; nothing happens once it is reaped. While the leader
 * is unreaped its number cannot be given to anybody else, so this hits nobody but the group, even
 * after the leader's end. What has left the group (setsid, setpgid) is not reached. */
void wbi_process_kill_group(const struct wbi_process *process, int signal);

/* Waits at most timeout_ms (-1: for ever) for a process that was sent SIGKILL, and reaps it. What
 * has not ended by then (stuck in the kernel, or not ours to kill) is left to init. Blocks. */
void wbi_process_bury(struct wbi_process *process, int timeout_ms);

#endif
