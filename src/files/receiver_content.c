/* The content of a wanted file: what comes is written, what agrees is copied or kept, what was kept
 * is read back; all of it, in order, goes into the digest.
 *
 * As long as all that comes is `copy` from the old file, nothing is written: it may turn out to be
 * the same. At the first difference the temporary is made and that part replayed into it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files/receiver_state.h"
#include "sys/fd.h"

enum {
	PUSH_BYTES = 8 << 20, /* written without waiting: the kernel is asked to begin */
	KEPT_MODE = 0600,     /* of a temporary that can be found again */
};

static const uint8_t zeros[64 * 1024];

void wbi_wanted_free(struct wbi_file_receiver *receiver, struct wbi_wanted *wanted)
{
	wbi_basis_forget(receiver, wanted);
	wbi_list_remove(&wanted->node);
	wbi_list_remove(&wanted->ask);
	receiver->wanted_count--;
	receiver->bases -= wanted->based;
	wbi_fd_close(&wanted->left);
	wbi_fd_close(&wanted->held);
	wbi_fd_close(&wanted->old_fd);
	wbi_folder_unuse(&receiver->folders, wanted->folder);
	free(wanted->name);
	free(wanted);
}

static bool is_sink(const struct wbi_file_receiver *receiver)
{
	return receiver->options.sink >= 0;
}

/* Whether the same transfer would find its temporary again. */
static bool can_resume(const struct wbi_receiver_content *content)
{
	char derived[WBI_TEMPORARY_NAME_MAX];

	wbi_temporary_name_of(content->of->name, derived);
	return !strcmp(derived, content->of->temporary) &&
	       (content->position > 0 || content->present > 0);
}

/* Small ones are not worth it; and what is hidden may end up where another transfer has a temporary
 * that is found by the same name. */
static bool is_found_again(const struct wbi_wanted *wanted)
{
	return (!wanted->has_size || wanted->size > WBI_ITEM_SMALL_BYTES) &&
	       !wbi_folder_is_hidden(wanted->folder);
}

void wbi_content_drop(struct wbi_file_receiver *receiver, bool keep)
{
	struct wbi_receiver_content *content = &receiver->content;
	struct wbi_wanted *of = content->of;

	if (!of)
		return;
	if (content->fd >= 0 && !is_sink(receiver)) {
		int at = wbi_folder_fd(&receiver->folders, of->folder);
		if (at >= 0 && (!keep || !can_resume(content)))
			unlinkat(at, of->temporary, 0);
		wbi_fd_close(&content->fd);
	}
	wbi_fd_close(&content->old);
	content->fd = -1;
	content->of = NULL;
	wbi_wanted_free(receiver, of);
}

/* Failed: told at once; what still comes of it is passed over. */
static enum wb_err drop_errno(struct wbi_file_receiver *receiver, int error)
{
	struct wbi_receiver_content *content = &receiver->content;
	struct wbi_wanted *of = content->of;
	enum wb_err err = wbi_receiver_fail_at(receiver, of->n, of->folder, of->name, error);

	if (err)
		return err;
	content->dropped = true;
	content->replay_until = content->copy_until = content->hole_until = 0;
	if (content->ending)
		wbi_content_drop(receiver, true);
	return WB_OK;
}

/* ---- the temporary ---- */

static int make_temporary(struct wbi_file_receiver *receiver, struct wbi_wanted *of)
{
	int at = wbi_folder_fd(&receiver->folders, of->folder);
	uint32_t made_mode;

	if (at < 0)
		return -1;
	if (is_found_again(of))
		return wbi_temporary_make(at, of->name, &receiver->temporaries, of->temporary);
	return wbi_small_make(receiver, of->folder, KEPT_MODE, of->temporary, &made_mode);
}

/* The old file is not the new one: from here on it is written. */
static enum wb_err differ(struct wbi_file_receiver *receiver)
{
	struct wbi_receiver_content *content = &receiver->content;

	content->same = false;
	content->fd = make_temporary(receiver, content->of);
	if (content->fd < 0)
		return drop_errno(receiver, errno);
	content->replay_until = content->position;
	content->position = 0;
	wb_digest_reset(content->digest);
	return WB_OK;
}

static enum wb_err begin(struct wbi_file_receiver *receiver, struct wbi_wanted *of)
{
	struct wbi_receiver_content *content = &receiver->content;

	*content = (struct wbi_receiver_content){
		.of = of, .fd = -1, .old = -1, .digest = content->digest};
	wb_digest_reset(content->digest);
	wbi_file_progress_name(&receiver->progress, of->name);
	if (is_sink(receiver)) {
		content->fd = receiver->options.sink;
		return WB_OK;
	}
	if (of->left >= 0) {
		content->fd = of->left;
		of->left = -1;
		content->present = of->left_bytes;
	}
	if (of->old_fd >= 0) {
		content->old = of->old_fd;
		of->old_fd = -1;
		content->same = content->fd < 0 && !of->old_is_held;
	}
	if (content->fd < 0 && !content->same) {
		content->fd = make_temporary(receiver, of);
		if (content->fd < 0)
			return drop_errno(receiver, errno);
	}
	return WB_OK;
}

static int write_at(const struct wbi_file_receiver *receiver, const uint8_t *data, size_t bytes)
{
	const struct wbi_receiver_content *content = &receiver->content;
	struct wb_fault fault;
	size_t done = 0;

	if (is_sink(receiver)) {
		if (!wbi_fd_write_all(content->fd, data, bytes, &fault))
			return 0;
		errno = fault.system_errno;
		return -1;
	}
	while (done < bytes) {
		ssize_t n = pwrite(content->fd, data + done, bytes - done,
				   (off_t)(content->position + done));
		if (n < 0 && errno != EINTR)
			return -1;
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* Has the disk start while the rest arrives, so that the sync at the end is short. */
static void push(struct wbi_file_receiver *receiver)
{
	struct wbi_receiver_content *content = &receiver->content;

	if (!receiver->commit.sync || is_sink(receiver) || content->fd < 0 ||
	    content->position < content->pushed + PUSH_BYTES)
		return;
	(void)sync_file_range(content->fd, (off_t)content->pushed,
			      (off_t)(content->position - content->pushed), SYNC_FILE_RANGE_WRITE);
	content->pushed = content->position;
}

static void advance(struct wbi_file_receiver *receiver, const uint8_t *data, size_t bytes)
{
	struct wbi_receiver_content *content = &receiver->content;

	wb_digest_update(content->digest, data, bytes);
	content->position += bytes;
	push(receiver);
}

/* ---- the steps ---- */

/* What an earlier transfer wrote where there is nothing now. */
static int punch(struct wbi_file_receiver *receiver, size_t bytes)
{
	struct wbi_receiver_content *content = &receiver->content;

	if (content->position >= content->present)
		return 0;
	if (fallocate(content->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)content->position, (off_t)bytes) == 0)
		return 0;
	return write_at(receiver, zeros, bytes);
}

/* How much of a hole of the old file lies at the position. */
static size_t old_hole(const struct wbi_receiver_content *content, size_t bytes)
{
	off_t position = (off_t)content->position;
	off_t data = lseek(content->old, position, SEEK_DATA);
	struct stat status;

	if (data < 0 && errno == ENXIO && fstat(content->old, &status) == 0)
		data = status.st_size; /* nothing but a hole up to its end */
	if (data <= position)
		return 0;
	if (bytes > sizeof(zeros))
		bytes = sizeof(zeros);
	return (uint64_t)(data - position) < bytes ? (size_t)(data - position) : bytes;
}

/* Of the old file into the temporary, by the kernel where it can (it may share the blocks). */
static ssize_t copy_old(struct wbi_file_receiver *receiver, size_t bytes)
{
	struct wbi_receiver_content *content = &receiver->content;
	off_t from = (off_t)content->position, to = from;
	size_t hole = old_hole(content, bytes);
	ssize_t got;

	if (hole > 0) {
		memset(receiver->io, 0, hole);
		return punch(receiver, hole) == 0 ? (ssize_t)hole : -1;
	}
	got = copy_file_range(content->old, &from, content->fd, &to, bytes, 0);
	if (got > 0)
		return pread(content->fd, receiver->io, (size_t)got, (off_t)content->position);
	got = pread(content->old, receiver->io, bytes, (off_t)content->position);
	if (got > 0 && write_at(receiver, receiver->io, (size_t)got) != 0)
		return -1;
	return got;
}

/* Up to `until`, from where the basis has it; always through the digest. */
static enum wb_err copy_step(struct wbi_file_receiver *receiver, uint64_t until, size_t *budget)
{
	struct wbi_receiver_content *content = &receiver->content;
	uint64_t kept = content->of->kept_bytes, left = until - content->position;
	size_t bytes = left < WBI_RECEIVER_IO_BYTES ? (size_t)left : WBI_RECEIVER_IO_BYTES;
	ssize_t got;

	if (content->same) {
		got = pread(content->old, receiver->io, bytes, (off_t)content->position);
	} else if (content->position < kept) {
		if (bytes > kept - content->position)
			bytes = (size_t)(kept - content->position);
		got = pread(content->fd, receiver->io, bytes, (off_t)content->position);
	} else {
		got = copy_old(receiver, bytes);
	}
	if (got <= 0)
		return drop_errno(receiver, got < 0 ? errno : ESTALE);
	*budget -= (size_t)got < *budget ? (size_t)got : *budget;
	advance(receiver, receiver->io, (size_t)got);
	return WB_OK;
}

static enum wb_err hole_step(struct wbi_file_receiver *receiver, size_t *budget)
{
	struct wbi_receiver_content *content = &receiver->content;
	uint64_t left = content->hole_until - content->position;
	size_t bytes = left < sizeof(zeros) ? (size_t)left : sizeof(zeros);

	if ((is_sink(receiver) ? write_at(receiver, zeros, bytes) : punch(receiver, bytes)) != 0)
		return drop_errno(receiver, errno);
	*budget -= bytes < *budget ? bytes : *budget;
	advance(receiver, zeros, bytes);
	return WB_OK;
}

/* ---- the end ---- */

static enum wb_err count_done(struct wbi_file_receiver *receiver)
{
	struct wbi_receiver_content *content = &receiver->content;

	receiver->saved_files++;
	receiver->saved_bytes += content->position;
	receiver->progress.files_done++;
	receiver->progress.bytes_verified += content->position;
	return WB_OK;
}

/* A large file gets its name while it is locked: nobody else can take it for a left-over one. */
static int name_large(struct wbi_file_receiver *receiver)
{
	struct wbi_receiver_content *content = &receiver->content;
	struct wbi_wanted *of = content->of;

	if (receiver->commit.sync && fsync(content->fd) != 0)
		return -1;
	if (wbi_commit_name(&receiver->commit, of->folder, of->temporary, of->name) != 0)
		return -1;
	if (of->held >= 0)
		wbi_temporary_retire(wbi_folder_fd(&receiver->folders, of->folder), of->name,
				     of->held, &of->held_then);
	return 0;
}

static int commit(struct wbi_file_receiver *receiver)
{
	struct wbi_receiver_content *content = &receiver->content;
	struct wbi_wanted *of = content->of;
	struct stat status;

	if (content->same)
		return fstat(content->old, &status) == 0 &&
				       wbi_attributes_set(content->old, &of->attributes, &status) ==
					       0
			       ? wbi_commit_found(&receiver->commit, of->folder, content->old)
			       : -1;
	if (fstat(content->fd, &status) != 0 ||
	    ((uint64_t)status.st_size != content->position &&
	     ftruncate(content->fd, (off_t)content->position) != 0) ||
	    wbi_attributes_set_new(content->fd, &of->attributes, UINT32_MAX) != 0)
		return -1;
	if (is_found_again(of))
		return name_large(receiver);
	return wbi_commit_add(&receiver->commit, of->folder, of->temporary, of->name, of->n,
			      content->position);
}

static enum wb_err leave(struct wbi_file_receiver *receiver)
{
	struct wbi_receiver_content *content = &receiver->content;

	/* It has its name, or the commit has it: nothing is to be removed. */
	if (!is_sink(receiver))
		wbi_fd_close(&content->fd);
	content->fd = -1;
	wbi_content_drop(receiver, true);
	return receiver->err;
}

/* Somebody writes into the old file, or gave it another time. */
static bool old_has_changed(const struct wbi_receiver_content *content)
{
	const struct stat *then = &content->of->old;
	struct stat now;

	return content->old >= 0 && fstat(content->old, &now) == 0 &&
	       (now.st_size != then->st_size || now.st_mtim.tv_sec != then->st_mtim.tv_sec ||
		now.st_mtim.tv_nsec != then->st_mtim.tv_nsec);
}

static enum wb_err complete(struct wbi_file_receiver *receiver)
{
	struct wbi_receiver_content *content = &receiver->content;
	struct wbi_wanted *of = content->of;
	char found[WB_DIGEST_HEX_MAX], path[WBI_FOLDER_PATH_MAX];
	enum wb_err err;

	wb_digest_hex(content->digest, found);
	if (strcmp(found, content->expected)) {
		err = old_has_changed(content)
			      ? wbi_receiver_fail_at(receiver, of->n, of->folder, of->name, ESTALE)
			      : wbi_receiver_fail_digest(
					receiver, of->n,
					wbi_folder_path(of->folder, of->name, path),
					content->expected, found);
		wbi_content_drop(receiver, false);
		return err;
	}
	/* Somebody replaced or removed the old file, which is the new one: it is made once more. */
	if (content->same && (!wbi_basis_is_named(receiver, of) || old_has_changed(content)))
		return differ(receiver);
	if (!is_sink(receiver) && commit(receiver) != 0) {
		if (content->same && errno == EPERM) /* somebody else's: it can be replaced */
			return differ(receiver);
		err = errno == ENOENT && is_found_again(of)
			      ? wbi_receiver_fail(receiver, WBI_ANSWER_FAILED, of->n,
						  wbi_folder_path(of->folder, of->name, path),
						  "superseded", "a later transfer was quicker")
			      : wbi_receiver_fail_at(receiver, of->n, of->folder, of->name, errno);
		wbi_content_drop(receiver, false);
		return err;
	}
	count_done(receiver);
	return leave(receiver);
}

/* ---- items ---- */

static struct wbi_wanted *find_wanted(struct wbi_file_receiver *receiver, uint64_t n)
{
	struct wbi_list *at;

	for (at = receiver->wanted.next; at != &receiver->wanted; at = at->next) {
		struct wbi_wanted *wanted = WBI_CONTAINER(at, struct wbi_wanted, node);
		if (wanted->n == n)
			return wanted;
	}
	return NULL;
}

/* data, copy, hole: in order, without a gap, and not beyond the size. */
static enum wb_err check_piece(struct wbi_file_receiver *receiver, uint64_t bytes)
{
	const struct wbi_receiver_content *content = &receiver->content;
	const struct wbi_item *item = &receiver->item;
	uint64_t most = content->of->has_size ? content->of->size : WB_INTEGER_MAX;

	if (item->offset != content->position)
		return wbi_receiver_bad(receiver, "order", "leaves a gap, or goes back");
	if (bytes > most || item->offset > most - bytes)
		return wbi_receiver_bad(receiver, "size", "goes beyond the file's size");
	if (content->of->has_size)
		return WB_OK;
	if (bytes > receiver->options.bytes_max - receiver->bytes) {
		errno = 0;
		return wbi_receiver_stop(receiver, WB_ERR_REFUSED, item->n, "quota-bytes",
					 "more than the %llu bytes that may come",
					 (unsigned long long)receiver->options.bytes_max);
	}
	receiver->bytes += bytes;
	return WB_OK;
}

static enum wb_err on_copy(struct wbi_file_receiver *receiver)
{
	struct wbi_receiver_content *content = &receiver->content;
	const struct wbi_item *item = &receiver->item;
	enum wb_err err = check_piece(receiver, item->bytes);

	if (err)
		return err;
	if (item->offset + item->bytes > content->of->basis_bytes)
		return wbi_receiver_bad(receiver, "basis",
					"is of something that was never told of");
	content->copy_until = item->offset + item->bytes;
	receiver->progress.bytes_saved += item->bytes;
	receiver->progress.bytes_done += item->bytes;
	return WB_OK;
}

static enum wb_err on_hole(struct wbi_file_receiver *receiver)
{
	struct wbi_receiver_content *content = &receiver->content;
	const struct wbi_item *item = &receiver->item;
	enum wb_err err = check_piece(receiver, item->bytes);

	if (!err && content->same)
		err = differ(receiver);
	if (err || content->dropped)
		return err;
	content->hole_until = item->offset + item->bytes;
	receiver->progress.bytes_saved += item->bytes;
	receiver->progress.bytes_done += item->bytes;
	return WB_OK;
}

static enum wb_err on_data(struct wbi_file_receiver *receiver)
{
	const struct wbi_item *item = &receiver->item;
	uint64_t bytes = wbi_receiver_content_bytes(item);
	enum wb_err err = check_piece(receiver, bytes);

	if (!err && receiver->content.same)
		err = differ(receiver);
	receiver->progress.bytes_done += bytes;
	return err;
}

static enum wb_err on_end(struct wbi_file_receiver *receiver)
{
	struct wbi_receiver_content *content = &receiver->content;
	const struct wbi_item *item = &receiver->item;

	if (item->size != content->position ||
	    (content->of->has_size && item->size != content->of->size))
		return wbi_receiver_bad(receiver, "size", "says another size than has come");
	if (strlen(item->digest) != wb_digest_hex_length(receiver->options.digest))
		return wbi_receiver_bad(receiver, "digest", "has a digest of another kind");
	memcpy(content->expected, item->digest, sizeof(content->expected));
	content->ending = true;
	if (content->same && (uint64_t)content->of->old.st_size != content->position)
		return differ(receiver);
	return WB_OK;
}

static enum wb_err on_abort(struct wbi_file_receiver *receiver, struct wbi_wanted *wanted)
{
	const struct wbi_item *item = &receiver->item;

	/* The sender counts it, too: no answer. */
	if (wanted != receiver->content.of || !receiver->content.dropped)
		wbi_file_failures_add(&receiver->failures, item->n, item->error, "%s", item->text);
	if (!wanted)
		return WB_OK;
	if (wanted == receiver->content.of)
		wbi_content_drop(receiver, true);
	else
		wbi_wanted_free(receiver, wanted);
	return WB_OK;
}

/* An entry that could not be sent has a number of its own. */
static enum wb_err on_abort_item(struct wbi_file_receiver *receiver)
{
	const struct wbi_item *item = &receiver->item;
	struct wbi_wanted *wanted = find_wanted(receiver, item->n);

	if (!wanted && item->n <= receiver->n)
		return WB_OK; /* refused, or had: it was on its way when that was said */
	if (!wanted)
		receiver->n = item->n;
	return on_abort(receiver, wanted);
}

static enum wb_err dispatch(struct wbi_file_receiver *receiver)
{
	switch (receiver->item.kind) {
	case WBI_ITEM_DATA:
		return on_data(receiver);
	case WBI_ITEM_COPY:
		return on_copy(receiver);
	case WBI_ITEM_HOLE:
		return on_hole(receiver);
	default:
		return on_end(receiver);
	}
}

enum wb_err wbi_content_item(struct wbi_file_receiver *receiver)
{
	struct wbi_receiver_content *content = &receiver->content;
	const struct wbi_item *item = &receiver->item;
	enum wb_err err = WB_OK;

	if (item->kind == WBI_ITEM_ABORT)
		return on_abort_item(receiver);
	if (content->of && content->of->n != item->n)
		return wbi_receiver_bad(receiver, "order", "comes before another file has ended");
	if (!content->of) {
		struct wbi_wanted *wanted = find_wanted(receiver, item->n);
		if (!wanted || !wanted->asked)
			return wbi_receiver_bad(receiver, "order", "is of no file that is wanted");
		err = begin(receiver, wanted);
	}
	if (err)
		return err;
	if (!content->dropped)
		return dispatch(receiver);
	if (item->kind == WBI_ITEM_END)
		wbi_content_drop(receiver, true);
	return WB_OK;
}

enum wb_err wbi_content_data(struct wbi_file_receiver *receiver, const uint8_t *data, size_t bytes)
{
	if (receiver->content.dropped)
		return WB_OK;
	if (write_at(receiver, data, bytes) != 0)
		return drop_errno(receiver, errno);
	advance(receiver, data, bytes);
	return WB_OK;
}

bool wbi_content_busy(const struct wbi_file_receiver *receiver)
{
	const struct wbi_receiver_content *content = &receiver->content;

	return content->of && !content->dropped &&
	       (content->ending || content->position < content->replay_until ||
		content->position < content->copy_until || content->position < content->hole_until);
}

enum wb_err wbi_content_work(struct wbi_file_receiver *receiver, size_t *budget)
{
	struct wbi_receiver_content *content = &receiver->content;

	if (content->position < content->replay_until)
		return copy_step(receiver, content->replay_until, budget);
	if (content->position < content->copy_until)
		return copy_step(receiver, content->copy_until, budget);
	if (content->position < content->hole_until)
		return hole_step(receiver, budget);
	*budget = 0; /* a sync may take its time */
	return complete(receiver);
}
