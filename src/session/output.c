/* The output: parcels that are staged, lent to the caller as parts, and written bit by bit. */
#include <stdlib.h>
#include <string.h>

#include "session/engine.h"

static struct wbi_part *part_at(struct wbi_output *output, unsigned i)
{
	return &output->parts[(output->first + i) % WBI_PARTS_MAX];
}

void wbi_output_done(struct wbi_output *output)
{
	for (unsigned i = 0; i < output->count; i++)
		free(part_at(output, i)->copy);
	free(output->heads);
	*output = (struct wbi_output){.broken = output->broken};
}

enum wb_err wbi_output_head_room(struct wbi_output *output, uint8_t **ret_room, size_t *ret_bytes)
{
	if (!output->heads)
		output->heads = malloc(WBI_HEADS_BYTES);
	if (!output->heads)
		return WB_ERR_NOMEM;
	if (WBI_HEADS_BYTES - output->head_bytes < WBI_HEAD_ROOM_MIN)
		return WB_ERR_LIMIT;
	*ret_room = output->heads + output->head_bytes;
	*ret_bytes = WBI_HEADS_BYTES - output->head_bytes;
	return WB_OK;
}

static void add(struct wbi_output *output, struct wbi_part part)
{
	*part_at(output, output->count++) = part;
	output->staged_bytes += part.bytes;
}

void wbi_output_add_head(struct wbi_output *output, size_t bytes)
{
	add(output, (struct wbi_part){.head = true, .at = output->head_bytes, .bytes = bytes});
	output->head_bytes += bytes;
}

void wbi_output_add_parcel(struct wbi_output *output, struct wbi_call *call)
{
	add(output, (struct wbi_part){.head = true, .call = call, .bytes = call->parcel_bytes});
}

void wbi_output_add_data(struct wbi_output *output, struct wbi_stream *stream, uint64_t offset,
			 size_t bytes)
{
	add(output, (struct wbi_part){.stream = stream, .at = offset, .bytes = bytes});
}

static struct wbi_slice borrow(const struct wbi_stream *stream, uint64_t offset, size_t bytes)
{
	return stream->source->ops->peek(stream->source, offset, bytes);
}

static void copy_out(uint8_t *out, const struct wbi_part *part)
{
	uint64_t at = part->at;
	size_t left = part->bytes;

	if (part->call) {
		memcpy(out, part->call->parcel + at, left);
		return;
	}
	while (left) {
		struct wbi_slice slice = borrow(part->stream, at, left);

		memcpy(out, slice.data, slice.bytes);
		out += slice.bytes;
		at += slice.bytes;
		left -= slice.bytes;
	}
}

static void unborrow(struct wbi_output *output, struct wbi_part *part)
{
	part->copy = malloc(part->bytes);
	if (part->copy)
		copy_out(part->copy, part);
	else
		output->broken = true;
	part->at = 0;
	part->call = NULL;
	part->stream = NULL;
}

void wbi_output_unborrow_parcel(struct wbi_carrier *carrier, const struct wbi_call *call)
{
	for (unsigned i = 0; i < carrier->output.count; i++) {
		struct wbi_part *part = part_at(&carrier->output, i);

		if (part->call == call)
			unborrow(&carrier->output, part);
	}
}

void wbi_output_unborrow_stream(struct wbi_carrier *carrier, const struct wbi_stream *stream)
{
	for (unsigned i = 0; i < carrier->output.count; i++) {
		struct wbi_part *part = part_at(&carrier->output, i);

		if (part->stream == stream)
			unborrow(&carrier->output, part);
	}
}

uint64_t wbi_output_written(const struct wbi_carrier *carrier, const struct wbi_stream *stream)
{
	const struct wbi_output *output = &carrier->output;

	for (unsigned i = 0; i < output->count; i++) {
		const struct wbi_part *part = &output->parts[(output->first + i) % WBI_PARTS_MAX];

		if (part->stream == stream)
			return part->at;
	}
	return stream->offset;
}

static void drop_last(struct wbi_output *output)
{
	struct wbi_part *part = part_at(output, --output->count);

	output->staged_bytes -= part->bytes;
	free(part->copy);
	part->copy = NULL;
}

void wbi_output_truncate(struct wbi_carrier *carrier)
{
	struct wbi_output *output = &carrier->output;
	struct wbi_part *first = part_at(output, 0);
	unsigned keep = 0;

	if (output->count && (!first->head || first->started))
		keep = 1;
	if (keep && first->head && output->count > 1 && !part_at(output, 1)->head)
		keep = 2;
	while (output->count > keep)
		drop_last(output);
	for (unsigned i = 0; i < output->count; i++) {
		struct wbi_part *part = part_at(output, i);

		if (part->call || part->stream)
			unborrow(output, part);
	}
}

/* The part's bytes, or the first of them where its source has them in pieces. */
static struct wbi_slice look(const struct wbi_output *output, const struct wbi_part *part,
			     uint64_t at, size_t bytes)
{
	if (part->copy)
		return (struct wbi_slice){part->copy + at, bytes};
	if (part->call)
		return (struct wbi_slice){part->call->parcel + at, bytes};
	if (part->stream)
		return borrow(part->stream, at, bytes);
	return (struct wbi_slice){output->heads + at, bytes};
}

int wbi_carrier_peek(struct wbi_carrier *carrier, struct iovec *parts, int room, uint64_t now_ms)
{
	struct wbi_output *output = &carrier->output;
	int count = 0;

	carrier->now_ms = now_ms;
	while (wbi_stage_next(carrier))
		;
	if (output->broken)
		return 0;
	for (unsigned i = 0; i < output->count && count < room; i++) {
		const struct wbi_part *part = part_at(output, i);
		uint64_t at = part->at, end = at + part->bytes;

		while (at < end && count < room) {
			struct wbi_slice slice = look(output, part, at, (size_t)(end - at));

			parts[count++] = (struct iovec){.iov_base = (void *)(uintptr_t)slice.data,
							.iov_len = slice.bytes};
			at += slice.bytes;
		}
		if (at < end)
			break;
	}
	return count;
}

static size_t take(struct wbi_part *part, size_t bytes)
{
	if (bytes > part->bytes)
		bytes = part->bytes;
	/* From its first byte on, nobody can say that the server does not know the call. */
	if (bytes && part->call && part->call->state == WBI_CALL_NEW)
		wbi_call_set_state(part->call, WBI_CALL_OPENING);
	part->started = true;
	part->at += bytes;
	part->bytes -= bytes;
	return bytes;
}

void wbi_carrier_ack(struct wbi_carrier *carrier, size_t bytes)
{
	struct wbi_output *output = &carrier->output;

	while (bytes && output->count) {
		struct wbi_part *part = part_at(output, 0);
		size_t took = take(part, bytes);

		bytes -= took;
		output->staged_bytes -= took;
		if (part->bytes)
			break;
		free(part->copy);
		part->copy = NULL;
		output->first = (output->first + 1) % WBI_PARTS_MAX;
		output->count--;
	}
	if (output->count)
		return;
	output->head_bytes = 0;
	if (carrier->state == WBI_CARRIER_CLOSING && !carrier->due)
		wbi_carrier_end(carrier, carrier->reason);
}
