/* Asking a person about a host's key, and telling a script what would have been asked. */
#ifndef WBI_ASK_HOST_H
#define WBI_ASK_HOST_H

#include <stdbool.h>

#include "waybill/client.h"

/* What the command to trust it would be made of; a wb_host_fn's context. */
struct wbi_ask_host {
	const char *destination;
	const char *known_hosts; /* NULL: the usual files */
};

/* A wb_host_fn. On a terminal it asks about an unknown host; elsewhere it says on stderr which
 * command would trust it, and refuses. About a changed or revoked key it warns, loudly. */
wb_host_fn wbi_ask_host;

/* Asks on the terminal whether the key with that fingerprint is right: yes, no, or the fingerprint
 * itself. False also where there is no terminal. ret_asked: there is one. */
bool wbi_ask_host_key(const struct wb_host *host, bool *ret_asked);

#endif
