/* known_hosts: is this key the key of that host? (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT") */
#ifndef WBI_KNOWN_HOSTS_H
#define WBI_KNOWN_HOSTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "keys/public_key.h"
#include "waybill/err.h"

enum {
	WBI_KNOWN_HOST_NAME_MAX = 255,
	/* "[name]:port ssh-ed25519 AAAA…\n" and a NUL */
	WBI_KNOWN_HOST_LINE_SIZE = WBI_KNOWN_HOST_NAME_MAX + 9 + WBI_PUBLIC_KEY_TEXT_SIZE + 1,
};

enum wbi_known_host {
	WBI_HOST_UNKNOWN, /* nothing says anything about an Ed25519 key of this host */
	WBI_HOST_MATCH,   /* this is its key */
	WBI_HOST_CHANGED, /* another Ed25519 key is its key, and this one is not */
	WBI_HOST_REVOKED, /* this key may never be believed for this host */
};

struct wbi_known_host_finding {
	enum wbi_known_host verdict;
	size_t text, line; /* which text (from 0) and line (from 1) says so; UNKNOWN: line 0 */
	/* UNKNOWN, CHANGED: kinds of key that are known for this very host and port, bits as
	 * for wbi_key_type_names. Never WBI_KEY_ED25519. */
	unsigned other_types;
	/* Lines that make no sense and were passed over, and the first of them; line 0: none. */
	size_t bad_lines;
	size_t bad_text, bad_line;
};

/* Looks a host up in the texts of several files, as if they were one.
 *
 * host: as the user wrote it, a name or a numeric address without brackets; upper and lower case
 * are the same. port: 1 … 65535. At port 22 the entry is `host`, at any other it is `[host]:port`.
 *
 * What counts, first to last:
 *   1. @revoked with this key for `[host]:port` or for `host`: REVOKED.
 *   2. `[host]:port` with this key: MATCH.
 *   3. `[host]:port` with another Ed25519 key: CHANGED.
 *   4. `host` with this key: MATCH. With another key: no word on this port.
 *   5. UNKNOWN.
 * @cert-authority lines are passed over. Hashed names (|1|), wildcards and negation are honoured.
 *
 * Never fails and never blocks; linear in the texts, but for a hash per hashed line. */
void wbi_known_hosts_find(const struct wbi_slice *texts, size_t count, const char *host,
			  uint16_t port, const struct wbi_public_key *key,
			  struct wbi_known_host_finding *ret_finding);

/* Writes the line, with its newline and a NUL, that makes wbi_known_hosts_find say MATCH for this
 * host and port. Returns WB_OK, or WB_ERR_ARGUMENT: a host that is empty, longer than
 * WBI_KNOWN_HOST_NAME_MAX, or has a character that means something else there. */
WB_WARN_UNUSED enum wb_err wbi_known_hosts_format(const char *host, uint16_t port,
						  const struct wbi_public_key *key,
						  char out[WBI_KNOWN_HOST_LINE_SIZE],
						  struct wb_fault *fault);

#endif
