/* Walking a tree: see walk.h. */
#include "files/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files/descent.h"
#include "files/exclude.h"
#include "files/temporary.h"
#include "sys/beneath.h"

enum { NAMES_FIRST = 4096 };

/* One entry of a folder; the name lies in the folder's `names`. */
struct entry {
	size_t name;
	unsigned char type; /* DT_UNKNOWN: left out */
};

struct folder {
	char *names; /* each with a NUL behind it */
	size_t names_bytes, names_room;
	struct entry *entries;
	size_t count, room, next;
	size_t path_bytes; /* of walk->path while this is the deepest */
};

struct wbi_walk {
	int top, current; /* current: of the deepest folder, -1 once one of its folders was entered
			   */
	const char *const *excludes;
	struct folder folders[WBI_WALK_DEPTH_MAX];
	unsigned depth;
	bool begun;
	struct folder left; /* the one that has just ended */
	char path[WBI_WALK_PATH_MAX + 1];
};

static void forget(struct folder *folder)
{
	free(folder->names);
	free(folder->entries);
	*folder = (struct folder){0};
}

enum wb_err wbi_walk_new(int top, const char *const *excludes, struct wbi_walk **ret_walk)
{
	struct wbi_walk *walk = calloc(1, sizeof(*walk));

	if (!walk) {
		close(top);
		return WB_ERR_NOMEM;
	}
	walk->top = top;
	walk->current = -1;
	walk->excludes = excludes;
	*ret_walk = walk;
	return WB_OK;
}

static void leave_current(struct wbi_walk *walk)
{
	if (walk->current >= 0 && walk->current != walk->top)
		close(walk->current);
	walk->current = -1;
}

void wbi_walk_free(struct wbi_walk *walk)
{
	if (!walk)
		return;
	leave_current(walk);
	while (walk->depth > 0)
		forget(&walk->folders[--walk->depth]);
	forget(&walk->left);
	close(walk->top);
	free(walk);
}

int wbi_walk_top(const struct wbi_walk *walk)
{
	return walk->top;
}

const char *wbi_walk_listing(const struct wbi_walk *walk, size_t *ret_bytes)
{
	*ret_bytes = walk->left.names_bytes;
	return walk->left.names ? walk->left.names : "";
}

/* ---- reading a folder ---- */

static bool grow(void **data, size_t *room, size_t needed, size_t each)
{
	size_t more = *room ? *room : NAMES_FIRST / each;
	void *grown;

	if (needed <= *room)
		return true;
	while (more < needed)
		more *= 2;
	grown = realloc(*data, more * each);
	if (!grown)
		return false;
	*data = grown;
	*room = more;
	return true;
}

static bool add(struct folder *folder, const char *name, unsigned char type)
{
	size_t bytes = strlen(name) + 1;

	if (!grow((void **)&folder->names, &folder->names_room, folder->names_bytes + bytes, 1) ||
	    !grow((void **)&folder->entries, &folder->room, folder->count + 1,
		  sizeof(*folder->entries)))
		return false;
	memcpy(folder->names + folder->names_bytes, name, bytes);
	folder->entries[folder->count++] = (struct entry){folder->names_bytes, type};
	folder->names_bytes += bytes;
	return true;
}

/* Some file systems do not tell types in their folders. */
static unsigned char type_of(int folder, const char *name)
{
	struct stat stat;

	if (fstatat(folder, name, &stat, AT_SYMLINK_NOFOLLOW) != 0)
		return DT_REG; /* opening it will tell why not */
	return (unsigned char)IFTODT(stat.st_mode);
}

/* Appends "/name" to the path; false where it would become too long. */
static bool path_add(struct wbi_walk *walk, size_t at, const char *name)
{
	size_t bytes = strlen(name), slash = at > 0;

	if (at + slash + bytes > WBI_WALK_PATH_MAX)
		return false;
	if (slash)
		walk->path[at] = '/';
	memcpy(walk->path + at + slash, name, bytes + 1);
	return true;
}

/* Needs the path of the folder in walk->path; leaves it there. */
static bool is_excluded(struct wbi_walk *walk, size_t path_bytes, const char *name,
			unsigned char type)
{
	bool excluded;

	if (!walk->excludes || !walk->excludes[0] || !path_add(walk, path_bytes, name))
		return false;
	excluded = wbi_file_excluded(walk->excludes, walk->path, type == DT_DIR);
	walk->path[path_bytes] = '\0';
	return excluded;
}

static int read_names(struct wbi_walk *walk, struct folder *folder, DIR *stream)
{
	struct dirent *found;

	while ((found = wbi_listing_next(stream))) {
		unsigned char type = found->d_type;

		/* What a transfer has not completed is nobody's yet. */
		if (wbi_temporary_is(found->d_name))
			continue;
		if (type == DT_UNKNOWN)
			type = type_of(dirfd(stream), found->d_name);
		if (is_excluded(walk, folder->path_bytes, found->d_name, type))
			type = DT_UNKNOWN;
		if (!add(folder, found->d_name, type))
			return ENOMEM;
	}
	return errno;
}

static int compare(const void *left, const void *right, void *names)
{
	const struct entry *a = left, *b = right;
	int folders = (a->type == DT_DIR) - (b->type == DT_DIR);

	return folders ? folders : strcmp((char *)names + a->name, (char *)names + b->name);
}

/* Reads the folder at walk->path, open as `fd`, into the next frame. Returns 0 or an errno. */
static int enter(struct wbi_walk *walk, int fd)
{
	struct folder *folder;
	int error;
	DIR *stream;

	if (walk->depth == WBI_WALK_DEPTH_MAX)
		return ENAMETOOLONG;
	stream = wbi_listing_open(fd);
	if (!stream)
		return errno;
	folder = &walk->folders[walk->depth];
	*folder = (struct folder){.path_bytes = strlen(walk->path)};
	error = read_names(walk, folder, stream);
	closedir(stream);
	if (error) {
		forget(folder);
		return error;
	}
	if (folder->count > 1)
		qsort_r(folder->entries, folder->count, sizeof(*folder->entries), compare,
			folder->names);
	walk->depth++;
	leave_current(walk);
	walk->current = fd;
	return 0;
}

/* ---- the steps ---- */

static enum wbi_walk_event failed(struct wbi_walk_entry *entry, int error)
{
	entry->error = error;
	return WBI_WALK_FAILED;
}

static enum wbi_walk_event enter_top(struct wbi_walk *walk, struct wbi_walk_entry *entry)
{
	int error;

	walk->begun = true;
	if (fstat(walk->top, &entry->stat) != 0)
		return failed(entry, errno);
	error = enter(walk, walk->top);
	return error ? failed(entry, error) : WBI_WALK_FOLDER;
}

/* A folder in the deepest one; walk->path is its path. */
static enum wbi_walk_event enter_folder(struct wbi_walk *walk, struct wbi_walk_entry *entry)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
	int error, fd;

	if (walk->current >= 0)
		fd = openat(walk->current, entry->name, flags);
	else
		fd = wbi_beneath_open(walk->top, walk->path, flags, 0, WBI_BENEATH_NO_LINKS);
	if (fd < 0)
		return failed(entry, errno);
	error = fstat(fd, &entry->stat) == 0 ? 0 : errno;
	if (!error)
		error = enter(walk, fd);
	if (!error)
		return WBI_WALK_FOLDER;
	close(fd);
	return failed(entry, error);
}

static enum wbi_walk_event leave(struct wbi_walk *walk)
{
	forget(&walk->left);
	walk->left = walk->folders[--walk->depth];
	walk->folders[walk->depth] = (struct folder){0};
	walk->path[walk->left.path_bytes] = '\0';
	leave_current(walk);
	return WBI_WALK_FOLDER_END;
}

enum wbi_walk_event wbi_walk_next(struct wbi_walk *walk, struct wbi_walk_entry *ret_entry)
{
	struct folder *folder;
	const struct entry *next;

	ret_entry->path = walk->path;
	ret_entry->name = "";
	if (!walk->begun)
		return enter_top(walk, ret_entry);
	if (walk->depth == 0)
		return WBI_WALK_OVER;
	folder = &walk->folders[walk->depth - 1];
	while (folder->next < folder->count && folder->entries[folder->next].type == DT_UNKNOWN)
		folder->next++;
	if (folder->next == folder->count)
		return leave(walk);
	next = &folder->entries[folder->next++];
	ret_entry->name = folder->names + next->name;
	ret_entry->type = next->type;
	ret_entry->folder = walk->current;
	if (!path_add(walk, folder->path_bytes, ret_entry->name))
		return failed(ret_entry, ENAMETOOLONG);
	if (next->type == DT_DIR)
		return enter_folder(walk, ret_entry);
	return WBI_WALK_ENTRY;
}
