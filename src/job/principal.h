/* A principal: who a session belongs to, as the kernel or a key told. */
#ifndef WBI_PRINCIPAL_H
#define WBI_PRINCIPAL_H

#include <stdbool.h>
#include <sys/types.h>

/* How the peer was known. Keys will be another. */
enum wbi_principal_kind { WBI_PRINCIPAL_UID };

struct wbi_principal {
	enum wbi_principal_kind kind;
	uid_t uid;
};

static inline bool wbi_principal_equal(const struct wbi_principal *a, const struct wbi_principal *b)
{
	return a->kind == b->kind && a->uid == b->uid;
}

#endif
