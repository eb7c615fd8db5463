/* The sender's life: see sender.h. */
#include "files/sender.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "files/sender_state.h"
#include "sys/fd.h"

enum {
	STEP_ROOM = WBI_ITEM_HEAD_BYTES_MAX + 4096,
	DATA_ROOM = 64 * 1024, /* content is not worth a smaller piece, but for its last one */
	WORK_BYTES = 32 << 20, /* looked at in one fill, about: its owner has a clock to look at */
	SHOWN_NAME_MAX = 121,  /* of a text; the rest is for the reason */
};

_Static_assert((int)STEP_ROOM < (int)WBI_FILE_ROOM_MIN, "any room takes a step");

static enum wb_err set_up(struct wbi_file_sender *sender, struct wb_fault *fault)
{
	enum wb_err err = wb_digest_new(sender->options.digest, &sender->digest, fault);

	if (!err)
		err = wb_digest_new(sender->options.digest, &sender->content.digest, fault);
	if (!err)
		err = wb_digest_new(WB_DIGEST_XXH128, &sender->block, fault);
	if (err || !sender->options.compress || !wbi_compress_exists())
		return err;
	err = wbi_compressor_new(&sender->compressor);
	return err ? wb_fault_set(fault, err, NULL, 0, "no memory to compress with") : WB_OK;
}

enum wb_err wbi_file_sender_new(const struct wbi_file_sender_options *options,
				struct wbi_file_sender **ret_sender, struct wb_fault *fault)
{
	struct wbi_file_sender *sender = calloc(1, sizeof(*sender));
	enum wb_err err;

	if (!sender)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "no memory for a transfer");
	sender->options = *options;
	wbi_names_init(&sender->names, SIZE_MAX);
	sender->content.fd = sender->held.fd = sender->waits_for = -1;
	sender->last_uid = (uid_t)-1;
	sender->last_gid = (gid_t)-1;
	wbi_list_init(&sender->wanted);
	for (unsigned i = 0; i < WBI_ITEM_OFFERS_MAX; i++)
		wbi_list_init(&sender->offers[i].node);
	err = set_up(sender, fault);
	if (err) {
		wbi_file_sender_free(sender);
		return err;
	}
	*ret_sender = sender;
	return WB_OK;
}

void wbi_file_sender_free(struct wbi_file_sender *sender)
{
	if (!sender)
		return;
	if (sender->content.offer)
		wbi_content_end(sender);
	for (unsigned i = 0; i < WBI_ITEM_OFFERS_MAX; i++)
		wbi_offer_free(sender, &sender->offers[i]);
	wbi_fd_close(&sender->held.fd);
	wbi_compressor_free(sender->compressor);
	wbi_walk_free(sender->walk);
	wbi_links_done(&sender->links);
	wbi_names_done(&sender->names);
	wbi_file_failures_done(&sender->failures);
	wb_digest_free(sender->content.digest);
	wb_digest_free(sender->digest);
	wb_digest_free(sender->block);
	free(sender);
}

bool wbi_file_sender_done(const struct wbi_file_sender *sender)
{
	return sender->phase == WBI_SENDER_FINISHED;
}

int wbi_file_sender_waits_for(const struct wbi_file_sender *sender)
{
	return sender->waits_for;
}

const struct wbi_file_progress *wbi_file_sender_progress(const struct wbi_file_sender *sender)
{
	return &sender->progress;
}

const struct wbi_file_failures *wbi_file_sender_failures(const struct wbi_file_sender *sender)
{
	return &sender->failures;
}

/* ---- offers ---- */

struct wbi_offer *wbi_offer_new(struct wbi_file_sender *sender)
{
	for (unsigned i = 0; i < WBI_ITEM_OFFERS_MAX; i++)
		if (sender->offers[i].n == 0) {
			sender->offer_count++;
			return &sender->offers[i];
		}
	return NULL;
}

void wbi_offer_free(struct wbi_file_sender *sender, struct wbi_offer *offer)
{
	if (offer->n == 0)
		return;
	wbi_list_remove(&offer->node);
	free(offer->path);
	free(offer->name);
	free(offer->blocks);
	sender->blocks_bytes -=
		offer->blocks ? offer->block_count * WBI_ITEM_BLOCK_DIGEST_BYTES : 0;
	memset(offer, 0, sizeof(*offer));
	wbi_list_init(&offer->node);
	sender->offer_count--;
}

static struct wbi_offer *find_offer(struct wbi_file_sender *sender, uint64_t n)
{
	for (unsigned i = 0; n && i < WBI_ITEM_OFFERS_MAX; i++)
		if (sender->offers[i].n == n && !sender->offers[i].wanted)
			return &sender->offers[i];
	return NULL;
}

/* ---- filling ---- */

enum wb_err wbi_sender_emit(struct wbi_file_sender *sender)
{
	size_t bytes;
	enum wb_err err = wbi_item_encode(&sender->item, sender->out + sender->used,
					  wbi_sender_room(sender), &bytes, &sender->fault);

	if (!err)
		sender->used += bytes;
	return err;
}

void wbi_sender_count(struct wbi_file_sender *sender, size_t bytes)
{
	size_t payload_bytes = (size_t)sender->item.payload_bytes;

	sender->used += payload_bytes;
	sender->progress.bytes_wire += payload_bytes;
	sender->progress.bytes_saved += bytes - payload_bytes;
	sender->progress.bytes_done += bytes;
}

enum wb_err wbi_sender_emit_content(struct wbi_file_sender *sender, const uint8_t *data,
				    size_t bytes)
{
	struct wbi_item *item = &sender->item;
	size_t packed = 0;
	enum wb_err err;

	/* What shrinks by less than an eighth is not worth the other side's time. */
	if (sender->compresses)
		packed = wbi_compress(sender->compressor, data, bytes, sender->packed,
				      bytes - bytes / 8);
	item->raw_bytes = packed ? (uint32_t)bytes : 0;
	item->payload_bytes = packed ? packed : bytes;
	err = wbi_sender_emit(sender);
	if (err)
		return err;
	memcpy(sender->out + sender->used, packed ? sender->packed : data, item->payload_bytes);
	wbi_sender_count(sender, bytes);
	return WB_OK;
}

void wbi_sender_note_failure(struct wbi_file_sender *sender, uint64_t n, const char *name,
			     const char *error, const char *why)
{
	struct wbi_item *item = &sender->item;
	char shown[SHOWN_NAME_MAX];
	struct wb_fault fault;

	if (!error)
		error = wbi_file_error_name(errno);
	if (!why)
		why = strerror(errno);
	if (!name[0])
		name = "''";
	wbi_text_escape(name, strlen(name), shown, sizeof(shown), NULL);
	wb_fault_set(&fault, WB_ERR_REFUSED, NULL, 0, "%s: %s", shown, why);
	if (!n)
		n = ++sender->n;
	wbi_file_failures_add(&sender->failures, n, error, "%s", fault.text);
	wbi_item_init(item, WBI_ITEM_ABORT);
	item->n = n;
	snprintf(item->error, sizeof(item->error), "%s", error);
	snprintf(item->text, sizeof(item->text), "%s", fault.text);
}

enum wb_err wbi_sender_fail(struct wbi_file_sender *sender, uint64_t n, const char *name,
			    const char *error, const char *why)
{
	wbi_sender_note_failure(sender, n, name, error, why);
	return wbi_sender_emit(sender);
}

static enum wb_err tell_done(struct wbi_file_sender *sender)
{
	wbi_item_init(&sender->item, WBI_ITEM_DONE);
	sender->item.files = sender->done_files;
	sender->item.bytes = sender->done_bytes;
	sender->phase = WBI_SENDER_TOLD;
	return wbi_sender_emit(sender);
}

/* Content goes before offers, so that few offers are open; but between two files comes one step of
 * the scan, so that the receiver always has offers to think about. */
static bool is_content_due(const struct wbi_file_sender *sender)
{
	if (sender->content.offer)
		return true;
	return !wbi_list_empty(&sender->wanted) &&
	       (!sender->scan_due || !wbi_sender_may_scan(sender));
}

static enum wb_err step(struct wbi_file_sender *sender, bool *ret_moved)
{
	*ret_moved = true;
	if (sender->listing_bytes > 0) {
		wbi_sender_list(sender);
		return WB_OK;
	}
	if (is_content_due(sender)) {
		sender->scan_due = true;
		return sender->content.offer ? wbi_content_step(sender, ret_moved)
					     : wbi_content_begin(sender);
	}
	sender->scan_due = false;
	if (wbi_sender_may_scan(sender))
		return wbi_sender_scan(sender, ret_moved);
	if (sender->phase == WBI_SENDER_SCANNED && sender->offer_count == 0)
		return tell_done(sender);
	*ret_moved = false;
	return WB_OK;
}

/* Whether another step fits into what is left of `out`. */
static bool has_room(const struct wbi_file_sender *sender)
{
	size_t room = wbi_sender_room(sender);

	if (sender->used == 0)
		return true;
	if (sender->work_left == 0)
		return false;
	if (sender->listing_bytes > 0)
		return room > 0;
	return room >= (sender->content.offer ? (size_t)DATA_ROOM : (size_t)STEP_ROOM);
}

enum wb_err wbi_file_sender_fill(struct wbi_file_sender *sender, void *out, size_t room,
				 size_t *ret_bytes, struct wb_fault *fault)
{
	bool moved = true;

	sender->out = out;
	sender->room = room;
	sender->used = 0;
	sender->work_left = WORK_BYTES;
	sender->waits_for = -1;
	while (!sender->err && sender->phase != WBI_SENDER_FINISHED && moved && has_room(sender))
		sender->err = step(sender, &moved);
	*ret_bytes = sender->used;
	if (!sender->err || sender->used > 0)
		return WB_OK;
	if (fault)
		*fault = sender->fault;
	return sender->err;
}

/* ---- answers ---- */

static enum wb_err bad_answer(struct wbi_file_sender *sender, const char *what)
{
	return wb_fault_set(&sender->fault, WB_ERR_MALFORMED, NULL, 0, "the receiver: %s", what);
}

/* Without memory for the digests the file travels whole; so it does if its blocks are larger than
 * need be, for each is read in one go. */
static void take_blocks(struct wbi_file_sender *sender, struct wbi_offer *offer,
			const struct wbi_answer *answer)
{
	size_t bytes = (size_t)answer->payload_bytes;

	if (bytes > 0 && sender->blocks_bytes + bytes <= WBI_SENDER_BLOCKS_BYTES_MAX &&
	    answer->block_bytes <= wbi_item_block_bytes((uint64_t)offer->stat.st_size))
		offer->blocks = malloc(bytes);
	if (!offer->blocks)
		return;
	offer->block_bytes = answer->block_bytes;
	offer->block_count = answer->block_count;
	sender->blocks_bytes += bytes;
}

static enum wb_err on_want(struct wbi_file_sender *sender, const struct wbi_answer *answer)
{
	struct wbi_offer *offer = find_offer(sender, answer->n);

	if (!offer)
		return bad_answer(sender, "wants what was not offered");
	take_blocks(sender, offer, answer);
	offer->wanted = true;
	sender->telling = offer;
	sender->telling_left = (size_t)answer->payload_bytes;
	return WB_OK;
}

static void count_done(struct wbi_file_sender *sender, uint64_t saved)
{
	sender->progress.files_done++;
	sender->progress.bytes_done += saved;
	sender->progress.bytes_saved += saved;
}

static enum wb_err on_settled(struct wbi_file_sender *sender, const struct wbi_answer *answer)
{
	struct wbi_offer *offer = find_offer(sender, answer->n);

	/* What travelled without an offer may be refused, too. */
	if (!offer && answer->kind != WBI_ANSWER_REFUSED)
		return bad_answer(sender, "answers what was not offered");
	if (answer->kind == WBI_ANSWER_REFUSED)
		wbi_file_failures_add(&sender->failures, answer->n, answer->error, "%s",
				      answer->text);
	else
		count_done(sender, (uint64_t)offer->stat.st_size);
	if (offer)
		wbi_offer_free(sender, offer);
	return WB_OK;
}

static enum wb_err on_failed(struct wbi_file_sender *sender, const struct wbi_answer *answer)
{
	if (answer->expected[0])
		wbi_file_failures_add(&sender->failures, answer->n, answer->error,
				      "%s (expected %s, found %s)", answer->text, answer->expected,
				      answer->found);
	else
		wbi_file_failures_add(&sender->failures, answer->n, answer->error, "%s",
				      answer->text);
	return WB_OK;
}

static enum wb_err take_answer(struct wbi_file_sender *sender, const struct wbi_answer *answer)
{
	if ((sender->phase == WBI_SENDER_NEW) != (answer->kind == WBI_ANSWER_READY))
		return bad_answer(sender, "'ready' comes first, and once");
	switch (answer->kind) {
	case WBI_ANSWER_READY:
		sender->fresh = answer->fresh;
		sender->compresses = sender->compressor && answer->zstd;
		sender->phase = WBI_SENDER_SCANNING;
		return WB_OK;
	case WBI_ANSWER_WANT:
		return on_want(sender, answer);
	case WBI_ANSWER_HAVE:
	case WBI_ANSWER_SKIP:
	case WBI_ANSWER_REFUSED:
		return on_settled(sender, answer);
	case WBI_ANSWER_SAVED:
		sender->progress.bytes_verified = answer->bytes;
		return WB_OK;
	case WBI_ANSWER_FAILED:
		return on_failed(sender, answer);
	case WBI_ANSWER_FINISHED:
		/* Before `done` it means that the receiver gave up, and has said why. */
		if (sender->phase != WBI_SENDER_TOLD && answer->failed == 0)
			return bad_answer(sender, "'finished' before the end");
		sender->progress.bytes_verified = answer->bytes;
		sender->phase = WBI_SENDER_FINISHED;
		return WB_OK;
	}
	return bad_answer(sender, "no such answer");
}

/* The digests behind a `want`; those that nobody keeps are dropped. */
static size_t take_digests(struct wbi_file_sender *sender, const uint8_t *data, size_t bytes)
{
	struct wbi_offer *offer = sender->telling;

	if (bytes > sender->telling_left)
		bytes = sender->telling_left;
	if (offer->blocks)
		memcpy(offer->blocks + offer->blocks_held, data, bytes);
	offer->blocks_held += bytes;
	sender->telling_left -= bytes;
	return bytes;
}

static enum wb_err take(struct wbi_file_sender *sender, const uint8_t *data, size_t bytes,
			size_t *ret_consumed)
{
	struct wbi_answer answer;
	size_t head_bytes;
	enum wb_decode decode;

	*ret_consumed = 0;
	if (sender->telling) {
		*ret_consumed = take_digests(sender, data, bytes);
		if (sender->telling_left == 0) {
			wbi_list_append(&sender->wanted, &sender->telling->node);
			sender->telling = NULL;
		}
		return WB_OK;
	}
	decode = wbi_answer_decode(data, bytes, &answer, &head_bytes, &sender->fault);
	if (decode == WB_DECODE_BAD)
		return sender->fault.err;
	if (decode == WB_DECODE_NEED)
		return WB_OK;
	*ret_consumed = head_bytes;
	return take_answer(sender, &answer);
}

enum wb_err wbi_file_sender_answer(struct wbi_file_sender *sender, const void *data, size_t bytes,
				   size_t *ret_consumed, struct wb_fault *fault)
{
	size_t done = 0, taken = 1;

	while (!sender->err && (done < bytes || sender->telling) && taken > 0) {
		bool telling = sender->telling;

		sender->err = take(sender, (const uint8_t *)data + done, bytes - done, &taken);
		done += taken;
		/* A `want` without digests is complete with its head. */
		if (telling && !sender->telling)
			taken = 1;
	}
	*ret_consumed = sender->err ? bytes : done;
	if (sender->err && fault)
		*fault = sender->fault;
	return sender->err;
}
