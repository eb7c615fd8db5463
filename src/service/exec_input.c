/* What clients have left for a command to read: see exec_job.h.
 *
 * As long as a client is there, what it has sent and the command has not read counts as lent by its
 * session to the stream. Once it has left, the job owes it itself, to the same pool of the worker:
 * so what all commands leave unread never grows past that, but for the few bytes that every stream
 * may have without borrowing. */
#include "service/exec_view.h"

/* What is still there of it; a stdin that nobody reads any more has nothing. */
static void settle(struct wbi_exec_job *exec)
{
	struct wbi_exec_input *input = &exec->left;

	if (exec->ended || !wbi_job_takes_input(exec->job))
		input->bytes = 0;
	if (input->borrowed <= input->bytes)
		return;
	wbi_pool_give_back(input->pool, input->borrowed - input->bytes);
	input->borrowed = input->bytes;
}

static void borrow(struct wbi_exec_input *input)
{
	if (!input->pool)
		return;
	input->borrowed += wbi_pool_borrow(input->pool, input->bytes - input->borrowed);
}

/* The stream hands back what it has borrowed, before the job borrows as much. */
static void take_off(struct wbi_stream *stream)
{
	wbi_stream_reset(stream);
	wbi_stream_consume(stream, stream->offset - stream->acknowledged);
}

void wbi_exec_input_leave(struct wbi_exec_job *exec, struct wbi_call *call)
{
	struct wbi_stream *stream = wbi_call_stream(call, 0);

	if (stream && !stream->sends)
		take_off(stream);
	exec->left.bytes = wbi_job_input_waiting(exec->job);
	settle(exec);
	borrow(&exec->left);
}

size_t wbi_exec_input_read(struct wbi_exec_job *exec, size_t bytes)
{
	size_t foreign = bytes < exec->left.bytes ? bytes : (size_t)exec->left.bytes;

	exec->left.bytes -= foreign;
	settle(exec);
	return bytes - foreign;
}

void wbi_exec_input_drop(struct wbi_exec_job *exec)
{
	exec->left.bytes = 0;
	settle(exec);
}

/* What the job may borrow itself once that client, who is away, is replaced. */
static uint64_t lent_to(const struct wbi_exec_view *view)
{
	const struct wbi_stream *stream = view ? wbi_call_stream(view->served.call, 0) : NULL;

	return stream && !stream->sends ? stream->borrowed : 0;
}

bool wbi_exec_input_may_grow(struct wbi_exec_job *exec)
{
	struct wbi_exec_input *input = &exec->left;
	uint64_t waiting = wbi_job_input_waiting(exec->job), owed;

	settle(exec);
	if (waiting > WBI_EXEC_INPUT_MAX)
		return false;
	borrow(input);
	owed = waiting - input->borrowed;
	return !input->pool || owed <= WBI_WINDOW_OWN ||
	       owed - WBI_WINDOW_OWN <= lent_to(exec->view);
}
