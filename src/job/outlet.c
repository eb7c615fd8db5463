/* An outlet: what a command writes, taken in turns, so that one flood holds up nobody. */
#include "job/outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "sys/fd.h"

enum {
	TURN_BYTES = 1 << 20,
	DISCARD_BYTES = 65536, /* by way of the stack: what a pipe holds */
	PIPE_BYTES = 262144,   /* what one is enlarged to where data flows */
	FAR_MS = 10,           /* a reader that keeps its writer waiting so long is far away */
};

static void init(struct wbi_outlet *outlet, struct wbi_loop *loop, wbi_watch_fn *fn)
{
	*outlet = (struct wbi_outlet){.loop = loop, .writer = -1};
	wbi_watch_init(&outlet->watch, fn, -1, WBI_READ);
}

void wbi_outlet_init(struct wbi_outlet *outlet, struct wbi_loop *loop, wbi_watch_fn *fn,
		     struct wbi_spool_account *account, size_t memory_bytes)
{
	init(outlet, loop, fn);
	wbi_spool_init(&outlet->spool, account, memory_bytes);
}

void wbi_outlet_init_log(struct wbi_outlet *outlet, struct wbi_loop *loop, wbi_watch_fn *fn,
			 struct wbi_log_store *store)
{
	init(outlet, loop, fn);
	outlet->has_log = true;
	wbi_log_init(&outlet->log, store);
}

enum wb_err wbi_outlet_open(struct wbi_outlet *outlet, int *ret_writer, struct wb_fault *fault)
{
	enum wb_err err = wbi_fd_pipe(&outlet->watch.fd, &outlet->writer, fault);

	if (!err)
		*ret_writer = outlet->writer;
	return err;
}

void wbi_outlet_let_go(struct wbi_outlet *outlet)
{
	wbi_fd_close(&outlet->writer);
}

void wbi_outlet_open_terminal(struct wbi_outlet *outlet, int master)
{
	outlet->watch.fd = master;
	outlet->enlarged = true;
}

enum wb_err wbi_outlet_watch(struct wbi_outlet *outlet, struct wb_fault *fault)
{
	if (!wbi_outlet_is_open(outlet))
		return WB_OK;
	return wbi_loop_watch(outlet->loop, &outlet->watch, fault);
}

bool wbi_outlet_is_open(const struct wbi_outlet *outlet)
{
	return outlet->watch.fd >= 0;
}

void wbi_outlet_close(struct wbi_outlet *outlet)
{
	wbi_outlet_let_go(outlet);
	wbi_loop_retire(outlet->loop, &outlet->watch);
	outlet->paused = false;
}

void wbi_outlet_drop(struct wbi_outlet *outlet)
{
	if (outlet->has_log)
		wbi_log_done(&outlet->log);
	else
		wbi_spool_done(&outlet->spool);
}

void wbi_outlet_done(struct wbi_outlet *outlet)
{
	wbi_outlet_close(outlet);
	wbi_outlet_drop(outlet);
}

/* Hanging up is told however little one wants to hear it: hence not watched at all. */
static void pause_outlet(struct wbi_outlet *outlet)
{
	wbi_loop_unwatch(outlet->loop, &outlet->watch);
	outlet->paused = true;
	outlet->paused_ms = wbi_loop_now_ms(outlet->loop);
}

void wbi_outlet_resume(struct wbi_outlet *outlet, bool always)
{
	if (!outlet->paused)
		return;
	if (wbi_loop_now_ms(outlet->loop) - outlet->paused_ms >= FAR_MS)
		wbi_log_reader_far(&outlet->log);
	if (!always && !wbi_log_has_room(&outlet->log))
		return;
	if (wbi_loop_watch(outlet->loop, &outlet->watch, NULL) == WB_OK)
		outlet->paused = false;
	else if (always)
		wbi_outlet_close(outlet);
}

static enum wb_err discard(int pipe, size_t *ret_taken)
{
	char chunk[DISCARD_BYTES];
	ssize_t taken = read(pipe, chunk, sizeof(chunk));

	if (taken < 0 && (errno == EAGAIN || errno == EINTR))
		return WB_ERR_TIMEOUT;
	*ret_taken = taken > 0 ? (size_t)taken : 0;
	return WB_OK;
}

/* One read that found the pipe full: data flows. A user has room for so many full-size pipes and no
 * more, so it is not asked for before. */
static void enlarge(struct wbi_outlet *outlet)
{
	(void)fcntl(outlet->watch.fd, F_SETPIPE_SZ, PIPE_BYTES);
	outlet->enlarged = true;
}

static enum wb_err fill_log(struct wbi_outlet *outlet, size_t most, size_t *ret_taken,
			    struct wb_fault *fault)
{
	ssize_t taken = wbi_log_fill(&outlet->log, outlet->watch.fd, most);

	if (taken == -ENOBUFS)
		pause_outlet(outlet);
	if (taken == -ENOBUFS || taken == -EAGAIN)
		return WB_ERR_TIMEOUT;
	if (taken < 0) {
		errno = (int)-taken;
		return wb_fault_set(fault, taken == -ENOMEM ? WB_ERR_NOMEM : WB_ERR_SYSTEM, NULL, 0,
				    "the command's output: %m");
	}
	*ret_taken = (size_t)taken;
	if (*ret_taken >= DISCARD_BYTES && !outlet->enlarged)
		enlarge(outlet);
	return WB_OK;
}

static enum wb_err take(struct wbi_outlet *outlet, enum wbi_outlet_use use, size_t most,
			size_t *ret_taken, struct wb_fault *fault)
{
	if (use == WBI_OUTLET_DISCARD)
		return discard(outlet->watch.fd, ret_taken);
	if (outlet->has_log)
		return fill_log(outlet, most, ret_taken, fault);
	return wbi_spool_fill(&outlet->spool, outlet->watch.fd, most, ret_taken, fault);
}

/* What stands in the pipe. */
static size_t standing(const struct wbi_outlet *outlet)
{
	int bytes = 0;

	return ioctl(outlet->watch.fd, FIONREAD, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

enum wb_err wbi_outlet_drain(struct wbi_outlet *outlet, enum wbi_outlet_use use, uint64_t room,
			     bool to_end, bool *ret_came, struct wb_fault *fault)
{
	size_t total = 0, taken = 0, turn = TURN_BYTES;
	enum wb_err err;

	do {
		size_t left = turn - total;
		size_t most = room - total < left ? (size_t)(room - total) : left;
		err = take(outlet, use, most, &taken, fault);
		if (err)
			break;
		if (taken == 0)
			wbi_outlet_close(outlet);
		total += taken;
		/* A large pipe: once more all that it holds, and its end. */
		if (to_end && taken > 0 && total == TURN_BYTES)
			turn += standing(outlet) + 1;
	} while (to_end && taken > 0 && total < turn);
	if (total > 0)
		*ret_came = true;
	return err == WB_ERR_TIMEOUT ? WB_OK : err;
}
