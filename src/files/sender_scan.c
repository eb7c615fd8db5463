/* Operands and trees become items. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "files/sender_state.h"
#include "sys/beneath.h"
#include "sys/fd.h"

enum { NAME_LOOKUP_BYTES = 4096 };

#define READ_FLAGS (O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)

/* ---- opening ---- */

/* An operand's last link is followed, as far as it stays beneath the root. */
static int open_operand(const struct wbi_file_sender *sender, const char *path)
{
	if (sender->options.root == AT_FDCWD)
		return open(path, READ_FLAGS);
	path += strspn(path, "/");
	return wbi_beneath_open(sender->options.root, path, READ_FLAGS, 0, WBI_BENEATH_LINKS);
}

int wbi_sender_open(struct wbi_file_sender *sender, const struct wbi_offer *offer)
{
	const struct wbi_file_source *source = &sender->options.sources[offer->source];
	int top, fd, error;

	if (!source->path)
		return fcntl(source->stream, F_DUPFD_CLOEXEC, 0);
	if (offer->path[0] == '\0')
		return open_operand(sender, source->path);
	if (sender->walk && offer->source == sender->source)
		return wbi_beneath_open(wbi_walk_top(sender->walk), offer->path, READ_FLAGS, 0,
					WBI_BENEATH_NO_LINKS);
	top = open_operand(sender, source->path);
	if (top < 0)
		return -1;
	fd = wbi_beneath_open(top, offer->path, READ_FLAGS, 0, WBI_BENEATH_NO_LINKS);
	error = errno;
	close(top);
	errno = error;
	return fd;
}

/* ---- names and facts ---- */

size_t wbi_file_source_name(const char *path, const char **ret_name)
{
	size_t bytes = strlen(path), start;

	while (bytes > 0 && path[bytes - 1] == '/')
		bytes--;
	for (start = bytes; start > 0 && path[start - 1] != '/'; start--)
		;
	*ret_name = path + start;
	bytes -= start;
	if (bytes <= 2 && !memcmp(path + start, "..", bytes))
		return 0;
	return bytes;
}

/* The operand that the other end calls "." is no part of the names below it. */
bool wbi_sender_begin(struct wbi_file_sender *sender, enum wbi_item_kind kind, const char *path)
{
	struct wbi_item *item = &sender->item;
	size_t base_bytes = sender->nameless ? 0 : strlen(sender->base), bytes = strlen(path);
	bool slash = base_bytes > 0 && bytes > 0;

	wbi_item_init(item, kind);
	if (base_bytes + slash + bytes == 0)
		return wbi_item_set_name(item, ".", 1);
	if (base_bytes + slash + bytes > WBI_ITEM_NAME_MAX)
		return false;
	memcpy(item->name, sender->base, base_bytes);
	if (slash)
		item->name[base_bytes] = '/';
	memcpy(item->name + base_bytes + slash, path, bytes + 1);
	item->name_bytes = base_bytes + slash + bytes;
	return true;
}

enum wb_err wbi_sender_fail_entry(struct wbi_file_sender *sender, const char *error,
				  const char *why)
{
	return wbi_sender_fail(sender, 0, sender->item.name, error, why);
}

static enum wb_err too_long(struct wbi_file_sender *sender, const char *path)
{
	return wbi_sender_fail(sender, 0, path, "name-too-long", "longer than 4095 bytes");
}

/* A name that no header could hold is told as a number only. */
static void keep_name(char out[WBI_ITEM_OWNER_MAX], const char *name)
{
	size_t bytes = strlen(name);

	if (bytes >= WBI_ITEM_OWNER_MAX || wbi_utf8_prefix(name, bytes) < bytes)
		bytes = 0;
	memcpy(out, name, bytes);
	out[bytes] = '\0';
}

/* Most of a tree belongs to one: the last names are remembered. */
static void look_up(struct wbi_file_sender *sender, uid_t uid, gid_t gid)
{
	char buffer[NAME_LOOKUP_BYTES];
	struct passwd user, *found_user = NULL;
	struct group group, *found_group = NULL;

	if (uid != sender->last_uid) {
		sender->last_uid = uid;
		(void)getpwuid_r(uid, &user, buffer, sizeof(buffer), &found_user);
		keep_name(sender->last_user, found_user ? user.pw_name : "");
	}
	if (gid != sender->last_gid) {
		sender->last_gid = gid;
		(void)getgrgid_r(gid, &group, buffer, sizeof(buffer), &found_group);
		keep_name(sender->last_group, found_group ? group.gr_name : "");
	}
}

void wbi_sender_facts(struct wbi_file_sender *sender, const struct stat *stat)
{
	struct wbi_item *item = &sender->item;

	item->n = ++sender->n;
	item->mode = stat->st_mode & 07777;
	item->mtime = (struct wbi_item_time){stat->st_mtim.tv_sec, (uint32_t)stat->st_mtim.tv_nsec};
	item->has_size = true;
	item->size = (uint64_t)stat->st_size;
	if (!sender->options.owner)
		return;
	look_up(sender, stat->st_uid, stat->st_gid);
	item->has_owner = true;
	item->uid = stat->st_uid;
	item->gid = stat->st_gid;
	memcpy(item->user, sender->last_user, sizeof(item->user));
	memcpy(item->group, sender->last_group, sizeof(item->group));
}

void wbi_sender_known(struct wbi_file_sender *sender, uint64_t bytes)
{
	sender->progress.files_known++;
	sender->progress.bytes_known += bytes;
	wbi_file_progress_name(&sender->progress, sender->item.name);
}

/* What is complete with its head. */
static enum wb_err emit_entry(struct wbi_file_sender *sender)
{
	wbi_sender_known(sender, 0);
	sender->progress.files_done++;
	sender->done_files++;
	return wbi_sender_emit(sender);
}

/* ---- entries ---- */

static enum wb_err send_symlink(struct wbi_file_sender *sender, const struct wbi_walk_entry *entry)
{
	struct wbi_item *item = &sender->item;
	struct stat stat;
	ssize_t bytes = readlinkat(entry->folder, entry->name, item->other, sizeof(item->other));

	if (bytes < 0 || fstatat(entry->folder, entry->name, &stat, AT_SYMLINK_NOFOLLOW) != 0)
		return wbi_sender_fail_entry(sender, NULL, NULL);
	if (bytes == 0 || bytes > WBI_ITEM_NAME_MAX)
		return wbi_sender_fail_entry(sender, "name-too-long",
					     "its target is longer than 4095 bytes");
	item->other[bytes] = '\0';
	item->other_bytes = (size_t)bytes;
	wbi_sender_facts(sender, &stat);
	return emit_entry(sender);
}

static enum wb_err special(struct wbi_file_sender *sender)
{
	return wbi_sender_fail_entry(sender, "special", "left out: a socket, a pipe or a device");
}

static enum wb_err send_regular(struct wbi_file_sender *sender, const struct wbi_walk_entry *entry,
				bool *ret_moved)
{
	int fd = openat(entry->folder, entry->name, READ_FLAGS | O_NOFOLLOW);
	struct stat stat;
	enum wb_err err;

	if (fd >= 0 && fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode))
		return wbi_sender_file(sender, fd, &stat, entry->path, ret_moved);
	/* It was one a moment ago. */
	if (fd >= 0)
		err = special(sender);
	else
		err = wbi_sender_fail_entry(sender, NULL, NULL);
	wbi_fd_close(&fd);
	return err;
}

static enum wb_err send_entry(struct wbi_file_sender *sender, const struct wbi_walk_entry *entry,
			      bool *ret_moved)
{
	if (!wbi_sender_begin(sender, WBI_ITEM_LINK, entry->path))
		return too_long(sender, entry->path);
	switch (entry->type) {
	case DT_LNK:
		return send_symlink(sender, entry);
	case DT_REG:
		return send_regular(sender, entry, ret_moved);
	default:
		return special(sender);
	}
}

static enum wb_err send_folder(struct wbi_file_sender *sender, const struct wbi_walk_entry *entry)
{
	if (!wbi_sender_begin(sender, WBI_ITEM_DIR, entry->path))
		return too_long(sender, entry->path);
	wbi_sender_facts(sender, &entry->stat);
	return emit_entry(sender);
}

static enum wb_err end_folder(struct wbi_file_sender *sender, const struct wbi_walk_entry *entry)
{
	struct wbi_item *item = &sender->item;
	size_t bytes;
	const char *names = wbi_walk_listing(sender->walk, &bytes);
	enum wb_err err;

	if (!wbi_sender_begin(sender, WBI_ITEM_DIR_END, entry->path))
		return WB_OK; /* it did not begin, either */
	/* Without a listing nothing is deleted: the safe side of a folder that is too large. */
	item->has_listing = sender->options.delete &&bytes <= WBI_ITEM_LISTING_BYTES;
	item->payload_bytes = item->has_listing ? bytes : 0;
	err = wbi_sender_emit(sender);
	if (!err && item->has_listing) {
		sender->listing = names;
		sender->listing_bytes = bytes;
	}
	return err;
}

void wbi_sender_list(struct wbi_file_sender *sender)
{
	size_t bytes = sender->listing_bytes, room = wbi_sender_room(sender);

	if (bytes > room)
		bytes = room;
	memcpy(sender->out + sender->used, sender->listing, bytes);
	sender->used += bytes;
	sender->progress.bytes_wire += bytes;
	sender->listing += bytes;
	sender->listing_bytes -= bytes;
}

static enum wb_err walk_on(struct wbi_file_sender *sender, bool *ret_moved)
{
	struct wbi_walk_entry entry;

	switch (wbi_walk_next(sender->walk, &entry)) {
	case WBI_WALK_ENTRY:
		return send_entry(sender, &entry, ret_moved);
	case WBI_WALK_FOLDER:
		return send_folder(sender, &entry);
	case WBI_WALK_FOLDER_END:
		return end_folder(sender, &entry);
	case WBI_WALK_FAILED:
		if (!wbi_sender_begin(sender, WBI_ITEM_DIR, entry.path))
			return too_long(sender, entry.path);
		errno = entry.error;
		return wbi_sender_fail_entry(sender, NULL,
					     errno == ENAMETOOLONG ? "too deep a folder: 255 are "
								     "the most, or 4095 bytes"
								   : NULL);
	case WBI_WALK_OVER:
		break;
	}
	wbi_walk_free(sender->walk);
	sender->walk = NULL;
	sender->source++;
	return WB_OK;
}

/* ---- operands ---- */

/* Opens a source that can be sent. Returns its descriptor, or -1 with why not: *ret_error NULL
 * means errno. */
static int open_source(const struct wbi_file_sender *sender, const struct wbi_file_source *source,
		       struct stat *ret_stat, const char **ret_error, const char **ret_why)
{
	int fd = open_operand(sender, source->path);

	*ret_error = *ret_why = NULL;
	if (fd >= 0 && fstat(fd, ret_stat) == 0) {
		if (S_ISREG(ret_stat->st_mode) ||
		    (S_ISDIR(ret_stat->st_mode) && sender->options.recursive))
			return fd;
		*ret_error = S_ISDIR(ret_stat->st_mode) ? "is-a-folder" : "special";
		*ret_why = S_ISDIR(ret_stat->st_mode) ? "a folder; -r takes folders"
						      : "neither a file nor a folder";
	} else if (errno == EXDEV) {
		*ret_error = "outside";
		*ret_why = "leads out of what may be read";
	}
	int error = errno;
	wbi_fd_close(&fd);
	errno = error;
	return -1;
}

bool wbi_file_sender_check(struct wbi_file_sender *sender)
{
	for (size_t i = 0; i < sender->options.source_count; i++) {
		const struct wbi_file_source *source = &sender->options.sources[i];
		const char *error, *why;
		struct stat stat;
		int fd = source->path ? open_source(sender, source, &stat, &error, &why) : -1;

		if (fd >= 0 || !source->path) {
			wbi_fd_close(&fd);
			wbi_file_failures_done(&sender->failures);
			sender->n = 0;
			return true;
		}
		wbi_sender_note_failure(sender, 0, source->path, error, why);
	}
	sender->phase = WBI_SENDER_FINISHED;
	return false;
}

static enum wb_err begin_tree(struct wbi_file_sender *sender, int fd)
{
	enum wb_err err = wbi_walk_new(fd, sender->options.excludes, &sender->walk);

	return err ? wb_fault_set(&sender->fault, err, NULL, 0, "no memory for a folder") : WB_OK;
}

/* What the operand is called at the other end. */
static void name_operand(struct wbi_file_sender *sender, const struct wbi_file_source *source)
{
	const char *name = source->name;
	size_t bytes = source->path ? wbi_file_source_name(source->path, &name) : strlen(name);

	if (bytes >= sizeof(sender->base))
		bytes = sizeof(sender->base) - 1; /* nothing of that name exists */
	memcpy(sender->base, name, bytes);
	sender->base[bytes] = '\0';
	sender->nameless = bytes == 0;
}

/* Two operands cannot have one name, and one without a name is spread where others would be. */
static const char *name_fault(struct wbi_file_sender *sender)
{
	if (sender->nameless && sender->options.source_count > 1)
		return "has no name of its own: it can only be sent alone";
	if (wbi_names_add(&sender->names, sender->base, strlen(sender->base)) == WBI_NAMES_KNOWN)
		return "another one has this name already";
	return NULL;
}

static enum wb_err begin_operand(struct wbi_file_sender *sender, bool *ret_moved)
{
	const struct wbi_file_source *source = &sender->options.sources[sender->source];
	const char *error, *why;
	struct stat stat;
	enum wb_err err;
	int fd;

	name_operand(sender, source);
	why = name_fault(sender);
	if (why) {
		sender->source++;
		return wbi_sender_fail(sender, 0, source->path ? source->path : source->name,
				       "duplicate", why);
	}
	if (!source->path) {
		(void)wbi_sender_begin(sender, WBI_ITEM_OFFER, "");
		err = wbi_sender_stream(sender);
		sender->source++;
		return err;
	}
	fd = open_source(sender, source, &stat, &error, &why);
	if (fd < 0) {
		sender->source++;
		return wbi_sender_fail(sender, 0, source->path, error, why);
	}
	if (S_ISDIR(stat.st_mode))
		return begin_tree(sender, fd);
	(void)wbi_sender_begin(sender, WBI_ITEM_FILE, "");
	err = wbi_sender_file(sender, fd, &stat, "", ret_moved);
	sender->source += *ret_moved;
	return err;
}

bool wbi_sender_may_scan(const struct wbi_file_sender *sender)
{
	return sender->phase == WBI_SENDER_SCANNING && sender->offer_count < WBI_ITEM_OFFERS_MAX;
}

enum wb_err wbi_sender_scan(struct wbi_file_sender *sender, bool *ret_moved)
{
	enum wb_err err;

	if (sender->held.fd >= 0) {
		err = wbi_sender_file_held(sender);
		sender->source += !sender->walk;
		return err;
	}
	if (sender->walk)
		return walk_on(sender, ret_moved);
	if (sender->source < sender->options.source_count)
		return begin_operand(sender, ret_moved);
	sender->phase = WBI_SENDER_SCANNED;
	return WB_OK;
}
