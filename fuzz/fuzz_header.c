/* The header reader against jansson: both accept or both refuse, and both see the same values.
 *
 * Where they may differ: our limits (depth, members, size); numbers that jansson cannot hold; a NUL
 * escape within a key, which jansson refuses and no getter of ours can name; a raw NUL byte behind
 * a number or a word, which jansson passes over and we refuse. What was accepted is then written
 * again by our writer and must come back the same. */
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "waybill/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static void check_fault(const struct wb_fault *fault, enum wb_err err, size_t bytes)
{
	CHECK(fault->err == err);
	CHECK(fault->offset <= bytes);
	CHECK(memchr(fault->field, '\0', sizeof(fault->field)));
	CHECK(memchr(fault->text, '\0', sizeof(fault->text)));
	CHECK(wbi_utf8_prefix(fault->text, strlen(fault->text)) == strlen(fault->text));
	for (const char *at = fault->text; *at; at++)
		CHECK((unsigned char)*at >= 0x20);
}

static void check_string(const struct wb_header *header, const struct wb_json_value *value,
			 const json_t *json)
{
	char text[WB_HEADER_BYTES_MAX];
	size_t bytes;
	enum wb_err err = wb_json_text(header, value, text, sizeof(text), &bytes, NULL);

	if (strlen(json_string_value(json)) < json_string_length(json)) {
		CHECK(err == WB_ERR_MALFORMED);
		return;
	}
	CHECK(!err);
	CHECK(bytes == json_string_length(json));
	CHECK(!memcmp(text, json_string_value(json), bytes + 1));
}

static void check_number(const struct wb_header *header, const struct wb_json_value *value,
			 const json_t *json)
{
	uint64_t integer = 0;
	enum wb_err err = wb_json_integer(header, value, &integer, NULL);

	if (json_is_real(json) || header->text[value->offset] == '-')
		CHECK(err == WB_ERR_MALFORMED);
	else if ((uint64_t)json_integer_value(json) > WB_INTEGER_MAX)
		CHECK(err == WB_ERR_RANGE);
	else
		CHECK(!err && integer == (uint64_t)json_integer_value(json));
}

static void check_value(const struct wb_header *header, const struct wb_json_value *value,
			const json_t *json);

static void check_array(const struct wb_header *header, const struct wb_json_value *array,
			const json_t *json)
{
	struct wb_json_value value;
	uint32_t cursor = 0;
	size_t count = 0;

	while (wb_json_next(header, array, &cursor, NULL, &value))
		check_value(header, &value, json_array_get(json, count++));
	CHECK(count == json_array_size(json));
}

static void check_object(const struct wb_header *header, const struct wb_json_value *object,
			 const json_t *json)
{
	struct wb_json_value key, value;
	uint32_t cursor = 0;
	size_t count = 0;

	while (wb_json_next(header, object, &cursor, &key, &value)) {
		char name[WB_HEADER_BYTES_MAX];
		const struct wb_json_value *found;

		CHECK(!wb_json_text(header, &key, name, sizeof(name), NULL, NULL));
		found = wb_json_find(header, object, name);
		CHECK(found && found->offset == value.offset && found->bytes == value.bytes &&
		      found->type == value.type);
		check_value(header, &value, json_object_get(json, name));
		count++;
	}
	CHECK(count == json_object_size(json));
}

static void check_value(const struct wb_header *header, const struct wb_json_value *value,
			const json_t *json)
{
	static const json_type types[] = {
		[WB_JSON_NULL] = JSON_NULL,      [WB_JSON_FALSE] = JSON_FALSE,
		[WB_JSON_TRUE] = JSON_TRUE,      [WB_JSON_STRING] = JSON_STRING,
		[WB_JSON_ARRAY] = JSON_ARRAY,    [WB_JSON_OBJECT] = JSON_OBJECT,
		[WB_JSON_NUMBER] = JSON_INTEGER,
	};

	CHECK(json);
	if (value->type == WB_JSON_NUMBER)
		CHECK(json_is_number(json));
	else
		CHECK(json_typeof(json) == types[value->type]);
	if (value->type == WB_JSON_STRING)
		check_string(header, value, json);
	else if (value->type == WB_JSON_NUMBER)
		check_number(header, value, json);
	else if (value->type == WB_JSON_ARRAY)
		check_array(header, value, json);
	else if (value->type == WB_JSON_OBJECT)
		check_object(header, value, json);
}

static void check_members(const struct wb_header *header, json_t *json)
{
	unsigned at_top = 0;

	for (unsigned i = 0; i < header->member_count; i++)
		at_top += header->members[i].parent == 0;
	CHECK(at_top == json_object_size(json));
	for (unsigned i = 0; i < header->member_count; i++) {
		const struct wb_header_member *member = &header->members[i];
		struct wb_json_value key = {WB_JSON_STRING, member->key_offset, member->key_bytes};
		char name[WB_HEADER_BYTES_MAX];

		if (member->parent)
			continue;
		CHECK(!wb_json_text(header, &key, name, sizeof(name), NULL, NULL));
		CHECK(wb_header_find(header, name) == &member->value);
		check_value(header, &member->value, json_object_get(json, name));
	}
}

/* A name that the writer takes; others are left out of the round trip. */
static bool is_plain_name(const char *name)
{
	for (; *name; name++) {
		if (*name < 0x20 || *name > 0x7E || *name == '"' || *name == '\\')
			return false;
	}
	return true;
}

static void copy_values(struct wb_header_writer *writer, const json_t *json, const char *name);

static void copy_members(struct wb_header_writer *writer, const json_t *json)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)json, name, value)
	{
		if (is_plain_name(name))
			copy_values(writer, value, name);
	}
}

/* What the writer cannot write (null, a sign, a fraction) becomes false. */
static void copy_values(struct wb_header_writer *writer, const json_t *json, const char *name)
{
	json_int_t integer = json_integer_value(json);

	if (json_is_string(json)) {
		wb_header_put_text(writer, name, json_string_value(json), json_string_length(json));
	} else if (json_is_integer(json) && integer >= 0 && integer <= (json_int_t)WB_INTEGER_MAX) {
		wb_header_put_integer(writer, name, (uint64_t)integer);
	} else if (json_is_array(json)) {
		wb_header_open_array(writer, name);
		for (size_t i = 0; i < json_array_size(json); i++)
			copy_values(writer, json_array_get(json, i), NULL);
		wb_header_close_array(writer);
	} else if (json_is_object(json)) {
		wb_header_open_object(writer, name);
		copy_members(writer, json);
		wb_header_close_object(writer);
	} else {
		wb_header_put_bool(writer, name, json_is_true(json));
	}
}

/* Written, read by both, written again: the second text is the first one. */
static void check_round_trip(const json_t *json)
{
	static char first[WB_HEADER_BYTES_MAX], second[WB_HEADER_BYTES_MAX];
	struct wb_header_writer writer;
	struct wb_header header;
	size_t first_bytes, second_bytes;
	json_t *again;
	enum wb_err err;

	wb_header_writer_init(&writer, first, sizeof(first));
	copy_members(&writer, json);
	err = wb_header_finish(&writer, &first_bytes, NULL);
	CHECK(!err || err == WB_ERR_LIMIT);
	if (err)
		return;
	CHECK(!wb_header_parse(&header, first, first_bytes, NULL));
	again = json_loadb(first, first_bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	CHECK(again);
	check_members(&header, again);
	wb_header_writer_init(&writer, second, sizeof(second));
	copy_members(&writer, again);
	CHECK(!wb_header_finish(&writer, &second_bytes, NULL));
	CHECK(first_bytes == second_bytes && !memcmp(first, second, first_bytes));
	json_decref(again);
}

/* jansson cannot judge these. */
static bool is_jansson_limit(const json_error_t *error)
{
	enum json_error_code code = json_error_code(error);

	return code == json_error_numeric_overflow || code == json_error_null_byte_in_key;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct wb_header header;
	struct wb_fault fault;
	json_error_t error;
	enum wb_err err = wb_header_parse(&header, data, bytes, &fault);
	json_t *json = json_loadb((const char *)data, bytes,
				  JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);

	if (err)
		check_fault(&fault, err, bytes);
	if (err == WB_ERR_LIMIT || (!json && is_jansson_limit(&error)))
		goto out;
	if (err && json && fault.offset < bytes && !data[fault.offset])
		goto out;
	CHECK(!err == (json && json_is_object(json)));
	if (err)
		goto out;
	check_members(&header, json);
	check_round_trip(json);
out:
	json_decref(json);
	return 0;
}
