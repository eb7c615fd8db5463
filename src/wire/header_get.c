/* The header's getters: everything here works on text that wb_header_parse has accepted. */
#include <string.h>

#include "waybill/header.h"
#include "wire/header_get.h"
#include "wire/json_text.h"

static const char *text_of(const struct wb_header *header, const struct wb_json_value *value)
{
	return header->text + value->offset;
}

static bool holds_escape(const char *raw, size_t bytes)
{
	return memchr(raw, '\\', bytes) != NULL;
}

static bool key_is(const struct wb_header *header, const struct wb_header_member *member,
		   const char *name)
{
	const char *key = header->text + member->key_offset;
	size_t at = 0;

	if (member->key_escaped)
		return wbi_json_text_equal(key, member->key_bytes, name, strlen(name));
	while (at < member->key_bytes && name[at] && key[at] == name[at])
		at++;
	return at == member->key_bytes && !name[at];
}

static const struct wb_json_value *find_within(const struct wb_header *header, uint32_t parent,
					       const char *name)
{
	/* Most of what is looked for and is not there needs no look at the members. */
	if (!(header->key_letters >> (name[0] & 31) & 1))
		return NULL;
	for (unsigned i = 0; i < header->member_count; i++) {
		const struct wb_header_member *member = &header->members[i];
		char first = header->text[member->key_offset];

		/* Most differ in their first byte; an empty key has its quote there. */
		if (first != name[0] && !member->key_escaped && name[0])
			continue;
		if (member->parent == parent && key_is(header, member, name))
			return &member->value;
	}
	return NULL;
}

const struct wb_json_value *wb_header_find(const struct wb_header *header, const char *name)
{
	return find_within(header, 0, name);
}

const struct wb_json_value *wb_json_find(const struct wb_header *header,
					 const struct wb_json_value *object, const char *name)
{
	if (object->type != WB_JSON_OBJECT)
		return NULL;
	return find_within(header, object->offset, name);
}

/* A fault about a value; `name` is NULL where it has none. */
static enum wb_err refuse(struct wb_fault *fault, enum wb_err err, const char *name, size_t offset,
			  const char *why)
{
	return wb_fault_set(fault, err, name, offset, "header: %s%s%s", name ? name : "",
			    name ? ": " : "", why);
}

static enum wb_err missing(struct wb_fault *fault, const char *name)
{
	return refuse(fault, WB_ERR_MISSING, name, 0, "is missing");
}

/* What makes a number something else than a plain integer, or NULL. */
static const char *integer_objection(const char *digits, size_t bytes)
{
	if (digits[0] == '-')
		return "a sign is not allowed";
	for (size_t i = 0; i < bytes; i++) {
		if (digits[i] == '.')
			return "a fraction is not allowed";
		if (digits[i] == 'e' || digits[i] == 'E')
			return "an exponent is not allowed";
	}
	return NULL;
}

static enum wb_err read_integer(const struct wb_header *header, const struct wb_json_value *value,
				const char *name, uint64_t *ret_value, struct wb_fault *fault)
{
	enum { DIGITS_MAX = 16 }; /* 2^53 - 1 has as many; and no leading zeros can be here */
	const char *digits = text_of(header, value);
	uint64_t integer = 0;
	const char *objection;

	if (value->type != WB_JSON_NUMBER)
		return refuse(fault, WB_ERR_MALFORMED, name, value->offset, "not a number");
	objection = integer_objection(digits, value->bytes);
	if (objection)
		return refuse(fault, WB_ERR_MALFORMED, name, value->offset, objection);
	for (size_t i = 0; i < value->bytes && i < DIGITS_MAX; i++)
		integer = 10 * integer + (uint64_t)(digits[i] - '0');
	if (value->bytes > DIGITS_MAX || integer > WB_INTEGER_MAX)
		return refuse(fault, WB_ERR_RANGE, name, value->offset, "above 2^53 - 1");
	*ret_value = integer;
	return WB_OK;
}

enum wb_err wb_json_integer(const struct wb_header *header, const struct wb_json_value *value,
			    uint64_t *ret_value, struct wb_fault *fault)
{
	return read_integer(header, value, NULL, ret_value, fault);
}

enum wb_err wb_header_get_integer(const struct wb_header *header, const char *name,
				  uint64_t *ret_value, struct wb_fault *fault)
{
	const struct wb_json_value *value = wb_header_find(header, name);

	return value ? read_integer(header, value, name, ret_value, fault) : missing(fault, name);
}

enum wb_err wb_header_get_bool(const struct wb_header *header, const char *name, bool *ret_value,
			       struct wb_fault *fault)
{
	const struct wb_json_value *value = wb_header_find(header, name);

	if (!value)
		return missing(fault, name);
	if (value->type != WB_JSON_TRUE && value->type != WB_JSON_FALSE)
		return refuse(fault, WB_ERR_MALFORMED, name, value->offset,
			      "neither true nor false");
	*ret_value = value->type == WB_JSON_TRUE;
	return WB_OK;
}

static enum wb_err read_text(const struct wb_header *header, const struct wb_json_value *value,
			     const char *name, char *out, size_t size, size_t *ret_bytes,
			     struct wb_fault *fault)
{
	const char *raw = text_of(header, value);
	size_t length = value->bytes;
	bool escaped, nul = false;

	if (value->type != WB_JSON_STRING)
		return refuse(fault, WB_ERR_MALFORMED, name, value->offset, "not a string");
	escaped = holds_escape(raw, value->bytes);
	if (escaped)
		length = wbi_json_text_length(raw, value->bytes, &nul);
	if (nul)
		return refuse(fault, WB_ERR_MALFORMED, name, value->offset, "a NUL within text");
	if (length >= size)
		return refuse(fault, WB_ERR_LIMIT, name, value->offset, "too long");
	if (escaped) {
		wbi_json_unescape_all(raw, value->bytes, out, size);
	} else {
		memcpy(out, raw, length);
		out[length] = '\0';
	}
	if (ret_bytes)
		*ret_bytes = length;
	return WB_OK;
}

enum wb_err wb_json_text(const struct wb_header *header, const struct wb_json_value *value,
			 char *out, size_t size, size_t *ret_bytes, struct wb_fault *fault)
{
	return read_text(header, value, NULL, out, size, ret_bytes, fault);
}

enum wb_err wb_header_get_text(const struct wb_header *header, const char *name, char *out,
			       size_t size, size_t *ret_bytes, struct wb_fault *fault)
{
	const struct wb_json_value *value = wb_header_find(header, name);

	if (!value)
		return missing(fault, name);
	return read_text(header, value, name, out, size, ret_bytes, fault);
}

void wbi_json_text_cut(const struct wb_header *header, const struct wb_json_value *value, char *out,
		       size_t size)
{
	wbi_json_unescape_all(text_of(header, value), value->bytes, out, size);
}

bool wbi_json_text_is(const struct wb_header *header, const struct wb_json_value *value,
		      const char *text)
{
	size_t text_bytes = strlen(text);
	const char *raw = text_of(header, value);

	if (value->type != WB_JSON_STRING)
		return false;
	if (holds_escape(raw, value->bytes))
		return wbi_json_text_equal(raw, value->bytes, text, text_bytes);
	return value->bytes == text_bytes && !memcmp(raw, text, text_bytes);
}

bool wb_header_text_is(const struct wb_header *header, const char *name, const char *text)
{
	const struct wb_json_value *value = wb_header_find(header, name);

	return value && wbi_json_text_is(header, value, text);
}

/* The skip_ functions trust the grammar, so they only look for ends. */
static uint32_t skip_separators(const char *text, uint32_t at)
{
	while (strchr(" \t\r\n,:", text[at]))
		at++;
	return at;
}

/* `at`: the opening quote. Returns the offset of the closing one. */
static uint32_t skip_string(const char *text, uint32_t at)
{
	for (at++; text[at] != '"'; at++) {
		if (text[at] == '\\')
			at++;
	}
	return at;
}

static uint32_t skip_container(const char *text, uint32_t at)
{
	unsigned depth = 0;

	for (;; at++) {
		switch (text[at]) {
		case '"':
			at = skip_string(text, at);
			break;
		case '{':
		case '[':
			depth++;
			break;
		case '}':
		case ']':
			if (!--depth)
				return at + 1;
		}
	}
}

static uint32_t skip_scalar(const char *text, uint32_t at)
{
	while (!strchr(" \t\r\n,]}", text[at]))
		at++;
	return at;
}

static enum wb_json_type type_at(char first)
{
	switch (first) {
	case '"':
		return WB_JSON_STRING;
	case '{':
		return WB_JSON_OBJECT;
	case '[':
		return WB_JSON_ARRAY;
	case 't':
		return WB_JSON_TRUE;
	case 'f':
		return WB_JSON_FALSE;
	case 'n':
		return WB_JSON_NULL;
	default:
		return WB_JSON_NUMBER;
	}
}

/* Fills *ret_value with the value that begins at `at`; returns the offset behind it. */
static uint32_t take_value(const char *text, uint32_t at, struct wb_json_value *ret_value)
{
	enum wb_json_type type = type_at(text[at]);
	uint32_t end;

	if (type == WB_JSON_STRING) {
		end = skip_string(text, at);
		*ret_value = (struct wb_json_value){type, at + 1, end - at - 1};
		return end + 1;
	}
	if (type == WB_JSON_OBJECT || type == WB_JSON_ARRAY)
		end = skip_container(text, at);
	else
		end = skip_scalar(text, at);
	*ret_value = (struct wb_json_value){type, at, end - at};
	return end;
}

bool wb_json_next(const struct wb_header *header, const struct wb_json_value *container,
		  uint32_t *cursor, struct wb_json_value *ret_key, struct wb_json_value *ret_value)
{
	bool object = container->type == WB_JSON_OBJECT;
	const char *text = header->text;
	uint32_t at;

	if (!object && container->type != WB_JSON_ARRAY)
		return false;
	at = skip_separators(text, *cursor ? *cursor : container->offset + 1);
	if (text[at] == (object ? '}' : ']')) {
		*cursor = at;
		return false;
	}
	if (object) {
		struct wb_json_value key;

		at = skip_separators(text, take_value(text, at, &key));
		if (ret_key)
			*ret_key = key;
	}
	*cursor = take_value(text, at, ret_value);
	return true;
}
