/* Commands started here, with the attributes that the daemon gives its own: the floor. */
#include "../bench.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS_MAX = 16 };

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

pid_t bench_spawn(const char *const *argv, const int stdio[3])
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	pid_t pid;

	set_attributes(&attributes);
	posix_spawn_file_actions_init(&actions);
	for (int i = 0; i < 3; i++)
		posix_spawn_file_actions_adddup2(&actions, stdio[i], i);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	errno = posix_spawn(&pid, argv[0], &actions, &attributes, (char *const *)argv, environ);
	if (errno)
		bench_die(argv[0]);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return pid;
}

void bench_reap(pid_t pid)
{
	siginfo_t end;

	if (waitid(P_PID, (id_t)pid, &end, WEXITED) < 0)
		bench_die("waitid");
	errno = 0;
	if (end.si_code != CLD_EXITED || end.si_status)
		bench_die("a command failed");
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

uint64_t bench_spawn_ns(const char *const *argv)
{
	uint64_t start = bench_now_ns();
	int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC), output[2], errors[2];
	pid_t pid;

	if (null_fd < 0 || pipe2(output, O_CLOEXEC) < 0 || pipe2(errors, O_CLOEXEC) < 0)
		bench_die("pipe");
	pid = bench_spawn(argv, (const int[]){null_fd, output[1], errors[1]});
	close(null_fd);
	close(output[1]);
	close(errors[1]);
	read_to_end(output[0]);
	read_to_end(errors[0]);
	bench_reap(pid);
	return bench_now_ns() - start;
}

struct spawner {
	pthread_t thread;
	const char *const *argv;
	uint64_t deadline_ns;
	uint64_t count;
};

static void *spawn_until(void *argument)
{
	struct spawner *spawner = argument;

	for (; bench_now_ns() < spawner->deadline_ns; spawner->count++)
		bench_spawn_ns(spawner->argv);
	return NULL;
}

double bench_spawn_rate(const char *const *argv, unsigned threads, unsigned window_ms)
{
	struct spawner spawners[THREADS_MAX];
	uint64_t start = bench_now_ns(), count = 0;

	for (unsigned i = 0; i < threads && i < THREADS_MAX; i++) {
		spawners[i] = (struct spawner){
			.argv = argv, .deadline_ns = start + (uint64_t)window_ms * 1000000u};
		errno = pthread_create(&spawners[i].thread, NULL, spawn_until, &spawners[i]);
		if (errno)
			bench_die("pthread_create");
	}
	for (unsigned i = 0; i < threads && i < THREADS_MAX; i++) {
		pthread_join(spawners[i].thread, NULL);
		count += spawners[i].count;
	}
	return (double)count * 1e9 / (double)(bench_now_ns() - start);
}
