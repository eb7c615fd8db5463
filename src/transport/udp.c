/* UDP in batches. What the kernel filled in to receive a datagram (peer, own address, length) is
 * what it reads to send the reply, so a batch is answered without being rewritten or copied. */
#include "transport/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "sys/fd.h"

/* Room for any datagram (IPv6 carries up to 65527 bytes), so that one cut short is never mistaken
 * for a whole one. The odd cache line between buffers keeps their first lines out of one cache set.
 */
enum { BUFFER_BYTES = 65536, STRIDE_BYTES = BUFFER_BYTES + 4096 + 64 };

union peer {
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
};

/* The address that a datagram was sent to. */
union own {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

/* Invariant: messages at and above `received` are ready to be received into. */
struct wbi_udp_batch {
	int fd;
	bool wildcard;
	int received;
	uint64_t unanswered; /* bit i: datagram i waits for its reply */
	struct mmsghdr messages[WBI_UDP_BATCH];
	struct iovec parts[WBI_UDP_BATCH];
	union peer peers[WBI_UDP_BATCH];
	union own owns[WBI_UDP_BATCH];
	uint8_t data[WBI_UDP_BATCH][STRIDE_BYTES];
};

_Static_assert(WBI_UDP_BATCH == 64, "a datagram is a bit of `unanswered`");

/* ---- sockets ---- */

enum wb_err wbi_udp_bind(const struct wbi_addr *addr, int *ret_fd, struct wbi_addr *ret_bound,
			 struct wb_fault *fault)
{
	struct wbi_addr bound = {.bytes = sizeof(bound.storage)};
	int on = 1;
	int fd = socket(addr->any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool ipv6 = addr->any.sa_family == AF_INET6;

	if (fd < 0 || (ipv6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0) ||
	    bind(fd, &addr->any, addr->bytes) != 0 ||
	    getsockname(fd, &bound.any, &bound.bytes) != 0) {
		char text[WBI_ADDR_TEXT_MAX];
		int why = errno;
		wbi_addr_format(addr, text);
		wbi_fd_close(&fd);
		errno = why;
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "bind %s: %m", text);
	}
	*ret_fd = fd;
	*ret_bound = bound;
	return WB_OK;
}

enum wb_err wbi_udp_dial(const struct wbi_addr *addrs, unsigned count, int *ret_fd,
			 struct wb_fault *fault)
{
	errno = EINVAL;
	for (unsigned i = 0; i < count; i++) {
		int fd = socket(addrs[i].any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
				0);
		if (fd >= 0 && connect(fd, &addrs[i].any, addrs[i].bytes) == 0) {
			*ret_fd = fd;
			return WB_OK;
		}
		int why = errno;
		wbi_fd_close(&fd);
		errno = why;
	}
	return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "connect: %m");
}

/* ---- the batch ---- */

static int ask_for_own_address(int fd)
{
	int on = 1, domain;
	socklen_t bytes = sizeof(domain);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) != 0)
		return -1;
	if (domain == AF_INET6)
		return setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	return setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
}

static void make_ready(struct wbi_udp_batch *batch, int i)
{
	struct msghdr *header = &batch->messages[i].msg_hdr;

	batch->parts[i].iov_len = BUFFER_BYTES;
	header->msg_namelen = sizeof(union peer);
	if (batch->wildcard)
		header->msg_controllen = sizeof(union own);
}

enum wb_err wbi_udp_batch_new(int fd, bool wildcard, struct wbi_udp_batch **ret_batch,
			      struct wb_fault *fault)
{
	if (wildcard && ask_for_own_address(fd) != 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "packet info: %m");

	struct wbi_udp_batch *batch = calloc(1, sizeof(*batch));
	if (!batch)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "datagram buffers: no memory");
	batch->fd = fd;
	batch->wildcard = wildcard;
	for (int i = 0; i < WBI_UDP_BATCH; i++) {
		struct msghdr *header = &batch->messages[i].msg_hdr;
		batch->parts[i].iov_base = batch->data[i];
		header->msg_name = &batch->peers[i];
		header->msg_iov = &batch->parts[i];
		header->msg_iovlen = 1;
		if (wildcard)
			header->msg_control = &batch->owns[i];
		make_ready(batch, i);
	}
	*ret_batch = batch;
	return WB_OK;
}

void wbi_udp_batch_free(struct wbi_udp_batch *batch)
{
	free(batch);
}

/* ---- receiving ---- */

/* An IPv4 reply is routed anew: it need not leave by the interface that the datagram came in by. */
static void forget_interface(union own *own)
{
	if (own->header.cmsg_level == IPPROTO_IP && own->header.cmsg_type == IP_PKTINFO)
		((struct in_pktinfo *)CMSG_DATA(&own->header))->ipi_ifindex = 0;
}

/* Turns datagram i, just received, into its own reply. */
static void make_reply(struct wbi_udp_batch *batch, int i)
{
	struct mmsghdr *message = &batch->messages[i];

	batch->parts[i].iov_len = message->msg_len;
	if (message->msg_hdr.msg_flags & MSG_TRUNC)
		wbi_udp_batch_drop(batch, i);
	if (batch->wildcard && message->msg_hdr.msg_controllen > 0)
		forget_interface(&batch->owns[i]);
}

int wbi_udp_batch_receive(struct wbi_udp_batch *batch)
{
	for (int i = 0; i < batch->received; i++)
		make_ready(batch, i);
	batch->received = 0;
	batch->unanswered = 0;

	int count = recvmmsg(batch->fd, batch->messages, WBI_UDP_BATCH, MSG_DONTWAIT, NULL);
	if (count < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	batch->received = count;
	batch->unanswered = count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
	for (int i = 0; i < count; i++)
		make_reply(batch, i);
	return count;
}

void wbi_udp_batch_at(struct wbi_udp_batch *batch, int i, uint8_t **ret_data, size_t *ret_bytes,
		      bool *ret_truncated)
{
	*ret_data = batch->data[i];
	*ret_bytes = batch->messages[i].msg_len;
	*ret_truncated = batch->messages[i].msg_hdr.msg_flags & MSG_TRUNC;
}

const struct sockaddr *wbi_udp_batch_peer(const struct wbi_udp_batch *batch, int i,
					  socklen_t *ret_bytes)
{
	*ret_bytes = batch->messages[i].msg_hdr.msg_namelen;
	return &batch->peers[i].any;
}

/* ---- replying ---- */

void wbi_udp_batch_drop(struct wbi_udp_batch *batch, int i)
{
	batch->unanswered &= ~(UINT64_C(1) << i);
}

static int count_ones_from(uint64_t bits, int first)
{
	uint64_t gap = ~(bits >> first);
	return gap ? __builtin_ctzll(gap) : 64;
}

int wbi_udp_batch_reply(struct wbi_udp_batch *batch, unsigned *ret_refused)
{
	unsigned refused = 0;
	int result = 0;

	while (batch->unanswered) {
		int first = __builtin_ctzll(batch->unanswered);
		int run = count_ones_from(batch->unanswered, first);
		int sent = sendmmsg(batch->fd, &batch->messages[first], (unsigned)run,
				    MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN) {
			result = -EAGAIN;
			break;
		}
		if (sent < 0) {
			refused++;
			sent = 1;
		}
		for (int i = first; i < first + sent; i++)
			wbi_udp_batch_drop(batch, i);
	}
	*ret_refused = refused;
	return result;
}
