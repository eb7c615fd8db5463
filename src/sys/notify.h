/* What a service manager and a daemon say to each other: inherited sockets (LISTEN_FDS) and
 * readiness (NOTIFY_SOCKET). Source: sd_listen_fds(3), sd_notify(3). */
#ifndef WBI_NOTIFY_H
#define WBI_NOTIFY_H

#include "waybill/err.h"

enum { WBI_INHERITED_MAX = 64, WBI_INHERITED_NAME_MAX = 64 };

struct wbi_inherited {
	int fd;                            /* close-on-exec and non-blocking; the caller's */
	char name[WBI_INHERITED_NAME_MAX]; /* from LISTEN_FDNAMES, escaped; "" where it has none */
};

/* Takes the sockets that were passed to this process, and removes the variables so that no command
 * inherits them. ret_count: 0 where none were. Returns WB_OK, or WB_ERR_LIMIT, WB_ERR_SYSTEM. */
WB_WARN_UNUSED enum wb_err wbi_notify_inherited(struct wbi_inherited ret_sockets[WBI_INHERITED_MAX],
						unsigned *ret_count, struct wb_fault *fault);

/* Opens the way to the service manager and removes NOTIFY_SOCKET from the environment.
 * Returns a descriptor for wbi_notify_send, or -1 where nobody listens. */
int wbi_notify_open(void);

/* Sends one state, such as "READY=1". fd may be -1. Never blocks; failure is nobody's loss. */
void wbi_notify_send(int fd, const char *state);

#endif
