/* Merging: one component at a time from open folders, so that nothing leads elsewhere. */
#include "files/merge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "files/descent.h"
#include "files/enter.h"
#include "sys/fd.h"

/* A folder, and the one that what it holds goes into. */
struct pair {
	int from, to;
	struct stat from_is, to_is;
};

/* `at` stays where it fails. */
struct merge {
	struct pair top;
	struct wbi_descent at;
};

static int merge_all(struct merge *merge, struct pair *here);

/* musl has no renameat2. */
static int rename_new(int from_folder, const char *from, int to_folder, const char *to)
{
	if (syscall(SYS_renameat2, from_folder, from, to_folder, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (renameat(from_folder, from, to_folder, to) == 0)
		return 0;
	if (errno == ENOTEMPTY || errno == ENOTDIR)
		errno = EEXIST;
	return -1;
}

int wbi_rename_new(int parent, const char *from, const char *to)
{
	return rename_new(parent, from, parent, to);
}

static int enter_pair(int from, const char *from_name, int to, const char *to_name,
		      struct pair *ret_pair)
{
	ret_pair->to = -1;
	ret_pair->from = wbi_enter(from, from_name, &ret_pair->from_is);
	if (ret_pair->from >= 0)
		ret_pair->to = wbi_enter(to, to_name, &ret_pair->to_is);
	return ret_pair->to < 0 ? -1 : 0;
}

static void close_pair(struct pair *pair)
{
	int error = errno;

	wbi_fd_close(&pair->from);
	wbi_fd_close(&pair->to);
	errno = error;
}

static bool is_folder(int folder, const char *name)
{
	struct stat status;

	return fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode);
}

/* Folders that both sides have are kept for later. */
static int move_one(int from, int to, const char *name, struct wbi_kept_names *folders)
{
	if (!is_folder(from, name))
		return renameat(from, name, to, name);
	if (rename_new(from, name, to, name) == 0)
		return 0;
	if (errno != EEXIST)
		return -1;
	return wbi_kept_names_add(folders, name) ? 0 : -1;
}

/* Moves what need not be merged. */
static int move_entries(struct merge *merge, const struct pair *here,
			struct wbi_kept_names *folders)
{
	DIR *listing = wbi_listing_open(here->from);
	struct dirent *entry;
	size_t bytes;
	int error = 0;

	if (!listing)
		return -1;
	while (!error && (entry = wbi_listing_next(listing))) {
		if (!wbi_descent_push(&merge->at, entry->d_name, &bytes) ||
		    move_one(here->from, here->to, entry->d_name, folders) != 0)
			error = errno;
		else
			wbi_descent_pop(&merge->at, bytes);
	}
	if (!error)
		error = errno;
	closedir(listing);
	errno = error;
	return error ? -1 : 0;
}

/* here: other descriptors of the same folders afterwards. */
static int merge_folder(struct merge *merge, struct pair *here, const char *name)
{
	struct pair below;
	size_t bytes;
	int result;

	if (!wbi_descent_push(&merge->at, name, &bytes))
		return -1;
	result = enter_pair(here->from, name, here->to, name, &below);
	if (result == 0) {
		close_pair(here);
		result = merge_all(merge, &below);
	}
	close_pair(&below);
	if (result != 0)
		return -1;
	here->from = wbi_descent_open_parent(&merge->at, bytes, merge->top.from, &here->from_is);
	here->to = wbi_descent_open_parent(&merge->at, bytes, merge->top.to, &here->to_is);
	if (here->from < 0 || here->to < 0 || unlinkat(here->from, name, AT_REMOVEDIR) != 0)
		return -1;
	wbi_descent_pop(&merge->at, bytes);
	return 0;
}

static int merge_all(struct merge *merge, struct pair *here)
{
	struct wbi_kept_names folders = {0};
	const char *name = NULL;
	int result = move_entries(merge, here, &folders), error;

	while (result == 0 && (name = wbi_kept_names_next(&folders, name)))
		result = merge_folder(merge, here, name);
	error = errno;
	wbi_kept_names_done(&folders);
	errno = error;
	return result;
}

int wbi_merge(int parent, const char *from, const char *to, char *ret_where, size_t room)
{
	struct merge merge;
	struct pair here = {.from = -1, .to = -1};
	int result = enter_pair(parent, from, parent, to, &merge.top);

	wbi_descent_init(&merge.at, "");
	if (result == 0)
		result = enter_pair(merge.top.from, ".", merge.top.to, ".", &here);
	if (result == 0)
		result = merge_all(&merge, &here);
	if (result == 0)
		result = unlinkat(parent, from, AT_REMOVEDIR);
	close_pair(&here);
	close_pair(&merge.top);
	if (result != 0)
		snprintf(ret_where, room, "%s", merge.at.path);
	return result;
}
