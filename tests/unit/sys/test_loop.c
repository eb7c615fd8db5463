/* The loop: events, removals in the middle of a turn, timers, tasks, posts from threads, signals.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/clock.h"
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

static void turn(struct wbi_loop *loop)
{
	assert_int_equal(wbi_loop_turn(loop, PATIENCE_MS, NULL), WB_OK);
}

static void turn_at_once(struct wbi_loop *loop)
{
	assert_int_equal(wbi_loop_turn(loop, 0, NULL), WB_OK);
}

/* ---- watches ---- */

/* A watch on an eventfd, and what happened to it. `other` is what its callback acts on. */
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

static struct probe *new_probe(struct wbi_loop *loop, wbi_watch_fn *fn, bool ready)
{
	struct probe *probe = calloc(1, sizeof(*probe));
	assert_non_null(probe);
	probe->loop = loop;
	wbi_watch_init(&probe->watch, fn, eventfd(ready, EFD_NONBLOCK | EFD_CLOEXEC), WBI_READ);
	assert_int_equal(wbi_loop_watch(loop, &probe->watch, NULL), WB_OK);
	return probe;
}

static void free_probe(struct probe *probe)
{
	wbi_loop_unwatch(probe->loop, &probe->watch);
	wbi_fd_close(&probe->watch.fd);
	free(probe);
}

static void test_ready_is_level_triggered(void **state)
{
	struct probe *probe = new_probe(*state, count_call, false);

	turn_at_once(*state);
	assert_int_equal(probe->calls, 0);
	assert_int_equal(eventfd_write(probe->watch.fd, 1), 0);
	turn(*state);
	turn(*state);
	assert_int_equal(probe->calls, 2);
	assert_int_equal(probe->events, WBI_READ);
	free_probe(probe);
}

static void test_only_what_is_wanted_comes(void **state)
{
	struct probe *probe = new_probe(*state, count_call, true);

	wbi_loop_want(*state, &probe->watch, WBI_WRITE);
	turn(*state);
	assert_int_equal(probe->events, WBI_WRITE);
	wbi_loop_want(*state, &probe->watch, WBI_READ | WBI_WRITE);
	turn(*state);
	assert_int_equal(probe->events, WBI_READ | WBI_WRITE);
	wbi_loop_want(*state, &probe->watch, 0);
	turn_at_once(*state);
	assert_int_equal(probe->calls, 2);
	free_probe(probe);
}

static void test_unwatch_is_safe_to_repeat(void **state)
{
	struct probe *probe = new_probe(*state, count_call, true);

	wbi_loop_unwatch(*state, &probe->watch);
	wbi_loop_unwatch(*state, &probe->watch);
	turn_at_once(*state);
	assert_int_equal(probe->calls, 0);
	assert_int_equal(wbi_loop_watch(*state, &probe->watch, NULL), WB_OK);
	turn(*state);
	assert_int_equal(probe->calls, 1);
	free_probe(probe);
}

static int calls_of_all;
static struct probe *survivor;

static void free_other(struct wbi_watch *watch, unsigned events)
{
	struct probe *probe = WBI_CONTAINER(watch, struct probe, watch);
	(void)events;
	calls_of_all++;
	free_probe(probe->other);
	survivor = probe;
}

/* Both are ready in one turn: whichever comes first frees the other, event and all. */
static void test_removing_another_drops_its_event(void **state)
{
	struct probe *a = new_probe(*state, free_other, true);
	struct probe *b = new_probe(*state, free_other, true);

	calls_of_all = 0;
	a->other = b;
	b->other = a;
	turn(*state);
	assert_int_equal(calls_of_all, 1);
	free_probe(survivor);
}

static void free_itself(struct wbi_watch *watch, unsigned events)
{
	(void)events;
	calls_of_all++;
	free_probe(WBI_CONTAINER(watch, struct probe, watch));
}

static void test_a_callback_may_free_its_own_watch(void **state)
{
	calls_of_all = 0;
	for (int i = 0; i < 10; i++)
		new_probe(*state, free_itself, true);
	turn(*state);
	turn_at_once(*state);
	assert_int_equal(calls_of_all, 10);
}

static void move_other_to_silence(struct wbi_watch *watch, unsigned events)
{
	struct probe *probe = WBI_CONTAINER(watch, struct probe, watch);
	struct wbi_watch *other = &probe->other->watch;

	count_call(watch, events);
	wbi_loop_unwatch(probe->loop, other);
	wbi_fd_close(&other->fd);
	other->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_int_equal(wbi_loop_watch(probe->loop, other, NULL), WB_OK);
}

static void test_a_watch_used_again_gets_no_stale_event(void **state)
{
	struct probe *a = new_probe(*state, move_other_to_silence, true);
	struct probe *b = new_probe(*state, move_other_to_silence, true);

	a->other = b;
	b->other = a;
	turn(*state);
	assert_int_equal(a->calls + b->calls, 1);
	free_probe(a);
	free_probe(b);
}

static void want_nothing_of_other(struct wbi_watch *watch, unsigned events)
{
	struct probe *probe = WBI_CONTAINER(watch, struct probe, watch);
	count_call(watch, events);
	wbi_loop_want(probe->loop, &probe->other->watch, 0);
}

static void test_what_is_no_longer_wanted_is_not_delivered(void **state)
{
	struct probe *a = new_probe(*state, want_nothing_of_other, true);
	struct probe *b = new_probe(*state, want_nothing_of_other, true);

	a->other = b;
	b->other = a;
	turn(*state);
	assert_int_equal(a->calls + b->calls, 1);
	free_probe(a);
	free_probe(b);
}

static void test_more_ready_than_one_batch_holds(void **state)
{
	enum { MANY = 700 };
	struct probe *probes[MANY];

	for (int i = 0; i < MANY; i++)
		probes[i] = new_probe(*state, count_call, true);
	turn(*state);
	turn(*state);
	for (int i = 0; i < MANY; i++) {
		assert_in_range(probes[i]->calls, 1, 2);
		free_probe(probes[i]);
	}
}

static void test_hangup_comes_with_what_is_wanted(void **state)
{
	struct probe probe = {0};
	int reader, writer;

	assert_int_equal(wbi_fd_pipe(&reader, &writer, NULL), WB_OK);
	wbi_watch_init(&probe.watch, count_call, reader, WBI_READ);
	assert_int_equal(wbi_loop_watch(*state, &probe.watch, NULL), WB_OK);
	wbi_fd_close(&writer);
	turn(*state);
	assert_int_equal(probe.events, WBI_READ | WBI_HANGUP);
	wbi_loop_want(*state, &probe.watch, 0);
	turn(*state);
	assert_int_equal(probe.events, WBI_HANGUP);
	wbi_loop_unwatch(*state, &probe.watch);
	wbi_fd_close(&reader);
}

static void test_what_cannot_be_watched_is_an_error(void **state)
{
	struct wb_fault fault;
	struct wbi_watch watch;
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	assert_true(file >= 0);
	wbi_watch_init(&watch, count_call, file, WBI_READ);
	assert_int_equal(wbi_loop_watch(*state, &watch, &fault), WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, EPERM);
	wbi_loop_unwatch(*state, &watch);
	wbi_fd_close(&file);
}

/* ---- timers ---- */

struct alarm {
	struct wbi_timer timer;
	struct wbi_loop *loop;
	struct alarm *cancels;
	bool again;
	char name;
};

static char fired[64];
static size_t fired_count;

static void on_alarm(struct wbi_timer *timer)
{
	struct alarm *alarm = WBI_CONTAINER(timer, struct alarm, timer);

	assert_true(fired_count + 1 < sizeof(fired));
	fired[fired_count++] = alarm->name;
	fired[fired_count] = '\0';
	if (alarm->cancels)
		wbi_loop_cancel(alarm->loop, &alarm->cancels->timer);
	if (alarm->again)
		assert_int_equal(wbi_loop_timer(alarm->loop, timer, 0), WB_OK);
}

static void set_alarm(struct wbi_loop *loop, struct alarm *alarm, char name, uint64_t delay_ms)
{
	*alarm = (struct alarm){.timer.fn = on_alarm, .loop = loop, .name = name};
	assert_int_equal(wbi_loop_timer(loop, &alarm->timer, delay_ms), WB_OK);
}

static int new_loop_no_alarms(void **state)
{
	fired[fired_count = 0] = '\0';
	return new_loop(state);
}

static void turn_until_fired(struct wbi_loop *loop, size_t count)
{
	uint64_t deadline_ms = wbi_clock_ms() + PATIENCE_MS;

	while (fired_count < count && wbi_clock_ms() < deadline_ms)
		turn(loop);
}

static void test_timers_fire_in_order_and_never_early(void **state)
{
	struct alarm a, b, c;
	uint64_t start_ms = wbi_loop_now_ms(*state);

	set_alarm(*state, &c, 'c', 30);
	set_alarm(*state, &a, 'a', 1);
	set_alarm(*state, &b, 'b', 15);
	turn_until_fired(*state, 1);
	turn_until_fired(*state, 3);
	assert_string_equal(fired, "abc");
	assert_true(wbi_loop_now_ms(*state) >= start_ms + 30);
	turn_at_once(*state);
	assert_int_equal(fired_count, 3);
}

static void test_timers_move_and_cancel(void **state)
{
	struct alarm a, b, c;

	set_alarm(*state, &a, 'a', 1);
	set_alarm(*state, &b, 'b', 2);
	set_alarm(*state, &c, 'c', 3);
	wbi_loop_cancel(*state, &b.timer);
	wbi_loop_cancel(*state, &b.timer);
	assert_int_equal(wbi_loop_timer(*state, &a.timer, 8), WB_OK);
	turn_until_fired(*state, 2);
	assert_string_equal(fired, "ca");
}

/* Both are due in the same turn: whichever fires first cancels the other. */
static void test_a_timer_may_cancel_one_that_is_due(void **state)
{
	struct alarm a, b;

	set_alarm(*state, &a, 'a', 1);
	set_alarm(*state, &b, 'b', 1);
	a.cancels = &b;
	b.cancels = &a;
	turn_until_fired(*state, 1);
	turn_at_once(*state);
	assert_int_equal(fired_count, 1);
}

static void test_a_timer_that_sets_itself_leaves_the_turn(void **state)
{
	struct alarm a;

	set_alarm(*state, &a, 'a', 0);
	a.again = true;
	turn(*state);
	turn(*state);
	assert_in_range(fired_count, 1, 2);
	wbi_loop_cancel(*state, &a.timer);
}

static void test_a_far_timer_does_not_overflow(void **state)
{
	struct alarm a, b;

	set_alarm(*state, &a, 'a', UINT64_MAX);
	set_alarm(*state, &b, 'b', UINT64_C(1) << 40);
	turn_at_once(*state);
	assert_int_equal(fired_count, 0);
	wbi_loop_cancel(*state, &a.timer);
	wbi_loop_cancel(*state, &b.timer);
}

/* ---- tasks ---- */

struct errand {
	struct wbi_task task;
	struct wbi_loop *loop;
	int runs;
	int again;
};

static void on_errand(struct wbi_task *task)
{
	struct errand *errand = WBI_CONTAINER(task, struct errand, task);
	errand->runs++;
	if (errand->again-- > 0)
		wbi_loop_defer(errand->loop, task);
}

static struct errand make_errand(struct wbi_loop *loop, int again)
{
	return (struct errand){.task.fn = on_errand, .loop = loop, .again = again};
}

static void test_deferred_runs_once_at_the_end_of_the_turn(void **state)
{
	struct errand errand = make_errand(*state, 0), taken_back = make_errand(*state, 0);

	wbi_list_init(&errand.task.node);
	wbi_list_init(&taken_back.task.node);
	wbi_loop_defer(*state, &errand.task);
	wbi_loop_defer(*state, &errand.task);
	wbi_loop_defer(*state, &taken_back.task);
	wbi_list_remove(&taken_back.task.node);
	assert_int_equal(errand.runs, 0);
	assert_int_equal(wbi_loop_turn(*state, -1, NULL), WB_OK);
	turn_at_once(*state);
	assert_int_equal(errand.runs, 1);
	assert_int_equal(taken_back.runs, 0);
}

static void test_a_task_that_defers_itself_starves_nobody(void **state)
{
	struct errand errand = make_errand(*state, 100);
	struct probe *probe = new_probe(*state, count_call, true);

	wbi_list_init(&errand.task.node);
	wbi_loop_defer(*state, &errand.task);
	for (int turns = 1; turns <= 100; turns++) {
		assert_int_equal(wbi_loop_turn(*state, -1, NULL), WB_OK);
		assert_int_equal(errand.runs, turns);
		assert_int_equal(probe->calls, turns);
	}
	free_probe(probe);
	wbi_list_remove(&errand.task.node);
}

enum { THREADS = 4, POSTS = 2000 };

struct posted {
	struct wbi_task task;
	struct poster *poster;
	int number;
};

struct poster {
	struct wbi_loop *loop;
	struct posted posts[POSTS];
	int seen;
	int *left;
};

static void on_posted(struct wbi_task *task)
{
	struct posted *posted = WBI_CONTAINER(task, struct posted, task);
	struct poster *poster = posted->poster;

	assert_int_equal(posted->number, poster->seen);
	poster->seen++;
	if (--*poster->left == 0)
		wbi_loop_stop(poster->loop);
}

static void *post_all(void *context)
{
	struct poster *poster = context;

	for (int i = 0; i < POSTS; i++) {
		struct posted *posted = &poster->posts[i];
		*posted = (struct posted){.task.fn = on_posted, .poster = poster, .number = i};
		wbi_list_init(&posted->task.node);
		wbi_loop_post(poster->loop, &posted->task);
	}
	return NULL;
}

static void test_posts_from_threads_arrive_in_their_order(void **state)
{
	struct poster *posters = calloc(THREADS, sizeof(*posters));
	pthread_t threads[THREADS];
	int left = THREADS * POSTS;

	assert_non_null(posters);
	for (int i = 0; i < THREADS; i++) {
		posters[i].loop = *state;
		posters[i].left = &left;
		assert_int_equal(pthread_create(&threads[i], NULL, post_all, &posters[i]), 0);
	}
	assert_int_equal(wbi_loop_run(*state, NULL), WB_OK);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(left, 0);
	free(posters);
}

/* ---- signals, stopping ---- */

/* A post wakes the loop once: from then on it waits again. */
static void test_a_post_wakes_once(void **state)
{
	struct errand errand = make_errand(*state, 0);
	struct alarm alarm;
	int turns = 0;

	wbi_list_init(&errand.task.node);
	wbi_loop_post(*state, &errand.task);
	turn_at_once(*state);
	assert_int_equal(errand.runs, 1);
	for (set_alarm(*state, &alarm, 'a', 20); fired_count == 0; turns++)
		turn(*state);
	assert_in_range(turns, 1, 3);
}

static int signals_seen[2];

static void on_signal(void *context, int signal)
{
	assert_ptr_equal(context, signals_seen);
	signals_seen[signal == SIGUSR1 ? 0 : 1]++;
}

static void test_signals_come_through_the_loop(void **state)
{
	static const int wanted[] = {SIGUSR1, SIGUSR2, 0};
	sigset_t before;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	assert_int_equal(wbi_loop_signals(*state, wanted, on_signal, signals_seen, NULL), WB_OK);
	assert_int_equal(wbi_loop_signals(*state, wanted, on_signal, signals_seen, NULL),
			 WB_ERR_ARGUMENT);
	raise(SIGUSR1);
	raise(SIGUSR2);
	assert_int_equal(signals_seen[0] + signals_seen[1], 0);
	turn(*state);
	assert_int_equal(signals_seen[0], 1);
	assert_int_equal(signals_seen[1], 1);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void test_stop_before_run_is_not_lost(void **state)
{
	wbi_loop_stop(*state);
	assert_int_equal(wbi_loop_run(*state, NULL), WB_OK);
}

static void test_freeing_nothing_is_allowed(void **state)
{
	(void)state;
	wbi_loop_free(NULL);
}

#define WITH_LOOP(test) cmocka_unit_test_setup_teardown(test, new_loop_no_alarms, free_loop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_LOOP(test_ready_is_level_triggered),
		WITH_LOOP(test_only_what_is_wanted_comes),
		WITH_LOOP(test_unwatch_is_safe_to_repeat),
		WITH_LOOP(test_removing_another_drops_its_event),
		WITH_LOOP(test_a_callback_may_free_its_own_watch),
		WITH_LOOP(test_a_watch_used_again_gets_no_stale_event),
		WITH_LOOP(test_what_is_no_longer_wanted_is_not_delivered),
		WITH_LOOP(test_more_ready_than_one_batch_holds),
		WITH_LOOP(test_hangup_comes_with_what_is_wanted),
		WITH_LOOP(test_what_cannot_be_watched_is_an_error),
		WITH_LOOP(test_timers_fire_in_order_and_never_early),
		WITH_LOOP(test_timers_move_and_cancel),
		WITH_LOOP(test_a_timer_may_cancel_one_that_is_due),
		WITH_LOOP(test_a_timer_that_sets_itself_leaves_the_turn),
		WITH_LOOP(test_a_far_timer_does_not_overflow),
		WITH_LOOP(test_deferred_runs_once_at_the_end_of_the_turn),
		WITH_LOOP(test_a_task_that_defers_itself_starves_nobody),
		WITH_LOOP(test_posts_from_threads_arrive_in_their_order),
		WITH_LOOP(test_a_post_wakes_once),
		WITH_LOOP(test_signals_come_through_the_loop),
		WITH_LOOP(test_stop_before_run_is_not_lost),
		cmocka_unit_test(test_freeing_nothing_is_allowed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
