/* The simulator's world: chance, the virtual clock, what a seed has planned, and how a failure is
 * told.
 *
 * The simulator runs a client and a server of the session engine over pipes in memory. Nothing in
 * it waits or reads a clock: a seed decides every delay, split, cut and choice, so it replays
 * exactly. After every step the invariants are checked.
 *
 *   test_sim                     20,000 seeds, or as many as WAYBILL_SIM_SEEDS says
 *   test_sim --seed N [--trace]  one seed again, with every step of the state machines
 *   test_sim --from A --count C  a range
 *   test_sim --table             how often each row of the cut table was hit
 *
 * world.h plan and clock; net.h pipes, cuts and the cut table; server.h and client.h the two
 * owners; test_sim.c the run and its invariants. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

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

enum {
	CALLS_MAX = 10,
	STREAMS_MAX = 3, /* 0 up, 1 and 2 down */
	CONNS_MAX = 6,
	PATTERN_BYTES = 65536,
	PAYLOAD_MAX = 6000,
	FINISH_MS =
		900000, /* virtual time in which everything must end once nothing fails any more */
};

static struct {
	uint64_t random;
	uint64_t seed, step, now_ms;
	bool trace, under_cmocka;
	const char *program;
	uint8_t pattern[2 * PATTERN_BYTES]; /* the same twice */
} sim;

static void broken(const char *what, const char *file, int line)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "%s:%d: %s (seed %llu, step %llu, %llu ms)\nreplay: %s --seed %llu --trace", file,
		 line, what, (unsigned long long)sim.seed, (unsigned long long)sim.step,
		 (unsigned long long)sim.now_ms, sim.program, (unsigned long long)sim.seed);
	if (sim.under_cmocka)
		fail_msg("%s", text);
	fprintf(stderr, "%s\n", text);
	exit(1);
}

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			broken(#condition, __FILE__, __LINE__);                                    \
	} while (0)

static uint64_t random_bits(void)
{
	uint64_t z = sim.random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint64_t below(uint64_t n)
{
	return n ? random_bits() % n : 0;
}

static bool chance(unsigned permille)
{
	return below(1000) < permille;
}

/* Mostly small, sometimes large. */
static uint64_t size_below(uint64_t most)
{
	return chance(300) ? below(most + 1) : below(most / 16 + 2);
}

static void make_pattern(void)
{
	for (size_t i = 0; i < PATTERN_BYTES; i++)
		sim.pattern[i] = (uint8_t)random_bits();
	memcpy(sim.pattern + PATTERN_BYTES, sim.pattern, PATTERN_BYTES);
}

/* The bytes of a stream from `offset` on: at least PATTERN_BYTES of them in one piece. */
static const uint8_t *content(uint64_t id, unsigned stream, uint64_t offset)
{
	return sim.pattern + (offset + id * 7919 + stream * 104729) % PATTERN_BYTES;
}

/* What a seed wants of one call; both owners know it. */
struct plan {
	uint16_t up, down, undigested;
	uint64_t from[STREAMS_MAX], end[STREAMS_MAX];
	size_t payload_bytes;
	uint32_t code;
	bool refuse;        /* the server says no */
	bool needs_stdin;   /* the command ends after stdin's eof only */
	bool runs_on;       /* it ends only when cancelled or abandoned */
	bool server_resets; /* the command closes its stdin early */
	bool client_resets; /* the client closes stream 1 early */
	bool cancels, abandons;
	unsigned signals, resizes;
};

static struct plan plans[CALLS_MAX + 1]; /* by id */
static unsigned plan_count;
static struct wbi_session_limits limits;

static void make_plan(struct plan *plan)
{
	*plan = (struct plan){.down = 1 << 1, .code = (uint32_t)below(256)};
	if (chance(700))
		plan->up |= 1 << 0;
	if (chance(600))
		plan->down |= 1 << 2;
	if (chance(300))
		plan->undigested = (plan->up | plan->down) & (uint16_t)below(1 << STREAMS_MAX);
	plan->end[0] = size_below(150000);
	for (unsigned i = 1; i < STREAMS_MAX; i++) {
		plan->from[i] = chance(150) ? below(100000) : 0;
		plan->end[i] = plan->from[i] + (chance(850) ? size_below(200000) : 0);
	}
	plan->payload_bytes = chance(500) ? below(PAYLOAD_MAX) : below(20);
	plan->refuse = chance(50);
	plan->needs_stdin = (plan->up & 1) && chance(300);
	plan->server_resets = (plan->up & 1) && !plan->needs_stdin && chance(150);
	plan->client_resets = chance(120);
	plan->cancels = chance(150);
	plan->abandons = chance(60);
	plan->runs_on = (plan->cancels || plan->abandons) && chance(500);
	plan->signals = chance(300) ? (unsigned)below(24) : 0;
	plan->resizes = chance(300) ? (unsigned)below(5) : 0;
}

static void make_plans(void)
{
	plan_count = 1 + (unsigned)below(CALLS_MAX);
	for (unsigned id = 1; id <= plan_count; id++)
		make_plan(&plans[id]);
	limits = wbi_session_limits_default;
	limits.calls = 1 + (uint32_t)below(CALLS_MAX);
	limits.streams = STREAMS_MAX;
	limits.chunk_bytes = 1024 + (uint32_t)size_below(31000);
	limits.open_bytes = 8192;
	limits.window_start_bytes = WBI_WINDOW_OWN + (uint32_t)below(50000);
	limits.window_max_bytes = limits.window_start_bytes + (uint32_t)below(200000);
	limits.pool_bytes = below(300000);
	limits.hold_ms = 2000 + (uint32_t)below(120000);
}

/* A source that the owner feeds, and that notices a look at what it gave away. */
struct feed {
	struct wbi_source source;
	uint64_t id;
	unsigned number;
	uint64_t released, total;
	bool dead;
};

static struct wbi_slice feed_peek(struct wbi_source *source, uint64_t offset, size_t most)
{
	struct feed *feed = WBI_CONTAINER(source, struct feed, source);

	CHECK(!feed->dead);
	CHECK(offset >= feed->released && offset < source->end && most > 0);
	if (most > source->end - offset)
		most = (size_t)(source->end - offset);
	if (chance(100))
		most = 1 + (size_t)below(most);
	return (struct wbi_slice){content(feed->id, feed->number, offset), most};
}

static void feed_release(struct wbi_source *source, uint64_t offset)
{
	struct feed *feed = WBI_CONTAINER(source, struct feed, source);

	CHECK(!feed->dead);
	CHECK(offset >= feed->released && offset <= source->end);
	feed->released = offset;
}

static const struct wbi_source_ops feed_ops = {feed_peek, feed_release};

static void feed_init(struct feed *feed, uint64_t id, unsigned number)
{
	const struct plan *plan = &plans[id];

	*feed = (struct feed){.source = {.ops = &feed_ops, .end = plan->from[number]},
			      .id = id,
			      .number = number,
			      .released = plan->from[number],
			      .total = plan->end[number]};
}

/* Lets the source have some more; returns whether anything changed. */
static bool feed_more(struct feed *feed)
{
	struct wbi_source *source = &feed->source;

	if (source->ended)
		return false;
	if (source->end < feed->total)
		source->end += 1 + below(chance(200) ? feed->total - source->end
						     : (feed->total - source->end) / 8 + 1);
	if (source->end == feed->total && chance(700))
		source->ended = true;
	source->full = chance(200);
	return true;
}

/* Where what arrives goes. Each byte must come once, in order, and right. */
struct sink {
	uint64_t id, offset, held;
	unsigned number;
	bool ended, reset;
};

static void sink_init(struct sink *sink, uint64_t id, unsigned number)
{
	*sink = (struct sink){.id = id, .number = number, .offset = plans[id].from[number]};
}

static void sink_take(struct sink *sink, const struct wbi_event *event)
{
	struct wbi_slice data = event->data;

	CHECK(!sink->ended && !sink->reset);
	CHECK(event->offset == sink->offset);
	CHECK(data.bytes > 0 && sink->offset + data.bytes <= plans[sink->id].end[sink->number]);
	CHECK(data.bytes <= PATTERN_BYTES);
	CHECK(!memcmp(data.data, content(sink->id, sink->number, sink->offset), data.bytes));
	sink->offset += data.bytes;
	sink->held += data.bytes;
}

static void sink_end(struct sink *sink, const struct wbi_event *event)
{
	CHECK(!sink->ended && !sink->reset && event->stream->intact);
	sink->ended = true;
}

static bool sink_consume(struct sink *sink, struct wbi_stream *stream)
{
	uint64_t bytes = sink->held;

	if (!bytes)
		return false;
	if (chance(500))
		bytes = 1 + below(bytes);
	sink->held -= bytes;
	wbi_stream_consume(stream, bytes);
	return true;
}

#endif
