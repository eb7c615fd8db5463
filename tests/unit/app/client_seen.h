/* What the client's tests share: a client and a call that note what they are told. */
#ifndef CLIENT_SEEN_H
#define CLIENT_SEEN_H

#include "client_fixture.h"

/* What a test's call has told, and how it behaves. */
struct seen {
	struct wb_client *client;
	struct wb_call *call;
	struct wbi_buf outputs[3];
	bool output_ended[3], opened, ended;
	unsigned inputs;
	size_t take_most; /* of each piece of output; 0: nothing */
	struct wb_result result;
	struct wb_fault why;
	unsigned connected, resumed, disconnected, closed;
	uint64_t retry_ms;
};

static inline void on_opened(struct wb_call *call, void *context)
{
	struct seen *seen = context;

	assert_false(seen->opened);
	seen->opened = true;
	assert_int_equal(wb_call_job(call), 7);
	assert_int_equal(wb_call_pid(call), 4711);
}

static inline size_t on_output(struct wb_call *call, unsigned stream, const void *data,
			       size_t bytes, void *context)
{
	struct seen *seen = context;
	size_t taken = bytes < seen->take_most ? bytes : seen->take_most;

	(void)call;
	assert_true(seen->opened && !seen->ended && !seen->output_ended[stream] && bytes > 0);
	assert_int_equal(wbi_buf_append(&seen->outputs[stream], data, taken), WB_OK);
	return taken;
}

static inline void on_output_end(struct wb_call *call, unsigned stream, void *context)
{
	struct seen *seen = context;

	(void)call;
	assert_false(seen->output_ended[stream]);
	seen->output_ended[stream] = true;
}

static inline void on_room(struct wb_call *call, void *context)
{
	(void)call;
	((struct seen *)context)->inputs++;
}

static inline void on_ended(struct wb_call *call, const struct wb_result *result, void *context)
{
	struct seen *seen = context;

	assert_ptr_equal(wb_call_result(call), result);
	assert_false(seen->ended);
	seen->ended = true;
	seen->result = *result;
}

static inline void on_client_connected(struct wb_client *client, bool resumed, void *context)
{
	(void)client;
	((struct seen *)context)->connected++;
	((struct seen *)context)->resumed += resumed;
}

static inline void on_client_disconnected(struct wb_client *client, const struct wb_fault *why,
					  uint64_t retry_ms, void *context)
{
	struct seen *seen = context;

	(void)client;
	assert_true(why->text[0]);
	seen->disconnected++;
	seen->retry_ms = retry_ms;
}

static inline void on_client_closed(struct wb_client *client, const struct wb_fault *why,
				    void *context)
{
	struct seen *seen = context;

	(void)client;
	seen->closed++;
	seen->why = *why;
}

static const struct wb_call_callbacks call_callbacks = {
	.opened = on_opened,
	.output = on_output,
	.output_end = on_output_end,
	.input = on_room,
	.ended = on_ended,
};

static const struct wb_client_callbacks client_callbacks = {
	.connected = on_client_connected,
	.disconnected = on_client_disconnected,
	.closed = on_client_closed,
};

static inline void begin_with(struct seen *seen, struct wb_client_options options)
{
	struct wb_fault fault;

	*seen = (struct seen){.take_most = SIZE_MAX};
	for (unsigned i = 1; i < 3; i++)
		wbi_buf_init(&seen->outputs[i], OUTPUT_LIMIT);
	options.callbacks = &client_callbacks;
	options.context = seen;
	if (wb_client_new(&options, &seen->client, &fault) != WB_OK)
		fail_msg("%s", fault.text);
}

static inline void begin_at(struct seen *seen, const char *uri)
{
	begin_with(seen, (struct wb_client_options){.uri = uri, .retry_ms = WB_RETRY_AS_HELD});
}

static inline void start(struct seen *seen, const struct wb_exec *exec)
{
	struct wb_fault fault;

	if (!seen->client)
		begin_at(seen, server.uri);
	if (wb_client_exec(seen->client, exec, &call_callbacks, seen, &seen->call, &fault) != WB_OK)
		fail_msg("%s", fault.text);
}

static inline void finish(struct seen *seen)
{
	wb_call_free(seen->call);
	wb_client_free(seen->client);
	for (unsigned i = 1; i < 3; i++)
		wbi_buf_done(&seen->outputs[i]);
}

#define ARGV(...)                                                                                  \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

static inline void assert_output(const struct seen *seen, unsigned stream, const char *text)
{
	struct wbi_slice slice = wbi_buf_peek(&seen->outputs[stream]);

	assert_int_equal(slice.bytes, strlen(text));
	assert_memory_equal(slice.data, text, slice.bytes);
}

static inline void assert_pattern(const struct seen *seen, unsigned stream, size_t bytes)
{
	struct wbi_slice slice = wbi_buf_peek(&seen->outputs[stream]);

	assert_int_equal(slice.bytes, bytes);
	for (size_t i = 0; i < bytes; i++)
		if (slice.data[i] != pattern(i))
			fail_msg("stream %u differs at byte %zu", stream, i);
}

/* Writes a pattern of `bytes` to the call, as far as it takes it. */
static inline void feed(struct seen *seen, uint64_t *sent, uint64_t bytes)
{
	uint8_t piece[4096];

	while (*sent < bytes) {
		size_t size =
			bytes - *sent < sizeof(piece) ? (size_t)(bytes - *sent) : sizeof(piece);
		size_t taken = 0;

		for (size_t i = 0; i < size; i++)
			piece[i] = pattern(*sent + i);
		assert_int_equal(wb_call_write(seen->call, piece, size, &taken), WB_OK);
		*sent += taken;
		if (taken < size)
			return;
	}
	wb_call_end_input(seen->call);
}

#endif
