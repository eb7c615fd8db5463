/* A call of a client: output kept and offered, stdin kept until it has arrived, and the result. */
#include <stdlib.h>
#include <string.h>

#include "app/client.h"

enum { INPUT_BYTES_MAX = 1 << 20 };

/* ---- stdin ---- */

static struct wbi_slice input_peek(struct wbi_source *source, uint64_t offset, size_t most)
{
	struct wb_call *call = WBI_CONTAINER(source, struct wb_call, source);
	struct wbi_slice slice = wbi_buf_peek(&call->input);
	size_t skip = (size_t)(offset - call->input_base);

	slice.data += skip;
	slice.bytes -= skip;
	if (slice.bytes > most)
		slice.bytes = most;
	return slice;
}

static void input_release(struct wbi_source *source, uint64_t offset)
{
	struct wb_call *call = WBI_CONTAINER(source, struct wb_call, source);

	wbi_buf_consume(&call->input, (size_t)(offset - call->input_base));
	call->input_base = offset;
	/* An interactive command need not hold for ever what one burst took. */
	if (wbi_buf_bytes(&call->input) == 0)
		wbi_buf_reset(&call->input);
}

static const struct wbi_source_ops input_ops = {input_peek, input_release};

static struct wbi_stream *input_stream(const struct wb_call *call)
{
	return call->engine ? wbi_call_stream(call->engine, 0) : NULL;
}

bool wb_call_input_closed(const struct wb_call *call)
{
	return call->input_closed || !call->engine || call->source.ended;
}

size_t wb_call_input_room(const struct wb_call *call)
{
	return wb_call_input_closed(call) ? 0 : INPUT_BYTES_MAX - wbi_buf_bytes(&call->input);
}

enum wb_err wb_call_write(struct wb_call *call, const void *data, size_t bytes, size_t *ret_bytes)
{
	size_t room = wb_call_input_room(call);
	size_t taken = bytes < room ? bytes : room;
	enum wb_err err;

	if (wb_call_input_closed(call))
		return WB_ERR_CLOSED;
	err = wbi_buf_append(&call->input, data, taken);
	if (err)
		return err;
	call->input_wanted = taken < bytes;
	*ret_bytes = taken;
	if (taken == 0)
		return WB_OK;
	call->source.end += taken;
	wbi_stream_wake(input_stream(call));
	wbi_client_touch(call->client);
	return WB_OK;
}

void wb_call_end_input(struct wb_call *call)
{
	if (wb_call_input_closed(call))
		return;
	call->source.ended = true;
	wbi_stream_wake(input_stream(call));
	wbi_client_touch(call->client);
}

static void tell_input(struct wb_call *call)
{
	if (call->callbacks->input)
		call->callbacks->input(call, call->context);
}

void wbi_client_set_input(struct wb_call *call, struct wbi_source *source)
{
	call->own_input = source;
	if (input_stream(call))
		wbi_stream_set_source(input_stream(call), source);
}

void wbi_client_wake_input(struct wb_call *call)
{
	if (!input_stream(call))
		return;
	wbi_stream_wake(input_stream(call));
	wbi_client_touch(call->client);
}

uint64_t wbi_client_input_sent(const struct wb_call *call)
{
	const struct wbi_stream *input = input_stream(call);

	return input ? input->offset : 0;
}

static void on_credit(struct wb_call *call)
{
	if (call->own_input)
		tell_input(call);
	if (!call->input_wanted || wb_call_input_closed(call))
		return;
	call->input_wanted = false;
	tell_input(call);
}

static void on_reset(struct wb_call *call)
{
	call->input_closed = true;
	wbi_buf_reset(&call->input);
	tell_input(call);
}

/* ---- output ---- */

static bool is_wanted(const struct wb_call *call, const struct wbi_call_output *output)
{
	return call->callbacks->output && !output->closed && !call->starved && !call->dead;
}

static bool is_kept(const struct wb_call *call, unsigned number)
{
	const struct wbi_call_output *output = &call->outputs[number];

	return is_wanted(call, output) && wbi_buf_bytes(&output->kept) > 0;
}

/* `ended` is due once the result stands and all output was taken. */
static void check_end(struct wb_call *call)
{
	if (!call->has_result || call->queued || call->dead || is_kept(call, WB_STDOUT) ||
	    is_kept(call, WB_STDERR))
		return;
	call->queued = true;
	wbi_list_remove(&call->node);
	wbi_list_append(&call->client->ending, &call->node);
	wbi_client_touch(call->client);
}

static void consume(struct wb_call *call, unsigned number, size_t bytes)
{
	if (!call->engine || bytes == 0)
		return;
	wbi_stream_consume(wbi_call_stream(call->engine, number), bytes);
	wbi_client_touch(call->client);
}

static void tell_output_end(struct wb_call *call, unsigned number)
{
	struct wbi_call_output *output = &call->outputs[number];

	if (!output->ended || output->told || call->dead || wbi_buf_bytes(&output->kept) > 0)
		return;
	output->told = true;
	wbi_buf_reset(&output->kept);
	if (call->callbacks->output_end)
		call->callbacks->output_end(call, number, call->context);
}

/* Lends a piece to the callback. Returns how much was taken; all of it where it is not wanted any
 * more. */
static size_t offer(struct wb_call *call, unsigned number, struct wbi_slice slice)
{
	struct wbi_call_output *output = &call->outputs[number];
	size_t taken;

	output->offering = true;
	taken = call->callbacks->output(call, number, slice.data, slice.bytes, call->context);
	output->offering = false;
	return is_wanted(call, output) && taken < slice.bytes ? taken : slice.bytes;
}

void wb_call_pull(struct wb_call *call, unsigned stream)
{
	struct wbi_call_output *output = &call->outputs[stream];

	while (is_wanted(call, output) && !output->offering) {
		struct wbi_slice slice = wbi_buf_peek(&output->kept);
		size_t taken;

		if (slice.bytes == 0)
			break;
		taken = offer(call, stream, slice);
		wbi_buf_consume(&output->kept, taken);
		consume(call, stream, taken);
		if (taken < slice.bytes)
			break;
	}
	tell_output_end(call, stream);
	check_end(call);
}

/* Output cannot be kept: what is lost is not passed over in silence. */
static void starve(struct wb_call *call)
{
	call->starved = true;
	wb_call_cancel(call);
}

static void on_data(struct wb_call *call, unsigned number, struct wbi_slice data)
{
	struct wbi_call_output *output = &call->outputs[number];
	size_t taken = 0;

	output->bytes += data.bytes;
	if (!is_wanted(call, output))
		taken = data.bytes;
	else if (wbi_buf_bytes(&output->kept) == 0)
		taken = offer(call, number, data);
	consume(call, number, taken);
	if (taken < data.bytes &&
	    wbi_buf_append(&output->kept, data.data + taken, data.bytes - taken) != WB_OK)
		starve(call);
}

static void on_eof(struct wb_call *call, const struct wbi_stream *stream)
{
	call->outputs[stream->number].ended = true;
	call->held_open = call->held_open || stream->held_open;
	tell_output_end(call, stream->number);
}

void wb_call_close_output(struct wb_call *call, unsigned number)
{
	struct wbi_call_output *output = &call->outputs[number];
	struct wbi_stream *stream = call->engine ? wbi_call_stream(call->engine, number) : NULL;
	size_t kept = wbi_buf_bytes(&output->kept);

	if (output->closed)
		return;
	output->closed = true;
	if (stream && stream->state == WBI_STREAM_OPEN)
		wbi_stream_reset(stream);
	/* What is lent just now is dropped by whoever lends it. */
	if (!output->offering) {
		consume(call, number, kept);
		wbi_buf_reset(&output->kept);
	}
	check_end(call);
	wbi_client_touch(call->client);
}

/* ---- the result ---- */

const char *wb_outcome_name(enum wb_outcome outcome)
{
	return wbi_outcome_name((enum wbi_outcome)outcome);
}

_Static_assert((int)WB_OUTCOME_LOST == (int)WBI_OUTCOME_LOST &&
		       (int)WB_OUTCOME_REFUSED == (int)WBI_OUTCOME_REFUSED,
	       "the public outcomes are the engine's");

static void copy_text(char *out, size_t size, const char *text)
{
	size_t bytes = strnlen(text, size - 1);

	memcpy(out, text, bytes);
	out[bytes] = '\0';
}

static void copy_result(struct wb_call *call, const struct wbi_result *from)
{
	struct wb_result *result = &call->result;
	const struct wbi_exit *exit = &from->exit;

	*result = (struct wb_result){
		.outcome = (enum wb_outcome)exit->outcome,
		.complete = from->complete && !call->starved,
		.has_code = exit->has_code,
		.code = exit->code,
		.core = exit->core,
		.held_open = call->held_open,
		.has_usage = exit->has_usage,
		.user_ms = exit->user_ms,
		.system_ms = exit->system_ms,
		.memory_bytes = exit->memory_bytes,
	};
	for (unsigned i = WB_STDOUT; i <= WB_STDERR; i++)
		result->output_bytes[i] = call->outputs[i].bytes;
	copy_text(result->signal, sizeof(result->signal), exit->signal);
	copy_text(result->error, sizeof(result->error), exit->error);
	copy_text(result->text, sizeof(result->text), exit->text);
	copy_text(result->missing, sizeof(result->missing),
		  call->starved ? "no memory to keep output" : from->missing);
}

/* The client has given up, and knows why. What was never sent was never started either. */
static void explain(struct wb_call *call)
{
	const struct wb_client *client = call->client;
	struct wb_result *result = &call->result;

	if (result->outcome != WB_OUTCOME_LOST || client->state != WBI_CLIENT_OVER)
		return;
	if (call->unsent)
		result->outcome =
			client->why.err == WB_ERR_REFUSED ? WB_OUTCOME_REFUSED : WB_OUTCOME_FAILED;
	if (client->code[0])
		copy_text(result->error, sizeof(result->error), client->code);
	if (client->why.text[0])
		copy_text(result->text, sizeof(result->text), client->why.text);
}

static void release_engine(struct wb_call *call)
{
	struct wbi_call *engine = call->engine;

	if (!engine)
		return;
	call->engine = NULL;
	engine->owner = NULL;
	wbi_call_release(engine);
	wbi_client_touch(call->client);
}

/* Whatever was not taken yet is kept here, so the daemon may forget the call at once. */
static void on_exit_event(struct wb_call *call)
{
	copy_result(call, &call->engine->result);
	explain(call);
	call->has_result = true;
	release_engine(call);
	wbi_buf_reset(&call->input);
	check_end(call);
}

bool wbi_client_end_calls(struct wb_client *client)
{
	while (!wbi_list_empty(&client->ending)) {
		struct wb_call *call = WBI_CONTAINER(client->ending.next, struct wb_call, node);

		wbi_list_remove(&call->node);
		wbi_list_append(&client->ended, &call->node);
		if (call->callbacks->ended)
			call->callbacks->ended(call, &call->result, call->context);
	}
	return !wbi_list_empty(&client->calls);
}

void wbi_client_mark_unsent(struct wb_client *client)
{
	for (struct wbi_list *node = client->calls.next; node != &client->calls;
	     node = node->next) {
		struct wb_call *call = WBI_CONTAINER(node, struct wb_call, node);

		call->unsent = call->engine && call->engine->state == WBI_CALL_NEW;
	}
}

/* ---- opening, events, freeing ---- */

static void on_opened(struct wb_call *call, const struct wb_header *header)
{
	uint64_t pid = 0;
	enum wb_err err = wb_header_get_bool(header, "pty", &call->pty, NULL);

	(void)err; /* not said: as it was asked for */
	if (wb_header_get_integer(header, "job", &call->job, NULL) != WB_OK)
		call->job = 0;
	if (wb_header_get_integer(header, "pid", &pid, NULL) == WB_OK && pid <= INT32_MAX)
		call->pid = (pid_t)pid;
	if (call->callbacks->opened)
		call->callbacks->opened(call, call->context);
}

void wbi_client_call_event(struct wb_call *call, enum wbi_event_kind kind,
			   const struct wbi_event *event)
{
	switch (kind) {
	case WBI_EVENT_OPENED:
		on_opened(call, event->header);
		break;
	case WBI_EVENT_DATA:
		on_data(call, event->stream->number, event->data);
		break;
	case WBI_EVENT_EOF:
		on_eof(call, event->stream);
		break;
	case WBI_EVENT_CREDIT:
		on_credit(call);
		break;
	case WBI_EVENT_RESET:
		on_reset(call);
		break;
	case WBI_EVENT_EXIT:
		on_exit_event(call);
		break;
	default:
		break;
	}
}

static struct wb_call *new_call(struct wb_client *client, const struct wb_call_callbacks *callbacks,
				void *context)
{
	static const struct wb_call_callbacks nothing;
	struct wb_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->client = client;
	call->callbacks = callbacks ? callbacks : &nothing;
	call->context = context;
	call->source.ops = &input_ops;
	wbi_buf_init(&call->input, INPUT_BYTES_MAX);
	for (unsigned i = WB_STDOUT; i <= WB_STDERR; i++)
		wbi_buf_init(&call->outputs[i].kept,
			     client->session->config.limits.window_max_bytes);
	return call;
}

enum wb_err wbi_client_open(struct wb_client *client, const struct wbi_open *open,
			    const struct wb_call_callbacks *callbacks, void *context,
			    struct wb_call **ret_call, struct wb_fault *fault)
{
	struct wb_call *call;
	struct wbi_stream *input;
	enum wb_err err;

	if (client->leaving || client->state >= WBI_CLIENT_OVER)
		return wb_fault_set(fault, WB_ERR_CLOSED, NULL, 0, "%s: the client is closed",
				    open->service);
	call = new_call(client, callbacks, context);
	if (!call)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "%s: no memory", open->service);
	err = wbi_call_open(client->session, open, &call->engine, fault);
	if (err) {
		free(call);
		return err;
	}
	call->engine->owner = call;
	input = input_stream(call);
	if (input)
		wbi_stream_set_source(input, &call->source);
	call->input_closed = !input;
	wbi_list_append(&client->calls, &call->node);
	wbi_client_touch(client);
	*ret_call = call;
	return WB_OK;
}

static void free_call(struct wb_call *call)
{
	wbi_buf_done(&call->input);
	for (unsigned i = WB_STDOUT; i <= WB_STDERR; i++)
		wbi_buf_done(&call->outputs[i].kept);
	free(call);
}

/* The engine lets go at once; the memory stays while one of its callbacks may be under way. */
void wb_call_free(struct wb_call *call)
{
	if (!call || call->dead)
		return;
	release_engine(call);
	call->dead = true;
	wbi_list_remove(&call->node);
	if (call->client->dispatching || call->outputs[WB_STDOUT].offering ||
	    call->outputs[WB_STDERR].offering)
		wbi_list_append(&call->client->dead, &call->node);
	else
		free_call(call);
}

void wbi_client_bury(struct wb_client *client)
{
	while (!wbi_list_empty(&client->dead)) {
		struct wb_call *call = WBI_CONTAINER(client->dead.next, struct wb_call, node);

		wbi_list_remove(&call->node);
		free_call(call);
	}
}

/* ---- what can be done to a call ---- */

enum wb_err wb_call_signal(struct wb_call *call, const char *name)
{
	enum wb_err err = call->engine ? wbi_call_signal(call->engine, name) : WB_ERR_CLOSED;

	wbi_client_touch(call->client);
	return err;
}

void wb_call_resize(struct wb_call *call, uint16_t rows, uint16_t cols)
{
	if (call->engine)
		wbi_call_resize(call->engine, rows, cols);
	wbi_client_touch(call->client);
}

void wb_call_cancel(struct wb_call *call)
{
	if (call->engine)
		wbi_call_cancel(call->engine);
	wbi_client_touch(call->client);
}

uint64_t wb_call_job(const struct wb_call *call)
{
	return call->job;
}

pid_t wb_call_pid(const struct wb_call *call)
{
	return call->pid;
}

bool wb_call_is_pty(const struct wb_call *call)
{
	return call->pty;
}

const struct wb_result *wb_call_result(const struct wb_call *call)
{
	return call->has_result ? &call->result : NULL;
}
