/* OpenSSL's random bytes, taken from the kernel. */
#ifndef WBI_KERNEL_RANDOM_H
#define WBI_KERNEL_RANDOM_H

#include <openssl/types.h>
#include <stdbool.h>

/* Has a library context take each random byte from getrandom(2). Of its own accord it makes a tree
 * of generators, two for each thread, which are all seeded from there; for a client that wants some
 * hundred bytes that is more work than the bytes are. Once, before any are asked for. False: it
 * cannot be done. Source: provider-rand(7). */
bool wbi_kernel_random_use(OSSL_LIB_CTX *library);

#endif
