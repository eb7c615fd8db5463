/* File descriptors: every one of ours is close-on-exec and (sockets, pipes) non-blocking. */
#ifndef WBI_FD_H
#define WBI_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "waybill/err.h"

/* Closes *fd if it is open (>= 0) and sets it to -1. EINTR is not retried (Linux closes anyway). */
void wbi_fd_close(int *fd);

/* Opens /dev/null as each of stdin, stdout and stderr that the program was started without. Else
 * the next socket or file would take its number, and be written to as if it were the output. From
 * then on a closed stdin is at its end, and what is written to a closed stdout or stderr goes
 * nowhere. Call first of all, before there are threads. */
WB_WARN_UNUSED enum wb_err wbi_fd_open_stdio(struct wb_fault *fault);

/* Whether the program was started without `fd`, 0 to 2: for whoever must not take nothing for what
 * was meant to be read, or lose what is written. */
bool wbi_fd_was_closed(int fd);

/* A pipe, both ends close-on-exec; the read end non-blocking, the write end blocking (a command's
 * stdout must not surprise it with EAGAIN). */
WB_WARN_UNUSED enum wb_err wbi_fd_pipe(int *ret_read, int *ret_write, struct wb_fault *fault);

/* The other way round, for a command's stdin: the read end blocking, the write end non-blocking. */
WB_WARN_UNUSED enum wb_err wbi_fd_pipe_to(int *ret_read, int *ret_write, struct wb_fault *fault);

/* Raises the soft limit of open files to the hard one. ret_before: the soft limit as it was. */
WB_WARN_UNUSED enum wb_err wbi_fd_raise_limit(unsigned long *ret_before, struct wb_fault *fault);

/* Whether `fd`, just opened, shows that half of the descriptors that this process may have are in
 * use (the lowest free number is given first): time to do without what can be done without. */
bool wbi_fd_is_scarce(int fd);

/* An unlinked temporary file in `folder` (O_TMPFILE, else mkostemp and unlink), mode 0600. */
WB_WARN_UNUSED enum wb_err wbi_fd_temporary(const char *folder, int *ret_fd,
					    struct wb_fault *fault);

/* Blocking helpers for clients and tests: all bytes or an error. EINTR is retried; a
 * non-blocking fd is waited for with poll. WB_ERR_CLOSED: read met the end early. */
WB_WARN_UNUSED enum wb_err wbi_fd_write_all(int fd, const void *data, size_t bytes,
					    struct wb_fault *fault);
WB_WARN_UNUSED enum wb_err wbi_fd_read_all(int fd, void *data, size_t bytes,
					   struct wb_fault *fault);

#endif
