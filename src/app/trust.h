/* Trust between a client and a host that it reaches over tls: which key we show, and whether the
 * key that the host shows is the right one. */
#ifndef WBI_TRUST_H
#define WBI_TRUST_H

#include <stdbool.h>
#include <stdint.h>

#include "transport/tls.h"
#include "waybill/client.h"
#include "waybill/err.h"

struct wbi_trust; /* opaque, heap */

/* host: as it was written; copied, as is all that the options hold. Nothing is read yet.
 * Returns WB_OK or WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_trust_new(const struct wb_client_options *options, const char *host,
					 uint16_t port, struct wbi_trust **ret_trust);
void wbi_trust_free(struct wbi_trust *trust); /* after its connections; NULL is allowed */

/* TLS for a new connection; the caller frees it. Before its handshake goes on, wbi_trust_show is
 * due. Returns as wbi_tls_context_new. */
WB_WARN_UNUSED enum wb_err wbi_trust_begin(struct wbi_trust *trust, struct wbi_tls **ret_tls,
					   struct wb_fault *fault);

/* Gives it the key that is to be shown now: best after wbi_tls_say_hello, for reading a key takes
 * as long as the host's answer. Returns WB_OK, WB_ERR_MISSING (there is no key), or as
 * wbi_own_keys_next. Blocks on the disk, on ssh-agent. */
WB_WARN_UNUSED enum wb_err wbi_trust_show(struct wbi_trust *trust, struct wbi_tls *tls,
					  struct wb_fault *fault);

/* Reads known_hosts for this connection's wbi_trust_judge: when wbi_trust_show is done, and for the
 * same reason. Nobody need call it: what goes wrong, or is changed afterwards, is read again by
 * wbi_trust_judge. */
void wbi_trust_prepare(struct wbi_trust *trust);

/* The key that we showed was not let in: shows the next one from now on. False: there is none.
 * No connection of the last may be left. */
bool wbi_trust_next(struct wbi_trust *trust);

/* Is that the host's key? Asks known_hosts, and whoever was named to decide about unknown ones.
 * ret_asked: somebody was asked, which may have taken any time.
 * Returns WB_OK; WB_ERR_REFUSED (unknown, changed, revoked); or why known_hosts cannot be read. */
WB_WARN_UNUSED enum wb_err wbi_trust_judge(struct wbi_trust *trust,
					   const struct wbi_public_key *key, bool *ret_asked,
					   struct wb_fault *fault);

#endif
