/* The registry: numbers that are never used twice, and jobs that only their owner sees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "job/registry.h"

enum { JOBS_MAX = 100 };

static const struct wbi_principal alice = {.uid = 1}, bob = {.uid = 2};

static int setup(void **state)
{
	return wbi_registry_new(JOBS_MAX, (struct wbi_registry **)state) ? -1 : 0;
}

static int teardown(void **state)
{
	wbi_registry_free(*state);
	return 0;
}

static uint64_t add(struct wbi_registry *registry, const struct wbi_principal *owner)
{
	struct wbi_registry_entry entry = {.owner = *owner};

	assert_int_equal(wbi_registry_add(registry, &entry), WB_OK);
	return entry.job;
}

static void numbers_ascend_and_never_return(void **state)
{
	uint64_t first = add(*state, &alice), second = add(*state, &alice);

	assert_int_equal(first, 1);
	assert_int_equal(second, 2);
	wbi_registry_remove(*state, second);
	assert_int_equal(add(*state, &alice), 3);
}

static void only_the_owner_sees_a_job(void **state)
{
	struct wbi_registry_entry entry, entries[4];
	uint64_t job = add(*state, &alice);

	add(*state, &bob);
	assert_true(wbi_registry_find(*state, &alice, job, &entry));
	assert_int_equal(entry.job, job);
	assert_false(wbi_registry_find(*state, &bob, job, &entry));
	assert_false(wbi_registry_find(*state, &alice, 77, &entry));
	assert_int_equal(wbi_registry_list(*state, &alice, 0, entries, 4), 1);
	assert_int_equal(entries[0].job, job);
}

static void updates_are_seen_and_the_removed_is_gone(void **state)
{
	struct wbi_registry_entry entry = {.owner = alice, .pid = 5}, seen;

	assert_int_equal(wbi_registry_add(*state, &entry), WB_OK);
	entry.status = WBI_JOB_STATUS_ENDED;
	wbi_registry_update(*state, &entry);
	assert_true(wbi_registry_find(*state, &alice, entry.job, &seen));
	assert_int_equal(seen.status, WBI_JOB_STATUS_ENDED);
	wbi_registry_remove(*state, entry.job);
	wbi_registry_remove(*state, entry.job);
	wbi_registry_update(*state, &entry);
	assert_false(wbi_registry_find(*state, &alice, entry.job, &seen));
}

static void a_list_goes_on_where_it_stopped(void **state)
{
	struct wbi_registry_entry entries[7];
	uint64_t after = 0;
	unsigned count, seen = 0;

	for (int i = 0; i < 50; i++)
		add(*state, i % 2 ? &alice : &bob);
	while ((count = wbi_registry_list(*state, &alice, after, entries, 7)) > 0) {
		for (unsigned i = 0; i < count; i++) {
			assert_true(entries[i].job > after);
			after = entries[i].job;
		}
		seen += count;
	}
	assert_int_equal(seen, 25);
}

static void a_full_registry_says_so(void **state)
{
	struct wbi_registry_entry entry = {.owner = alice};

	for (int i = 0; i < JOBS_MAX; i++)
		add(*state, &alice);
	assert_int_equal(wbi_registry_add(*state, &entry), WB_ERR_LIMIT);
	wbi_registry_remove(*state, 50);
	assert_int_equal(wbi_registry_add(*state, &entry), WB_OK);
	assert_int_equal(entry.job, JOBS_MAX + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(numbers_ascend_and_never_return),
		TEST(only_the_owner_sees_a_job),
		TEST(updates_are_seen_and_the_removed_is_gone),
		TEST(a_list_goes_on_where_it_stopped),
		TEST(a_full_registry_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
