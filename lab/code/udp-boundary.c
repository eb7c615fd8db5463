/* Three datagrams, one of them empty. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int main(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int receiver = socket(AF_INET, SOCK_DGRAM, 0), sender = socket(AF_INET, SOCK_DGRAM, 0);
	const char *messages[] = {"one", "", "three"};
	char buffer[1024];

	bind(receiver, (struct sockaddr *)&address, length);
	getsockname(receiver, (struct sockaddr *)&address, &length);
	for (int i = 0; i < 3; i++)
		sendto(sender, messages[i], strlen(messages[i]), 0, (struct sockaddr *)&address,
		       length);
	for (int i = 0; i < 3; i++) {
		ssize_t got = recvfrom(receiver, buffer, sizeof(buffer), 0, NULL, NULL);

		printf("recvfrom: %zd bytes: \"%.*s\"\n", got, (int)got, buffer);
	}
	return 0;
}
