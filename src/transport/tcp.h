/* TCP: listening, accepting, dialling.
 *
 * listen() is given somaxconn. That number bounds the *accept queue*: connections whose handshake
 * is done and that nobody has accepted yet (ss shows it as Recv-Q of Send-Q). Half-open handshakes
 * stand in the SYN queue, bounded elsewhere (tcp_max_syn_backlog, SYN cookies). When the accept
 * queue is full the kernel drops the last ACK or the SYN; the peer retries and sees a delay, not a
 * refusal.
 *
 * Whoever closes a socket with input unread sends a reset, and the peer may lose what it had not
 * read yet. So a last word is followed by shutdown, and reading goes on to the end, before close.
 */
#ifndef WBI_TCP_H
#define WBI_TCP_H

#include "sys/addr.h"
#include "waybill/err.h"

/* Binds and listens: SO_REUSEADDR, IPV6_V6ONLY, non-blocking, close-on-exec, backlog somaxconn, and
 * TCP_NODELAY, which accepted sockets take over from their listener.
 * ret_bound: the address with its real port. Returns WB_OK or WB_ERR_SYSTEM. */
WB_WARN_UNUSED enum wb_err wbi_tcp_listen(const struct wbi_addr *addr, int *ret_fd,
					  struct wbi_addr *ret_bound, struct wb_fault *fault);

/* Accepts one: accept4 non-blocking and close-on-exec. ret_peer may be NULL.
 * Returns WB_OK; WB_ERR_TIMEOUT: nobody is waiting (or the one who was has gone);
 * WB_ERR_LIMIT: out of descriptors or memory (EMFILE, ENFILE, ENOBUFS, ENOMEM): the connection
 * stays in the queue and the listener stays readable, so stop watching it for a while;
 * WB_ERR_SYSTEM. */
WB_WARN_UNUSED enum wb_err wbi_tcp_accept(int listener, int *ret_fd, struct wbi_addr *ret_peer,
					  struct wb_fault *fault);

/* Connects, trying each address in turn; blocks up to timeout_ms (> 0) for each.
 * The socket comes back non-blocking, with TCP_NODELAY. Returns WB_OK, WB_ERR_TIMEOUT,
 * WB_ERR_SYSTEM. */
WB_WARN_UNUSED enum wb_err wbi_tcp_dial(const struct wbi_addr *addrs, unsigned count,
					int timeout_ms, int *ret_fd, struct wb_fault *fault);

#endif
