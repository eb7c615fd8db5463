/* Pseudo-terminals: the master's side. */
#ifndef WBI_PTY_H
#define WBI_PTY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "waybill/err.h"

enum { WBI_PTY_PATH_MAX = 64 };

/* Opens a pair and sets its size (0: left unknown). *ret_master is non-blocking and close-on-exec;
 * ret_path is what the command's own side is opened by (struct wbi_spawn, terminal).
 * Returns WB_OK, or WB_ERR_SYSTEM (too many pseudo-terminals, no /dev/pts). */
WB_WARN_UNUSED enum wb_err wbi_pty_open(uint16_t rows, uint16_t cols, int *ret_master,
					char ret_path[WBI_PTY_PATH_MAX], struct wb_fault *fault);

/* The foreground job is sent WINCH by the kernel if this changes anything. */
void wbi_pty_resize(int master, uint16_t rows, uint16_t cols);

/* The group in the terminal's foreground, or 0. */
pid_t wbi_pty_foreground(int master);

/* What to write so that a reader of the terminal meets an end of file: a line that has begun needs
 * it twice. at_line_start: nothing was written yet, or a newline last. Returns how many bytes. */
unsigned wbi_pty_end_of_file(int master, bool at_line_start, char ret_bytes[2]);

#endif
