/* How a transfer stands, for a person: one line on a terminal that is written over, at most a few
 * times a second, and gone in the end. */
#ifndef WBI_PROGRESS_H
#define WBI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "files/progress.h"

enum { WBI_PROGRESS_EVERY_MS = 200, WBI_PROGRESS_BYTES_MAX = 24 };

struct wbi_progress {
	int fd;        /* -1: nothing is shown */
	bool standing; /* a line is on the terminal */
	bool sampled;
	uint64_t shown_ms; /* when it was written last */
	uint64_t sample_ms, sample_bytes;
	double rate; /* bytes per second, of the last few seconds */
};

void wbi_progress_init(struct wbi_progress *progress, int fd);

/* Writes the line anew where it is time. done: bytes that went, known: of so many (0: unknown). */
void wbi_progress_show(struct wbi_progress *progress, const struct wbi_file_progress *files,
		       uint64_t now_ms);

/* In how many milliseconds _show has something to do; -1: never. */
int wbi_progress_timeout_ms(const struct wbi_progress *progress, uint64_t now_ms);

/* Before anything else is written to the terminal, and at the end. Safe to repeat. */
void wbi_progress_erase(struct wbi_progress *progress);

/* "1.5 GiB". */
void wbi_progress_bytes(uint64_t bytes, char out[WBI_PROGRESS_BYTES_MAX]);

#endif
