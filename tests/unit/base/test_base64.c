/* Base64: the vectors of RFC 4648, the one canonical spelling, and no step past the text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../wire/guard.h"
#include "base/base64.h"

static enum wb_err decode(const char *text, uint8_t *out, size_t size, size_t *ret_bytes)
{
	return wbi_base64_decode(guard_put(text, strlen(text)), strlen(text), out, size, ret_bytes);
}

static void test_vectors(void **state)
{
	static const char *const vectors[][2] = {
		{"", ""},
		{"f", "Zg=="},
		{"fo", "Zm8="},
		{"foo", "Zm9v"},
		{"foob", "Zm9vYg=="},
		{"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"},
		{"\xfb\xff\xbf", "+/+/"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		char text[16];
		uint8_t data[16];
		size_t bytes = strlen(vectors[i][0]);

		assert_int_equal(wbi_base64_encode(guard_put(vectors[i][0], bytes), bytes, text),
				 strlen(vectors[i][1]));
		assert_string_equal(text, vectors[i][1]);
		assert_int_equal(decode(text, data, sizeof(data), &bytes), WB_OK);
		assert_int_equal(bytes, strlen(vectors[i][0]));
		assert_memory_equal(data, vectors[i][0], bytes);
	}
}

static void test_every_byte_pair(void **state)
{
	(void)state;
	for (unsigned pair = 0; pair < 0x10000; pair++) {
		uint8_t in[2] = {(uint8_t)(pair >> 8), (uint8_t)pair}, out[3];
		char text[WBI_BASE64_LENGTH(2) + 1];
		size_t bytes;

		assert_int_equal(wbi_base64_encode(in, 2, text), 4);
		assert_int_equal(wbi_base64_decode(text, 4, out, sizeof(out), &bytes), WB_OK);
		assert_int_equal(bytes, 2);
		assert_memory_equal(in, out, 2);
	}
}

static void test_refused(void **state)
{
	static const char *const wrong[] = {
		"Z",    "Zg",       "Zg=",  "Zm9vY",    "====",     "Z===",       "=Zg=",
		"Zg=g", "Zh==",     "Zm9=", "Zm 9v",    "Zm9v\n",   "Zm9v    ",   "Zg==Zg==",
		"Zm-v", "Zm9vYg=g", "Zm_v", "Zm9v====", "Zm9vZ===", "\xc3\xa4==",
	};
	uint8_t out[16];
	size_t bytes = 77;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (decode(wrong[i], out, sizeof(out), &bytes) != WB_ERR_MALFORMED)
			fail_msg("accepted: %s", wrong[i]);
	}
	assert_int_equal(bytes, 77);
}

/* Each of the 256 characters, in each place. */
static void test_alphabet(void **state)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	(void)state;
	for (int character = 0; character < 256; character++) {
		const char *digit = character ? strchr(digits, character) : NULL;

		for (int place = 0; place < 4; place++) {
			char text[] = "AAAA";
			uint8_t out[3];
			size_t bytes;
			enum wb_err err;

			text[place] = (char)character;
			err = wbi_base64_decode(text, 4, out, sizeof(out), &bytes);
			if (character == '=' && place == 3) {
				assert_int_equal(err, WB_OK);
				assert_int_equal(bytes, 2);
				continue;
			}
			assert_int_equal(err, digit ? WB_OK : WB_ERR_MALFORMED);
			if (digit)
				assert_int_equal((out[0] << 16 | out[1] << 8 | out[2]) >>
							 (18 - 6 * place),
						 digit - digits);
		}
	}
}

static void test_room(void **state)
{
	uint8_t out[6];
	size_t bytes;

	(void)state;
	assert_int_equal(decode("Zm9vYmFy", out, 5, &bytes), WB_ERR_LIMIT);
	assert_int_equal(decode("Zm9vYmFy", out, 6, &bytes), WB_OK);
	assert_int_equal(decode("", out, 0, &bytes), WB_OK);
	assert_int_equal(bytes, 0);
}

static void test_in_place(void **state)
{
	char text[] = "Zm9vYmFy";
	size_t bytes;

	(void)state;
	assert_int_equal(wbi_base64_decode(text, 8, text, 8, &bytes), WB_OK);
	assert_int_equal(bytes, 6);
	assert_memory_equal(text, "foobar", 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors), cmocka_unit_test(test_every_byte_pair),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_alphabet),
		cmocka_unit_test(test_room),    cmocka_unit_test(test_in_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
