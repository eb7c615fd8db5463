/* The trail of a plain connection that runs commands: what was asked for, and what became of it.
 * Who it is stands in the line of its beginning, which its listener writes. Sessions: app/trail.h.
 */
#ifndef WBI_PLAIN_TRAIL_H
#define WBI_PLAIN_TRAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "job/job.h"
#include "service/service.h"

struct wbi_plain_trail {
	struct wbi_audit *audit; /* borrowed */
	struct wbi_plain_caller caller;
	uint64_t calls;    /* so far; the newest is the one that is meant below */
	bool is_call_open; /* what became of it was not told yet */
};

/* What it said is no command: code says why in a stable word, `why` in a sentence. from: its
 * address. It is no call. */
void wbi_plain_trail_turned_away(struct wbi_plain_trail *trail, const char *service,
				 const char *from, const char *code, const char *why);

/* service: static, "exec-length". command: of a peer's; escaped and cut here. */
void wbi_plain_trail_call(struct wbi_plain_trail *trail, const char *service, const void *command,
			  size_t bytes);

/* It did not start. why: a stable word, "limit". */
void wbi_plain_trail_refused(struct wbi_plain_trail *trail, const char *why);

/* It was reported. */
void wbi_plain_trail_ended(struct wbi_plain_trail *trail, const struct wbi_job *job);

/* The connection ends: a call whose outcome was not told is dropped. */
void wbi_plain_trail_left(struct wbi_plain_trail *trail);

#endif
