/* The small things: giving up, memory, the clock, order statistics. */
#include "../bench.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

_Noreturn void bench_die(const char *what)
{
	if (errno)
		fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	else
		fprintf(stderr, "bench: %s\n", what);
	exit(1);
}

void *bench_alloc(size_t count, size_t bytes)
{
	void *memory = calloc(count, bytes);

	if (!memory)
		bench_die("memory");
	return memory;
}

uint64_t bench_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void bench_frame_fill(uint8_t *frame, uint8_t *reply, unsigned owner, unsigned number, bool upper)
{
	char label[32];
	int bytes = snprintf(label, sizeof(label), "%u %u ", owner, number);

	for (int i = 0; i < BENCH_FRAME_BYTES; i++) {
		frame[i] = (uint8_t)(i < bytes ? label[i] : 'a' + i % 26);
		reply[i] = (uint8_t)(upper ? toupper(frame[i]) : frame[i]);
	}
}

bool bench_files_allow(unsigned wanted)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		bench_die("getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		bench_die("setrlimit");
	return limit.rlim_cur >= wanted;
}

static int compare(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

double bench_quantile(const double *values, size_t count, double share)
{
	double *sorted = bench_alloc(count, sizeof(*sorted));
	double at = share * (double)(count - 1), result;
	size_t below = (size_t)at;

	memcpy(sorted, values, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare);
	result = sorted[below];
	if (below + 1 < count)
		result += (at - (double)below) * (sorted[below + 1] - sorted[below]);
	free(sorted);
	return result;
}

static double machine_ticks(void)
{
	double user, nice, system, idle, wait, irq, softirq, stolen;
	FILE *file = fopen("/proc/stat", "r");

	if (!file || fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &user, &nice, &system,
			    &idle, &wait, &irq, &softirq, &stolen) != 8)
		bench_die("/proc/stat");
	fclose(file);
	return user + nice + system + irq + softirq + stolen;
}

void bench_usage_read(struct bench_usage *usage)
{
	struct tms own;

	usage->elapsed = (double)times(&own) * (double)sysconf(_SC_NPROCESSORS_ONLN);
	usage->own = (double)(own.tms_utime + own.tms_stime + own.tms_cutime + own.tms_cstime);
	usage->machine = machine_ticks();
}

double bench_usage_others(const struct bench_usage *since)
{
	struct bench_usage now;

	bench_usage_read(&now);
	if (now.elapsed <= since->elapsed)
		return 0;
	return ((now.machine - since->machine) - (now.own - since->own)) /
	       (now.elapsed - since->elapsed);
}
