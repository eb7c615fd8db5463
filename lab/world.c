/* Building two network namespaces and the cable between them, through netlink and ioctl. */
#include "lab/world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINK_UP_MS = 3000 };

static const char *const link_names[] = {[LAB_CLIENT] = "wblab0", [LAB_SERVER] = "wblab1"};

/* 192.0.2.0/24 is set aside for examples (RFC 5737). */
static const uint32_t link_addresses[] = {[LAB_CLIENT] = 0xc0000201, [LAB_SERVER] = 0xc0000202};

struct sockaddr_in lab_world_address(enum lab_side end, uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(link_addresses[end])};
}

/* A netlink message that grows. */
struct message {
	struct nlmsghdr header;
	struct ifinfomsg link;
	char attributes[256];
};

static void *message_end(struct message *message)
{
	return (char *)message + NLMSG_ALIGN(message->header.nlmsg_len);
}

static struct rtattr *put(struct message *message, unsigned short type, const void *data,
			  size_t bytes)
{
	struct rtattr *attribute = message_end(message);

	attribute->rta_type = type;
	attribute->rta_len = (unsigned short)RTA_LENGTH(bytes);
	if (bytes)
		memcpy(RTA_DATA(attribute), data, bytes);
	message->header.nlmsg_len =
		NLMSG_ALIGN(message->header.nlmsg_len) + (uint32_t)RTA_ALIGN(attribute->rta_len);
	return attribute;
}

static void nest_end(struct message *message, struct rtattr *nest)
{
	nest->rta_len = (unsigned short)((char *)message_end(message) - (char *)nest);
}

/* Sends the message and reads the kernel's answer. */
static bool transact(const struct message *message)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), error = EIO;
	_Alignas(struct nlmsghdr) char answer[1024];
	struct nlmsgerr result;
	ssize_t got;

	if (fd < 0)
		return false;
	got = send(fd, message, message->header.nlmsg_len, 0);
	if (got > 0)
		got = recv(fd, answer, sizeof(answer), 0);
	if (got < 0) {
		error = errno;
	} else if ((size_t)got >= NLMSG_LENGTH(sizeof(result))) {
		memcpy(&result, NLMSG_DATA((struct nlmsghdr *)answer), sizeof(result));
		error = -result.error;
	}
	close(fd);
	errno = error;
	return error == 0;
}

/* Lays the cable: one end here, the other in the server's namespace. */
static bool lay_cable(int server_namespace)
{
	struct message message = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
			   .nlmsg_type = RTM_NEWLINK,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK},
	};
	struct ifinfomsg peer_link = {0};
	struct rtattr *info, *data, *peer;

	put(&message, IFLA_IFNAME, link_names[LAB_CLIENT], strlen(link_names[LAB_CLIENT]) + 1);
	info = put(&message, IFLA_LINKINFO, NULL, 0);
	put(&message, IFLA_INFO_KIND, "veth", 4);
	data = put(&message, IFLA_INFO_DATA, NULL, 0);
	peer = put(&message, VETH_INFO_PEER, &peer_link, sizeof(peer_link));
	put(&message, IFLA_IFNAME, link_names[LAB_SERVER], strlen(link_names[LAB_SERVER]) + 1);
	put(&message, IFLA_NET_NS_FD, &server_namespace, sizeof(server_namespace));
	nest_end(&message, peer);
	nest_end(&message, data);
	nest_end(&message, info);
	return transact(&message);
}

/* Gives the link in the current namespace its address (or none) and brings it up. */
static bool set_link(enum lab_side end, bool present)
{
	struct sockaddr_in address = lab_world_address(end, 0);
	struct ifreq request = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool good = fd >= 0;

	if (!present)
		address.sin_addr.s_addr = htonl(INADDR_ANY);
	strncpy(request.ifr_name, link_names[end], IFNAMSIZ - 1);
	memcpy(&request.ifr_addr, &address, sizeof(address));
	good = good && ioctl(fd, SIOCSIFADDR, &request) == 0;
	good = good && ioctl(fd, SIOCGIFFLAGS, &request) == 0;
	request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
	good = good && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
	if (fd >= 0)
		close(fd);
	return good;
}

/* Reads one attribute of the kernel's answer to RTM_GETLINK: the link's operational state. */
static unsigned operational_state(const char *answer, size_t bytes)
{
	const struct nlmsghdr *header = (const struct nlmsghdr *)answer;
	const struct rtattr *attribute = IFLA_RTA(NLMSG_DATA(header));
	int left;

	if (bytes < NLMSG_LENGTH(sizeof(struct ifinfomsg)) || header->nlmsg_type != RTM_NEWLINK)
		return IF_OPER_UNKNOWN;
	left = (int)(bytes - NLMSG_LENGTH(sizeof(struct ifinfomsg)));
	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
		if (attribute->rta_type == IFLA_OPERSTATE)
			return *(const unsigned char *)RTA_DATA(attribute);
	return IF_OPER_UNKNOWN;
}

static bool link_is_up(int netlink, enum lab_side end)
{
	struct message message = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
			   .nlmsg_type = RTM_GETLINK,
			   .nlmsg_flags = NLM_F_REQUEST},
	};
	_Alignas(struct nlmsghdr) char answer[8192];
	ssize_t got;

	put(&message, IFLA_IFNAME, link_names[end], strlen(link_names[end]) + 1);
	if (send(netlink, &message, message.header.nlmsg_len, 0) < 0)
		return false;
	got = recv(netlink, answer, sizeof(answer), 0);
	return got > 0 && operational_state(answer, (size_t)got) == IF_OPER_UP;
}

/* A fresh link drops what is sent before the kernel has seen its carrier; the ARP request that is
 * lost so would be repeated only a second later. */
static bool wait_for_link(enum lab_side end)
{
	int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	uint64_t began = lab_now_ns();
	bool up = false;

	while (netlink >= 0 && !(up = link_is_up(netlink, end)) && lab_ms_since(began) < LINK_UP_MS)
		poll(NULL, 0, 1);
	if (netlink >= 0)
		close(netlink);
	return up;
}

static int this_namespace(void)
{
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

static bool enter(int namespace_fd)
{
	return setns(namespace_fd, CLONE_NEWNET) == 0;
}

static bool build(struct lab_world *world)
{
	for (int end = LAB_CLIENT; end <= LAB_SERVER; end++) {
		if (unshare(CLONE_NEWNET) < 0)
			return false;
		world->ends[end] = this_namespace();
		if (world->ends[end] < 0)
			return false;
	}
	return enter(world->ends[LAB_CLIENT]) && lay_cable(world->ends[LAB_SERVER]) &&
	       set_link(LAB_CLIENT, true) && enter(world->ends[LAB_SERVER]) &&
	       set_link(LAB_SERVER, true) && wait_for_link(LAB_SERVER) &&
	       enter(world->ends[LAB_CLIENT]) && wait_for_link(LAB_CLIENT);
}

bool lab_world_open(struct lab_world *ret_world)
{
	struct lab_world world = {.home = this_namespace(), .ends = {-1, -1}};
	bool good = world.home >= 0 && build(&world);
	int error = errno;

	if (world.home >= 0 && !enter(world.home) && good) {
		error = errno;
		good = false;
	}
	if (!good) {
		lab_world_close(&world);
		errno = error;
		return false;
	}
	*ret_world = world;
	return true;
}

void lab_world_close(struct lab_world *world)
{
	const int fds[] = {world->home, world->ends[0], world->ends[1]};

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	*world = (struct lab_world){.home = -1, .ends = {-1, -1}};
}

int lab_world_socket(struct lab *lab, const struct lab_world *world, enum lab_side end, int type)
{
	int fd = -1;

	if (enter(world->ends[end]))
		fd = lab_socket(lab, end, type);
	return enter(world->home) ? fd : -1;
}

bool lab_world_vanish(const struct lab_world *world)
{
	bool good = enter(world->ends[LAB_SERVER]) && set_link(LAB_SERVER, false);

	return enter(world->home) && good;
}

uint64_t lab_world_counter(const struct lab_world *world, const char *group, const char *name)
{
	uint64_t value = 0;

	if (enter(world->ends[LAB_CLIENT]))
		value = lab_counter(group, name);
	return enter(world->home) ? value : 0;
}
