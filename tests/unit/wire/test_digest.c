/* Digests: known answers, any split, starting over, names, and threads that begin at once. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "waybill/digest.h"
#include "wire/digest_wide.h"

/* RFC 1321, FIPS 180-2, and what xxh128sum prints. */
static const struct {
	enum wb_digest_kind kind;
	const char *text, *hex;
} known[] = {
	{WB_DIGEST_MD5, "", "d41d8cd98f00b204e9800998ecf8427e"},
	{WB_DIGEST_MD5, "abc", "900150983cd24fb0d6963f7d28e17f72"},
	{WB_DIGEST_MD5, "message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
	{WB_DIGEST_SHA256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	{WB_DIGEST_SHA256, "abc",
	 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
	{WB_DIGEST_XXH128, "", "99aa06d3014798d86001c324468d497f"},
	{WB_DIGEST_XXH128, "abc", "06b05ab6733a618578af5f94892f3950"},
};

enum { KNOWN = sizeof(known) / sizeof(known[0]) };

static struct wb_digest *begin(enum wb_digest_kind kind)
{
	struct wb_digest *digest = NULL;
	struct wb_fault fault;

	if (wb_digest_new(kind, &digest, &fault))
		fail_msg("%s", fault.text);
	return digest;
}

static void test_known_answers(void **state)
{
	(void)state;
	for (int i = 0; i < KNOWN; i++) {
		char hex[WB_DIGEST_HEX_MAX];
		struct wb_digest *digest = begin(known[i].kind);

		wb_digest_update(digest, known[i].text, strlen(known[i].text));
		wb_digest_hex(digest, hex);
		assert_string_equal(hex, known[i].hex);
		assert_int_equal(strlen(hex), wb_digest_hex_length(known[i].kind));
		assert_true(wb_digest_is_hex(known[i].kind, hex, strlen(hex)));
		wb_digest_free(digest);
	}
	wb_digest_free(NULL);
}

static void test_any_split_and_reset(void **state)
{
	uint8_t data[3000];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * i >> 3);
	for (int kind = WB_DIGEST_MD5; kind <= WB_DIGEST_XXH128; kind++) {
		struct wb_digest *digest = begin((enum wb_digest_kind)kind);
		char whole[WB_DIGEST_HEX_MAX], hex[WB_DIGEST_HEX_MAX];

		wb_digest_update(digest, data, sizeof(data));
		wb_digest_hex(digest, whole);
		for (size_t cut = 0; cut <= sizeof(data); cut += 100) {
			wb_digest_reset(digest);
			wb_digest_update(digest, data, cut);
			wb_digest_update(digest, NULL, 0);
			wb_digest_update(digest, data + cut, sizeof(data) - cut);
			wb_digest_hex(digest, hex);
			assert_string_equal(hex, whole);
		}
		wb_digest_reset(digest);
		wb_digest_update(digest, data, 100);
		wb_digest_reset(digest);
		for (size_t i = 0; i < sizeof(data); i++)
			wb_digest_update(digest, data + i, 1);
		wb_digest_hex(digest, hex);
		assert_string_equal(hex, whole);
		wb_digest_free(digest);
	}
}

static uint8_t wide_data[70000];
static const size_t wide_sizes[] = {1,    16,   240,  241,  256,   257,
				    1023, 1024, 1025, 4096, 65536, 69900};

/* As wb_digest_update does it, in two pieces, from wherever in memory. */
static void check_width(wbi_digest_update_fn *update, const uint8_t *data, size_t bytes)
{
	XXH128_hash_t expected = XXH3_128bits(data, bytes), hash;
	XXH3_state_t *state = XXH3_createState();

	XXH3_128bits_reset(state);
	update(state, data, bytes / 3);
	update(state, data + bytes / 3, bytes - bytes / 3);
	hash = XXH3_128bits_digest(state);
	assert_true(XXH128_isEqual(hash, expected));
	XXH3_freeState(state);
}

/* However wide the processor's registers are that do it: as the library says, compiled here for
 * those that every processor has. */
static void test_wide_is_as_narrow(void **state)
{
	wbi_digest_update_fn *const updates[] = {wbi_digest_avx2(), wbi_digest_avx512()};

	(void)state;
	for (size_t i = 0; i < sizeof(wide_data); i++)
		wide_data[i] = (uint8_t)(i * i >> 5);
	for (size_t width = 0; width < sizeof(updates) / sizeof(updates[0]); width++) {
		if (!updates[width]) {
			print_message("width %zu: not on this processor\n", width);
			continue;
		}
		for (size_t i = 0; i < sizeof(wide_sizes) / sizeof(wide_sizes[0]); i++) {
			for (size_t at = 0; at < 70; at++)
				check_width(updates[width], wide_data + at, wide_sizes[i]);
		}
	}
}

/* Whichever of them was chosen. */
static void test_as_the_library_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wide_sizes) / sizeof(wide_sizes[0]); i++) {
		struct wb_digest *digest = begin(WB_DIGEST_XXH128);
		XXH128_hash_t expected = XXH3_128bits(wide_data + 3, wide_sizes[i]);
		char hex[WB_DIGEST_HEX_MAX], wanted[WB_DIGEST_HEX_MAX];

		snprintf(wanted, sizeof(wanted), "%016llx%016llx",
			 (unsigned long long)expected.high64, (unsigned long long)expected.low64);
		wb_digest_update(digest, wide_data + 3, wide_sizes[i]);
		wb_digest_hex(digest, hex);
		assert_string_equal(hex, wanted);
		wb_digest_free(digest);
	}
}

static void test_names(void **state)
{
	enum wb_digest_kind kind = WB_DIGEST_MD5;

	(void)state;
	for (int i = WB_DIGEST_MD5; i <= WB_DIGEST_XXH128; i++) {
		assert_true(wb_digest_by_name(wb_digest_name((enum wb_digest_kind)i), &kind));
		assert_int_equal(kind, i);
	}
	assert_string_equal(wb_digest_name(WB_DIGEST_XXH128), "xxh128");
	assert_false(wb_digest_by_name("sha1", &kind));
	assert_false(wb_digest_by_name("", &kind));
	assert_false(wb_digest_by_name("MD5", &kind));
	assert_int_equal(kind, WB_DIGEST_XXH128);
}

static void test_is_hex(void **state)
{
	static const char mixed[] = "0123456789abcdefABCDEF0123456789";

	(void)state;
	assert_true(wb_digest_is_hex(WB_DIGEST_MD5, mixed, 32));
	assert_false(wb_digest_is_hex(WB_DIGEST_MD5, mixed, 31));
	assert_false(wb_digest_is_hex(WB_DIGEST_SHA256, mixed, 32));
	assert_false(wb_digest_is_hex(WB_DIGEST_MD5, "asdfsadf", 8));
	assert_false(wb_digest_is_hex(WB_DIGEST_MD5, "", 0));
	for (int byte = 0; byte < 256; byte++) {
		char text[32];
		bool hex = byte && strchr("0123456789abcdefABCDEF", byte);

		memcpy(text, mixed, 32);
		text[31] = (char)byte;
		assert_int_equal(wb_digest_is_hex(WB_DIGEST_MD5, text, 32), hex);
	}
}

enum { THREADS = 8 };

struct shared {
	pthread_barrier_t start;
	bool right[THREADS];
};

struct worker {
	struct shared *shared;
	int index;
};

static void *digest_abc(void *argument)
{
	struct worker *worker = argument;
	struct wb_digest *digest;
	char hex[WB_DIGEST_HEX_MAX];

	pthread_barrier_wait(&worker->shared->start);
	if (wb_digest_new(WB_DIGEST_SHA256, &digest, NULL))
		return NULL;
	wb_digest_update(digest, "abc", 3);
	wb_digest_hex(digest, hex);
	wb_digest_free(digest);
	worker->shared->right[worker->index] = !strncmp(hex, "ba7816bf", 8);
	return NULL;
}

/* First in the list, so that nothing has been looked up yet. */
static void test_threads_begin_at_once(void **state)
{
	struct shared shared = {0};
	struct worker workers[THREADS];
	pthread_t threads[THREADS];

	(void)state;
	assert_int_equal(pthread_barrier_init(&shared.start, NULL, THREADS), 0);
	for (int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){&shared, i};
		assert_int_equal(pthread_create(&threads[i], NULL, digest_abc, &workers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_true(shared.right[i]);
	}
	pthread_barrier_destroy(&shared.start);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads_begin_at_once),
		cmocka_unit_test(test_known_answers),
		cmocka_unit_test(test_any_split_and_reset),
		cmocka_unit_test(test_wide_is_as_narrow),
		cmocka_unit_test(test_as_the_library_says),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_is_hex),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
