/* What the benchmark programs share: servers to measure, load generators, order statistics.
 *
 * All of it is for measuring only: whatever goes wrong ends the program with one line that says
 * what. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	BENCH_FRAME_BYTES = 64,
	BENCH_EVENTS = 512, /* taken by one epoll_wait */
	BENCH_BUFFER_BYTES = 65536,
	BENCH_DATAGRAMS = 64, /* taken by one recvmmsg */
	BENCH_DATAGRAM_BYTES = 65507,
	BENCH_BULK_BYTES = 256 * 1024 * 1024, /* written by one producer */
	BENCH_PIPE_BYTES = 262144,
};

/* support/base.c */

/* Says what failed, with errno's text where errno is set, and exits 1. */
_Noreturn void bench_die(const char *what);
void *bench_alloc(size_t count, size_t bytes); /* zeroed; never NULL */
uint64_t bench_now_ns(void);                   /* CLOCK_MONOTONIC */

/* A frame that begins with its owner's and its own number, and the reply that must come back. */
void bench_frame_fill(uint8_t *frame, uint8_t *reply, unsigned owner, unsigned number, bool upper);

/* Lifts the soft limit of open files to the hard one; false if that is below `wanted`. */
bool bench_files_allow(unsigned wanted);

/* The value below which `share` (0 … 1) of the values lie; interpolates. Leaves values unsorted. */
double bench_quantile(const double *values, size_t count, double share);

/* What the processors did up to now, in clock ticks. */
struct bench_usage {
	double machine; /* all work of all processors */
	double own;     /* ours, and that of children already reaped */
	double elapsed; /* what all processors together could have done */
};

void bench_usage_read(struct bench_usage *usage);

/* The share (0 … 1) of the machine that went to the work of others since then. */
double bench_usage_others(const struct bench_usage *since);

/* support/server.c */

struct bench_server {
	pid_t pid;
	uint16_t port; /* where it has one */
	char uri[256];
};

/* Starts argv and waits for its line `listening URI` on stderr, which it keeps; everything
 * else that the server says goes to our stderr. cpu: where it may run, -1 for anywhere. It is
 * started with the limit of open files that this program was started with. */
void bench_server_open(struct bench_server *server, const char *const *argv, int cpu);
void bench_server_close(struct bench_server *server); /* ends it and reaps it */

uint64_t bench_server_cpu_ns(const struct bench_server *server);
uint64_t bench_server_rss_bytes(const struct bench_server *server);

/* A blocking connection to the server, with TCP_NODELAY. */
int bench_dial(uint16_t port, int type);

/* Closes with a reset, so that thousands of closed connections leave no TIME_WAIT behind. */
void bench_hang_up(int fd);

/* support/load_tcp.c */

/* Connections that each keep `depth` frames in flight. Every frame carries its connection's and its
 * own number, and every reply is compared whole. */
struct bench_tcp_load;

/* upper: replies come upper-cased; else as they were sent. */
struct bench_tcp_load *bench_tcp_load_new(uint16_t port, unsigned connections, unsigned depth,
					  bool upper);
void bench_tcp_load_free(struct bench_tcp_load *load);

/* Runs for `window_ms`, then waits until nothing is in flight. Returns replies per second. */
double bench_tcp_load_run(struct bench_tcp_load *load, unsigned window_ms);

/* support/load_udp.c */

/* One socket that keeps a window of datagrams in flight, and sends afresh what got lost. */
struct bench_udp_load;

struct bench_udp_load *bench_udp_load_new(uint16_t port, unsigned window, bool upper);
void bench_udp_load_free(struct bench_udp_load *load);
double bench_udp_load_run(struct bench_udp_load *load, unsigned window_ms);

/* support/spawn.c */

/* Starts argv[0] with the attributes that the daemon gives its commands: a session of its own,
 * signals at their defaults and unblocked, nothing but 0, 1 and 2 inherited. */
pid_t bench_spawn(const char *const *argv, const int stdio[3]);
void bench_reap(pid_t pid); /* it must have exited with 0 */

/* The floor of a call: from the first system call to the reaped child, with a pipe each for stdout
 * and stderr, read to their ends. Returns nanoseconds. */
uint64_t bench_spawn_ns(const char *const *argv);

/* The same in a loop in so many threads (at most 16). Returns commands per second. */
double bench_spawn_rate(const char *const *argv, unsigned threads, unsigned window_ms);

/* support/port.c */

int bench_listen_somewhere(uint16_t *ret_port); /* a listening socket on loopback */
uint16_t bench_free_port(void);                 /* nobody listens there just now */
void bench_wait_for_port(uint16_t port);        /* until somebody accepts there */

/* support/command.c */

/* Runs `/bin/sh -c true` here. */
uint64_t bench_command_here_ns(void);

/* One `true` through an open exec-header connection: request to last byte of the reply. */
uint64_t bench_command_there_ns(int fd);

/* Has the daemon run an echo and compares what comes back. */
void bench_command_check(int fd);

/* support/callers.c */

/* Open sessions, with `depth` calls in flight in each where there are to be many. Whatever does not
 * succeed ends the program. */
struct bench_callers;

struct bench_callers *bench_callers_new(const char *uri, unsigned sessions, unsigned depth);
void bench_callers_free(struct bench_callers *callers);

/* One call in the first session. ret_bytes: of its output, which is dropped. */
uint64_t bench_callers_one_ns(struct bench_callers *callers, const char *const *argv,
			      uint64_t *ret_bytes);

/* Calls per second: what is under way when the window ends is waited for and counted. */
double bench_callers_rate(struct bench_callers *callers, const char *const *argv,
			  unsigned window_ms);

/* support/bulk.c */

/* BENCH_BULK_BYTES of a producer, from the first system call to end of file. */
uint64_t bench_bulk_from_pump_ns(uint16_t port);
uint64_t bench_bulk_from_socat_ns(const char *socat, const char *producer);

/* support/tree.c */

enum {
	BENCH_TREE_FOLDERS = 100,
	BENCH_TREE_FILES = 20000,
	BENCH_TREE_FILE_BYTES = 4096,
	BENCH_PIECE_BYTES = 256 * 1024,
	BENCH_PATH_BYTES = 512,
};

void bench_write_all(int fd, const void *data, size_t bytes);

/* A file that no compression makes smaller; BENCH_TREE_FILES small ones in BENCH_TREE_FOLDERS. */
void bench_file_make(const char *path, uint64_t bytes, uint64_t seed);
void bench_tree_make(const char *folder);
void bench_tree_remove(const char *path); /* with all that is in it, as far as it is there */

/* support/pairs.c */

struct bench_options {
	const char *build;
	unsigned rounds;
	unsigned window_ms;
	bool self;
	char *const *names; /* NULL-terminated; none: all */
};

/* One of the two that are compared. */
struct bench_side {
	bool product;
	struct bench_server server; /* pid 0: none */
	void *load;
	int fd;
};

struct bench_measure {
	const char *name;
	const char *service;
	unsigned connections, depth;
	const char *unit;
	double scale;  /* a measured value times this is printed */
	double wanted; /* of product / floor */
	bool at_least; /* else at most */
	void (*open)(const struct bench_measure *measure, const struct bench_options *options,
		     struct bench_side *side);
	double (*run)(struct bench_side *side, unsigned window_ms);
	void (*close)(struct bench_side *side);
};

/* [--self] [--rounds N] [--window MS] BUILD [NAME]…; exits 2 with the usage. */
void bench_options_parse(struct bench_options *options, int argc, char **argv);
bool bench_picked(const struct bench_options *options, const char *name);

void bench_table_head(const struct bench_options *options);
void bench_table_row(const char *name, const char *floor, const char *product, const char *ratio,
		     const char *spread, const char *wanted, const char *ok);

/* Each round measures the floor and the product, one right after the other; prints a row. Ends both
 * servers. Returns whether the wanted number was met. */
bool bench_compare(const struct bench_measure *measure, const struct bench_options *options);

#endif
