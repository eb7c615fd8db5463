/* Text from elsewhere: the UTF-8 check (RFC 3629), and escapes that keep it from any terminal. */
#include "base/text.h"

#include <stdint.h>
#include <string.h>

enum { ESCAPE_MAX = 4 * 4 }; /* four bytes, each as \xNN */

enum backslash { BACKSLASH_DOUBLED, BACKSLASH_KEPT };

static bool is_tail(uint8_t byte)
{
	return (byte & 0xC0) == 0x80;
}

/* The second byte carries the rules against overlong forms, surrogates, and what lies above
 * U+10FFFF; the bytes after it are any continuation. */
static bool second_is_valid(uint8_t first, uint8_t second)
{
	switch (first) {
	case 0xE0:
		return second >= 0xA0 && second <= 0xBF;
	case 0xED:
		return second >= 0x80 && second <= 0x9F;
	case 0xF0:
		return second >= 0x90 && second <= 0xBF;
	case 0xF4:
		return second >= 0x80 && second <= 0x8F;
	default:
		return is_tail(second);
	}
}

static size_t sequence_bytes(uint8_t first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xC2 && first <= 0xDF)
		return 2;
	if (first >= 0xE0 && first <= 0xEF)
		return 3;
	if (first >= 0xF0 && first <= 0xF4)
		return 4;
	return 0;
}

size_t wbi_utf8_sequence(const void *text, size_t bytes)
{
	const uint8_t *at = text;
	size_t want = bytes ? sequence_bytes(at[0]) : 0;

	if (want > bytes)
		return 0;
	if (want > 1 && !second_is_valid(at[0], at[1]))
		return 0;
	for (size_t i = 2; i < want; i++) {
		if (!is_tail(at[i]))
			return 0;
	}
	return want;
}

size_t wbi_utf8_prefix(const void *text, size_t bytes)
{
	const uint8_t *at = text;
	size_t valid = 0;

	while (valid < bytes) {
		size_t taken = at[valid] < 0x80 ? 1 : wbi_utf8_sequence(at + valid, bytes - valid);

		if (!taken)
			break;
		valid += taken;
	}
	return valid;
}

/* `at` holds one valid sequence. */
static uint32_t code_point(const uint8_t *at, size_t bytes)
{
	uint32_t point = bytes == 1 ? at[0] : at[0] & (0x7Fu >> bytes);

	for (size_t i = 1; i < bytes; i++)
		point = point << 6 | (at[i] & 0x3Fu);
	return point;
}

/* What moves a cursor, turns text round, or shows nothing where something stands. */
static bool is_hidden(uint32_t point)
{
	static const struct {
		uint32_t first, last;
	} hidden[] = {
		{0x0000, 0x001F},   /* C0 */
		{0x007F, 0x009F},   /* DEL, C1 */
		{0x00AD, 0x00AD},   /* soft hyphen */
		{0x061C, 0x061C},   /* Arabic letter mark */
		{0x115F, 0x1160},   /* Hangul fillers */
		{0x17B4, 0x17B5},   /* Khmer inherent vowels */
		{0x180E, 0x180E},   /* Mongolian vowel separator */
		{0x200B, 0x200F},   /* zero widths, direction marks */
		{0x2028, 0x202E},   /* line and paragraph separators, embeddings, overrides */
		{0x2060, 0x206F},   /* word joiner, invisible operators, isolates */
		{0x3164, 0x3164},   /* Hangul filler */
		{0xFEFF, 0xFEFF},   /* byte order mark */
		{0xFFA0, 0xFFA0},   /* half-width Hangul filler */
		{0xFFF9, 0xFFFB},   /* interlinear annotation */
		{0xE0000, 0xE0FFF}, /* tags, further variation selectors */
	};

	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
		if (point >= hidden[i].first && point <= hidden[i].last)
			return true;
	}
	return false;
}

static size_t escape_bytes(const uint8_t *at, size_t bytes, char *out)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < bytes; i++) {
		*out++ = '\\';
		*out++ = 'x';
		*out++ = digits[at[i] >> 4];
		*out++ = digits[at[i] & 15];
	}
	return 4 * bytes;
}

/* The short form of the few characters that have one, else 0. */
static char short_escape(uint8_t byte, enum backslash backslash)
{
	switch (byte) {
	case '\n':
		return 'n';
	case '\t':
		return 't';
	case '\r':
		return 'r';
	case '\\':
		return backslash == BACKSLASH_DOUBLED ? '\\' : 0;
	default:
		return 0;
	}
}

/* Escapes the one character at `at`; *ret_taken is its length in the input. */
static size_t escape_one(const uint8_t *at, size_t bytes, enum backslash backslash,
			 char out[ESCAPE_MAX], size_t *ret_taken)
{
	size_t taken = wbi_utf8_sequence(at, bytes);
	char letter = short_escape(at[0], backslash);

	*ret_taken = taken ? taken : 1;
	if (letter) {
		out[0] = '\\';
		out[1] = letter;
		return 2;
	}
	if (!taken || is_hidden(code_point(at, taken)))
		return escape_bytes(at, *ret_taken, out);
	memcpy(out, at, taken);
	return taken;
}

/* Most text is nothing else. */
static bool is_as_it_is(uint8_t byte)
{
	return byte >= ' ' && byte < 0x7F && byte != '\\';
}

static size_t escape(const uint8_t *at, size_t bytes, enum backslash backslash, char *out,
		     size_t size, size_t *ret_taken)
{
	size_t written = 0, taken = 0;

	while (taken < bytes) {
		char piece[ESCAPE_MAX];

		if (is_as_it_is(at[taken]) && written + 1 < size) {
			out[written++] = (char)at[taken++];
			continue;
		}
		size_t step;
		size_t piece_bytes = escape_one(at + taken, bytes - taken, backslash, piece, &step);

		if (piece_bytes >= size - written)
			break;
		memcpy(out + written, piece, piece_bytes);
		written += piece_bytes;
		taken += step;
	}
	out[written] = '\0';
	*ret_taken = taken;
	return written;
}

size_t wbi_text_escape(const void *text, size_t bytes, char *out, size_t size, size_t *ret_taken)
{
	size_t taken;
	size_t written = escape(text, bytes, BACKSLASH_DOUBLED, out, size, &taken);

	if (ret_taken)
		*ret_taken = taken;
	return written;
}

void wbi_text_escape_message(const char *message, char *out, size_t size)
{
	size_t taken;

	escape((const uint8_t *)message, strlen(message), BACKSLASH_KEPT, out, size, &taken);
}

size_t wbi_text_number(uint64_t number, char out[WBI_DIGITS_MAX])
{
	char digits[WBI_DIGITS_MAX];
	size_t first = sizeof(digits);

	digits[--first] = '\0';
	do {
		digits[--first] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	memcpy(out, digits + first, sizeof(digits) - first);
	return sizeof(digits) - 1 - first;
}
