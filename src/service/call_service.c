/* The table of services of sessions, and what they share. */
#include "service/call_service.h"

#include <stdio.h>

const struct wbi_call_service *const wbi_call_services[] = {
	&wbi_exec_service, &wbi_attach_service, &wbi_jobs_service, &wbi_kill_service, NULL,
};

const char *const wbi_call_fields[] = {
	"argc", "envc",       "cwd",           "shell",   "pty",  "rows",   "cols", "term",
	"job",  "timeout_ms", "on_disconnect", "hold_ms", "from", "signal", NULL,
};

void wbi_call_refuse(struct wbi_call *call, const char *error, const char *text)
{
	struct wbi_exit end = {.outcome = WBI_OUTCOME_REFUSED};

	snprintf(end.error, sizeof(end.error), "%s", error);
	snprintf(end.text, sizeof(end.text), "%s", text);
	wbi_call_exit(call, &end);
}

void wbi_call_succeed(struct wbi_call *call)
{
	const struct wbi_exit end = {.outcome = WBI_OUTCOME_EXITED, .has_code = true};

	wbi_call_exit(call, &end);
}
