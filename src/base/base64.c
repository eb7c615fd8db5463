/* Base64, there and back, without a table that the text would index. */
#include "base/base64.h"

#include <stdbool.h>

size_t wbi_base64_encode(const void *data, size_t bytes, char *out)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *in = data;
	size_t length = 0;

	for (size_t at = 0; at < bytes; at += 3) {
		size_t left = bytes - at;
		uint32_t group = (uint32_t)in[at] << 16 | (left > 1 ? in[at + 1] : 0u) << 8 |
				 (left > 2 ? in[at + 2] : 0u);

		out[length++] = digits[group >> 18];
		out[length++] = digits[group >> 12 & 63];
		out[length++] = left > 1 ? digits[group >> 6 & 63] : '=';
		out[length++] = left > 2 ? digits[group & 63] : '=';
	}
	out[length] = '\0';
	return length;
}

/* All ones if low <= digit <= high, else 0; no branch. All arguments are below 256. */
static uint32_t within(uint32_t digit, uint32_t low, uint32_t high)
{
	return ((low - 1 - digit) & (digit - high - 1)) >> 31 ? UINT32_MAX : 0;
}

/* 0 … 63; above that where it is no digit. */
static uint32_t value_of(char character)
{
	uint32_t digit = (uint8_t)character;
	uint32_t known = within(digit, 'A', 'Z') & (digit - 'A' + 1);

	known |= within(digit, 'a', 'z') & (digit - 'a' + 27);
	known |= within(digit, '0', '9') & (digit - '0' + 53);
	known |= within(digit, '+', '+') & 63;
	known |= within(digit, '/', '/') & 64;
	return known - 1;
}

enum wb_err wbi_base64_decode(const char *text, size_t length, void *out, size_t size,
			      size_t *ret_bytes)
{
	size_t padding = 0, bytes = 0;
	uint32_t slack = 0, all = 0;
	uint8_t *to = out;

	if (length % 4)
		return WB_ERR_MALFORMED;
	if (length / 4 * 3 > size)
		return WB_ERR_LIMIT;
	if (length)
		padding = text[length - 1] != '=' ? 0 : text[length - 2] != '=' ? 1 : 2;
	for (size_t at = 0; at < length; at += 4) {
		uint32_t group = 0;

		for (size_t i = at; i < at + 4; i++) {
			uint32_t value = i < length - padding ? value_of(text[i]) : 0;

			all |= value;
			group = group << 6 | (value & 63);
		}
		to[bytes++] = (uint8_t)(group >> 16);
		to[bytes++] = (uint8_t)(group >> 8);
		to[bytes++] = (uint8_t)group;
		slack = group;
	}
	bytes -= padding;
	slack &= (1u << 8 * padding) - 1;
	if (all > 63 || slack)
		return WB_ERR_MALFORMED;
	*ret_bytes = bytes;
	return WB_OK;
}
