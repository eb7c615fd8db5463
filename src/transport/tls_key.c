/* OpenSSL's start for TLS, and its key of an identity. */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "keys/library.h"
#include "transport/agent_provider.h"
#include "transport/identity_state.h"
#include "transport/kernel_random.h"
#include "transport/tls_state.h"

static OSSL_LIB_CTX *library;

/* Texts of errors are our own (tls_fault.c). */
static void start(void)
{
	static const uint64_t without = OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT |
					OPENSSL_INIT_NO_LOAD_SSL_STRINGS |
					OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS;
	OSSL_LIB_CTX *made = wbi_library();

	if (made && OPENSSL_init_ssl(without, NULL) && wbi_kernel_random_use(made))
		library = made;
}

OSSL_LIB_CTX *wbi_tls_library(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, start);
	return library;
}

/* With both halves, for from the secret alone OpenSSL computes the other once more. That they
 * belong together was seen when the key was read or made (keys/private_key.h). */
static EVP_PKEY *new_pair(const struct wbi_private_key *key)
{
	EVP_PKEY_CTX *maker = EVP_PKEY_CTX_new_from_name(library, "ED25519", NULL);
	OSSL_PARAM halves[] = {
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, (void *)(uintptr_t)key->seed,
					sizeof(key->seed)),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY,
					(void *)(uintptr_t)key->public_key.ed25519,
					sizeof(key->public_key.ed25519)),
		OSSL_PARAM_END,
	};
	EVP_PKEY *pair = NULL;

	if (maker && EVP_PKEY_fromdata_init(maker) == 1)
		(void)EVP_PKEY_fromdata(maker, &pair, EVP_PKEY_KEYPAIR, halves);
	EVP_PKEY_CTX_free(maker);
	return pair;
}

EVP_PKEY *wbi_tls_key_new(const struct wbi_identity *identity)
{
	if (identity->agent_path)
		return wbi_agent_key_new(library, identity);
	return new_pair(&identity->key);
}
