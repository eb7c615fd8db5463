/* The loop's watches that go of themselves: told once, or closed when the turn is over. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "sys/fd.h"
#include "sys/loop.h"

enum { PATIENCE_MS = 10000 };

static int new_loop(void **state)
{
	return wbi_loop_new((struct wbi_loop **)state, NULL);
}

static int free_loop(void **state)
{
	wbi_loop_free(*state);
	return 0;
}

static void turn(struct wbi_loop *loop, int wait_ms)
{
	assert_int_equal(wbi_loop_turn(loop, wait_ms, NULL), WB_OK);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* A watch, and what happened to it. `other` is what its callback acts on. */
struct probe {
	struct wbi_watch watch;
	struct wbi_loop *loop;
	struct probe *other;
	int calls;
	unsigned events;
};

static void count_call(struct wbi_watch *watch, unsigned events)
{
	struct probe *probe = WBI_CONTAINER(watch, struct probe, watch);

	probe->calls++;
	probe->events = events;
}

/* On an eventfd that is ready and stays so. */
static void begin(struct probe *probe, struct wbi_loop *loop, wbi_watch_fn *fn, unsigned events)
{
	*probe = (struct probe){.loop = loop};
	wbi_watch_init(&probe->watch, fn, eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC), events);
	assert_true(probe->watch.fd >= 0);
	assert_int_equal(wbi_loop_watch(loop, &probe->watch, NULL), WB_OK);
}

/* Then it is no more than a descriptor. */
static void test_once_is_once(void **state)
{
	struct probe probe;

	begin(&probe, *state, count_call, WBI_READ | WBI_ONCE);
	turn(*state, PATIENCE_MS);
	assert_int_equal(probe.calls, 1);
	assert_int_equal(probe.events, WBI_READ);
	turn(*state, 0);
	assert_int_equal(probe.calls, 1);
	wbi_fd_close(&probe.watch.fd);
	turn(*state, 0);
}

static void test_once_is_told_of_a_hangup(void **state)
{
	struct probe probe = {0};
	int reader, writer;

	assert_int_equal(wbi_fd_pipe(&reader, &writer, NULL), WB_OK);
	wbi_watch_init(&probe.watch, count_call, reader, WBI_READ | WBI_ONCE);
	assert_int_equal(wbi_loop_watch(*state, &probe.watch, NULL), WB_OK);
	wbi_fd_close(&writer);
	turn(*state, PATIENCE_MS);
	assert_int_equal(probe.events, WBI_READ | WBI_HANGUP);
	turn(*state, 0);
	assert_int_equal(probe.calls, 1);
	wbi_loop_retire(*state, &probe.watch);
	assert_true(is_open(reader));
	turn(*state, 0);
	assert_false(is_open(reader));
}

/* It goes at the next turn, and not before: until then its number is nobody else's. */
static void test_what_is_retired_closes_with_the_next_turn(void **state)
{
	struct probe probe;
	int fd;

	begin(&probe, *state, count_call, WBI_READ);
	fd = probe.watch.fd;
	wbi_loop_retire(*state, &probe.watch);
	wbi_loop_retire(*state, &probe.watch);
	assert_int_equal(probe.watch.fd, -1);
	assert_true(is_open(fd));
	turn(*state, 0);
	assert_false(is_open(fd));
	assert_int_equal(probe.calls, 0);
}

static void retire_other(struct wbi_watch *watch, unsigned events)
{
	struct probe *probe = WBI_CONTAINER(watch, struct probe, watch);

	count_call(watch, events);
	wbi_loop_retire(probe->loop, &probe->other->watch);
}

static void test_retiring_another_drops_its_event(void **state)
{
	struct probe a, b;

	begin(&a, *state, retire_other, WBI_READ);
	begin(&b, *state, retire_other, WBI_READ);
	a.other = &b;
	b.other = &a;
	turn(*state, PATIENCE_MS);
	assert_int_equal(a.calls + b.calls, 1);
	wbi_loop_retire(*state, &a.watch);
	wbi_loop_retire(*state, &b.watch);
}

static void test_more_retire_than_can_wait(void **state)
{
	enum { MANY = 200 };
	int fds[MANY];

	for (int i = 0; i < MANY; i++) {
		struct probe probe;

		begin(&probe, *state, count_call, WBI_READ);
		fds[i] = probe.watch.fd;
		wbi_loop_retire(*state, &probe.watch);
	}
	turn(*state, 0);
	for (int i = 0; i < MANY; i++)
		assert_false(is_open(fds[i]));
}

static void test_a_loop_that_goes_closes_what_is_retired(void **state)
{
	struct wbi_loop *loop;
	struct probe probe;
	int fd;
	(void)state;

	assert_int_equal(wbi_loop_new(&loop, NULL), WB_OK);
	begin(&probe, loop, count_call, WBI_READ);
	fd = probe.watch.fd;
	wbi_loop_retire(loop, &probe.watch);
	wbi_loop_free(loop);
	assert_false(is_open(fd));
}

#define WITH_LOOP(test) cmocka_unit_test_setup_teardown(test, new_loop, free_loop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_LOOP(test_once_is_once),
		WITH_LOOP(test_once_is_told_of_a_hangup),
		WITH_LOOP(test_what_is_retired_closes_with_the_next_turn),
		WITH_LOOP(test_retiring_another_drops_its_event),
		WITH_LOOP(test_more_retire_than_can_wait),
		cmocka_unit_test(test_a_loop_that_goes_closes_what_is_retired),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
