/* The UDP load: a window of datagrams in flight, received in batches, tolerant of loss.
 *
 * It must cost less than the server. So a batch is sent with one system call, as one large packet
 * that the kernel cuts into datagrams (UDP_SEGMENT); the server receives them one by one. */
#include "../bench.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOST_AFTER_MS = 20, RECEIVE_BYTES = 2 * BENCH_FRAME_BYTES };

struct bench_udp_load {
	int fd;
	unsigned window;
	unsigned next;      /* place in the window of what is sent next */
	unsigned in_flight; /* not more than: what is lost counts until it is given up */
	uint8_t *frames;    /* two windows of them, so that any batch is one piece of memory */
	uint8_t *replies;
	struct mmsghdr batch[BENCH_DATAGRAMS];
	struct iovec parts[BENCH_DATAGRAMS];
	uint8_t received[BENCH_DATAGRAMS][RECEIVE_BYTES];
};

static void build_frames(struct bench_udp_load *load, bool upper)
{
	load->frames = bench_alloc(2 * load->window, BENCH_FRAME_BYTES);
	load->replies = bench_alloc(2 * load->window, BENCH_FRAME_BYTES);
	for (unsigned i = 0; i < 2 * load->window; i++) {
		size_t at = (size_t)i * BENCH_FRAME_BYTES;

		bench_frame_fill(load->frames + at, load->replies + at, i % load->window, 0, upper);
	}
}

struct bench_udp_load *bench_udp_load_new(uint16_t port, unsigned window, bool upper)
{
	struct bench_udp_load *load = bench_alloc(1, sizeof(*load));
	int segment = BENCH_FRAME_BYTES;

	load->fd = bench_dial(port, SOCK_DGRAM);
	if (setsockopt(load->fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)) < 0)
		bench_die("UDP_SEGMENT");
	load->window = window;
	build_frames(load, upper);
	for (int i = 0; i < BENCH_DATAGRAMS; i++) {
		load->parts[i] = (struct iovec){load->received[i], RECEIVE_BYTES};
		load->batch[i].msg_hdr =
			(struct msghdr){.msg_iov = &load->parts[i], .msg_iovlen = 1};
	}
	return load;
}

void bench_udp_load_free(struct bench_udp_load *load)
{
	close(load->fd);
	free(load->frames);
	free(load->replies);
	free(load);
}

static void fill_window(struct bench_udp_load *load)
{
	while (load->in_flight < load->window) {
		unsigned missing = load->window - load->in_flight;
		unsigned count = missing < BENCH_DATAGRAMS ? missing : BENCH_DATAGRAMS;
		size_t bytes = (size_t)count * BENCH_FRAME_BYTES;
		const uint8_t *from = load->frames + (size_t)load->next * BENCH_FRAME_BYTES;

		if (send(load->fd, from, bytes, 0) != (ssize_t)bytes)
			bench_die("sending datagrams");
		load->next = (load->next + count) % load->window;
		load->in_flight += count;
	}
}

static void check_reply(const struct bench_udp_load *load, int i)
{
	const uint8_t *reply = load->received[i];
	unsigned long index = strtoul((const char *)reply, NULL, 10);

	errno = 0;
	if (load->batch[i].msg_len != BENCH_FRAME_BYTES || index >= load->window ||
	    memcmp(reply, load->replies + index * BENCH_FRAME_BYTES, BENCH_FRAME_BYTES))
		bench_die("a reply is not what it must be");
}

static int receive(struct bench_udp_load *load)
{
	struct pollfd wait = {.fd = load->fd, .events = POLLIN};
	int count = recvmmsg(load->fd, load->batch, BENCH_DATAGRAMS, MSG_DONTWAIT, NULL);

	if (count < 0 && errno == EAGAIN && poll(&wait, 1, LOST_AFTER_MS) > 0)
		count = recvmmsg(load->fd, load->batch, BENCH_DATAGRAMS, MSG_DONTWAIT, NULL);
	if (count < 0 && errno != EAGAIN)
		bench_die("receiving datagrams");
	return count;
}

/* Takes a batch of replies and returns how many; after a silence, what is in flight is lost. */
static unsigned take_replies(struct bench_udp_load *load)
{
	int count = receive(load);

	if (count < 0) {
		load->in_flight = 0;
		return 0;
	}
	for (int i = 0; i < count; i++)
		check_reply(load, i);
	/* One that comes after it was given up must not count twice. */
	load->in_flight -= (unsigned)count < load->in_flight ? (unsigned)count : load->in_flight;
	return (unsigned)count;
}

double bench_udp_load_run(struct bench_udp_load *load, unsigned window_ms)
{
	uint64_t start = bench_now_ns(), now = start, replies = 0;
	uint64_t deadline = start + (uint64_t)window_ms * 1000000u;

	while (now < deadline) {
		fill_window(load);
		replies += take_replies(load);
		now = bench_now_ns();
	}
	while (load->in_flight > 0)
		take_replies(load);
	return (double)replies * 1e9 / (double)(now - start);
}
