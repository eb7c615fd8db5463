/* The binary heap: each node knows its place, so that any of them can leave in O(log n). */
#include "base/heap.h"

#include <assert.h>
#include <stdlib.h>

enum { ROOM_FIRST = 16 };

void wbi_heap_init(struct wbi_heap *heap)
{
	*heap = (struct wbi_heap){0};
}

void wbi_heap_done(struct wbi_heap *heap)
{
	if (!heap)
		return;
	free(heap->nodes);
	wbi_heap_init(heap);
}

static void put(struct wbi_heap *heap, size_t index, struct wbi_heap_node *node)
{
	heap->nodes[index] = node;
	node->place = index + 1;
}

/* Both sifts fill the hole at `index` with `node`, moving others out of the way. */
static void sift_up(struct wbi_heap *heap, size_t index, struct wbi_heap_node *node)
{
	while (index > 0) {
		size_t parent = (index - 1) / 2;

		if (heap->nodes[parent]->key <= node->key)
			break;
		put(heap, index, heap->nodes[parent]);
		index = parent;
	}
	put(heap, index, node);
}

static void sift_down(struct wbi_heap *heap, size_t index, struct wbi_heap_node *node)
{
	size_t child;

	while ((child = 2 * index + 1) < heap->count) {
		if (child + 1 < heap->count &&
		    heap->nodes[child + 1]->key < heap->nodes[child]->key)
			child++;
		if (node->key <= heap->nodes[child]->key)
			break;
		put(heap, index, heap->nodes[child]);
		index = child;
	}
	put(heap, index, node);
}

static enum wb_err make_room(struct wbi_heap *heap)
{
	size_t room = heap->room ? 2 * heap->room : ROOM_FIRST;
	struct wbi_heap_node **nodes;

	if (heap->count < heap->room)
		return WB_OK;
	nodes = reallocarray(heap->nodes, room, sizeof(nodes[0]));
	if (!nodes)
		return WB_ERR_NOMEM;
	heap->nodes = nodes;
	heap->room = room;
	return WB_OK;
}

enum wb_err wbi_heap_add(struct wbi_heap *heap, struct wbi_heap_node *node, uint64_t key)
{
	enum wb_err err = make_room(heap);

	assert(!node->place);
	if (err)
		return err;
	node->key = key;
	sift_up(heap, heap->count++, node);
	return WB_OK;
}

void wbi_heap_remove(struct wbi_heap *heap, struct wbi_heap_node *node)
{
	size_t index = node->place - 1;
	struct wbi_heap_node *last;

	if (!node->place)
		return;
	assert(index < heap->count && heap->nodes[index] == node);
	node->place = 0;
	last = heap->nodes[--heap->count];
	if (last == node)
		return;
	if (last->key < node->key)
		sift_up(heap, index, last);
	else
		sift_down(heap, index, last);
}

struct wbi_heap_node *wbi_heap_peek(const struct wbi_heap *heap)
{
	return heap->count ? heap->nodes[0] : NULL;
}
