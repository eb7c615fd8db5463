/* Filters: bytes go through a chain of them on their way to a terminal, a file or a peer.
 *
 * A filter takes pieces of any size, holds back the few bytes of a character that was cut in two,
 * and gives what is ready to the next. Errors stick in the filter that met them. */
#ifndef WBI_FILTER_H
#define WBI_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wbi_filter {
	void (*give)(struct wbi_filter *filter, const void *data, size_t bytes);
	void (*finish)(
		struct wbi_filter *filter); /* the text ends here: nothing may be held back */
	struct wbi_filter *next;
};

static inline void wbi_filter_give(struct wbi_filter *filter, const void *data, size_t bytes)
{
	filter->give(filter, data, bytes);
}

static inline void wbi_filter_finish(struct wbi_filter *filter)
{
	filter->finish(filter);
}

/* Makes UTF-8 safe to show: whatever a terminal would act on, but newline and tab, becomes \xNN;
 * a carriage return stays where it stands right before a newline. */
struct wbi_escape {
	struct wbi_filter filter;
	uint8_t held[4];
	size_t held_bytes;
};

void wbi_escape_init(struct wbi_escape *escape, struct wbi_filter *next);

#endif
