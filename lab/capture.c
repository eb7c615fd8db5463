/* Reading segments from a packet socket bound to the loopback interface. */
#include "lab/capture.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

enum {
	IP_PROTOCOL_AT = 9,
	TCP_OFFSET_AT = 12,
	TCP_FLAGS_AT = 13,
	TCP_HEADER_MIN = 20,
	FLAG_FIN = 0x01,
	FLAG_SYN = 0x02,
	FLAG_RST = 0x04,
	FLAG_ACK = 0x10,
};

/* TCP, and either port is the server's. The packet begins with its IP header. */
static bool attach_filter(int fd, uint16_t server_port)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, IP_PROTOCOL_AT),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 5),
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), /* X = length of the IP header */
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, server_port, 3, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, server_port, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0;
}

int lab_capture_open(struct lab *lab, uint16_t server_port)
{
	struct sockaddr_ll loopback = {.sll_family = AF_PACKET,
				       .sll_protocol = htons(ETH_P_IP),
				       .sll_ifindex = (int)if_nametoindex("lo")};
	/* Protocol 0: nothing is captured until the filter is there and bind names a protocol. */
	int fd = lab_keep(lab, LAB_KERNEL,
			  socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));

	if (fd < 0 || !attach_filter(fd, server_port) ||
	    bind(fd, (struct sockaddr *)&loopback, sizeof(loopback)) < 0)
		return -1;
	return fd;
}

static unsigned u16_at(const uint8_t *bytes, size_t at)
{
	return (unsigned)bytes[at] << 8 | bytes[at + 1];
}

/* Takes an IPv4 packet apart; false: not a segment of that server's. */
static bool parse(const uint8_t *packet, size_t bytes, uint16_t server_port,
		  struct lab_segment *ret_segment)
{
	size_t head = bytes > 0 ? 4 * (packet[0] & 15u) : 0, tcp_head;
	const uint8_t *tcp = packet + head;
	uint8_t flags;

	if (head < 20 || bytes < head + TCP_HEADER_MIN || packet[IP_PROTOCOL_AT] != IPPROTO_TCP)
		return false;
	if (u16_at(tcp, 0) != server_port && u16_at(tcp, 2) != server_port)
		return false;
	flags = tcp[TCP_FLAGS_AT];
	tcp_head = 4u * (tcp[TCP_OFFSET_AT] >> 4);
	*ret_segment = (struct lab_segment){
		.from = u16_at(tcp, 0) == server_port ? LAB_SERVER : LAB_CLIENT,
		.at_ns = lab_now_ns(),
		.syn = flags & FLAG_SYN,
		.ack = flags & FLAG_ACK,
		.fin = flags & FLAG_FIN,
		.rst = flags & FLAG_RST,
		.data_bytes = (unsigned)(u16_at(packet, 2) - head - tcp_head),
	};
	return true;
}

unsigned lab_capture_read(int fd, uint16_t server_port, struct lab_segment *segments, unsigned room)
{
	unsigned count = 0;

	while (count < room) {
		struct sockaddr_ll from = {0};
		socklen_t length = sizeof(from);
		uint8_t packet[128];
		ssize_t bytes =
			recvfrom(fd, packet, sizeof(packet), 0, (struct sockaddr *)&from, &length);

		if (bytes < 0)
			break;
		/* Loopback shows every packet twice: going out and coming in. */
		if (from.sll_pkttype != PACKET_OUTGOING &&
		    parse(packet, (size_t)bytes, server_port, &segments[count]))
			count++;
	}
	return count;
}
