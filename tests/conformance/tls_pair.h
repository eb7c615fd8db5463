/* Two ends of a connection with TLS over it, each of which shows a key. */
#ifndef TLS_PAIR_H
#define TLS_PAIR_H

#include "transport/tls_link.h"

struct tls_pair {
	struct wbi_identity *identities[2];
	struct wbi_tls_context *contexts[2];
};

static inline struct wbi_tls *tls_pair_end(struct tls_pair *pair, int end)
{
	const uint8_t seed[WBI_PRIVATE_KEY_SEED_BYTES] = {(uint8_t)(end + 1)};
	struct wbi_private_key key;
	struct wbi_tls *tls;

	assert_int_equal(wbi_private_key_from_seed(seed, "", 0, &key, NULL), WB_OK);
	assert_int_equal(wbi_identity_new(&key, &pair->identities[end], NULL), WB_OK);
	assert_int_equal(wbi_tls_context_new(end == 0 ? WBI_TLS_CLIENT : WBI_TLS_SERVER,
					     pair->identities[end], &pair->contexts[end], NULL),
			 WB_OK);
	assert_int_equal(wbi_tls_new(pair->contexts[end], &tls, NULL), WB_OK);
	return tls;
}

/* Puts links with TLS over connected sockets, and returns once their handshake is done. */
static inline void tls_pair_open(struct tls_pair *pair, struct wbi_loop *loop, const int fds[2],
				 struct wbi_stream_link streams[2], wbi_link_fn *fn)
{
	for (int i = 0; i < 2; i++)
		assert_int_equal(wbi_tls_link_init(&streams[i], tls_pair_end(pair, i), loop, fds[i],
						   fn, WBI_READ, NULL),
				 WB_OK);
	while (!wbi_tls_is_open(wbi_tls_link_peek(&streams[0])) ||
	       !wbi_tls_is_open(wbi_tls_link_peek(&streams[1])))
		assert_int_equal(wbi_loop_turn(loop, 20000, NULL), WB_OK);
}

/* Once both links are closed. */
static inline void tls_pair_close(struct tls_pair *pair)
{
	for (int i = 0; i < 2; i++) {
		wbi_tls_context_free(pair->contexts[i]);
		wbi_identity_free(pair->identities[i]);
	}
}

#endif
