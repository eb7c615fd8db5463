/* Signals by name, as they travel: without SIG, "INT", "KILL", "RTMIN+3". Numbers differ from
 * machine to machine, names do not. */
#ifndef WBI_SIGNAL_NAME_H
#define WBI_SIGNAL_NAME_H

#include <stddef.h>

/* Writes the name of `number`; of one without a name, the number itself. */
void wbi_signal_name(int number, char *out, size_t size);

/* The number, or 0 where this machine knows no such signal. */
int wbi_signal_number(const char *name);

#endif
