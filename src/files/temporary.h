/* Temporaries: the hidden name under which a file grows until it is whole.
 *
 * ".waybill-" + 32 hex digits + ".part", in the folder of the final name. That of a large file is
 * derived from the final name, so that the same transfer finds it again; it is locked (flock) as
 * long as somebody writes it. All others are random. */
#ifndef WBI_FILES_TEMPORARY_H
#define WBI_FILES_TEMPORARY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "waybill/err.h"

enum { WBI_TEMPORARY_NAME_MAX = 9 + 32 + 5 + 1 };

/* Where random names come from: one a transfer. */
struct wbi_temporary_names {
	uint64_t random[2];
};

WB_WARN_UNUSED enum wb_err wbi_temporary_names_init(struct wbi_temporary_names *names,
						    struct wb_fault *fault);

/* A name that nobody else has. */
void wbi_temporary_name_next(struct wbi_temporary_names *names, char out[WBI_TEMPORARY_NAME_MAX]);

/* The name that belongs to the final name `name`. */
void wbi_temporary_name_of(const char *name, char out[WBI_TEMPORARY_NAME_MAX]);

/* Whether `name` looks like one of ours. */
bool wbi_temporary_is(const char *name);

/* What something is called now: by its temporary, or, where that is "", by its final name. */
static inline const char *wbi_temporary_name_now(const char *temporary, const char *name)
{
	return temporary[0] ? temporary : name;
}

/* Makes a temporary for a large file, locked. `out` holds its name.
 * Returns a descriptor for reading and writing, the caller's, or -1 with errno. Mode 0600. */
int wbi_temporary_make(int folder, const char *name, struct wbi_temporary_names *names,
		       char out[WBI_TEMPORARY_NAME_MAX]);

/* Takes up what an earlier transfer of `name` left: a regular file of our own with this one name,
 * not locked by anybody. Returns a locked descriptor and its size, or -1: there is none. */
int wbi_temporary_resume(int folder, const char *name, char out[WBI_TEMPORARY_NAME_MAX],
			 uint64_t *ret_bytes);

/* Looks at one that another transfer of `name` holds: for reading only. Returns a descriptor and
 * its status, or -1. */
int wbi_temporary_look(int folder, const char *name, struct stat *ret_status);

/* Removes that one, if nothing was written to it since it had this status: whoever held it has gone
 * silent, and is not needed any more. fd: from wbi_temporary_look. */
void wbi_temporary_retire(int folder, const char *name, int fd, const struct stat *then);

/* Removes the temporaries of `folder` that nobody has touched (ctime) or holds for `age_seconds`.
 * Returns how many. */
unsigned wbi_temporary_sweep(int folder, int64_t age_seconds);

#endif
