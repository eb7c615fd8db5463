/* JSON strings as they stand in a header that has been checked: undoing escapes, comparing.
 *
 * `raw` is always the inside of a string (no quotes) that wb_header_parse has accepted. */
#ifndef WBI_JSON_TEXT_H
#define WBI_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WBI_UTF8_MAX = 4 };

/* The value of four hex digits, or UINT32_MAX where one of them is none. */
uint32_t wbi_json_hex4(const char *at);

/* Takes one escape, or one plain byte, from the front of raw. Writes 1 … 4 bytes to `out` and
 * returns how many; *ret_taken: how many bytes of raw that was. */
size_t wbi_json_unescape(const char *raw, char out[WBI_UTF8_MAX], size_t *ret_taken);

/* Writes the text of raw to `out` as far as it fits `size` (> 0) bytes with a NUL, cut at a whole
 * escape. Returns the length written. */
size_t wbi_json_unescape_all(const char *raw, size_t bytes, char *out, size_t size);

/* The length of raw's text. *ret_nul: whether it holds a NUL. */
size_t wbi_json_text_length(const char *raw, size_t bytes, bool *ret_nul);

/* Whether raw's text is exactly the `plain_bytes` bytes at `plain`. */
bool wbi_json_text_equal(const char *raw, size_t bytes, const char *plain, size_t plain_bytes);

/* Whether two raws stand for the same text. */
bool wbi_json_raw_equal(const char *a, size_t a_bytes, const char *b, size_t b_bytes);

#endif
