/* Unix stream sockets: listening, accepting, dialling. */
#ifndef WBI_UNIX_H
#define WBI_UNIX_H

#include <sys/types.h>

#include "sys/addr.h"
#include "waybill/err.h"

/* Binds and listens; the socket file has `mode` (0600), and never a wider one. A file left by a
 * dead daemon is replaced (connections to it are refused); a live one is WB_ERR_SYSTEM with
 * EADDRINUSE; anything that is not a socket is never removed. The file stays when fd is closed. Of
 * two daemons that replace one dead socket in the same instant, the later may win. */
WB_WARN_UNUSED enum wb_err wbi_unix_listen(const struct wbi_addr *addr, mode_t mode, int *ret_fd,
					   struct wb_fault *fault);

/* As wbi_tcp_accept; the peer has no name worth telling (sys/peer.h knows who it is). */
WB_WARN_UNUSED enum wb_err wbi_unix_accept(int listener, int *ret_fd, struct wb_fault *fault);

/* Connects; the socket comes back non-blocking. Blocks up to timeout_ms if the queue is full. */
WB_WARN_UNUSED enum wb_err wbi_unix_dial(const struct wbi_addr *addr, int timeout_ms, int *ret_fd,
					 struct wb_fault *fault);

#endif
