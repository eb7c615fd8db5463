/* An OpenSSL 3 provider for keys that live in ssh-agent: an Ed25519 key of which OpenSSL has the
 * public half, and whose signatures the agent makes. */
#ifndef WBI_AGENT_PROVIDER_H
#define WBI_AGENT_PROVIDER_H

#include <openssl/evp.h>

#include "transport/identity.h"

/* The key of an identity in an agent, which is borrowed for as long as the key lives. The first one
 * puts the provider beside OpenSSL's own into the library context. NULL: not to be had. */
EVP_PKEY *wbi_agent_key_new(OSSL_LIB_CTX *library, const struct wbi_identity *identity);

/* Where signatures of this thread report what the agent answered (err WB_OK: it signed, or was not
 * asked). NULL ends it. */
void wbi_agent_report_to(struct wb_fault *fault);

#endif
