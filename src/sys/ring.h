/* A ring of bytes that never shows where it is joined: it is mapped twice, end to end, so that
 * whatever is held, and whatever is free, is one piece.
 *
 * Invariant: 0 <= end - begin <= size. Bytes are counted from the first that was ever added.
 * One producer and one consumer may be in different threads: the counters are then guarded by
 * their owner's lock, and the bytes need none, for neither touches what the other may. */
#ifndef WBI_RING_H
#define WBI_RING_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "waybill/err.h"

struct wbi_ring {
	uint8_t *data; /* NULL: not open */
	size_t size;
	uint64_t begin, end; /* bytes [begin, end) are held */
	uint64_t origin;     /* the byte with this number lies at data[0] */
};

/* Opens a ring for at least `bytes` (> 0); pages that are never used are never taken.
 * Returns WB_OK or WB_ERR_SYSTEM. */
WB_WARN_UNUSED enum wb_err wbi_ring_open(struct wbi_ring *ring, size_t bytes,
					 struct wb_fault *fault);
void wbi_ring_close(struct wbi_ring *ring); /* safe to repeat, also on one that is all zero */

/* Producer: where to write next, and how much. An empty ring begins again at its first page, so
 * that one whose consumer keeps up stays in the processor's cache. */
uint8_t *wbi_ring_room(struct wbi_ring *ring, size_t *ret_bytes);
void wbi_ring_add(struct wbi_ring *ring, size_t bytes); /* so much of it was written */

/* Consumer: all that is held from byte number `from` (begin … end) on; and that everything below
 * `to` (begin … end) is done with. */
struct wbi_slice wbi_ring_peek(const struct wbi_ring *ring, uint64_t from);
void wbi_ring_drop(struct wbi_ring *ring, uint64_t to);

#endif
