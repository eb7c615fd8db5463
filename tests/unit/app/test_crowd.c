/* A crowd before the door: who has to go when too many come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "app/crowd.h"

static struct wbi_addr ipv4(unsigned number)
{
	struct wbi_addr addr = {0};
	struct sockaddr_in *in = (struct sockaddr_in *)&addr.storage;

	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(number);
	return addr;
}

static struct wbi_addr ipv6(const char *text)
{
	struct wbi_addr addr = {0};
	struct sockaddr_in6 *in = (struct sockaddr_in6 *)&addr.storage;

	in->sin6_family = AF_INET6;
	assert_int_equal(inet_pton(AF_INET6, text, &in->sin6_addr), 1);
	return addr;
}

static void fill(struct wbi_crowd *crowd, struct wbi_crowd_member *members, unsigned count,
		 const struct wbi_addr *from)
{
	for (unsigned i = 0; i < count; i++)
		wbi_crowd_join(crowd, &members[i], from);
}

static void a_source_has_its_budget(void **state)
{
	static struct wbi_crowd_member members[WBI_CROWD_SOURCE_MAX];
	struct wbi_addr one = ipv4(1), two = ipv4(2);
	struct wbi_crowd crowd;
	(void)state;

	wbi_crowd_init(&crowd);
	fill(&crowd, members, WBI_CROWD_SOURCE_MAX - 1, &one);
	assert_null(wbi_crowd_victim(&crowd, &one));
	fill(&crowd, members + WBI_CROWD_SOURCE_MAX - 1, 1, &one);
	assert_ptr_equal(wbi_crowd_victim(&crowd, &one), &members[0]);
	assert_null(wbi_crowd_victim(&crowd, &two));
	wbi_crowd_leave(&crowd, &members[0]);
	assert_null(wbi_crowd_victim(&crowd, &one));
}

/* A subscriber has a whole /64 to himself; an IPv4 address over IPv6 is itself. */
static void what_counts_as_a_source(void **state)
{
	static struct wbi_crowd_member members[WBI_CROWD_SOURCE_MAX];
	struct wbi_addr here = ipv6("2001:db8::1"), there = ipv6("2001:db8::ffff:1"),
			elsewhere = ipv6("2001:db8:0:1::1"), mapped = ipv6("::ffff:1.2.3.4"),
			same = ipv4(0x01020304);
	struct wbi_crowd crowd;
	(void)state;

	wbi_crowd_init(&crowd);
	fill(&crowd, members, WBI_CROWD_SOURCE_MAX, &here);
	assert_non_null(wbi_crowd_victim(&crowd, &there));
	assert_null(wbi_crowd_victim(&crowd, &elsewhere));
	wbi_crowd_init(&crowd);
	fill(&crowd, members, WBI_CROWD_SOURCE_MAX, &mapped);
	assert_non_null(wbi_crowd_victim(&crowd, &same));
}

/* The one from elsewhere came first and stays: there are more of the others. */
static void the_oldest_of_the_most_goes(void **state)
{
	static struct wbi_crowd_member members[WBI_CROWD_MAX];
	struct wbi_addr good = ipv4(1), bad[3] = {ipv4(2), ipv4(3), ipv4(4)};
	struct wbi_crowd crowd;
	(void)state;

	wbi_crowd_init(&crowd);
	fill(&crowd, members, 1, &good);
	for (unsigned i = 1; i < WBI_CROWD_MAX; i++)
		wbi_crowd_join(&crowd, &members[i], &bad[i % 3 == 0 ? 0 : 1]);
	assert_ptr_equal(wbi_crowd_victim(&crowd, &bad[2]), &members[1]);
	for (unsigned i = 0; i < WBI_CROWD_MAX; i++) {
		struct wbi_crowd_member *victim = wbi_crowd_victim(&crowd, &bad[2]);

		assert_ptr_not_equal(victim, &members[0]);
		wbi_crowd_leave(&crowd, victim);
		wbi_crowd_join(&crowd, victim, &bad[2]);
	}
}

/* Whom the kernel has named is bounded by the whole crowd alone. */
static void the_named_have_no_budget(void **state)
{
	static struct wbi_crowd_member members[WBI_CROWD_MAX];
	struct wbi_crowd crowd;
	(void)state;

	wbi_crowd_init(&crowd);
	for (unsigned i = 0; i < WBI_CROWD_MAX; i++) {
		assert_null(wbi_crowd_victim(&crowd, NULL));
		wbi_crowd_join(&crowd, &members[i], NULL);
	}
	assert_ptr_equal(wbi_crowd_victim(&crowd, NULL), &members[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_source_has_its_budget),
		cmocka_unit_test(what_counts_as_a_source),
		cmocka_unit_test(the_oldest_of_the_most_goes),
		cmocka_unit_test(the_named_have_no_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
