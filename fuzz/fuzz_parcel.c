/* The parcel reader in random pieces against one look at the whole: the same parcels, the same
 * faults. The first bytes of the input choose the limits and the pieces, the rest is the wire. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "waybill/parcel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

enum { CHOICE_BYTES = 6 };

/* What a wire says: every head and end with its place, folded into one number; how far it was
 * understood; and what was wrong with it. */
struct story {
	uint64_t fold;
	size_t taken;
	enum wb_parcel_event last; /* NEED or BAD */
	struct wb_fault fault;
};

static void tell(struct story *story, enum wb_parcel_event event, uint64_t payload_bytes)
{
	const uint64_t facts[] = {event, story->taken, payload_bytes};

	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
		story->fold = (story->fold ^ facts[i]) * UINT64_C(0x100000001b3);
}

static void check_crit(const struct wb_header *header)
{
	static const char *const known[] = {"op", "id", "total_size", NULL};
	struct wb_fault fault;
	enum wb_err err = wb_parcel_check_crit(header, known, &fault);

	CHECK(!err || err == WB_ERR_UNSUPPORTED || err == WB_ERR_MALFORMED);
	CHECK(wb_header_find(header, "crit") || !err);
}

/* wb_parcel_decode must agree with what wb_parcel_decode_head has found. */
static bool check_whole(const struct wb_parcel_limits *limits, const struct wb_parcel *head,
			const uint8_t *input, size_t bytes)
{
	struct wb_parcel whole;
	uint64_t payload_held = bytes - head->head_bytes;
	bool complete = head->payload_bytes <= payload_held;
	enum wb_decode decode = wb_parcel_decode(limits, input, bytes, &whole, NULL);

	CHECK(decode == (complete ? WB_DECODE_DONE : WB_DECODE_NEED));
	if (complete) {
		CHECK(whole.consumed == head->head_bytes + head->payload_bytes);
		CHECK(whole.payload == input + head->head_bytes);
	} else {
		CHECK(whole.need == head->head_bytes + head->payload_bytes);
	}
	return complete;
}

static struct story look_at_once(const struct wb_parcel_limits *limits, const uint8_t *wire,
				 size_t bytes)
{
	struct story story = {.last = WB_PARCEL_NEED};

	for (;;) {
		const uint8_t *input = wire + story.taken;
		size_t held = bytes - story.taken;
		struct wb_parcel head;
		enum wb_decode decode =
			wb_parcel_decode_head(limits, input, held, &head, &story.fault);

		if (decode == WB_DECODE_BAD)
			story.last = WB_PARCEL_BAD;
		if (decode == WB_DECODE_NEED)
			CHECK(head.need > held);
		if (decode != WB_DECODE_DONE)
			return story;
		check_crit(&head.header);
		tell(&story, WB_PARCEL_HEAD, head.payload_bytes);
		if (!check_whole(limits, &head, input, held)) {
			story.taken = bytes;
			return story;
		}
		story.taken += head.head_bytes + (size_t)head.payload_bytes;
		tell(&story, WB_PARCEL_END, 0);
	}
}

/* One step of the reader, which gets a copy of exactly what is held: a sanitizer then sees any look
 * beyond it. */
static enum wb_parcel_event step(struct wb_parcel_reader *reader, struct story *story,
				 const uint8_t *wire, size_t arrived)
{
	size_t held = arrived - story->taken, consumed = held + 1, data_bytes = 0;
	uint8_t *input = malloc(held ? held : 1);
	const uint8_t *data = NULL;
	enum wb_parcel_event event;

	CHECK(input);
	memcpy(input, wire + story->taken, held);
	event = wb_parcel_reader_next(reader, input, held, &consumed, &data, &data_bytes,
				      &story->fault);
	CHECK(consumed <= held);
	if (event == WB_PARCEL_HEAD || event == WB_PARCEL_END)
		tell(story, event, event == WB_PARCEL_HEAD ? reader->parcel.payload_bytes : 0);
	if (event == WB_PARCEL_DATA)
		CHECK(data == input && data_bytes == consumed && data_bytes > 0);
	if (event == WB_PARCEL_NEED)
		CHECK(reader->parcel.need > held);
	story->taken += consumed;
	free(input);
	return event;
}

static struct story look_in_pieces(const struct wb_parcel_limits *limits, const uint8_t *wire,
				   size_t bytes, uint32_t random)
{
	struct story story = {.last = WB_PARCEL_NEED};
	struct wb_parcel_reader reader;
	unsigned longest = 1 + (random & 0xFF);
	size_t arrived = 0;

	wb_parcel_reader_init(&reader, limits);
	for (;;) {
		do {
			story.last = step(&reader, &story, wire, arrived);
		} while (story.last != WB_PARCEL_NEED && story.last != WB_PARCEL_BAD);
		if (story.last == WB_PARCEL_BAD || arrived == bytes)
			return story;
		random = random * 1664525u + 1013904223u;
		arrived += 1 + (random >> 8) % longest;
		if (arrived > bytes)
			arrived = bytes;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct wb_parcel_limits limits;
	struct story whole, pieces;
	uint32_t random;

	if (bytes < CHOICE_BYTES)
		return 0;
	memcpy(&random, data, sizeof(random));
	limits.header_bytes = data[4] < 0x80 ? 2u + data[4] : WB_HEADER_BYTES_MAX;
	limits.payload_bytes = data[5] < 0x80 ? data[5] * 16u : WB_INTEGER_MAX;
	whole = look_at_once(&limits, data + CHOICE_BYTES, bytes - CHOICE_BYTES);
	pieces = look_in_pieces(&limits, data + CHOICE_BYTES, bytes - CHOICE_BYTES, random);
	CHECK(whole.last == pieces.last);
	CHECK(whole.taken == pieces.taken);
	CHECK(whole.fold == pieces.fold);
	if (whole.last == WB_PARCEL_BAD) {
		CHECK(whole.fault.err == pieces.fault.err);
		CHECK(whole.fault.offset == pieces.fault.offset);
		CHECK(!strcmp(whole.fault.field, pieces.fault.field));
	}
	return 0;
}
