/* Folders: the ones that a transfer is writing into, from the target downwards.
 *
 * Each is found from its parent by one component that is not followed if it is a link, and checked
 * to be the folder that it was: so nothing leads out of the target, whatever is moved meanwhile.
 * Only some hold a descriptor at a time.
 *
 * A folder that was not there is made under a temporary name, hidden, and gets its own when what is
 * in it is safe (wbi_folders_publish): until then files are made in it under their final names,
 * which nobody can see, and that is a third less work than making and renaming each.
 *
 * A folder lives through: in use (things are still to be put into it) -> settled (mode and times
 * set, as the last thing) -> synced (if anything in it changed) -> gone. */
#ifndef WBI_FILES_FOLDER_H
#define WBI_FILES_FOLDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "files/attributes.h"
#include "files/temporary.h"

struct wbi_folder {
	struct wbi_folder *parent; /* NULL: the target itself */
	/* The one that is or was hidden, and that this is or is in; NULL: there is none. */
	struct wbi_folder *within;
	struct wbi_list hidden; /* in wbi_folders.hidden while that one is; in use then */
	struct wbi_list opened; /* in wbi_folders.opened while fd >= 0 and it is not the target's */
	struct wbi_list changed; /* in wbi_folders.changed while something is to be synced */
	int fd;                  /* -1: closed just now */
	unsigned uses;           /* what keeps it from being settled */
	unsigned children;       /* those that find themselves through it */
	uint64_t n;              /* number of its item, 0: it was not sent */
	dev_t device;
	ino_t inode;
	struct wbi_attributes attributes;
	bool settles; /* there are attributes to be set */
	bool settled;
	bool broken;    /* it could not be made: nothing in it can be, either */
	bool fresh;     /* made by this transfer: nothing was in it */
	bool swept;     /* looked through for temporaries left behind */
	bool acl_known; /* `plain` has been found out */
	bool plain;     /* no default ACL */
	int lost;    /* errno why what was hidden gets no name: nothing in it is to be had; or 0 */
	bool merged; /* somebody else had made its name: what was hidden went there */
	bool found;  /* after that: it is known again which folder this is */
	char temporary[WBI_TEMPORARY_NAME_MAX];
	char name[]; /* its component; "" for the target */
};

enum {
	WBI_FOLDER_PATH_MAX = 512, /* with its NUL: more than is ever shown */
	WBI_SYNC_EACH_MAX = 8,     /* above that, syncing the whole file system costs less */
};

/* Told when a folder's attributes could not be set, or it gets no name; below: of what is in it,
 * the path that is the reason, or "". */
typedef void wbi_folder_failed_fn(void *context, const struct wbi_folder *folder, const char *below,
				  int error);

struct wbi_folders {
	struct wbi_list opened; /* least recently used first */
	struct wbi_list changed;
	struct wbi_list hidden; /* a folder before those in it */
	unsigned opened_count, changed_count;
	struct wbi_temporary_names *temporaries; /* borrowed */
	int target;                              /* borrowed */
	dev_t device;                            /* the target's */
	wbi_folder_failed_fn *failed;
	void *context;
};

void wbi_folders_init(struct wbi_folders *folders, int target,
		      struct wbi_temporary_names *temporaries, wbi_folder_failed_fn *failed,
		      void *context);

/* The target itself, in use once. NULL: no memory. */
struct wbi_folder *wbi_folder_target(struct wbi_folders *folders, bool fresh);

/* Makes `name` within `parent`, hidden, or takes up the folder that is there, in use once; parent
 * is in use until it is settled. A folder of ours that cannot be written to is made so meanwhile.
 * Returns NULL with errno: ENOTDIR (something else has the name), ENOMEM, EACCES, ENOSPC, … */
struct wbi_folder *wbi_folder_make(struct wbi_folders *folders, struct wbi_folder *parent,
				   const char *name);

/* Stands for a folder that could not be made. NULL: no memory. */
struct wbi_folder *wbi_folder_make_broken(struct wbi_folders *folders, struct wbi_folder *parent);

/* A descriptor; good until two other folders have been asked for theirs. -1 with errno: ESTALE
 * where its place has been taken by something else. */
int wbi_folder_fd(struct wbi_folders *folders, struct wbi_folder *folder);

/* The path of `name` in the folder, from the target downwards, for people: without its beginning
 * where that is too long. name "": of the folder itself. Returns a pointer into `out`. */
const char *wbi_folder_path(const struct wbi_folder *folder, const char *name,
			    char out[WBI_FOLDER_PATH_MAX]);

/* Why nothing can be put into it, an errno; 0: it can. */
int wbi_folder_error(const struct wbi_folder *folder);

/* Nothing was in it before this transfer. */
bool wbi_folder_is_fresh(const struct wbi_folder *folder);

/* It is hidden, or in one that is. */
bool wbi_folder_is_hidden(const struct wbi_folder *folder);

/* Gives the hidden ones their names; error: an errno for which none gets one, or 0. Where somebody
 * else has made a folder of that name meanwhile, what is hidden is moved into it. One that gets no
 * name, or cannot be moved as a whole, is removed and told to `failed`; so are those in it. */
void wbi_folders_publish(struct wbi_folders *folders, int error);

/* It is hidden, and holds what nobody may see and what cannot be removed: it will get no name. */
void wbi_folder_spoil(struct wbi_folder *folder, int error);

/* Whether new files get exactly the mode they are made with, as far as ACLs are concerned. */
bool wbi_folder_is_plain(struct wbi_folders *folders, struct wbi_folder *folder);

void wbi_folder_use(struct wbi_folder *folder);
/* The last one settles the folder, and may free it. */
void wbi_folder_unuse(struct wbi_folders *folders, struct wbi_folder *folder);

/* Something in it has changed: a name was made, moved or removed. */
void wbi_folder_touch(struct wbi_folders *folders, struct wbi_folder *folder);

/* Makes all changes of names durable; with sync false they are only forgotten. Returns 0, or -1
 * with the errno of the first that failed. */
int wbi_folders_sync(struct wbi_folders *folders, bool sync);

#endif
