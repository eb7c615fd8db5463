/* The directory: which worker owns which session, and where it lies. Shared by all threads, one
 * mutex.
 *
 * A session is entered when its first `hello` comes and taken out when its worker frees it;
 * `attach` may move it. So a connection finds its session wherever that is now. */
#ifndef WBI_DIRECTORY_H
#define WBI_DIRECTORY_H

#include <stdint.h>

#include "session/session.h"
#include "sys/loop.h"
#include "waybill/err.h"

struct wbi_directory; /* opaque, heap; thread-safe */

WB_WARN_UNUSED enum wb_err wbi_directory_new(unsigned workers, uint32_t sessions_max,
					     struct wbi_directory **ret_directory);
void wbi_directory_free(struct wbi_directory *directory);

/* The worker that owns a session; a new session is given to the one with the fewest. ret_session:
 * what _set was given, for that worker only to touch; NULL: nothing yet. It may be NULL itself.
 * Returns WB_OK, WB_ERR_LIMIT (sessions_max are there; none is ever evicted), WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_directory_find(struct wbi_directory *directory,
					      const uint8_t id[WBI_SESSION_ID_BYTES],
					      unsigned *ret_worker, void **ret_session);

/* By its worker: this is the session, until it is removed. It stays the same where it moves. */
void wbi_directory_set(struct wbi_directory *directory, const uint8_t id[WBI_SESSION_ID_BYTES],
		       void *session);

/* The session lives with that worker from now on; `task`, which brings it there, is posted to the
 * worker's loop in the same step. So whoever finds the session there, and posts something for it,
 * comes behind it. */
void wbi_directory_move(struct wbi_directory *directory, const uint8_t id[WBI_SESSION_ID_BYTES],
			unsigned worker, struct wbi_loop *loop, struct wbi_task *task);

/* The session has been freed by `worker`; nothing happens if another owns one of that id. */
void wbi_directory_remove(struct wbi_directory *directory, const uint8_t id[WBI_SESSION_ID_BYTES],
			  unsigned worker);

#endif
