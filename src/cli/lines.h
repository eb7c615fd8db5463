/* Lines to be sent: typed at a prompt with editing and history, or read from a pipe. */
#ifndef WBI_LINES_H
#define WBI_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "waybill/err.h"

/* A longer line comes in pieces. One more than a command may have, so that a line that is too long
 * for one is seen to be. */
enum { WBI_LINES_PIECE_MAX = 65536 + 1 };

struct wbi_lines; /* opaque, heap */

enum wbi_lines_result {
	WBI_LINES_PIECE,
	WBI_LINES_DROPPED, /* ^C at the prompt */
	WBI_LINES_END,
	WBI_LINES_FAILED, /* stdin cannot be read: the fault says why */
};

struct wbi_line_piece {
	const uint8_t *data; /* without the newline; borrowed until the next call */
	size_t bytes;
	bool last; /* the line ends behind this piece */
};

/* prompt: shown before each line; NULL: stdin is no terminal, nothing is shown or kept.
 * From now on ^C ends the program with exit code 130, except at the prompt, where it drops the
 * line. One at a time. Returns WB_OK or WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_lines_new(const char *prompt, struct wbi_lines **ret_lines);
void wbi_lines_free(struct wbi_lines *lines);

/* Waits for the next piece. */
enum wbi_lines_result wbi_lines_next(struct wbi_lines *lines, struct wbi_line_piece *ret_piece,
				     struct wb_fault *fault);

#endif
