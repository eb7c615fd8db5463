/* A tree, one entry at a time, in an order that does not depend on the disk: in each folder first
 * what is none, then the folders, each kind by name. Temporaries of transfers are passed over.
 *
 * No recursion, and one open folder besides the top, however deep it goes: because folders come
 * last, a folder's own descriptor is not needed any more once the first of them is entered. */
#ifndef WBI_FILES_WALK_H
#define WBI_FILES_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "waybill/err.h"

/* Names have 256 components at most, and the last may be a file's. */
enum { WBI_WALK_DEPTH_MAX = 255, WBI_WALK_PATH_MAX = 4095 };

struct wbi_walk; /* opaque, heap */

enum wbi_walk_event {
	WBI_WALK_ENTRY,      /* no folder: entry.folder, .name, .path; d_type in .type */
	WBI_WALK_FOLDER,     /* entered: entry.path, .stat */
	WBI_WALK_FOLDER_END, /* left: entry.path; its listing until the next call */
	WBI_WALK_FAILED,     /* entry.path could not be read; error tells (errno) */
	WBI_WALK_OVER,
};

/* Borrowed until the next call. */
struct wbi_walk_entry {
	int folder;         /* where `name` is */
	const char *name;   /* last component */
	const char *path;   /* below the top; "" for the top itself */
	unsigned char type; /* DT_REG, DT_LNK, …; never DT_DIR or DT_UNKNOWN */
	int error;
	struct stat stat; /* FOLDER: of it */
};

/* Begins with the top itself (FOLDER, path ""). top: an open folder (not O_PATH), the walk's from
 * now on, also on failure. excludes: see exclude.h; borrowed. Returns WB_OK or WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_walk_new(int top, const char *const *excludes,
					struct wbi_walk **ret_walk);
void wbi_walk_free(struct wbi_walk *walk);

/* The next step. Blocks on the disk. Links are never followed. */
enum wbi_walk_event wbi_walk_next(struct wbi_walk *walk, struct wbi_walk_entry *ret_entry);

/* After FOLDER_END: every name in it, also those that were left out or failed, each with a NUL
 * behind it. Borrowed until the next call. */
const char *wbi_walk_listing(const struct wbi_walk *walk, size_t *ret_bytes);

/* The top's descriptor, for opening paths again. */
int wbi_walk_top(const struct wbi_walk *walk);

#endif
