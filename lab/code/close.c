/* What a client is told when the server closes. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void close_with(const char *what, size_t unread)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
	char buffer[8];

	bind(listener, (struct sockaddr *)&address, length);
	listen(listener, 1);
	getsockname(listener, (struct sockaddr *)&address, &length);
	connect(client, (struct sockaddr *)&address, length);
	int server = accept(listener, NULL, NULL);

	send(client, "unread", unread, 0);
	if (unread)
		recv(server, buffer, sizeof(buffer), MSG_PEEK); /* it is here, and stays unread */
	close(server);
	ssize_t got = recv(client, buffer, sizeof(buffer), 0);
	printf("%s: recv = %zd %s\n", what, got, got < 0 ? strerror(errno) : "(end)");
	close(client);
	close(listener);
}

int main(void)
{
	close_with("close, all read", 0);
	close_with("close, 6 bytes unread", 6);
	return 0;
}
