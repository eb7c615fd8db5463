/* The parcel: u32 LE header length, a JSON header, and total_size bytes of payload.
 *
 * Decoding: wb_parcel_decode takes a whole parcel that has been gathered in memory; struct
 * wb_parcel_reader takes one apart as it arrives and never holds its payload.
 * Protocol: docs/PROTOCOL.md, "The parcel". */
#ifndef WAYBILL_PARCEL_H
#define WAYBILL_PARCEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "waybill/err.h"
#include "waybill/header.h"
#include "waybill/length.h"

enum { WB_PARCEL_HEADER_MIN = 2, WB_PARCEL_HEADER_UNKNOWN_MAX = 4096 };

struct wb_parcel_limits {
	uint32_t header_bytes;  /* 2 … WB_HEADER_BYTES_MAX */
	uint64_t payload_bytes; /* 0 … WB_INTEGER_MAX */
};

/* The head of a parcel, decoded. `header` borrows the input. */
struct wb_parcel {
	struct wb_header header;
	uint64_t payload_bytes; /* the header's total_size, 0 where it is absent */
	const uint8_t *payload; /* wb_parcel_decode only: borrowed from the input */
	size_t head_bytes;      /* 4 + header length */
	size_t consumed; /* wb_parcel_decode: whole parcel; wb_parcel_decode_head: head_bytes */
	size_t need;     /* on NEED: total bytes of input that are needed to go on, > bytes */
};

/* Decodes a parcel's length and header only. On BAD, fault->offset counts from the parcel's first
 * byte. The `crit` rule is not applied here (see wb_parcel_check_crit). */
enum wb_decode wb_parcel_decode_head(const struct wb_parcel_limits *limits, const void *input,
				     size_t bytes, struct wb_parcel *ret_parcel,
				     struct wb_fault *fault);

/* Decodes a whole parcel, payload included (so limits->payload_bytes bounds what is gathered).
 * Stateless: each call reads the header again, so after NEED gather `need` bytes before the next.
 */
enum wb_decode wb_parcel_decode(const struct wb_parcel_limits *limits, const void *input,
				size_t bytes, struct wb_parcel *ret_parcel, struct wb_fault *fault);

/* Applies `crit`: every field named there must stand in `known` (NULL-terminated).
 * Returns WB_OK, WB_ERR_UNSUPPORTED (fault->field names the first unknown one), or
 * WB_ERR_MALFORMED where crit is not an array of strings. */
WB_WARN_UNUSED enum wb_err wb_parcel_check_crit(const struct wb_header *header,
						const char *const *known, struct wb_fault *fault);

/* Ends a header that `writer` holds and puts the four length bytes before it. The writer must have
 * been begun with wb_parcel_writer_init on the same buffer. ret_bytes: length of the whole head. */
void wb_parcel_writer_init(struct wb_header_writer *writer, void *buffer, size_t size);
WB_WARN_UNUSED enum wb_err wb_parcel_writer_finish(struct wb_header_writer *writer, void *buffer,
						   size_t *ret_bytes, struct wb_fault *fault);

/* A parcel as it arrives. */
enum wb_parcel_event {
	WB_PARCEL_NEED, /* parcel.need bytes of input are needed, counted from what is not consumed
			 */
	WB_PARCEL_HEAD, /* reader->parcel holds the header; valid until the next call */
	WB_PARCEL_DATA, /* ret_data, ret_bytes: a piece of payload, borrowed from the input */
	WB_PARCEL_END,  /* the payload is complete; the next call starts a new parcel */
	WB_PARCEL_BAD,  /* the fault says why; the reader stays bad */
};

struct wb_parcel_reader {
	struct wb_parcel_limits limits;
	struct wb_parcel parcel;
	uint64_t payload_left;
	unsigned state;
};

void wb_parcel_reader_init(struct wb_parcel_reader *reader, const struct wb_parcel_limits *limits);

/* Takes the next step. *ret_consumed is always set, ret_data and ret_bytes on DATA.
 *
 * input, bytes: what has arrived and was not consumed yet. ret_consumed: bytes that the caller may
 * now drop from the front (after it is done with what was borrowed). A head is consumed only when
 * it is whole, so the caller's buffer must be able to hold 4 + limits.header_bytes.
 * Call again with the rest until it says NEED; END comes without consuming anything. */
enum wb_parcel_event wb_parcel_reader_next(struct wb_parcel_reader *reader, const void *input,
					   size_t bytes, size_t *ret_consumed,
					   const uint8_t **ret_data, size_t *ret_bytes,
					   struct wb_fault *fault);

/* True between parcels: an end of stream here, with no input left over, loses nothing. */
bool wb_parcel_reader_idle(const struct wb_parcel_reader *reader);

#endif
