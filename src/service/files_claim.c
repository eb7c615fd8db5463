/* Claims on targets: see files_claim.h. */
#include "service/files_claim.h"

#include <string.h>

void wbi_files_claims_init(struct wbi_files_claims *claims)
{
	pthread_mutex_init(&claims->mutex, NULL);
	pthread_cond_init(&claims->changed, NULL);
	wbi_list_init(&claims->claims);
	claims->running = 0;
}

void wbi_files_claims_done(struct wbi_files_claims *claims)
{
	pthread_cond_destroy(&claims->changed);
	pthread_mutex_destroy(&claims->mutex);
}

bool wbi_files_claims_enter(struct wbi_files_claims *claims, unsigned most)
{
	bool entered;

	pthread_mutex_lock(&claims->mutex);
	entered = claims->running < most;
	claims->running += entered;
	pthread_mutex_unlock(&claims->mutex);
	return entered;
}

void wbi_files_claims_leave(struct wbi_files_claims *claims)
{
	pthread_mutex_lock(&claims->mutex);
	claims->running--;
	pthread_mutex_unlock(&claims->mutex);
}

/* Whether somebody who will go away stands before us. Under the lock. */
static bool must_wait(struct wbi_files_claims *claims, const struct wbi_files_claim *claim)
{
	bool wait = false;

	for (struct wbi_list *node = claims->claims.next; node != &claims->claims;
	     node = node->next) {
		struct wbi_files_claim *other = WBI_CONTAINER(node, struct wbi_files_claim, node);

		if (strcmp(other->target, claim->target) == 0 &&
		    wbi_principal_equal(&other->who, &claim->who) && other->yield(other))
			wait = true;
	}
	return wait;
}

void wbi_files_claim(struct wbi_files_claims *claims, struct wbi_files_claim *claim)
{
	if (!claim->target)
		return;
	pthread_mutex_lock(&claims->mutex);
	while (must_wait(claims, claim))
		pthread_cond_wait(&claims->changed, &claims->mutex);
	wbi_list_append(&claims->claims, &claim->node);
	pthread_mutex_unlock(&claims->mutex);
}

void wbi_files_unclaim(struct wbi_files_claims *claims, struct wbi_files_claim *claim)
{
	pthread_mutex_lock(&claims->mutex);
	wbi_list_remove(&claim->node);
	pthread_cond_broadcast(&claims->changed);
	pthread_mutex_unlock(&claims->mutex);
}
