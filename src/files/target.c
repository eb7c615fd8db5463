/* The target: scp's rules for what a path at the far end means. */
#include "files/target.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "files/temporary.h"
#include "sys/beneath.h"
#include "sys/fd.h"

/* As open(2), beneath the root if there is one. */
static int open_path(int root, const char *path, int flags)
{
	if (root == AT_FDCWD)
		return openat(root, path[0] ? path : ".", flags | O_CLOEXEC);
	return wbi_beneath_open(root, path, flags, 0, WBI_BENEATH_LINKS);
}

static enum wb_err failed(struct wb_fault *fault, const char *path)
{
	char shown[WB_FAULT_TEXT_MAX / 2];
	int error = errno;

	wbi_text_escape(path, strlen(path), shown, sizeof(shown), NULL);
	errno = error;
	if (error == EXDEV)
		return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0,
				    "%s: leads out of the folder that it must stay in", shown);
	return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "%s: %m", shown);
}

static enum wb_err bad(struct wb_fault *fault, const char *path, const char *why)
{
	char shown[WB_FAULT_TEXT_MAX / 2];

	wbi_text_escape(path, strlen(path), shown, sizeof(shown), NULL);
	return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0, "%s: %s", shown, why);
}

static bool is_empty(int folder)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat status;
	bool empty = false;

	/* "." and "..", and nothing else. An empty folder's entries fit into any buffer. */
	if (fd >= 0 && fstat(fd, &status) == 0) {
		char entries[1024];
		ssize_t bytes = getdents64(fd, entries, sizeof(entries));
		empty = bytes <= 2 * 24;
	}
	wbi_fd_close(&fd);
	return empty;
}

/* The last component of `path` becomes the name. */
static enum wb_err open_parent(int root, const char *path, struct wbi_file_target *target,
			       struct wb_fault *fault)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	char parent[4096];
	struct stat status;

	if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
		return bad(fault, path, "no such folder");
	if (strlen(name) > WBI_FILE_NAME_MAX || (size_t)(name - path) >= sizeof(parent))
		return bad(fault, path, "the name is too long");
	if (wbi_temporary_is(name))
		return bad(fault, path, "a name that temporaries have");
	memcpy(parent, path, (size_t)(name - path));
	parent[name - path] = '\0';
	target->folder = open_path(root, parent, O_RDONLY | O_DIRECTORY);
	if (target->folder < 0)
		return failed(fault, path);
	snprintf(target->as, sizeof(target->as), "%s", name);
	target->fresh =
		fstatat(target->folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
	return WB_OK;
}

enum wb_err wbi_file_target_open(int root, const char *path, bool into,
				 struct wbi_file_target *ret_target, struct wb_fault *fault)
{
	struct wbi_file_target target = {.folder = -1};
	size_t bytes;
	enum wb_err err;

	if (root != AT_FDCWD)
		path += strspn(path, "/");
	bytes = strlen(path);
	target.folder = open_path(root, path, O_RDONLY | O_DIRECTORY);
	if (target.folder >= 0) {
		target.fresh = is_empty(target.folder);
		*ret_target = target;
		return WB_OK;
	}
	if (errno != ENOENT && errno != ENOTDIR)
		return failed(fault, path);
	if (into || (bytes && path[bytes - 1] == '/'))
		return bad(fault, path, "no such folder");
	err = open_parent(root, path, &target, fault);
	if (!err)
		*ret_target = target;
	return err;
}

void wbi_file_target_close(struct wbi_file_target *target)
{
	if (target)
		wbi_fd_close(&target->folder);
}
