/* Columns and line breaks for text that mixes Latin and Chinese. */
#include "lab/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct glyph {
	uint32_t code;
	size_t bytes;
	unsigned columns;
};

/* Unicode's East Asian Width W and F, in the blocks that a terminal is likely to meet. */
static bool is_wide(uint32_t code)
{
	static const uint32_t ranges[][2] = {
		{0x1100, 0x115f},   {0x2e80, 0x303e}, {0x3041, 0x33ff}, {0x3400, 0x4dbf},
		{0x4e00, 0x9fff},   {0xa000, 0xa4cf}, {0xac00, 0xd7a3}, {0xf900, 0xfaff},
		{0xfe30, 0xfe6f},   {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1faff},
		{0x20000, 0x3fffd},
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (code >= ranges[i][0] && code <= ranges[i][1])
			return true;
	return false;
}

/* Decodes one character of valid UTF-8; a stray byte counts as one column. */
static struct glyph glyph_at(const char *text)
{
	unsigned char first = (unsigned char)text[0];
	struct glyph glyph = {.code = first, .bytes = 1, .columns = 1};

	if (first >= 0xf0)
		glyph = (struct glyph){.code = first & 0x07, .bytes = 4};
	else if (first >= 0xe0)
		glyph = (struct glyph){.code = first & 0x0f, .bytes = 3};
	else if (first >= 0xc0)
		glyph = (struct glyph){.code = first & 0x1f, .bytes = 2};
	for (size_t i = 1; i < glyph.bytes; i++) {
		if (((unsigned char)text[i] & 0xc0) != 0x80)
			return (struct glyph){.code = first, .bytes = 1, .columns = 1};
		glyph.code = glyph.code << 6 | ((unsigned char)text[i] & 0x3f);
	}
	glyph.columns = is_wide(glyph.code) ? 2 : 1;
	return glyph;
}

unsigned lab_columns(const char *text)
{
	unsigned columns = 0;

	while (*text) {
		struct glyph glyph = glyph_at(text);

		columns += glyph.columns;
		text += glyph.bytes;
	}
	return columns;
}

static bool is_one_of(const char *set, const char *text, size_t bytes)
{
	for (; *set; set += glyph_at(set).bytes)
		if (glyph_at(set).bytes == bytes && memcmp(set, text, bytes) == 0)
			return true;
	return false;
}

/* Whether a line may end between `before` and the character at `text`. */
static bool may_break(const char *before, const char *text)
{
	struct glyph left = glyph_at(before), right = glyph_at(text);

	if (*text == ' ' || *before == ' ')
		return true;
	if (left.columns == 1 && right.columns == 1)
		return false;
	return !is_one_of("，。、；：？！）》」』”…,.;:?!)", text, right.bytes) &&
	       !is_one_of("（《「『“(", before, left.bytes);
}

size_t lab_line_bytes(const char *text, unsigned columns)
{
	size_t at = 0, last_break = 0;
	unsigned used = 0;
	const char *before = NULL;

	while (text[at] && text[at] != '\n') {
		struct glyph glyph = glyph_at(text + at);

		if (before && may_break(before, text + at))
			last_break = at;
		if (used + glyph.columns > columns && text[at] != ' ')
			return last_break ? last_break : at ? at : glyph.bytes;
		used += glyph.columns;
		before = text + at;
		at += glyph.bytes;
	}
	return at;
}
