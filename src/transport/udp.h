/* UDP in batches: recvmmsg in, sendmmsg out, datagrams whole or not at all. */
#ifndef WBI_UDP_H
#define WBI_UDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sys/addr.h"
#include "waybill/err.h"

enum {
	WBI_UDP_PAYLOAD_MAX = 65507, /* 65535 - 20 (IPv4 header) - 8 (UDP header) */
	WBI_UDP_BATCH = 64,
};

/* Binds, non-blocking and close-on-exec. ret_bound as in wbi_tcp_listen. */
WB_WARN_UNUSED enum wb_err wbi_udp_bind(const struct wbi_addr *addr, int *ret_fd,
					struct wbi_addr *ret_bound, struct wb_fault *fault);

/* A connected UDP socket for a client, non-blocking. */
WB_WARN_UNUSED enum wb_err wbi_udp_dial(const struct wbi_addr *addrs, unsigned count, int *ret_fd,
					struct wb_fault *fault);

/* Buffers for a batch; opaque, heap: 64 datagrams of 64 KiB, touched only as far as they are used.
 */
struct wbi_udp_batch;

/* wildcard: the socket is bound to all addresses, so replies must say where they come from
 * (IP_PKTINFO). */
WB_WARN_UNUSED enum wb_err
wbi_udp_batch_new(int fd, bool wildcard, struct wbi_udp_batch **ret_batch, struct wb_fault *fault);
void wbi_udp_batch_free(struct wbi_udp_batch *batch);

/* Receives up to WBI_UDP_BATCH datagrams; what has not been answered of the last ones is dropped.
 * Returns how many (0: none waiting), or -errno. */
int wbi_udp_batch_receive(struct wbi_udp_batch *batch);

/* Datagram i of the batch (0 <= i < received): its bytes, which may be changed in place, never
 * more than arrived. ret_truncated: it was larger than any UDP datagram can be; what is here is
 * not all of it, and it will not be answered. */
void wbi_udp_batch_at(struct wbi_udp_batch *batch, int i, uint8_t **ret_data, size_t *ret_bytes,
		      bool *ret_truncated);
const struct sockaddr *wbi_udp_batch_peer(const struct wbi_udp_batch *batch, int i,
					  socklen_t *ret_bytes);

/* Leaves datagram i unanswered. */
void wbi_udp_batch_drop(struct wbi_udp_batch *batch, int i);

/* Sends each remaining datagram back to where it came from. Returns 0 when all are gone, -EAGAIN
 * when the rest must wait for writability (call again), never another error: a datagram that the
 * kernel refuses is counted in *ret_refused (which starts at 0 in every call) and skipped. */
int wbi_udp_batch_reply(struct wbi_udp_batch *batch, unsigned *ret_refused);

#endif
