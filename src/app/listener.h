/* A listener: one bound socket, and the plain service or the sessions behind it. */
#ifndef WBI_LISTENER_H
#define WBI_LISTENER_H

#include <stdbool.h>

#include "app/sessions.h"
#include "job/policy.h"
#include "service/service.h"
#include "sys/addr.h"
#include "sys/loop.h"

enum { WBI_LISTENER_PAUSE_MS = 100 }; /* after running out of descriptors */

/* What stands behind a listener; all borrowed for its life. */
struct wbi_listener_target {
	enum wbi_door door;                /* how callers are known */
	const struct wbi_service *service; /* NULL: sessions */
	struct wbi_sessions *sessions;     /* NULL: a plain service */
	struct wbi_service_env *env;
	const struct wbi_policy *policy;
};

struct wbi_listener {
	struct wbi_watch watch; /* tcp, unix */
	struct wbi_timer resume;
	struct wbi_listener_target target;
	struct wbi_datagram_service *datagrams; /* udp: it owns the socket */
	char uri[WBI_URI_TEXT_MAX];
	bool told; /* that descriptors ran out; said once a bout */
};

/* Serves on a bound (tcp, unix: listening) socket; `uri` names it in the log. On failure the caller
 * still owns fd. */
WB_WARN_UNUSED enum wb_err wbi_listener_init(struct wbi_listener *listener,
					     const struct wbi_listener_target *target, int fd,
					     const struct wbi_addr *bound, const char *uri,
					     struct wb_fault *fault);
void wbi_listener_done(struct wbi_listener *listener); /* stops listening; safe to repeat */

#endif
