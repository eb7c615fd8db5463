/* udp-loss: a receiver that does not read loses datagrams, and the sender never hears. */
#include <string.h>
#include <sys/socket.h>

#include "lab/lab.h"

enum { DATAGRAMS = 200, DATAGRAM_BYTES = 1000, RECEIVE_BUFFER = 16384, SHOWN = 2 };

static bool small_receiver(struct lab *lab, struct lab_udp *ret_udp)
{
	if (!lab_udp_pair(lab, ret_udp))
		return false;
	LAB_OPTION(lab, ret_udp->receiver, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER);
	lab_nonblocking(ret_udp->receiver, true);
	return true;
}

static int flood(struct lab *lab, const struct lab_udp *udp)
{
	char datagram[DATAGRAM_BYTES] = {0};
	int sent = 0;

	for (int i = 0; i < DATAGRAMS; i++) {
		lab_quiet(lab, i >= SHOWN);
		sent += lab_sendto(lab, udp->sender, datagram, sizeof(datagram), udp->port) ==
			DATAGRAM_BYTES;
	}
	lab_quiet(lab, false);
	lab_note(lab, LAB_TEXT("sendto calls that succeeded:", "成功的 sendto 次数："), "%d", sent);
	return sent;
}

static int drain(struct lab *lab, const struct lab_udp *udp)
{
	char datagram[DATAGRAM_BYTES];
	int received = 0;

	while (lab_wait_readable(udp->receiver, 1, 0)) {
		lab_quiet(lab, received >= SHOWN);
		if (lab_recvfrom(lab, udp->receiver, datagram, sizeof(datagram), 0, NULL) < 0)
			break;
		received++;
	}
	lab_quiet(lab, false);
	lab_note(lab, LAB_TEXT("datagrams that arrived:", "收到的个数："), "%d", received);
	return received;
}

static void run(struct lab *lab)
{
	uint64_t before = lab_counter("Udp", "RcvbufErrors"), counted;
	int sent, received, error;
	struct lab_udp udp;
	long drops;

	lab_part(lab, LAB_TEXT("200 datagrams to a receiver that sleeps",
			       "向睡着的接收方发 200 个数据报"));
	if (!small_receiver(lab, &udp))
		return;
	sent = flood(lab, &udp);
	error = lab_get_option(udp.sender, SOL_SOCKET, SO_ERROR);
	received = drain(lab, &udp);
	counted = lab_witness_counter(lab, "Udp", "RcvbufErrors", before);
	drops = lab_udp_drops(udp.port);
	lab_witness(lab, "/proc/net/udp", "drops %ld", drops);
	lab_outcome(lab, sent < DATAGRAMS ? 1 : received < DATAGRAMS ? 2 : 0);
	lab_truth(lab, lab_if(sent == DATAGRAMS && error == 0),
		  LAB_TEXT("every sendto succeeds; the sender never hears",
			   "每次 sendto 都成功，发送方毫不知情"),
		  "%d/%d SO_ERROR=%d", sent, DATAGRAMS, error);
	lab_truth(lab, lab_if(received > 0 && received < sent),
		  LAB_TEXT("what the buffer cannot hold is lost", "缓冲区装不下的就丢了"), "%d/%d",
		  received, sent);
	lab_truth(lab, lab_if(drops == sent - received && counted >= (uint64_t)drops),
		  LAB_TEXT("the kernel counts what was lost", "内核如数记下了丢失的个数"),
		  "drops=%ld, +%llu", drops, (unsigned long long)counted);
}

/* Sends the next one only when the last has been acknowledged. */
static int one_by_one(struct lab *lab, const struct lab_udp *udp)
{
	char datagram[DATAGRAM_BYTES] = {0}, ack[4];
	int received = 0;
	uint16_t from;

	for (int i = 0; i < DATAGRAMS; i++) {
		lab_quiet(lab, i >= SHOWN);
		lab_sendto(lab, udp->sender, datagram, sizeof(datagram), udp->port);
		if (!lab_wait_readable(udp->receiver, 1, 1000))
			break;
		received += lab_recvfrom(lab, udp->receiver, datagram, sizeof(datagram), 0,
					 &from) == DATAGRAM_BYTES;
		lab_sendto(lab, udp->receiver, "ack", 3, from);
		if (lab_recvfrom(lab, udp->sender, ack, sizeof(ack), 0, NULL) != 3)
			break;
	}
	lab_quiet(lab, false);
	return received;
}

static void cure(struct lab *lab)
{
	struct lab_udp udp;
	int received, sent = DATAGRAMS;
	long drops;

	lab_part(lab, LAB_TEXT("The same 200, the same buffer; each is acknowledged",
			       "同样 200 个，同样的缓冲区，每个都要确认"));
	if (!small_receiver(lab, &udp))
		return;
	if (lab_cure("ack")) {
		received = one_by_one(lab, &udp);
	} else {
		sent = flood(lab, &udp);
		received = drain(lab, &udp);
	}
	drops = lab_udp_drops(udp.port);
	lab_witness(lab, "/proc/net/udp", "drops %ld", drops);
	lab_truth(lab, lab_if(received == DATAGRAMS && drops == 0),
		  LAB_TEXT("all arrive, in the same small buffer", "缓冲区还是那么小，却全部收到"),
		  "%d/%d drops=%ld", received, sent, drops);
}

const struct lab_experiment lab_exp_udp_loss = {
	.name = "udp-loss",
	.title = {"loss without a network: the receiver's own buffer",
		  "没有网络也会丢：接收缓冲区"},
	.claim = {"UDP loses datagrams in the network; on one machine nothing is lost.",
		  "UDP 丢包是网络丢的；在同一台机器上不会丢。"},
	.question = {"A sender sends 200 datagrams of 1000 bytes over loopback. The receiver's "
		     "buffer is small, and it reads only afterwards. What happens?",
		     "发送方在回环上发 200 个 1000 字节的数据报；接收方缓冲区很小，之后才开始读。会"
		     "怎样？"},
	.choices = {{"all 200 arrive: loopback loses nothing", "200 个全部收到：回环不丢包"},
		    {"sendto waits, or fails, when the buffer is full",
		     "缓冲区满了，sendto 会等待或报错"},
		    {"every sendto succeeds, and most are lost",
		     "每次 sendto 都成功，但大部分丢了"}},
	.why = {"UDP has no flow control: nobody tells the sender that the receiver's buffer is "
		"full. The kernel drops what comes then, counts it (RcvbufErrors, and per socket "
		"in /proc/net/udp), and that is all. A larger SO_RCVBUF holds a longer burst and "
		"cures nothing: a sender that is faster in the long run fills any buffer.\n"
		"Only an answer from the receiver can slow a sender down: an ACK, a window, which "
		"is what TCP and QUIC have.",
		"UDP 没有流量控制：接收方缓冲区满了，没有人会告诉发送方。内核把后来的丢掉，记个数"
		"（RcvbufErrors，/proc/net/udp 里还有每个套接字的 drops），仅此而已。调大 "
		"SO_RCVBUF 只能扛住更长的突发，治不了本：长期来看发送方更快的话，多大的缓冲区都会"
		"满。\n"
		"只有接收方的回应才能让发送方慢下来：确认，或者窗口，TCP 和 QUIC 靠的就是这些。"},
	.sources = {"udp(7); socket(7), SO_RCVBUF", "proc(5), /proc/net/udp and /proc/net/snmp",
		    "RFC 8085, 3.1 (congestion control)"},
	.run = run,
	.cure_title = {"the receiver answers: acknowledge before the next",
		       "接收方要回应：确认之后再发下一个"},
	.cure = cure,
};
