/* Items and answers: each kind there and back in every prefix, names of any bytes, times of any
 * year, and what no peer may say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../wire/guard.h"
#include "files/item.h"
#include "waybill/parcel.h"

#define HEX32 "00112233445566778899aabbccddeeff"
#define HEX64 HEX32 HEX32

enum { WIRE_BYTES = WBI_ITEM_HEAD_BYTES_MAX };

static struct wbi_item item, found;
static struct wbi_answer answer, found_answer;
static uint8_t wire[WIRE_BYTES];

static void name_it(struct wbi_item *to, const char *name)
{
	assert_true(wbi_item_set_name(to, name, strlen(name)));
}

static void assert_items_equal(const struct wbi_item *a, const struct wbi_item *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->n, b->n);
	assert_int_equal(a->has_size, b->has_size);
	assert_int_equal(a->has_owner, b->has_owner);
	assert_int_equal(a->has_listing, b->has_listing);
	assert_int_equal(a->mode, b->mode);
	assert_int_equal(a->uid, b->uid);
	assert_int_equal(a->gid, b->gid);
	assert_int_equal(a->raw_bytes, b->raw_bytes);
	assert_int_equal(a->mtime.seconds, b->mtime.seconds);
	assert_int_equal(a->mtime.nanoseconds, b->mtime.nanoseconds);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->offset, b->offset);
	assert_int_equal(a->bytes, b->bytes);
	assert_int_equal(a->files, b->files);
	assert_int_equal(a->payload_bytes, b->payload_bytes);
	assert_string_equal(a->digest, b->digest);
	assert_string_equal(a->error, b->error);
	assert_string_equal(a->text, b->text);
	assert_string_equal(a->user, b->user);
	assert_string_equal(a->group, b->group);
	assert_int_equal(a->name_bytes, b->name_bytes);
	assert_string_equal(a->name, b->name);
	assert_int_equal(a->other_bytes, b->other_bytes);
	assert_string_equal(a->other, b->other);
}

/* Writes `item`, and reads it from every prefix, which ends at a page that may not be touched. */
static void check_round_trip(void)
{
	struct wb_fault fault = {.text = ""};
	size_t bytes = 0, taken;

	if (wbi_item_encode(&item, wire, sizeof(wire), &bytes, &fault))
		fail_msg("%s: %s", wbi_item_kind_name(item.kind), fault.text);
	for (size_t held = 0; held <= bytes; held++) {
		enum wb_decode decode =
			wbi_item_decode(guard_put(wire, held), held, &found, &taken, &fault);

		if (decode == WB_DECODE_BAD)
			fail_msg("%s: %s", wbi_item_kind_name(item.kind), fault.text);
		assert_int_equal(decode, held < bytes ? WB_DECODE_NEED : WB_DECODE_DONE);
		assert_int_equal(taken, held < 4 ? 4 : bytes);
	}
	assert_items_equal(&item, &found);
}

static void fill_entry(enum wbi_item_kind kind)
{
	wbi_item_init(&item, kind);
	item.n = 7;
	name_it(&item, "a/b c/\xc3\xa9");
	item.mode = 0644;
	item.mtime = (struct wbi_item_time){1700000000, 123456789};
}

static void test_entries(void **state)
{
	(void)state;
	fill_entry(WBI_ITEM_DIR);
	check_round_trip();
	item.has_owner = true;
	item.uid = 1000;
	item.gid = UINT32_MAX - 1;
	strcpy(item.user, "somebody");
	strcpy(item.group, "staff");
	check_round_trip();

	fill_entry(WBI_ITEM_FILE);
	item.has_size = true;
	item.size = item.payload_bytes = WBI_ITEM_SMALL_BYTES;
	strcpy(item.digest, HEX32);
	check_round_trip();
	item.raw_bytes = WBI_ITEM_SMALL_BYTES;
	item.payload_bytes = 17;
	strcpy(item.digest, HEX64);
	check_round_trip();

	fill_entry(WBI_ITEM_OFFER);
	check_round_trip(); /* nobody knows its size */
	item.has_size = true;
	item.size = WB_INTEGER_MAX;
	check_round_trip();
	strcpy(item.digest, HEX32);
	check_round_trip();

	fill_entry(WBI_ITEM_LINK);
	item.mode = 0;
	assert_true(wbi_item_set_other(&item, "../../x\n", 8));
	check_round_trip();

	fill_entry(WBI_ITEM_HARDLINK);
	item.mode = 0;
	item.mtime = (struct wbi_item_time){0, 0};
	assert_true(wbi_item_set_other(&item, "a/first", 7));
	check_round_trip();
}

static void test_the_rest(void **state)
{
	(void)state;
	wbi_item_init(&item, WBI_ITEM_DATA);
	item.n = 1;
	item.offset = WB_INTEGER_MAX - WBI_ITEM_PAYLOAD_BYTES;
	item.payload_bytes = WBI_ITEM_PAYLOAD_BYTES;
	check_round_trip();
	for (int kind = WBI_ITEM_COPY; kind <= WBI_ITEM_HOLE; kind++) {
		wbi_item_init(&item, (enum wbi_item_kind)kind);
		item.n = WB_INTEGER_MAX;
		item.offset = 5;
		item.bytes = (uint64_t)1 << 45;
		check_round_trip();
	}
	wbi_item_init(&item, WBI_ITEM_END);
	item.n = 3;
	item.has_size = true;
	strcpy(item.digest, HEX32);
	check_round_trip();
	wbi_item_init(&item, WBI_ITEM_ABORT);
	item.n = 3;
	strcpy(item.error, "changed");
	strcpy(item.text, "a: changed while it was read");
	check_round_trip();
	wbi_item_init(&item, WBI_ITEM_DIR_END);
	name_it(&item, "a/b");
	check_round_trip();
	item.has_listing = true; /* of an empty folder */
	check_round_trip();
	item.payload_bytes = WBI_ITEM_LISTING_BYTES;
	check_round_trip();
	wbi_item_init(&item, WBI_ITEM_DONE);
	item.files = 20000;
	item.bytes = (uint64_t)1 << 50;
	check_round_trip();
}

/* ---- names ---- */

static void check_name(const char *name, size_t bytes, bool in_base64)
{
	fill_entry(WBI_ITEM_LINK);
	item.mode = 0;
	assert_true(wbi_item_set_name(&item, name, bytes));
	assert_true(wbi_item_set_other(&item, name, bytes));
	check_round_trip();
	wire[sizeof(wire) - 1] = '\0';
	assert_int_equal(memmem(wire, sizeof(wire), "\"name_b64\"", 10) != NULL, in_base64);
}

static void test_names(void **state)
{
	static const char alphabet[] = "x\"\\\n\x01/\xff\x7f";
	char name[WBI_ITEM_NAME_MAX + 2];

	(void)state;
	memset(wire, 0, sizeof(wire));
	check_name("plain", 5, false);
	check_name("\xe4\xb8\xad", 3, false);
	check_name("latin-\xe9", 7, true);
	check_name("\xed\xa0\x80", 3, true); /* half a pair */
	check_name("a\nb\"c\\d\te", 9, false);
	for (size_t i = 0; i < sizeof(alphabet) - 1; i++) {
		for (size_t bytes = WBI_ITEM_NAME_MAX - 3; bytes <= WBI_ITEM_NAME_MAX; bytes++) {
			memset(name, alphabet[i], bytes);
			memset(wire, 0, sizeof(wire));
			check_name(name, bytes, !strchr("x/\x7f", alphabet[i]));
		}
	}
	memset(name, 'x', sizeof(name));
	assert_false(wbi_item_set_name(&item, name, WBI_ITEM_NAME_MAX + 1));
	assert_false(wbi_item_set_name(&item, "", 0));
	assert_false(wbi_item_set_name(&item, "a\0b", 3));
}

static void test_every_byte(void **state)
{
	(void)state;
	for (int byte = 1; byte < 256; byte++) {
		char name[3] = {'a', (char)byte, 'z'};

		memset(wire, 0, sizeof(wire));
		check_name(name, sizeof(name), byte >= 0x80);
	}
}

/* ---- times ---- */

static void test_times(void **state)
{
	static const struct wbi_item_time times[] = {
		{0, 0},
		{0, 1},
		{0, 999999999},
		{-1, 0},
		{-1, 1},
		{-1, 999999999},
		{-2, 500000000},
		{1700000000, 5},
		{253402300800, 0},
		{-62167219200, 999999999},
		{999999999999999, 999999999},
		{-999999999999999, 1},
	};

	(void)state;
	fill_entry(WBI_ITEM_DIR);
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		item.mtime = times[i];
		check_round_trip();
	}
}

/* ---- answers ---- */

static void check_answer(void)
{
	struct wb_fault fault = {.text = ""};
	size_t bytes = 0, taken;

	if (wbi_answer_encode(&answer, wire, sizeof(wire), &bytes, &fault))
		fail_msg("%s: %s", wbi_answer_kind_name(answer.kind), fault.text);
	for (size_t held = 0; held <= bytes; held++) {
		enum wb_decode decode = wbi_answer_decode(guard_put(wire, held), held,
							  &found_answer, &taken, &fault);

		if (decode == WB_DECODE_BAD)
			fail_msg("%s: %s", wbi_answer_kind_name(answer.kind), fault.text);
		assert_int_equal(decode, held < bytes ? WB_DECODE_NEED : WB_DECODE_DONE);
	}
	assert_memory_equal(&answer, &found_answer, sizeof(answer));
}

static void test_answers(void **state)
{
	(void)state;
	for (int kind = WBI_ANSWER_READY; kind <= WBI_ANSWER_FINISHED; kind++) {
		wbi_answer_init(&answer, (enum wbi_answer_kind)kind);
		if (kind != WBI_ANSWER_READY && kind != WBI_ANSWER_FINISHED)
			answer.n = 42;
		if (kind == WBI_ANSWER_REFUSED || kind == WBI_ANSWER_FAILED) {
			strcpy(answer.error, "no-space");
			strcpy(answer.text, "a\\xffb: No space left on device");
		}
		check_answer();
	}
	wbi_answer_init(&answer, WBI_ANSWER_READY);
	answer.fresh = answer.zstd = true;
	check_answer();
	wbi_answer_init(&answer, WBI_ANSWER_WANT);
	answer.n = 1;
	answer.block_bytes = WBI_ITEM_BLOCK_BYTES_MIN;
	answer.block_count = WBI_ITEM_BLOCKS_MAX;
	answer.payload_bytes = WBI_ITEM_BLOCKS_MAX * WBI_ITEM_BLOCK_DIGEST_BYTES;
	check_answer();
	wbi_answer_init(&answer, WBI_ANSWER_FAILED);
	answer.n = 1;
	strcpy(answer.error, "digest");
	strcpy(answer.expected, HEX32);
	strcpy(answer.found, HEX64);
	check_answer();
	wbi_answer_init(&answer, WBI_ANSWER_FINISHED);
	answer.files = 1;
	answer.bytes = 2;
	answer.deleted = 3;
	answer.failed = 4;
	check_answer();
}

/* ---- what no peer may say ---- */

static size_t put_head(const char *header)
{
	size_t bytes = strlen(header);

	assert_int_equal(wb_length_encode(WB_LENGTH_U32_LE, bytes, wire, NULL), WB_OK);
	memcpy(wire + WB_LENGTH_BYTES, header, bytes);
	return WB_LENGTH_BYTES + bytes;
}

struct bad {
	const char *header;
	enum wb_err err;
	const char *field;
};

#define DIR_BUT(fields) "{\"op\":\"dir\",\"n\":1,\"mode\":420,\"mtime\":\"0.000000000\"" fields "}"
#define DIR_AT(mtime)   "{\"op\":\"dir\",\"n\":1,\"mode\":420,\"name\":\"a\",\"mtime\":\"" mtime "\"}"
#define END_OF(digest)  "{\"op\":\"end\",\"n\":1,\"size\":0,\"digest\":\"" digest "\"}"
#define BIG             "9007199254740992"

static const struct bad bad_items[] = {
	{"{}", WB_ERR_MISSING, "op"},
	{"{\"op\":7}", WB_ERR_MALFORMED, "op"},
	{"{\"op\":\"exec\"}", WB_ERR_UNSUPPORTED, "op"},
	{"{\"op\":\"ready\",\"fresh\":true}", WB_ERR_UNSUPPORTED, "op"},
	{"{\"op\":\"an-op-that-is-much-too-long\"}", WB_ERR_LIMIT, "op"},
	{"{\"op\":\"done\",\"files\":0,\"bytes\":0,\"crit\":[\"spell\"]}", WB_ERR_UNSUPPORTED,
	 "spell"},
	{"{\"op\":\"done\",\"files\":0}", WB_ERR_MISSING, "bytes"},
	{"{\"op\":\"done\",\"files\":0,\"bytes\":0,\"total_size\":1}", WB_ERR_LIMIT, "total_size"},
	{"{\"op\":\"done\",\"files\":-1,\"bytes\":0}", WB_ERR_MALFORMED, "files"},
	{"{\"op\":\"done\",\"files\":" BIG ",\"bytes\":0}", WB_ERR_RANGE, "files"},
	{DIR_BUT(""), WB_ERR_MISSING, "name"},
	{DIR_BUT(",\"name\":\"\""), WB_ERR_MALFORMED, "name"},
	{DIR_BUT(",\"name\":\"a\\u0000b\""), WB_ERR_MALFORMED, "name"},
	{DIR_BUT(",\"name\":[]"), WB_ERR_MALFORMED, "name"},
	{DIR_BUT(",\"name\":\"a\",\"name_b64\":\"YQ==\""), WB_ERR_MALFORMED, "name_b64"},
	{DIR_BUT(",\"name_b64\":\"\""), WB_ERR_MALFORMED, "name_b64"},
	{DIR_BUT(",\"name_b64\":\"YQ\""), WB_ERR_MALFORMED, "name_b64"},
	{DIR_BUT(",\"name_b64\":\"YR==\""), WB_ERR_MALFORMED, "name_b64"},
	{DIR_BUT(",\"name_b64\":\"YQBi\""), WB_ERR_MALFORMED, "name_b64"},
	{DIR_BUT(",\"name_b64\":\" YQ=\""), WB_ERR_MALFORMED, "name_b64"},
	{DIR_BUT(",\"name\":\"a\",\"uid\":4294967295,\"gid\":0"), WB_ERR_RANGE, "uid"},
	{DIR_BUT(",\"name\":\"a\",\"uid\":0"), WB_ERR_MISSING, "gid"},
	{"{\"op\":\"dir\",\"n\":1,\"name\":\"a\",\"mode\":4096,\"mtime\":\"0.000000000\"}",
	 WB_ERR_RANGE, "mode"},
	{DIR_AT(""), WB_ERR_MALFORMED, "mtime"},
	{DIR_AT("0"), WB_ERR_MALFORMED, "mtime"},
	{DIR_AT(".000000000"), WB_ERR_MALFORMED, "mtime"},
	{DIR_AT("0.00000000"), WB_ERR_MALFORMED, "mtime"},
	{DIR_AT("0.0000000000"), WB_ERR_MALFORMED, "mtime"},
	{DIR_AT("-.000000000"), WB_ERR_MALFORMED, "mtime"},
	{DIR_AT("--1.000000000"), WB_ERR_MALFORMED, "mtime"},
	{DIR_AT("+1.000000000"), WB_ERR_MALFORMED, "mtime"},
	{DIR_AT(" 1.000000000"), WB_ERR_MALFORMED, "mtime"},
	{DIR_AT("1e3.000000000"), WB_ERR_MALFORMED, "mtime"},
	{DIR_AT("1.00000000x"), WB_ERR_MALFORMED, "mtime"},
	{DIR_AT("9999999999999999999.000000000"), WB_ERR_MALFORMED, "mtime"},
	{END_OF(""), WB_ERR_MALFORMED, "digest"},
	{END_OF("00112233445566778899aabbccddeef"), WB_ERR_MALFORMED, "digest"},
	{END_OF("00112233445566778899AABBCCDDEEFF"), WB_ERR_MALFORMED, "digest"},
	{END_OF(HEX64 "0"), WB_ERR_LIMIT, "digest"},
	{"{\"op\":\"data\",\"n\":1,\"offset\":0,\"total_size\":262145}", WB_ERR_LIMIT,
	 "total_size"},
	{"{\"op\":\"data\",\"n\":1,\"offset\":0,\"total_size\":9,\"raw\":262145}", WB_ERR_RANGE,
	 "raw"},
	{"{\"op\":\"file\",\"n\":1,\"name\":\"a\",\"mode\":0,\"mtime\":\"0.000000000\",\"size\":1,"
	 "\"digest\":\"" HEX32 "\",\"total_size\":262145}",
	 WB_ERR_LIMIT, "total_size"},
	{"{\"op\":\"dir_end\",\"name\":\"a\",\"total_size\":5}", WB_ERR_MALFORMED, "total_size"},
	{"{\"op\":\"dir_end\",\"name\":\"a\",\"listing\":true,\"total_size\":16777217}",
	 WB_ERR_LIMIT, "total_size"},
	{"{\"op\":\"link\",\"n\":1,\"name\":\"a\",\"mtime\":\"0.000000000\"}", WB_ERR_MISSING,
	 "target"},
	{"{\"op\":\"hardlink\",\"n\":1,\"name\":\"a\",\"to\":\"\"}", WB_ERR_MALFORMED, "to"},
	{"{\"op\":\"abort\",\"n\":1,\"text\":\"\"}", WB_ERR_MISSING, "error"},
};

static const struct bad bad_answers[] = {
	{"{\"op\":\"done\",\"files\":0,\"bytes\":0}", WB_ERR_UNSUPPORTED, "op"},
	{"{\"op\":\"ready\"}", WB_ERR_MISSING, "fresh"},
	{"{\"op\":\"ready\",\"fresh\":1}", WB_ERR_MALFORMED, "fresh"},
	{"{\"op\":\"want\"}", WB_ERR_MISSING, "n"},
	{"{\"op\":\"want\",\"n\":1,\"total_size\":16}", WB_ERR_MALFORMED, "total_size"},
	{"{\"op\":\"want\",\"n\":1,\"count\":1,\"total_size\":16}", WB_ERR_MISSING, "block"},
	{"{\"op\":\"want\",\"n\":1,\"block\":0,\"count\":1,\"total_size\":16}", WB_ERR_MALFORMED,
	 "block"},
	{"{\"op\":\"want\",\"n\":1,\"block\":65536,\"count\":1,\"total_size\":16}",
	 WB_ERR_MALFORMED, "block"},
	{"{\"op\":\"want\",\"n\":1,\"block\":131073,\"count\":1,\"total_size\":16}",
	 WB_ERR_MALFORMED, "block"},
	{"{\"op\":\"want\",\"n\":1,\"block\":131072,\"count\":1,\"total_size\":32}",
	 WB_ERR_MALFORMED, "count"},
	{"{\"op\":\"want\",\"n\":1,\"block\":131072,\"count\":16385,\"total_size\":262144}",
	 WB_ERR_RANGE, "count"},
	{"{\"op\":\"have\",\"n\":1,\"total_size\":1}", WB_ERR_LIMIT, "total_size"},
	{"{\"op\":\"failed\",\"n\":1,\"error\":\"x\",\"text\":\"\",\"found\":\"zz\"}",
	 WB_ERR_MALFORMED, "found"},
	{"{\"op\":\"finished\",\"files\":0,\"bytes\":0,\"deleted\":0}", WB_ERR_MISSING, "failed"},
};

static void check_bad(const struct bad *bad, bool items)
{
	struct wb_fault fault = {.err = WB_OK};
	size_t bytes = put_head(bad->header), taken;
	const void *input = guard_put(wire, bytes);
	enum wb_decode decode =
		items ? wbi_item_decode(input, bytes, &found, &taken, &fault)
		      : wbi_answer_decode(input, bytes, &found_answer, &taken, &fault);

	if (decode != WB_DECODE_BAD || fault.err != bad->err || strcmp(fault.field, bad->field))
		fail_msg("%s: %d, %s, '%s': %s", bad->header, decode, wb_err_name(fault.err),
			 fault.field, fault.text);
}

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad_items) / sizeof(bad_items[0]); i++)
		check_bad(&bad_items[i], true);
	for (size_t i = 0; i < sizeof(bad_answers) / sizeof(bad_answers[0]); i++)
		check_bad(&bad_answers[i], false);
}

/* Reasons are for people: one that is too long is cut, and is no reason to end a transfer. */
static void test_long_text(void **state)
{
	char header[2100], text[1000];
	size_t taken;

	(void)state;
	memset(text, 'y', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	snprintf(header, sizeof(header),
		 "{\"op\":\"abort\",\"n\":1,\"error\":\"%s\",\"text\":\"%s\"}", text, text);
	assert_int_equal(wbi_item_decode(wire, put_head(header), &found, &taken, NULL),
			 WB_DECODE_DONE);
	assert_int_equal(strlen(found.error), WBI_ITEM_ERROR_MAX - 1);
	assert_int_equal(strlen(found.text), WBI_ITEM_TEXT_MAX - 1);
}

/* A field that is not known, and not critical, is passed over. */
static void test_unknown_field(void **state)
{
	size_t taken;

	(void)state;
	assert_int_equal(
		wbi_item_decode(
			wire, put_head("{\"op\":\"done\",\"colour\":[1],\"files\":3,\"bytes\":4}"),
			&found, &taken, NULL),
		WB_DECODE_DONE);
	assert_int_equal(found.files, 3);
	assert_int_equal(wbi_item_decode(wire,
					 put_head("{\"op\":\"done\",\"files\":3,\"bytes\":4,"
						  "\"crit\":[\"files\"]}"),
					 &found, &taken, NULL),
			 WB_DECODE_DONE);
}

static void test_block_bytes(void **state)
{
	(void)state;
	assert_int_equal(wbi_item_block_bytes(0), WBI_ITEM_BLOCK_BYTES_MIN);
	for (unsigned bits = 1; bits < 53; bits++) {
		uint64_t size = (uint64_t)1 << bits;

		for (uint64_t near = size - 1; near <= size + 1; near++) {
			uint64_t block = wbi_item_block_bytes(near);

			assert_int_equal(block & (block - 1), 0);
			assert_true(block >= WBI_ITEM_BLOCK_BYTES_MIN);
			assert_true((near + block - 1) / block <= WBI_ITEM_BLOCKS_MAX);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries),       cmocka_unit_test(test_the_rest),
		cmocka_unit_test(test_names),         cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_times),         cmocka_unit_test(test_answers),
		cmocka_unit_test(test_bad),           cmocka_unit_test(test_long_text),
		cmocka_unit_test(test_unknown_field), cmocka_unit_test(test_block_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
