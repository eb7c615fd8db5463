/* The receiver, where the operand is the target itself: "." comes first, and once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "receiver_fixture.h"

static struct fixture *f;

static int set_up(void **state)
{
	(void)state;
	f = fixture_new();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fixture_free(f);
	return 0;
}

static void assert_out_of_order(void)
{
	assert_int_equal(run(f), WB_ERR_MALFORMED);
	assert_string_equal(last_error(f), "order");
	wbi_file_receiver_free(f->receiver);
	f->receiver = NULL;
}

static void test_spread(void **state)
{
	(void)state;
	begin(f);
	add_dir(f, ".");
	add_text(f, "a", "one");
	add_dir(f, "d");
	add_text(f, "d/b", "two");
	add_hardlink(f, "d/c", "a");
	add_dir_end(f, "d");
	add_dir_end(f, ".");
	finish(f);
	assert_text(f, "a", "one");
	assert_text(f, "d/b", "two");
	assert_text(f, "d/c", "one");
}

static void test_out_of_order(void **state)
{
	(void)state;
	/* Twice, within, after something, with something after it. */
	begin(f);
	add_dir(f, ".");
	add_dir(f, ".");
	assert_out_of_order();
	begin(f);
	add_dir(f, "a");
	add_dir(f, ".");
	assert_out_of_order();
	begin(f);
	add_text(f, "b", "x");
	add_dir(f, ".");
	assert_out_of_order();
	begin(f);
	add_dir(f, ".");
	add_dir_end(f, ".");
	add_text(f, "c", "x");
	assert_out_of_order();
	begin(f);
	add_dir(f, "e");
	add_dir_end(f, ".");
	assert_out_of_order();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_spread, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_out_of_order, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
