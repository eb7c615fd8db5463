/* An outlet: what a command writes, taken in turns, so that one flood holds up nobody. */
#include "job/outlet.h"

#include <errno.h>
#include <unistd.h>

#include "sys/fd.h"

enum {
	TURN_BYTES = 1 << 20,
	DISCARD_BYTES = 65536, /* by way of the stack: what a pipe holds */
};

void wbi_outlet_init(struct wbi_outlet *outlet, struct wbi_loop *loop, wbi_watch_fn *fn,
		     struct wbi_spool_account *account, size_t memory_bytes)
{
	outlet->loop = loop;
	wbi_watch_init(&outlet->watch, fn, -1, WBI_READ);
	wbi_spool_init(&outlet->spool, account, memory_bytes);
}

enum wb_err wbi_outlet_open(struct wbi_outlet *outlet, int *ret_writer, struct wb_fault *fault)
{
	enum wb_err err = wbi_fd_pipe(&outlet->watch.fd, ret_writer, fault);

	return err ? err : wbi_loop_watch(outlet->loop, &outlet->watch, fault);
}

bool wbi_outlet_is_open(const struct wbi_outlet *outlet)
{
	return outlet->watch.fd >= 0;
}

void wbi_outlet_close(struct wbi_outlet *outlet)
{
	wbi_loop_unwatch(outlet->loop, &outlet->watch);
	wbi_fd_close(&outlet->watch.fd);
}

void wbi_outlet_done(struct wbi_outlet *outlet)
{
	wbi_outlet_close(outlet);
	wbi_spool_done(&outlet->spool);
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

enum wb_err wbi_outlet_drain(struct wbi_outlet *outlet, enum wbi_outlet_use use, uint64_t room,
			     bool to_end, bool *ret_came, struct wb_fault *fault)
{
	size_t total = 0, taken = 0;
	enum wb_err err;

	do {
		size_t turn = TURN_BYTES - total;
		size_t most = room - total < turn ? (size_t)(room - total) : turn;
		err = use == WBI_OUTLET_DISCARD ? discard(outlet->watch.fd, &taken)
						: wbi_spool_fill(&outlet->spool, outlet->watch.fd,
								 most, &taken, fault);
		if (err)
			break;
		if (taken == 0)
			wbi_outlet_close(outlet);
		total += taken;
	} while (to_end && taken > 0 && total < TURN_BYTES);
	if (total > 0)
		*ret_came = true;
	return err == WB_ERR_TIMEOUT ? WB_OK : err;
}
