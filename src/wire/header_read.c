/* The header reader: one strict pass over the text, no allocation, no byte read twice but for keys.
 *
 * Each read_ function takes a place in the text and returns the place behind what it read, or NULL
 * once reader.err, .where and .why are set. Recursion is bounded by WB_HEADER_DEPTH_MAX. */
#include "waybill/header.h"

#include <string.h>

#include "base/text.h"
#include "wire/json_text.h"

enum { NO_MEMBER = -1 };

struct reader {
	struct wb_header *header;
	const char *begin, *end;
	unsigned depth;
	int member; /* whose value is being read: it names the field of an error */
	enum wb_err err;
	const char *where, *why;
};

/* Bytes that stand for themselves in a string: ASCII but for controls, quote and backslash. */
static bool is_plain(unsigned char byte)
{
	return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

static const char *fail(struct reader *reader, enum wb_err err, const char *where, const char *why)
{
	reader->err = err;
	reader->where = where;
	reader->why = why;
	return NULL;
}

static const char *fail_malformed(struct reader *reader, const char *where, const char *why)
{
	return fail(reader, WB_ERR_MALFORMED, where, where == reader->end ? "ends too early" : why);
}

/* The byte at `at`, or -1 at the end. */
static int peek(const struct reader *reader, const char *at)
{
	return at < reader->end ? (unsigned char)*at : -1;
}

static const char *skip_space(const struct reader *reader, const char *at)
{
	while (at < reader->end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
		at++;
	return at;
}

/* `at`: the backslash of \uXXXX. */
static const char *read_unicode_escape(struct reader *reader, const char *at)
{
	uint32_t unit, low;

	if (reader->end - at < 6)
		return fail_malformed(reader, reader->end, NULL);
	unit = wbi_json_hex4(at + 2);
	if (unit == UINT32_MAX)
		return fail_malformed(reader, at, "\\u is not followed by four hex digits");
	if (unit < 0xD800 || unit > 0xDFFF)
		return at + 6;
	if (unit > 0xDBFF || reader->end - at < 12 || at[6] != '\\' || at[7] != 'u')
		return fail_malformed(reader, at, "a surrogate stands alone");
	low = wbi_json_hex4(at + 8);
	if (low < 0xDC00 || low > 0xDFFF)
		return fail_malformed(reader, at, "a surrogate stands alone");
	return at + 12;
}

static const char *read_escape(struct reader *reader, const char *at)
{
	switch (peek(reader, at + 1)) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		return at + 2;
	case 'u':
		return read_unicode_escape(reader, at);
	case -1:
		return fail_malformed(reader, reader->end, NULL);
	default:
		return fail_malformed(reader, at, "an unknown escape");
	}
}

/* What is not plain: an escape, a character beyond ASCII, or an error. */
static const char *read_special(struct reader *reader, const char *at)
{
	size_t sequence;

	if (*at == '\\')
		return read_escape(reader, at);
	if ((unsigned char)*at < 0x20)
		return fail_malformed(reader, at, "a control character within a string");
	sequence = wbi_utf8_sequence(at, (size_t)(reader->end - at));
	return sequence ? at + sequence : fail_malformed(reader, at, "not UTF-8");
}

/* `at`: behind the opening quote. Returns the place of the closing one. */
static const char *read_string(struct reader *reader, const char *at, bool *ret_escaped)
{
	*ret_escaped = false;
	for (;;) {
		while (at < reader->end && is_plain((unsigned char)*at))
			at++;
		if (at == reader->end)
			return fail_malformed(reader, at, NULL);
		if (*at == '"')
			return at;
		*ret_escaped |= *at == '\\';
		at = read_special(reader, at);
		if (!at)
			return NULL;
	}
}

static const char *read_digits(struct reader *reader, const char *at)
{
	const char *first = at;

	while (at < reader->end && *at >= '0' && *at <= '9')
		at++;
	return at > first ? at : fail_malformed(reader, at, "a digit is missing in a number");
}

static const char *read_number(struct reader *reader, const char *at)
{
	int next;

	if (*at == '-')
		at++;
	at = peek(reader, at) == '0' ? at + 1 : read_digits(reader, at);
	if (at && peek(reader, at) == '.')
		at = read_digits(reader, at + 1);
	if (!at || (peek(reader, at) | 0x20) != 'e')
		return at;
	next = peek(reader, ++at);
	return read_digits(reader, next == '+' || next == '-' ? at + 1 : at);
}

static const char *read_word(struct reader *reader, const char *at, const char *word)
{
	size_t bytes = strlen(word);

	if ((size_t)(reader->end - at) < bytes || memcmp(at, word, bytes))
		return fail_malformed(reader, at, "not a JSON value");
	return at + bytes;
}

static const char *read_value(struct reader *reader, const char *at,
			      struct wb_json_value *ret_value);

/* Enters a container: the place of its first value, or of its end. */
static const char *read_open(struct reader *reader, const char *at)
{
	if (reader->depth == WB_HEADER_DEPTH_MAX)
		return fail(reader, WB_ERR_LIMIT, at, "nested too deep");
	reader->depth++;
	at = skip_space(reader, at + 1);
	return at < reader->end ? at : fail_malformed(reader, at, NULL);
}

/* Behind a member or an element: the place of the comma, or of the closing bracket. */
static const char *read_separator(struct reader *reader, const char *at, char close)
{
	at = skip_space(reader, at);
	if (peek(reader, at) == ',' || peek(reader, at) == close)
		return at;
	return fail_malformed(reader, at,
			      close == '}' ? "neither , nor } behind a member"
					   : "neither , nor ] behind an element");
}

static const char *read_array(struct reader *reader, const char *at)
{
	struct wb_json_value ignored;

	at = read_open(reader, at);
	if (!at || *at == ']')
		goto out;
	for (;;) {
		at = read_value(reader, at, &ignored);
		at = at ? read_separator(reader, at, ']') : NULL;
		if (!at || *at == ']')
			goto out;
		at = skip_space(reader, at + 1);
	}
out:
	reader->depth--;
	return at ? at + 1 : NULL;
}

static bool same_key(const struct wb_header *header, const struct wb_header_member *a,
		     const struct wb_header_member *b)
{
	const char *a_key = header->text + a->key_offset, *b_key = header->text + b->key_offset;

	if (a->parent != b->parent)
		return false;
	if (a->key_escaped || b->key_escaped)
		return wbi_json_raw_equal(a_key, a->key_bytes, b_key, b->key_bytes);
	return a->key_bytes == b->key_bytes && !memcmp(a_key, b_key, a->key_bytes);
}

static bool is_duplicate(const struct wb_header *header, const struct wb_header_member *member)
{
	for (const struct wb_header_member *other = header->members; other < member; other++) {
		if (same_key(header, other, member))
			return true;
	}
	return false;
}

/* What a key may begin with once its escapes are undone, as bits of key_letters. */
static uint32_t letters_of(const struct wb_header *header, const struct wb_header_member *member)
{
	if (member->key_escaped)
		return UINT32_MAX;
	return member->key_bytes ? UINT32_C(1) << (header->text[member->key_offset] & 31) : 1;
}

/* Notes them. Returns whether another key may be the same. */
static bool note_letters(struct wb_header *header, const struct wb_header_member *member)
{
	uint32_t letters = letters_of(header, member);
	bool known = header->key_letters & letters;

	header->key_letters |= letters;
	return known;
}

/* `at`: where a key begins. Returns the place behind it, and the member that it begins. */
static const char *read_key(struct reader *reader, const char *at, uint16_t parent,
			    struct wb_header_member **ret_member)
{
	struct wb_header *header = reader->header;
	struct wb_header_member *member = &header->members[header->member_count];
	const char *key = at + 1, *end;
	bool escaped;

	if (peek(reader, at) != '"')
		return fail_malformed(reader, at, "a key in quotes is missing");
	if (header->member_count == WB_HEADER_MEMBERS_MAX)
		return fail(reader, WB_ERR_LIMIT, at, "too many members");
	end = read_string(reader, key, &escaped);
	if (!end)
		return NULL;
	member->key_offset = (uint16_t)(key - reader->begin);
	member->key_bytes = (uint16_t)(end - key);
	member->key_escaped = escaped;
	member->parent = parent;
	reader->member = header->member_count++;
	if (note_letters(header, member) && is_duplicate(header, member))
		return fail(reader, WB_ERR_MALFORMED, key, "the same key twice");
	*ret_member = member;
	return end + 1;
}

static const char *read_member(struct reader *reader, const char *at, uint16_t parent)
{
	int outer = reader->member;
	struct wb_header_member *member;

	at = read_key(reader, at, parent, &member);
	if (!at)
		return NULL;
	at = skip_space(reader, at);
	if (peek(reader, at) != ':')
		return fail_malformed(reader, at, "no : behind a key");
	at = read_value(reader, skip_space(reader, at + 1), &member->value);
	if (at)
		reader->member = outer;
	return at;
}

static const char *read_object(struct reader *reader, const char *at, uint16_t self)
{
	at = read_open(reader, at);
	if (!at || *at == '}')
		goto out;
	for (;;) {
		at = read_member(reader, at, self);
		at = at ? read_separator(reader, at, '}') : NULL;
		if (!at || *at == '}')
			goto out;
		at = skip_space(reader, at + 1);
	}
out:
	reader->depth--;
	return at ? at + 1 : NULL;
}

/* `at`: the opening quote. */
static const char *read_string_value(struct reader *reader, const char *at,
				     struct wb_json_value *ret_value)
{
	bool escaped;
	const char *end = read_string(reader, at + 1, &escaped);

	if (!end)
		return NULL;
	ret_value->type = WB_JSON_STRING;
	ret_value->offset = (uint32_t)(at + 1 - reader->begin);
	ret_value->bytes = (uint32_t)(end - at - 1);
	return end + 1;
}

static const char *read_value(struct reader *reader, const char *at,
			      struct wb_json_value *ret_value)
{
	const char *start = at;
	int first = peek(reader, at);

	switch (first) {
	case '"':
		return read_string_value(reader, at, ret_value);
	case '{':
		ret_value->type = WB_JSON_OBJECT;
		at = read_object(reader, at, (uint16_t)(at - reader->begin));
		break;
	case '[':
		ret_value->type = WB_JSON_ARRAY;
		at = read_array(reader, at);
		break;
	case 't':
		ret_value->type = WB_JSON_TRUE;
		at = read_word(reader, at, "true");
		break;
	case 'f':
		ret_value->type = WB_JSON_FALSE;
		at = read_word(reader, at, "false");
		break;
	case 'n':
		ret_value->type = WB_JSON_NULL;
		at = read_word(reader, at, "null");
		break;
	default:
		if (first != '-' && (first < '0' || first > '9'))
			return fail_malformed(reader, at, "not a JSON value");
		ret_value->type = WB_JSON_NUMBER;
		at = read_number(reader, at);
	}
	ret_value->offset = (uint32_t)(start - reader->begin);
	ret_value->bytes = at ? (uint32_t)(at - start) : 0;
	return at;
}

static const char *read_text(struct reader *reader)
{
	const char *at = skip_space(reader, reader->begin);

	if (peek(reader, at) != '{')
		return fail_malformed(reader, at, "not a JSON object");
	at = read_object(reader, at, 0);
	if (!at)
		return NULL;
	at = skip_space(reader, at);
	return at == reader->end ? at : fail_malformed(reader, at, "more behind the object");
}

static enum wb_err report(const struct reader *reader, struct wb_fault *fault)
{
	size_t offset = (size_t)(reader->where - reader->begin);
	const struct wb_header_member *member;
	char field[WB_FAULT_FIELD_MAX];

	if (!fault)
		return reader->err;
	if (reader->member == NO_MEMBER)
		return wb_fault_set(fault, reader->err, NULL, offset, "header: %s", reader->why);
	member = &reader->header->members[reader->member];
	wbi_json_unescape_all(reader->begin + member->key_offset, member->key_bytes, field,
			      sizeof(field));
	return wb_fault_set(fault, reader->err, field, offset, "header: %s: %s", field,
			    reader->why);
}

enum wb_err wb_header_parse(struct wb_header *ret_header, const void *text, size_t bytes,
			    struct wb_fault *fault)
{
	struct reader reader = {
		.header = ret_header,
		.begin = text,
		.end = (const char *)text + bytes,
		.member = NO_MEMBER,
	};

	if (bytes > WB_HEADER_BYTES_MAX)
		return wb_fault_set(fault, WB_ERR_LIMIT, NULL, WB_HEADER_BYTES_MAX,
				    "header: longer than %d bytes", WB_HEADER_BYTES_MAX);
	ret_header->text = text;
	ret_header->text_bytes = (uint32_t)bytes;
	ret_header->member_count = 0;
	ret_header->key_letters = 0;
	return read_text(&reader) ? WB_OK : report(&reader, fault);
}
