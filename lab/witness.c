/* The kernel's own witnesses: sock_diag, the counters of /proc/net, the settings of /proc/sys. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lab/record.h"

const char *lab_tcp_state_name(unsigned state)
{
	static const char *const names[] = {"none",       "ESTABLISHED", "SYN_SENT",  "SYN_RECV",
					    "FIN_WAIT1",  "FIN_WAIT2",   "TIME_WAIT", "CLOSE",
					    "CLOSE_WAIT", "LAST_ACK",    "LISTEN",    "CLOSING"};

	return state < sizeof(names) / sizeof(names[0]) ? names[state] : "?";
}

static bool diag_ask(int netlink, uint16_t local_port, uint16_t peer_port)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 request;
	} message = {.header = {.nlmsg_len = sizeof(message),
				.nlmsg_type = SOCK_DIAG_BY_FAMILY,
				.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		     .request = {.sdiag_family = AF_INET,
				 .sdiag_protocol = IPPROTO_TCP,
				 .idiag_states = UINT32_MAX,
				 .id = {.idiag_sport = htons(local_port),
					.idiag_dport = htons(peer_port)}}};

	return send(netlink, &message, sizeof(message), 0) == (ssize_t)sizeof(message);
}

static bool diag_row(const struct nlmsghdr *header, uint16_t local_port, uint16_t peer_port,
		     struct lab_row *ret_row)
{
	struct inet_diag_msg found;

	if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    header->nlmsg_len < NLMSG_LENGTH(sizeof(found)))
		return false;
	memcpy(&found, NLMSG_DATA(header), sizeof(found));
	if (ntohs(found.id.idiag_sport) != local_port ||
	    (peer_port && ntohs(found.id.idiag_dport) != peer_port))
		return false;
	*ret_row = (struct lab_row){.state = found.idiag_state,
				    .local_port = local_port,
				    .peer_port = ntohs(found.id.idiag_dport),
				    .recv_queue = found.idiag_rqueue,
				    .send_queue = found.idiag_wqueue,
				    .timer = found.idiag_timer,
				    .timer_ms = found.idiag_expires};
	return true;
}

/* Reads one batch of the dump. Returns whether more is to come; *count is -1 after an error. */
static bool diag_batch(int netlink, uint16_t local_port, uint16_t peer_port, struct lab_row *rows,
		       int room, int *count)
{
	_Alignas(struct nlmsghdr) char buffer[32768];
	ssize_t bytes = recv(netlink, buffer, sizeof(buffer), 0);
	unsigned left = bytes > 0 ? (unsigned)bytes : 0;
	struct lab_row row;

	for (struct nlmsghdr *at = (struct nlmsghdr *)buffer; NLMSG_OK(at, left);
	     at = NLMSG_NEXT(at, left)) {
		if (at->nlmsg_type == NLMSG_DONE)
			return false;
		if (at->nlmsg_type == NLMSG_ERROR)
			bytes = -1;
		else if (diag_row(at, local_port, peer_port, &row)) {
			if (*count < room)
				rows[*count] = row;
			++*count;
		}
	}
	if (bytes <= 0)
		*count = -1;
	return bytes > 0;
}

int lab_diag(uint16_t local_port, uint16_t peer_port, struct lab_row *rows, int room)
{
	int netlink = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	int count = 0;

	if (netlink < 0)
		return -1;
	if (!diag_ask(netlink, local_port, peer_port))
		count = -1;
	while (count >= 0 && diag_batch(netlink, local_port, peer_port, rows, room, &count))
		;
	close(netlink);
	return count;
}

int lab_diag_count(uint16_t local_port, unsigned state)
{
	struct lab_row rows[128];
	int found = lab_diag(local_port, 0, rows, 128);
	int count = 0;

	if (found < 0)
		return -1;
	for (int i = 0; i < found && i < 128; i++)
		count += rows[i].state == state;
	return count;
}

struct lab_row lab_witness_row(struct lab *lab, const char *label, uint16_t local_port,
			       uint16_t peer_port)
{
	struct lab_row row = {0};
	int found = lab_diag(local_port, peer_port, &row, 1);

	if (found <= 0)
		lab_witness(lab, "sock_diag", "%s: %s", label, found < 0 ? "?" : "-");
	else if (row.state == LAB_TCP_TIME_WAIT)
		lab_witness(lab, "sock_diag", "%s: TIME_WAIT, %.1f s", label, row.timer_ms / 1e3);
	else
		lab_witness(lab, "sock_diag", "%s: %s Recv-Q %u Send-Q %u", label,
			    lab_tcp_state_name(row.state), row.recv_queue, row.send_queue);
	return row;
}

/* The word at that index (from 0) of a line of words. */
static const char *nth_word(const char *line, size_t index)
{
	for (; index > 0; index--) {
		line += strcspn(line, " \n");
		line += strspn(line, " ");
	}
	return line;
}

/* Both files hold pairs of lines, names and then values, that begin with "Group:". */
static bool counter_in(const char *path, const char *group, const char *name, uint64_t *ret_value)
{
	char names[8192], values[8192];
	size_t group_bytes = strlen(group), name_bytes = strlen(name);
	FILE *file = fopen(path, "re");
	bool found = false;

	while (file && !found && fgets(names, sizeof(names), file) &&
	       fgets(values, sizeof(values), file)) {
		if (strncmp(names, group, group_bytes) != 0 || names[group_bytes] != ':')
			continue;
		for (size_t i = 1; !found; i++) {
			const char *word = nth_word(names, i);

			if (*word == '\n' || *word == '\0')
				break;
			if (strncmp(word, name, name_bytes) == 0 &&
			    strchr(" \n", word[name_bytes])) {
				*ret_value = strtoull(nth_word(values, i), NULL, 10);
				found = true;
			}
		}
	}
	if (file)
		fclose(file);
	return found;
}

uint64_t lab_counter(const char *group, const char *name)
{
	uint64_t value = 0;

	if (!counter_in("/proc/thread-self/net/netstat", group, name, &value))
		counter_in("/proc/thread-self/net/snmp", group, name, &value);
	return value;
}

uint64_t lab_witness_counter(struct lab *lab, const char *group, const char *name, uint64_t before)
{
	uint64_t after = lab_counter(group, name);
	bool extended = strstr(group, "Ext") != NULL;

	lab_witness(lab, extended ? "/proc/net/netstat" : "/proc/net/snmp",
		    "%s %llu -> %llu (+%llu)", name, (unsigned long long)before,
		    (unsigned long long)after, (unsigned long long)(after - before));
	return after - before;
}

long lab_setting(const char *path)
{
	char full[128], line[64];
	long value = -1;
	FILE *file;

	snprintf(full, sizeof(full), "/proc/sys/%s", path);
	file = fopen(full, "re");
	if (!file)
		return -1;
	if (fgets(line, sizeof(line), file))
		value = strtol(line, NULL, 10);
	fclose(file);
	return value;
}

long lab_witness_setting(struct lab *lab, const char *path)
{
	const char *name = strrchr(path, '/');
	long value = lab_setting(path);

	lab_witness(lab, "/proc/sys", "%s = %ld", name ? name + 1 : path, value);
	return value;
}

long lab_udp_drops(uint16_t port)
{
	char line[512];
	FILE *file = fopen("/proc/thread-self/net/udp", "re");
	long drops = -1;

	while (file && drops < 0 && fgets(line, sizeof(line), file)) {
		unsigned local = 0;
		long value = 0;

		/* Behind the local address stand ten words, then the drops. */
		if (sscanf(line, " %*d: %*8x:%4x %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %ld",
			   &local, &value) == 2 &&
		    local == port)
			drops = value;
	}
	if (file)
		fclose(file);
	return drops;
}
