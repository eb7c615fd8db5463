/* Callers: calls in flight in open sessions, through the client library, all in one thread. */
#include "../bench.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "waybill/client.h"

enum { SESSIONS_MAX = 64 };

struct bench_callers {
	unsigned sessions, depth;
	struct wb_client *clients[SESSIONS_MAX];
	const char *const *argv;
	unsigned connected, running;
	bool again; /* whoever ends is followed by another */
	uint64_t calls, bytes;
};

static void on_connected(struct wb_client *client, bool resumed, void *context)
{
	struct bench_callers *callers = context;

	(void)client;
	errno = 0;
	if (resumed)
		bench_die("a session was cut");
	callers->connected++;
}

static void on_closed(struct wb_client *client, const struct wb_fault *why, void *context)
{
	(void)client;
	(void)context;
	errno = 0;
	bench_die(why->text);
}

static size_t on_output(struct wb_call *call, unsigned stream, const void *data, size_t bytes,
			void *context)
{
	struct bench_callers *callers = context;

	(void)call;
	(void)stream;
	(void)data;
	callers->bytes += bytes;
	return bytes;
}

static void start_call(struct bench_callers *callers, struct wb_client *client);

static void on_ended(struct wb_call *call, const struct wb_result *result, void *context)
{
	struct bench_callers *callers = context;

	errno = 0;
	if (result->outcome != WB_OUTCOME_EXITED || result->code || !result->complete)
		bench_die("a call did not succeed");
	callers->calls++;
	callers->running--;
	if (callers->again)
		start_call(callers, callers->clients[callers->calls % callers->sessions]);
	wb_call_free(call);
}

static void start_call(struct bench_callers *callers, struct wb_client *client)
{
	static const struct wb_call_callbacks callbacks = {.output = on_output, .ended = on_ended};
	const struct wb_exec exec = {.argv = callers->argv, .no_input = true};
	struct wb_call *call;

	errno = 0;
	if (wb_client_exec(client, &exec, &callbacks, callers, &call, NULL) != WB_OK)
		bench_die("wb_client_exec");
	callers->running++;
}

static void turn(struct bench_callers *callers)
{
	struct pollfd fds[SESSIONS_MAX];
	int timeout_ms = -1;

	for (unsigned i = 0; i < callers->sessions; i++) {
		struct wb_client *client = callers->clients[i];
		int own_ms = wb_client_timeout_ms(client);

		fds[i] = (struct pollfd){wb_client_fd(client), wb_client_events(client), 0};
		if (own_ms >= 0 && (timeout_ms < 0 || own_ms < timeout_ms))
			timeout_ms = own_ms;
	}
	if (poll(fds, callers->sessions, timeout_ms) < 0)
		bench_die("poll");
	for (unsigned i = 0; i < callers->sessions; i++)
		if (fds[i].revents || wb_client_timeout_ms(callers->clients[i]) == 0)
			wb_client_process(callers->clients[i], fds[i].revents);
}

struct bench_callers *bench_callers_new(const char *uri, unsigned sessions, unsigned depth)
{
	static const struct wb_client_callbacks callbacks = {.connected = on_connected,
							     .closed = on_closed};
	struct bench_callers *callers = bench_alloc(1, sizeof(*callers));
	const struct wb_client_options options = {
		.uri = uri, .callbacks = &callbacks, .context = callers};
	struct wb_fault fault = {0};

	callers->sessions = sessions < SESSIONS_MAX ? sessions : SESSIONS_MAX;
	callers->depth = depth;
	errno = 0;
	for (unsigned i = 0; i < callers->sessions; i++)
		if (wb_client_new(&options, &callers->clients[i], &fault) != WB_OK)
			bench_die(fault.text);
	while (callers->connected < callers->sessions)
		turn(callers);
	return callers;
}

void bench_callers_free(struct bench_callers *callers)
{
	for (unsigned i = 0; i < callers->sessions; i++)
		wb_client_free(callers->clients[i]);
	free(callers);
}

uint64_t bench_callers_one_ns(struct bench_callers *callers, const char *const *argv,
			      uint64_t *ret_bytes)
{
	uint64_t start = bench_now_ns();

	callers->argv = argv;
	callers->bytes = 0;
	start_call(callers, callers->clients[0]);
	while (callers->running)
		turn(callers);
	*ret_bytes = callers->bytes;
	return bench_now_ns() - start;
}

double bench_callers_rate(struct bench_callers *callers, const char *const *argv,
			  unsigned window_ms)
{
	uint64_t start = bench_now_ns();
	uint64_t deadline = start + (uint64_t)window_ms * 1000000u;

	callers->argv = argv;
	callers->calls = 0;
	callers->again = true;
	for (unsigned i = 0; i < callers->sessions * callers->depth; i++)
		start_call(callers, callers->clients[i % callers->sessions]);
	while (bench_now_ns() < deadline)
		turn(callers);
	callers->again = false;
	while (callers->running)
		turn(callers);
	return (double)callers->calls * 1e9 / (double)(bench_now_ns() - start);
}
