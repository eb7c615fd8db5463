/* talk's connection: connecting, sending and receiving, each with a deadline. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "cli/talk.h"
#include "sys/clock.h"
#include "transport/tcp.h"
#include "transport/udp.h"

enum { ADDRESSES_MAX = 16, CONNECT_MS = 10000 };

uint64_t wbi_talk_deadline_ms(const struct wbi_talk *talk)
{
	return wbi_clock_ms() + talk->timeout_ms;
}

enum wb_err wbi_talk_cut(struct wb_fault *fault, uint64_t got, uint64_t whole, const char *what)
{
	const char *begin = fault->err == WB_ERR_TIMEOUT ? "no whole reply" : "connection lost";

	return wb_fault_set(fault, fault->err, NULL, 0, "%s: %s after %llu of %llu bytes of the %s",
			    begin, fault->text, (unsigned long long)got, (unsigned long long)whole,
			    what);
}

static enum wb_err system_fault(struct wb_fault *fault)
{
	return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "%m");
}

enum wb_err wbi_talk_wait(struct wbi_talk *talk, short events, uint64_t deadline_ms,
			  short *ret_events, struct wb_fault *fault)
{
	struct pollfd wanted = {talk->fd, events, 0};
	int count;

	do {
		uint64_t now_ms = wbi_clock_ms();
		uint64_t left_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 0;

		if (deadline_ms == WBI_TALK_NEVER)
			count = poll(&wanted, 1, -1);
		else
			count = poll(&wanted, 1, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms);
	} while (count < 0 && errno == EINTR);
	if (count < 0)
		return system_fault(fault);
	if (count == 0)
		return wb_fault_set(fault, WB_ERR_TIMEOUT, NULL, 0, "nothing more within %g s",
				    (double)talk->timeout_ms / 1000);
	if (ret_events)
		*ret_events = wanted.revents;
	return WB_OK;
}

enum wb_err wbi_talk_receive(struct wbi_talk *talk, void *data, size_t size, uint64_t deadline_ms,
			     size_t *ret_bytes, struct wb_fault *fault)
{
	for (;;) {
		ssize_t bytes = recv(talk->fd, data, size, MSG_DONTWAIT);
		enum wb_err err;

		if (bytes > 0) {
			*ret_bytes = (size_t)bytes;
			return WB_OK;
		}
		if (bytes == 0)
			return wb_fault_set(fault, WB_ERR_CLOSED, NULL, 0, "the server closed it");
		if (errno != EAGAIN && errno != EINTR)
			return system_fault(fault);
		err = wbi_talk_wait(talk, POLLIN, deadline_ms, NULL, fault);
		if (err)
			return err;
	}
}

enum wb_err wbi_talk_send(struct wbi_talk *talk, const void *data, size_t bytes,
			  struct wb_fault *fault)
{
	size_t sent = 0;

	while (sent < bytes) {
		ssize_t n = send(talk->fd, (const char *)data + sent, bytes - sent,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n >= 0) {
			sent += (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR) {
			system_fault(fault);
			return wbi_talk_cut(fault, sent, bytes, "line");
		}
		if (wbi_talk_wait(talk, POLLOUT, wbi_talk_deadline_ms(talk), NULL, fault))
			return wb_fault_set(
				fault, WB_ERR_TIMEOUT, NULL, 0,
				"the server does not read: %zu of %zu bytes of the line "
				"were sent",
				sent, bytes);
	}
	return WB_OK;
}

enum wb_err wbi_talk_check_quiet(struct wbi_talk *talk, struct wb_fault *fault)
{
	uint8_t byte;
	ssize_t bytes = recv(talk->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);

	if (bytes < 0 && (errno == EAGAIN || errno == EINTR))
		return WB_OK;
	if (bytes < 0)
		return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "connection lost: %m");
	if (bytes == 0)
		return wb_fault_set(fault, WB_ERR_CLOSED, NULL, 0,
				    "connection lost: the server closed it between two lines");
	return wb_fault_set(fault, WB_ERR_MALFORMED, NULL, 0,
			    "bad reply: bytes that no line has asked for");
}

enum wb_err wbi_talk_connect(struct wbi_talk *talk, const struct wbi_uri *uri,
			     struct wb_fault *fault)
{
	struct wbi_addr addrs[ADDRESSES_MAX];
	unsigned count;

	if (wbi_addr_resolve(uri, false, addrs, ADDRESSES_MAX, &count, fault) != WB_OK)
		return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0, "%s", fault->text);
	if (uri->transport == WBI_UDP)
		return wbi_udp_dial(addrs, count, &talk->fd, fault);
	return wbi_tcp_dial(addrs, count, CONNECT_MS, &talk->fd, fault);
}
