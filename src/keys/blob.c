/* The binary encoding of SSH. */
#include "keys/blob.h"

#include <string.h>

#include "keys/lines.h"

bool wbi_blob_u32(struct wbi_slice *rest, uint32_t *ret_value)
{
	const uint8_t *at = rest->data;

	if (rest->bytes < 4)
		return false;
	*ret_value = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
	wbi_skip(rest, 4);
	return true;
}

bool wbi_blob_string(struct wbi_slice *rest, struct wbi_slice *ret_string)
{
	struct wbi_slice behind = *rest;
	uint32_t bytes;

	if (!wbi_blob_u32(&behind, &bytes) || bytes > behind.bytes)
		return false;
	*ret_string = (struct wbi_slice){behind.data, bytes};
	wbi_skip(&behind, bytes);
	*rest = behind;
	return true;
}

uint8_t *wbi_blob_put_u32(uint8_t *at, uint32_t value)
{
	*at++ = (uint8_t)(value >> 24);
	*at++ = (uint8_t)(value >> 16);
	*at++ = (uint8_t)(value >> 8);
	*at++ = (uint8_t)value;
	return at;
}

uint8_t *wbi_blob_put_string(uint8_t *at, const void *data, size_t bytes)
{
	at = wbi_blob_put_u32(at, (uint32_t)bytes);
	if (bytes)
		memcpy(at, data, bytes);
	return at + bytes;
}
