/* A crowd before the door: see crowd.h. */
#include "app/crowd.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

enum { PREFIX_BYTES = 8 }; /* of IPv6: what one subscriber has to himself */

void wbi_crowd_init(struct wbi_crowd *crowd)
{
	wbi_list_init(&crowd->members);
	crowd->count = 0;
}

static void find_ipv6(const struct sockaddr_in6 *ipv6, uint8_t source[WBI_CROWD_SOURCE_BYTES])
{
	memcpy(source, &ipv6->sin6_addr,
	       IN6_IS_ADDR_V4MAPPED(&ipv6->sin6_addr) ? WBI_CROWD_SOURCE_BYTES : PREFIX_BYTES);
}

/* As if it were mapped into IPv6. */
static void find_ipv4(const struct sockaddr_in *ipv4, uint8_t source[WBI_CROWD_SOURCE_BYTES])
{
	source[10] = source[11] = 0xff;
	memcpy(source + 12, &ipv4->sin_addr, 4);
}

static void find_source(const struct wbi_addr *from, uint8_t source[WBI_CROWD_SOURCE_BYTES])
{
	memset(source, 0, WBI_CROWD_SOURCE_BYTES);
	if (from && from->any.sa_family == AF_INET6)
		find_ipv6((const struct sockaddr_in6 *)&from->storage, source);
	else if (from && from->any.sa_family == AF_INET)
		find_ipv4((const struct sockaddr_in *)&from->storage, source);
}

static struct wbi_crowd_member *member_at(struct wbi_list *node)
{
	return WBI_CONTAINER(node, struct wbi_crowd_member, node);
}

static unsigned count_source(const struct wbi_crowd *crowd, const uint8_t *source,
			     struct wbi_crowd_member **ret_oldest)
{
	const struct wbi_list *members = &crowd->members;
	unsigned count = 0;

	for (struct wbi_list *node = members->prev; node != members; node = node->prev) {
		if (memcmp(member_at(node)->source, source, WBI_CROWD_SOURCE_BYTES) != 0)
			continue;
		*ret_oldest = member_at(node);
		count++;
	}
	return count;
}

/* The oldest of the largest source; of several such, of the one whose oldest is the oldest. The
 * crowd is small enough to be counted over and over. */
static struct wbi_crowd_member *oldest_of_most(const struct wbi_crowd *crowd)
{
	const struct wbi_list *members = &crowd->members;
	struct wbi_crowd_member *victim = NULL, *oldest = NULL;
	unsigned most = 0, left = crowd->count;

	for (struct wbi_list *node = members->next; node != members && left > most;
	     node = node->next) {
		unsigned count = count_source(crowd, member_at(node)->source, &oldest);

		if (oldest != member_at(node))
			continue; /* that source has been counted */
		left -= count;
		if (count > most) {
			most = count;
			victim = oldest;
		}
	}
	return victim;
}

struct wbi_crowd_member *wbi_crowd_victim(const struct wbi_crowd *crowd,
					  const struct wbi_addr *from)
{
	uint8_t source[WBI_CROWD_SOURCE_BYTES];
	struct wbi_crowd_member *oldest = NULL;

	find_source(from, source);
	if (from && count_source(crowd, source, &oldest) >= WBI_CROWD_SOURCE_MAX)
		return oldest;
	return crowd->count >= WBI_CROWD_MAX ? oldest_of_most(crowd) : NULL;
}

void wbi_crowd_join(struct wbi_crowd *crowd, struct wbi_crowd_member *member,
		    const struct wbi_addr *from)
{
	find_source(from, member->source);
	wbi_list_append(&crowd->members, &member->node);
	crowd->count++;
}

void wbi_crowd_leave(struct wbi_crowd *crowd, struct wbi_crowd_member *member)
{
	wbi_list_remove(&member->node);
	crowd->count--;
}
