/* nagle: write, write, read waits for the other side's delayed ACK. */
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "lab/lab.h"
#include "lab/tcp_info.h"

enum { ROUNDS = 5, WARM_UP = 3, HEAD_BYTES = 4, BODY_BYTES = 4 };

/* Far from either side of the gap between microseconds and 40 ms, for the sake of busy machines. */
static const double STALL_MS = 30, FAST_MS = 10;

enum style { TWO_WRITES, CORKED, ONE_WRITEV };

static void write_request(struct lab *lab, int fd, enum style style)
{
	struct iovec pieces[] = {{.iov_base = (char[]){"head"}, .iov_len = HEAD_BYTES},
				 {.iov_base = (char[]){"body"}, .iov_len = BODY_BYTES}};
	uint64_t began;

	if (style == ONE_WRITEV) {
		began = lab_now_ns();
		lab_call(lab, LAB_CLIENT, began, writev(fd, pieces, 2), "",
			 "writev(\"head\", \"body\")");
		return;
	}
	if (style == CORKED)
		LAB_OPTION(lab, fd, IPPROTO_TCP, TCP_CORK, 1);
	lab_send(lab, fd, "head", HEAD_BYTES, 0);
	lab_send(lab, fd, "body", BODY_BYTES, 0);
	if (style == CORKED)
		LAB_OPTION(lab, fd, IPPROTO_TCP, TCP_CORK, 0);
}

/* One request and its reply; returns how long the client waited. */
static double round_ms(struct lab *lab, const struct lab_pair *pair, enum style style)
{
	uint64_t began = lab_now_ns();
	char buffer[64];

	write_request(lab, pair->client, style);
	lab_wait_readable(pair->server, HEAD_BYTES + BODY_BYTES, 2000);
	lab_recv(lab, pair->server, buffer, sizeof(buffer), 0);
	lab_send(lab, pair->server, "ok", 2, 0);
	lab_recv(lab, pair->client, buffer, sizeof(buffer), 0);
	return lab_ms_since(began);
}

/* The median of a few rounds; the last is shown. */
static double median_ms(struct lab *lab, const struct lab_pair *pair, enum style style)
{
	double rounds[ROUNDS];

	lab_quiet(lab, true);
	for (int i = 0; i < WARM_UP; i++)
		round_ms(lab, pair, style);
	for (int i = 0; i < ROUNDS; i++) {
		lab_quiet(lab, i < ROUNDS - 1);
		lab_restart_clock(lab);
		lab_note(lab,
			 LAB_TEXT("clock back to 0: the last round of",
				  "重新计时，最后一轮，总轮数："),
			 "%d", WARM_UP + ROUNDS);
		rounds[i] = round_ms(lab, pair, style);
	}
	return lab_median(rounds, ROUNDS);
}

static void plain(struct lab *lab)
{
	uint64_t delayed = lab_counter("TcpExt", "DelayedACKs");
	struct lab_pair pair;
	enum lab_verdict verdict;
	double ms;

	lab_part(lab, LAB_TEXT("Two small writes, then wait for the reply", "写两小段，再等回复"));
	lab_quiet(lab, true);
	if (!lab_tcp_pair(lab, &pair))
		return;
	ms = median_ms(lab, &pair, TWO_WRITES);
	lab_witness(lab, "TCP_INFO", "server: tcpi_ato %u us", lab_tcp_info(pair.server).tcpi_ato);
	lab_witness_counter(lab, "TcpExt", "DelayedACKs", delayed);
	lab_outcome(lab, ms < FAST_MS ? 0 : ms < 150 ? 1 : 2);
	verdict = ms >= STALL_MS ? LAB_HOLDS : LAB_VARIES;
	lab_truth(lab, verdict,
		  LAB_TEXT("write-write-read waits for the delayed ACK",
			   "写-写-读要等对方的延迟确认"),
		  "%.1f ms", ms);
}

/* TCP_QUICKACK at the reader helps, until the kernel decides otherwise. */
static void quick_ack(struct lab *lab)
{
	struct lab_pair pair;
	double first_ms, later_ms[ROUNDS];

	lab_part(lab,
		 LAB_TEXT("TCP_QUICKACK at the reader, set once", "读方打开一次 TCP_QUICKACK"));
	lab_quiet(lab, true);
	if (!lab_tcp_pair(lab, &pair))
		return;
	for (int i = 0; i < WARM_UP; i++)
		round_ms(lab, &pair, TWO_WRITES);
	lab_quiet(lab, false);
	lab_restart_clock(lab);
	LAB_OPTION(lab, pair.server, IPPROTO_TCP, TCP_QUICKACK, 1);
	first_ms = round_ms(lab, &pair, TWO_WRITES);
	lab_witness(lab, "getsockopt", "server: TCP_QUICKACK %d",
		    lab_get_option(pair.server, IPPROTO_TCP, TCP_QUICKACK));
	lab_quiet(lab, true);
	for (int i = 0; i < ROUNDS; i++)
		later_ms[i] = round_ms(lab, &pair, TWO_WRITES);
	lab_quiet(lab, false);
	lab_truth(lab, lab_median(later_ms, ROUNDS) >= STALL_MS ? LAB_HOLDS : LAB_VARIES,
		  LAB_TEXT("TCP_QUICKACK does not last", "TCP_QUICKACK 不会一直有效"),
		  "%.3f ms -> %.1f ms", first_ms, lab_median(later_ms, ROUNDS));
}

static void run(struct lab *lab)
{
	plain(lab);
	quick_ack(lab);
}

static void compare(struct lab *lab, enum style style, bool no_delay, struct lab_text title,
		    struct lab_text statement)
{
	struct lab_pair pair;
	unsigned segments;
	double ms;

	lab_part(lab, title);
	lab_quiet(lab, true);
	if (!lab_tcp_pair(lab, &pair))
		return;
	lab_quiet(lab, false);
	if (no_delay && lab_cure("nodelay"))
		LAB_OPTION(lab, pair.client, IPPROTO_TCP, TCP_NODELAY, 1);
	ms = median_ms(lab, &pair, style);
	segments = lab_tcp_info(pair.server).tcpi_data_segs_in;
	lab_witness(lab, "TCP_INFO", "server: tcpi_data_segs_in %u / %d", segments,
		    WARM_UP + ROUNDS);
	lab_truth(lab, lab_if(ms < FAST_MS && segments == (no_delay ? 2 : 1) * (WARM_UP + ROUNDS)),
		  statement, "%.3f ms", ms);
}

static void cure(struct lab *lab)
{
	compare(lab, TWO_WRITES, true, LAB_TEXT("TCP_NODELAY", "TCP_NODELAY"),
		LAB_TEXT("TCP_NODELAY: no wait, two segments",
			 "TCP_NODELAY：不再等待，两个报文段"));
	compare(lab, lab_cure("cork") ? CORKED : TWO_WRITES, false,
		LAB_TEXT("TCP_CORK around both writes", "用 TCP_CORK 把两次写包起来"),
		LAB_TEXT("TCP_CORK: no wait, one segment", "TCP_CORK：不再等待，合成一个报文段"));
	compare(lab, lab_cure("writev") ? ONE_WRITEV : TWO_WRITES, false,
		LAB_TEXT("Both pieces in one writev", "两段用一次 writev 写出"),
		LAB_TEXT("one writev: no wait, one segment, no option",
			 "一次 writev：不再等待，一个报文段，不用任何选项"));
}

const struct lab_experiment lab_exp_nagle = {
	.name = "nagle",
	.title = {"write, write, read: a stall out of nowhere", "写-写-读：莫名其妙的停顿"},
	.claim = {"Nagle's algorithm makes small writes slow.", "Nagle 算法会让小块写入变慢。"},
	.question =
		{"A client writes a head and a body, 4 bytes each, and waits for the reply. The "
		 "server answers at once when it has both. On loopback, how long does the client "
		 "wait?",
		 "客户端先写 4 字节的头，再写 4 字节的体，然后等回复；服务器两段收齐就立刻回答。在"
		 "本机回环上，客户端要等多久？"},
	.choices = {{"well below a millisecond", "远不到一毫秒"},
		    {"some 40 ms", "40 毫秒左右"},
		    {"some 200 ms", "200 毫秒左右"}},
	.why = {"Two good ideas meet badly. Nagle: while a small segment is not acknowledged, hold "
		"the next small one back. Delayed ACK: do not acknowledge at once, there may soon "
		"be an answer to carry the ACK (40 ms at least on Linux). The head travels; the "
		"body waits for the head's ACK; the ACK waits for an answer; the answer waits for "
		"the body. The timer of the delayed ACK ends it.\n"
		"A single small write is never held back, nor is a stream of large ones: only "
		"write-write-read is hit.",
		"两个各自都好的主意碰到了一起。Nagle 算法：前一个小报文段还没有被确认，后一个小报文"
		"段就先扣住不发。延迟确认：收到数据不马上回 ACK，也许很快有应答可以顺便捎上（Linux "
		"上至少 40 毫秒）。于是头发出去了，体在等头的 ACK，ACK 在等应答，应答在等体，最后靠"
		"延迟确认的定时器解围。\n"
		"单独一次小写不会被扣住，连续的大块写入也不会，中招的只有“写-写-读”。"},
	.sources = {"RFC 896; RFC 1122, 4.2.3.2 and 4.2.3.4",
		    "tcp(7), TCP_NODELAY, TCP_CORK, TCP_QUICKACK",
		    "Linux include/net/tcp.h, TCP_DELACK_MIN"},
	.run = run,
	.cure_title = {"TCP_NODELAY, TCP_CORK, or one write",
		       "TCP_NODELAY、TCP_CORK，或者一次写完"},
	.cure = cure,
};
