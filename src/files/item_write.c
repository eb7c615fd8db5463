/* Items and answers into bytes. */
#include <string.h>

#include "base/base64.h"
#include "base/text.h"
#include "files/item_form.h"
#include "waybill/parcel.h"

/* A name whose text would take more than this within a header travels in base64, so that two of
 * them always fit. */
enum { PLAIN_BYTES_MAX = 6000, ESCAPE_BYTES = 5 };

static bool is_plain(const char *name, size_t bytes)
{
	size_t written = bytes;

	for (size_t i = 0; i < bytes; i++)
		if ((unsigned char)name[i] < 0x20 || name[i] == '"' || name[i] == '\\')
			written += ESCAPE_BYTES;
	return written <= PLAIN_BYTES_MAX && wbi_utf8_prefix(name, bytes) == bytes;
}

static void put_name(struct wb_header_writer *writer, const char *field, const char *field_b64,
		     const char *name, size_t bytes)
{
	char encoded[WBI_BASE64_LENGTH(WBI_ITEM_NAME_MAX) + 1];

	if (is_plain(name, bytes)) {
		wb_header_put_text(writer, field, name, bytes);
		return;
	}
	wb_header_put_text(writer, field_b64, encoded, wbi_base64_encode(name, bytes, encoded));
}

/* Written from the end: most of a small file's head is its time and its digest. */
static void put_time(struct wb_header_writer *writer, struct wbi_item_time time)
{
	char text[WBI_ITEM_TIME_MAX];
	size_t at = sizeof(text);
	uint64_t seconds = time.seconds < 0 ? -(uint64_t)time.seconds : (uint64_t)time.seconds;
	uint32_t nanoseconds = time.nanoseconds;

	for (int i = 0; i < 9; i++, nanoseconds /= 10)
		text[--at] = (char)('0' + nanoseconds % 10);
	text[--at] = '.';
	do {
		text[--at] = (char)('0' + seconds % 10);
		seconds /= 10;
	} while (seconds);
	if (time.seconds < 0)
		text[--at] = '-';
	wb_header_put_text(writer, "mtime", text + at, sizeof(text) - at);
}

static void put_owner(struct wb_header_writer *writer, const struct wbi_item *item)
{
	wb_header_put_integer(writer, "uid", item->uid);
	wb_header_put_integer(writer, "gid", item->gid);
	if (item->user[0])
		wb_header_put_string(writer, "user", item->user);
	if (item->group[0])
		wb_header_put_string(writer, "group", item->group);
}

static void put_error(struct wb_header_writer *writer, const char *error, const char *text)
{
	wb_header_put_string(writer, "error", error);
	wb_header_put_string(writer, "text", text);
}

static void put_what(struct wb_header_writer *writer, const struct wbi_item *item, unsigned fields)
{
	if (fields & WBI_HAS_N)
		wb_header_put_integer(writer, "n", item->n);
	if (fields & WBI_HAS_NAME)
		put_name(writer, "name", "name_b64", item->name, item->name_bytes);
	if (fields & WBI_HAS_TARGET)
		put_name(writer, "target", "target_b64", item->other, item->other_bytes);
	if (fields & WBI_HAS_TO)
		put_name(writer, "to", "to_b64", item->other, item->other_bytes);
	if ((fields & WBI_HAS_SIZE) || ((fields & WBI_MAY_SIZE) && item->has_size))
		wb_header_put_integer(writer, "size", item->size);
	if (fields & WBI_HAS_MODE)
		wb_header_put_integer(writer, "mode", item->mode);
	if (fields & WBI_HAS_TIME)
		put_time(writer, item->mtime);
	if ((fields & WBI_MAY_OWNER) && item->has_owner)
		put_owner(writer, item);
}

static void put_content(struct wb_header_writer *writer, const struct wbi_item *item,
			unsigned fields)
{
	if (fields & WBI_HAS_OFFSET)
		wb_header_put_integer(writer, "offset", item->offset);
	if (fields & WBI_HAS_FILES)
		wb_header_put_integer(writer, "files", item->files);
	if (fields & WBI_HAS_BYTES)
		wb_header_put_integer(writer, "bytes", item->bytes);
	if ((fields & (WBI_HAS_DIGEST | WBI_MAY_DIGEST)) && item->digest[0])
		wb_header_put_string(writer, "digest", item->digest);
	if (fields & WBI_HAS_ERROR)
		put_error(writer, item->error, item->text);
	if ((fields & WBI_MAY_RAW) && item->raw_bytes)
		wb_header_put_integer(writer, "raw", item->raw_bytes);
	if ((fields & WBI_MAY_LISTING) && item->has_listing)
		wb_header_put_bool(writer, "listing", true);
}

enum wb_err wbi_item_encode(const struct wbi_item *item, void *out, size_t room, size_t *ret_bytes,
			    struct wb_fault *fault)
{
	const struct wbi_item_form *form = &wbi_item_forms[item->kind];
	struct wb_header_writer writer;

	wb_parcel_writer_init(&writer, out, room);
	wb_header_put_string(&writer, "op", form->name);
	put_what(&writer, item, form->fields);
	put_content(&writer, item, form->fields);
	if (form->payload_bytes && item->payload_bytes)
		wb_header_put_integer(&writer, "total_size", item->payload_bytes);
	return wb_parcel_writer_finish(&writer, out, ret_bytes, fault);
}

void wbi_item_set_digest(void *head, size_t head_bytes, const char *digest)
{
	static const char before[] = "\"digest\":\"";
	size_t bytes = strlen(digest), name_bytes = sizeof(before) - 1;
	char *at = (char *)head + head_bytes - bytes;

	/* Behind it stand only numbers. */
	while (memcmp(at - name_bytes, before, name_bytes))
		at--;
	memcpy(at, digest, bytes);
}

static void put_told(struct wb_header_writer *writer, const struct wbi_answer *answer,
		     unsigned fields)
{
	if (fields & WBI_HAS_FILES)
		wb_header_put_integer(writer, "files", answer->files);
	if (fields & WBI_HAS_BYTES)
		wb_header_put_integer(writer, "bytes", answer->bytes);
	if (fields & WBI_HAS_TOLD) {
		wb_header_put_integer(writer, "deleted", answer->deleted);
		wb_header_put_integer(writer, "failed", answer->failed);
	}
	if (fields & WBI_HAS_ERROR)
		put_error(writer, answer->error, answer->text);
	if ((fields & WBI_MAY_COMPARE) && answer->expected[0]) {
		wb_header_put_string(writer, "expected", answer->expected);
		wb_header_put_string(writer, "found", answer->found);
	}
}

enum wb_err wbi_answer_encode(const struct wbi_answer *answer, void *out, size_t room,
			      size_t *ret_bytes, struct wb_fault *fault)
{
	const struct wbi_item_form *form = &wbi_answer_forms[answer->kind];
	struct wb_header_writer writer;

	wb_parcel_writer_init(&writer, out, room);
	wb_header_put_string(&writer, "op", form->name);
	if (form->fields & WBI_HAS_N)
		wb_header_put_integer(&writer, "n", answer->n);
	if (form->fields & WBI_HAS_UPTO)
		wb_header_put_integer(&writer, "to", answer->n);
	if (form->fields & WBI_HAS_FRESH)
		wb_header_put_bool(&writer, "fresh", answer->fresh);
	if ((form->fields & WBI_HAS_FRESH) && answer->zstd)
		wb_header_put_bool(&writer, "zstd", true);
	if ((form->fields & WBI_MAY_BLOCKS) && answer->block_count) {
		wb_header_put_integer(&writer, "block", answer->block_bytes);
		wb_header_put_integer(&writer, "count", answer->block_count);
		wb_header_put_integer(&writer, "total_size",
				      answer->block_count * WBI_ITEM_BLOCK_DIGEST_BYTES);
	}
	put_told(&writer, answer, form->fields);
	return wb_parcel_writer_finish(&writer, out, ret_bytes, fault);
}
