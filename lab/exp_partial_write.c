/* partial-write: send takes less than asked, and says so. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "lab/lab.h"

/* The send buffer is set so that a generously tuned machine shows the same. */
enum { MESSAGE_BYTES = 16 * 1024 * 1024, SEND_BUFFER = 256 * 1024, WAIT_MS = 50 };

/* A message in which a lost or doubled byte would show. */
static unsigned char *message_new(void)
{
	unsigned char *message = malloc(MESSAGE_BYTES);

	for (size_t i = 0; message && i < MESSAGE_BYTES; i++)
		message[i] = (unsigned char)(i * 2654435761u >> 24);
	return message;
}

struct reader {
	int fd;
	const unsigned char *expected;
	size_t received;
	bool intact;
};

/* Reads to the end of the stream. */
static void *read_all(void *argument)
{
	struct reader *reader = argument;
	unsigned char piece[65536];
	ssize_t got;

	reader->intact = true;
	while ((got = recv(reader->fd, piece, sizeof(piece), 0)) > 0) {
		if (memcmp(piece, reader->expected + reader->received, (size_t)got) != 0)
			reader->intact = false;
		reader->received += (size_t)got;
	}
	return NULL;
}

/* Where the bytes are: a byte whose ACK is still on its way counts at both ends, so look again. */
static uint64_t queued_bytes(struct lab *lab, const struct lab_pair *pair, uint64_t expected)
{
	uint16_t client = lab_port(pair->client), server = lab_port(pair->server);
	uint64_t began = lab_now_ns();
	struct lab_row sender, receiver;

	do {
		lab_quiet(lab, true);
		sender = lab_witness_row(lab, "client", client, server);
		receiver = lab_witness_row(lab, "server", server, client);
		lab_quiet(lab, false);
	} while ((uint64_t)sender.send_queue + receiver.recv_queue != expected &&
		 lab_ms_since(began) < 1000);
	lab_witness(lab, "sock_diag", "client: Send-Q %u", sender.send_queue);
	lab_witness(lab, "sock_diag", "server: Recv-Q %u", receiver.recv_queue);
	return (uint64_t)sender.send_queue + receiver.recv_queue;
}

/* Offers the message until the kernel takes no more; returns how much it took in all. *ret_first is
 * what the first send took, *ret_error what the last one said. */
static size_t offer_until_full(struct lab *lab, int fd, const unsigned char *message,
			       ssize_t *ret_first, int *ret_error)
{
	ssize_t taken = lab_send(lab, fd, message, MESSAGE_BYTES, 0);
	size_t total = 0;

	*ret_first = taken;
	while (taken > 0 && total + (size_t)taken < MESSAGE_BYTES) {
		total += (size_t)taken;
		taken = lab_send(lab, fd, message + total, MESSAGE_BYTES - total, 0);
	}
	*ret_error = taken < 0 ? errno : 0;
	return taken < 0 ? total : total + (size_t)taken;
}

static void send_without_waiting(struct lab *lab, const unsigned char *message)
{
	struct reader reader = {.expected = message};
	struct lab_pair pair;
	uint64_t queued;
	ssize_t first;
	size_t taken;
	int error;

	lab_part(lab, LAB_TEXT("A non-blocking send of 16 MiB; nobody reads yet",
			       "非阻塞地 send 16 MiB，对方还没读"));
	if (!lab_tcp_pair(lab, &pair))
		return;
	LAB_OPTION(lab, pair.client, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER);
	lab_nonblocking(pair.client, true);
	taken = offer_until_full(lab, pair.client, message, &first, &error);
	lab_outcome(lab, first == MESSAGE_BYTES ? 0 : first > 0 ? 1 : 2);
	lab_truth(lab, lab_if(first > 0 && first < MESSAGE_BYTES),
		  LAB_TEXT("send takes what fits and returns how much",
			   "send 只收下装得进去的部分，并如实返回"),
		  "%zd/%d", first, MESSAGE_BYTES);
	lab_truth(lab, lab_if(error == EAGAIN),
		  LAB_TEXT("full is EAGAIN, not a loss", "缓冲区满了报 EAGAIN，不是丢数据"), "%s",
		  lab_error_name(error));
	queued = queued_bytes(lab, &pair, taken);
	lab_truth(lab, lab_if(queued == taken),
		  LAB_TEXT("what it took stands in the two queues", "收下的字节都在两端的队列里"),
		  "%llu", (unsigned long long)queued);
	lab_close(lab, pair.client);
	reader.fd = pair.server;
	read_all(&reader);
	lab_note(lab, LAB_TEXT("the server reads to the end:", "服务器一直读到结束："), "%zu B",
		 reader.received);
	lab_truth(lab, lab_if(reader.intact && reader.received == taken),
		  LAB_TEXT("all of that arrives; the ignored rest never left",
			   "这些全部到达；被忽略的其余部分从未发出"),
		  "%zu B", reader.received);
}

static void send_with_deadline(struct lab *lab, const unsigned char *message)
{
	struct timeval limit = {.tv_usec = WAIT_MS * 1000};
	struct lab_pair pair;
	ssize_t taken;

	lab_part(lab, LAB_TEXT("A blocking send that is interrupted (here by SO_SNDTIMEO)",
			       "阻塞的 send 被打断（这里用 SO_SNDTIMEO）"));
	if (!lab_tcp_pair(lab, &pair))
		return;
	LAB_OPTION(lab, pair.client, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER);
	setsockopt(pair.client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	taken = lab_send(lab, pair.client, message, MESSAGE_BYTES, 0);
	lab_truth(
		lab, lab_if(taken > 0 && taken < MESSAGE_BYTES),
		LAB_TEXT("a blocking send can be short as well", "阻塞的 send 同样可能只发一部分"),
		"%zd/%d", taken, MESSAGE_BYTES);
}

static void run(struct lab *lab)
{
	unsigned char *message = message_new();

	if (!message) {
		lab_trouble(lab, "malloc");
		return;
	}
	send_without_waiting(lab, message);
	send_with_deadline(lab, message);
	free(message);
}

/* Offers the rest again whenever there is room, until all of it is taken. */
static unsigned send_rest(struct lab *lab, int fd, const unsigned char *data, size_t bytes)
{
	unsigned calls = 0;

	while (bytes > 0) {
		ssize_t taken = lab_send(lab, fd, data, bytes, 0);

		if (taken < 0 && errno == EAGAIN && lab_wait_writable(fd, 2000))
			continue;
		if (taken < 0)
			break;
		if (++calls == 2) {
			lab_note(lab, LAB_TEXT("and so on", "如此反复"), "%s", "...");
			lab_quiet(lab, true);
		}
		data += taken;
		bytes -= (size_t)taken;
	}
	lab_quiet(lab, false);
	return calls;
}

static void send_all(struct lab *lab, struct lab_pair *pair, const unsigned char *message)
{
	struct reader reader = {.fd = pair->server, .expected = message};
	pthread_t thread;
	ssize_t taken;
	unsigned calls = 1;

	LAB_OPTION(lab, pair->client, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER);
	lab_nonblocking(pair->client, true);
	taken = lab_send(lab, pair->client, message, MESSAGE_BYTES, 0);
	if (pthread_create(&thread, NULL, read_all, &reader) != 0) {
		lab_trouble(lab, "pthread_create");
		return;
	}
	if (taken > 0 && lab_cure("sendall"))
		calls += send_rest(lab, pair->client, message + taken,
				   MESSAGE_BYTES - (size_t)taken);
	lab_close(lab, pair->client);
	pthread_join(thread, NULL);
	lab_truth(lab, lab_if(reader.intact && reader.received == MESSAGE_BYTES),
		  LAB_TEXT("all 16 MiB arrive, byte for byte", "16 MiB 一个字节不差地到达"),
		  "%zu B, send x %u", reader.received, calls);
}

static void cure(struct lab *lab)
{
	unsigned char *message = message_new();
	struct lab_pair pair;

	lab_part(lab, LAB_TEXT("Again 16 MiB; after the first send another thread reads",
			       "同样 16 MiB；第一次 send 之后，另一个线程开始读"));
	if (!message)
		lab_trouble(lab, "malloc");
	else if (lab_tcp_pair(lab, &pair))
		send_all(lab, &pair, message);
	free(message);
}

const struct lab_experiment lab_exp_partial_write = {
	.name = "partial-write",
	.title = {"send takes less than it was asked to", "send 只发出了一部分"},
	.claim = {"send(data) sends the data; if some is missing at the other end, the network "
		  "lost it.",
		  "send(data) 就把数据发完了；对端少收了，那是网络丢的。"},
	.question = {"A program calls send with 16 MiB on a non-blocking socket, and nobody reads "
		     "at the other end. What does send return?",
		     "在非阻塞套接字上 send 16 MiB，而对端没有人读。send 返回什么？"},
	.choices = {{"16 MiB: the kernel takes it all", "16 MiB：内核全部收下"},
		    {"a smaller number; the rest is still the program's",
		     "一个较小的数，剩下的仍归程序自己管"},
		    {"-1 with EAGAIN; nothing is sent", "-1 加 EAGAIN，什么也没发"}},
	.why = {"send copies bytes into the socket's send queue. When that is full, a non-blocking "
		"send returns what it took, and a blocking one sleeps until a signal or a time-out "
		"wakes it, and then also returns what it took. Nothing is lost that was not "
		"ignored: the return value says where to go on.\n"
		"Python's socket.send is the same call; socket.sendall is the loop.",
		"send 只是把字节复制进套接字的发送队列。队列满了，非阻塞的 send 就返回已经收下的字"
		"节数；阻塞的 send 会睡眠，被信号或超时唤醒后，返回的也是已收下的字节数。没有任何字"
		"节凭空丢失，丢的只是程序没有理会的那部分：返回值已经说明该从哪里接着发。\n"
		"Python 的 socket.send 就是这个系统调用，socket.sendall 才是那个循环。"},
	.sources = {"send(2), RETURN VALUE and EAGAIN", "socket(7), SO_SNDTIMEO",
		    "POSIX.1-2017, send()"},
	.run = run,
	.cure_title = {"sendall: go on where send stopped", "sendall：从 send 停下的地方接着发"},
	.cure = cure,
};
