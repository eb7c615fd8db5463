/* What goes wrong on purpose, beside the cuts of net.h. */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include "client.h"
#include "session/engine.h"

/* An old `hello` that was on its way for long. */
static void late_hello(void)
{
	struct wbi_session_config config = make_config(WBI_SERVER);
	struct conn *conn;

	if (!client.old_hello_bytes || !(conn = conn_open()))
		return;
	if (!server.session)
		may_lose = true;
	conn->told[0] = true;
	CHECK(!wbi_carrier_new(&config, sim.now_ms, &conn->carriers[1]));
	conn->pipes[UP].cut_at = SIZE_MAX;
	pipe_write(&conn->pipes[UP], client.old_hello, client.old_hello_bytes);
}

/* Somebody else with the same secret takes the session, for as long as the connection lasts. */
static struct wbi_session *clone;

static void rival(void)
{
	struct wbi_session_config config = make_config(WBI_CLIENT);

	if (clone || !client.session->epoch)
		return;
	CHECK(!wbi_session_new(&config, client.session->id, client.session->secret, sim.now_ms,
			       &clone, NULL));
	clone->epoch = client.session->epoch;
	for (unsigned i = 0; i < CONNS_MAX; i++) {
		if (conns[i].used)
			continue;
		if (client_dial(clone))
			conns[i].clone = true;
		return;
	}
}

/* Puts bytes between two parcels. */
static void inject(struct conn *conn, int way)
{
	static const char novel[] = "\x1d\0\0\0{\"op\":\"novel\",\"total_size\":5}hello";
	static const char broken[] = "\x02\0\0\0[]";
	struct pipe *pipe = &conn->pipes[way];

	if (!conn->used || conn->told[way] || !pipe->written || !at_boundary(pipe) || conn->silent)
		return;
	if (chance(700)) {
		pipe_write(pipe, novel, sizeof(novel) - 1);
		injected |= pipe->span_count < 3; /* not before the peer is known */
		return;
	}
	pipe_write(pipe, broken, sizeof(broken) - 1);
	injected = true;
}

/* A stream that this end sends and that is in the middle of its life, or NULL. */
static struct wbi_stream *some_stream(struct conn *conn, int end)
{
	struct wbi_carrier *carrier = conn->carriers[end];
	struct wbi_session *session = carrier ? wbi_carrier_session(carrier) : NULL;

	/* Nothing that is staged may be overtaken. */
	if (!session || conn->clone || carrier->state != WBI_CARRIER_LIVE ||
	    carrier->output.count || (carrier->due & (WBI_DUE_SUSPEND - 1)))
		return NULL;
	for (struct wbi_list *node = session->calls.next; node != &session->calls;
	     node = node->next) {
		struct wbi_call *call = WBI_CALL_OF(node);
		struct wbi_stream *stream = &call->streams[below(call->stream_count)];

		if (stream->sends && stream->state == WBI_STREAM_OPEN && call->announced &&
		    call->state == WBI_CALL_RUNNING && !(call->due & WBI_DUE_OPENED) && chance(500))
			return stream;
	}
	return NULL;
}

/* Bytes that the engine would not send: old ones again, which are to be passed over, or such as
 * leave a gap or go beyond the credit, which are an error. */
static void inject_data(struct conn *conn, int end)
{
	struct pipe *pipe = &conn->pipes[end];
	struct wbi_stream *stream;
	uint64_t from, to;
	uint8_t parcel[512];
	size_t bytes;
	struct wb_header_writer writer;
	bool wrong = false;

	if (!conn->used || !pipe->written || !at_boundary(pipe) || conn->silent ||
	    !(stream = some_stream(conn, end)))
		return;
	from = stream->from + below(stream->acknowledged - stream->from + 1);
	to = from + below(stream->offset - from + 1);
	if (chance(300)) {
		from = stream->offset + 1 + below(chance(500) ? 50 : 200000);
		to = from + 1 + below(100);
		injected = wrong = true;
	} else if (stream->offset == stream->limit && stream->source &&
		   stream->source->end > stream->offset) {
		from = stream->offset;
		to = stream->source->end;
		injected = true;
	}
	if (to - from > 256)
		to = from + 256;
	wb_parcel_writer_init(&writer, parcel, sizeof(parcel));
	wb_header_put_string(&writer, "op", "data");
	wb_header_put_integer(&writer, "id", stream->call->id);
	wb_header_put_integer(&writer, "stream", stream->number);
	wb_header_put_integer(&writer, "offset", from);
	wb_header_put_integer(&writer, "total_size", to - from);
	CHECK(!wb_parcel_writer_finish(&writer, parcel, &bytes, NULL));
	memcpy(parcel + bytes, content(stream->call->id, stream->number, from), to - from);
	if (wrong) /* whoever takes these will see it */
		memset(parcel + bytes, 0, to - from);
	pipe_write(pipe, parcel, bytes + (to - from));
}

/* The same `open` again on the same connection. */
static void duplicate_open(struct conn *conn)
{
	struct pipe *pipe = &conn->pipes[UP];

	if (!conn->used || conn->told[0] || !pipe->written || !at_boundary(pipe) || conn->silent)
		return;
	for (unsigned i = 0; i < pipe->span_count; i++) {
		struct span span = pipe->spans[i];
		uint8_t copy[PAYLOAD_MAX + 4096];

		if (span.op < 0 || strcmp(op_names[span.op], "open") != 0 || chance(500) ||
		    span.end - span.start > sizeof(copy))
			continue;
		memcpy(copy, pipe->data + span.start, span.end - span.start);
		pipe_write(pipe, copy, span.end - span.start);
		repeated = true;
		return;
	}
}

/* The client gives a connection up that the server still believes in. */
static void impatience(struct conn *conn)
{
	if (!conn->used || !conn->carriers[0])
		return;
	if (!conn->clone)
		keep_hello(conn);
	conn->silent = chance(700);
	wbi_carrier_lost(conn->carriers[0], sim.now_ms);
	client_read(conn);
}

/* Either side ends the session in order, in the middle of everything. */
static void bye_step(void)
{
	if (chance(40) && client.session->carrier) {
		wbi_session_bye(client.session);
		may_lose = true;
	} else if (chance(40) && server.session && server.session->carrier) {
		wbi_session_bye(server.session);
		may_lose = draining = true;
	}
}

static void fault_step(void)
{
	struct conn *conn = &conns[below(CONNS_MAX)];

	switch (below(10)) {
	case 0:
		impatience(conn);
		break;
	case 1:
		inject(conn, (int)below(2));
		break;
	case 2:
		duplicate_open(conn);
		break;
	case 3:
		if (chance(300))
			client_suspend();
		break;
	case 4:
		if (chance(300))
			late_hello();
		break;
	case 5:
		if (chance(60))
			rival();
		break;
	case 6:
		if (chance(60))
			server_restart();
		break;
	case 7:
		client.dial_at = sim.now_ms + below(chance(100) ? 150000 : 3000);
		break;
	case 8:
		inject_data(conn, (int)below(2));
		break;
	default:
		bye_step();
		break;
	}
}

#endif
