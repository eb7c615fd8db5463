/* System calls that leave a trace: each performs the call, then records what came of it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/text.h"
#include "lab/record.h"

/* No call of the lab waits longer than this: a kernel that behaves unlike any known one must not
 * hang a class. */
enum { GUARD_SECONDS = 8, SHOWN_BYTES_MAX = 12 };

/* Shows short data as text and long data by its size. */
static void show_data(char *out, size_t size, const void *data, size_t bytes)
{
	char text[4 * SHOWN_BYTES_MAX + 1];

	if (bytes > SHOWN_BYTES_MAX || !data) {
		snprintf(out, size, "%zu B", bytes);
		return;
	}
	wbi_text_escape(data, bytes, text, sizeof(text), NULL);
	snprintf(out, size, "\"%s\"", text);
}

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int lab_socket(struct lab *lab, enum lab_side side, int type)
{
	struct timeval guard = {.tv_sec = GUARD_SECONDS};
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &guard, sizeof(guard));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &guard, sizeof(guard));
	return lab_keep(lab, side, fd);
}

int lab_bind(struct lab *lab, int fd, uint16_t port)
{
	struct sockaddr_in address = loopback(port);
	uint64_t began = lab_now_ns();
	int result = bind(fd, (struct sockaddr *)&address, sizeof(address));

	lab_call(lab, lab_side_of(lab, fd), began, result, "", "bind(%u)", port);
	return result;
}

int lab_listen(struct lab *lab, int fd, int backlog)
{
	uint64_t began = lab_now_ns();
	int result = listen(fd, backlog);

	lab_call(lab, lab_side_of(lab, fd), began, result, "", "listen(%d)", backlog);
	return result;
}

int lab_connect(struct lab *lab, int fd, uint16_t port)
{
	struct sockaddr_in address = loopback(port);
	uint64_t began = lab_now_ns();
	int result = connect(fd, (struct sockaddr *)&address, sizeof(address));

	lab_call(lab, lab_side_of(lab, fd), began, result, "", "connect()");
	return result;
}

int lab_accept(struct lab *lab, int fd)
{
	uint64_t began = lab_now_ns();
	int result = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	lab_call(lab, lab_side_of(lab, fd), began, result < 0 ? -1 : 0, "", "accept()");
	return lab_keep(lab, lab_side_of(lab, fd), result);
}

int lab_shutdown(struct lab *lab, int fd, int how)
{
	static const char *const names[] = {"SHUT_RD", "SHUT_WR", "SHUT_RDWR"};
	uint64_t began = lab_now_ns();
	int result = shutdown(fd, how);

	lab_call(lab, lab_side_of(lab, fd), began, result, "", "shutdown(%s)", names[how]);
	return result;
}

void lab_close(struct lab *lab, int fd)
{
	enum lab_side side = lab_side_of(lab, fd);
	uint64_t began = lab_now_ns();
	int result = close(fd);

	lab_forget(lab, fd);
	lab_call(lab, side, began, result, "", "close()");
}

ssize_t lab_send(struct lab *lab, int fd, const void *data, size_t bytes, int flags)
{
	char shown[LAB_TAIL_MAX];
	uint64_t began = lab_now_ns();
	/* A peer that is gone must be an error to look at, not the end of the process. */
	ssize_t result = send(fd, data, bytes, flags | MSG_NOSIGNAL);

	show_data(shown, sizeof(shown), data, bytes);
	lab_call(lab, lab_side_of(lab, fd), began, result, "", "send(%s)", shown);
	return result;
}

ssize_t lab_recv(struct lab *lab, int fd, void *buffer, size_t bytes, int flags)
{
	char shown[LAB_TAIL_MAX] = "";
	uint64_t began = lab_now_ns();
	ssize_t result = recv(fd, buffer, bytes, flags);
	int error = errno;

	if (result > 0 && (size_t)result <= bytes && result <= SHOWN_BYTES_MAX)
		show_data(shown, sizeof(shown), buffer, (size_t)result);
	errno = error;
	lab_call(lab, lab_side_of(lab, fd), began, result, shown, "recv(%zu%s)", bytes,
		 flags & MSG_TRUNC ? ", MSG_TRUNC" : "");
	return result;
}

ssize_t lab_sendto(struct lab *lab, int fd, const void *data, size_t bytes, uint16_t port)
{
	struct sockaddr_in address = loopback(port);
	char shown[LAB_TAIL_MAX];
	uint64_t began = lab_now_ns();
	ssize_t result = sendto(fd, data, bytes, 0, (struct sockaddr *)&address, sizeof(address));

	show_data(shown, sizeof(shown), data, bytes);
	lab_call(lab, lab_side_of(lab, fd), began, result, "", "sendto(%s)", shown);
	return result;
}

static const char *receive_flags(int flags)
{
	if (flags & MSG_PEEK)
		return flags & MSG_TRUNC ? ", MSG_PEEK|MSG_TRUNC" : ", MSG_PEEK";
	return flags & MSG_TRUNC ? ", MSG_TRUNC" : "";
}

ssize_t lab_recvfrom(struct lab *lab, int fd, void *buffer, size_t bytes, int flags,
		     uint16_t *ret_port)
{
	struct sockaddr_in address = {0};
	socklen_t length = sizeof(address);
	char shown[LAB_TAIL_MAX] = "";
	uint64_t began = lab_now_ns();
	ssize_t result = recvfrom(fd, buffer, bytes, flags, (struct sockaddr *)&address, &length);
	int error = errno;

	if (result >= 0 && (size_t)result <= bytes && result <= SHOWN_BYTES_MAX)
		show_data(shown, sizeof(shown), buffer, (size_t)result);
	errno = error;
	lab_call(lab, lab_side_of(lab, fd), began, result, shown, "recvfrom(%zu%s)", bytes,
		 receive_flags(flags));
	if (ret_port)
		*ret_port = ntohs(address.sin_port);
	return result;
}

int lab_option(struct lab *lab, int fd, int level, int option, int value, const char *name)
{
	uint64_t began = lab_now_ns();
	int result = setsockopt(fd, level, option, &value, sizeof(value));

	lab_call(lab, lab_side_of(lab, fd), began, result, "", "setsockopt(%s, %d)", name, value);
	return result;
}

static uint16_t port_of(int fd, int (*ask)(int, struct sockaddr *, socklen_t *))
{
	struct sockaddr_in address = {0};
	socklen_t length = sizeof(address);

	if (ask(fd, (struct sockaddr *)&address, &length) < 0)
		return 0;
	return ntohs(address.sin_port);
}

uint16_t lab_port(int fd)
{
	return port_of(fd, getsockname);
}

uint16_t lab_peer_port(int fd)
{
	return port_of(fd, getpeername);
}

void lab_nonblocking(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

int lab_get_option(int fd, int level, int option)
{
	int value = -1;
	socklen_t length = sizeof(value);

	if (getsockopt(fd, level, option, &value, &length) < 0)
		return -1;
	return value;
}

bool lab_loopback_works(void)
{
	struct sockaddr_in address = loopback(1);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool works = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	int error = errno;

	if (fd >= 0)
		close(fd);
	errno = error;
	return works;
}

bool lab_wait_readable(int fd, size_t bytes, int timeout_ms)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	int enough = (int)bytes, one = 1;
	bool ready;

	/* poll(2) honours the low-water mark of a stream. */
	setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &enough, sizeof(enough));
	ready = poll(&wait, 1, timeout_ms) == 1;
	setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
	return ready;
}

bool lab_wait_writable(int fd, int timeout_ms)
{
	struct pollfd wait = {.fd = fd, .events = POLLOUT};

	return poll(&wait, 1, timeout_ms) == 1;
}

int lab_listener(struct lab *lab, int backlog)
{
	struct sockaddr_in address = loopback(0);
	int fd = lab_socket(lab, LAB_SERVER, SOCK_STREAM);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, backlog) < 0) {
		lab_trouble(lab, "listen");
		return -1;
	}
	return fd;
}

bool lab_tcp_pair(struct lab *lab, struct lab_pair *ret_pair)
{
	struct lab_pair pair = {.listener = lab_listener(lab, 16), .client = -1, .server = -1};

	if (pair.listener < 0)
		return false;
	pair.client = lab_socket(lab, LAB_CLIENT, SOCK_STREAM);
	if (pair.client < 0)
		return lab_trouble(lab, "socket");
	if (lab_connect(lab, pair.client, lab_port(pair.listener)) < 0)
		return lab_trouble(lab, "connect");
	pair.server = lab_accept(lab, pair.listener);
	if (pair.server < 0)
		return lab_trouble(lab, "accept");
	*ret_pair = pair;
	return true;
}

bool lab_udp_pair(struct lab *lab, struct lab_udp *ret_udp)
{
	struct sockaddr_in address = loopback(0);
	struct lab_udp udp = {.sender = lab_socket(lab, LAB_CLIENT, SOCK_DGRAM),
			      .receiver = lab_socket(lab, LAB_SERVER, SOCK_DGRAM)};

	if (udp.sender < 0 || udp.receiver < 0)
		return lab_trouble(lab, "socket");
	if (bind(udp.receiver, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    bind(udp.sender, (struct sockaddr *)&address, sizeof(address)) < 0)
		return lab_trouble(lab, "bind");
	udp.port = lab_port(udp.receiver);
	*ret_udp = udp;
	return true;
}
