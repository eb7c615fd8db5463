/* A server under test: started, found by the port that it prints, watched from /proc, ended. */
#include "../bench.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* This program's own limit of open files is lifted for its load; a server must see the one it would
 * have been given, and lift it by itself. */
static struct rlimit files_at_start;

__attribute__((constructor)) static void remember_files(void)
{
	getrlimit(RLIMIT_NOFILE, &files_at_start);
}

static _Noreturn void become_server(const char *const *argv, int cpu, int errors)
{
	cpu_set_t cpus;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(errors, STDERR_FILENO);
	setrlimit(RLIMIT_NOFILE, &files_at_start);
	if (cpu >= 0) {
		CPU_ZERO(&cpus);
		CPU_SET(cpu, &cpus);
		sched_setaffinity(0, sizeof(cpus), &cpus);
	}
	execv(argv[0], (char *const *)argv);
	fprintf(stderr, "bench: %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* That it serves, under which key, and how many it served without a word are no news. */
static bool is_news(const char *line)
{
	static const char *const old[] = {": session ", ": connection ", " cgroup", "host key ",
					  " lines dropped"};

	for (size_t i = 0; i < sizeof(old) / sizeof(old[0]); i++)
		if (strstr(line, old[i]))
			return false;
	return true;
}

/* A pipe that nobody reads would in the end stop a server that logs. */
static void *relay_errors(void *argument)
{
	FILE *errors = argument;
	char line[512];

	while (fgets(line, sizeof(line), errors))
		if (is_news(line))
			fputs(line, stderr);
	fclose(errors);
	return NULL;
}

static void read_uri(struct bench_server *server, FILE *errors)
{
	static const char start[] = "listening ";
	char line[512];

	while (fgets(line, sizeof(line), errors)) {
		const char *uri = line + sizeof(start) - 1, *colon = strrchr(line, ':');

		if (!strncmp(line, start, sizeof(start) - 1) && colon) {
			snprintf(server->uri, sizeof(server->uri), "%.*s", (int)strcspn(uri, "\n"),
				 uri);
			server->port = (uint16_t)strtoul(colon + 1, NULL, 10);
			return;
		}
		if (is_news(line))
			fputs(line, stderr);
	}
	errno = 0;
	bench_die("the server ended before it listened");
}

void bench_server_open(struct bench_server *server, const char *const *argv, int cpu)
{
	int errors[2];
	FILE *stream;
	pthread_t relay;

	if (pipe2(errors, 0) < 0)
		bench_die("pipe");
	server->pid = fork();
	if (server->pid < 0)
		bench_die("fork");
	if (server->pid == 0)
		become_server(argv, cpu, errors[1]);
	close(errors[1]);
	stream = fdopen(errors[0], "r");
	if (!stream)
		bench_die("fdopen");
	read_uri(server, stream);
	errno = pthread_create(&relay, NULL, relay_errors, stream);
	if (errno)
		bench_die("pthread_create");
	pthread_detach(relay);
}

void bench_server_close(struct bench_server *server)
{
	kill(server->pid, SIGKILL);
	if (waitpid(server->pid, NULL, 0) < 0)
		bench_die("waitpid");
}

uint64_t bench_server_cpu_ns(const struct bench_server *server)
{
	clockid_t clock;
	struct timespec used;

	errno = clock_getcpuclockid(server->pid, &clock);
	if (errno || clock_gettime(clock, &used) < 0)
		bench_die("the server's CPU clock");
	return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

uint64_t bench_server_rss_bytes(const struct bench_server *server)
{
	char path[64], line[256];
	unsigned long long kib = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)server->pid);
	file = fopen(path, "r");
	if (!file)
		bench_die(path);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "Rss: %llu kB", &kib) == 1)
			break;
	fclose(file);
	return kib * 1024;
}

int bench_dial(uint16_t port, int type)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), on = 1;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		bench_die("socket");
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		bench_die("connect");
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

void bench_hang_up(int fd)
{
	struct linger reset = {.l_onoff = 1, .l_linger = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
}
