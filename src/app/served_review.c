/* Sessions of those who are known by a key: a key that is withdrawn, or whose time is over, ends
 * them. */
#include <string.h>
#include <time.h>

#include "app/served.h"
#include "app/trail.h"

enum { EXPIRY_LOOK_MS = 60000 };

/* The client is told, if it is there; its session ends as if it had never come back. */
static void withdraw(struct wbi_served_session *served, const struct wbi_denial *denial)
{
	wbi_trail_withdrawn(served, denial);
	served->leaving = true;
	if (served->conn)
		wbi_carrier_refuse(served->conn->conn.carrier, "withdrawn", false, denial->told);
	wbi_served_kick(served->session);
}

/* What the key may do now: from here on for what the session asks for, or nothing at all. */
void wbi_served_review_one(struct wbi_served_session *served)
{
	struct wbi_grant *grant;
	struct wbi_public_key key;
	struct wbi_denial denial;

	if (served->who.kind != WBI_PRINCIPAL_KEY || served->leaving)
		return;
	memcpy(key.ed25519, served->who.key, sizeof(key.ed25519));
	if (wbi_authority_decide(served->env->shared->authority, &key, &served->from, &grant,
				 &denial) != WB_OK) {
		withdraw(served, &denial);
		return;
	}
	wbi_grant_free(served->grant);
	served->grant = grant;
	wbi_served_watch_expiry(served);
}

void wbi_served_on_expiry(struct wbi_timer *timer)
{
	wbi_served_review_one(WBI_CONTAINER(timer, struct wbi_served_session, expiry));
}

/* Wakes up when the grant ends, and now and then before, for the clock may be set. */
void wbi_served_watch_expiry(struct wbi_served_session *served)
{
	uint64_t now = (uint64_t)time(NULL), end = served->grant->expires;
	uint64_t delay_ms = end > now ? (end - now) * 1000 : 1;

	if (end == 0)
		wbi_loop_cancel(served->env->loop, &served->expiry);
	else if (wbi_loop_timer(served->env->loop, &served->expiry,
				delay_ms < EXPIRY_LOOK_MS ? delay_ms : EXPIRY_LOOK_MS) != WB_OK)
		served->leaving = true; /* no memory: better gone than for ever */
}

void wbi_served_review(struct wbi_served_env *env)
{
	for (struct wbi_list *node = env->sessions.next; node != &env->sessions; node = node->next)
		wbi_served_review_one(WBI_CONTAINER(node, struct wbi_served_session, node));
}
