/* The floor: what the bare kernel interface answers, with the care that the product takes.
 *
 *   bench_floor tcp   an epoll loop: one recv and one send for each readiness
 *   bench_floor udp   a recvmmsg/sendmmsg loop
 *   bench_floor pump  for each connection, one after another: starts a producer and moves what it
 *                     writes from its pipe to the connection
 *   bench_floor produce  the producer, also of those that the floor is compared with
 *
 * The first two return what they got and keep nothing. A connection whose reply does not fit into
 * its socket's buffer is closed: keeping the rest is what a real server does, not a floor. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

static int listen_on_loopback(int type, const char *name)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t bytes = sizeof(at);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, bytes) < 0)
		bench_die("bind");
	/* The kernel cuts this down to somaxconn. */
	if (type == SOCK_STREAM && listen(fd, INT32_MAX) < 0)
		bench_die("listen");
	getsockname(fd, (struct sockaddr *)&at, &bytes);
	fprintf(stderr, "listening %s://127.0.0.1:%d\n", name, ntohs(at.sin_port));
	return fd;
}

static void watch(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		bench_die("epoll_ctl");
}

static void accept_all(int epoll, int listener)
{
	int fd, on = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		watch(epoll, fd);
	}
}

static void echo(int fd)
{
	static uint8_t data[BENCH_BUFFER_BYTES];
	ssize_t got = recv(fd, data, sizeof(data), 0);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0 || send(fd, data, (size_t)got, MSG_NOSIGNAL) != got)
		close(fd);
}

static _Noreturn void serve_tcp(void)
{
	static struct epoll_event events[BENCH_EVENTS];
	int listener = listen_on_loopback(SOCK_STREAM, "echo+tcp"),
	    epoll = epoll_create1(EPOLL_CLOEXEC);

	fcntl(listener, F_SETFL, O_NONBLOCK);
	watch(epoll, listener);
	for (;;) {
		int count = epoll_wait(epoll, events, BENCH_EVENTS, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == listener)
				accept_all(epoll, listener);
			else
				echo(events[i].data.fd);
		}
	}
}

static _Noreturn void serve_udp(void)
{
	static struct mmsghdr batch[BENCH_DATAGRAMS];
	static struct iovec parts[BENCH_DATAGRAMS];
	static struct sockaddr_storage peers[BENCH_DATAGRAMS];
	int fd = listen_on_loopback(SOCK_DGRAM, "echo+udp");

	for (int i = 0; i < BENCH_DATAGRAMS; i++) {
		parts[i].iov_base = bench_alloc(1, BENCH_DATAGRAM_BYTES);
		batch[i].msg_hdr = (struct msghdr){
			.msg_name = &peers[i], .msg_iov = &parts[i], .msg_iovlen = 1};
	}
	for (;;) {
		int count;

		for (int i = 0; i < BENCH_DATAGRAMS; i++) {
			parts[i].iov_len = BENCH_DATAGRAM_BYTES;
			batch[i].msg_hdr.msg_namelen = sizeof(peers[i]);
		}
		count = recvmmsg(fd, batch, BENCH_DATAGRAMS, MSG_WAITFORONE, NULL);
		for (int i = 0; i < count; i++)
			parts[i].iov_len = batch[i].msg_len;
		if (count > 0)
			sendmmsg(fd, batch, (unsigned)count, 0);
	}
}

static _Noreturn void produce(void)
{
	static char data[BENCH_BUFFER_BYTES];
	uint64_t left = BENCH_BULK_BYTES;

	while (left > 0) {
		size_t most = left < sizeof(data) ? (size_t)left : sizeof(data);
		ssize_t put = write(STDOUT_FILENO, data, most);

		if (put < 0)
			bench_die("producing");
		left -= (uint64_t)put;
	}
	exit(0);
}

static void pump_all(int from, int to)
{
	static char data[BENCH_PIPE_BYTES];
	ssize_t got, put;

	while ((got = read(from, data, sizeof(data))) > 0)
		for (ssize_t done = 0; done < got; done += put) {
			put = send(to, data + done, (size_t)(got - done), MSG_NOSIGNAL);
			if (put < 0)
				bench_die("pumping");
		}
	close(from);
	close(to);
}

static _Noreturn void serve_pump(const char *program)
{
	const char *const argv[] = {program, "produce", NULL};
	int listener = listen_on_loopback(SOCK_STREAM, "pump+tcp");

	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), output[2], on = 1;
		pid_t pid;

		if (fd < 0 || pipe2(output, O_CLOEXEC) < 0)
			bench_die("accept");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		(void)fcntl(output[0], F_SETPIPE_SZ, BENCH_PIPE_BYTES);
		pid = bench_spawn(argv, (const int[]){0, output[1], 2});
		close(output[1]);
		pump_all(output[0], fd);
		bench_reap(pid);
	}
}

int main(int argc, char **argv)
{
	if (!bench_files_allow(1024))
		fprintf(stderr, "bench: few open files allowed\n");
	if (argc == 2 && !strcmp(argv[1], "tcp"))
		serve_tcp();
	if (argc == 2 && !strcmp(argv[1], "udp"))
		serve_udp();
	if (argc == 2 && !strcmp(argv[1], "pump"))
		serve_pump(argv[0]);
	if (argc == 2 && !strcmp(argv[1], "produce"))
		produce();
	fprintf(stderr, "usage: bench_floor tcp|udp|pump|produce\n");
	return 2;
}
