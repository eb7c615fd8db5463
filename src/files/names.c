/* A set of hashes, open addressing, at most three quarters full. Whoever makes two names meet on
 * purpose only spoils a transfer of its own. */
#include "files/names.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { ROOM_MIN = 256 };

void wbi_names_init(struct wbi_names *names, size_t limit)
{
	*names = (struct wbi_names){.limit = limit};
}

void wbi_names_done(struct wbi_names *names)
{
	free(names->slots);
	wbi_names_init(names, names->limit);
}

static uint64_t hash_of(const void *name, size_t bytes)
{
	uint64_t hash = XXH3_64bits(name, bytes);

	return hash ? hash : 1;
}

static size_t slot_of(const struct wbi_names *names, uint64_t hash)
{
	size_t slot = hash & (names->room - 1);

	while (names->slots[slot] && names->slots[slot] != hash)
		slot = (slot + 1) & (names->room - 1);
	return slot;
}

static bool grow(struct wbi_names *names)
{
	struct wbi_names larger = *names;

	larger.room = names->room ? names->room * 2 : ROOM_MIN;
	larger.slots = calloc(larger.room, sizeof(*larger.slots));
	if (!larger.slots)
		return false;
	for (size_t i = 0; i < names->room; i++)
		if (names->slots[i])
			larger.slots[slot_of(&larger, names->slots[i])] = names->slots[i];
	free(names->slots);
	*names = larger;
	return true;
}

enum wbi_names_result wbi_names_add(struct wbi_names *names, const void *name, size_t bytes)
{
	uint64_t hash = hash_of(name, bytes);

	if (names->room && names->slots[slot_of(names, hash)] == hash)
		return WBI_NAMES_KNOWN;
	if (names->count >= names->limit)
		return WBI_NAMES_FULL;
	if (names->count >= names->room / 4 * 3 && !grow(names))
		return WBI_NAMES_FULL;
	names->slots[slot_of(names, hash)] = hash;
	names->count++;
	return WBI_NAMES_NEW;
}

bool wbi_names_have(const struct wbi_names *names, const void *name, size_t bytes)
{
	uint64_t hash = hash_of(name, bytes);

	return names->room && names->slots[slot_of(names, hash)] == hash;
}
