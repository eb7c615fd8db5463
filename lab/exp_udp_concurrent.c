/* udp-concurrent: one loop serves one datagram at a time; workers on one socket, and a group. */
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include "lab/lab.h"

enum { REQUESTS = 4, WORKERS_MAX = 4, WORK_MS = 50, GROUP = 4, SENDERS = 64 };

static const char quit[] = "quit";

struct worker {
	pthread_t thread;
	int fd;
	int handled;
};

/* Answers each request after its work of 50 ms, until it is told to quit. */
static void *work(void *argument)
{
	struct worker *worker = argument;
	struct sockaddr_in from;
	char request[16];

	for (;;) {
		socklen_t length = sizeof(from);
		ssize_t got = recvfrom(worker->fd, request, sizeof(request), 0,
				       (struct sockaddr *)&from, &length);

		if (got < 0 || (got == sizeof(quit) && memcmp(request, quit, sizeof(quit)) == 0))
			return NULL;
		poll(NULL, 0, WORK_MS);
		worker->handled++;
		sendto(worker->fd, request, (size_t)got, 0, (struct sockaddr *)&from, length);
	}
}

static int start_workers(struct worker *workers, int count, int fd)
{
	for (int i = 0; i < count; i++) {
		workers[i] = (struct worker){.fd = fd};
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
			return i;
	}
	return count;
}

/* Each worker takes exactly one of these and ends. */
static void stop_workers(struct lab *lab, struct worker *workers, int count, int sender,
			 uint16_t port)
{
	lab_quiet(lab, true);
	for (int i = 0; i < count; i++)
		lab_sendto(lab, sender, quit, sizeof(quit), port);
	for (int i = 0; i < count; i++)
		pthread_join(workers[i].thread, NULL);
	lab_quiet(lab, false);
}

/* Four requests at once to so many workers on one socket. Returns when the last reply came. */
static double requests_ms(struct lab *lab, int worker_count, int *ret_replies, int *ret_handled)
{
	struct worker workers[WORKERS_MAX];
	struct lab_udp udp;
	char reply[16];
	uint64_t began;
	double ms;
	int replies = 0;

	*ret_replies = *ret_handled = 0;
	if (!lab_udp_pair(lab, &udp))
		return 0;
	worker_count = start_workers(workers, worker_count, udp.receiver);
	lab_restart_clock(lab);
	began = lab_now_ns();
	for (int i = 0; i < REQUESTS; i++)
		lab_sendto(lab, udp.sender, "work", 4, udp.port);
	while (replies < REQUESTS && lab_wait_readable(udp.sender, 1, 2000) &&
	       lab_recvfrom(lab, udp.sender, reply, sizeof(reply), 0, NULL) > 0)
		replies++;
	ms = lab_ms_since(began);
	stop_workers(lab, workers, worker_count, udp.sender, udp.port);
	for (int i = 0; i < worker_count; i++)
		*ret_handled += workers[i].handled;
	*ret_replies = replies;
	return ms;
}

static void one_loop(struct lab *lab)
{
	int replies, handled;
	double ms;

	lab_part(lab, LAB_TEXT("One loop, 50 ms of work each, four requests at once",
			       "一个循环，每个请求要做 50 毫秒，同时来四个请求"));
	ms = requests_ms(lab, 1, &replies, &handled);
	lab_outcome(lab, ms > 3 * WORK_MS ? 1 : 0);
	lab_truth(lab, lab_if(replies == REQUESTS && ms >= REQUESTS * WORK_MS - 10),
		  LAB_TEXT("one loop answers them one after another", "一个循环只能逐个回答"),
		  "%.0f ms", ms);
}

static bool open_group(struct lab *lab, int group[GROUP])
{
	uint16_t port = 0;

	for (int i = 0; i < GROUP; i++) {
		group[i] = lab_socket(lab, LAB_SERVER, SOCK_DGRAM);
		LAB_OPTION(lab, group[i], SOL_SOCKET, SO_REUSEPORT, 1);
		if (lab_bind(lab, group[i], port) < 0)
			return lab_trouble(lab, "bind");
		lab_nonblocking(group[i], true);
		port = lab_port(group[0]);
	}
	return true;
}

static void count_group(struct lab *lab, const int group[GROUP], int counts[GROUP])
{
	char buffer[16];

	for (int i = 0; i < GROUP; i++) {
		counts[i] = 0;
		while (lab_recvfrom(lab, group[i], buffer, sizeof(buffer), 0, NULL) >= 0)
			counts[i]++;
	}
}

static void reuse_port(struct lab *lab)
{
	int group[GROUP], spread[GROUP], same[GROUP], busy = 0, one = 0;
	int loyal = lab_socket(lab, LAB_CLIENT, SOCK_DGRAM);

	lab_part(lab, LAB_TEXT("SO_REUSEPORT: four sockets, one port",
			       "SO_REUSEPORT：四个套接字，一个端口"));
	if (!open_group(lab, group))
		return;
	lab_quiet(lab, true);
	for (int i = 0; i < SENDERS; i++)
		lab_sendto(lab, lab_socket(lab, LAB_CLIENT, SOCK_DGRAM), "x", 1,
			   lab_port(group[0]));
	count_group(lab, group, spread);
	for (int i = 0; i < SENDERS; i++)
		lab_sendto(lab, loyal, "x", 1, lab_port(group[0]));
	count_group(lab, group, same);
	lab_quiet(lab, false);
	lab_note(lab, LAB_TEXT("64 senders, one datagram each:", "64 个发送方，各发一个："),
		 "%d %d %d %d", spread[0], spread[1], spread[2], spread[3]);
	lab_note(lab, LAB_TEXT("one sender, 64 datagrams:", "一个发送方，发 64 个："),
		 "%d %d %d %d", same[0], same[1], same[2], same[3]);
	for (int i = 0; i < GROUP; i++) {
		busy += spread[i] > 0;
		one += same[i] == SENDERS;
	}
	lab_truth(lab,
		  lab_if(busy >= 2 && spread[0] + spread[1] + spread[2] + spread[3] == SENDERS),
		  LAB_TEXT("SO_REUSEPORT spreads the senders", "SO_REUSEPORT 把发送方分摊开"),
		  "%d+%d+%d+%d", spread[0], spread[1], spread[2], spread[3]);
	lab_truth(lab, lab_if(one == 1),
		  LAB_TEXT("one sender always reaches the same socket",
			   "同一个发送方总是落到同一个套接字"),
		  "%d+%d+%d+%d", same[0], same[1], same[2], same[3]);
}

static void run(struct lab *lab)
{
	one_loop(lab);
	reuse_port(lab);
}

static void cure(struct lab *lab)
{
	int replies, handled;
	double ms;

	lab_part(lab, LAB_TEXT("Four workers in recvfrom on the same socket",
			       "四个线程在同一个套接字上 recvfrom"));
	ms = requests_ms(lab, lab_cure("workers") ? WORKERS_MAX : 1, &replies, &handled);
	lab_truth(lab, lab_if(replies == REQUESTS && ms < 3 * WORK_MS),
		  LAB_TEXT("four workers answer them at the same time", "四个线程同时处理"),
		  "%.0f ms", ms);
	lab_truth(
		lab, lab_if(handled == REQUESTS),
		LAB_TEXT("each datagram went to exactly one worker", "每个数据报恰好交给一个线程"),
		"%d/%d", handled, REQUESTS);
}

const struct lab_experiment lab_exp_udp_concurrent = {
	.name = "udp-concurrent",
	.title = {"UDP is not concurrent by itself", "UDP 本身并不并发"},
	.claim = {"A UDP server has no accept and no connections, so it serves many clients at the "
		  "same time by nature.",
		  "UDP 服务器没有 accept，也没有连接，所以天生就能并发。"},
	.question = {"One loop: recvfrom, 50 ms of work, sendto. Four requests arrive at the same "
		     "time. When does the last get its reply?",
		     "一个循环：recvfrom，处理 50 毫秒，sendto。四个请求同时到达，最后一个什么时候"
		     "得到回复？"},
	.choices = {{"after 50 ms", "50 毫秒后"}, {"after 200 ms", "200 毫秒后"}},
	.why = {"Without connections nobody blocks the loop for ever, and short requests from many "
		"clients look as if they were served together. But the loop does one thing at a "
		"time, and what arrives meanwhile waits in the buffer (or is lost, see "
		"udp-loss).\n"
		"Many threads may wait on one socket: the kernel hands each datagram to exactly "
		"one. With SO_REUSEPORT each worker has a socket and a buffer of its own, and a "
		"hash of the addresses picks one, so a sender stays with its worker.",
		"没有连接，就没有谁会永远占住循环；许多客户端的短请求看起来像是同时被处理的。但循环"
		"一次只做一件事，其间到达的数据报只能在缓冲区里等着（或者丢掉，见 udp-loss）。\n"
		"多个线程可以等在同一个套接字上，内核把每个数据报恰好交给其中一个。用 SO_REUSEPORT "
		"则每个线程各有自己的套接字和缓冲区，内核按地址的哈希选一个，所以同一个发送方总是跟"
		"着同一个线程。"},
	.sources = {"recv(2); udp(7); pthreads(7)", "socket(7), SO_REUSEPORT"},
	.run = run,
	.cure_title = {"several workers, on one socket or in a group",
		       "多个线程：共用一个套接字，或组成一组"},
	.cure = cure,
};
