/* TLS beside bare OpenSSL, and a whole client process beside ssh.
 *
 *   bench_tls [--self] [--rounds N] [--window MS] BUILD [NAME]…
 *   bench_tls bare|link    the servers: a command's output through bare OpenSSL, or through a TLS
 *                          link without a session
 *
 * NAME picks the measures whose name contains it. All keys are made here, in a home folder of this
 * program's own. Exits 1 if a wanted number is missed. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "support/tls_pump.h"

#define OUTPUT_BYTES "1073741824" /* of a command, where whole processes move it */

enum { PROCESSES = 15, PATH_BYTES = 512 };

/* Paths are known only once the build is. */
static char program[PATH_BYTES], floor_program[PATH_BYTES], self_program[PATH_BYTES];
static char home[] = "/tmp/waybill-bench-XXXXXX";

static char *in_home(const char *name, char path[PATH_BYTES])
{
	snprintf(path, PATH_BYTES, "%s/%s", home, name);
	return path;
}

/* ---- keys, in a home of our own ---- */

static int run_quietly(const char *const *argv)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), status = -1;
	pid_t pid = bench_spawn(argv, (const int[]){null, null, null});

	close(null);
	if (waitpid(pid, &status, 0) < 0)
		bench_die("waitpid");
	return status;
}

static void copy_key(const char *before, uint16_t port, const char *to)
{
	char line[PATH_BYTES], path[PATH_BYTES];
	FILE *from = fopen(in_home(before, path), "r"), *out;

	if (!from || !fgets(line, sizeof(line), from))
		bench_die(path);
	fclose(from);
	out = fopen(in_home(to, path), "w");
	if (!out)
		bench_die(path);
	if (port)
		fprintf(out, "[127.0.0.1]:%u ", port);
	fputs(line, out);
	fclose(out);
}

static void make_key(const char *name)
{
	char path[PATH_BYTES];
	const char *const argv[] = {"/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
				    in_home(name, path),   NULL};

	if (run_quietly(argv) != 0)
		bench_die("ssh-keygen");
}

static void make_home(void)
{
	char path[PATH_BYTES];

	if (!mkdtemp(home) || mkdir(in_home(".ssh", path), 0700) < 0)
		bench_die(home);
	setenv("HOME", home, 1);
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("SSH_AUTH_SOCK");
	make_key("host");
	make_key(".ssh/id_ed25519");
	copy_key(".ssh/id_ed25519.pub", 0, ".ssh/authorized_keys");
}

static void remove_home(void)
{
	static const char *const names[] = {"host",
					    "host.pub",
					    "ssh_config",
					    "sshd_config",
					    "control",
					    ".ssh/id_ed25519",
					    ".ssh/id_ed25519.pub",
					    ".ssh/authorized_keys",
					    ".ssh/known_hosts",
					    ".ssh",
					    "."};
	char path[PATH_BYTES];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		remove(in_home(names[i], path));
	rmdir(home);
}

/* ---- a server of one pump after the other ---- */

static int listen_on_loopback(void)
{
	uint16_t port;
	int fd = bench_listen_somewhere(&port), on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	fprintf(stderr, "listening pump+tls://127.0.0.1:%d\n", port);
	return fd;
}

static _Noreturn void serve(void (*pump)(int from, int to), const char *producer)
{
	const char *const argv[] = {producer, "produce", NULL};
	int listener = listen_on_loopback();

	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), output[2];
		pid_t pid;

		if (fd < 0 || pipe2(output, O_CLOEXEC) < 0)
			bench_die("accept");
		(void)fcntl(output[0], F_SETPIPE_SZ, BENCH_PIPE_BYTES);
		pid = bench_spawn(argv, (const int[]){0, output[1], 2});
		close(output[1]);
		pump(output[0], fd);
		close(output[0]);
		close(fd);
		bench_reap(pid);
	}
}

/* ---- sides ---- */

static void start_daemon(struct bench_side *side)
{
	char host[PATH_BYTES], keys[PATH_BYTES];
	const struct passwd *own = getpwuid(geteuid());
	const char *const argv[] = {program,
				    "serve",
				    "--listen",
				    "tls://127.0.0.1:0",
				    "--host-key",
				    in_home("host", host),
				    "--authorized-keys",
				    in_home(".ssh/authorized_keys", keys),
				    "--user", /* root must mean it */
				    own ? own->pw_name : "nobody",
				    NULL};

	bench_server_open(&side->server, argv, -1);
	copy_key("host.pub", side->server.port, ".ssh/known_hosts");
}

static void start_server(struct bench_side *side, const char *kind)
{
	const char *const argv[] = {self_program, kind, NULL};

	bench_server_open(&side->server, argv, -1);
}

static void open_link_side(const struct bench_measure *measure, const struct bench_options *options,
			   struct bench_side *side)
{
	(void)measure;
	(void)options;
	start_server(side, side->product ? "link" : "bare");
}

static void open_session(const struct bench_measure *measure, const struct bench_options *options,
			 struct bench_side *side)
{
	(void)measure;
	(void)options;
	if (!side->product) {
		start_server(side, "bare");
		return;
	}
	start_daemon(side);
	side->load = bench_callers_new(side->server.uri, 1, 1);
}

static void close_side(struct bench_side *side)
{
	if (side->load)
		bench_callers_free(side->load);
}

static double run_pump(struct bench_side *side, bool link)
{
	uint64_t start = bench_now_ns(), total;
	int fd = bench_dial(side->server.port, SOCK_STREAM);

	total = link ? bench_tls_read_link(fd) : bench_tls_read_bare(fd);
	close(fd);
	errno = 0;
	if (total != BENCH_BULK_BYTES)
		bench_die("bulk came short");
	return BENCH_BULK_BYTES * 1e9 / (double)(bench_now_ns() - start);
}

static double run_link(struct bench_side *side, unsigned window_ms)
{
	(void)window_ms;
	return run_pump(side, side->product);
}

static double run_session(struct bench_side *side, unsigned window_ms)
{
	const char *const producer[] = {floor_program, "produce", NULL};
	uint64_t bytes, ns;

	(void)window_ms;
	if (!side->product)
		return run_pump(side, false);
	ns = bench_callers_one_ns(side->load, producer, &bytes);
	errno = 0;
	if (bytes != BENCH_BULK_BYTES)
		bench_die("bulk came short");
	return BENCH_BULK_BYTES * 1e9 / (double)ns;
}

/* ---- processes ---- */

static const char sshd[] = "/usr/sbin/sshd", ssh[] = "/usr/bin/ssh";

static void write_text(const char *name, const char *text)
{
	char path[PATH_BYTES];
	FILE *file = fopen(in_home(name, path), "w");

	if (!file || fputs(text, file) < 0 || fclose(file) != 0)
		bench_die(path);
}

static void configure_ssh(uint16_t port)
{
	char text[8 * PATH_BYTES];

	snprintf(text, sizeof(text),
		 "Port %u\nListenAddress 127.0.0.1\nHostKey %s/host\n"
		 "AuthorizedKeysFile %s/.ssh/authorized_keys\nStrictModes no\nUsePAM no\n"
		 "PidFile none\nPermitRootLogin yes\nSetEnv SHLVL=2\n",
		 port, home, home);
	write_text("sshd_config", text);
	snprintf(text, sizeof(text),
		 "Host *\nPort %u\nIdentityFile %s/.ssh/id_ed25519\nUserKnownHostsFile "
		 "%s/.ssh/known_hosts\nStrictHostKeyChecking no\nKexAlgorithms "
		 "curve25519-sha256\nCiphers aes128-gcm@openssh.com\nControlPath %s/control\n"
		 "LogLevel ERROR\n",
		 port, home, home, home);
	write_text("ssh_config", text);
}

static bool ssh_would_run(void)
{
	char path[PATH_BYTES];
	const char *const argv[] = {sshd, "-t", "-f", in_home("sshd_config", path), NULL};

	if (access(sshd, X_OK) != 0 || access(ssh, X_OK) != 0)
		return false;
	configure_ssh(1);
	return run_quietly(argv) == 0;
}

/* A master that stays, as ControlPersist would have it, once sshd answers. */
static void open_master(void)
{
	char path[PATH_BYTES];
	const char *const argv[] = {ssh,
				    "-F",
				    in_home("ssh_config", path),
				    "-o",
				    "ControlMaster=yes",
				    "-o",
				    "ControlPersist=yes",
				    "127.0.0.1",
				    "true",
				    NULL};

	if (run_quietly(argv) != 0)
		bench_die("ssh");
}

static void start_sshd(struct bench_side *side, bool warm)
{
	char path[PATH_BYTES];
	const char *const argv[] = {sshd, "-D", "-f", in_home("sshd_config", path), NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	side->server.port = bench_free_port();
	configure_ssh(side->server.port);
	side->server.pid = bench_spawn(argv, (const int[]){null, null, null});
	close(null);
	bench_wait_for_port(side->server.port);
	if (warm)
		open_master();
}

static void open_process(const struct bench_measure *measure, const struct bench_options *options,
			 struct bench_side *side)
{
	(void)options;
	if (side->product)
		start_daemon(side);
	else
		start_sshd(side, measure->depth == 1);
}

static double run_process(struct bench_side *side, unsigned window_ms)
{
	char path[PATH_BYTES];
	const char *const ours[] = {program, "exec", side->server.uri, "--", "true", NULL};
	const char *const theirs[] = {ssh,         "-F",   in_home("ssh_config", path),
				      "127.0.0.1", "true", NULL};
	double times[PROCESSES];

	(void)window_ms;
	for (int i = 0; i < PROCESSES; i++)
		times[i] = (double)bench_spawn_ns(side->product ? ours : theirs);
	return bench_quantile(times, PROCESSES, 0.5);
}

/* A command's output into /dev/null, from start to end of the client. */
static double run_output(struct bench_side *side, unsigned window_ms)
{
	char path[PATH_BYTES];
	const char *const ours[] = {program, "exec",       side->server.uri, "--", "head",
				    "-c",    OUTPUT_BYTES, "/dev/zero",      NULL};
	const char *const theirs[] = {ssh,          "-F",        in_home("ssh_config", path),
				      "127.0.0.1",  "head",      "-c",
				      OUTPUT_BYTES, "/dev/zero", NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	uint64_t start = bench_now_ns();

	(void)window_ms;
	bench_reap(bench_spawn(side->product ? ours : theirs, (const int[]){null, null, 2}));
	close(null);
	return strtod(OUTPUT_BYTES, NULL) * 1e9 / (double)(bench_now_ns() - start);
}

static void close_process(struct bench_side *side)
{
	char path[PATH_BYTES];
	const char *const argv[] = {ssh,         "-F", in_home("ssh_config", path), "-O", "exit",
				    "127.0.0.1", NULL};

	if (!side->product)
		run_quietly(argv);
}

/* ---- the measures ---- */

static const struct bench_measure measures[] = {
	{"tls link, openssl", "", 0, 0, "MB/s", 1e-6, 0.9, true, open_link_side, run_link,
	 close_side},
	{"tls bulk, openssl", "", 0, 0, "MB/s", 1e-6, 0.9, true, open_session, run_session,
	 close_side},
	{"tls exec bulk, ssh", "", 0, 0, "MB/s", 1e-6, 1.7, true, open_process, run_output,
	 close_process},
	{"tls exec, warm ssh", "", 0, 1, "ms", 1e-6, 0.75, false, open_process, run_process,
	 close_process},
	{"tls exec, cold ssh", "", 0, 0, "ms", 1e-6, 0.04, false, open_process, run_process,
	 close_process},
};

static bool can_run(const struct bench_measure *measure)
{
	if (measure->open != open_process || ssh_would_run())
		return true;
	printf("%s: SKIPPED, no sshd would run here (see %s -t)\n", measure->name, sshd);
	return false;
}

static void find_programs(const char *build)
{
	char *whole = realpath(build, NULL);

	if (!whole)
		bench_die(build);
	snprintf(program, sizeof(program), "%s/waybill", whole);
	snprintf(floor_program, sizeof(floor_program), "%s/bench/bench_floor", whole);
	snprintf(self_program, sizeof(self_program), "%s/bench/bench_tls", whole);
	free(whole);
}

/* Beside us, where the build put both. */
static const char *producer_of(const char *own_path)
{
	static char path[PATH_BYTES];
	const char *slash = strrchr(own_path, '/');

	snprintf(path, sizeof(path), "%.*sbench_floor", slash ? (int)(slash - own_path + 1) : 0,
		 own_path);
	return path;
}

int main(int argc, char **argv)
{
	struct bench_options options;
	struct bench_usage start;
	bool ok = true;

	if (argc == 2 && !strcmp(argv[1], "bare"))
		serve(bench_tls_pump_bare, producer_of(argv[0]));
	if (argc == 2 && !strcmp(argv[1], "link"))
		serve(bench_tls_pump_link, producer_of(argv[0]));
	bench_options_parse(&options, argc, argv);
	find_programs(options.build);
	make_home();
	bench_usage_read(&start);
	bench_table_head(&options);
	for (size_t i = 0; i < sizeof(measures) / sizeof(*measures); i++)
		if (bench_picked(&options, measures[i].name) && can_run(&measures[i]))
			ok = bench_compare(&measures[i], &options) && ok;
	remove_home();
	printf("other work took %.0f %% of this machine meanwhile\n",
	       bench_usage_others(&start) * 100);
	return ok ? 0 : 1;
}
