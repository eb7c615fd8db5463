/* The parcel reader: a stream of parcels in every split tells the same story. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "guard.h"
#include "waybill/parcel.h"

enum { STORY_MAX = 4000, WIRE_MAX = 1000 };

static const struct wb_parcel_limits limits = {.header_bytes = 4096, .payload_bytes = 1000};

/* What a caller does: gather, step until NEED, drop what was consumed. */
struct story {
	struct wb_parcel_reader reader;
	struct wb_fault fault;
	size_t begin; /* bytes of the wire that were consumed */
	char text[STORY_MAX];
	size_t text_bytes;
};

static void tell(struct story *story, const void *text, size_t bytes)
{
	assert_true(story->text_bytes + bytes < STORY_MAX);
	memcpy(story->text + story->text_bytes, text, bytes);
	story->text_bytes += bytes;
	story->text[story->text_bytes] = '\0';
}

static void begin(struct story *story)
{
	memset(story, 0, sizeof(*story));
	wb_parcel_reader_init(&story->reader, &limits);
}

static void tell_head(struct story *story)
{
	const struct wb_parcel *parcel = &story->reader.parcel;
	char size[32];

	tell(story, "<", 1);
	tell(story, parcel->header.text, parcel->header.text_bytes);
	tell(story, size,
	     (size_t)snprintf(size, sizeof(size), " %llu>",
			      (unsigned long long)parcel->payload_bytes));
}

/* `arrived`: how much of the wire the caller has by now. */
static enum wb_parcel_event advance(struct story *story, const uint8_t *wire, size_t arrived)
{
	for (;;) {
		size_t held = arrived - story->begin, consumed = 99, bytes = 0;
		const uint8_t *input = guard_put(wire + story->begin, held), *data = NULL;
		enum wb_parcel_event event = wb_parcel_reader_next(
			&story->reader, input, held, &consumed, &data, &bytes, &story->fault);

		assert_true(consumed <= held);
		if (event == WB_PARCEL_HEAD)
			tell_head(story);
		else if (event == WB_PARCEL_DATA)
			tell(story, data, bytes);
		else if (event == WB_PARCEL_END)
			tell(story, "/", 1);
		if (event == WB_PARCEL_NEED)
			assert_true(story->reader.parcel.need > held);
		if (event != WB_PARCEL_HEAD && event != WB_PARCEL_DATA)
			assert_int_equal(consumed, 0);
		story->begin += consumed;
		if (event == WB_PARCEL_NEED || event == WB_PARCEL_BAD)
			return event;
	}
}

static const char expected[] = "<{} 0>/"
			       "<{\"op\":\"data\",\"total_size\":1} 1>p/"
			       "<{\"total_size\":0} 0>/"
			       "<{ \"total_size\":40} 40>pppppppppppppppppppppppppppppppppppppppp/";

static size_t add_parcel(uint8_t *wire, size_t at, const char *header, size_t payload_bytes)
{
	size_t header_bytes = strlen(header);

	assert_int_equal(wb_length_encode(WB_LENGTH_U32_LE, header_bytes, wire + at, NULL), WB_OK);
	memcpy(wire + at + 4, header, header_bytes);
	memset(wire + at + 4 + header_bytes, 'p', payload_bytes);
	return at + 4 + header_bytes + payload_bytes;
}

static size_t build_wire(uint8_t wire[WIRE_MAX])
{
	size_t bytes = add_parcel(wire, 0, "{}", 0);

	bytes = add_parcel(wire, bytes, "{\"op\":\"data\",\"total_size\":1}", 1);
	bytes = add_parcel(wire, bytes, "{\"total_size\":0}", 0);
	return add_parcel(wire, bytes, "{ \"total_size\":40}", 40);
}

static void test_every_split(void **state)
{
	uint8_t wire[WIRE_MAX];
	size_t bytes = build_wire(wire);

	(void)state;
	for (size_t first = 0; first <= bytes; first++) {
		for (size_t second = first; second <= bytes; second++) {
			static struct story story;

			begin(&story);
			assert_int_equal(advance(&story, wire, first), WB_PARCEL_NEED);
			assert_int_equal(advance(&story, wire, second), WB_PARCEL_NEED);
			assert_int_equal(advance(&story, wire, bytes), WB_PARCEL_NEED);
			assert_string_equal(story.text, expected);
			assert_int_equal(story.begin, bytes);
		}
	}
}

static void test_byte_by_byte(void **state)
{
	static struct story story;
	uint8_t wire[WIRE_MAX];
	size_t bytes = build_wire(wire);

	(void)state;
	begin(&story);
	for (size_t arrived = 0; arrived <= bytes; arrived++)
		assert_int_equal(advance(&story, wire, arrived), WB_PARCEL_NEED);
	assert_string_equal(story.text, expected);
	assert_int_equal(story.begin, bytes);
}

/* Idle with nothing left over, at the ends of parcels and nowhere else. */
static void test_idle(void **state)
{
	uint8_t wire[WIRE_MAX];
	size_t bytes = add_parcel(wire, 0, "{\"total_size\":3}", 3);
	size_t both = add_parcel(wire, bytes, "{}", 0);

	(void)state;
	for (size_t arrived = 0; arrived <= both; arrived++) {
		static struct story story;
		bool whole = arrived == 0 || arrived == bytes || arrived == both;

		begin(&story);
		assert_int_equal(advance(&story, wire, arrived), WB_PARCEL_NEED);
		assert_int_equal(wb_parcel_reader_idle(&story.reader) && story.begin == arrived,
				 whole);
	}
}

static void test_bad_stays_bad(void **state)
{
	static struct story story;
	uint8_t wire[WIRE_MAX];
	size_t good = add_parcel(wire, 0, "{\"total_size\":2}", 2);
	size_t bytes = add_parcel(wire, good, "{\"total_size\":-2}", 0);

	(void)state;
	bytes = add_parcel(wire, bytes, "{}", 0);
	begin(&story);
	assert_int_equal(advance(&story, wire, bytes), WB_PARCEL_BAD);
	assert_string_equal(story.text, "<{\"total_size\":2} 2>pp/");
	assert_int_equal(story.begin, good);
	assert_int_equal(story.fault.err, WB_ERR_MALFORMED);
	assert_string_equal(story.fault.field, "total_size");
	assert_int_equal(story.fault.offset, 4 + 14);
	assert_false(wb_parcel_reader_idle(&story.reader));
	assert_int_equal(advance(&story, wire, bytes), WB_PARCEL_BAD);
	assert_int_equal(story.fault.err, WB_ERR_MALFORMED);
	assert_int_equal(story.begin, good);
}

/* A hostile length is refused at its fourth byte, not when the header would be whole. */
static void test_bad_as_early_as_possible(void **state)
{
	static const char *const lengths[] = {"\xff\xff\xff\xff", "\xff\xff\xff\x7f", "\0\0\0\0",
					      "\1\0\0\0", "\x01\x10\0\0"};

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		static struct story story;

		begin(&story);
		assert_int_equal(advance(&story, (const uint8_t *)lengths[i], 3), WB_PARCEL_NEED);
		assert_int_equal(advance(&story, (const uint8_t *)lengths[i], 4), WB_PARCEL_BAD);
	}
}

/* A payload beyond any memory flows through; only its length is ever held. */
static void test_huge_payload_is_not_held(void **state)
{
	const struct wb_parcel_limits all = {.header_bytes = 4096, .payload_bytes = WB_INTEGER_MAX};
	static uint8_t piece[65536];
	struct wb_parcel_reader reader;
	uint8_t wire[WIRE_MAX];
	size_t bytes = add_parcel(wire, 0, "{\"total_size\":9007199254740991}", 0), consumed, held;
	const uint8_t *data;

	(void)state;
	wb_parcel_reader_init(&reader, &all);
	assert_int_equal(wb_parcel_reader_next(&reader, wire, bytes, &consumed, &data, &held, NULL),
			 WB_PARCEL_HEAD);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(wb_parcel_reader_next(&reader, piece, sizeof(piece), &consumed,
						       &data, &held, NULL),
				 WB_PARCEL_DATA);
		assert_ptr_equal(data, piece);
		assert_int_equal(held, sizeof(piece));
		assert_int_equal(consumed, sizeof(piece));
	}
	assert_int_equal(reader.payload_left, WB_INTEGER_MAX - 1000 * sizeof(piece));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_split),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_bad_stays_bad),
		cmocka_unit_test(test_bad_as_early_as_possible),
		cmocka_unit_test(test_huge_payload_is_not_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
