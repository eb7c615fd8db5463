/* The header reader: what it accepts, what it refuses and where, and its limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "guard.h"
#include "waybill/header.h"

/* Parses a copy that ends at a guard page. */
static enum wb_err parse(struct wb_header *header, const void *text, size_t bytes,
			 struct wb_fault *fault)
{
	return wb_header_parse(header, guard_put(text, bytes), bytes, fault);
}

static const char *const good[] = {
	"{}",
	" \t\r\n{ \t\r\n} \t\r\n",
	"{\"a\":1}",
	"{\"\":0}",
	"{\"a\":0,\"b\":-0,\"c\":0.0,\"d\":1e9,\"e\":-1.5E+10,\"f\":2E-3}",
	"{\"a\":123456789012345678901234567890123456789012345678901}",
	"{\"a\":true,\"b\":false,\"c\":null}",
	"{\"a\":[],\"b\":{},\"c\":[ ],\"d\":{ }}",
	"{\"a\":[1,\"b\",[true],{\"c\":null}] , \"c\" : {\"a\":1}}",
	"{\"a\":{\"x\":1},\"b\":{\"x\":1},\"x\":1}",
	"{\"a\":[{\"x\":1},{\"x\":1}]}",
	"{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\uD83D\\uDCE6\\u0000\"}",
	"{\"a\":\"\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"}",
	"{\"\\u0061b\":1,\"a\\u0062c\":2}",
	"{\"\xc3\xa4\":1}",
};

static void test_good(void **state)
{
	struct wb_header header;
	struct wb_fault fault;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (parse(&header, good[i], strlen(good[i]), &fault))
			fail_msg("%s: %s at %zu", good[i], fault.text, fault.offset);
	}
}

/* No prefix of a good header is good, but for one that only lacks white space at its end. */
static void test_every_prefix(void **state)
{
	struct wb_header header;
	struct wb_fault fault;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		size_t bytes = strrchr(good[i], '}') - good[i];

		for (size_t cut = 0; cut <= bytes; cut++) {
			assert_int_equal(parse(&header, good[i], cut, &fault), WB_ERR_MALFORMED);
			assert_int_equal(fault.err, WB_ERR_MALFORMED);
			assert_true(fault.offset <= cut);
			assert_int_equal(parse(&header, good[i], cut, NULL), WB_ERR_MALFORMED);
		}
	}
}

/* Every byte replaced by every other: nothing crosses the guard page, and a refusal says where. */
static void test_every_byte_changed(void **state)
{
	struct wb_header header;
	struct wb_fault fault;
	char text[200];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		size_t bytes = strlen(good[i]);

		for (size_t at = 0; at < bytes; at++) {
			for (int byte = 0; byte < 256; byte++) {
				memcpy(text, good[i], bytes);
				text[at] = (char)byte;
				if (parse(&header, text, bytes, &fault))
					assert_true(fault.offset <= bytes);
			}
		}
	}
}

struct refusal {
	const char *text;
	const char *field; /* "" = none */
	size_t offset;
};

static void check_refusals(const struct refusal *refusals, size_t count)
{
	struct wb_header header;
	struct wb_fault fault;

	for (size_t i = 0; i < count; i++) {
		const struct refusal *refusal = &refusals[i];
		size_t bytes = strlen(refusal->text);

		if (!parse(&header, refusal->text, bytes, &fault))
			fail_msg("accepted: %s", refusal->text);
		if (fault.err != WB_ERR_MALFORMED || strcmp(fault.field, refusal->field) ||
		    fault.offset != refusal->offset)
			fail_msg("%s: field '%s' offset %zu: %s", refusal->text, fault.field,
				 fault.offset, fault.text);
		if (refusal->field[0])
			assert_non_null(strstr(fault.text, refusal->field));
	}
}

static void test_grammar(void **state)
{
	static const struct refusal refusals[] = {
		{"", "", 0},
		{" ", "", 1},
		{"[]", "", 0},
		{"1", "", 0},
		{"\"a\"", "", 0},
		{"null", "", 0},
		{"\xef\xbb\xbf{}", "", 0},
		{"{}x", "", 2},
		{"{} {}", "", 3},
		{"{,}", "", 1},
		{"{\"a\":1,}", "", 7},
		{"{\"a\":1 \"b\":2}", "", 7},
		{"{\"a\" 1}", "a", 5},
		{"{\"a\":}", "a", 5},
		{"{a:1}", "", 1},
		{"{'a':1}", "", 1},
		{"{1:1}", "", 1},
		{"{\"a\":[1,]}", "a", 8},
		{"{\"a\":[,1]}", "a", 6},
		{"{\"a\":[1 2]}", "a", 8},
		{"{\"a\":[1}}", "a", 7},
		{"{\"a\":1]", "", 6},
		{"{\"a\":tru}", "a", 5},
		{"{\"a\":True}", "a", 5},
		{"{\"a\":nul", "a", 5},
		{"{\"a\":truer}", "", 9},
		{"{\"a\":/**/1}", "a", 5},
		{"{\"a\":NaN}", "a", 5},
		{"{\"a\":{\"b\":x}}", "b", 10},
		{"{\"a\":{\"b\":1},\"c\":x}", "c", 17},
		{"{\"a\":{\"b\":1}x}", "", 12},
		{"{\"a\":\v1}", "a", 5},
	};

	(void)state;
	check_refusals(refusals, sizeof(refusals) / sizeof(refusals[0]));
}

static void test_numbers(void **state)
{
	static const struct refusal refusals[] = {
		{"{\"n\":01}", "", 6},   {"{\"n\":-}", "n", 6},   {"{\"n\":+1}", "n", 5},
		{"{\"n\":.5}", "n", 5},  {"{\"n\":1.}", "n", 7},  {"{\"n\":1.e5}", "n", 7},
		{"{\"n\":1e}", "n", 7},  {"{\"n\":1e+}", "n", 8}, {"{\"n\":1E-x}", "n", 8},
		{"{\"n\":0x10}", "", 6}, {"{\"n\":-a}", "n", 6},  {"{\"n\":--1}", "n", 6},
	};

	(void)state;
	check_refusals(refusals, sizeof(refusals) / sizeof(refusals[0]));
}

static void test_strings(void **state)
{
	static const struct refusal refusals[] = {
		{"{\"s\":\"a\nb\"}", "s", 7},
		{"{\"s\":\"a\x1f\"}", "s", 7},
		{"{\"s\":\"a\\x\"}", "s", 7},
		{"{\"s\":\"a\\'\"}", "s", 7},
		{"{\"s\":\"\\u12\"}", "s", 6},
		{"{\"s\":\"\\u12g4\"}", "s", 6},
		{"{\"s\":\"\\U0041\"}", "s", 6},
		{"{\"s\":\"\\uD800\"}", "s", 6},
		{"{\"s\":\"\\uDC00\\uDC00\"}", "s", 6},
		{"{\"s\":\"\\uDC00\"}", "s", 6},
		{"{\"s\":\"\\uDBFF\\uDBFF\"}", "s", 6},
		{"{\"s\":\"\\uD83D\\u0041\"}", "s", 6},
		{"{\"s\":\"\\uD83Dx\\uDCE6\"}", "s", 6},
		{"{\"s\":\"\\uD83D\\nDCE6\"}", "s", 6},
		{"{\"s\":\"\\uD83D\\uDCEz\"}", "s", 6},
		{"{\"\\uD800\":1}", "", 2},
		{"{\"a\nb\":1}", "", 3},
	};

	(void)state;
	check_refusals(refusals, sizeof(refusals) / sizeof(refusals[0]));
}

static void test_not_utf8(void **state)
{
	static const struct refusal refusals[] = {
		{"{\"s\":\"\x80\"}", "s", 6},
		{"{\"s\":\"\xbf\"}", "s", 6},
		{"{\"s\":\"\xc0\x80\"}", "s", 6},         /* overlong NUL */
		{"{\"s\":\"\xc1\xbf\"}", "s", 6},         /* overlong */
		{"{\"s\":\"\xe0\x9f\xbf\"}", "s", 6},     /* overlong */
		{"{\"s\":\"\xf0\x8f\xbf\xbf\"}", "s", 6}, /* overlong */
		{"{\"s\":\"\xed\xa0\x80\"}", "s", 6},     /* surrogate */
		{"{\"s\":\"\xed\xbf\xbf\"}", "s", 6},     /* surrogate */
		{"{\"s\":\"\xf4\x90\x80\x80\"}", "s", 6}, /* above U+10FFFF */
		{"{\"s\":\"\xf5\x80\x80\x80\"}", "s", 6},
		{"{\"s\":\"\xff\"}", "s", 6},
		{"{\"s\":\"ok\xc3\"}", "s", 8}, /* cut short by the quote */
		{"{\"s\":\"\xe4\xbd\"}", "s", 6},
		{"{\"s\":\"\xf0\x9f\x93\"}", "s", 6},
		{"{\"s\":\"gr\xfc\xdf"
		 "e\"}",
		 "s", 8}, /* Latin-1 */
		{"{\"\xff\":1}", "", 2},
		{"\xff\xfe{}", "", 0},
	};

	(void)state;
	check_refusals(refusals, sizeof(refusals) / sizeof(refusals[0]));
}

static void test_duplicate_keys(void **state)
{
	static const struct refusal refusals[] = {
		{"{\"a\":1,\"a\":2}", "a", 8},
		{"{\"a\":1,\"b\":2,\"a\":3}", "a", 14},
		{"{\"a\":1,\"\\u0061\":2}", "a", 8},
		{"{\"\\u0061\":1,\"a\":2}", "a", 13},
		{"{\"\\u00e4\":1,\"\xc3\xa4\":2}", "\xc3\xa4", 13},
		{"{\"\\ud83d\\udce6\":1,\"\xf0\x9f\x93\xa6\":2}", "\xf0\x9f\x93\xa6", 19},
		{"{\"\\/\":1,\"/\":2}", "/", 9},
		{"{\"\":1,\"\":2}", "", 7},
		{"{\"x\":{\"a\":1,\"a\":2}}", "a", 13},
		{"{\"x\":[[{\"a\":1,\"\\u0061\":2}]]}", "a", 15},
		{"{\"x\":{\"y\":{\"z\":1},\"b\":1,\"y\":2}}", "y", 25},
		{"{\"x\":{\"a\":1},\"x\":2}", "x", 14},
	};

	(void)state;
	check_refusals(refusals, sizeof(refusals) / sizeof(refusals[0]));
}

/* A key is a stranger's text too. */
static void test_field_is_escaped(void **state)
{
	static const char text[] = "{\"\\u001b[2J\":x}";
	struct wb_header header;
	struct wb_fault fault;

	(void)state;
	assert_int_equal(parse(&header, text, strlen(text), &fault), WB_ERR_MALFORMED);
	assert_string_equal(fault.field, "\\x1B[2J");
	assert_null(strchr(fault.text, '\x1b'));
}

static enum wb_err parse_nested(unsigned depth, char open, char close, struct wb_fault *fault)
{
	char text[100] = "{\"a\":";
	size_t bytes = strlen(text);
	struct wb_header header;

	memset(text + bytes, open, depth - 1);
	bytes += depth - 1;
	memset(text + bytes, close, depth - 1);
	bytes += depth - 1;
	text[bytes++] = '}';
	return parse(&header, text, bytes, fault);
}

static void test_depth(void **state)
{
	static const char objects[] = "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}}}}";
	static const char deeper[] =
		"{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}}}}}";
	struct wb_header header;
	struct wb_fault fault;

	(void)state;
	assert_int_equal(parse_nested(WB_HEADER_DEPTH_MAX - 1, '[', ']', &fault), WB_OK);
	assert_int_equal(parse_nested(WB_HEADER_DEPTH_MAX, '[', ']', &fault), WB_OK);
	assert_int_equal(parse_nested(WB_HEADER_DEPTH_MAX + 1, '[', ']', &fault), WB_ERR_LIMIT);
	assert_int_equal(fault.offset, 5 + WB_HEADER_DEPTH_MAX - 1);
	assert_string_equal(fault.field, "a");
	assert_int_equal(parse(&header, objects, strlen(objects), NULL), WB_OK);
	assert_int_equal(parse(&header, deeper, strlen(deeper), NULL), WB_ERR_LIMIT);
}

static enum wb_err parse_members(unsigned count, struct wb_fault *fault)
{
	struct wb_header header;
	char text[2000] = "{";
	size_t bytes = 1;

	for (unsigned i = 0; i < count; i++)
		bytes += (size_t)snprintf(text + bytes, sizeof(text) - bytes, "%s\"k%u\":%u",
					  i ? "," : "", i, i);
	text[bytes++] = '}';
	return parse(&header, text, bytes, fault);
}

static void test_member_limit(void **state)
{
	struct wb_fault fault;

	(void)state;
	assert_int_equal(parse_members(WB_HEADER_MEMBERS_MAX - 1, &fault), WB_OK);
	assert_int_equal(parse_members(WB_HEADER_MEMBERS_MAX, &fault), WB_OK);
	assert_int_equal(parse_members(WB_HEADER_MEMBERS_MAX + 1, &fault), WB_ERR_LIMIT);
	assert_int_equal(parse_members(100, &fault), WB_ERR_LIMIT);
}

static void test_size_limit(void **state)
{
	static char text[WB_HEADER_BYTES_MAX + 1];
	struct wb_header header;
	struct wb_fault fault;

	(void)state;
	memset(text, ' ', sizeof(text));
	memcpy(text, "{}", 2);
	assert_int_equal(parse(&header, text, WB_HEADER_BYTES_MAX - 1, &fault), WB_OK);
	assert_int_equal(parse(&header, text, WB_HEADER_BYTES_MAX, &fault), WB_OK);
	assert_int_equal(parse(&header, text, WB_HEADER_BYTES_MAX + 1, &fault), WB_ERR_LIMIT);
	memset(text, 'x', sizeof(text));
	memcpy(text, "{\"long\":\"", 9);
	memcpy(text + WB_HEADER_BYTES_MAX - 2, "\"}", 2);
	assert_int_equal(parse(&header, text, WB_HEADER_BYTES_MAX, &fault), WB_OK);
	assert_int_equal(wb_header_find(&header, "long")->bytes, WB_HEADER_BYTES_MAX - 11);
}

static void test_a_mebibyte_of_nesting(void **state)
{
	enum { NESTING = 1 << 20 };
	char *text = malloc(NESTING);
	struct wb_header header;
	struct wb_fault fault;

	(void)state;
	assert_non_null(text);
	memset(text, '[', NESTING);
	memcpy(text, "{\"a\":", 5);
	assert_int_equal(wb_header_parse(&header, text, NESTING, &fault), WB_ERR_LIMIT);
	assert_int_equal(parse(&header, text, WB_HEADER_BYTES_MAX, &fault), WB_ERR_LIMIT);
	assert_string_equal(fault.field, "a");
	free(text);
}

static void test_members_are_where_they_stand(void **state)
{
	static const char text[] = "{\"a\": {\"b\":[1, {\"c\":\"x\"}]}, \"\\u0064\":-1.5}";
	struct wb_header header;

	(void)state;
	assert_int_equal(parse(&header, text, strlen(text), NULL), WB_OK);
	assert_int_equal(header.member_count, 4);
	assert_int_equal(header.members[0].parent, 0);
	assert_int_equal(header.members[0].value.type, WB_JSON_OBJECT);
	assert_int_equal(header.members[0].value.offset, 6);
	assert_int_equal(header.members[0].value.bytes, 20);
	assert_int_equal(header.members[1].parent, 6);
	assert_int_equal(header.members[1].value.type, WB_JSON_ARRAY);
	assert_int_equal(header.members[2].parent, 15);
	assert_int_equal(header.members[2].value.type, WB_JSON_STRING);
	assert_int_equal(header.members[2].value.bytes, 1);
	assert_int_equal(header.members[3].parent, 0);
	assert_true(header.members[3].key_escaped);
	assert_memory_equal(text + header.members[3].value.offset, "-1.5", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_every_prefix),
		cmocka_unit_test(test_every_byte_changed),
		cmocka_unit_test(test_grammar),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_not_utf8),
		cmocka_unit_test(test_duplicate_keys),
		cmocka_unit_test(test_field_is_escaped),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_member_limit),
		cmocka_unit_test(test_size_limit),
		cmocka_unit_test(test_a_mebibyte_of_nesting),
		cmocka_unit_test(test_members_are_where_they_stand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
