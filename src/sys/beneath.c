/* Beneath: openat2 where the kernel has it, else a walk with the same guarantee.
 *
 * The walk holds the folders on its way as a stack of descriptors, so that ".." is a step back to
 * where it came from, whatever has been moved meanwhile, and the bottom of the stack is the end. */
#include "sys/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/fd.h"

enum {
	WALK_DEPTH_MAX = 256, /* folders held open by one walk */
	WALK_LINKS_MAX = 40,  /* as the kernel's own limit */
	RACE_TRIES = 64,      /* openat2 says EAGAIN when a ".." may have raced with a rename */
};

static atomic_bool walk_forced;

void wbi_beneath_force_walk(bool walk)
{
	walk_forced = walk;
}

/* A file descriptor, or -1 with errno; ENOSYS where the kernel has no openat2, or a seccomp filter
 * that does not know it says EPERM to everything (which is looked at once, on a harmless path). */
static int kernel_open(int folder, const char *path, int flags, mode_t mode,
		       enum wbi_beneath_links links)
{
	struct open_how how = {
		.flags = (unsigned)flags | O_CLOEXEC,
		.mode = flags & (O_CREAT | __O_TMPFILE) ? mode & 07777 : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
			   (links == WBI_BENEATH_NO_LINKS ? RESOLVE_NO_SYMLINKS : 0),
	};
	long fd;
	int tries = RACE_TRIES;

	do {
		fd = syscall(SYS_openat2, folder, path, &how, sizeof(how));
	} while (fd < 0 && (errno == EINTR || (errno == EAGAIN && tries-- > 0)));
	return (int)fd;
}

static bool kernel_can(void)
{
	static atomic_int known; /* 0: not looked yet, 1: yes, -1: no */
	int can = known;

	if (!can) {
		int fd = kernel_open(AT_FDCWD, ".", O_PATH, 0, WBI_BENEATH_LINKS);
		can = fd >= 0 || (errno != ENOSYS && errno != EPERM) ? 1 : -1;
		wbi_fd_close(&fd);
		known = can;
	}
	return can > 0 && !walk_forced;
}

struct walk {
	int stack[WALK_DEPTH_MAX]; /* stack[0] is the caller's folder, the others are ours */
	int depth;                 /* index of where we are */
	int links_left;
	enum wbi_beneath_links links;
	char *rest;    /* what is still to be walked; points into `text` */
	char *text[2]; /* rest, and its successor while a link is put in front of it */
};

static int here(const struct walk *walk)
{
	return walk->stack[walk->depth];
}

static int fail(int error)
{
	errno = error;
	return -1;
}

/* Cuts the next component off the rest, and the slashes around it. NULL: none is left.
 * *ret_folder: a slash stands behind it, so it has to be a folder. */
static char *next_component(struct walk *walk, bool *ret_folder)
{
	char *name = walk->rest + strspn(walk->rest, "/");
	char *end = name + strcspn(name, "/");

	if (!*name)
		return NULL;
	*ret_folder = *end == '/';
	walk->rest = end + strspn(end, "/");
	*end = '\0';
	return name;
}

static int push(struct walk *walk, int fd)
{
	if (walk->depth + 1 >= WALK_DEPTH_MAX) {
		wbi_fd_close(&fd);
		return fail(ENAMETOOLONG);
	}
	walk->stack[++walk->depth] = fd;
	return 0;
}

static int step_back(struct walk *walk)
{
	if (walk->depth == 0)
		return fail(EXDEV);
	wbi_fd_close(&walk->stack[walk->depth--]);
	return 0;
}

/* Puts what the link says in front of the rest. fd: the link itself, by O_PATH. */
static int follow(struct walk *walk, int fd, bool folder)
{
	char aim[PATH_MAX];
	ssize_t bytes = readlinkat(fd, "", aim, sizeof(aim) - 1);

	if (bytes < 0)
		return -1;
	aim[bytes] = '\0';
	if (aim[0] == '/')
		return fail(EXDEV);
	if (walk->links == WBI_BENEATH_NO_LINKS || walk->links_left-- == 0)
		return fail(ELOOP);
	if (asprintf(&walk->text[1], "%s%s%s", aim, *walk->rest || folder ? "/" : "", walk->rest) <
	    0) {
		walk->text[1] = NULL;
		return fail(ENOMEM);
	}
	free(walk->text[0]);
	walk->text[0] = walk->rest = walk->text[1];
	walk->text[1] = NULL;
	return 0;
}

/* One component that is not the last, or that is a link. */
static int step_into(struct walk *walk, const char *name, bool folder)
{
	struct stat status;
	int fd = openat(here(walk), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int result;

	if (fd < 0)
		return -1;
	if (fstat(fd, &status) != 0) {
		result = -1;
	} else if (S_ISLNK(status.st_mode)) {
		result = walk->links == WBI_BENEATH_NO_LINKS ? fail(ELOOP)
							     : follow(walk, fd, folder);
	} else if (!S_ISDIR(status.st_mode)) {
		result = fail(ENOTDIR);
	} else {
		return push(walk, fd);
	}
	int error = errno;
	wbi_fd_close(&fd);
	errno = error;
	return result;
}

static bool is_link(int folder, const char *name)
{
	struct stat status;

	return fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode);
}

/* The last component. Returns -2 where it is a link that is to be followed: walk on. */
static int open_last(struct walk *walk, const char *name, bool folder, int flags, mode_t mode)
{
	bool as_itself = (flags & O_NOFOLLOW) && (flags & O_PATH) && !folder;
	int wanted = flags | O_NOFOLLOW | O_CLOEXEC | (folder ? O_DIRECTORY : 0);

	if (as_itself && walk->links == WBI_BENEATH_LINKS)
		return openat(here(walk), name, wanted, mode);
	if (is_link(here(walk), name)) {
		if (walk->links == WBI_BENEATH_NO_LINKS || (flags & (O_NOFOLLOW | O_CREAT)))
			return fail(ELOOP);
		return step_into(walk, name, folder) == 0 ? -2 : -1;
	}
	/* O_PATH opens a link as itself, and it may have come to be one just now. */
	int fd = openat(here(walk), name, wanted, mode);
	if (fd >= 0 && (flags & O_PATH)) {
		struct stat status;
		if (fstat(fd, &status) == 0 && S_ISLNK(status.st_mode)) {
			wbi_fd_close(&fd);
			return fail(ELOOP);
		}
	}
	return fd;
}

static int walk_on(struct walk *walk, int flags, mode_t mode)
{
	for (;;) {
		bool folder = false;
		char *name = next_component(walk, &folder);
		int result = 0;
		if (!name)
			return openat(here(walk), ".", flags | O_CLOEXEC, mode);
		if (!strcmp(name, ".."))
			result = step_back(walk);
		else if (!strcmp(name, "."))
			result = 0;
		else if (*walk->rest)
			result = step_into(walk, name, folder);
		else if ((result = open_last(walk, name, folder, flags, mode)) != -2)
			return result;
		if (result == -1)
			return -1;
	}
}

static int walk_open(int folder, const char *path, int flags, mode_t mode,
		     enum wbi_beneath_links links)
{
	struct walk walk = {.stack[0] = folder, .links_left = WALK_LINKS_MAX, .links = links};

	if (strlen(path) >= PATH_MAX)
		return fail(ENAMETOOLONG);
	walk.text[0] = walk.rest = strdup(path);
	if (!walk.text[0])
		return fail(ENOMEM);
	int fd = walk_on(&walk, flags, mode);
	int error = errno;
	while (walk.depth > 0)
		wbi_fd_close(&walk.stack[walk.depth--]);
	free(walk.text[0]);
	errno = error;
	return fd;
}

int wbi_beneath_open(int folder, const char *path, int flags, mode_t mode,
		     enum wbi_beneath_links links)
{
	if (path[0] == '/')
		return fail(EXDEV);
	if (!path[0])
		path = ".";
	if (!kernel_can())
		return walk_open(folder, path, flags, mode, links);
	/* A new file behind a link would be made wherever the link says. */
	if (flags & O_CREAT)
		flags |= O_NOFOLLOW;
	return kernel_open(folder, path, flags, mode, links);
}

int wbi_beneath_parent(int folder, const char *path, enum wbi_beneath_links links,
		       const char **ret_last)
{
	size_t end = strlen(path);
	char parent[PATH_MAX];

	while (end > 0 && path[end - 1] == '/')
		end--;
	size_t start = end;
	while (start > 0 && path[start - 1] != '/')
		start--;
	size_t bytes = end - start;
	if (!bytes || !strncmp(path + start, ".", bytes) ||
	    (bytes == 2 && !strncmp(path + start, "..", 2)))
		return fail(EINVAL);
	if (start >= sizeof(parent))
		return fail(ENAMETOOLONG);
	memcpy(parent, path, start);
	parent[start] = '\0';
	int fd = wbi_beneath_open(folder, parent, O_PATH | O_DIRECTORY, 0, links);
	if (fd >= 0)
		*ret_last = path + start;
	return fd;
}
