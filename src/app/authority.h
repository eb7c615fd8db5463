/* The authority: whose key lets them in. It asks the authorized_keys files, which are read anew for
 * each decision, so that a change counts from the next one on.
 *
 * Any of several lines, in any of the files, is enough, as it is for sshd. A file that somebody
 * else could have written to counts as empty, and the log says so. Never changes once made, so any
 * thread may use it. Protocol: "Who may open a session". */
#ifndef WBI_AUTHORITY_H
#define WBI_AUTHORITY_H

#include <stdint.h>

#include "job/grant.h"
#include "keys/public_key.h"
#include "session/session.h"
#include "sys/addr.h"
#include "waybill/err.h"

struct wbi_authority; /* opaque, heap */

/* paths: `count` files; 0: Waybill's own, then ~/.ssh/authorized_keys. Copied.
 * Returns WB_OK or WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_authority_new(const char *const *paths, unsigned count,
					     struct wbi_authority **ret_authority);
void wbi_authority_free(struct wbi_authority *authority); /* NULL is allowed */

/* Why not: a stable code and what the peer is told; and what the log is, which names the file. */
struct wbi_denial {
	char code[WBI_CODE_MAX]; /* unknown-key, key-refused, keys-unusable, internal */
	char told[WB_FAULT_TEXT_MAX];
	struct wb_fault why;
};

/* May the owner of `key`, who calls from there, come in? Returns WB_OK and the caller owns
 * *ret_grant, or WB_ERR_REFUSED with *ret_denial. Blocks on the disk. */
WB_WARN_UNUSED enum wb_err wbi_authority_decide(const struct wbi_authority *authority,
						const struct wbi_public_key *key,
						const struct wbi_addr *from,
						struct wbi_grant **ret_grant,
						struct wbi_denial *ret_denial);

/* A number that changes when any of the files does. */
uint64_t wbi_authority_stamp(const struct wbi_authority *authority);

#endif
