/* Paths that try to leave: by the kernel and by the walk, with the same outcome. */
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
#include <unistd.h>

#include "sys/beneath.h"

static char top[64];
static int folder = -1;

/* top/outside, top/in/{file,sub/file,…}; `in` is the folder. */
static void make(const char *path, const char *to)
{
	char full[256];
	int fd;

	snprintf(full, sizeof(full), "%s/%s", top, path);
	if (to && !*to) {
		assert_int_equal(mkdir(full, 0755), 0);
	} else if (to) {
		assert_int_equal(symlink(to, full), 0);
	} else {
		fd = open(full, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		assert_true(fd >= 0);
		close(fd);
	}
}

static int set_up(void **state)
{
	char full[128];

	(void)state;
	snprintf(top, sizeof(top), "/tmp/waybill-beneath-XXXXXX");
	assert_non_null(mkdtemp(top));
	make("outside", NULL);
	make("in", "");
	make("in/file", NULL);
	make("in/sub", "");
	make("in/sub/file", NULL);
	make("in/sub/up", "../file");
	make("in/near", "sub");
	make("in/near-file", "sub/file");
	make("in/slash", "sub/");
	make("in/back", "sub/../file");
	make("in/out", "..");
	make("in/out-file", "../outside");
	make("in/absolute", "/tmp");
	make("in/round", "round");
	make("in/dangling", "nothing");
	make("in/same", ".");
	snprintf(full, sizeof(full), "%s/in", top);
	folder = open(full, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(folder >= 0);
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
	wbi_beneath_force_walk(false);
	close(folder);
	nftw(top, remove_one, 16, FTW_PHYS | FTW_DEPTH);
	return 0;
}

/* What a path opens ("" for nothing), or the errno. */
struct expectation {
	const char *path;
	int no_links; /* errno, 0: opens */
	int links;
	const char *is; /* the path beneath the folder of what is opened */
};

static const struct expectation expectations[] = {
	{"file", 0, 0, "file"},
	{"sub/file", 0, 0, "sub/file"},
	{"sub//file", 0, 0, "sub/file"},
	{"./sub/./file", 0, 0, "sub/file"},
	{"sub/../file", 0, 0, "file"},
	{"", 0, 0, "."},
	{".", 0, 0, "."},
	{"sub/..", 0, 0, "."},
	{"sub/", 0, 0, "sub"},
	{"sub/.", 0, 0, "sub"},
	{"near/file", ELOOP, 0, "sub/file"},
	{"near/", ELOOP, 0, "sub"},
	{"near-file", ELOOP, 0, "sub/file"},
	{"slash/file", ELOOP, 0, "sub/file"},
	{"slash", ELOOP, 0, "sub"},
	{"back", ELOOP, 0, "file"},
	{"sub/up", ELOOP, 0, "file"},
	{"same/same/file", ELOOP, 0, "file"},
	{"near/up", ELOOP, 0, "file"},
	{"..", EXDEV, EXDEV, NULL},
	{"../outside", EXDEV, EXDEV, NULL},
	{"sub/../../outside", EXDEV, EXDEV, NULL},
	{"../in/file", EXDEV, EXDEV, NULL},
	{"/", EXDEV, EXDEV, NULL},
	{"/etc/passwd", EXDEV, EXDEV, NULL},
	{"out", ELOOP, EXDEV, NULL},
	{"out/outside", ELOOP, EXDEV, NULL},
	{"out-file", ELOOP, EXDEV, NULL},
	{"absolute", ELOOP, EXDEV, NULL},
	{"absolute/x", ELOOP, EXDEV, NULL},
	{"round", ELOOP, ELOOP, NULL},
	{"dangling", ELOOP, ENOENT, NULL},
	{"nothing", ENOENT, ENOENT, NULL},
	{"nothing/x", ENOENT, ENOENT, NULL},
	{"file/", ENOTDIR, ENOTDIR, NULL},
	{"file/x", ENOTDIR, ENOTDIR, NULL},
	{"near-file/", ELOOP, ENOTDIR, NULL},
};

static void check(const struct expectation *wanted, enum wbi_beneath_links links, int flags)
{
	int error = links == WBI_BENEATH_LINKS ? wanted->links : wanted->no_links;
	int fd = wbi_beneath_open(folder, wanted->path, flags, 0, links);
	struct stat is, should;

	if (error) {
		if (fd >= 0 || errno != error)
			fail_msg("%s: %d, %s", wanted->path, fd, strerror(errno));
		return;
	}
	if (fd < 0)
		fail_msg("%s: %s", wanted->path, strerror(errno));
	assert_int_equal(fstat(fd, &is), 0);
	assert_int_equal(fstatat(folder, wanted->is, &should, AT_SYMLINK_NOFOLLOW), 0);
	if (is.st_ino != should.st_ino)
		fail_msg("%s is not %s", wanted->path, wanted->is);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
}

static unsigned open_descriptors(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void both_ways_agree(void **state)
{
	unsigned before = open_descriptors();

	(void)state;
	for (int walk = 0; walk < 2; walk++) {
		wbi_beneath_force_walk(walk);
		for (unsigned i = 0; i < sizeof(expectations) / sizeof(expectations[0]); i++) {
			check(&expectations[i], WBI_BENEATH_NO_LINKS, O_RDONLY);
			check(&expectations[i], WBI_BENEATH_LINKS, O_RDONLY);
			check(&expectations[i], WBI_BENEATH_NO_LINKS, O_PATH);
			check(&expectations[i], WBI_BENEATH_LINKS, O_PATH);
		}
	}
	assert_int_equal(open_descriptors(), before);
}

static void new_files(void **state)
{
	static const char *const bad[] = {"near-file", "out-file", "dangling"};

	(void)state;
	for (int walk = 0; walk < 2; walk++) {
		wbi_beneath_force_walk(walk);
		int fd = wbi_beneath_open(folder, "near/new", O_WRONLY | O_CREAT, 0600,
					  WBI_BENEATH_LINKS);
		assert_true(fd >= 0);
		close(fd);
		assert_int_equal(unlinkat(folder, "sub/new", 0), 0);
		for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			assert_int_equal(wbi_beneath_open(folder, bad[i], O_WRONLY | O_CREAT, 0600,
							  WBI_BENEATH_LINKS),
					 -1);
			assert_int_equal(errno, ELOOP);
		}
	}
}

static void parents(void **state)
{
	static const char *const bad[] = {"", "/", ".", "..", "sub/..", "sub/./"};
	const char *last;

	(void)state;
	for (int walk = 0; walk < 2; walk++) {
		wbi_beneath_force_walk(walk);
		int fd = wbi_beneath_parent(folder, "near/x", WBI_BENEATH_LINKS, &last);
		assert_true(fd >= 0);
		assert_string_equal(last, "x");
		assert_int_equal(faccessat(fd, "file", F_OK, 0), 0);
		close(fd);
		fd = wbi_beneath_parent(folder, "name/", WBI_BENEATH_NO_LINKS, &last);
		assert_true(fd >= 0);
		assert_string_equal(last, "name/");
		close(fd);
		for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			errno = 0;
			assert_int_equal(
				wbi_beneath_parent(folder, bad[i], WBI_BENEATH_LINKS, &last), -1);
			assert_int_equal(errno, EINVAL);
		}
		assert_int_equal(wbi_beneath_parent(folder, "../x", WBI_BENEATH_LINKS, &last), -1);
		assert_int_equal(errno, EXDEV);
		assert_int_equal(wbi_beneath_parent(folder, "near/x", WBI_BENEATH_NO_LINKS, &last),
				 -1);
		assert_int_equal(errno, ELOOP);
	}
}

static void very_long_and_very_deep(void **state)
{
	char *path = malloc(10000);
	unsigned before = open_descriptors();

	(void)state;
	for (int walk = 0; walk < 2; walk++) {
		wbi_beneath_force_walk(walk);
		memset(path, 'x', 9999);
		path[9999] = '\0';
		assert_int_equal(wbi_beneath_open(folder, path, O_RDONLY, 0, WBI_BENEATH_LINKS),
				 -1);
		assert_int_equal(errno, ENAMETOOLONG);
		for (int i = 0; i < 800; i++)
			memcpy(path + 5 * i, "same/", 5);
		strcpy(path + 4000, "file");
		assert_int_equal(wbi_beneath_open(folder, path, O_RDONLY, 0, WBI_BENEATH_LINKS),
				 -1);
		assert_int_equal(errno, ELOOP);
		for (int i = 0; i < 500; i++)
			memcpy(path + 7 * i, "sub/../", 7);
		strcpy(path + 3500, "file");
		int fd = wbi_beneath_open(folder, path, O_RDONLY, 0, WBI_BENEATH_NO_LINKS);
		assert_true(fd >= 0);
		close(fd);
	}
	assert_int_equal(open_descriptors(), before);
	free(path);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH(both_ways_agree),
		WITH(new_files),
		WITH(parents),
		WITH(very_long_and_very_deep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
