/* A ring without a seam: see ring.h. */
#include "sys/ring.h"

#include <assert.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sys/fd.h"

static size_t whole_pages(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

/* Reserves twice the room, then puts the same memory into both halves. */
static uint8_t *map_twice(int fd, size_t size)
{
	uint8_t *data = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (data == MAP_FAILED)
		return NULL;
	for (int half = 0; half < 2; half++) {
		if (mmap(data + (size_t)half * size, size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
			munmap(data, 2 * size);
			return NULL;
		}
	}
	return data;
}

enum wb_err wbi_ring_open(struct wbi_ring *ring, size_t bytes, struct wb_fault *fault)
{
	size_t size = whole_pages(bytes);
	int fd = memfd_create("waybill-ring", MFD_CLOEXEC);
	uint8_t *data = NULL;

	if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
		data = map_twice(fd, size);
	if (!data)
		wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "memory for a ring: %m");
	wbi_fd_close(&fd);
	if (!data)
		return WB_ERR_SYSTEM;
	*ring = (struct wbi_ring){.data = data, .size = size};
	return WB_OK;
}

void wbi_ring_close(struct wbi_ring *ring)
{
	if (ring->data)
		munmap(ring->data, 2 * ring->size);
	*ring = (struct wbi_ring){0};
}

static uint8_t *at(const struct wbi_ring *ring, uint64_t number)
{
	return ring->data + (size_t)((number - ring->origin) % ring->size);
}

uint8_t *wbi_ring_room(struct wbi_ring *ring, size_t *ret_bytes)
{
	if (ring->begin == ring->end)
		ring->origin = ring->end;
	*ret_bytes = ring->size - (size_t)(ring->end - ring->begin);
	return at(ring, ring->end);
}

void wbi_ring_add(struct wbi_ring *ring, size_t bytes)
{
	assert(bytes <= ring->size - (size_t)(ring->end - ring->begin));
	ring->end += bytes;
}

struct wbi_slice wbi_ring_peek(const struct wbi_ring *ring, uint64_t from)
{
	assert(ring->begin <= from && from <= ring->end);
	return (struct wbi_slice){at(ring, from), (size_t)(ring->end - from)};
}

void wbi_ring_drop(struct wbi_ring *ring, uint64_t to)
{
	assert(ring->begin <= to && to <= ring->end);
	ring->begin = to;
}
