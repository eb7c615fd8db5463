/* Starting commands: what they get, what they must not get, and how they end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/clock.h"
#include "sys/fd.h"
#include "sys/spawn.h"

enum { DEADLINE_MS = 10000, OUTPUT_MAX = 4096 };

static char *const shell_path = (char *)"/bin/sh";

static unsigned count_fds(void)
{
	unsigned count = 0;
	DIR *folder = opendir("/proc/self/fd");

	assert_non_null(folder);
	while (readdir(folder) != NULL)
		count++;
	closedir(folder);
	return count;
}

static void wait_end(struct wbi_process *process, struct wbi_process_end *ret_end)
{
	struct pollfd ended = {.fd = process->pidfd, .events = POLLIN};

	assert_int_equal(poll(&ended, 1, DEADLINE_MS), 1);
	assert_int_equal(wbi_process_reap(process, ret_end, NULL), WB_OK);
	assert_int_equal(process->pid, 0);
	assert_int_equal(process->pidfd, -1);
}

static void assert_no_children(void)
{
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

/* Reads to the end of the pipe, as text without its last newline. */
static void read_text(int pipe, char out[OUTPUT_MAX])
{
	size_t bytes = 0;
	ssize_t taken;

	for (;;) {
		struct pollfd ready = {.fd = pipe, .events = POLLIN};
		assert_int_equal(poll(&ready, 1, DEADLINE_MS), 1);
		taken = read(pipe, out + bytes, OUTPUT_MAX - 1 - bytes);
		if (taken <= 0)
			break;
		bytes += (size_t)taken;
	}
	assert_int_equal(taken, 0);
	if (bytes > 0 && out[bytes - 1] == '\n')
		bytes--;
	out[bytes] = '\0';
}

/* Runs a shell line with /dev/null and one pipe for both outputs. */
static struct wbi_process_end run(const char *line, unsigned long nofile, char out[OUTPUT_MAX])
{
	char *argv[] = {shell_path, (char *)"-c", (char *)line, NULL};
	struct wbi_process process;
	struct wbi_process_end end;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int reader, writer;

	assert_int_equal(wbi_fd_pipe(&reader, &writer, NULL), WB_OK);
	struct wbi_spawn spawn = {.path = shell_path,
				  .argv = argv,
				  .stdio = {null, writer, writer},
				  .nofile = nofile};
	assert_int_equal(wbi_spawn(&spawn, &process, NULL), WB_OK);
	close(writer);
	close(null);
	read_text(reader, out);
	close(reader);
	wait_end(&process, &end);
	return end;
}

static void assert_output(const char *line, const char *expected)
{
	char out[OUTPUT_MAX];
	struct wbi_process_end end = run(line, 0, out);

	assert_string_equal(out, expected);
	assert_false(end.signaled);
	assert_int_equal(end.code, 0);
}

static void exit_codes_and_signals(void **state)
{
	char out[OUTPUT_MAX];
	struct wbi_process_end end;
	(void)state;

	end = run("exit 0", 0, out);
	assert_true(!end.signaled && !end.core && end.code == 0);
	end = run("exit 255", 0, out);
	assert_true(!end.signaled && end.code == 255);
	end = run("kill -TERM $$", 0, out);
	assert_true(end.signaled && !end.core && end.code == SIGTERM);
	end = run("ulimit -c 0; kill -SEGV $$", 0, out);
	assert_true(end.signaled && end.code == SIGSEGV);
	assert_no_children();
}

static void what_cannot_start(void **state)
{
	char *argv[] = {(char *)"/nonexistent/waybill", NULL};
	struct wbi_process process = {.pid = 77, .pidfd = 78};
	struct wbi_spawn spawn = {.path = argv[0], .argv = argv, .stdio = {0, 1, 2}};
	struct wb_fault fault;
	(void)state;

	unsigned before = count_fds();
	assert_int_equal(wbi_spawn(&spawn, &process, &fault), WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, ENOENT);
	assert_non_null(strstr(fault.text, "/nonexistent/waybill"));
	spawn.path = "/etc/passwd";
	assert_int_equal(wbi_spawn(&spawn, &process, &fault), WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, EACCES);
	assert_true(process.pid == 77 && process.pidfd == 78);
	assert_int_equal(count_fds(), before);
	assert_no_children();
}

static void searched_in_path(void **state)
{
	char *argv[] = {(char *)"true", NULL};
	struct wbi_process process;
	struct wbi_process_end end;
	struct wbi_spawn spawn = {.path = "true", .argv = argv, .search = true, .stdio = {0, 1, 2}};
	(void)state;

	assert_int_equal(wbi_spawn(&spawn, &process, NULL), WB_OK);
	wait_end(&process, &end);
	assert_int_equal(end.code, 0);
}

static void environment_as_given(void **state)
{
	char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)"test \"$A\" = b", NULL};
	char *envp[] = {(char *)"A=b", NULL};
	struct wbi_process process;
	struct wbi_process_end end;
	struct wbi_spawn spawn = {.path = argv[0], .argv = argv, .envp = envp, .stdio = {0, 1, 2}};
	(void)state;

	assert_int_equal(wbi_spawn(&spawn, &process, NULL), WB_OK);
	wait_end(&process, &end);
	assert_int_equal(end.code, 0);
}

/* ---- what a command inherits ---- */

static void session_and_group_of_its_own(void **state)
{
	(void)state;
	/* After the name: state, parent, group, session. */
	assert_output("set -- $(cat /proc/$$/stat); test $5 = $$ && test $6 = $$ && echo yes",
		      "yes");
}

/* Ours is full of handlers, ignored and blocked signals; the command sees none of it. */
static void signals_are_fresh(void **state)
{
	sigset_t all, before;
	(void)state;

	sigfillset(&all);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGRTMIN + 3, SIG_IGN);
	wbi_spawn_look();
	pthread_sigmask(SIG_BLOCK, &all, &before);
	assert_output("grep -E 'Sig(Blk|Ign):' /proc/self/status | tr '\\t\\n' '  '",
		      "SigBlk: 0000000000000000 SigIgn: 0000000000000000 ");
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	signal(SIGRTMIN + 3, SIG_DFL);
	wbi_spawn_look();
}

/* Some are close-on-exec, one is not: a library's, or from whoever started us. */
static void no_descriptor_of_ours(void **state)
{
	int leak = open("/dev/null", O_RDONLY);
	int high = fcntl(leak, F_DUPFD, 200);
	(void)state;

	assert_true(leak >= 0 && high >= 200);
	/* The fourth is that of ls itself, on the folder. */
	assert_output("ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 ");
	close(leak);
	close(high);
}

static void soft_limit_of_files(void **state)
{
	struct rlimit limit;
	char out[OUTPUT_MAX], expected[64];
	(void)state;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max == RLIM_INFINITY)
		snprintf(expected, sizeof(expected), "64\nunlimited");
	else
		snprintf(expected, sizeof(expected), "64\n%lu", (unsigned long)limit.rlim_max);
	run("ulimit -Sn; ulimit -Hn", 64, out);
	assert_string_equal(out, expected);
	struct rlimit after;
	getrlimit(RLIMIT_NOFILE, &after);
	assert_int_equal(after.rlim_cur, limit.rlim_cur);
}

/* ---- stdio in awkward places: in a child, for it wrecks its own ---- */

static const char order_line[] = "read x; echo \"out $x\"; echo err >&2";

/* The three descriptors stand at places[0 … 2], each of 0 … 2 or higher. Gives an exit code. */
static int run_with_places(const int places[3])
{
	char *argv[] = {shell_path, (char *)"-c", (char *)order_line, NULL};
	struct wbi_process process;
	struct wbi_process_end end;
	int in[2], out[2], err[2], moved[3];
	char text[16];

	if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0)
		return 10;
	int wanted[3] = {in[0], out[1], err[1]};
	for (int i = 0; i < 3; i++)
		moved[i] = fcntl(wanted[i], F_DUPFD_CLOEXEC, 50);
	for (int i = 0; i < 3; i++)
		if (dup3(moved[i], places[i], O_CLOEXEC) < 0)
			return 11;
	struct wbi_spawn spawn = {
		.path = shell_path, .argv = argv, .stdio = {places[0], places[1], places[2]}};
	if (wbi_spawn(&spawn, &process, NULL) != WB_OK)
		return 12;
	if (write(in[1], "x\n", 2) != 2)
		return 13;
	if (read(out[0], text, sizeof(text)) != 6 || memcmp(text, "out x\n", 6) != 0)
		return 14;
	if (read(err[0], text, sizeof(text)) != 4 || memcmp(text, "err\n", 4) != 0)
		return 15;
	struct pollfd ended = {.fd = process.pidfd, .events = POLLIN};
	if (poll(&ended, 1, DEADLINE_MS) != 1 || wbi_process_reap(&process, &end, NULL) != WB_OK)
		return 16;
	/* Those that stand within 0 … 2 are still ours and still close-on-exec. */
	return fcntl(places[0], F_GETFD) == FD_CLOEXEC ? end.code : 17;
}

static void stdio_in_any_order(void **state)
{
	static const int places[][3] = {
		{0, 1, 2}, {1, 2, 0},  {2, 0, 1},  {1, 0, 2},  {0, 2, 1},
		{2, 1, 0}, {40, 0, 1}, {1, 40, 0}, {2, 1, 40}, {40, 41, 42},
	};
	(void)state;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		int status;
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			_exit(run_with_places(places[i]));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			fail_msg("order %zu: status %#x", i, (unsigned)status);
	}
}

/* ---- ends ---- */

static void spawn_cat(struct wbi_process *ret_process, int *ret_writer, const char *line)
{
	char *argv[] = {shell_path, (char *)"-c", (char *)line, NULL};
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	struct wbi_spawn spawn = {
		.path = shell_path, .argv = argv, .stdio = {ends[0], ends[1], ends[1]}};
	assert_int_equal(wbi_spawn(&spawn, ret_process, NULL), WB_OK);
	close(ends[0]);
	*ret_writer = ends[1];
}

static void running_is_not_reaped(void **state)
{
	struct wbi_process process;
	struct wbi_process_end end;
	int writer;
	(void)state;

	spawn_cat(&process, &writer, "read x");
	assert_int_equal(wbi_process_reap(&process, &end, NULL), WB_ERR_TIMEOUT);
	assert_true(process.pid > 0 && process.pidfd >= 0);
	assert_int_not_equal(fcntl(process.pidfd, F_GETFD) & FD_CLOEXEC, 0);
	wbi_process_kill_group(&process, SIGKILL);
	wait_end(&process, &end);
	assert_true(end.signaled && end.code == SIGKILL);
	wbi_process_kill_group(&process, SIGKILL); /* reaped: hits nobody */
	close(writer);
	assert_no_children();
}

/* The pidfd stays, for whoever has a better moment to close it. */
static void waiting_leaves_the_pidfd(void **state)
{
	struct wbi_process process;
	struct wbi_process_end end;
	int writer;
	(void)state;

	spawn_cat(&process, &writer, "read x; exit 3");
	assert_int_equal(wbi_process_wait(&process, &end, NULL), WB_ERR_TIMEOUT);
	assert_true(process.pid > 0);
	assert_int_equal(write(writer, "\n", 1), 1);
	struct pollfd ended = {.fd = process.pidfd, .events = POLLIN};
	assert_int_equal(poll(&ended, 1, DEADLINE_MS), 1);
	assert_int_equal(wbi_process_wait(&process, &end, NULL), WB_OK);
	assert_int_equal(end.code, 3);
	assert_int_equal(process.pid, 0);
	assert_true(fcntl(process.pidfd, F_GETFD) >= 0);
	close(process.pidfd);
	close(writer);
	assert_no_children();
}

static void burying(void **state)
{
	struct wbi_process process;
	int writer;
	(void)state;

	unsigned before = count_fds();
	spawn_cat(&process, &writer, "read x");
	wbi_process_kill_group(&process, SIGKILL);
	wbi_process_bury(&process, DEADLINE_MS);
	assert_true(process.pid == 0 && process.pidfd == -1);
	close(writer);
	assert_no_children();
	assert_int_equal(count_fds(), before);
}

/* No place for the pidfd: then the command never runs. */
static void out_of_descriptors(void **state)
{
	char name[] = "/tmp/waybill-spawn-XXXXXX", line[128];
	struct rlimit limit, tight;
	struct wb_fault fault = {0};
	struct wbi_process process;
	int probe = mkstemp(name);
	(void)state;

	assert_true(probe >= 0);
	snprintf(line, sizeof(line), "echo ran > %s", name);
	char *argv[] = {shell_path, (char *)"-c", line, NULL};
	struct wbi_spawn spawn = {.path = shell_path, .argv = argv, .stdio = {0, 1, 2}};
	getrlimit(RLIMIT_NOFILE, &limit);
	tight = limit;
	tight.rlim_cur = (rlim_t)probe + 1;
	setrlimit(RLIMIT_NOFILE, &tight);
	enum wb_err err = wbi_spawn(&spawn, &process, &fault);
	setrlimit(RLIMIT_NOFILE, &limit);
	assert_int_equal(err, WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, EMFILE);
	assert_int_equal(lseek(probe, 0, SEEK_END), 0);
	close(probe);
	unlink(name);
	assert_no_children();
}

/* Somebody else reaped it: an error, never an invented exit code. */
static void stolen_outcome(void **state)
{
	struct wbi_process process;
	struct wbi_process_end end;
	int writer;
	(void)state;

	spawn_cat(&process, &writer, "exit 0");
	assert_int_equal(waitpid(process.pid, NULL, 0), process.pid);
	assert_int_equal(wbi_process_reap(&process, &end, NULL), WB_ERR_SYSTEM);
	assert_int_equal(process.pidfd, -1);
	close(writer);
}

static void many(void **state)
{
	enum { COMMANDS = 200 };
	char out[OUTPUT_MAX];
	(void)state;

	unsigned before = count_fds();
	uint64_t start_ns = wbi_clock_ns();
	for (int i = 0; i < COMMANDS; i++)
		run(":", 0, out);
	print_message("one sh -c : with pipe and wait: %.0f us\n",
		      (double)(wbi_clock_ns() - start_ns) / 1000 / COMMANDS);
	assert_int_equal(count_fds(), before);
	assert_no_children();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exit_codes_and_signals),
		cmocka_unit_test(what_cannot_start),
		cmocka_unit_test(searched_in_path),
		cmocka_unit_test(environment_as_given),
		cmocka_unit_test(session_and_group_of_its_own),
		cmocka_unit_test(signals_are_fresh),
		cmocka_unit_test(no_descriptor_of_ours),
		cmocka_unit_test(soft_limit_of_files),
		cmocka_unit_test(stdio_in_any_order),
		cmocka_unit_test(running_is_not_reaped),
		cmocka_unit_test(waiting_leaves_the_pidfd),
		cmocka_unit_test(burying),
		cmocka_unit_test(out_of_descriptors),
		cmocka_unit_test(stolen_outcome),
		cmocka_unit_test(many),
	};

	signal(SIGCHLD, SIG_DFL); /* an ignored one would be inherited from whoever started us */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
