/* The clock: milliseconds that never go back. */
#include "sys/clock.h"

#include <time.h>

uint64_t wbi_clock_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t wbi_clock_ms(void)
{
	return wbi_clock_ns() / 1000000u;
}
