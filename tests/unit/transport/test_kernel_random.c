/* OpenSSL's random bytes are the kernel's, however many are asked for, in every thread. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>

#include "transport/tls_state.h"

enum { BYTES = 1040 }; /* several requests */

static bool kernel_fails;

/* In the C library's place. */
ssize_t getrandom(void *out, size_t bytes, unsigned flags)
{
	if (!kernel_fails)
		return syscall(SYS_getrandom, out, bytes, flags);
	errno = ENOSYS;
	return -1;
}

static void test_every_generator_is_the_kernel(void **state)
{
	OSSL_LIB_CTX *library = wbi_tls_library();
	EVP_RAND_CTX *generators[3];
	(void)state;

	assert_non_null(library);
	generators[0] = RAND_get0_primary(library);
	generators[1] = RAND_get0_public(library);
	generators[2] = RAND_get0_private(library);
	for (int i = 0; i < 3; i++) {
		const EVP_RAND *kind = EVP_RAND_CTX_get0_rand(generators[i]);

		assert_string_equal(EVP_RAND_get0_name(kind), "waybill-random");
		assert_int_equal(EVP_RAND_get_state(generators[i]), EVP_RAND_STATE_READY);
		assert_int_equal(EVP_RAND_get_strength(generators[i]), 256);
	}
}

/* Every stretch of it is filled: zeros of that length do not come by chance. */
static void assert_filled(const uint8_t *bytes, size_t count)
{
	static const uint8_t zeros[16];

	for (size_t i = 0; i + sizeof(zeros) <= count; i += sizeof(zeros))
		assert_memory_not_equal(bytes + i, zeros, sizeof(zeros));
}

static void *ask(void *out)
{
	return RAND_bytes_ex(wbi_tls_library(), out, BYTES, 0) == 1 ? out : NULL;
}

static void test_many_bytes_in_several_threads(void **state)
{
	static uint8_t bytes[4][BYTES];
	pthread_t threads[4];
	void *done;
	(void)state;

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask, bytes[i]), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], &done), 0);
		assert_ptr_equal(done, bytes[i]);
		assert_filled(bytes[i], BYTES);
	}
	assert_memory_not_equal(bytes[0], bytes[1], BYTES);
	memset(bytes[0], 0, BYTES);
	assert_int_equal(RAND_priv_bytes_ex(wbi_tls_library(), bytes[0], BYTES, 256), 1);
	assert_memory_not_equal(bytes[0], bytes[1], BYTES);
	assert_filled(bytes[0], BYTES);
}

/* More than there is in them. */
static void test_too_much_strength(void **state)
{
	uint8_t bytes[16];
	(void)state;

	assert_int_not_equal(RAND_bytes_ex(wbi_tls_library(), bytes, sizeof(bytes), 512), 1);
}

/* Rather none than bytes that nobody has drawn. */
static void test_a_kernel_that_fails(void **state)
{
	uint8_t bytes[16];
	(void)state;

	kernel_fails = true;
	assert_int_not_equal(RAND_bytes_ex(wbi_tls_library(), bytes, sizeof(bytes), 0), 1);
	assert_int_not_equal(RAND_priv_bytes_ex(wbi_tls_library(), bytes, sizeof(bytes), 0), 1);
	kernel_fails = false;
	assert_int_equal(RAND_bytes_ex(wbi_tls_library(), bytes, sizeof(bytes), 0), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_generator_is_the_kernel),
		cmocka_unit_test(test_many_bytes_in_several_threads),
		cmocka_unit_test(test_too_much_strength),
		cmocka_unit_test(test_a_kernel_that_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
