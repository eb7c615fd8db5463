/* Landlock: a thread that gives up every file but those beneath the folders it names.
 *
 * A second lock behind the checks of paths: should one of them err, the kernel still says no.
 * Source: landlock(7). */
#ifndef WBI_LANDLOCK_H
#define WBI_LANDLOCK_H

#include <stdbool.h>

#include "waybill/err.h"

enum wbi_landlock_access { WBI_LANDLOCK_READ, WBI_LANDLOCK_WRITE };

/* Whether this kernel has it, and it is switched on. */
bool wbi_landlock_exists(void);

/* Restricts the calling thread, and those that it starts from now on, for good: of the whole file
 * system only what lies beneath `folder` (any descriptor of a folder, O_PATH too) can be opened.
 * READ: files and folders to be read. WRITE: also made, changed, moved, removed. Descriptors that
 * are open stay as they are. Also sets no_new_privs for the thread; nothing can be executed.
 *
 * Returns WB_OK; *ret_done (may be NULL) says whether it was done, false where the kernel has none.
 * WB_ERR_SYSTEM where it has but would not: do not go on then. */
WB_WARN_UNUSED enum wb_err wbi_landlock_restrict(int folder, enum wbi_landlock_access access,
						 bool *ret_done, struct wb_fault *fault);

#endif
