/* serve, before it listens: its keys, and whose daemon it becomes. */
#ifndef WBI_SERVE_KEYS_H
#define WBI_SERVE_KEYS_H

#include <stdbool.h>

#include "app/server.h"
#include "waybill/err.h"

struct wbi_serve_keys {
	/* as the options say */
	const char *host_key;               /* NULL: the usual place */
	const char *const *authorized_keys; /* NULL where authorized_count is 0: the usual ones */
	unsigned authorized_count;
	const char *user; /* NULL: nobody was named */

	struct wbi_identity *identity; /* NULL without tls */
	struct wbi_authority *authority;
};

/* Reads (or makes) the host key where tls is spoken, says its fingerprint on stderr, and becomes
 * the user, in that order: a host key may be for root alone to read. Root's own daemon speaks tls
 * only where it was told to be root's. Ends with _done. Returns WB_OK; WB_ERR_REFUSED, or as
 * wbi_host_key_load, wbi_become_user. */
WB_WARN_UNUSED enum wb_err wbi_serve_keys_init(struct wbi_serve_keys *keys, bool speaks_tls,
					       struct wb_fault *fault);
void wbi_serve_keys_done(struct wbi_serve_keys *keys);

#endif
