/* OpenSSL's start for TLS, and its key of an identity. */
#include <openssl/evp.h>

#include "keys/library.h"
#include "transport/agent_provider.h"
#include "transport/identity_state.h"
#include "transport/tls_state.h"

static OSSL_LIB_CTX *library;

/* Texts of errors are our own (tls_fault.c). */
static void start(void)
{
	if (wbi_library() && OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT |
						      OPENSSL_INIT_NO_LOAD_SSL_STRINGS |
						      OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS,
					      NULL))
		library = wbi_library();
}

OSSL_LIB_CTX *wbi_tls_library(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, start);
	return library;
}

EVP_PKEY *wbi_tls_key_new(const struct wbi_identity *identity)
{
	if (identity->agent_path)
		return wbi_agent_key_new(library, identity);
	return EVP_PKEY_new_raw_private_key_ex(library, "ED25519", NULL, identity->key.seed,
					       sizeof(identity->key.seed));
}
