/* Public keys as OpenSSH writes them. Ed25519 is the only kind that is used; the others are known
 * by name, so that a refusal can say what it saw. */
#ifndef WBI_PUBLIC_KEY_H
#define WBI_PUBLIC_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base64.h"
#include "base/slice.h"
#include "waybill/err.h"

#define WBI_ED25519_NAME "ssh-ed25519"

enum {
	WBI_PUBLIC_KEY_BYTES = 32,
	WBI_PUBLIC_KEY_BLOB_BYTES = 4 + 11 + 4 + 32, /* string "ssh-ed25519", string key */
	WBI_FINGERPRINT_SIZE = 7 + 43 + 1,           /* "SHA256:", base64 without its "=", NUL */
	WBI_PUBLIC_KEY_TEXT_SIZE = 11 + 1 + 68 + 1,  /* "ssh-ed25519 AAAA…", NUL */
	WBI_KEY_TYPE_NAMES_SIZE = 256,
};

/* A plain value: copy it, compare it with wbi_public_key_equal. Not secret. */
struct wbi_public_key {
	uint8_t ed25519[WBI_PUBLIC_KEY_BYTES];
};

/* Kinds of key that OpenSSH knows; usable as bits: 1u << type. Certificates are kinds of their own.
 */
enum wbi_key_type {
	WBI_KEY_UNKNOWN,
	WBI_KEY_ED25519,
	WBI_KEY_RSA,
	WBI_KEY_ECDSA_256,
	WBI_KEY_ECDSA_384,
	WBI_KEY_ECDSA_521,
	WBI_KEY_DSA,
	WBI_KEY_SK_ED25519,
	WBI_KEY_SK_ECDSA,
	WBI_KEY_XMSS,
	WBI_KEY_CERTIFICATE, /* ssh-…-cert-v01@openssh.com, of any kind */
};

/* The kind that a name ("ssh-rsa") stands for; case counts. */
enum wbi_key_type wbi_key_type_by_name(const void *name, size_t bytes);

/* The name of a kind; WBI_KEY_UNKNOWN is "unknown", certificates are "certificate". Static. */
const char *wbi_key_type_name(enum wbi_key_type type);

/* The names of a set (bits 1u << type), separated by ", "; "" for the empty set. */
void wbi_key_type_names(unsigned types, char out[WBI_KEY_TYPE_NAMES_SIZE]);

/* Reads the binary form (RFC 8709, section 4; what ssh-agent lists). All of it must be used.
 * Returns WB_OK; WB_ERR_UNSUPPORTED (another kind: fault.field is its name); WB_ERR_MALFORMED. */
WB_WARN_UNUSED enum wb_err wbi_public_key_from_blob(const void *blob, size_t bytes,
						    struct wbi_public_key *ret_key,
						    struct wb_fault *fault);

void wbi_public_key_to_blob(const struct wbi_public_key *key,
			    uint8_t out[WBI_PUBLIC_KEY_BLOB_BYTES]);

/* Reads `type base64 [comment]`, one line as in a .pub file (sshd(8)); blanks before it and a line
 * end behind it are fine, options before it are not. ret_comment (may be NULL) gets what follows
 * the key, any bytes, empty if there is none; borrowed from `line`.
 * Errors as wbi_public_key_from_blob, whose binary form must be of the kind that the line says;
 * fault.offset: in the line. */
WB_WARN_UNUSED enum wb_err wbi_public_key_parse(const void *line, size_t bytes,
						struct wbi_public_key *ret_key,
						struct wbi_slice *ret_comment,
						struct wb_fault *fault);

/* Writes `ssh-ed25519 AAAA…` and a NUL, no comment, no newline. */
void wbi_public_key_text(const struct wbi_public_key *key, char out[WBI_PUBLIC_KEY_TEXT_SIZE]);

/* Writes "SHA256:…" as `ssh-keygen -lf` prints it. */
void wbi_public_key_fingerprint(const struct wbi_public_key *key, char out[WBI_FINGERPRINT_SIZE]);

/* Whether the key is a point of small order, in whatever way it is written: then anybody can sign
 * for it. Nobody honest has such a key. Source: RFC 8032, section 5.1; RFC 7748, section 7. */
bool wbi_public_key_is_weak(const struct wbi_public_key *key);

bool wbi_public_key_equal(const struct wbi_public_key *a, const struct wbi_public_key *b);

#endif
