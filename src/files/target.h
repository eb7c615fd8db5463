/* The target: the folder that a transfer goes into, found by scp's rules. */
#ifndef WBI_FILES_TARGET_H
#define WBI_FILES_TARGET_H

#include <stdbool.h>

#include "waybill/err.h"

enum { WBI_FILE_NAME_MAX = 255 };

struct wbi_file_target {
	int folder;                     /* names are beneath it; an open folder, not O_PATH */
	char as[WBI_FILE_NAME_MAX + 1]; /* what the one thing that is sent is called here; "": as it
					   is called there */
	bool fresh;                     /* nothing is there yet that a transfer could meet */
};

/* Finds the target that `path` names: if it is a folder, everything goes into it; else its last
 * component is the new name of the one thing that is sent, and its parent must be there.
 *
 * root: the folder that the peer may not leave, by any descriptor, with "/" at the front of path
 * meaning it; or AT_FDCWD: path is the user's own, absolute or relative to the working folder.
 * into: the target must be a folder (several sources). A "/" at the end says the same.
 *
 * Returns WB_OK and the caller owns *ret_target (wbi_file_target_close); WB_ERR_REFUSED (leads out
 * of the root), WB_ERR_ARGUMENT (no folder where one must be, no name), WB_ERR_SYSTEM (ENOENT: the
 * parent is not there, EACCES, …). Blocks on the disk. */
WB_WARN_UNUSED enum wb_err wbi_file_target_open(int root, const char *path, bool into,
						struct wbi_file_target *ret_target,
						struct wb_fault *fault);
void wbi_file_target_close(struct wbi_file_target *target);

#endif
