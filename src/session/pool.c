/* Pools: window bytes that streams borrow, each pool from the one above. */
#include <assert.h>

#include "session/stream.h"

uint64_t wbi_pool_free_bytes(const struct wbi_pool *pool)
{
	uint64_t least = UINT64_MAX;

	for (; pool; pool = pool->parent) {
		uint64_t here = pool->used_bytes < pool->limit_bytes
					? pool->limit_bytes - pool->used_bytes
					: 0;

		if (here < least)
			least = here;
	}
	return least;
}

uint64_t wbi_pool_borrow(struct wbi_pool *pool, uint64_t bytes)
{
	uint64_t most = wbi_pool_free_bytes(pool);

	if (bytes > most)
		bytes = most;
	for (; pool; pool = pool->parent)
		pool->used_bytes += bytes;
	return bytes;
}

void wbi_pool_give_back(struct wbi_pool *pool, uint64_t bytes)
{
	for (; pool; pool = pool->parent) {
		assert(bytes <= pool->used_bytes);
		pool->used_bytes -= bytes;
	}
}

void wbi_pool_leave(struct wbi_pool *pool)
{
	struct wbi_pool *parent = pool->parent;

	pool->parent = NULL;
	wbi_pool_give_back(parent, pool->used_bytes);
}

void wbi_pool_join(struct wbi_pool *pool, struct wbi_pool *parent)
{
	pool->parent = parent;
	for (; parent; parent = parent->parent)
		parent->used_bytes += pool->used_bytes;
}
