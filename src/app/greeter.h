/* The greeter: connections whose `hello` has not come yet. It reads just that, and hands them over
 * to the worker that owns the session. */
#ifndef WBI_GREETER_H
#define WBI_GREETER_H

#include "app/worker.h"
#include "base/list.h"
#include "job/audit.h"
#include "job/principal.h"
#include "sys/loop.h"
#include "waybill/err.h"

enum { WBI_GREETINGS_MAX = 256 }; /* past that the oldest goes: nobody who means it takes so long */

/* The acceptor's; one a daemon. Caller-owned. */
struct wbi_greeter {
	struct wbi_worker_shared *shared;
	struct wbi_loop *loop;
	struct wbi_audit *audit;
	const char *user; /* whom this daemon serves, for a `hello` that names somebody */
	uint8_t *scratch;
	struct wbi_list greetings; /* oldest first */
	unsigned count;
};

WB_WARN_UNUSED enum wb_err wbi_greeter_init(struct wbi_greeter *greeter,
					    struct wbi_worker_shared *shared, struct wbi_loop *loop,
					    struct wbi_audit *audit, const char *user);
void wbi_greeter_done(struct wbi_greeter *greeter); /* closes what has not said hello */

/* Takes over an accepted socket of a caller who is known. On failure the caller still owns fd. */
WB_WARN_UNUSED enum wb_err wbi_greeter_accept(struct wbi_greeter *greeter, int fd,
					      const struct wbi_principal *who,
					      struct wb_fault *fault);

#endif
