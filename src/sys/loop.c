/* The loop: one epoll set, one batch of events, a heap of timers and two lists of tasks.
 *
 * A watch's slot ties it to the batch: NOT_WATCHED, IDLE (watched, nothing fetched), or n >= 0:
 * events[n] is its own and not yet delivered. So removing a watch clears its one event at once,
 * and the loop needs no search, no generation count and no list of the dead. */
#include "sys/loop.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "sys/clock.h"
#include "sys/fd.h"

enum { EVENTS_MAX = 512, SIGNALS_MAX = 8, RETIRED_MAX = 64 };
enum { NOT_WATCHED = -1, IDLE = -2 };

struct wbi_loop {
	int epoll;
	bool stopping;
	bool now_known;
	uint64_t now_ms;
	struct wbi_heap timers;
	struct wbi_list deferred;

	struct wbi_watch wake;
	pthread_mutex_t posted_mutex;
	struct wbi_list posted; /* guarded by posted_mutex; not empty: wake.fd has been written */

	struct wbi_watch signals;
	wbi_signal_fn *signal_fn;
	void *signal_context;

	struct epoll_event events[EVENTS_MAX];

	struct retired {
		int fd;
		bool watched; /* epoll still has it */
	} retired[RETIRED_MAX];
	unsigned retired_count;
};

/* ---- watches ---- */

static uint32_t to_epoll(unsigned events)
{
	return (events & WBI_READ ? EPOLLIN : 0) | (events & WBI_WRITE ? EPOLLOUT : 0) |
	       (events & WBI_PEER_END ? EPOLLRDHUP : 0) | (events & WBI_ONCE ? EPOLLONESHOT : 0);
}

static unsigned from_epoll(uint32_t ready, unsigned wanted)
{
	if (ready & (EPOLLERR | EPOLLHUP))
		return (wanted & ~(unsigned)WBI_ONCE) | WBI_HANGUP;
	return ((ready & EPOLLIN ? WBI_READ : 0) | (ready & EPOLLOUT ? WBI_WRITE : 0) |
		(ready & EPOLLRDHUP ? WBI_PEER_END : 0)) &
	       wanted;
}

static int control(struct wbi_loop *loop, int operation, struct wbi_watch *watch)
{
	struct epoll_event event = {.events = to_epoll(watch->events), .data.ptr = watch};
	return epoll_ctl(loop->epoll, operation, watch->fd, &event);
}

enum wb_err wbi_loop_watch(struct wbi_loop *loop, struct wbi_watch *watch, struct wb_fault *fault)
{
	if (control(loop, EPOLL_CTL_ADD, watch) != 0) {
		enum wb_err err = errno == ENOMEM ? WB_ERR_NOMEM : WB_ERR_SYSTEM;
		return wb_fault_set(fault, err, NULL, 0, "watch descriptor %d: %m", watch->fd);
	}
	watch->slot = IDLE;
	return WB_OK;
}

void wbi_loop_want(struct wbi_loop *loop, struct wbi_watch *watch, unsigned events)
{
	if (watch->events == events)
		return;
	watch->events = events;
	if (watch->slot != NOT_WATCHED)
		control(loop, EPOLL_CTL_MOD, watch);
}

void wbi_loop_unwatch(struct wbi_loop *loop, struct wbi_watch *watch)
{
	if (watch->slot == NOT_WATCHED)
		return;
	if (watch->slot >= 0)
		loop->events[watch->slot].data.ptr = NULL;
	watch->slot = NOT_WATCHED;
	control(loop, EPOLL_CTL_DEL, watch);
}

/* ---- descriptors that go ---- */

/* Out of epoll first, as with every other. */
static void close_retired(struct wbi_loop *loop)
{
	for (unsigned i = 0; i < loop->retired_count; i++) {
		struct retired *retired = &loop->retired[i];

		if (retired->watched)
			epoll_ctl(loop->epoll, EPOLL_CTL_DEL, retired->fd, NULL);
		close(retired->fd);
	}
	loop->retired_count = 0;
}

void wbi_loop_retire(struct wbi_loop *loop, struct wbi_watch *watch)
{
	if (watch->fd < 0)
		return;
	if (loop->retired_count == RETIRED_MAX)
		close_retired(loop);
	if (watch->slot >= 0)
		loop->events[watch->slot].data.ptr = NULL;
	loop->retired[loop->retired_count++] =
		(struct retired){watch->fd, watch->slot != NOT_WATCHED};
	watch->slot = NOT_WATCHED;
	watch->fd = -1;
}

/* ---- timers ---- */

uint64_t wbi_loop_now_ms(struct wbi_loop *loop)
{
	if (!loop->now_known) {
		loop->now_ms = wbi_clock_ms();
		loop->now_known = true;
	}
	return loop->now_ms;
}

/* No delay counts as 1 ms: so a timer set by a timer is never due at once, and I/O has its turn. */
enum wb_err wbi_loop_timer(struct wbi_loop *loop, struct wbi_timer *timer, uint64_t delay_ms)
{
	uint64_t now_ms = wbi_loop_now_ms(loop);
	uint64_t delay = delay_ms ? delay_ms : 1;
	uint64_t deadline_ms = delay > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + delay;

	wbi_heap_remove(&loop->timers, &timer->node);
	return wbi_heap_add(&loop->timers, &timer->node, deadline_ms);
}

void wbi_loop_cancel(struct wbi_loop *loop, struct wbi_timer *timer)
{
	wbi_heap_remove(&loop->timers, &timer->node);
}

static void fire_timers(struct wbi_loop *loop)
{
	struct wbi_heap_node *node;

	while ((node = wbi_heap_peek(&loop->timers)) && node->key <= wbi_loop_now_ms(loop)) {
		struct wbi_timer *timer = WBI_CONTAINER(node, struct wbi_timer, node);
		wbi_heap_remove(&loop->timers, node);
		timer->fn(timer);
	}
}

/* ---- tasks ---- */

static void move_all(struct wbi_list *from, struct wbi_list *to)
{
	while (!wbi_list_empty(from)) {
		struct wbi_list *node = from->next;
		wbi_list_remove(node);
		wbi_list_append(to, node);
	}
}

void wbi_loop_defer(struct wbi_loop *loop, struct wbi_task *task)
{
	if (wbi_list_empty(&task->node))
		wbi_list_append(&loop->deferred, &task->node);
}

static void run_deferred(struct wbi_loop *loop)
{
	struct wbi_list due; /* what is deferred from here on belongs to the next turn */

	wbi_list_init(&due);
	move_all(&loop->deferred, &due);
	while (!wbi_list_empty(&due)) {
		struct wbi_task *task = WBI_CONTAINER(due.next, struct wbi_task, node);
		wbi_list_remove(&task->node);
		task->fn(task);
	}
}

/* The write stays under the mutex: once it is released the task may run, and may end the loop. */
void wbi_loop_post(struct wbi_loop *loop, struct wbi_task *task)
{
	pthread_mutex_lock(&loop->posted_mutex);
	if (wbi_list_empty(&loop->posted))
		eventfd_write(loop->wake.fd, 1);
	wbi_list_append(&loop->posted, &task->node);
	pthread_mutex_unlock(&loop->posted_mutex);
}

/* Whoever has woken us lets go of it in a moment: sleeping again would take longer than that. */
static void lock_soon(pthread_mutex_t *mutex)
{
	enum { TRIES = 200 };

	for (int i = 0; i < TRIES; i++)
		if (pthread_mutex_trylock(mutex) == 0)
			return;
	pthread_mutex_lock(mutex);
}

static void on_wake(struct wbi_watch *watch, unsigned events)
{
	struct wbi_loop *loop = WBI_CONTAINER(watch, struct wbi_loop, wake);
	eventfd_t count;
	(void)events;

	lock_soon(&loop->posted_mutex);
	eventfd_read(watch->fd, &count);
	move_all(&loop->posted, &loop->deferred);
	pthread_mutex_unlock(&loop->posted_mutex);
}

/* ---- signals ---- */

static void on_signals(struct wbi_watch *watch, unsigned events)
{
	struct wbi_loop *loop = WBI_CONTAINER(watch, struct wbi_loop, signals);
	struct signalfd_siginfo infos[SIGNALS_MAX];
	ssize_t bytes = read(watch->fd, infos, sizeof(infos));
	(void)events;

	for (ssize_t i = 0; i < bytes / (ssize_t)sizeof(*infos); i++)
		loop->signal_fn(loop->signal_context, (int)infos[i].ssi_signo);
}

enum wb_err wbi_loop_signals(struct wbi_loop *loop, const int *signals, wbi_signal_fn *fn,
			     void *context, struct wb_fault *fault)
{
	sigset_t set;

	if (loop->signals.fd >= 0)
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0,
				    "this loop has its signals already");
	sigemptyset(&set);
	for (; *signals; signals++)
		sigaddset(&set, *signals);

	int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "signalfd: %m");
	wbi_watch_init(&loop->signals, on_signals, fd, WBI_READ);
	enum wb_err err = wbi_loop_watch(loop, &loop->signals, fault);
	if (err) {
		wbi_fd_close(&loop->signals.fd);
		return err;
	}
	loop->signal_fn = fn;
	loop->signal_context = context;
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return WB_OK;
}

/* ---- turns ---- */

static int time_to_wait(struct wbi_loop *loop, int wait_ms)
{
	struct wbi_heap_node *first = wbi_heap_peek(&loop->timers);

	if (!wbi_list_empty(&loop->deferred))
		return 0;
	if (!first)
		return wait_ms;

	uint64_t now_ms = wbi_loop_now_ms(loop);
	uint64_t timer_ms = first->key > now_ms ? first->key - now_ms : 0;
	if (timer_ms > INT_MAX)
		timer_ms = INT_MAX;
	return wait_ms < 0 || (int)timer_ms < wait_ms ? (int)timer_ms : wait_ms;
}

static void deliver(struct wbi_loop *loop, int count)
{
	for (int i = 0; i < count; i++)
		((struct wbi_watch *)loop->events[i].data.ptr)->slot = i;
	for (int i = 0; i < count; i++) {
		struct wbi_watch *watch = loop->events[i].data.ptr;
		if (!watch)
			continue;
		watch->slot = watch->events & WBI_ONCE ? NOT_WATCHED : IDLE;
		unsigned events = from_epoll(loop->events[i].events, watch->events);
		if (events)
			watch->fn(watch, events);
	}
}

enum wb_err wbi_loop_turn(struct wbi_loop *loop, int wait_ms, struct wb_fault *fault)
{
	int timeout_ms = time_to_wait(loop, wait_ms), count;

	close_retired(loop);
	count = epoll_wait(loop->epoll, loop->events, EVENTS_MAX, timeout_ms);
	if (count < 0 && errno != EINTR)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "epoll_wait: %m");
	loop->now_known = false;
	deliver(loop, count);
	fire_timers(loop);
	run_deferred(loop);
	return WB_OK;
}

enum wb_err wbi_loop_run(struct wbi_loop *loop, struct wb_fault *fault)
{
	enum wb_err err = WB_OK;

	while (!err && !loop->stopping)
		err = wbi_loop_turn(loop, -1, fault);
	loop->stopping = false;
	return err;
}

void wbi_loop_stop(struct wbi_loop *loop)
{
	loop->stopping = true;
}

/* ---- life ---- */

enum wb_err wbi_loop_new(struct wbi_loop **ret_loop, struct wb_fault *fault)
{
	enum wb_err err;
	struct wbi_loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "loop: no memory");
	wbi_heap_init(&loop->timers);
	wbi_list_init(&loop->deferred);
	wbi_list_init(&loop->posted);
	pthread_mutex_init(&loop->posted_mutex, NULL);
	wbi_watch_init(&loop->signals, on_signals, -1, WBI_READ);
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	wbi_watch_init(&loop->wake, on_wake, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), WBI_READ);

	if (loop->epoll < 0 || loop->wake.fd < 0) {
		err = wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "loop: %m");
		goto out;
	}
	err = wbi_loop_watch(loop, &loop->wake, fault);
out:
	if (err)
		wbi_loop_free(loop);
	else
		*ret_loop = loop;
	return err;
}

void wbi_loop_free(struct wbi_loop *loop)
{
	if (!loop)
		return;
	close_retired(loop);
	wbi_fd_close(&loop->signals.fd);
	wbi_fd_close(&loop->wake.fd);
	wbi_fd_close(&loop->epoll);
	pthread_mutex_destroy(&loop->posted_mutex);
	wbi_heap_done(&loop->timers);
	free(loop);
}
