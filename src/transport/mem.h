/* An in-process pair of links, with faults, for tests and the simulator.
 *
 * No descriptor, no thread, no clock: wbi_mem_pump delivers readiness until nothing moves. */
#ifndef WBI_MEM_H
#define WBI_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/link.h"

struct wbi_mem_pair; /* opaque, heap */

struct wbi_mem_faults {
	size_t capacity;    /* bytes in flight per direction; > 0 */
	size_t read_max;    /* no read returns more; 0: no limit */
	size_t write_max;   /* no write takes more; 0: no limit */
	uint64_t cut_after; /* the connection is reset once this many bytes were written in all; 0:
			       never */
};

WB_WARN_UNUSED enum wb_err wbi_mem_pair_new(const struct wbi_mem_faults *faults,
					    struct wbi_mem_pair **ret_pair);
void wbi_mem_pair_free(struct wbi_mem_pair *pair);

/* The two ends (0 and 1); borrowed from the pair. fn is NULL until the owner sets it. */
struct wbi_link *wbi_mem_end(struct wbi_mem_pair *pair, int end);

/* Delivers readiness to both ends, 0 first, until nothing moves. Returns whether anything did.
 * A callback may close its link and free its owner, but not the pair. */
bool wbi_mem_pump(struct wbi_mem_pair *pair);

/* Resets the connection: what is in flight is lost and both ends read -ECONNRESET. silent: neither
 * end hears anything (a cable pulled); writes vanish and reads say -EAGAIN. */
void wbi_mem_cut(struct wbi_mem_pair *pair, bool silent);

#endif
