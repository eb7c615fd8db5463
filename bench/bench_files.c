/* Files beside what moves them today: a bare program, rsync's daemon, scp, cp.
 *
 *   bench_files [--size BYTES] [--rounds N] BUILD [NAME]…
 *
 * One large file (256 MiB unless --size says more) and a tree of 20,000 files of 4 KiB, from one
 * folder in memory to another, each time into an empty place. Exits 1 if a wanted number is missed.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "waybill/digest.h"

enum {
	ROUNDS_DIVISOR = 3, /* of what --rounds says: these take longer than the others */
	SCP_ROUNDS = 3,
	MEMORY_MIB_MAX = 64,
	TMPFS_MAGIC_NUMBER = 0x01021994,
};

static char program[BENCH_PATH_BYTES], folder[64];
static uint64_t file_bytes = UINT64_C(256) << 20;
static long most_client_kib; /* the largest client so far */
static uint64_t most_server_bytes;
static bool in_memory;

static const char *path_of(const char *name, char out[BENCH_PATH_BYTES])
{
	snprintf(out, BENCH_PATH_BYTES, "%s/%s", folder, name);
	return out;
}

/* ---- what is moved ---- */

/* An empty folder `to` for every run. */
static void clear_target(void)
{
	char path[BENCH_PATH_BYTES];

	bench_tree_remove(path_of("to", path));
	if (mkdir(path, 0755) < 0)
		bench_die(path);
}

/* Whatever moved it: it is there. That it is the same is for the tests to say. */
static void check_target(bool tree)
{
	char path[BENCH_PATH_BYTES];
	struct stat info;
	uint64_t wanted = tree ? BENCH_TREE_FILE_BYTES : file_bytes;

	path_of(tree ? "to/tree/099/199" : "to/file", path);
	errno = 0;
	if (stat(path, &info) != 0 || (uint64_t)info.st_size != wanted)
		bench_die("what was moved is not there");
}

/* ---- commands ---- */

static uint64_t run_command(const char *const *argv, bool product)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC), status;
	uint64_t start = bench_now_ns();
	struct rusage usage;
	pid_t pid = bench_spawn(argv, (const int[]){null_fd, null_fd, STDERR_FILENO});

	if (wait4(pid, &status, 0, &usage) != pid)
		bench_die("wait4");
	start = bench_now_ns() - start;
	close(null_fd);
	errno = 0;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		bench_die(argv[0]);
	if (product && usage.ru_maxrss > most_client_kib)
		most_client_kib = usage.ru_maxrss;
	return start;
}

static void write_text(const char *name, const char *text)
{
	char path[BENCH_PATH_BYTES];
	int fd = open(path_of(name, path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		bench_die(path);
	bench_write_all(fd, text, strlen(text));
	close(fd);
}

static uint64_t run_put(const struct bench_side *side, bool tree)
{
	char from[BENCH_PATH_BYTES], to[BENCH_PATH_BYTES];
	char key[BENCH_PATH_BYTES], known[BENCH_PATH_BYTES];
	const char *const argv[] = {program, "put",
				    "-qr",   "-i",
				    key,     "--known-hosts",
				    known,   from,
				    to,      in_memory ? NULL : "--no-fsync",
				    NULL};

	path_of("key", key); /* of use over tls alone, and so is the other */
	path_of("known", known);
	path_of(tree ? "tree" : "file", from);
	snprintf(to, sizeof(to), "%s:%s/to/", side->server.uri, folder);
	return run_command(argv, true);
}

/* ---- our daemon; one key serves as host's, client's, and for scp ---- */

static void make_key(void)
{
	char key[BENCH_PATH_BYTES];
	const char *const argv[] = {
		"/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key, NULL};

	if (access(path_of("key", key), R_OK) != 0)
		run_command(argv, false);
}

static void know_host(uint16_t port)
{
	char path[BENCH_PATH_BYTES], key[BENCH_PATH_BYTES] = "", line[BENCH_PATH_BYTES + 32];
	int fd = open(path_of("key.pub", path), O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, key, sizeof(key) - 1) <= 0)
		bench_die(path);
	close(fd);
	snprintf(line, sizeof(line), "[127.0.0.1]:%u %s", port, key);
	write_text("known", line);
}

static void open_product(struct bench_side *side)
{
	const char *const argv[] = {program, "serve", "--listen", "tcp://127.0.0.1:0", NULL};

	bench_server_open(&side->server, argv, -1);
}

static void open_product_tls(struct bench_side *side)
{
	char host[BENCH_PATH_BYTES], authorized[BENCH_PATH_BYTES];
	const struct passwd *own = getpwuid(geteuid());
	const char *const argv[] = {program,
				    "serve",
				    "--listen",
				    "tls://127.0.0.1:0",
				    "--host-key",
				    host,
				    "--authorized-keys",
				    authorized,
				    "--user", /* root must mean it */
				    own ? own->pw_name : "nobody",
				    NULL};

	make_key();
	path_of("key", host);
	path_of("key.pub", authorized);
	bench_server_open(&side->server, argv, -1);
	know_host(side->server.port);
}

/* ---- the bare program: reads, sends; receives, hashes, writes ---- */

static void receive_file(int listener)
{
	static char piece[BENCH_PIECE_BYTES];
	char path[BENCH_PATH_BYTES], hex[WB_DIGEST_HEX_MAX];
	int from = accept(listener, NULL, NULL), to;
	struct wb_digest *digest;
	ssize_t got;

	to = open(path_of("to/file", path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (from < 0 || to < 0 || wb_digest_new(WB_DIGEST_XXH128, &digest, NULL) != WB_OK)
		bench_die("the receiver");
	while ((got = read(from, piece, sizeof(piece))) > 0) {
		wb_digest_update(digest, piece, (size_t)got);
		bench_write_all(to, piece, (size_t)got);
	}
	wb_digest_hex(digest, hex);
	bench_write_all(from, hex, 32);
	_exit(got < 0);
}

static void send_file(uint16_t port)
{
	static char piece[BENCH_PIECE_BYTES];
	char path[BENCH_PATH_BYTES];
	int to = bench_dial(port, SOCK_STREAM);
	int from = open(path_of("file", path), O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (from < 0)
		bench_die(path);
	while ((got = read(from, piece, sizeof(piece))) > 0)
		bench_write_all(to, piece, (size_t)got);
	shutdown(to, SHUT_WR);
	if (got < 0 || read(to, piece, sizeof(piece)) <= 0)
		bench_die("the sender");
	close(from);
	close(to);
}

static uint64_t run_bare(void)
{
	uint16_t port;
	int listener = bench_listen_somewhere(&port);
	uint64_t start;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		bench_die("fork");
	if (pid == 0)
		receive_file(listener);
	close(listener);
	start = bench_now_ns();
	send_file(port);
	bench_reap(pid);
	return bench_now_ns() - start;
}

/* ---- rsync's daemon ---- */

static pid_t start_quietly(const char *const *argv)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t pid = bench_spawn(argv, (const int[]){null_fd, null_fd, null_fd});

	close(null_fd);
	return pid;
}

static void open_rsync(struct bench_side *side)
{
	char config[2 * BENCH_PATH_BYTES], path[BENCH_PATH_BYTES], port[32],
		file[BENCH_PATH_BYTES + 16];
	const char *const argv[] = {"/usr/bin/rsync",
				    "--daemon",
				    "--no-detach",
				    "--address=127.0.0.1",
				    port,
				    file,
				    NULL};

	snprintf(config, sizeof(config),
		 "use chroot = no\nuid = %u\ngid = %u\n[to]\npath = %s/to\nread only = no\n",
		 (unsigned)geteuid(), (unsigned)getegid(), folder);
	write_text("rsyncd.conf", config);
	side->server.port = bench_free_port();
	snprintf(port, sizeof(port), "--port=%u", side->server.port);
	snprintf(file, sizeof(file), "--config=%s", path_of("rsyncd.conf", path));
	side->server.pid = start_quietly(argv);
	bench_wait_for_port(side->server.port);
}

static uint64_t run_rsync(const struct bench_side *side, bool tree)
{
	char from[BENCH_PATH_BYTES], to[64];
	const char *const argv[] = {"/usr/bin/rsync", "-a", from, to, NULL};

	path_of(tree ? "tree" : "file", from);
	snprintf(to, sizeof(to), "rsync://127.0.0.1:%u/to/", side->server.port);
	return run_command(argv, false);
}

/* ---- scp, from an sshd of our own ---- */

static const char sshd[] = "/usr/sbin/sshd";

static void configure_sshd(uint16_t port)
{
	char config[4 * BENCH_PATH_BYTES], key[BENCH_PATH_BYTES];

	make_key();
	path_of("key", key);
	snprintf(config, sizeof(config),
		 "Port %u\nListenAddress 127.0.0.1\nHostKey %s\nAuthorizedKeysFile %s.pub\n"
		 "StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n"
		 "Subsystem sftp internal-sftp\n",
		 port, key, key);
	write_text("sshd_config", config);
}

/* Root's needs a user of its own, a folder, and perhaps more: it knows best. */
static bool sshd_would_run(void)
{
	char path[BENCH_PATH_BYTES];
	const char *const argv[] = {sshd, "-t", "-f", path_of("sshd_config", path), NULL};
	int status;

	configure_sshd(1);
	if (waitpid(start_quietly(argv), &status, 0) < 0)
		bench_die("waitpid");
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void open_sshd(struct bench_side *side)
{
	char path[BENCH_PATH_BYTES];
	const char *const argv[] = {sshd, "-D", "-f", path_of("sshd_config", path), NULL};

	side->server.port = bench_free_port();
	configure_sshd(side->server.port);
	side->server.pid = start_quietly(argv);
	bench_wait_for_port(side->server.port);
}

static uint64_t run_scp(const struct bench_side *side, bool tree)
{
	char from[BENCH_PATH_BYTES], to[BENCH_PATH_BYTES], key[BENCH_PATH_BYTES], port[16];
	const char *const argv[] = {"/usr/bin/scp",
				    "-qrp",
				    "-F",
				    "none",
				    "-c",
				    "aes128-gcm@openssh.com",
				    "-i",
				    key,
				    "-P",
				    port,
				    "-o",
				    "StrictHostKeyChecking=no",
				    "-o",
				    "UserKnownHostsFile=/dev/null",
				    "-o",
				    "LogLevel=ERROR",
				    from,
				    to,
				    NULL};

	path_of("key", key);
	path_of(tree ? "tree" : "file", from);
	snprintf(port, sizeof(port), "%u", side->server.port);
	snprintf(to, sizeof(to), "127.0.0.1:%s/to/", folder);
	return run_command(argv, false);
}

/* ---- cp ---- */

static void open_nothing(struct bench_side *side)
{
	(void)side;
}

static uint64_t run_cp(const struct bench_side *side, bool tree)
{
	char from[BENCH_PATH_BYTES], to[BENCH_PATH_BYTES];
	const char *const argv[] = {"/bin/cp", "-r", from, to, NULL};

	(void)side;
	path_of(tree ? "tree" : "file", from);
	path_of("to/", to);
	return run_command(argv, false);
}

/* ---- the measures ---- */

struct other {
	void (*open)(struct bench_side *side);
	uint64_t (*run)(const struct bench_side *side, bool tree);
	const char *needs; /* NULL: nothing */
};

static uint64_t run_bare_file(const struct bench_side *side, bool tree)
{
	(void)side;
	(void)tree;
	return run_bare();
}

static const struct other bare = {open_nothing, run_bare_file, NULL};
static const struct other rsync = {open_rsync, run_rsync, "/usr/bin/rsync"};
static const struct other scp = {open_sshd, run_scp, sshd};
static const struct other cp = {open_nothing, run_cp, "/bin/cp"};

static const struct row {
	const char *name;
	const struct other *other;
	bool tree, tls;
	double wanted;
	unsigned rounds; /* at most; 0: all */
} rows[] = {
	{"file, bare", &bare, false, false, 0.9, 0},
	{"file, rsync", &rsync, false, false, 1.2, 0},
	{"file tls, scp", &scp, false, true, 1.8, 0},
	{"files, rsync", &rsync, true, false, 2.5, 0},
	{"files, cp -r", &cp, true, false, 1, 0},
	{"files, scp -r", &scp, true, false, 25, SCP_ROUNDS},
};

static const struct row *current; /* the measure under way */

static void open_side(const struct bench_measure *measure, const struct bench_options *options,
		      struct bench_side *side)
{
	(void)measure;
	(void)options;
	if (side->product && current->tls)
		open_product_tls(side);
	else if (side->product)
		open_product(side);
	else
		current->other->open(side);
}

/* MB or files a second. */
static double run_side(struct bench_side *side, unsigned window_ms)
{
	uint64_t ns;

	(void)window_ms;
	clear_target();
	ns = side->product ? run_put(side, current->tree)
			   : current->other->run(side, current->tree);
	check_target(current->tree);
	return (current->tree ? (double)BENCH_TREE_FILES : (double)file_bytes) * 1e9 / (double)ns;
}

static uint64_t peak_bytes(pid_t pid)
{
	char path[64], line[256];
	unsigned long kib = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "VmHWM: %lu", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return (uint64_t)kib * 1024;
}

static void close_side(struct bench_side *side)
{
	uint64_t peak = side->product ? peak_bytes(side->server.pid) : 0;

	if (peak > most_server_bytes)
		most_server_bytes = peak;
}

static bool can_run(const struct row *row)
{
	if (row->other->needs && access(row->other->needs, X_OK) != 0) {
		printf("%s: SKIPPED, there is no %s\n", row->name, row->other->needs);
		return false;
	}
	if (row->other == &scp && !sshd_would_run()) {
		printf("%s: SKIPPED, %s would not run here (see %s -t)\n", row->name, sshd, sshd);
		return false;
	}
	return true;
}

static bool measure_row(const struct row *row, const struct bench_options *options)
{
	struct bench_options fewer = *options;
	const struct bench_measure measure = {
		.name = row->name,
		.unit = row->tree ? "/s" : "MB/s",
		.scale = row->tree ? 1 : 1e-6,
		.wanted = row->wanted,
		.at_least = true,
		.open = open_side,
		.run = run_side,
		.close = close_side,
	};

	current = row;
	if (row->rounds && fewer.rounds > row->rounds)
		fewer.rounds = row->rounds;
	clear_target();
	return bench_compare(&measure, &fewer);
}

/* Pages of a ring are mapped twice, and counted so. */
static bool print_memory(void)
{
	double client = (double)most_client_kib / 1024;
	double server = (double)most_server_bytes / (1 << 20), most = server;
	char cells[2][32], wanted[16];
	bool ok;

	if (client > most)
		most = client;
	ok = most <= MEMORY_MIB_MAX;
	if (most_server_bytes == 0)
		return true;
	snprintf(cells[0], sizeof(cells[0]), "%.0f MiB", server);
	snprintf(cells[1], sizeof(cells[1]), "%.0f MiB", client);
	snprintf(wanted, sizeof(wanted), "<= %d", MEMORY_MIB_MAX);
	bench_table_row("memory: serve, put", cells[0], cells[1], "", "at most", wanted,
			ok ? "yes" : "NO");
	return ok;
}

/* ---- the whole ---- */

/* "2G" is no number: read as 2 it would measure nothing. */
static uint64_t whole_number(const char *text)
{
	char *end;
	uint64_t number = strtoull(text, &end, 10);

	if (text[0] < '1' || text[0] > '9' || *end != '\0') {
		errno = EINVAL;
		bench_die("--size: bytes, as digits");
	}
	return number;
}

/* Takes --size BYTES out of the arguments. */
static int take_size(int argc, char **argv)
{
	int kept = 1;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--size") == 0 && i + 1 < argc)
			file_bytes = whole_number(argv[++i]);
		else
			argv[kept++] = argv[i];
	}
	argv[kept] = NULL;
	return kept;
}

static void remove_folder(void)
{
	bench_tree_remove(folder);
}

static void make_folder(void)
{
	struct statfs info;

	snprintf(folder, sizeof(folder), "%s/waybill-bench-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(folder) || statfs(folder, &info) < 0)
		bench_die(folder);
	atexit(remove_folder);
	in_memory = info.f_type == TMPFS_MAGIC_NUMBER;
	if (!in_memory)
		printf("%s is no tmpfs: this measures the disk too\n", folder);
}

int main(int argc, char **argv)
{
	struct bench_options options;
	struct bench_usage start;
	char path[BENCH_PATH_BYTES], *whole;
	bool ok = true, any = false;

	argc = take_size(argc, argv);
	bench_options_parse(&options, argc, argv);
	options.rounds = (options.rounds + ROUNDS_DIVISOR - 1) / ROUNDS_DIVISOR;
	whole = realpath(options.build, NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		any = any || bench_picked(&options, rows[i].name);
	if (options.self || !any)
		return 0; /* there is no floor to compare with itself */
	if (!whole)
		bench_die(options.build);
	snprintf(program, sizeof(program), "%s/waybill", whole);
	make_folder();
	bench_file_make(path_of("file", path), file_bytes, 1);
	bench_tree_make(path_of("tree", path));
	bench_usage_read(&start);
	bench_table_head(&options);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (bench_picked(&options, rows[i].name) && can_run(&rows[i]))
			ok = measure_row(&rows[i], &options) && ok;
	ok = print_memory() && ok;
	free(whole);
	printf("other work took %.0f %% of this machine meanwhile\n",
	       bench_usage_others(&start) * 100);
	return ok ? 0 : 1;
}
