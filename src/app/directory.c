/* The directory: see directory.h. A chained hash table; ids are random, so their first bytes are
 * the hash. (A client that chose them to collide would only slow down its own user's daemon.) */
#include "app/directory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024, WORKERS_MAX = 64 };

struct place {
	struct place *next;
	uint8_t id[WBI_SESSION_ID_BYTES];
	unsigned worker;
	void *session;
};

struct wbi_directory {
	pthread_mutex_t mutex;
	struct place *buckets[BUCKETS];
	uint32_t count, limit;
	unsigned workers;
	uint32_t load[WORKERS_MAX];
};

enum wb_err wbi_directory_new(unsigned workers, uint32_t sessions_max,
			      struct wbi_directory **ret_directory)
{
	struct wbi_directory *directory;

	if (workers == 0 || workers > WORKERS_MAX)
		return WB_ERR_ARGUMENT;
	directory = calloc(1, sizeof(*directory));
	if (!directory)
		return WB_ERR_NOMEM;
	pthread_mutex_init(&directory->mutex, NULL);
	directory->limit = sessions_max;
	directory->workers = workers;
	*ret_directory = directory;
	return WB_OK;
}

void wbi_directory_free(struct wbi_directory *directory)
{
	if (!directory)
		return;
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct place *place = directory->buckets[i], *next; place; place = next) {
			next = place->next;
			free(place);
		}
	pthread_mutex_destroy(&directory->mutex);
	free(directory);
}

/* The link that points at the id's place, or at the NULL where it would be put. */
static struct place **link_of(struct wbi_directory *directory,
			      const uint8_t id[WBI_SESSION_ID_BYTES])
{
	struct place **link = &directory->buckets[(id[0] | id[1] << 8) % BUCKETS];

	while (*link && memcmp((*link)->id, id, WBI_SESSION_ID_BYTES) != 0)
		link = &(*link)->next;
	return link;
}

static unsigned least_loaded(const struct wbi_directory *directory)
{
	unsigned least = 0;

	for (unsigned i = 1; i < directory->workers; i++)
		if (directory->load[i] < directory->load[least])
			least = i;
	return least;
}

static enum wb_err enter(struct wbi_directory *directory, struct place **link,
			 const uint8_t id[WBI_SESSION_ID_BYTES])
{
	struct place *place;

	if (directory->count == directory->limit)
		return WB_ERR_LIMIT;
	place = calloc(1, sizeof(*place));
	if (!place)
		return WB_ERR_NOMEM;
	memcpy(place->id, id, WBI_SESSION_ID_BYTES);
	place->worker = least_loaded(directory);
	directory->load[place->worker]++;
	directory->count++;
	*link = place;
	return WB_OK;
}

enum wb_err wbi_directory_find(struct wbi_directory *directory,
			       const uint8_t id[WBI_SESSION_ID_BYTES], unsigned *ret_worker,
			       void **ret_session)
{
	enum wb_err err = WB_OK;
	struct place **link;

	pthread_mutex_lock(&directory->mutex);
	link = link_of(directory, id);
	if (!*link)
		err = enter(directory, link, id);
	if (!err)
		*ret_worker = (*link)->worker;
	if (!err && ret_session)
		*ret_session = (*link)->session;
	pthread_mutex_unlock(&directory->mutex);
	return err;
}

void wbi_directory_set(struct wbi_directory *directory, const uint8_t id[WBI_SESSION_ID_BYTES],
		       void *session)
{
	struct place *place;

	pthread_mutex_lock(&directory->mutex);
	place = *link_of(directory, id);
	if (place)
		place->session = session;
	pthread_mutex_unlock(&directory->mutex);
}

void wbi_directory_move(struct wbi_directory *directory, const uint8_t id[WBI_SESSION_ID_BYTES],
			unsigned worker, struct wbi_loop *loop, struct wbi_task *task)
{
	struct place *place;

	pthread_mutex_lock(&directory->mutex);
	place = *link_of(directory, id);
	if (place) {
		directory->load[place->worker]--;
		directory->load[worker]++;
		place->worker = worker;
	}
	wbi_loop_post(loop, task);
	pthread_mutex_unlock(&directory->mutex);
}

void wbi_directory_remove(struct wbi_directory *directory, const uint8_t id[WBI_SESSION_ID_BYTES],
			  unsigned worker)
{
	struct place **link, *place;

	pthread_mutex_lock(&directory->mutex);
	link = link_of(directory, id);
	place = *link;
	if (place && place->worker == worker) {
		*link = place->next;
		directory->load[worker]--;
		directory->count--;
		free(place);
	}
	pthread_mutex_unlock(&directory->mutex);
}
