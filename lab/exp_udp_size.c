/* udp-size: how large a datagram may be, and how large it should be. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lab/lab.h"
#include "lab/world.h"

enum {
	HEADERS_BYTES = 20 + 8, /* IPv4 and UDP */
	LARGEST = 65535 - HEADERS_BYTES,
	BUFFER_BYTES = 70000,
	UNFRAGMENTED = LAB_WORLD_MTU - HEADERS_BYTES,
	CHUNK_BYTES = 1280 - 40 - 8, /* fits in every IPv6 link's MTU */
	OFFSET_BYTES = 4,
};

static void limits(struct lab *lab, unsigned char *buffer)
{
	struct lab_udp udp;
	ssize_t largest, received, larger;
	int error;

	lab_part(lab, LAB_TEXT("The largest datagram of IPv4", "IPv4 最大的数据报"));
	if (!lab_udp_pair(lab, &udp))
		return;
	largest = lab_sendto(lab, udp.sender, buffer, LARGEST, udp.port);
	received = lab_recvfrom(lab, udp.receiver, buffer, BUFFER_BYTES, 0, NULL);
	larger = lab_sendto(lab, udp.sender, buffer, LARGEST + 1, udp.port);
	error = errno;
	lab_outcome(lab, largest != LARGEST ? 0 : larger < 0 ? 1 : 2);
	lab_truth(lab, lab_if(largest == LARGEST && received == LARGEST),
		  LAB_TEXT("65507 bytes pass in one datagram", "一个数据报可以带 65507 字节"),
		  "recvfrom=%zd", received);
	lab_truth(lab, lab_if(larger < 0 && error == EMSGSIZE),
		  LAB_TEXT("65508 are refused: EMSGSIZE", "65508 字节被拒绝：EMSGSIZE"), "%s",
		  larger < 0 ? lab_error_name(error) : "0");
}

/* A receiver on the far machine, and a sender here that is connected to it. */
static bool far_pair(struct lab *lab, const struct lab_world *world, struct lab_udp *ret_udp)
{
	struct sockaddr_in address = lab_world_address(LAB_SERVER, 0);
	socklen_t length = sizeof(address);
	struct lab_udp udp = {.sender = lab_world_socket(lab, world, LAB_CLIENT, SOCK_DGRAM),
			      .receiver = lab_world_socket(lab, world, LAB_SERVER, SOCK_DGRAM)};

	if (bind(udp.receiver, (struct sockaddr *)&address, length) < 0 ||
	    getsockname(udp.receiver, (struct sockaddr *)&address, &length) < 0 ||
	    connect(udp.sender, (struct sockaddr *)&address, length) < 0)
		return false;
	*ret_udp = udp;
	return true;
}

/* Sends one datagram over the cable; returns how many fragments that made. */
static uint64_t fragments_of(struct lab *lab, const struct lab_world *world,
			     const struct lab_udp *udp, unsigned char *buffer, size_t bytes)
{
	uint64_t before = lab_world_counter(world, "Ip", "FragCreates"), fragments;

	lab_send(lab, udp->sender, buffer, bytes, 0);
	lab_recvfrom(lab, udp->receiver, buffer, BUFFER_BYTES, 0, NULL);
	fragments = lab_world_counter(world, "Ip", "FragCreates") - before;
	lab_witness(lab, "/proc/net/snmp", "FragCreates +%llu", (unsigned long long)fragments);
	return fragments;
}

static void on_the_cable(struct lab *lab, const struct lab_world *world, unsigned char *buffer)
{
	uint64_t fits, over, largest;
	struct lab_udp udp;
	ssize_t result;
	int error;

	if (!far_pair(lab, world, &udp)) {
		lab_trouble(lab, "veth");
		return;
	}
	/* Otherwise Linux sets "don't fragment" on what fits and looks for a smaller MTU. */
	LAB_OPTION(lab, udp.sender, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
	fits = fragments_of(lab, world, &udp, buffer, UNFRAGMENTED);
	over = fragments_of(lab, world, &udp, buffer, UNFRAGMENTED + 1);
	largest = fragments_of(lab, world, &udp, buffer, LARGEST);
	lab_truth(lab, lab_if(fits == 0 && over == 2),
		  LAB_TEXT("MTU 1500: 1472 travel whole, 1473 in two pieces",
			   "MTU 1500：1472 字节一整个，1473 字节切成两片"),
		  "%llu, %llu", (unsigned long long)fits, (unsigned long long)over);
	lab_truth(lab, lab_if(largest == 45),
		  LAB_TEXT("65507 bytes travel in 45 pieces", "65507 字节切成 45 片传输"), "%llu",
		  (unsigned long long)largest);
	LAB_OPTION(lab, udp.sender, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
	result = lab_send(lab, udp.sender, buffer, UNFRAGMENTED + 1, 0);
	error = errno;
	lab_truth(lab, lab_if(result < 0 && error == EMSGSIZE),
		  LAB_TEXT("with \"don't fragment\" the kernel says EMSGSIZE",
			   "禁止分片时，内核直接报 EMSGSIZE"),
		  "%s", result < 0 ? lab_error_name(error) : "0");
}

static void fragments(struct lab *lab, unsigned char *buffer)
{
	struct lab_world world;

	lab_part(lab, LAB_TEXT("Over a cable with an MTU of 1500 (network namespaces)",
			       "经过 MTU 为 1500 的网线（网络命名空间）"));
	if (!lab_world_open(&world)) {
		lab_truth(lab, LAB_SKIPPED,
			  LAB_TEXT("needs root: fragments on a cable of MTU 1500",
				   "需要 root：在 MTU 1500 的网线上看分片"),
			  "%s", lab_error_name(errno));
		return;
	}
	on_the_cable(lab, &world, buffer);
	lab_world_close(&world);
}

static void run(struct lab *lab)
{
	unsigned char *buffer = calloc(1, BUFFER_BYTES);

	if (!buffer) {
		lab_trouble(lab, "calloc");
		return;
	}
	limits(lab, buffer);
	fragments(lab, buffer);
	free(buffer);
}

/* Sends one piece, its offset before it, and puts what arrives where it belongs. */
static size_t pass_piece(struct lab *lab, const struct lab_udp *udp, const unsigned char *message,
			 size_t offset, size_t bytes, unsigned char *assembled)
{
	unsigned char piece[CHUNK_BYTES], arrived[CHUNK_BYTES];
	uint32_t place = (uint32_t)offset;
	ssize_t got;

	memcpy(piece, &place, OFFSET_BYTES); /* one machine, one byte order; see byte-order */
	memcpy(piece + OFFSET_BYTES, message + offset, bytes);
	lab_sendto(lab, udp->sender, piece, OFFSET_BYTES + bytes, udp->port);
	got = lab_recvfrom(lab, udp->receiver, arrived, sizeof(arrived), 0, NULL);
	if (got < OFFSET_BYTES)
		return 0;
	memcpy(&place, arrived, OFFSET_BYTES);
	if (place + (size_t)got - OFFSET_BYTES > BUFFER_BYTES)
		return 0;
	memcpy(assembled + place, arrived + OFFSET_BYTES, (size_t)got - OFFSET_BYTES);
	return (size_t)got - OFFSET_BYTES;
}

static size_t pass_in_pieces(struct lab *lab, const struct lab_udp *udp,
			     const unsigned char *message, unsigned char *assembled,
			     unsigned *ret_pieces)
{
	size_t most = CHUNK_BYTES - OFFSET_BYTES, passed = 0;
	unsigned pieces = 0;

	for (size_t offset = 0; offset < BUFFER_BYTES; offset += most) {
		size_t bytes = BUFFER_BYTES - offset < most ? BUFFER_BYTES - offset : most;

		lab_quiet(lab, pieces++ >= 2);
		passed += pass_piece(lab, udp, message, offset, bytes, assembled);
	}
	lab_quiet(lab, false);
	lab_note(lab, LAB_TEXT("and so on", "如此反复"), "%s", "...");
	*ret_pieces = pieces;
	return passed;
}

static void cure(struct lab *lab)
{
	unsigned char *message = malloc(BUFFER_BYTES), *assembled = calloc(1, BUFFER_BYTES);
	unsigned pieces = 0;
	size_t passed = 0;
	struct lab_udp udp;

	lab_part(lab, LAB_TEXT("70000 bytes in datagrams of at most 1232",
			       "70000 字节，切成不超过 1232 字节的数据报"));
	if (!message || !assembled || !lab_udp_pair(lab, &udp))
		goto out;
	for (size_t i = 0; i < BUFFER_BYTES; i++)
		message[i] = (unsigned char)(i * 2654435761u >> 24);
	if (lab_cure("chunks"))
		passed = pass_in_pieces(lab, &udp, message, assembled, &pieces);
	else
		lab_sendto(lab, udp.sender, message, BUFFER_BYTES, udp.port);
	lab_truth(lab,
		  lab_if(passed == BUFFER_BYTES && memcmp(message, assembled, BUFFER_BYTES) == 0),
		  LAB_TEXT("the message arrives whole, in small datagrams",
			   "消息完整到达，每个数据报都很小"),
		  "%zu B / %u", passed, pieces);
out:
	free(message);
	free(assembled);
}

const struct lab_experiment lab_exp_udp_size = {
	.name = "udp-size",
	.title = {"65507, 1472, 1232, 512, 508: how large a datagram?",
		  "65507、1472、1232、512、508：数据报多大合适"},
	.claim = {"A UDP datagram holds at most 512 bytes.", "UDP 数据报最多只能装 512 字节。"},
	.question = {"How much does sendto take in one datagram over IPv4 on loopback?",
		     "在 IPv4 回环上，sendto 一个数据报最多能发多少？"},
	.choices = {{"less than 65507 bytes", "不到 65507 字节"},
		    {"65507 bytes, and not one more", "65507 字节，多一个也不行"},
		    {"more than 65507 bytes", "比 65507 字节还多"}},
	.why = {"The IPv4 length field has 16 bits: 65535 - 20 (IP) - 8 (UDP) = 65507. What is "
		"larger than the link's MTU travels in fragments (1500 - 28 = 1472 fit), and if "
		"one is lost, all is lost; many firewalls drop fragments altogether.\n"
		"So one stays small. 508 = 576 - 60 - 8: what every IPv4 host must take, with the "
		"longest IP header. 512: the old limit of DNS, nothing else. 1232 = 1280 - 40 - 8: "
		"what every IPv6 link carries unfragmented, and what DNS has used since 2020.",
		"IPv4 的长度字段是 16 位：65535 - 20（IP 头）- 8（UDP 头）= 65507。超过链路 MTU 的"
		"数据报要分片传输（1500 - 28 = 1472 以内不分片），丢了一片就等于全丢；不少防火墙干"
		"脆丢弃所有分片。\n"
		"所以宁可小一点。508 = 576 - 60 - 8：任何 IPv4 主机都必须能收下的大小，按最长的 IP "
		"头算。512：只是 DNS 当年的上限，没有别的道理。1232 = 1280 - 40 - 8：任何 IPv6 链路"
		"都能不分片地传送，DNS 自 2020 年起用的就是它。"},
	.sources = {"udp(7); ip(7), IP_MTU_DISCOVER", "RFC 768; RFC 791, 3.1; RFC 8085, 3.2",
		    "RFC 1122, 3.3.2 (576); RFC 8200, 5 (1280)",
		    "RFC 1035, 4.2.1 (512); DNS Flag Day 2020 (1232)"},
	.run = run,
	.cure_title = {"small datagrams, each with its place", "用小数据报，每个带上自己的位置"},
	.cure = cure,
};
