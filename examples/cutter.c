/* A bad network in a box: a TCP relay that cuts every connection after so many bytes.
 *
 *     cutter PORT BYTES CUTS
 *
 * It listens on a free loopback port, which it prints, and passes everything on to PORT. The first
 * CUTS connections are reset, both ends at once, when BYTES bytes have come back through them;
 * later ones live. It says so each time, serves one connection after another, and ends with its
 * stdin. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIECE = 16384 };

static struct sockaddr_in loopback(unsigned port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int listen_somewhere(void)
{
	struct sockaddr_in address = loopback(0);
	socklen_t bytes = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, bytes) != 0 || listen(fd, 16) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &bytes) != 0)
		die("listen");
	printf("listening tcp://127.0.0.1:%u\n", ntohs(address.sin_port));
	fflush(stdout);
	return fd;
}

static int dial(unsigned port)
{
	struct sockaddr_in address = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		die("connect");
	return fd;
}

/* A reset, not an orderly end: what is on its way is lost. */
static void reset(int fd)
{
	struct linger now = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* Passes one piece on. Returns its length; 0 or less at the end. */
static ssize_t pass(int from, int to)
{
	char piece[PIECE];
	ssize_t got = recv(from, piece, sizeof(piece), 0), sent = 0;

	while (sent < got) {
		ssize_t n = send(to, piece + sent, (size_t)(got - sent), MSG_NOSIGNAL);

		if (n <= 0)
			return -1;
		sent += n;
	}
	return got;
}

/* Serves one connection. Returns whether it was cut; an end of either side ends both. */
static bool serve(int client, int server, unsigned long long most)
{
	struct pollfd ends[2] = {{.fd = client, .events = POLLIN},
				 {.fd = server, .events = POLLIN}};
	unsigned long long back = 0;

	while (poll(ends, 2, -1) > 0 && back < most) {
		ssize_t up = ends[0].revents ? pass(client, server) : 1;
		ssize_t down = ends[1].revents ? pass(server, client) : 0;

		if (up <= 0 || (ends[1].revents && down <= 0))
			return false;
		back += (unsigned long long)down;
	}
	return back >= most;
}

int main(int argc, char **argv)
{
	unsigned port = argc == 4 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
	unsigned long long bytes = argc == 4 ? strtoull(argv[2], NULL, 10) : 0;
	unsigned long cuts = argc == 4 ? strtoul(argv[3], NULL, 10) : 0, cut = 0;

	if (argc != 4 || port == 0 || bytes == 0) {
		fprintf(stderr, "usage: cutter PORT BYTES CUTS\n");
		return 2;
	}
	int listener = listen_somewhere();

	for (;;) {
		struct pollfd wait[2] = {{.fd = listener, .events = POLLIN},
					 {.fd = STDIN_FILENO, .events = POLLIN}};

		if (poll(wait, 2, -1) < 0 || wait[1].revents)
			return 0;
		int client = accept(listener, NULL, NULL), server = dial(port);

		if (client < 0)
			die("accept");
		if (serve(client, server, cut < cuts ? bytes : ~0ULL))
			printf("connection %lu cut after %llu bytes\n", ++cut, bytes);
		fflush(stdout);
		reset(client);
		reset(server);
	}
}
