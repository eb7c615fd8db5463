/* Streams: offsets, credit, windows that grow, and the digest at the high-water mark. */
#include "session/stream.h"

#include <assert.h>

#include "session/engine.h"

static const char *const state_names[] = {
	[WBI_STREAM_OPEN] = "open",
	[WBI_STREAM_ENDED] = "ended",
	[WBI_STREAM_RESET] = "reset",
};

const char *wbi_stream_state_name(enum wbi_stream_state state)
{
	return state_names[state];
}

static void set_state(struct wbi_stream *stream, enum wbi_stream_state state)
{
	if (stream->state == state)
		return;
	wbi_session_trace(stream->call->session, "stream", stream->number,
			  state_names[stream->state], state_names[state]);
	stream->state = state;
}

static struct wbi_pool *pool_of(const struct wbi_stream *stream)
{
	return &stream->call->session->pool;
}

static void mark(struct wbi_stream *stream, unsigned due)
{
	stream->due |= due;
	wbi_call_mark(stream->call, 0);
}

static bool may_send(const struct wbi_stream *stream)
{
	const struct wbi_call *call = stream->call;

	return stream->sends && stream->state == WBI_STREAM_OPEN && call->announced &&
	       !(call->due & WBI_DUE_OPENED) && !wbi_call_over(call) &&
	       (call->session->config.role == WBI_CLIENT || call->parcel);
}

void wbi_stream_check_ready(struct wbi_stream *stream)
{
	const struct wbi_source *source = stream->source;
	/* A stream whose call ends before it got a source is empty. */
	bool ended = source ? source->ended : stream->call->state == WBI_CALL_ENDING;
	uint64_t end = source ? source->end : stream->offset;

	wbi_list_remove(&stream->ready_node);
	if (!may_send(stream))
		return;
	if (stream->offset < end && stream->offset < stream->limit)
		wbi_list_append(&stream->call->session->ready, &stream->ready_node);
	else if (ended && stream->offset == end && !(stream->due & WBI_DUE_EOF))
		mark(stream, WBI_DUE_EOF);
}

void wbi_stream_set_source(struct wbi_stream *stream, struct wbi_source *source)
{
	assert(stream->sends && source->end >= stream->from);
	if (stream->state == WBI_STREAM_RESET || wbi_call_over(stream->call))
		return;
	stream->source = source;
	wbi_stream_check_ready(stream);
}

void wbi_stream_wake(struct wbi_stream *stream)
{
	/* One that waits its turn keeps its place. */
	if (wbi_list_empty(&stream->ready_node))
		wbi_stream_check_ready(stream);
}

uint64_t wbi_stream_target(const struct wbi_stream *stream)
{
	uint64_t target = stream->acknowledged + stream->window;

	return target > stream->limit ? target : stream->limit;
}

void wbi_stream_credited(struct wbi_stream *stream)
{
	stream->limit = wbi_stream_target(stream);
	stream->told = stream->acknowledged;
}

static bool is_worth_a_credit(const struct wbi_stream *stream)
{
	uint64_t further = wbi_stream_target(stream) - stream->limit;

	return further >= stream->window / 4 || further >= WBI_CREDIT_BYTES;
}

/* Marks credit when it lets the sender go a good way further, not for every byte; and when there is
 * nothing left to consume: a source that holds less than a quarter of the window would otherwise be
 * full for ever, waiting to hear that it may let go. */
static void check_credit(struct wbi_stream *stream)
{
	bool caught_up = stream->acknowledged == stream->offset;

	if (stream->state == WBI_STREAM_OPEN && wbi_call_hears(stream->call) &&
	    wbi_stream_target(stream) > stream->limit && (caught_up || is_worth_a_credit(stream)))
		mark(stream, WBI_DUE_CREDIT);
}

bool wbi_stream_credit_can_wait(const struct wbi_stream *stream)
{
	return !stream->pressed && !is_worth_a_credit(stream);
}

/* Gives back what the stream can no longer need: all, or what is beyond the bytes not yet consumed.
 */
void wbi_stream_give_back(struct wbi_stream *stream)
{
	uint64_t held = stream->offset - stream->acknowledged;
	uint64_t need = held > WBI_WINDOW_OWN ? held - WBI_WINDOW_OWN : 0;

	if (stream->state == WBI_STREAM_RESET || !wbi_call_hears(stream->call))
		need = 0;
	if (need >= stream->borrowed)
		return;
	wbi_pool_give_back(pool_of(stream), stream->borrowed - need);
	stream->borrowed = need;
}

void wbi_stream_consume(struct wbi_stream *stream, uint64_t bytes)
{
	assert(!stream->sends && bytes <= stream->offset - stream->acknowledged);
	stream->acknowledged += bytes;
	if (stream->state == WBI_STREAM_OPEN)
		check_credit(stream);
	else
		wbi_stream_give_back(stream);
}

void wbi_stream_reset(struct wbi_stream *stream)
{
	assert(!stream->sends);
	if (stream->state != WBI_STREAM_OPEN)
		return;
	set_state(stream, WBI_STREAM_RESET);
	stream->due &= ~(unsigned)WBI_DUE_CREDIT;
	wbi_stream_give_back(stream);
	if (wbi_call_hears(stream->call))
		mark(stream, WBI_DUE_RESET);
}

void wbi_stream_end(struct wbi_stream *stream)
{
	set_state(stream, WBI_STREAM_ENDED);
	stream->due &= ~(unsigned)WBI_DUE_CREDIT;
	wbi_stream_give_back(stream);
}

void wbi_stream_stop(struct wbi_stream *stream)
{
	struct wbi_carrier *carrier = stream->call->session->carrier;

	if (carrier)
		wbi_output_unborrow_stream(carrier, stream);
	wbi_list_remove(&stream->ready_node);
	stream->source = NULL;
	stream->due = 0;
	set_state(stream, WBI_STREAM_RESET);
}

/* Sending: the peer's owner has consumed all below `offset`. */
void wbi_stream_acknowledge(struct wbi_stream *stream, uint64_t offset)
{
	stream->acknowledged = offset;
	if (stream->source && stream->source->ops->release)
		stream->source->ops->release(stream->source, offset);
}

/* Adds what lies beyond the high-water mark; what was sent before and is sent again is not counted
 * twice. Receiving, the mark is `offset`, and data never overlaps it. */
enum wb_err wbi_stream_digest(struct wbi_stream *stream, uint64_t offset, struct wbi_slice data,
			      struct wb_fault *fault)
{
	uint64_t mark_at = stream->sends ? stream->high : stream->offset;
	uint64_t old = mark_at > offset ? mark_at - offset : 0;
	enum wb_err err = WB_OK;

	if (old >= data.bytes)
		return WB_OK;
	if (!stream->digest && !stream->undigested)
		err = wb_digest_new(stream->call->session->digest, &stream->digest, fault);
	if (err)
		return err;
	if (stream->digest)
		wb_digest_update(stream->digest, data.data + old, data.bytes - (size_t)old);
	if (stream->sends)
		stream->high = offset + data.bytes;
	return WB_OK;
}

void wbi_stream_finish_digest(struct wbi_stream *stream)
{
	if (!stream->digest)
		return;
	wb_digest_hex(stream->digest, stream->digest_hex);
	wb_digest_free(stream->digest);
	stream->digest = NULL;
}

void wbi_stream_begin_at(struct wbi_stream *stream, uint64_t from)
{
	stream->limit = stream->limit - stream->from + from;
	stream->from = stream->offset = stream->acknowledged = from;
	stream->high = stream->told = stream->mark = from;
}

void wbi_stream_rewind(struct wbi_stream *stream)
{
	wbi_list_remove(&stream->ready_node);
	stream->due = 0;
	if (stream->sends && stream->state != WBI_STREAM_RESET) {
		stream->offset = stream->acknowledged;
		set_state(stream, WBI_STREAM_OPEN);
	} else if (!stream->sends && stream->state == WBI_STREAM_RESET) {
		stream->due = WBI_DUE_RESET;
	} else if (!stream->sends && stream->state == WBI_STREAM_OPEN) {
		stream->due = WBI_DUE_CREDIT;
	}
}

/* Worth a measurement: most of the window has been used since the last, and it could grow. */
bool wbi_stream_wants_measure(const struct wbi_stream *stream, uint64_t now_ms)
{
	return stream->state == WBI_STREAM_OPEN && now_ms >= stream->measure_after_ms &&
	       stream->offset - stream->mark > stream->window / 2 &&
	       stream->window < stream->call->session->config.limits.window_max_bytes;
}

/* What arrived during one round trip is bandwidth times delay; the window is to be twice that. No
 * stream takes more than half of what is left, so that none starves the others. */
void wbi_stream_grow(struct wbi_stream *stream, uint64_t now_ms)
{
	uint64_t most = stream->call->session->config.limits.window_max_bytes;
	uint64_t want = 2 * (stream->offset - stream->mark);
	uint64_t more, free_bytes = wbi_pool_free_bytes(pool_of(stream));

	stream->mark = stream->offset;
	if (want > most)
		want = most;
	if (want == 0 || stream->state != WBI_STREAM_OPEN)
		return;
	more = want > stream->window ? want - stream->window : 0;
	if (more > free_bytes / 2)
		more = free_bytes / 2;
	more = wbi_pool_borrow(pool_of(stream), more);
	stream->borrowed += more;
	stream->window += more;
	if (more > 0)
		check_credit(stream);
	else
		stream->measure_after_ms = now_ms + WBI_MEASURE_PAUSE_MS;
}

static void open_window(struct wbi_stream *stream)
{
	uint64_t start = stream->call->session->config.limits.window_start_bytes;

	stream->borrowed = wbi_pool_borrow(pool_of(stream), start - WBI_WINDOW_OWN);
	stream->window = WBI_WINDOW_OWN + stream->borrowed;
}

void wbi_stream_init(struct wbi_stream *stream, struct wbi_call *call, unsigned number, bool sends)
{
	*stream = (struct wbi_stream){
		.call = call, .number = (uint8_t)number, .sends = sends, .limit = WBI_WINDOW_OWN};
	wbi_list_init(&stream->ready_node);
	if (!sends)
		open_window(stream);
}

void wbi_stream_done(struct wbi_stream *stream)
{
	wbi_list_remove(&stream->ready_node);
	wb_digest_free(stream->digest);
	stream->digest = NULL;
	if (!stream->sends && stream->borrowed)
		wbi_pool_give_back(pool_of(stream), stream->borrowed);
	stream->borrowed = 0;
}
