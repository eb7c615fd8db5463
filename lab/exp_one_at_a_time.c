/* one-at-a-time: the tutorial's accept loop serves one client; three ways to serve many. */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "lab/lab.h"
#include "lab/servers.h"

enum { CLIENTS_MAX = 1000, BACKLOG = 4096, SPARE_DESCRIPTORS = 64, STUCK_MS = 200, SLOW_MS = 3000 };

static const int crowds[] = {1, 100, CLIENTS_MAX};
enum { CROWDS = sizeof(crowds) / sizeof(crowds[0]) };

/* Starts a server in a process of its own; its port, or 0. */
static uint16_t start(struct lab *lab, enum lab_server kind, pid_t *ret_pid)
{
	int listener = lab_listener(lab, BACKLOG);
	uint16_t port = lab_port(listener);
	pid_t pid = port ? lab_fork(lab) : -1;

	if (pid == 0)
		lab_serve(kind, listener);
	lab_quiet(lab, true);
	lab_close(lab, listener);
	lab_quiet(lab, false);
	*ret_pid = pid;
	return pid > 0 ? port : 0;
}

static void two_clients(struct lab *lab)
{
	pid_t pid;
	uint16_t port;
	int first, second, connected;
	bool served_early;
	char buffer[16];
	uint64_t sent_ns;
	double waited_ms;
	ssize_t got = 0;

	lab_part(lab, LAB_TEXT("The tutorial's loop, two clients; the first says nothing",
			       "教程里的循环，两个客户端；第一个一言不发"));
	port = start(lab, LAB_LOOP, &pid);
	/* After the fork: a client that the server's process inherits would never be closed. */
	first = lab_socket(lab, LAB_CLIENT, SOCK_STREAM);
	second = lab_socket(lab, LAB_CLIENT, SOCK_STREAM);
	lab_remark(lab, LAB_TEXT("client 1:", "客户端 1："));
	lab_connect(lab, first, port);
	lab_remark(lab, LAB_TEXT("client 2:", "客户端 2："));
	connected = lab_connect(lab, second, port);
	lab_send(lab, second, "hello", 5, 0);
	sent_ns = lab_now_ns();
	served_early = lab_wait_readable(second, 1, STUCK_MS);
	waited_ms = lab_ms_since(sent_ns);
	lab_note(lab, LAB_TEXT("answers to client 2 so far:", "客户端 2 至今得到的回答数："), "%d",
		 served_early);
	lab_remark(lab, LAB_TEXT("client 1 leaves:", "客户端 1 离开："));
	lab_close(lab, first);
	if (lab_wait_readable(second, 1, 2000))
		got = lab_recv(lab, second, buffer, sizeof(buffer), 0);
	lab_reap(lab, pid, SIGKILL);
	lab_outcome(lab, connected < 0 ? 0 : served_early ? 2 : 1);
	lab_truth(lab, lab_if(connected == 0 && !served_early),
		  LAB_TEXT("client 2 is connected, and waits", "客户端 2 连上了，但只能等"),
		  "%.0f ms", waited_ms);
	lab_truth(lab, lab_if(got == 5),
		  LAB_TEXT("it is served when client 1 has gone", "客户端 1 走了才轮到它"),
		  "recv=%zd", got);
}

/* One client that comes and goes, so that the server's own start is not measured. */
static bool warm_up(struct lab *lab, uint16_t port)
{
	int client = lab_socket(lab, LAB_CLIENT, SOCK_STREAM);
	char byte;
	bool good = lab_connect(lab, client, port) == 0 && lab_send(lab, client, "x", 1, 0) == 1 &&
		    lab_recv(lab, client, &byte, 1, 0) == 1;

	lab_close(lab, client);
	return good;
}

/* Connects and says one byte. Returns how many clients did. */
static int send_in(struct lab *lab, struct pollfd *clients, int count, uint16_t port)
{
	for (int i = 0; i < count; i++) {
		clients[i] = (struct pollfd){.fd = lab_socket(lab, LAB_CLIENT, SOCK_STREAM),
					     .events = POLLIN};
		if (clients[i].fd < 0 || lab_connect(lab, clients[i].fd, port) < 0 ||
		    lab_send(lab, clients[i].fd, "x", 1, 0) != 1)
			return i;
	}
	return count;
}

/* Waits for the echoes until nothing comes for patience_ms. Returns how many were served. */
static int await_echoes(struct pollfd *clients, int count, int patience_ms)
{
	int served = 0;
	char byte;

	while (served < count && poll(clients, (nfds_t)count, patience_ms) > 0)
		for (int i = 0; i < count; i++) {
			if (!clients[i].revents)
				continue;
			served += recv(clients[i].fd, &byte, 1, 0) == 1;
			clients[i].fd = -1 - clients[i].fd; /* poll passes over it; undone below */
			clients[i].revents = 0;
		}
	return served;
}

/* So many clients come, stay, and want one echo each. Returns how many were served. */
static int crowd(struct lab *lab, enum lab_server kind, int count, int patience_ms, double *ret_ms)
{
	struct pollfd *clients = calloc((size_t)count, sizeof(*clients));
	int came = 0, served = 0;
	uint64_t began;
	pid_t pid = -1;
	uint16_t port;

	if (!clients)
		return 0;
	port = start(lab, kind, &pid);
	lab_quiet(lab, true);
	if (port && !warm_up(lab, port))
		port = 0;
	began = lab_now_ns();
	if (port)
		came = send_in(lab, clients, count, port);
	served = await_echoes(clients, came, patience_ms);
	*ret_ms = lab_ms_since(began);
	for (int i = 0; i < came; i++)
		lab_close(lab, clients[i].fd < 0 ? -1 - clients[i].fd : clients[i].fd);
	if (pid > 0)
		lab_reap(lab, pid, SIGKILL);
	lab_quiet(lab, false);
	free(clients);
	return served;
}

static void many_clients(struct lab *lab)
{
	double ms;
	int served;

	lab_part(lab, LAB_TEXT("The tutorial's loop, 100 clients that stay",
			       "教程里的循环，100 个不走的客户端"));
	served = crowd(lab, LAB_LOOP, 100, STUCK_MS, &ms);
	lab_witness(lab, "CLOCK_MONOTONIC", "100: served=%d", served);
	lab_truth(lab, lab_if(served == 1),
		  LAB_TEXT("the accept loop serves one", "accept 循环只服务了一个"), "%d/100",
		  served);
}

static void run(struct lab *lab)
{
	two_clients(lab);
	many_clients(lab);
}

/* Room for the clients of the largest crowd. */
static bool raise_descriptors(void)
{
	struct rlimit limit;
	rlim_t wanted = CLIENTS_MAX + SPARE_DESCRIPTORS;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return false;
	if (limit.rlim_cur >= wanted)
		return true;
	limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
	return limit.rlim_cur >= wanted && setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static void compare(struct lab *lab, enum lab_server kind, struct lab_text title,
		    struct lab_text statement)
{
	int served[CROWDS] = {0}, missing = 0;
	double ms[CROWDS] = {0};

	lab_part(lab, title);
	for (size_t i = 0; i < CROWDS; i++) {
		served[i] =
			crowd(lab, kind, crowds[i], kind == LAB_LOOP ? STUCK_MS : SLOW_MS, &ms[i]);
		lab_witness(lab, "CLOCK_MONOTONIC", "%4d: served=%-4d %8.2f ms, %.3f ms each",
			    crowds[i], served[i], ms[i], ms[i] / crowds[i]);
		missing += crowds[i] - served[i];
	}
	/* A limit of processes or threads (a container's, say) is no fault of the kernel. */
	lab_truth(lab,
		  missing == 0                                  ? LAB_HOLDS
		  : kind == LAB_EVENTS || served[1] < crowds[1] ? LAB_FAILS
								: LAB_VARIES,
		  statement, "%.0f/%.0f/%.0f ms", ms[0], ms[1], ms[2]);
}

static void cure(struct lab *lab)
{
	if (!raise_descriptors()) {
		lab_part(lab,
			 LAB_TEXT("Processes, threads, an event loop", "多进程、多线程、事件循环"));
		lab_truth(lab, LAB_SKIPPED,
			  LAB_TEXT("needs 1064 open files (ulimit -n)",
				   "需要能打开 1064 个文件（ulimit -n）"),
			  "%s", "RLIMIT_NOFILE");
		return;
	}
	compare(lab, LAB_PROCESSES,
		LAB_TEXT("A process for each client (1, 100, 1,000 clients)",
			 "每个客户端一个进程（1、100、1000 个客户端）"),
		LAB_TEXT("processes serve 1, 100 and 1,000", "多进程能服务 1、100、1000 个"));
	compare(lab, LAB_THREADS, LAB_TEXT("A thread for each client", "每个客户端一个线程"),
		LAB_TEXT("threads serve 1, 100 and 1,000", "多线程能服务 1、100、1000 个"));
	compare(lab, lab_cure("events") ? LAB_EVENTS : LAB_LOOP,
		LAB_TEXT("One thread and an event loop (epoll)", "单线程加事件循环（epoll）"),
		LAB_TEXT("one event loop serves 1, 100 and 1,000",
			 "一个事件循环能服务 1、100、1000 个"));
}

const struct lab_experiment lab_exp_one_at_a_time = {
	.name = "one-at-a-time",
	.title = {"the tutorial's accept loop serves one", "教程里的 accept 循环一次只服务一个"},
	.claim = {"listen(5) makes a server for five clients.",
		  "listen(5) 的服务器能同时服务五个客户端。"},
	.question = {"while True: accept; while True: recv, send. Client 1 is connected and says "
		     "nothing. Client 2 connects and sends. What does client 2 see?",
		     "while True: accept; while True: recv, send。客户端 1 连着但一言不发，客户端 "
		     "2 连接并发送。客户端 2 看到什么？"},
	.choices = {{"its connect is refused", "连接被拒绝"},
		    {"it connects, its send works, no answer comes",
		     "连上了，send 也成功，但没有回答"},
		    {"it is answered at once", "马上得到回答"}},
	.why = {"The kernel finishes the handshake and even buffers what client 2 sends; but the "
		"only thread of the server sleeps in recv for client 1. The backlog is a waiting "
		"room, not a second server.\n"
		"A process for each client isolates best and costs most; a thread costs less; an "
		"event loop asks the kernel which of many sockets has something to say (epoll) and "
		"never waits for a single one. Times here are of this run, with everything else "
		"that this machine was doing.",
		"内核会替服务器完成握手，甚至把客户端 2 发来的数据也先存好；可是服务器唯一的线程正"
		"睡在给客户端 1 的 recv 里。backlog 只是候诊室，不是第二个医生。\n"
		"每个客户端一个进程，隔离最好，代价最高；线程便宜一些；事件循环则向内核询问众多套接"
		"字里哪些有动静（epoll），从不只等其中一个。这里的时间是本次运行实测的，机器当时的"
		"其他负载也算在内。"},
	.sources = {"accept(2); fork(2); pthreads(7); epoll(7)", "listen(2), backlog"},
	.run = run,
	.cure_title = {"processes, threads, or an event loop", "多进程、多线程，或者事件循环"},
	.cure = cure,
};
