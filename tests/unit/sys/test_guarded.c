/* Guarded files: read only where nobody else could have written to them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/guarded.h"

struct fixture {
	char folder[64], path[128], fault[256];
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	strcpy(fixture->folder, "/tmp/waybill-guarded-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	snprintf(fixture->path, sizeof(fixture->path), "%s/file", fixture->folder);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	char command[128];

	chmod(fixture->folder, 0700);
	snprintf(command, sizeof(command), "%s/sub/inner/file", fixture->folder);
	unlink(command);
	for (int i = 0; i < 2; i++) {
		*strrchr(command, '/') = '\0';
		rmdir(command);
	}
	unlink(fixture->path);
	assert_int_equal(rmdir(fixture->folder), 0);
	free(fixture);
	return 0;
}

static enum wb_err look(struct fixture *fixture, enum wbi_guard guard)
{
	struct wbi_guarded file = {0};
	struct wb_fault fault = {0};
	enum wb_err err = wbi_guarded_read(fixture->path, guard, geteuid(), &file, &fault);

	snprintf(fixture->fault, sizeof(fixture->fault), "%s", fault.text);
	if (!err) {
		assert_int_equal(file.bytes, 4);
		assert_string_equal(file.data, "text");
	}
	wbi_guarded_done(&file);
	wbi_guarded_done(&file);
	return err;
}

static void write_file(struct fixture *fixture)
{
	assert_int_equal(wbi_guarded_create(fixture->path, 0600, "text", 4, NULL), WB_OK);
}

static void whose_it_has_to_be(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(look(fixture, WBI_GUARD_WRITING), WB_ERR_MISSING);
	write_file(fixture);
	assert_int_equal(look(fixture, WBI_GUARD_READING), WB_OK);
	chmod(fixture->path, 0604);
	assert_int_equal(look(fixture, WBI_GUARD_WRITING), WB_OK);
	assert_int_equal(look(fixture, WBI_GUARD_READING), WB_ERR_REFUSED);
	assert_non_null(strstr(fixture->fault, "others can read"));
	chmod(fixture->path, 0620);
	assert_int_equal(look(fixture, WBI_GUARD_WRITING), WB_ERR_REFUSED);
	chmod(fixture->path, 0602);
	assert_int_equal(look(fixture, WBI_GUARD_WRITING), WB_ERR_REFUSED);
	chmod(fixture->path, 0600);
	chmod(fixture->folder, 0770);
	assert_int_equal(look(fixture, WBI_GUARD_WRITING), WB_ERR_REFUSED);
	assert_non_null(strstr(fixture->fault, fixture->folder));
	chmod(fixture->folder, 01777);
	assert_int_equal(look(fixture, WBI_GUARD_WRITING), WB_OK);
}

/* As root we can give it away; as anybody else nothing that we can make belongs to others. */
static void another_users_file(void **state)
{
	struct fixture *fixture = *state;

	if (geteuid() != 0)
		skip();
	write_file(fixture);
	assert_int_equal(chown(fixture->path, 65534, 65534), 0);
	assert_int_equal(look(fixture, WBI_GUARD_WRITING), WB_ERR_REFUSED);
	assert_int_equal(chown(fixture->path, 0, 0), 0);
	assert_int_equal(chown(fixture->folder, 65534, 65534), 0);
	assert_int_equal(look(fixture, WBI_GUARD_WRITING), WB_ERR_REFUSED);
	assert_int_equal(chown(fixture->folder, 0, 0), 0);
	assert_int_equal(look(fixture, WBI_GUARD_WRITING), WB_OK);
}

static void only_files(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(mkfifo(fixture->path, 0600), 0);
	assert_int_equal(look(fixture, WBI_GUARD_WRITING), WB_ERR_REFUSED);
	assert_non_null(strstr(fixture->fault, "not a regular file"));
}

static void nothing_is_replaced(void **state)
{
	struct fixture *fixture = *state;
	struct stat status;

	write_file(fixture);
	assert_int_equal(wbi_guarded_create(fixture->path, 0600, "else", 4, NULL), WB_ERR_REFUSED);
	assert_int_equal(look(fixture, WBI_GUARD_READING), WB_OK);
	unlink(fixture->path);
	assert_int_equal(symlink("nowhere", fixture->path), 0);
	assert_int_equal(wbi_guarded_create(fixture->path, 0600, "else", 4, NULL), WB_ERR_REFUSED);
	unlink(fixture->path);
	snprintf(fixture->path, sizeof(fixture->path), "%s/sub/inner/file", fixture->folder);
	write_file(fixture);
	assert_int_equal(stat(fixture->path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	*strrchr(fixture->path, '/') = '\0';
	assert_int_equal(stat(fixture->path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0700);
}

static void lines_are_whole(void **state)
{
	struct fixture *fixture = *state;
	struct wbi_guarded file;

	assert_int_equal(wbi_guarded_create(fixture->path, 0600, "no end", 6, NULL), WB_OK);
	assert_int_equal(wbi_guarded_append(fixture->path, "one\n", NULL), WB_OK);
	assert_int_equal(wbi_guarded_append(fixture->path, "two\n", NULL), WB_OK);
	assert_int_equal(wbi_guarded_read(fixture->path, WBI_GUARD_WRITING, geteuid(), &file, NULL),
			 WB_OK);
	assert_string_equal(file.data, "no end\none\ntwo\n");
	wbi_guarded_done(&file);
}

static void a_stamp_changes(void **state)
{
	struct fixture *fixture = *state;
	uint64_t stamps[4];

	stamps[0] = wbi_guarded_stamp(fixture->path);
	assert_int_equal(wbi_guarded_stamp(fixture->path), stamps[0]);
	write_file(fixture);
	stamps[1] = wbi_guarded_stamp(fixture->path);
	assert_int_equal(wbi_guarded_append(fixture->path, "x\n", NULL), WB_OK);
	stamps[2] = wbi_guarded_stamp(fixture->path);
	unlink(fixture->path);
	write_file(fixture);
	stamps[3] = wbi_guarded_stamp(fixture->path);
	for (int i = 0; i < 4; i++)
		for (int j = 0; j < i; j++)
			assert_int_not_equal(stamps[i], stamps[j]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(whose_it_has_to_be),  TEST(another_users_file), TEST(only_files),
		TEST(nothing_is_replaced), TEST(lines_are_whole),    TEST(a_stamp_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
