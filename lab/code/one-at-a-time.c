/* Two clients at a server that serves one. */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* The tutorial's server: an outer loop accepts, an inner loop serves to the end. */
static void *serve(void *argument)
{
	int listener = *(int *)argument;

	for (;;) {
		int connection = accept(listener, NULL, NULL);
		char buffer[64];
		ssize_t got;

		while ((got = recv(connection, buffer, sizeof(buffer), 0)) > 0)
			send(connection, buffer, (size_t)got, 0);
		close(connection);
	}
	return NULL;
}

int main(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int first = socket(AF_INET, SOCK_STREAM, 0), second = socket(AF_INET, SOCK_STREAM, 0);
	struct pollfd answer = {.fd = second, .events = POLLIN};
	pthread_t thread;

	bind(listener, (struct sockaddr *)&address, length);
	listen(listener, 5);
	getsockname(listener, (struct sockaddr *)&address, &length);
	pthread_create(&thread, NULL, serve, &listener);

	connect(first, (struct sockaddr *)&address, length); /* and says nothing */
	connect(second, (struct sockaddr *)&address, length);
	send(second, "hello", 5, 0);
	printf("client 2, while client 1 is there: %s\n",
	       poll(&answer, 1, 300) ? "answered" : "no answer");
	close(first);
	printf("client 2, after client 1 has gone: %s\n",
	       poll(&answer, 1, 3000) ? "answered" : "no answer");
	return 0;
}
