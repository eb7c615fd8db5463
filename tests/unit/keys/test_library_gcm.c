/* AES-128-GCM as TLS uses it, of our library context, against OpenSSL's own: record after record,
 * past the point where a faster one takes over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "keys/library.h"

enum { RECORDS = 200, BYTES_MAX = 16385, TAG_BYTES = 16, HEAD_BYTES = 5 };

struct record {
	uint8_t head[HEAD_BYTES], iv[12], data[BYTES_MAX], tag[TAG_BYTES];
	int bytes;
};

static EVP_CIPHER *own, *reference;
static uint8_t key[16];

static int set_up(void **state)
{
	(void)state;
	own = EVP_CIPHER_fetch(wbi_library(), "AES-128-GCM", NULL);
	reference = EVP_CIPHER_fetch(NULL, "AES-128-GCM", "provider=default");
	return !own || !reference;
}

static int tear_down(void **state)
{
	(void)state;
	EVP_CIPHER_free(own);
	EVP_CIPHER_free(reference);
	return 0;
}

static struct record make(unsigned number)
{
	static const int sizes[] = {1, 15, 16, 17, 255, 256, 4097, 16384, BYTES_MAX, 0};
	struct record record = {.head = {23, 3, 3}, .iv = {[11] = (uint8_t)number}};

	record.bytes = sizes[number % (sizeof(sizes) / sizeof(sizes[0]))];
	for (int i = 0; i < record.bytes; i++)
		record.data[i] = (uint8_t)(i * 31 + (int)number);
	return record;
}

static EVP_CIPHER_CTX *begin(const EVP_CIPHER *cipher, int encrypts)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();

	assert_non_null(context);
	assert_int_equal(EVP_CipherInit_ex2(context, cipher, key, NULL, encrypts, NULL), 1);
	return context;
}

/* As tls13_enc() of libssl does it. Returns whether it holds. */
static int crypt_record(EVP_CIPHER_CTX *context, int encrypts, struct record *record)
{
	int bytes = 0, more = 0, held;

	assert_int_equal(EVP_CipherInit_ex2(context, NULL, NULL, record->iv, encrypts, NULL), 1);
	if (!encrypts)
		assert_int_equal(
			EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, record->tag),
			1);
	assert_int_equal(EVP_CipherUpdate(context, NULL, &bytes, record->head, HEAD_BYTES), 1);
	assert_int_equal(
		EVP_CipherUpdate(context, record->data, &bytes, record->data, record->bytes), 1);
	held = EVP_CipherFinal_ex(context, record->data + bytes, &more);
	assert_int_equal(bytes + more, record->bytes);
	if (encrypts)
		assert_int_equal(
			EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, record->tag),
			1);
	return held;
}

static void test_the_same_as_openssl(void **state)
{
	EVP_CIPHER_CTX *a = begin(own, 1), *b = begin(reference, 1), *back = begin(own, 0);
	(void)state;

	for (unsigned i = 0; i < RECORDS; i++) {
		struct record plain = make(i), one = plain, other = plain;

		assert_int_equal(crypt_record(a, 1, &one), 1);
		assert_int_equal(crypt_record(b, 1, &other), 1);
		assert_memory_equal(one.tag, other.tag, TAG_BYTES);
		assert_memory_equal(one.data, other.data, sizeof(one.data));
		assert_int_equal(crypt_record(back, 0, &one), 1);
		assert_memory_equal(one.data, plain.data, sizeof(one.data));
	}
	EVP_CIPHER_CTX_free(a);
	EVP_CIPHER_CTX_free(b);
	EVP_CIPHER_CTX_free(back);
}

static void test_a_bit_that_is_another(void **state)
{
	EVP_CIPHER_CTX *seal = begin(reference, 1), *back = begin(own, 0);
	(void)state;

	for (unsigned i = 0; i < RECORDS; i++) {
		struct record record = make(i);
		uint8_t *where[] = {record.head + 4, record.iv, record.tag + 15,
				    record.bytes ? record.data + record.bytes - 1 : record.tag};

		assert_int_equal(crypt_record(seal, 1, &record), 1);
		where[i % 4][0] ^= 1;
		assert_int_not_equal(crypt_record(back, 0, &record), 1);
	}
	EVP_CIPHER_CTX_free(seal);
	EVP_CIPHER_CTX_free(back);
}

static void test_another_key_in_the_middle(void **state)
{
	EVP_CIPHER_CTX *a = begin(own, 1), *b = begin(reference, 1);
	(void)state;

	for (unsigned i = 0; i < RECORDS; i++) {
		struct record one = make(i), other = one;

		if (i == RECORDS / 2) {
			key[0] ^= 1;
			assert_int_equal(EVP_CipherInit_ex2(a, NULL, key, NULL, 1, NULL), 1);
			assert_int_equal(EVP_CipherInit_ex2(b, NULL, key, NULL, 1, NULL), 1);
		}
		assert_int_equal(crypt_record(a, 1, &one), 1);
		assert_int_equal(crypt_record(b, 1, &other), 1);
		assert_memory_equal(one.data, other.data, sizeof(one.data));
		assert_memory_equal(one.tag, other.tag, TAG_BYTES);
	}
	EVP_CIPHER_CTX_free(a);
	EVP_CIPHER_CTX_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_same_as_openssl, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_bit_that_is_another, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_another_key_in_the_middle, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
