/* What our library context has of OpenSSL's: all that is used, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include "keys/library.h"

/* Where OpenSSL's shared libraries are linked all of it is there. */
static void need_few(void)
{
	if (!OSSL_PROVIDER_available(wbi_library(), "waybill"))
		skip();
}

struct groups {
	int shown;
	bool x25519;
};

static int note_group(const OSSL_PARAM *group, void *context)
{
	const OSSL_PARAM *algorithm = OSSL_PARAM_locate_const(group, OSSL_CAPABILITY_TLS_GROUP_ALG);
	struct groups *groups = context;
	const char *name = "";

	assert_int_equal(OSSL_PARAM_get_utf8_string_ptr(algorithm, &name), 1);
	groups->shown++;
	groups->x25519 = groups->x25519 || strcasecmp(name, "X25519") == 0;
	return 1;
}

static int ask_for_groups(OSSL_PROVIDER *provider, void *context)
{
	return OSSL_PROVIDER_get_capabilities(provider, "TLS-GROUP", note_group, context);
}

static void test_one_group(void **state)
{
	struct groups groups = {0};
	(void)state;

	need_few();
	assert_int_equal(OSSL_PROVIDER_do_all(wbi_library(), ask_for_groups, &groups), 1);
	assert_int_equal(groups.shown, 1);
	assert_true(groups.x25519);
}

static void count_digest(EVP_MD *digest, void *context)
{
	(void)digest;
	++*(int *)context;
}

static void count_cipher(EVP_CIPHER *cipher, void *context)
{
	(void)cipher;
	++*(int *)context;
}

static void count_kind_of_key(EVP_KEYMGMT *kind, void *context)
{
	(void)kind;
	++*(int *)context;
}

static void count_decoder(OSSL_DECODER *decoder, void *context)
{
	(void)decoder;
	++*(int *)context;
}

static void test_nothing_else(void **state)
{
	int digests = 0, ciphers = 0, kinds = 0, decoders = 0;
	(void)state;

	need_few();
	EVP_MD_do_all_provided(wbi_library(), count_digest, &digests);
	EVP_CIPHER_do_all_provided(wbi_library(), count_cipher, &ciphers);
	EVP_KEYMGMT_do_all_provided(wbi_library(), count_kind_of_key, &kinds);
	OSSL_DECODER_do_all_provided(wbi_library(), count_decoder, &decoders);
	assert_int_equal(digests, 4);
	assert_int_equal(ciphers, 3);
	assert_int_equal(kinds, 3);
	assert_int_equal(decoders, 1);
}

/* By names that OpenSSL uses itself, for whatever it needs on the way. */
static void test_all_that_is_used(void **state)
{
	static const char *const digests[] = {"SHA256", "SHA384", "SHA512", "SHA1"};
	static const char *const ciphers[] = {"AES-128-GCM", "id-aes128-gcm", "ChaCha20-Poly1305",
					      "AES-256-CBC"};
	static const char *const derivations[] = {"HKDF", "TLS13-KDF"};
	OSSL_LIB_CTX *library = wbi_library();
	(void)state;

	for (size_t i = 0; i < sizeof(digests) / sizeof(digests[0]); i++) {
		EVP_MD *found = EVP_MD_fetch(library, digests[i], NULL);

		assert_non_null(found);
		EVP_MD_free(found);
	}
	for (size_t i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++) {
		EVP_CIPHER *found = EVP_CIPHER_fetch(library, ciphers[i], NULL);

		assert_non_null(found);
		EVP_CIPHER_free(found);
	}
	for (size_t i = 0; i < sizeof(derivations) / sizeof(derivations[0]); i++) {
		EVP_KDF *found = EVP_KDF_fetch(library, derivations[i], NULL);

		assert_non_null(found);
		EVP_KDF_free(found);
	}
}

/* Not looked for, and not even an error. Another's context has what it always had. */
static void test_what_is_not_there(void **state)
{
	OSSL_LIB_CTX *another;
	EVP_MD *others;
	(void)state;

	need_few();
	another = OSSL_LIB_CTX_new();
	assert_null(EVP_MD_fetch(wbi_library(), "BLAKE2B-512", NULL));
	assert_null(EVP_CIPHER_fetch(wbi_library(), "AES-128", NULL));
	assert_null(EVP_CIPHER_fetch(wbi_library(), "CAMELLIA-128-CBC", NULL));
	assert_null(EVP_KEYMGMT_fetch(wbi_library(), "RSA", NULL));
	assert_null(EVP_KEYEXCH_fetch(wbi_library(), "DH", NULL));
	assert_null(EVP_SIGNATURE_fetch(wbi_library(), "RSA", NULL));
	assert_int_equal(ERR_peek_error(), 0);
	others = EVP_MD_fetch(NULL, "BLAKE2B-512", NULL);
	assert_non_null(others);
	EVP_MD_free(others);
	others = EVP_MD_fetch(another, "BLAKE2B-512", NULL);
	assert_non_null(others);
	EVP_MD_free(others);
	OSSL_LIB_CTX_free(another);
}

static void test_names_of_old_are_not_learnt(void **state)
{
	(void)state;
	need_few();
	assert_int_equal(EVP_PKEY_asn1_get_count(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_group),
		cmocka_unit_test(test_nothing_else),
		cmocka_unit_test(test_all_that_is_used),
		cmocka_unit_test(test_what_is_not_there),
		cmocka_unit_test(test_names_of_old_are_not_learnt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
