/* The TLS engine and its bytes: dealt out in every way, gathered, held back, read in part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>

#include "tls_meeting.h"
#include "transport/tls_state.h"

enum { SEAL_BYTES = 5 + 1 + 16 }; /* that a record adds, RFC 8446, 5.2 */

static void test_handshake_in_portions(void **state)
{
	(void)state;
	for (size_t max = 1; max < 40; max += 3) {
		connect_again();
		for (int i = 0; i < 2; i++) {
			wire.ends[i].read_max = max;
			wire.ends[i].write_max = max + 1;
			wire.ends[i].room = 100;
		}
		for (int i = 0;
		     i < 100000 && !(wbi_tls_is_open(client.tls) && wbi_tls_is_open(server.tls) &&
				     !wbi_tls_has_unsent(client.tls));
		     i++) {
			side_step(&client);
			side_step(&server);
			wbi_tls_flush(client.tls);
			wbi_tls_flush(server.tls);
		}
		expect_open(&client);
		expect_open(&server);
		carry(&client, &server, (const uint8_t *)"to the server", 13);
		carry(&server, &client, (const uint8_t *)"to the client", 13);
	}
}

static void test_large_data_through_a_narrow_pipe(void **state)
{
	uint8_t *data = new_pattern(BIG_BYTES);
	(void)state;

	meet();
	wire.ends[0].room = wire.ends[1].room = 5000;
	wire.ends[1].read_max = 777;
	carry(&client, &server, data, BIG_BYTES);
	carry(&server, &client, data, BIG_BYTES);
	free(data);
}

static void expect_read(struct side *side, const uint8_t *data, size_t bytes)
{
	uint8_t *got = malloc(bytes);
	size_t have = 0;

	while (have < bytes) {
		ssize_t n = wbi_tls_read(side->tls, got + have, bytes - have);

		assert_true(n > 0);
		have += (size_t)n;
	}
	assert_memory_equal(got, data, bytes);
	free(got);
}

/* What a write took is gone from the caller's memory: the rest of its records waits inside. */
static void test_what_was_taken_may_change(void **state)
{
	size_t bytes[] = {WBI_TLS_RECORD_BYTES, 5 * WBI_TLS_RECORD_BYTES};
	(void)state;

	for (int i = 0; i < 2; i++) {
		uint8_t *data = new_pattern(bytes[i]), *copy = new_pattern(bytes[i]);

		meet();
		wire.ends[0].room = wire.there.bytes + 100;
		assert_int_equal(put(&client, data, bytes[i]), bytes[i]);
		assert_true(wbi_tls_has_unsent(client.tls));
		memset(data, 0, bytes[i]);
		assert_int_equal(put(&client, "more", 4), -EAGAIN);
		wire.ends[0].room = 0;
		assert_int_equal(wbi_tls_flush(client.tls), 0);
		assert_false(wbi_tls_has_unsent(client.tls));
		assert_int_equal(client.tls->unsent.room, 0);
		expect_read(&server, copy, bytes[i]);
		free(data);
		free(copy);
	}
}

/* The end is said behind what was written, and counts as said once that has gone. */
static void test_end_behind_the_rest(void **state)
{
	uint8_t *data = new_pattern(WBI_TLS_RECORD_BYTES);
	char got[1];
	(void)state;

	meet();
	wire.ends[0].room = wire.there.bytes + 100;
	assert_int_equal(put(&client, data, WBI_TLS_RECORD_BYTES), WBI_TLS_RECORD_BYTES);
	assert_int_equal(wbi_tls_shutdown(client.tls), -EAGAIN);
	wire.ends[0].room = 0;
	assert_int_equal(wbi_tls_shutdown(client.tls), 0);
	expect_read(&server, data, WBI_TLS_RECORD_BYTES);
	assert_int_equal(wbi_tls_read(server.tls, got, sizeof(got)), 0);
	free(data);
}

/* Small parts share a record, and records share a write: each write would wake the peer. */
static void test_few_records_and_writes(void **state)
{
	enum {
		BYTES = 67 + 4 * WBI_TLS_RECORD_BYTES,
		MANY = 18 * WBI_TLS_RECORD_BYTES,
		FULL = 8 * WBI_TLS_RECORD_BYTES,
	};

	uint8_t *data = new_pattern(MANY);
	struct iovec parts[5] = {{data, 0}, {data, 60}, {data + 60, 0}, {data + 60, 7}};
	unsigned before;
	(void)state;

	meet();
	parts[4] = (struct iovec){data + 67, 4 * WBI_TLS_RECORD_BYTES};
	before = wire.ends[0].writes;
	assert_int_equal(wbi_tls_write(client.tls, parts, 5), BYTES);
	assert_int_equal(wire.ends[0].writes - before, 1);
	assert_int_equal(wire.there.bytes, BYTES + 5 * SEAL_BYTES);
	expect_read(&server, data, BYTES);
	before = wire.ends[0].writes;
	assert_int_equal(put(&client, data, MANY), MANY);
	assert_int_equal(wire.ends[0].writes - before, 3);
	expect_read(&server, data, MANY);
	before = wire.ends[0].writes;
	assert_int_equal(put(&client, data, FULL), FULL);
	assert_int_equal(wire.ends[0].writes - before, 1);
	expect_read(&server, data, FULL);
	free(data);
}

/* An io that takes a part may take more at once: what is behind does not overtake the rest. */
static void test_rest_is_not_overtaken(void **state)
{
	enum { BYTES = 18 * WBI_TLS_RECORD_BYTES };

	uint8_t *data = new_pattern(BYTES);
	(void)state;

	meet();
	wire.ends[0].write_max = 1000;
	carry(&client, &server, data, BYTES);
	free(data);
}

/* Of a large write no more is made and held than is sent at once. */
static void test_little_is_held_for_a_slow_reader(void **state)
{
	uint8_t *data = new_pattern(BIG_BYTES);
	(void)state;

	meet();
	wire.ends[0].room = wire.there.bytes + 1;
	assert_int_equal(put(&client, data, BIG_BYTES), 8 * WBI_TLS_RECORD_BYTES);
	assert_true(client.tls->unsent.room <= WBI_TLS_GATHERED_BYTES);
	free(data);
}

/* The first send fails: there is no second, and the caller hears of it at the next write. */
static void test_gathered_in_vain(void **state)
{
	enum { BYTES = 18 * WBI_TLS_RECORD_BYTES };

	uint8_t *data = new_pattern(BYTES);
	unsigned before;
	(void)state;

	meet();
	before = wire.ends[0].writes;
	wire.ends[0].fail_write = EPIPE;
	assert_in_range(put(&client, data, BYTES), 1, BYTES / 2);
	assert_int_equal(wire.ends[0].writes - before, 1);
	assert_int_equal(wbi_buf_bytes(&client.tls->unsent), 0);
	assert_int_equal(put(&client, data, BYTES), -EPIPE);
	assert_false(wbi_tls_has_unsent(client.tls));
	free(data);
}

/* OpenSSL itself says no: that is an error at once, whether records are gathered or not. */
static void test_nothing_encrypted(void **state)
{
	uint8_t *data = new_pattern(BIG_BYTES);
	(void)state;

	for (int i = 0; i < 2; i++) {
		connect_again();
		meet();
		SSL_set_shutdown(client.tls->ssl, SSL_SENT_SHUTDOWN);
		for (int k = 0; k < 2; k++)
			assert_int_equal(put(&client, data, i ? BIG_BYTES : 1), -EPROTO);
		assert_null(client.tls->gathered);
		assert_int_equal(wire.there.bytes, 0);
	}
	assert_non_null(client.context->spare);
	free(data);
}

/* What is larger than the memory to gather in goes by itself, behind what is in there. */
static void test_more_than_is_gathered(void **state)
{
	uint8_t *data = new_pattern(2 * WBI_TLS_GATHERED_BYTES);
	struct wbi_tls_gathered *gathered = malloc(sizeof(*gathered));
	unsigned before;
	BIO *bio;
	(void)state;

	meet();
	assert_non_null(gathered);
	bio = SSL_get_wbio(client.tls->ssl);
	for (int small = 0; small < 2; small++) {
		gathered->bytes = 0;
		client.tls->gathered = gathered;
		before = wire.ends[0].writes;
		wire.there.bytes = 0;
		if (small)
			assert_int_equal(BIO_write(bio, data, 1), 1);
		assert_int_equal(BIO_write(bio, data + small, WBI_TLS_GATHERED_BYTES + 1),
				 WBI_TLS_GATHERED_BYTES + 1);
		assert_int_equal(wire.ends[0].writes - before, 1 + small);
		assert_int_equal(wire.there.bytes, WBI_TLS_GATHERED_BYTES + 1 + small);
		assert_memory_equal(wire.there.data, data, wire.there.bytes);
		client.tls->gathered = NULL;
	}
	free(gathered);
	free(data);
}

/* A connection at rest holds none of it. */
static void test_memory_to_gather_in(void **state)
{
	uint8_t *data = new_pattern(BIG_BYTES);
	struct wbi_tls_gathered *first;
	(void)state;

	meet();
	carry(&client, &server, data, WBI_TLS_RECORD_BYTES);
	assert_null(client.context->spare);
	carry(&client, &server, data, BIG_BYTES);
	assert_null(client.tls->gathered);
	first = client.context->spare;
	assert_non_null(first);
	connect_again();
	meet();
	carry(&client, &server, data, BIG_BYTES);
	assert_ptr_equal(client.context->spare, first);
	assert_true(SSL_get_mode(client.tls->ssl) & SSL_MODE_RELEASE_BUFFERS);
	free(data);
}

/* A connection of its own for a thread, over contexts that all share. In a thread no assert can end
 * the test: what it returns tells. */
static void *carry_much(void *context)
{
	enum { ROUNDS = 40, BYTES = 10 * WBI_TLS_RECORD_BYTES, STEPS = 100 };

	uint8_t *data = context, *got = malloc(BYTES);
	struct side from = {.context = client.context}, to = {.context = server.context};
	struct wire own;
	bool good = got != NULL, done = false;

	wire_open(&own);
	side_connect(&from, &own.ends[0]);
	side_connect(&to, &own.ends[1]);
	for (int i = 0; i < STEPS && !done; i++) {
		done = side_step(&from);
		done = side_step(&to) && done;
	}
	for (int i = 0; i < ROUNDS && good; i++) {
		good = put(&from, data + i, BYTES) == BYTES;
		for (size_t have = 0; have < BYTES && good;) {
			ssize_t n = wbi_tls_read(to.tls, got + have, BYTES - have);

			good = n > 0;
			have += good ? (size_t)n : 0;
		}
		good = good && memcmp(got, data + i, BYTES) == 0;
	}
	wbi_tls_free(from.tls);
	wbi_tls_free(to.tls);
	wire_close(&own);
	free(got);
	return good ? context : NULL;
}

static void test_threads_share_the_memory(void **state)
{
	enum { THREADS = 4 };

	uint8_t *data = new_pattern(BIG_BYTES);
	pthread_t threads[THREADS];
	void *result;
	(void)state;

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, carry_much, data), 0);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_ptr_equal(result, data);
	}
	assert_non_null(client.context->spare);
	free(data);
}

/* Both write more than the other takes, and go on reading: neither waits for the other for ever. */
static void test_both_write_at_once(void **state)
{
	uint8_t *data = new_pattern(BIG_BYTES);
	struct side *sides[] = {&client, &server};
	ssize_t taken[2];
	(void)state;

	meet();
	for (int i = 0; i < 2; i++) {
		wire.ends[i].room = 1000;
		taken[i] = put(sides[i], data, BIG_BYTES);
		assert_true(taken[i] > 0);
		assert_true(wbi_tls_has_unsent(sides[i]->tls));
		assert_false(wbi_tls_is_choked(sides[i]->tls));
	}
	for (int i = 0; i < 2; i++)
		wire.ends[i].room = 0;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(wbi_tls_flush(sides[i]->tls), 0);
		expect_read(sides[1 - i], data, (size_t)taken[i]);
	}
	free(data);
}

/* A read that fills its buffer leaves the rest, and says that it is there. */
static void test_unread_is_known(void **state)
{
	char got[16];
	(void)state;

	meet();
	assert_int_equal(wbi_tls_read(server.tls, got, sizeof(got)), -EAGAIN);
	assert_false(wbi_tls_has_unread(server.tls));
	assert_int_equal(put(&client, "0123456789", 10), 10);
	assert_int_equal(wbi_tls_read(server.tls, got, 4), 4);
	assert_true(wbi_tls_has_unread(server.tls));
	assert_int_equal(wire.there.bytes, 0);
	assert_int_equal(wbi_tls_read(server.tls, got + 4, 12), 6);
	assert_memory_equal(got, "0123456789", 10);
	assert_false(wbi_tls_has_unread(server.tls));
	assert_int_equal(put(&client, "last", 4), 4);
	assert_int_equal(wbi_tls_shutdown(client.tls), 0);
	assert_int_equal(wbi_tls_read(server.tls, got, sizeof(got)), 4);
	assert_true(wbi_tls_has_unread(server.tls)); /* that it was the last */
	assert_int_equal(wbi_tls_read(server.tls, got, sizeof(got)), 0);
}

/* The io is asked once for each record, and not again where it has just had less than was asked. */
static void test_few_reads(void **state)
{
	enum { RECORDS = 8 };

	uint8_t *data = new_pattern(RECORDS * WBI_TLS_RECORD_BYTES);
	char got[16];
	unsigned before;
	(void)state;

	meet();
	assert_int_equal(put(&client, "0123456789", 10), 10);
	before = wire.ends[1].reads;
	assert_int_equal(wbi_tls_read(server.tls, got, sizeof(got)), 10);
	assert_int_equal(wire.ends[1].reads - before, 1);
	assert_int_equal(put(&client, data, RECORDS * WBI_TLS_RECORD_BYTES),
			 RECORDS * WBI_TLS_RECORD_BYTES);
	before = wire.ends[1].reads;
	expect_read(&server, data, RECORDS * WBI_TLS_RECORD_BYTES);
	assert_in_range(wire.ends[1].reads - before, RECORDS, RECORDS + 1);
	free(data);
}

/* ---- answers that nobody takes ---- */

/* As if a peer had asked for so much. */
static void leave_unsent(struct side *side, size_t bytes)
{
	uint8_t *data = new_pattern(bytes);

	assert_int_equal(wbi_buf_append(&side->tls->unsent, data, bytes), WB_OK);
	free(data);
}

static void ask_for_a_key(struct side *side)
{
	assert_int_equal(SSL_key_update(side->tls->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
	assert_int_equal(SSL_do_handshake(side->tls->ssl), 1);
}

static void test_nothing_is_read_while_choked(void **state)
{
	char got[8];
	(void)state;

	meet();
	wire.ends[1].fail_write = EAGAIN;
	leave_unsent(&server, WBI_TLS_UNSENT_BYTES);
	assert_true(wbi_tls_is_choked(server.tls));
	assert_int_equal(put(&client, "x", 1), 1);
	assert_int_equal(wbi_tls_read(server.tls, got, sizeof(got)), -EAGAIN);
	assert_true(wire.there.bytes > 0);
}

/* Its alert is what nobody takes; that it has failed is told nevertheless. */
static void test_failure_while_choked(void **state)
{
	char got[8];
	(void)state;

	meet();
	wire.ends[1].fail_write = EAGAIN;
	leave_unsent(&server, WBI_TLS_UNSENT_BYTES - 1);
	assert_int_equal(put(&client, "x", 1), 1);
	wire.there.data[wire.there.bytes - 1] ^= 1;
	assert_int_equal(wbi_tls_read(server.tls, got, sizeof(got)), -EPROTO);
	assert_true(wbi_buf_bytes(&server.tls->unsent) >= WBI_TLS_UNSENT_BYTES);
	assert_false(wbi_tls_is_choked(server.tls));
	assert_true(wbi_tls_has_unread(server.tls));
}

/* What cannot be kept is an error of the next write, and nobody waits to send the rest. */
static void test_no_memory_for_what_is_unsent(void **state)
{
	char got[8];
	(void)state;

	meet();
	wire.ends[1].fail_write = EAGAIN;
	server.tls->unsent.limit = 10;
	leave_unsent(&server, 10);
	assert_true(wbi_tls_has_unsent(server.tls));
	for (int i = 0; i < 2; i++) { /* one is answered when the next comes */
		ask_for_a_key(&client);
		assert_int_equal(put(&client, "x", 1), 1);
		assert_int_equal(wbi_tls_read(server.tls, got, sizeof(got)), 1);
	}
	assert_int_equal(wbi_buf_bytes(&server.tls->unsent), 10);
	assert_false(wbi_tls_has_unsent(server.tls));
	assert_int_equal(put(&server, "x", 1), -ENOBUFS);
}

/* ---- messages of TLS's own ---- */

static int enlarge_ticket(SSL *ssl, void *context)
{
	static const uint8_t padding[2000];
	(void)context;

	return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), padding, sizeof(padding));
}

/* One of several records came in part, and its rest is no good: a writer hears of it, too. */
static void test_message_with_a_bad_rest(void **state)
{
	char got[8];
	(void)state;

	meet();
	SSL_CTX_set_session_ticket_cb(server.context->ssl_context, enlarge_ticket, NULL, NULL);
	SSL_set_max_send_fragment(server.tls->ssl, 512);
	assert_int_equal(SSL_new_session_ticket(server.tls->ssl), 1);
	assert_int_equal(SSL_do_handshake(server.tls->ssl), 1);
	wire.ends[0].read_max = 600;
	assert_int_equal(wbi_tls_read(client.tls, got, sizeof(got)), -EAGAIN);
	assert_true(wbi_tls_is_interrupted(client.tls));
	wire.back.data[wire.back.bytes - 1] ^= 1;
	wire.ends[0].read_max = 0;
	assert_int_equal(put(&client, "x", 1), -EPROTO);
	expect_fault(&client, WB_ERR_MALFORMED, "bad record mac");
}

static unsigned key_updates;

static void count_key_updates(int is_written, int version, int type, const void *data, size_t bytes,
			      SSL *ssl, void *context)
{
	const uint8_t *message = data;

	if (type == SSL3_RT_HANDSHAKE && message[0] == SSL3_MT_KEY_UPDATE) {
		key_updates++;
		assert_int_equal(message[bytes - 1], SSL_KEY_UPDATE_NOT_REQUESTED);
	}
	wbi_tls_on_message(is_written, version, type, data, bytes, ssl, context);
}

/* The first words may come with the end of the handshake: OpenSSL before 3.2 has taken them in by
 * then, and nothing in the io tells of them. */
static void test_first_words_behind_the_handshake(void **state)
{
	char got[16];
	(void)state;

	side_step(&client);
	side_step(&server);
	assert_true(side_step(&client));
	assert_int_equal(put(&client, "hello", 5), 5);
	assert_true(side_step(&server));
	assert_true(wbi_tls_has_unread(server.tls));
	assert_int_equal(wbi_tls_read(server.tls, got, sizeof(got)), 5);
}

static void test_keys_change_along_the_way(void **state)
{
	uint8_t *data = new_pattern(BIG_BYTES);
	(void)state;

	client.context->rekey_after = 2;
	key_updates = 0;
	meet();
	SSL_set_msg_callback(server.tls->ssl, count_key_updates);
	carry(&client, &server, data, BIG_BYTES);
	assert_in_range(key_updates, BIG_BYTES / WBI_TLS_RECORD_BYTES / 3, BIG_BYTES);
	carry(&server, &client, data, BIG_BYTES);
	assert_true(client.tls->records <= 2);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_handshake_in_portions),
		TEST(test_large_data_through_a_narrow_pipe),
		TEST(test_what_was_taken_may_change),
		TEST(test_end_behind_the_rest),
		TEST(test_few_records_and_writes),
		TEST(test_rest_is_not_overtaken),
		TEST(test_little_is_held_for_a_slow_reader),
		TEST(test_gathered_in_vain),
		TEST(test_nothing_encrypted),
		TEST(test_more_than_is_gathered),
		TEST(test_memory_to_gather_in),
		TEST(test_threads_share_the_memory),
		TEST(test_both_write_at_once),
		TEST(test_unread_is_known),
		TEST(test_few_reads),
		TEST(test_nothing_is_read_while_choked),
		TEST(test_failure_while_choked),
		TEST(test_no_memory_for_what_is_unsent),
		TEST(test_message_with_a_bad_rest),
		TEST(test_first_words_behind_the_handshake),
		TEST(test_keys_change_along_the_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
