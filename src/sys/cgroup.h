/* Cgroups (version 2): a leaf for each running command, so that whatever it has started can be
 * found and killed, in whichever session that is by now.
 *
 * Leaves are folders "waybill-PID-NUMBER" in one folder that was delegated to us. To make one costs
 * much of what a short command does, so one whose command has ended rests, and is given to another
 * once the kernel says that nobody is in it. A process that outlives its command keeps its leaf,
 * which is removed when it is found empty: at some later command, at our end, or, as its name tells
 * whose it was, by the next daemon there. What its command made in it goes with it, some at a time,
 * so that no start waits long for that.
 * Sources: cgroups(7), the kernel's admin-guide/cgroup-v2, systemd's CGROUP_DELEGATION. */
#ifndef WBI_CGROUP_H
#define WBI_CGROUP_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "waybill/err.h"

struct wbi_cgroup; /* opaque, heap: the folder and its leaves. Any thread may use it. */
struct wbi_leaf;   /* opaque; whoever has taken it is alone with it */

enum {
	WBI_CGROUP_LEAVES_MAX = 4096, /* of a daemon, with those that survivors keep */
	WBI_CGROUP_PATH_MAX = 4096,
};

/* Makes leaves in `folder` from here on, after trying that they can be made and that a process can
 * be started in one; removes the empty ones that dead daemons left there.
 * Returns WB_OK; WB_ERR_ARGUMENT: it is no folder of a cgroup v2 file system; WB_ERR_REFUSED: it is
 * not ours to divide, or the kernel is older than 5.14 (it has no cgroup.kill); WB_ERR_SYSTEM: it
 * cannot be opened, or could not be tried for want of descriptors, memory or processes;
 * WB_ERR_NOMEM. Blocks for as long as a fork takes. */
WB_WARN_UNUSED enum wb_err wbi_cgroup_open(const char *folder, struct wbi_cgroup **ret_cgroup,
					   struct wb_fault *fault);

/* The same in the cgroup that we are in, if that was delegated to us: to anybody but root where we
 * may make folders there, to root where systemd has marked it.
 * Returns as wbi_cgroup_open; WB_ERR_REFUSED also where it was not delegated, or is not to be found
 * in the file system. */
WB_WARN_UNUSED enum wb_err wbi_cgroup_open_own(struct wbi_cgroup **ret_cgroup,
					       struct wb_fault *fault);

/* The folder as it was given or found. Borrowed. */
const char *wbi_cgroup_path(const struct wbi_cgroup *cgroup);

/* Removes all leaves that are empty; where everything in one was killed, waits for that a second at
 * most. None may be taken any more. NULL is allowed. */
void wbi_cgroup_close(struct wbi_cgroup *cgroup);

/* A leaf that nobody is in, for one command. NULL with errno: EMFILE, ENFILE or ENOMEM where we are
 * short of those; any other where there is none to be had: the limit is reached, the kernel
 * refuses, or cgroup is NULL.
 * The leaf bounds what the command can make in it: 8 levels and 512 cgroups. */
WB_WARN_UNUSED struct wbi_leaf *wbi_cgroup_take(struct wbi_cgroup *cgroup);

/* Gives a leaf back, whoever is still in it. NULL is allowed. */
void wbi_cgroup_give(struct wbi_leaf *leaf);

/* The same for a leaf in which no process could be started: it is given to nobody again. */
void wbi_cgroup_discard(struct wbi_leaf *leaf);

/* Its folder, for wbi_spawn. Borrowed; never 0. */
int wbi_leaf_fd(const struct wbi_leaf *leaf);

/* Whether the process is in the leaf, or below it. Says of a number only what is so at this moment:
 * pin it down first. */
bool wbi_leaf_holds(const struct wbi_leaf *leaf, pid_t pid);

/* Calls fn for each process that is in the leaf, or in folders that the command has made in it (to
 * a depth of 8), as far as we can see them. */
typedef void wbi_leaf_fn(void *context, pid_t pid);
void wbi_leaf_each(const struct wbi_leaf *leaf, wbi_leaf_fn *fn, void *context);

/* Whether somebody is in the leaf or anywhere below it, by the kernel's own count. */
bool wbi_leaf_is_populated(const struct wbi_leaf *leaf);

/* Sends KILL to all in the leaf and below it, whosever they are; none escapes by forking. */
void wbi_leaf_kill(struct wbi_leaf *leaf);

/* Where our own cgroup is to be found in the file system.
 * mounts, own: what /proc/self/mountinfo and /proc/self/cgroup say. False where no mount of cgroup
 * v2 shows it, or the path is too long. */
bool wbi_cgroup_locate(FILE *mounts, FILE *own, char ret_folder[WBI_CGROUP_PATH_MAX]);

#endif
