/* Hard links: which file was sent under another name before. Bounded; what finds no place travels
 * as a file of its own. */
#ifndef WBI_FILES_LINKS_H
#define WBI_FILES_LINKS_H

#include <stdbool.h>
#include <sys/stat.h>

enum { WBI_LINKS_MAX = 65536 };

struct wbi_links {
	struct wbi_link_slot *slots; /* NULL until the first */
	unsigned count, room;        /* room: a power of two, more than count */
};

/* The name under which this file was noted, or NULL: then it is noted under `name`, if there is
 * memory and a place. Only ask where st_nlink > 1. */
const char *wbi_links_find(struct wbi_links *links, const struct stat *stat, const char *name);

/* The file that was noted under `name` last did not travel after all. */
void wbi_links_withdraw(struct wbi_links *links, const struct stat *stat);
void wbi_links_done(struct wbi_links *links);

#endif
