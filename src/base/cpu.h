/* What the processor can do beyond what we compile for, and the system lets it.
 *
 * The C library has found that out before main; the compiler's own __builtin_cpu_supports asks the
 * processor again at every start, which costs 0.1 ms on a virtual machine, for the question traps.
 * Sources: sys/platform/x86.h of glibc (since 2.34); Intel's manual, volume 1, 14.3 and 15.2. */
#ifndef WBI_CPU_H
#define WBI_CPU_H

#include <stdbool.h>

#ifdef __x86_64__

#if __has_include(<sys/platform/x86.h>)
#include <sys/platform/x86.h>
#endif

/* glibc 2.33 has the header, but calls it otherwise. */
#ifdef CPU_FEATURE_ACTIVE
#define WBI_CPU_HAS(builtin, glibc) CPU_FEATURE_ACTIVE(glibc)
#else
#define WBI_CPU_HAS(builtin, glibc) (__builtin_cpu_supports(builtin) != 0)
#endif

static inline bool wbi_cpu_has_avx2(void)
{
	return WBI_CPU_HAS("avx2", AVX2);
}

/* AVX-512 where it does not slow the processor down: since Intel's Ice Lake and AMD's Zen 4, which
 * is told by what else came with it. */
static inline bool wbi_cpu_has_quick_avx512(void)
{
	return WBI_CPU_HAS("avx512f", AVX512F) && WBI_CPU_HAS("avx512vbmi2", AVX512_VBMI2);
}

/* AES on registers of 512 bits, with what GCM needs beside it. Compilers of old have no names for
 * it: without glibc's nobody is said to have it. */
static inline bool wbi_cpu_has_wide_aes(void)
{
#ifdef CPU_FEATURE_ACTIVE
	return CPU_FEATURE_ACTIVE(AVX512F) && CPU_FEATURE_ACTIVE(AVX512BW) &&
	       CPU_FEATURE_ACTIVE(AVX512DQ) && CPU_FEATURE_ACTIVE(AVX512VL) &&
	       CPU_FEATURE_ACTIVE(VAES) && CPU_FEATURE_ACTIVE(VPCLMULQDQ);
#else
	return false;
#endif
}

#endif

#endif
