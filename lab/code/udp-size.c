/* The largest datagram, and one byte more. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int main(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int receiver = socket(AF_INET, SOCK_DGRAM, 0), sender = socket(AF_INET, SOCK_DGRAM, 0);
	static char message[65508];

	bind(receiver, (struct sockaddr *)&address, length);
	getsockname(receiver, (struct sockaddr *)&address, &length);
	for (size_t bytes = 65507; bytes <= 65508; bytes++) {
		ssize_t sent =
			sendto(sender, message, bytes, 0, (struct sockaddr *)&address, length);

		printf("sendto(%zu): %s\n", bytes, sent < 0 ? strerror(errno) : "sent");
	}
	printf("recvfrom: %zd bytes\n", recv(receiver, message, sizeof(message), 0));
	return 0;
}
