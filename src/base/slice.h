/* A borrowed run of bytes. */
#ifndef WBI_SLICE_H
#define WBI_SLICE_H

#include <stddef.h>
#include <stdint.h>

struct wbi_slice {
	const uint8_t *data;
	size_t bytes;
};

#endif
