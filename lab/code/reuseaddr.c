/* A server that closes first is started twice. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Binds to *port (0: any), serves one client, closes first, and ends. Returns bind's errno. */
static int serve_once(in_port_t *port, int reuse)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = *port,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
	char byte;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
	if (bind(listener, (struct sockaddr *)&address, length) < 0)
		return errno;
	listen(listener, 5);
	getsockname(listener, (struct sockaddr *)&address, &length);
	connect(client, (struct sockaddr *)&address, length);
	int server = accept(listener, NULL, NULL);
	close(server); /* first: TIME_WAIT stays here */
	recv(client, &byte, 1, 0);
	close(client);
	close(listener);
	*port = address.sin_port;
	return 0;
}

int main(void)
{
	for (int reuse = 0; reuse <= 1; reuse++) {
		in_port_t port = 0;

		serve_once(&port, reuse);
		printf("SO_REUSEADDR=%d, second start: %s\n", reuse,
		       strerror(serve_once(&port, reuse)));
	}
	return 0;
}
