/* Cgroups: see cgroup.h. A leaf is with whoever took it, rests, or is held:
 *
 *   take ──▶ taken ──give──▶ resting ──take, empty──▶ taken
 *                               └─take, somebody is in it──▶ held ──empty──▶ removed
 *
 * Where too many rest already, or all in it were killed, it is removed, or held. Those that are
 * held have no descriptors, so survivors cost us none. */
#include "sys/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/list.h"
#include "sys/clock.h"
#include "sys/fd.h"
#include "sys/spawn.h"

enum {
	RESTING_MAX = 64, /* leaves, with two descriptors each */
	DEPTH_MAX = 8,    /* of what a command makes in its leaf: levels_text */
	REMOVED_MAX = 64, /* folders at one time, while others wait for a leaf */
	NAME_SIZE = 64,
	CLOSE_MS = 1000, /* for all that was killed to be gone */
};

/* What a leaf lets its command make: as many levels as are looked at here, and some folders. */
static const char levels_text[] = "8", folders_text[] = "512";

struct wbi_leaf {
	struct wbi_cgroup *cgroup;
	struct wbi_list node; /* in resting or held; alone while it is taken */
	char name[NAME_SIZE];
	int folder, events; /* -1 while it is held */
	bool killed;        /* everything in it was, since it was taken */
};

struct wbi_cgroup {
	char *path;
	int folder;
	pthread_mutex_t mutex; /* guards what follows */
	struct wbi_list resting, held;
	unsigned resting_count;
	unsigned count; /* of all leaves */
	unsigned next;  /* the number that the next one gets */
};

/* ---- what the kernel says of a leaf ---- */

enum look {
	EMPTY,     /* nobody is in it or below it, and the next may be */
	POPULATED, /* somebody is */
	SPOILT,    /* nobody is, and nobody should: frozen, or gone */
};

/* events: cgroup.events. One that cannot be read belongs to a leaf that is gone. */
static enum look look_at(int events)
{
	char text[128];
	ssize_t bytes = pread(events, text, sizeof(text) - 1, 0);

	if (bytes <= 0)
		return SPOILT;
	text[bytes] = '\0';
	if (!strstr(text, "populated 0"))
		return POPULATED;
	return strstr(text, "frozen 1") ? SPOILT : EMPTY;
}

static int open_events(int folder, const char *name)
{
	char path[NAME_SIZE + sizeof("/cgroup.events")];

	snprintf(path, sizeof(path), "%s/cgroup.events", name);
	return openat(folder, path, O_RDONLY | O_CLOEXEC);
}

static int open_folder(int folder, const char *name)
{
	return openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* A folder of a cgroup has two links, and one more for each folder in it. */
static bool has_folders(int folder)
{
	struct stat found;

	return fstat(folder, &found) == 0 && found.st_nlink > 2;
}

/* False: enough. */
typedef bool folder_fn(void *context, int parent, const char *name);

static void each_folder(int folder, folder_fn *fn, void *context)
{
	int again = has_folders(folder) ? open_folder(folder, ".") : -1;
	DIR *entries = again >= 0 ? fdopendir(again) : NULL;
	const struct dirent *entry;

	while (entries && (entry = readdir(entries)) != NULL)
		if (entry->d_type == DT_DIR && strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0 && !fn(context, folder, entry->d_name))
			break;
	if (entries)
		closedir(entries);
	else
		wbi_fd_close(&again);
}

/* ---- removing ---- */

struct removal {
	unsigned depth;
	unsigned left; /* folders that may still be tried */
};

static bool remove_folder(void *context, int parent, const char *name)
{
	struct removal *removal = context;
	int folder;

	if (removal->left == 0)
		return false;
	removal->left--;
	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno != EBUSY ||
	    removal->depth == DEPTH_MAX)
		return true;
	folder = open_folder(parent, name);
	if (folder < 0)
		return true;
	removal->depth++;
	each_folder(folder, remove_folder, removal);
	removal->depth--;
	wbi_fd_close(&folder);
	(void)unlinkat(parent, name, AT_REMOVEDIR);
	return true;
}

/* Whether the leaf is gone. Where somebody is in it nothing in it is touched. */
static bool remove_if_empty(int parent, const char *name, struct removal *removal)
{
	int events = open_events(parent, name);
	enum look seen;

	if (events < 0)
		return errno == ENOENT;
	seen = look_at(events);
	wbi_fd_close(&events);
	if (seen == POPULATED)
		return false;
	(void)remove_folder(removal, parent, name);
	return faccessat(parent, name, F_OK, 0) != 0;
}

static void close_leaf(struct wbi_leaf *leaf)
{
	wbi_fd_close(&leaf->folder);
	wbi_fd_close(&leaf->events);
}

static void forget(struct wbi_leaf *leaf)
{
	leaf->cgroup->count--;
	wbi_list_remove(&leaf->node);
	close_leaf(leaf);
	free(leaf);
}

static void remove_or_hold(struct wbi_leaf *leaf, struct removal *removal)
{
	if (remove_if_empty(leaf->cgroup->folder, leaf->name, removal)) {
		forget(leaf);
		return;
	}
	close_leaf(leaf);
	wbi_list_remove(&leaf->node);
	wbi_list_append(&leaf->cgroup->held, &leaf->node);
}

/* ---- taking and giving ---- */

static void write_to(int folder, const char *name, const char *text)
{
	int file = openat(folder, name, O_WRONLY | O_CLOEXEC);

	if (file >= 0)
		(void)!write(file, text, strlen(text));
	wbi_fd_close(&file);
}

/* NULL with errno. A name that is taken was a namesake's, in an earlier life of our number. */
static struct wbi_leaf *make_leaf(struct wbi_cgroup *cgroup)
{
	struct wbi_leaf *leaf = calloc(1, sizeof(*leaf));

	if (!leaf)
		return NULL;
	leaf->cgroup = cgroup;
	leaf->folder = leaf->events = -1;
	wbi_list_init(&leaf->node);
	cgroup->count++;
	int made;
	do
		snprintf(leaf->name, sizeof(leaf->name), "waybill-%ld-%u", (long)getpid(),
			 cgroup->next++);
	while ((made = mkdirat(cgroup->folder, leaf->name, 0755)) != 0 && errno == EEXIST);
	if (made == 0)
		leaf->folder = open_folder(cgroup->folder, leaf->name);
	if (leaf->folder >= 0)
		leaf->events = open_events(cgroup->folder, leaf->name);
	if (leaf->events >= 0 && look_at(leaf->events) != EMPTY) {
		close_leaf(leaf);
		errno = EBUSY;
	}
	if (leaf->events >= 0) {
		write_to(leaf->folder, "cgroup.max.depth", levels_text);
		write_to(leaf->folder, "cgroup.max.descendants", folders_text);
	} else {
		int error = errno;
		(void)unlinkat(cgroup->folder, leaf->name, AT_REMOVEDIR);
		forget(leaf);
		errno = error;
		return NULL;
	}
	return leaf;
}

static struct wbi_leaf *first_of(struct wbi_list *leaves)
{
	return WBI_CONTAINER(leaves->next, struct wbi_leaf, node);
}

/* Whether its command has divided it: made folders in it, or given them controllers, which then
 * are those of the next. */
static bool is_divided(int folder)
{
	char byte;
	int file = openat(folder, "cgroup.subtree_control", O_RDONLY | O_CLOEXEC);
	bool controls = file >= 0 && read(file, &byte, 1) == 1 && byte != '\n';

	wbi_fd_close(&file);
	return controls || has_folders(folder);
}

/* Each is looked at once: then it is taken, held or gone. */
static struct wbi_leaf *take_resting(struct wbi_cgroup *cgroup, struct removal *removal)
{
	while (!wbi_list_empty(&cgroup->resting)) {
		struct wbi_leaf *leaf = first_of(&cgroup->resting);

		wbi_list_remove(&leaf->node);
		cgroup->resting_count--;
		if (look_at(leaf->events) == EMPTY && !is_divided(leaf->folder))
			return leaf;
		remove_or_hold(leaf, removal);
	}
	return NULL;
}

struct wbi_leaf *wbi_cgroup_take(struct wbi_cgroup *cgroup)
{
	struct removal removal = {.left = REMOVED_MAX};
	struct wbi_leaf *leaf;
	int error = EAGAIN;

	errno = ENOENT;
	if (!cgroup)
		return NULL;
	pthread_mutex_lock(&cgroup->mutex);
	/* One each time: so there are soon no more than survivors. */
	if (!wbi_list_empty(&cgroup->held))
		remove_or_hold(first_of(&cgroup->held), &removal);
	leaf = take_resting(cgroup, &removal);
	if (!leaf && cgroup->count < WBI_CGROUP_LEAVES_MAX) {
		leaf = make_leaf(cgroup);
		error = errno;
	}
	if (leaf)
		leaf->killed = false;
	pthread_mutex_unlock(&cgroup->mutex);
	errno = error;
	return leaf;
}

void wbi_cgroup_give(struct wbi_leaf *leaf)
{
	struct removal removal = {.left = REMOVED_MAX};
	struct wbi_cgroup *cgroup;

	if (!leaf)
		return;
	cgroup = leaf->cgroup;
	pthread_mutex_lock(&cgroup->mutex);
	/* Whoever is started where cgroup.kill was written to may be killed at once: see spawn.c.
	 */
	if (!leaf->killed && cgroup->resting_count < RESTING_MAX) {
		wbi_list_append(&cgroup->resting, &leaf->node);
		cgroup->resting_count++;
	} else {
		remove_or_hold(leaf, &removal);
	}
	pthread_mutex_unlock(&cgroup->mutex);
}

void wbi_cgroup_discard(struct wbi_leaf *leaf)
{
	struct removal removal = {.left = REMOVED_MAX};
	struct wbi_cgroup *cgroup = leaf->cgroup;

	pthread_mutex_lock(&cgroup->mutex);
	remove_or_hold(leaf, &removal);
	pthread_mutex_unlock(&cgroup->mutex);
}

/* ---- who is in a leaf ---- */

int wbi_leaf_fd(const struct wbi_leaf *leaf)
{
	return leaf->folder;
}

/* "0::/…/waybill-7-1/…": the component counts, for the rest depends on who looks from where. */
static bool names_leaf(const char *line, const char *name)
{
	size_t bytes = strlen(name);
	const char *at = line;

	while ((at = strstr(at, name)) != NULL) {
		if (at[-1] == '/' && (at[bytes] == '/' || at[bytes] == '\n'))
			return true;
		at += bytes;
	}
	return false;
}

bool wbi_leaf_holds(const struct wbi_leaf *leaf, pid_t pid)
{
	char path[64], *line = NULL;
	size_t room = 0;
	bool holds = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%ld/cgroup", (long)pid);
	file = fopen(path, "re");
	while (file && !holds && getline(&line, &room, file) > 0)
		holds = strncmp(line, "0::/", 4) == 0 && names_leaf(line + 4, leaf->name);
	free(line);
	if (file)
		fclose(file);
	return holds;
}

struct walk {
	wbi_leaf_fn *fn;
	void *context;
	unsigned depth;
};

static void each_process(struct walk *walk, int folder)
{
	int procs = openat(folder, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	FILE *file = procs >= 0 ? fdopen(procs, "r") : NULL;
	char *line = NULL;
	size_t room = 0;

	while (file && getline(&line, &room, file) > 0) {
		pid_t pid = (pid_t)strtol(line, NULL, 10);
		if (pid > 0) /* 0: in another namespace of numbers */
			walk->fn(walk->context, pid);
	}
	free(line);
	if (file)
		fclose(file);
	else
		wbi_fd_close(&procs);
}

static bool walk_folder(void *context, int parent, const char *name)
{
	struct walk *walk = context;
	int folder = walk->depth < DEPTH_MAX ? open_folder(parent, name) : -1;

	if (folder < 0)
		return true;
	walk->depth++;
	each_process(walk, folder);
	each_folder(folder, walk_folder, walk);
	walk->depth--;
	wbi_fd_close(&folder);
	return true;
}

void wbi_leaf_each(const struct wbi_leaf *leaf, wbi_leaf_fn *fn, void *context)
{
	struct walk walk = {.fn = fn, .context = context};

	each_process(&walk, leaf->folder);
	each_folder(leaf->folder, walk_folder, &walk);
}

bool wbi_leaf_is_populated(const struct wbi_leaf *leaf)
{
	return look_at(leaf->events) == POPULATED;
}

void wbi_leaf_kill(struct wbi_leaf *leaf)
{
	int file = openat(leaf->folder, "cgroup.kill", O_WRONLY | O_CLOEXEC);

	leaf->killed |= file >= 0 && write(file, "1", 1) == 1;
	wbi_fd_close(&file);
}

/* ---- the folder ---- */

/* Whether `name` is a leaf's whose daemon is no more. Our own number was another's then. */
static bool is_left_over(const char *name)
{
	static const char digits[] = "0123456789";
	const char *number = name + 8;
	char *end;
	long pid;

	if (strncmp(name, "waybill-", 8) != 0 || strlen(name) >= NAME_SIZE || *number < '0' ||
	    *number > '9')
		return false;
	pid = strtol(number, &end, 10);
	if (*end != '-' || end[1 + strspn(end + 1, digits)] != '\0' || pid <= 0 || pid > INT32_MAX)
		return false;
	return pid == getpid() || (kill((pid_t)pid, 0) != 0 && errno == ESRCH);
}

static bool remove_left_over(void *context, int parent, const char *name)
{
	struct removal all = {.left = UINT_MAX};
	(void)context;

	if (is_left_over(name))
		(void)remove_if_empty(parent, name, &all);
	return true;
}

/* What we have too little of says nothing of the folder. */
static bool is_short(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM;
}

/* A program that cannot be run: what counts is how far it gets. */
static enum wb_err try_process(int folder, struct wb_fault *fault)
{
	char *argv[] = {(char *)"/", NULL};
	struct wbi_spawn spawn = {.path = "/", .argv = argv, .stdio = {0, 1, 2}, .cgroup = folder};
	struct wbi_process process;
	struct wb_fault why;
	enum wb_err err = wbi_spawn(&spawn, &process, &why);

	if (err == WB_ERR_SYSTEM && !is_short(why.system_errno) && why.system_errno != EAGAIN)
		return WB_OK;
	if (fault)
		*fault = why;
	return err;
}

static enum wb_err try_leaf(struct wbi_cgroup *cgroup, struct wb_fault *fault)
{
	struct wbi_leaf *leaf = wbi_cgroup_take(cgroup);
	enum wb_err err = WB_OK;

	if (!leaf)
		return wb_fault_set(fault, is_short(errno) ? WB_ERR_SYSTEM : WB_ERR_REFUSED, NULL,
				    0, "%.100s: no cgroup can be made in it: %m", cgroup->path);
	if (faccessat(leaf->folder, "cgroup.kill", W_OK, AT_EACCESS) != 0)
		err = wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0,
				   "this kernel cannot kill a cgroup; 5.14 and later can");
	if (!err)
		err = try_process(leaf->folder, fault);
	wbi_cgroup_give(leaf);
	return err;
}

static enum wb_err open_v2(const char *path, int *ret_folder, struct wb_fault *fault)
{
	struct statfs found;
	int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (folder < 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "%.100s: %m", path);
	if (fstatfs(folder, &found) != 0 || found.f_type != CGROUP2_SUPER_MAGIC) {
		wbi_fd_close(&folder);
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0,
				    "%.100s: this is no cgroup (version 2)", path);
	}
	*ret_folder = folder;
	return WB_OK;
}

enum wb_err wbi_cgroup_open(const char *folder, struct wbi_cgroup **ret_cgroup,
			    struct wb_fault *fault)
{
	struct wbi_cgroup *cgroup = calloc(1, sizeof(*cgroup));
	char *path = strdup(folder);
	int opened = -1;
	enum wb_err err;

	if (!cgroup || !path)
		err = wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "no memory for cgroups");
	else
		err = open_v2(folder, &opened, fault);
	if (err) {
		free(path);
		free(cgroup);
		return err;
	}
	cgroup->path = path;
	cgroup->folder = opened;
	pthread_mutex_init(&cgroup->mutex, NULL);
	wbi_list_init(&cgroup->resting);
	wbi_list_init(&cgroup->held);
	each_folder(opened, remove_left_over, NULL);
	err = try_leaf(cgroup, fault);
	if (err)
		wbi_cgroup_close(cgroup);
	else
		*ret_cgroup = cgroup;
	return err;
}

const char *wbi_cgroup_path(const struct wbi_cgroup *cgroup)
{
	return cgroup->path;
}

/* A poll ends once the file has changed since it was read last. */
static void wait_until_empty(const struct wbi_leaf *leaf, uint64_t deadline_ms)
{
	int events = open_events(leaf->cgroup->folder, leaf->name);
	struct pollfd changed = {.fd = events, .events = POLLPRI};
	uint64_t now_ms;

	while (look_at(events) == POPULATED && (now_ms = wbi_clock_ms()) < deadline_ms)
		(void)poll(&changed, 1, (int)(deadline_ms - now_ms));
	wbi_fd_close(&events);
}

static void remove_all(struct wbi_cgroup *cgroup, struct wbi_list *leaves)
{
	uint64_t deadline_ms = wbi_clock_ms() + CLOSE_MS;
	struct removal all = {.left = UINT_MAX};

	while (!wbi_list_empty(leaves)) {
		struct wbi_leaf *leaf = first_of(leaves);

		if (leaf->killed)
			wait_until_empty(leaf, deadline_ms);
		(void)remove_if_empty(cgroup->folder, leaf->name, &all);
		forget(leaf);
	}
}

void wbi_cgroup_close(struct wbi_cgroup *cgroup)
{
	if (!cgroup)
		return;
	remove_all(cgroup, &cgroup->resting);
	remove_all(cgroup, &cgroup->held);
	pthread_mutex_destroy(&cgroup->mutex);
	wbi_fd_close(&cgroup->folder);
	free(cgroup->path);
	free(cgroup);
}
