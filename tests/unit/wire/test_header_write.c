/* The header writer: exact text, errors that stick, every buffer size, and what it writes read
 * back by our own reader and by jansson. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "waybill/header.h"

static void write_sample(struct wb_header_writer *writer)
{
	wb_header_put_string(writer, "op", "da\"\\ta\n\x01\x7f");
	wb_header_put_integer(writer, "zero", 0);
	wb_header_put_integer(writer, "total_size", WB_INTEGER_MAX);
	wb_header_put_bool(writer, "t", true);
	wb_header_open_array(writer, "a");
	wb_header_put_integer(writer, NULL, 1);
	wb_header_put_string(writer, NULL, "\xc3\xa4");
	wb_header_open_object(writer, NULL);
	wb_header_put_bool(writer, "f", false);
	wb_header_close_object(writer);
	wb_header_open_array(writer, NULL);
	wb_header_close_array(writer);
	wb_header_close_array(writer);
	wb_header_open_object(writer, "o");
	wb_header_close_object(writer);
	wb_header_put_text(writer, "last", "xyz", 1);
}

static const char sample[] = "{\"op\":\"da\\\"\\\\ta\\n\\u0001\x7f\",\"zero\":0,\"total_size\":"
			     "9007199254740991,\"t\":true,"
			     "\"a\":[1,\"\xc3\xa4\",{\"f\":false},[]],\"o\":{},\"last\":\"x\"}";

static void test_sample(void **state)
{
	struct wb_header_writer writer;
	struct wb_header header;
	char text[300];
	size_t bytes = 0;

	(void)state;
	wb_header_writer_init(&writer, text, sizeof(text));
	write_sample(&writer);
	assert_int_equal(wb_header_finish(&writer, &bytes, NULL), WB_OK);
	assert_int_equal(bytes, sizeof(sample) - 1);
	assert_memory_equal(text, sample, bytes);
	assert_int_equal(wb_header_parse(&header, text, bytes, NULL), WB_OK);
	assert_true(wb_header_text_is(&header, "op", "da\"\\ta\n\x01\x7f"));
}

static void test_empty(void **state)
{
	struct wb_header_writer writer;
	char text[2];
	size_t bytes;

	(void)state;
	wb_header_writer_init(&writer, text, sizeof(text));
	assert_int_equal(wb_header_finish(&writer, &bytes, NULL), WB_OK);
	assert_int_equal(bytes, 2);
	assert_memory_equal(text, "{}", 2);
}

/* One byte too small is refused, the exact size is enough, and nothing is written past the end. */
static void test_every_size(void **state)
{
	const size_t whole = sizeof(sample) - 1;

	(void)state;
	for (size_t size = 0; size <= whole + 2; size++) {
		struct wb_header_writer writer;
		struct wb_fault fault;
		char text[300];
		size_t bytes = 999;

		memset(text, '#', sizeof(text));
		wb_header_writer_init(&writer, text, size);
		write_sample(&writer);
		if (size < whole) {
			assert_int_equal(wb_header_finish(&writer, &bytes, &fault), WB_ERR_LIMIT);
			assert_int_equal(fault.err, WB_ERR_LIMIT);
			assert_int_equal(bytes, 999);
		} else {
			assert_int_equal(wb_header_finish(&writer, &bytes, &fault), WB_OK);
			assert_int_equal(bytes, whole);
		}
		assert_int_equal(text[size], '#');
	}
}

static void test_never_past_the_readers_limit(void **state)
{
	static char text[2 * WB_HEADER_BYTES_MAX], long_text[WB_HEADER_BYTES_MAX];
	struct wb_header_writer writer;
	size_t bytes;

	(void)state;
	memset(long_text, 'x', sizeof(long_text));
	wb_header_writer_init(&writer, text, sizeof(text));
	wb_header_put_text(&writer, "s", long_text, WB_HEADER_BYTES_MAX - 8); /* {"s":""} */
	assert_int_equal(wb_header_finish(&writer, &bytes, NULL), WB_OK);
	assert_int_equal(bytes, WB_HEADER_BYTES_MAX);
	wb_header_writer_init(&writer, text, sizeof(text));
	wb_header_put_text(&writer, "s", long_text, WB_HEADER_BYTES_MAX - 7);
	assert_int_equal(wb_header_finish(&writer, &bytes, NULL), WB_ERR_LIMIT);
}

static void finish_fails(struct wb_header_writer *writer, enum wb_err err, const char *field)
{
	struct wb_fault fault;
	size_t bytes = 999;

	assert_int_equal(wb_header_finish(writer, &bytes, &fault), err);
	assert_int_equal(fault.err, err);
	assert_string_equal(fault.field, field);
	assert_int_equal(bytes, 999);
}

static void test_first_error_sticks(void **state)
{
	struct wb_header_writer writer;
	char text[100];

	(void)state;
	wb_header_writer_init(&writer, text, sizeof(text));
	wb_header_put_integer(&writer, "big", WB_INTEGER_MAX + 1);
	wb_header_put_string(&writer, "bad", "\xff");
	wb_header_put_integer(&writer, "fine", 1);
	wb_header_close_object(&writer);
	finish_fails(&writer, WB_ERR_RANGE, "big");
	wb_header_writer_init(&writer, text, sizeof(text));
	wb_header_put_text(&writer, "bad", "a\xed\xa0\x80", 4);
	wb_header_put_integer(&writer, "big", UINT64_MAX);
	finish_fails(&writer, WB_ERR_MALFORMED, "bad");
}

static void test_misuse(void **state)
{
	struct wb_header_writer writer;
	char text[100];

	(void)state;
	wb_header_writer_init(&writer, text, sizeof(text));
	wb_header_put_integer(&writer, NULL, 1);
	finish_fails(&writer, WB_ERR_ARGUMENT, "");
	wb_header_writer_init(&writer, text, sizeof(text));
	wb_header_open_array(&writer, "a");
	wb_header_put_integer(&writer, "named", 1);
	finish_fails(&writer, WB_ERR_ARGUMENT, "named");
	wb_header_writer_init(&writer, text, sizeof(text));
	wb_header_open_array(&writer, "a");
	finish_fails(&writer, WB_ERR_ARGUMENT, "");
	wb_header_writer_init(&writer, text, sizeof(text));
	wb_header_open_array(&writer, "a");
	wb_header_close_object(&writer);
	finish_fails(&writer, WB_ERR_ARGUMENT, "");
	wb_header_writer_init(&writer, text, sizeof(text));
	wb_header_close_array(&writer);
	finish_fails(&writer, WB_ERR_ARGUMENT, "");
	wb_header_writer_init(&writer, text, sizeof(text));
	wb_header_close_object(&writer);
	finish_fails(&writer, WB_ERR_ARGUMENT, "");
}

static void test_depth_and_member_limits(void **state)
{
	struct wb_header_writer writer;
	struct wb_header header;
	char text[2000];
	size_t bytes;

	(void)state;
	for (unsigned depth = WB_HEADER_DEPTH_MAX - 1; depth <= WB_HEADER_DEPTH_MAX + 1; depth++) {
		wb_header_writer_init(&writer, text, sizeof(text));
		for (unsigned i = 1; i < depth; i++)
			wb_header_open_object(&writer, "d");
		for (unsigned i = 1; i < depth; i++)
			wb_header_close_object(&writer);
		if (depth > WB_HEADER_DEPTH_MAX) {
			finish_fails(&writer, WB_ERR_LIMIT, "d");
			continue;
		}
		assert_int_equal(wb_header_finish(&writer, &bytes, NULL), WB_OK);
		assert_int_equal(wb_header_parse(&header, text, bytes, NULL), WB_OK);
	}
	for (unsigned count = WB_HEADER_MEMBERS_MAX; count <= WB_HEADER_MEMBERS_MAX + 1; count++) {
		char name[10] = "";

		wb_header_writer_init(&writer, text, sizeof(text));
		for (unsigned i = 0; i < count; i++) {
			snprintf(name, sizeof(name), "n%u", i);
			wb_header_put_integer(&writer, name, i);
		}
		if (count > WB_HEADER_MEMBERS_MAX) {
			finish_fails(&writer, WB_ERR_LIMIT, name);
			continue;
		}
		assert_int_equal(wb_header_finish(&writer, &bytes, NULL), WB_OK);
		assert_int_equal(wb_header_parse(&header, text, bytes, NULL), WB_OK);
	}
}

/* Every ASCII character but NUL, and one of each longer length, read back by both readers. */
static void test_read_back(void **state)
{
	struct wb_header_writer writer;
	struct wb_header header;
	char all[200], text[1000], out[200];
	size_t bytes, out_bytes;
	json_t *json;

	(void)state;
	for (int c = 1; c < 128; c++)
		all[c - 1] = (char)c;
	strcpy(all + 127, "\xc3\xa4\xe4\xbd\xa0\xf0\x9f\x93\xa6");
	wb_header_writer_init(&writer, text, sizeof(text));
	wb_header_put_string(&writer, "all", all);
	assert_int_equal(wb_header_finish(&writer, &bytes, NULL), WB_OK);
	assert_int_equal(wb_header_parse(&header, text, bytes, NULL), WB_OK);
	assert_int_equal(wb_header_get_text(&header, "all", out, sizeof(out), &out_bytes, NULL),
			 WB_OK);
	assert_string_equal(out, all);
	json = json_loadb(text, bytes, 0, NULL);
	assert_non_null(json);
	assert_string_equal(json_string_value(json_object_get(json, "all")), all);
	json_decref(json);
}

static void test_nul_is_escaped(void **state)
{
	struct wb_header_writer writer;
	char text[50];
	size_t bytes;

	(void)state;
	wb_header_writer_init(&writer, text, sizeof(text));
	wb_header_put_text(&writer, "s", "a\0b", 3);
	assert_int_equal(wb_header_finish(&writer, &bytes, NULL), WB_OK);
	assert_int_equal(bytes, 16);
	assert_memory_equal(text, "{\"s\":\"a\\u0000b\"}", 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sample),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_every_size),
		cmocka_unit_test(test_never_past_the_readers_limit),
		cmocka_unit_test(test_first_error_sticks),
		cmocka_unit_test(test_misuse),
		cmocka_unit_test(test_depth_and_member_limits),
		cmocka_unit_test(test_read_back),
		cmocka_unit_test(test_nul_is_escaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
