/* A send that is asked for more than fits. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BYTES = 16 * 1024 * 1024 };

int main(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
	char *message = calloc(1, BYTES);

	bind(listener, (struct sockaddr *)&address, length);
	listen(listener, 1);
	getsockname(listener, (struct sockaddr *)&address, &length);
	connect(client, (struct sockaddr *)&address, length);

	fcntl(client, F_SETFL, O_NONBLOCK); /* and nobody reads at the other end */
	ssize_t taken = send(client, message, BYTES, 0);
	printf("send was asked for %d bytes and took %zd\n", BYTES, taken);
	while (send(client, message, BYTES, 0) > 0)
		; /* an ACK may have made some room */
	printf("send: %s\n", strerror(errno));
	free(message);
	return taken > 0 && taken < BYTES ? 0 : 1;
}
