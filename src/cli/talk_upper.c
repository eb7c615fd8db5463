/* talk with the upper services: as many bytes come back as were sent, or one datagram for one. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "cli/talk.h"

/* Sends what the kernel takes now. */
static enum wb_err send_some(struct wbi_talk *talk, const struct wbi_line_piece *piece,
			     size_t *sent, struct wb_fault *fault)
{
	ssize_t bytes = send(talk->fd, piece->data + *sent, piece->bytes - *sent,
			     MSG_DONTWAIT | MSG_NOSIGNAL);

	if (bytes >= 0)
		*sent += (size_t)bytes;
	else if (errno != EAGAIN && errno != EINTR)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "%m");
	return WB_OK;
}

/* Shows what has come back. */
static enum wb_err take_some(struct wbi_talk *talk, const struct wbi_line_piece *piece,
			     size_t *back, struct wb_fault *fault)
{
	size_t bytes;
	enum wb_err err = wbi_talk_receive(talk, talk->chunk, sizeof(talk->chunk),
					   wbi_talk_deadline_ms(talk), &bytes, fault);

	if (err)
		return wbi_talk_cut(fault, *back, piece->bytes, "reply");
	if (bytes > piece->bytes - *back)
		return wb_fault_set(fault, WB_ERR_MALFORMED, NULL, 0,
				    "bad reply: more than the %zu bytes that were sent",
				    piece->bytes);
	*back += bytes;
	return wbi_show_bytes(talk->show, talk->chunk, bytes, fault);
}

/* Sends and reads at the same time: a server that echoes while it reads would otherwise fill both
 * directions and wait for us while we wait for it. */
static enum wb_err echo(struct wbi_talk *talk, const struct wbi_line_piece *piece,
			struct wb_fault *fault)
{
	uint64_t deadline_ms = WBI_TALK_NEVER; /* a reply that has not begun has none */
	size_t sent = 0, back = 0;

	while (back < piece->bytes) {
		short events = sent < piece->bytes ? POLLIN | POLLOUT : POLLIN;
		enum wb_err err = wbi_talk_wait(talk, events, deadline_ms, &events, fault);

		if (err)
			return wbi_talk_cut(fault, back, piece->bytes, "reply");
		if (events & ~POLLOUT)
			err = take_some(talk, piece, &back, fault);
		if (!err && events & POLLOUT) {
			err = send_some(talk, piece, &sent, fault);
			if (err)
				return wbi_talk_cut(fault, back, piece->bytes, "reply");
		}
		if (err)
			return err;
		if (back > 0)
			deadline_ms = wbi_talk_deadline_ms(talk);
	}
	return WB_OK;
}

enum wb_err wbi_talk_upper_tcp(struct wbi_talk *talk, const struct wbi_line_piece *piece,
			       struct wb_fault *fault)
{
	enum wb_err err = wbi_talk_check_quiet(talk, fault);

	if (!err)
		err = echo(talk, piece, fault);
	if (!err && piece->last)
		err = wbi_show_end(talk->show, "\n", fault);
	return err;
}

/* MSG_TRUNC tells the datagram's whole size, so that a cut one cannot pass for whole. */
static enum wb_err receive_datagram(struct wbi_talk *talk, size_t *ret_bytes,
				    struct wb_fault *fault)
{
	uint64_t deadline_ms = wbi_talk_deadline_ms(talk);

	for (;;) {
		ssize_t bytes =
			recv(talk->fd, talk->chunk, sizeof(talk->chunk), MSG_DONTWAIT | MSG_TRUNC);

		if (bytes > (ssize_t)sizeof(talk->chunk))
			return wb_fault_set(
				fault, WB_ERR_LIMIT, NULL, 0,
				"bad reply: a datagram of %zd bytes, above the limit of %zu", bytes,
				sizeof(talk->chunk));
		if (bytes >= 0) {
			*ret_bytes = (size_t)bytes;
			return WB_OK;
		}
		if (errno != EAGAIN && errno != EINTR)
			return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "no reply: %m");
		if (wbi_talk_wait(talk, POLLIN, deadline_ms, NULL, fault))
			return wb_fault_set(
				fault, WB_ERR_TIMEOUT, NULL, 0,
				"no reply within %g s: the datagram or its answer was lost, "
				"or nobody listens",
				(double)talk->timeout_ms / 1000);
	}
}

enum wb_err wbi_talk_upper_udp(struct wbi_talk *talk, const struct wbi_line_piece *piece,
			       struct wb_fault *fault)
{
	size_t bytes = 0;
	enum wb_err err;

	if (send(talk->fd, piece->data, piece->bytes, MSG_NOSIGNAL) < 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "not sent: %m");
	err = receive_datagram(talk, &bytes, fault);
	if (!err)
		err = wbi_show_bytes(talk->show, talk->chunk, bytes, fault);
	if (!err)
		err = wbi_show_end(talk->show, "\n", fault);
	return err;
}
