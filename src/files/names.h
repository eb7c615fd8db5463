/* Which names a call has brought: 64 bits of each, so that a million cost megabytes. */
#ifndef WBI_FILES_NAMES_H
#define WBI_FILES_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wbi_names_result {
	WBI_NAMES_NEW,
	WBI_NAMES_KNOWN, /* this name, or (once in 2^64 pairs) one that looks like it */
	WBI_NAMES_FULL,  /* new, and not remembered: no memory, or too many */
};

struct wbi_names {
	uint64_t *slots; /* NULL until the first; 0: free */
	size_t count, room;
	size_t limit; /* names remembered at most */
};

void wbi_names_init(struct wbi_names *names, size_t limit);
void wbi_names_done(struct wbi_names *names);

/* Notes a name (any bytes). */
enum wbi_names_result wbi_names_add(struct wbi_names *names, const void *name, size_t bytes);
bool wbi_names_have(const struct wbi_names *names, const void *name, size_t bytes);

#endif
