/* Stream sockets: what tcp and unix have in common. The link over a connected one, and accepting.
 */
#ifndef WBI_STREAM_H
#define WBI_STREAM_H

#include "sys/addr.h"
#include "sys/loop.h"
#include "transport/link.h"

struct wbi_tls_filter;

struct wbi_stream_link {
	struct wbi_link link;
	struct wbi_loop *loop;
	struct wbi_watch watch;
	struct wbi_tls_filter *filter; /* what tls_link.h puts in between; NULL: nothing */
};

/* Takes over a connected, non-blocking stream socket; watches it for `events`.
 * loop: NULL where the owner waits for the descriptor itself; then fn is never called (it may be
 * NULL), and what is wanted only stands in watch.events. Returns WB_OK and the link owns fd; on
 * failure the caller still does. */
WB_WARN_UNUSED enum wb_err wbi_stream_link_init(struct wbi_stream_link *stream,
						struct wbi_loop *loop, int fd, wbi_link_fn *fn,
						unsigned events, struct wb_fault *fault);

/* listen() with a backlog of somaxconn. */
WB_WARN_UNUSED enum wb_err wbi_stream_listen(int fd, struct wb_fault *fault);

/* Accepts one, non-blocking and close-on-exec; ret_peer may be NULL. Returns as wbi_tcp_accept. */
WB_WARN_UNUSED enum wb_err wbi_stream_accept(int listener, int *ret_fd, struct wbi_addr *ret_peer,
					     struct wb_fault *fault);

#endif
