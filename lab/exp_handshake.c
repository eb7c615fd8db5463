/* handshake: three steps up, four (or three) down, as the kernel tells them. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "lab/capture.h"
#include "lab/lab.h"
#include "lab/tcp_info.h"

enum { SEGMENTS_MAX = 16 };

/* One connection, and a raw view of it where that is allowed. */
struct link {
	struct lab_pair pair;
	uint16_t server_port, client_port;
	int capture;
	uint64_t began_ns;
};

static void show_segments(struct lab *lab, const struct link *link, unsigned *ret_count)
{
	struct lab_segment segments[SEGMENTS_MAX];
	unsigned count = lab_capture_read(link->capture, link->server_port, segments, SEGMENTS_MAX);

	for (unsigned i = 0; i < count; i++)
		lab_witness(lab, "raw capture", "%s %s%s%s%s",
			    segments[i].from == LAB_CLIENT ? "C -> S" : "S -> C",
			    segments[i].syn ? "SYN " : "", segments[i].fin ? "FIN " : "",
			    segments[i].rst ? "RST " : "", segments[i].ack ? "ACK" : "");
	*ret_count = count;
}

/* Looks at both ends at once, on the timeline. */
static void states(struct lab *lab, const struct link *link, unsigned *client, unsigned *server)
{
	struct lab_row rows[2] = {0};

	if (lab_diag(link->client_port, link->server_port, &rows[0], 1) < 1)
		rows[0].state = 0;
	if (lab_diag(link->server_port, link->client_port, &rows[1], 1) < 1)
		rows[1].state = 0;
	*client = rows[0].state;
	*server = rows[1].state;
	lab_witness(lab, "sock_diag", "C: %s, S: %s", lab_tcp_state_name(*client),
		    lab_tcp_state_name(*server));
}

static bool up(struct lab *lab, struct link *link)
{
	unsigned client, server, segments;
	int result, capture_error;

	lab_part(lab, LAB_TEXT("Up: connect, before anybody accepts",
			       "建立连接：connect，还没有人 accept"));
	link->pair.listener = lab_listener(lab, 5);
	link->pair.client = lab_socket(lab, LAB_CLIENT, SOCK_STREAM);
	link->server_port = lab_port(link->pair.listener);
	link->capture = lab_capture_open(lab, link->server_port);
	capture_error = errno;
	result = lab_connect(lab, link->pair.client, link->server_port);
	link->client_port = lab_port(link->pair.client);
	states(lab, link, &client, &server);
	lab_outcome(lab, result == 0 ? 1 : 0);
	lab_truth(lab, lab_if(client == LAB_TCP_ESTABLISHED && server == LAB_TCP_ESTABLISHED),
		  LAB_TEXT("both ends are ESTABLISHED before accept",
			   "accept 之前两端就已经是 ESTABLISHED"),
		  "%s", lab_tcp_state_name(server));
	if (link->capture < 0) {
		lab_truth(lab, LAB_SKIPPED,
			  LAB_TEXT("needs root: see the three segments of the handshake",
				   "需要 root：看到三次握手的三个报文段"),
			  "%s", lab_error_name(capture_error));
	} else {
		show_segments(lab, link, &segments);
		lab_truth(lab, lab_if(segments == 3),
			  LAB_TEXT("three segments: SYN, SYN ACK, ACK",
				   "三个报文段：SYN、SYN ACK、ACK"),
			  "%u", segments);
	}
	link->pair.server = lab_accept(lab, link->pair.listener);
	return result == 0 && link->pair.server >= 0;
}

/* The client's count of segments that came in since; it outlives the connection's end. */
static unsigned segments_in(const struct link *link)
{
	return lab_tcp_info(link->pair.client).tcpi_segs_in;
}

/* Waits until the server's ACK of the client's FIN is there (at once, or delayed). */
static bool wait_for_state(const struct link *link, unsigned state)
{
	uint64_t began = lab_now_ns();

	while (lab_tcp_info(link->pair.client).tcpi_state != state) {
		if (lab_ms_since(began) > 1000)
			return false;
		poll(NULL, 0, 1);
	}
	return true;
}

static void down(struct lab *lab, struct link *link, bool wait)
{
	unsigned client, server, segments = 0, before = segments_in(link), answers;
	uint64_t overflows = lab_counter("TcpExt", "TCPTimeWaitOverflow");
	char buffer[8];

	lab_shutdown(lab, link->pair.client, SHUT_WR);
	if (wait) {
		if (wait_for_state(link, LAB_TCP_FIN_WAIT2))
			lab_remark(lab,
				   LAB_TEXT("the server's ACK has arrived; it may go on sending",
					    "服务器的 ACK 到了；它还可以继续发数据"));
		states(lab, link, &client, &server);
		lab_truth(lab, lab_if(client == LAB_TCP_FIN_WAIT2 && server == LAB_TCP_CLOSE_WAIT),
			  LAB_TEXT("half-closed: FIN_WAIT2 and CLOSE_WAIT",
				   "半关闭：FIN_WAIT2 与 CLOSE_WAIT"),
			  "%s", lab_tcp_state_name(server));
	}
	lab_recv(lab, link->pair.server, buffer, sizeof(buffer), 0);
	lab_close(lab, link->pair.server);
	lab_recv(lab, link->pair.client, buffer, sizeof(buffer), 0);
	answers = segments_in(link) - before;
	lab_witness(lab, "TCP_INFO", "client: tcpi_segs_in +%u", answers);
	states(lab, link, &client, &server);
	if (link->capture >= 0)
		show_segments(lab, link, &segments);
	if (wait)
		lab_truth(lab, lab_if(answers == 2),
			  LAB_TEXT("ACK and FIN came apart: four steps",
				   "ACK 与 FIN 分开到达：四次挥手"),
			  "+%u", answers);
	else
		lab_truth(lab, answers == 1 ? LAB_HOLDS : LAB_VARIES,
			  LAB_TEXT("FIN carried the ACK: three steps", "FIN 捎带了 ACK：三次挥手"),
			  "+%u", answers);
	lab_truth(
		lab, lab_if_time_wait(client == LAB_TCP_TIME_WAIT && server == 0, overflows),
		LAB_TEXT("TIME_WAIT stays with whoever closed first", "TIME_WAIT 留在先关闭的一方"),
		"C=%s S=%s", lab_tcp_state_name(client), lab_tcp_state_name(server));
}

static void run(struct lab *lab)
{
	struct link slow = {0}, fast = {0};

	if (!up(lab, &slow)) {
		lab_trouble(lab, "connect");
		return;
	}
	lab_part(lab,
		 LAB_TEXT("Down in four: the server takes its time", "四次挥手：服务器不急着关闭"));
	down(lab, &slow, true);
	lab_part(lab,
		 LAB_TEXT("Down in three: the server closes at once", "三次挥手：服务器立刻关闭"));
	lab_quiet(lab, true);
	if (!lab_tcp_pair(lab, &fast.pair))
		return;
	lab_quiet(lab, false);
	fast.server_port = lab_port(fast.pair.listener);
	fast.client_port = lab_port(fast.pair.client);
	fast.capture = lab_capture_open(lab, fast.server_port);
	down(lab, &fast, false);
}

/* Serves a client and counts what stays behind at the server's port. */
static int remains(struct lab *lab, bool client_first)
{
	struct lab_pair pair;
	uint16_t port;
	char buffer[8];

	if (!lab_tcp_pair(lab, &pair))
		return -1;
	port = lab_port(pair.listener);
	if (client_first) {
		lab_close(lab, pair.client);
		lab_recv(lab, pair.server, buffer, sizeof(buffer), 0);
		lab_close(lab, pair.server);
	} else {
		lab_close(lab, pair.server);
		lab_recv(lab, pair.client, buffer, sizeof(buffer), 0);
		lab_close(lab, pair.client);
	}
	return lab_diag_count(port, LAB_TCP_TIME_WAIT);
}

static void cure(struct lab *lab)
{
	uint64_t overflows = lab_counter("TcpExt", "TCPTimeWaitOverflow");
	int server_first, client_first;

	lab_part(lab, LAB_TEXT("The server closes first", "服务器先关闭"));
	server_first = remains(lab, false);
	lab_witness(lab, "sock_diag", "S: TIME_WAIT x %d", server_first);
	lab_part(lab,
		 LAB_TEXT("The protocol lets the client close first", "协议约定由客户端先关闭"));
	client_first = remains(lab, lab_cure("client-first"));
	lab_witness(lab, "sock_diag", "S: TIME_WAIT x %d", client_first);
	lab_truth(lab, lab_if_time_wait(server_first == 1 && client_first == 0, overflows),
		  LAB_TEXT("then nothing stays behind at the server", "这样服务器上什么也不留下"),
		  "TIME_WAIT %d -> %d", server_first, client_first);
}

const struct lab_experiment lab_exp_handshake = {
	.name = "handshake",
	.title = {"three steps up, four (or three) down", "三次握手，四次（或三次）挥手"},
	.claim = {"accept performs the handshake; a connection always ends in four steps.",
		  "accept 完成三次握手；断开连接总是四次挥手。"},
	.question = {"A server has called listen, but never calls accept. A client calls connect. "
		     "What happens?",
		     "服务器调用了 listen，但从不 accept。客户端调用 connect，会怎样？"},
	.choices = {{"connect waits until the server accepts", "connect 一直等到服务器 accept"},
		    {"connect succeeds; both ends are ESTABLISHED",
		     "connect 成功，两端都是 ESTABLISHED"}},
	.why = {"The kernel does the handshake alone: SYN, SYN ACK, ACK. accept only takes a "
		"finished connection from the queue. That is why a client may connect, and even "
		"send, while the server is still busy elsewhere.\n"
		"Each direction ends on its own, with a FIN and an ACK: four segments. Linux "
		"delays the ACK of a FIN a little (up to 40 ms); if the server closes meanwhile, "
		"its FIN carries that ACK, and three do. Whoever sends the first FIN keeps "
		"TIME_WAIT for a minute: with thousands of short connections it matters who that "
		"is.",
		"握手由内核独自完成：SYN、SYN ACK、ACK；accept 只是从队列里取走一个已经建好的连接。"
		"所以服务器正忙着别的事时，客户端照样能连上，甚至已经可以发数据。\n"
		"两个方向各自结束，各要一个 FIN 和一个 ACK，合计四个报文段。Linux 会把对 FIN 的确认"
		"稍微推迟（最多 40 毫秒）；如果服务器在这期间也关闭了，它的 FIN 就把 ACK 捎上，于是"
		"只剩三个。谁先发 FIN，谁就要保留一分钟的 TIME_WAIT：短连接成千上万时，由谁先关闭就"
		"很要紧。"},
	.sources = {"RFC 9293, 3.5 and 3.6", "listen(2); accept(2)", "packet(7); sock_diag(7)"},
	.run = run,
	.cure_title = {"let the client close first", "让客户端先关闭"},
	.cure = cure,
};
