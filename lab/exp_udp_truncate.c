/* udp-truncate: a buffer that is too short loses the rest of the datagram. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "lab/lab.h"

static const char message[] = "helloworld";
enum { MESSAGE_BYTES = sizeof(message) - 1 };

static bool send_one(struct lab *lab, struct lab_udp *ret_udp)
{
	if (!lab_udp_pair(lab, ret_udp))
		return false;
	lab_nonblocking(ret_udp->receiver, true);
	lab_sendto(lab, ret_udp->sender, message, MESSAGE_BYTES, ret_udp->port);
	return lab_wait_readable(ret_udp->receiver, 1, 1000);
}

static void silent_loss(struct lab *lab)
{
	struct lab_udp udp;
	ssize_t first, second;
	char byte;
	int error;

	lab_part(lab, LAB_TEXT("recvfrom(1), twice", "recvfrom(1)，两次"));
	if (!send_one(lab, &udp))
		return;
	first = lab_recvfrom(lab, udp.receiver, &byte, 1, 0, NULL);
	second = lab_recvfrom(lab, udp.receiver, &byte, 1, 0, NULL);
	error = errno;
	lab_outcome(lab, second == 1 ? 0 : first == 1 ? 1 : 2);
	lab_truth(lab, lab_if(first == 1),
		  LAB_TEXT("recvfrom(1) takes one byte, without an error",
			   "recvfrom(1) 取走一个字节，不报错"),
		  "recvfrom=%zd", first);
	lab_truth(lab, lab_if(second < 0 && error == EAGAIN),
		  LAB_TEXT("the other nine are gone", "其余九个字节没了"), "%s",
		  second < 0 ? lab_error_name(error) : "recvfrom>=0");
}

static void told(struct lab *lab)
{
	char byte;
	struct iovec piece = {.iov_base = &byte, .iov_len = 1};
	struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1};
	struct lab_udp udp;
	uint64_t began;
	ssize_t got;

	lab_part(lab, LAB_TEXT("Whoever asks is told", "问一句，内核就会说"));
	if (!send_one(lab, &udp))
		return;
	began = lab_now_ns();
	got = recvmsg(udp.receiver, &header, 0);
	lab_call(lab, LAB_SERVER, began, got, header.msg_flags & MSG_TRUNC ? "MSG_TRUNC" : "",
		 "recvmsg(1)");
	lab_truth(lab, lab_if(got == 1 && header.msg_flags & MSG_TRUNC),
		  LAB_TEXT("recvmsg says MSG_TRUNC", "recvmsg 会给出 MSG_TRUNC 标志"),
		  "msg_flags=0x%x", (unsigned)header.msg_flags);
	if (!send_one(lab, &udp))
		return;
	got = lab_recvfrom(lab, udp.receiver, &byte, 1, MSG_TRUNC, NULL);
	lab_truth(lab, lab_if(got == MESSAGE_BYTES),
		  LAB_TEXT("asked with MSG_TRUNC, recv gives the true length",
			   "带上 MSG_TRUNC，recv 返回真实长度"),
		  "recvfrom=%zd", got);
}

static void run(struct lab *lab)
{
	silent_loss(lab);
	told(lab);
}

static void cure(struct lab *lab)
{
	char buffer[2 * MESSAGE_BYTES], byte;
	size_t room = 1;
	struct lab_udp udp;
	ssize_t length, got;

	lab_part(lab, LAB_TEXT("Look first (MSG_PEEK|MSG_TRUNC), then read",
			       "先看长度（MSG_PEEK|MSG_TRUNC），再读"));
	if (!send_one(lab, &udp))
		return;
	if (lab_cure("peek")) {
		length = lab_recvfrom(lab, udp.receiver, &byte, 1, MSG_PEEK | MSG_TRUNC, NULL);
		if (length > 0 && (size_t)length <= sizeof(buffer))
			room = (size_t)length;
	}
	got = lab_recvfrom(lab, udp.receiver, buffer, room, 0, NULL);
	lab_truth(lab, lab_if(got == MESSAGE_BYTES && memcmp(buffer, message, MESSAGE_BYTES) == 0),
		  LAB_TEXT("the datagram arrives whole", "数据报完整地收到"), "recvfrom=%zd", got);
}

const struct lab_experiment lab_exp_udp_truncate = {
	.name = "udp-truncate",
	.title = {"a short buffer loses the rest of a datagram",
		  "缓冲区太小，数据报的余下部分就丢了"},
	.claim = {"What does not fit in the buffer comes with the next recvfrom, as with TCP.",
		  "缓冲区装不下的部分，下次 recvfrom 还能收到，和 TCP 一样。"},
	.question = {"A datagram of 10 bytes has arrived. The receiver calls recvfrom(1), twice. "
		     "What does the second call get?",
		     "一个 10 字节的数据报已经到达。接收方调用两次 recvfrom(1)，第二次得到什么？"},
	.choices = {{"the second byte", "第二个字节"},
		    {"nothing: the other nine bytes are gone", "什么也没有：其余九个字节丢了"},
		    {"even the first call is an error", "第一次调用就报错"}},
	.why = {"One recvfrom takes one datagram off the queue, and what the buffer cannot hold is "
		"thrown away. Linux does it silently, as POSIX prescribes: only those who ask, "
		"with recvmsg or MSG_TRUNC, are told. Windows returns error 10040 (WSAEMSGSIZE) "
		"instead, with the buffer filled: the same loss, but not to be overlooked.",
		"一次 recvfrom 从队列里取走一个数据报，缓冲区装不下的部分就扔掉。Linux 按 POSIX 的"
		"规定一声不响地扔：只有用 recvmsg 或 MSG_TRUNC 去问，它才告诉你。Windows 则在填满缓"
		"冲区的同时返回错误 10040（WSAEMSGSIZE）：丢得一样多，只是想忽略都难。"},
	.sources = {"recv(2), MSG_TRUNC and MSG_PEEK; udp(7)", "POSIX.1-2017, recvfrom()",
		    "Microsoft, Windows Sockets error codes, WSAEMSGSIZE (10040)"},
	.run = run,
	.cure_title = {"ask for the length, or have room for 65507",
		       "先问长度，或者备好 65507 字节的缓冲区"},
	.cure = cure,
};
