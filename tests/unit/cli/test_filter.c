/* Escaping and converting: the same result however the bytes are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/escape.c"
#include "cli/recode.c" /* the program's own floor is in no library */

struct sink {
	struct wbi_filter filter;
	char text[4096];
	size_t bytes;
	bool finished;
};

static void sink_give(struct wbi_filter *filter, const void *data, size_t bytes)
{
	struct sink *sink = WBI_CONTAINER(filter, struct sink, filter);

	assert_true(bytes < sizeof(sink->text) - sink->bytes);
	memcpy(sink->text + sink->bytes, data, bytes);
	sink->bytes += bytes;
	sink->text[sink->bytes] = '\0';
}

static void sink_finish(struct wbi_filter *filter)
{
	WBI_CONTAINER(filter, struct sink, filter)->finished = true;
}

static void sink_init(struct sink *sink)
{
	*sink = (struct sink){.filter = {sink_give, sink_finish, NULL}};
}

/* Passes `text` through in pieces cut at `first` and `second`. */
static void pass(struct wbi_filter *filter, const char *text, size_t bytes, size_t first,
		 size_t second)
{
	wbi_filter_give(filter, text, first);
	wbi_filter_give(filter, text + first, second - first);
	wbi_filter_give(filter, text + second, bytes - second);
	wbi_filter_finish(filter);
}

static void assert_escaped(const char *text, size_t bytes, const char *shown)
{
	for (size_t first = 0; first <= bytes; first++)
		for (size_t second = first; second <= bytes; second++) {
			struct wbi_escape escape;
			struct sink sink;

			sink_init(&sink);
			wbi_escape_init(&escape, &sink.filter);
			pass(&escape.filter, text, bytes, first, second);
			assert_true(sink.finished);
			assert_string_equal(sink.text, shown);
		}
}

static void test_escape(void **state)
{
	static const struct {
		const char *text, *shown;
	} cases[] = {
		{"plain \\ text\n\ttab", "plain \\ text\n\ttab"},
		{"\x1b[2J\a\b\x7f", "\\x1B[2J\\x07\\x08\\x7F"},
		{"\xc2\x9b"
		 "31m",
		 "\\xC2\\x9B31m"},
		{"\x9b"
		 "31m",
		 "\\x9B31m"},
		{"a\rb\r\nc\r\r\nd\r", "a\\rb\r\nc\\r\r\nd\\r"},
		{"gr\xc3\xbc\xc3\x9f \xe4\xbd\xa0 \xf0\x9f\x98\x80", "grüß 你 😀"},
		{"\xe2\x80\xae"
		 "evil",
		 "\\xE2\\x80\\xAEevil"},
		{"\xe4\xbd", "\\xE4\\xBD"},
		{"\xe4\xbd!", "\\xE4\\xBD!"},
		{"\xf0\x9f\x98\n", "\\xF0\\x9F\\x98\n"},
		{"\xed\xa0\x80 \xc0\xaf \xff\xfe", "\\xED\\xA0\\x80 \\xC0\\xAF \\xFF\\xFE"},
		{"\xf4\x90\x80\x80", "\\xF4\\x90\\x80\\x80"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_escaped(cases[i].text, strlen(cases[i].text), cases[i].shown);
	assert_escaped("a\0b", 3, "a\\x00b");
}

/* Nothing but newline, tab, and a carriage return before a newline comes through as a control. */
static void test_every_pair_of_bytes_is_safe(void **state)
{
	(void)state;
	for (unsigned pair = 0; pair < 0x10000; pair++) {
		const char text[] = {(char)(pair >> 8), (char)pair};
		struct wbi_escape escape;
		struct sink sink;

		sink_init(&sink);
		wbi_escape_init(&escape, &sink.filter);
		pass(&escape.filter, text, sizeof(text), 1, 1);
		for (const char *at = sink.text; *at; at++) {
			bool control = (unsigned char)*at < 0x20 || *at == 0x7f;

			assert_true(!control || *at == '\n' || *at == '\t' ||
				    (*at == '\r' && at[1] == '\n'));
		}
		assert_int_equal(wbi_utf8_prefix(sink.text, sink.bytes), sink.bytes);
	}
}

static void assert_converted(const char *from, const char *text, size_t bytes, const char *shown)
{
	for (size_t first = 0; first <= bytes; first++)
		for (size_t second = first; second <= bytes; second++) {
			struct wbi_recode encode;
			struct sink sink;

			sink_init(&sink);
			assert_int_equal(
				wbi_recode_open(&encode, from, "UTF-8", false, &sink.filter, NULL),
				WB_OK);
			pass(&encode.filter, text, bytes, first, second);
			assert_true(sink.finished);
			assert_string_equal(sink.text, shown);
			wbi_recode_done(&encode);
		}
}

static void test_convert(void **state)
{
	(void)state;
	assert_converted("GBK", "\xc4\xe3\xba\xc3!\n", 6, "你好!\n");
	assert_converted("GBK", "\xff\xc4\xe3\xc4", 4, "\\xFF你\\xC4");
	assert_converted("UTF-16LE", "`OA\0\x3d", 5, "你A\\x3D");
	assert_converted("ISO-8859-1", "\xe4\x80", 2, "ä\xc2\x80");
	assert_converted("UTF-8", "\xe4\xbd\xa0\xe4!\xff", 6, "你\\xE4!\\xFF");
	assert_converted("ISO-2022-JP", "\x1b$B$\"\x1b(Ba", 9, "あa");
}

static void test_strict(void **state)
{
	struct wbi_recode encode;
	struct sink sink;

	(void)state;
	sink_init(&sink);
	assert_int_equal(wbi_recode_open(&encode, "UTF-8", "GBK", true, &sink.filter, NULL), WB_OK);
	wbi_filter_give(&encode.filter, "\xe4\xbd\xa0", 3);
	wbi_filter_finish(&encode.filter);
	assert_false(encode.bad);
	assert_string_equal(sink.text, "\xc4\xe3");
	wbi_filter_give(&encode.filter, "a\xe1\x9a\xa0z", 5); /* a rune */
	assert_true(encode.bad);
	wbi_recode_begin(&encode);
	assert_false(encode.bad);
	wbi_filter_give(&encode.filter, "\xe4\xbd", 2); /* a character that never ends */
	wbi_filter_finish(&encode.filter);
	assert_true(encode.bad);
	wbi_recode_done(&encode);
}

static void test_unknown(void **state)
{
	struct wbi_recode encode;
	struct wb_fault fault;

	(void)state;
	assert_int_equal(wbi_recode_open(&encode, "no-such-set", "UTF-8", false, NULL, &fault),
			 WB_ERR_ARGUMENT);
	assert_non_null(strstr(fault.text, "no-such-set"));
	wbi_recode_done(&encode);
	assert_true(wbi_charset_is_utf8("utf-8"));
	assert_true(wbi_charset_is_utf8("UTF8"));
	assert_false(wbi_charset_is_utf8("UTF-16"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escape),  cmocka_unit_test(test_every_pair_of_bytes_is_safe),
		cmocka_unit_test(test_convert), cmocka_unit_test(test_strict),
		cmocka_unit_test(test_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
