/* Key files: reading a private key that is nobody else's business, and making a pair. */
#ifndef WBI_KEY_FILE_H
#define WBI_KEY_FILE_H

#include <stdbool.h>

#include "keys/private_key.h"
#include "keys/public_key.h"
#include "waybill/err.h"

/* What is known of a key file. Wipe it with wbi_private_key_done(&key). */
struct wbi_key_file {
	struct wbi_private_key key;
	/* The key is behind a passphrase, or the file holds a public key: only `key.public_key` is
	 * known, and whoever has it unlocked may sign for it. */
	bool needs_agent;
};

/* Reads `path`: a private key, which nobody but its owner and root may be able to read, or a public
 * key. Returns WB_OK; as wbi_guarded_read and wbi_private_key_parse (WB_ERR_UNSUPPORTED names the
 * kind of key), with the path in front. Blocks on the disk. */
WB_WARN_UNUSED enum wb_err wbi_key_file_read(const char *path, struct wbi_key_file *ret_file,
					     struct wb_fault *fault);

/* Makes an Ed25519 pair as `ssh-keygen -t ed25519 -N ''` does: `path`, 0600, and `path`.pub.
 * comment: at most WBI_PRIVATE_KEY_COMMENT_MAX bytes, without line ends. Never replaces a file:
 * WB_ERR_REFUSED. Otherwise WB_ERR_SYSTEM, WB_ERR_LIMIT, WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_key_pair_create(const char *path, const char *comment,
					       struct wbi_public_key *ret_key,
					       struct wb_fault *fault);

#endif
