/* Lines to be sent. At a prompt libedit edits them, where the build has it; else they are read as
 * they come, and any byte but newline may stand in one. */
#include "cli/lines.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/edit.h"
#include "cli/interrupt.h"

struct wbi_lines {
	const char *prompt;
	struct wbi_edit *edit; /* NULL: lines are read into the buffer */

	/* head <= scanned <= tail; no newline lies in [head, scanned) */
	size_t head, scanned, tail;
	bool ended;
	bool inside; /* the last piece was not the last of its line */
	uint8_t buffer[WBI_LINES_PIECE_MAX];
};

enum wb_err wbi_lines_new(const char *prompt, struct wbi_lines **ret_lines)
{
	struct wbi_lines *lines = calloc(1, sizeof(*lines));

	if (!lines)
		return WB_ERR_NOMEM;
	lines->prompt = prompt;
	if (prompt && wbi_edit_new(prompt, &lines->edit) == WB_ERR_NOMEM) {
		free(lines);
		return WB_ERR_NOMEM;
	}
	wbi_interrupt_init();
	*ret_lines = lines;
	return WB_OK;
}

void wbi_lines_free(struct wbi_lines *lines)
{
	if (!lines)
		return;
	wbi_edit_free(lines->edit);
	free(lines);
}

/* Waits until stdin can be read. False: ^C, or an error. */
static bool wait_for_input(const struct wbi_lines *lines)
{
	struct pollfd wanted = {STDIN_FILENO, POLLIN, 0};

	if (!lines->prompt)
		return poll(&wanted, 1, -1) > 0 || errno == EINTR;
	while (!wbi_interrupt_wait(STDIN_FILENO))
		if (wbi_interrupt_seen())
			return false;
	return true;
}

/* Reads some more behind the tail, where there is room. False: ^C, or an error (errno). */
static bool fill(struct wbi_lines *lines)
{
	ssize_t bytes;

	memmove(lines->buffer, lines->buffer + lines->head, lines->tail - lines->head);
	lines->scanned -= lines->head;
	lines->tail -= lines->head;
	lines->head = 0;
	do {
		if (!wait_for_input(lines))
			return false;
		bytes = read(STDIN_FILENO, lines->buffer + lines->tail,
			     sizeof(lines->buffer) - lines->tail);
	} while (bytes < 0 && (errno == EAGAIN || errno == EINTR));
	if (bytes < 0)
		return false;
	lines->tail += (size_t)bytes;
	lines->ended = bytes == 0;
	return true;
}

/* Gives out [head, end), and goes on behind it (and behind the newline, if one is there). */
static enum wbi_lines_result give(struct wbi_lines *lines, size_t end, bool newline, bool last,
				  struct wbi_line_piece *ret_piece)
{
	*ret_piece = (struct wbi_line_piece){lines->buffer + lines->head, end - lines->head, last};
	lines->head = lines->scanned = end + newline;
	lines->inside = !last;
	return WBI_LINES_PIECE;
}

static enum wbi_lines_result next_read(struct wbi_lines *lines, struct wbi_line_piece *ret_piece,
				       struct wb_fault *fault)
{
	for (;;) {
		const uint8_t *newline =
			memchr(lines->buffer + lines->scanned, '\n', lines->tail - lines->scanned);

		if (newline)
			return give(lines, (size_t)(newline - lines->buffer), true, true,
				    ret_piece);
		lines->scanned = lines->tail;
		if (lines->tail - lines->head == sizeof(lines->buffer))
			return give(lines, lines->tail, false, false, ret_piece);
		if (lines->ended && (lines->tail > lines->head || lines->inside))
			return give(lines, lines->tail, false, true, ret_piece);
		if (lines->ended)
			return WBI_LINES_END;
		if (fill(lines))
			continue;
		if (lines->prompt && wbi_interrupt_seen())
			return WBI_LINES_DROPPED;
		wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "stdin: %m");
		return WBI_LINES_FAILED;
	}
}

static enum wbi_lines_result next_edited(struct wbi_lines *lines, struct wbi_line_piece *ret_piece)
{
	const char *line;
	size_t bytes;

	switch (wbi_edit_next(lines->edit, &line, &bytes)) {
	case WBI_EDIT_LINE:
		*ret_piece = (struct wbi_line_piece){(const uint8_t *)line, bytes, true};
		return WBI_LINES_PIECE;
	case WBI_EDIT_DROPPED:
		return WBI_LINES_DROPPED;
	case WBI_EDIT_END:
		break;
	}
	return WBI_LINES_END;
}

static enum wbi_lines_result next_prompted(struct wbi_lines *lines,
					   struct wbi_line_piece *ret_piece, struct wb_fault *fault)
{
	enum wbi_lines_result result;

	wbi_interrupt_begin_prompt();
	if (lines->edit) {
		result = next_edited(lines, ret_piece);
	} else {
		if (!lines->inside)
			fputs(lines->prompt, stdout);
		fflush(stdout);
		result = next_read(lines, ret_piece, fault);
	}
	wbi_interrupt_end_prompt();
	if (result == WBI_LINES_DROPPED) {
		lines->head = lines->scanned = lines->tail;
		lines->inside = false;
	}
	if (result == WBI_LINES_DROPPED || result == WBI_LINES_END)
		putchar('\n'); /* off the prompt's line */
	fflush(stdout);
	return result;
}

enum wbi_lines_result wbi_lines_next(struct wbi_lines *lines, struct wbi_line_piece *ret_piece,
				     struct wb_fault *fault)
{
	return lines->prompt ? next_prompted(lines, ret_piece, fault)
			     : next_read(lines, ret_piece, fault);
}
