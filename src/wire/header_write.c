/* The header writer: fills the caller's buffer, and keeps the first error for _finish to tell. */
#include <string.h>

#include "base/text.h"
#include "waybill/header.h"

enum { INTEGER_DIGITS_MAX = 16 };

static void stick(struct wb_header_writer *writer, enum wb_err err, const char *name,
		  const char *why)
{
	size_t bytes = name ? strnlen(name, sizeof(writer->field) - 1) : 0;

	if (writer->err)
		return;
	writer->err = err;
	writer->why = why;
	if (bytes)
		memcpy(writer->field, name, bytes);
	writer->field[bytes] = '\0';
}

static bool has_room(const struct wb_header_writer *writer, size_t bytes)
{
	return bytes <= writer->size - writer->bytes;
}

/* The caller has made sure of the room. */
static void put_raw(struct wb_header_writer *writer, const char *text, size_t bytes)
{
	memcpy(writer->text + writer->bytes, text, bytes);
	writer->bytes += bytes;
}

static void put_char(struct wb_header_writer *writer, char c)
{
	writer->text[writer->bytes++] = c;
}

static bool in_array(const struct wb_header_writer *writer)
{
	return writer->arrays >> writer->depth & 1;
}

/* Whether a value named `name` may stand here, where comma, name and value take `bytes`. */
static bool may_put(struct wb_header_writer *writer, const char *name, size_t bytes)
{
	if (writer->err)
		return false;
	if (!writer->depth || in_array(writer) == (name != NULL)) {
		stick(writer, WB_ERR_ARGUMENT, name,
		      "a name where none may be, or none where one must");
		return false;
	}
	if (name && writer->members == WB_HEADER_MEMBERS_MAX) {
		stick(writer, WB_ERR_LIMIT, name, "too many members");
		return false;
	}
	if (!has_room(writer, bytes)) {
		stick(writer, WB_ERR_LIMIT, name, "no room");
		return false;
	}
	return true;
}

/* Begins a value: comma and name. Afterwards there is room for `bytes` more. */
static bool begin(struct wb_header_writer *writer, const char *name, size_t bytes)
{
	size_t name_bytes = name ? strlen(name) : 0;
	size_t quotes_and_colon = name ? 3 : 0;

	if (!may_put(writer, name, writer->comma + quotes_and_colon + name_bytes + bytes))
		return false;
	if (writer->comma)
		put_char(writer, ',');
	writer->comma = true;
	if (!name)
		return true;
	writer->members++;
	put_char(writer, '"');
	put_raw(writer, name, name_bytes);
	put_raw(writer, "\":", 2);
	return true;
}

void wb_header_put_integer(struct wb_header_writer *writer, const char *name, uint64_t value)
{
	char digits[INTEGER_DIGITS_MAX];
	size_t first = sizeof(digits);

	if (value > WB_INTEGER_MAX) {
		stick(writer, WB_ERR_RANGE, name, "above 2^53 - 1");
		return;
	}
	do {
		digits[--first] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	if (begin(writer, name, sizeof(digits) - first))
		put_raw(writer, digits + first, sizeof(digits) - first);
}

void wb_header_put_bool(struct wb_header_writer *writer, const char *name, bool value)
{
	const char *word = value ? "true" : "false";
	size_t bytes = strlen(word);

	if (begin(writer, name, bytes))
		put_raw(writer, word, bytes);
}

/* How many bytes at the front of text need no escape. */
static size_t plain_prefix(const char *text, size_t bytes)
{
	size_t plain = 0;

	while (plain < bytes && (unsigned char)text[plain] >= 0x20 && text[plain] != '"' &&
	       text[plain] != '\\')
		plain++;
	return plain;
}

/* Writes the escape of a quote, a backslash or a control; returns its length. */
static size_t escape(unsigned char byte, char out[6])
{
	static const char controls[] = "\b\f\n\r\t", letters[] = "bfnrt";
	static const char digits[] = "0123456789abcdef";
	const char *control = byte ? strchr(controls, byte) : NULL;

	out[0] = '\\';
	if (byte >= 0x20 || control) {
		out[1] = control ? letters[control - controls] : (char)byte;
		return 2;
	}
	memcpy(out + 1, "u00", 3);
	out[4] = digits[byte >> 4];
	out[5] = digits[byte & 15];
	return 6;
}

/* The text within the quotes; room for the closing one is kept. False: no room. */
static bool put_escaped(struct wb_header_writer *writer, const char *text, size_t bytes)
{
	while (bytes) {
		size_t plain = plain_prefix(text, bytes), escape_bytes = 0;
		char piece[6];

		if (plain < bytes)
			escape_bytes = escape((unsigned char)text[plain], piece);
		if (!has_room(writer, plain + escape_bytes + 1))
			return false;
		put_raw(writer, text, plain);
		put_raw(writer, piece, escape_bytes);
		plain += escape_bytes > 0;
		text += plain;
		bytes -= plain;
	}
	return true;
}

void wb_header_put_text(struct wb_header_writer *writer, const char *name, const char *text,
			size_t bytes)
{
	if (wbi_utf8_prefix(text, bytes) < bytes) {
		stick(writer, WB_ERR_MALFORMED, name, "not UTF-8");
		return;
	}
	if (!begin(writer, name, 2))
		return;
	put_char(writer, '"');
	if (put_escaped(writer, text, bytes))
		put_char(writer, '"');
	else
		stick(writer, WB_ERR_LIMIT, name, "no room");
}

void wb_header_put_string(struct wb_header_writer *writer, const char *name, const char *text)
{
	wb_header_put_text(writer, name, text, strlen(text));
}

static void enter(struct wb_header_writer *writer, bool array)
{
	put_char(writer, array ? '[' : '{');
	writer->depth++;
	writer->arrays &= ~(1u << writer->depth);
	writer->arrays |= (unsigned)array << writer->depth;
	writer->comma = false;
}

static void open_container(struct wb_header_writer *writer, const char *name, bool array)
{
	if (writer->depth == WB_HEADER_DEPTH_MAX)
		stick(writer, WB_ERR_LIMIT, name, "nested too deep");
	else if (begin(writer, name, 1))
		enter(writer, array);
}

static void close_container(struct wb_header_writer *writer, bool array)
{
	if (!writer->err && (!writer->depth || in_array(writer) != array))
		stick(writer, WB_ERR_ARGUMENT, NULL, "closed without having been opened");
	if (!has_room(writer, 1))
		stick(writer, WB_ERR_LIMIT, NULL, "no room");
	if (writer->err)
		return;
	put_char(writer, array ? ']' : '}');
	writer->depth--;
	writer->comma = true;
}

void wb_header_writer_init(struct wb_header_writer *writer, char *buffer, size_t size)
{
	writer->text = buffer;
	writer->size = size < WB_HEADER_BYTES_MAX ? size : WB_HEADER_BYTES_MAX;
	writer->bytes = 0;
	writer->depth = writer->arrays = writer->members = 0;
	writer->comma = false;
	writer->err = WB_OK;
	if (has_room(writer, 1))
		enter(writer, false);
	else
		stick(writer, WB_ERR_LIMIT, NULL, "no room");
}

void wb_header_open_object(struct wb_header_writer *writer, const char *name)
{
	open_container(writer, name, false);
}

void wb_header_close_object(struct wb_header_writer *writer)
{
	if (writer->depth == 1)
		stick(writer, WB_ERR_ARGUMENT, NULL, "closed without having been opened");
	close_container(writer, false);
}

void wb_header_open_array(struct wb_header_writer *writer, const char *name)
{
	open_container(writer, name, true);
}

void wb_header_close_array(struct wb_header_writer *writer)
{
	close_container(writer, true);
}

enum wb_err wb_header_finish(struct wb_header_writer *writer, size_t *ret_bytes,
			     struct wb_fault *fault)
{
	if (writer->depth > 1)
		stick(writer, WB_ERR_ARGUMENT, NULL, "an array or an object is left open");
	close_container(writer, false);
	if (writer->err)
		return wb_fault_set(fault, writer->err, writer->field, 0, "header: %s%s%s",
				    writer->field, writer->field[0] ? ": " : "", writer->why);
	*ret_bytes = writer->bytes;
	return WB_OK;
}
