/* Entries: a tree comes depth first, so what comes belongs to the folder that began last. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files/receiver_state.h"
#include "files/remove.h"
#include "sys/fd.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
	HAVE_BYTES_MAX = 1 << 20,
	LISTING_NAMES_MAX = 1 << 20,
	/* What is in a hidden folder when we die is not found again: from here on that would hurt.
	 */
	RESUMED_BYTES_MIN = 4 << 20,
};

/* ---- where an entry belongs ---- */

/* What no honest name has; the kernel would object to some, and misunderstand the others. */
const char *wbi_receiver_name_fault(const char *name, size_t bytes)
{
	unsigned depth = 0;

	for (size_t at = 0; at <= bytes; depth++) {
		size_t length = strcspn(name + at, "/");
		if (!length)
			return "has a name with an empty component";
		if (length > WBI_FILE_NAME_MAX)
			return "has a name with a component above 255 bytes";
		if ((length == 1 && name[at] == '.') ||
		    (length == 2 && name[at] == '.' && name[at + 1] == '.'))
			return "has a name that leads elsewhere";
		at += length + 1;
	}
	return depth > WBI_RECEIVER_DEPTH_MAX ? "has a name of more than 256 components" : NULL;
}

static struct wbi_level *deepest(struct wbi_file_receiver *receiver)
{
	return &receiver->levels[receiver->depth];
}

static enum wb_err count_entry(struct wbi_file_receiver *receiver)
{
	const struct wbi_item *item = &receiver->item;
	bool content = item->kind == WBI_ITEM_FILE || item->kind == WBI_ITEM_OFFER;
	uint64_t bytes =
		content && (item->has_size || item->kind == WBI_ITEM_FILE) ? item->size : 0;

	errno = 0;
	if (receiver->files >= receiver->options.files_max)
		return wbi_receiver_stop(receiver, WB_ERR_REFUSED, item->n, "quota-files",
					 "more than the %llu files that may come",
					 (unsigned long long)receiver->options.files_max);
	if (bytes > receiver->options.bytes_max - receiver->bytes)
		return wbi_receiver_stop(receiver, WB_ERR_REFUSED, item->n, "quota-bytes",
					 "more than the %llu bytes that may come",
					 (unsigned long long)receiver->options.bytes_max);
	receiver->files++;
	receiver->bytes += bytes;
	return WB_OK;
}

/* What speaks against the name, the order and the amount: all of it ends the transfer. */
static enum wb_err check_entry(struct wbi_file_receiver *receiver, size_t *ret_start)
{
	struct wbi_item *item = &receiver->item;
	size_t parent_bytes = deepest(receiver)->path_bytes;
	const char *why = wbi_receiver_name_fault(item->name, item->name_bytes);
	const char *slash = strrchr(item->name, '/');
	size_t start = slash ? (size_t)(slash - item->name) + 1 : 0;

	if (item->n <= receiver->n)
		return wbi_receiver_bad(receiver, "order", "has a number that is not higher");
	receiver->n = item->n;
	if (receiver->spread && !receiver->depth)
		return wbi_receiver_bad(receiver, "order", "comes behind the target itself");
	if (why)
		return wbi_receiver_bad(receiver, "name", why);
	if (start != (parent_bytes ? parent_bytes + 1 : 0) ||
	    memcmp(item->name, receiver->path, parent_bytes) != 0)
		return wbi_receiver_bad(receiver, "order", "is not in the folder that began last");
	if (wbi_names_add(&receiver->names, item->name, item->name_bytes) == WBI_NAMES_KNOWN)
		return wbi_receiver_bad(receiver, "duplicate", "has a name that came before");
	if (!receiver->depth && receiver->target.as[0] && receiver->top_entries++)
		return wbi_receiver_bad(receiver, "duplicate", "is a second one for one name");
	*ret_start = start;
	return count_entry(receiver);
}

/* Once a folder: what transfers that died left in it. */
static void sweep(struct wbi_file_receiver *receiver, struct wbi_folder *folder)
{
	int fd;

	if (wbi_folder_is_fresh(folder) || folder->swept)
		return;
	folder->swept = true;
	fd = wbi_folder_fd(&receiver->folders, folder);
	if (fd >= 0)
		wbi_temporary_sweep(fd, WBI_RECEIVER_STALE_SECONDS);
}

struct wbi_folder *wbi_receiver_place(struct wbi_file_receiver *receiver, const char **ret_name,
				      enum wb_err *ret_err)
{
	struct wbi_item *item = &receiver->item;
	struct wbi_folder *folder = deepest(receiver)->folder;
	size_t start = 0;

	*ret_err = check_entry(receiver, &start);
	if (*ret_err)
		return NULL;
	wbi_file_progress_name(&receiver->progress, item->name);
	receiver->progress.files_known++;
	*ret_name = !receiver->depth && receiver->target.as[0] ? receiver->target.as
							       : item->name + start;
	if (receiver->options.sink >= 0) {
		if (item->kind == WBI_ITEM_FILE || item->kind == WBI_ITEM_OFFER) {
			if (receiver->top_entries++ == 0)
				return folder;
			*ret_err =
				wbi_receiver_fail(receiver, WBI_ANSWER_REFUSED, item->n, item->name,
						  "sink", "there is room for one file only");
			return NULL;
		}
		*ret_err = wbi_receiver_fail(receiver, WBI_ANSWER_REFUSED, item->n, item->name,
					     "sink", "only a file can be written there");
		return NULL;
	}
	if (wbi_temporary_is(*ret_name)) {
		*ret_err = wbi_receiver_fail(receiver, WBI_ANSWER_REFUSED, item->n, item->name,
					     "reserved", "a name that temporaries have");
		return NULL;
	}
	if (wbi_folder_error(folder)) {
		*ret_err = wbi_receiver_fail(receiver, WBI_ANSWER_REFUSED, item->n, item->name,
					     "parent", "its folder could not be made");
		return NULL;
	}
	sweep(receiver, folder);
	return folder;
}

/* ---- folders ---- */

void wbi_receiver_done_entry(struct wbi_file_receiver *receiver)
{
	receiver->saved_files++;
	receiver->progress.files_done++;
}

static enum wb_err enter(struct wbi_file_receiver *receiver, struct wbi_folder *folder,
			 const char *path)
{
	size_t bytes = strlen(path);

	if (!folder)
		return wbi_receiver_stop(receiver, WB_ERR_NOMEM, receiver->item.n, "no-memory",
					 "no memory for a folder");
	/* check_entry has seen to it that there are not more components than levels. */
	receiver->depth++;
	*deepest(receiver) = (struct wbi_level){folder, bytes};
	memcpy(receiver->path, path, bytes + 1);
	return WB_OK;
}

static bool is_target(const struct wbi_item *item)
{
	return item->name_bytes == 1 && item->name[0] == '.';
}

/* "." is the target itself: what is in the operand is spread in it. It is the only operand then. A
 * target that was there before keeps its mode and time: it may be somebody's home. */
static enum wb_err begin_target(struct wbi_file_receiver *receiver)
{
	const struct wbi_item *item = &receiver->item;
	struct wbi_folder *target = receiver->levels[0].folder, *folder = target;
	enum wb_err err;

	if (receiver->depth || receiver->n || !item->n)
		return wbi_receiver_bad(receiver, "order",
					"is the target, and not the first entry");
	receiver->n = item->n;
	receiver->spread = true;
	err = count_entry(receiver);
	if (err)
		return err;
	if (receiver->options.sink >= 0) {
		err = wbi_receiver_fail(receiver, WBI_ANSWER_REFUSED, item->n, item->name, "sink",
					"only a file can be written there");
		if (err)
			return err;
		return enter(receiver, wbi_folder_make_broken(&receiver->folders, target), "");
	}
	receiver->progress.files_known++;
	if (receiver->target.as[0])
		folder = wbi_folder_make(&receiver->folders, target, receiver->target.as);
	else
		wbi_folder_use(folder);
	if (!folder && errno != ENOMEM) {
		err = wbi_receiver_fail_errno(receiver, WBI_ANSWER_REFUSED, item->n,
					      receiver->target.as, errno);
		if (err)
			return err;
		return enter(receiver, wbi_folder_make_broken(&receiver->folders, target), "");
	}
	if (folder && folder->fresh && folder != target) {
		folder->n = item->n;
		folder->settles = true;
		folder->attributes = wbi_attributes_of(item, receiver->options.owner);
		receiver->commit.changes++;
	}
	wbi_receiver_done_entry(receiver);
	return enter(receiver, folder, "");
}

enum wb_err wbi_receiver_dir(struct wbi_file_receiver *receiver)
{
	struct wbi_folder *parent = deepest(receiver)->folder, *folder = NULL, *place;
	const struct wbi_item *item = &receiver->item;
	const char *name;
	enum wb_err err = WB_OK;

	if (is_target(item))
		return begin_target(receiver);
	place = wbi_receiver_place(receiver, &name, &err);
	if (err)
		return err;
	if (place) {
		folder = wbi_folder_make(&receiver->folders, place, name);
		if (!folder && errno == ENOMEM)
			return enter(receiver, NULL, item->name);
		if (!folder)
			err = wbi_receiver_fail_errno(receiver, WBI_ANSWER_REFUSED, item->n,
						      item->name, errno);
		if (err)
			return err;
	}
	if (!folder)
		return enter(receiver, wbi_folder_make_broken(&receiver->folders, parent),
			     item->name);
	folder->n = item->n;
	folder->settles = true;
	folder->attributes = wbi_attributes_of(item, receiver->options.owner);
	if (folder->fresh)
		receiver->commit.changes++;
	wbi_receiver_done_entry(receiver);
	return enter(receiver, folder, item->name);
}

enum wb_err wbi_receiver_dir_end_begin(struct wbi_file_receiver *receiver)
{
	const struct wbi_item *item = &receiver->item;
	struct wbi_level *level = deepest(receiver);
	size_t bytes = is_target(item) ? 0 : item->name_bytes;

	if (receiver->depth == 0 || level->path_bytes != bytes ||
	    memcmp(item->name, receiver->path, bytes) != 0)
		return wbi_receiver_bad(receiver, "order", "is not of the folder that began last");
	wbi_names_done(&receiver->listing);
	wbi_names_init(&receiver->listing, LISTING_NAMES_MAX);
	receiver->part_bytes = 0;
	receiver->listing_bad = false;
	return WB_OK;
}

/* Names, each with a NUL behind it, cut anywhere. */
void wbi_receiver_listing(struct wbi_file_receiver *receiver, const uint8_t *data, size_t bytes)
{
	if (!receiver->options.delete)
		return;
	for (size_t i = 0; i < bytes; i++) {
		if (data[i] && receiver->part_bytes >= WBI_FILE_NAME_MAX) {
			receiver->listing_bad = true;
		} else if (data[i]) {
			receiver->part[receiver->part_bytes++] = (char)data[i];
		} else {
			if (wbi_names_add(&receiver->listing, receiver->part,
					  receiver->part_bytes) == WBI_NAMES_FULL)
				receiver->listing_bad = true;
			receiver->part_bytes = 0;
		}
	}
}

/* The path as excludes see it: without the operand's own name. */
static const char *below_operand(const struct wbi_file_receiver *receiver)
{
	const char *slash = strchr(receiver->path, '/');

	if (receiver->spread)
		return receiver->path;
	return slash ? slash + 1 : "";
}

static enum wb_err remove_others(struct wbi_file_receiver *receiver, struct wbi_folder *folder)
{
	struct wbi_removal removal = {.keep = &receiver->listing,
				      .excludes = receiver->options.excludes};
	int fd;

	/* Nothing was in it; or it has been told of already. */
	if (wbi_folder_is_fresh(folder) || wbi_folder_error(folder))
		return WB_OK;
	fd = wbi_folder_fd(&receiver->folders, folder);
	if (fd < 0)
		return wbi_receiver_fail(receiver, WBI_ANSWER_FAILED, folder->n, receiver->path,
					 wbi_file_error_name(errno),
					 "nothing deleted: it cannot be opened again");
	if (receiver->listing_bad || receiver->part_bytes)
		return wbi_receiver_fail(receiver, WBI_ANSWER_FAILED, folder->n, receiver->path,
					 "listing", "nothing deleted: its list of names is bad");
	wbi_remove_others(&removal, fd, below_operand(receiver));
	receiver->deleted += removal.removed;
	if (removal.removed)
		wbi_commit_note(&receiver->commit, folder);
	if (!removal.error)
		return WB_OK;
	return wbi_receiver_fail_errno(receiver, WBI_ANSWER_FAILED, folder->n, removal.error_name,
				       removal.error);
}

enum wb_err wbi_receiver_dir_end(struct wbi_file_receiver *receiver)
{
	struct wbi_folder *folder = deepest(receiver)->folder;
	enum wb_err err = WB_OK;

	if (receiver->options.delete &&receiver->item.has_listing)
		err = remove_others(receiver, folder);
	wbi_names_done(&receiver->listing);
	receiver->depth--;
	receiver->path[deepest(receiver)->path_bytes] = '\0';
	wbi_folder_unuse(&receiver->folders, folder);
	return err ? err : receiver->err;
}

/* ---- offers ---- */

/* Reads a file of at most HAVE_BYTES_MAX and compares. */
static bool is_content(struct wbi_file_receiver *receiver, int fd)
{
	struct wb_digest *digest = receiver->small.digest;
	char found[WB_DIGEST_HEX_MAX];
	ssize_t got;

	wb_digest_reset(digest);
	while ((got = read(fd, receiver->io, WBI_RECEIVER_IO_BYTES)) > 0)
		wb_digest_update(digest, receiver->io, (size_t)got);
	wb_digest_hex(digest, found);
	return got == 0 && !strcmp(found, receiver->item.digest);
}

/* Whether the same content is there; then it has got its attributes. at: the folder's descriptor.
 */
static bool have(struct wbi_file_receiver *receiver, const struct wbi_folder *folder, int at,
		 const char *name, const struct wbi_attributes *attributes)
{
	const struct wbi_item *item = &receiver->item;
	struct stat status;
	bool same;
	int fd;

	if (!item->has_size || !item->digest[0] || item->size > HAVE_BYTES_MAX)
		return false;
	fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return false;
	same = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
	       (uint64_t)status.st_size == item->size && is_content(receiver, fd) &&
	       wbi_attributes_set(fd, attributes, &status) == 0 &&
	       wbi_commit_found(&receiver->commit, folder, fd) == 0;
	wbi_fd_close(&fd);
	return same;
}

static bool is_newer(const struct stat *status, const struct wbi_attributes *attributes)
{
	if (status->st_mtim.tv_sec != attributes->mtime.tv_sec)
		return status->st_mtim.tv_sec > attributes->mtime.tv_sec;
	return status->st_mtim.tv_nsec >= attributes->mtime.tv_nsec;
}

static enum wb_err want(struct wbi_file_receiver *receiver, struct wbi_folder *folder,
			const char *name, const struct wbi_attributes *attributes)
{
	const struct wbi_item *item = &receiver->item;
	struct wbi_wanted *wanted = calloc(1, sizeof(*wanted));

	if (wanted)
		wanted->name = strdup(name);
	if (!wanted || !wanted->name) {
		free(wanted);
		return wbi_receiver_stop(receiver, WB_ERR_NOMEM, item->n, "no-memory",
					 "no memory for an offer");
	}
	wanted->n = item->n;
	wanted->folder = folder;
	wanted->path_hash = XXH3_64bits(item->name, item->name_bytes);
	wanted->has_size = item->has_size;
	wanted->size = item->size;
	wanted->attributes = *attributes;
	wanted->left = wanted->held = wanted->old_fd = -1;
	wbi_folder_use(folder);
	wbi_list_append(&receiver->wanted, &wanted->node);
	wbi_list_append(&receiver->asking, &wanted->ask);
	receiver->wanted_count++;
	return WB_OK;
}

enum wb_err wbi_receiver_offer(struct wbi_file_receiver *receiver)
{
	const struct wbi_item *item = &receiver->item;
	struct wbi_attributes attributes = wbi_attributes_of(item, receiver->options.owner);
	const char *name;
	enum wb_err err = WB_OK;
	struct wbi_folder *folder;
	struct stat status;
	int at;

	if (receiver->wanted_count >= WBI_ITEM_OFFERS_MAX)
		return wbi_receiver_bad(receiver, "limit", "is one more than may be open");
	folder = wbi_receiver_place(receiver, &name, &err);
	if (!folder)
		return err;
	if (wbi_folder_is_hidden(folder) && (!item->has_size || item->size >= RESUMED_BYTES_MIN)) {
		err = wbi_receiver_flush(receiver);
		if (err)
			return err;
	}
	if (receiver->options.sink >= 0 || wbi_folder_is_fresh(folder))
		return want(receiver, folder, name, &attributes);
	at = wbi_folder_fd(&receiver->folders, folder);
	if (at < 0)
		return wbi_receiver_fail_errno(receiver, WBI_ANSWER_REFUSED, item->n, item->name,
					       errno);
	if (fstatat(at, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
		return want(receiver, folder, name, &attributes);
	if (S_ISDIR(status.st_mode))
		return wbi_receiver_fail_errno(receiver, WBI_ANSWER_REFUSED, item->n, item->name,
					       EISDIR);
	/* A device that a file took the place of would be missed by all, /dev/null most. */
	if (!S_ISREG(status.st_mode) && !S_ISLNK(status.st_mode))
		return wbi_receiver_fail(receiver, WBI_ANSWER_REFUSED, item->n, item->name,
					 "special", "a device, a pipe or a socket is in the way");
	if (S_ISREG(status.st_mode) && receiver->options.update && is_newer(&status, &attributes)) {
		wbi_receiver_done_entry(receiver);
		return wbi_receiver_answer_n(receiver, WBI_ANSWER_SKIP, item->n);
	}
	if (S_ISREG(status.st_mode) && have(receiver, folder, at, name, &attributes)) {
		wbi_receiver_done_entry(receiver);
		receiver->saved_bytes += item->size;
		receiver->progress.bytes_done += item->size;
		receiver->progress.bytes_saved += item->size;
		receiver->progress.bytes_verified += item->size;
		return wbi_receiver_answer_n(receiver, WBI_ANSWER_HAVE, item->n);
	}
	return want(receiver, folder, name, &attributes);
}
