/* The TCP load: epoll, one recv and one send for each readiness, replies compared whole.
 *
 * It must cost less than the servers it measures, or it would measure itself. So frames are built
 * once: a connection's frames repeat after `depth`, the cycle is stored twice over, and any run of
 * up to `depth` frames is one piece of memory to send from and to compare with. */
#include "../bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DRAIN_MS = 5000 };

struct connection {
	int fd;
	uint32_t sent_at; /* places in the cycle, in bytes */
	uint32_t seen_at;
	uint32_t in_flight; /* bytes */
	uint8_t *frames;    /* two cycles as they are sent */
	uint8_t *replies;   /* two cycles as they must come back */
};

struct bench_tcp_load {
	unsigned connections;
	uint32_t cycle_bytes;
	int epoll;
	struct connection *all;
	uint8_t *memory;
};

static void build_cycles(struct connection *connection, unsigned index, uint32_t cycle, bool upper)
{
	for (uint32_t at = 0; at < 2 * cycle; at += BENCH_FRAME_BYTES)
		bench_frame_fill(connection->frames + at, connection->replies + at, index,
				 at % cycle / BENCH_FRAME_BYTES, upper);
}

struct bench_tcp_load *bench_tcp_load_new(uint16_t port, unsigned connections, unsigned depth,
					  bool upper)
{
	struct bench_tcp_load *load = bench_alloc(1, sizeof(*load));

	load->connections = connections;
	load->cycle_bytes = depth * BENCH_FRAME_BYTES;
	load->all = bench_alloc(connections, sizeof(*load->all));
	load->memory = bench_alloc(connections, (size_t)4 * load->cycle_bytes);
	load->epoll = epoll_create1(EPOLL_CLOEXEC);
	for (unsigned i = 0; i < connections; i++) {
		struct connection *connection = &load->all[i];
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};

		connection->frames = load->memory + (size_t)4 * i * load->cycle_bytes;
		connection->replies = connection->frames + (size_t)2 * load->cycle_bytes;
		build_cycles(connection, i, load->cycle_bytes, upper);
		connection->fd = bench_dial(port, SOCK_STREAM);
		if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, connection->fd, &event) < 0)
			bench_die("epoll_ctl");
	}
	return load;
}

void bench_tcp_load_free(struct bench_tcp_load *load)
{
	for (unsigned i = 0; i < load->connections; i++)
		bench_hang_up(load->all[i].fd);
	close(load->epoll);
	free(load->all);
	free(load->memory);
	free(load);
}

static void send_frames(const struct bench_tcp_load *load, struct connection *connection,
			uint32_t bytes)
{
	const uint8_t *from = connection->frames + connection->sent_at;

	if (send(connection->fd, from, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
		bench_die("sending frames");
	connection->in_flight += bytes;
	connection->sent_at = (connection->sent_at + bytes) % load->cycle_bytes;
}

/* Takes what came, returns how many frames that completed. */
static uint32_t take_replies(const struct bench_tcp_load *load, struct connection *connection)
{
	uint8_t data[BENCH_BUFFER_BYTES];
	ssize_t got = recv(connection->fd, data, load->cycle_bytes, MSG_DONTWAIT);
	uint32_t partial = connection->seen_at % BENCH_FRAME_BYTES;

	if (got < 0 && errno == EAGAIN)
		return 0;
	if (got < 0)
		bench_die("receiving replies");
	errno = 0;
	if (got == 0)
		bench_die("the server closed a busy connection");
	if ((uint32_t)got > connection->in_flight ||
	    memcmp(data, connection->replies + connection->seen_at, (size_t)got))
		bench_die("a reply is not what it must be");
	connection->in_flight -= (uint32_t)got;
	connection->seen_at = (connection->seen_at + (uint32_t)got) % load->cycle_bytes;
	return (partial + (uint32_t)got) / BENCH_FRAME_BYTES;
}

/* One turn. Returns completed frames, each of which is followed by another when `again` is set. */
static uint64_t turn(const struct bench_tcp_load *load, bool again)
{
	struct epoll_event events[BENCH_EVENTS];
	int count = epoll_wait(load->epoll, events, BENCH_EVENTS, DRAIN_MS);
	uint64_t frames = 0;

	if (count < 0)
		bench_die("epoll_wait");
	errno = 0;
	if (count == 0)
		bench_die("replies are missing");
	for (int i = 0; i < count; i++) {
		struct connection *connection = events[i].data.ptr;
		uint32_t taken = take_replies(load, connection);

		frames += taken;
		if (again && taken)
			send_frames(load, connection, taken * BENCH_FRAME_BYTES);
	}
	return frames;
}

static uint64_t frames_in_flight(const struct bench_tcp_load *load)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < load->connections; i++)
		bytes += load->all[i].in_flight;
	return (bytes + BENCH_FRAME_BYTES - 1) / BENCH_FRAME_BYTES;
}

double bench_tcp_load_run(struct bench_tcp_load *load, unsigned window_ms)
{
	uint64_t start = bench_now_ns(), now = start, frames = 0;
	uint64_t deadline = start + (uint64_t)window_ms * 1000000u;

	for (unsigned i = 0; i < load->connections; i++)
		send_frames(load, &load->all[i], load->cycle_bytes);
	while (now < deadline) {
		frames += turn(load, true);
		now = bench_now_ns();
	}
	while (frames_in_flight(load))
		turn(load, false);
	return (double)frames * 1e9 / (double)(now - start);
}
