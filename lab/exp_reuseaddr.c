/* reuseaddr: the port that is in use by nobody. */
#include <errno.h>
#include <sys/socket.h>

#include "lab/lab.h"

enum { CLIENTS = 64, LISTENERS = 2 };

/* Serves one client on that port (0: any), is the first to close, and ends. Returns the port. */
static uint16_t serve_once(struct lab *lab, bool reuse)
{
	int listener = lab_socket(lab, LAB_SERVER, SOCK_STREAM);
	int client = lab_socket(lab, LAB_CLIENT, SOCK_STREAM), server;
	char buffer[8];
	uint16_t port;

	if (reuse)
		LAB_OPTION(lab, listener, SOL_SOCKET, SO_REUSEADDR, 1);
	if (lab_bind(lab, listener, 0) < 0 || lab_listen(lab, listener, 5) < 0)
		return 0;
	port = lab_port(listener);
	if (lab_connect(lab, client, port) < 0)
		return 0;
	server = lab_accept(lab, listener);
	lab_close(lab, server);
	lab_recv(lab, client, buffer, sizeof(buffer), 0);
	lab_witness_row(lab, "server", port, lab_port(client));
	lab_close(lab, client);
	lab_close(lab, listener);
	return port;
}

/* Starts the server again on its old port; returns 0 or the errno of bind. */
static int start_again(struct lab *lab, uint16_t port, bool reuse)
{
	int listener = lab_socket(lab, LAB_SERVER, SOCK_STREAM), error = 0;

	if (reuse)
		LAB_OPTION(lab, listener, SOL_SOCKET, SO_REUSEADDR, 1);
	if (lab_bind(lab, listener, port) < 0)
		error = errno;
	else if (lab_listen(lab, listener, 5) < 0)
		error = errno;
	lab_close(lab, listener);
	return error;
}

static const char *error_text(int error)
{
	return error ? lab_error_name(error) : "bind=0";
}

static void plain_restart(struct lab *lab)
{
	uint64_t overflows = lab_counter("TcpExt", "TCPTimeWaitOverflow");
	struct lab_row row;
	uint16_t port;
	int error;

	lab_part(lab, LAB_TEXT("A server that closes first, ends, and starts again",
			       "服务器先关闭连接、退出，然后重新启动"));
	port = serve_once(lab, false);
	row = lab_witness_row(lab, "server", port, 0);
	error = start_again(lab, port, false);
	lab_outcome(lab, error == 0 ? 0 : error == EADDRINUSE ? 1 : -1);
	lab_truth(lab, lab_if_time_wait(row.state == LAB_TCP_TIME_WAIT, overflows),
		  LAB_TEXT("whoever closes first is left with TIME_WAIT",
			   "先关闭的一方留下 TIME_WAIT"),
		  "%s", lab_tcp_state_name(row.state));
	lab_truth(lab, row.timer_ms > 55000 && row.timer_ms <= 61000 ? LAB_HOLDS : LAB_VARIES,
		  LAB_TEXT("TIME_WAIT lasts a minute", "TIME_WAIT 持续一分钟"), "%.1f s",
		  row.timer_ms / 1e3);
	lab_truth(lab, lab_if_time_wait(error == EADDRINUSE, overflows),
		  LAB_TEXT("a plain bind is refused meanwhile", "这段时间里普通的 bind 会失败"),
		  "%s", error_text(error));
	error = start_again(lab, port, true);
	lab_truth(lab, error == EADDRINUSE ? LAB_HOLDS : LAB_VARIES,
		  LAB_TEXT("SO_REUSEADDR only at the second start is too late",
			   "第二次启动才设 SO_REUSEADDR 已经晚了"),
		  "%s", error_text(error));
}

static void live_port(struct lab *lab)
{
	int first = lab_socket(lab, LAB_SERVER, SOCK_STREAM), error;

	lab_part(lab, LAB_TEXT("SO_REUSEADDR on a port where somebody listens",
			       "端口上有人正在监听时的 SO_REUSEADDR"));
	LAB_OPTION(lab, first, SOL_SOCKET, SO_REUSEADDR, 1);
	lab_bind(lab, first, 0);
	lab_listen(lab, first, 5);
	error = start_again(lab, lab_port(first), true);
	lab_truth(lab, lab_if(error == EADDRINUSE),
		  LAB_TEXT("SO_REUSEADDR does not share a live port",
			   "SO_REUSEADDR 不能共用活着的端口"),
		  "%s", error_text(error));
}

/* Lets many clients in and counts who got them. */
static void spread(struct lab *lab, const int listeners[LISTENERS], unsigned counts[LISTENERS])
{
	lab_quiet(lab, true);
	for (int i = 0; i < CLIENTS; i++) {
		int client = lab_socket(lab, LAB_CLIENT, SOCK_STREAM);

		lab_connect(lab, client, lab_port(listeners[0]));
	}
	for (int i = 0; i < LISTENERS; i++) {
		counts[i] = 0;
		lab_nonblocking(listeners[i], true);
		while (lab_accept(lab, listeners[i]) >= 0)
			counts[i]++;
	}
	lab_quiet(lab, false);
}

static void shared_port(struct lab *lab)
{
	int listeners[LISTENERS], results[LISTENERS];
	unsigned counts[LISTENERS];
	uint16_t port = 0;

	lab_part(lab, LAB_TEXT("SO_REUSEPORT: two listeners, one port, 64 clients",
			       "SO_REUSEPORT：两个监听者，一个端口，64 个客户端"));
	for (int i = 0; i < LISTENERS; i++) {
		listeners[i] = lab_socket(lab, LAB_SERVER, SOCK_STREAM);
		LAB_OPTION(lab, listeners[i], SOL_SOCKET, SO_REUSEPORT, 1);
		results[i] = lab_bind(lab, listeners[i], port);
		lab_listen(lab, listeners[i], CLIENTS);
		port = lab_port(listeners[0]);
	}
	spread(lab, listeners, counts);
	lab_note(lab, LAB_TEXT("clients of each listener:", "两个监听者分到的客户端："), "%u + %u",
		 counts[0], counts[1]);
	lab_truth(lab,
		  lab_if(results[1] == 0 && counts[0] && counts[1] &&
			 counts[0] + counts[1] == CLIENTS),
		  LAB_TEXT("SO_REUSEPORT shares it and spreads the clients",
			   "SO_REUSEPORT 能共用端口，并分摊客户端"),
		  "%u+%u", counts[0], counts[1]);
}

static void run(struct lab *lab)
{
	plain_restart(lab);
	live_port(lab);
	shared_port(lab);
}

static void cure(struct lab *lab)
{
	bool reuse = lab_cure("reuseaddr");
	uint16_t port;
	int error;

	lab_part(lab, LAB_TEXT("The same restart, SO_REUSEADDR from the first start on",
			       "同样的重启，但从第一次启动就设 SO_REUSEADDR"));
	port = serve_once(lab, reuse);
	error = start_again(lab, port, reuse);
	lab_truth(lab, lab_if(port && error == 0),
		  LAB_TEXT("the server starts again at once", "服务器立刻就能重新启动"), "%s",
		  error_text(error));
}

const struct lab_experiment lab_exp_reuseaddr = {
	.name = "reuseaddr",
	.title = {"a port in use by nobody: TIME_WAIT and SO_REUSEADDR",
		  "没人用却被占用的端口：TIME_WAIT"},
	.claim = {"\"Address already in use\" means that the old server is still running; "
		  "SO_REUSEADDR lets two servers share a port.",
		  "“Address already in use” 说明旧的服务器进程还没退出；SO_REUSEADDR 可以让两个服务"
		  "器共用一个端口。"},
	.question =
		{"A server serves one client, closes the connection first, and exits. It is "
		 "started again at once, on the same port, with plain bind. What does bind say?",
		 "服务器服务了一个客户端，自己先关闭连接，然后退出；马上用普通的 bind 在同一端口重"
		 "新启动。bind 的结果是什么？"},
	.choices = {{"0: the old server is gone", "0：旧的服务器已经没了"},
		    {"EADDRINUSE, for about a minute", "EADDRINUSE，大约持续一分钟"}},
	.why = {"The side that closes first keeps the connection in TIME_WAIT for a minute, so "
		"that late segments of the old connection cannot be taken for those of a new one, "
		"and so that a lost last ACK can be sent again. The port is not held by a process "
		"but by that memory.\n"
		"SO_REUSEADDR says: bind although there are such remains. Linux wants it on both "
		"sockets, the old one too, and never while somebody listens. Sharing a live port "
		"is another wish, SO_REUSEPORT: every socket of the group sets it, all of one "
		"user, and the kernel spreads the connections by a hash.",
		"先关闭的一方会把连接以 TIME_WAIT 状态再保留一分钟：这样，旧连接迟到的报文段不会被"
		"当成新连接的，最后那个 ACK 丢了也能补发。占着端口的不是进程，而是这份“记忆”。\n"
		"SO_REUSEADDR 的意思是：有这种残留也照样 bind。Linux 要求新旧两个套接字都设了它，而"
		"且端口上没有人在监听。共用活着的端口是另一回事，要用 SO_REUSEPORT：组里的每个套接"
		"字都要设，而且属于同一用户，内核按哈希把连接分摊给它们。"},
	.sources = {"socket(7), SO_REUSEADDR and SO_REUSEPORT",
		    "RFC 9293, 3.3.2 and 3.6 (TIME-WAIT)",
		    "Linux net/ipv4/inet_connection_sock.c, inet_csk_bind_conflict"},
	.run = run,
	.cure_title = {"SO_REUSEADDR on every listener, always", "每个监听套接字都设 SO_REUSEADDR"},
	.cure = cure,
};
