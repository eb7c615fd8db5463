/* The receiver's life: see receiver.h. Items are taken apart as they come, and each is worked off
 * before the next is looked at. */
#include "files/receiver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "files/receiver_state.h"
#include "sys/fd.h"

static void folder_failed(void *context, const struct wbi_folder *folder, const char *below,
			  int error)
{
	struct wbi_file_receiver *receiver = context;

	receiver->saved_files -= folder->n > 0;
	(void)wbi_receiver_fail_at(receiver, folder->n, folder, below, error);
}

static void name_failed(void *context, const struct wbi_folder *folder, uint64_t n,
			const char *name, uint64_t bytes, int error)
{
	struct wbi_file_receiver *receiver = context;

	receiver->saved_files--;
	receiver->saved_bytes -= bytes;
	receiver->progress.bytes_verified -= bytes;
	(void)wbi_receiver_fail_at(receiver, n, folder, name, error);
}

static enum wb_err tell_ready(struct wbi_file_receiver *receiver)
{
	struct wbi_answer answer;

	wbi_answer_init(&answer, WBI_ANSWER_READY);
	answer.fresh = receiver->options.sink >= 0 || receiver->target.fresh;
	answer.zstd = wbi_compress_exists();
	return wbi_receiver_answer(receiver, &answer);
}

static enum wb_err set_up(struct wbi_file_receiver *receiver, struct wb_fault *fault)
{
	struct wbi_folder *target;
	enum wb_err err;

	wbi_folders_init(&receiver->folders, receiver->target.folder, &receiver->temporaries,
			 folder_failed, receiver);
	wbi_commit_init(&receiver->commit, &receiver->folders, !receiver->options.no_fsync,
			name_failed, receiver);
	err = wbi_temporary_names_init(&receiver->temporaries, fault);
	if (!err)
		err = wb_digest_new(receiver->options.digest, &receiver->small.digest, fault);
	if (!err)
		err = wb_digest_new(receiver->options.digest, &receiver->content.digest, fault);
	if (err)
		return err;
	receiver->io = malloc(WBI_RECEIVER_IO_BYTES);
	target = wbi_folder_target(&receiver->folders,
				   receiver->target.fresh && !receiver->target.as[0]);
	receiver->levels[0] = (struct wbi_level){.folder = target};
	if (!receiver->io || !target || tell_ready(receiver))
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "no memory for a transfer");
	return WB_OK;
}

enum wb_err wbi_file_receiver_new(const struct wbi_file_receiver_options *options,
				  struct wbi_file_receiver **ret_receiver, struct wb_fault *fault)
{
	struct wbi_file_receiver *receiver = calloc(1, sizeof(*receiver));
	enum wb_err err;

	if (!receiver)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "no memory for a transfer");
	receiver->options = *options;
	receiver->target.folder = -1;
	if (options->sink < 0)
		receiver->target = *options->target;
	receiver->content.fd = receiver->content.old = -1;
	receiver->bases_max = wbi_basis_max();
	wbi_list_init(&receiver->wanted);
	wbi_list_init(&receiver->asking);
	wbi_list_init(&receiver->later);
	wbi_buf_init(&receiver->answers, 2 * WBI_RECEIVER_ANSWERS_MAX);
	wbi_names_init(&receiver->names, WBI_RECEIVER_NAMES_MAX);
	err = set_up(receiver, fault);
	if (err) {
		wbi_file_receiver_free(receiver);
		return err;
	}
	*ret_receiver = receiver;
	return WB_OK;
}

static void end_levels(struct wbi_file_receiver *receiver)
{
	for (unsigned i = receiver->depth + 1; i-- > 0;)
		wbi_folder_unuse(&receiver->folders, receiver->levels[i].folder);
	receiver->levels[0].folder = NULL;
	receiver->depth = 0;
}

static void drop_wanted(struct wbi_file_receiver *receiver)
{
	wbi_content_drop(receiver, true);
	while (!wbi_list_empty(&receiver->wanted))
		wbi_wanted_free(receiver,
				WBI_CONTAINER(receiver->wanted.next, struct wbi_wanted, node));
	while (!wbi_list_empty(&receiver->later)) {
		struct wbi_later *later =
			WBI_CONTAINER(receiver->later.next, struct wbi_later, node);
		wbi_list_remove(&later->node);
		wbi_folder_unuse(&receiver->folders, later->folder);
		free(later);
	}
}

void wbi_file_receiver_free(struct wbi_file_receiver *receiver)
{
	if (!receiver)
		return;
	if (receiver->levels[0].folder) {
		/* First: it may have its name, in a folder that the flush shows. */
		wbi_small_drop(receiver);
		(void)wbi_receiver_flush(receiver);
		drop_wanted(receiver);
		end_levels(receiver);
	}
	wbi_commit_done(&receiver->commit);
	(void)wbi_folders_sync(&receiver->folders, !receiver->options.no_fsync);
	wbi_names_done(&receiver->names);
	wbi_names_done(&receiver->listing);
	wbi_buf_done(&receiver->answers);
	wbi_file_failures_done(&receiver->failures);
	wb_digest_free(receiver->small.digest);
	wb_digest_free(receiver->content.digest);
	XXH3_freeState(receiver->basis.hash);
	wbi_decompressor_free(receiver->decompressor);
	free(receiver->packed);
	free(receiver->io);
	free(receiver);
}

/* ---- batches ---- */

/* Everything up to here has been dealt with. */
static uint64_t settled_to(const struct wbi_file_receiver *receiver)
{
	uint64_t to = receiver->within ? receiver->n - 1 : receiver->n;

	if (!wbi_list_empty(&receiver->wanted)) {
		uint64_t n = WBI_CONTAINER(receiver->wanted.next, struct wbi_wanted, node)->n;
		to = n - 1 < to ? n - 1 : to;
	}
	if (!wbi_list_empty(&receiver->later)) {
		uint64_t n = WBI_CONTAINER(receiver->later.next, struct wbi_later, node)->n;
		to = n - 1 < to ? n - 1 : to;
	}
	return to;
}

static enum wb_err tell_saved(struct wbi_file_receiver *receiver)
{
	struct wbi_answer answer;

	wbi_answer_init(&answer, WBI_ANSWER_SAVED);
	answer.n = settled_to(receiver);
	answer.files = receiver->saved_files;
	answer.bytes = receiver->saved_bytes;
	return wbi_receiver_answer(receiver, &answer);
}

enum wb_err wbi_receiver_flush(struct wbi_file_receiver *receiver)
{
	struct wbi_commit *commit = &receiver->commit;
	bool stopped = receiver->err, found = commit->found;
	int lost = 0, error;

	receiver->flushing = true;
	if (wbi_commit_sync(commit) != 0) {
		/* What was there before is no entry of the batch: nobody else tells of it. */
		lost = found ? errno : 0;
		wbi_commit_forget(commit, errno);
	}
	wbi_commit_rename(commit);
	(void)wbi_receiver_link_later(receiver);
	error = wbi_commit_finish(commit) == 0 ? lost : errno;
	receiver->flushing = false;
	errno = error;
	if (error)
		(void)wbi_receiver_stop(receiver, WB_ERR_SYSTEM, 0, wbi_file_error_name(error),
					"sync: %s", strerror(error));
	if (!receiver->err)
		return tell_saved(receiver);
	return stopped ? receiver->err : wbi_receiver_finish(receiver);
}

/* ---- the end ---- */

static enum wb_err on_done(struct wbi_file_receiver *receiver)
{
	if (receiver->depth || receiver->content.of || !wbi_list_empty(&receiver->wanted))
		return wbi_receiver_bad(receiver, "order", "comes before everything has ended");
	receiver->ended = true;
	return WB_OK;
}

static enum wb_err finish(struct wbi_file_receiver *receiver)
{
	enum wb_err err = wbi_receiver_flush(receiver);

	if (err)
		return err;
	end_levels(receiver);
	/* The target itself has settled now. */
	if (wbi_commit_finish(&receiver->commit) != 0)
		return wbi_receiver_stop(receiver, WB_ERR_SYSTEM, 0, wbi_file_error_name(errno),
					 "sync: %s", strerror(errno));
	receiver->progress.current[0] = '\0';
	return wbi_receiver_finish(receiver);
}

/* ---- items ---- */

static enum wb_err ready_to_unpack(struct wbi_file_receiver *receiver)
{
	enum wb_err err = wbi_decompressor_new(&receiver->decompressor);

	if (!err && !receiver->packed) {
		receiver->packed = malloc(WBI_ITEM_PAYLOAD_BYTES);
		err = receiver->packed ? WB_OK : WB_ERR_NOMEM;
	}
	errno = 0;
	if (!err)
		return WB_OK;
	return wbi_receiver_stop(receiver, err, receiver->item.n,
				 err == WB_ERR_NOMEM ? "no-memory" : "unsupported",
				 "compressed content cannot be taken");
}

static bool is_asked(const struct wbi_file_receiver *receiver)
{
	const char *const *asked = receiver->options.asked;

	while (*asked && strcmp(*asked, receiver->item.name))
		asked++;
	return *asked;
}

/* A sender that was asked for a report could send a .profile instead. */
static const char *asked_fault(const struct wbi_file_receiver *receiver)
{
	if (!receiver->options.asked || receiver->depth)
		return NULL;
	switch (receiver->item.kind) {
	case WBI_ITEM_DIR:
		if (!receiver->options.asked_folders)
			return "was not asked for: only files were";
		break;
	case WBI_ITEM_LINK:
		return "was not asked for: an operand's link is followed";
	case WBI_ITEM_FILE:
	case WBI_ITEM_OFFER:
	case WBI_ITEM_HARDLINK:
		break;
	default:
		return NULL;
	}
	return is_asked(receiver) ? NULL : "has a name that was not asked for";
}

static enum wb_err begin_item(struct wbi_file_receiver *receiver)
{
	const char *why = asked_fault(receiver);

	if (receiver->ended)
		return wbi_receiver_bad(receiver, "order", "comes after the last item");
	if (why)
		return wbi_receiver_bad(receiver, "unasked", why);
	receiver->packed_bytes = 0;
	if (receiver->item.raw_bytes && !receiver->decompressor && ready_to_unpack(receiver))
		return receiver->err;
	receiver->within = true;
	switch (receiver->item.kind) {
	case WBI_ITEM_DIR:
		return wbi_receiver_dir(receiver);
	case WBI_ITEM_FILE:
		return wbi_small_begin(receiver);
	case WBI_ITEM_OFFER:
		return wbi_receiver_offer(receiver);
	case WBI_ITEM_LINK:
		return wbi_receiver_link(receiver);
	case WBI_ITEM_HARDLINK:
		return wbi_receiver_hardlink(receiver);
	case WBI_ITEM_DIR_END:
		return wbi_receiver_dir_end_begin(receiver);
	case WBI_ITEM_DONE:
		return on_done(receiver);
	default:
		return wbi_content_item(receiver);
	}
}

static enum wb_err take_content(struct wbi_file_receiver *receiver, const uint8_t *data,
				size_t bytes)
{
	switch (receiver->item.kind) {
	case WBI_ITEM_FILE:
		return wbi_small_data(receiver, data, bytes);
	case WBI_ITEM_DATA:
		return wbi_content_data(receiver, data, bytes);
	default:
		wbi_receiver_listing(receiver, data, bytes);
		return WB_OK;
	}
}

static enum wb_err take_payload(struct wbi_file_receiver *receiver, const uint8_t *data,
				size_t bytes)
{
	receiver->progress.bytes_wire += bytes;
	if (!receiver->item.raw_bytes)
		return take_content(receiver, data, bytes);
	/* The codec has seen to it that the whole payload fits. */
	memcpy(receiver->packed + receiver->packed_bytes, data, bytes);
	receiver->packed_bytes += bytes;
	return WB_OK;
}

static enum wb_err unpack(struct wbi_file_receiver *receiver)
{
	uint32_t raw_bytes = receiver->item.raw_bytes;

	if (wbi_decompress(receiver->decompressor, receiver->packed, receiver->packed_bytes,
			   receiver->io, raw_bytes))
		return wbi_receiver_bad(receiver, "compression", "does not hold what it says");
	return take_content(receiver, receiver->io, raw_bytes);
}

static enum wb_err end_item(struct wbi_file_receiver *receiver)
{
	enum wb_err err = receiver->item.raw_bytes ? unpack(receiver) : WB_OK;

	receiver->within = false;
	if (err)
		return err;
	switch (receiver->item.kind) {
	case WBI_ITEM_FILE:
		return wbi_small_end(receiver);
	case WBI_ITEM_DIR_END:
		return wbi_receiver_dir_end(receiver);
	default:
		return WB_OK;
	}
}

/* One step: a head, a piece of payload, or the end of an item. *ret_taken 0: more input is needed.
 */
static enum wb_err take_step(struct wbi_file_receiver *receiver, const uint8_t *data, size_t bytes,
			     size_t *ret_taken, bool *ret_moved)
{
	*ret_taken = 0;
	*ret_moved = true;
	if (receiver->within && !receiver->payload_left)
		return end_item(receiver);
	if (receiver->within) {
		*ret_taken = bytes < receiver->payload_left ? bytes : receiver->payload_left;
		receiver->payload_left -= *ret_taken;
		*ret_moved = bytes > 0;
		return bytes ? take_payload(receiver, data, *ret_taken) : WB_OK;
	}
	switch (wbi_item_decode(data, bytes, &receiver->item, ret_taken, &receiver->fault)) {
	case WB_DECODE_DONE:
		receiver->payload_left = receiver->item.payload_bytes;
		return begin_item(receiver);
	case WB_DECODE_NEED:
		*ret_taken = 0;
		*ret_moved = false;
		return WB_OK;
	case WB_DECODE_BAD:
		break;
	}
	*ret_taken = 0;
	errno = 0;
	return wbi_receiver_stop(receiver, receiver->fault.err, 0, wb_err_name(receiver->fault.err),
				 "the sender: %s", receiver->fault.text);
}

static bool is_due(const struct wbi_file_receiver *receiver)
{
	return wbi_commit_due(&receiver->commit, receiver->levels[receiver->depth].folder);
}

static enum wb_err take(struct wbi_file_receiver *receiver, const uint8_t *data, size_t bytes,
			size_t *ret_consumed)
{
	size_t budget = WBI_RECEIVER_TURN_BYTES;
	bool moved = true;
	enum wb_err err = receiver->err;

	while (!err && moved && budget > 0 &&
	       wbi_buf_bytes(&receiver->answers) < WBI_RECEIVER_ANSWERS_MAX) {
		size_t taken = 0;
		if (wbi_content_busy(receiver)) {
			err = wbi_content_work(receiver, &budget);
		} else if (is_due(receiver)) {
			err = wbi_receiver_flush(receiver);
		} else {
			err = take_step(receiver, data + *ret_consumed, bytes - *ret_consumed,
					&taken, &moved);
			*ret_consumed += taken;
		}
	}
	if (!err && receiver->ended && !receiver->within && !receiver->finished)
		err = finish(receiver);
	return err ? err : receiver->err;
}

enum wb_err wbi_file_receiver_take(struct wbi_file_receiver *receiver, const void *data,
				   size_t bytes, size_t *ret_consumed, struct wb_fault *fault)
{
	enum wb_err err;

	*ret_consumed = 0;
	err = take(receiver, bytes ? data : (const uint8_t *)"", bytes, ret_consumed);
	if (err && fault)
		*fault = receiver->fault;
	return err;
}

static bool has_asking(const struct wbi_file_receiver *receiver)
{
	return receiver->basis.blocks_left || wbi_basis_may_begin(receiver);
}

static size_t drain(struct wbi_file_receiver *receiver, uint8_t *out, size_t room)
{
	struct wbi_slice held = wbi_buf_peek(&receiver->answers);
	size_t bytes = held.bytes < room ? held.bytes : room;

	if (bytes)
		memcpy(out, held.data, bytes);
	wbi_buf_consume(&receiver->answers, bytes);
	return bytes;
}

enum wb_err wbi_file_receiver_answers(struct wbi_file_receiver *receiver, void *out, size_t room,
				      size_t *ret_bytes, struct wb_fault *fault)
{
	size_t budget = WBI_RECEIVER_TURN_BYTES, used = 0;
	enum wb_err err = WB_OK;

	for (size_t got = 1; got > 0 && !err; used += got) {
		uint8_t *at = (uint8_t *)out + used;
		got = 0;
		/* The digests of a `want` stand right behind its head, whatever else waits. */
		if (receiver->basis.blocks_left)
			got = wbi_basis_fill(receiver, at, room - used, &budget);
		else if (wbi_buf_bytes(&receiver->answers))
			got = drain(receiver, at, room - used);
		else if (wbi_basis_may_begin(receiver) && !receiver->err)
			err = wbi_basis_begin(receiver, at, room - used, &got);
	}
	*ret_bytes = used;
	if (err && fault)
		*fault = receiver->fault;
	return err;
}

bool wbi_file_receiver_busy(const struct wbi_file_receiver *receiver)
{
	return !receiver->err &&
	       (wbi_content_busy(receiver) || has_asking(receiver) || is_due(receiver) ||
		(receiver->within && !receiver->payload_left) ||
		(receiver->ended && !receiver->finished));
}

bool wbi_file_receiver_done(const struct wbi_file_receiver *receiver)
{
	return receiver->finished && !receiver->err && !wbi_buf_bytes(&receiver->answers);
}

const struct wbi_file_progress *wbi_file_receiver_progress(const struct wbi_file_receiver *receiver)
{
	return &receiver->progress;
}

const struct wbi_file_failures *wbi_file_receiver_failures(const struct wbi_file_receiver *receiver)
{
	return &receiver->failures;
}
