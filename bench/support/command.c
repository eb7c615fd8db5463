/* One shell command: started here (the floor), or by the daemon on a connection that is open. */
#include "../bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

uint64_t bench_command_here_ns(void)
{
	static const char *const argv[] = {"/bin/sh", "-c", "true", NULL};

	return bench_spawn_ns(argv);
}

static void receive_all(int fd, void *data, size_t bytes)
{
	ssize_t got = bytes ? recv(fd, data, bytes, MSG_WAITALL) : 0;

	if (got >= 0)
		errno = 0;
	if (got != (ssize_t)bytes)
		bench_die("receiving a command's reply");
}

/* Reads one whole reply; returns the payload's length. */
static size_t call(int fd, const char *command, char *payload, size_t payload_bytes)
{
	static const char field[] = "\"total_size\":";
	char header[1024], *size;
	uint8_t length[4];
	size_t header_bytes, total;

	if (send(fd, command, strlen(command), MSG_NOSIGNAL) < 0)
		bench_die("sending a command");
	receive_all(fd, length, sizeof(length));
	header_bytes = length[0] | (size_t)length[1] << 8 | (size_t)length[2] << 16;
	if (length[3] || header_bytes >= sizeof(header))
		bench_die("a header is too long");
	receive_all(fd, header, header_bytes);
	header[header_bytes] = 0;
	size = strstr(header, field);
	total = size ? strtoul(size + sizeof(field) - 1, NULL, 10) : SIZE_MAX;
	if (total > payload_bytes)
		bench_die("a header without a fitting total_size");
	receive_all(fd, payload, total);
	return total;
}

uint64_t bench_command_there_ns(int fd)
{
	uint64_t start = bench_now_ns();

	if (call(fd, "true", NULL, 0) != 0)
		bench_die("true printed something");
	return bench_now_ns() - start;
}

void bench_command_check(int fd)
{
	char payload[16];

	if (call(fd, "echo out; echo err >&2", payload, sizeof(payload)) != 8 ||
	    memcmp(payload, "out\nerr\n", 8))
		bench_die("a command's reply is not what it must be");
}
