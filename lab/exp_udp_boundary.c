/* udp-boundary: three datagrams in, three out; an empty one is a message too. */
#include <string.h>
#include <sys/socket.h>

#include "lab/lab.h"

static const char *const messages[] = {"one", "", "three"};
enum { MESSAGES = 3 };

static void send_three(struct lab *lab, const struct lab_udp *udp)
{
	for (int i = 0; i < MESSAGES; i++)
		lab_sendto(lab, udp->sender, messages[i], strlen(messages[i]), udp->port);
}

static void datagrams(struct lab *lab)
{
	ssize_t got[MESSAGES];
	struct lab_udp udp;
	char buffer[1024];
	bool intact = true;

	lab_part(lab, LAB_TEXT("Three datagrams, one of them empty", "三个数据报，其中一个是空的"));
	if (!lab_udp_pair(lab, &udp))
		return;
	send_three(lab, &udp);
	for (int i = 0; i < MESSAGES; i++) {
		got[i] = -1;
		if (lab_wait_readable(udp.receiver, 1, 1000))
			got[i] = lab_recvfrom(lab, udp.receiver, buffer, sizeof(buffer), 0, NULL);
		if (got[i] != (ssize_t)strlen(messages[i]))
			intact = false;
	}
	lab_outcome(lab, intact ? 1 : got[0] == 8 ? 0 : got[1] == 5 ? 2 : -1);
	lab_truth(lab, lab_if(intact),
		  LAB_TEXT("three datagrams in, three out", "发三个数据报，收三个"),
		  "%zd, %zd, %zd", got[0], got[1], got[2]);
	lab_truth(lab, lab_if(got[1] == 0),
		  LAB_TEXT("a datagram of zero bytes is a message", "零字节的数据报也是一条消息"),
		  "recvfrom=%zd", got[1]);
}

static void stream(struct lab *lab)
{
	struct lab_pair pair;
	char buffer[1024];
	ssize_t got;

	lab_part(lab, LAB_TEXT("The same over TCP", "同样的内容走 TCP"));
	if (!lab_tcp_pair(lab, &pair))
		return;
	for (int i = 0; i < MESSAGES; i++)
		lab_send(lab, pair.client, messages[i], strlen(messages[i]), 0);
	lab_wait_readable(pair.server, 8, 2000);
	got = lab_recv(lab, pair.server, buffer, sizeof(buffer), 0);
	lab_truth(lab, lab_if(got == 8),
		  LAB_TEXT("TCP glues them into one", "TCP 会把它们粘成一段"), "recv=%zd", got);
}

static void run(struct lab *lab)
{
	datagrams(lab);
	stream(lab);
}

/* Reads until "the end"; where that is depends on the reader's idea of 0. */
static int read_messages(struct lab *lab, const struct lab_udp *udp, bool zero_is_message)
{
	char buffer[1024];
	int count = 0;

	while (lab_wait_readable(udp->receiver, 1, 50)) {
		ssize_t got = lab_recvfrom(lab, udp->receiver, buffer, sizeof(buffer), 0, NULL);

		if (got < 0 || (got == 0 && !zero_is_message))
			break;
		count++;
	}
	return count;
}

static void cure(struct lab *lab)
{
	struct lab_udp udp;
	int stopped, all;

	lab_part(lab, LAB_TEXT("A reader that takes 0 for the end, as on a stream",
			       "把 0 当作结束的读法（流的习惯）"));
	if (!lab_udp_pair(lab, &udp))
		return;
	send_three(lab, &udp);
	stopped = read_messages(lab, &udp, false);
	lab_part(lab,
		 LAB_TEXT("A reader that takes 0 for an empty message", "把 0 当作空消息的读法"));
	if (!lab_udp_pair(lab, &udp))
		return;
	send_three(lab, &udp);
	all = read_messages(lab, &udp, lab_cure("zero"));
	lab_truth(lab, lab_if(stopped == 1 && all == MESSAGES),
		  LAB_TEXT("no message is missed", "一条消息也不漏"), "%d -> %d", stopped, all);
}

const struct lab_experiment lab_exp_udp_boundary = {
	.name = "udp-boundary",
	.title = {"UDP keeps messages apart; empty ones too", "UDP 不粘包，空消息也算一条"},
	.claim = {"An empty message cannot be sent, and recv of 0 means that the other side is "
		  "gone.",
		  "空消息发不出去；recv 返回 0 就说明对方断开了。"},
	.question = {"A sender sends \"one\", \"\" and \"three\" as datagrams. The receiver calls "
		     "recvfrom(1024) three times. What does it get?",
		     "发送方用数据报依次发送 \"one\"、\"\" 和 \"three\"，接收方调用三次 "
		     "recvfrom(1024)，分别收到什么？"},
	.choices = {{"\"onethree\" with the first", "第一次就收到 \"onethree\""},
		    {"3, 0 and 5 bytes", "3、0、5 个字节"},
		    {"3 and 5 bytes; the empty one was never sent",
		     "3 和 5 个字节，空的那个没有发出去"}},
	.why = {"A datagram is a message: the kernel queues it whole, with its length and its "
		"sender, and each recvfrom takes exactly one. A length of 0 is legal: the UDP "
		"header alone travels. So on a datagram socket 0 never means \"the end\": there is "
		"no connection that could end.",
		"数据报本身就是一条消息：内核把它连同长度和发送者整个排进队列，每次 recvfrom 恰好取"
		"走一个。长度为 0 也合法，线上只有 UDP 头部。所以在数据报套接字上，0 从不表示“结"
		"束”：根本没有连接，谈何结束。"},
	.sources = {"udp(7); recv(2), RETURN VALUE (datagrams of zero length)", "RFC 768"},
	.run = run,
	.cure_title = {"0 is a message, not the end", "0 是一条消息，不是结束"},
	.cure = cure,
};
