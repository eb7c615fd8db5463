/* The clock: milliseconds that never go back. */
#ifndef WBI_CLOCK_H
#define WBI_CLOCK_H

#include <stdint.h>

uint64_t wbi_clock_ms(void); /* CLOCK_MONOTONIC */
uint64_t wbi_clock_ns(void);

#endif
