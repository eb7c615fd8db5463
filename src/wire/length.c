/* Length framing: four bytes, four ways to read them. */
#include "waybill/length.h"

#include <stdbool.h>

static bool is_big_endian(enum wb_length_format format)
{
	return format == WB_LENGTH_U32_BE || format == WB_LENGTH_I32_BE;
}

static bool is_signed(enum wb_length_format format)
{
	return format == WB_LENGTH_I32_LE || format == WB_LENGTH_I32_BE;
}

enum wb_decode wb_length_decode(enum wb_length_format format, const void *input, size_t bytes,
				uint32_t limit, uint32_t *ret_length, struct wb_fault *fault)
{
	const uint8_t *at = input;
	uint32_t length;

	if (bytes < WB_LENGTH_BYTES)
		return WB_DECODE_NEED;
	if (is_big_endian(format))
		length = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 |
			 at[3];
	else
		length = (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 |
			 at[0];
	if (is_signed(format) && length > INT32_MAX) {
		wb_fault_set(fault, WB_ERR_MALFORMED, NULL, 0, "length: %lld is negative",
			     (long long)length - (INT64_C(1) << 32));
		return WB_DECODE_BAD;
	}
	if (length > limit) {
		wb_fault_set(fault, WB_ERR_LIMIT, NULL, 0, "length: %u is above the limit of %u",
			     (unsigned)length, (unsigned)limit);
		return WB_DECODE_BAD;
	}
	*ret_length = length;
	return WB_DECODE_DONE;
}

enum wb_err wb_length_encode(enum wb_length_format format, uint64_t length,
			     uint8_t out[WB_LENGTH_BYTES], struct wb_fault *fault)
{
	uint64_t most = is_signed(format) ? INT32_MAX : UINT32_MAX;

	if (length > most)
		return wb_fault_set(fault, WB_ERR_RANGE, NULL, 0,
				    "length: %llu does not fit in four bytes",
				    (unsigned long long)length);
	for (unsigned i = 0; i < WB_LENGTH_BYTES; i++) {
		unsigned place = is_big_endian(format) ? WB_LENGTH_BYTES - 1 - i : i;

		out[place] = (uint8_t)(length >> 8 * i);
	}
	return WB_OK;
}

enum wb_decode wb_frame_decode(enum wb_length_format format, const void *input, size_t bytes,
			       uint32_t limit, struct wb_frame *ret_frame, struct wb_fault *fault)
{
	uint32_t length;
	enum wb_decode decode = wb_length_decode(format, input, bytes, limit, &length, fault);

	if (decode == WB_DECODE_NEED)
		ret_frame->need = WB_LENGTH_BYTES;
	if (decode != WB_DECODE_DONE)
		return decode;
	if (bytes - WB_LENGTH_BYTES < length) {
		ret_frame->need = WB_LENGTH_BYTES + (size_t)length;
		return WB_DECODE_NEED;
	}
	*ret_frame = (struct wb_frame){
		.payload = (const uint8_t *)input + WB_LENGTH_BYTES,
		.payload_bytes = length,
		.consumed = WB_LENGTH_BYTES + (size_t)length,
	};
	return WB_DECODE_DONE;
}
