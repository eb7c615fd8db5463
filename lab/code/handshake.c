/* The states of a connection, before accept and after a FIN. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static void show(const char *when, int fd)
{
	static const char *const names[] = {"?",         "ESTABLISHED", "SYN_SENT",
					    "SYN_RECV",  "FIN_WAIT1",   "FIN_WAIT2",
					    "TIME_WAIT", "CLOSE",       "CLOSE_WAIT"};
	struct tcp_info info;
	socklen_t length = sizeof(info);

	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
	printf("%-26s %s\n", when, info.tcpi_state < 9 ? names[info.tcpi_state] : "?");
}

int main(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);

	bind(listener, (struct sockaddr *)&address, length);
	listen(listener, 1);
	getsockname(listener, (struct sockaddr *)&address, &length);

	connect(client, (struct sockaddr *)&address, length);
	show("client, before accept:", client);
	int server = accept(listener, NULL, NULL);
	shutdown(client, SHUT_WR);
	poll(NULL, 0, 100); /* the ACK of a FIN may be delayed */
	show("client, after its FIN:", client);
	show("server, after that FIN:", server);
	return 0;
}
