/* The host key: what a daemon proves itself with to those who come over tls. */
#ifndef WBI_HOST_KEY_H
#define WBI_HOST_KEY_H

#include <limits.h>
#include <stdbool.h>

#include "transport/identity.h"
#include "waybill/err.h"

struct wbi_host_key {
	struct wbi_identity *identity; /* the caller's to free */
	char path[PATH_MAX];           /* where it was found */
	bool made;                     /* there was none: it was made just now */
};

/* Reads the host key at `path`. NULL: Waybill's own, host_key; for root, where there is none, that
 * of sshd (/etc/ssh/ssh_host_ed25519_key), which users of ssh know already; else one is made.
 * Returns WB_OK, or as wbi_key_file_read and wbi_key_pair_create; WB_ERR_REFUSED also where the
 * key is behind a passphrase. Blocks on the disk. */
WB_WARN_UNUSED enum wb_err wbi_host_key_load(const char *path, struct wbi_host_key *ret_key,
					     struct wb_fault *fault);

#endif
