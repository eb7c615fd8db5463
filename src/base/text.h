/* Text that came from somebody else: checking it, and making it safe to show. */
#ifndef WBI_TEXT_H
#define WBI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WBI_DIGITS_MAX = 21 };

/* The number in decimal digits, and a NUL. Returns how many digits. For where printf is too slow.
 */
size_t wbi_text_number(uint64_t number, char out[WBI_DIGITS_MAX]);

/* Length of the valid UTF-8 prefix (RFC 3629). Equal to `bytes` where all of it is valid. */
size_t wbi_utf8_prefix(const void *text, size_t bytes);

/* Bytes of the UTF-8 sequence that begins at text[0]: 1 … 4, or 0 if none is valid there. */
size_t wbi_utf8_sequence(const void *text, size_t bytes);

/* Writes `bytes` of text into `out` so that no terminal acts on it: C0, DEL, C1, bidirectional and
 * zero-width controls, invalid UTF-8 and backslash become \xNN, \n, \t, \r, \\. What does not fit
 * is cut at a whole escape. Always NUL-terminated (size > 0). Returns the length written. ret_taken
 * (may be NULL): how many input bytes were written; less than `bytes` where cut. */
size_t wbi_text_escape(const void *text, size_t bytes, char *out, size_t size, size_t *ret_taken);

/* The same for a whole message, which is often made of other messages: a backslash, harmless to a
 * terminal, stays as it is, so that what was escaped before does not change. The price: what it
 * writes cannot be turned back. */
void wbi_text_escape_message(const char *message, char *out, size_t size);

#endif
