/* Who is calling: the kernel's word on the other end of a local socket.
 *
 * It tells who opened the peer socket, not who writes to it now. Protocol: "Who may call". */
#ifndef WBI_PEER_H
#define WBI_PEER_H

#include <stdint.h>
#include <sys/types.h>

#include "sys/addr.h"
#include "waybill/err.h"

/* A netlink socket kept open for look-ups; opaque, heap. One thread at a time. It belongs to the
 * network and the user namespace in which it was made. */
struct wbi_peer_finder;

WB_WARN_UNUSED enum wb_err wbi_peer_finder_new(struct wbi_peer_finder **ret_finder,
					       struct wb_fault *fault);
void wbi_peer_finder_free(struct wbi_peer_finder *finder);

/* The uid that opened the socket at the other end of the accepted TCP connection `fd`.
 *
 * Asks sock_diag for the socket whose local address is our peer's and whose peer is us, exactly.
 * Returns WB_OK; WB_ERR_REFUSED with the reason where there is no such socket, its inode is 0 (its
 * owner has closed it), its state is neither established nor half-closed, either end is not on
 * loopback, fd is of another network namespace than the finder, or the uid has no name in our user
 * namespace (so that it proves nobody); WB_ERR_SYSTEM where the kernel could not be asked.
 * Blocks for one netlink exchange (microseconds; a second at the very most). */
WB_WARN_UNUSED enum wb_err wbi_peer_of_tcp(struct wbi_peer_finder *finder, int fd, uid_t *ret_uid,
					   struct wb_fault *fault);

/* The uid that opened the TCP socket that listens at `addr` (loopback, with its port), and to which
 * a connection to that address therefore goes; one bound to all addresses counts.
 *
 * For clients, which ask before they send a secret: the server's end of a connection that nobody
 * has accepted yet has no owner. Where it has been accepted, wbi_peer_of_tcp says more.
 * Returns as wbi_peer_of_tcp; WB_ERR_REFUSED also where nobody listens there. */
WB_WARN_UNUSED enum wb_err wbi_peer_of_listener(struct wbi_peer_finder *finder,
						const struct wbi_addr *addr, uid_t *ret_uid,
						struct wb_fault *fault);

/* The uid at the other end of a connected unix stream socket (SO_PEERCRED: as it was when the peer
 * connected, or listened). ret_pid: 0 where the peer lives in a pid namespace that we cannot see.
 * Returns WB_OK; WB_ERR_REFUSED (no peer, or a uid without a name here); WB_ERR_SYSTEM. */
WB_WARN_UNUSED enum wb_err wbi_peer_of_unix(int fd, uid_t *ret_uid, pid_t *ret_pid,
					    struct wb_fault *fault);

#endif
