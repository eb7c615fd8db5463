/* The registry: see registry.h. A sorted array: numbers ascend, so adding is appending. */
#include "job/registry.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct wbi_registry {
	pthread_mutex_t mutex;
	struct wbi_registry_entry *entries; /* by job, ascending */
	uint32_t count, room, limit;
	uint64_t last_job;
};

enum wb_err wbi_registry_new(uint32_t jobs_max, struct wbi_registry **ret_registry)
{
	struct wbi_registry *registry = calloc(1, sizeof(*registry));

	if (!registry)
		return WB_ERR_NOMEM;
	pthread_mutex_init(&registry->mutex, NULL);
	registry->limit = jobs_max;
	*ret_registry = registry;
	return WB_OK;
}

void wbi_registry_free(struct wbi_registry *registry)
{
	if (!registry)
		return;
	pthread_mutex_destroy(&registry->mutex);
	free(registry->entries);
	free(registry);
}

/* The index of the first entry whose number is at least `job`. */
static uint32_t place_of(const struct wbi_registry *registry, uint64_t job)
{
	uint32_t low = 0, high = registry->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (registry->entries[middle].job < job)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct wbi_registry_entry *entry_of(const struct wbi_registry *registry, uint64_t job)
{
	uint32_t place = place_of(registry, job);

	if (place == registry->count || registry->entries[place].job != job)
		return NULL;
	return &registry->entries[place];
}

static enum wb_err make_room(struct wbi_registry *registry)
{
	uint32_t room = registry->room > 0 ? registry->room * 2 : 16;
	struct wbi_registry_entry *entries;

	if (registry->count == registry->limit)
		return WB_ERR_LIMIT;
	if (registry->count < registry->room)
		return WB_OK;
	entries = realloc(registry->entries, room * sizeof(*entries));
	if (!entries)
		return WB_ERR_NOMEM;
	registry->entries = entries;
	registry->room = room;
	return WB_OK;
}

enum wb_err wbi_registry_add(struct wbi_registry *registry, struct wbi_registry_entry *entry)
{
	enum wb_err err;

	pthread_mutex_lock(&registry->mutex);
	err = make_room(registry);
	if (!err) {
		entry->job = ++registry->last_job;
		registry->entries[registry->count++] = *entry;
	}
	pthread_mutex_unlock(&registry->mutex);
	return err;
}

void wbi_registry_update(struct wbi_registry *registry, const struct wbi_registry_entry *entry)
{
	struct wbi_registry_entry *found;

	pthread_mutex_lock(&registry->mutex);
	found = entry_of(registry, entry->job);
	if (found)
		*found = *entry;
	pthread_mutex_unlock(&registry->mutex);
}

void wbi_registry_remove(struct wbi_registry *registry, uint64_t job)
{
	struct wbi_registry_entry *found;

	pthread_mutex_lock(&registry->mutex);
	found = entry_of(registry, job);
	if (found) {
		size_t behind = (size_t)(registry->entries + registry->count - (found + 1));

		memmove(found, found + 1, behind * sizeof(*found));
		registry->count--;
	}
	pthread_mutex_unlock(&registry->mutex);
}

bool wbi_registry_find(struct wbi_registry *registry, const struct wbi_principal *owner,
		       uint64_t job, struct wbi_registry_entry *ret_entry)
{
	const struct wbi_registry_entry *found;
	bool is_theirs;

	pthread_mutex_lock(&registry->mutex);
	found = entry_of(registry, job);
	is_theirs = found && wbi_principal_covers(owner, &found->owner);
	if (is_theirs)
		*ret_entry = *found;
	pthread_mutex_unlock(&registry->mutex);
	return is_theirs;
}

unsigned wbi_registry_list(struct wbi_registry *registry, const struct wbi_principal *owner,
			   uint64_t after, struct wbi_registry_entry *ret_entries, unsigned room)
{
	unsigned count = 0;

	pthread_mutex_lock(&registry->mutex);
	for (uint32_t i = place_of(registry, after + 1); i < registry->count && count < room; i++)
		if (wbi_principal_covers(owner, &registry->entries[i].owner))
			ret_entries[count++] = registry->entries[i];
	pthread_mutex_unlock(&registry->mutex);
	return count;
}
