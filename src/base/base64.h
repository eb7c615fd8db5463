/* Base64 (RFC 4648, section 4): one line, always padded, and only the one canonical spelling.
 *
 * No table is looked up by what is decoded: the text may be a private key. */
#ifndef WBI_BASE64_H
#define WBI_BASE64_H

#include <stddef.h>
#include <stdint.h>

#include "waybill/err.h"

/* Characters that `bytes` bytes become, without a NUL. A constant where `bytes` is one. */
#define WBI_BASE64_LENGTH(bytes) (((bytes) + 2) / 3 * 4)

/* Writes the text of `bytes` bytes to out and a NUL behind it; out holds at least
 * WBI_BASE64_LENGTH(bytes) + 1. Returns the length without the NUL. Does not fail. */
size_t wbi_base64_encode(const void *data, size_t bytes, char *out);

/* Decodes `length` characters. Padding must be there, and bits that stand for nothing must be 0;
 * white space is an error. The empty text is no bytes.
 *
 * out: at least length / 4 * 3 bytes, else WB_ERR_LIMIT (size says how many there are); what is
 * written there on failure is undefined. It may be `text` itself. Returns WB_OK and sets
 * *ret_bytes, or WB_ERR_MALFORMED. */
WB_WARN_UNUSED enum wb_err wbi_base64_decode(const char *text, size_t length, void *out,
					     size_t size, size_t *ret_bytes);

#endif
