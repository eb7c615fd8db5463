/* Pseudo-terminals, and commands that are given one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "sys/fd.h"
#include "sys/pty.h"
#include "sys/spawn.h"

enum { DEADLINE_MS = 10000, TEXT_MAX = 4096 };

static void open_pty(int *master, char path[WBI_PTY_PATH_MAX])
{
	struct wb_fault fault;

	if (wbi_pty_open(24, 80, master, path, &fault) != WB_OK)
		fail_msg("%s", fault.text);
}

/* What the terminal shows up to `until`, or up to its end where that is NULL. */
static void read_screen(int master, const char *until, char text[TEXT_MAX])
{
	size_t bytes = 0;
	ssize_t taken;

	text[0] = '\0';
	while (until == NULL || strstr(text, until) == NULL) {
		struct pollfd ready = {.fd = master, .events = POLLIN};
		assert_int_equal(poll(&ready, 1, DEADLINE_MS), 1);
		taken = read(master, text + bytes, TEXT_MAX - 1 - bytes);
		if (taken <= 0)
			break;
		bytes += (size_t)taken;
		text[bytes] = '\0';
	}
	if (until == NULL)
		assert_true(taken < 0 && errno == EIO);
}

static struct wbi_process start(const char *line, const char *terminal)
{
	char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)line, NULL};
	struct wbi_spawn spawn = {.path = argv[0], .argv = argv, .terminal = terminal};
	struct wbi_process process;
	struct wb_fault fault;

	if (wbi_spawn(&spawn, &process, &fault) != WB_OK)
		fail_msg("%s", fault.text);
	return process;
}

static int end_of(struct wbi_process *process)
{
	struct pollfd ended = {.fd = process->pidfd, .events = POLLIN};
	struct wbi_process_end end;

	assert_int_equal(poll(&ended, 1, DEADLINE_MS), 1);
	assert_int_equal(wbi_process_reap(process, &end, NULL), WB_OK);
	return end.signaled ? 1000 + end.code : end.code;
}

static void nobody_inherits_it(void **state)
{
	char path[WBI_PTY_PATH_MAX];
	int master;
	(void)state;

	open_pty(&master, path);
	assert_true(fcntl(master, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(master, F_GETFL) & O_NONBLOCK);
	close(master);
}

/* The terminal is the command's own: its controlling one, and its group is in the foreground. */
static void it_controls_the_command(void **state)
{
	char path[WBI_PTY_PATH_MAX], text[TEXT_MAX];
	int master;
	(void)state;

	open_pty(&master, path);
	struct wbi_process process =
		/* The fourth descriptor is that of ls itself, on the folder. */
		start("tty; stty size; echo to the terminal >/dev/tty; ls -m /proc/self/fd; "
		      "read x; echo $x",
		      path);
	read_screen(master, "0, 1, 2, 3\r\n", text);
	assert_non_null(strstr(text, "to the terminal\r\n"));
	assert_non_null(strstr(text, path));
	assert_non_null(strstr(text, "24 80\r\n"));
	assert_int_equal(wbi_pty_foreground(master), process.pid);
	assert_int_equal(write(master, "said\n", 5), 5);
	read_screen(master, NULL, text);
	assert_non_null(strstr(text, "said\r\n"));
	assert_int_equal(end_of(&process), 0);
	close(master);
}

static void a_new_size_is_told(void **state)
{
	char path[WBI_PTY_PATH_MAX], text[TEXT_MAX];
	int master;
	(void)state;

	open_pty(&master, path);
	struct wbi_process process = start(
		"trap 'stty size; exit 3' WINCH; echo on; while kill -0 $PPID; do read x; done",
		path);
	read_screen(master, "on\r\n", text);
	wbi_pty_resize(master, 5, 6);
	read_screen(master, NULL, text);
	assert_string_equal(text, "5 6\r\n");
	assert_int_equal(end_of(&process), 3);
	close(master);
}

static void its_end_of_file(void **state)
{
	static const struct {
		const char *typed;
		const char *counted;
	} rows[] = {{"", "0\r\n"}, {"line\n", "5\r\n"}, {"begun", "5\r\n"}};
	char path[WBI_PTY_PATH_MAX], text[TEXT_MAX], end[2];
	int master;
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t bytes = strlen(rows[i].typed);
		bool at_start = bytes == 0 || rows[i].typed[bytes - 1] == '\n';
		open_pty(&master, path);
		struct wbi_process process = start("stty -echo; echo on; wc -c", path);
		read_screen(master, "on\r\n", text);
		assert_int_equal(write(master, rows[i].typed, bytes), bytes);
		unsigned count = wbi_pty_end_of_file(master, at_start, end);
		assert_int_equal(count, at_start ? 1 : 2);
		assert_int_equal(write(master, end, count), count);
		read_screen(master, NULL, text);
		assert_non_null(strstr(text, rows[i].counted));
		assert_int_equal(end_of(&process), 0);
		close(master);
	}
}

static void it_hangs_up(void **state)
{
	char path[WBI_PTY_PATH_MAX], text[TEXT_MAX];
	int master;
	(void)state;

	open_pty(&master, path);
	struct wbi_process process = start("echo on; exec cat", path);
	read_screen(master, "on\r\n", text);
	close(master);
	assert_int_equal(end_of(&process), 1000 + SIGHUP);
}

/* A terminal that cannot be opened: nothing is started. */
static void no_terminal_no_command(void **state)
{
	char *argv[] = {(char *)"/bin/true", NULL};
	struct wbi_spawn spawn = {.path = argv[0], .argv = argv, .terminal = "/dev/pts/none"};
	struct wbi_process process;
	struct wb_fault fault = {0};
	(void)state;

	assert_int_equal(wbi_spawn(&spawn, &process, &fault), WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, ENOENT);
}

static void started_in_a_folder(void **state)
{
	char path[WBI_PTY_PATH_MAX], text[TEXT_MAX];
	char *argv[] = {(char *)"./sh", (char *)"-c", (char *)"pwd -P", NULL};
	struct wbi_spawn spawn = {
		.path = argv[0], .argv = argv, .terminal = path, .folder = "/usr/bin"};
	struct wbi_process process;
	int master;
	(void)state;

	open_pty(&master, path);
	assert_int_equal(wbi_spawn(&spawn, &process, NULL), WB_OK);
	read_screen(master, NULL, text);
	assert_string_equal(text, "/usr/bin\r\n");
	assert_int_equal(end_of(&process), 0);
	spawn.folder = "/nonexistent";
	assert_int_equal(wbi_spawn(&spawn, &process, NULL), WB_ERR_SYSTEM);
	close(master);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_inherits_it),  cmocka_unit_test(it_controls_the_command),
		cmocka_unit_test(a_new_size_is_told),  cmocka_unit_test(its_end_of_file),
		cmocka_unit_test(it_hangs_up),         cmocka_unit_test(no_terminal_no_command),
		cmocka_unit_test(started_in_a_folder),
	};

	signal(SIGCHLD, SIG_DFL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
