/* backlog: listen(5) lets six wait; the seventh is dropped, not refused. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lab/lab.h"
#include "lab/tcp_info.h"

enum { BACKLOG = 5, FIT = BACKLOG + 1, CROWD = FIT + 1, SHOWN = 2 };

/* The seventh knocks; then one is accepted, and the repeated SYN finds room. */
static void seventh(struct lab *lab, int listener, uint16_t port)
{
	uint64_t drops = lab_counter("TcpExt", "ListenOverflows"), began = lab_now_ns();
	int client = lab_socket(lab, LAB_CLIENT, SOCK_STREAM);
	unsigned state;
	bool quiet_wait, connected;

	lab_nonblocking(client, true);
	lab_connect(lab, client, port);
	quiet_wait = !lab_wait_writable(client, 200);
	state = lab_tcp_info(client).tcpi_state;
	lab_note(lab, LAB_TEXT("the seventh is", "第七个处于"), "%s, %.0f ms",
		 lab_tcp_state_name(state), lab_ms_since(began));
	lab_witness_counter(lab, "TcpExt", "ListenOverflows", drops);
	lab_truth(lab, lab_if(quiet_wait && state == LAB_TCP_SYN_SENT),
		  LAB_TEXT("the seventh's SYN is dropped, not refused",
			   "第七个的 SYN 被丢弃，而不是被拒绝"),
		  "%s", lab_tcp_state_name(state));
	lab_outcome(lab, state == LAB_TCP_SYN_SENT ? 2 : state == LAB_TCP_ESTABLISHED ? 1 : 0);
	lab_accept(lab, listener);
	connected = lab_wait_writable(client, 4000) &&
		    lab_tcp_info(client).tcpi_state == LAB_TCP_ESTABLISHED;
	lab_note(lab, LAB_TEXT("the seventh is now", "第七个现在是"), "%s",
		 lab_tcp_state_name(lab_tcp_info(client).tcpi_state));
	lab_truth(lab, connected && lab_ms_since(began) > 900 ? LAB_HOLDS : LAB_VARIES,
		  LAB_TEXT("it gets in with its next SYN, a second later",
			   "要等约一秒后重发的 SYN 才进得去"),
		  "%.0f ms", lab_ms_since(began));
}

static void crowd(struct lab *lab)
{
	int listener = lab_listener(lab, 1), connected = 0;
	uint16_t port = lab_port(listener);

	lab_part(lab, LAB_TEXT("listen(5), no accept, and seven clients",
			       "listen(5)，不 accept，来了七个客户端"));
	lab_listen(lab, listener, BACKLOG);
	for (int i = 0; i < FIT; i++) {
		int client = lab_socket(lab, LAB_CLIENT, SOCK_STREAM);

		connected += lab_connect(lab, client, port) == 0;
	}
	lab_witness_row(lab, "listener", port, 0);
	lab_truth(lab, connected == FIT ? LAB_HOLDS : LAB_VARIES,
		  LAB_TEXT("listen(5) lets six connect and wait", "listen(5) 可以让六个连接排队"),
		  "connected=%d", connected);
	seventh(lab, listener, port);
}

static void refused(struct lab *lab)
{
	int bound = lab_socket(lab, LAB_SERVER, SOCK_STREAM);
	int client = lab_socket(lab, LAB_CLIENT, SOCK_STREAM);
	int result, error;

	lab_part(lab, LAB_TEXT("What a refusal looks like: a port where nobody listens",
			       "真正的拒绝：端口上没有人监听"));
	lab_bind(lab, bound, 0);
	result = lab_connect(lab, client, lab_port(bound));
	error = errno;
	lab_truth(lab, lab_if(result < 0 && error == ECONNREFUSED),
		  LAB_TEXT("no listener: refused at once", "没有监听者：立刻被拒绝"), "%s",
		  result < 0 ? lab_error_name(error) : "0");
}

static void two_queues(struct lab *lab)
{
	int listener = lab_listener(lab, BACKLOG),
	    client = lab_socket(lab, LAB_CLIENT, SOCK_STREAM);
	uint16_t port = lab_port(listener);
	struct lab_row before, after;
	int half_open;

	lab_part(lab, LAB_TEXT("Two queues: TCP_DEFER_ACCEPT holds a client in the first",
			       "两个队列：用 TCP_DEFER_ACCEPT 让客户端停在第一个"));
	LAB_OPTION(lab, listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, 5);
	lab_connect(lab, client, port);
	half_open = lab_diag_count(port, LAB_TCP_SYN_RECV);
	lab_witness(lab, "sock_diag", "SYN_RECV: %d", half_open);
	before = lab_witness_row(lab, "listener", port, 0);
	lab_send(lab, client, "x", 1, 0);
	lab_wait_readable(listener, 1, 2000);
	after = lab_witness_row(lab, "listener", port, 0);
	lab_truth(
		lab, half_open == 1 && after.recv_queue == 1 ? LAB_HOLDS : LAB_VARIES,
		LAB_TEXT("the SYN queue is not the accept queue", "SYN 队列与 accept 队列是两回事"),
		"SYN_RECV=%d Recv-Q=%u -> %u", half_open, before.recv_queue, after.recv_queue);
}

/* Twice as many half-open clients as fit: for the rest the kernel keeps no state. */
static void half_open_bound(struct lab *lab)
{
	int listener = lab_listener(lab, BACKLOG), half_open;
	uint16_t port = lab_port(listener);

	lab_part(lab, LAB_TEXT("How many may be half-open? Twelve clients that say nothing",
			       "半连接最多几个？来十二个一言不发的客户端"));
	LAB_OPTION(lab, listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, 5);
	for (int i = 0; i < 2 * FIT; i++) {
		int client = lab_socket(lab, LAB_CLIENT, SOCK_STREAM);

		lab_quiet(lab, i >= SHOWN);
		lab_nonblocking(client, true);
		lab_connect(lab, client, port);
	}
	lab_quiet(lab, false);
	half_open = lab_diag_count(port, LAB_TCP_SYN_RECV);
	lab_witness(lab, "sock_diag", "SYN_RECV: %d", half_open);
	lab_witness_setting(lab, "net/ipv4/tcp_syncookies");
	lab_witness_setting(lab, "net/ipv4/tcp_max_syn_backlog");
	lab_truth(
		lab, half_open == FIT ? LAB_HOLDS : LAB_VARIES,
		LAB_TEXT("the backlog bounds the SYN queue as well", "SYN 队列的上限也是 backlog"),
		"SYN_RECV=%d", half_open);
}

static void cap(struct lab *lab)
{
	int listener = lab_listener(lab, 1), result;
	uint16_t port = lab_port(listener);
	struct lab_row row;
	long limit;

	lab_part(lab, LAB_TEXT("listen(1000000)", "listen(1000000)"));
	result = lab_listen(lab, listener, 1000000);
	row = lab_witness_row(lab, "listener", port, 0);
	limit = lab_witness_setting(lab, "net/core/somaxconn");
	lab_truth(
		lab, lab_if(result == 0 && row.send_queue == (uint32_t)limit),
		LAB_TEXT("somaxconn caps the backlog without a word", "somaxconn 会不声不响地封顶"),
		"Send-Q=%u", row.send_queue);
	lab_truth(lab, lab_if(access("/proc/sys/net/ipv4/tcp_backlog", F_OK) < 0),
		  LAB_TEXT("there is no sysctl tcp_backlog", "根本没有 tcp_backlog 这个内核参数"),
		  "tcp_max_syn_backlog=%ld", lab_setting("net/ipv4/tcp_max_syn_backlog"));
}

static void run(struct lab *lab)
{
	crowd(lab);
	refused(lab);
	two_queues(lab);
	half_open_bound(lab);
	cap(lab);
}

static void cure(struct lab *lab)
{
	int listener = lab_listener(lab, 1), connected = 0;
	uint16_t port = lab_port(listener);
	uint64_t began;

	lab_part(lab, LAB_TEXT("listen(SOMAXCONN), the same seven",
			       "listen(SOMAXCONN)，同样七个客户端"));
	lab_listen(lab, listener, lab_cure("backlog") ? SOMAXCONN : BACKLOG);
	began = lab_now_ns();
	for (int i = 0; i < CROWD; i++) {
		int client = lab_socket(lab, LAB_CLIENT, SOCK_STREAM);

		lab_nonblocking(client, true);
		lab_connect(lab, client, port);
		connected += lab_wait_writable(client, 300) &&
			     lab_tcp_info(client).tcpi_state == LAB_TCP_ESTABLISHED;
	}
	lab_witness_row(lab, "listener", port, 0);
	lab_truth(lab, lab_if(connected == CROWD),
		  LAB_TEXT("all seven connect at once", "七个立刻全部连上"), "connected=%d %.2f ms",
		  connected, lab_ms_since(began));
}

const struct lab_experiment lab_exp_backlog = {
	.name = "backlog",
	.title = {"listen(5): six wait, the seventh knocks in vain",
		  "listen(5)：六个排队，第七个敲不开门"},
	.claim = {"listen(5) allows five connections; the sixth client gets an error. The limit "
		  "can be raised with the sysctl tcp_backlog.",
		  "listen(5) 最多允许五个连接，第六个客户端会报错；可以改内核参数 tcp_backlog 调"
		  "大。"},
	.question = {"A server has called listen(5) and never accepts. Seven clients connect, one "
		     "after another. What becomes of the seventh?",
		     "服务器 listen(5) 之后一直不 accept。七个客户端先后连接，第七个会怎样？"},
	.choices = {{"ECONNREFUSED, at once", "立刻得到 ECONNREFUSED"},
		    {"it connects, like the others", "和其他客户端一样连上"},
		    {"it waits: its SYN is dropped and sent again",
		     "一直等：它的 SYN 被丢弃，然后重发"}},
	.why = {"The backlog bounds the accept queue: connections whose handshake is done and that "
		"nobody has accepted. Linux lets in while the queue is not longer than the "
		"backlog, so 5 means 6. When it is full, a new SYN is dropped silently; the client "
		"cannot tell this from a lost packet, and sends it again a second later, and a few "
		"times more (tcp_syn_retries). That kindness is on purpose: a moment later there "
		"may be room.\n"
		"Half-open connections (SYN_RECV) are counted apart, but the same backlog bounds "
		"them: beyond it Linux answers with SYN cookies and remembers nothing. The famous "
		"tcp_max_syn_backlog counts only where tcp_syncookies is 0. For a listener "
		"sock_diag and ss show the accept queue as Recv-Q, its bound as Send-Q.",
		"backlog 限制的是 accept 队列：握手已经完成、还没有人 accept 的连接。Linux 的判断是"
		"“队列长度不超过 backlog 就放行”，所以写 5 能排 6 个。队列满了，新的 SYN 会被悄悄丢"
		"掉；客户端分不清这是丢包还是排队，于是一秒后重发，之后还会再试几次"
		"（tcp_syn_retries）。这样宽容是有意的：过一会儿也许就有空位了。\n"
		"半连接（SYN_RECV）另外计数，上限却是同一个 backlog：超出之后，Linux 改用 SYN "
		"cookie 应答，不再保存任何状态。大名鼎鼎的 tcp_max_syn_backlog 只在 tcp_syncookies "
		"为 0 时才起作用。对监听套接字，sock_diag 和 ss 的 Recv-Q 是 accept 队列的长度，"
		"Send-Q 是它的上限。"},
	.sources = {"listen(2), NOTES; tcp(7), TCP_DEFER_ACCEPT",
		    "Linux Documentation/networking/ip-sysctl.rst, somaxconn, tcp_syncookies",
		    "Linux net/ipv4/tcp_input.c, tcp_conn_request"},
	.run = run,
	.cure_title = {"a backlog for the burst, and accept at once",
		       "按突发量设 backlog，并及时 accept"},
	.cure = cure,
};
