/* Length framing: four bytes that say how many bytes follow.
 *
 * TCP carries bytes, not messages; this is the oldest cure. Decoders are stateless: they look at
 * what has been gathered and say done, need more (a result, not an error), or bad. */
#ifndef WAYBILL_LENGTH_H
#define WAYBILL_LENGTH_H

#include <stddef.h>
#include <stdint.h>

#include "waybill/err.h"

enum { WB_LENGTH_BYTES = 4 };

/* How the four bytes are read. Waybill's own wire is WB_LENGTH_U32_LE; the tutorial's struct.pack
 * ('i') is WB_LENGTH_I32_LE on every common machine; most other framings are WB_LENGTH_U32_BE. */
enum wb_length_format {
	WB_LENGTH_U32_LE,
	WB_LENGTH_U32_BE,
	WB_LENGTH_I32_LE,
	WB_LENGTH_I32_BE,
};

enum wb_decode {
	WB_DECODE_DONE,
	WB_DECODE_NEED, /* more bytes are needed; the result says how many in all */
	WB_DECODE_BAD,  /* the fault says why */
};

/* Reads a length.
 *
 * input, bytes: what has been gathered, may be empty. limit: the largest length that is accepted.
 * ret_length: set on DONE. fault: set on BAD: MALFORMED for a negative i32, LIMIT above `limit`. */
enum wb_decode wb_length_decode(enum wb_length_format format, const void *input, size_t bytes,
				uint32_t limit, uint32_t *ret_length, struct wb_fault *fault);

/* Writes a length as four bytes. Returns WB_OK, or WB_ERR_RANGE above INT32_MAX for i32. */
WB_WARN_UNUSED enum wb_err wb_length_encode(enum wb_length_format format, uint64_t length,
					    uint8_t out[WB_LENGTH_BYTES], struct wb_fault *fault);

/* One whole frame: a length and that many bytes. */
struct wb_frame {
	const uint8_t *payload; /* borrowed from the input */
	uint32_t payload_bytes;
	size_t consumed; /* bytes of input that the frame took */
	size_t need;     /* on NEED: total bytes of input that are needed to go on, > bytes */
};

/* Takes the first frame of the input apart. As wb_length_decode; ret_frame->need is set on NEED,
 * everything else on DONE. */
enum wb_decode wb_frame_decode(enum wb_length_format format, const void *input, size_t bytes,
			       uint32_t limit, struct wb_frame *ret_frame, struct wb_fault *fault);

#endif
