/* Principals: see principal.h. */
#include "job/principal.h"

#include <stdio.h>

#include "keys/public_key.h"

void wbi_principal_format(const struct wbi_principal *who, char out[WBI_PRINCIPAL_TEXT_MAX])
{
	char fingerprint[WBI_FINGERPRINT_SIZE];
	struct wbi_public_key key;

	if (who->kind == WBI_PRINCIPAL_UID) {
		snprintf(out, WBI_PRINCIPAL_TEXT_MAX, "uid:%lu", (unsigned long)who->uid);
		return;
	}
	memcpy(key.ed25519, who->key, sizeof(key.ed25519));
	wbi_public_key_fingerprint(&key, fingerprint);
	snprintf(out, WBI_PRINCIPAL_TEXT_MAX, "%s", fingerprint);
}
