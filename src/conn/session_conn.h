/* A session's connection: a link below, a carrier above, and nothing that waits.
 *
 * It knows no loop and no clock: whoever owns it says what is ready and what time it is, and is
 * told what to wait for. So the daemon drives it from its loop, a client from any loop it likes,
 * and the simulator from its own clock. */
#ifndef WBI_SESSION_CONN_H
#define WBI_SESSION_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "session/session.h"
#include "transport/link.h"

enum { WBI_SESSION_SCRATCH_BYTES = 256 * 1024 };

struct wbi_session_conn;

/* An event of the engine, its borrowed parts valid until it returns. It may call into the session
 * and may detach the link (wbi_session_conn_release), but not free the connection. */
typedef void wbi_session_conn_fn(struct wbi_session_conn *conn, enum wbi_event_kind kind,
				 struct wbi_event *event);

struct wbi_session_conn {
	struct wbi_link *link;
	struct wbi_carrier *carrier;
	struct wbi_buf rest; /* received and not consumed: part of a head, seldom anything */
	uint8_t *scratch;
	wbi_session_conn_fn *fn;
	bool released;       /* the link is somebody else's now: nothing more is read or written */
	bool failed;         /* the link is gone; the carrier knows */
	bool writing;        /* more is due than the link took: wait until it is writable */
	uint64_t patient_ms; /* what is due may wait until then; WBI_NEVER_MS: nothing does */
};

/* Takes over the carrier; the link stays its owner's, and open for as long as this uses it.
 * scratch: WBI_SESSION_SCRATCH_BYTES, shared by all connections of a thread. */
void wbi_session_conn_init(struct wbi_session_conn *conn, struct wbi_link *link,
			   struct wbi_carrier *carrier, uint8_t *scratch, wbi_session_conn_fn *fn);

/* Frees the carrier (which detaches its session) and what was received; not the link. */
void wbi_session_conn_done(struct wbi_session_conn *conn);

/* Does whatever can be done now: reads if `ready` says WBI_READ (or WBI_HANGUP), writes what is
 * due, hands out events, lets time pass. Call it too after anything was done to the session from
 * elsewhere. */
void wbi_session_conn_process(struct wbi_session_conn *conn, unsigned ready, uint64_t now_ms);

/* What to wait for: WBI_READ | WBI_WRITE, and until when at the latest (WBI_NEVER_MS). */
unsigned wbi_session_conn_wants(const struct wbi_session_conn *conn);
uint64_t wbi_session_conn_deadline(const struct wbi_session_conn *conn);

/* True once the link should be closed: nothing more will come of it. */
bool wbi_session_conn_over(const struct wbi_session_conn *conn);

/* Within its event: stops reading and writing here, so that the connection can go on in another
 * thread, with another link and scratch (_adopt). What was received and not consumed goes with it.
 */
void wbi_session_conn_release(struct wbi_session_conn *conn);
void wbi_session_conn_adopt(struct wbi_session_conn *conn, struct wbi_link *link, uint8_t *scratch,
			    wbi_session_conn_fn *fn);

#endif
