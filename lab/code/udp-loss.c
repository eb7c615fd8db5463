/* 200 datagrams to a receiver that reads too late. */
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

int main(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int receiver = socket(AF_INET, SOCK_DGRAM, 0), sender = socket(AF_INET, SOCK_DGRAM, 0);
	int small = 16384, sent = 0, received = 0;
	char datagram[1000] = {0};

	setsockopt(receiver, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	bind(receiver, (struct sockaddr *)&address, length);
	getsockname(receiver, (struct sockaddr *)&address, &length);
	for (int i = 0; i < 200; i++)
		sent += sendto(sender, datagram, sizeof(datagram), 0, (struct sockaddr *)&address,
			       length) > 0;
	while (recv(receiver, datagram, sizeof(datagram), MSG_DONTWAIT) > 0)
		received++;
	printf("sent without an error: %d, received: %d, lost: %d\n", sent, received,
	       sent - received);
	return 0;
}
