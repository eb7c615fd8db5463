/* Claims: which puts are under way, of all workers of a daemon.
 *
 * A client that died leaves its put waiting for it as long as its session is held, with its
 * temporaries locked. When its user runs the same command again, the new put is to go on from them:
 * so it ends the one that waits, and begins when that has let go. One whose client is connected is
 * left alone. */
#ifndef WBI_FILES_CLAIM_H
#define WBI_FILES_CLAIM_H

#include <pthread.h>
#include <stdbool.h>

#include "base/list.h"
#include "job/principal.h"

struct wbi_files_claims {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	struct wbi_list claims;
	unsigned running; /* transfers of every kind; guarded too */
};

struct wbi_files_claim {
	struct wbi_list node; /* initialised with wbi_list_init */
	struct wbi_principal who;
	const char *target; /* as the client wrote it; borrowed; NULL: nothing is claimed */
	/* Ends the owner if its client is away; whether it will. Called in another's thread. */
	bool (*yield)(struct wbi_files_claim *claim);
	bool left_place; /* guarded: what goes on from it counts in its place */
};

void wbi_files_claims_init(struct wbi_files_claims *claims);
void wbi_files_claims_done(struct wbi_files_claims *claims);

/* Counts one more transfer, unless `most` run already, or as many as there are descriptors for:
 * then one that yields to it must make room. claim: not entered yet. */
bool wbi_files_claims_enter(struct wbi_files_claims *claims, const struct wbi_files_claim *claim,
			    unsigned most);

/* Enters the claim of one that is counted, once those before it that yield have left (blocks as
 * long as their engines need to stop). */
void wbi_files_claim(struct wbi_files_claims *claims, struct wbi_files_claim *claim);

/* Counts it no more and gives up its claim, if it is entered: in one step, for whoever waits for
 * the claim may be done, and the next one there, before another step is taken. */
void wbi_files_claims_leave(struct wbi_files_claims *claims, struct wbi_files_claim *claim);

#endif
