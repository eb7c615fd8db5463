/* What an `open` of put or get asks for: written by the client, read by the daemon, in one place.
 * Protocol: "put and get". */
#ifndef WBI_FILES_REQUEST_H
#define WBI_FILES_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "waybill/digest.h"
#include "waybill/err.h"
#include "waybill/header.h"

enum { WBI_FILES_STRINGS_MAX = 65536 }; /* paths and excludes together */

struct wbi_files_request {
	bool recursive; /* folders too */
	bool into;      /* put: the target is a folder, whatever is there */
	bool update;    /* leave alone what is newer at the target */
	bool delete;    /* and delete what is not at the source */
	bool owner;     /* owners too, where the receiver may give files away */
	bool unsynced;  /* do not wait for the disk */
	bool compress;
	bool whole; /* no deltas */
	enum wb_digest_kind digest;

	/* NULL-terminated each. Read: they point into `strings`. */
	const char **paths; /* put: one; get: one or more */
	const char **excludes;
	char *strings;
};

/* Reads the header's fields and the payload. *ret_request is to be given to _done in any case.
 * Returns WB_OK, WB_ERR_MALFORMED, _MISSING, _LIMIT or _NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_files_request_read(struct wbi_files_request *ret_request,
						  const struct wb_header *header,
						  struct wbi_slice payload, struct wb_fault *fault);
void wbi_files_request_done(struct wbi_files_request *request);

/* Writes the fields (a wbi_put_fields_fn; context: the request), those that must be understood, and
 * the payload. The last returns WB_OK, or as wbi_buf_append. */
enum { WBI_FILES_CRITICAL_MAX = 12 };
void wbi_files_request_put(struct wb_header_writer *writer, void *context);
void wbi_files_request_critical(const struct wbi_files_request *request,
				const char *names[WBI_FILES_CRITICAL_MAX]);
WB_WARN_UNUSED enum wb_err wbi_files_request_payload(const struct wbi_files_request *request,
						     struct wbi_buf *payload);

#endif
