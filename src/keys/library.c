/* OpenSSL's start: see library.h. */
#include "keys/library.h"

#include <openssl/crypto.h>
#include <openssl/provider.h>
#include <stdint.h>

static OSSL_LIB_CTX *library;

/* What OpenSSL would do by itself and nobody here needs: read its configuration, learn the texts of
 * errors and the names that algorithms once had, and clean up at exit. */
static const uint64_t without = OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS |
				OPENSSL_INIT_NO_ADD_ALL_CIPHERS | OPENSSL_INIT_NO_ADD_ALL_DIGESTS |
				OPENSSL_INIT_NO_ATEXIT;

static void start(void)
{
	OSSL_LIB_CTX *made = NULL;

	if (OPENSSL_init_crypto(without, NULL))
		made = OSSL_LIB_CTX_new();
	if (made && (wbi_library_load_few(made) || OSSL_PROVIDER_load(made, "default")))
		library = made;
	else
		OSSL_LIB_CTX_free(made);
}

OSSL_LIB_CTX *wbi_library(void)
{
	static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;

	return CRYPTO_THREAD_run_once(&once, start) ? library : NULL;
}
