/* A peer that vanishes; TCP_USER_TIMEOUT notices. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

/* Takes the loopback of our own network namespace up or down. */
static void set_loopback(int up)
{
	struct ifreq request = {.ifr_name = "lo"};

	request.ifr_flags = up ? IFF_UP : 0;
	ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, &request);
}

int main(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int listener, client, limit_ms = 1000, error = 0;
	socklen_t error_length = sizeof(error);
	struct timespec began, ended;

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
		puts("skipped: needs root, or user namespaces");
		return 0;
	}
	set_loopback(1);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	client = socket(AF_INET, SOCK_STREAM, 0);
	bind(listener, (struct sockaddr *)&address, length);
	listen(listener, 1);
	getsockname(listener, (struct sockaddr *)&address, &length);
	connect(client, (struct sockaddr *)&address, length);
	setsockopt(client, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit_ms, sizeof(limit_ms));

	set_loopback(0); /* the peer vanishes */
	clock_gettime(CLOCK_MONOTONIC, &began);
	printf("send to the dead peer: %zd\n", send(client, "data", 4, 0));
	poll(&(struct pollfd){.fd = client, .events = POLLIN}, 1, 10000);
	clock_gettime(CLOCK_MONOTONIC, &ended);
	getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &error_length);
	printf("TCP_USER_TIMEOUT of 1 s: %s after %.1f s\n", strerror(error),
	       (double)(ended.tv_sec - began.tv_sec) +
		       (double)(ended.tv_nsec - began.tv_nsec) / 1e9);
	return 0;
}
