/* Lines and words of a key file: what known_hosts and authorized_keys have in common. */
#ifndef WBI_LINES_H
#define WBI_LINES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

/* A place in a text; begin with {{text, bytes}, 0}. */
struct wbi_key_lines {
	struct wbi_slice rest;
	size_t number; /* of the line that was given last, from 1 */
};

/* Gives the next line that is neither empty nor a comment, without the blanks before it and the
 * end (\n, \r\n) behind it. Borrowed from the text. Returns whether there is one. */
bool wbi_key_lines_next(struct wbi_key_lines *lines, struct wbi_slice *ret_line);

/* Drops blanks (spaces and tabs) from the front. */
void wbi_skip_blanks(struct wbi_slice *rest);

/* Drops `bytes` (at most all) from the front. */
void wbi_skip(struct wbi_slice *rest, size_t bytes);

/* Takes what is before the next blank, and drops the blanks behind it. Empty at the end. */
struct wbi_slice wbi_word_take(struct wbi_slice *rest);

/* Whether a slice is this text; the second ignores the case of ASCII letters. */
bool wbi_slice_is(struct wbi_slice slice, const char *text);
bool wbi_slice_is_nocase(struct wbi_slice slice, const char *text);

#endif
