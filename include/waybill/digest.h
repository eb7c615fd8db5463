/* Digests: md5 (for old peers), sha256, and xxh128 (accidents only, at memory speed). */
#ifndef WAYBILL_DIGEST_H
#define WAYBILL_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "waybill/err.h"

enum wb_digest_kind { WB_DIGEST_MD5, WB_DIGEST_SHA256, WB_DIGEST_XXH128 };

enum { WB_DIGEST_BYTES_MAX = 32, WB_DIGEST_HEX_MAX = 2 * WB_DIGEST_BYTES_MAX + 1 };

/* A digest under way; opaque, heap. */
struct wb_digest;

/* Begins a digest. Returns WB_OK and the caller owns *ret_digest, or WB_ERR_NOMEM, or
 * WB_ERR_UNSUPPORTED where the crypto library refuses the algorithm (md5 under FIPS). */
WB_WARN_UNUSED enum wb_err wb_digest_new(enum wb_digest_kind kind, struct wb_digest **ret_digest,
					 struct wb_fault *fault);
void wb_digest_free(struct wb_digest *digest);

/* Adds bytes. Does not fail. */
void wb_digest_update(struct wb_digest *digest, const void *data, size_t bytes);

/* Ends the digest and writes it as lower-case hex with a NUL; afterwards only _reset or _free. */
void wb_digest_hex(struct wb_digest *digest, char out[WB_DIGEST_HEX_MAX]);

/* Starts over with the same kind. */
void wb_digest_reset(struct wb_digest *digest);

/* The name on the wire ("md5", "sha256", "xxh128"), and back (false: unknown). */
const char *wb_digest_name(enum wb_digest_kind kind);
bool wb_digest_by_name(const char *name, enum wb_digest_kind *ret_kind);

/* Length of the hex form without its NUL: 32, 64, 32. */
size_t wb_digest_hex_length(enum wb_digest_kind kind);

/* Whether `text` (`bytes` long) is that many hex digits, of either case. */
bool wb_digest_is_hex(enum wb_digest_kind kind, const char *text, size_t bytes);

#endif
