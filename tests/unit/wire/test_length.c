/* Length framing: four formats, every split, limits, hostile lengths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "guard.h"
#include "waybill/length.h"

static const enum wb_length_format formats[] = {WB_LENGTH_U32_LE, WB_LENGTH_U32_BE,
						WB_LENGTH_I32_LE, WB_LENGTH_I32_BE};
enum { FORMATS = sizeof(formats) / sizeof(formats[0]) };

static void test_bytes_on_the_wire(void **state)
{
	uint8_t out[4];

	(void)state;
	assert_int_equal(wb_length_encode(WB_LENGTH_U32_LE, 0x01020304, out, NULL), WB_OK);
	assert_memory_equal(out, "\x04\x03\x02\x01", 4);
	assert_int_equal(wb_length_encode(WB_LENGTH_U32_BE, 0x01020304, out, NULL), WB_OK);
	assert_memory_equal(out, "\x01\x02\x03\x04", 4);
	assert_int_equal(wb_length_encode(WB_LENGTH_I32_LE, 0x01020304, out, NULL), WB_OK);
	assert_memory_equal(out, "\x04\x03\x02\x01", 4);
	assert_int_equal(wb_length_encode(WB_LENGTH_I32_BE, 0x01020304, out, NULL), WB_OK);
	assert_memory_equal(out, "\x01\x02\x03\x04", 4);
}

static void test_round_trip(void **state)
{
	static const uint32_t lengths[] = {0,     1,       255,           256,      65535,
					   65536, 1 << 24, INT32_MAX - 1, INT32_MAX};

	(void)state;
	for (int f = 0; f < FORMATS; f++) {
		for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			uint8_t out[4];
			uint32_t length;

			assert_int_equal(wb_length_encode(formats[f], lengths[i], out, NULL),
					 WB_OK);
			assert_int_equal(wb_length_decode(formats[f], guard_put(out, 4), 4,
							  UINT32_MAX, &length, NULL),
					 WB_DECODE_DONE);
			assert_int_equal(length, lengths[i]);
		}
	}
}

static void test_encode_range(void **state)
{
	(void)state;
	for (int f = 0; f < FORMATS; f++) {
		uint64_t most = formats[f] < WB_LENGTH_I32_LE ? UINT32_MAX : INT32_MAX;
		uint8_t out[4] = "####";
		struct wb_fault fault;

		assert_int_equal(wb_length_encode(formats[f], most + 1, out, &fault), WB_ERR_RANGE);
		assert_int_equal(wb_length_encode(formats[f], UINT64_MAX, out, &fault),
				 WB_ERR_RANGE);
		assert_memory_equal(out, "####", 4);
		assert_int_equal(wb_length_encode(formats[f], most, out, &fault), WB_OK);
	}
}

static void test_hostile_lengths(void **state)
{
	struct wb_fault fault;
	uint32_t length = 77;

	(void)state;
	/* -1 */
	assert_int_equal(
		wb_length_decode(WB_LENGTH_I32_LE, "\xff\xff\xff\xff", 4, 4096, &length, &fault),
		WB_DECODE_BAD);
	assert_int_equal(fault.err, WB_ERR_MALFORMED);
	assert_non_null(strstr(fault.text, "-1 "));
	assert_int_equal(
		wb_length_decode(WB_LENGTH_I32_BE, "\x80\0\0\0", 4, UINT32_MAX, &length, &fault),
		WB_DECODE_BAD);
	assert_int_equal(fault.err, WB_ERR_MALFORMED);
	assert_non_null(strstr(fault.text, "-2147483648 "));
	assert_int_equal(
		wb_length_decode(WB_LENGTH_U32_LE, "\xff\xff\xff\xff", 4, 4096, &length, &fault),
		WB_DECODE_BAD);
	assert_int_equal(fault.err, WB_ERR_LIMIT);
	/* 0x7fffffff */
	assert_int_equal(
		wb_length_decode(WB_LENGTH_I32_LE, "\xff\xff\xff\x7f", 4, 4096, &length, &fault),
		WB_DECODE_BAD);
	assert_int_equal(fault.err, WB_ERR_LIMIT);
	assert_int_equal(
		wb_length_decode(WB_LENGTH_I32_LE, "\xff\xff\xff\xff", 4, 4096, &length, NULL),
		WB_DECODE_BAD);
	assert_int_equal(length, 77);
	/* 0 is a length like any other */
	assert_int_equal(wb_length_decode(WB_LENGTH_I32_LE, "\0\0\0\0", 4, 0, &length, &fault),
			 WB_DECODE_DONE);
	assert_int_equal(length, 0);
}

static void test_limit(void **state)
{
	(void)state;
	for (uint32_t sent = 99; sent <= 101; sent++) {
		uint8_t bytes[4];
		struct wb_fault fault;
		uint32_t length;

		assert_int_equal(wb_length_encode(WB_LENGTH_U32_LE, sent, bytes, NULL), WB_OK);
		assert_int_equal(wb_length_decode(WB_LENGTH_U32_LE, bytes, 4, 100, &length, &fault),
				 sent <= 100 ? WB_DECODE_DONE : WB_DECODE_BAD);
		if (sent > 100)
			assert_int_equal(fault.err, WB_ERR_LIMIT);
	}
}

/* A refusal does not wait for the payload, nor NEED for a byte too many. */
static void test_every_prefix_of_a_frame(void **state)
{
	static const uint32_t sizes[] = {0, 1, 2, 5, 300};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint8_t wire[400];
		size_t whole = 4 + sizes[i];

		memset(wire, 'p', sizeof(wire));
		assert_int_equal(wb_length_encode(WB_LENGTH_I32_LE, sizes[i], wire, NULL), WB_OK);
		for (size_t bytes = 0; bytes <= whole + 3; bytes++) {
			const uint8_t *input = guard_put(wire, bytes);
			struct wb_frame frame = {.consumed = 99};
			enum wb_decode decode =
				wb_frame_decode(WB_LENGTH_I32_LE, input, bytes, 300, &frame, NULL);

			assert_int_equal(decode, bytes < whole ? WB_DECODE_NEED : WB_DECODE_DONE);
			if (bytes < whole) {
				assert_int_equal(frame.need, bytes < 4 ? 4 : whole);
				continue;
			}
			assert_ptr_equal(frame.payload, input + 4);
			assert_int_equal(frame.payload_bytes, sizes[i]);
			assert_int_equal(frame.consumed, whole);
		}
	}
}

enum { STREAM_MAX = 1000 };

/* Takes a stream apart that arrives in the given pieces; returns the payloads, each with a '|'. */
static void take_apart(const uint8_t *wire, size_t wire_bytes, const size_t *cuts, size_t cut_count,
		       char *ret_text)
{
	size_t begin = 0, length = 0;

	for (size_t i = 0; i <= cut_count; i++) {
		size_t arrived = i < cut_count ? cuts[i] : wire_bytes;
		struct wb_frame frame;

		while (wb_frame_decode(WB_LENGTH_U32_BE, guard_put(wire + begin, arrived - begin),
				       arrived - begin, 300, &frame, NULL) == WB_DECODE_DONE) {
			memcpy(ret_text + length, frame.payload, frame.payload_bytes);
			length += frame.payload_bytes;
			ret_text[length++] = '|';
			begin += frame.consumed;
		}
	}
	ret_text[length] = '\0';
	assert_int_equal(begin, wire_bytes);
}

static void test_every_split_of_a_stream(void **state)
{
	static const char *const payloads[] = {"first", "", "x", "glued to the one before"};
	static const char expected[] = "first||x|glued to the one before|";
	uint8_t wire[STREAM_MAX];
	char text[STREAM_MAX];
	size_t bytes = 0, every[STREAM_MAX];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		size_t payload_bytes = strlen(payloads[i]);

		assert_int_equal(
			wb_length_encode(WB_LENGTH_U32_BE, payload_bytes, wire + bytes, NULL),
			WB_OK);
		memcpy(wire + bytes + 4, payloads[i], payload_bytes);
		bytes += 4 + payload_bytes;
	}
	for (size_t cut = 0; cut <= bytes; cut++) {
		every[cut] = cut;
		for (size_t second = cut; second <= bytes; second++) {
			size_t cuts[2] = {cut, second};

			take_apart(wire, bytes, cuts, 2, text);
			assert_string_equal(text, expected);
		}
	}
	take_apart(wire, bytes, every, bytes, text);
	assert_string_equal(text, expected);
}

static void test_bad_frame(void **state)
{
	struct wb_frame frame;
	struct wb_fault fault;

	(void)state;
	assert_int_equal(
		wb_frame_decode(WB_LENGTH_I32_LE, "\xff\xff\xff\xff", 4, 300, &frame, &fault),
		WB_DECODE_BAD);
	assert_int_equal(fault.err, WB_ERR_MALFORMED);
	assert_int_equal(wb_frame_decode(WB_LENGTH_I32_LE, "\x2d\x01\0\0", 4, 300, &frame, &fault),
			 WB_DECODE_BAD);
	assert_int_equal(fault.err, WB_ERR_LIMIT);
	assert_int_equal(wb_frame_decode(WB_LENGTH_I32_LE, NULL, 0, 300, &frame, &fault),
			 WB_DECODE_NEED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_on_the_wire),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_encode_range),
		cmocka_unit_test(test_hostile_lengths),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_every_prefix_of_a_frame),
		cmocka_unit_test(test_every_split_of_a_stream),
		cmocka_unit_test(test_bad_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
