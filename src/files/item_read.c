/* Bytes into items and answers. Every byte may be wrong on purpose. */
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "files/item_form.h"
#include "waybill/parcel.h"
#include "wire/header_get.h"

static enum wb_err bad(struct wb_fault *fault, const char *field, const char *why)
{
	return wb_fault_set(fault, WB_ERR_MALFORMED, field, 0, "%s: %s", field, why);
}

static enum wb_err get_base64(const struct wb_header *header, const char *field,
			      char out[WBI_ITEM_NAME_MAX + 1], size_t *ret_bytes,
			      struct wb_fault *fault)
{
	char text[WBI_BASE64_LENGTH(WBI_ITEM_NAME_MAX) + 1];
	uint8_t name[WBI_BASE64_LENGTH(WBI_ITEM_NAME_MAX)];
	size_t text_bytes, bytes;
	enum wb_err err = wb_header_get_text(header, field, text, sizeof(text), &text_bytes, fault);

	if (err)
		return err;
	if (wbi_base64_decode(text, text_bytes, name, sizeof(name), &bytes) ||
	    !wbi_item_name_copy(out, ret_bytes, (const char *)name, bytes))
		return bad(fault, field, "no name of 1 to 4095 bytes without a NUL in base64");
	return WB_OK;
}

static enum wb_err get_name(const struct wb_header *header, const char *field,
			    const char *field_b64, char out[WBI_ITEM_NAME_MAX + 1],
			    size_t *ret_bytes, struct wb_fault *fault)
{
	bool encoded = wb_header_find(header, field_b64);
	enum wb_err err;

	if (encoded && wb_header_find(header, field))
		return bad(fault, field_b64, "the name is there twice");
	if (encoded)
		return get_base64(header, field_b64, out, ret_bytes, fault);
	err = wb_header_get_text(header, field, out, WBI_ITEM_NAME_MAX + 1, ret_bytes, fault);
	if (!err && *ret_bytes == 0)
		return bad(fault, field, "empty");
	return err;
}

/* Reads 1 to `most` digits; returns how many, 0: none, or more than that. */
static size_t read_digits(const char *text, size_t most, int64_t *ret_value)
{
	int64_t value = 0;
	size_t count = 0;

	while (text[count] >= '0' && text[count] <= '9') {
		if (count == most)
			return 0;
		value = 10 * value + (text[count++] - '0');
	}
	*ret_value = value;
	return count;
}

static enum wb_err get_time(const struct wb_header *header, struct wbi_item_time *ret_time,
			    struct wb_fault *fault)
{
	enum { SECONDS_DIGITS_MAX = 18, NANOSECONDS_DIGITS = 9 };
	char text[WBI_ITEM_TIME_MAX];
	enum wb_err err = wb_header_get_text(header, "mtime", text, sizeof(text), NULL, fault);
	int64_t seconds, nanoseconds;

	if (err)
		return err;
	bool negative = text[0] == '-';
	const char *at = text + negative;
	size_t digits = read_digits(at, SECONDS_DIGITS_MAX, &seconds);
	if (!digits || at[digits] != '.' ||
	    read_digits(at + digits + 1, NANOSECONDS_DIGITS, &nanoseconds) != NANOSECONDS_DIGITS ||
	    at[digits + 1 + NANOSECONDS_DIGITS])
		return bad(fault, "mtime", "not SECONDS.NNNNNNNNN");
	*ret_time = (struct wbi_item_time){negative ? -seconds : seconds, (uint32_t)nanoseconds};
	return WB_OK;
}

static enum wb_err get_number(const struct wb_header *header, const char *field, uint64_t most,
			      uint64_t *ret_value, struct wb_fault *fault)
{
	uint64_t value = 0;
	enum wb_err err = wb_header_get_integer(header, field, &value, fault);

	if (!err && value > most)
		err = wb_fault_set(fault, WB_ERR_RANGE, field, 0, "%s: above %llu", field,
				   (unsigned long long)most);
	if (!err)
		*ret_value = value;
	return err;
}

static enum wb_err get_small(const struct wb_header *header, const char *field, uint32_t most,
			     uint32_t *ret_value, struct wb_fault *fault)
{
	uint64_t value = 0;
	enum wb_err err = get_number(header, field, most, &value, fault);

	if (!err)
		*ret_value = (uint32_t)value;
	return err;
}

/* A text that may be absent. */
static enum wb_err get_optional(const struct wb_header *header, const char *field, char *out,
				size_t size, struct wb_fault *fault)
{
	out[0] = '\0';
	if (!wb_header_find(header, field))
		return WB_OK;
	return wb_header_get_text(header, field, out, size, NULL, fault);
}

static enum wb_err get_owner(const struct wb_header *header, struct wbi_item *item,
			     struct wb_fault *fault)
{
	enum wb_err err;

	item->has_owner = wb_header_find(header, "uid");
	if (!item->has_owner)
		return WB_OK;
	/* (uid_t)-1 means "leave it" to the kernel. */
	err = get_small(header, "uid", UINT32_MAX - 1, &item->uid, fault);
	if (!err)
		err = get_small(header, "gid", UINT32_MAX - 1, &item->gid, fault);
	if (!err)
		err = get_optional(header, "user", item->user, sizeof(item->user), fault);
	if (!err)
		err = get_optional(header, "group", item->group, sizeof(item->group), fault);
	return err;
}

/* What is for people is cut, not refused. */
static enum wb_err get_reason(const struct wb_header *header, const char *field, char *out,
			      size_t size, struct wb_fault *fault)
{
	const struct wb_json_value *value = wb_header_find(header, field);

	if (!value)
		return wb_fault_set(fault, WB_ERR_MISSING, field, 0, "%s: missing", field);
	if (value->type != WB_JSON_STRING)
		return bad(fault, field, "not a text");
	wbi_json_text_cut(header, value, out, size);
	return WB_OK;
}

static enum wb_err get_error(const struct wb_header *header, char error[WBI_ITEM_ERROR_MAX],
			     char text[WBI_ITEM_TEXT_MAX], struct wb_fault *fault)
{
	enum wb_err err = get_reason(header, "error", error, WBI_ITEM_ERROR_MAX, fault);

	if (!err)
		err = get_reason(header, "text", text, WBI_ITEM_TEXT_MAX, fault);
	return err;
}

static bool is_lower_hex(const char *text, size_t bytes)
{
	bool all = true;

	/* Without a jump: this runs for every file. */
	for (size_t i = 0; i < bytes; i++)
		all &= (uint8_t)(text[i] - '0') < 10 || (uint8_t)(text[i] - 'a') < 6;
	return all;
}

static enum wb_err get_digest(const struct wb_header *header, const char *field, bool needed,
			      char out[WB_DIGEST_HEX_MAX], struct wb_fault *fault)
{
	size_t bytes;
	enum wb_err err;

	out[0] = '\0';
	if (!needed && !wb_header_find(header, field))
		return WB_OK;
	err = wb_header_get_text(header, field, out, WB_DIGEST_HEX_MAX, &bytes, fault);
	if (err)
		return err;
	if (!is_lower_hex(out, bytes) || (bytes != 32 && bytes != 64))
		return bad(fault, field, "not 32 or 64 lower-case hex digits");
	return WB_OK;
}

static enum wb_err get_what(const struct wb_header *header, unsigned fields, struct wbi_item *item,
			    struct wb_fault *fault)
{
	enum wb_err err = WB_OK;

	item->has_size = (fields & WBI_HAS_SIZE) ||
			 ((fields & WBI_MAY_SIZE) && wb_header_find(header, "size"));
	if (fields & WBI_HAS_N)
		err = wb_header_get_integer(header, "n", &item->n, fault);
	if (!err && (fields & WBI_HAS_NAME))
		err = get_name(header, "name", "name_b64", item->name, &item->name_bytes, fault);
	if (!err && (fields & WBI_HAS_TARGET))
		err = get_name(header, "target", "target_b64", item->other, &item->other_bytes,
			       fault);
	if (!err && (fields & WBI_HAS_TO))
		err = get_name(header, "to", "to_b64", item->other, &item->other_bytes, fault);
	if (!err && item->has_size)
		err = wb_header_get_integer(header, "size", &item->size, fault);
	if (!err && (fields & WBI_HAS_MODE))
		err = get_small(header, "mode", 07777, &item->mode, fault);
	if (!err && (fields & WBI_HAS_TIME))
		err = get_time(header, &item->mtime, fault);
	if (!err && (fields & WBI_MAY_OWNER))
		err = get_owner(header, item, fault);
	return err;
}

static enum wb_err get_content(const struct wb_header *header, unsigned fields,
			       struct wbi_item *item, struct wb_fault *fault)
{
	enum wb_err err = WB_OK;

	if (fields & WBI_HAS_OFFSET)
		err = wb_header_get_integer(header, "offset", &item->offset, fault);
	if (!err && (fields & WBI_HAS_FILES))
		err = wb_header_get_integer(header, "files", &item->files, fault);
	if (!err && (fields & WBI_HAS_BYTES))
		err = wb_header_get_integer(header, "bytes", &item->bytes, fault);
	if (!err && (fields & (WBI_HAS_DIGEST | WBI_MAY_DIGEST)))
		err = get_digest(header, "digest", fields & WBI_HAS_DIGEST, item->digest, fault);
	if (!err && (fields & WBI_HAS_ERROR))
		err = get_error(header, item->error, item->text, fault);
	if (!err && (fields & WBI_MAY_RAW) && wb_header_find(header, "raw"))
		err = get_small(header, "raw", WBI_ITEM_PAYLOAD_BYTES, &item->raw_bytes, fault);
	if (!err && (fields & WBI_MAY_LISTING) && wb_header_find(header, "listing"))
		err = wb_header_get_bool(header, "listing", &item->has_listing, fault);
	return err;
}

/* The kind that `op` names, or -1. */
static int find_form(const struct wb_header *header, const struct wbi_item_form *forms, int count,
		     struct wb_fault *fault)
{
	char op[16];

	if (wb_header_get_text(header, "op", op, sizeof(op), NULL, fault))
		return -1;
	for (int i = 0; i < count; i++)
		if (op[0] == forms[i].name[0] && strcmp(op, forms[i].name) == 0)
			return i;
	wb_fault_set(fault, WB_ERR_UNSUPPORTED, "op", 0, "op: '%s' is nothing that is said here",
		     op);
	return -1;
}

/* Reads the parcel around it: DONE and the form's index. */
static enum wb_decode decode_head(const void *input, size_t bytes,
				  const struct wbi_item_form *forms, int count,
				  struct wb_parcel *parcel, int *ret_index, size_t *ret_bytes,
				  struct wb_fault *fault)
{
	static const struct wb_parcel_limits limits = {WB_HEADER_BYTES_MAX, WBI_ITEM_LISTING_BYTES};
	static const char *const known[] = {
		"op",      "n",       "name",       "name_b64", "target", "target_b64", "to",
		"to_b64",  "size",    "mode",       "mtime",    "uid",    "gid",        "user",
		"group",   "offset",  "bytes",      "files",    "digest", "error",      "text",
		"raw",     "listing", "total_size", "fresh",    "zstd",   "block",      "count",
		"deleted", "failed",  "expected",   "found",    NULL,
	};
	enum wb_decode decode = wb_parcel_decode_head(&limits, input, bytes, parcel, fault);

	*ret_bytes = decode == WB_DECODE_NEED ? parcel->need : parcel->head_bytes;
	if (decode != WB_DECODE_DONE)
		return decode;
	*ret_index = find_form(&parcel->header, forms, count, fault);
	if (*ret_index < 0 || wb_parcel_check_crit(&parcel->header, known, fault))
		return WB_DECODE_BAD;
	if (parcel->payload_bytes > forms[*ret_index].payload_bytes) {
		wb_fault_set(fault, WB_ERR_LIMIT, "total_size", 0,
			     "total_size: '%s' carries at most %u bytes", forms[*ret_index].name,
			     forms[*ret_index].payload_bytes);
		return WB_DECODE_BAD;
	}
	return WB_DECODE_DONE;
}

enum wb_decode wbi_item_decode(const void *input, size_t bytes, struct wbi_item *ret_item,
			       size_t *ret_bytes, struct wb_fault *fault)
{
	struct wb_parcel parcel;
	int kind;
	enum wb_decode decode = decode_head(input, bytes, wbi_item_forms, WBI_ITEM_KINDS, &parcel,
					    &kind, ret_bytes, fault);

	if (decode != WB_DECODE_DONE)
		return decode;
	wbi_item_init(ret_item, (enum wbi_item_kind)kind);
	ret_item->payload_bytes = parcel.payload_bytes;
	if (get_what(&parcel.header, wbi_item_forms[kind].fields, ret_item, fault) ||
	    get_content(&parcel.header, wbi_item_forms[kind].fields, ret_item, fault))
		return WB_DECODE_BAD;
	if (kind == WBI_ITEM_DIR_END && !ret_item->has_listing && ret_item->payload_bytes) {
		bad(fault, "total_size", "names without \"listing\":true");
		return WB_DECODE_BAD;
	}
	return WB_DECODE_DONE;
}

static enum wb_err get_blocks(const struct wb_header *header, struct wbi_answer *answer,
			      struct wb_fault *fault)
{
	enum wb_err err = WB_OK;

	if (!wb_header_find(header, "count"))
		return answer->payload_bytes ? bad(fault, "total_size", "digests without count")
					     : WB_OK;
	err = get_number(header, "count", WBI_ITEM_BLOCKS_MAX, &answer->block_count, fault);
	if (!err)
		err = wb_header_get_integer(header, "block", &answer->block_bytes, fault);
	if (!err && (answer->block_bytes < WBI_ITEM_BLOCK_BYTES_MIN ||
		     (answer->block_bytes & (answer->block_bytes - 1))))
		return bad(fault, "block", "not a power of two from 131072 on");
	if (!err && answer->payload_bytes != answer->block_count * WBI_ITEM_BLOCK_DIGEST_BYTES)
		return bad(fault, "count", "does not agree with total_size");
	return err;
}

static enum wb_err get_told(const struct wb_header *header, unsigned fields,
			    struct wbi_answer *answer, struct wb_fault *fault)
{
	enum wb_err err = WB_OK;

	if (fields & WBI_HAS_FILES)
		err = wb_header_get_integer(header, "files", &answer->files, fault);
	if (!err && (fields & WBI_HAS_BYTES))
		err = wb_header_get_integer(header, "bytes", &answer->bytes, fault);
	if (!err && (fields & WBI_HAS_TOLD))
		err = wb_header_get_integer(header, "deleted", &answer->deleted, fault);
	if (!err && (fields & WBI_HAS_TOLD))
		err = wb_header_get_integer(header, "failed", &answer->failed, fault);
	if (!err && (fields & WBI_HAS_ERROR))
		err = get_error(header, answer->error, answer->text, fault);
	if (!err && (fields & WBI_MAY_COMPARE))
		err = get_digest(header, "expected", false, answer->expected, fault);
	if (!err && (fields & WBI_MAY_COMPARE))
		err = get_digest(header, "found", false, answer->found, fault);
	return err;
}

enum wb_decode wbi_answer_decode(const void *input, size_t bytes, struct wbi_answer *ret_answer,
				 size_t *ret_bytes, struct wb_fault *fault)
{
	struct wb_parcel parcel;
	int kind;
	enum wb_decode decode = decode_head(input, bytes, wbi_answer_forms, WBI_ANSWER_KINDS,
					    &parcel, &kind, ret_bytes, fault);
	unsigned fields;
	enum wb_err err = WB_OK;

	if (decode != WB_DECODE_DONE)
		return decode;
	fields = wbi_answer_forms[kind].fields;
	wbi_answer_init(ret_answer, (enum wbi_answer_kind)kind);
	ret_answer->payload_bytes = parcel.payload_bytes;
	if (fields & WBI_HAS_N)
		err = wb_header_get_integer(&parcel.header, "n", &ret_answer->n, fault);
	if (!err && (fields & WBI_HAS_UPTO))
		err = wb_header_get_integer(&parcel.header, "to", &ret_answer->n, fault);
	if (!err && (fields & WBI_HAS_FRESH))
		err = wb_header_get_bool(&parcel.header, "fresh", &ret_answer->fresh, fault);
	if (!err && (fields & WBI_HAS_FRESH) && wb_header_find(&parcel.header, "zstd"))
		err = wb_header_get_bool(&parcel.header, "zstd", &ret_answer->zstd, fault);
	if (!err && (fields & WBI_MAY_BLOCKS))
		err = get_blocks(&parcel.header, ret_answer, fault);
	if (!err)
		err = get_told(&parcel.header, fields, ret_answer, fault);
	return err ? WB_DECODE_BAD : WB_DECODE_DONE;
}
