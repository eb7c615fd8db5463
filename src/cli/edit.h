/* Line editing with history, where the build has libedit. */
#ifndef WBI_EDIT_H
#define WBI_EDIT_H

#include <stddef.h>

#include "waybill/err.h"

struct wbi_edit; /* opaque, heap */

enum wbi_edit_result {
	WBI_EDIT_LINE,
	WBI_EDIT_DROPPED, /* ^C, see interrupt.h */
	WBI_EDIT_END,
};

/* Edits on stdin and stdout, which are a terminal. prompt: borrowed. One at a time.
 * Returns WB_OK; WB_ERR_UNSUPPORTED (no libedit in this build, or none for this terminal);
 * WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_edit_new(const char *prompt, struct wbi_edit **ret_edit);
void wbi_edit_free(struct wbi_edit *edit);

/* Shows the prompt and waits for a line. *ret_line (without its newline) is borrowed until the next
 * call. Stands between wbi_interrupt_begin_prompt and _end_prompt. */
enum wbi_edit_result wbi_edit_next(struct wbi_edit *edit, const char **ret_line, size_t *ret_bytes);

#endif
