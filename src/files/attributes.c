/* Attributes: who owns a file decides which of its bits may be kept. */
#include "files/attributes.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SET_IDS = 06000, SET_GROUP_ID = 02000, LOOKUP_BYTES = 4096 };

/* The last name looked up: trees tend to have one owner. */
struct known {
	char name[WBI_ITEM_OWNER_MAX];
	uint32_t id;
	bool found;
};

static _Thread_local struct known known_user, known_group;

static uint32_t id_of_user(const char *name, uint32_t otherwise)
{
	char buffer[LOOKUP_BYTES];
	struct passwd entry, *found = NULL;

	if (!name[0])
		return otherwise;
	if (strcmp(name, known_user.name)) {
		snprintf(known_user.name, sizeof(known_user.name), "%s", name);
		known_user.found =
			!getpwnam_r(name, &entry, buffer, sizeof(buffer), &found) && found;
		known_user.id = known_user.found ? entry.pw_uid : 0;
	}
	return known_user.found ? known_user.id : otherwise;
}

static uint32_t id_of_group(const char *name, uint32_t otherwise)
{
	char buffer[LOOKUP_BYTES];
	struct group entry, *found = NULL;

	if (!name[0])
		return otherwise;
	if (strcmp(name, known_group.name)) {
		snprintf(known_group.name, sizeof(known_group.name), "%s", name);
		known_group.found =
			!getgrnam_r(name, &entry, buffer, sizeof(buffer), &found) && found;
		known_group.id = known_group.found ? entry.gr_gid : 0;
	}
	return known_group.found ? known_group.id : otherwise;
}

struct wbi_attributes wbi_attributes_of(const struct wbi_item *item, bool owner)
{
	struct wbi_attributes attributes = {
		.mode = item->mode,
		.mtime = {.tv_sec = item->mtime.seconds, .tv_nsec = item->mtime.nanoseconds},
	};

	if (owner && item->has_owner && geteuid() == 0) {
		attributes.owner = true;
		attributes.uid = id_of_user(item->user, item->uid);
		attributes.gid = id_of_group(item->group, item->gid);
	}
	return attributes;
}

static int set_time(int fd, struct timespec mtime)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, mtime};

	return futimens(fd, times);
}

static uint32_t mode_for(const struct wbi_attributes *attributes)
{
	return attributes->owner ? attributes->mode : attributes->mode & ~(uint32_t)SET_IDS;
}

/* The mode that something which is there is to have. */
static uint32_t mode_beside(const struct wbi_attributes *attributes, const struct stat *now)
{
	uint32_t mode = mode_for(attributes);

	if (S_ISDIR(now->st_mode) && !attributes->owner)
		mode |= now->st_mode & SET_GROUP_ID;
	return mode;
}

static bool is_moved(const struct wbi_attributes *attributes, const struct stat *now)
{
	return attributes->owner &&
	       (now->st_uid != attributes->uid || now->st_gid != attributes->gid);
}

bool wbi_attributes_are_set(const struct wbi_attributes *attributes, const struct stat *now)
{
	return !is_moved(attributes, now) &&
	       mode_beside(attributes, now) == (now->st_mode & 07777) &&
	       now->st_mtim.tv_sec == attributes->mtime.tv_sec &&
	       now->st_mtim.tv_nsec == attributes->mtime.tv_nsec;
}

int wbi_attributes_set(int fd, const struct wbi_attributes *attributes, const struct stat *now)
{
	uint32_t mode = mode_beside(attributes, now), is = now->st_mode & 07777;
	bool moved = is_moved(attributes, now);

	if (moved && fchown(fd, attributes->uid, attributes->gid) != 0)
		return -1;
	/* A change of owner takes the set-id bits away. */
	if ((moved || mode != is) && fchmod(fd, mode) != 0)
		return -1;
	return set_time(fd, attributes->mtime);
}

int wbi_attributes_set_new(int fd, const struct wbi_attributes *attributes, uint32_t made_mode)
{
	uint32_t mode = mode_for(attributes);

	if (attributes->owner && fchown(fd, attributes->uid, attributes->gid) != 0)
		return -1;
	if (mode != made_mode && fchmod(fd, mode) != 0)
		return -1;
	return set_time(fd, attributes->mtime);
}

int wbi_attributes_set_link(int folder, const char *name, const struct wbi_attributes *attributes)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, attributes->mtime};

	if (attributes->owner &&
	    fchownat(folder, name, attributes->uid, attributes->gid, AT_SYMLINK_NOFOLLOW) != 0)
		return -1;
	return utimensat(folder, name, times, AT_SYMLINK_NOFOLLOW);
}

static uint32_t umask_at_start = 07777;

/* umask(2) can only be asked by changing it, for all threads. */
static void read_umask(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	char line[256];

	while (status && fgets(line, sizeof(line), status))
		if (!strncmp(line, "Umask:", 6))
			umask_at_start = (uint32_t)strtoul(line + 6, NULL, 8);
	if (status)
		fclose(status);
}

void wbi_attributes_read_umask(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, read_umask);
}

uint32_t wbi_attributes_own_mode(void)
{
	wbi_attributes_read_umask();
	return (0666 & ~umask_at_start) | 0600;
}

uint32_t wbi_attributes_made_mode(uint32_t mode, bool plain)
{
	wbi_attributes_read_umask();
	return plain && mode <= 0777 && !(mode & umask_at_start) ? mode : UINT32_MAX;
}
