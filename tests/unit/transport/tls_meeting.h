/* A client and a server of ours that have met, or are about to, as most tests of the TLS engine
 * want them. */
#ifndef TLS_MEETING_H
#define TLS_MEETING_H

#include "tls_wire.h"

enum { CLIENT_KEY = 1, SERVER_KEY = 2, OTHER_KEY = 3, BIG_BYTES = 300000 };

static struct wire wire;
static struct side client, server;

static inline void connect_again(void)
{
	wire_close(&wire);
	wire_open(&wire);
	side_connect(&client, &wire.ends[0]);
	side_connect(&server, &wire.ends[1]);
}

static inline int set_up(void **state)
{
	(void)state;
	wire_open(&wire);
	side_open(&client, WBI_TLS_CLIENT, CLIENT_KEY);
	side_open(&server, WBI_TLS_SERVER, SERVER_KEY);
	connect_again();
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	side_close(&client);
	side_close(&server);
	wire_close(&wire);
	return 0;
}

static inline void meet(void)
{
	shake_hands(&client, &server);
	expect_open(&client);
	expect_open(&server);
}

static inline uint8_t *new_pattern(size_t bytes)
{
	uint8_t *data = malloc(bytes);
	uint32_t x = 1;

	assert_non_null(data);
	for (size_t i = 0; i < bytes; i++) {
		x = x * 1664525 + 1013904223;
		data[i] = (uint8_t)(x >> 24);
	}
	return data;
}

/* What `to` reads is what `from` is to send, and nothing else. */
static inline void carry(struct side *from, struct side *to, const uint8_t *data, size_t bytes)
{
	uint8_t *got = malloc(bytes + 1);
	size_t sent = 0, have = 0;

	assert_non_null(got);
	for (int i = 0; have < bytes; i++) {
		ssize_t n = sent < bytes ? put(from, data + sent, bytes - sent)
					 : wbi_tls_flush(from->tls);

		assert_true(n >= 0 || n == -EAGAIN);
		if (sent < bytes && n > 0)
			sent += (size_t)n;
		n = wbi_tls_read(to->tls, got + have, bytes + 1 - have);
		assert_true(n > 0 || n == -EAGAIN);
		have += n > 0 ? (size_t)n : 0;
		assert_true(i < 1000000);
	}
	assert_int_equal(have, bytes);
	assert_memory_equal(got, data, bytes);
	free(got);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#endif
