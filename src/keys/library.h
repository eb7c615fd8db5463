/* OpenSSL's start, and the one library context of everything here that uses keys.
 *
 * It is of its own, so that we and another user of OpenSSL in this process do not meet. How OpenSSL
 * starts, though, whoever is first decides for the whole process: one who wants openssl.cnf read,
 * or algorithms by names of old, starts it before us. */
#ifndef WBI_LIBRARY_H
#define WBI_LIBRARY_H

#include <openssl/core_dispatch.h>
#include <openssl/types.h>
#include <stdbool.h>

/* Starts OpenSSL the first time, with as little as will do, and without random bytes, which TLS
 * brings (wbi_tls_library): nobody may draw any before. Any thread. NULL: it does not start. */
OSSL_LIB_CTX *wbi_library(void);

/* For library.c: puts the algorithms into the context that TLS 1.3 with Ed25519 and X25519 needs,
 * and no others. False: they cannot be had one by one here, or at all. */
int wbi_library_load_few(OSSL_LIB_CTX *library);

/* For library_wrap.c: whether an algorithm can be had in that context: always, where it has not got
 * the few. operation: OSSL_OP_...; name: any that OpenSSL has for it. */
bool wbi_library_offers(const OSSL_LIB_CTX *library, int operation, const char *name);

/* For library_few.c: takes OpenSSL's AES-128-GCM, and returns functions that do the same, faster
 * where this was built with Intel's library for IPsec and the processor has what that needs; else
 * those it was given. Valid for ever. Only one such cipher may be taken. */
const OSSL_DISPATCH *wbi_library_gcm(const OSSL_DISPATCH *functions);

/* For library_few.c: takes OpenSSL's Ed25519 keys and signatures, and puts functions in the place
 * of the latter that make and verify signatures by those keys, faster, where this was built with
 * libsodium. */
void wbi_library_ed25519(const OSSL_DISPATCH *keys, OSSL_ALGORITHM *signatures);

#endif
