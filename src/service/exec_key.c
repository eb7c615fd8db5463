/* Keys of exec: see exec_key.h. Protocol: "Services of sessions", "Keys". */
#include "service/exec_key.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "service/exec.h"
#include "sys/clock.h"

/* What makes two requests the same: the strings, in their order, and how they are to be taken. */
static enum wb_err digest_request(const struct wbi_event *event,
				  const struct wbi_exec_request *request, char *out,
				  struct wb_fault *fault)
{
	static const char *const counts[] = {"argc", "envc"};
	char manner[96];
	uint64_t numbers[2] = {0};
	struct wb_digest *digest;
	enum wb_err err = WB_OK;

	for (int i = 0; i < 2 && !err; i++)
		if (wb_header_find(event->header, counts[i]))
			err = wb_header_get_integer(event->header, counts[i], &numbers[i], fault);
	if (!err)
		err = wb_digest_new(WB_DIGEST_SHA256, &digest, fault);
	if (err)
		return err;
	snprintf(manner, sizeof(manner), "%" PRIu64 " %" PRIu64 " %d %d %d ", numbers[0],
		 numbers[1], request->shell, request->terminal, request->folder != NULL);
	wb_digest_update(digest, manner, strlen(manner));
	wb_digest_update(digest, event->data.data, event->data.bytes);
	wb_digest_hex(digest, out);
	wb_digest_free(digest);
	return WB_OK;
}

void wbi_exec_key_refuse_done(struct wbi_call_env *env, struct wbi_call *call, uint64_t job)
{
	char outcome[WBI_KEY_OUTCOME_MAX], text[WBI_ERROR_TEXT_MAX];

	wbi_keys_outcome(env->keys, job, outcome);
	snprintf(text, sizeof(text), "the command of this key ran before: %s", outcome);
	wbi_call_refuse(call, "done", text);
}

/* The job runs already, or has ended: the call looks at it, wherever it is. */
static void show_job(struct wbi_call_env *env, struct wbi_event *event, uint64_t job)
{
	struct wbi_call *call = event->call;
	struct wbi_registry_entry entry;

	if (!wbi_registry_find(env->registry, env->principal(call->session), job, &entry)) {
		wbi_exec_key_refuse_done(env, call, job);
	} else if (entry.worker == env->worker) {
		wbi_exec_attach(env, job, true, event);
	} else if (call->session->call_count > 1) {
		wbi_call_refuse(call, "busy", "the command of this key runs for another session");
	} else if (env->attach_elsewhere(call, entry.worker, job, true)) {
		wbi_call_refuse(call, "limit", "the daemon has no memory for this");
	}
}

bool wbi_exec_key_claim(struct wbi_call_env *env, struct wbi_event *event,
			const struct wbi_exec_request *request, struct wbi_key *ret_key)
{
	struct wbi_call *call = event->call;
	struct wb_fault fault;
	uint64_t job = 0;

	*ret_key = (struct wbi_key){.owner = *env->principal(call->session)};
	snprintf(ret_key->name, sizeof(ret_key->name), "%s", call->key);
	if (digest_request(event, request, ret_key->request, &fault)) {
		wbi_call_refuse(call, "limit", fault.text);
		return false;
	}
	switch (wbi_keys_claim(env->keys, ret_key, wbi_clock_ms(), &job)) {
	case WBI_KEY_NEW:
		return true;
	case WBI_KEY_STARTING:
		wbi_call_refuse(call, "busy", "the command of this key is just being started");
		break;
	case WBI_KEY_STARTED:
		show_job(env, event, job);
		break;
	case WBI_KEY_OTHER:
		wbi_call_refuse(call, "key", "this key stands for another command");
		break;
	case WBI_KEY_FULL:
		wbi_call_refuse(call, "limit", "the daemon has no room for another key");
		break;
	}
	return false;
}

void wbi_exec_key_started(struct wbi_exec_job *exec, const struct wbi_key *key)
{
	exec->keyed = true;
	wbi_keys_started(exec->env->keys, key, exec->entry.job);
}

void wbi_exec_key_ended(const struct wbi_exec_job *exec)
{
	const struct wbi_exit *end = &exec->exit;
	char outcome[WBI_KEY_OUTCOME_MAX];

	switch (end->outcome) {
	case WBI_OUTCOME_EXITED:
		snprintf(outcome, sizeof(outcome), "exited with code %" PRIu32, end->code);
		break;
	case WBI_OUTCOME_SIGNALED:
		snprintf(outcome, sizeof(outcome), "ended by signal %s", end->signal);
		break;
	default:
		snprintf(outcome, sizeof(outcome), "%s%s%s", wbi_outcome_name(end->outcome),
			 end->error[0] ? ": " : "", end->error);
		break;
	}
	wbi_keys_ended(exec->env->keys, exec->entry.job, outcome);
}
