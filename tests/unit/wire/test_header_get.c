/* The header's getters: exact values, refusals by name, and results untouched on failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "guard.h"
#include "waybill/header.h"

static void parse(struct wb_header *header, const char *text)
{
	struct wb_fault fault;
	size_t bytes = strlen(text);

	if (wb_header_parse(header, guard_put(text, bytes), bytes, &fault))
		fail_msg("%s: %s", text, fault.text);
}

static void check_integer(const char *text, uint64_t expected)
{
	struct wb_header header;
	uint64_t value = 77;

	parse(&header, text);
	assert_int_equal(wb_header_get_integer(&header, "total_size", &value, NULL), WB_OK);
	assert_int_equal(value, expected);
}

static void refuse_integer(const char *text, enum wb_err err, const char *word)
{
	struct wb_header header;
	struct wb_fault fault;
	uint64_t value = 77;

	parse(&header, text);
	assert_int_equal(wb_header_get_integer(&header, "total_size", &value, &fault), err);
	assert_int_equal(value, 77);
	assert_int_equal(fault.err, err);
	assert_string_equal(fault.field, "total_size");
	assert_non_null(strstr(fault.text, "total_size"));
	if (!strstr(fault.text, word))
		fail_msg("%s: '%s' without '%s'", text, fault.text, word);
	if (err != WB_ERR_MISSING)
		assert_int_equal(fault.offset, strcspn(text, ":") + 1);
}

static void test_integers(void **state)
{
	(void)state;
	check_integer("{\"total_size\":0}", 0);
	check_integer("{\"total_size\":7}", 7);
	check_integer("{\"total_size\":2147483648}", 2147483648u);
	check_integer("{\"total_size\":9007199254740990}", WB_INTEGER_MAX - 1);
	check_integer("{\"total_size\":9007199254740991}", WB_INTEGER_MAX);
}

static void test_hostile_integers(void **state)
{
	(void)state;
	refuse_integer("{\"total_size\":9007199254740992}", WB_ERR_RANGE, "2^53");
	refuse_integer("{\"total_size\":9999999999999999}", WB_ERR_RANGE, "2^53");
	refuse_integer("{\"total_size\":10000000000000000}", WB_ERR_RANGE, "2^53");
	refuse_integer("{\"total_size\":18446744073709551615}", WB_ERR_RANGE, "2^53");
	refuse_integer("{\"total_size\":18446744073709551617}", WB_ERR_RANGE, "2^53");
	refuse_integer("{\"total_size\":123456789012345678901234567890123456789012345678901}",
		       WB_ERR_RANGE, "2^53");
	refuse_integer("{\"total_size\":-1}", WB_ERR_MALFORMED, "sign");
	refuse_integer("{\"total_size\":-0}", WB_ERR_MALFORMED, "sign");
	refuse_integer("{\"total_size\":-123456789012345678901234567890}", WB_ERR_MALFORMED,
		       "sign");
	refuse_integer("{\"total_size\":1.0}", WB_ERR_MALFORMED, "fraction");
	refuse_integer("{\"total_size\":0.5}", WB_ERR_MALFORMED, "fraction");
	refuse_integer("{\"total_size\":1e3}", WB_ERR_MALFORMED, "exponent");
	refuse_integer("{\"total_size\":1E0}", WB_ERR_MALFORMED, "exponent");
	refuse_integer("{\"total_size\":true}", WB_ERR_MALFORMED, "not a number");
	refuse_integer("{\"total_size\":null}", WB_ERR_MALFORMED, "not a number");
	refuse_integer("{\"total_size\":[5]}", WB_ERR_MALFORMED, "not a number");
	refuse_integer("{}", WB_ERR_MISSING, "missing");
	refuse_integer("{\"a\":{\"total_size\":1}}", WB_ERR_MISSING, "missing");
}

static void test_a_number_in_quotes(void **state)
{
	struct wb_header header;
	struct wb_fault fault;
	uint64_t value;

	(void)state;
	parse(&header, "{\"total_size\":\"5\"}");
	assert_int_equal(wb_header_get_integer(&header, "total_size", &value, &fault),
			 WB_ERR_MALFORMED);
	assert_string_equal(fault.field, "total_size");
}

static void test_bool(void **state)
{
	struct wb_header header;
	struct wb_fault fault;
	bool value = false;

	(void)state;
	parse(&header, "{\"t\":true,\"f\":false,\"n\":null}");
	assert_int_equal(wb_header_get_bool(&header, "t", &value, &fault), WB_OK);
	assert_true(value);
	assert_int_equal(wb_header_get_bool(&header, "n", &value, &fault), WB_ERR_MALFORMED);
	assert_string_equal(fault.field, "n");
	assert_int_equal(wb_header_get_bool(&header, "x", &value, &fault), WB_ERR_MISSING);
	assert_true(value);
	assert_int_equal(wb_header_get_bool(&header, "f", &value, &fault), WB_OK);
	assert_false(value);
}

static void check_text(const char *json, const char *expected)
{
	struct wb_header header;
	char out[100];
	size_t bytes;

	parse(&header, json);
	assert_int_equal(wb_header_get_text(&header, "s", out, sizeof(out), &bytes, NULL), WB_OK);
	assert_string_equal(out, expected);
	assert_int_equal(bytes, strlen(expected));
	assert_true(wb_header_text_is(&header, "s", expected));
	for (size_t size = 0; size <= bytes; size++) {
		struct wb_fault fault;
		size_t untouched = 99;

		memset(out, '#', sizeof(out));
		assert_int_equal(wb_header_get_text(&header, "s", out, size, &untouched, &fault),
				 WB_ERR_LIMIT);
		assert_string_equal(fault.field, "s");
		assert_int_equal(untouched, 99);
		assert_int_equal(out[0], '#');
	}
	assert_int_equal(wb_header_get_text(&header, "s", out, bytes + 1, NULL, NULL), WB_OK);
	assert_string_equal(out, expected);
}

static void test_text(void **state)
{
	(void)state;
	check_text("{\"s\":\"\"}", "");
	check_text("{\"s\":\"plain\"}", "plain");
	check_text("{\"s\":\"\xc3\xa4\xf0\x9f\x93\xa6\"}", "\xc3\xa4\xf0\x9f\x93\xa6");
	check_text("{\"s\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "\"\\/\b\f\n\r\t");
	check_text("{\"s\":\"\\u0001\\u007F\\u0080\\u07ff\\u0800\\uFFFF\"}",
		   "\x01\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf");
	check_text("{\"s\":\"<\\ud800\\udc00\\uDBFF\\uDFFF>\"}",
		   "<\xf0\x90\x80\x80\xf4\x8f\xbf\xbf>");
	check_text("{\"s\":\"\\\\u0000\"}", "\\u0000");
}

static void test_text_refused(void **state)
{
	struct wb_header header;
	struct wb_fault fault;
	char out[10] = "before";

	(void)state;
	parse(&header, "{\"nul\":\"a\\u0000b\",\"n\":1}");
	assert_int_equal(wb_header_get_text(&header, "nul", out, sizeof(out), NULL, &fault),
			 WB_ERR_MALFORMED);
	assert_string_equal(fault.field, "nul");
	assert_int_equal(wb_header_get_text(&header, "n", out, sizeof(out), NULL, &fault),
			 WB_ERR_MALFORMED);
	assert_int_equal(wb_header_get_text(&header, "x", out, sizeof(out), NULL, &fault),
			 WB_ERR_MISSING);
	assert_string_equal(out, "before");
}

static void test_text_is(void **state)
{
	struct wb_header header;

	(void)state;
	parse(&header,
	      "{\"op\":\"da\\u0074a\",\"back\":\"\\\\u0074\",\"raw\":\"a\",\"nul\":\"a\\u0000\","
	      "\"n\":1}");
	assert_true(wb_header_text_is(&header, "op", "data"));
	assert_false(wb_header_text_is(&header, "op", "dat"));
	assert_false(wb_header_text_is(&header, "op", "data!"));
	assert_false(wb_header_text_is(&header, "op", "da\\u0074a"));
	assert_true(wb_header_text_is(&header, "back", "\\u0074"));
	assert_false(wb_header_text_is(&header, "back", "\\\\u0074"));
	assert_true(wb_header_text_is(&header, "raw", "a"));
	assert_false(wb_header_text_is(&header, "raw", ""));
	assert_false(wb_header_text_is(&header, "nul", "a"));
	assert_false(wb_header_text_is(&header, "n", "1"));
	assert_false(wb_header_text_is(&header, "x", ""));
}

static void test_find(void **state)
{
	struct wb_header header;
	const struct wb_json_value *object;

	(void)state;
	parse(&header, " {\"o\":{\"i\":{\"x\":1},\"x\":2},\"\\u0078\":3,\"xx\":4,\"a\":[{\"x\":5}],"
		       "\"a\\u0000b\":6}");
	assert_int_equal(header.text[wb_header_find(&header, "x")->offset], '3');
	assert_int_equal(header.text[wb_header_find(&header, "xx")->offset], '4');
	assert_null(wb_header_find(&header, "i"));
	assert_null(wb_header_find(&header, ""));
	assert_non_null(wb_header_find(&header, "a"));
	object = wb_header_find(&header, "o");
	assert_int_equal(header.text[wb_json_find(&header, object, "x")->offset], '2');
	object = wb_json_find(&header, object, "i");
	assert_int_equal(header.text[wb_json_find(&header, object, "x")->offset], '1');
	assert_null(wb_json_find(&header, object, "o"));
	assert_null(wb_json_find(&header, wb_header_find(&header, "a"), "x"));
}

static void test_find_the_empty_name(void **state)
{
	struct wb_header header;

	(void)state;
	parse(&header, "{\"a\":1,\"\":2}");
	assert_non_null(wb_header_find(&header, ""));
	parse(&header, "{\"a\":1,\"`\":2}");
	assert_null(wb_header_find(&header, ""));
}

/* What it begins with is not what is written, whatever came before. */
static void test_find_an_escaped_name(void **state)
{
	struct wb_header header;
	struct wb_fault fault;

	(void)state;
	parse(&header, "{\"x\":1,\"\\u0063rit\":2}");
	assert_non_null(wb_header_find(&header, "crit"));
	assert_int_equal(wb_header_parse(&header, "{\"x\":1,\"\\u0063\":2,\"c\":3}", 24, &fault),
			 WB_ERR_MALFORMED);
	assert_string_equal(fault.field, "c");
}

/* Old peers spell it their own way; a caller finds either. */
static void test_old_peer(void **state)
{
	struct wb_header header;
	char name[20];

	(void)state;
	parse(&header, "{\"filenema\": \"a.txt\", \"total_size\": 12, \"md5\": \"asdfsadf\"}");
	assert_null(wb_header_find(&header, "filename"));
	assert_int_equal(wb_header_get_text(&header, "filenema", name, sizeof(name), NULL, NULL),
			 WB_OK);
	assert_string_equal(name, "a.txt");
}

static void test_walk_array(void **state)
{
	static const enum wb_json_type types[] = {WB_JSON_NUMBER, WB_JSON_STRING, WB_JSON_ARRAY,
						  WB_JSON_OBJECT, WB_JSON_TRUE,   WB_JSON_FALSE,
						  WB_JSON_NULL,   WB_JSON_STRING};
	static const char *const texts[] = {"-1e2", "a\\\"]}b", "[1,[2]]", "{\"x\":[\"]\"]}",
					    "true", "false",    "null",    ""};
	struct wb_header header;
	struct wb_json_value value;
	uint32_t cursor = 0;
	size_t count = 0;

	(void)state;
	parse(&header,
	      "{\"a\":[ -1e2 , \"a\\\"]}b\",[1,[2]],{\"x\":[\"]\"]},true,false,null,\"\" ]}");
	while (wb_json_next(&header, wb_header_find(&header, "a"), &cursor, NULL, &value)) {
		assert_int_equal(value.type, types[count]);
		assert_int_equal(value.bytes, strlen(texts[count]));
		assert_memory_equal(header.text + value.offset, texts[count], value.bytes);
		count++;
	}
	assert_int_equal(count, sizeof(types) / sizeof(types[0]));
	assert_false(wb_json_next(&header, wb_header_find(&header, "a"), &cursor, NULL, &value));
}

static void test_walk_object(void **state)
{
	struct wb_header header;
	const struct wb_json_value *object;
	struct wb_json_value key, value;
	uint32_t cursor = 0;
	uint64_t integer;
	char text[10];

	(void)state;
	parse(&header, "{\"o\": { \"k\\n\" : 1 , \"l\":{\"m\":2}},\"e\":{},\"f\":[ ],\"n\":1}");
	object = wb_header_find(&header, "o");
	assert_true(wb_json_next(&header, object, &cursor, &key, &value));
	assert_int_equal(wb_json_text(&header, &key, text, sizeof(text), NULL, NULL), WB_OK);
	assert_string_equal(text, "k\n");
	assert_int_equal(wb_json_integer(&header, &value, &integer, NULL), WB_OK);
	assert_int_equal(integer, 1);
	assert_true(wb_json_next(&header, object, &cursor, NULL, &value));
	assert_int_equal(value.type, WB_JSON_OBJECT);
	assert_non_null(wb_json_find(&header, &value, "m"));
	assert_false(wb_json_next(&header, object, &cursor, &key, &value));
	for (const char *const *name = (const char *const[]){"e", "f", "n", NULL}; *name; name++) {
		cursor = 0;
		object = wb_header_find(&header, *name);
		assert_false(wb_json_next(&header, object, &cursor, &key, &value));
	}
}

static void test_nameless_values(void **state)
{
	struct wb_header header;
	struct wb_json_value value;
	struct wb_fault fault;
	uint32_t cursor = 0;
	uint64_t integer = 5;
	char text[10];

	(void)state;
	parse(&header, "{\"a\":[-3]}");
	assert_true(wb_json_next(&header, wb_header_find(&header, "a"), &cursor, NULL, &value));
	assert_int_equal(wb_json_integer(&header, &value, &integer, &fault), WB_ERR_MALFORMED);
	assert_string_equal(fault.field, "");
	assert_int_equal(fault.offset, 6);
	assert_int_equal(integer, 5);
	assert_int_equal(wb_json_text(&header, &value, text, sizeof(text), NULL, &fault),
			 WB_ERR_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_hostile_integers),
		cmocka_unit_test(test_a_number_in_quotes),
		cmocka_unit_test(test_bool),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_text_refused),
		cmocka_unit_test(test_text_is),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_find_the_empty_name),
		cmocka_unit_test(test_find_an_escaped_name),
		cmocka_unit_test(test_old_peer),
		cmocka_unit_test(test_walk_array),
		cmocka_unit_test(test_walk_object),
		cmocka_unit_test(test_nameless_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
