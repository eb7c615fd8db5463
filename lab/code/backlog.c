/* Seven clients knock at listen(5). */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

int main(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), connected = 0;

	bind(listener, (struct sockaddr *)&address, length);
	listen(listener, 5); /* and no accept */
	getsockname(listener, (struct sockaddr *)&address, &length);

	for (int i = 1; i <= 7; i++) {
		struct pollfd client = {.events = POLLOUT};

		client.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(client.fd, (struct sockaddr *)&address, length);
		int done = poll(&client, 1, 500);
		printf("client %d: %s\n", i, done == 1 ? "connected" : "no answer in 500 ms");
		connected += done == 1;
	}
	return connected == 6 ? 0 : 1;
}
