/* A receiver that is killed at any moment: every name holds the old file or the new one, and the
 * next transfer asks only for what is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/time.h>
#include <sys/wait.h>

#include "receiver_fixture.h"

enum { MIB = 1 << 20, FILES = 200, SMALL = 9000, BIG = 6 * MIB, ROUNDS = 60 };

static struct fixture *f;
static uint8_t *old_small, *new_small, *old_big, *new_big;

static int set_up(void **state)
{
	(void)state;
	f = fixture_new();
	old_small = make_content(SMALL, 1);
	new_small = make_content(SMALL, 2);
	old_big = make_content(BIG, 3);
	new_big = make_content(BIG, 4);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(old_small);
	free(new_small);
	free(old_big);
	free(new_big);
	fixture_free(f);
	return 0;
}

static const char *name_of(int i)
{
	static char name[32];

	snprintf(name, sizeof(name), "d/f%d", i);
	return name;
}

static void receive_all(void)
{
	begin(f);
	add_dir(f, "d");
	for (int i = 0; i < FILES; i++) {
		small(f, name_of(i), new_small, SMALL);
		add(f, &scratch, new_small);
	}
	add(f, offer(f, "d/big", BIG), NULL);
	(void)run(f);
	add_data(f, f->n, new_big, 0, BIG);
	add_end(f, f->n, new_big, BIG);
	add_dir_end(f, "d");
	add_done(f);
	(void)run(f);
}

/* Runs it in a child whose alarm clock nobody hears: it dies wherever it happens to be. Returns
 * whether it came to its end before. */
static bool receive_for(int microseconds)
{
	struct itimerval alarm = {.it_value = {.tv_usec = microseconds}};
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		setitimer(ITIMER_REAL, &alarm, NULL);
		receive_all();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) || WTERMSIG(status) == SIGALRM);
	return WIFEXITED(status);
}

static bool holds(const char *path, const uint8_t *content, size_t bytes)
{
	uint8_t *held = malloc(bytes + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd >= 0 ? read(fd, held, bytes + 1) : -1;
	bool same = got >= 0 && (size_t)got == bytes && !memcmp(held, content, (size_t)got);

	if (fd >= 0)
		close(fd);
	free(held);
	return same;
}

static void check_names(bool had_old)
{
	for (int i = 0; i < FILES; i++) {
		const char *path = path_of(f, name_of(i));
		if (!holds(path, new_small, SMALL) &&
		    !(had_old ? holds(path, old_small, SMALL) : !exists(path)))
			fail_msg("%s is neither old nor new", path);
	}
	const char *big = path_of(f, "d/big");
	assert_true(holds(big, new_big, BIG) ||
		    (had_old ? holds(big, old_big, BIG) : !exists(big)));
}

static void put_old(void)
{
	if (!exists(path_of(f, "d")))
		assert_int_equal(mkdir(path_of(f, "d"), 0755), 0);
	for (int i = 0; i < FILES; i++)
		put_file(path_of(f, name_of(i)), old_small, SMALL);
	put_file(path_of(f, "d/big"), old_big, BIG);
}

static void killed_at_any_moment(void **state)
{
	unsigned cut = 0;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		bool had_old = round % 2;
		if (had_old)
			put_old();
		f->options.no_fsync = round % 4 >= 2;
		/* From the first file on to beyond the last, on any machine. */
		cut += !receive_for(1000 + round * round * 12);
		check_names(had_old);
		nftw(path_of(f, "d"), remove_one, 16, FTW_PHYS | FTW_DEPTH);
	}
	assert_true(cut >= 5);
}

/* Dies in the middle of the large one; the same transfer again goes on there. */
static void again_asks_for_what_is_missing(void **state)
{
	const struct wbi_answer *want;
	pid_t child = fork();

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		begin(f);
		add(f, offer(f, "big", BIG), NULL);
		(void)run(f);
		add_data(f, 1, new_big, 0, 4 * MIB);
		(void)run(f);
		_exit(0); /* no clean-up: as good as killed */
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(temporaries(f), 1);
	assert_false(exists(path_of(f, "big")));
	begin(f);
	add(f, offer(f, "big", BIG), NULL);
	assert_int_equal(run(f), WB_OK);
	want = answer_of(f, WBI_ANSWER_WANT, 1);
	assert_int_equal(want->block_count * want->block_bytes, 4 * MIB);
	add(f, piece(WBI_ITEM_COPY, 1, 0, 4 * MIB), NULL);
	add_data(f, 1, new_big, 4 * MIB, BIG);
	add_end(f, 1, new_big, BIG);
	finish(f);
	assert_file(path_of(f, "big"), new_big, BIG);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH(killed_at_any_moment),
		WITH(again_asks_for_what_is_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
