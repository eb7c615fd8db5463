/* A datagram of ten bytes and a buffer of one. */
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
	char byte;

	bind(receiver, (struct sockaddr *)&address, length);
	getsockname(receiver, (struct sockaddr *)&address, &length);

	sendto(sender, "helloworld", 10, 0, (struct sockaddr *)&address, length);
	printf("recvfrom(1): %zd\n", recv(receiver, &byte, 1, 0));
	if (recv(receiver, &byte, 1, MSG_DONTWAIT) < 0)
		printf("recvfrom(1) again: %s\n", strerror(errno));
	sendto(sender, "helloworld", 10, 0, (struct sockaddr *)&address, length);
	printf("recvfrom(1, MSG_TRUNC): %zd\n", recv(receiver, &byte, 1, MSG_TRUNC));
	return 0;
}
