/* Going through a tree with the same few descriptors however deep it is: where we are is a path, a
 * folder's entries are read at once, and the way back up leads from the top. No link is followed,
 * and a folder that is another one by now is not taken for the one that it was. */
#ifndef WBI_FILES_DESCENT_H
#define WBI_FILES_DESCENT_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "files/item.h"

enum { WBI_DESCENT_DEPTH_MAX = 256 };

/* ---- what a folder holds ---- */

/* Reads the open folder `folder` from its beginning, by a descriptor of its own. NULL with errno;
 * else the caller's (closedir). */
DIR *wbi_listing_open(int folder);

/* The next entry but "." and "..", borrowed. NULL: the end, errno 0; or why not. */
struct dirent *wbi_listing_next(DIR *listing);

/* Names to come back to when the listing is closed. {0} is an empty one. */
struct wbi_kept_names {
	char *names; /* each with its NUL */
	size_t bytes, room;
};

bool wbi_kept_names_add(struct wbi_kept_names *kept, const char *name); /* false: no memory */
void wbi_kept_names_done(struct wbi_kept_names *kept);

/* The name behind `name`, NULL being before the first. NULL: there is none. */
const char *wbi_kept_names_next(const struct wbi_kept_names *kept, const char *name);

/* ---- where we are ---- */

struct wbi_descent {
	char path[WBI_ITEM_NAME_MAX + 1]; /* what is under way, behind what the top is called */
	size_t bytes;
	size_t top_bytes; /* of them: the top's */
	unsigned depth;   /* components below the top */
};

/* top: what the top is called, which is part of paths only. */
void wbi_descent_init(struct wbi_descent *descent, const char *top);

/* Goes on to an entry of where we are; *ret_bytes is for the way back. False with errno
 * ENAMETOOLONG: the path, or too deep. */
bool wbi_descent_push(struct wbi_descent *descent, const char *name, size_t *ret_bytes);
void wbi_descent_pop(struct wbi_descent *descent, size_t bytes);

/* Opens the folder that holds where we are, bytes being what push told. It is below the open folder
 * `top`, or that itself, and must be the one that `is` tells of. Returns a descriptor, the
 * caller's, or -1 with errno: ESTALE (another one), … */
int wbi_descent_open_parent(struct wbi_descent *descent, size_t bytes, int top,
			    const struct stat *is);

#endif
