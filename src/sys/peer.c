/* Who is calling: one exact sock_diag question per connection.
 *
 * The answer is trusted only as far as it goes: it must come from the kernel, carry our sequence
 * number, name the very addresses and ports that were asked for, and have an owner who still holds
 * the socket. Whatever is in doubt is refused. */
#include "sys/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "sys/fd.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

enum {
	ANSWER_BYTES_MAX = 4096,
	STALE_MAX = 16, /* answers to questions that were given up, before we give up */
	DEADLINE_MS = 1000,
	OVERFLOW_UID_DEFAULT = 65534,
};

/* The uid that the kernel shows for every uid without a name in our user namespace. Where each uid
 * has a name it is an ordinary one (nobody) and proves itself. */
struct nameless {
	bool possible;
	uid_t uid;
};

struct wbi_peer_finder {
	int netlink;
	uint32_t sequence;
	struct nameless nameless;
	bool has_netns; /* older than Linux 5.14: the kernel cannot say, and is not asked */
	uint64_t netns;
};

/* One end of a connection. IPv4 stands here as the kernel keeps it for an IPv6 socket: mapped, so
 * that the two spellings of one address compare equal. */
struct end {
	struct in6_addr address;
	in_port_t port; /* network order, as everything here */
};

static enum wb_err refuse(struct wb_fault *fault, const char *why)
{
	return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0, "caller unknown: %s", why);
}

static enum wb_err cannot_ask(struct wb_fault *fault, const char *what)
{
	return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "who is calling: %s: %m", what);
}

/* ---- uids without a name ---- */

/* Reads a small file of /proc as text; "" where it cannot be had. */
static void read_proc(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t bytes = fd >= 0 ? read(fd, out, size - 1) : 0;

	out[bytes > 0 ? bytes : 0] = '\0';
	wbi_fd_close(&fd);
}

static struct nameless read_nameless(void)
{
	char text[512];
	unsigned long inside, outside, count;
	struct nameless nameless = {.possible = true, .uid = OVERFLOW_UID_DEFAULT};

	read_proc("/proc/self/uid_map", text, sizeof(text));
	if (sscanf(text, "%lu %lu %lu", &inside, &outside, &count) == 3)
		nameless.possible = inside != 0 || outside != 0 || count != UINT32_MAX;
	read_proc("/proc/sys/kernel/overflowuid", text, sizeof(text));
	if (sscanf(text, "%lu", &inside) == 1)
		nameless.uid = (uid_t)inside;
	return nameless;
}

static bool proves_nobody(const struct nameless *nameless, uid_t uid)
{
	return uid == (uid_t)-1 || (nameless->possible && uid == nameless->uid);
}

/* ---- the finder ---- */

static bool read_netns(int fd, uint64_t *ret_netns)
{
	socklen_t bytes = sizeof(*ret_netns);

	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, ret_netns, &bytes) == 0;
}

enum wb_err wbi_peer_finder_new(struct wbi_peer_finder **ret_finder, struct wb_fault *fault)
{
	enum wb_err err;
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct timeval deadline = {.tv_sec = DEADLINE_MS / 1000,
				   .tv_usec = DEADLINE_MS % 1000 * 1000};
	struct wbi_peer_finder *finder = calloc(1, sizeof(*finder));

	if (!finder)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "peer finder: no memory");
	finder->netlink = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	/* Connected to the kernel: what anybody else sends here is not even queued. */
	if (finder->netlink < 0 ||
	    connect(finder->netlink, (struct sockaddr *)&kernel, sizeof(kernel)) != 0 ||
	    setsockopt(finder->netlink, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)) !=
		    0) {
		err = cannot_ask(fault, "sock_diag");
		goto failed;
	}
	finder->has_netns = read_netns(finder->netlink, &finder->netns);
	finder->nameless = read_nameless();
	*ret_finder = finder;
	return WB_OK;
failed:
	wbi_peer_finder_free(finder);
	return err;
}

void wbi_peer_finder_free(struct wbi_peer_finder *finder)
{
	if (!finder)
		return;
	wbi_fd_close(&finder->netlink);
	free(finder);
}

/* ---- the two ends, as we see them ---- */

static void set_mapped(struct in6_addr *address, const void *ipv4)
{
	memset(address, 0, sizeof(*address));
	address->s6_addr[10] = address->s6_addr[11] = 0xff;
	memcpy(&address->s6_addr[12], ipv4, sizeof(struct in_addr));
}

static enum wb_err end_from_addr(const struct wbi_addr *addr, struct end *ret_end,
				 struct wb_fault *fault)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&addr->storage;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&addr->storage;

	if (addr->any.sa_family == AF_INET) {
		set_mapped(&ret_end->address, &v4->sin_addr);
		ret_end->port = v4->sin_port;
	} else if (addr->any.sa_family == AF_INET6) {
		ret_end->address = v6->sin6_addr;
		ret_end->port = v6->sin6_port;
	} else {
		return refuse(fault, "this is no TCP connection");
	}
	if (!wbi_addr_is_loopback(addr))
		return refuse(fault, "the connection is not on loopback");
	return WB_OK;
}

typedef int name_fn(int fd, struct sockaddr *addr, socklen_t *bytes);

static enum wb_err end_of_fd(int fd, name_fn *name, struct end *ret_end, struct wb_fault *fault)
{
	struct wbi_addr addr = {.bytes = sizeof(addr.storage)};

	if (name(fd, &addr.any, &addr.bytes) != 0)
		return errno == ENOTCONN ? refuse(fault, "the peer has gone")
					 : cannot_ask(fault, "addresses");
	return end_from_addr(&addr, ret_end, fault);
}

/* ---- one question, one answer ---- */

struct question {
	struct nlmsghdr header;
	struct inet_diag_req_v2 body;
};

static void put_address(__be32 out[4], const struct end *end)
{
	if (IN6_IS_ADDR_V4MAPPED(&end->address))
		memcpy(out, &end->address.s6_addr[12], sizeof(struct in_addr));
	else
		memcpy(out, &end->address, sizeof(end->address));
}

/* A mapped address is asked for as IPv4: that finds the sockets of both families, while a question
 * in IPv6 would have to guess. */
static enum wb_err ask(struct wbi_peer_finder *finder, const struct end *theirs,
		       const struct end *ours, struct wb_fault *fault)
{
	bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(&theirs->address);
	struct question question = {
		.header = {.nlmsg_len = sizeof(question),
			   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			   .nlmsg_flags = NLM_F_REQUEST,
			   .nlmsg_seq = ++finder->sequence},
		.body = {.sdiag_family = is_ipv4 ? AF_INET : AF_INET6,
			 .sdiag_protocol = IPPROTO_TCP,
			 .idiag_states = UINT32_MAX,
			 .id = {.idiag_sport = theirs->port,
				.idiag_dport = ours->port,
				.idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}}},
	};

	put_address(question.body.id.idiag_src, theirs);
	put_address(question.body.id.idiag_dst, ours);
	if (send(finder->netlink, &question, sizeof(question), 0) != sizeof(question))
		return cannot_ask(fault, "sock_diag");
	return WB_OK;
}

/* The next message that answers the last question; the others are left from questions whose answer
 * did not come in time. */
static enum wb_err receive(struct wbi_peer_finder *finder, void *buffer, struct wb_fault *fault)
{
	const struct nlmsghdr *header = buffer;

	for (int i = 0; i < STALE_MAX; i++) {
		struct sockaddr_nl from = {.nl_pid = UINT32_MAX};
		socklen_t from_bytes = sizeof(from);
		ssize_t bytes;
		do
			bytes = recvfrom(finder->netlink, buffer, ANSWER_BYTES_MAX, 0,
					 (struct sockaddr *)&from, &from_bytes);
		while (bytes < 0 && errno == EINTR);
		if (bytes < 0)
			return cannot_ask(fault, "no answer");
		if (from.nl_pid == 0 && NLMSG_OK(header, (size_t)bytes) &&
		    header->nlmsg_seq == finder->sequence)
			return WB_OK;
	}
	errno = EPROTO;
	return cannot_ask(fault, "no answer");
}

static bool is_end(sa_family_t family, const __be32 address[4], in_port_t port,
		   const struct end *end)
{
	struct end seen = {.port = port};

	if (family == AF_INET)
		set_mapped(&seen.address, address);
	else
		memcpy(&seen.address, address, sizeof(seen.address));
	return seen.port == end->port &&
	       memcmp(&seen.address, &end->address, sizeof(seen.address)) == 0;
}

static bool is_connected(unsigned state)
{
	return state == TCP_ESTABLISHED || state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 ||
	       state == TCP_CLOSE_WAIT;
}

/* Where no connection matches, the kernel falls back to a listening socket on the same port: hence
 * the look at both ends, though they are what was asked for. */
static enum wb_err judge(const struct inet_diag_msg *found, const struct end *theirs,
			 const struct end *ours, struct wb_fault *fault)
{
	const struct inet_diag_sockid *id = &found->id;

	if (!is_end(found->idiag_family, id->idiag_src, id->idiag_sport, theirs) ||
	    !is_end(found->idiag_family, id->idiag_dst, id->idiag_dport, ours))
		return refuse(fault, "no such connection");
	if (!is_connected(found->idiag_state))
		return refuse(fault, "its socket is not connected");
	if (found->idiag_inode == 0)
		return refuse(fault, "its socket has no owner any more");
	return WB_OK;
}

/* A listener bound to the address itself, or to all of them (:: where it takes both families). */
static enum wb_err judge_listener(const struct inet_diag_msg *found, const struct end *theirs,
				  const struct end *ours, struct wb_fault *fault)
{
	const struct inet_diag_sockid *id = &found->id;
	struct end any = {.port = theirs->port}, any_ipv4 = {.port = theirs->port};

	(void)ours;
	set_mapped(&any_ipv4.address, &(struct in_addr){INADDR_ANY});
	if (found->idiag_state != TCP_LISTEN)
		return refuse(fault, "nobody listens there");
	if (!is_end(found->idiag_family, id->idiag_src, id->idiag_sport, theirs) &&
	    !is_end(found->idiag_family, id->idiag_src, id->idiag_sport, &any) &&
	    !is_end(found->idiag_family, id->idiag_src, id->idiag_sport, &any_ipv4))
		return refuse(fault, "another address is listened at");
	if (found->idiag_inode == 0)
		return refuse(fault, "the listening socket has no owner any more");
	return WB_OK;
}

/* What is looked for, and what it means where there is none. */
struct kind {
	enum wb_err (*judge)(const struct inet_diag_msg *found, const struct end *theirs,
			     const struct end *ours, struct wb_fault *fault);
	const char *absent;
};

static const struct kind connection = {judge, "the kernel shows no such connection"};
static const struct kind listener = {judge_listener, "nobody listens there"};

static enum wb_err read_answer(const void *buffer, const struct kind *kind,
			       const struct end *theirs, const struct end *ours, uid_t *ret_uid,
			       struct wb_fault *fault)
{
	const struct nlmsghdr *header = buffer;

	if (header->nlmsg_type == NLMSG_ERROR &&
	    header->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nlmsgerr))) {
		errno = -((const struct nlmsgerr *)NLMSG_DATA(header))->error;
		/* The same errno where the kernel was built without tcp_diag. */
		return errno == ENOENT ? refuse(fault, kind->absent)
				       : cannot_ask(fault, "sock_diag");
	}
	if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    header->nlmsg_len < NLMSG_LENGTH(sizeof(struct inet_diag_msg))) {
		errno = EPROTO;
		return cannot_ask(fault, "sock_diag");
	}
	const struct inet_diag_msg *found = NLMSG_DATA(header);
	enum wb_err err = kind->judge(found, theirs, ours, fault);
	if (!err)
		*ret_uid = found->idiag_uid;
	return err;
}

/* One question about the socket at `theirs` whose peer is `ours`. */
static enum wb_err find(struct wbi_peer_finder *finder, const struct kind *kind,
			const struct end *theirs, const struct end *ours, uid_t *ret_uid,
			struct wb_fault *fault)
{
	_Alignas(struct nlmsghdr) char answer[ANSWER_BYTES_MAX];
	uid_t uid = (uid_t)-1;
	enum wb_err err = ask(finder, theirs, ours, fault);

	if (!err)
		err = receive(finder, answer, fault);
	if (!err)
		err = read_answer(answer, kind, theirs, ours, &uid, fault);
	if (err)
		return err;
	if (proves_nobody(&finder->nameless, uid))
		return refuse(fault, "its uid has no name in our user namespace");
	*ret_uid = uid;
	return WB_OK;
}

enum wb_err wbi_peer_of_tcp(struct wbi_peer_finder *finder, int fd, uid_t *ret_uid,
			    struct wb_fault *fault)
{
	struct end theirs, ours;
	uint64_t netns;
	enum wb_err err = end_of_fd(fd, getpeername, &theirs, fault);

	if (!err)
		err = end_of_fd(fd, getsockname, &ours, fault);
	if (err)
		return err;
	if (finder->has_netns && (!read_netns(fd, &netns) || netns != finder->netns))
		return refuse(fault, "the connection is of another network namespace");
	return find(finder, &connection, &theirs, &ours, ret_uid, fault);
}

enum wb_err wbi_peer_of_listener(struct wbi_peer_finder *finder, const struct wbi_addr *addr,
				 uid_t *ret_uid, struct wb_fault *fault)
{
	struct end theirs, nobody = {0};
	enum wb_err err = end_from_addr(addr, &theirs, fault);

	if (err)
		return err;
	/* No connection has such an end, so the kernel goes on to who listens. */
	if (IN6_IS_ADDR_V4MAPPED(&theirs.address))
		set_mapped(&nobody.address, &(struct in_addr){INADDR_ANY});
	return find(finder, &listener, &theirs, &nobody, ret_uid, fault);
}

enum wb_err wbi_peer_of_unix(int fd, uid_t *ret_uid, pid_t *ret_pid, struct wb_fault *fault)
{
	struct ucred peer;
	socklen_t bytes = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0)
		return cannot_ask(fault, "SO_PEERCRED");
	struct nameless nameless = read_nameless();
	if (proves_nobody(&nameless, peer.uid))
		return refuse(fault, "its uid has no name in our user namespace");
	*ret_uid = peer.uid;
	*ret_pid = peer.pid;
	return WB_OK;
}
