/* Links, symbolic ones as they are told, hard ones to what came in this call: those wait until the
 * file has its name. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "files/receiver_state.h"
#include "sys/beneath.h"
#include "sys/fd.h"

static bool same_link(int folder, const char *name, const struct wbi_item *item)
{
	char aim[WBI_ITEM_NAME_MAX + 1];
	ssize_t bytes = readlinkat(folder, name, aim, sizeof(aim));

	return bytes == (ssize_t)item->other_bytes && !memcmp(aim, item->other, (size_t)bytes);
}

/* Returns 0, or -1 with errno; then nothing is there. */
static int make_as(const struct wbi_item *item, int at, const char *name,
		   const struct wbi_attributes *attributes)
{
	if (symlinkat(item->other, at, name) != 0)
		return -1;
	if (wbi_attributes_set_link(at, name, attributes) == 0)
		return 0;
	int error = errno;
	unlinkat(at, name, 0);
	errno = error;
	return -1;
}

static int make_link(struct wbi_file_receiver *receiver, struct wbi_folder *folder,
		     const char *name, const struct wbi_attributes *attributes)
{
	const struct wbi_item *item = &receiver->item;
	char temporary[WBI_TEMPORARY_NAME_MAX];
	int at = wbi_folder_fd(&receiver->folders, folder);
	bool hidden = wbi_folder_is_hidden(folder);

	if (at < 0)
		return -1;
	if (hidden && make_as(item, at, name, attributes) == 0)
		return wbi_commit_add(&receiver->commit, folder, NULL, name, item->n, 0);
	if (same_link(at, name, item))
		return wbi_attributes_set_link(at, name, attributes);
	wbi_temporary_name_next(&receiver->temporaries, temporary);
	if (make_as(item, at, temporary, attributes) != 0)
		return -1;
	if (hidden)
		return wbi_commit_add(&receiver->commit, folder, temporary, name, item->n, 0);
	return wbi_commit_name(&receiver->commit, folder, temporary, name);
}

enum wb_err wbi_receiver_link(struct wbi_file_receiver *receiver)
{
	struct wbi_attributes attributes =
		wbi_attributes_of(&receiver->item, receiver->options.owner);
	const char *name;
	enum wb_err err = WB_OK;
	struct wbi_folder *folder = wbi_receiver_place(receiver, &name, &err);

	if (!folder)
		return err;
	if (make_link(receiver, folder, name, &attributes) != 0)
		return wbi_receiver_fail_errno(receiver, WBI_ANSWER_REFUSED, receiver->item.n,
					       receiver->item.name, errno);
	wbi_receiver_done_entry(receiver);
	return WB_OK;
}

static int link_to(struct wbi_file_receiver *receiver, const struct wbi_later *later)
{
	char temporary[WBI_TEMPORARY_NAME_MAX];
	struct stat is, was;
	const char *last;
	int at = wbi_folder_fd(&receiver->folders, later->folder);
	int from = at < 0 ? -1
			  : wbi_beneath_parent(receiver->target.folder, later->to,
					       WBI_BENEATH_NO_LINKS, &last);
	int result = -1;

	if (from < 0)
		return -1;
	if (fstatat(from, last, &is, AT_SYMLINK_NOFOLLOW) != 0)
		goto out;
	if (S_ISDIR(is.st_mode)) {
		errno = EISDIR;
		goto out;
	}
	/* Renaming one name of a file to another of the same does nothing, and leaves both. */
	if (fstatat(at, later->name, &was, AT_SYMLINK_NOFOLLOW) == 0 && is.st_dev == was.st_dev &&
	    is.st_ino == was.st_ino) {
		result = 0;
		goto out;
	}
	wbi_temporary_name_next(&receiver->temporaries, temporary);
	if (linkat(from, last, at, temporary, 0) == 0)
		result = wbi_commit_name(&receiver->commit, later->folder, temporary, later->name);
	/* Somebody else may have made the same link since we looked. */
	if (result == 0)
		unlinkat(at, temporary, 0);
out:;
	int error = errno;
	wbi_fd_close(&from);
	errno = error;
	return result;
}

static bool is_awaited(const struct wbi_file_receiver *receiver, uint64_t hash)
{
	const struct wbi_list *at;

	for (at = receiver->wanted.next; at != &receiver->wanted; at = at->next)
		if (WBI_CONTAINER(at, struct wbi_wanted, node)->path_hash == hash)
			return true;
	return false;
}

enum wb_err wbi_receiver_link_later(struct wbi_file_receiver *receiver)
{
	struct wbi_list *at = receiver->later.next;
	enum wb_err err = WB_OK;

	while (at != &receiver->later && !err) {
		struct wbi_later *later = WBI_CONTAINER(at, struct wbi_later, node);
		at = at->next;
		if (is_awaited(receiver, later->to_hash))
			continue;
		if (link_to(receiver, later) != 0)
			err = wbi_receiver_fail_at(receiver, later->n, later->folder, later->name,
						   errno);
		else
			wbi_receiver_done_entry(receiver);
		wbi_list_remove(&later->node);
		receiver->later_bytes -= later->bytes;
		wbi_folder_unuse(&receiver->folders, later->folder);
		free(later);
	}
	return err;
}

/* What the sender calls `path` is called here. */
static void local_path(const struct wbi_file_receiver *receiver, const char *path, char *out,
		       size_t size)
{
	const char *slash = strchr(path, '/');

	if (receiver->target.as[0] && receiver->spread)
		snprintf(out, size, "%s/%s", receiver->target.as, path);
	else if (receiver->target.as[0])
		snprintf(out, size, "%s%s", receiver->target.as, slash ? slash : "");
	else
		snprintf(out, size, "%s", path);
}

static struct wbi_later *later_new(struct wbi_file_receiver *receiver, const char *name)
{
	const struct wbi_item *item = &receiver->item;
	char to[WBI_ITEM_NAME_MAX + WBI_FILE_NAME_MAX + 2];
	size_t name_bytes = strlen(name) + 1, bytes;
	struct wbi_later *later;

	local_path(receiver, item->other, to, sizeof(to));
	bytes = sizeof(*later) + name_bytes + strlen(to) + 1;
	if (receiver->later_bytes + bytes > WBI_RECEIVER_LATER_BYTES_MAX)
		return NULL;
	later = calloc(1, bytes);
	if (!later)
		return NULL;
	later->n = item->n;
	later->bytes = bytes;
	later->to_hash = XXH3_64bits(item->other, item->other_bytes);
	memcpy(later->name, name, name_bytes);
	later->to = memcpy(later->name + name_bytes, to, strlen(to) + 1);
	return later;
}

enum wb_err wbi_receiver_hardlink(struct wbi_file_receiver *receiver)
{
	const struct wbi_item *item = &receiver->item;
	const char *name;
	enum wb_err err = WB_OK;
	struct wbi_folder *folder;

	if (wbi_receiver_name_fault(item->other, item->other_bytes) ||
	    !wbi_names_have(&receiver->names, item->other, item->other_bytes))
		return wbi_receiver_bad(receiver, "link", "is of a name that did not come");
	folder = wbi_receiver_place(receiver, &name, &err);
	if (!folder)
		return err;
	struct wbi_later *later = later_new(receiver, name);
	if (!later)
		return wbi_receiver_fail(receiver, WBI_ANSWER_REFUSED, item->n, item->name, "limit",
					 "too many hard links wait for their files");
	later->folder = folder;
	wbi_folder_use(folder);
	wbi_list_append(&receiver->later, &later->node);
	receiver->later_bytes += later->bytes;
	/* Nothing waits to be named: it can be had at once. */
	if (!wbi_commit_waits(&receiver->commit))
		return wbi_receiver_link_later(receiver);
	receiver->commit.changes++;
	return WB_OK;
}
