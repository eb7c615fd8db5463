/* The keys that are our own: which of them a client shows, one after the other, until one is let
 * in. Files that were named, or else the usual ones (Waybill's own id_ed25519, ~/.ssh/id_ed25519)
 * and then what ssh-agent holds. A key behind a passphrase is ssh-agent's to use. */
#ifndef WBI_OWN_KEYS_H
#define WBI_OWN_KEYS_H

#include "transport/identity.h"
#include "waybill/err.h"

struct wbi_own_keys; /* opaque, heap */

/* paths: NULL-terminated; NULL: the usual ones. Copied. Nothing is read yet.
 * Returns WB_OK or WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_own_keys_new(const char *const *paths,
					    struct wbi_own_keys **ret_keys);
void wbi_own_keys_free(struct wbi_own_keys *keys); /* NULL is allowed */

/* The next key to show, valid until the next call. Returns WB_OK; WB_ERR_MISSING: there is none any
 * more (the first time: none at all, and what to do about it); for a file that was named, why it
 * cannot be used. Blocks on the disk and on ssh-agent. */
WB_WARN_UNUSED enum wb_err wbi_own_keys_next(struct wbi_own_keys *keys,
					     const struct wbi_identity **ret_identity,
					     struct wb_fault *fault);

#endif
