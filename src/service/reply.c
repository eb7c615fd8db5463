/* The reply of the plain exec services: see reply.h. */
#include "service/reply.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "waybill/header.h"
#include "waybill/length.h"

void wbi_reply_init(struct wbi_reply *reply, enum wbi_reply_framing framing)
{
	memset(reply, 0, sizeof(*reply));
	reply->framing = framing;
}

void wbi_reply_done(struct wbi_reply *reply)
{
	wb_digest_free(reply->digest);
	reply->digest = NULL;
}

void wbi_reply_output(struct wbi_reply *reply, const struct wbi_spool *out,
		      const struct wbi_spool *err)
{
	reply->output[0] = out;
	reply->output[1] = err;
}

void wbi_reply_message(struct wbi_reply *reply, const char *message)
{
	reply->output[0] = reply->output[1] = NULL;
	reply->message_bytes =
		(size_t)snprintf(reply->message, sizeof(reply->message), "%s", message);
	if (reply->message_bytes >= sizeof(reply->message))
		reply->message_bytes = sizeof(reply->message) - 1;
	wb_digest_free(reply->digest); /* of output that will not be sent */
	reply->digest = NULL;
}

/* The reply is the run of these pieces; a piece is either in memory or a spool. */
enum { PIECES = 4 };

struct piece {
	const void *data;
	const struct wbi_spool *spool; /* NULL: data */
	uint64_t bytes;
};

static struct piece spool_piece(const struct wbi_spool *spool)
{
	if (!spool)
		return (struct piece){"", NULL, 0};
	if (spool->file >= 0)
		return (struct piece){NULL, spool, spool->bytes};
	return (struct piece){wbi_buf_peek(&spool->memory).data, NULL, spool->bytes};
}

static void pieces_of(const struct wbi_reply *reply, struct piece out[PIECES])
{
	out[0] = (struct piece){reply->head, NULL, reply->head_bytes};
	out[1] = (struct piece){reply->message, NULL, reply->message_bytes};
	out[2] = spool_piece(reply->output[0]);
	out[3] = spool_piece(reply->output[1]);
}

static uint64_t payload_bytes(const struct wbi_reply *reply)
{
	uint64_t bytes = reply->message_bytes;

	for (int i = 0; i < 2; i++)
		if (reply->output[i])
			bytes += reply->output[i]->bytes;
	return bytes;
}

static enum wb_err digest_open(struct wbi_reply *reply, struct wb_fault *fault)
{
	if (reply->digest)
		return WB_OK;
	return wb_digest_new(WB_DIGEST_MD5, &reply->digest, fault);
}

enum wb_err wbi_reply_digest(struct wbi_reply *reply, size_t most, bool *ret_complete,
			     struct wb_fault *fault)
{
	uint64_t begin = 0;
	enum wb_err err = digest_open(reply, fault);

	for (int i = 0; i < 2 && !err; i++) {
		const struct wbi_spool *spool = reply->output[i];
		uint64_t end = begin + spool->bytes;

		if (reply->digested < end && most > 0) {
			uint64_t left = end - reply->digested;
			size_t bytes = left < most ? (size_t)left : most;

			err = wbi_spool_digest(spool, reply->digested - begin, bytes, reply->digest,
					       fault);
			reply->digested += bytes;
			most -= bytes;
		}
		begin = end;
	}
	if (!err)
		*ret_complete = reply->digested == begin;
	return err;
}

static enum wb_err write_header(struct wbi_reply *reply, char *out, size_t size, size_t *ret_bytes,
				struct wb_fault *fault)
{
	struct wb_header_writer writer;
	char md5[WB_DIGEST_HEX_MAX];
	enum wb_err err = digest_open(reply, fault);

	if (err)
		return err;
	wb_digest_update(reply->digest, reply->message, reply->message_bytes);
	wb_digest_hex(reply->digest, md5);
	wb_header_writer_init(&writer, out, size);
	wb_header_put_string(&writer, "filename", "output");
	wb_header_put_integer(&writer, "total_size", payload_bytes(reply));
	wb_header_put_string(&writer, "md5", md5);
	return wb_header_finish(&writer, ret_bytes, fault);
}

enum wb_err wbi_reply_head(struct wbi_reply *reply, struct wb_fault *fault)
{
	uint64_t announced = payload_bytes(reply);
	size_t header_bytes = 0;
	enum wb_err err = WB_OK;

	if (reply->framing == WBI_REPLY_HEADER) {
		err = write_header(reply, reply->head + WB_LENGTH_BYTES,
				   sizeof(reply->head) - WB_LENGTH_BYTES, &header_bytes, fault);
		announced = header_bytes;
	}
	if (!err)
		err = wb_length_encode(WB_LENGTH_I32_LE, announced, (uint8_t *)reply->head, fault);
	if (!err)
		reply->head_bytes = WB_LENGTH_BYTES + header_bytes;
	return err;
}

/* Gathers the memory pieces from `sent` on, up to the first that stands in a file. Returns the
 * count; where a file comes first, 0 and the file with its offset; where nothing is left, 0 and
 * NULL. */
static int gather_parts(const struct wbi_reply *reply, struct iovec out[PIECES],
			const struct wbi_spool **ret_file, uint64_t *ret_offset)
{
	struct piece pieces[PIECES];
	uint64_t skip = reply->sent;
	int count = 0;

	*ret_file = NULL;
	pieces_of(reply, pieces);
	for (int i = 0; i < PIECES; i++) {
		const struct piece *piece = &pieces[i];

		if (skip >= piece->bytes) {
			skip -= piece->bytes;
			continue;
		}
		if (piece->spool) {
			*ret_file = count == 0 ? piece->spool : NULL;
			*ret_offset = skip;
			break;
		}
		out[count++] = (struct iovec){(char *)piece->data + skip, piece->bytes - skip};
		skip = 0;
	}
	return count;
}

int wbi_reply_send(struct wbi_reply *reply, struct wbi_link *link)
{
	struct iovec parts[PIECES];
	const struct wbi_spool *file;
	uint64_t offset = 0;
	ssize_t sent;
	int count = gather_parts(reply, parts, &file, &offset);

	if (count > 0)
		sent = wbi_link_write(link, parts, count);
	else if (file)
		sent = wbi_spool_send(file, offset, link);
	else
		return 0;
	if (sent < 0)
		return (int)sent;
	reply->sent += (uint64_t)sent;
	return reply->sent == reply->head_bytes + payload_bytes(reply) ? 0 : 1;
}
