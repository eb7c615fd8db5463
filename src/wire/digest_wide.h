/* The loop of xxh128 for processors with wider registers than the ones we compile for. It is three
 * to four times as fast, and where bulk data flows the digest is most of what we do ourselves. */
#ifndef WBI_DIGEST_WIDE_H
#define WBI_DIGEST_WIDE_H

#include <stddef.h>

/* XXH3_128bits_update on a state of the same library version. */
typedef void wbi_digest_update_fn(void *state, const void *data, size_t bytes);

/* The widest that this processor has; NULL: none is wider than what we compile for. Cheap. */
wbi_digest_update_fn *wbi_digest_wide(void);

/* Each of them by itself; NULL where it was not built, or the processor is without. The second is
 * given only where its registers do not slow the processor down (base/cpu.h). */
wbi_digest_update_fn *wbi_digest_avx2(void);
wbi_digest_update_fn *wbi_digest_avx512(void);

#endif
