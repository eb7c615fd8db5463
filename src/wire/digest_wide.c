/* xxh128 with AVX2: see digest_wide.h. The library's code is compiled here once more, for that, and
 * entered only where there is that. What its header includes comes before, for the processor that
 * all else is compiled for. */
#include "wire/digest_wide.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

#define XXH_VECTOR XXH_AVX2
#define XXH_INLINE_ALL
#include <xxhash.h>

static void update(void *state, const void *data, size_t bytes)
{
	XXH3_128bits_update(state, data, bytes);
}

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

wbi_digest_update_fn *wbi_digest_avx2(void)
{
	return wbi_cpu_has_avx2() ? update : NULL;
}

#else

wbi_digest_update_fn *wbi_digest_avx2(void)
{
	return NULL;
}

#endif

wbi_digest_update_fn *wbi_digest_wide(void)
{
	wbi_digest_update_fn *widest = wbi_digest_avx512();

	return widest ? widest : wbi_digest_avx2();
}
