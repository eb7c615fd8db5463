/* Bulk: a command that writes, something that carries, and a reader that throws away. */
#include "../bench.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static void discard_all(int fd)
{
	static char data[4 * BENCH_BUFFER_BYTES];
	uint64_t total = 0;
	ssize_t got;

	while ((got = recv(fd, data, sizeof(data), 0)) > 0)
		total += (uint64_t)got;
	if (got < 0)
		bench_die("receiving bulk");
	errno = 0;
	if (total != BENCH_BULK_BYTES)
		bench_die("bulk came short");
	close(fd);
}

uint64_t bench_bulk_from_pump_ns(uint16_t port)
{
	uint64_t start = bench_now_ns();

	discard_all(bench_dial(port, SOCK_STREAM));
	return bench_now_ns() - start;
}

static int listen_on_loopback(uint16_t *ret_port)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t bytes = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, bytes) < 0 || listen(fd, 1) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &bytes) < 0)
		bench_die("listen");
	*ret_port = ntohs(at.sin_port);
	return fd;
}

uint64_t bench_bulk_from_socat_ns(const char *socat, const char *producer)
{
	char command[512], to[64];
	const char *const argv[] = {socat, "-u", command, to, NULL};
	const int stdio[3] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
	uint16_t port;
	int listener = listen_on_loopback(&port), fd;
	uint64_t start;
	pid_t pid;

	snprintf(command, sizeof(command), "EXEC:%s produce,pipes", producer);
	snprintf(to, sizeof(to), "TCP4:127.0.0.1:%u,nodelay", port);
	pid = bench_spawn(argv, stdio);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		bench_die("accept");
	start = bench_now_ns(); /* that it had to start itself first is not held against it */
	discard_all(fd);
	start = bench_now_ns() - start;
	close(listener);
	bench_reap(pid);
	return start;
}
