/* Merging: one component at a time from open folders, so that nothing leads elsewhere. */
#include "files/merge.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "files/enter.h"
#include "sys/fd.h"

enum { DEPTH_MAX = 256 };

static int merge(int from_parent, int to_parent, const char *from, const char *to, unsigned depth);

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

static bool is_folder(int folder, const char *name)
{
	struct stat status;

	return fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode);
}

static int move_one(int from, int to, const char *name, unsigned depth)
{
	if (!is_folder(from, name))
		return renameat(from, name, to, name);
	if (rename_new(from, name, to, name) == 0)
		return 0;
	return errno == EEXIST ? merge(from, to, name, name, depth + 1) : -1;
}

static int move_all(int from, int to, unsigned depth)
{
	int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;
	DIR *listing = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	if (!listing) {
		error = errno;
		wbi_fd_close(&fd);
		errno = error;
		return -1;
	}
	while (!error && (entry = readdir(listing))) {
		const char *name = entry->d_name;
		if (!strcmp(name, ".") || !strcmp(name, ".."))
			continue;
		if (move_one(from, to, name, depth) != 0)
			error = errno;
	}
	closedir(listing);
	errno = error;
	return error ? -1 : 0;
}

static int merge(int from_parent, int to_parent, const char *from, const char *to, unsigned depth)
{
	struct stat ignored;
	int source = wbi_enter(from_parent, from, &ignored);
	int target = source < 0 ? -1 : wbi_enter(to_parent, to, &ignored);
	int result = -1;

	if (depth > DEPTH_MAX)
		errno = ENAMETOOLONG;
	else if (target >= 0 && move_all(source, target, depth) == 0)
		result = unlinkat(from_parent, from, AT_REMOVEDIR);
	int error = errno;
	wbi_fd_close(&source);
	wbi_fd_close(&target);
	errno = error;
	return result;
}

int wbi_merge(int parent, const char *from, const char *to)
{
	return merge(parent, parent, from, to, 0);
}
