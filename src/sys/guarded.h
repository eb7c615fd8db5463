/* Files that decide who may come in: read whole, and only where nobody else could have written to
 * them. Source: sshd_config(5), StrictModes. */
#ifndef WBI_GUARDED_H
#define WBI_GUARDED_H

#include <stdint.h>
#include <sys/types.h>

#include "waybill/err.h"

enum { WBI_GUARDED_BYTES_MAX = 16 * 1024 * 1024 };

/* Caller-owned; the data has a NUL behind it that is not counted. */
struct wbi_guarded {
	char *data;
	size_t bytes;
};

/* Whom a file is kept from. */
enum wbi_guard {
	WBI_GUARD_WRITING, /* nobody but root and `owner` may write to it */
	WBI_GUARD_READING, /* nor, but for them (and a group that root has chosen), read it: a
			    * private key */
};

/* Reads a regular file. It must belong to root or to `owner` and be writable by nobody else, and so
 * must each folder on the way to it, that of its name, of a link and of the place where it really
 * lies; a sticky folder, such as /tmp, may be writable, but a link in it must be root's or the
 * owner's. Returns WB_OK and the caller owns *ret_file; WB_ERR_MISSING: there is none;
 * WB_ERR_REFUSED: who could change it (or read it) is said; WB_ERR_LIMIT (WBI_GUARDED_BYTES_MAX),
 * WB_ERR_NOMEM, WB_ERR_SYSTEM. Blocks on the disk. */
WB_WARN_UNUSED enum wb_err wbi_guarded_read(const char *path, enum wbi_guard guard, uid_t owner,
					    struct wbi_guarded *ret_file, struct wb_fault *fault);

/* Wipes and frees; safe to repeat. */
void wbi_guarded_done(struct wbi_guarded *file);

/* A number that is another one (but for bad luck in 2^64) once the file at `path` was replaced,
 * written to, made, removed, or given other permissions. */
uint64_t wbi_guarded_stamp(const char *path);

/* Makes a new file with `mode` (and its folder, 0700, where that is missing) that holds `data`
 * whole, or is not there. Never replaces anything: returns WB_ERR_REFUSED where there is something
 * at `path` already; WB_ERR_SYSTEM. */
WB_WARN_UNUSED enum wb_err wbi_guarded_create(const char *path, mode_t mode, const void *data,
					      size_t bytes, struct wb_fault *fault);

/* Adds a line (with its newline) to the end of a file, made with mode 0600 if need be (and its
 * folder, 0700). The line begins at a line's beginning even where the file's last line has no end.
 * Returns WB_OK; WB_ERR_REFUSED: a link that wbi_guarded_read would not follow; WB_ERR_MISSING,
 * WB_ERR_NOMEM, WB_ERR_SYSTEM. */
WB_WARN_UNUSED enum wb_err wbi_guarded_append(const char *path, const char *line,
					      struct wb_fault *fault);

#endif
