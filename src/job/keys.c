/* Keys: see keys.h. A short list; the oldest is first, so what has expired is at the front. */
#include "job/keys.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"

#define KEPT_MS ((uint64_t)WBI_KEYS_HOURS * 3600 * 1000)

struct entry {
	struct wbi_list node;
	struct wbi_key key;
	uint64_t since_ms;
	uint64_t job; /* 0: it is being started */
	char outcome[WBI_KEY_OUTCOME_MAX];
};

struct wbi_keys {
	pthread_mutex_t mutex;
	struct wbi_list entries;
	unsigned count;
};

enum wb_err wbi_keys_new(struct wbi_keys **ret_keys)
{
	struct wbi_keys *keys = calloc(1, sizeof(*keys));

	if (!keys)
		return WB_ERR_NOMEM;
	pthread_mutex_init(&keys->mutex, NULL);
	wbi_list_init(&keys->entries);
	*ret_keys = keys;
	return WB_OK;
}

static void entry_free(struct wbi_keys *keys, struct entry *entry)
{
	wbi_list_remove(&entry->node);
	keys->count--;
	free(entry);
}

void wbi_keys_free(struct wbi_keys *keys)
{
	if (!keys)
		return;
	while (!wbi_list_empty(&keys->entries))
		entry_free(keys, WBI_CONTAINER(keys->entries.next, struct entry, node));
	pthread_mutex_destroy(&keys->mutex);
	free(keys);
}

static void expire(struct wbi_keys *keys, uint64_t now_ms)
{
	while (!wbi_list_empty(&keys->entries)) {
		struct entry *oldest = WBI_CONTAINER(keys->entries.next, struct entry, node);

		if (now_ms - oldest->since_ms < KEPT_MS)
			return;
		entry_free(keys, oldest);
	}
}

static struct entry *find(const struct wbi_keys *keys, const struct wbi_key *key)
{
	for (struct wbi_list *node = keys->entries.next; node != &keys->entries;
	     node = node->next) {
		struct entry *entry = WBI_CONTAINER(node, struct entry, node);

		if (wbi_principal_equal(&entry->key.owner, &key->owner) &&
		    strcmp(entry->key.name, key->name) == 0)
			return entry;
	}
	return NULL;
}

static enum wbi_key_claim add(struct wbi_keys *keys, const struct wbi_key *key, uint64_t now_ms)
{
	struct entry *entry = keys->count < WBI_KEYS_MAX ? calloc(1, sizeof(*entry)) : NULL;

	if (!entry)
		return WBI_KEY_FULL;
	entry->key = *key;
	entry->since_ms = now_ms;
	wbi_list_append(&keys->entries, &entry->node);
	keys->count++;
	return WBI_KEY_NEW;
}

enum wbi_key_claim wbi_keys_claim(struct wbi_keys *keys, const struct wbi_key *key, uint64_t now_ms,
				  uint64_t *ret_job)
{
	enum wbi_key_claim claim;
	const struct entry *entry;

	pthread_mutex_lock(&keys->mutex);
	expire(keys, now_ms);
	entry = find(keys, key);
	if (!entry) {
		claim = add(keys, key, now_ms);
	} else if (strcmp(entry->key.request, key->request) != 0) {
		claim = WBI_KEY_OTHER;
	} else if (!entry->job) {
		claim = WBI_KEY_STARTING;
	} else {
		claim = WBI_KEY_STARTED;
		*ret_job = entry->job;
	}
	pthread_mutex_unlock(&keys->mutex);
	return claim;
}

void wbi_keys_started(struct wbi_keys *keys, const struct wbi_key *key, uint64_t job)
{
	struct entry *entry;

	pthread_mutex_lock(&keys->mutex);
	entry = find(keys, key);
	if (entry)
		entry->job = job;
	pthread_mutex_unlock(&keys->mutex);
}

void wbi_keys_drop(struct wbi_keys *keys, const struct wbi_key *key)
{
	struct entry *entry;

	pthread_mutex_lock(&keys->mutex);
	entry = find(keys, key);
	if (entry)
		entry_free(keys, entry);
	pthread_mutex_unlock(&keys->mutex);
}

static struct entry *find_job(const struct wbi_keys *keys, uint64_t job)
{
	for (struct wbi_list *node = keys->entries.next; node != &keys->entries;
	     node = node->next) {
		struct entry *entry = WBI_CONTAINER(node, struct entry, node);

		if (entry->job == job)
			return entry;
	}
	return NULL;
}

void wbi_keys_ended(struct wbi_keys *keys, uint64_t job, const char *outcome)
{
	struct entry *entry;

	pthread_mutex_lock(&keys->mutex);
	entry = find_job(keys, job);
	if (entry)
		snprintf(entry->outcome, sizeof(entry->outcome), "%s", outcome);
	pthread_mutex_unlock(&keys->mutex);
}

void wbi_keys_outcome(struct wbi_keys *keys, uint64_t job, char ret_outcome[WBI_KEY_OUTCOME_MAX])
{
	const struct entry *entry;

	pthread_mutex_lock(&keys->mutex);
	entry = find_job(keys, job);
	snprintf(ret_outcome, WBI_KEY_OUTCOME_MAX, "%s",
		 entry && entry->outcome[0] ? entry->outcome : "not known");
	pthread_mutex_unlock(&keys->mutex);
}
