/* The loop: epoll, timers, signals, wake-ups. One loop a thread; only wbi_loop_post may be called
 * from another thread.
 *
 * A turn is: wait, deliver events, fire due timers, run deferred tasks. Watches are
 * level-triggered. A callback may remove any watch or timer, its own included, and free what holds
 * it: an event already fetched for a removed watch is not delivered. */
#ifndef WBI_LOOP_H
#define WBI_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/list.h"
#include "waybill/err.h"

/* HANGUP: error or both directions closed. It always comes, together with whatever is wanted, so a
 * reader that knows nothing of it reads the end or the error. One that wants nothing must unwatch:
 * being level-triggered, it comes again every turn. */
enum {
	WBI_READ = 1,
	WBI_WRITE = 2,
	WBI_HANGUP = 4,
	WBI_PEER_END = 8, /* the peer will send no more; told without reading what it sent before */
	WBI_ONCE = 16, /* wanted: told once. From then on the watch is not watched, and as long as
			  its fd is open it cannot be again */
};

struct wbi_loop; /* opaque, heap */

struct wbi_watch;
typedef void wbi_watch_fn(struct wbi_watch *watch, unsigned events);

/* Embedded in its owner, which finds itself with WBI_CONTAINER. */
struct wbi_watch {
	wbi_watch_fn *fn;
	int fd;
	uint32_t events; /* wanted: any of these; HANGUP always comes */
	int32_t slot;    /* the loop's own; set by wbi_watch_init */
};

/* Fills in a watch that is not watched yet. */
static inline void wbi_watch_init(struct wbi_watch *watch, wbi_watch_fn *fn, int fd,
				  unsigned events)
{
	*watch = (struct wbi_watch){.fn = fn, .fd = fd, .events = events, .slot = -1};
}

struct wbi_timer;
typedef void wbi_timer_fn(struct wbi_timer *timer);

struct wbi_timer {
	struct wbi_heap_node node;
	wbi_timer_fn *fn;
};

/* Work to be done once, at the end of this turn or (from another thread) soon. */
struct wbi_task;
typedef void wbi_task_fn(struct wbi_task *task);

struct wbi_task {
	struct wbi_list node;
	wbi_task_fn *fn;
};

typedef void wbi_signal_fn(void *context, int signal);

WB_WARN_UNUSED enum wb_err wbi_loop_new(struct wbi_loop **ret_loop, struct wb_fault *fault);
void wbi_loop_free(struct wbi_loop *loop);

/* Starts watching watch->fd (non-blocking, open, the caller's) of an initialised watch.
 * Returns WB_OK, WB_ERR_NOMEM, or WB_ERR_SYSTEM. */
WB_WARN_UNUSED enum wb_err wbi_loop_watch(struct wbi_loop *loop, struct wbi_watch *watch,
					  struct wb_fault *fault);

/* Changes what is wanted; no system call where nothing changes. Cannot fail on a watched fd. */
void wbi_loop_want(struct wbi_loop *loop, struct wbi_watch *watch, unsigned events);

/* Stops watching; safe to repeat. The fd is taken out of epoll here and must be closed only after:
 * a child between fork and exec holds copies of it, which would keep it alive in epoll. */
void wbi_loop_unwatch(struct wbi_loop *loop, struct wbi_watch *watch);

/* Stops watching, and closes watch->fd before the loop waits the next time: whoever waits for what
 * this turn sends does not wait for that. The watch is free at once, its fd -1. Safe to repeat. */
void wbi_loop_retire(struct wbi_loop *loop, struct wbi_watch *watch);

/* Sets (or moves) a timer to fire once, `delay_ms` (0 counts as 1) from wbi_loop_now_ms. A fresh
 * timer's node is all zero. Returns WB_OK, or WB_ERR_NOMEM: then the timer is not set. */
WB_WARN_UNUSED enum wb_err wbi_loop_timer(struct wbi_loop *loop, struct wbi_timer *timer,
					  uint64_t delay_ms);
void wbi_loop_cancel(struct wbi_loop *loop, struct wbi_timer *timer); /* safe to repeat */

/* Runs the task once at the end of this turn; while such tasks run, in the next, which then does
 * not block. task->node must be initialised with wbi_list_init; adding it twice is the same as
 * once. wbi_list_remove(&task->node) takes it back. Same thread only. */
void wbi_loop_defer(struct wbi_loop *loop, struct wbi_task *task);

/* The same from any thread: queues the task and wakes the loop. The task must be in no queue, and
 * cannot be taken back. Tasks that one thread posts run in that order. */
void wbi_loop_post(struct wbi_loop *loop, struct wbi_task *task);

/* Delivers `signals` (a list of numbers ending in 0) to fn in the loop, through a signalfd. They
 * are blocked in the calling thread and stay so, so call it before threads start. One call a loop,
 * a second is WB_ERR_ARGUMENT. */
WB_WARN_UNUSED enum wb_err wbi_loop_signals(struct wbi_loop *loop, const int *signals,
					    wbi_signal_fn *fn, void *context,
					    struct wb_fault *fault);

/* The time of this turn, in ms of wbi_clock_ms: read once, when it is first needed in the turn. */
uint64_t wbi_loop_now_ms(struct wbi_loop *loop);

/* Runs until wbi_loop_stop; returns WB_ERR_SYSTEM only if epoll itself fails. */
WB_WARN_UNUSED enum wb_err wbi_loop_run(struct wbi_loop *loop, struct wb_fault *fault);

/* One turn: waits at most `wait_ms` (-1: for ever), then delivers. For tests and foreign loops;
 * never from a callback. */
WB_WARN_UNUSED enum wb_err wbi_loop_turn(struct wbi_loop *loop, int wait_ms,
					 struct wb_fault *fault);

/* Makes wbi_loop_run return after this turn (or, before it runs, at once). From the loop's own
 * thread. */
void wbi_loop_stop(struct wbi_loop *loop);

#endif
