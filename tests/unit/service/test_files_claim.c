/* Claims: who gives way to whom, and how many run at one time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service/files_claim.h"

static bool is_away(struct wbi_files_claim *claim)
{
	(void)claim;
	return true;
}

static bool is_there(struct wbi_files_claim *claim)
{
	(void)claim;
	return false;
}

static struct wbi_files_claim make(const char *target, bool (*yield)(struct wbi_files_claim *))
{
	return (struct wbi_files_claim){
		.who = {.kind = WBI_PRINCIPAL_UID, .uid = 7}, .target = target, .yield = yield};
}

static struct wbi_files_claims claims;

static int set_up(void **state)
{
	(void)state;
	wbi_files_claims_init(&claims);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_true(wbi_list_empty(&claims.claims));
	wbi_files_claims_done(&claims);
	return 0;
}

static void begin(struct wbi_files_claim *claim)
{
	wbi_list_init(&claim->node);
	assert_true(wbi_files_claims_enter(&claims, claim, 1));
	wbi_files_claim(&claims, claim);
}

static void end(struct wbi_files_claim *claim)
{
	wbi_files_claims_leave(&claims, claim);
}

/* Only to the same of the same user, and only once, however long it takes to go. */
static void one_that_is_away_leaves_its_place(void **state)
{
	struct wbi_files_claim away = make("a", is_away), same = make("a", is_there),
			       elsewhere = make("b", is_there), none = make(NULL, is_there),
			       stranger = make("a", is_there);

	(void)state;
	stranger.who.uid = 8;
	wbi_list_init(&same.node);
	begin(&away);
	assert_false(wbi_files_claims_enter(&claims, &elsewhere, 1));
	assert_false(wbi_files_claims_enter(&claims, &stranger, 1));
	assert_false(wbi_files_claims_enter(&claims, &none, 1));
	assert_true(wbi_files_claims_enter(&claims, &same, 1));
	assert_false(wbi_files_claims_enter(&claims, &same, 1));
	end(&away);
	assert_false(wbi_files_claims_enter(&claims, &same, 1));
	end(&same);
	begin(&elsewhere);
	end(&elsewhere);
}

static void one_that_is_there_does_not(void **state)
{
	struct wbi_files_claim there = make("a", is_there), same = make("a", is_there);

	(void)state;
	begin(&there);
	assert_false(wbi_files_claims_enter(&claims, &same, 1));
	end(&there);
}

static void *begin_and_end(void *claim)
{
	wbi_files_claim(&claims, claim);
	end(claim);
	return NULL;
}

/* Whoever waited for it may be done before it does anything more: then nothing runs any more. */
static void one_that_leaves_counts_no_more(void **state)
{
	struct wbi_files_claim away = make("a", is_away), same = make("a", is_there),
			       elsewhere = make("b", is_there);
	pthread_t thread;

	(void)state;
	begin(&away);
	wbi_list_init(&same.node);
	assert_true(wbi_files_claims_enter(&claims, &same, 1));
	assert_int_equal(pthread_create(&thread, NULL, begin_and_end, &same), 0);
	end(&away);
	assert_int_equal(pthread_join(thread, NULL), 0);
	begin(&elsewhere);
	end(&elsewhere);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH(one_that_is_away_leaves_its_place),
		WITH(one_that_is_there_does_not),
		WITH(one_that_leaves_counts_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
