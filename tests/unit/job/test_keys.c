/* Keys: claimed once, bound to a request and a principal, forgotten after a day. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "job/keys.h"

static const uint64_t day_ms = 24 * 3600 * 1000;

static struct wbi_key key_of(uid_t uid, const char *name, const char *request)
{
	struct wbi_key key = {.owner.uid = uid};

	snprintf(key.name, sizeof(key.name), "%s", name);
	snprintf(key.request, sizeof(key.request), "%s", request);
	return key;
}

static int setup(void **state)
{
	return wbi_keys_new((struct wbi_keys **)state) ? -1 : 0;
}

static int teardown(void **state)
{
	wbi_keys_free(*state);
	return 0;
}

static enum wbi_key_claim claim_at(struct wbi_keys *keys, struct wbi_key key, uint64_t now_ms)
{
	uint64_t job;

	return wbi_keys_claim(keys, &key, now_ms, &job);
}

static void a_key_is_claimed_once(void **state)
{
	struct wbi_key key = key_of(1, "deploy", "aa");
	uint64_t job = 0;

	assert_int_equal(claim_at(*state, key, 0), WBI_KEY_NEW);
	assert_int_equal(claim_at(*state, key, 0), WBI_KEY_STARTING);
	wbi_keys_started(*state, &key, 7);
	assert_int_equal(wbi_keys_claim(*state, &key, 0, &job), WBI_KEY_STARTED);
	assert_int_equal(job, 7);
}

static void an_outcome_is_kept(void **state)
{
	struct wbi_key key = key_of(1, "deploy", "aa");
	char outcome[WBI_KEY_OUTCOME_MAX], longer[2 * WBI_KEY_OUTCOME_MAX];

	assert_int_equal(claim_at(*state, key, 0), WBI_KEY_NEW);
	wbi_keys_started(*state, &key, 7);
	wbi_keys_outcome(*state, 7, outcome);
	assert_string_equal(outcome, "not known");
	wbi_keys_ended(*state, 7, "exited with code 3");
	wbi_keys_ended(*state, 8, "another");
	assert_int_equal(claim_at(*state, key, 1), WBI_KEY_STARTED);
	wbi_keys_outcome(*state, 7, outcome);
	assert_string_equal(outcome, "exited with code 3");
	wbi_keys_outcome(*state, 8, outcome);
	assert_string_equal(outcome, "not known");
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	wbi_keys_ended(*state, 7, longer);
	wbi_keys_outcome(*state, 7, outcome);
	assert_int_equal(strlen(outcome), WBI_KEY_OUTCOME_MAX - 1);
}

static void what_did_not_start_frees_its_key(void **state)
{
	struct wbi_key key = key_of(1, "deploy", "aa");

	assert_int_equal(claim_at(*state, key, 0), WBI_KEY_NEW);
	wbi_keys_drop(*state, &key);
	assert_int_equal(claim_at(*state, key, 0), WBI_KEY_NEW);
}

static void another_request_is_refused(void **state)
{
	assert_int_equal(claim_at(*state, key_of(1, "deploy", "aa"), 0), WBI_KEY_NEW);
	assert_int_equal(claim_at(*state, key_of(1, "deploy", "bb"), 0), WBI_KEY_OTHER);
}

static void another_principal_has_keys_of_its_own(void **state)
{
	assert_int_equal(claim_at(*state, key_of(1, "deploy", "aa"), 0), WBI_KEY_NEW);
	assert_int_equal(claim_at(*state, key_of(2, "deploy", "bb"), 0), WBI_KEY_NEW);
}

static void a_key_is_kept_for_a_day(void **state)
{
	struct wbi_key key = key_of(1, "deploy", "aa");

	assert_int_equal(claim_at(*state, key, 5), WBI_KEY_NEW);
	assert_int_equal(claim_at(*state, key, 5 + day_ms - 1), WBI_KEY_STARTING);
	assert_int_equal(claim_at(*state, key, 5 + day_ms), WBI_KEY_NEW);
}

static void a_full_table_evicts_nothing(void **state)
{
	char name[16];

	for (unsigned i = 0; i < WBI_KEYS_MAX; i++) {
		snprintf(name, sizeof(name), "%u", i);
		assert_int_equal(claim_at(*state, key_of(1, name, "aa"), 0), WBI_KEY_NEW);
	}
	assert_int_equal(claim_at(*state, key_of(1, "one more", "aa"), 0), WBI_KEY_FULL);
	assert_int_equal(claim_at(*state, key_of(1, "0", "aa"), 0), WBI_KEY_STARTING);
	assert_int_equal(claim_at(*state, key_of(1, "one more", "aa"), day_ms), WBI_KEY_NEW);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_key_is_claimed_once),
		TEST(an_outcome_is_kept),
		TEST(what_did_not_start_frees_its_key),
		TEST(another_request_is_refused),
		TEST(another_principal_has_keys_of_its_own),
		TEST(a_key_is_kept_for_a_day),
		TEST(a_full_table_evicts_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
