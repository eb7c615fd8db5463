/* A crowd before the door: whoever has connected and not said who they are, by where they come
 * from. Bounded; when it is full somebody goes, and it is the oldest of those of whom there are
 * most, so that a thousand who never say a word keep nobody out who comes from elsewhere, and not
 * even one from among them who is quick. Knows no socket and no clock. */
#ifndef WBI_CROWD_H
#define WBI_CROWD_H

#include <stdint.h>

#include "base/list.h"
#include "sys/addr.h"
#include "waybill/err.h"

enum {
	WBI_CROWD_MAX = 256,        /* in all */
	WBI_CROWD_SOURCE_MAX = 128, /* from one source */
	WBI_CROWD_SOURCE_BYTES = 16,
};

/* Embedded in its owner. */
struct wbi_crowd_member {
	struct wbi_list node; /* in the crowd, oldest first */
	uint8_t source[WBI_CROWD_SOURCE_BYTES];
};

/* Caller-owned; begins with _init. */
struct wbi_crowd {
	struct wbi_list members;
	unsigned count;
};

void wbi_crowd_init(struct wbi_crowd *crowd);

/* Who has to go before somebody from `from` may join: NULL where there is room. Callers on this
 * machine whom the kernel has named (from: a unix address) have no budget of their own. */
struct wbi_crowd_member *wbi_crowd_victim(const struct wbi_crowd *crowd,
					  const struct wbi_addr *from);

/* A source is an IPv4 address, the /64 of an IPv6 address, or this machine. */
void wbi_crowd_join(struct wbi_crowd *crowd, struct wbi_crowd_member *member,
		    const struct wbi_addr *from);
void wbi_crowd_leave(struct wbi_crowd *crowd, struct wbi_crowd_member *member);

#endif
