/* Becoming another user, for good: what a daemon that was started by root does before it reads a
 * byte from anybody. */
#ifndef WBI_BECOME_H
#define WBI_BECOME_H

#include "waybill/err.h"

/* Takes on a user's groups, gid and uid, all of them, and checks that there is no way back; HOME,
 * USER, LOGNAME and SHELL become theirs, and the XDG folders of whoever we were are forgotten. Of
 * the user that we are already nothing changes. Before any thread is started.
 * Returns WB_OK; WB_ERR_ARGUMENT: nobody has that name; WB_ERR_REFUSED: only root can become
 * somebody else; WB_ERR_SYSTEM: then the process must end, for it may be half of both.
 * Source: initgroups(3), setresuid(2). */
WB_WARN_UNUSED enum wb_err wbi_become_user(const char *name, struct wb_fault *fault);

#endif
