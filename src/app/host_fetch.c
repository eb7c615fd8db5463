/* Fetching a host's key: see host_fetch.h. */
#include "app/host_fetch.h"

#include <poll.h>
#include <string.h>

#include "keys/private_key.h"
#include "sys/clock.h"
#include "sys/fd.h"
#include "sys/rand.h"
#include "transport/tcp.h"
#include "transport/tls_link.h"

enum { ADDRS_MAX = 8 };

static enum wb_err make_passing_identity(struct wbi_identity **ret_identity, struct wb_fault *fault)
{
	uint8_t seed[WBI_PRIVATE_KEY_SEED_BYTES];
	struct wbi_private_key key;
	enum wb_err err = wbi_rand_fill(seed, sizeof(seed), fault);

	if (!err)
		err = wbi_private_key_from_seed(seed, NULL, 0, &key, fault);
	explicit_bzero(seed, sizeof(seed));
	if (err)
		return err;
	err = wbi_identity_new(&key, ret_identity, fault);
	wbi_private_key_done(&key);
	return err;
}

/* poll's words for the loop's, and back. */
static unsigned wait_for(const struct wbi_stream_link *stream, int timeout_ms)
{
	bool now;
	unsigned wants = wbi_tls_link_wants(stream, WBI_READ, &now);
	struct pollfd fd = {
		stream->watch.fd,
		(short)((wants & WBI_READ ? POLLIN : 0) | (wants & WBI_WRITE ? POLLOUT : 0)), 0};

	if (poll(&fd, 1, now ? 0 : timeout_ms) < 0)
		return 0;
	return (unsigned)((fd.revents & POLLIN ? WBI_READ : 0) |
			  (fd.revents & POLLOUT ? WBI_WRITE : 0) |
			  (fd.revents & (POLLERR | POLLHUP) ? WBI_HANGUP : 0));
}

static enum wb_err shake_hands(struct wbi_stream_link *stream, int timeout_ms,
			       struct wb_fault *fault)
{
	struct wbi_tls *tls = wbi_tls_link_peek(stream);
	uint64_t deadline_ms = wbi_clock_ms() + (uint64_t)timeout_ms, now_ms;
	bool done = false;
	enum wb_err err;

	while (!(err = wbi_tls_handshake(tls, &done, fault)) && !done) {
		now_ms = wbi_clock_ms();
		if (now_ms >= deadline_ms)
			return wb_fault_set(fault, WB_ERR_TIMEOUT, NULL, 0,
					    "tls: no answer within %d s", timeout_ms / 1000);
		(void)wbi_tls_link_ready(stream, wait_for(stream, (int)(deadline_ms - now_ms)));
	}
	return err;
}

/* The descriptor is given away in any case. */
static enum wb_err ask(struct wbi_tls_context *context, int fd, int timeout_ms,
		       struct wbi_public_key *ret_key, struct wb_fault *fault)
{
	struct wbi_stream_link stream = {0};
	struct wbi_tls *tls = NULL;
	enum wb_err err = wbi_tls_new(context, &tls, fault);

	if (!err)
		err = wbi_tls_link_init(&stream, tls, NULL, fd, NULL, WBI_READ, fault);
	if (err) {
		wbi_tls_free(tls);
		wbi_fd_close(&fd);
		return err;
	}
	err = shake_hands(&stream, timeout_ms, fault);
	if (!err)
		*ret_key = *wbi_tls_peer(tls);
	wbi_link_close(&stream.link);
	return err;
}

enum wb_err wbi_host_key_fetch(const struct wbi_destination *destination, int timeout_ms,
			       struct wbi_public_key *ret_key, struct wb_fault *fault)
{
	struct wbi_addr addrs[ADDRS_MAX];
	struct wbi_identity *identity = NULL;
	struct wbi_tls_context *context = NULL;
	unsigned count;
	int fd;
	enum wb_err err;

	if (destination->uri.transport != WBI_TLS)
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0,
				    "only over tls has a host a key: give HOST, HOST:PORT or "
				    "tls://HOST:PORT");
	err = wbi_addr_resolve(&destination->uri, false, addrs, ADDRS_MAX, &count, fault);
	if (!err)
		err = make_passing_identity(&identity, fault);
	if (!err)
		err = wbi_tls_context_new(WBI_TLS_CLIENT, identity, &context, fault);
	if (!err)
		err = wbi_tcp_dial(addrs, count, timeout_ms, &fd, fault);
	if (!err)
		err = ask(context, fd, timeout_ms, ret_key, fault);
	wbi_tls_context_free(context);
	wbi_identity_free(identity);
	return err;
}
