/* The trail of sessions: what the audit trail says of them, and of their calls. */
#ifndef WBI_TRAIL_H
#define WBI_TRAIL_H

#include "app/served.h"

/* A session has begun; it has come back from there (said only where that is another address). */
void wbi_trail_begun(struct wbi_served_session *served, const struct wbi_addr *from);
void wbi_trail_returned(struct wbi_served_session *served, const struct wbi_addr *from);
void wbi_trail_withdrawn(struct wbi_served_session *served, const struct wbi_denial *denial);
void wbi_trail_ended(struct wbi_served_session *served);

/* A call was asked for; it has an outcome and is dropped. Of a call that is dropped without one
 * the outcome is "dropped". served: NULL does nothing. */
void wbi_trail_call(struct wbi_served_session *served, const struct wbi_event *event);
void wbi_trail_outcome(struct wbi_served_session *served, const struct wbi_call *call);

#endif
