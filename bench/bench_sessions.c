/* Sessions beside the bare kernel: calls, many callers at once, a whole client process, bulk.
 *
 *   bench_sessions [--self] [--rounds N] [--window MS] BUILD [NAME]…
 *
 * NAME picks the measures whose name contains it. Nothing is pinned to a core: commands would
 * inherit that. Exits 1 if a wanted number is missed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

enum { CALLS = 60, PROCESSES = 15, SPAWN_THREADS = 2, RATE_WINDOWS = 3 };

static const char *const command[] = {"/bin/true", NULL};

/* What a measure runs: paths are known only once the build is. */
static char program[512], floor_program[512], folder[] = "/tmp/waybill-bench-XXXXXX";

static void start_daemon(const struct bench_measure *measure, struct bench_side *side)
{
	char uri[128];
	const char *const argv[] = {program, "serve", "--listen", uri, NULL};

	if (!strcmp(measure->service, "unix"))
		snprintf(uri, sizeof(uri), "unix://%s/socket", folder);
	else
		snprintf(uri, sizeof(uri), "tcp://127.0.0.1:0");
	bench_server_open(&side->server, argv, -1);
}

static void start_pump(struct bench_side *side)
{
	const char *const argv[] = {floor_program, "pump", NULL};

	bench_server_open(&side->server, argv, -1);
}

/* The floor needs nobody. */
static void open_callers(const struct bench_measure *measure, const struct bench_options *options,
			 struct bench_side *side)
{
	(void)options;
	if (!side->product)
		return;
	start_daemon(measure, side);
	if (measure->connections)
		side->load =
			bench_callers_new(side->server.uri, measure->connections, measure->depth);
}

static void open_pump(const struct bench_measure *measure, const struct bench_options *options,
		      struct bench_side *side)
{
	if (side->product)
		open_callers(measure, options, side);
	else
		start_pump(side);
}

static void close_callers(struct bench_side *side)
{
	if (side->load)
		bench_callers_free(side->load);
}

static double run_call(struct bench_side *side, unsigned window_ms)
{
	double calls[CALLS];
	uint64_t bytes;

	(void)window_ms;
	for (int i = 0; i < CALLS; i++)
		calls[i] =
			(double)(side->product ? bench_callers_one_ns(side->load, command, &bytes)
					       : bench_spawn_ns(command));
	return bench_quantile(calls, CALLS, 0.5);
}

static double run_rate(struct bench_side *side, unsigned window_ms)
{
	window_ms *= RATE_WINDOWS;
	return side->product ? bench_callers_rate(side->load, command, window_ms)
			     : bench_spawn_rate(command, SPAWN_THREADS, window_ms);
}

static double run_process(struct bench_side *side, unsigned window_ms)
{
	const char *const client[] = {program, "exec", side->server.uri, "--", "true", NULL};
	double times[PROCESSES];

	(void)window_ms;
	for (int i = 0; i < PROCESSES; i++)
		times[i] = (double)bench_spawn_ns(side->product ? client : command);
	return bench_quantile(times, PROCESSES, 0.5);
}

/* Bytes per second. */
static double run_bulk_call(struct bench_side *side)
{
	const char *const producer[] = {floor_program, "produce", NULL};
	uint64_t bytes, ns = bench_callers_one_ns(side->load, producer, &bytes);

	if (bytes != BENCH_BULK_BYTES)
		bench_die("bulk came short");
	return BENCH_BULK_BYTES * 1e9 / (double)ns;
}

static double run_pump(struct bench_side *side, unsigned window_ms)
{
	(void)window_ms;
	return side->product ? run_bulk_call(side)
			     : BENCH_BULK_BYTES * 1e9 /
				       (double)bench_bulk_from_pump_ns(side->server.port);
}

static const char socat[] = "/usr/bin/socat";

static double run_socat(struct bench_side *side, unsigned window_ms)
{
	(void)window_ms;
	return side->product ? run_bulk_call(side)
			     : BENCH_BULK_BYTES * 1e9 /
				       (double)bench_bulk_from_socat_ns(socat, floor_program);
}

static const struct bench_measure measures[] = {
	{"call", "unix", 1, 1, "us", 1e-3, 1.2, false, open_callers, run_call, close_callers},
	{"callers 8x8", "unix", 8, 8, "/s", 1, 0.85, true, open_callers, run_rate, close_callers},
	{"process", "unix", 0, 0, "ms", 1e-6, 5, false, open_callers, run_process, close_callers},
	{"bulk, pump", "tcp", 1, 1, "MB/s", 1e-6, 0.85, true, open_pump, run_pump, close_callers},
	{"bulk, socat", "tcp", 1, 1, "MB/s", 1e-6, 1.3, true, open_callers, run_socat,
	 close_callers},
};

static bool can_run(const struct bench_measure *measure)
{
	if (measure->run != run_socat || access(socat, X_OK) == 0)
		return true;
	printf("%s: SKIPPED, there is no %s\n", measure->name, socat);
	return false;
}

/* Whole paths: the daemon starts commands in another folder than ours. */
static void find_programs(const char *build)
{
	char *whole = realpath(build, NULL);

	if (!whole)
		bench_die(build);
	snprintf(program, sizeof(program), "%s/waybill", whole);
	snprintf(floor_program, sizeof(floor_program), "%s/bench/bench_floor", whole);
	free(whole);
}

/* A daemon that was killed leaves its socket behind. */
static void remove_folder(void)
{
	char socket[64];

	snprintf(socket, sizeof(socket), "%s/socket", folder);
	unlink(socket);
	rmdir(folder);
}

int main(int argc, char **argv)
{
	struct bench_options options;
	struct bench_usage start;
	bool ok = true;

	bench_options_parse(&options, argc, argv);
	find_programs(options.build);
	if (!mkdtemp(folder))
		bench_die(folder);
	bench_usage_read(&start);
	bench_table_head(&options);
	for (size_t i = 0; i < sizeof(measures) / sizeof(*measures); i++)
		if (bench_picked(&options, measures[i].name) && can_run(&measures[i]))
			ok = bench_compare(&measures[i], &options) && ok;
	remove_folder();
	printf("other work took %.0f %% of this machine meanwhile\n",
	       bench_usage_others(&start) * 100);
	return ok ? 0 : 1;
}
