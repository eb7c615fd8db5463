/* The greeter: connections whose `hello` has not come yet. It sees them through the TLS handshake
 * where there is one, decides whether they may come in, and hands them over to the worker that owns
 * the session. Whoever is refused hears why, by name, in answer to `hello`. */
#ifndef WBI_GREETER_H
#define WBI_GREETER_H

#include "app/authority.h"
#include "app/crowd.h"
#include "app/worker.h"
#include "job/audit.h"
#include "job/principal.h"
#include "sys/addr.h"
#include "sys/loop.h"
#include "transport/tls.h"
#include "waybill/err.h"

/* Somebody who has connected. */
struct wbi_caller {
	struct wbi_addr from;
	bool shows_key; /* over tls: its key will tell who it is */
	bool named;     /* it is known who it is: */
	struct wbi_principal who;
	const char *refusal; /* why it may not call, which it is told; NULL: it may. Borrowed for
			      * the call */
};

/* The acceptor's; one a daemon. Caller-owned. */
struct wbi_greeter {
	struct wbi_worker_shared *shared;
	struct wbi_loop *loop;
	struct wbi_audit *audit;
	const char *user; /* whom this daemon serves, for a `hello` that names somebody */
	struct wbi_tls_context *tls; /* NULL until there is a listener for it */
	uint8_t *scratch;
	struct wbi_crowd crowd;
};

/* shared->authority is asked for those who show a key. */
WB_WARN_UNUSED enum wb_err wbi_greeter_init(struct wbi_greeter *greeter,
					    struct wbi_worker_shared *shared, struct wbi_loop *loop,
					    struct wbi_audit *audit, const char *user);
void wbi_greeter_done(struct wbi_greeter *greeter); /* closes what has not said hello */

/* Takes over an accepted socket. On failure the caller still owns fd. */
WB_WARN_UNUSED enum wb_err wbi_greeter_accept(struct wbi_greeter *greeter, int fd,
					      const struct wbi_caller *caller,
					      struct wb_fault *fault);

#endif
