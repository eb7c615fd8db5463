/* The audit trail: one line on stderr for whatever a daemon refused, cut short or could not do.
 *
 * A log that nobody reads must not stop the daemon, and a peer must not fill a disk with it: lines
 * are dropped, and counted, where stderr would block or they come faster than WBI_AUDIT_RATE. */
#ifndef WBI_AUDIT_H
#define WBI_AUDIT_H

#include <stdint.h>

enum {
	WBI_AUDIT_RATE = 50,   /* lines a second, in the long run */
	WBI_AUDIT_BURST = 200, /* and at once */
};

struct wbi_audit {
	int fd;
	uint64_t last_ms;
	uint32_t tokens;  /* in thousandths of a line */
	uint64_t dropped; /* since the last line that was written */
};

void wbi_audit_init(struct wbi_audit *audit, int fd);

/* Writes "waybill serve: …". Arguments that come from a peer must be escaped already. */
void wbi_audit(struct wbi_audit *audit, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
