/* A session's engine against a peer that says anything, in any order, in random pieces.
 *
 * The first byte chooses the role, and whether the peer has been greeted; the second seeds pieces
 * and what the owner does. The rest is what the peer says, one header a line (its length is put
 * before it); a line that begins with '=' is payload; one with '!' hangs up, and a new connection
 * greets. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/session.h"
#include "waybill/length.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#define HELLO                                                                                      \
	"{\"op\":\"hello\",\"waybill\":1,\"session\":\"01010101010101010101010101010101\","        \
	"\"secret\":\"0202020202020202020202020202020202020202020202020202020202020202\","         \
	"\"epoch\":%u,\"digests\":[\"xxh128\"]}"
#define WELCOME                                                                                    \
	"{\"op\":\"welcome\",\"waybill\":1,\"instance\":\"03030303030303030303030303030303\","     \
	"\"born\":1,\"resumed\":%s,\"digest\":\"xxh128\",\"hold_ms\":60000}"

enum { INPUT_MAX = 1 << 16, CALLS = 4, FEED_BYTES = 40000 };

static struct {
	enum wbi_role role;
	bool greets;
	uint32_t chance;
	uint64_t now_ms;
	struct wbi_session_config config;
	struct wbi_session *session;
	struct wbi_carrier *carrier;
	uint8_t input[INPUT_MAX];
	size_t bytes;
	bool closed, failed;
} peer;

static const uint8_t feed_bytes[FEED_BYTES];

static struct wbi_slice feed_peek(struct wbi_source *source, uint64_t offset, size_t most)
{
	CHECK(most > 0 && offset < source->end && offset + most <= FEED_BYTES);
	return (struct wbi_slice){feed_bytes + offset, most};
}

static const struct wbi_source_ops feed_ops = {feed_peek, NULL};
static struct wbi_source feed = {.ops = &feed_ops, .end = FEED_BYTES, .ended = true};

static unsigned below(unsigned n)
{
	peer.chance = peer.chance * 1664525u + 1013904223u;
	return (peer.chance >> 16) % n;
}

static void feed_streams(struct wbi_call *call)
{
	for (unsigned i = 0; i < call->stream_count; i++) {
		if (call->streams[i].sends && below(3))
			wbi_stream_set_source(&call->streams[i], &feed);
	}
}

static void open_calls(void)
{
	struct wbi_open open = {.service = "exec", .up = 1, .down = 6};
	struct wbi_call *call;

	for (int i = 0; i < CALLS; i++) {
		CHECK(!wbi_call_open(peer.session, &open, &call, NULL));
		feed_streams(call);
	}
}

static void serve(const struct wbi_event *event)
{
	const struct wbi_exit end = {.outcome = WBI_OUTCOME_EXITED};
	struct wbi_call *call = event->call;

	if (below(4)) {
		CHECK(!wbi_call_accept(call, NULL, NULL, NULL, NULL));
		feed_streams(call);
	}
	if (!below(3))
		wbi_call_exit(call, &end);
}

static void take_event(const struct wbi_event *event)
{
	switch (event->kind) {
	case WBI_EVENT_HELLO:
		if (!peer.session)
			CHECK(!wbi_session_new(&peer.config, event->hello->session,
					       event->hello->secret, peer.now_ms, &peer.session,
					       NULL));
		(void)!wbi_session_attach(peer.session, peer.carrier, peer.now_ms, NULL);
		break;
	case WBI_EVENT_OPEN:
		serve(event);
		break;
	case WBI_EVENT_DATA:
		CHECK(event->data.bytes > 0);
		if (below(3))
			wbi_stream_consume(event->stream, event->data.bytes);
		else if (!below(8))
			wbi_stream_reset(event->stream);
		break;
	case WBI_EVENT_EXIT:
		if (below(2))
			wbi_call_release(event->call);
		break;
	case WBI_EVENT_ERROR:
		CHECK(!peer.failed);
		peer.failed = true;
		break;
	case WBI_EVENT_CLOSED:
		CHECK(!peer.closed && wbi_carrier_closed(peer.carrier));
		peer.closed = true;
		break;
	default:
		CHECK(!peer.closed);
	}
}

static void write_some(void)
{
	struct iovec parts[4];
	int count = wbi_carrier_peek(peer.carrier, parts, 4, peer.now_ms);
	size_t bytes = 0;

	for (int i = 0; i < count; i++) {
		CHECK(parts[i].iov_len > 0);
		bytes += parts[i].iov_len;
	}
	if (!below(4))
		bytes = bytes / 2;
	wbi_carrier_ack(peer.carrier, bytes);
}

/* Lets the engine read the first `arrived` bytes, a copy of exactly those. */
static void read_some(size_t arrived)
{
	struct wbi_event event = {.kind = WBI_EVENT_NONE};

	do {
		uint8_t *copy = malloc(arrived ? arrived : 1);
		size_t took = 0;

		CHECK(copy);
		memcpy(copy, peer.input, arrived);
		if (wbi_carrier_read(peer.carrier, copy, arrived, peer.now_ms, &took, &event))
			take_event(&event);
		CHECK(took <= arrived);
		memmove(peer.input, peer.input + took, peer.bytes - took);
		arrived -= took;
		peer.bytes -= took;
		free(copy);
		if (below(2))
			write_some();
	} while (event.kind != WBI_EVENT_NONE);
}

static void hear(const void *data, size_t bytes)
{
	if (bytes > sizeof(peer.input) - peer.bytes)
		return;
	memcpy(peer.input + peer.bytes, data, bytes);
	peer.bytes += bytes;
	read_some(below(3) ? peer.bytes : below((unsigned)peer.bytes + 1));
}

static void hear_header(const char *header, size_t bytes)
{
	uint8_t length[WB_LENGTH_BYTES];

	if (wb_length_encode(WB_LENGTH_U32_LE, bytes, length, NULL))
		return;
	hear(length, sizeof(length));
	hear(header, bytes);
}

static void greet(void)
{
	static unsigned epoch;
	char text[512];

	if (!peer.session)
		epoch = 0;
	if (peer.role == WBI_SERVER)
		snprintf(text, sizeof(text), HELLO, ++epoch);
	else
		snprintf(text, sizeof(text), WELCOME, peer.session->welcomed ? "true" : "false");
	hear_header(text, strlen(text));
}

static void dial(void)
{
	wbi_carrier_free(peer.carrier);
	peer.carrier = NULL;
	peer.bytes = 0;
	peer.closed = peer.failed = false;
	CHECK(!wbi_carrier_new(&peer.config, peer.now_ms, &peer.carrier));
	if (peer.role == WBI_CLIENT)
		CHECK(!wbi_session_attach(peer.session, peer.carrier, peer.now_ms, NULL));
	if (peer.greets)
		greet();
}

static void begin(const uint8_t *choices)
{
	uint8_t id[WBI_SESSION_ID_BYTES] = {1}, secret[WBI_SECRET_BYTES] = {2};

	memset(&peer, 0, sizeof(peer));
	peer.role = choices[0] & 1 ? WBI_SERVER : WBI_CLIENT;
	peer.greets = choices[0] & 2;
	peer.chance = choices[1];
	peer.now_ms = 1;
	peer.config.role = peer.role;
	peer.config.limits = wbi_session_limits_default;
	peer.config.limits.calls = 8;
	if (peer.role == WBI_CLIENT) {
		CHECK(!wbi_session_new(&peer.config, id, secret, 1, &peer.session, NULL));
		open_calls();
	}
	dial();
}

static void say(const char *line, size_t bytes)
{
	peer.now_ms += below(2000);
	if (wbi_carrier_deadline(peer.carrier) <= peer.now_ms)
		wbi_carrier_tick(peer.carrier, peer.now_ms);
	if (bytes && line[0] == '!')
		dial();
	else if (bytes && line[0] == '=')
		hear(line + 1, bytes - 1);
	else
		hear_header(line, bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	const char *text = (const char *)data, *end = text + bytes;

	if (bytes < 2)
		return 0;
	begin(data);
	for (text += 2; text < end;) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		size_t length = (size_t)((stop ? stop : end) - text);

		say(text, length);
		text += length + 1;
	}
	read_some(peer.bytes);
	write_some();
	wbi_session_free(peer.session);
	wbi_carrier_free(peer.carrier);
	return 0;
}
