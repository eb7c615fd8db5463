/* sticky: two sends, one recv. A stream keeps bytes, not messages. */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "lab/lab.h"
#include "lab/tcp_info.h"
#include "waybill/length.h"

enum { LONG_BYTES = 1000, SHORT_READ = 256 };

static ssize_t send_two_and_recv(struct lab *lab, const struct lab_pair *pair)
{
	char buffer[1024];

	lab_send(lab, pair->client, "hello", 5, 0);
	lab_send(lab, pair->client, "world", 5, 0);
	lab_wait_readable(pair->server, 10, 2000);
	lab_witness_row(lab, "server", lab_port(pair->server), lab_port(pair->client));
	return lab_recv(lab, pair->server, buffer, sizeof(buffer), 0);
}

static ssize_t two_sends(struct lab *lab)
{
	struct lab_pair pair;
	ssize_t got;

	lab_part(lab, LAB_TEXT("Two sends, then one recv", "发两次，收一次"));
	if (!lab_tcp_pair(lab, &pair))
		return -1;
	got = send_two_and_recv(lab, &pair);
	lab_truth(lab, lab_if(got == 10),
		  LAB_TEXT("two sends arrive in one recv", "两次 send 被一次 recv 收走"),
		  "recv=%zd", got);
	return got;
}

static void two_segments(struct lab *lab)
{
	struct lab_pair pair;
	struct tcp_info info;
	ssize_t got;

	lab_part(lab, LAB_TEXT("The same with TCP_NODELAY: Nagle is not the cause",
			       "打开 TCP_NODELAY 再来：与 Nagle 算法无关"));
	if (!lab_tcp_pair(lab, &pair))
		return;
	LAB_OPTION(lab, pair.client, IPPROTO_TCP, TCP_NODELAY, 1);
	got = send_two_and_recv(lab, &pair);
	info = lab_tcp_info(pair.server);
	lab_witness(lab, "TCP_INFO", "server: tcpi_data_segs_in %u", info.tcpi_data_segs_in);
	lab_truth(lab, lab_if(got == 10 && info.tcpi_data_segs_in == 2),
		  LAB_TEXT("two segments, and still one recv",
			   "明明是两个报文段，仍被一次 recv 收走"),
		  "segments=%u recv=%zd", info.tcpi_data_segs_in, got);
}

static void one_send(struct lab *lab)
{
	char message[LONG_BYTES], buffer[SHORT_READ];
	struct lab_pair pair;
	unsigned receives = 0;

	lab_part(lab, LAB_TEXT("One send, many recvs", "发一次，收多次"));
	if (!lab_tcp_pair(lab, &pair))
		return;
	memset(message, 'x', sizeof(message));
	lab_send(lab, pair.client, message, sizeof(message), 0);
	lab_wait_readable(pair.server, sizeof(message), 2000);
	while (lab_wait_readable(pair.server, 1, 0) &&
	       lab_recv(lab, pair.server, buffer, sizeof(buffer), 0) > 0)
		receives++;
	lab_truth(lab, lab_if(receives == 4),
		  LAB_TEXT("one send of 1000 bytes takes four recvs of 256",
			   "一次 send 的 1000 字节，recv(256) 要收四次"),
		  "recvs=%u", receives);
}

static void run(struct lab *lab)
{
	ssize_t got = two_sends(lab);

	lab_outcome(lab, got == 10 ? 1 : got == 5 ? 0 : -1);
	two_segments(lab);
	one_send(lab);
}

static void send_parcel(struct lab *lab, int fd, const char *text)
{
	uint8_t frame[64];
	size_t bytes = strlen(text), head = 0;

	if (lab_cure("length")) {
		if (wb_length_encode(WB_LENGTH_U32_LE, bytes, frame, NULL) != WB_OK)
			return;
		head = WB_LENGTH_BYTES;
	}
	memcpy(frame + head, text, bytes);
	lab_send(lab, fd, frame, head + bytes, 0);
}

/* Takes whole parcels off the front of what has been gathered; returns how many there were. */
static unsigned take_parcels(struct lab *lab, uint8_t *gathered, size_t *held)
{
	struct wb_frame frame;
	unsigned count = 0;

	while (wb_frame_decode(WB_LENGTH_U32_LE, gathered, *held, 64, &frame, NULL) ==
	       WB_DECODE_DONE) {
		lab_note(lab, LAB_TEXT("a whole parcel:", "一个完整的包裹："), "\"%.*s\"",
			 (int)frame.payload_bytes, (const char *)frame.payload);
		*held -= frame.consumed;
		memmove(gathered, gathered + frame.consumed, *held);
		count++;
	}
	return count;
}

/* Sends two parcels and receives them in reads of at most `read_bytes`. */
static void length_then_parcel(struct lab *lab, size_t read_bytes, struct lab_text statement)
{
	uint8_t gathered[256];
	struct lab_pair pair;
	unsigned parcels = 0, receives = 0;
	size_t held = 0;

	if (!lab_tcp_pair(lab, &pair))
		return;
	send_parcel(lab, pair.client, "hello");
	send_parcel(lab, pair.client, "world");
	lab_shutdown(lab, pair.client, SHUT_WR);
	for (;;) {
		size_t room = sizeof(gathered) - held;
		ssize_t got = lab_recv(lab, pair.server, gathered + held,
				       read_bytes < room ? read_bytes : room, 0);

		if (got <= 0)
			break;
		receives++;
		held += (size_t)got;
		parcels += take_parcels(lab, gathered, &held);
	}
	lab_truth(lab, lab_if(parcels == 2 && held == 0), statement, "parcels=%u recvs=%u left=%zu",
		  parcels, receives, held);
}

static void cure(struct lab *lab)
{
	lab_part(lab, LAB_TEXT("Four bytes of length before each message; one big recv",
			       "每条消息前加四字节长度；一次大的 recv"));
	length_then_parcel(
		lab, 256,
		LAB_TEXT("glued together, yet taken apart exactly", "粘在一起到达，仍能准确拆开"));
	lab_part(lab, LAB_TEXT("The same, in reads of 4 bytes", "同样的内容，每次只读 4 字节"));
	length_then_parcel(
		lab, 4,
		LAB_TEXT("torn to pieces, yet put together exactly", "拆成碎片到达，仍能准确拼好"));
}

const struct lab_experiment lab_exp_sticky = {
	.name = "sticky",
	.title = {"two sends, one recv: TCP has no messages", "粘包：发了两次，一次就收完"},
	.claim = {"Nagle's algorithm glues small packets together; switch it off and the messages "
		  "stay apart.",
		  "粘包是 Nagle 算法把小包合并造成的，关掉它，消息就不会粘在一起。"},
	.question = {"A client sends \"hello\" and then \"world\". The server then calls "
		     "recv(1024) once. What does it get?",
		     "客户端先 send(\"hello\") 再 send(\"world\")，然后服务器调用一次 recv(1024)。"
		     "它收到什么？"},
	.choices = {{"\"hello\"; \"world\" comes with the next recv",
		     "\"hello\"，下一次 recv 才是 \"world\""},
		    {"\"helloworld\", all ten bytes", "\"helloworld\"，十个字节一起"},
		    {"\"helloworld\", but with TCP_NODELAY only \"hello\"",
		     "\"helloworld\"，但打开 TCP_NODELAY 就只有 \"hello\""}},
	.why = {"TCP promises a stream of bytes in order. It never promised that a send and a recv "
		"match: the kernel appends what arrives to one queue, and recv takes what is "
		"there. Nagle's algorithm decides when segments leave, not where messages end; "
		"with TCP_NODELAY two segments travel, and one recv still takes both.\n"
		"\"Sticky packets\" are therefore not a fault of TCP. The boundary was never "
		"there; whoever needs one must put it into the bytes.",
		"TCP 承诺的只是有序的字节流，从来没有承诺一次 send 对应一次 recv：内核把到达的字节"
		"依次追加到同一个接收队列，recv 有多少取多少。Nagle 算法管的是报文段何时发出，不管"
		"消息在哪里结束；打开 TCP_NODELAY 后确实发出了两个报文段，一次 recv 照样把它们全部"
		"取走。\n"
		"所以“粘包”并不是 TCP 的毛病：消息边界本来就不存在。谁需要边界，谁就得自己把它写进"
		"字节里。"},
	.sources = {"RFC 9293, 2.2 (a stream of bytes); RFC 1122, 4.2.2.2 (PSH)",
		    "tcp(7), TCP_NODELAY", "RFC 896; RFC 1122, 4.2.3.4 (Nagle)"},
	.run = run,
	.cure_title = {"the length, then the parcel", "先发长度，再发内容"},
	.cure = cure,
};
