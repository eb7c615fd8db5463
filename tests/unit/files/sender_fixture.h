/* A sender, and a receiver that says what a test has it say. */
#ifndef TEST_SENDER_FIXTURE_H
#define TEST_SENDER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "files/item.h"
#include "files/sender.h"
#include "tree.h"

enum { ROOM = 1 << 20, SEEN_MAX = 2000, KIB = 1024, MIB = 1024 * 1024 };

/* What has come out of the sender. */
static struct seen {
	struct wbi_item item;
	uint8_t *payload; /* its own; NULL: none */
} seen[SEEN_MAX];
static unsigned seen_count;

static uint8_t *wire;
static size_t wire_bytes, wire_room, room;
static struct tree tree;
static struct wbi_file_sender *sender;
static struct wbi_file_sender_options options;
static struct wbi_file_source sources[8];
static char paths[8][128];

static inline void forget(void)
{
	while (seen_count > 0)
		free(seen[--seen_count].payload);
}

static inline int set_up(void **state)
{
	(void)state;
	tree_make(&tree);
	options = (struct wbi_file_sender_options){.root = AT_FDCWD,
						   .sources = sources,
						   .digest = WB_DIGEST_XXH128,
						   .recursive = true};
	room = ROOM;
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	wbi_file_sender_free(sender);
	sender = NULL;
	forget();
	free(wire);
	wire = NULL;
	wire_bytes = wire_room = 0;
	tree_remove(&tree);
	return 0;
}

/* ---- both ends ---- */

/* One more operand, within the tree. */
static inline void operand(const char *path)
{
	size_t i = options.source_count++;

	snprintf(paths[i], sizeof(paths[i]), "%s/%s", tree.path, path);
	sources[i] = (struct wbi_file_source){.path = paths[i], .stream = -1};
}

static inline void begin(void)
{
	assert_int_equal(wbi_file_sender_new(&options, &sender, NULL), WB_OK);
}

static inline enum wb_err say_payload(const struct wbi_answer *answer, const void *payload)
{
	uint8_t *head = malloc(WBI_ITEM_HEAD_BYTES_MAX + answer->payload_bytes);
	size_t bytes, consumed = 0, piece = 1, done = 0;
	enum wb_err err;

	assert_non_null(head);
	assert_int_equal(wbi_answer_encode(answer, head, WBI_ITEM_HEAD_BYTES_MAX, &bytes, NULL),
			 WB_OK);
	if (payload)
		memcpy(head + bytes, payload, answer->payload_bytes);
	bytes += answer->payload_bytes;
	/* In pieces that grow, what was not consumed once more. */
	do {
		size_t held = done + piece < bytes ? piece : bytes - done;

		err = wbi_file_sender_answer(sender, head + done, held, &consumed, NULL);
		assert_true(consumed <= held);
		done += consumed;
		piece += 1 + piece / 8;
	} while (!err && done < bytes);
	free(head);
	return err;
}

static inline enum wb_err say(enum wbi_answer_kind kind, uint64_t n)
{
	struct wbi_answer answer;

	wbi_answer_init(&answer, kind);
	answer.n = n;
	return say_payload(&answer, NULL);
}

static inline void ready(bool fresh)
{
	struct wbi_answer answer;

	wbi_answer_init(&answer, WBI_ANSWER_READY);
	answer.fresh = fresh;
	answer.zstd = true;
	assert_int_equal(say_payload(&answer, NULL), WB_OK);
}

static inline void take_wire(void)
{
	size_t done = 0;

	while (done < wire_bytes) {
		struct seen *next = &seen[seen_count++];
		struct wb_fault fault;
		size_t taken;

		assert_true(seen_count < SEEN_MAX);
		if (wbi_item_decode(wire + done, wire_bytes - done, &next->item, &taken, &fault) !=
		    WB_DECODE_DONE)
			fail_msg("item %u: %s", seen_count, fault.text);
		done += taken;
		assert_true(wire_bytes - done >= next->item.payload_bytes);
		next->payload = NULL;
		if (next->item.payload_bytes) {
			next->payload = malloc(next->item.payload_bytes);
			memcpy(next->payload, wire + done, next->item.payload_bytes);
		}
		done += next->item.payload_bytes;
	}
	wire_bytes = 0;
}

/* All that the sender says until it waits. */
static inline void pull(void)
{
	size_t bytes;

	do {
		uint8_t *out = malloc(room); /* exactly as large as it was told */

		assert_int_equal(wbi_file_sender_fill(sender, out, room, &bytes, NULL), WB_OK);
		assert_true(bytes <= room);
		if (wire_bytes + bytes > wire_room) {
			wire_room = 2 * (wire_bytes + bytes);
			wire = realloc(wire, wire_room);
			assert_non_null(wire);
		}
		if (bytes)
			memcpy(wire + wire_bytes, out, bytes);
		wire_bytes += bytes;
		free(out);
	} while (bytes > 0);
	take_wire();
}

static inline struct seen *find(enum wbi_item_kind kind, const char *name)
{
	for (unsigned i = 0; i < seen_count; i++)
		if (seen[i].item.kind == kind && (!name || !strcmp(seen[i].item.name, name)))
			return &seen[i];
	return NULL;
}

static inline struct seen *need(enum wbi_item_kind kind, const char *name)
{
	struct seen *found = find(kind, name);

	if (!found)
		fail_msg("no '%s' of %s", wbi_item_kind_name(kind), name ? name : "anything");
	return found;
}

static inline unsigned count(enum wbi_item_kind kind)
{
	unsigned total = 0;

	for (unsigned i = 0; i < seen_count; i++)
		total += seen[i].item.kind == kind;
	return total;
}

static inline void digest_hex(const void *data, size_t bytes, char out[WB_DIGEST_HEX_MAX])
{
	struct wb_digest *digest;

	assert_int_equal(wb_digest_new(options.digest, &digest, NULL), WB_OK);
	wb_digest_update(digest, data, bytes);
	wb_digest_hex(digest, out);
	wb_digest_free(digest);
}

/* Puts the content of `n` together from its pieces and looks at the `end`. Returns how much of it
 * travelled as data. */
static inline uint64_t check_content(uint64_t n, const uint8_t *expected, size_t bytes,
				     const uint8_t *basis)
{
	struct wb_digest *digest;
	uint64_t position = 0, sent = 0;
	char hex[WB_DIGEST_HEX_MAX];
	bool ended = false;

	assert_int_equal(wb_digest_new(options.digest, &digest, NULL), WB_OK);
	wb_digest_free(digest);
	digest_hex(expected, bytes, hex);
	for (unsigned i = 0; i < seen_count; i++) {
		const struct wbi_item *item = &seen[i].item;

		if (item->n != n)
			continue;
		if (item->kind == WBI_ITEM_DATA) {
			assert_int_equal(item->offset, position);
			assert_true(item->payload_bytes <= bytes - position);
			assert_memory_equal(seen[i].payload, expected + position,
					    item->payload_bytes);
			position += item->payload_bytes;
			sent += item->payload_bytes;
		} else if (item->kind == WBI_ITEM_COPY || item->kind == WBI_ITEM_HOLE) {
			assert_int_equal(item->offset, position);
			assert_true(item->bytes <= bytes - position);
			for (uint64_t at = position; at < position + item->bytes; at++)
				assert_int_equal(item->kind == WBI_ITEM_COPY ? basis[at] : 0,
						 expected[at]);
			position += item->bytes;
		} else if (item->kind == WBI_ITEM_END) {
			assert_int_equal(item->size, bytes);
			assert_string_equal(item->digest, hex);
			ended = true;
		}
	}
	assert_true(ended);
	assert_int_equal(position, bytes);
	return sent;
}

static inline void finish(void)
{
	need(WBI_ITEM_DONE, NULL);
	assert_false(wbi_file_sender_done(sender));
	assert_int_equal(say(WBI_ANSWER_FINISHED, 0), WB_OK);
	assert_true(wbi_file_sender_done(sender));
	pull();
}

static inline uint64_t failures(void)
{
	return wbi_file_sender_failures(sender)->count;
}

static inline void assert_failed(unsigned index, const char *error)
{
	const struct wbi_file_failures *list = wbi_file_sender_failures(sender);

	assert_true(index < list->count);
	assert_string_equal(list->first[index].error, error);
}

#endif
