/* Echo servers to compare: each echoes what it reads, to as many clients as it can. */
#include "lab/servers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STACK_BYTES = 256 * 1024, EVENTS_MAX = 64 };

/* Echoes once; false at the end of the stream. Short lines only, so one send takes them whole. */
static int echo(int fd)
{
	char buffer[256];
	ssize_t got = recv(fd, buffer, sizeof(buffer), 0);

	return got > 0 && send(fd, buffer, (size_t)got, MSG_NOSIGNAL) == got;
}

static void echo_to_the_end(int fd)
{
	while (echo(fd))
		;
	close(fd);
}

/* The tutorial's: whoever is connected has the server to itself. */
static void serve_loop(int listener)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			echo_to_the_end(fd);
	}
}

static void serve_processes(int listener)
{
	/* Nobody waits for them, so none may become a zombie. */
	sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0 && fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(listener);
			echo_to_the_end(fd);
			_exit(0);
		}
		if (fd >= 0)
			close(fd);
	}
}

static void *thread_main(void *argument)
{
	echo_to_the_end((int)(intptr_t)argument);
	return NULL;
}

static void serve_threads(int listener)
{
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0 &&
		    pthread_create(&thread, &attributes, thread_main, (void *)(intptr_t)fd) != 0)
			close(fd);
	}
}

static void watch(int poller, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

static void serve_events(int listener)
{
	struct epoll_event events[EVENTS_MAX];
	int poller = epoll_create1(EPOLL_CLOEXEC);

	watch(poller, listener);
	for (;;) {
		int count = epoll_wait(poller, events, EVENTS_MAX, -1);

		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;

			if (fd == listener)
				fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
			if (fd >= 0 && events[i].data.fd == listener)
				watch(poller, fd);
			else if (fd >= 0 && !echo(fd))
				close(fd); /* the poller forgets it by itself */
		}
	}
}

_Noreturn void lab_serve(enum lab_server kind, int listener)
{
	static void (*const serve[LAB_SERVERS])(int) = {
		[LAB_LOOP] = serve_loop,
		[LAB_PROCESSES] = serve_processes,
		[LAB_THREADS] = serve_threads,
		[LAB_EVENTS] = serve_events,
	};

	serve[kind](listener);
	_exit(1);
}
