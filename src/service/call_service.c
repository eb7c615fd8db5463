/* The table of services of sessions, and what they share. */
#include "service/call_service.h"

#include <stdio.h>

const struct wbi_call_service *const wbi_call_services[] = {
	&wbi_exec_service,
	&wbi_attach_service,
	&wbi_jobs_service,
	&wbi_kill_service,
	&wbi_put_service,
	&wbi_get_service,
	NULL,
};

const char *const wbi_call_fields[] = {
	"argc",   "envc",     "cwd",        "shell",         "pty",     "rows",   "cols",
	"term",   "job",      "timeout_ms", "on_disconnect", "hold_ms", "from",   "signal",
	"paths",  "excludes", "recursive",  "into",          "update",  "delete", "owner",
	"digest", "compress", "fsync",      "delta",         NULL,
};

void wbi_call_refuse(struct wbi_call *call, const char *error, const char *text)
{
	struct wbi_exit end = {.outcome = WBI_OUTCOME_REFUSED};

	snprintf(end.error, sizeof(end.error), "%s", error);
	snprintf(end.text, sizeof(end.text), "%s", text);
	wbi_call_exit(call, &end);
}

bool wbi_call_is_denied_jobs(struct wbi_call_env *env, struct wbi_call *call)
{
	if (env->grant(call->session)->jobs)
		return false;
	wbi_call_refuse(call, "denied", "this key may not see or end jobs");
	return true;
}

void wbi_call_succeed(struct wbi_call *call)
{
	const struct wbi_exit end = {.outcome = WBI_OUTCOME_EXITED, .has_code = true};

	wbi_call_exit(call, &end);
}
