/* A stream link with TLS inside, or without: whoever owns connections of both kinds keeps one
 * struct wbi_stream_link and uses these functions for all of them.
 *
 *   accept or dial   wbi_tls_new (or NULL), then wbi_tls_link_init
 *   read, write …    wbi_link_read and the others of link.h, over stream.link
 *   to another loop  wbi_tls_link_take, then wbi_tls_link_init over there with what it gave
 *
 * In a loop the handshake goes on by itself; the owner's reads and writes say -EAGAIN until it is
 * done. `fn` is called for WBI_READ too where nothing is left in the socket but plaintext is
 * waiting, and for WBI_WRITE only where a write would be taken or fail. A handshake that fails is
 * told as WBI_HANGUP and read as -EPROTO; wbi_tls_fault has the words.
 *
 * Without a loop the owner polls: for what wbi_tls_link_wants says; what poll returned goes
 * through wbi_tls_link_ready first. */
#ifndef WBI_TLS_LINK_H
#define WBI_TLS_LINK_H

#include <stdbool.h>

#include "sys/loop.h"
#include "transport/stream.h"
#include "transport/tls.h"

/* Takes over a connected, non-blocking stream socket and its TLS (NULL: none; then this is
 * wbi_stream_link_init). Other arguments as there. Returns WB_OK, and the link owns fd and tls
 * until it is closed or they are taken; on failure the caller still does. */
WB_WARN_UNUSED enum wb_err wbi_tls_link_init(struct wbi_stream_link *stream, struct wbi_tls *tls,
					     struct wbi_loop *loop, int fd, wbi_link_fn *fn,
					     unsigned events, struct wb_fault *fault);

/* Takes descriptor and TLS (NULL: none) off the link and its loop, with all that they have buffered
 * in either direction; the link is nothing then. From the loop's thread, its callback included. */
void wbi_tls_link_take(struct wbi_stream_link *stream, int *ret_fd, struct wbi_tls **ret_tls);

/* The link's TLS, borrowed: for wbi_tls_peer, wbi_tls_fault. NULL: none. */
struct wbi_tls *wbi_tls_link_peek(const struct wbi_stream_link *stream);

/* ---- without a loop ---- */

/* What to poll for where the owner wants `wanted` (WBI_READ | WBI_WRITE). ret_now: there is
 * something to read already, so do not wait. */
unsigned wbi_tls_link_wants(const struct wbi_stream_link *stream, unsigned wanted, bool *ret_now);

/* The socket is ready for `events`: does what TLS has to do for itself, and returns what the owner
 * can do (WBI_READ, WBI_WRITE, WBI_HANGUP). */
unsigned wbi_tls_link_ready(struct wbi_stream_link *stream, unsigned events);

#endif
