/* Side by side: each round measures the floor and the product, one right after the other, and only
 * their ratio counts. Whatever slows the machine down for a while slows both.
 *
 *   bench_pairs [--self] [--rounds N] [--window MS] BUILD [NAME]…
 *
 * NAME picks the measures whose name contains it. --self measures the floor against itself: how
 * far a ratio strays from 1 when there is nothing to see. Exits 1 if a wanted number is missed. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

enum { CALLS = 60, IDLE = 10000, BUSY = 200, IDLE_FILES = IDLE + BUSY + 100, IDLE_BYTES_MAX = 512 };

/* The n-th core that we may use, or -1: on one core, nothing is pinned. */
static int nth_core(int n)
{
	static cpu_set_t allowed; /* as it was at the start, before anything was pinned */

	if (CPU_COUNT(&allowed) == 0 && sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		bench_die("sched_getaffinity");
	for (int core = 0; core < CPU_SETSIZE && CPU_COUNT(&allowed) > 1; core++)
		if (CPU_ISSET(core, &allowed) && n-- == 0)
			return core;
	return -1;
}

/* Servers run on one core and the load on another; left alone they meet on one now and then. */
static void pin_load(void)
{
	cpu_set_t cores;
	int core = nth_core(1);

	if (core < 0)
		return;
	CPU_ZERO(&cores);
	CPU_SET(core, &cores);
	if (sched_setaffinity(0, sizeof(cores), &cores) < 0)
		bench_die("sched_setaffinity");
}

static void start_server(const struct bench_options *options, const char *service,
			 struct bench_side *side)
{
	char program[512], uri[64];
	const char *product[] = {program, "serve", "--listen", uri, NULL};
	const char *floor[] = {program, service, NULL};
	bool exec = !strcmp(service, "exec");

	snprintf(program, sizeof(program), "%s/%s", options->build,
		 side->product ? "waybill" : "bench/bench_floor");
	if (exec)
		snprintf(uri, sizeof(uri), "exec-header+tcp://127.0.0.1:0");
	else
		snprintf(uri, sizeof(uri), "upper+%s://127.0.0.1:0", service);
	/* Commands inherit the core of the daemon that starts them, so there it stays free. */
	bench_server_open(&side->server, side->product ? product : floor, exec ? -1 : nth_core(0));
}

static void open_tcp(const struct bench_measure *measure, const struct bench_options *options,
		     struct bench_side *side)
{
	pin_load();
	start_server(options, measure->service, side);
	side->load = bench_tcp_load_new(side->server.port, measure->connections, measure->depth,
					side->product);
}

static double run_tcp(struct bench_side *side, unsigned window_ms)
{
	return bench_tcp_load_run(side->load, window_ms);
}

static void close_tcp(struct bench_side *side)
{
	bench_tcp_load_free(side->load);
}

static void open_udp(const struct bench_measure *measure, const struct bench_options *options,
		     struct bench_side *side)
{
	pin_load();
	start_server(options, measure->service, side);
	side->load = bench_udp_load_new(side->server.port, measure->depth, side->product);
}

static double run_udp(struct bench_side *side, unsigned window_ms)
{
	return bench_udp_load_run(side->load, window_ms);
}

static void close_udp(struct bench_side *side)
{
	bench_udp_load_free(side->load);
}

static void open_exec(const struct bench_measure *measure, const struct bench_options *options,
		      struct bench_side *side)
{
	if (!side->product)
		return;
	start_server(options, measure->service, side);
	side->fd = bench_dial(side->server.port, SOCK_STREAM);
	bench_command_check(side->fd);
}

static double run_exec(struct bench_side *side, unsigned window_ms)
{
	double calls[CALLS];

	(void)window_ms;
	for (int i = 0; i < CALLS; i++)
		calls[i] = (double)(side->product ? bench_command_there_ns(side->fd)
						  : bench_command_here_ns());
	return bench_quantile(calls, CALLS, 0.5);
}

static void close_exec(struct bench_side *side)
{
	if (side->product)
		bench_hang_up(side->fd);
}

static const struct bench_measure measures[] = {
	/* First, while this program is not yet pinned: its own commands would inherit that. */
	{"exec true", "exec", 1, 1, "us", 1e-3, 1.25, false, open_exec, run_exec, close_exec},
	{"tcp 50x16", "tcp", 50, 16, "k/s", 1e-3, 0.9, true, open_tcp, run_tcp, close_tcp},
	{"tcp 1000x1", "tcp", 1000, 1, "k/s", 1e-3, 0.9, true, open_tcp, run_tcp, close_tcp},
	{"udp 1x128", "udp", 1, 128, "k/s", 1e-3, 0.9, true, open_udp, run_udp, close_udp},
};

/* One frame there and back: the connection is held, and served. */
static void exchange(int fd, bool upper)
{
	char frame[BENCH_FRAME_BYTES], reply[BENCH_FRAME_BYTES];

	memset(frame, 'a', sizeof(frame));
	errno = 0;
	if (send(fd, frame, sizeof(frame), MSG_NOSIGNAL) != sizeof(frame) ||
	    recv(fd, reply, sizeof(reply), MSG_WAITALL) != sizeof(reply))
		bench_die("an idle connection was not served");
	memset(frame, upper ? 'A' : 'a', sizeof(frame));
	if (memcmp(frame, reply, sizeof(frame)))
		bench_die("an idle connection's reply is not what it must be");
}

struct idle_cost {
	double bytes;        /* of resident memory, each */
	double busy_replies; /* a second, from the busy connections meanwhile */
};

/* Every idle connection has been served once before and is again after its memory is counted: a
 * buffer that was given back only in part would show, and so would a connection lost. */
static struct idle_cost measure_idle(const struct bench_options *options, bool product)
{
	struct bench_side side = {.product = product};
	struct bench_tcp_load *busy;
	struct idle_cost cost;
	uint64_t before;
	int *idle = bench_alloc(IDLE, sizeof(*idle));

	start_server(options, "tcp", &side);
	busy = bench_tcp_load_new(side.server.port, BUSY, 1, product);
	bench_tcp_load_run(busy, options->window_ms);
	before = bench_server_rss_bytes(&side.server);
	for (int i = 0; i < IDLE; i++) {
		idle[i] = bench_dial(side.server.port, SOCK_STREAM);
		exchange(idle[i], product);
	}
	cost.busy_replies = bench_tcp_load_run(busy, options->window_ms);
	cost.bytes = (double)(bench_server_rss_bytes(&side.server) - before) / IDLE;
	for (int i = 0; i < IDLE; i++) {
		exchange(idle[i], product);
		bench_hang_up(idle[i]);
	}
	bench_tcp_load_free(busy);
	bench_server_close(&side.server);
	free(idle);
	return cost;
}

static bool compare_idle(const struct bench_options *options)
{
	struct idle_cost floor, product;
	bool ok;
	char cells[4][32];

	if (!bench_files_allow(IDLE_FILES)) {
		printf("idle 10000: SKIPPED, it needs %d open files (ulimit -Hn)\n", IDLE_FILES);
		return true;
	}
	floor = measure_idle(options, false);
	product = measure_idle(options, !options->self);
	ok = product.bytes <= IDLE_BYTES_MAX;
	snprintf(cells[0], sizeof(cells[0]), "%.0f B", floor.bytes);
	snprintf(cells[1], sizeof(cells[1]), "%.0f B", product.bytes);
	snprintf(cells[2], sizeof(cells[2]), "%.0f k/s", floor.busy_replies * 1e-3);
	snprintf(cells[3], sizeof(cells[3]), "%.0f k/s", product.busy_replies * 1e-3);
	bench_table_row("idle 10000, each", cells[0], cells[1], "", "", "<= 512 B",
			ok ? "yes" : "NO");
	bench_table_row("  200 busy meanwhile", cells[2], cells[3], "", "", "served", "yes");
	return ok;
}

int main(int argc, char **argv)
{
	struct bench_options options;
	struct bench_usage start;
	bool ok = true;

	bench_options_parse(&options, argc, argv);
	bench_usage_read(&start);
	nth_core(0);
	bench_files_allow(0);
	bench_table_head(&options);
	for (size_t i = 0; i < sizeof(measures) / sizeof(*measures); i++)
		if (bench_picked(&options, measures[i].name))
			ok = bench_compare(&measures[i], &options) && ok;
	pin_load();
	if (bench_picked(&options, "idle 10000"))
		ok = compare_idle(&options) && ok;
	printf("other work took %.0f %% of this machine meanwhile\n",
	       bench_usage_others(&start) * 100);
	return ok ? 0 : 1;
}
