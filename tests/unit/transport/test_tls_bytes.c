/* The TLS engine and its bytes: dealt out in every way, gathered, held back, read in part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

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
		expect_read(&server, copy, bytes[i]);
		free(data);
		free(copy);
	}
}

/* Small parts share a record, and records share a write: each write would wake the peer. */
static void test_few_records_and_writes(void **state)
{
	enum { BYTES = 67 + 4 * WBI_TLS_RECORD_BYTES, MANY = 18 * WBI_TLS_RECORD_BYTES };

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
	assert_int_equal(put(&client, data, BYTES), -EPIPE);
	assert_false(wbi_tls_has_unsent(client.tls));
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
	meet();
	carry(&client, &server, data, BIG_BYTES);
	carry(&server, &client, data, BIG_BYTES);
	assert_true(client.tls->records <= 2);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_handshake_in_portions),     TEST(test_large_data_through_a_narrow_pipe),
		TEST(test_what_was_taken_may_change), TEST(test_few_records_and_writes),
		TEST(test_rest_is_not_overtaken),     TEST(test_gathered_in_vain),
		TEST(test_memory_to_gather_in),       TEST(test_both_write_at_once),
		TEST(test_unread_is_known),           TEST(test_first_words_behind_the_handshake),
		TEST(test_keys_change_along_the_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
