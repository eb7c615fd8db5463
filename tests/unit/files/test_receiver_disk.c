/* A disk that is full, read-only, or not ours: one clear error, and the old file as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "receiver_fixture.h"

#include "../job/tiny_disk.h"

enum { MIB = 1 << 20, NOBODY = 65534 };

static struct fixture *f;
static uint8_t *content;

static int set_up(void **state)
{
	(void)state;
	f = fixture_new();
	content = make_content(MIB, 1);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	wbi_file_receiver_free(f->receiver);
	f->receiver = NULL;
	wbi_file_target_close(&f->target);
	(void)umount2(path_of(f, ""), MNT_DETACH);
	free(content);
	fixture_free(f);
	return 0;
}

/* As somebody who may not write there: root may everywhere. */
static void permission_denied(void **state)
{
	(void)state;
	put_file(path_of(f, "old"), "old", 3);
	assert_int_equal(chmod(f->root, 0755), 0);
	begin(f);
	add_text(f, "old", "new");
	add_dir(f, "d");
	add_dir_end(f, "d");
	add(f, offer(f, "big", MIB), NULL);
	add_link(f, "link", "x");
	assert_int_equal(chmod(path_of(f, ""), 0555), 0);
	if (geteuid() == 0)
		assert_int_equal(seteuid(NOBODY), 0);
	assert_int_equal(run(f), WB_OK);
	add_data(f, 3, content, 0, MIB);
	add_end(f, 3, content, MIB);
	add_done(f);
	enum wb_err err = run(f);
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(err, WB_OK);
	for (uint64_t n = 1; n <= 4; n++)
		assert_failed(f, n, "denied");
	assert_int_equal(answer_of(f, WBI_ANSWER_FINISHED, 0)->failed, 4);
	assert_int_equal(chmod(path_of(f, ""), 0755), 0);
	assert_text(f, "old", "old");
}

static bool tiny(void)
{
	if (mount_tiny_disk(path_of(f, "")))
		return true;
	print_message("SKIPPED: mounting is not allowed here\n");
	return false;
}

static void assert_ends(const char *error)
{
	assert_int_equal(run(f), WB_ERR_SYSTEM);
	assert_string_equal(last_error(f), error);
	assert_non_null(answer_of(f, WBI_ANSWER_FINISHED, 0));
	assert_int_equal(temporaries(f), 0);
	assert_text(f, "old", "old");
}

static void full_with_small_files(void **state)
{
	char name[32];

	(void)state;
	if (!tiny())
		skip();
	put_file(path_of(f, "old"), "old", 3);
	begin(f);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		small(f, name, content, 4096);
		add(f, &scratch, content);
	}
	small(f, "old", content, 4096);
	add(f, &scratch, content);
	assert_ends("no-space");
	/* What was complete has its name. */
	assert_file(path_of(f, "f5"), content, 4096);
}

static void full_with_a_large_file(void **state)
{
	(void)state;
	if (!tiny())
		skip();
	put_file(path_of(f, "old"), "old", 3);
	begin(f);
	add(f, offer(f, "old", MIB), NULL);
	assert_int_equal(run(f), WB_OK);
	add_data(f, 1, content, 0, MIB);
	add_end(f, 1, content, MIB);
	assert_ends("no-space");
}

static void read_only(void **state)
{
	(void)state;
	if (!tiny())
		skip();
	put_file(path_of(f, "old"), "old", 3);
	assert_int_equal(mount(NULL, path_of(f, ""), NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	begin(f);
	add_text(f, "old", "new");
	assert_ends("read-only");
	begin(f);
	add(f, offer(f, "old", MIB), NULL);
	assert_int_equal(run(f), WB_OK);
	add_data(f, 1, content, 0, MIB);
	assert_ends("read-only");
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH(permission_denied),
		WITH(full_with_small_files),
		WITH(full_with_a_large_file),
		WITH(read_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
