/* The log: see log.h. */
#include "job/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sys/fd.h"

enum {
	RING_GROWTH = 4,
	READ_WORTH = 65536, /* a read that takes less is better put off */
	FIRST_BYTES = 4096,
};

static uint64_t max_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The part of the ring that must not be overwritten. */
static size_t unreleased(const struct wbi_log *log)
{
	return (size_t)(log->source.end - max_of(log->released, log->ring_start));
}

static size_t room(const struct wbi_log *log)
{
	return log->ring_bytes - unreleased(log);
}

uint64_t wbi_log_kept(const struct wbi_log *log)
{
	return log->file >= 0 ? log->file_start : log->ring_start;
}

/* ---- the ring ---- */

/* [from, from + bytes) as it lies: one piece, or two around the end. Returns how many. */
static int pieces(const struct wbi_log *log, uint64_t from, size_t bytes, struct iovec out[2])
{
	size_t at = (size_t)(from % log->ring_bytes);
	size_t first = log->ring_bytes - at < bytes ? log->ring_bytes - at : bytes;

	out[0] = (struct iovec){.iov_base = log->ring + at, .iov_len = first};
	out[1] = (struct iovec){.iov_base = log->ring, .iov_len = bytes - first};
	return bytes > first ? 2 : 1;
}

static uint64_t borrowed(size_t ring_bytes)
{
	return ring_bytes > WBI_LOG_RING_OWN ? ring_bytes - WBI_LOG_RING_OWN : 0;
}

static void copy_newest(const struct wbi_log *log, size_t bytes, uint8_t *ring, size_t ring_bytes)
{
	uint64_t from = log->source.end - bytes;
	struct iovec old[2];
	int count = pieces(log, from, bytes, old);

	for (int i = 0; i < count; i++) {
		const uint8_t *data = old[i].iov_base;
		for (size_t left = old[i].iov_len; left > 0;) {
			size_t at = (size_t)(from % ring_bytes);
			size_t step = ring_bytes - at < left ? ring_bytes - at : left;
			memcpy(ring + at, data, step);
			data += step;
			from += step;
			left -= step;
		}
	}
}

/* What falls off the front is no longer kept, nor then is the file, which is older still. */
static void drop_file(struct wbi_log *log)
{
	uint64_t bytes = log->file >= 0 ? log->ring_start - log->file_start : 0;

	if (log->map)
		munmap(log->map, log->map_bytes);
	log->map = NULL;
	log->map_bytes = 0;
	wbi_fd_close(&log->file);
	log->store->bytes -= bytes;
	wbi_spool_account_drop(log->store->account, bytes);
}

static void drop_front(struct wbi_log *log, uint64_t ring_start)
{
	if (ring_start <= log->ring_start)
		return;
	drop_file(log);
	log->ring_start = ring_start;
}

/* Gives the ring another size, at least `unreleased`. */
static bool resize(struct wbi_log *log, size_t ring_bytes)
{
	struct wbi_log_memory *memory = log->store->memory;
	size_t held = (size_t)(log->source.end - log->ring_start);
	size_t kept = held < ring_bytes ? held : ring_bytes;
	uint64_t before = borrowed(log->ring_bytes), after = borrowed(ring_bytes);
	uint8_t *ring;

	if (after > before && after - before > memory->limit_bytes - memory->bytes)
		return false;
	ring = malloc(ring_bytes);
	if (!ring)
		return false;
	if (kept > 0)
		copy_newest(log, kept, ring, ring_bytes);
	memory->bytes = memory->bytes - before + after;
	free(log->ring);
	log->ring = ring;
	log->ring_bytes = ring_bytes;
	drop_front(log, log->source.end - kept);
	return true;
}

static size_t ring_limit(const struct wbi_log *log)
{
	return log->reader_far ? WBI_LOG_RING_MAX : WBI_LOG_RING_NEAR;
}

static bool may_grow(const struct wbi_log *log)
{
	return log->ring_bytes < ring_limit(log) &&
	       log->store->memory->bytes < log->store->memory->limit_bytes;
}

/* ---- the file ---- */

/* Bytes of the ring that the store has room for. */
static size_t spillable(const struct wbi_log *log)
{
	const struct wbi_log_store *store = log->store;
	uint64_t here = store->limit_bytes - store->bytes;
	uint64_t there = wbi_spool_account_left(store->account);
	uint64_t most = here < there ? here : there;
	uint64_t held = log->source.end - log->ring_start;

	return (size_t)(held < most ? held : most);
}

/* Mapped as a whole and at once, past its end (no byte of that is touched): so slices of it stay
 * where they are, and reading cannot fail where spilling did not. */
static bool open_file(struct wbi_log *log)
{
	size_t bytes = (size_t)log->store->limit_bytes;
	void *map;

	if (log->file >= 0)
		return true;
	if (wbi_fd_temporary(log->store->account->folder, &log->file, NULL) != WB_OK)
		return false;
	map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, log->file, 0);
	if (map == MAP_FAILED) {
		wbi_fd_close(&log->file);
		return false;
	}
	log->map = map;
	log->map_bytes = bytes;
	log->file_start = log->ring_start;
	return true;
}

/* A disk that is full is a limit like any other: what could not be written stays in the ring. */
static size_t append(const struct wbi_log *log, size_t bytes)
{
	off_t at = (off_t)(log->ring_start - log->file_start);
	size_t done = 0;

	while (done < bytes) {
		struct iovec parts[2];
		int count = pieces(log, log->ring_start + done, bytes - done, parts);
		ssize_t put = pwritev(log->file, parts, count, at + (off_t)done);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			break;
		done += (size_t)put;
	}
	return done;
}

/* Empties the ring into the file, as far as that may be. */
static void spill(struct wbi_log *log)
{
	size_t bytes = spillable(log);

	if (bytes == 0 || !open_file(log))
		return;
	bytes = append(log, bytes);
	log->ring_start += bytes;
	log->store->bytes += bytes;
	wbi_spool_account_add(log->store->account, bytes);
}

/* ---- taking ---- */

/* Makes room, in this order: what is free, a larger ring, a file. Returns how much there is. */
static size_t make_room(struct wbi_log *log)
{
	if (room(log) < log->ring_bytes / 2 && may_grow(log)) {
		size_t larger = log->ring_bytes * RING_GROWTH;
		(void)resize(log, larger < ring_limit(log) ? larger : ring_limit(log));
	}
	if (room(log) == 0 && log->spills)
		spill(log);
	return room(log);
}

/* Without what is released there is no room for another byte. */
static void note_full(struct wbi_log *log)
{
	log->source.full = log->ring && room(log) == 0 && !may_grow(log) &&
			   !(log->spills && spillable(log) > 0);
}

/* A pseudo-terminal that nobody holds any more says EIO for its end. */
static ssize_t read_pipe(int pipe, const struct iovec *parts, int count)
{
	ssize_t taken;

	do
		taken = readv(pipe, parts, count);
	while (taken < 0 && errno == EINTR);
	return taken >= 0 ? taken : errno == EIO ? 0 : -errno;
}

/* By way of the stack: most streams never have a byte, and so need no ring. (poll would not do: it
 * can see an empty pipe, and then that nobody writes any more, but for what came in between.) */
static ssize_t fill_first(struct wbi_log *log, int pipe, size_t most)
{
	uint8_t first[FIRST_BYTES];
	struct iovec part = {first, most < sizeof(first) ? most : sizeof(first)}, parts[2];
	ssize_t taken = read_pipe(pipe, &part, 1);

	if (taken <= 0)
		return taken;
	if (!resize(log, WBI_LOG_RING_OWN))
		return -ENOMEM;
	(void)pieces(log, log->source.end, (size_t)taken, parts);
	memcpy(parts[0].iov_base, first, parts[0].iov_len);
	memcpy(parts[1].iov_base, first + parts[0].iov_len, parts[1].iov_len);
	return taken;
}

static ssize_t fill_ring(struct wbi_log *log, int pipe, size_t most)
{
	struct iovec parts[2];
	size_t asked = make_room(log);

	if (asked == 0)
		return -ENOBUFS;
	return read_pipe(pipe, parts,
			 pieces(log, log->source.end, asked < most ? asked : most, parts));
}

ssize_t wbi_log_fill(struct wbi_log *log, int pipe, size_t most)
{
	ssize_t taken = log->ring ? fill_ring(log, pipe, most) : fill_first(log, pipe, most);

	if (taken < 0)
		return taken;
	log->source.end += (uint64_t)taken;
	if (log->source.end - log->ring_start > log->ring_bytes)
		drop_front(log, log->source.end - log->ring_bytes);
	note_full(log);
	return taken;
}

bool wbi_log_has_room(const struct wbi_log *log)
{
	size_t worth = log->ring_bytes / 4 < READ_WORTH ? log->ring_bytes / 4 : READ_WORTH;

	return !log->ring || room(log) >= (worth ? worth : 1) || may_grow(log) ||
	       (log->spills && spillable(log) > 0);
}

void wbi_log_reader_far(struct wbi_log *log)
{
	log->reader_far = true;
	note_full(log);
}

void wbi_log_end(struct wbi_log *log, bool held_open)
{
	log->source.held_open = held_open;
	log->source.ended = true;
}

void wbi_log_spill(struct wbi_log *log, bool spills)
{
	log->spills = spills;
	note_full(log);
}

void wbi_log_rewind(struct wbi_log *log, uint64_t from)
{
	log->released = from;
	note_full(log);
}

/* What is kept for a late reader only may go; what is not released may not. */
void wbi_log_trim(struct wbi_log *log)
{
	if (log->ring_bytes > WBI_LOG_RING_IDLE && unreleased(log) <= WBI_LOG_RING_IDLE)
		(void)resize(log, WBI_LOG_RING_IDLE);
}

/* ---- the engine's side ---- */

static struct wbi_slice peek(struct wbi_source *source, uint64_t offset, size_t most)
{
	const struct wbi_log *log = WBI_CONTAINER(source, struct wbi_log, source);
	struct iovec parts[2];

	if (offset >= log->ring_start) {
		(void)pieces(log, offset, most, parts);
		return (struct wbi_slice){parts[0].iov_base, parts[0].iov_len};
	}
	if (log->ring_start - offset < most)
		most = (size_t)(log->ring_start - offset);
	return (struct wbi_slice){log->map + (offset - log->file_start), most};
}

static void release(struct wbi_source *source, uint64_t offset)
{
	struct wbi_log *log = WBI_CONTAINER(source, struct wbi_log, source);

	if (offset > log->released)
		log->released = offset;
	note_full(log);
}

void wbi_log_init(struct wbi_log *log, struct wbi_log_store *store)
{
	static const struct wbi_source_ops ops = {.peek = peek, .release = release};

	*log = (struct wbi_log){.source = {.ops = &ops}, .store = store, .file = -1};
}

void wbi_log_done(struct wbi_log *log)
{
	drop_file(log);
	log->store->memory->bytes -= borrowed(log->ring_bytes);
	free(log->ring);
	log->ring = NULL;
	log->ring_bytes = 0;
	log->ring_start = log->released = log->source.end;
}
