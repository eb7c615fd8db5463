/* Ed25519 of our library context, whoever computes it: as RFC 8032 has it, and as OpenSSL does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/x509.h>

#include "keys/library.h"

enum { KEY_BYTES = 32, SIGNATURE_BYTES = 64, MESSAGE_BYTES_MAX = 300 };

struct vector {
	const char *seed, *public_key, *message, *signature;
};

/* RFC 8032, section 7.1, tests 1 to 3. */
static const struct vector vectors[] = {
	{"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
	 "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
	 "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701"
	 "cf9b46bd25bf5f0595bbe24655141438e7a100b"},
	{"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
	 "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
	 "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d"
	 "0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
	{"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
	 "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
	 "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f7609"
	 "84dc6594a7c15e9716ed28dc027beceea1ec40a"},
};

static size_t from_hex(const char *text, uint8_t *out, size_t room)
{
	size_t bytes = 0;

	if (*text)
		assert_int_equal(OPENSSL_hexstr2buf_ex(out, room, &bytes, text, '\0'), 1);
	return bytes;
}

static EVP_PKEY *secret_of(OSSL_LIB_CTX *library, const uint8_t seed[KEY_BYTES])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key_ex(library, "ED25519", NULL, seed, KEY_BYTES);

	assert_non_null(key);
	return key;
}

static EVP_PKEY *public_of(OSSL_LIB_CTX *library, const EVP_PKEY *secret)
{
	uint8_t bytes[KEY_BYTES];
	size_t count = sizeof(bytes);
	EVP_PKEY *key;

	assert_int_equal(EVP_PKEY_get_raw_public_key(secret, bytes, &count), 1);
	key = EVP_PKEY_new_raw_public_key_ex(library, "ED25519", NULL, bytes, count);
	assert_non_null(key);
	return key;
}

static int sign(OSSL_LIB_CTX *library, EVP_PKEY *key, const uint8_t *message, size_t bytes,
		uint8_t out[SIGNATURE_BYTES])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t count = SIGNATURE_BYTES;
	int done = EVP_DigestSignInit_ex(context, NULL, NULL, library, NULL, key, NULL) == 1 &&
		   EVP_DigestSign(context, out, &count, message, bytes) == 1 &&
		   count == SIGNATURE_BYTES;

	EVP_MD_CTX_free(context);
	return done;
}

static int verifies(OSSL_LIB_CTX *library, EVP_PKEY *key, const uint8_t *message, size_t bytes,
		    const uint8_t *signature, size_t signature_bytes)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	int done = EVP_DigestVerifyInit_ex(context, NULL, NULL, library, NULL, key, NULL) == 1 &&
		   EVP_DigestVerify(context, signature, signature_bytes, message, bytes) == 1;

	EVP_MD_CTX_free(context);
	return done;
}

static void test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		uint8_t seed[KEY_BYTES], expected[SIGNATURE_BYTES], got[SIGNATURE_BYTES];
		uint8_t message[2] = {0}, public_key[KEY_BYTES], derived[KEY_BYTES];
		size_t bytes = from_hex(vectors[i].message, message, sizeof(message));
		size_t count = sizeof(derived);
		EVP_PKEY *secret, *open;

		from_hex(vectors[i].seed, seed, sizeof(seed));
		from_hex(vectors[i].public_key, public_key, sizeof(public_key));
		from_hex(vectors[i].signature, expected, sizeof(expected));
		secret = secret_of(wbi_library(), seed);
		open = public_of(wbi_library(), secret);
		assert_int_equal(EVP_PKEY_get_raw_public_key(open, derived, &count), 1);
		assert_memory_equal(derived, public_key, KEY_BYTES);
		assert_true(sign(wbi_library(), secret, message, bytes, got));
		assert_memory_equal(got, expected, SIGNATURE_BYTES);
		assert_true(verifies(wbi_library(), open, message, bytes, got, SIGNATURE_BYTES));
		EVP_PKEY_free(secret);
		EVP_PKEY_free(open);
	}
}

/* Bytes that differ from key to key and from message to message, the same in every run. */
static void fill(uint8_t *out, size_t bytes, unsigned number)
{
	uint32_t mixed = number * 2654435761u + 1;

	for (size_t i = 0; i < bytes; i++) {
		mixed = mixed * 1664525u + 1013904223u;
		out[i] = (uint8_t)(mixed >> 24);
	}
}

static void test_as_openssl(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		uint8_t seed[KEY_BYTES], message[MESSAGE_BYTES_MAX];
		uint8_t ours[SIGNATURE_BYTES], theirs[SIGNATURE_BYTES];
		size_t bytes = i * 7 % MESSAGE_BYTES_MAX;
		EVP_PKEY *our_secret, *their_secret, *our_public, *their_public;

		fill(seed, sizeof(seed), i);
		fill(message, sizeof(message), ~i);
		our_secret = secret_of(wbi_library(), seed);
		their_secret = secret_of(NULL, seed);
		our_public = public_of(wbi_library(), our_secret);
		their_public = public_of(NULL, their_secret);
		assert_true(sign(wbi_library(), our_secret, message, bytes, ours));
		assert_true(sign(NULL, their_secret, message, bytes, theirs));
		assert_memory_equal(ours, theirs, SIGNATURE_BYTES);
		assert_true(verifies(NULL, their_public, message, bytes, ours, SIGNATURE_BYTES));
		assert_true(verifies(wbi_library(), our_public, message, bytes, theirs,
				     SIGNATURE_BYTES));
		EVP_PKEY_free(our_secret);
		EVP_PKEY_free(their_secret);
		EVP_PKEY_free(our_public);
		EVP_PKEY_free(their_public);
	}
}

/* The order of the group is added to the number in a signature: the same number to arithmetic, and
 * another signature that nobody made (RFC 8032, section 5.1.7: it must be below the order). */
static void add_order(uint8_t signature[SIGNATURE_BYTES])
{
	static const uint8_t order[KEY_BYTES] = {
		0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,        0xd6,
		0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10,
	};
	unsigned carry = 0;

	for (size_t i = 0; i < KEY_BYTES; i++) {
		carry += signature[KEY_BYTES + i] + order[i];
		signature[KEY_BYTES + i] = (uint8_t)carry;
		carry >>= 8;
	}
}

static void test_what_is_not_signed(void **state)
{
	OSSL_LIB_CTX *library = wbi_library();
	uint8_t seed[KEY_BYTES], message[50], good[SIGNATURE_BYTES], bad[SIGNATURE_BYTES + 1];
	EVP_PKEY *secret, *open, *other;
	(void)state;

	fill(seed, sizeof(seed), 1);
	fill(message, sizeof(message), 2);
	secret = secret_of(library, seed);
	open = public_of(library, secret);
	seed[0] ^= 1;
	other = secret_of(library, seed);
	assert_true(sign(library, secret, message, sizeof(message), good));
	assert_true(verifies(library, open, message, sizeof(message), good, SIGNATURE_BYTES));
	for (unsigned bit = 0; bit < 8 * SIGNATURE_BYTES; bit++) {
		memcpy(bad, good, SIGNATURE_BYTES);
		bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(
			verifies(library, open, message, sizeof(message), bad, SIGNATURE_BYTES));
	}
	memcpy(bad, good, SIGNATURE_BYTES);
	bad[SIGNATURE_BYTES] = 0;
	assert_false(verifies(library, open, message, sizeof(message), bad, SIGNATURE_BYTES + 1));
	assert_false(verifies(library, open, message, sizeof(message), bad, SIGNATURE_BYTES - 1));
	assert_false(verifies(library, open, message, sizeof(message), bad, 0));
	assert_false(verifies(library, open, message, sizeof(message) - 1, bad, SIGNATURE_BYTES));
	assert_false(verifies(library, other, message, sizeof(message), bad, SIGNATURE_BYTES));
	add_order(bad);
	assert_false(verifies(library, open, message, sizeof(message), bad, SIGNATURE_BYTES));
	assert_false(sign(library, open, message, sizeof(message), bad)); /* no secret */
	EVP_PKEY_free(secret);
	EVP_PKEY_free(open);
	EVP_PKEY_free(other);
}

static EVP_MD_CTX *begin(EVP_PKEY *secret, const char *digest, int expected)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	int done = EVP_DigestSignInit_ex(context, NULL, digest, wbi_library(), NULL, secret, NULL);

	assert_int_equal(done == 1, expected);
	return context;
}

/* How OpenSSL uses it here and there: the size first, no room, a digest named, a copy. */
static void test_the_rest_of_the_interface(void **state)
{
	uint8_t seed[KEY_BYTES], message[] = "m", out[SIGNATURE_BYTES], again[SIGNATURE_BYTES];
	EVP_MD_CTX *context, *copy = EVP_MD_CTX_new();
	size_t count = 0;
	EVP_PKEY *secret;
	(void)state;

	fill(seed, sizeof(seed), 3);
	secret = secret_of(wbi_library(), seed);
	EVP_MD_CTX_free(begin(secret, "SHA256", 0));
	context = begin(secret, NULL, 1);
	count = SIGNATURE_BYTES - 1;
	assert_int_not_equal(EVP_DigestSign(context, out, &count, message, 1), 1);
	EVP_MD_CTX_free(context);
	context = begin(secret, NULL, 1);
	assert_int_equal(EVP_DigestSign(context, NULL, &count, message, 1), 1);
	assert_int_equal(count, SIGNATURE_BYTES);
	assert_int_equal(EVP_MD_CTX_copy_ex(copy, context), 1);
	assert_int_equal(EVP_DigestSign(context, out, &count, message, 1), 1);
	EVP_MD_CTX_free(context);
	assert_int_equal(EVP_DigestSign(copy, again, &count, message, 1), 1);
	assert_memory_equal(out, again, SIGNATURE_BYTES);
	EVP_MD_CTX_free(copy);
	EVP_PKEY_free(secret);
}

/* Our context has nothing that writes keys down, so another's writes this one. */
static void test_a_certificate(void **state)
{
	X509 *made = X509_new_ex(wbi_library(), NULL);
	EVP_PKEY *secret, *written;
	uint8_t seed[KEY_BYTES];
	(void)state;

	fill(seed, sizeof(seed), 4);
	secret = secret_of(wbi_library(), seed);
	written = secret_of(NULL, seed);
	assert_int_equal(X509_set_pubkey(made, written), 1);
	assert_true(X509_sign(made, secret, NULL) > 0);
	assert_int_equal(X509_get_signature_nid(made), NID_ED25519);
	assert_int_equal(X509_verify(made, secret), 1);
	X509_free(made);
	EVP_PKEY_free(secret);
	EVP_PKEY_free(written);
}

/* Where this was built with it. The sanitizers' builds have all of OpenSSL, and its own. */
static void test_whose_it_is(void **state)
{
	EVP_SIGNATURE *signature = EVP_SIGNATURE_fetch(wbi_library(), "ED25519", NULL);
	const char *text = EVP_SIGNATURE_get0_description(signature);
	(void)state;

#ifdef HAVE_SODIUM
	assert_string_equal(text, "Ed25519 by libsodium");
#else
	assert_true(!text || !strstr(text, "libsodium"));
#endif
	EVP_SIGNATURE_free(signature);
}

#ifdef HAVE_SODIUM
static uint8_t shown_seed[KEY_BYTES], shown_public[KEY_BYTES];

/* In the place of OpenSSL's kind of key, whose copies nobody else could look at. */
static int show_key(void *key, int selection, OSSL_CALLBACK *take, void *context)
{
	const OSSL_PARAM halves[] = {
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, shown_public, KEY_BYTES),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, shown_seed, KEY_BYTES),
		OSSL_PARAM_END,
	};

	(void)key;
	(void)selection;
	return take(halves, context);
}

static void (*function_of(const OSSL_ALGORITHM *algorithm, int number))(void)
{
	const OSSL_DISPATCH *at = algorithm->implementation;

	while (at->function_id != number) {
		assert_int_not_equal(at->function_id, 0);
		at++;
	}
	return at->function;
}

/* Nothing of the seed stays in what was shown. A context begun again without a key keeps it, and
 * what it does not know it does not pass over. The last test, for all later keys are shown so. */
static void test_how_a_key_is_taken(void **state)
{
	static const OSSL_DISPATCH keys[] = {{OSSL_FUNC_KEYMGMT_EXPORT, (void (*)(void))show_key},
					     {0, NULL}};
	static const uint8_t nothing[KEY_BYTES];
	static char kind[] = "Ed25519ctx";
	const OSSL_PARAM unknown[] = {OSSL_PARAM_utf8_string("instance", kind, sizeof(kind) - 1),
				      OSSL_PARAM_END};
	OSSL_ALGORITHM signatures = {"ED25519", "", NULL, NULL};
	OSSL_FUNC_signature_digest_sign_init_fn *begin_signing;
	void *signer;
	(void)state;

	wbi_library_ed25519(keys, &signatures);
	begin_signing = (OSSL_FUNC_signature_digest_sign_init_fn *)function_of(
		&signatures, OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT);
	signer = ((OSSL_FUNC_signature_newctx_fn *)function_of(
		&signatures, OSSL_FUNC_SIGNATURE_NEWCTX))(NULL, NULL);
	assert_int_equal(begin_signing(signer, NULL, NULL, NULL), 0); /* there was none before */
	fill(shown_seed, KEY_BYTES, 5);
	fill(shown_public, KEY_BYTES, 6);
	assert_int_equal(begin_signing(signer, NULL, shown_seed, unknown), 0);
	assert_int_equal(begin_signing(signer, NULL, shown_seed, NULL), 1);
	assert_memory_equal(shown_seed, nothing, KEY_BYTES);
	assert_int_equal(begin_signing(signer, NULL, NULL, NULL), 1);
	((OSSL_FUNC_signature_freectx_fn *)function_of(&signatures, OSSL_FUNC_SIGNATURE_FREECTX))(
		signer);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_as_openssl),
		cmocka_unit_test(test_what_is_not_signed),
		cmocka_unit_test(test_the_rest_of_the_interface),
		cmocka_unit_test(test_a_certificate),
		cmocka_unit_test(test_whose_it_is),
#ifdef HAVE_SODIUM
		cmocka_unit_test(test_how_a_key_is_taken),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
