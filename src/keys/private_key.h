/* Private keys: the file that ssh-keygen writes (OpenSSH, PROTOCOL.key), unencrypted, Ed25519.
 *
 * Everything that held a secret inside is wiped before a function returns. What comes in (the
 * file's text) and what goes out is the caller's to wipe. */
#ifndef WBI_PRIVATE_KEY_H
#define WBI_PRIVATE_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "keys/public_key.h"
#include "waybill/err.h"

enum {
	WBI_PRIVATE_KEY_SEED_BYTES = 32,
	WBI_PRIVATE_KEY_COMMENT_MAX = 256,    /* kept; a longer one is cut */
	WBI_PRIVATE_KEY_TEXT_MAX = 64 * 1024, /* of a file that is read */
	WBI_PRIVATE_KEY_TEXT_SIZE = 1024,     /* of a file that is written, with its NUL */
};

/* Wipe it with wbi_private_key_done. No pointers; may be copied, and then so must be wiped. */
struct wbi_private_key {
	struct wbi_public_key public_key;
	uint8_t seed[WBI_PRIVATE_KEY_SEED_BYTES];     /* RFC 8032: the 32 bytes that are the key */
	uint8_t comment[WBI_PRIVATE_KEY_COMMENT_MAX]; /* any bytes: escape before showing */
	size_t comment_bytes;
};

void wbi_private_key_done(struct wbi_private_key *key);

/* Reads a whole key file. `\r\n` is fine; so is white space behind the last line, and nothing else.
 *
 * Returns WB_OK, and *ret_key is the caller's to wipe.
 * WB_ERR_REFUSED: an Ed25519 key behind a passphrase (see wbi_private_key_peek_public).
 * WB_ERR_UNSUPPORTED: another kind of key or of file; fault.field names it ("ssh-rsa", "PEM", …).
 * WB_ERR_LIMIT: more than WBI_PRIVATE_KEY_TEXT_MAX bytes, or more than one key.
 * WB_ERR_MALFORMED: no key file, a damaged one, or a public part that is not the secret's.
 * WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_private_key_parse(const void *text, size_t bytes,
						 struct wbi_private_key *ret_key,
						 struct wb_fault *fault);

/* The public part of a key file, also of one behind a passphrase: enough to ask ssh-agent for it.
 * Nothing vouches for it: a locked file could hold another secret. Errors as above, but for
 * WB_ERR_REFUSED. */
WB_WARN_UNUSED enum wb_err wbi_private_key_peek_public(const void *text, size_t bytes,
						       struct wbi_public_key *ret_key,
						       struct wb_fault *fault);

/* Makes a key of 32 random bytes. comment: at most WBI_PRIVATE_KEY_COMMENT_MAX bytes, else
 * WB_ERR_LIMIT; copied. WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_private_key_from_seed(const uint8_t seed[WBI_PRIVATE_KEY_SEED_BYTES],
						     const void *comment, size_t comment_bytes,
						     struct wbi_private_key *ret_key,
						     struct wb_fault *fault);

/* Writes the file that ssh-keygen would have written, and a NUL. check: any 32 bits; random ones
 * make no difference where nothing is encrypted. Returns the length without the NUL. The caller
 * wipes out. */
size_t wbi_private_key_format(const struct wbi_private_key *key, uint32_t check,
			      char out[WBI_PRIVATE_KEY_TEXT_SIZE]);

#endif
