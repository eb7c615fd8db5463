/* A destination: where a client is to go, as it was written. */
#ifndef WBI_DESTINATION_H
#define WBI_DESTINATION_H

#include "session/session.h"
#include "sys/addr.h"
#include "waybill/err.h"

enum { WBI_SESSION_PORT = 9292 };

struct wbi_destination {
	struct wbi_uri uri;      /* unix, tcp, or tls, which always has its port */
	char user[WBI_USER_MAX]; /* "" where none was named; over tls only */
};

/* Reads "local" (the user's own daemon), a session URI, [user@]host[:port] or
 * tls://[user@]host[:port]. Returns WB_OK; WB_ERR_ARGUMENT; WB_ERR_UNSUPPORTED: udp carries no
 * sessions. */
WB_WARN_UNUSED enum wb_err wbi_destination_parse(const char *text,
						 struct wbi_destination *ret_destination,
						 struct wb_fault *fault);

#endif
