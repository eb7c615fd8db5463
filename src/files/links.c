/* Hard links: see links.h. Open addressing; a slot is never taken out, only emptied of its name. */
#include "files/links.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM_FIRST = 256 };

struct wbi_link_slot {
	dev_t device;
	ino_t inode;
	bool used;
	char *name; /* NULL: withdrawn */
};

static struct wbi_link_slot *find(struct wbi_link_slot *slots, unsigned room, dev_t device,
				  ino_t inode)
{
	uint64_t hash = ((uint64_t)inode ^ (uint64_t)device << 32) * UINT64_C(0x9E3779B97F4A7C15);
	unsigned at = (unsigned)(hash >> 32) & (room - 1);

	while (slots[at].used && (slots[at].inode != inode || slots[at].device != device))
		at = (at + 1) & (room - 1);
	return &slots[at];
}

static bool grow(struct wbi_links *links)
{
	unsigned room = links->room ? links->room * 2 : ROOM_FIRST;
	struct wbi_link_slot *slots;

	if (links->count * 2 < links->room)
		return true;
	slots = calloc(room, sizeof(*slots));
	if (!slots)
		return false;
	for (unsigned i = 0; i < links->room; i++)
		if (links->slots[i].used)
			*find(slots, room, links->slots[i].device, links->slots[i].inode) =
				links->slots[i];
	free(links->slots);
	links->slots = slots;
	links->room = room;
	return true;
}

const char *wbi_links_find(struct wbi_links *links, const struct stat *stat, const char *name)
{
	struct wbi_link_slot *slot;

	if (!grow(links))
		return NULL;
	slot = find(links->slots, links->room, stat->st_dev, stat->st_ino);
	if (slot->name)
		return slot->name;
	if (slot->used || links->count < WBI_LINKS_MAX) {
		links->count += !slot->used;
		*slot = (struct wbi_link_slot){stat->st_dev, stat->st_ino, true, strdup(name)};
	}
	return NULL;
}

void wbi_links_withdraw(struct wbi_links *links, const struct stat *stat)
{
	struct wbi_link_slot *slot;

	if (!links->room)
		return;
	slot = find(links->slots, links->room, stat->st_dev, stat->st_ino);
	free(slot->name);
	slot->name = NULL;
}

void wbi_links_done(struct wbi_links *links)
{
	for (unsigned i = 0; i < links->room; i++)
		free(links->slots[i].name);
	free(links->slots);
	*links = (struct wbi_links){0};
}
