/* Removing: one component at a time from an open folder, so that nothing leads elsewhere, and files
 * before folders. */
#include "files/remove.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files/descent.h"
#include "files/exclude.h"
#include "files/temporary.h"
#include "sys/fd.h"

struct work {
	struct wbi_removal *removal;
	int top;
	dev_t device;
	struct wbi_descent at;
};

static void empty(struct work *work, int *folder, const struct wbi_names *keep);

/* The first one is told. */
static void fail(struct work *work)
{
	struct wbi_removal *removal = work->removal;

	if (removal->error)
		return;
	removal->error = errno;
	memcpy(removal->error_name, work->at.path, work->at.bytes + 1);
}

/* Where we are. *folder, which holds it, is another descriptor of the same folder afterwards, or
 * -1. Folders that are not empty now hold what is to stay. */
static void remove_folder(struct work *work, int *folder, const struct stat *is, const char *name,
			  size_t parent_bytes)
{
	struct stat status;
	int fd = openat(*folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &status) != 0) {
		fail(work);
	} else if (status.st_dev != work->device) {
		errno = EXDEV;
		fail(work);
	} else {
		wbi_fd_close(folder);
		empty(work, &fd, NULL);
		*folder = wbi_descent_open_parent(&work->at, parent_bytes, work->top, is);
		if (*folder >= 0 && unlinkat(*folder, name, AT_REMOVEDIR) == 0)
			work->removal->removed++;
		else if (*folder < 0 || (errno != ENOTEMPTY && errno != EEXIST))
			fail(work);
	}
	wbi_fd_close(&fd);
}

static void remove_folders(struct work *work, int *folder, const struct wbi_kept_names *names)
{
	const char *name = NULL;
	struct stat is;
	size_t bytes;

	if (fstat(*folder, &is) != 0) {
		fail(work);
		return;
	}
	while (*folder >= 0 && (name = wbi_kept_names_next(names, name))) {
		/* It fitted when it was looked at. */
		if (!wbi_descent_push(&work->at, name, &bytes))
			continue;
		remove_folder(work, folder, &is, name, bytes);
		wbi_descent_pop(&work->at, bytes);
	}
}

/* The entry where we are; folders are kept for later. */
static void remove_entry(struct work *work, int folder, const char *name,
			 struct wbi_kept_names *folders)
{
	struct stat status;

	if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
		if (errno != ENOENT)
			fail(work);
		return;
	}
	if (wbi_file_excluded(work->removal->excludes, work->at.path, S_ISDIR(status.st_mode)))
		return;
	if (S_ISDIR(status.st_mode)) {
		if (!wbi_kept_names_add(folders, name))
			fail(work);
	} else if (unlinkat(folder, name, 0) == 0) {
		work->removal->removed++;
	} else if (errno != ENOENT) {
		fail(work);
	}
}

/* *folder: as for remove_folder. */
static void empty(struct work *work, int *folder, const struct wbi_names *keep)
{
	struct wbi_kept_names folders = {0};
	DIR *listing = wbi_listing_open(*folder);
	struct dirent *entry;
	size_t bytes;

	if (!listing) {
		fail(work);
		return;
	}
	while ((entry = wbi_listing_next(listing))) {
		const char *name = entry->d_name;
		if ((wbi_temporary_is(name) && !work->removal->temporaries) ||
		    (keep && wbi_names_have(keep, name, strlen(name))))
			continue;
		if (!wbi_descent_push(&work->at, name, &bytes)) {
			fail(work);
			continue;
		}
		remove_entry(work, *folder, name, &folders);
		wbi_descent_pop(&work->at, bytes);
	}
	if (errno)
		fail(work);
	closedir(listing);
	remove_folders(work, folder, &folders);
	wbi_kept_names_done(&folders);
}

void wbi_remove_others(struct wbi_removal *removal, int folder, const char *path)
{
	struct work work = {.removal = removal, .top = folder};
	struct stat status;
	int own = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	wbi_descent_init(&work.at, path);
	if (own < 0 || fstat(own, &status) != 0) {
		fail(&work);
	} else {
		work.device = status.st_dev;
		empty(&work, &own, removal->keep);
	}
	wbi_fd_close(&own);
}

bool wbi_remove_tree(int parent, const char *name)
{
	struct wbi_removal removal = {.temporaries = true};
	struct stat status;
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0) {
		wbi_remove_others(&removal, fd, "");
		(void)unlinkat(parent, name, AT_REMOVEDIR);
	}
	wbi_fd_close(&fd);
	return fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
}
