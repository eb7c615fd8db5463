/* Guarded files: read only where nobody else could have written to them. */
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
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
	int free_fd;
};

static int lowest_free_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	return fd;
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	strcpy(fixture->folder, "/tmp/waybill-guarded-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	snprintf(fixture->path, sizeof(fixture->path), "%s/file", fixture->folder);
	fixture->free_fd = lowest_free_fd();
	*state = fixture;
	return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *at)
{
	(void)status;
	(void)type;
	(void)at;
	return remove(path);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	int free_fd = fixture->free_fd;

	chmod(fixture->folder, 0700);
	assert_int_equal(nftw(fixture->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	free(fixture);
	assert_int_equal(lowest_free_fd(), free_fd);
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

/* What root shares with a group, root has meant to; a user's own key is his alone. */
static void a_key_shared_with_a_group(void **state)
{
	struct fixture *fixture = *state;
	struct wbi_guarded file;

	write_file(fixture);
	chmod(fixture->path, 0640);
	assert_int_equal(look(fixture, WBI_GUARD_READING), geteuid() ? WB_ERR_REFUSED : WB_OK);
	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(fixture->path, 65534, 65534), 0);
	assert_int_equal(wbi_guarded_read(fixture->path, WBI_GUARD_READING, 65534, &file, NULL),
			 WB_ERR_REFUSED);
}

static void only_so_large(void **state)
{
	struct fixture *fixture = *state;

	write_file(fixture);
	assert_int_equal(truncate(fixture->path, WBI_GUARDED_BYTES_MAX + 1), 0);
	assert_int_equal(look(fixture, WBI_GUARD_WRITING), WB_ERR_LIMIT);
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

/* ---- links on the way ---- */

enum { OTHER_UID = 65534, THIRD_UID = 65533 };

/* What stands in the fixture's folder. Good until the next call but three. */
static const char *at(const struct fixture *fixture, const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", fixture->folder, name);
	return path;
}

static enum wb_err read_as(struct fixture *fixture, const char *path, uid_t owner)
{
	struct wbi_guarded file = {0};
	struct wb_fault fault = {0};
	enum wb_err err = wbi_guarded_read(path, WBI_GUARD_WRITING, owner, &file, &fault);

	snprintf(fixture->fault, sizeof(fixture->fault), "%s", fault.text);
	wbi_guarded_done(&file);
	return err;
}

static enum wb_err try_to_read(struct fixture *fixture, const char *path)
{
	return read_as(fixture, path, geteuid());
}

static void expect_refusal(struct fixture *fixture, const char *path, const char *what,
			   const char *why)
{
	assert_int_equal(try_to_read(fixture, path), WB_ERR_REFUSED);
	assert_non_null(strstr(fixture->fault, what));
	assert_non_null(strstr(fixture->fault, why));
}

/* Under sticky/, where others may write: a link to `aim` that somebody else has put there. */
static const char *plant(struct fixture *fixture, const char *name, const char *aim)
{
	const char *path = at(fixture, name);

	assert_int_equal(symlink(aim, path), 0);
	assert_int_equal(lchown(path, OTHER_UID, OTHER_UID), 0);
	return path;
}

static void make_folder(const char *path, mode_t mode)
{
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chmod(path, mode), 0);
}

/* As fs.protected_symlinks of the kernel has it: where others may put links, only root's and our
 * own are followed. */
static void links_of_another_user(void **state)
{
	static const mode_t sticky[] = {01777, 01770, 01707};
	struct fixture *fixture = *state;
	const char *link;

	if (geteuid() != 0)
		skip();
	write_file(fixture);
	make_folder(at(fixture, "sticky"), 0755);
	link = plant(fixture, "sticky/link", "../file");
	assert_int_equal(try_to_read(fixture, link), WB_OK);
	for (int i = 0; i < 3; i++) {
		chmod(at(fixture, "sticky"), sticky[i]);
		link = at(fixture, "sticky/link");
		expect_refusal(fixture, link, link, "the link belongs to another user");
	}
	assert_int_equal(read_as(fixture, link, OTHER_UID), WB_OK);
	assert_int_equal(read_as(fixture, link, THIRD_UID), WB_ERR_REFUSED);
	assert_int_equal(lchown(link, 0, 0), 0);
	assert_int_equal(try_to_read(fixture, link), WB_OK);
	assert_int_equal(read_as(fixture, link, OTHER_UID), WB_OK);
}

/* Wherever on the way, and even where it leads to nothing: next time it may. */
static void links_of_another_user_on_the_way(void **state)
{
	struct fixture *fixture = *state;
	const char *folder, *ours;

	if (geteuid() != 0)
		skip();
	write_file(fixture);
	make_folder(at(fixture, "sticky"), 01777);
	folder = plant(fixture, "sticky/folder", fixture->folder);
	expect_refusal(fixture, at(fixture, "sticky/folder/file"), folder, "the link belongs");
	ours = at(fixture, "ours");
	assert_int_equal(symlink("sticky/folder/file", ours), 0);
	expect_refusal(fixture, ours, folder, "the link belongs");
	assert_int_equal(wbi_guarded_create(at(fixture, "sticky/plain"), 0600, "", 0, NULL), WB_OK);
	assert_int_equal(chown(at(fixture, "sticky/plain"), OTHER_UID, OTHER_UID), 0);
	assert_int_equal(try_to_read(fixture, at(fixture, "sticky/plain/x")), WB_ERR_MISSING);
	plant(fixture, "sticky/nowhere", "nothing");
	expect_refusal(fixture, at(fixture, "sticky/nowhere"), "nowhere", "the link belongs");
}

static void nothing_is_added_through_them(void **state)
{
	struct fixture *fixture = *state;
	struct wb_fault fault;
	const char *link;

	if (geteuid() != 0)
		skip();
	write_file(fixture);
	make_folder(at(fixture, "sticky"), 01777);
	link = plant(fixture, "sticky/link", "../file");
	assert_int_equal(wbi_guarded_append(link, "x\n", &fault), WB_ERR_REFUSED);
	assert_non_null(strstr(fault.text, link));
	link = plant(fixture, "sticky/new", "../new");
	assert_int_equal(wbi_guarded_append(link, "x\n", NULL), WB_ERR_REFUSED);
	assert_int_equal(access(at(fixture, "new"), F_OK), -1);
	assert_int_equal(look(fixture, WBI_GUARD_WRITING), WB_OK);
}

/* Our own links are followed, to write as well, and each folder on the way counts. */
static void folders_on_the_way(void **state)
{
	struct fixture *fixture = *state;
	const char *open, *link = at(fixture, "link");

	write_file(fixture);
	make_folder(at(fixture, "open"), 0777);
	open = at(fixture, "open");
	assert_int_equal(symlink("open/second", link), 0);
	assert_int_equal(try_to_read(fixture, link), WB_ERR_MISSING);
	assert_int_equal(symlink(fixture->path, at(fixture, "open/second")), 0);
	expect_refusal(fixture, link, open, "others can write to this folder");
	chmod(open, 0755);
	assert_int_equal(try_to_read(fixture, link), WB_OK);
	assert_int_equal(wbi_guarded_append(link, "more\n", NULL), WB_OK);
	unlink(fixture->path);
	assert_int_equal(wbi_guarded_append(link, "text", NULL), WB_OK);
	assert_int_equal(look(fixture, WBI_GUARD_READING), WB_OK);
	/* No name is looked up in the folder itself. */
	chmod(at(fixture, "open"), 0777);
	assert_int_equal(try_to_read(fixture, at(fixture, "open/../file")), WB_OK);
}

static void odd_names(void **state)
{
	struct fixture *fixture = *state;
	char before[PATH_MAX], name[PATH_MAX + 2];

	write_file(fixture);
	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(fixture->folder), 0);
	assert_int_equal(try_to_read(fixture, "file"), WB_OK);
	assert_int_equal(try_to_read(fixture, ".//./file"), WB_OK);
	assert_int_equal(try_to_read(fixture, ""), WB_ERR_MISSING);
	assert_int_equal(try_to_read(fixture, "file/"), WB_ERR_MISSING);
	assert_int_equal(try_to_read(fixture, "file/x"), WB_ERR_MISSING);
	expect_refusal(fixture, ".", ".", "not a regular file");
	expect_refusal(fixture, "/", "/", "not a regular file");
	assert_int_equal(symlink("loop", "loop"), 0);
	assert_int_equal(try_to_read(fixture, "loop"), WB_ERR_SYSTEM);
	assert_int_equal(symlink("file/", "file-as-folder"), 0);
	assert_int_equal(try_to_read(fixture, "file-as-folder"), WB_ERR_MISSING);
	memset(name, 'x', sizeof(name));
	name[NAME_MAX + 1] = '\0';
	assert_int_equal(try_to_read(fixture, name), WB_ERR_SYSTEM);
	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = i % 2 ? '/' : '.';
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(try_to_read(fixture, name), WB_ERR_SYSTEM);
	assert_int_equal(chdir(before), 0);
}

/* A descriptor by its name in /proc leads to a file that may have no other name: what counts is
 * where that is. */
static void descriptors_by_name(void **state)
{
	struct fixture *fixture = *state;
	char name[64];
	int pipes[2], fd;

	write_file(fixture);
	fd = open(fixture->path, O_RDONLY | O_CLOEXEC);
	snprintf(name, sizeof(name), "/dev/fd/%d", fd);
	assert_int_equal(try_to_read(fixture, name), WB_OK);
	chmod(fixture->folder, 0777);
	expect_refusal(fixture, name, fixture->folder, "others can write to this folder");
	chmod(fixture->folder, 0700);
	unlink(fixture->path);
	assert_int_equal(try_to_read(fixture, name), WB_OK);
	close(fd);
	assert_int_equal(pipe(pipes), 0);
	snprintf(name, sizeof(name), "/dev/fd/%d", pipes[0]);
	expect_refusal(fixture, name, name, "not a regular file");
	close(pipes[0]);
	close(pipes[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(whose_it_has_to_be),
		TEST(another_users_file),
		TEST(only_files),
		TEST(a_key_shared_with_a_group),
		TEST(only_so_large),
		TEST(nothing_is_replaced),
		TEST(lines_are_whole),
		TEST(a_stamp_changes),
		TEST(links_of_another_user),
		TEST(links_of_another_user_on_the_way),
		TEST(nothing_is_added_through_them),
		TEST(folders_on_the_way),
		TEST(odd_names),
		TEST(descriptors_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
