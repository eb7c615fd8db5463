/* attach: a new view of a job that was detached or lost its client.
 *
 * A job is touched by its own worker alone, so a session that attaches goes to live there. It can,
 * while that call is all it has. Protocol: "Services of sessions". */
#include "service/call_service.h"
#include "service/exec.h"

struct attach_request {
	uint64_t job;
	bool from_start;
};

static enum wb_err read_request(const struct wb_header *header, struct attach_request *ret_request,
				struct wb_fault *fault)
{
	enum wb_err err = wb_header_get_integer(header, "job", &ret_request->job, fault);

	ret_request->from_start = wb_header_text_is(header, "from", "start");
	if (!err && wb_header_find(header, "from") && !ret_request->from_start &&
	    !wb_header_text_is(header, "from", "left"))
		err = wb_fault_set(fault, WB_ERR_MALFORMED, "from", 0,
				   "from: neither \"left\" nor \"start\"");
	return err;
}

static void attach_open(struct wbi_call_env *env, struct wbi_event *event)
{
	struct wbi_call *call = event->call;
	struct attach_request request;
	struct wbi_registry_entry entry;
	struct wb_fault fault;

	if (wbi_call_is_denied_jobs(env, call))
		return;
	if (read_request(event->header, &request, &fault))
		wbi_call_refuse(call, "malformed", fault.text);
	else if (!wbi_registry_find(env->registry, env->principal(call->session), request.job,
				    &entry))
		wbi_call_refuse(call, "job", "there is no such job");
	else if (entry.worker == env->worker)
		wbi_exec_attach(env, request.job, request.from_start, event);
	else if (call->session->call_count > 1)
		wbi_call_refuse(call, "busy", "attach needs a session without other calls");
	else if (env->attach_elsewhere(call, entry.worker, request.job, request.from_start))
		wbi_call_refuse(call, "limit", "the daemon has no memory for this");
}

/* Once it is attached, the call is exec's. */
const struct wbi_call_service wbi_attach_service = {.name = "attach", .open = attach_open};
