/* Removing, while somebody else exchanges what is to be removed with a link to what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "files/remove.h"

enum { ROUNDS = 5000, DEPTH = 100 };

/* A disk that does not find what it has listed. */
static int fail_fstatat;

int fstatat(int folder, const char *name, struct stat *status, int flags)
{
	__typeof__(&fstatat) next = (__typeof__(&fstatat))dlsym(RTLD_NEXT, "fstatat");

	if (fail_fstatat && strcmp(name, "odd") == 0) {
		errno = fail_fstatat;
		return -1;
	}
	return next(folder, name, status, flags);
}

/* base/in/d: a folder that goes; base/other: a link to base/outside, which holds what stays. */
struct place {
	char path[32];
	int base, in;
	atomic_bool stop;
	atomic_ulong swaps;
};

static bool exchange(const struct place *place)
{
	return syscall(SYS_renameat2, place->in, "d", place->base, "other", RENAME_EXCHANGE) == 0;
}

static void *swap(void *argument)
{
	struct place *place = argument;

	while (!atomic_load(&place->stop))
		atomic_fetch_add(&place->swaps, exchange(place));
	return NULL;
}

static void make_file(int folder, const char *name)
{
	int fd = openat(folder, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

/* Made aside and moved there: a path through `d` could lead outside by now. */
static void renew(struct place *place)
{
	struct stat status;

	if (fstatat(place->in, "d", &status, AT_SYMLINK_NOFOLLOW) == 0)
		return;
	if (fstatat(place->base, "other", &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISDIR(status.st_mode)) {
		assert_int_equal(renameat(place->base, "other", place->in, "d"), 0);
		assert_int_equal(symlinkat("../outside", place->base, "other"), 0);
		return;
	}
	assert_int_equal(mkdirat(place->base, "fresh", 0700), 0);
	make_file(place->base, "fresh/file");
	assert_int_equal(renameat(place->base, "fresh", place->in, "d"), 0);
}

static int setup(void **state)
{
	static struct place place;

	place = (struct place){.path = "/tmp/waybill-remove-XXXXXX"};
	assert_non_null(mkdtemp(place.path));
	place.base = open(place.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(place.base, "in", 0700), 0);
	assert_int_equal(mkdirat(place.base, "outside", 0700), 0);
	make_file(place.base, "outside/precious");
	assert_int_equal(symlinkat("../outside", place.base, "other"), 0);
	place.in = openat(place.base, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = &place;
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;
	struct wbi_removal removal = {.temporaries = true};

	wbi_remove_others(&removal, place->base, "");
	close(place->in);
	close(place->base);
	return rmdir(place->path);
}

static void remove_others(struct place *place)
{
	struct wbi_removal removal = {.removed = 0};

	wbi_remove_others(&removal, place->in, "");
}

static void remove_tree(struct place *place)
{
	(void)!wbi_remove_tree(place->in, "d");
}

static void race(struct place *place, void (*remove)(struct place *place))
{
	pthread_t thread;

	renew(place);
	if (!exchange(place) && (errno == ENOSYS || errno == EINVAL)) {
		print_message("SKIPPED: this file system cannot exchange names\n");
		skip();
	}
	assert_int_equal(pthread_create(&thread, NULL, swap, place), 0);
	for (int i = 0; i < ROUNDS; i++) {
		renew(place);
		remove(place);
		if (faccessat(place->base, "outside/precious", F_OK, 0) != 0)
			break;
	}
	atomic_store(&place->stop, true);
	pthread_join(thread, NULL);
	print_message("%lu exchanges\n", atomic_load(&place->swaps));
	assert_int_equal(faccessat(place->base, "outside/precious", F_OK, 0), 0);
}

static void what_is_not_kept_becomes_a_link(void **state)
{
	race(*state, remove_others);
}

static void a_tree_becomes_a_link(void **state)
{
	race(*state, remove_tree);
}

/* Deeper than there are descriptors. */
static void deeper_than_descriptors(void **state)
{
	struct place *place = *state;
	struct wbi_removal removal = {.removed = 0};
	struct rlimit before, few;
	int folder = openat(place->in, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (int i = 0; i < DEPTH; i++) {
		make_file(folder, "file");
		assert_int_equal(mkdirat(folder, "a", 0700), 0);
		assert_int_equal(mkdirat(folder, "b", 0700), 0);
		int next = openat(folder, "a", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(folder);
		folder = next;
	}
	assert_true(folder >= 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = (rlim_t)folder + 6;
	close(folder);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	wbi_remove_others(&removal, place->in, "");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(removal.error, 0);
	assert_int_equal(removal.removed, 3 * DEPTH);
	assert_int_equal(fcntl(place->in, F_GETFD), FD_CLOEXEC);
}

/* What cannot be looked at stays, and that is told; what has gone meanwhile is what was wanted. */
static void what_cannot_be_looked_at(void **state)
{
	struct place *place = *state;
	struct wbi_removal gone = {.removed = 0}, removal = {.removed = 0};

	assert_int_equal(mkdirat(place->in, "d", 0700), 0);
	make_file(place->in, "d/odd");
	make_file(place->in, "file");
	fail_fstatat = ENOENT;
	wbi_remove_others(&gone, place->in, "");
	fail_fstatat = EIO;
	wbi_remove_others(&removal, place->in, "");
	fail_fstatat = 0;
	assert_int_equal(gone.error, 0);
	assert_int_equal(gone.removed, 1);
	assert_int_equal(removal.error, EIO);
	assert_string_equal(removal.error_name, "d/odd");
	assert_int_equal(removal.removed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_cannot_be_looked_at, setup, teardown),
		cmocka_unit_test_setup_teardown(deeper_than_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_not_kept_becomes_a_link, setup, teardown),
		cmocka_unit_test_setup_teardown(a_tree_becomes_a_link, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
