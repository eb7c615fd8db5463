/* An identity: the Ed25519 key that one side of a TLS connection proves to hold.
 *
 * The key signs in this process (its seed was read from a file), or an ssh-agent signs for it. */
#ifndef WBI_IDENTITY_H
#define WBI_IDENTITY_H

#include "keys/private_key.h"
#include "keys/public_key.h"
#include "waybill/err.h"

struct wbi_identity; /* opaque, heap; never changes, so any thread may use it */

/* A key of which a copy is kept here; the caller wipes its own.
 * Its two halves belong together: whatever reads or makes a key sees to that (keys/private_key.h).
 * Returns WB_OK or WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_identity_new(const struct wbi_private_key *key,
					    struct wbi_identity **ret_identity,
					    struct wb_fault *fault);

/* The agent at that socket signs for `key`. Nothing is asked of it yet: each handshake opens a
 * connection of its own and then *blocks for up to timeout_ms* (> 0), for the agent may ask its
 * user. So this is for clients; a resumed handshake signs nothing and does not ask.
 * path: of the socket; copied. Returns WB_OK, WB_ERR_ARGUMENT (too long), WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_identity_new_in_agent(const struct wbi_public_key *key,
						     const char *path, int timeout_ms,
						     struct wbi_identity **ret_identity,
						     struct wb_fault *fault);

void wbi_identity_free(struct wbi_identity *identity); /* wipes what was secret; NULL is allowed */

const struct wbi_public_key *wbi_identity_key(const struct wbi_identity *identity);

#endif
