/* Who may do what, decided in one place: where a listener may stand, who may call, and what each
 * caller is granted. */
#ifndef WBI_POLICY_H
#define WBI_POLICY_H

#include <stdbool.h>
#include <sys/types.h>

#include "job/grant.h"
#include "job/principal.h"
#include "keys/authorized_keys.h"
#include "sys/addr.h"
#include "sys/peer.h"
#include "waybill/err.h"

enum { WBI_POLICY_UIDS_MAX = 16 };

struct wbi_policy {
	uid_t uids[WBI_POLICY_UIDS_MAX]; /* who may call; the daemon's own is the first */
	unsigned uid_count;
	bool insecure_plain; /* plain services may listen beyond loopback, and serve whoever comes
			      */
	struct wbi_peer_finder *finder;
};

/* How the peers of a listener are known. */
enum wbi_door {
	WBI_DOOR_PLAIN,   /* a plain service: the kernel names their uid */
	WBI_DOOR_SESSION, /* sessions: likewise */
	WBI_DOOR_KEY,     /* sessions over tls: they show a key */
};

/* May a listener stand here? WB_OK, or WB_ERR_REFUSED with what to do instead. */
WB_WARN_UNUSED enum wb_err wbi_policy_may_listen(const struct wbi_policy *policy,
						 enum wbi_door door, const struct wbi_addr *addr,
						 struct wb_fault *fault);

/* May the caller at the other end of this accepted stream socket (tcp or unix) come in?
 * Returns WB_OK and who it is (untouched where insecure_plain lets in whoever comes), or
 * WB_ERR_REFUSED or WB_ERR_SYSTEM with the reason. Protocol: "Who may call". */
WB_WARN_UNUSED enum wb_err wbi_policy_may_call(const struct wbi_policy *policy, bool is_plain,
					       int fd, struct wbi_principal *ret_who,
					       struct wb_fault *fault);

/* What a caller of whom the kernel told is granted: all that the daemon's user may.
 * Returns WB_OK or WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_policy_grant_uid(struct wbi_grant **ret_grant);

/* What the holder of a key is granted, whose line in authorized_keys says `line`.
 * Returns WB_OK or WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_policy_grant_key(const struct wbi_authorized *line,
						struct wbi_grant **ret_grant);

#endif
