/* Small files, content and all: as few system calls as there can be. Made with the mode that it
 * will have, where the umask lets it, and in a hidden folder with its name; written, its time set,
 * closed; what has no name yet is named by the commit. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "files/receiver_state.h"
#include "sys/fd.h"
#include "sys/raw.h"

enum { PRIVATE_MODE = 0600 };

static int make(struct wbi_file_receiver *receiver, struct wbi_folder *folder, const char *name,
		uint32_t mode, uint32_t *ret_made_mode)
{
	int at = wbi_folder_fd(&receiver->folders, folder);

	if (at < 0)
		return -1;
	*ret_made_mode =
		wbi_attributes_made_mode(mode, wbi_folder_is_plain(&receiver->folders, folder));
	/* What is to be private must be so from the start; so must what is given away later. */
	mode = *ret_made_mode == UINT32_MAX || receiver->options.owner ? PRIVATE_MODE : mode;
	if (mode != *ret_made_mode)
		*ret_made_mode = UINT32_MAX;
	/* To be read as well: what is copied from an old file is read back. */
	return wbi_raw_openat(at, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
}

int wbi_small_make(struct wbi_file_receiver *receiver, struct wbi_folder *folder, uint32_t mode,
		   char temporary[WBI_TEMPORARY_NAME_MAX], uint32_t *ret_made_mode)
{
	wbi_temporary_name_next(&receiver->temporaries, temporary);
	return make(receiver, folder, temporary, mode, ret_made_mode);
}

/* It was made under its name, in a hidden folder. */
static bool is_named(const struct wbi_receiver_small *small)
{
	return !small->temporary[0];
}

/* Returns 0, or -1 with errno. */
static int open_small(struct wbi_file_receiver *receiver, struct wbi_folder *folder)
{
	struct wbi_receiver_small *small = &receiver->small;
	uint32_t mode = small->attributes.mode;

	small->temporary[0] = '\0';
	if (wbi_folder_is_hidden(folder)) {
		small->fd = make(receiver, folder, small->name, mode, &small->made_mode);
		/* To some file systems two names are one: then the last one gets it. */
		if (small->fd >= 0 || errno != EEXIST)
			return small->fd < 0 ? -1 : 0;
	}
	small->fd = wbi_small_make(receiver, folder, mode, small->temporary, &small->made_mode);
	return small->fd < 0 ? -1 : 0;
}

/* The rest of the item is passed over. */
static enum wb_err refuse(struct wbi_file_receiver *receiver, const char *name, int error)
{
	return wbi_receiver_fail_errno(receiver, WBI_ANSWER_FAILED, receiver->item.n, name, error);
}

enum wb_err wbi_small_begin(struct wbi_file_receiver *receiver)
{
	struct wbi_receiver_small *small = &receiver->small;
	const struct wbi_item *item = &receiver->item;
	const char *name;
	enum wb_err err = WB_OK;
	struct wbi_folder *folder;

	if (item->size != wbi_receiver_content_bytes(item))
		return wbi_receiver_bad(receiver, "size", "says another size than it has");
	folder = wbi_receiver_place(receiver, &name, &err);
	if (!folder)
		return err;
	small->attributes = wbi_attributes_of(item, receiver->options.owner);
	/* No component is longer: wbi_receiver_name_fault. */
	memcpy(small->name, name, strlen(name) + 1);
	wb_digest_reset(small->digest);
	if (receiver->options.sink >= 0) {
		small->fd = receiver->options.sink;
	} else if (open_small(receiver, folder) != 0) {
		return refuse(receiver, item->name, errno);
	}
	small->folder = folder;
	return WB_OK;
}

void wbi_small_drop(struct wbi_file_receiver *receiver)
{
	struct wbi_receiver_small *small = &receiver->small;

	if (!small->folder)
		return;
	if (receiver->options.sink < 0) {
		int at = wbi_folder_fd(&receiver->folders, small->folder);
		const char *now = wbi_temporary_name_now(small->temporary, small->name);
		if ((at < 0 || unlinkat(at, now, 0) != 0) && is_named(small))
			wbi_folder_spoil(small->folder, errno);
		wbi_raw_close(&small->fd);
	}
	small->folder = NULL;
}

static enum wb_err drop(struct wbi_file_receiver *receiver, int error)
{
	wbi_small_drop(receiver);
	return refuse(receiver, receiver->item.name, error);
}

/* Returns 0 or an errno. A sink may be a socket, or not willing to take all at once. */
static int write_small(const struct wbi_file_receiver *receiver, const uint8_t *data, size_t bytes)
{
	struct wb_fault fault;

	if (receiver->options.sink >= 0)
		return wbi_fd_write_all(receiver->options.sink, data, bytes, &fault)
			       ? fault.system_errno
			       : 0;
	while (bytes > 0) {
		ssize_t done = wbi_raw_write(receiver->small.fd, data, bytes);
		if (done < 0 && errno != EINTR)
			return errno;
		data += done > 0 ? done : 0;
		bytes -= done > 0 ? (size_t)done : 0;
	}
	return 0;
}

enum wb_err wbi_small_data(struct wbi_file_receiver *receiver, const uint8_t *data, size_t bytes)
{
	int error;

	if (!receiver->small.folder)
		return WB_OK;
	wb_digest_update(receiver->small.digest, data, bytes);
	error = write_small(receiver, data, bytes);
	return error ? drop(receiver, error) : WB_OK;
}

static enum wb_err commit(struct wbi_file_receiver *receiver)
{
	struct wbi_receiver_small *small = &receiver->small;
	struct wbi_folder *folder = small->folder;
	uint64_t size = receiver->item.size;

	if (receiver->options.sink < 0) {
		if (wbi_attributes_set_new(small->fd, &small->attributes, small->made_mode) != 0)
			return drop(receiver, errno);
		wbi_raw_close(&small->fd);
		if (wbi_commit_add(&receiver->commit, folder,
				   is_named(small) ? NULL : small->temporary, small->name,
				   receiver->item.n, size) != 0)
			return drop(receiver, errno);
	}
	small->folder = NULL;
	receiver->saved_files++;
	receiver->saved_bytes += size;
	receiver->progress.files_done++;
	receiver->progress.bytes_done += size;
	receiver->progress.bytes_verified += size;
	return receiver->err;
}

enum wb_err wbi_small_end(struct wbi_file_receiver *receiver)
{
	struct wbi_receiver_small *small = &receiver->small;
	const struct wbi_item *item = &receiver->item;
	char found[WB_DIGEST_HEX_MAX];

	if (!small->folder)
		return WB_OK;
	wb_digest_hex(small->digest, found);
	if (!strcmp(found, item->digest))
		return commit(receiver);
	wbi_small_drop(receiver);
	return wbi_receiver_fail_digest(receiver, item->n, item->name, item->digest, found);
}
