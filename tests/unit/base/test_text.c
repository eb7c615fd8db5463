/* Text from elsewhere: the UTF-8 check against every sequence, and escapes that nothing survives.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"

static size_t encode(uint32_t point, uint8_t out[4])
{
	if (point < 0x80) {
		out[0] = (uint8_t)point;
		return 1;
	}
	if (point < 0x800) {
		out[0] = (uint8_t)(0xC0 | point >> 6);
		out[1] = (uint8_t)(0x80 | (point & 0x3F));
		return 2;
	}
	if (point < 0x10000) {
		out[0] = (uint8_t)(0xE0 | point >> 12);
		out[1] = (uint8_t)(0x80 | (point >> 6 & 0x3F));
		out[2] = (uint8_t)(0x80 | (point & 0x3F));
		return 3;
	}
	out[0] = (uint8_t)(0xF0 | point >> 18);
	out[1] = (uint8_t)(0x80 | (point >> 12 & 0x3F));
	out[2] = (uint8_t)(0x80 | (point >> 6 & 0x3F));
	out[3] = (uint8_t)(0x80 | (point & 0x3F));
	return 4;
}

static void test_every_code_point(void **state)
{
	(void)state;
	for (uint32_t point = 0; point < 0x120000; point++) {
		uint8_t text[4];
		size_t bytes = encode(point, text);
		int valid = point <= 0x10FFFF && (point < 0xD800 || point > 0xDFFF);

		assert_int_equal(wbi_utf8_sequence(text, bytes), valid ? bytes : 0);
		for (size_t cut = 0; cut < bytes; cut++)
			assert_int_equal(wbi_utf8_sequence(text, cut), 0);
	}
}

/* A decoder with no cleverness to compare with: which sequences of three bytes are valid is
 * counted, not computed. 128 ASCII; 30 x 64 of two; 61,440 - 2,048 of three. */
static void test_every_three_bytes(void **state)
{
	size_t of_length[5] = {0};

	(void)state;
	for (uint32_t bits = 0; bits < 1u << 24; bits++) {
		uint8_t text[3] = {(uint8_t)(bits >> 16), (uint8_t)(bits >> 8), (uint8_t)bits};

		of_length[wbi_utf8_sequence(text, 3)]++;
	}
	assert_int_equal(of_length[1], 128 * 65536);
	assert_int_equal(of_length[2], 30 * 64 * 256);
	assert_int_equal(of_length[3], 65536 - 2048 - 2048);
	assert_int_equal(of_length[4], 0);
}

static void test_prefix(void **state)
{
	(void)state;
	assert_int_equal(wbi_utf8_prefix(NULL, 0), 0);
	assert_int_equal(wbi_utf8_prefix("abc", 3), 3);
	assert_int_equal(wbi_utf8_prefix("a\xc3\xa4z", 4), 4);
	assert_int_equal(wbi_utf8_prefix("a\xc3\xa4\xc3", 4), 3);
	assert_int_equal(wbi_utf8_prefix("a\xc0\x80", 3), 1);
	assert_int_equal(wbi_utf8_prefix("\xed\xa0\x80", 3), 0);
}

static void check_escape(const char *text, size_t bytes, const char *expected)
{
	char out[200];
	size_t taken;

	assert_int_equal(wbi_text_escape(text, bytes, out, sizeof(out), &taken), strlen(expected));
	assert_string_equal(out, expected);
	assert_int_equal(taken, bytes);
}

static void test_escape(void **state)
{
	(void)state;
	check_escape("", 0, "");
	check_escape("plain text ~", 12, "plain text ~");
	check_escape("a\nb\tc\rd\\e", 9, "a\\nb\\tc\\rd\\\\e");
	check_escape("\x1b[31m\x07\x7f", 7, "\\x1B[31m\\x07\\x7F");
	check_escape("a\0b", 3, "a\\x00b");
	check_escape("\xc2\x9b"
		     "31m",
		     5, "\\xC2\\x9B31m"); /* C1: CSI in one character */
	check_escape("\xe2\x80\xae"
		     "exe",
		     6, "\\xE2\\x80\\xAEexe");                       /* right-to-left override */
	check_escape("\xe2\x81\xa6", 3, "\\xE2\\x81\\xA6");          /* isolate */
	check_escape("\xe2\x80\x8b", 3, "\\xE2\\x80\\x8B");          /* zero width space */
	check_escape("\xef\xbb\xbf", 3, "\\xEF\\xBB\\xBF");          /* byte order mark */
	check_escape("\xf3\xa0\x80\xa1", 4, "\\xF3\\xA0\\x80\\xA1"); /* tag character */
	check_escape("\xff\xc3", 2, "\\xFF\\xC3");
	check_escape("gr\xc3\xbc\xc3\x9f"
		     "e \xe4\xbd\xa0\xf0\x9f\x93\xa6",
		     15,
		     "gr\xc3\xbc\xc3\x9f"
		     "e \xe4\xbd\xa0\xf0\x9f\x93\xa6");
}

static void test_a_message_keeps_its_backslashes(void **state)
{
	static const char message[] = "C:\\new\n\x1b[31m \xe2\x80\xae gr\xc3\xbc\xc3\x9f \xff";
	char once[100], twice[100];

	(void)state;
	wbi_text_escape_message(message, once, sizeof(once));
	assert_string_equal(once, "C:\\new\\n\\x1B[31m \\xE2\\x80\\xAE gr\xc3\xbc\xc3\x9f \\xFF");
	wbi_text_escape_message(once, twice, sizeof(twice));
	assert_string_equal(twice, once);
	for (size_t size = 1; size < sizeof(once); size++) {
		wbi_text_escape_message(message, once, size);
		wbi_text_escape_message(once, twice, size);
		assert_string_equal(twice, once);
	}
}

/* Whatever the size, the result is a prefix of the whole, ends at a whole escape, and `taken` says
 * where to go on. */
static void test_every_cut(void **state)
{
	static const char text[] = "a\x1b\xc3\xa4\n\xe2\x80\xae\xf0\x9f\x93\xa6\\\xff end";
	const size_t bytes = sizeof(text) - 1;
	char whole[200];
	size_t whole_bytes = wbi_text_escape(text, bytes, whole, sizeof(whole), NULL);

	(void)state;
	for (size_t size = 1; size <= whole_bytes + 1; size++) {
		char out[200], rest[200];
		size_t taken, written;

		memset(out, '#', sizeof(out));
		written = wbi_text_escape(text, bytes, out, size, &taken);
		assert_true(written < size);
		assert_int_equal(out[written], '\0');
		assert_int_equal(out[size], '#');
		assert_memory_equal(out, whole, written);
		wbi_text_escape(text + taken, bytes - taken, rest, sizeof(rest), NULL);
		assert_string_equal(rest, whole + written);
	}
}

/* No byte, alone or behind a lead byte, comes out as anything that a terminal acts on. */
static void test_no_control_survives(void **state)
{
	(void)state;
	for (uint32_t bits = 0; bits < 65536; bits++) {
		uint8_t text[2] = {(uint8_t)(bits >> 8), (uint8_t)bits};
		char out[20];
		size_t written = wbi_text_escape(text, 2, out, sizeof(out), NULL);

		assert_int_equal(wbi_utf8_prefix(out, written), written);
		for (size_t i = 0; i < written; i++) {
			uint8_t byte = (uint8_t)out[i];

			assert_true(byte >= 0x20 && byte != 0x7F);
			assert_false(byte == 0xC2 && (uint8_t)out[i + 1] < 0xA0);
		}
	}
}

static void test_number(void **state)
{
	static const uint64_t numbers[] = {0, 7, 10, 4294967296, UINT64_MAX};
	char expected[32], out[WBI_DIGITS_MAX];
	(void)state;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		int bytes = snprintf(expected, sizeof(expected), "%" PRIu64, numbers[i]);

		assert_int_equal(wbi_text_number(numbers[i], out), bytes);
		assert_string_equal(out, expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_code_point),
		cmocka_unit_test(test_every_three_bytes),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_a_message_keeps_its_backslashes),
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_no_control_survives),
		cmocka_unit_test(test_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
