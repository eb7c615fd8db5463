/* Two small writes and a reply, with and without TCP_NODELAY. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

static double round_ms(int client, int server)
{
	struct timespec began, ended;
	char buffer[64];

	clock_gettime(CLOCK_MONOTONIC, &began);
	send(client, "head", 4, 0);
	send(client, "body", 4, 0);
	recv(server, buffer, 8, MSG_WAITALL);
	send(server, "ok", 2, 0);
	recv(client, buffer, 2, MSG_WAITALL);
	clock_gettime(CLOCK_MONOTONIC, &ended);
	return (double)(ended.tv_sec - began.tv_sec) * 1e3 +
	       (double)(ended.tv_nsec - began.tv_nsec) / 1e6;
}

int main(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0),
	    on = 1;
	double stalled = 0, fast = 0;

	bind(listener, (struct sockaddr *)&address, length);
	listen(listener, 1);
	getsockname(listener, (struct sockaddr *)&address, &length);
	connect(client, (struct sockaddr *)&address, length);
	int server = accept(listener, NULL, NULL);

	for (int i = 0; i < 4; i++) /* a new connection acknowledges at once for a while */
		stalled = round_ms(client, server);
	printf("write-write-read: %.3f ms\n", stalled);
	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	for (int i = 0; i < 4; i++)
		fast = round_ms(client, server);
	printf("with TCP_NODELAY: %.3f ms\n", fast);
	return stalled > fast ? 0 : 1;
}
