/* The TLS engine against itself: keys, tickets, ends, and what was changed on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "tls_meeting.h"
#include "transport/tls_state.h"

/* ---- who it is ---- */

static void expect_peer(const struct side *side, uint8_t number)
{
	struct wbi_private_key key = private_key(number);
	const struct wbi_public_key *peer = wbi_tls_peer(side->tls);

	assert_non_null(peer);
	assert_true(wbi_public_key_equal(peer, &key.public_key));
}

static void test_both_learn_the_key(void **state)
{
	(void)state;
	assert_null(wbi_tls_peer(client.tls));
	meet();
	expect_peer(&client, SERVER_KEY);
	expect_peer(&server, CLIENT_KEY);
	assert_false(wbi_tls_is_resumed(client.tls));
	assert_null(wbi_tls_fault(client.tls));
}

/* A server that has said all it has to say leaves the client its time. */
static void test_whose_turn_it_is(void **state)
{
	(void)state;
	assert_false(wbi_tls_awaits_key(server.tls));
	assert_true(wbi_tls_has_unread(client.tls)); /* it speaks first */
	side_step(&client);
	assert_false(wbi_tls_has_unread(client.tls));
	assert_false(wbi_tls_awaits_key(server.tls));
	side_step(&server);
	assert_true(wbi_tls_awaits_key(server.tls));
	side_step(&client);
	assert_false(wbi_tls_awaits_key(client.tls));
	side_step(&server);
	assert_false(wbi_tls_awaits_key(server.tls));
	expect_open(&server);
}

/* Whoever shows another's key cannot sign with it. */
static void test_halves_that_do_not_belong_together(void **state)
{
	struct wbi_private_key key = private_key(CLIENT_KEY);
	struct side thief = {0};
	(void)state;

	key.public_key = private_key(OTHER_KEY).public_key;
	assert_int_equal(wbi_identity_new(&key, &thief.identity, NULL), WB_OK);
	assert_int_equal(wbi_tls_context_new(WBI_TLS_CLIENT, thief.identity, &thief.context, NULL),
			 WB_OK);
	side_connect(&thief, &wire.ends[0]);
	for (int i = 0; i < 100; i++) {
		side_step(&thief);
		side_step(&server);
	}
	expect_fault(&server, WB_ERR_REFUSED, "does not hold");
	assert_null(wbi_tls_peer(server.tls));
	side_close(&thief);
}

/* ---- whose key it is ---- */

struct judge {
	unsigned asked;
	bool refuses;
	bool was_shown_ours; /* the server knew us when the judge was asked */
	struct wbi_public_key key;
};

static enum wb_err judge_key(void *context, const struct wbi_public_key *key,
			     struct wb_fault *fault)
{
	struct judge *judge = context;

	judge->asked++;
	judge->key = *key;
	side_step(&server);
	judge->was_shown_ours = wbi_tls_peer(server.tls) != NULL;
	if (!judge->refuses)
		return WB_OK;
	return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0, "not whom we want");
}

static void expect_judged(struct judge *judge)
{
	struct wbi_private_key key = private_key(SERVER_KEY);

	shake_hands(&client, &server);
	assert_int_equal(judge->asked, 1);
	assert_true(wbi_public_key_equal(&judge->key, &key.public_key));
}

/* The server learns nothing of us before its key was found good. */
static void test_judged_before_our_key_is_shown(void **state)
{
	struct judge judge = {.refuses = false};
	(void)state;

	wbi_tls_set_judge(client.tls, judge_key, &judge);
	expect_judged(&judge);
	assert_false(judge.was_shown_ours);
	expect_open(&client);
	expect_peer(&server, CLIENT_KEY);
}

static void test_found_wanting(void **state)
{
	struct judge judge = {.refuses = true};
	(void)state;

	wbi_tls_set_judge(client.tls, judge_key, &judge);
	for (int i = 0; i < 100; i++) {
		side_step(&client);
		side_step(&server);
	}
	assert_int_equal(judge.asked, 1);
	expect_fault(&client, WB_ERR_REFUSED, "not whom we want");
	assert_int_equal(put(&client, "x", 1), -EPROTO);
	assert_null(wbi_tls_peer(client.tls));
	assert_null(wbi_tls_peer(server.tls));
	assert_null(SSL_get0_peer_certificate(server.tls->ssl));
}

/* A resumption asks for no certificate; the judge is asked all the same. */
static void test_resumption_is_judged(void **state)
{
	struct judge judge = {.refuses = true};
	(void)state;

	meet();
	take_ticket(&client, &server);
	connect_again();
	wbi_tls_set_judge(client.tls, judge_key, &judge);
	for (int i = 0; i < 100; i++) {
		side_step(&client);
		side_step(&server);
	}
	assert_int_equal(judge.asked, 1);
	assert_true(SSL_session_reused(client.tls->ssl));
	expect_fault(&client, WB_ERR_REFUSED, "not whom we want");
	assert_null(wbi_tls_peer(client.tls));
}

/* ---- our own key, read while the server is at work ---- */

/* The client's identity is kept aside, and its context has none. */
static void connect_nameless(void)
{
	wbi_tls_free(client.tls);
	client.tls = NULL;
	wbi_tls_context_free(client.context);
	assert_int_equal(wbi_tls_context_new(WBI_TLS_CLIENT, NULL, &client.context, NULL), WB_OK);
	connect_again();
}

static void test_identity_after_the_hello(void **state)
{
	(void)state;
	connect_nameless();
	wbi_tls_say_hello(client.tls);
	assert_true(wire.there.bytes > 0);
	assert_int_equal(wbi_tls_set_identity(client.tls, client.identity, NULL), WB_OK);
	meet();
	expect_peer(&client, SERVER_KEY);
	expect_peer(&server, CLIENT_KEY);
}

/* However quick the server is: nobody is judged, and no key is due, before it goes on. */
static void test_hello_hears_no_answer(void **state)
{
	struct judge judge = {.refuses = false};
	(void)state;

	connect_nameless();
	wbi_tls_set_judge(client.tls, judge_key, &judge);
	wbi_tls_say_hello(client.tls);
	side_step(&server);
	for (int i = 0; i < 3; i++)
		wbi_tls_say_hello(client.tls);
	assert_int_equal(wire.ends[0].reads, 0);
	assert_int_equal(judge.asked, 0);
	assert_false(wbi_tls_has_unread(client.tls)); /* the io is ready, and says so */
	assert_int_equal(wbi_tls_set_identity(client.tls, client.identity, NULL), WB_OK);
	expect_judged(&judge);
	expect_peer(&server, CLIENT_KEY);
}

static void test_nobody_to_show(void **state)
{
	char got[8];
	(void)state;

	connect_nameless();
	shake_hands(&client, &server);
	expect_fault(&server, WB_ERR_REFUSED, "certificate");
	assert_null(wbi_tls_peer(server.tls));
	assert_int_equal(wbi_tls_read(client.tls, got, sizeof(got)), -EPROTO);
}

static void test_resumption_shows_nobody(void **state)
{
	(void)state;
	connect_nameless();
	assert_int_equal(wbi_tls_set_identity(client.tls, client.identity, NULL), WB_OK);
	meet();
	take_ticket(&client, &server);
	connect_again();
	meet();
	assert_true(wbi_tls_is_resumed(client.tls));
	expect_peer(&server, CLIENT_KEY);
}

/* ---- ends ---- */

static void test_end_in_one_direction(void **state)
{
	char got[8];
	(void)state;

	meet();
	assert_int_equal(put(&client, "last", 4), 4);
	assert_int_equal(wbi_tls_shutdown(client.tls), 0);
	assert_int_equal(wbi_tls_read(server.tls, got, sizeof(got)), 4);
	assert_int_equal(wbi_tls_read(server.tls, got, sizeof(got)), 0);
	assert_int_equal(wbi_tls_read(server.tls, got, sizeof(got)), 0);
	assert_int_equal(put(&server, "reply", 5), 5);
	assert_int_equal(wbi_tls_shutdown(client.tls), 0); /* once more: nothing is lost */
	assert_int_equal(wbi_tls_read(client.tls, got, sizeof(got)), 5);
	assert_int_equal(wbi_tls_shutdown(server.tls), 0);
	assert_int_equal(wbi_tls_read(client.tls, got, sizeof(got)), 0);
}

static void test_end_that_nobody_said(void **state)
{
	char got[8];
	(void)state;

	meet();
	assert_int_equal(put(&client, "last", 4), 4);
	wire.there.ended = true;
	assert_int_equal(wbi_tls_read(server.tls, got, sizeof(got)), 4);
	assert_int_equal(wbi_tls_read(server.tls, got, sizeof(got)), -ECONNRESET);
	expect_fault(&server, WB_ERR_CLOSED, "did not say so");
	expect_peer(&server, CLIENT_KEY);
}

static void test_end_in_the_handshake(void **state)
{
	(void)state;
	side_step(&client);
	wire.back.ended = true;
	side_step(&client);
	expect_fault(&client, WB_ERR_CLOSED, "hung up during the handshake");
	assert_int_equal(wbi_tls_shutdown(client.tls), -ECONNRESET);
}

static void test_io_that_fails(void **state)
{
	char got[8];
	(void)state;

	meet();
	assert_int_equal(put(&server, "why", 3), 3);
	wire.ends[0].fail_write = EPIPE;
	assert_int_equal(put(&client, "x", 1), 1); /* encrypted, and so taken: told by the next */
	assert_int_equal(put(&client, "x", 1), -EPIPE);
	assert_int_equal(put(&client, "x", 1), -EPIPE);
	assert_int_equal(wbi_tls_read(client.tls, got, sizeof(got)), 3); /* what it still said */
	wire.ends[0].fail_read = ECONNRESET;
	assert_int_equal(wbi_tls_read(client.tls, got, sizeof(got)), -ECONNRESET);
	expect_fault(&client, WB_ERR_SYSTEM, "reset");
}

/* OpenSSL's errors belong to a thread, and its connections are many. */
static void test_errors_of_others(void **state)
{
	char got[8];
	(void)state;

	for (int i = 0; i < 4; i++) {
		ERR_raise(ERR_LIB_SSL, SSL_R_BAD_SIGNATURE);
		assert_true(!side_step(&client) || wbi_tls_is_open(client.tls));
		ERR_raise(ERR_LIB_SSL, SSL_R_BAD_SIGNATURE);
		assert_true(!side_step(&server) || wbi_tls_is_open(server.tls));
	}
	meet();
	ERR_raise(ERR_LIB_SSL, SSL_R_BAD_SIGNATURE);
	assert_int_equal(wbi_tls_read(server.tls, got, sizeof(got)), -EAGAIN);
	assert_int_equal(put(&client, "text", 4), 4);
	ERR_raise(ERR_LIB_SSL, SSL_R_BAD_SIGNATURE);
	assert_int_equal(wbi_tls_shutdown(client.tls), 0);
	assert_int_equal(wbi_tls_read(server.tls, got, sizeof(got)), 4);
	ERR_raise(ERR_LIB_SSL, SSL_R_BAD_SIGNATURE);
	assert_int_equal(wbi_tls_read(server.tls, got, sizeof(got)), 0);
	ERR_clear_error();
}

/* ---- what was changed on the way ---- */

static void test_changed_byte(void **state)
{
	char got[8];
	(void)state;

	meet();
	assert_int_equal(put(&client, "text", 4), 4);
	wire.there.data[wire.there.bytes - 1] ^= 1;
	assert_int_equal(wbi_tls_read(server.tls, got, sizeof(got)), -EPROTO);
	expect_fault(&server, WB_ERR_MALFORMED, "bad record mac");
	assert_true(wbi_tls_has_unread(server.tls)); /* whoever only wants to read hears of it */
	assert_int_equal(wbi_tls_read(client.tls, got, sizeof(got)), -EPROTO);
	expect_fault(&client, WB_ERR_REFUSED, "the peer refuses: bad record mac");
}

/* Every byte of the server's answer, changed: no handshake holds, and nothing breaks. */
static void test_changed_handshake(void **state)
{
	size_t bytes;
	(void)state;

	side_step(&client);
	side_step(&server);
	bytes = wire.back.bytes;
	for (size_t i = 0; i < bytes; i += 7) {
		connect_again();
		side_step(&client);
		side_step(&server);
		wire.back.data[i % wire.back.bytes] ^= 0x40;
		for (int k = 0; k < 4; k++) {
			side_step(&client);
			side_step(&server);
		}
		assert_false(wbi_tls_is_open(client.tls) && wbi_tls_is_open(server.tls));
	}
}

/* ---- tickets ---- */

static void test_resumption(void **state)
{
	(void)state;
	meet();
	take_ticket(&client, &server);
	connect_again();
	meet();
	assert_true(wbi_tls_is_resumed(client.tls));
	assert_true(wbi_tls_is_resumed(server.tls));
	expect_peer(&client, SERVER_KEY);
	expect_peer(&server, CLIENT_KEY);
	carry(&client, &server, (const uint8_t *)"again", 5);
}

static void test_no_ticket_for_a_short_call(void **state)
{
	char got[WBI_TLS_TICKET_AT];
	(void)state;

	meet();
	for (int i = 0; i < WBI_TLS_TICKET_AT - 1; i++)
		assert_int_equal(put(&server, "x", 1), 1);
	assert_int_equal(wbi_tls_read(client.tls, got, sizeof(got)), WBI_TLS_TICKET_AT - 1);
	connect_again();
	meet();
	assert_false(wbi_tls_is_resumed(client.tls));
}

static void test_one_ticket(void **state)
{
	SSL_SESSION *ticket;
	(void)state;

	meet();
	take_ticket(&client, &server);
	ticket = client.context->ticket;
	assert_non_null(ticket);
	take_ticket(&client, &server);
	assert_ptr_equal(client.context->ticket, ticket);
	connect_again();
	meet();
	take_ticket(&client, &server);
	assert_ptr_not_equal(client.context->ticket, ticket); /* the newest counts */
}

/* In the middle of what a write gathers, and to one that has said its end. */
static void test_ticket_among_bulk_data(void **state)
{
	uint8_t *data = new_pattern(BIG_BYTES);
	char got[1];
	(void)state;

	meet();
	assert_int_equal(wbi_tls_shutdown(client.tls), 0);
	assert_int_equal(wbi_tls_read(server.tls, got, sizeof(got)), 0);
	carry(&server, &client, data, BIG_BYTES);
	connect_again();
	meet();
	assert_true(wbi_tls_is_resumed(client.tls));
	free(data);
}

/* A connection that was lost, which is when it counts. */
static void test_resumption_after_a_loss(void **state)
{
	char got[8];
	(void)state;

	for (int i = 0; i < 3; i++) {
		meet();
		assert_int_equal(wbi_tls_is_resumed(client.tls), i > 0);
		take_ticket(&client, &server);
		wire.back.ended = true;
		assert_int_equal(wbi_tls_read(client.tls, got, sizeof(got)), -ECONNRESET);
		connect_again();
	}
	for (int i = 0; i < 2; i++) { /* before there is another ticket */
		meet();
		assert_true(wbi_tls_is_resumed(client.tls));
		wire.back.ended = true;
		assert_int_equal(wbi_tls_read(client.tls, got, sizeof(got)), -ECONNRESET);
		connect_again();
	}
}

/* Another daemon, or the same one started again: it cannot read the ticket, and is asked anew who
 * it is. */
static void test_ticket_of_another_server(void **state)
{
	(void)state;
	meet();
	take_ticket(&client, &server);
	side_close(&server);
	side_open(&server, WBI_TLS_SERVER, OTHER_KEY);
	connect_again();
	meet();
	assert_false(wbi_tls_is_resumed(client.tls));
	expect_peer(&client, OTHER_KEY);
}

static void test_no_ticket_without_a_context(void **state)
{
	(void)state;
	meet();
	take_ticket(&client, &server);
	side_close(&client);
	side_open(&client, WBI_TLS_CLIENT, OTHER_KEY);
	connect_again();
	meet();
	assert_false(wbi_tls_is_resumed(client.tls));
	expect_peer(&server, OTHER_KEY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_both_learn_the_key),
		TEST(test_whose_turn_it_is),
		TEST(test_halves_that_do_not_belong_together),
		TEST(test_judged_before_our_key_is_shown),
		TEST(test_found_wanting),
		TEST(test_resumption_is_judged),
		TEST(test_identity_after_the_hello),
		TEST(test_hello_hears_no_answer),
		TEST(test_nobody_to_show),
		TEST(test_resumption_shows_nobody),
		TEST(test_end_in_one_direction),
		TEST(test_end_that_nobody_said),
		TEST(test_end_in_the_handshake),
		TEST(test_io_that_fails),
		TEST(test_errors_of_others),
		TEST(test_changed_byte),
		TEST(test_changed_handshake),
		TEST(test_resumption),
		TEST(test_no_ticket_for_a_short_call),
		TEST(test_one_ticket),
		TEST(test_ticket_among_bulk_data),
		TEST(test_resumption_after_a_loss),
		TEST(test_ticket_of_another_server),
		TEST(test_no_ticket_without_a_context),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
