/* How far a transfer has come, and what went wrong on the way: the same record at both ends. */
#ifndef WBI_FILES_PROGRESS_H
#define WBI_FILES_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "waybill/err.h"

enum {
	WBI_FILE_ERROR_MAX = 24,     /* a stable name such as "no-space", with its NUL */
	WBI_FILE_CURRENT_MAX = 256,  /* of a name that is shown, with its NUL */
	WBI_FILE_FAILURES_MAX = 100, /* told one by one; beyond that they are only counted */
};

/* One entry that did not make it. */
struct wbi_file_failure {
	uint64_t n;                     /* the entry's number, 0 where it is about none */
	char error[WBI_FILE_ERROR_MAX]; /* stable, lower case, "digest" */
	char text[WB_FAULT_TEXT_MAX];   /* "name: why", escaped */
};

struct wbi_file_failures {
	uint64_t count; /* all of them; min(count, WBI_FILE_FAILURES_MAX) stand in `first` */
	struct wbi_file_failure *first; /* NULL while there are none */
};

struct wbi_file_progress {
	uint64_t files_known, files_done; /* entries of every kind; known may be 0: not known yet */
	uint64_t bytes_known, bytes_done; /* of content, sent or not */
	uint64_t bytes_wire;              /* payload that travelled */
	uint64_t bytes_saved;             /* content that did not have to */
	uint64_t bytes_verified;          /* content whose digest has been found right */
	char current[WBI_FILE_CURRENT_MAX]; /* the entry under way, cut; "" between two. Not
					       escaped: whoever shows it does that */
};

/* Sets `current` to `name`, any bytes, cut: it is set for every file and shown for few. */
void wbi_file_progress_name(struct wbi_file_progress *progress, const char *name);

/* Adds one. error: a stable name. format, …: as printf; the result is escaped and cut. Where there
 * is no memory it is counted all the same. */
void wbi_file_failures_add(struct wbi_file_failures *failures, uint64_t n, const char *error,
			   const char *format, ...) __attribute__((format(printf, 4, 5)));
void wbi_file_failures_done(struct wbi_file_failures *failures);

/* The stable name for an errno: "no-space", "disk-quota", "read-only", "denied", "not-found",
 * "not-a-folder", "is-a-folder", "exists", "link-in-the-way", "name-too-long", "too-large",
 * "too-many-open", "changed" (ESTALE), "busy", and "io" for all others. Static. */
const char *wbi_file_error_name(int system_errno);

#endif
