/* Removing: one component at a time from an open folder, so that nothing leads elsewhere. */
#include "files/remove.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files/exclude.h"
#include "files/item.h"
#include "files/temporary.h"
#include "sys/fd.h"

enum { DEPTH_MAX = 256 };

static void empty(struct wbi_removal *removal, int folder, const char *path, dev_t device,
		  const struct wbi_names *keep, unsigned depth);

static void fail(struct wbi_removal *removal, const char *name)
{
	if (removal->error)
		return;
	removal->error = errno;
	snprintf(removal->error_name, sizeof(removal->error_name), "%s", name);
}

/* Folders that are not empty now hold what is to stay. */
static void remove_folder(struct wbi_removal *removal, int folder, const char *name,
			  const char *path, dev_t device, unsigned depth)
{
	struct stat status;
	int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &status) != 0) {
		fail(removal, name);
	} else if (status.st_dev != device || depth >= DEPTH_MAX) {
		errno = status.st_dev != device ? EXDEV : ENAMETOOLONG;
		fail(removal, name);
	} else {
		empty(removal, fd, path, device, NULL, depth + 1);
		if (unlinkat(folder, name, AT_REMOVEDIR) == 0)
			removal->removed++;
		else if (errno != ENOTEMPTY && errno != EEXIST)
			fail(removal, name);
	}
	wbi_fd_close(&fd);
}

static void remove_entry(struct wbi_removal *removal, int folder, const char *name,
			 const char *path, dev_t device, unsigned depth)
{
	struct stat status;

	if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
		return;
	if (wbi_file_excluded(removal->excludes, path, S_ISDIR(status.st_mode)))
		return;
	if (S_ISDIR(status.st_mode))
		remove_folder(removal, folder, name, path, device, depth);
	else if (unlinkat(folder, name, 0) == 0)
		removal->removed++;
	else if (errno != ENOENT)
		fail(removal, name);
}

static void empty(struct wbi_removal *removal, int folder, const char *path, dev_t device,
		  const struct wbi_names *keep, unsigned depth)
{
	char below[WBI_ITEM_NAME_MAX + 1];
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *listing = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	if (!listing) {
		fail(removal, path);
		wbi_fd_close(&fd);
		return;
	}
	while ((entry = readdir(listing))) {
		const char *name = entry->d_name;
		if (!strcmp(name, ".") || !strcmp(name, "..") ||
		    (wbi_temporary_is(name) && !removal->temporaries) ||
		    (keep && wbi_names_have(keep, name, strlen(name))))
			continue;
		if ((size_t)snprintf(below, sizeof(below), "%s%s%s", path, *path ? "/" : "", name) <
		    sizeof(below))
			remove_entry(removal, folder, name, below, device, depth);
	}
	closedir(listing);
}

void wbi_remove_others(struct wbi_removal *removal, int folder, const char *path)
{
	struct stat status;

	if (fstat(folder, &status) != 0)
		fail(removal, path);
	else
		empty(removal, folder, path, status.st_dev, removal->keep, 0);
}

bool wbi_remove_tree(int parent, const char *name)
{
	struct wbi_removal removal = {.temporaries = true};
	struct stat status;

	if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode))
		remove_folder(&removal, parent, name, "", status.st_dev, 0);
	return fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
}
