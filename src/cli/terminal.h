/* The user's terminal: raw for as long as a remote one is shown on it, and always back as it was.
 */
#ifndef WBI_TERMINAL_H
#define WBI_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

#include "waybill/err.h"

/* The window of whichever of stdin, stdout, stderr is a terminal; 24 by 80 where none is. */
void wbi_terminal_size(uint16_t *ret_rows, uint16_t *ret_cols);

/* Whether our process group may read from the terminal `fd` just now. */
bool wbi_terminal_is_ours(int fd);

/* Passes every key through. One terminal a process. From the first call on it is restored at exit,
 * and by any signal that ends the process (but SIGKILL). Returns WB_OK or WB_ERR_SYSTEM. */
WB_WARN_UNUSED enum wb_err wbi_terminal_raw(int fd, struct wb_fault *fault);

/* Puts it back; async-signal-safe, safe to repeat, and without effect where it is not raw, or is
 * somebody else's just now (we are in the background). */
void wbi_terminal_restore(void);
bool wbi_terminal_is_raw(void);

#endif
