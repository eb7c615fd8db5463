/* exec: what a command gets, what its client is told, and how both end. */
#include "exec_fixture.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>

static void assert_exited(const struct command *command, uint32_t code)
{
	assert_int_equal(command->result.exit.outcome, WBI_OUTCOME_EXITED);
	assert_true(command->result.complete);
	assert_int_equal(command->result.exit.code, code);
}

/* ---- what it gets ---- */

static void argv_is_exact(void **state)
{
	struct command command;

	run(*state,
	    (struct ask){.argv = ARGV("printf", "[%s]", "a b", "", "*", "$HOME", "\xff\n"),
			 .no_input = true},
	    &command);
	assert_string_equal(text_of(&command, 1), "[a b][][*][$HOME][\xff\n]");
	assert_string_equal(text_of(&command, 2), "");
	assert_exited(&command, 0);
	assert_true(command.result.exit.has_usage);
	assert_true(command.result.exit.memory_bytes > 0);
	end(*state, &command);
}

static void a_shell_line(void **state)
{
	struct command command;

	run(*state, (struct ask){.argv = ARGV("echo a | tr a b; exit 3"), .shell = true}, &command);
	assert_string_equal(text_of(&command, 1), "b\n");
	assert_exited(&command, 3);
	end(*state, &command);
}

static void its_environment(void **state)
{
	struct command command;
	char expected[64];

	setenv("LC_TEST", "ours", 1);
	setenv("WAYBILL_SECRET", "ours", 1);
	run(*state, (struct ask){.argv = ARGV("env"), .env = ARGV("A=b=c", "SHELL=mine")},
	    &command);
	assert_exited(&command, 0);
	assert_true(has_text(&command, "A=b=c\n"));
	assert_true(has_text(&command, "SHELL=mine\n"));
	assert_true(has_text(&command, "LC_TEST=ours\n"));
	assert_true(has_text(&command, "PATH=/usr/local/sbin:"));
	assert_true(has_text(&command, "LOGNAME="));
	assert_false(has_text(&command, "WAYBILL_SECRET"));
	assert_false(has_text(&command, "TERM="));
	snprintf(expected, sizeof(expected), "WAYBILL_JOB=%u\n", (unsigned)command.job);
	assert_true(has_text(&command, expected));
	end(*state, &command);
}

static void its_path_decides(void **state)
{
	struct fixture *fixture = *state;
	struct command command;
	char path[64], program[64];
	int fd;

	snprintf(path, sizeof(path), "PATH=relative:%s", fixture->folder);
	snprintf(program, sizeof(program), "%s/prog", fixture->folder);
	fd = open(program, O_CREAT | O_WRONLY | O_CLOEXEC, 0700);
	assert_true(fd >= 0);
	assert_int_equal(dprintf(fd, "#!/bin/sh\necho found\n"), 21);
	close(fd);
	run(fixture, (struct ask){.argv = ARGV("prog"), .env = ARGV(path)}, &command);
	assert_string_equal(text_of(&command, 1), "found\n");
	end(fixture, &command);
	chmod(program, 0600);
	run(fixture, (struct ask){.argv = ARGV("prog"), .env = ARGV(path)}, &command);
	assert_int_equal(command.result.exit.code, 126);
	end(fixture, &command);
	unlink(program);
}

/* Who asks for a search that has no end gets one that has. */
static void its_path_is_searched_so_far(void **state)
{
	enum { FOLDERS = 1024, ENTRY = sizeof("/x:") - 1 };
	static char path[sizeof("PATH=") + FOLDERS * ENTRY + sizeof("/bin:/usr/bin")] = "PATH=";
	struct command command;
	char *at = path + strlen(path);

	for (int i = 0; i < FOLDERS; i++, at += ENTRY)
		memcpy(at, "/x:", ENTRY);
	strcpy(at, "/bin:/usr/bin");
	run(*state, (struct ask){.argv = ARGV("true"), .env = ARGV(path)}, &command);
	assert_int_equal(command.result.exit.code, 127);
	end(*state, &command);
	memmove(path + strlen("PATH="), path + strlen("PATH=") + 2 * ENTRY,
		strlen(path) - strlen("PATH=") - 2 * ENTRY + 1);
	run(*state, (struct ask){.argv = ARGV("true"), .env = ARGV(path)}, &command);
	assert_exited(&command, 0);
	end(*state, &command);
}

static void its_folder(void **state)
{
	struct command command;
	char *home = realpath(getpwuid(getuid())->pw_dir, NULL);

	run(*state, (struct ask){.argv = ARGV("pwd"), .folder = "/usr"}, &command);
	assert_string_equal(text_of(&command, 1), "/usr\n");
	end(*state, &command);
	run(*state, (struct ask){.argv = ARGV("/bin/pwd", "-P")}, &command);
	assert_non_null(home);
	assert_int_equal(strncmp(text_of(&command, 1), home, strlen(home)), 0);
	free(home);
	end(*state, &command);
	run(*state, (struct ask){.argv = ARGV("pwd"), .folder = "/nonexistent"}, &command);
	assert_int_equal(command.result.exit.outcome, WBI_OUTCOME_REFUSED);
	assert_string_equal(command.result.exit.error, "cwd");
	end(*state, &command);
}

static void no_descriptor_but_three(void **state)
{
	struct command command;

	run(*state, (struct ask){.argv = ARGV("ls", "-m", "/proc/self/fd"), .no_input = true},
	    &command);
	/* The fourth is that of ls itself, on the folder. */
	assert_string_equal(text_of(&command, 1), "0, 1, 2, 3\n");
	end(*state, &command);
}

static void what_cannot_start(void **state)
{
	static const struct {
		const char *program;
		uint32_t code;
		const char *error;
	} rows[] = {
		{"nonexistent-command", 127, "not-found"},
		{"/nonexistent/x", 127, "not-found"},
		{"/etc/passwd", 126, "not-executable"},
		{"/", 126, "not-executable"},
		{"", 127, "not-found"},
	};
	struct fixture *fixture = *state;
	struct command command;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		run(fixture, (struct ask){.argv = ARGV(rows[i].program)}, &command);
		assert_false(command.opened);
		assert_int_equal(command.result.exit.outcome, WBI_OUTCOME_FAILED);
		assert_int_equal(command.result.exit.code, rows[i].code);
		assert_string_equal(command.result.exit.error, rows[i].error);
		end(fixture, &command);
	}
	assert_true(wbi_list_empty(&fixture->jobs.records));
	fixture->limits.commands = 0;
	run(fixture, (struct ask){.argv = ARGV("true")}, &command);
	assert_int_equal(command.result.exit.outcome, WBI_OUTCOME_REFUSED);
	assert_string_equal(command.result.exit.error, "limit");
	end(fixture, &command);
}

/* ---- its input ---- */

static void input_and_its_end(void **state)
{
	struct command command;

	run(*state, (struct ask){.argv = ARGV("wc", "-c"), .input = "twelve bytes"}, &command);
	assert_string_equal(text_of(&command, 1), "12\n");
	assert_exited(&command, 0);
	end(*state, &command);
	run(*state, (struct ask){.argv = ARGV("wc", "-c"), .no_input = true}, &command);
	assert_string_equal(text_of(&command, 1), "0\n");
	end(*state, &command);
}

static void much_input(void **state)
{
	struct command command;

	run(*state, (struct ask){.argv = ARGV("wc", "-c"), .input_bytes = 20 << 20}, &command);
	assert_string_equal(text_of(&command, 1), "20971520\n");
	end(*state, &command);
}

static void input_that_nobody_reads(void **state)
{
	struct command command;

	run(*state,
	    (struct ask){.argv = SH("exec <&-; head -c 100000 /dev/zero | tr '\\0' x"),
			 .input_bytes = 20 << 20},
	    &command);
	assert_exited(&command, 0);
	assert_int_equal(command.out[0].bytes, 100000);
	end(*state, &command);
}

/* The command takes nothing: the client is stopped, and no memory is taken for what it could send.
 */
static void input_that_waits(void **state)
{
	struct fixture *fixture = *state;
	struct command command;

	begin(&fixture->peers[0],
	      (struct ask){.argv = SH("echo on; trap 'wc -c; exit' USR1; while :; do tail -f "
				      "/dev/null & wait; kill $!; done"),
			   .input_bytes = 30 << 20},
	      &command);
	RUN_UNTIL(fixture, has_text(&command, "on\n"));
	for (int i = 0; i < 50; i++)
		step(fixture);
	uint64_t sent = wbi_call_stream(command.call, 0)->offset;
	assert_true(sent < 10 << 20);
	assert_int_equal(wbi_call_signal(command.call, "USR1"), WB_OK);
	RUN_UNTIL(fixture, command.exited);
	assert_true(has_text(&command, "31457280\n"));
	end(fixture, &command);
}

/* ---- its output ---- */

static void streams_apart_and_closed_early(void **state)
{
	struct fixture *fixture = *state;
	struct command command;

	begin(&fixture->peers[0],
	      (struct ask){.argv = SH("echo out; echo err >&2; exec >&-; read x; "
				      "echo $x >&2")},
	      &command);
	RUN_UNTIL(fixture, command.out[0].eof);
	assert_false(command.exited);
	assert_string_equal(text_of(&command, 1), "out\n");
	give_input(&command, "late\n", 0, true);
	RUN_UNTIL(fixture, command.exited);
	assert_string_equal(text_of(&command, 2), "err\nlate\n");
	end(fixture, &command);
}

static void both_outputs_flood_a_reader_that_stops(void **state)
{
	enum { EACH = 30000000 };
	struct fixture *fixture = *state;
	struct command command;

	begin(&fixture->peers[0],
	      (struct ask){
		      .argv = SH("head -c 30000000 /dev/zero & head -c 30000000 /dev/zero >&2; "
				 "wait"),
		      .counts_only = true,
		      .stopped = true},
	      &command);
	RUN_UNTIL(fixture, command.out[0].bytes > 60000 && command.out[1].bytes > 60000);
	for (int i = 0; i < 50; i++)
		step(fixture);
	assert_true(command.out[0].bytes < 9 << 20);
	assert_true(fixture->jobs.log_memory.bytes <= 2 * WBI_LOG_RING_MAX);
	assert_int_equal(fixture->jobs.spool.bytes, 0);
	go_on(&command);
	RUN_UNTIL(fixture, command.exited);
	assert_exited(&command, 0);
	assert_int_equal(command.out[0].bytes, EACH);
	assert_int_equal(command.out[1].bytes, EACH);
	end(fixture, &command);
	assert_int_equal(fixture->jobs.log_memory.bytes, 0);
}

/* Memory that others have borrowed all of: each log has its own few bytes, and all goes on. */
static void output_with_little_memory(void **state)
{
	struct fixture *fixture = *state;
	struct command command;

	fixture->jobs.log_memory.limit_bytes = 0;
	run(fixture,
	    (struct ask){.argv = ARGV("head", "-c", "30000000", "/dev/zero"), .counts_only = true},
	    &command);
	assert_exited(&command, 0);
	assert_int_equal(command.out[0].bytes, 30000000);
	end(fixture, &command);
}

/* head -1 at the client: the command meets SIGPIPE. */
static void a_reader_that_goes_away(void **state)
{
	struct fixture *fixture = *state;
	struct command command;

	begin(&fixture->peers[0], (struct ask){.argv = ARGV("yes"), .counts_only = true}, &command);
	RUN_UNTIL(fixture, command.out[0].bytes > 0);
	wbi_stream_reset(wbi_call_stream(command.call, 1));
	RUN_UNTIL(fixture, command.exited);
	assert_int_equal(command.result.exit.outcome, WBI_OUTCOME_SIGNALED);
	assert_string_equal(command.result.exit.signal, "PIPE");
	end(fixture, &command);
}

static void held_open(void **state)
{
	struct fixture *fixture = *state;
	struct command command;

	run(fixture, (struct ask){.argv = SH("tail -f /dev/null & echo $!")}, &command);
	assert_exited(&command, 0);
	assert_true(command.out[0].held_open && command.out[1].held_open);
	pid_t survivor = (pid_t)atoi(text_of(&command, 1));
	end(fixture, &command);
	assert_int_equal(waitpid(survivor, NULL, WNOHANG), 0);
	assert_int_equal(kill(survivor, SIGTERM), 0);
}

static void what_was_left_on_purpose_goes_on(void **state)
{
	struct fixture *fixture = *state;
	struct command command;

	run(fixture,
	    (struct ask){.argv = SH("setsid tail -f /dev/null >/dev/null 2>&1 & echo $!; "
				    "nohup tail -f /dev/null >/dev/null 2>&1 & echo $!")},
	    &command);
	assert_exited(&command, 0);
	assert_false(command.out[0].held_open);
	const char *text = text_of(&command, 1);
	pid_t first = (pid_t)atoi(text), second = (pid_t)atoi(strchr(text, '\n'));
	end(fixture, &command);
	assert_int_equal(waitpid(first, NULL, WNOHANG), 0);
	assert_int_equal(waitpid(second, NULL, WNOHANG), 0);
	assert_int_equal(kill(first, SIGTERM) | kill(second, SIGTERM), 0);
}

/* ---- signals, limits, cancelling ---- */

static void signals_by_name(void **state)
{
	struct fixture *fixture = *state;
	struct command command;

	begin(&fixture->peers[0],
	      (struct ask){.argv = SH("trap 'echo int' INT; trap 'exit 7' USR2; "
				      "echo on; while kill -0 $PPID; do read x; done")},
	      &command);
	RUN_UNTIL(fixture, has_text(&command, "on\n"));
	assert_int_equal(wbi_call_signal(command.call, "NONSENSE"), WB_OK);
	assert_int_equal(wbi_call_signal(command.call, "INT"), WB_OK);
	RUN_UNTIL(fixture, has_text(&command, "int\n"));
	assert_int_equal(wbi_call_signal(command.call, "USR2"), WB_OK);
	RUN_UNTIL(fixture, command.exited);
	assert_exited(&command, 7);
	end(fixture, &command);
	begin(&fixture->peers[0], (struct ask){.argv = ARGV("cat")}, &command);
	assert_int_equal(wbi_call_signal(command.call, "KILL"), WB_OK);
	RUN_UNTIL(fixture, command.exited);
	assert_int_equal(command.result.exit.outcome, WBI_OUTCOME_SIGNALED);
	assert_string_equal(command.result.exit.signal, "KILL");
	end(fixture, &command);
}

static void a_time_limit(void **state)
{
	struct command command;

	run(*state, (struct ask){.argv = SH("echo a; exec tail -f /dev/null"), .timeout_ms = 100},
	    &command);
	assert_int_equal(command.result.exit.outcome, WBI_OUTCOME_TIMEOUT);
	assert_true(command.result.complete);
	assert_string_equal(text_of(&command, 1), "a\n");
	end(*state, &command);
}

/* Everything in its session, job control or not, deaf or not; what has left the session stays. */
static void cancelled_with_all_its_kin(void **state)
{
	struct fixture *fixture = *state;
	struct command command;
	int status;

	begin(&fixture->peers[0],
	      (struct ask){
		      .argv = SH("setsid sh -c 'echo $$ on; exec tail -f /dev/null >/dev/null "
				 "2>&1' & set -m; trap '' HUP TERM; tail -f /dev/null & "
				 "(trap '' HUP TERM; set +m; tail -f /dev/null & wait) & wait")},
	      &command);
	RUN_UNTIL(fixture, has_text(&command, " on\n"));
	pid_t outsider = (pid_t)atoi(text_of(&command, 1));
	wbi_call_cancel(command.call);
	RUN_UNTIL(fixture, command.exited);
	assert_int_equal(command.result.exit.outcome, WBI_OUTCOME_CANCELLED);
	end(fixture, &command);
	assert_int_equal(waitpid(outsider, &status, WNOHANG), 0);
	kill(outsider, SIGTERM);
	alarm(DEADLINE_MS / 1000);
	while (waitpid(-1, &status, 0) > 0)
		assert_true(WIFSIGNALED(status));
	alarm(0);
}

/* Cancelled once the command itself has ended: the outcome is its own. */
static void cancelled_too_late(void **state)
{
	struct fixture *fixture = *state;
	struct command command;

	fixture->limits.held_open_ms = DEADLINE_MS * 2;
	begin(&fixture->peers[0],
	      (struct ask){.argv = SH("tail -f /dev/null & echo $! on; exit 5")}, &command);
	RUN_UNTIL(fixture, has_text(&command, " on\n") && fixture->jobs.running == 1);
	pid_t survivor = (pid_t)atoi(text_of(&command, 1));
	for (int i = 0; i < 20; i++)
		step(fixture);
	wbi_call_cancel(command.call);
	RUN_UNTIL(fixture, command.exited);
	assert_exited(&command, 5);
	assert_true(command.out[0].held_open);
	end(fixture, &command);
	kill(survivor, SIGTERM);
}

/* ---- a terminal ---- */

static void a_terminal(void **state)
{
	struct fixture *fixture = *state;
	struct command command;

	begin(&fixture->peers[0],
	      (struct ask){
		      .argv = SH("tty; stty size; echo $TERM; ps -o pgid=,tpgid= -p $$; read x; "
				 "stty size; cat"),
		      .pty = true,
		      .rows = 31,
		      .cols = 97},
	      &command);
	RUN_UNTIL(fixture, has_text(&command, "xterm-waybill\r\n"));
	assert_true(command.pty);
	assert_true(has_text(&command, "/dev/pts/"));
	assert_true(has_text(&command, "31 97\r\n"));
	wbi_call_resize(command.call, 10, 20);
	for (int i = 0; i < 20; i++)
		step(fixture);
	give_input(&command, "\nline\n", 0, true);
	RUN_UNTIL(fixture, command.exited);
	assert_true(has_text(&command, "line\r\n10 20\r\nline\r\n"));
	assert_exited(&command, 0);
	end(fixture, &command);
}

/* A line that was begun needs the end-of-file character twice. */
static void a_terminal_s_end_of_file(void **state)
{
	struct command command;

	run(*state, (struct ask){.argv = ARGV("wc", "-c"), .pty = true, .input = "abc"}, &command);
	assert_true(has_text(&command, "3\r\n"));
	end(*state, &command);
}

/* The shell puts its job in the foreground: that is who gets the signal, and the shell lives. */
static void a_terminal_s_foreground(void **state)
{
	struct fixture *fixture = *state;
	struct command command;

	begin(&fixture->peers[0],
	      (struct ask){.argv = SH("set -m; (echo on; exec tail -f /dev/null); echo code $?"),
			   .pty = true},
	      &command);
	RUN_UNTIL(fixture, has_text(&command, "on\r\n"));
	assert_int_equal(wbi_call_signal(command.call, "TERM"), WB_OK);
	RUN_UNTIL(fixture, command.exited);
	assert_true(has_text(&command, "code 143\r\n"));
	assert_exited(&command, 0);
	end(fixture, &command);
}

static void a_terminal_that_hangs_up(void **state)
{
	struct fixture *fixture = *state;
	struct command command;

	begin(&fixture->peers[0], (struct ask){.argv = ARGV("cat"), .pty = true, .input_bytes = 0},
	      &command);
	give_input(&command, "x\n", 0, false);
	RUN_UNTIL(fixture, has_text(&command, "x\r\nx\r\n"));
	wbi_stream_reset(wbi_call_stream(command.call, 1));
	RUN_UNTIL(fixture, command.exited);
	assert_int_equal(command.result.exit.outcome, WBI_OUTCOME_SIGNALED);
	assert_string_equal(command.result.exit.signal, "HUP");
	end(fixture, &command);
}

/* ---- what is refused ---- */

static void put_nonsense(struct wb_header_writer *writer, void *context)
{
	const char *const *field = context;

	wb_header_put_integer(writer, "argc", field[0][0] == '2' ? 2 : 1);
	if (strcmp(field[0], "policy") == 0)
		wb_header_put_string(writer, "on_disconnect", "shrug");
	if (strcmp(field[0], "rows") == 0) {
		wb_header_put_bool(writer, "pty", true);
		wb_header_put_integer(writer, "rows", 70000);
	}
	if (strcmp(field[0], "env") == 0)
		wb_header_put_integer(writer, "envc", 1);
}

static void nonsense_is_refused(void **state)
{
	static const char *const rows[] = {"2 strings", "policy", "rows", "env"};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool env = strcmp(rows[i], "env") == 0;
		struct command command = {0};
		struct wbi_open open = {
			.service = "exec",
			.payload = {(const uint8_t *)"true\0=", env ? 7 : 5},
			.put_fields = put_nonsense,
			.context = (void *)(uintptr_t)&rows[i],
		};
		assert_int_equal(
			wbi_call_open(fixture->peers[0].client, &open, &command.call, NULL), WB_OK);
		command.call->owner = &command;
		RUN_UNTIL(fixture, command.exited);
		assert_int_equal(command.result.exit.outcome, WBI_OUTCOME_REFUSED);
		assert_string_equal(command.result.exit.error, "malformed");
		end(fixture, &command);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(argv_is_exact),
		TEST(a_shell_line),
		TEST(its_environment),
		TEST(its_path_decides),
		TEST(its_path_is_searched_so_far),
		TEST(its_folder),
		TEST(no_descriptor_but_three),
		TEST(what_cannot_start),
		TEST(input_and_its_end),
		TEST(much_input),
		TEST(input_that_nobody_reads),
		TEST(input_that_waits),
		TEST(streams_apart_and_closed_early),
		TEST(both_outputs_flood_a_reader_that_stops),
		TEST(output_with_little_memory),
		TEST(a_reader_that_goes_away),
		TEST(held_open),
		TEST(what_was_left_on_purpose_goes_on),
		TEST(signals_by_name),
		TEST(a_time_limit),
		TEST(cancelled_with_all_its_kin),
		TEST(cancelled_too_late),
		TEST(a_terminal),
		TEST(a_terminal_s_end_of_file),
		TEST(a_terminal_s_foreground),
		TEST(a_terminal_that_hangs_up),
		TEST(nonsense_is_refused),
	};

	become_reaper();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
