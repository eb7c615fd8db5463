/* The commit: content, then names, then folders. */
#include "files/commit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sys/fd.h"

struct wbi_commit_entry {
	struct wbi_folder *folder;
	uint64_t n;
	uint64_t bytes;
	char temporary[WBI_TEMPORARY_NAME_MAX]; /* "": it has its name */
	char *name;
};

static const char *name_now(const struct wbi_commit_entry *entry)
{
	return wbi_temporary_name_now(entry->temporary, entry->name);
}

void wbi_commit_init(struct wbi_commit *commit, struct wbi_folders *folders, bool sync,
		     wbi_commit_failed_fn *failed, void *context)
{
	*commit = (struct wbi_commit){
		.folders = folders, .sync = sync, .failed = failed, .context = context};
}

int wbi_commit_name(struct wbi_commit *commit, struct wbi_folder *folder, const char *temporary,
		    const char *name)
{
	int fd = wbi_folder_fd(commit->folders, folder);

	if (fd < 0)
		return -1;
	if (renameat(fd, temporary, fd, name) != 0) {
		int error = errno;
		unlinkat(fd, temporary, 0);
		errno = error;
		return -1;
	}
	wbi_commit_note(commit, folder);
	return 0;
}

void wbi_commit_note(struct wbi_commit *commit, struct wbi_folder *folder)
{
	commit->changes++;
	wbi_folder_touch(commit->folders, folder);
}

static int add_named(struct wbi_commit *commit, struct wbi_folder *folder, const char *temporary,
		     const char *name, uint64_t n, uint64_t bytes)
{
	if (wbi_commit_name(commit, folder, temporary, name) != 0)
		commit->failed(commit->context, folder, n, name, bytes, errno);
	return 0;
}

int wbi_commit_add(struct wbi_commit *commit, struct wbi_folder *folder, const char *temporary,
		   const char *name, uint64_t n, uint64_t bytes)
{
	if (!commit->sync && !wbi_folder_is_hidden(folder))
		return add_named(commit, folder, temporary, name, n, bytes);
	if (!commit->entries)
		commit->entries = calloc(WBI_COMMIT_FILES_MAX, sizeof(*commit->entries));
	char *kept = strdup(name);
	if (!commit->entries || !kept || commit->count >= WBI_COMMIT_FILES_MAX) {
		free(kept);
		errno = ENOMEM;
		return -1;
	}
	struct wbi_commit_entry *entry = &commit->entries[commit->count++];
	*entry = (struct wbi_commit_entry){.folder = folder, .n = n, .bytes = bytes, .name = kept};
	if (temporary)
		memcpy(entry->temporary, temporary, WBI_TEMPORARY_NAME_MAX);
	else
		wbi_folder_touch(commit->folders, folder);
	wbi_folder_use(folder);
	commit->unsynced += bytes > 0;
	commit->bytes += bytes;
	commit->changes++;
	return 0;
}

int wbi_commit_found(struct wbi_commit *commit, const struct wbi_folder *folder, int fd)
{
	if (commit->sync && folder->device != commit->folders->device)
		return fsync(fd);
	commit->found = true;
	return 0;
}

bool wbi_commit_waits(const struct wbi_commit *commit)
{
	return commit->count > 0 || !wbi_list_empty(&commit->folders->hidden);
}

bool wbi_commit_due(const struct wbi_commit *commit, const struct wbi_folder *filling)
{
	unsigned files_max =
		filling && wbi_folder_is_hidden(filling) ? WBI_COMMIT_FILES_MAX : WBI_COMMIT_FILES;

	/* Folders that were there already change by no more than their time, and wait all the same.
	 */
	return commit->changes >= files_max || commit->bytes >= WBI_COMMIT_BYTES ||
	       commit->folders->changed_count >= files_max;
}

static int sync_one(struct wbi_commit *commit, const struct wbi_commit_entry *entry)
{
	int folder = wbi_folder_fd(commit->folders, entry->folder);
	int fd = folder < 0 ? -1
			    : openat(folder, name_now(entry), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	/* Its mode is what it was sent with: it need not be readable, or even writable. */
	if (fd < 0 && errno == EACCES)
		fd = openat(folder, name_now(entry), O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == EACCES ? syncfs(commit->folders->target) : -1;
	int result = fsync(fd), error = errno;
	wbi_fd_close(&fd);
	errno = error;
	return result;
}

int wbi_commit_sync(struct wbi_commit *commit)
{
	if (!commit->sync)
		return 0;
	bool whole = commit->unsynced > WBI_SYNC_EACH_MAX || commit->found;

	commit->found = false;
	for (unsigned i = 0; i < commit->count; i++) {
		struct wbi_commit_entry *entry = &commit->entries[i];
		bool alone = !whole || entry->folder->device != commit->folders->device;
		if (entry->bytes && alone && !wbi_folder_error(entry->folder) &&
		    sync_one(commit, entry) != 0)
			return -1;
	}
	return whole ? syncfs(commit->folders->target) : 0;
}

/* Returns 0 or an errno. */
static int name_one(struct wbi_commit *commit, const struct wbi_commit_entry *entry)
{
	if (!entry->temporary[0])
		return wbi_folder_error(entry->folder);
	return wbi_commit_name(commit, entry->folder, entry->temporary, entry->name) ? errno : 0;
}

static void remove_one(struct wbi_commit *commit, const struct wbi_commit_entry *entry)
{
	int fd = wbi_folder_fd(commit->folders, entry->folder);

	if (fd >= 0)
		unlinkat(fd, name_now(entry), 0);
}

/* Leaves the batch empty. error: none of them gets a name, for this reason. */
static void clear(struct wbi_commit *commit, int error)
{
	for (unsigned i = 0; i < commit->count; i++) {
		struct wbi_commit_entry *entry = &commit->entries[i];
		int failed = error ? error : name_one(commit, entry);
		if (error)
			remove_one(commit, entry);
		if (failed)
			commit->failed(commit->context, entry->folder, entry->n, entry->name,
				       entry->bytes, failed);
		free(entry->name);
		wbi_folder_unuse(commit->folders, entry->folder);
	}
	commit->count = commit->unsynced = 0;
	commit->bytes = 0;
}

void wbi_commit_rename(struct wbi_commit *commit)
{
	wbi_folders_publish(commit->folders, 0);
	clear(commit, 0);
}

void wbi_commit_forget(struct wbi_commit *commit, int error)
{
	wbi_folders_publish(commit->folders, error);
	clear(commit, error);
}

int wbi_commit_finish(struct wbi_commit *commit)
{
	commit->changes = 0;
	return wbi_folders_sync(commit->folders, commit->sync);
}

void wbi_commit_done(struct wbi_commit *commit)
{
	if (!commit)
		return;
	if (commit->count)
		clear(commit, ECANCELED);
	free(commit->entries);
	commit->entries = NULL;
}
