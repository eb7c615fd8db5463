/* talk with the exec services: a command out, then a length or a header, and the output it tells.
 *
 * Output is shown as it arrives and never held, so a peer's claim of 2 GiB costs nothing. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cli/talk.h"
#include "waybill/digest.h"
#include "waybill/header.h"
#include "waybill/length.h"

enum { HEADER_BYTES_MIN = 2, DUMP_COLUMNS = 16 };

/* Shows bytes on stderr as hex and text. */
static void dump(const char *what, const uint8_t *data, size_t bytes)
{
	fprintf(stderr, "%s, %zu bytes:\n", what, bytes);
	for (size_t at = 0; at < bytes; at += DUMP_COLUMNS) {
		char text[DUMP_COLUMNS + 1] = "";

		fprintf(stderr, "  ");
		for (size_t i = at; i < at + DUMP_COLUMNS; i++) {
			if (i >= bytes) {
				fprintf(stderr, "   ");
				continue;
			}
			fprintf(stderr, "%02x ", data[i]);
			text[i - at] = data[i] >= 0x20 && data[i] < 0x7f ? (char)data[i] : '.';
		}
		fprintf(stderr, " %s\n", text);
	}
}

/* Prefixes a decoder's fault. base: where its input began in the reply. */
static enum wb_err bad_reply(struct wb_fault *fault, size_t base)
{
	size_t offset = fault->offset + base;

	return wb_fault_set(fault, fault->err, NULL, 0, "bad reply: %s (offset %zu)", fault->text,
			    offset);
}

/* Reads `bytes` bytes. *deadline_ms begins to run with the first byte of a reply. */
static enum wb_err receive_whole(struct wbi_talk *talk, uint8_t *out, size_t bytes,
				 const char *what, uint64_t *deadline_ms, struct wb_fault *fault)
{
	size_t got = 0;

	while (got < bytes) {
		size_t more;
		enum wb_err err =
			wbi_talk_receive(talk, out + got, bytes - got, *deadline_ms, &more, fault);

		if (err)
			return wbi_talk_cut(fault, got, bytes, what);
		if (*deadline_ms == WBI_TALK_NEVER)
			*deadline_ms = wbi_talk_deadline_ms(talk);
		got += more;
	}
	return WB_OK;
}

static enum wb_err receive_length(struct wbi_talk *talk, uint64_t *deadline_ms,
				  uint32_t *ret_length, struct wb_fault *fault)
{
	uint8_t bytes[WB_LENGTH_BYTES];
	enum wb_err err = receive_whole(talk, bytes, sizeof(bytes), "length", deadline_ms, fault);

	if (err)
		return err;
	if (talk->verbose)
		dump("length", bytes, sizeof(bytes));
	if (wb_length_decode(WB_LENGTH_I32_LE, bytes, sizeof(bytes), INT32_MAX, ret_length,
			     fault) != WB_DECODE_DONE)
		return bad_reply(fault, 0);
	return WB_OK;
}

/* Shows `total` bytes of output as they come. digest may be NULL. */
static enum wb_err pass_output(struct wbi_talk *talk, uint64_t total, struct wb_digest *digest,
			       struct wb_fault *fault)
{
	uint64_t got = 0;

	while (got < total) {
		uint64_t left = total - got;
		size_t size = left < sizeof(talk->chunk) ? (size_t)left : sizeof(talk->chunk);
		size_t bytes;
		enum wb_err err =
			wbi_talk_receive(talk, talk->chunk, size, WBI_TALK_NEVER, &bytes, fault);

		if (err)
			return wbi_talk_cut(fault, got, total, "output");
		if (digest)
			wb_digest_update(digest, talk->chunk, bytes);
		got += bytes;
		err = wbi_show_bytes(talk->show, talk->chunk, bytes, fault);
		if (err)
			return err;
	}
	return wbi_show_end(talk->show, "", fault);
}

static enum wb_err send_command(struct wbi_talk *talk, const struct wbi_line_piece *piece,
				struct wb_fault *fault)
{
	enum wb_err err = wbi_talk_check_quiet(talk, fault);

	return err ? err : wbi_talk_send(talk, piece->data, piece->bytes, fault);
}

enum wb_err wbi_talk_exec_length(struct wbi_talk *talk, const struct wbi_line_piece *piece,
				 struct wb_fault *fault)
{
	uint64_t deadline_ms = WBI_TALK_NEVER;
	uint32_t total;
	enum wb_err err = send_command(talk, piece, fault);

	if (!err)
		err = receive_length(talk, &deadline_ms, &total, fault);
	return err ? err : pass_output(talk, total, NULL, fault);
}

/* What the header of a reply says. */
struct head {
	uint64_t total;
	char md5[WB_DIGEST_HEX_MAX]; /* "": none that could be checked */
};

/* The name is of no use here, but where it stands it is text. */
static enum wb_err check_name(const struct wb_header *header, const char *key,
			      struct wb_fault *fault)
{
	const struct wb_json_value *name = wb_header_find(header, key);

	if (!name || name->type == WB_JSON_STRING)
		return WB_OK;
	return wb_fault_set(fault, WB_ERR_MALFORMED, key, name->offset, "header: %s: not text",
			    key);
}

/* Old peers send any text as md5; only 32 hex digits are one. */
static enum wb_err read_md5(const struct wb_header *header, char out[WB_DIGEST_HEX_MAX],
			    struct wb_fault *fault)
{
	const struct wb_json_value *value = wb_header_find(header, "md5");
	size_t bytes;

	*out = '\0';
	if (!value)
		return WB_OK;
	if (value->type != WB_JSON_STRING)
		return wb_fault_set(fault, WB_ERR_MALFORMED, "md5", value->offset,
				    "header: md5: not text");
	if (wb_json_text(header, value, out, WB_DIGEST_HEX_MAX, &bytes, NULL) != WB_OK ||
	    !wb_digest_is_hex(WB_DIGEST_MD5, out, bytes))
		*out = '\0';
	return WB_OK;
}

static enum wb_err read_head(const uint8_t *text, size_t bytes, struct head *ret_head,
			     struct wb_fault *fault)
{
	struct wb_header header;
	enum wb_err err = wb_header_parse(&header, text, bytes, fault);

	if (!err)
		err = check_name(&header, "filename", fault);
	if (!err)
		err = check_name(&header, "filenema", fault); /* as old peers spell it */
	if (!err)
		err = wb_header_get_integer(&header, "total_size", &ret_head->total, fault);
	if (!err)
		err = read_md5(&header, ret_head->md5, fault);
	return err ? bad_reply(fault, WB_LENGTH_BYTES) : WB_OK;
}

static enum wb_err receive_head(struct wbi_talk *talk, struct head *ret_head,
				struct wb_fault *fault)
{
	uint64_t deadline_ms = WBI_TALK_NEVER;
	uint8_t text[WB_HEADER_BYTES_MAX];
	uint32_t bytes;
	enum wb_err err = receive_length(talk, &deadline_ms, &bytes, fault);

	if (err)
		return err;
	if (bytes < HEADER_BYTES_MIN || bytes > sizeof(text))
		return wb_fault_set(fault, WB_ERR_LIMIT, NULL, 0,
				    "bad reply: length: a header of %" PRIu32
				    " bytes, not of %d to %zu (offset 0)",
				    bytes, HEADER_BYTES_MIN, sizeof(text));
	err = receive_whole(talk, text, bytes, "header", &deadline_ms, fault);
	if (err)
		return err;
	if (talk->verbose)
		dump("header", text, bytes);
	return read_head(text, bytes, ret_head, fault);
}

static enum wb_err check_md5(struct wb_digest *digest, const char *claimed, struct wb_fault *fault)
{
	char real[WB_DIGEST_HEX_MAX];

	wb_digest_hex(digest, real);
	if (strcasecmp(real, claimed) == 0)
		return WB_OK;
	return wb_fault_set(fault, WB_ERR_MALFORMED, "md5", 0,
			    "bad reply: md5: the header says %s, the output has %s", claimed, real);
}

enum wb_err wbi_talk_exec_header(struct wbi_talk *talk, const struct wbi_line_piece *piece,
				 struct wb_fault *fault)
{
	struct wb_digest *digest = NULL;
	struct head head;
	enum wb_err err = send_command(talk, piece, fault);

	if (!err)
		err = receive_head(talk, &head, fault);
	if (err)
		return err;
	/* Where the crypto library has no md5, there is nothing to check it with. */
	if (*head.md5 && wb_digest_new(WB_DIGEST_MD5, &digest, NULL) != WB_OK)
		digest = NULL;
	err = pass_output(talk, head.total, digest, fault);
	if (!err && digest)
		err = check_md5(digest, head.md5, fault);
	wb_digest_free(digest);
	return err;
}
