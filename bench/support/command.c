/* One shell command: started here (the floor), or by the daemon on a connection that is open. */
#include "../bench.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t all, none;

	sigfillset(&all);
	sigemptyset(&none);
	posix_spawnattr_init(attributes);
	posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF |
						     POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigdefault(attributes, &all);
	posix_spawnattr_setsigmask(attributes, &none);
}

static pid_t spawn_true(const int stdio[3])
{
	static const char *const argv[] = {"sh", "-c", "true", NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	pid_t pid;

	set_attributes(&attributes);
	posix_spawn_file_actions_init(&actions);
	for (int i = 0; i < 3; i++)
		posix_spawn_file_actions_adddup2(&actions, stdio[i], i);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	errno = posix_spawn(&pid, "/bin/sh", &actions, &attributes, (char *const *)argv, environ);
	if (errno)
		bench_die("posix_spawn");
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return pid;
}

static void read_to_end(int fd)
{
	char data[4096];
	ssize_t got;

	while ((got = read(fd, data, sizeof(data))) > 0)
		continue;
	if (got < 0)
		bench_die("reading a pipe");
	close(fd);
}

uint64_t bench_command_here_ns(void)
{
	static int null_fd = -1;
	uint64_t start;
	int output[2], errors[2];
	siginfo_t end;
	pid_t pid;

	if (null_fd < 0)
		null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	start = bench_now_ns();
	if (pipe2(output, O_CLOEXEC) < 0 || pipe2(errors, O_CLOEXEC) < 0)
		bench_die("pipe");
	pid = spawn_true((const int[]){null_fd, output[1], errors[1]});
	close(output[1]);
	close(errors[1]);
	read_to_end(output[0]);
	read_to_end(errors[0]);
	if (waitid(P_PID, (id_t)pid, &end, WEXITED) < 0 || end.si_code != CLD_EXITED ||
	    end.si_status)
		bench_die("waiting for true");
	return bench_now_ns() - start;
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
