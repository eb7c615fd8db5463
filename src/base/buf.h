/* A bounded byte buffer with two cursors.
 *
 * Invariant: head <= tail <= room <= limit. Bytes in [head, tail) are held. Memory is taken only
 * when it is needed and never past the limit, and an empty buffer can give it all back. */
#ifndef WBI_BUF_H
#define WBI_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "waybill/err.h"

struct wbi_buf {
	uint8_t *data;
	size_t head, tail, room, limit;
};

/* limit: the most bytes it may ever hold, > 0. Takes no memory. */
void wbi_buf_init(struct wbi_buf *buf, size_t limit);
void wbi_buf_done(struct wbi_buf *buf);

/* The bytes held; borrowed until the next call that changes the buffer. */
struct wbi_slice wbi_buf_peek(const struct wbi_buf *buf);
size_t wbi_buf_bytes(const struct wbi_buf *buf);

/* Makes room for at least `bytes` more behind the tail and gives its start, for a read to fill.
 * Returns WB_OK, WB_ERR_LIMIT (held + bytes > limit; nothing changes), or WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_buf_reserve(struct wbi_buf *buf, size_t bytes, uint8_t **ret_data);

/* Says that `bytes` of what was reserved have been filled. */
void wbi_buf_commit(struct wbi_buf *buf, size_t bytes);

/* Reserve, copy, commit. All or nothing; errors as wbi_buf_reserve. */
WB_WARN_UNUSED enum wb_err wbi_buf_append(struct wbi_buf *buf, const void *data, size_t bytes);

/* Drops `bytes` (<= held) from the front. */
void wbi_buf_consume(struct wbi_buf *buf, size_t bytes);

/* Drops everything and gives the memory back. */
void wbi_buf_reset(struct wbi_buf *buf);

#endif
