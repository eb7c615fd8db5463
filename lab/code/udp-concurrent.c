/* Four requests to one worker, then to four. */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

static int server;

static void *work(void *unused)
{
	for (;;) {
		struct sockaddr_in from;
		socklen_t length = sizeof(from);
		char request[16];
		ssize_t got = recvfrom(server, request, sizeof(request), 0,
				       (struct sockaddr *)&from, &length);

		poll(NULL, 0, 50); /* 50 ms of work */
		sendto(server, request, (size_t)got, 0, (struct sockaddr *)&from, length);
	}
	return unused;
}

static double four_requests_ms(int client, const struct sockaddr_in *address)
{
	struct timespec began, ended;
	char reply[16];

	clock_gettime(CLOCK_MONOTONIC, &began);
	for (int i = 0; i < 4; i++)
		sendto(client, "work", 4, 0, (const struct sockaddr *)address, sizeof(*address));
	for (int i = 0; i < 4; i++)
		recv(client, reply, sizeof(reply), 0);
	clock_gettime(CLOCK_MONOTONIC, &ended);
	return (double)(ended.tv_sec - began.tv_sec) * 1e3 +
	       (double)(ended.tv_nsec - began.tv_nsec) / 1e6;
}

int main(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int client = socket(AF_INET, SOCK_DGRAM, 0);
	pthread_t thread;

	server = socket(AF_INET, SOCK_DGRAM, 0);
	bind(server, (struct sockaddr *)&address, length);
	getsockname(server, (struct sockaddr *)&address, &length);
	pthread_create(&thread, NULL, work, NULL);
	printf("one worker, four requests: %.0f ms\n", four_requests_ms(client, &address));
	for (int i = 0; i < 3; i++)
		pthread_create(&thread, NULL, work, NULL);
	printf("four workers, the same socket: %.0f ms\n", four_requests_ms(client, &address));
	return 0;
}
