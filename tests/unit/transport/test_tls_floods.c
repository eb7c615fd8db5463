/* The TLS engine against peers that are let in, and then ask without end: for new keys, for answers
 * that they do not take, for tickets to be kept. The other side is bare OpenSSL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tls_foreign.h"
#include "transport/tls_state.h"

static void flood_with_key_updates(int kind, int count)
{
	char got[8];

	meet_peer(false);
	show(ed25519(PEER_KEY));
	begin(false);
	shake();
	expect_open(&ours);
	for (int i = 0; i < count; i++) {
		assert_int_equal(SSL_key_update(foreign.ssl, kind), 1);
		SSL_do_handshake(foreign.ssl);
		relay();
		wbi_tls_read(ours.tls, got, sizeof(got));
	}
}

static void test_key_updates_are_fine(void **state)
{
	char got[8];
	(void)state;

	flood_with_key_updates(SSL_KEY_UPDATE_REQUESTED, 20);
	assert_int_equal(SSL_write(foreign.ssl, "x", 1), 1);
	relay();
	assert_int_equal(wbi_tls_read(ours.tls, got, sizeof(got)), 1);
	assert_int_equal(put(&ours, "y", 1), 1);
	relay();
	assert_int_equal(SSL_read(foreign.ssl, got, sizeof(got)), 1);
}

/* As many as are allowed, and the one that is too much: it is told at once. */
static void test_one_key_update_too_many(void **state)
{
	(void)state;
	flood_with_key_updates(SSL_KEY_UPDATE_NOT_REQUESTED, WBI_TLS_MESSAGES_MAX);
	expect_open(&ours);
	tear_down(NULL);
	set_up(NULL);
	flood_with_key_updates(SSL_KEY_UPDATE_NOT_REQUESTED, WBI_TLS_MESSAGES_MAX + 1);
	expect_fault(&ours, WB_ERR_LIMIT, "without end");
}

static void test_key_updates_without_end(void **state)
{
	(void)state;
	flood_with_key_updates(SSL_KEY_UPDATE_NOT_REQUESTED, 100);
	expect_fault(&ours, WB_ERR_LIMIT, "without end");
}

/* A word in between is no excuse. */
static void test_key_updates_with_a_little_text(void **state)
{
	char got[8];
	(void)state;

	flood_with_key_updates(SSL_KEY_UPDATE_NOT_REQUESTED, 0);
	for (int i = 0; i < 100; i++) {
		if (i % 8 == 0)
			assert_int_equal(SSL_write(foreign.ssl, "x", 1), 1);
		assert_int_equal(SSL_key_update(foreign.ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		SSL_do_handshake(foreign.ssl);
		relay();
		wbi_tls_read(ours.tls, got, sizeof(got));
	}
	expect_fault(&ours, WB_ERR_LIMIT, "without end");
}

/* It asks and asks, and takes none of the answers. */
static void test_answers_that_nobody_takes(void **state)
{
	(void)state;
	wire.ends[0].room = 4096;
	flood_with_key_updates(SSL_KEY_UPDATE_REQUESTED, 100);
	expect_fault(&ours, WB_ERR_LIMIT, "without end");
}

static void test_tickets_without_end(void **state)
{
	char got[8];
	(void)state;

	meet_peer(true);
	show(ed25519(PEER_KEY));
	SSL_CTX_set_session_id_context(foreign.context, (const uint8_t *)"x", 1);
	begin(true);
	shake();
	expect_open(&ours);
	for (int i = 0; i < 100; i++) {
		SSL_new_session_ticket(foreign.ssl);
		SSL_do_handshake(foreign.ssl);
		relay();
		wbi_tls_read(ours.tls, got, sizeof(got));
	}
	expect_fault(&ours, WB_ERR_LIMIT, "without end");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_key_updates_are_fine),      TEST(test_one_key_update_too_many),
		TEST(test_key_updates_without_end),   TEST(test_key_updates_with_a_little_text),
		TEST(test_answers_that_nobody_takes), TEST(test_tickets_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
