/* Beneath: paths that came from somebody else, opened so that nothing leads out of a folder.
 *
 * Where the kernel has openat2 it does the work; elsewhere the same is walked, one component at a
 * time, without following a link that was not looked at. Every descriptor is close-on-exec.
 * Source: openat2(2). */
#ifndef WBI_BENEATH_H
#define WBI_BENEATH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "waybill/err.h"

enum wbi_beneath_links {
	WBI_BENEATH_NO_LINKS, /* no component may be a symbolic link, not even the last */
	WBI_BENEATH_LINKS,    /* links are followed as far as they stay beneath the folder */
};

/* Opens `path` beneath the folder `folder` (any descriptor of it, O_PATH too).
 *
 * path: relative, "" and "." being the folder itself; "..", too, must stay beneath. An absolute
 * path is refused: strip its slashes first where "/" is to mean the folder.
 * flags, mode: as open(2). With WBI_BENEATH_LINKS a new file's last component may not be a link.
 * Returns a descriptor, the caller's, or -1 with errno: EXDEV (leads out), ELOOP (a link where none
 * may be, or too many), ENOENT, ENOTDIR, EACCES, ENAMETOOLONG and the rest of open(2). */
int wbi_beneath_open(int folder, const char *path, int flags, mode_t mode,
		     enum wbi_beneath_links links);

/* The folder that holds the last component of `path`, and that component, which is not looked at:
 * *ret_last points into path. "a/b/" has the last component "b/", for the caller to judge.
 * Returns an O_PATH descriptor for the *at calls, the caller's, or -1 with errno as above; EINVAL
 * where there is no last component, or it is "." or "..". */
int wbi_beneath_parent(int folder, const char *path, enum wbi_beneath_links links,
		       const char **ret_last);

/* For tests: from now on walk, as if the kernel had no openat2. Any thread, before the others. */
void wbi_beneath_force_walk(bool walk);

#endif
