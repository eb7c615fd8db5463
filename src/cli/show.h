/* Showing replies: from a server's bytes to what stands on stdout.
 *
 * Into a pipe or a file they go as they are; on a terminal they are made safe first. With an
 * encoding they are converted on the way. */
#ifndef WBI_SHOW_H
#define WBI_SHOW_H

#include <stdbool.h>
#include <stddef.h>

#include "waybill/err.h"

struct wbi_show; /* opaque, heap */

struct wbi_show_options {
	int fd;               /* the caller's, blocking */
	const char *charset;  /* what the terminal shows */
	const char *encoding; /* what replies are written in; NULL: like the terminal */
	bool raw;             /* no escapes, also on a terminal */
};

/* Returns WB_OK; WB_ERR_ARGUMENT where the encoding is unknown; WB_ERR_NOMEM; WB_ERR_SYSTEM. */
WB_WARN_UNUSED enum wb_err wbi_show_new(const struct wbi_show_options *options,
					struct wbi_show **ret_show, struct wb_fault *fault);
void wbi_show_free(struct wbi_show *show);

/* Shows a piece of a reply at once, but for the beginning of a character that was cut in two.
 * Blocks while stdout does. Returns WB_OK; WB_ERR_CLOSED where stdout's reader has gone (EPIPE);
 * WB_ERR_SYSTEM. */
WB_WARN_UNUSED enum wb_err wbi_show_bytes(struct wbi_show *show, const void *data, size_t bytes,
					  struct wb_fault *fault);

/* A reply ends here: shows what was held back, and then `tail` (ASCII, may be ""). */
WB_WARN_UNUSED enum wb_err wbi_show_end(struct wbi_show *show, const char *tail,
					struct wb_fault *fault);

/* Whether stdout's reader has gone: nothing more can be shown. */
bool wbi_show_abandoned(const struct wbi_show *show);

/* Whether the last byte shown was a newline, or none was. */
bool wbi_show_at_line_start(const struct wbi_show *show);

#endif
