/* Payloads made smaller for the way: each is one zstd frame of its own. Builds without zstd say so
 * and compress nothing. Source: RFC 8878. */
#ifndef WBI_FILES_COMPRESS_H
#define WBI_FILES_COMPRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "waybill/err.h"

/* Whether this build can. */
bool wbi_compress_exists(void);

/* One direction of one transfer; opaque, heap. */
struct wbi_compressor;
struct wbi_decompressor;

/* Returns WB_OK, WB_ERR_NOMEM, or WB_ERR_UNSUPPORTED where this build cannot. */
WB_WARN_UNUSED enum wb_err wbi_compressor_new(struct wbi_compressor **ret_compressor);
void wbi_compressor_free(struct wbi_compressor *compressor);
WB_WARN_UNUSED enum wb_err wbi_decompressor_new(struct wbi_decompressor **ret_decompressor);
void wbi_decompressor_free(struct wbi_decompressor *decompressor);

/* Writes `bytes` bytes of data to `out` as one frame, where that takes less than `room`. Returns
 * the frame's length, or 0: it does not shrink so far, send it as it is. */
size_t wbi_compress(struct wbi_compressor *compressor, const void *data, size_t bytes, void *out,
		    size_t room);

/* The reverse: exactly one frame, and exactly raw_bytes of content, which is all that is ever
 * written to `out`. Returns WB_OK; WB_ERR_MALFORMED: it is not that. */
WB_WARN_UNUSED enum wb_err wbi_decompress(struct wbi_decompressor *decompressor, const void *data,
					  size_t bytes, void *out, size_t raw_bytes);

#endif
