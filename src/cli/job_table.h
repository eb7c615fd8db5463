/* The list of jobs, as `waybill jobs` shows it. */
#ifndef WBI_JOB_TABLE_H
#define WBI_JOB_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* Prints a list of jobs, one JSON object a line as the daemon sends them, on stdout: number,
 * status, age in seconds, bytes of stdout and of stderr, pid, client, command.
 *
 * width: of the terminal, in columns: the table has titles, each column is as wide as what stands
 * in it, and a line ends where the terminal does. 0: for a script: no titles, tabs between the
 * fields, nothing cut. Returns false where the list cannot be read; then nothing was printed. */
bool wbi_job_table_print(struct wbi_slice list, uint16_t width);

#endif
