/* The way to a guarded file: for guarded.c alone.
 *
 * A name is walked one component at a time, so that what was looked at is what is followed. */
#ifndef WBI_GUARDED_OPEN_H
#define WBI_GUARDED_OPEN_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "waybill/err.h"

/* Opens a file, close-on-exec; made with mode 0600 where flags (as of open(2)) have O_CREAT. A link
 * that somebody else put where others can write is not followed. *ret_unsafe: the first folder on
 * the way that others can change, or that is theirs; err is WB_OK: none.
 * Returns WB_OK, WB_ERR_MISSING, WB_ERR_REFUSED (such a link), WB_ERR_SYSTEM. */
WB_WARN_UNUSED enum wb_err wbi_guard_open(const char *path, int flags, uid_t owner, int *ret_fd,
					  struct wb_fault *ret_unsafe, struct wb_fault *fault);

/* Whether it is root's or the owner's. */
bool wbi_guard_trusts(const struct stat *status, uid_t owner);

/* Whether its group, or everybody, may write to it. */
bool wbi_guard_is_open(const struct stat *status);

/* WB_ERR_REFUSED: "PATH: why", escaped. */
enum wb_err wbi_guard_refuse(const char *path, const char *why, struct wb_fault *fault);

/* What errno says of the path: WB_ERR_MISSING or WB_ERR_SYSTEM. */
enum wb_err wbi_guard_system_fault(const char *path, struct wb_fault *fault);

#endif
