/* An inlet: what goes into a command. A pipe's write end (or a pseudo-terminal's master), and the
 * bytes that it has not taken yet. */
#ifndef WBI_INLET_H
#define WBI_INLET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "sys/loop.h"

/* watch.fd is -1 before it is opened and once it is closed. */
struct wbi_inlet {
	struct wbi_watch watch; /* watched only while something waits */
	struct wbi_loop *loop;
	struct wbi_buf waiting;
	bool terminal;   /* its end is a character, and it stays open */
	bool line_begun; /* terminal: the last byte was no newline */
	bool ending;     /* to be ended once nothing waits */
	bool enlarged;   /* the pipe; once is enough */
};

/* fn: called as of any watch when more may be written. Takes no resource. */
void wbi_inlet_init(struct wbi_inlet *inlet, struct wbi_loop *loop, wbi_watch_fn *fn);

/* fd: non-blocking; the inlet's own from here on. */
void wbi_inlet_open(struct wbi_inlet *inlet, int fd, bool terminal);

bool wbi_inlet_is_open(const struct wbi_inlet *inlet);

/* Closes it; what waits is dropped. Repeatable. */
void wbi_inlet_close(struct wbi_inlet *inlet);

/* Writes what it takes now, keeps the rest (how much there can be is for the caller to bound), and
 * waits for room if there is a rest. Returns how many bytes were written. If nobody can read any
 * more, or memory is out, it is closed. */
size_t wbi_inlet_write(struct wbi_inlet *inlet, const void *data, size_t bytes);

/* More may be written: as above with what waits. */
size_t wbi_inlet_flush(struct wbi_inlet *inlet);

/* Nothing more will be written: the command meets the end behind what waits. */
void wbi_inlet_end(struct wbi_inlet *inlet);

#endif
