/* The directory: one worker a session, the least loaded for a new one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "app/directory.h"

enum { WORKERS = 3, SESSIONS_MAX = 3000 };

static int setup(void **state)
{
	return wbi_directory_new(WORKERS, SESSIONS_MAX, (struct wbi_directory **)state) ? -1 : 0;
}

static int teardown(void **state)
{
	wbi_directory_free(*state);
	return 0;
}

/* All in one bucket. */
static void make_id(uint8_t id[WBI_SESSION_ID_BYTES], unsigned number)
{
	memset(id, 0, WBI_SESSION_ID_BYTES);
	memcpy(id + 4, &number, sizeof(number));
}

static unsigned worker_of(struct wbi_directory *directory, unsigned number)
{
	uint8_t id[WBI_SESSION_ID_BYTES];
	unsigned worker = 99;

	make_id(id, number);
	assert_int_equal(wbi_directory_find(directory, id, &worker, NULL), WB_OK);
	return worker;
}

static void new_sessions_are_spread_and_stay(void **state)
{
	unsigned load[WORKERS] = {0};

	for (unsigned i = 0; i < 30; i++)
		load[worker_of(*state, i)]++;
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(load[i], 10);
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(worker_of(*state, i), worker_of(*state, i));
}

static unsigned arrived;

static void arrive(struct wbi_task *task)
{
	(void)task;
	arrived++;
}

static void a_moved_session_is_found_where_it_went(void **state)
{
	uint8_t id[WBI_SESSION_ID_BYTES];
	struct wbi_task task = {.fn = arrive};
	struct wbi_loop *loop;

	assert_int_equal(wbi_loop_new(&loop, NULL), WB_OK);
	wbi_list_init(&task.node);
	assert_int_equal(worker_of(*state, 1), 0);
	make_id(id, 1);
	wbi_directory_move(*state, id, 2, loop, &task);
	assert_int_equal(worker_of(*state, 1), 2);
	assert_int_equal(wbi_loop_turn(loop, 0, NULL), WB_OK);
	assert_int_equal(arrived, 1);
	wbi_loop_free(loop);
	wbi_directory_remove(*state, id, 0); /* the old worker has no say any more */
	assert_int_equal(worker_of(*state, 1), 2);
	wbi_directory_remove(*state, id, 2);
	assert_int_equal(worker_of(*state, 1), 0); /* a new one */
}

static void *session_of(struct wbi_directory *directory, unsigned number)
{
	uint8_t id[WBI_SESSION_ID_BYTES];
	unsigned worker;
	void *session = id;

	make_id(id, number);
	assert_int_equal(wbi_directory_find(directory, id, &worker, &session), WB_OK);
	return session;
}

static void a_session_is_found_until_it_is_removed(void **state)
{
	uint8_t id[WBI_SESSION_ID_BYTES];
	int session;

	assert_null(session_of(*state, 1));
	assert_null(session_of(*state, 2));
	make_id(id, 1);
	wbi_directory_set(*state, id, &session);
	assert_ptr_equal(session_of(*state, 1), &session);
	assert_null(session_of(*state, 2));
	wbi_directory_remove(*state, id, worker_of(*state, 1));
	assert_null(session_of(*state, 1));
}

static void a_full_directory_evicts_nothing(void **state)
{
	uint8_t id[WBI_SESSION_ID_BYTES];
	unsigned worker = 99;

	for (unsigned i = 0; i < SESSIONS_MAX; i++)
		worker_of(*state, i);
	make_id(id, SESSIONS_MAX);
	assert_int_equal(wbi_directory_find(*state, id, &worker, NULL), WB_ERR_LIMIT);
	assert_int_equal(worker, 99);
	worker_of(*state, 0);
	make_id(id, 5);
	wbi_directory_remove(*state, id, worker_of(*state, 5));
	worker_of(*state, SESSIONS_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(new_sessions_are_spread_and_stay),
		TEST(a_moved_session_is_found_where_it_went),
		TEST(a_session_is_found_until_it_is_removed),
		TEST(a_full_directory_evicts_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
