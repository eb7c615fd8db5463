/* xxh128 with AVX-512: see digest_wide.h; built as in digest_wide.c. */
#include "wire/digest_wide.h"

/* GCC before 14 gives AddressSanitizer's stack too small an alignment for these registers (its bug
 * 110027): with that, the narrower ones do. */
#ifdef __has_feature
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
#define HAS_ALIGNED_STACK 0
#else
#define HAS_ALIGNED_STACK 1
#endif

#if defined(__x86_64__) && defined(__GNUC__) && HAS_ALIGNED_STACK

#include <immintrin.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f")
#endif

#define XXH_VECTOR XXH_AVX512
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

wbi_digest_update_fn *wbi_digest_avx512(void)
{
	return wbi_cpu_has_quick_avx512() ? update : NULL;
}

#else

wbi_digest_update_fn *wbi_digest_avx512(void)
{
	return NULL;
}

#endif
