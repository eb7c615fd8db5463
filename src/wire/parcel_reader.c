/* The parcel reader: takes parcels apart as they arrive, and never holds a payload. */
#include "waybill/parcel.h"

enum state {
	STATE_HEAD, /* between parcels, or in a head of which the caller still holds every byte */
	STATE_BODY, /* payload_left bytes are due, then the END */
	STATE_BAD,  /* for good */
};

void wb_parcel_reader_init(struct wb_parcel_reader *reader, const struct wb_parcel_limits *limits)
{
	reader->limits = *limits;
	reader->payload_left = 0;
	reader->state = STATE_HEAD;
}

static enum wb_parcel_event read_head(struct wb_parcel_reader *reader, const void *input,
				      size_t bytes, size_t *ret_consumed, struct wb_fault *fault)
{
	switch (wb_parcel_decode_head(&reader->limits, input, bytes, &reader->parcel, fault)) {
	case WB_DECODE_DONE:
		reader->payload_left = reader->parcel.payload_bytes;
		reader->state = STATE_BODY;
		*ret_consumed = reader->parcel.head_bytes;
		return WB_PARCEL_HEAD;
	case WB_DECODE_NEED:
		return WB_PARCEL_NEED;
	case WB_DECODE_BAD:
		break;
	}
	reader->state = STATE_BAD;
	return WB_PARCEL_BAD;
}

static enum wb_parcel_event read_body(struct wb_parcel_reader *reader, const void *input,
				      size_t bytes, size_t *ret_consumed, const uint8_t **ret_data,
				      size_t *ret_bytes)
{
	if (!reader->payload_left) {
		reader->state = STATE_HEAD;
		return WB_PARCEL_END;
	}
	if (!bytes) {
		reader->parcel.need = 1;
		return WB_PARCEL_NEED;
	}
	if (bytes > reader->payload_left)
		bytes = (size_t)reader->payload_left;
	reader->payload_left -= bytes;
	*ret_consumed = *ret_bytes = bytes;
	*ret_data = input;
	return WB_PARCEL_DATA;
}

enum wb_parcel_event wb_parcel_reader_next(struct wb_parcel_reader *reader, const void *input,
					   size_t bytes, size_t *ret_consumed,
					   const uint8_t **ret_data, size_t *ret_bytes,
					   struct wb_fault *fault)
{
	*ret_consumed = 0;
	switch ((enum state)reader->state) {
	case STATE_HEAD:
		return read_head(reader, input, bytes, ret_consumed, fault);
	case STATE_BODY:
		return read_body(reader, input, bytes, ret_consumed, ret_data, ret_bytes);
	case STATE_BAD:
		break;
	}
	wb_fault_set(fault, WB_ERR_MALFORMED, NULL, 0, "parcel: nothing is read after a bad one");
	return WB_PARCEL_BAD;
}

bool wb_parcel_reader_idle(const struct wb_parcel_reader *reader)
{
	return reader->state == STATE_HEAD;
}
