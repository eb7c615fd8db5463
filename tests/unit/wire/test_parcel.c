/* The parcel: every prefix, hostile lengths and headers, limits, crit, and writing one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guard.h"
#include "waybill/parcel.h"

static const struct wb_parcel_limits limits = {.header_bytes = 4096, .payload_bytes = 1000};

/* Puts a length before `header` and `payload_bytes` bytes behind it. */
static size_t build(uint8_t *wire, const char *header, size_t payload_bytes)
{
	size_t header_bytes = strlen(header);

	assert_int_equal(wb_length_encode(WB_LENGTH_U32_LE, header_bytes, wire, NULL), WB_OK);
	memcpy(wire + 4, header, header_bytes);
	memset(wire + 4 + header_bytes, 'p', payload_bytes);
	return 4 + header_bytes + payload_bytes;
}

static void test_every_prefix(void **state)
{
	static const struct {
		const char *header;
		size_t payload_bytes;
	} parcels[] = {
		{"{}", 0},
		{"{\"total_size\":0}", 0},
		{"{\"op\":\"data\",\"total_size\":1}", 1},
		{" {\"total_size\" : 500 } ", 500},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(parcels) / sizeof(parcels[0]); i++) {
		uint8_t wire[1000];
		size_t head = 4 + strlen(parcels[i].header);
		size_t whole = build(wire, parcels[i].header, parcels[i].payload_bytes);

		memset(wire + whole, '#', 5);
		for (size_t bytes = 0; bytes <= whole + 5; bytes++) {
			const uint8_t *input = guard_put(wire, bytes);
			struct wb_parcel parcel;
			size_t need = bytes < 4 ? 4 : bytes < head ? head : whole;
			enum wb_decode decode =
				wb_parcel_decode(&limits, input, bytes, &parcel, NULL);

			assert_int_equal(decode, bytes < whole ? WB_DECODE_NEED : WB_DECODE_DONE);
			if (bytes < whole) {
				assert_int_equal(parcel.need, need);
			} else {
				assert_int_equal(parcel.consumed, whole);
				assert_int_equal(parcel.payload_bytes, parcels[i].payload_bytes);
				assert_ptr_equal(parcel.payload, input + head);
			}
			decode = wb_parcel_decode_head(&limits, input, bytes, &parcel, NULL);
			assert_int_equal(decode, bytes < head ? WB_DECODE_NEED : WB_DECODE_DONE);
			if (bytes >= head) {
				assert_int_equal(parcel.consumed, head);
				assert_int_equal(parcel.head_bytes, head);
			}
		}
	}
}

static void check_bad(const void *wire, size_t bytes, enum wb_err err, const char *field,
		      size_t offset)
{
	struct wb_parcel parcel;
	struct wb_fault fault;

	assert_int_equal(wb_parcel_decode(&limits, guard_put(wire, bytes), bytes, &parcel, &fault),
			 WB_DECODE_BAD);
	if (fault.err != err || strcmp(fault.field, field) || fault.offset != offset)
		fail_msg("%s, field '%s', offset %zu: %s", wb_err_name(fault.err), fault.field,
			 fault.offset, fault.text);
	assert_int_equal(wb_parcel_decode(&limits, wire, bytes, &parcel, NULL), WB_DECODE_BAD);
}

/* Refused at the fourth byte: nothing is gathered for a length that cannot be. */
static void test_hostile_lengths(void **state)
{
	(void)state;
	check_bad("\xff\xff\xff\xff", 4, WB_ERR_LIMIT, "", 0);
	check_bad("\xff\xff\xff\x7f", 4, WB_ERR_LIMIT, "", 0);
	check_bad("\0\0\0\0", 4, WB_ERR_MALFORMED, "", 0);
	check_bad("\1\0\0\0", 4, WB_ERR_MALFORMED, "", 0);
	check_bad("\x01\x10\0\0", 4, WB_ERR_LIMIT, "", 0); /* 4097 */
	check_bad("GET / HTTP/1.1\r\n", 16, WB_ERR_LIMIT, "", 0);
	check_bad("\x16\x03\x01\x02", 4, WB_ERR_LIMIT, "", 0); /* TLS */
}

static void test_header_limit(void **state)
{
	(void)state;
	for (uint32_t length = 1; length <= WB_HEADER_BYTES_MAX + 1; length++) {
		struct wb_parcel_limits small = {.header_bytes = 100};
		struct wb_parcel_limits huge = {.header_bytes = UINT32_MAX};
		struct wb_parcel parcel;
		uint8_t wire[4];

		assert_int_equal(wb_length_encode(WB_LENGTH_U32_LE, length, wire, NULL), WB_OK);
		assert_int_equal(wb_parcel_decode_head(&small, wire, 4, &parcel, NULL),
				 length >= 2 && length <= 100 ? WB_DECODE_NEED : WB_DECODE_BAD);
		assert_int_equal(wb_parcel_decode_head(&huge, wire, 4, &parcel, NULL),
				 length >= 2 && length <= WB_HEADER_BYTES_MAX ? WB_DECODE_NEED
									      : WB_DECODE_BAD);
	}
}

static void check_bad_header(const char *header, enum wb_err err, const char *field, size_t offset)
{
	uint8_t wire[300];

	check_bad(wire, build(wire, header, 0), err, field, offset);
}

/* The offset counts from the parcel's first byte. */
static void test_hostile_headers(void **state)
{
	(void)state;
	check_bad_header("[]", WB_ERR_MALFORMED, "", 4);
	check_bad_header("12", WB_ERR_MALFORMED, "", 4);
	check_bad_header("{\"a\":\"\xff\"}", WB_ERR_MALFORMED, "a", 10);
	check_bad_header("{\"total_size\":1,\"total_size\":2}", WB_ERR_MALFORMED, "total_size", 21);
	check_bad_header("{\"total_size\":1,\"total\\u005fsize\":2}", WB_ERR_MALFORMED,
			 "total_size", 21);
	check_bad_header("{\"total_size\":-1}", WB_ERR_MALFORMED, "total_size", 18);
	check_bad_header("{\"total_size\":1.5}", WB_ERR_MALFORMED, "total_size", 18);
	check_bad_header("{\"total_size\":1e2}", WB_ERR_MALFORMED, "total_size", 18);
	check_bad_header("{\"total_size\":\"1\"}", WB_ERR_MALFORMED, "total_size", 19);
	check_bad_header("{\"total_size\":123456789012345678901234567890123456789012345678901}",
			 WB_ERR_RANGE, "total_size", 18);
	check_bad_header("{\"total_size\":1001}", WB_ERR_LIMIT, "total_size", 18);
	check_bad_header("{\"a\":[[[[[[[[]]]]]]]]}", WB_ERR_LIMIT, "a", 16);
}

static void test_payload_limit(void **state)
{
	static const char *const headers[] = {"{\"total_size\":999}", "{\"total_size\":1000}",
					      "{\"total_size\":1001}"};

	(void)state;
	for (int i = 0; i < 3; i++) {
		uint8_t wire[100];
		struct wb_parcel parcel;

		assert_int_equal(wb_parcel_decode_head(&limits, wire, build(wire, headers[i], 0),
						       &parcel, NULL),
				 i < 2 ? WB_DECODE_DONE : WB_DECODE_BAD);
	}
}

/* The largest that the wire can say is still only a number. */
static void test_largest_payload(void **state)
{
	const struct wb_parcel_limits all = {.header_bytes = 4096, .payload_bytes = WB_INTEGER_MAX};
	uint8_t wire[100];
	size_t bytes = build(wire, "{\"total_size\":9007199254740991}", 0);
	struct wb_parcel parcel;

	(void)state;
	assert_int_equal(wb_parcel_decode_head(&all, wire, bytes, &parcel, NULL), WB_DECODE_DONE);
	assert_int_equal(parcel.payload_bytes, WB_INTEGER_MAX);
	assert_int_equal(wb_parcel_decode(&all, wire, bytes, &parcel, NULL), WB_DECODE_NEED);
	assert_int_equal(parcel.need, bytes + WB_INTEGER_MAX);
}

static void check_crit(const char *text, enum wb_err expected, const char *field)
{
	static const char *const known[] = {"op", "id", NULL};
	struct wb_header header;
	struct wb_fault fault = {0};

	assert_int_equal(wb_header_parse(&header, text, strlen(text), NULL), WB_OK);
	assert_int_equal(wb_parcel_check_crit(&header, known, &fault), expected);
	assert_string_equal(fault.field, field);
	assert_int_equal(wb_parcel_check_crit(&header, known, NULL), expected);
}

static void test_crit(void **state)
{
	(void)state;
	check_crit("{\"x\":1}", WB_OK, "");
	check_crit("{\"crit\":[]}", WB_OK, "");
	check_crit("{\"crit\":[\"op\"]}", WB_OK, "");
	check_crit("{\"crit\":[ \"op\" , \"i\\u0064\" ]}", WB_OK, "");
	check_crit("{\"crit\":[\"op\",\"new\",\"newer\"]}", WB_ERR_UNSUPPORTED, "new");
	check_crit("{\"crit\":[\"op\\u0000\"]}", WB_ERR_UNSUPPORTED, "op");
	check_crit("{\"crit\":[\"\\u001b\"]}", WB_ERR_UNSUPPORTED, "\\x1B");
	check_crit("{\"crit\":[\"01234567890123456789012345678901234567890123456789\"]}",
		   WB_ERR_UNSUPPORTED, "01234567890123456789012345678901234567890123456");
	check_crit("{\"crit\":\"op\"}", WB_ERR_MALFORMED, "crit");
	check_crit("{\"crit\":null}", WB_ERR_MALFORMED, "crit");
	check_crit("{\"crit\":[\"op\",1]}", WB_ERR_MALFORMED, "crit");
	check_crit("{\"crit\":{\"op\":1}}", WB_ERR_MALFORMED, "crit");
}

static void test_write(void **state)
{
	static const char expected[] = "\x1e\0\0\0{\"op\":\"data\",\"total_size\":300}";
	struct wb_header_writer writer;
	struct wb_parcel parcel;
	uint8_t wire[100];
	size_t bytes = 0;

	(void)state;
	wb_parcel_writer_init(&writer, wire, sizeof(wire));
	wb_header_put_string(&writer, "op", "data");
	wb_header_put_integer(&writer, "total_size", 300);
	assert_int_equal(wb_parcel_writer_finish(&writer, wire, &bytes, NULL), WB_OK);
	assert_int_equal(bytes, sizeof(expected) - 1);
	assert_memory_equal(wire, expected, bytes);
	assert_int_equal(wb_parcel_decode_head(&limits, wire, bytes, &parcel, NULL),
			 WB_DECODE_DONE);
	assert_int_equal(parcel.payload_bytes, 300);
	assert_true(wb_header_text_is(&parcel.header, "op", "data"));
}

static void test_write_without_room(void **state)
{
	(void)state;
	for (size_t size = 0; size <= 16; size++) {
		struct wb_header_writer writer;
		struct wb_fault fault;
		uint8_t *wire = malloc(size ? size : 1); /* exact, for the address sanitizer */
		size_t bytes = 99;

		assert_non_null(wire);
		wb_parcel_writer_init(&writer, wire, size);
		wb_header_put_integer(&writer, "size", 100); /* {"size":100} */
		if (size < 16) {
			assert_int_equal(wb_parcel_writer_finish(&writer, wire, &bytes, &fault),
					 WB_ERR_LIMIT);
			assert_int_equal(bytes, 99);
		} else {
			assert_int_equal(wb_parcel_writer_finish(&writer, wire, &bytes, &fault),
					 WB_OK);
			assert_int_equal(bytes, 16);
		}
		free(wire);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_prefix),
		cmocka_unit_test(test_hostile_lengths),
		cmocka_unit_test(test_header_limit),
		cmocka_unit_test(test_hostile_headers),
		cmocka_unit_test(test_payload_limit),
		cmocka_unit_test(test_largest_payload),
		cmocka_unit_test(test_crit),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_write_without_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
