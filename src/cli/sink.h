/* A sink: one of our own outputs, written without ever blocking on it and without changing it for
 * others.
 *
 * O_NONBLOCK belongs to the open file, which we share with whoever started us: set here, it would
 * surprise them with EAGAIN. So a pipe or a terminal is opened a second time, for us alone. */
#ifndef WBI_SINK_H
#define WBI_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum wbi_sink_kind {
	WBI_SINK_DIRECT,  /* a file: a write never waits for anybody */
	WBI_SINK_SOCKET,  /* can be told not to wait, each time */
	WBI_SINK_OWN,     /* does not wait: opened by us, or found so */
	WBI_SINK_CAREFUL, /* may wait: only as much is written as poll promises room for */
	WBI_SINK_CLOSED,  /* we were started without it: every write fails, with EBADF */
};

struct wbi_sink {
	enum wbi_sink_kind kind;
	int fd;     /* as it was given */
	int own_fd; /* where it is written; fd, or opened by us */
};

/* Takes an open descriptor, which stays its owner's. fd: 1 or 2. */
void wbi_sink_open(struct wbi_sink *sink, int fd);

/* Closes what was opened here. Safe to repeat. */
void wbi_sink_close(struct wbi_sink *sink);

/* Writes what is taken now. Returns > 0, -EAGAIN, or another -errno (EPIPE raises no signal where
 * SIGPIPE is ignored). bytes > 0. */
ssize_t wbi_sink_write(struct wbi_sink *sink, const void *data, size_t bytes);

#endif
