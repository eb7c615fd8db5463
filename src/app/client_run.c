/* The blocking helper: one command, its output in memory. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "app/client.h"

struct run {
	struct wb_client *client;
	struct wb_call *call;
	const uint8_t *input;
	size_t input_bytes;
	size_t limit_bytes;
	struct wbi_buf outputs[WB_STDERR + 1];
	enum wb_err err; /* output could not be kept */
	struct wb_result result;
};

static void give_input(struct wb_call *call, void *context)
{
	struct run *run = context;
	size_t taken = 0;

	if (wb_call_write(call, run->input, run->input_bytes, &taken) != WB_OK)
		return;
	run->input += taken;
	run->input_bytes -= taken;
	if (run->input_bytes == 0)
		wb_call_end_input(call);
}

static size_t keep_output(struct wb_call *call, unsigned stream, const void *data, size_t bytes,
			  void *context)
{
	struct run *run = context;

	if (!run->err && bytes > run->limit_bytes - wbi_buf_bytes(&run->outputs[stream]))
		run->err = WB_ERR_LIMIT;
	if (!run->err)
		run->err = wbi_buf_append(&run->outputs[stream], data, bytes);
	if (run->err)
		wb_call_cancel(call);
	return bytes;
}

static void note_end(struct wb_call *call, const struct wb_result *result, void *context)
{
	struct run *run = context;

	(void)call;
	run->result = *result;
	wb_client_close(run->client);
}

/* Until the client has taken its leave, so that the daemon keeps nothing. */
static enum wb_err drive(struct run *run, struct wb_fault *fault)
{
	while (!wb_client_is_closed(run->client)) {
		struct pollfd fd = {wb_client_fd(run->client), wb_client_events(run->client), 0};

		if (poll(&fd, 1, wb_client_timeout_ms(run->client)) < 0 && errno != EINTR)
			return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "poll: %m");
		wb_client_process(run->client, fd.revents);
	}
	if (run->err == WB_ERR_LIMIT)
		return wb_fault_set(fault, run->err, NULL, 0, "output: more than %zu bytes",
				    run->limit_bytes);
	return run->err ? wb_fault_set(fault, run->err, NULL, 0, "output: no memory") : WB_OK;
}

/* The caller's now, with a NUL behind. */
static char *take_text(struct wbi_buf *buf, size_t *ret_bytes)
{
	struct wbi_slice slice = wbi_buf_peek(buf);
	char *text = malloc(slice.bytes + 1);

	if (!text)
		return NULL;
	if (slice.bytes > 0)
		memcpy(text, slice.data, slice.bytes);
	text[slice.bytes] = '\0';
	*ret_bytes = slice.bytes;
	return text;
}

static enum wb_err take_output(struct run *run, struct wb_output *ret_output,
			       struct wb_fault *fault)
{
	struct wb_output output = {.result = run->result};

	output.out = take_text(&run->outputs[WB_STDOUT], &output.out_bytes);
	output.err = take_text(&run->outputs[WB_STDERR], &output.err_bytes);
	if (!output.out || !output.err) {
		wb_output_done(&output);
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "output: no memory");
	}
	*ret_output = output;
	return WB_OK;
}

void wb_output_done(struct wb_output *output)
{
	free(output->out);
	free(output->err);
	output->out = output->err = NULL;
}

enum wb_err wb_run(const char *uri, const struct wb_exec *exec, const void *input,
		   size_t input_bytes, size_t limit_bytes, struct wb_output *ret_output,
		   struct wb_fault *fault)
{
	static const struct wb_call_callbacks callbacks = {
		.output = keep_output, .input = give_input, .ended = note_end};
	const struct wb_client_options options = {.uri = uri, .retry_ms = WB_RETRY_AS_HELD};
	struct run run = {.input = input, .input_bytes = input_bytes, .limit_bytes = limit_bytes};
	struct wb_exec asked = *exec;
	enum wb_err err;

	asked.no_input = input_bytes == 0;
	wbi_buf_init(&run.outputs[WB_STDOUT], limit_bytes + 1);
	wbi_buf_init(&run.outputs[WB_STDERR], limit_bytes + 1);
	err = wb_client_new(&options, &run.client, fault);
	if (!err)
		err = wb_client_exec(run.client, &asked, &callbacks, &run, &run.call, fault);
	if (!err && input_bytes > 0)
		give_input(run.call, &run);
	if (!err)
		err = drive(&run, fault);
	if (!err)
		err = take_output(&run, ret_output, fault);
	wb_client_free(run.client);
	wbi_buf_done(&run.outputs[WB_STDOUT]);
	wbi_buf_done(&run.outputs[WB_STDERR]);
	return err;
}
