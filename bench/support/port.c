/* Ports of loopback, for servers that are not ours. */
#include "../bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 16 };

int bench_listen_somewhere(uint16_t *ret_port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, bytes) < 0 || listen(fd, BACKLOG) < 0 ||
	    getsockname(fd, (struct sockaddr *)&addr, &bytes) < 0)
		bench_die("listen");
	*ret_port = ntohs(addr.sin_port);
	return fd;
}

uint16_t bench_free_port(void)
{
	uint16_t port;

	close(bench_listen_somewhere(&port));
	return port;
}

void bench_wait_for_port(uint16_t port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons(port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	uint64_t until = bench_now_ns() + UINT64_C(10000000000);
	int failed;

	do {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		failed = connect(fd, (struct sockaddr *)&addr, sizeof(addr));
		close(fd);
	} while (failed && bench_now_ns() < until);
	if (failed)
		bench_die("the other server does not listen");
}
