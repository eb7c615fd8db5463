/* A session's connection: see session_conn.h. */
#include "conn/session_conn.h"

#include <errno.h>
#include <string.h>

enum {
	READS_A_TURN = 4, /* so that one that sends without end holds up nobody */
	READS_AT_THE_END = 64,
	WRITES_A_TURN = 8,
	PARTS = 16,
	PATIENCE_MS = 4, /* how long what can wait for company does */
};

void wbi_session_conn_init(struct wbi_session_conn *conn, struct wbi_link *link,
			   struct wbi_carrier *carrier, uint8_t *scratch, wbi_session_conn_fn *fn)
{
	*conn = (struct wbi_session_conn){.link = link,
					  .carrier = carrier,
					  .scratch = scratch,
					  .fn = fn,
					  .patient_ms = WBI_NEVER_MS};
	wbi_buf_init(&conn->rest, WBI_SESSION_SCRATCH_BYTES);
}

void wbi_session_conn_done(struct wbi_session_conn *conn)
{
	wbi_carrier_free(conn->carrier);
	conn->carrier = NULL;
	wbi_buf_done(&conn->rest);
}

void wbi_session_conn_release(struct wbi_session_conn *conn)
{
	conn->released = true;
}

void wbi_session_conn_adopt(struct wbi_session_conn *conn, struct wbi_link *link, uint8_t *scratch,
			    wbi_session_conn_fn *fn)
{
	conn->link = link;
	conn->scratch = scratch;
	conn->fn = fn;
	conn->released = false;
	conn->writing = false;
	conn->patient_ms = WBI_NEVER_MS;
}

bool wbi_session_conn_over(const struct wbi_session_conn *conn)
{
	return conn->failed || wbi_carrier_closed(conn->carrier);
}

static bool idle(const struct wbi_session_conn *conn)
{
	return conn->released || wbi_session_conn_over(conn);
}

static void lose(struct wbi_session_conn *conn, uint64_t now_ms)
{
	conn->failed = true;
	wbi_carrier_lost(conn->carrier, now_ms);
}

/* Hands input to the engine until it wants more, and its events to the owner. Returns how much of
 * the input was consumed. */
static size_t feed(struct wbi_session_conn *conn, const uint8_t *input, size_t bytes,
		   uint64_t now_ms)
{
	size_t used = 0;

	while (!conn->released) {
		struct wbi_event event;
		size_t consumed = 0;
		enum wbi_event_kind kind = wbi_carrier_read(
			conn->carrier, input + used, bytes - used, now_ms, &consumed, &event);

		if (kind != WBI_EVENT_NONE)
			conn->fn(conn, kind, &event);
		used += consumed;
		if (kind == WBI_EVENT_NONE)
			break;
	}
	return used;
}

/* Feeds what is held in `rest` alone: after a release, or when there may be events without input.
 */
static void feed_rest(struct wbi_session_conn *conn, uint64_t now_ms)
{
	struct wbi_slice rest = wbi_buf_peek(&conn->rest);

	wbi_buf_consume(&conn->rest, feed(conn, rest.data, rest.bytes, now_ms));
	if (wbi_buf_bytes(&conn->rest) == 0)
		wbi_buf_reset(&conn->rest);
}

/* Keeps what was not consumed. It is at most what one read may leave, which scratch bounds. */
static void keep(struct wbi_session_conn *conn, const uint8_t *data, size_t bytes, uint64_t now_ms)
{
	wbi_buf_reset(&conn->rest);
	if (bytes > 0 && wbi_buf_append(&conn->rest, data, bytes) != WB_OK)
		lose(conn, now_ms);
}

/* One read into the scratch, behind what was left from the last. */
static bool read_once(struct wbi_session_conn *conn, uint64_t now_ms)
{
	struct wbi_slice rest = wbi_buf_peek(&conn->rest);
	size_t held = rest.bytes, used;
	ssize_t got;

	if (held == WBI_SESSION_SCRATCH_BYTES)
		return false; /* the engine is not reading just now */
	if (held > 0)
		memcpy(conn->scratch, rest.data, held);
	got = wbi_link_read(conn->link, conn->scratch + held, WBI_SESSION_SCRATCH_BYTES - held);
	if (got == -EAGAIN)
		return false;
	if (got <= 0) {
		lose(conn, now_ms);
		return false;
	}
	used = feed(conn, conn->scratch, held + (size_t)got, now_ms);
	keep(conn, conn->scratch + used, held + (size_t)got - used, now_ms);
	return held + (size_t)got == WBI_SESSION_SCRATCH_BYTES; /* there may be more */
}

/* Nothing more can be written. What the peer said before it closed, and why it did, may still be
 * there. */
static void lose_after_reading(struct wbi_session_conn *conn, uint64_t now_ms)
{
	for (int i = 0; i < READS_AT_THE_END && !idle(conn) && read_once(conn, now_ms); i++)
		;
	if (!idle(conn))
		lose(conn, now_ms);
}

/* One write. Returns whether there may be more to write, and room for it. */
static bool write_once(struct wbi_session_conn *conn, uint64_t now_ms)
{
	struct iovec parts[PARTS];
	int count = wbi_carrier_peek(conn->carrier, parts, PARTS, now_ms);
	ssize_t put;

	conn->writing = count > 0;
	if (count == 0)
		return false;
	put = wbi_link_write(conn->link, parts, count);
	if (put > 0)
		wbi_carrier_ack(conn->carrier, (size_t)put);
	else if (put != -EAGAIN)
		lose_after_reading(conn, now_ms);
	return put > 0;
}

/* Writing makes room, room makes events, events make more to write. What a full turn leaves over is
 * waited for as if the link had been full, so that others have their turn. */
static void write_due(struct wbi_session_conn *conn, uint64_t now_ms)
{
	conn->patient_ms = WBI_NEVER_MS;
	for (int i = 0; i < WRITES_A_TURN; i++) {
		feed_rest(conn, now_ms);
		if (idle(conn) || !write_once(conn, now_ms))
			break;
	}
	feed_rest(conn, now_ms);
}

static bool may_wait(struct wbi_session_conn *conn, uint64_t now_ms)
{
	if (idle(conn) || !wbi_carrier_can_wait(conn->carrier))
		return false;
	if (conn->patient_ms == WBI_NEVER_MS)
		conn->patient_ms = now_ms + PATIENCE_MS;
	return now_ms < conn->patient_ms;
}

void wbi_session_conn_process(struct wbi_session_conn *conn, unsigned ready, uint64_t now_ms)
{
	if (ready & (WBI_READ | WBI_HANGUP))
		for (int i = 0; i < READS_A_TURN && !idle(conn) && read_once(conn, now_ms); i++)
			;
	if (!conn->released && wbi_carrier_deadline(conn->carrier) <= now_ms)
		wbi_carrier_tick(conn->carrier, now_ms);
	feed_rest(conn, now_ms);
	if (conn->writing && !(ready & (WBI_WRITE | WBI_HANGUP)))
		return;
	if (may_wait(conn, now_ms))
		conn->writing = false; /* nothing is staged, so no room is asked for */
	else
		write_due(conn, now_ms);
}

unsigned wbi_session_conn_wants(const struct wbi_session_conn *conn)
{
	return idle(conn) ? 0 : WBI_READ | (conn->writing ? WBI_WRITE : 0);
}

uint64_t wbi_session_conn_deadline(const struct wbi_session_conn *conn)
{
	uint64_t deadline = idle(conn) ? WBI_NEVER_MS : wbi_carrier_deadline(conn->carrier);

	return !idle(conn) && conn->patient_ms < deadline ? conn->patient_ms : deadline;
}
