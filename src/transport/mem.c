/* An in-process pair of links: two rings, and a pump that stands in for the loop. */
#include "transport/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Bytes on their way from one end to the other. Invariant: first < capacity, held <= capacity. */
struct ring {
	uint8_t *data;
	size_t first, held;
};

struct mem_end {
	struct wbi_link link;
	struct wbi_mem_pair *pair;
	struct ring out;
	unsigned wanted;
	bool shut;   /* writes no more */
	bool closed; /* nor reads, nor hears */
};

struct wbi_mem_pair {
	struct wbi_mem_faults faults;
	struct mem_end ends[2];
	uint64_t written; /* in both directions */
	uint64_t moves;   /* changes that anyone could notice: the pump stops when there are none */
	bool reset;
	bool silent;
};

static struct mem_end *end_of(struct wbi_link *link)
{
	return WBI_CONTAINER(link, struct mem_end, link);
}

static struct mem_end *peer_of(const struct mem_end *end)
{
	struct wbi_mem_pair *pair = end->pair;
	return end == &pair->ends[0] ? &pair->ends[1] : &pair->ends[0];
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* ---- rings ---- */

static size_t ring_put(struct ring *ring, size_t capacity, const uint8_t *data, size_t bytes)
{
	size_t taken = least(bytes, capacity - ring->held);
	size_t place = (ring->first + ring->held) % capacity;
	size_t before_wrap = least(taken, capacity - place);

	if (taken == 0)
		return 0;
	memcpy(ring->data + place, data, before_wrap);
	memcpy(ring->data, data + before_wrap, taken - before_wrap);
	ring->held += taken;
	return taken;
}

static size_t ring_get(struct ring *ring, size_t capacity, uint8_t *data, size_t bytes)
{
	size_t given = least(bytes, ring->held);
	size_t before_wrap = least(given, capacity - ring->first);

	if (given == 0)
		return 0;
	memcpy(data, ring->data + ring->first, before_wrap);
	memcpy(data + before_wrap, ring->data, given - before_wrap);
	ring->first = (ring->first + given) % capacity;
	ring->held -= given;
	return given;
}

/* ---- the link ---- */

static ssize_t mem_read(struct wbi_link *link, void *data, size_t bytes)
{
	struct mem_end *end = end_of(link), *peer = peer_of(end);
	struct wbi_mem_pair *pair = end->pair;

	if (pair->silent)
		return -EAGAIN;
	if (pair->reset)
		return -ECONNRESET;
	if (pair->faults.read_max)
		bytes = least(bytes, pair->faults.read_max);
	size_t given = ring_get(&peer->out, pair->faults.capacity, data, bytes);
	if (given > 0)
		pair->moves++;
	else if (!peer->shut)
		return -EAGAIN;
	return (ssize_t)given;
}

/* How many bytes one write may take now, were there room. */
static size_t write_limit(const struct wbi_mem_pair *pair)
{
	size_t limit = pair->faults.write_max ? pair->faults.write_max : SIZE_MAX / 2;

	if (pair->faults.cut_after && pair->faults.cut_after - pair->written < limit)
		limit = (size_t)(pair->faults.cut_after - pair->written);
	return limit;
}

static size_t put_parts(struct mem_end *end, const struct iovec *parts, int count, size_t limit)
{
	size_t taken = 0;

	for (int i = 0; i < count; i++) {
		size_t bytes = least(parts[i].iov_len, limit - taken);
		size_t put =
			ring_put(&end->out, end->pair->faults.capacity, parts[i].iov_base, bytes);
		taken += put;
		if (put < parts[i].iov_len)
			break;
	}
	return taken;
}

static size_t vanish_parts(const struct iovec *parts, int count, size_t limit)
{
	size_t bytes = 0;

	for (int i = 0; i < count; i++)
		bytes += least(parts[i].iov_len, limit - bytes);
	return bytes;
}

static ssize_t mem_write(struct wbi_link *link, const struct iovec *parts, int count)
{
	struct mem_end *end = end_of(link);
	struct wbi_mem_pair *pair = end->pair;

	if (end->shut)
		return -EPIPE;
	if (pair->silent)
		return (ssize_t)vanish_parts(parts, count, write_limit(pair));
	if (pair->reset)
		return -ECONNRESET;
	if (peer_of(end)->closed)
		return -EPIPE;
	size_t taken = put_parts(end, parts, count, write_limit(pair));
	if (taken == 0)
		return -EAGAIN;
	pair->moves++;
	pair->written += taken;
	if (pair->written == pair->faults.cut_after)
		wbi_mem_cut(pair, false);
	return (ssize_t)taken;
}

static void mem_want(struct wbi_link *link, unsigned events)
{
	struct mem_end *end = end_of(link);

	if (end->wanted != events)
		end->pair->moves++;
	end->wanted = events;
}

static int mem_shutdown(struct wbi_link *link)
{
	struct mem_end *end = end_of(link);

	if (end->pair->reset && !end->pair->silent)
		return -ENOTCONN;
	if (!end->shut)
		end->pair->moves++;
	end->shut = true;
	return 0;
}

/* As TCP does: whoever closes with input unread resets the connection. */
static void mem_close(struct wbi_link *link)
{
	struct mem_end *end = end_of(link), *peer = peer_of(end);

	if (peer->out.held > 0)
		wbi_mem_cut(end->pair, false);
	end->shut = end->closed = true;
	end->pair->moves++;
}

static const struct wbi_link_ops mem_ops = {
	.name = "mem",
	.read = mem_read,
	.write = mem_write,
	.want = mem_want,
	.shutdown = mem_shutdown,
	.close = mem_close,
};

/* ---- the pump ---- */

/* What the loop would say of a socket in the same state. */
static unsigned ready_events(const struct mem_end *end)
{
	const struct wbi_mem_pair *pair = end->pair;
	const struct mem_end *peer = peer_of(end);
	unsigned ready = 0;

	if (pair->silent)
		return end->wanted & WBI_WRITE;
	if (pair->reset || (end->shut && peer->shut))
		return WBI_HANGUP | end->wanted;
	if (peer->out.held > 0 || peer->shut)
		ready |= WBI_READ;
	if (end->out.held < pair->faults.capacity || end->shut || peer->closed)
		ready |= WBI_WRITE;
	return ready & end->wanted;
}

bool wbi_mem_pump(struct wbi_mem_pair *pair)
{
	uint64_t first = pair->moves, before;

	do {
		before = pair->moves;
		for (int i = 0; i < 2; i++) {
			struct mem_end *end = &pair->ends[i];
			unsigned events = end->closed || !end->link.fn ? 0 : ready_events(end);
			if (events)
				end->link.fn(&end->link, events);
		}
	} while (pair->moves != before);
	return pair->moves != first;
}

void wbi_mem_cut(struct wbi_mem_pair *pair, bool silent)
{
	if (pair->reset)
		return;
	pair->reset = true;
	pair->silent = silent;
	pair->ends[0].out.held = pair->ends[1].out.held = 0;
	pair->moves++;
}

/* ---- life ---- */

enum wb_err wbi_mem_pair_new(const struct wbi_mem_faults *faults, struct wbi_mem_pair **ret_pair)
{
	struct wbi_mem_pair *pair = calloc(1, sizeof(*pair));

	if (!pair)
		return WB_ERR_NOMEM;
	pair->faults = *faults;
	for (int i = 0; i < 2; i++) {
		pair->ends[i].link.ops = &mem_ops;
		pair->ends[i].pair = pair;
		pair->ends[i].out.data = malloc(faults->capacity);
	}
	if (!pair->ends[0].out.data || !pair->ends[1].out.data) {
		wbi_mem_pair_free(pair);
		return WB_ERR_NOMEM;
	}
	*ret_pair = pair;
	return WB_OK;
}

void wbi_mem_pair_free(struct wbi_mem_pair *pair)
{
	if (!pair)
		return;
	for (int i = 0; i < 2; i++)
		free(pair->ends[i].out.data);
	free(pair);
}

struct wbi_link *wbi_mem_end(struct wbi_mem_pair *pair, int end)
{
	return &pair->ends[end].link;
}
