/* The simulator's network: connections of two pipes each, their faults, and the cut table.
 *
 * A pipe keeps all bytes of its connection and knows where each parcel begins, so that a cut can be
 * aimed before, within or behind a parcel of any kind, and afterwards be counted. */
#ifndef SIM_NET_H
#define SIM_NET_H

#include "world.h"

enum { UP, DOWN }; /* client to server, server to client */
enum phase { BEFORE, WITHIN, AFTER };

static const char *const op_names[] = {
	"hello",   "welcome", "have",   "synced", "open",   "opened",      "data",   "eof",
	"credit",  "reset",   "signal", "resize", "cancel", "exit",        "forget", "gone",
	"suspend", "ping",    "pong",   "bye",    "error",  "unsupported",
};
enum { OP_COUNT = sizeof(op_names) / sizeof(op_names[0]) };

/* Who writes each, as a string over the two directions. */
static const char *const op_ways[] = {
	"u", "d", "ud", "ud", "u", "d", "ud", "ud", "ud", "ud", "u",
	"u", "u", "d",  "u",  "d", "u", "ud", "ud", "ud", "ud", "ud",
};

static uint64_t cut_table[2][OP_COUNT][3];

struct span {
	int op; /* -1: none of ours */
	size_t start, end;
};

struct pipe {
	uint8_t *data;
	size_t room, written, arrived, consumed, seen;
	size_t capacity; /* in flight, at most */
	size_t cut_at;
	int cut_op; /* a cut that is aimed at the next parcel of this kind; -1: none */
	enum phase cut_phase;
	struct span *spans;
	unsigned span_count, span_room;
	size_t next_start;
};

struct conn {
	bool used, cut, silent;
	bool told[2]; /* the client's end, the server's end: lost or closed */
	struct pipe pipes[2];
	struct wbi_carrier *carriers[2]; /* client's (NULL: nobody), server's */
	bool clone;
	uint64_t born;
};

static struct conn conns[CONNS_MAX];
static bool faults; /* still wanted in this run */

static int op_number(const struct wb_header *header)
{
	for (int i = 0; i < OP_COUNT; i++) {
		if (wb_header_text_is(header, "op", op_names[i]))
			return i;
	}
	return -1;
}

static void add_span(struct pipe *pipe, int op, size_t start, size_t end)
{
	if (pipe->span_count == pipe->span_room) {
		pipe->span_room = pipe->span_room ? 2 * pipe->span_room : 64;
		pipe->spans = realloc(pipe->spans, pipe->span_room * sizeof(pipe->spans[0]));
		CHECK(pipe->spans);
	}
	pipe->spans[pipe->span_count++] = (struct span){op, start, end};
	if (op < 0 || op != pipe->cut_op || start < pipe->arrived)
		return;
	pipe->cut_op = -1;
	pipe->cut_at = pipe->cut_phase == BEFORE  ? start
		       : pipe->cut_phase == AFTER ? end
						  : start + 1 + (size_t)below(end - start - 1);
}

/* Finds the parcels in what was written. */
static void find_spans(struct pipe *pipe)
{
	const struct wb_parcel_limits wide = {WB_HEADER_BYTES_MAX, WB_INTEGER_MAX};
	static struct wb_parcel parcel;
	struct wb_fault fault;

	while (pipe->next_start < pipe->written &&
	       wb_parcel_decode_head(&wide, pipe->data + pipe->next_start,
				     pipe->written - pipe->next_start, &parcel,
				     &fault) == WB_DECODE_DONE) {
		size_t end = pipe->next_start + parcel.head_bytes + (size_t)parcel.payload_bytes;

		add_span(pipe, op_number(&parcel.header), pipe->next_start, end);
		pipe->next_start = end;
	}
}

static void pipe_write(struct pipe *pipe, const void *data, size_t bytes)
{
	if (pipe->written + bytes > pipe->room) {
		pipe->room = 2 * (pipe->written + bytes) + 4096;
		pipe->data = realloc(pipe->data, pipe->room);
		CHECK(pipe->data);
	}
	memcpy(pipe->data + pipe->written, data, bytes);
	pipe->written += bytes;
	find_spans(pipe);
}

static bool at_boundary(const struct pipe *pipe)
{
	return pipe->next_start == pipe->written;
}

static size_t pipe_space(const struct pipe *pipe)
{
	size_t flying = pipe->written - pipe->consumed;

	return flying < pipe->capacity ? pipe->capacity - flying : 0;
}

static bool pipe_deliver(struct pipe *pipe)
{
	size_t most = pipe->written < pipe->cut_at ? pipe->written : pipe->cut_at;

	if (pipe->arrived >= most)
		return false;
	pipe->arrived += chance(400) ? most - pipe->arrived : 1 + below(most - pipe->arrived);
	return true;
}

static void pipe_init(struct pipe *pipe)
{
	struct pipe old = *pipe;

	*pipe = (struct pipe){.data = old.data,
			      .room = old.room,
			      .spans = old.spans,
			      .span_room = old.span_room,
			      .cut_at = SIZE_MAX,
			      .cut_op = -1,
			      .capacity = 64 + (size_t)size_below(100000)};
	if (!faults)
		return;
	if (chance(300)) {
		pipe->cut_at = (size_t)size_below(60000);
	} else if (chance(500)) {
		pipe->cut_op = (int)below(OP_COUNT);
		pipe->cut_phase = (enum phase)below(3);
	}
}

/* What each parcel of the pipe had when the connection died. */
static void count_cuts(const struct pipe *pipe, int way)
{
	for (unsigned i = 0; i < pipe->span_count; i++) {
		const struct span *span = &pipe->spans[i];
		bool last = i + 1 == pipe->span_count || pipe->spans[i + 1].end > pipe->seen;

		if (span->op < 0)
			continue;
		if (span->start >= pipe->seen)
			cut_table[way][span->op][BEFORE]++;
		else if (span->end > pipe->seen)
			cut_table[way][span->op][WITHIN]++;
		else if (last)
			cut_table[way][span->op][AFTER]++;
	}
}

static struct conn *conn_open(void)
{
	for (unsigned i = 0; i < CONNS_MAX; i++) {
		struct conn *conn = &conns[i];

		if (conn->used)
			continue;
		pipe_init(&conn->pipes[UP]);
		pipe_init(&conn->pipes[DOWN]);
		conn->used = true;
		conn->cut = conn->silent = conn->clone = false;
		conn->told[0] = conn->told[1] = false;
		conn->carriers[0] = conn->carriers[1] = NULL;
		conn->born = sim.now_ms;
		return conn;
	}
	return NULL;
}

static void conn_end(struct conn *conn, int end)
{
	wbi_carrier_free(conn->carriers[end]);
	conn->carriers[end] = NULL;
	conn->told[end] = true;
	if (!conn->told[0] || !conn->told[1])
		return;
	count_cuts(&conn->pipes[UP], UP);
	count_cuts(&conn->pipes[DOWN], DOWN);
	conn->used = false;
}

static void conns_done(void)
{
	for (unsigned i = 0; i < CONNS_MAX; i++) {
		for (int end = 0; end < 2; end++) {
			wbi_carrier_free(conns[i].carriers[end]);
			free(conns[i].pipes[end].data);
			free(conns[i].pipes[end].spans);
		}
	}
	memset(conns, 0, sizeof(conns));
}

/* Both directions of a parcel must have died before, within and behind it. */
static unsigned missing_rows(bool print)
{
	static const char *const ways = "ud";
	unsigned missing = 0;

	for (int op = 0; op < OP_COUNT; op++) {
		for (int way = 0; way < 2; way++) {
			const uint64_t *row = cut_table[way][op];

			if (!strchr(op_ways[op], ways[way]))
				continue;
			missing += !row[0] + !row[1] + !row[2];
			if (print)
				printf("%-12s %s  before %8llu  within %8llu  after %8llu\n",
				       op_names[op], way == UP ? "c->s" : "s->c",
				       (unsigned long long)row[0], (unsigned long long)row[1],
				       (unsigned long long)row[2]);
		}
	}
	return missing;
}

/* One end writes what it has, as far as the pipe takes it. */
static bool conn_write(struct conn *conn, int end)
{
	struct pipe *pipe = &conn->pipes[end];
	struct wbi_carrier *carrier = conn->carriers[end];
	bool nowhere = conn->silent || conn->cut || conn->told[1 - end];
	size_t space = nowhere ? SIZE_MAX : pipe_space(pipe), wrote = 0;
	struct iovec parts[6];
	int count;

	if (!carrier || !space)
		return false;
	count = wbi_carrier_peek(carrier, parts, 2 + (int)below(5), sim.now_ms);
	if (!count)
		return false;
	if (chance(300))
		space = 1 + (size_t)below(space < 5000 ? space : 5000);
	for (int i = 0; i < count && wrote < space; i++) {
		size_t bytes = parts[i].iov_len;

		if (bytes > space - wrote)
			bytes = space - wrote;
		if (!nowhere)
			pipe_write(pipe, parts[i].iov_base, bytes);
		wrote += bytes;
	}
	wbi_carrier_ack(carrier, wrote);
	return true;
}

/* The next event at one end, or NONE. */
static enum wbi_event_kind conn_read(struct conn *conn, int end, struct wbi_event *event)
{
	struct pipe *pipe = &conn->pipes[1 - end];
	const uint8_t *input = pipe->data ? pipe->data + pipe->consumed : NULL;
	size_t took;
	enum wbi_event_kind kind =
		wbi_carrier_read(conn->carriers[end], input, pipe->arrived - pipe->consumed,
				 sim.now_ms, &took, event);

	pipe->consumed += took;
	if (pipe->seen < pipe->arrived)
		pipe->seen = pipe->arrived;
	return kind;
}

/* The network moves bytes, or cuts: then both ends hear of it, or neither does. */
static bool net_step(struct conn *conn)
{
	bool moved;

	if (!conn->used || conn->cut || conn->silent)
		return false;
	moved = pipe_deliver(&conn->pipes[UP]);
	moved |= pipe_deliver(&conn->pipes[DOWN]);
	if (conn->pipes[UP].arrived < conn->pipes[UP].cut_at &&
	    conn->pipes[DOWN].arrived < conn->pipes[DOWN].cut_at)
		return moved;
	conn->silent = chance(250);
	conn->cut = !conn->silent;
	return true;
}

/* Whether an end can know by now that the connection is gone. */
static bool net_lost(const struct conn *conn, int end)
{
	const struct pipe *pipe = &conn->pipes[1 - end];

	if (conn->cut)
		return true;
	return !conn->silent && conn->told[1 - end] && pipe->arrived == pipe->written &&
	       pipe->seen == pipe->arrived;
}

#endif
