/* Removing what a folder holds beyond a list: --delete. */
#ifndef WBI_FILES_REMOVE_H
#define WBI_FILES_REMOVE_H

#include <stdbool.h>
#include <stdint.h>

#include "files/item.h"
#include "files/names.h"

/* What is removed from, and what is not. */
struct wbi_removal {
	const struct wbi_names *keep;           /* names of the folder itself that stay */
	const char *const *excludes;            /* what stays at any depth (exclude.h), or NULL */
	uint64_t removed;                       /* counted up */
	bool temporaries;                       /* these too */
	int error;                              /* the first errno, 0: none */
	char error_name[WBI_ITEM_NAME_MAX + 1]; /* path of the entry that it happened at */
};

/* Removes from the open folder `folder` every entry that is not kept, folders with all they hold.
 * Temporaries stay: they have their own rule. No link is followed and no other file system entered.
 * path: the folder's, as excludes see it, "" for the operand itself. Blocks as long as it takes. */
void wbi_remove_others(struct wbi_removal *removal, int folder, const char *path);

/* Removes the folder `name` of the open folder `parent` with all it holds, temporaries among them.
 * Returns whether it is gone. */
bool wbi_remove_tree(int parent, const char *name);

#endif
