/* close: FIN or RST, and what the other side is told. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab/lab.h"
#include "lab/tcp_info.h"
#include "waybill/length.h"

static const char *result_text(ssize_t result, int error)
{
	return result < 0 ? lab_error_name(error) : result == 0 ? "recv=0" : "recv>0";
}

static void orderly(struct lab *lab)
{
	struct lab_pair pair;
	char buffer[16];
	ssize_t got;

	lab_part(lab, LAB_TEXT("Everything was read, then close", "数据都读完了，再 close"));
	if (!lab_tcp_pair(lab, &pair))
		return;
	lab_close(lab, pair.server);
	got = lab_recv(lab, pair.client, buffer, sizeof(buffer), 0);
	lab_truth(lab, lab_if(got == 0),
		  LAB_TEXT("an orderly close is a recv of 0", "正常关闭时 recv 返回 0"), "%s",
		  result_text(got, errno));
}

static void unread(struct lab *lab)
{
	uint64_t resets = lab_counter("TcpExt", "TCPAbortOnClose");
	struct lab_pair pair;
	char buffer[16];
	ssize_t got;
	int error;

	lab_part(lab,
		 LAB_TEXT("The server closes with bytes unread", "服务器还有数据没读就 close"));
	if (!lab_tcp_pair(lab, &pair))
		return;
	lab_send(lab, pair.client, "unread", 6, 0);
	lab_wait_readable(pair.server, 6, 2000);
	lab_close(lab, pair.server);
	got = lab_recv(lab, pair.client, buffer, sizeof(buffer), 0);
	error = errno;
	lab_outcome(lab, got == 0 ? 0 : got < 0 && error == ECONNRESET ? 1 : 2);
	lab_witness_counter(lab, "TcpExt", "TCPAbortOnClose", resets);
	lab_truth(lab, lab_if(got < 0 && error == ECONNRESET),
		  LAB_TEXT("close with bytes unread sends RST: ECONNRESET",
			   "有未读数据就 close，发出的是 RST：ECONNRESET"),
		  "%s", result_text(got, error));
}

static void write_after_close(struct lab *lab)
{
	struct lab_pair pair;
	struct pollfd wait = {.events = POLLIN};
	ssize_t first, second;
	int error;

	lab_part(lab, LAB_TEXT("Writing to a peer that has closed", "向已经关闭的对端写"));
	if (!lab_tcp_pair(lab, &pair))
		return;
	lab_close(lab, pair.server);
	first = lab_send(lab, pair.client, "one", 3, 0);
	wait.fd = pair.client;
	for (int tries = 0; tries < 100 && !(wait.revents & POLLERR); tries++)
		poll(&wait, 1, 10);
	if (wait.revents & POLLERR)
		lab_remark(lab, LAB_TEXT("the peer's RST has arrived", "对端的 RST 到了"));
	second = lab_send(lab, pair.client, "two", 3, 0);
	error = errno;
	lab_truth(
		lab, lab_if(first == 3),
		LAB_TEXT("the first send after that succeeds", "对端关闭后，第一次 send 仍然成功"),
		"send=%zd", first);
	lab_truth(lab, lab_if(second < 0 && error == EPIPE),
		  LAB_TEXT("the next one is EPIPE", "再 send 一次就是 EPIPE"), "%s",
		  second < 0 ? lab_error_name(error) : "0");
}

/* What the same does to a program that has not asked for MSG_NOSIGNAL. */
static void broken_pipe(struct lab *lab)
{
	struct lab_pair pair;
	int status;
	pid_t pid;

	lab_part(lab, LAB_TEXT("The same in a program that did not ask for MSG_NOSIGNAL",
			       "同样的事，程序没有用 MSG_NOSIGNAL"));
	if (!lab_tcp_pair(lab, &pair))
		return;
	lab_shutdown(lab, pair.client, SHUT_WR);
	pid = lab_fork(lab);
	if (pid == 0) {
		sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
		(void)!write(pair.client, "x", 1);
		_exit(0);
	}
	status = lab_reap(lab, pid, 0);
	lab_note(lab,
		 LAB_TEXT("the child that writes ends with signal",
			  "写数据的子进程收到信号而终止："),
		 "%d", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	lab_truth(lab, lab_if(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE),
		  LAB_TEXT("by default that kills: SIGPIPE", "默认情况下进程会被 SIGPIPE 杀死"),
		  "signal=%d", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

static void half_close(struct lab *lab)
{
	struct lab_pair pair;
	char buffer[16];
	ssize_t end, reply;

	lab_part(lab, LAB_TEXT("Half-close: \"that was all from me\"", "半关闭：“我这边说完了”"));
	if (!lab_tcp_pair(lab, &pair))
		return;
	lab_send(lab, pair.client, "request", 7, 0);
	lab_shutdown(lab, pair.client, SHUT_WR);
	lab_recv(lab, pair.server, buffer, sizeof(buffer), 0);
	end = lab_recv(lab, pair.server, buffer, sizeof(buffer), 0);
	lab_witness_row(lab, "client", lab_port(pair.client), lab_port(pair.server));
	lab_send(lab, pair.server, "reply", 5, 0);
	reply = lab_recv(lab, pair.client, buffer, sizeof(buffer), 0);
	lab_truth(lab, lab_if(end == 0 && reply == 5),
		  LAB_TEXT("after a half-close the reply still comes", "半关闭之后仍能收到回复"),
		  "recv=%zd, recv=%zd", end, reply);
}

static void empty_send(struct lab *lab)
{
	struct lab_pair pair;
	unsigned segments;
	ssize_t sent;
	bool woken;

	lab_part(lab, LAB_TEXT("send(\"\") on a stream", "在流上 send(\"\")"));
	if (!lab_tcp_pair(lab, &pair))
		return;
	sent = lab_send(lab, pair.client, "", 0, 0);
	woken = lab_wait_readable(pair.server, 1, 50);
	segments = lab_tcp_info(pair.client).tcpi_data_segs_out;
	lab_witness(lab, "TCP_INFO", "client: tcpi_data_segs_out %u", segments);
	lab_truth(lab, lab_if(sent == 0 && !woken && segments == 0),
		  LAB_TEXT("an empty message sends nothing at all", "空消息什么也没有发出去"),
		  "send=%zd segments=%u", sent, segments);
}

static void run(struct lab *lab)
{
	orderly(lab);
	unread(lab);
	write_after_close(lab);
	broken_pipe(lab);
	half_close(lab);
	empty_send(lab);
}

/* Says "done", reads on until the other side is done too, and only then closes. */
static void drain_then_close(struct lab *lab)
{
	struct lab_pair pair;
	char buffer[16];
	ssize_t got;

	lab_part(lab, LAB_TEXT("Stop sending, read to the end, then close",
			       "先停发，读到结束，再 close"));
	if (!lab_tcp_pair(lab, &pair))
		return;
	lab_send(lab, pair.client, "unread", 6, 0);
	lab_wait_readable(pair.server, 6, 2000);
	if (lab_cure("drain")) {
		lab_shutdown(lab, pair.server, SHUT_WR);
		lab_shutdown(lab, pair.client, SHUT_WR);
		while (lab_recv(lab, pair.server, buffer, sizeof(buffer), 0) > 0)
			;
	}
	lab_close(lab, pair.server);
	got = lab_recv(lab, pair.client, buffer, sizeof(buffer), 0);
	lab_truth(lab, lab_if(got == 0), LAB_TEXT("no reset: recv is 0", "没有 RST：recv 返回 0"),
		  "%s", result_text(got, errno));
}

static void empty_parcel(struct lab *lab)
{
	uint8_t head[WB_LENGTH_BYTES], buffer[16];
	struct wb_frame frame = {.payload_bytes = 1};
	struct lab_pair pair;
	enum wb_decode decoded;
	ssize_t got;

	lab_part(lab,
		 LAB_TEXT("An empty message, with its length before it", "空消息，前面带上长度"));
	if (!lab_tcp_pair(lab, &pair) || wb_length_encode(WB_LENGTH_U32_LE, 0, head, NULL) != WB_OK)
		return;
	lab_send(lab, pair.client, head, sizeof(head), 0);
	got = lab_recv(lab, pair.server, buffer, sizeof(buffer), 0);
	decoded = wb_frame_decode(WB_LENGTH_U32_LE, buffer, got > 0 ? (size_t)got : 0, 64, &frame,
				  NULL);
	lab_truth(lab, lab_if(decoded == WB_DECODE_DONE && frame.payload_bytes == 0),
		  LAB_TEXT("a length of 0 is an empty message", "长度为 0 就是一条空消息"),
		  "recv=%zd payload=%u", got, frame.payload_bytes);
}

static void cure(struct lab *lab)
{
	drain_then_close(lab);
	empty_parcel(lab);
}

const struct lab_experiment lab_exp_close = {
	.name = "close",
	.title = {"FIN or RST: what the other side is told", "FIN 还是 RST：对端会看到什么"},
	.claim = {"recv returns an empty string when the other side sends an empty message; close "
		  "always ends a connection politely.",
		  "对方发来空消息，recv 就返回空串；close 总是礼貌地结束连接。"},
	.question = {"A client has sent 6 bytes. The server never reads them and calls close. What "
		     "does the client's recv say?",
		     "客户端发了 6 个字节，服务器没有读就 close。客户端的 recv 得到什么？"},
	.choices = {{"0: end of file", "0：流结束"},
		    {"ECONNRESET", "ECONNRESET"},
		    {"it waits", "一直等待"}},
	.why = {"A stream's end is told by FIN, and recv returns 0 for it. As 0 means \"the end\", "
		"it can't mean \"an empty message\": nothing is sent for one. If close throws away "
		"bytes that had arrived, the sender must learn of it, so the kernel sends RST; the "
		"same when bytes arrive after close. The first send after the peer's close still "
		"succeeds, because FIN only says that the peer will not send; its RST comes as the "
		"answer, and the next send fails.\n"
		"An RST may also wipe out replies that the client has not read yet. So: stop "
		"sending, read to the end, then close.",
		"流的结束由 FIN 通知，recv 为此返回 0。既然 0 表示“结束”，就不能再表示“空消息”：发"
		"送空消息时，线上什么也没有。如果 close 扔掉了已经到达的字节，就必须让发送方知道，"
		"所以内核发 RST；close 之后才到的数据也一样。对端 close 之后第一次 send 仍会成功，"
		"因为 FIN 只说明“我不再发”；对端随后回一个 RST，再 send 才会失败。\n"
		"RST 还可能冲掉客户端尚未读到的回复。所以正确的顺序是：先停发，读到结束，再 "
		"close。"},
	.sources = {"recv(2), RETURN VALUE; send(2), EPIPE", "shutdown(2); signal(7), SIGPIPE",
		    "RFC 9293, 3.6; RFC 1122, 4.2.2.13; RFC 2525, 2.17"},
	.run = run,
	.cure_title = {"read to the end before close; give emptiness a length",
		       "close 之前先读完；空消息也要有长度"},
	.cure = cure,
};
