/* serve, before it listens: see serve_keys.h. */
#include "cli/serve_keys.h"

#include <stdio.h>
#include <unistd.h>

#include "app/host_key.h"
#include "base/text.h"
#include "keys/public_key.h"
#include "sys/become.h"

static enum wb_err load_host_key(struct wbi_serve_keys *keys, struct wb_fault *fault)
{
	char fingerprint[WBI_FINGERPRINT_SIZE], shown[256];
	struct wbi_host_key host;
	enum wb_err err = wbi_host_key_load(keys->host_key, &host, fault);

	if (err)
		return err;
	keys->identity = host.identity;
	wbi_public_key_fingerprint(wbi_identity_key(host.identity), fingerprint);
	wbi_text_escape_message(host.path, shown, sizeof(shown));
	fprintf(stderr, "host key %s %s%s\n", fingerprint, shown,
		host.made ? ", made just now" : "");
	return WB_OK;
}

enum wb_err wbi_serve_keys_init(struct wbi_serve_keys *keys, bool speaks_tls,
				struct wb_fault *fault)
{
	enum wb_err err = WB_OK;

	if (speaks_tls && geteuid() == 0 && !keys->user)
		return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0,
				    "a key that is let in runs commands as the daemon's user, "
				    "and this is root: give --user NAME (--user root where root "
				    "is meant)");
	if (speaks_tls)
		err = load_host_key(keys, fault);
	if (!err && keys->user)
		err = wbi_become_user(keys->user, fault);
	if (!err && speaks_tls &&
	    wbi_authority_new(keys->authorized_keys, keys->authorized_count, &keys->authority))
		err = wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "no memory for keys");
	return err;
}

void wbi_serve_keys_done(struct wbi_serve_keys *keys)
{
	wbi_authority_free(keys->authority);
	wbi_identity_free(keys->identity);
	keys->authority = NULL;
	keys->identity = NULL;
}
