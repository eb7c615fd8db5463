/* Fetching a host's key, without trusting it or telling it anything. */
#ifndef WBI_HOST_FETCH_H
#define WBI_HOST_FETCH_H

#include "app/destination.h"
#include "keys/public_key.h"
#include "waybill/err.h"

/* Connects to a tls destination, takes the handshake to where the host has proven its key, and
 * leaves. What we show is a key made for the occasion. Blocks for up to timeout_ms an address.
 * Returns WB_OK; WB_ERR_ARGUMENT: not tls; WB_ERR_TIMEOUT, WB_ERR_SYSTEM: nobody answers; or why
 * TLS failed. */
WB_WARN_UNUSED enum wb_err wbi_host_key_fetch(const struct wbi_destination *destination,
					      int timeout_ms, struct wbi_public_key *ret_key,
					      struct wb_fault *fault);

#endif
