/* The way to a guarded file: see guarded_open.h. */
#include "sys/guarded_open.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/text.h"
#include "sys/fd.h"

enum { SHOWN_MAX = 110, FILE_MODE = 0600, LINKS_MAX = 40 };

enum wb_err wbi_guard_refuse(const char *path, const char *why, struct wb_fault *fault)
{
	char shown[SHOWN_MAX];

	wbi_text_escape_message(path, shown, sizeof(shown));
	return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0, "%s: %s", shown, why);
}

enum wb_err wbi_guard_system_fault(const char *path, struct wb_fault *fault)
{
	char shown[SHOWN_MAX];
	int why = errno;

	wbi_text_escape_message(path, shown, sizeof(shown));
	errno = why;
	if (errno == ENOENT || errno == ENOTDIR)
		return wb_fault_set(fault, WB_ERR_MISSING, NULL, 0, "%s: %m", shown);
	return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "%s: %m", shown);
}

/* ---- who else could ---- */

bool wbi_guard_trusts(const struct stat *status, uid_t owner)
{
	return status->st_uid == 0 || status->st_uid == owner;
}

bool wbi_guard_is_open(const struct stat *status)
{
	return (status->st_mode & (S_IWGRP | S_IWOTH)) != 0;
}

/* NULL: nothing is wrong with it. */
static const char *wrong_with_folder(const struct stat *status, uid_t owner)
{
	if (!wbi_guard_trusts(status, owner))
		return "the folder belongs to another user";
	if (wbi_guard_is_open(status) && !(status->st_mode & S_ISVTX))
		return "others can write to this folder (chmod go-w)";
	return NULL;
}

/* ---- the walk ---- */

/* A name is walked one component at a time, so that what was looked at is what is followed. */
struct walk {
	const char *path; /* as it was given */
	uid_t owner;
	int folder;             /* where we are, by O_PATH */
	int links;              /* that were followed */
	const char *rest;       /* what is still to be walked; points into `text` */
	char text[PATH_MAX];    /* absolute */
	struct wb_fault unsafe; /* of the first folder that will not do; err is WB_OK: none */
};

/* The name that an open file has now. */
static ssize_t name_of(int fd, char name[PATH_MAX])
{
	char link[32];
	ssize_t bytes;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	bytes = readlink(link, name, PATH_MAX - 1);
	name[bytes > 0 ? bytes : 0] = '\0';
	return bytes;
}

/* Whoever can write to the folder where a name is looked up has the name mean what he likes. A file
 * that is not there has no way to it that could be wrong: so this is told once there is one. */
static void look_around(struct walk *walk)
{
	char place[PATH_MAX];
	struct stat status;
	const char *wrong;

	if (walk->unsafe.err)
		return;
	if (fstat(walk->folder, &status) != 0) {
		wbi_guard_system_fault(walk->path, &walk->unsafe);
		return;
	}
	wrong = wrong_with_folder(&status, walk->owner);
	if (wrong) {
		name_of(walk->folder, place);
		wbi_guard_refuse(place, wrong, &walk->unsafe);
	}
}

static void step_to(struct walk *walk, int folder)
{
	wbi_fd_close(&walk->folder);
	walk->folder = folder;
}

/* As the kernel with fs.protected_symlinks, which may be off: in /tmp anybody can put a link that
 * leads to a file of ours. */
static enum wb_err check_link(const struct walk *walk, const char *name, const struct stat *link,
			      struct wb_fault *fault)
{
	char folder[PATH_MAX], place[PATH_MAX + NAME_MAX + 1];
	struct stat status;

	if (wbi_guard_trusts(link, walk->owner))
		return WB_OK;
	if (fstat(walk->folder, &status) != 0)
		return wbi_guard_system_fault(walk->path, fault);
	if (!wbi_guard_is_open(&status))
		return WB_OK;
	name_of(walk->folder, folder);
	snprintf(place, sizeof(place), "%s/%s", folder, name);
	return wbi_guard_refuse(place, "the link belongs to another user", fault);
}

/* What the link says comes before what is still to be walked. */
static enum wb_err take_aim(struct walk *walk, int link, struct wb_fault *fault)
{
	size_t rest_size = strlen(walk->rest) + 1;
	char aim[PATH_MAX];
	ssize_t bytes = readlinkat(link, "", aim, sizeof(aim));

	if (bytes < 0)
		return wbi_guard_system_fault(walk->path, fault);
	if (++walk->links > LINKS_MAX || (size_t)bytes + rest_size > sizeof(aim)) {
		errno = walk->links > LINKS_MAX ? ELOOP : ENAMETOOLONG;
		return wbi_guard_system_fault(walk->path, fault);
	}
	memcpy(aim + bytes, walk->rest, rest_size);
	memcpy(walk->text, aim, (size_t)bytes + rest_size);
	walk->rest = walk->text;
	if (aim[0] == '/')
		step_to(walk, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
	return WB_OK;
}

static enum wb_err follow(struct walk *walk, const char *name, struct wb_fault *fault)
{
	int link = openat(walk->folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat status;
	enum wb_err err;

	if (link < 0 || fstat(link, &status) != 0) {
		err = wbi_guard_system_fault(walk->path, fault);
	} else if (!S_ISLNK(status.st_mode)) {
		errno = ENOTDIR;
		err = wbi_guard_system_fault(walk->path, fault);
	} else {
		err = check_link(walk, name, &status, fault);
		if (!err)
			err = take_aim(walk, link, fault);
	}
	wbi_fd_close(&link);
	return err;
}

/* Cuts the next component off the rest, "." for none. False: it is too long. */
static bool next_name(struct walk *walk, char name[NAME_MAX + 1])
{
	const char *begin = walk->rest + strspn(walk->rest, "/");
	size_t bytes = strcspn(begin, "/");

	walk->rest = begin + bytes;
	if (bytes > NAME_MAX)
		return false;
	memcpy(name, bytes > 0 ? begin : ".", bytes > 0 ? bytes : 1);
	name[bytes > 0 ? bytes : 1] = '\0';
	return true;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Above a file that was opened by a link of /proc, which may lead to one without a name. */
static void look_above(struct walk *walk, int fd)
{
	char path[PATH_MAX];

	if (name_of(fd, path) <= 0)
		wbi_guard_system_fault(walk->path, &walk->unsafe);
	for (char *slash = strrchr(path, '/'); slash && !walk->unsafe.err;
	     slash = strrchr(path, '/')) {
		struct stat status;
		const char *wrong = NULL;

		slash[slash == path] = '\0';
		if (stat(path, &status) != 0)
			wbi_guard_system_fault(path, &walk->unsafe);
		else
			wrong = wrong_with_folder(&status, walk->owner);
		if (wrong)
			wbi_guard_refuse(path, wrong, &walk->unsafe);
		if (slash == path)
			return;
	}
}

/* Made in a second step: in a sticky folder the kernel has another error for a link that is not to
 * be followed where the file may be made. */
static int open_last(struct walk *walk, const char *name, int flags)
{
	struct statfs system;
	bool is_proc = fstatfs(walk->folder, &system) == 0 && system.f_type == PROC_SUPER_MAGIC;
	int wanted = flags | (is_proc ? 0 : O_NOFOLLOW);
	int fd = openat(walk->folder, name, wanted & ~O_CREAT);

	if (fd < 0 && errno == ENOENT && (wanted & O_CREAT))
		fd = openat(walk->folder, name, wanted, FILE_MODE);
	if (fd >= 0 && is_proc)
		look_above(walk, fd);
	return fd;
}

static enum wb_err walk_on(struct walk *walk, int flags, int *ret_fd, struct wb_fault *fault)
{
	char name[NAME_MAX + 1];

	while (next_name(walk, name)) {
		bool is_last = !*walk->rest;
		enum wb_err err;
		int fd;

		if (!is_dots(name))
			look_around(walk);
		fd = is_last ? open_last(walk, name, flags)
			     : openat(walk->folder, name,
				      O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0 && is_last) {
			*ret_fd = fd;
			return WB_OK;
		}
		if (fd >= 0) {
			step_to(walk, fd);
			continue;
		}
		if (errno != (is_last ? ELOOP : ENOTDIR))
			return wbi_guard_system_fault(walk->path, fault);
		err = follow(walk, name, fault);
		if (err)
			return err;
	}
	errno = ENAMETOOLONG;
	return wbi_guard_system_fault(walk->path, fault);
}

static enum wb_err begin(struct walk *walk, struct wb_fault *fault)
{
	size_t bytes = 0;

	if (walk->path[0] != '/') {
		if (!getcwd(walk->text, sizeof(walk->text)))
			return wbi_guard_system_fault(walk->path, fault);
		bytes = strlen(walk->text);
	}
	if (!walk->path[0])
		errno = ENOENT;
	else if (bytes + 1 + strlen(walk->path) >= sizeof(walk->text))
		errno = ENAMETOOLONG;
	else {
		walk->rest = walk->text;
		snprintf(walk->text + bytes, sizeof(walk->text) - bytes, "/%s", walk->path);
		walk->folder = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (walk->folder >= 0)
			return WB_OK;
	}
	return wbi_guard_system_fault(walk->path, fault);
}

enum wb_err wbi_guard_open(const char *path, int flags, uid_t owner, int *ret_fd,
			   struct wb_fault *ret_unsafe, struct wb_fault *fault)
{
	struct walk walk = {.path = path, .owner = owner, .folder = -1};
	enum wb_err err = begin(&walk, fault);

	if (!err)
		err = walk_on(&walk, flags | O_CLOEXEC | O_NOCTTY, ret_fd, fault);
	wbi_fd_close(&walk.folder);
	*ret_unsafe = walk.unsafe;
	return err;
}
