/* A child that locks itself up, and what it can still reach. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/landlock.h"

static char top[64];
static int in = -1, outside = -1;

static int set_up(void **state)
{
	(void)state;
	snprintf(top, sizeof(top), "/tmp/waybill-landlock-XXXXXX");
	assert_non_null(mkdtemp(top));
	int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(fd, "in", 0755), 0);
	assert_int_equal(mkdirat(fd, "in/sub", 0755), 0);
	assert_int_equal(mkdirat(fd, "outside", 0755), 0);
	in = openat(fd, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	outside = openat(fd, "outside", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(openat(in, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	close(openat(outside, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	close(fd);
	return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status;
	(void)type;
	(void)where;
	return remove(path);
}

static int tear_down(void **state)
{
	(void)state;
	close(in);
	close(outside);
	nftw(top, remove_one, 16, FTW_PHYS | FTW_DEPTH);
	return 0;
}

/* 0, or the number of the line that was wrong. */
#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return __LINE__;                                                           \
	} while (0)

static bool opens(int folder, const char *name, int flags)
{
	int fd = openat(folder, name, flags | O_CLOEXEC, 0644);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int nothing_outside(void)
{
	EXPECT(!opens(outside, "file", O_RDONLY) && errno == EACCES);
	EXPECT(!opens(outside, "file", O_WRONLY));
	EXPECT(!opens(outside, "new", O_WRONLY | O_CREAT));
	EXPECT(!opens(AT_FDCWD, "/etc/passwd", O_RDONLY));
	EXPECT(!opens(in, "../outside/file", O_RDONLY));
	EXPECT(unlinkat(outside, "file", 0) != 0);
	EXPECT(renameat(in, "file", outside, "new") != 0);
	EXPECT(linkat(outside, "file", in, "stolen", 0) != 0);
	EXPECT(mkdirat(outside, "new", 0755) != 0);
	EXPECT(symlinkat("x", outside, "new") != 0);
	return 0;
}

static int writer(void)
{
	bool done = false;

	EXPECT(wbi_landlock_restrict(in, WBI_LANDLOCK_WRITE, &done, NULL) == WB_OK && done);
	EXPECT(opens(in, "file", O_RDWR | O_TRUNC));
	EXPECT(opens(in, "new", O_WRONLY | O_CREAT));
	EXPECT(mkdirat(in, "d", 0755) == 0);
	EXPECT(renameat(in, "new", in, "d/new") == 0);
	EXPECT(linkat(in, "d/new", in, "sub/link", 0) == 0);
	EXPECT(symlinkat("x", in, "link") == 0);
	EXPECT(unlinkat(in, "d/new", 0) == 0 && unlinkat(in, "d", AT_REMOVEDIR) == 0);
	EXPECT(mknodat(in, "pipe", S_IFIFO | 0600, 0) != 0);
	EXPECT(mknodat(in, "socket", S_IFSOCK | 0600, 0) != 0);
	EXPECT(mknodat(in, "device", S_IFCHR | 0600, 0) != 0);
	return nothing_outside();
}

static int reader(void)
{
	EXPECT(wbi_landlock_restrict(in, WBI_LANDLOCK_READ, NULL, NULL) == WB_OK);
	EXPECT(opens(in, "file", O_RDONLY) && opens(in, "sub", O_RDONLY | O_DIRECTORY));
	EXPECT(!opens(in, "file", O_WRONLY));
	EXPECT(!opens(in, "new", O_WRONLY | O_CREAT));
	EXPECT(unlinkat(in, "file", 0) != 0);
	EXPECT(mkdirat(in, "d", 0755) != 0);
	return nothing_outside();
}

static void in_a_child(int (*body)(void))
{
	int ends[2], line = -1;
	pid_t child;

	if (!wbi_landlock_exists()) {
		print_message("SKIPPED: this kernel has no Landlock\n");
		skip();
	}
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		line = body();
		_exit(write(ends[1], &line, sizeof(line)) != sizeof(line));
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &line, sizeof(line)), sizeof(line));
	close(ends[0]);
	assert_int_equal(waitpid(child, NULL, 0), child);
	if (line)
		fail_msg("line %d", line);
}

static void who_may_write(void **state)
{
	(void)state;
	in_a_child(writer);
}

static void who_may_only_read(void **state)
{
	(void)state;
	in_a_child(reader);
}

static void a_bad_folder_is_an_error(void **state)
{
	struct wb_fault fault = {0};
	bool done = true;

	(void)state;
	if (!wbi_landlock_exists()) {
		print_message("SKIPPED: this kernel has no Landlock\n");
		skip();
	}
	assert_int_equal(wbi_landlock_restrict(-1, WBI_LANDLOCK_WRITE, &done, &fault),
			 WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, EBADF);
	assert_true(opens(outside, "file", O_RDONLY));
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH(who_may_write),
		WITH(who_may_only_read),
		WITH(a_bad_folder_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
