/* A principal: who a session belongs to, as the kernel or a key told. */
#ifndef WBI_PRINCIPAL_H
#define WBI_PRINCIPAL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

/* How the peer was known. */
enum wbi_principal_kind {
	WBI_PRINCIPAL_UID, /* the kernel named its uid */
	WBI_PRINCIPAL_KEY, /* it has shown that it holds an Ed25519 key */
};

enum { WBI_PRINCIPAL_KEY_BYTES = 32 };

struct wbi_principal {
	enum wbi_principal_kind kind;
	uid_t uid;                            /* KEY: the daemon's own */
	uint8_t key[WBI_PRINCIPAL_KEY_BYTES]; /* UID: all zero */
};

static inline bool wbi_principal_equal(const struct wbi_principal *a, const struct wbi_principal *b)
{
	return a->kind == b->kind && a->uid == b->uid &&
	       memcmp(a->key, b->key, sizeof(a->key)) == 0;
}

/* Whether what belongs to `owner` is `who`'s to see and to end: its own, and to the daemon's own
 * user also what it let keys do in its name. */
static inline bool wbi_principal_covers(const struct wbi_principal *who,
					const struct wbi_principal *owner)
{
	return wbi_principal_equal(who, owner) ||
	       (who->kind == WBI_PRINCIPAL_UID && owner->kind == WBI_PRINCIPAL_KEY &&
		who->uid == owner->uid);
}

/* "uid:1000", or the key's fingerprint, "SHA256:…". */
enum { WBI_PRINCIPAL_TEXT_MAX = 64 };
void wbi_principal_format(const struct wbi_principal *who, char out[WBI_PRINCIPAL_TEXT_MAX]);

#endif
