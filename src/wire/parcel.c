/* The parcel: where a length, a header and a payload become one thing, and come apart again. */
#include "waybill/parcel.h"

#include <string.h>

#include "wire/header_get.h"

/* A header's faults count from its own first byte; a parcel's from the length before it. */
static enum wb_decode bad_header(struct wb_fault *fault)
{
	if (fault)
		fault->offset += WB_LENGTH_BYTES;
	return WB_DECODE_BAD;
}

static enum wb_decode decode_length(const struct wb_parcel_limits *limits, const void *input,
				    size_t bytes, uint32_t *ret_length, struct wb_fault *fault)
{
	uint32_t limit = limits->header_bytes, length = 0;
	enum wb_decode decode;

	if (limit > WB_HEADER_BYTES_MAX)
		limit = WB_HEADER_BYTES_MAX;
	decode = wb_length_decode(WB_LENGTH_U32_LE, input, bytes, limit, &length, fault);
	if (decode != WB_DECODE_DONE)
		return decode;
	if (length < WB_PARCEL_HEADER_MIN) {
		wb_fault_set(fault, WB_ERR_MALFORMED, NULL, 0,
			     "parcel: a header of %u bytes is no object", (unsigned)length);
		return WB_DECODE_BAD;
	}
	*ret_length = length;
	return WB_DECODE_DONE;
}

/* Reads total_size, 0 where it is absent. */
static enum wb_err payload_size(const struct wb_header *header, uint64_t limit, uint64_t *ret_bytes,
				struct wb_fault *fault)
{
	static const char name[] = "total_size";
	const struct wb_json_value *value = wb_header_find(header, name);
	uint64_t payload_bytes = 0;
	enum wb_err err;

	if (value) {
		err = wb_header_get_integer(header, name, &payload_bytes, fault);
		if (err)
			return err;
	}
	if (payload_bytes > limit)
		return wb_fault_set(fault, WB_ERR_LIMIT, name, value ? value->offset : 0,
				    "parcel: total_size: %llu is above the limit of %llu",
				    (unsigned long long)payload_bytes, (unsigned long long)limit);
	*ret_bytes = payload_bytes;
	return WB_OK;
}

enum wb_decode wb_parcel_decode_head(const struct wb_parcel_limits *limits, const void *input,
				     size_t bytes, struct wb_parcel *ret_parcel,
				     struct wb_fault *fault)
{
	const uint8_t *header;
	uint32_t length;
	enum wb_decode decode = decode_length(limits, input, bytes, &length, fault);

	if (decode == WB_DECODE_NEED)
		ret_parcel->need = WB_LENGTH_BYTES;
	if (decode != WB_DECODE_DONE)
		return decode;
	if (bytes - WB_LENGTH_BYTES < length) {
		ret_parcel->need = WB_LENGTH_BYTES + length;
		return WB_DECODE_NEED;
	}
	header = (const uint8_t *)input + WB_LENGTH_BYTES;
	if (wb_header_parse(&ret_parcel->header, header, length, fault) ||
	    payload_size(&ret_parcel->header, limits->payload_bytes, &ret_parcel->payload_bytes,
			 fault))
		return bad_header(fault);
	ret_parcel->head_bytes = ret_parcel->consumed = WB_LENGTH_BYTES + length;
	ret_parcel->payload = NULL;
	return WB_DECODE_DONE;
}

enum wb_decode wb_parcel_decode(const struct wb_parcel_limits *limits, const void *input,
				size_t bytes, struct wb_parcel *ret_parcel, struct wb_fault *fault)
{
	enum wb_decode decode = wb_parcel_decode_head(limits, input, bytes, ret_parcel, fault);
	size_t most;

	if (decode != WB_DECODE_DONE)
		return decode;
	most = SIZE_MAX - ret_parcel->head_bytes;
	if (ret_parcel->payload_bytes > most) {
		wb_fault_set(fault, WB_ERR_LIMIT, "total_size", 0,
			     "parcel: total_size: more than this machine's memory can hold");
		return WB_DECODE_BAD;
	}
	ret_parcel->consumed += (size_t)ret_parcel->payload_bytes;
	if (bytes < ret_parcel->consumed) {
		ret_parcel->need = ret_parcel->consumed;
		return WB_DECODE_NEED;
	}
	ret_parcel->payload = (const uint8_t *)input + ret_parcel->head_bytes;
	return WB_DECODE_DONE;
}

static bool is_known(const struct wb_header *header, const struct wb_json_value *name,
		     const char *const *known)
{
	for (; *known; known++) {
		if (wbi_json_text_is(header, name, *known))
			return true;
	}
	return false;
}

static enum wb_err refuse_unknown(const struct wb_header *header, const struct wb_json_value *name,
				  struct wb_fault *fault)
{
	char field[WB_FAULT_FIELD_MAX];

	if (fault) /* the name is for the eye only, so what is too long may be cut */
		wbi_json_text_cut(header, name, field, sizeof(field));
	else
		field[0] = '\0';
	return wb_fault_set(fault, WB_ERR_UNSUPPORTED, field, name->offset,
			    "parcel: %s: the peer insists on it, but it is not known here", field);
}

enum wb_err wb_parcel_check_crit(const struct wb_header *header, const char *const *known,
				 struct wb_fault *fault)
{
	const struct wb_json_value *crit = wb_header_find(header, "crit");
	struct wb_json_value name;
	uint32_t cursor = 0;

	if (!crit)
		return WB_OK;
	if (crit->type != WB_JSON_ARRAY)
		return wb_fault_set(fault, WB_ERR_MALFORMED, "crit", crit->offset,
				    "parcel: crit: not an array");
	while (wb_json_next(header, crit, &cursor, NULL, &name)) {
		if (name.type != WB_JSON_STRING)
			return wb_fault_set(fault, WB_ERR_MALFORMED, "crit", name.offset,
					    "parcel: crit: not an array of strings");
		if (!is_known(header, &name, known))
			return refuse_unknown(header, &name, fault);
	}
	return WB_OK;
}

void wb_parcel_writer_init(struct wb_header_writer *writer, void *buffer, size_t size)
{
	bool fits = size > WB_LENGTH_BYTES;

	wb_header_writer_init(writer, fits ? (char *)buffer + WB_LENGTH_BYTES : buffer,
			      fits ? size - WB_LENGTH_BYTES : 0);
}

enum wb_err wb_parcel_writer_finish(struct wb_header_writer *writer, void *buffer,
				    size_t *ret_bytes, struct wb_fault *fault)
{
	size_t header_bytes;
	enum wb_err err = wb_header_finish(writer, &header_bytes, fault);

	if (!err)
		err = wb_length_encode(WB_LENGTH_U32_LE, header_bytes, buffer, fault);
	if (err)
		return err;
	*ret_bytes = WB_LENGTH_BYTES + header_bytes;
	return WB_OK;
}
