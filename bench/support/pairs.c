/* Side by side: rounds of two measurements, of which only the ratio counts, and their table. */
#include "../bench.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bench_table_row(const char *name, const char *floor, const char *product, const char *ratio,
		     const char *spread, const char *wanted, const char *ok)
{
	printf("%-22s %11s %11s  %6s  %-14s %9s  %s\n", name, floor, product, ratio, spread, wanted,
	       ok);
	fflush(stdout);
}

void bench_table_head(const struct bench_options *options)
{
	printf("%u paired rounds of %u ms each; ratio: the median, and its quartiles\n",
	       options->rounds, options->window_ms);
	bench_table_row("what", "floor", options->self ? "floor" : "waybill", "ratio", "spread",
			"wanted", "ok");
}

static bool print_pairs(const struct bench_measure *measure, unsigned rounds,
			const double *values[2], const double *ratios)
{
	double ratio = bench_quantile(ratios, rounds, 0.5);
	bool ok = measure->at_least ? ratio >= measure->wanted : ratio <= measure->wanted;
	char cells[2][32], median[16], spread[32], wanted[16];

	for (int i = 0; i < 2; i++) {
		double shown = bench_quantile(values[i], rounds, 0.5) * measure->scale;

		snprintf(cells[i], sizeof(cells[i]), "%.*f %s", shown < 10 ? 2 : 0, shown,
			 measure->unit);
	}
	snprintf(median, sizeof(median), "%.3f", ratio);
	snprintf(spread, sizeof(spread), "%.3f … %.3f", bench_quantile(ratios, rounds, 0.25),
		 bench_quantile(ratios, rounds, 0.75));
	snprintf(wanted, sizeof(wanted), "%s %.2f",
		 measure->at_least ? ">=" : "<=", measure->wanted);
	bench_table_row(measure->name, cells[0], cells[1], median, spread, wanted,
			ok ? "yes" : "NO");
	return ok;
}

bool bench_compare(const struct bench_measure *measure, const struct bench_options *options)
{
	struct bench_side sides[2] = {{.product = false}, {.product = !options->self}};
	double *values[2], *ratios = bench_alloc(options->rounds, sizeof(*ratios));
	bool ok;

	for (int i = 0; i < 2; i++) {
		values[i] = bench_alloc(options->rounds, sizeof(*values[i]));
		measure->open(measure, options, &sides[i]);
	}
	for (unsigned round = 0; round < options->rounds; round++) {
		for (unsigned turn = 0; turn < 2; turn++) {
			unsigned i = (round + turn) % 2;

			values[i][round] = measure->run(&sides[i], options->window_ms);
		}
		ratios[round] = values[1][round] / values[0][round];
	}
	for (int i = 0; i < 2; i++) {
		measure->close(&sides[i]);
		if (sides[i].server.pid)
			bench_server_close(&sides[i].server);
	}
	ok = print_pairs(measure, options->rounds, (const double **)values, ratios);
	free(values[0]);
	free(values[1]);
	free(ratios);
	return ok;
}

bool bench_picked(const struct bench_options *options, const char *name)
{
	bool match = !*options->names;

	for (char *const *filter = options->names; *filter; filter++)
		match = match || strstr(name, *filter);
	return match;
}

void bench_options_parse(struct bench_options *options, int argc, char **argv)
{
	static const struct option table[] = {{"self", no_argument, NULL, 's'},
					      {"rounds", required_argument, NULL, 'r'},
					      {"window", required_argument, NULL, 'w'},
					      {0}};
	int option;

	*options = (struct bench_options){.rounds = 51, .window_ms = 100};
	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (option == 's')
			options->self = true;
		else if (option == 'r')
			options->rounds = (unsigned)strtoul(optarg, NULL, 10);
		else if (option == 'w')
			options->window_ms = (unsigned)strtoul(optarg, NULL, 10);
		else
			exit(2);
	}
	if (optind == argc || !options->rounds || !options->window_ms) {
		fprintf(stderr, "usage: %s [--self] [--rounds N] [--window MS] BUILD [NAME]...\n",
			argv[0]);
		exit(2);
	}
	options->build = argv[optind];
	options->names = argv + optind + 1;
}
