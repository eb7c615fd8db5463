/* An inlet: see inlet.h. SIGPIPE is ignored by whoever owns the process. */
#include "job/inlet.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "sys/fd.h"
#include "sys/pty.h"

enum { PIPE_BYTES = 262144, WAITING_MAX = 1 << 30 };

void wbi_inlet_init(struct wbi_inlet *inlet, struct wbi_loop *loop, wbi_watch_fn *fn)
{
	*inlet = (struct wbi_inlet){.loop = loop};
	wbi_watch_init(&inlet->watch, fn, -1, WBI_WRITE);
	wbi_buf_init(&inlet->waiting, WAITING_MAX);
}

void wbi_inlet_open(struct wbi_inlet *inlet, int fd, bool terminal)
{
	inlet->watch.fd = fd;
	inlet->terminal = terminal;
	inlet->enlarged = terminal;
}

bool wbi_inlet_is_open(const struct wbi_inlet *inlet)
{
	return inlet->watch.fd >= 0;
}

void wbi_inlet_close(struct wbi_inlet *inlet)
{
	wbi_loop_unwatch(inlet->loop, &inlet->watch);
	wbi_fd_close(&inlet->watch.fd);
	wbi_buf_reset(&inlet->waiting);
}

/* One write. False: nobody reads any more. */
static bool put(struct wbi_inlet *inlet, const uint8_t *data, size_t bytes, size_t *ret_taken)
{
	ssize_t taken;

	do
		taken = write(inlet->watch.fd, data, bytes);
	while (taken < 0 && errno == EINTR);
	*ret_taken = taken > 0 ? (size_t)taken : 0;
	if (taken > 0)
		inlet->line_begun = data[taken - 1] != '\n';
	return taken >= 0 || errno == EAGAIN;
}

/* Only where data flows: a user has room for so many full-size pipes and no more. */
static void enlarge(struct wbi_inlet *inlet)
{
	if (!inlet->enlarged)
		(void)fcntl(inlet->watch.fd, F_SETPIPE_SZ, PIPE_BYTES);
	inlet->enlarged = true;
}

static void finish(struct wbi_inlet *inlet)
{
	char end[2];
	size_t taken;

	if (!inlet->terminal) {
		wbi_inlet_close(inlet);
		return;
	}
	inlet->ending = false;
	unsigned count = wbi_pty_end_of_file(inlet->watch.fd, !inlet->line_begun, end);
	if (put(inlet, (const uint8_t *)end, count, &taken))
		inlet->line_begun = false;
}

/* Waits for room if there is something to write, ends if there is not and it is time. */
static void settle(struct wbi_inlet *inlet)
{
	if (wbi_buf_bytes(&inlet->waiting) == 0) {
		wbi_loop_unwatch(inlet->loop, &inlet->watch);
		wbi_buf_reset(&inlet->waiting);
		if (inlet->ending)
			finish(inlet);
		return;
	}
	enlarge(inlet);
	if (inlet->watch.slot == -1 && wbi_loop_watch(inlet->loop, &inlet->watch, NULL) != WB_OK)
		wbi_inlet_close(inlet);
}

size_t wbi_inlet_write(struct wbi_inlet *inlet, const void *data, size_t bytes)
{
	size_t taken = 0;

	if (!wbi_inlet_is_open(inlet) || inlet->ending)
		return 0;
	if (wbi_buf_bytes(&inlet->waiting) == 0 && !put(inlet, data, bytes, &taken)) {
		wbi_inlet_close(inlet);
		return 0;
	}
	if (taken < bytes &&
	    wbi_buf_append(&inlet->waiting, (const uint8_t *)data + taken, bytes - taken) != WB_OK)
		wbi_inlet_close(inlet);
	else
		settle(inlet);
	return taken;
}

size_t wbi_inlet_flush(struct wbi_inlet *inlet)
{
	struct wbi_slice waiting = wbi_buf_peek(&inlet->waiting);
	size_t taken = 0;

	if (waiting.bytes > 0 && !put(inlet, waiting.data, waiting.bytes, &taken)) {
		wbi_inlet_close(inlet);
		return 0;
	}
	wbi_buf_consume(&inlet->waiting, taken);
	settle(inlet);
	return taken;
}

void wbi_inlet_end(struct wbi_inlet *inlet)
{
	if (!wbi_inlet_is_open(inlet))
		return;
	inlet->ending = true;
	settle(inlet);
}
