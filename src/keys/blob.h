/* The binary encoding of SSH (RFC 4251, section 5): big-endian numbers, strings with their length.
 */
#ifndef WBI_BLOB_H
#define WBI_BLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Reading: each takes its value from the front, or returns false and changes nothing. What
 * wbi_blob_string gives is borrowed. */
bool wbi_blob_u32(struct wbi_slice *rest, uint32_t *ret_value);
bool wbi_blob_string(struct wbi_slice *rest, struct wbi_slice *ret_string);

/* Writing: to `at`, where there must be room. Returns the place behind. */
uint8_t *wbi_blob_put_u32(uint8_t *at, uint32_t value);
uint8_t *wbi_blob_put_string(uint8_t *at, const void *data, size_t bytes);

#endif
