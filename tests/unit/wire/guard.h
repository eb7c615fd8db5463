/* Input that ends exactly at a page that may not be touched: a reader that looks one byte too far
 * dies at that byte. */
#ifndef TEST_GUARD_H
#define TEST_GUARD_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GUARD_BYTES_MAX = 1 << 18 };

/* Copies `bytes` (<= GUARD_BYTES_MAX) bytes to the end of the readable pages. Valid until the next
 * call. */
static inline void *guard_put(const void *data, size_t bytes)
{
	static uint8_t *readable;

	if (!readable) {
		size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
		uint8_t *map = mmap(NULL, GUARD_BYTES_MAX + page_bytes, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (map == MAP_FAILED || mprotect(map + GUARD_BYTES_MAX, page_bytes, PROT_NONE))
			abort();
		readable = map;
	}
	if (bytes)
		memcpy(readable + GUARD_BYTES_MAX - bytes, data, bytes);
	return readable + GUARD_BYTES_MAX - bytes;
}

#endif
