/* A transfer: see transfer.h. */
#include "cli/transfer.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "app/client.h"
#include "base/buf.h"
#include "base/text.h"
#include "cli/reach.h"
#include "sys/clock.h"
#include "sys/fd.h"

enum {
	RING_BYTES = 9 << 20,       /* the largest window, and what is made ahead of it */
	AHEAD_BYTES = 1 << 20,      /* made ready before it can go */
	GIVE_ROOM_MIN = 128 * 1024, /* so that pieces are whole */
	GIVES_A_TURN = 4,
	REQUEST_BYTES_MAX = 1 << 20,
	LEAVE_MS = 2000,
	FLUSH_MS = 1000,
	BURST_DIVISOR = 4, /* --limit: what may move at once, of a second's worth */
};

/* ---- what goes ---- */

static struct wbi_slice ring_peek(struct wbi_source *source, uint64_t offset, size_t most)
{
	struct wbi_transfer *transfer = WBI_CONTAINER(source, struct wbi_transfer, source);
	struct wbi_slice slice = wbi_ring_peek(&transfer->ring, offset);

	if (slice.bytes > most)
		slice.bytes = most;
	return slice;
}

static void ring_release(struct wbi_source *source, uint64_t offset)
{
	struct wbi_transfer *transfer = WBI_CONTAINER(source, struct wbi_transfer, source);

	wbi_ring_drop(&transfer->ring, offset);
}

static const struct wbi_source_ops ring_ops = {ring_peek, ring_release};

/* Nothing more can come of it: the daemon is told, and says how its side ended. */
static void stop(struct wbi_transfer *transfer, enum wb_err err)
{
	if (!transfer->err)
		transfer->err = err;
	transfer->gave = false;
	wb_call_cancel(transfer->call);
}

static bool may_give(const struct wbi_transfer *transfer)
{
	uint64_t waiting = transfer->ring.end - wbi_client_input_sent(transfer->call);

	return !transfer->err && !transfer->interrupted && !transfer->source.ended &&
	       waiting < AHEAD_BYTES && (!wbi_transfer_flags.limit || transfer->allowance > 0);
}

static void give_once(struct wbi_transfer *transfer)
{
	size_t room, bytes = 0;
	uint8_t *out = wbi_ring_room(&transfer->ring, &room);
	enum wb_err err;

	transfer->gave = false;
	if (room < GIVE_ROOM_MIN)
		return;
	if (room > AHEAD_BYTES / 2)
		room = AHEAD_BYTES / 2;
	err = transfer->ops->give(transfer->engine, out, room, &bytes, &transfer->fault);
	if (err) {
		stop(transfer, err);
		return;
	}
	wbi_ring_add(&transfer->ring, bytes);
	transfer->allowance -= (double)bytes;
	transfer->gave = bytes > 0;
	transfer->source.end = transfer->ring.end;
	transfer->source.ended = bytes == 0 && transfer->ops->done(transfer->engine);
	if (transfer->gave || transfer->source.ended)
		wbi_client_wake_input(transfer->call);
}

static void give(struct wbi_transfer *transfer)
{
	for (int i = 0; i < GIVES_A_TURN && may_give(transfer); i++) {
		give_once(transfer);
		if (!transfer->gave)
			break;
	}
}

/* ---- what comes ---- */

/* Nothing more goes through the engine: it failed, or whoever runs this will not wait for it. */
static bool is_over(const struct wbi_transfer *transfer)
{
	return transfer->err || transfer->interrupted;
}

static size_t take(struct wbi_transfer *transfer, const uint8_t *data, size_t bytes)
{
	size_t used = 0;
	enum wb_err err = WB_OK;

	if (!is_over(transfer))
		err = transfer->ops->take(transfer->engine, data, bytes, &used, &transfer->fault);
	if (err)
		stop(transfer, err);
	transfer->allowance -= (double)used;
	return is_over(transfer) ? bytes : used;
}

/* Bytes that are still missing of the head that is kept. */
static size_t head_missing(const struct wbi_transfer *transfer)
{
	const uint8_t *head = transfer->head;
	size_t whole = 4;

	if (transfer->head_bytes >= 4)
		whole += (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 |
			 (size_t)head[3] << 24;
	if (whole > sizeof(transfer->head))
		whole = sizeof(transfer->head); /* the engine refuses it */
	return whole > transfer->head_bytes ? whole - transfer->head_bytes : 0;
}

/* Completes the head that is kept. Returns how much of the data it took. */
static size_t take_head(struct wbi_transfer *transfer, const uint8_t *data, size_t bytes)
{
	size_t taken = 0, missing;

	while (taken < bytes && (missing = head_missing(transfer)) > 0) {
		size_t more = bytes - taken < missing ? bytes - taken : missing;

		memcpy(transfer->head + transfer->head_bytes, data + taken, more);
		transfer->head_bytes += more;
		taken += more;
	}
	if (head_missing(transfer) == 0) {
		size_t used = take(transfer, transfer->head, transfer->head_bytes);

		transfer->head_bytes -= used;
		memmove(transfer->head, transfer->head + used, transfer->head_bytes);
	}
	return taken;
}

/* Whatever is left of a piece is the beginning of an item, or what the engine cannot take before
 * its answers have gone: the first is kept here, the second by the call. */
static size_t on_output(struct wb_call *call, unsigned stream, const void *data, size_t bytes,
			void *context)
{
	struct wbi_transfer *transfer = context;
	size_t used = 0, more = 1;

	(void)call;
	(void)stream;
	if (wbi_transfer_flags.limit && transfer->allowance <= 0 && !is_over(transfer))
		return 0;
	while (transfer->head_bytes > 0 && used < bytes && more > 0) {
		more = take_head(transfer, (const uint8_t *)data + used, bytes - used);
		used += more;
	}
	while (transfer->head_bytes == 0 && used < bytes && more > 0) {
		more = take(transfer, (const uint8_t *)data + used, bytes - used);
		used += more;
	}
	if (transfer->head_bytes == 0 && bytes - used < sizeof(transfer->head) &&
	    !transfer->ops->busy(transfer->engine)) {
		transfer->head_bytes = bytes - used;
		memcpy(transfer->head, (const uint8_t *)data + used, bytes - used);
		used = bytes;
	}
	return used;
}

/* ---- what the client tells ---- */

static void on_ended(struct wb_call *call, const struct wb_result *result, void *context)
{
	struct wbi_transfer *transfer = context;

	(void)call;
	transfer->ended = true;
	transfer->result = *result;
}

static void tell_person(struct wbi_transfer *transfer, const char *text)
{
	if (!isatty(STDERR_FILENO) || wbi_transfer_flags.quiet)
		return;
	wbi_progress_erase(&transfer->progress);
	fprintf(stderr, "waybill %s: %s\n", transfer->command->name, text);
}

static void on_connected(struct wb_client *client, bool resumed, void *context)
{
	(void)client;
	if (resumed)
		tell_person(context, "connected again");
}

static void on_disconnected(struct wb_client *client, const struct wb_fault *why, uint64_t retry_ms,
			    void *context)
{
	char text[128];

	(void)client;
	(void)why;
	snprintf(text, sizeof(text),
		 "the connection was lost, trying again for %llu s; ^C gives up",
		 (unsigned long long)(retry_ms + 999) / 1000);
	tell_person(context, text);
}

static const struct wb_call_callbacks call_callbacks = {.output = on_output, .ended = on_ended};

static const struct wb_client_callbacks client_callbacks = {.connected = on_connected,
							    .disconnected = on_disconnected};

/* ---- signals ---- */

static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGTSTP};

static enum wb_err take_signals(struct wbi_transfer *transfer, struct wb_fault *fault)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct sigaction action;
	sigset_t taken;

	sigemptyset(&taken);
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (sigaction(signals[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(&taken, signals[i]);
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGXFSZ, &ignore, NULL); /* EFBIG says the same, of one file */
	if (sigprocmask(SIG_BLOCK, &taken, NULL) == 0)
		transfer->signal_fd = signalfd(-1, &taken, SFD_NONBLOCK | SFD_CLOEXEC);
	if (transfer->signal_fd < 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "signals: %m");
	return WB_OK;
}

static void client_turn(struct wbi_transfer *transfer, int wait_ms)
{
	struct pollfd fd = {wb_client_fd(transfer->client), wb_client_events(transfer->client), 0};
	int timeout_ms = wb_client_timeout_ms(transfer->client);

	if (timeout_ms < 0 || timeout_ms > wait_ms)
		timeout_ms = wait_ms;
	if (poll(&fd, 1, timeout_ms) < 0)
		fd.revents = 0;
	wb_client_process(transfer->client, fd.revents);
}

/* ^Z: the daemon is told, so that it waits. */
static void pause_here(struct wbi_transfer *transfer)
{
	uint64_t until_ms = wbi_clock_ms() + FLUSH_MS, now_ms;
	sigset_t only, before;

	wb_client_suspend(transfer->client);
	while (!wb_client_is_flushed(transfer->client) && (now_ms = wbi_clock_ms()) < until_ms)
		client_turn(transfer, (int)(until_ms - now_ms));
	wbi_progress_erase(&transfer->progress);
	sigemptyset(&only);
	sigaddset(&only, SIGTSTP);
	raise(SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &only, &before); /* here we stop */
	sigprocmask(SIG_SETMASK, &before, NULL);
	wb_client_continue(transfer->client);
}

static void on_signals(struct wbi_transfer *transfer)
{
	struct signalfd_siginfo info;

	while (read(transfer->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGTSTP) {
			pause_here(transfer);
			continue;
		}
		transfer->interrupted = (int)info.ssi_signo;
		wb_call_cancel(transfer->call);
	}
}

/* ---- turns ---- */

/* --limit: what may move now; and in how many milliseconds something may again, -1 where it may. */
static int allow(struct wbi_transfer *transfer, uint64_t now_ms)
{
	double rate = (double)wbi_transfer_flags.limit;
	double burst = rate / BURST_DIVISOR;

	if (!wbi_transfer_flags.limit)
		return -1;
	transfer->allowance += rate * (double)(now_ms - transfer->allowed_ms) / 1000;
	if (transfer->allowance > burst)
		transfer->allowance = burst;
	transfer->allowed_ms = now_ms;
	return transfer->allowance > 0 ? -1 : 1 + (int)(-transfer->allowance / rate * 1000);
}

static int least(int a_ms, int b_ms)
{
	if (a_ms < 0 || b_ms < 0)
		return a_ms < 0 ? b_ms : a_ms;
	return a_ms < b_ms ? a_ms : b_ms;
}

static int waits_for(const struct wbi_transfer *transfer)
{
	if (!transfer->ops->waits_for || !may_give(transfer))
		return -1;
	return transfer->ops->waits_for(transfer->engine);
}

static enum wb_err turn(struct wbi_transfer *transfer, struct wb_fault *fault)
{
	uint64_t now_ms = wbi_clock_ms();
	int timeout_ms = allow(transfer, now_ms);
	struct pollfd fds[3];

	if (!is_over(transfer) && transfer->ops->busy(transfer->engine))
		take(transfer, NULL, 0);
	if (transfer->head_bytes > 0 && head_missing(transfer) == 0)
		take_head(transfer, NULL, 0); /* it had to wait for answers to go */
	wb_call_pull(transfer->call, WB_STDOUT);
	give(transfer);
	wbi_progress_show(&transfer->progress, transfer->ops->progress(transfer->engine), now_ms);
	timeout_ms = least(timeout_ms, wbi_progress_timeout_ms(&transfer->progress, now_ms));
	timeout_ms = least(timeout_ms, wb_client_timeout_ms(transfer->client));
	if (!is_over(transfer) &&
	    (transfer->ops->busy(transfer->engine) || (transfer->gave && may_give(transfer))))
		timeout_ms = 0;
	fds[0] = (struct pollfd){wb_client_fd(transfer->client), wb_client_events(transfer->client),
				 0};
	fds[1] = (struct pollfd){transfer->signal_fd, POLLIN, 0};
	fds[2] = (struct pollfd){waits_for(transfer), POLLIN, 0};
	if (poll(fds, 3, timeout_ms) < 0) {
		if (errno == EINTR)
			return WB_OK;
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "poll: %m");
	}
	if (fds[1].revents)
		on_signals(transfer);
	wb_client_process(transfer->client, fds[0].revents);
	return WB_OK;
}

/* ---- from beginning to end ---- */

static enum wb_err open_call(struct wbi_transfer *transfer, const struct wbi_files_request *request,
			     struct wb_fault *fault)
{
	struct wbi_files_request copy = *request;
	const char *critical[WBI_FILES_CRITICAL_MAX];
	struct wbi_open open = {
		.service = transfer->ops->service,
		.up = 1 << 0,
		.down = 1 << WB_STDOUT,
		.undigested = 1 << 0 | 1 << WB_STDOUT,
		.put_fields = wbi_files_request_put,
		.context = &copy,
		.crit = critical,
	};
	struct wb_client_options options;
	struct wbi_buf payload;
	enum wb_err err;

	wbi_files_request_critical(request, critical);
	wbi_buf_init(&payload, REQUEST_BYTES_MAX);
	wbi_reach_client(transfer->destination, &options);
	options.callbacks = &client_callbacks;
	options.context = transfer;
	err = wbi_files_request_payload(request, &payload);
	open.payload = wbi_buf_peek(&payload);
	if (err)
		wb_fault_set(fault, err, NULL, 0, "more than %d bytes of names", REQUEST_BYTES_MAX);
	if (!err)
		err = wb_client_new(&options, &transfer->client, fault);
	if (!err)
		err = wbi_client_open(transfer->client, &open, &call_callbacks, transfer,
				      &transfer->call, fault);
	wbi_buf_done(&payload);
	if (!err)
		wbi_client_set_input(transfer->call, &transfer->source);
	return err;
}

/* Takes leave, so that the daemon keeps nothing for us. */
static void leave(struct wbi_transfer *transfer)
{
	wb_client_close(transfer->client);
	while (!wb_client_is_closed(transfer->client))
		client_turn(transfer, LEAVE_MS);
}

static enum wb_err drive(struct wbi_transfer *transfer, struct wb_fault *fault)
{
	uint64_t until_ms = 0;
	enum wb_err err = WB_OK;

	while (!err && !transfer->ended) {
		err = turn(transfer, fault);
		/* Whoever interrupts does not want to wait for a daemon that is not there. */
		if (transfer->interrupted && !until_ms)
			until_ms = wbi_clock_ms() + LEAVE_MS;
		if (until_ms &&
		    (wbi_clock_ms() >= until_ms || !wb_client_is_connected(transfer->client)))
			wb_client_give_up(transfer->client, "interrupted");
	}
	if (!err)
		leave(transfer);
	return err;
}

int wbi_transfer_run(const struct wbi_command *command, const char *destination,
		     const struct wbi_files_request *request, const struct wbi_transfer_ops *ops,
		     void *engine)
{
	const struct wbi_transfer_flags *flags = &wbi_transfer_flags;
	bool shown = !flags->quiet && (flags->progress || isatty(STDERR_FILENO));
	struct wbi_transfer transfer = {
		.command = command,
		.destination = destination,
		.ops = ops,
		.engine = engine,
		.signal_fd = -1,
		.started_ms = wbi_clock_ms(),
		.source.ops = &ring_ops,
	};
	struct wb_fault fault = {0};
	int code;
	enum wb_err err = wbi_ring_open(&transfer.ring, RING_BYTES, &fault);

	transfer.allowed_ms = transfer.started_ms;
	wbi_progress_init(&transfer.progress, shown ? STDERR_FILENO : -1);
	if (!err)
		err = take_signals(&transfer, &fault);
	if (!err)
		err = open_call(&transfer, request, &fault);
	if (!err)
		err = drive(&transfer, &fault);
	wbi_progress_erase(&transfer.progress);
	code = err ? wbi_transfer_fail(command, destination, &fault)
		   : wbi_transfer_report(&transfer, wbi_clock_ms());
	wb_client_free(transfer.client);
	wbi_ring_close(&transfer.ring);
	wbi_fd_close(&transfer.signal_fd);
	return code;
}

int wbi_transfer_nothing(const struct wbi_command *command, const struct wbi_transfer_ops *ops,
			 void *engine)
{
	uint64_t now_ms = wbi_clock_ms();
	const struct wbi_transfer transfer = {
		.command = command,
		.ops = ops,
		.engine = engine,
		.started_ms = now_ms,
		.ended = true,
		.result = {.outcome = WB_OUTCOME_EXITED, .complete = true},
	};

	return wbi_transfer_report(&transfer, now_ms);
}
