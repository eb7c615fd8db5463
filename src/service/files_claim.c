/* Claims on targets: see files_claim.h. */
#include "service/files_claim.h"

#include <string.h>
#include <sys/resource.h>

enum {
	/* What a transfer needs where they are scarce: the root, the target, three folders, what it
	 * writes and what it reads, and one in passing. */
	DESCRIPTORS_EACH = 8,
	/* So much of them all is for that. What transfers take beyond it they take of the first
	 * half (wbi_fd_is_scarce): a quarter is left for connections and commands. */
	DESCRIPTORS_SHARE = 4,
};

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

/* So many transfers have descriptors enough, but at least one. */
static rlim_t most_by_descriptors(void)
{
	struct rlimit limit;
	rlim_t most;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
		return RLIM_INFINITY;
	most = limit.rlim_cur / DESCRIPTORS_SHARE / DESCRIPTORS_EACH;
	return most > 0 ? most : 1;
}

static bool yields(struct wbi_files_claim *other, const struct wbi_files_claim *claim)
{
	return strcmp(other->target, claim->target) == 0 &&
	       wbi_principal_equal(&other->who, &claim->who) && other->yield(other);
}

/* Whether somebody who will go away leaves us its place: each does so once. Under the lock. */
static bool has_place_of_another(struct wbi_files_claims *claims,
				 const struct wbi_files_claim *claim)
{
	for (struct wbi_list *node = claims->claims.next; claim->target && node != &claims->claims;
	     node = node->next) {
		struct wbi_files_claim *other = WBI_CONTAINER(node, struct wbi_files_claim, node);

		if (!other->left_place && yields(other, claim)) {
			other->left_place = true;
			return true;
		}
	}
	return false;
}

bool wbi_files_claims_enter(struct wbi_files_claims *claims, const struct wbi_files_claim *claim,
			    unsigned most)
{
	rlim_t most_here = most_by_descriptors();
	bool entered;

	pthread_mutex_lock(&claims->mutex);
	entered = (claims->running < most && claims->running < most_here) ||
		  has_place_of_another(claims, claim);
	claims->running += entered;
	pthread_mutex_unlock(&claims->mutex);
	return entered;
}

/* Whether somebody who will go away stands before us. Under the lock. */
static bool must_wait(struct wbi_files_claims *claims, const struct wbi_files_claim *claim)
{
	bool wait = false;

	for (struct wbi_list *node = claims->claims.next; node != &claims->claims;
	     node = node->next)
		wait |= yields(WBI_CONTAINER(node, struct wbi_files_claim, node), claim);
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

void wbi_files_claims_leave(struct wbi_files_claims *claims, struct wbi_files_claim *claim)
{
	pthread_mutex_lock(&claims->mutex);
	claims->running--;
	wbi_list_remove(&claim->node);
	pthread_cond_broadcast(&claims->changed);
	pthread_mutex_unlock(&claims->mutex);
}
