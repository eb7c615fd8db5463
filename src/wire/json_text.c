/* JSON strings: undoing escapes, comparing. */
#include "wire/json_text.h"

#include <string.h>

uint32_t wbi_json_hex4(const char *at)
{
	uint32_t value = 0;

	for (int i = 0; i < 4; i++) {
		char c = at[i];

		if (c >= '0' && c <= '9')
			value = value << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uint32_t)(c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			value = value << 4 | (uint32_t)(c - 'A' + 10);
		else
			return UINT32_MAX;
	}
	return value;
}

static size_t encode_utf8(uint32_t point, char out[WBI_UTF8_MAX])
{
	static const uint8_t marks[] = {0, 0, 0xC0, 0xE0, 0xF0};
	size_t bytes = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;

	for (size_t i = bytes; i-- > 1; point >>= 6)
		out[i] = (char)(0x80 | (point & 0x3F));
	out[0] = (char)(marks[bytes] | point);
	return bytes;
}

/* `raw` is \uXXXX, or two of them that are a surrogate pair. */
static size_t unescape_unicode(const char *raw, char out[WBI_UTF8_MAX], size_t *ret_taken)
{
	uint32_t point = wbi_json_hex4(raw + 2);

	*ret_taken = 6;
	if (point >= 0xD800 && point <= 0xDBFF) {
		point = 0x10000 + ((point - 0xD800) << 10) + (wbi_json_hex4(raw + 8) - 0xDC00);
		*ret_taken = 12;
	}
	return encode_utf8(point, out);
}

size_t wbi_json_unescape(const char *raw, char out[WBI_UTF8_MAX], size_t *ret_taken)
{
	static const char letters[] = "bfnrt", meanings[] = "\b\f\n\r\t";
	const char *letter;

	if (raw[0] != '\\') {
		*ret_taken = 1;
		out[0] = raw[0];
		return 1;
	}
	if (raw[1] == 'u')
		return unescape_unicode(raw, out, ret_taken);
	*ret_taken = 2;
	letter = strchr(letters, raw[1]);
	out[0] = letter ? meanings[letter - letters] : raw[1];
	return 1;
}

size_t wbi_json_unescape_all(const char *raw, size_t bytes, char *out, size_t size)
{
	size_t written = 0;

	while (bytes) {
		char piece[WBI_UTF8_MAX];
		size_t taken;
		size_t piece_bytes = wbi_json_unescape(raw, piece, &taken);

		if (piece_bytes >= size - written)
			break;
		memcpy(out + written, piece, piece_bytes);
		written += piece_bytes;
		raw += taken;
		bytes -= taken;
	}
	out[written] = '\0';
	return written;
}

size_t wbi_json_text_length(const char *raw, size_t bytes, bool *ret_nul)
{
	size_t length = 0;

	*ret_nul = false;
	while (bytes) {
		char piece[WBI_UTF8_MAX];
		size_t taken;

		length += wbi_json_unescape(raw, piece, &taken);
		*ret_nul |= !piece[0];
		raw += taken;
		bytes -= taken;
	}
	return length;
}

bool wbi_json_text_equal(const char *raw, size_t bytes, const char *plain, size_t plain_bytes)
{
	while (bytes) {
		char piece[WBI_UTF8_MAX];
		size_t taken;
		size_t piece_bytes = wbi_json_unescape(raw, piece, &taken);

		if (piece_bytes > plain_bytes || memcmp(piece, plain, piece_bytes))
			return false;
		plain += piece_bytes;
		plain_bytes -= piece_bytes;
		raw += taken;
		bytes -= taken;
	}
	return !plain_bytes;
}

/* An escape gives a whole character, but a plain character comes byte by byte; so bytes are
 * compared, each side refilled when it runs out. */
struct byte_source {
	const char *raw;
	size_t bytes;
	char piece[WBI_UTF8_MAX];
	size_t at, held;
};

static int next_byte(struct byte_source *source)
{
	size_t taken;

	if (source->at == source->held) {
		if (!source->bytes)
			return -1;
		source->held = wbi_json_unescape(source->raw, source->piece, &taken);
		source->at = 0;
		source->raw += taken;
		source->bytes -= taken;
	}
	return (unsigned char)source->piece[source->at++];
}

bool wbi_json_raw_equal(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
	struct byte_source left = {.raw = a, .bytes = a_bytes};
	struct byte_source right = {.raw = b, .bytes = b_bytes};
	int byte;

	do {
		byte = next_byte(&left);
		if (byte != next_byte(&right))
			return false;
	} while (byte >= 0);
	return true;
}
