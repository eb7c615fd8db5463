/* The content of one file that was wanted. Read once, in order: for each stretch it is decided
 * whether it is a hole, agrees with a block that the receiver has, or travels.
 *
 * Invariant: digest covers [0, max(offset, data_end)): what has been compared was digested then. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "files/sender_state.h"

enum { PAUSE_PIECES = 7, HOLE_BYTES_MAX = 256 << 20 };

static const uint8_t zeros[64 * 1024];

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

void wbi_content_end(struct wbi_file_sender *sender)
{
	struct wbi_content *content = &sender->content;

	if (content->fd >= 0)
		close(content->fd);
	content->fd = -1;
	wbi_offer_free(sender, content->offer);
	content->offer = NULL;
}

static enum wb_err give_up(struct wbi_file_sender *sender, const char *error, const char *why)
{
	const struct wbi_offer *offer = sender->content.offer;
	enum wb_err err = wbi_sender_fail(sender, offer->n, offer->name, error, why);

	if (offer->stat.st_nlink > 1)
		wbi_links_withdraw(&sender->links, &offer->stat);
	wbi_content_end(sender);
	return err;
}

static enum wb_err give_up_changed(struct wbi_file_sender *sender)
{
	return give_up(sender, "changed", "changed while it was read");
}

static enum wb_err not_read(struct wbi_file_sender *sender)
{
	return errno ? give_up(sender, NULL, NULL) : give_up_changed(sender);
}

enum wb_err wbi_content_begin(struct wbi_file_sender *sender)
{
	struct wbi_offer *offer = WBI_CONTAINER(sender->wanted.next, struct wbi_offer, node);
	struct wbi_content *content = &sender->content;
	struct stat stat;

	wbi_list_remove(&offer->node);
	*content = (struct wbi_content){.offer = offer, .digest = content->digest};
	wb_digest_reset(content->digest);
	content->stream = !sender->options.sources[offer->source].path;
	content->fd = wbi_sender_open(sender, offer);
	if (content->fd < 0)
		return give_up(sender, NULL, NULL);
	wbi_file_progress_name(&sender->progress, offer->name);
	if (content->stream)
		return WB_OK;
	if (fstat(content->fd, &stat) != 0)
		return give_up(sender, NULL, NULL);
	if (!same_file(&stat, &offer->stat))
		return give_up(sender, "changed", "changed after it was offered");
	content->sparse = (uint64_t)stat.st_blocks * 512 < (uint64_t)stat.st_size;
	(void)posix_fadvise(content->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return WB_OK;
}

/* ---- what need not travel ---- */

/* Content that was looked at and does not travel: it counts as work, for `out` does not fill by it.
 */
static void count_saved(struct wbi_file_sender *sender, uint64_t bytes)
{
	sender->work_left -= bytes < sender->work_left ? bytes : sender->work_left;
	sender->content.offset += bytes;
	sender->progress.bytes_saved += bytes;
	sender->progress.bytes_done += bytes;
}

static enum wb_err tell_copy(struct wbi_file_sender *sender)
{
	struct wbi_content *content = &sender->content;

	wbi_item_init(&sender->item, WBI_ITEM_COPY);
	sender->item.n = content->offer->n;
	sender->item.offset = content->copy_offset;
	sender->item.bytes = content->copy_bytes;
	content->copy_bytes = 0;
	return wbi_sender_emit(sender);
}

/* Up to `end`, but for what was digested when it was compared. */
static void digest_zeros(struct wbi_content *content, uint64_t end)
{
	uint64_t at = content->offset > content->data_end ? content->offset : content->data_end;

	while (at < end) {
		uint64_t piece = end - at < sizeof(zeros) ? end - at : sizeof(zeros);

		wb_digest_update(content->digest, zeros, (size_t)piece);
		at += piece;
	}
}

/* A long one in pieces, each looked for anew. */
static enum wb_err tell_hole(struct wbi_file_sender *sender, uint64_t bytes)
{
	struct wbi_content *content = &sender->content;

	if (bytes > HOLE_BYTES_MAX) {
		bytes = HOLE_BYTES_MAX;
		content->extent_end = content->offset;
	}
	wbi_item_init(&sender->item, WBI_ITEM_HOLE);
	sender->item.n = content->offer->n;
	sender->item.offset = content->offset;
	sender->item.bytes = bytes;
	digest_zeros(content, content->offset + bytes);
	count_saved(sender, bytes);
	return wbi_sender_emit(sender);
}

/* Where the hole at `offset` ends (offset itself: there is none), and the data behind it. */
static uint64_t find_extent(struct wbi_content *content, uint64_t size)
{
	off_t data = lseek(content->fd, (off_t)content->offset, SEEK_DATA), hole;

	if (data < 0 && errno == ENXIO)
		return size;
	hole = data < 0 ? -1 : lseek(content->fd, data, SEEK_HOLE);
	if (hole < 0 || (uint64_t)data > size) {
		content->extent_end = size; /* it cannot tell: all is data */
		return content->offset;
	}
	content->extent_end = (uint64_t)hole < size ? (uint64_t)hole : size;
	return (uint64_t)data;
}

/* Reads [offset, offset + bytes) piece by piece into both digests. Returns 0, or -1 with errno (0:
 * the file ends before). */
static int digest_block(struct wbi_file_sender *sender, uint64_t bytes)
{
	struct wbi_content *content = &sender->content;
	uint64_t done = 0;

	wb_digest_reset(sender->block);
	while (done < bytes) {
		size_t piece = bytes - done < WBI_ITEM_SMALL_BYTES ? (size_t)(bytes - done)
								   : WBI_ITEM_SMALL_BYTES;
		ssize_t got =
			pread(content->fd, sender->scratch, piece, (off_t)(content->offset + done));

		if (got <= 0) {
			errno = got < 0 ? errno : 0;
			return -1;
		}
		wb_digest_update(sender->block, sender->scratch, (size_t)got);
		wb_digest_update(content->digest, sender->scratch, (size_t)got);
		done += (uint64_t)got;
	}
	return 0;
}

static bool agrees(const struct wbi_offer *offer, uint64_t index, const char *hex)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *theirs = offer->blocks + index * WBI_ITEM_BLOCK_DIGEST_BYTES;

	for (int i = 0; i < WBI_ITEM_BLOCK_DIGEST_BYTES; i++)
		if (hex[2 * i] != digits[theirs[i] >> 4] ||
		    hex[2 * i + 1] != digits[theirs[i] & 15])
			return false;
	return true;
}

/* At the start of a block that the receiver has: is it the same? If so it is passed over. */
static enum wb_err compare_block(struct wbi_file_sender *sender, uint64_t size)
{
	struct wbi_content *content = &sender->content;
	uint64_t block = content->offer->block_bytes, index = content->offset / block;
	uint64_t bytes = size - content->offset < block ? size - content->offset : block;
	char hex[WB_DIGEST_HEX_MAX];

	if (digest_block(sender, bytes) != 0)
		return not_read(sender);
	wb_digest_hex(sender->block, hex);
	if (!agrees(content->offer, index, hex)) {
		content->data_end = content->offset + bytes;
		return WB_OK;
	}
	if (content->copy_bytes == 0)
		content->copy_offset = content->offset;
	content->copy_bytes += bytes;
	count_saved(sender, bytes);
	return WB_OK;
}

/* ---- what travels ---- */

static void begin_data(struct wbi_file_sender *sender)
{
	wbi_item_init(&sender->item, WBI_ITEM_DATA);
	sender->item.n = sender->content.offer->n;
	sender->item.offset = sender->content.offset;
}

/* How much content one `data` may hold, if it may hold `most`. */
static size_t piece_bytes(const struct wbi_file_sender *sender, size_t most)
{
	size_t room = wbi_sender_room(sender) - WBI_SENDER_HEAD_BYTES;

	return room < most ? room : most;
}

/* Reads exactly `bytes` at the offset. Returns false with errno (0: the file ends before). */
static bool read_exactly(const struct wbi_content *content, uint8_t *data, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		ssize_t got = pread(content->fd, data + done, bytes - done,
				    (off_t)(content->offset + done));

		if (got <= 0) {
			errno = got < 0 ? errno : 0;
			return false;
		}
		done += (size_t)got;
	}
	return true;
}

/* What was compared has been digested. */
static void digest_data(struct wbi_content *content, const uint8_t *data, size_t bytes)
{
	if (content->offset >= content->data_end)
		wb_digest_update(content->digest, data, bytes);
	content->offset += bytes;
}

/* One `data`, read to where it will stand. */
static enum wb_err send_in_place(struct wbi_file_sender *sender, size_t bytes)
{
	size_t begin = sender->used;
	uint8_t *data;
	enum wb_err err;

	begin_data(sender);
	sender->item.payload_bytes = bytes;
	err = wbi_sender_emit(sender);
	if (err)
		return err;
	data = sender->out + sender->used;
	if (!read_exactly(&sender->content, data, bytes)) {
		sender->used = begin; /* nobody has seen the head yet */
		return not_read(sender);
	}
	digest_data(&sender->content, data, bytes);
	wbi_sender_count(sender, bytes);
	return WB_OK;
}

/* One `data`, compressed if that pays. Where it did not, the next pieces are not tried. */
static enum wb_err send_packed(struct wbi_file_sender *sender, size_t bytes)
{
	struct wbi_content *content = &sender->content;
	enum wb_err err;

	if (!read_exactly(content, sender->scratch, bytes))
		return not_read(sender);
	begin_data(sender);
	err = wbi_sender_emit_content(sender, sender->scratch, bytes);
	digest_data(content, sender->scratch, bytes);
	content->pause = sender->item.raw_bytes ? 0 : PAUSE_PIECES;
	return err;
}

/* One `data`, up to `end` or as far as the room goes. */
static enum wb_err send_data(struct wbi_file_sender *sender, uint64_t end)
{
	struct wbi_content *content = &sender->content;
	bool packed = sender->compresses && content->pause == 0;
	uint64_t left = end - content->offset;
	size_t most = packed ? WBI_ITEM_SMALL_BYTES : WBI_ITEM_PAYLOAD_BYTES;

	most = piece_bytes(sender, left < most ? (size_t)left : most);
	if (packed)
		return send_packed(sender, most);
	content->pause -= content->pause > 0;
	return send_in_place(sender, most);
}

static enum wb_err tell_end(struct wbi_file_sender *sender)
{
	struct wbi_content *content = &sender->content;
	struct stat stat;
	enum wb_err err;

	if (!content->stream &&
	    (fstat(content->fd, &stat) != 0 || !same_file(&stat, &content->offer->stat)))
		return give_up_changed(sender);
	wbi_item_init(&sender->item, WBI_ITEM_END);
	sender->item.n = content->offer->n;
	sender->item.size = content->offset;
	wb_digest_hex(content->digest, sender->item.digest);
	err = wbi_sender_emit(sender);
	sender->progress.files_done++;
	sender->done_files++;
	sender->done_bytes += content->offset;
	wbi_content_end(sender);
	return err;
}

/* A stream gives what it has; how much that is, is known only afterwards. */
static enum wb_err send_stream(struct wbi_file_sender *sender, bool *ret_moved)
{
	struct wbi_content *content = &sender->content;
	struct pollfd ready = {.fd = content->fd, .events = POLLIN};
	ssize_t got;
	enum wb_err err;

	if (poll(&ready, 1, 0) < 1) {
		sender->waits_for = sender->options.sources[content->offer->source].stream;
		*ret_moved = false;
		return WB_OK;
	}
	got = read(content->fd, sender->scratch, piece_bytes(sender, WBI_ITEM_SMALL_BYTES));
	if (got == 0)
		return tell_end(sender);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? WB_OK : give_up(sender, NULL, NULL);
	begin_data(sender);
	err = wbi_sender_emit_content(sender, sender->scratch, (size_t)got);
	sender->progress.bytes_known += (uint64_t)got;
	digest_data(content, sender->scratch, (size_t)got);
	return err;
}

/* Whether the receiver has a block that begins here and is as long as ours. */
static bool has_block(const struct wbi_content *content, uint64_t size)
{
	const struct wbi_offer *offer = content->offer;

	return offer->blocks && content->offset % offer->block_bytes == 0 &&
	       content->offset / offer->block_bytes < offer->block_count &&
	       content->offset >= content->data_end && content->offset < size;
}

/* The stretch at the offset that is to be sent ends here: at a hole, or where the next block of the
 * receiver begins. */
static uint64_t stretch_end(const struct wbi_content *content, uint64_t size)
{
	const struct wbi_offer *offer = content->offer;
	uint64_t end = content->sparse ? content->extent_end : size, next;

	if (content->offset < content->data_end)
		return content->data_end < end ? content->data_end : end;
	if (!offer->blocks || content->offset / offer->block_bytes + 1 >= offer->block_count)
		return end;
	next = (content->offset / offer->block_bytes + 1) * offer->block_bytes;
	return next < end ? next : end;
}

enum wb_err wbi_content_step(struct wbi_file_sender *sender, bool *ret_moved)
{
	struct wbi_content *content = &sender->content;
	uint64_t size = (uint64_t)content->offer->stat.st_size, data;

	if (content->stream)
		return send_stream(sender, ret_moved);
	if (has_block(content, size) && (sender->work_left > 0 || content->copy_bytes == 0))
		return compare_block(sender, size);
	if (content->copy_bytes > 0)
		return tell_copy(sender);
	if (content->offset == size)
		return tell_end(sender);
	if (content->sparse && content->offset >= content->extent_end) {
		data = find_extent(content, size);
		if (data > content->offset)
			return tell_hole(sender, data - content->offset);
	}
	return send_data(sender, stretch_end(content, size));
}
