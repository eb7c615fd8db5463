/* Attributes: mode, time and owner of what a transfer brings. */
#ifndef WBI_FILES_ATTRIBUTES_H
#define WBI_FILES_ATTRIBUTES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "files/item.h"

struct wbi_attributes {
	uint32_t mode;
	struct timespec mtime;
	bool owner; /* uid and gid are to be set */
	uid_t uid;
	gid_t gid;
};

/* What an item says. owner: users and groups are wanted; by name where this machine knows it, else
 * by number. Only root can give files away: for others the item's owner is passed over. */
struct wbi_attributes wbi_attributes_of(const struct wbi_item *item, bool owner);

/* Sets what differs. fd: an open file or folder, for reading will do; now: its status.
 * Set-user-id and set-group-id are kept only together with the owner that they were meant for; a
 * folder keeps the set-group-id that it has here. Returns 0, or -1 with errno. */
int wbi_attributes_set(int fd, const struct wbi_attributes *attributes, const struct stat *now);

/* Whether there is nothing to set. */
bool wbi_attributes_are_set(const struct wbi_attributes *attributes, const struct stat *now);

/* The same as wbi_attributes_set for a new file: made_mode is the mode that it has, UINT32_MAX
 * where nobody knows. */
int wbi_attributes_set_new(int fd, const struct wbi_attributes *attributes, uint32_t made_mode);

/* The same for a symbolic link, by its name. */
int wbi_attributes_set_link(int folder, const char *name, const struct wbi_attributes *attributes);

/* Finds out the umask. To be called before the thread is confined to a folder
 * (wbi_landlock_restrict), which /proc is not in; without it every new file costs a system call
 * more. */
void wbi_attributes_read_umask(void);

/* The mode of a file that this program makes for its user: what the umask leaves of 0666, and
 * always for the user to read and write. */
uint32_t wbi_attributes_own_mode(void);

/* The mode that open(2) gives a new file when asked for `mode`, where that is exactly `mode`; else
 * UINT32_MAX. plain: the folder has no default ACL. */
uint32_t wbi_attributes_made_mode(uint32_t mode, bool plain);

#endif
