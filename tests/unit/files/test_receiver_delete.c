/* Deleting what was not sent, in a folder that is not to be had at that moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "receiver_fixture.h"

enum { SIZE = 300000 };

static struct fixture *f;

static int set_up(void **state)
{
	(void)state;
	f = fixture_new();
	f->options.delete = true;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fixture_free(f);
	return 0;
}

/* So few that a folder's is given back as soon as three others are needed. */
static struct rlimit limit_descriptors(void)
{
	struct rlimit before, few;
	int free_one = dup(0);

	close(free_one);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = 2 * (rlim_t)free_one + 2;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	return before;
}

static void add_listing(const char *name)
{
	static const char names[] = "big\0x";

	wbi_item_init(&scratch, WBI_ITEM_DIR_END);
	assert_true(wbi_item_set_name(&scratch, name, strlen(name)));
	scratch.has_listing = true;
	scratch.payload_bytes = sizeof(names);
	add(f, &scratch, names);
}

/* d, whose end comes while a file in it is still to come. away: it has another name just then. */
static void end_a_folder(bool away)
{
	uint8_t *content = make_content(SIZE, 1);
	struct rlimit before;

	begin(f);
	before = limit_descriptors();
	add_dir(f, "d");
	add(f, offer(f, "d/big", SIZE), NULL);
	assert_int_equal(run(f), WB_OK);
	add_dir(f, "d/x");
	add_dir(f, "d/x/y");
	add_dir(f, "d/x/y/z");
	assert_int_equal(run(f), WB_OK);
	if (away)
		assert_int_equal(rename(path_of(f, "d"), path_of(f, "away")), 0);
	add_dir_end(f, "d/x/y/z");
	add_dir_end(f, "d/x/y");
	add_dir_end(f, "d/x");
	add_listing("d");
	assert_int_equal(run(f), WB_OK);
	if (away)
		assert_int_equal(rename(path_of(f, "away"), path_of(f, "d")), 0);
	add_data(f, 2, content, 0, SIZE);
	add_end(f, 2, content, SIZE);
	add_done(f);
	assert_int_equal(run(f), WB_OK);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_file(path_of(f, "d/big"), content, SIZE);
	free(content);
}

static void a_folder_that_is_away(void **state)
{
	(void)state;
	assert_int_equal(mkdir(path_of(f, "d"), 0755), 0);
	assert_int_equal(mkdir(path_of(f, "d/x"), 0755), 0);
	assert_int_equal(mkdir(path_of(f, "d/x/y"), 0755), 0);
	assert_int_equal(mkdir(path_of(f, "d/x/y/z"), 0755), 0);
	put_file(path_of(f, "d/old"), "old", 3);
	end_a_folder(true);
	assert_failed(f, 1, "not-found");
	assert_string_equal(answer_of(f, WBI_ANSWER_FAILED, 1)->text,
			    "d: nothing deleted: it cannot be opened again");
	assert_int_equal(wbi_file_receiver_failures(f->receiver)->count, 1);
	assert_int_equal(answer_of(f, WBI_ANSWER_FINISHED, 0)->failed, 1);
	assert_text(f, "d/old", "old");
	end_a_folder(false);
	assert_string_equal(last_error(f), "");
	assert_false(exists(path_of(f, "d/old")));
}

/* Told of once: nothing is there that could be deleted. */
static void a_folder_that_could_not_be_made(void **state)
{
	(void)state;
	put_file(path_of(f, "d"), "old", 3);
	begin(f);
	add_dir(f, "d");
	add_listing("d");
	add_done(f);
	assert_int_equal(run(f), WB_OK);
	assert_failed(f, 1, "not-a-folder");
	assert_int_equal(wbi_file_receiver_failures(f->receiver)->count, 1);
	assert_text(f, "d", "old");
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH(a_folder_that_is_away),
		WITH(a_folder_that_could_not_be_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
