/* The outcome of a command: as an exit code, as a line for a person, as a line for a script. */
#ifndef WBI_OUTCOME_H
#define WBI_OUTCOME_H

#include <stdint.h>

#include "cli/opt.h"
#include "waybill/client.h"

enum {
	WBI_EXIT_TIMEOUT = 124,
	WBI_EXIT_NO_OUTCOME = 255,
};

/* The command's own code, 128 + n, 124, or 255. Never 0 where the result is not complete. */
int wbi_outcome_code(const struct wb_result *result);

/* Says on stderr what the exit code alone does not. */
void wbi_outcome_explain(const struct wbi_command *command, const char *destination,
			 const struct wb_result *result);

/* Writes one line of JSON. job: 0 where none is known. Returns WB_OK, WB_ERR_SYSTEM. */
WB_WARN_UNUSED enum wb_err wbi_outcome_write(int fd, const struct wb_result *result, uint64_t job,
					     struct wb_fault *fault);

#endif
