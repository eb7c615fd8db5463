/* A client of ssh-agent: which Ed25519 keys it holds, and a signature by one of them.
 *
 * Every call blocks until the agent answers, up to the connection's time limit: an agent may ask
 * its user. Source: draft-ietf-sshm-ssh-agent, "SSH Agent Protocol". */
#ifndef WBI_AGENT_H
#define WBI_AGENT_H

#include <stddef.h>
#include <stdint.h>

#include "keys/public_key.h"
#include "waybill/err.h"

enum {
	WBI_SIGNATURE_BYTES = 64,
	WBI_AGENT_COMMENT_MAX = 128,  /* with the NUL; a longer one is cut */
	WBI_AGENT_REPLY_MAX = 262144, /* what OpenSSH's own client takes; a longer one is refused */
};

struct wbi_agent_key {
	struct wbi_public_key key;
	char comment[WBI_AGENT_COMMENT_MAX]; /* escaped for a terminal */
};

struct wbi_agent; /* opaque, heap */

/* Connects to the agent at the path of its socket, which is what SSH_AUTH_SOCK holds.
 * timeout_ms: > 0, for each request. Returns WB_OK; WB_ERR_ARGUMENT: the path is empty or too
 * long; WB_ERR_SYSTEM: nobody answers there; WB_ERR_TIMEOUT; WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_agent_open(const char *path, int timeout_ms,
					  struct wbi_agent **ret_agent, struct wb_fault *fault);
void wbi_agent_close(struct wbi_agent *agent); /* NULL is allowed */

/* Lists at most `room` of its Ed25519 keys in the agent's order; keys of other types, and those
 * that live in a security token, are passed over and counted in ret_others (may be NULL).
 * Returns WB_OK; WB_ERR_REFUSED: the agent says no (it may be locked); WB_ERR_MALFORMED;
 * WB_ERR_LIMIT; WB_ERR_CLOSED; WB_ERR_TIMEOUT; WB_ERR_SYSTEM. After any failure but REFUSED only
 * close is allowed. */
WB_WARN_UNUSED enum wb_err wbi_agent_list(struct wbi_agent *agent, struct wbi_agent_key *keys,
					  size_t room, size_t *ret_count, size_t *ret_others,
					  struct wb_fault *fault);

/* Signs `bytes` (<= 4096) of data with that key. Returns as wbi_agent_list; WB_ERR_REFUSED: it does
 * not hold the key any more, or its user said no. */
WB_WARN_UNUSED enum wb_err wbi_agent_sign(struct wbi_agent *agent, const struct wbi_public_key *key,
					  const void *data, size_t bytes,
					  uint8_t ret_signature[WBI_SIGNATURE_BYTES],
					  struct wb_fault *fault);

#endif
