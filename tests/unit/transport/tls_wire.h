/* Two TLS engines, or one and a foreign peer, with nothing but memory between them. */
#ifndef TLS_WIRE_H
#define TLS_WIRE_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/tls.h"

enum { PIPE_BYTES = 1 << 20 };

struct pipe {
	uint8_t *data;
	size_t bytes;
	bool ended;
};

/* What one side sees; its limits say how the bytes are dealt out. */
struct end {
	struct pipe *in, *out;
	size_t read_max;  /* 0: no limit */
	size_t write_max; /* at once; 0: no limit */
	size_t room;      /* in flight; 0: PIPE_BYTES */
	int fail_read;    /* errno */
	int fail_write;
	unsigned reads, writes;
};

struct wire {
	struct pipe there, back;
	struct end ends[2];
};

static inline ssize_t end_read(void *context, void *data, size_t bytes)
{
	struct end *end = context;
	struct pipe *in = end->in;

	end->reads++;
	if (end->fail_read)
		return -end->fail_read;
	if (in->bytes == 0)
		return in->ended ? 0 : -EAGAIN;
	if (bytes > in->bytes)
		bytes = in->bytes;
	if (end->read_max && bytes > end->read_max)
		bytes = end->read_max;
	memcpy(data, in->data, bytes);
	in->bytes -= bytes;
	memmove(in->data, in->data + bytes, in->bytes);
	return (ssize_t)bytes;
}

static inline ssize_t end_write(void *context, const void *data, size_t bytes)
{
	struct end *end = context;
	struct pipe *out = end->out;
	size_t room = (end->room ? end->room : PIPE_BYTES) - out->bytes;

	end->writes++;
	if (end->fail_write)
		return -end->fail_write;
	if (out->bytes >= (end->room ? end->room : PIPE_BYTES))
		return -EAGAIN;
	if (bytes > room)
		bytes = room;
	if (end->write_max && bytes > end->write_max)
		bytes = end->write_max;
	memcpy(out->data + out->bytes, data, bytes);
	out->bytes += bytes;
	return (ssize_t)bytes;
}

static const struct wbi_tls_io wire_io = {.read = end_read, .write = end_write};

static inline void wire_open(struct wire *wire)
{
	*wire = (struct wire){.there = {.data = malloc(PIPE_BYTES)},
			      .back = {.data = malloc(PIPE_BYTES)}};
	assert_non_null(wire->there.data);
	assert_non_null(wire->back.data);
	wire->ends[0] = (struct end){.in = &wire->back, .out = &wire->there};
	wire->ends[1] = (struct end){.in = &wire->there, .out = &wire->back};
}

static inline void wire_close(struct wire *wire)
{
	free(wire->there.data);
	free(wire->back.data);
}

/* ---- our own side ---- */

struct side {
	struct wbi_identity *identity;
	struct wbi_tls_context *context;
	struct wbi_tls *tls;
};

static inline struct wbi_private_key private_key(uint8_t number)
{
	const uint8_t seed[WBI_PRIVATE_KEY_SEED_BYTES] = {number};
	struct wbi_private_key key;

	assert_int_equal(wbi_private_key_from_seed(seed, "", 0, &key, NULL), WB_OK);
	return key;
}

static inline void side_connect(struct side *side, struct end *end)
{
	wbi_tls_free(side->tls);
	assert_int_equal(wbi_tls_new(side->context, &side->tls, NULL), WB_OK);
	wbi_tls_set_io(side->tls, &wire_io, end);
}

static inline void side_open(struct side *side, enum wbi_tls_role role, uint8_t number)
{
	struct wbi_private_key key = private_key(number);
	struct wb_fault fault;

	*side = (struct side){0};
	assert_int_equal(wbi_identity_new(&key, &side->identity, NULL), WB_OK);
	if (wbi_tls_context_new(role, side->identity, &side->context, &fault))
		fail_msg("%s", fault.text);
}

static inline void side_close(struct side *side)
{
	wbi_tls_free(side->tls);
	wbi_tls_context_free(side->context);
	wbi_identity_free(side->identity);
}

/* One step of a handshake. Returns whether it is over, well or not. */
static inline bool side_step(struct side *side)
{
	bool done = false;

	return wbi_tls_handshake(side->tls, &done, NULL) != WB_OK || done;
}

/* Both ends of a connection of ours, from a client's and a server's side. */
static inline void shake_hands(struct side *client, struct side *server)
{
	for (int i = 0; i < 100000; i++) {
		bool over = side_step(client);

		if (side_step(server) && over)
			return;
	}
	fail_msg("the handshake has no end");
}

static inline void expect_open(const struct side *side)
{
	const struct wb_fault *fault = wbi_tls_fault(side->tls);

	if (!wbi_tls_is_open(side->tls))
		fail_msg("not open: %s", fault ? fault->text : "still shaking hands");
}

static inline void expect_fault(const struct side *side, enum wb_err err, const char *words)
{
	const struct wb_fault *fault = wbi_tls_fault(side->tls);

	if (!fault)
		fail_msg("it has not failed; wanted: %s", words);
	if (fault->err != err || !strstr(fault->text, words))
		fail_msg("%s: %s; wanted %s: %s", wb_err_name(fault->err), fault->text,
			 wb_err_name(err), words);
}

static inline ssize_t put(struct side *side, const void *data, size_t bytes)
{
	struct iovec part = {(void *)data, bytes};

	return wbi_tls_write(side->tls, &part, 1);
}

/* A server gives its ticket to a client that stays. */
static inline void take_ticket(struct side *client, struct side *server)
{
	char got[WBI_TLS_TICKET_AT + 1];

	for (int i = 0; i < WBI_TLS_TICKET_AT; i++)
		assert_int_equal(put(server, "x", 1), 1);
	assert_int_equal(wbi_tls_read(client->tls, got, sizeof(got)), WBI_TLS_TICKET_AT);
}

#endif
