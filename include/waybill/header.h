/* The header: one strict JSON object, read and written without allocation.
 *
 * Strict means: UTF-8 (RFC 3629: no surrogates, no overlong forms), RFC 8259 grammar, the top is an
 * object, no duplicate keys at any depth ("a" and "\u0061" are the same key), depth at most 8, at
 * most WB_HEADER_MEMBERS_MAX members in all, no byte after the closing brace but white space.
 * Numbers may be any JSON number; what a getter cannot hold exactly it refuses by name.
 * Protocol: docs/PROTOCOL.md, "The parcel". */
#ifndef WAYBILL_HEADER_H
#define WAYBILL_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "waybill/err.h"

enum {
	WB_HEADER_DEPTH_MAX = 8,
	WB_HEADER_MEMBERS_MAX = 64, /* members of the object and of all objects within it */
	WB_HEADER_BYTES_MAX = 16384,
};

#define WB_INTEGER_MAX UINT64_C(9007199254740991) /* 2^53 - 1: exact in every JSON reader */

enum wb_json_type {
	WB_JSON_NULL,
	WB_JSON_FALSE,
	WB_JSON_TRUE,
	WB_JSON_NUMBER,
	WB_JSON_STRING,
	WB_JSON_ARRAY,
	WB_JSON_OBJECT,
};

/* One value: where it stands in the input. A string's range excludes its quotes; an array's or an
 * object's includes its brackets. */
struct wb_json_value {
	enum wb_json_type type;
	uint32_t offset;
	uint32_t bytes;
};

struct wb_header_member {
	uint16_t key_offset; /* of the key's first byte, after its quote */
	uint16_t key_bytes;  /* as written, escapes not yet undone */
	uint16_t parent;     /* offset of the brace of the object that it belongs to; 0 = the top */
	bool key_escaped;    /* the key as written holds escapes */
	struct wb_json_value value;
};

/* A parsed header. Caller-owned; it borrows the input, which must outlive it unchanged. */
struct wb_header {
	const char *text;
	uint32_t text_bytes;
	uint16_t member_count;
	uint32_t key_letters; /* bit i: a key may begin with a byte that is i modulo 32 */
	struct wb_header_member members[WB_HEADER_MEMBERS_MAX];
};

/* Parses `bytes` bytes at `text` (2 … WB_HEADER_BYTES_MAX) as one strict object.
 * Returns WB_OK; WB_ERR_MALFORMED with field and offset; WB_ERR_LIMIT (depth, members, size).
 * *ret_header is undefined after a failure. Does not block, does not allocate. */
WB_WARN_UNUSED enum wb_err wb_header_parse(struct wb_header *ret_header, const void *text,
					   size_t bytes, struct wb_fault *fault);

/* The value of top-level member `name` (NUL-terminated UTF-8), or NULL if there is none.
 * Borrowed: lives as long as *header. */
const struct wb_json_value *wb_header_find(const struct wb_header *header, const char *name);

/* Reads member `name` as an exact integer 0 … WB_INTEGER_MAX (no sign, fraction or exponent).
 * Returns WB_OK, WB_ERR_MISSING, WB_ERR_MALFORMED (another type; a sign, fraction or exponent), or
 * WB_ERR_RANGE (above WB_INTEGER_MAX); *ret_value is untouched on failure. */
WB_WARN_UNUSED enum wb_err wb_header_get_integer(const struct wb_header *header, const char *name,
						 uint64_t *ret_value, struct wb_fault *fault);

/* Reads member `name` as true or false. Errors as above. */
WB_WARN_UNUSED enum wb_err wb_header_get_bool(const struct wb_header *header, const char *name,
					      bool *ret_value, struct wb_fault *fault);

/* Reads member `name` as text, escapes undone, NUL-terminated, into `out` of `size` bytes.
 * Text that holds \u0000 is refused as WB_ERR_MALFORMED. ret_bytes (may be NULL): length without
 * the NUL. Returns WB_OK, WB_ERR_MISSING, WB_ERR_MALFORMED, or WB_ERR_LIMIT (does not fit);
 * *out and *ret_bytes are untouched on failure. */
WB_WARN_UNUSED enum wb_err wb_header_get_text(const struct wb_header *header, const char *name,
					      char *out, size_t size, size_t *ret_bytes,
					      struct wb_fault *fault);

/* Whether member `name` is a string equal to `text` once escapes are undone. No copy. */
bool wb_header_text_is(const struct wb_header *header, const char *name, const char *text);

/* Walks the elements of an array or the values of an object, in the order in which they stand.
 * *cursor: 0 at first, then left alone. Returns false at the end, and for a value that is neither.
 * For an object's members the key is given through ret_key (may be NULL; its type is
 * WB_JSON_STRING); for an array's elements it is left alone. */
bool wb_json_next(const struct wb_header *header, const struct wb_json_value *container,
		  uint32_t *cursor, struct wb_json_value *ret_key, struct wb_json_value *ret_value);

/* Undoes the escapes of a string value into `out` (NUL-terminated). Errors as get_text. */
WB_WARN_UNUSED enum wb_err wb_json_text(const struct wb_header *header,
					const struct wb_json_value *value, char *out, size_t size,
					size_t *ret_bytes, struct wb_fault *fault);

/* Reads a number value as an exact integer. Errors as get_integer. */
WB_WARN_UNUSED enum wb_err wb_json_integer(const struct wb_header *header,
					   const struct wb_json_value *value, uint64_t *ret_value,
					   struct wb_fault *fault);

/* Reads nested member `name` of an object value; NULL if there is none. */
const struct wb_json_value *wb_json_find(const struct wb_header *header,
					 const struct wb_json_value *object, const char *name);

/* Writing. The writer fills the caller's buffer; the first error sticks and later calls do
 * nothing, so that only _finish needs a look. What it writes, wb_header_parse accepts, as long as
 * the caller gives no name twice within one object. Caller-owned; the fields are private. */
struct wb_header_writer {
	char *text;
	size_t size;
	size_t bytes;
	unsigned depth;
	unsigned arrays; /* bit d: the container at depth d is an array */
	unsigned members;
	bool comma; /* a value stands before: the next one needs a comma */
	enum wb_err err;
	const char *why;                /* the first error, static */
	char field[WB_FAULT_FIELD_MAX]; /* the name it happened at */
};

/* Begins an object in `size` bytes at `buffer`, which the caller keeps. A header never grows past
 * WB_HEADER_BYTES_MAX, however large the buffer. */
void wb_header_writer_init(struct wb_header_writer *writer, char *buffer, size_t size);

/* Each adds one member; `name` must be plain ASCII without quotes, backslashes or controls, and
 * NULL within an array (else WB_ERR_ARGUMENT sticks, as it does for a _close without its _open).
 * Text of `bytes` bytes must be UTF-8 (else WB_ERR_MALFORMED sticks); text that holds a NUL is
 * written, but our own wb_header_get_text refuses it. An integer above WB_INTEGER_MAX makes
 * WB_ERR_RANGE stick; no room, too deep or too many members, WB_ERR_LIMIT. */
void wb_header_put_integer(struct wb_header_writer *writer, const char *name, uint64_t value);
void wb_header_put_bool(struct wb_header_writer *writer, const char *name, bool value);
void wb_header_put_text(struct wb_header_writer *writer, const char *name, const char *text,
			size_t bytes);
void wb_header_put_string(struct wb_header_writer *writer, const char *name, const char *text);
void wb_header_open_object(struct wb_header_writer *writer, const char *name);
void wb_header_close_object(struct wb_header_writer *writer);
void wb_header_open_array(struct wb_header_writer *writer, const char *name);
void wb_header_close_array(struct wb_header_writer *writer);

/* Ends the object. Returns WB_OK and the header's length, or the first error that stuck;
 * fault->field then names the member that it happened at. Nothing may be put afterwards. */
WB_WARN_UNUSED enum wb_err wb_header_finish(struct wb_header_writer *writer, size_t *ret_bytes,
					    struct wb_fault *fault);

#endif
