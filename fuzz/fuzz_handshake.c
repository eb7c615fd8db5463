/* Bytes into the TLS engine before the peer is known, as a server and as a client.
 *
 * The first byte chooses. Either the input is all that the peer says: then the engine must not take
 * it for a peer, must not answer without end, and once it has failed must stay so. Or the input
 * changes bytes of an honest handshake on their way (offset, mask; three bytes a change): then the
 * engine must take nobody for anybody but the honest peer. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

enum { AS_CLIENT = 1, CHANGED = 2, HEAD_BYTES = 2, STREAM_BYTES = 65536, ROUNDS = 8 };

/* All that one side has said. */
struct stream {
	uint8_t data[STREAM_BYTES];
	size_t bytes, read;
};

/* What an engine reads and writes. */
struct end {
	struct stream *in, *out;
	size_t piece;
	const uint8_t *changes;
	size_t change_bytes;
};

static ssize_t end_read(void *context, void *data, size_t bytes)
{
	struct end *end = context;
	size_t left = end->in->bytes - end->in->read;
	size_t n = bytes < left ? bytes : left;
	uint8_t *out = data;

	if (n > end->piece)
		n = end->piece;
	if (n == 0)
		return -EAGAIN;
	memcpy(data, end->in->data + end->in->read, n);
	for (size_t i = 0; i + 3 <= end->change_bytes; i += 3) {
		size_t at = (size_t)end->changes[i] << 8 | end->changes[i + 1];

		if (at >= end->in->read && at < end->in->read + n)
			out[at - end->in->read] ^= end->changes[i + 2];
	}
	end->in->read += n;
	return (ssize_t)n;
}

static ssize_t end_write(void *context, const void *data, size_t bytes)
{
	struct stream *out = ((struct end *)context)->out;

	CHECK(bytes <= STREAM_BYTES - out->bytes); /* no answer is that long */
	memcpy(out->data + out->bytes, data, bytes);
	out->bytes += bytes;
	return (ssize_t)bytes;
}

static const struct wbi_tls_io io = {.read = end_read, .write = end_write};

/* ---- made once ---- */

static struct wbi_tls_context *contexts[2];
static struct wbi_public_key keys[2];

static void make_contexts(void)
{
	for (int role = 0; role < 2; role++) {
		const uint8_t seed[WBI_PRIVATE_KEY_SEED_BYTES] = {(uint8_t)(role + 1)};
		struct wbi_private_key key;
		struct wbi_identity *identity;

		CHECK(wbi_private_key_from_seed(seed, "", 0, &key, NULL) == WB_OK);
		CHECK(wbi_identity_new(&key, &identity, NULL) == WB_OK);
		CHECK(wbi_tls_context_new((enum wbi_tls_role)role, identity, &contexts[role],
					  NULL) == WB_OK);
		keys[role] = key.public_key;
	}
}

static struct wbi_tls *new_tls(int role, struct end *end)
{
	struct wbi_tls *tls;

	CHECK(wbi_tls_new(contexts[role], &tls, NULL) == WB_OK);
	wbi_tls_set_io(tls, &io, end);
	return tls;
}

/* ---- one step, and what must hold after it ---- */

static void step(struct wbi_tls *tls)
{
	bool done = false, failed = wbi_tls_fault(tls) != NULL;
	enum wb_err err = wbi_tls_handshake(tls, &done, NULL);
	char plain[64];
	ssize_t n;

	CHECK(!failed || err);
	CHECK((err != WB_OK) == (wbi_tls_fault(tls) != NULL));
	CHECK(done == wbi_tls_is_open(tls));
	n = wbi_tls_read(tls, plain, sizeof(plain));
	CHECK(!err || (n < 0 && n != -EAGAIN));
	CHECK(n <= 0 || wbi_tls_peer(tls));
}

static void speak_for_the_peer(int role, size_t piece, const uint8_t *data, size_t bytes)
{
	static struct stream in, out;
	struct end end = {.in = &in, .out = &out, .piece = piece};
	struct wbi_tls *tls = new_tls(role, &end);

	in.bytes = bytes < STREAM_BYTES ? bytes : STREAM_BYTES;
	in.read = out.bytes = 0;
	if (in.bytes > 0)
		memcpy(in.data, data, in.bytes);
	do {
		step(tls);
		CHECK(!wbi_tls_is_open(tls) && !wbi_tls_peer(tls));
	} while (in.read < in.bytes && !wbi_tls_fault(tls));
	CHECK(out.bytes < 8192);
	wbi_tls_free(tls);
}

static void change_on_the_way(int role, size_t piece, const uint8_t *changes, size_t bytes)
{
	static struct stream there, back;
	struct end end = {.in = &there, .out = &back, .piece = piece};
	struct end honest_end = {.in = &back, .out = &there, .piece = STREAM_BYTES};
	struct wbi_tls *tls = new_tls(role, &end), *honest = new_tls(!role, &honest_end);

	there.bytes = there.read = back.bytes = back.read = 0;
	end.changes = changes;
	end.change_bytes = bytes;
	for (int i = 0; i < ROUNDS; i++) {
		size_t before;

		step(honest);
		do {
			before = there.read;
			step(tls);
		} while (there.read > before);
		CHECK(!wbi_tls_peer(tls) || wbi_public_key_equal(wbi_tls_peer(tls), &keys[!role]));
	}
	wbi_tls_free(tls);
	wbi_tls_free(honest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	int role;
	size_t piece;

	if (bytes < HEAD_BYTES)
		return 0;
	if (!contexts[0])
		make_contexts();
	role = data[0] & AS_CLIENT ? WBI_TLS_CLIENT : WBI_TLS_SERVER;
	piece = data[1] ? data[1] : STREAM_BYTES;
	if (data[0] & CHANGED)
		change_on_the_way(role, piece, data + HEAD_BYTES, bytes - HEAD_BYTES);
	else
		speak_for_the_peer(role, piece, data + HEAD_BYTES, bytes - HEAD_BYTES);
	return 0;
}
