/* A client and a server of the engine, joined by memory: what the unit tests of sessions stand on.
 */
#ifndef TEST_SESSION_PAIR_H
#define TEST_SESSION_PAIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "session/session.h"
#include "waybill/parcel.h"

enum { CLIENT_END, SERVER_END, LOG_MAX = 4096, WIRE_MAX = 4 << 20 };

struct wire {
	uint8_t *data;
	size_t bytes, read;
};

struct pair {
	uint64_t now_ms;
	size_t step; /* bytes that arrive at once; 0: all */
	struct wbi_session_config config[2];
	struct wbi_session *session[2];
	struct wbi_carrier *carrier[2];
	struct wire wire[2];  /* by who writes */
	char log[2][LOG_MAX]; /* names of events, a space behind each */
	struct wbi_problem problem[2];
	char reason[2][64];
	/* of the last such event at each end */
	struct wbi_call *call[2];
	char payload[256];
	char signal[WBI_SIGNAL_NAME_MAX];
	/* what each end received of stream 0, 1, 2, consumed at once unless told otherwise */
	struct wire got[3];
	bool hold;
};

static inline void wire_add(struct wire *wire, const void *data, size_t bytes)
{
	if (!wire->data)
		wire->data = malloc(WIRE_MAX);
	assert_non_null(wire->data);
	assert_true(wire->bytes + bytes <= WIRE_MAX);
	memcpy(wire->data + wire->bytes, data, bytes);
	wire->bytes += bytes;
}

static inline struct wbi_session_config config_of(enum wbi_role role)
{
	struct wbi_session_config config = {
		.role = role, .limits = wbi_session_limits_default, .agent = "test"};

	memset(config.instance, 7, sizeof(config.instance));
	return config;
}

static inline void pair_init(struct pair *pair)
{
	uint8_t id[WBI_SESSION_ID_BYTES] = {1}, secret[WBI_SECRET_BYTES] = {2};

	*pair = (struct pair){.now_ms = 1000};
	pair->config[0] = config_of(WBI_CLIENT);
	pair->config[1] = config_of(WBI_SERVER);
	assert_int_equal(wbi_session_new(&pair->config[0], id, secret, pair->now_ms,
					 &pair->session[0], NULL),
			 WB_OK);
}

static inline void pair_hang_up(struct pair *pair)
{
	for (int end = 0; end < 2; end++) {
		wbi_carrier_free(pair->carrier[end]);
		pair->carrier[end] = NULL;
		pair->wire[end].bytes = pair->wire[end].read = 0;
	}
}

static inline void pair_done(struct pair *pair)
{
	pair_hang_up(pair);
	for (int end = 0; end < 2; end++) {
		wbi_session_free(pair->session[end]);
		free(pair->wire[end].data);
	}
	for (int i = 0; i < 3; i++)
		free(pair->got[i].data);
}

/* New carriers at both ends; the client says `hello`. */
static inline void pair_dial(struct pair *pair)
{
	pair_hang_up(pair);
	for (int end = 0; end < 2; end++)
		assert_int_equal(
			wbi_carrier_new(&pair->config[end], pair->now_ms, &pair->carrier[end]),
			WB_OK);
	assert_int_equal(wbi_session_attach(pair->session[0], pair->carrier[0], pair->now_ms, NULL),
			 WB_OK);
}

static inline void note(struct pair *pair, int end, enum wbi_event_kind kind)
{
	size_t used = strlen(pair->log[end]);

	snprintf(pair->log[end] + used, LOG_MAX - used, "%s ", wbi_event_name(kind));
}

static inline void accept_hello(struct pair *pair, const struct wbi_event *event)
{
	if (!pair->session[1])
		assert_int_equal(wbi_session_new(&pair->config[1], event->hello->session,
						 event->hello->secret, pair->now_ms,
						 &pair->session[1], NULL),
				 WB_OK);
	(void)!wbi_session_attach(pair->session[1], pair->carrier[1], pair->now_ms, NULL);
}

static inline void take_event(struct pair *pair, int end, const struct wbi_event *event)
{
	note(pair, end, event->kind);
	switch (event->kind) {
	case WBI_EVENT_HELLO:
		accept_hello(pair, event);
		break;
	case WBI_EVENT_OPEN:
		snprintf(pair->payload, sizeof(pair->payload), "%.*s", (int)event->data.bytes,
			 (const char *)event->data.data);
		pair->call[end] = event->call;
		break;
	case WBI_EVENT_SIGNAL:
		strcpy(pair->signal, event->text);
		break;
	case WBI_EVENT_DATA:
		assert_int_equal(event->offset, event->stream->offset - event->data.bytes);
		wire_add(&pair->got[event->stream->number], event->data.data, event->data.bytes);
		if (!pair->hold)
			wbi_stream_consume(event->stream, event->data.bytes);
		break;
	case WBI_EVENT_ERROR:
		pair->problem[end] = *event->problem;
		break;
	case WBI_EVENT_CLOSED:
		strcpy(pair->reason[end], event->text);
		break;
	default:
		break;
	}
}

/* Lets one end read what has arrived: a copy of exactly that, so that a sanitizer sees a look
 * beyond it. */
static inline bool pair_read(struct pair *pair, int end, size_t arrived)
{
	struct wire *wire = &pair->wire[1 - end];
	struct wbi_event event;
	bool any = false;

	for (;;) {
		size_t bytes = arrived - wire->read, took = 0;
		uint8_t *copy = malloc(bytes ? bytes : 1);
		enum wbi_event_kind kind;

		assert_non_null(copy);
		if (bytes)
			memcpy(copy, wire->data + wire->read, bytes);
		kind = wbi_carrier_read(pair->carrier[end], copy, bytes, pair->now_ms, &took,
					&event);
		assert_true(took <= bytes);
		wire->read += took;
		if (kind)
			take_event(pair, end, &event);
		free(copy);
		if (!kind)
			return any;
		any = true;
	}
}

static inline bool pair_write(struct pair *pair, int end)
{
	struct iovec parts[8];
	int count = wbi_carrier_peek(pair->carrier[end], parts, 8, pair->now_ms);
	size_t bytes = 0;

	for (int i = 0; i < count; i++) {
		wire_add(&pair->wire[end], parts[i].iov_base, parts[i].iov_len);
		bytes += parts[i].iov_len;
	}
	wbi_carrier_ack(pair->carrier[end], bytes);
	return count > 0;
}

static inline bool pair_deliver(struct pair *pair, int end)
{
	struct wire *wire = &pair->wire[1 - end];
	size_t arrived = wire->read;
	bool any = pair_read(pair, end, arrived);

	while (arrived < wire->bytes) {
		arrived += pair->step && pair->step < wire->bytes - arrived ? pair->step
									    : wire->bytes - arrived;
		pair_read(pair, end, arrived);
		any = true;
	}
	if (wire->read == wire->bytes)
		wire->read = wire->bytes = 0;
	return any;
}

/* Until nothing moves. */
static inline void pair_pump(struct pair *pair)
{
	bool any = true;

	while (any) {
		any = false;
		for (int end = 0; end < 2; end++) {
			any |= pair_write(pair, end);
			any |= pair_deliver(pair, 1 - end);
		}
	}
}

static inline void pair_connect(struct pair *pair)
{
	pair_dial(pair);
	pair_pump(pair);
}

static inline struct wbi_call *pair_open(struct pair *pair, uint16_t up, uint16_t down)
{
	struct wbi_open open = {
		.service = "exec", .up = up, .down = down, .payload = {(const uint8_t *)"true", 5}};

	assert_int_equal(wbi_call_open(pair->session[0], &open, &pair->call[0], NULL), WB_OK);
	return pair->call[0];
}

/* A source over memory that lies still. */
struct bytes {
	struct wbi_source source;
	const uint8_t *data;
	uint64_t base, released;
	unsigned peeks;
};

static inline struct wbi_slice bytes_peek(struct wbi_source *source, uint64_t offset, size_t most)
{
	struct bytes *bytes = WBI_CONTAINER(source, struct bytes, source);

	assert_true(offset >= bytes->released && offset + most <= source->end);
	bytes->peeks++;
	return (struct wbi_slice){bytes->data + (offset - bytes->base), most};
}

static inline void bytes_release(struct wbi_source *source, uint64_t offset)
{
	WBI_CONTAINER(source, struct bytes, source)->released = offset;
}

static const struct wbi_source_ops bytes_ops = {bytes_peek, bytes_release};

static inline struct bytes make_bytes(const void *data, uint64_t base, size_t count)
{
	return (struct bytes){.source = {.ops = &bytes_ops, .end = base + count, .ended = true},
			      .data = data,
			      .base = base,
			      .released = base};
}

/* Writes a parcel of the test's own into what `end` sends. */
static inline void pair_forge(struct pair *pair, int end, const char *header, const char *payload)
{
	uint8_t length[4];

	assert_int_equal(wb_length_encode(WB_LENGTH_U32_LE, strlen(header), length, NULL), WB_OK);
	wire_add(&pair->wire[end], length, 4);
	wire_add(&pair->wire[end], header, strlen(header));
	wire_add(&pair->wire[end], payload, strlen(payload));
}

#define assert_log(pair, end, text)                                                                \
	do {                                                                                       \
		assert_string_equal((pair)->log[end], text);                                       \
		(pair)->log[end][0] = '\0';                                                        \
	} while (0)

#endif
