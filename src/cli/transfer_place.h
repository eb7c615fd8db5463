/* Places of put and get: a path here, or DEST:PATH. */
#ifndef WBI_TRANSFER_PLACE_H
#define WBI_TRANSFER_PLACE_H

#include <stdbool.h>

#include "waybill/err.h"

enum { WBI_PLACE_DESTINATION_MAX = 320 };

struct wbi_place {
	bool remote;
	char destination[WBI_PLACE_DESTINATION_MAX]; /* remote: a URI, a host, or "local" */
	const char *path; /* borrowed from the text; never "" (a host's own is its home, ".") */
};

/* Takes one apart, as scp does: what has a colon before its first slash is remote, and `./a:b` is
 * how to name a file of that kind here. A URI's own colons come before the one that ends it:
 * "tcp://127.0.0.1:9292:/srv/in", "unix:///run/w.sock:in/", "host:x", "[::1]:x", "local:x".
 * Returns WB_OK; WB_ERR_ARGUMENT: a URI without a path, or one that is too long. */
WB_WARN_UNUSED enum wb_err wbi_place_parse(const char *text, struct wbi_place *ret_place,
					   struct wb_fault *fault);

#endif
