/* A log: what one stream of a command has written, from the first byte that is still kept to the
 * last, readable at any offset while the command runs. The engine sends from it as it stands.
 *
 *     0 … kept … released … end
 *            [  file  )[ ring )         the file only where the log had to spill
 *
 * What is newest lies in a ring of memory, which comes with the first byte, grows while the reader
 * lags behind, and is full once it holds as much as it may (WBI_LOG_RING_NEAR; _MAX for a reader
 * far away) that nobody has released: then nothing is taken from the command, which blocks. While
 * the log *spills*, a full ring is emptied into an unlinked temporary file instead, as far as the
 * store allows. What was released stays readable until its room is needed.
 *
 * Invariants: released <= end; ring_start <= end, end - ring_start <= ring_bytes; with a file,
 * file_start <= ring_start and file offset 0 is file_start; nothing in [max(kept, released), end)
 * is ever lost. Protocol: "Flow control", "Disconnects". */
#ifndef WBI_LOG_H
#define WBI_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "job/spool.h"
#include "session/stream.h"
#include "waybill/err.h"

enum {
	WBI_LOG_RING_OWN = 16384,  /* every log may have that much */
	WBI_LOG_RING_IDLE = 65536, /* and keep this while nothing happens */
	/* Beyond its own it borrows from the memory that all share. All of a ring is written to
	 * again and again: as much as stays in a processor's cache, unless it takes long until the
	 * reader releases anything. */
	WBI_LOG_RING_NEAR = 1 << 19,
	WBI_LOG_RING_MAX = 1 << 20,
};

/* What logs share: one command's (its files), and all commands' (memory, and files' bytes). */
struct wbi_log_memory {
	uint64_t limit_bytes;
	uint64_t bytes;
};

struct wbi_log_store {
	struct wbi_spool_account *account;
	struct wbi_log_memory *memory;
	uint64_t limit_bytes; /* in files, of the logs of this store */
	uint64_t bytes;
};

struct wbi_log {
	struct wbi_source source; /* for wbi_stream_set_source; .end is the log's end */
	struct wbi_log_store *store;
	uint8_t *ring; /* byte `offset` lies at ring[offset % ring_bytes] */
	size_t ring_bytes;
	uint64_t ring_start;
	uint64_t released;
	int file; /* -1: none */
	uint64_t file_start;
	uint8_t *map; /* of the file, for reading; NULL: none */
	size_t map_bytes;
	bool spills;
	bool reader_far;
};

/* Takes no resource. The store outlives the log. */
void wbi_log_init(struct wbi_log *log, struct wbi_log_store *store);
void wbi_log_done(struct wbi_log *log); /* repeatable */

/* Takes up to `most` bytes that `pipe` (non-blocking; a pipe, or a pseudo-terminal's master) holds
 * now: one read. Only where there is room.
 * Returns > 0, how many; 0 at the end; -EAGAIN; -ENOBUFS: the log is full, and so it remains until
 * something is released; -ENOMEM; or what the read failed with. */
ssize_t wbi_log_fill(struct wbi_log *log, int pipe, size_t most);

/* Whether the next wbi_log_fill is likely to find room for a good deal. */
bool wbi_log_has_room(const struct wbi_log *log);

/* The reader needs so long to release anything that a small ring would keep it waiting. */
void wbi_log_reader_far(struct wbi_log *log);

/* No more will come. */
void wbi_log_end(struct wbi_log *log, bool held_open);

/* Whether a full ring is emptied into a file (nobody is there to read) or blocks the command. */
void wbi_log_spill(struct wbi_log *log, bool spills);

/* The first offset that can still be read. */
uint64_t wbi_log_kept(const struct wbi_log *log);

/* A new reader begins at `from`, kept <= from <= end: all from there on counts as not released. */
void wbi_log_rewind(struct wbi_log *log, uint64_t from);

/* Gives back memory that has not been needed of late. */
void wbi_log_trim(struct wbi_log *log);

#endif
