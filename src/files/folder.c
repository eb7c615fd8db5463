/* Folders: a bounded number of descriptors over as many folders as a tree may have open. */
#include "files/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "files/enter.h"
#include "files/merge.h"
#include "files/remove.h"
#include "sys/fd.h"

enum {
	OPENED_MAX = 64, /* descriptors held */
	OPENED_MIN = 3,  /* where they are scarce: a child, its parent, and one more */
	OPEN_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
	MADE_MODE = 0700, /* until it is settled */
};

void wbi_folders_init(struct wbi_folders *folders, int target,
		      struct wbi_temporary_names *temporaries, wbi_folder_failed_fn *failed,
		      void *context)
{
	*folders = (struct wbi_folders){
		.target = target, .temporaries = temporaries, .failed = failed, .context = context};
	wbi_list_init(&folders->opened);
	wbi_list_init(&folders->changed);
	wbi_list_init(&folders->hidden);
}

static struct wbi_folder *folder_new(struct wbi_folder *parent, const char *name)
{
	size_t bytes = strlen(name) + 1;
	struct wbi_folder *folder = calloc(1, sizeof(*folder) + bytes);

	if (!folder)
		return NULL;
	memcpy(folder->name, name, bytes);
	wbi_list_init(&folder->opened);
	wbi_list_init(&folder->changed);
	wbi_list_init(&folder->hidden);
	folder->fd = -1;
	folder->uses = 1;
	folder->parent = parent;
	if (parent) {
		folder->within = wbi_folder_is_hidden(parent) ? parent->within : NULL;
		parent->uses++;
		parent->children++;
	}
	return folder;
}

static void close_fd(struct wbi_folders *folders, struct wbi_folder *folder)
{
	if (wbi_list_empty(&folder->opened))
		return;
	wbi_list_remove(&folder->opened);
	folders->opened_count--;
	wbi_fd_close(&folder->fd);
}

static void hold_fd(struct wbi_folders *folders, struct wbi_folder *folder, int fd)
{
	/* One number tells little of those that are free: all but the least are given back. */
	unsigned most = wbi_fd_is_scarce(fd) ? OPENED_MIN : OPENED_MAX;

	while (folders->opened_count >= most)
		close_fd(folders, WBI_CONTAINER(folders->opened.next, struct wbi_folder, opened));
	folder->fd = fd;
	wbi_list_append(&folders->opened, &folder->opened);
	folders->opened_count++;
}

/* Frees what is over, and its parents that only it kept. */
static void drop(struct wbi_folders *folders, struct wbi_folder *folder)
{
	while (folder && folder->settled && !folder->children && wbi_list_empty(&folder->changed)) {
		struct wbi_folder *parent = folder->parent;
		close_fd(folders, folder);
		free(folder);
		if (parent)
			parent->children--;
		folder = parent;
	}
}

struct wbi_folder *wbi_folder_target(struct wbi_folders *folders, bool fresh)
{
	struct wbi_folder *folder = folder_new(NULL, "");
	struct stat status;

	if (!folder)
		return NULL;
	folder->fresh = fresh;
	folder->fd = folders->target;
	if (folders->target < 0)
		folder->broken = true;
	else if (fstat(folders->target, &status) == 0) {
		folders->device = folder->device = status.st_dev;
		folder->inode = status.st_ino;
	}
	return folder;
}

/* Opens what was just made; where that fails, it is not there. */
static int open_made(int at, const char *name, struct stat *ret_status)
{
	int fd = wbi_enter(at, name, ret_status), error = errno;

	if (fd < 0)
		unlinkat(at, name, AT_REMOVEDIR);
	errno = error;
	return fd;
}

/* Within a hidden folder every name is final. *ret_made: the name that it was made under, NULL
 * where it was there. */
static int open_or_make(struct wbi_folders *folders, struct wbi_folder *parent, const char *name,
			char temporary[WBI_TEMPORARY_NAME_MAX], const char **ret_made,
			struct stat *ret_status)
{
	int at = wbi_folder_fd(folders, parent), fd;

	*ret_made = NULL;
	if (at < 0)
		return -1;
	if (!wbi_folder_is_hidden(parent)) {
		fd = wbi_enter(at, name, ret_status);
		if (fd >= 0 || errno != ENOENT)
			return fd;
		wbi_temporary_name_next(folders->temporaries, temporary);
		*ret_made = temporary;
	} else {
		*ret_made = name;
	}
	if (mkdirat(at, *ret_made, MADE_MODE) == 0)
		return open_made(at, *ret_made, ret_status);
	if (errno != EEXIST)
		return -1;
	*ret_made = NULL;
	return wbi_enter(at, name, ret_status);
}

/* What is hidden settles when it is seen: until then its mode keeps nobody from moving it. */
static void hide(struct wbi_folders *folders, struct wbi_folder *folder)
{
	wbi_list_append(&folders->hidden, &folder->hidden);
	wbi_folder_use(folder);
}

struct wbi_folder *wbi_folder_make(struct wbi_folders *folders, struct wbi_folder *parent,
				   const char *name)
{
	struct wbi_folder *folder = folder_new(parent, name);
	const char *made;
	struct stat status;

	if (!folder) {
		errno = ENOMEM;
		return NULL;
	}
	int fd = open_or_make(folders, parent, name, folder->temporary, &made, &status);
	if (fd < 0) {
		int error = errno;
		wbi_folder_unuse(folders, folder);
		errno = error;
		return NULL;
	}
	folder->fresh = made;
	folder->device = status.st_dev;
	folder->inode = status.st_ino;
	hold_fd(folders, folder, fd);
	if (made == folder->temporary)
		folder->within = folder;
	else if (made)
		wbi_folder_touch(folders, parent);
	if (folder->within)
		hide(folders, folder);
	return folder;
}

struct wbi_folder *wbi_folder_make_broken(struct wbi_folders *folders, struct wbi_folder *parent)
{
	struct wbi_folder *folder = folder_new(parent, "");

	(void)folders;
	if (folder)
		folder->broken = true;
	return folder;
}

/* Puts a component in front of *path; false where it does not fit behind `out`. */
static bool put_before(const char *out, char **path, const char *name)
{
	size_t bytes = strlen(name), slash = **path != '\0';

	if (bytes + slash > (size_t)(*path - out))
		return false;
	*path -= bytes + slash;
	memcpy(*path, name, bytes);
	if (slash)
		(*path)[bytes] = '/';
	return true;
}

const char *wbi_folder_path(const struct wbi_folder *folder, const char *name,
			    char out[WBI_FOLDER_PATH_MAX])
{
	size_t bytes = strnlen(name, WBI_FOLDER_PATH_MAX - 1);
	char *path = out + WBI_FOLDER_PATH_MAX - 1 - bytes;

	memcpy(path, name, bytes);
	path[bytes] = '\0';
	while (folder && folder->name[0] && put_before(out, &path, folder->name))
		folder = folder->parent;
	return path;
}

int wbi_folder_error(const struct wbi_folder *folder)
{
	if (folder->broken)
		return ENOTDIR;
	return folder->within ? folder->within->lost : 0;
}

bool wbi_folder_is_fresh(const struct wbi_folder *folder)
{
	return folder->fresh && !wbi_folder_error(folder) &&
	       !(folder->within && folder->within->merged);
}

bool wbi_folder_is_hidden(const struct wbi_folder *folder)
{
	return folder->within && !wbi_list_empty(&folder->within->hidden);
}

/* What was hidden and went into another folder is found there, once, as it was found at first. */
static bool is_it(struct wbi_folder *folder, const struct stat *status)
{
	if (folder->within && folder->within->merged && !folder->found) {
		folder->found = true;
		folder->acl_known = false;
		folder->device = status->st_dev;
		folder->inode = status->st_ino;
	}
	return status->st_dev == folder->device && status->st_ino == folder->inode;
}

static int reopen(struct wbi_folders *folders, struct wbi_folder *folder)
{
	bool hidden = folder->within == folder && wbi_folder_is_hidden(folder);
	struct stat status;
	int parent = wbi_folder_fd(folders, folder->parent);
	int fd = parent < 0 ? -1
			    : openat(parent, hidden ? folder->temporary : folder->name, OPEN_FLAGS);

	if (fd < 0)
		return -1;
	if (fstat(fd, &status) != 0 || !is_it(folder, &status)) {
		wbi_fd_close(&fd);
		errno = ESTALE;
		return -1;
	}
	hold_fd(folders, folder, fd);
	return fd;
}

int wbi_folder_fd(struct wbi_folders *folders, struct wbi_folder *folder)
{
	if (wbi_folder_error(folder)) {
		errno = wbi_folder_error(folder);
		return -1;
	}
	if (folder->fd < 0)
		return reopen(folders, folder);
	if (!wbi_list_empty(&folder->opened)) {
		wbi_list_remove(&folder->opened);
		wbi_list_append(&folders->opened, &folder->opened);
	}
	return folder->fd;
}

bool wbi_folder_is_plain(struct wbi_folders *folders, struct wbi_folder *folder)
{
	int fd = folder->acl_known ? -1 : wbi_folder_fd(folders, folder);

	if (fd >= 0) {
		folder->plain = fgetxattr(fd, "system.posix_acl_default", NULL, 0) < 0 &&
				(errno == ENODATA || errno == EOPNOTSUPP);
		folder->acl_known = true;
	}
	return folder->plain;
}

void wbi_folder_use(struct wbi_folder *folder)
{
	folder->uses++;
}

static void settle(struct wbi_folders *folders, struct wbi_folder *folder)
{
	struct stat status;
	int fd;

	folder->settled = true;
	if (!folder->settles || folder->broken)
		return;
	if (wbi_folder_error(folder)) {
		/* The lost one itself has been told of. */
		if (!folder->lost)
			folders->failed(folders->context, folder, "", wbi_folder_error(folder));
		return;
	}
	fd = wbi_folder_fd(folders, folder);
	if (fd < 0 || fstat(fd, &status) != 0) {
		folders->failed(folders->context, folder, "", errno);
		return;
	}
	/* What stays as it was is not to be synced, either. */
	if (wbi_attributes_are_set(&folder->attributes, &status))
		return;
	if (wbi_attributes_set(fd, &folder->attributes, &status) != 0)
		folders->failed(folders->context, folder, "", errno);
	else
		wbi_folder_touch(folders, folder);
}

void wbi_folder_unuse(struct wbi_folders *folders, struct wbi_folder *folder)
{
	while (folder && --folder->uses == 0) {
		struct wbi_folder *parent = folder->parent;
		settle(folders, folder);
		drop(folders, folder);
		folder = parent;
	}
}

void wbi_folder_touch(struct wbi_folders *folders, struct wbi_folder *folder)
{
	if (!wbi_list_empty(&folder->changed) || wbi_folder_error(folder))
		return;
	wbi_list_append(&folders->changed, &folder->changed);
	folders->changed_count++;
}

/* The descriptors of what was moved into another folder are of no use. */
static void close_within(struct wbi_folders *folders, const struct wbi_folder *within)
{
	struct wbi_list *at = folders->opened.next;

	while (at != &folders->opened) {
		struct wbi_folder *folder = WBI_CONTAINER(at, struct wbi_folder, opened);
		at = at->next;
		if (folder->within == within)
			close_fd(folders, folder);
	}
}

static int publish(struct wbi_folders *folders, struct wbi_folder *folder,
		   char below[WBI_FOLDER_PATH_MAX])
{
	int parent = wbi_folder_fd(folders, folder->parent);

	if (parent < 0)
		return -1;
	if (wbi_rename_new(parent, folder->temporary, folder->name) == 0)
		return 0;
	if (errno != EEXIST)
		return -1;
	if (wbi_merge(parent, folder->temporary, folder->name, below, WBI_FOLDER_PATH_MAX) != 0)
		return -1;
	folder->merged = true;
	close_within(folders, folder);
	return 0;
}

static void lose(struct wbi_folders *folders, struct wbi_folder *folder, const char *below,
		 int error)
{
	int parent = wbi_folder_fd(folders, folder->parent);

	if (parent >= 0)
		wbi_remove_tree(parent, folder->temporary);
	folder->lost = error;
	folders->failed(folders->context, folder, below, error);
}

void wbi_folders_publish(struct wbi_folders *folders, int error)
{
	/* Each comes before those that are in it. */
	while (!wbi_list_empty(&folders->hidden)) {
		struct wbi_folder *folder =
			WBI_CONTAINER(folders->hidden.next, struct wbi_folder, hidden);
		if (folder->within == folder) {
			char below[WBI_FOLDER_PATH_MAX] = "";
			int why = error ? error : folder->lost;
			if (!why && publish(folders, folder, below) != 0)
				why = errno;
			if (why)
				lose(folders, folder, below, why);
			wbi_folder_touch(folders, folder->parent);
		}
		wbi_list_remove(&folder->hidden);
		wbi_folder_unuse(folders, folder);
	}
}

void wbi_folder_spoil(struct wbi_folder *folder, int error)
{
	if (wbi_folder_is_hidden(folder) && !folder->within->lost)
		folder->within->lost = error;
}

static int sync_one(struct wbi_folders *folders, struct wbi_folder *folder, bool *whole)
{
	int fd = wbi_folder_fd(folders, folder);

	/* Settled, it may have become a folder that we cannot open. */
	if (fd < 0) {
		*whole = true;
		return 0;
	}
	return fsync(fd);
}

int wbi_folders_sync(struct wbi_folders *folders, bool sync)
{
	bool whole = folders->changed_count > WBI_SYNC_EACH_MAX;
	int error = 0;

	while (!wbi_list_empty(&folders->changed)) {
		struct wbi_folder *folder =
			WBI_CONTAINER(folders->changed.next, struct wbi_folder, changed);
		bool alone = !whole || folder->device != folders->device;
		if (sync && alone && sync_one(folders, folder, &whole) != 0 && !error)
			error = errno;
		wbi_list_remove(&folder->changed);
		folders->changed_count--;
		drop(folders, folder);
	}
	if (sync && whole && syncfs(folders->target) != 0 && !error)
		error = errno;
	errno = error;
	return error ? -1 : 0;
}
