/* exec, held to a session's grant: whether it may, and what runs instead. */
#ifndef WBI_EXEC_GRANT_H
#define WBI_EXEC_GRANT_H

#include "job/grant.h"
#include "service/exec_request.h"

/* Makes the request what the grant lets it be: the grant's variables go over the client's; a forced
 * command takes the place of the one that was asked for, which it finds in SSH_ORIGINAL_COMMAND as
 * ssh would have sent it, and of what the client gave only LANG, LC_* and TERM are kept.
 * Returns WB_OK; WB_ERR_REFUSED with a sentence: no command, or no terminal, is granted;
 * WB_ERR_NOMEM. Source: sshd(8), "command=", "environment=". */
WB_WARN_UNUSED enum wb_err wbi_exec_request_confine(struct wbi_exec_request *request,
						    const struct wbi_grant *grant,
						    struct wb_fault *fault);

#endif
