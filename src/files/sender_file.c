/* Regular files: small ones go to a fresh target whole, digest first; the others are offered. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "files/attributes.h"
#include "files/sender_state.h"
#include "sys/fd.h"

enum { SPARSE_MIN = 16 * 1024 };

/* Reads a file that should be `size` bytes to `data`, which has room for one more: so one call
 * reads it and sees that it ends there. Returns false with errno, 0 where its length is another. */
static bool read_whole(int fd, uint8_t *data, size_t size)
{
	size_t held = 0, asked;
	ssize_t got;

	do {
		asked = size + 1 - held;
		got = read(fd, data + held, asked);
		held += got > 0 ? (size_t)got : 0;
	} while (got > 0 && held < size);
	/* A read that came short met the end; one that came full leaves nothing to be read. */
	if (got >= 0)
		errno = 0;
	return got >= 0 && held == size;
}

static void digest_of(struct wb_digest *digest, const void *data, size_t bytes,
		      char out[WB_DIGEST_HEX_MAX])
{
	wb_digest_reset(digest);
	wb_digest_update(digest, data, bytes);
	wb_digest_hex(digest, out);
}

static enum wb_err give_up(struct wbi_file_sender *sender, const struct stat *stat)
{
	if (stat->st_nlink > 1)
		wbi_links_withdraw(&sender->links, stat);
	if (errno)
		return wbi_sender_fail_entry(sender, NULL, NULL);
	return wbi_sender_fail_entry(sender, "changed", "changed while it was read");
}

/* ---- whole ---- */

/* The content is read to where it will stand, behind a head that does not know its digest yet. */
static enum wb_err send_in_place(struct wbi_file_sender *sender, int fd, const struct stat *stat)
{
	struct wbi_item *item = &sender->item;
	size_t begin = sender->used, size = (size_t)stat->st_size;
	uint8_t *content;
	enum wb_err err;

	memset(item->digest, '0', wb_digest_hex_length(sender->options.digest));
	item->payload_bytes = size;
	err = wbi_sender_emit(sender);
	if (err)
		return err;
	content = sender->out + sender->used;
	if (!read_whole(fd, content, size)) {
		sender->used = begin; /* nobody has seen the head yet */
		return give_up(sender, stat);
	}
	digest_of(sender->digest, content, size, item->digest);
	wbi_item_set_digest(sender->out + begin, sender->used - begin, item->digest);
	wbi_sender_count(sender, size);
	return WB_OK;
}

static enum wb_err send_packed(struct wbi_file_sender *sender, int fd, const struct stat *stat)
{
	size_t size = (size_t)stat->st_size;

	if (!read_whole(fd, sender->scratch, size))
		return give_up(sender, stat);
	digest_of(sender->digest, sender->scratch, size, sender->item.digest);
	return wbi_sender_emit_content(sender, sender->scratch, size);
}

static enum wb_err send_whole(struct wbi_file_sender *sender, int fd, const struct stat *stat)
{
	uint64_t failures = sender->failures.count;
	enum wb_err err;

	sender->item.kind = WBI_ITEM_FILE;
	wbi_sender_facts(sender, stat);
	err = sender->compresses ? send_packed(sender, fd, stat) : send_in_place(sender, fd, stat);
	if (err || sender->failures.count > failures)
		return err;
	wbi_sender_known(sender, (uint64_t)stat->st_size);
	sender->progress.files_done++;
	sender->done_files++;
	sender->done_bytes += (uint64_t)stat->st_size;
	return WB_OK;
}

/* ---- offers ---- */

/* Everything that outlives this call is copied into the offer. */
static enum wb_err make_offer(struct wbi_file_sender *sender, const struct stat *stat,
			      const char *path)
{
	struct wbi_offer *offer = wbi_offer_new(sender);
	struct wbi_item *item = &sender->item;

	item->kind = WBI_ITEM_OFFER;
	wbi_sender_facts(sender, stat);
	item->has_size = sender->options.sources[sender->source].path;
	if (offer) {
		offer->n = item->n;
		offer->source = sender->source;
		offer->path = strdup(path);
		offer->name = strdup(item->name);
		offer->stat = *stat;
	}
	if (!offer || !offer->path || !offer->name)
		return wb_fault_set(&sender->fault, WB_ERR_NOMEM, NULL, 0,
				    "no memory for an offer");
	wbi_sender_known(sender, (uint64_t)stat->st_size);
	return wbi_sender_emit(sender);
}

/* A small file that may be there already: its digest goes with the offer. One that cannot be read
 * now will tell why when it is wanted. */
static enum wb_err offer_small(struct wbi_file_sender *sender, int fd, const struct stat *stat,
			       const char *path)
{
	size_t size = (size_t)stat->st_size;

	if (read_whole(fd, sender->scratch, size))
		digest_of(sender->digest, sender->scratch, size, sender->item.digest);
	return make_offer(sender, stat, path);
}

enum wb_err wbi_sender_stream(struct wbi_file_sender *sender)
{
	struct stat stat = {.st_mode = S_IFREG | wbi_attributes_own_mode()};

	(void)clock_gettime(CLOCK_REALTIME, &stat.st_mtim);
	return make_offer(sender, &stat, "");
}

/* ---- which ---- */

static bool send_hardlink(struct wbi_file_sender *sender, const struct stat *stat)
{
	struct wbi_item *item = &sender->item;
	const char *to = wbi_links_find(&sender->links, stat, item->name);

	if (!to || !wbi_item_set_other(item, to, strlen(to)))
		return false;
	item->kind = WBI_ITEM_HARDLINK;
	item->n = ++sender->n;
	wbi_sender_known(sender, 0);
	sender->progress.files_done++;
	sender->done_files++;
	return true;
}

/* A name is never so long in a header that the head would be longer. */
static size_t whole_room(const struct wbi_file_sender *sender, const struct stat *stat)
{
	const struct wbi_item *item = &sender->item;
	size_t head = item->name_bytes < 256 ? 2048 : WBI_ITEM_HEAD_BYTES_MAX;

	return head + (size_t)stat->st_size + 1;
}

static enum wb_err send_small(struct wbi_file_sender *sender, int fd, const struct stat *stat,
			      const char *path)
{
	if (sender->fresh && whole_room(sender, stat) <= wbi_sender_room(sender))
		return send_whole(sender, fd, stat);
	return offer_small(sender, fd, stat, path);
}

/* Worth keeping sparse: a file system that packs its files says so of all of them. */
static bool is_sparse(const struct stat *stat)
{
	return stat->st_size >= SPARSE_MIN && stat->st_blocks * 512 < stat->st_size;
}

enum wb_err wbi_sender_file(struct wbi_file_sender *sender, int fd, const struct stat *stat,
			    const char *path, bool *ret_moved)
{
	enum wb_err err;

	if (stat->st_nlink > 1 && send_hardlink(sender, stat)) {
		err = wbi_sender_emit(sender);
	} else if (stat->st_size > WBI_ITEM_SMALL_BYTES || (sender->fresh && is_sparse(stat))) {
		err = make_offer(sender, stat, path);
	} else if (sender->fresh && sender->used > 0 &&
		   whole_room(sender, stat) > wbi_sender_room(sender)) {
		sender->held = (struct wbi_held){fd, *stat, path};
		*ret_moved = false;
		return WB_OK;
	} else {
		err = send_small(sender, fd, stat, path);
	}
	close(fd);
	return err;
}

enum wb_err wbi_sender_file_held(struct wbi_file_sender *sender)
{
	struct wbi_held *held = &sender->held;
	enum wb_err err = WB_OK;

	if (wbi_sender_begin(sender, WBI_ITEM_FILE, held->path))
		err = send_small(sender, held->fd, &held->stat, held->path);
	wbi_fd_close(&held->fd);
	return err;
}
