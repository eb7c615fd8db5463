/* An intrusive binary min-heap over uint64_t keys: timers by deadline.
 *
 * Nodes live in their owners; the heap holds pointers to them and grows by doubling. */
#ifndef WBI_HEAP_H
#define WBI_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "waybill/err.h"

struct wbi_heap_node {
	uint64_t key;
	size_t place; /* index + 1; 0 = not in a heap */
};

struct wbi_heap {
	struct wbi_heap_node **nodes;
	size_t count, room;
};

void wbi_heap_init(struct wbi_heap *heap);
void wbi_heap_done(struct wbi_heap *heap); /* the nodes themselves are their owners' */

/* Adds a node that is in no heap. Returns WB_OK or WB_ERR_NOMEM. O(log n). */
WB_WARN_UNUSED enum wb_err wbi_heap_add(struct wbi_heap *heap, struct wbi_heap_node *node,
					uint64_t key);

/* Takes a node out; nothing happens if it is in none. O(log n). */
void wbi_heap_remove(struct wbi_heap *heap, struct wbi_heap_node *node);

/* The node with the least key, or NULL. Borrowed. */
struct wbi_heap_node *wbi_heap_peek(const struct wbi_heap *heap);

#endif
