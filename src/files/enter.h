/* Entering a folder: never through a link, and one of our own even where it is closed. */
#ifndef WBI_FILES_ENTER_H
#define WBI_FILES_ENTER_H

#include <sys/stat.h>

/* Opens the folder `name` of the open folder `parent`. One of ours that we may not list, search or
 * write to is made so: whoever enters it sets its mode afterwards. *ret_status: as it was. Returns
 * a descriptor, the caller's, or -1 with errno: ENOTDIR (something else has the name), ENOENT, … */
int wbi_enter(int parent, const char *name, struct stat *ret_status);

#endif
