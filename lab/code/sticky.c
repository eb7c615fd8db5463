/* Two sends on one end, one recv on the other. */
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

int main(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
	char buffer[1024];

	bind(listener, (struct sockaddr *)&address, length);
	listen(listener, 1);
	getsockname(listener, (struct sockaddr *)&address, &length);
	connect(client, (struct sockaddr *)&address, length);
	int server = accept(listener, NULL, NULL);

	send(client, "hello", 5, 0);
	send(client, "world", 5, 0);
	shutdown(client, SHUT_WR);
	recv(server, buffer, 10, MSG_PEEK | MSG_WAITALL); /* both are here now */
	ssize_t got = recv(server, buffer, sizeof(buffer), 0);
	printf("two sends, one recv: %zd bytes: %.*s\n", got, (int)got, buffer);
	return got == 10 ? 0 : 1;
}
