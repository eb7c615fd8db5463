/* The trail of plain connections: see plain_trail.h. */
#include "service/plain_trail.h"

#include <stdio.h>

#include "job/principal.h"
#include "session/call.h"
#include "sys/signal_name.h"

void wbi_plain_trail_turned_away(struct wbi_plain_trail *trail, const char *service,
				 const char *from, const char *code, const char *why)
{
	char who[WBI_PRINCIPAL_TEXT_MAX];
	const struct wbi_audit_field fields[] = {
		{"connection", NULL, trail->caller.connection},
		{"who", who, 0},
		{"from", from, 0},
		{"code", code, 0},
		{"text", why, 0},
		{NULL, NULL, 0},
	};

	wbi_principal_format(&trail->caller.who, who);
	wbi_audit_event(trail->audit, WBI_AUDIT_TROUBLE, "refused", fields, "%s: %s: %s", service,
			from, why);
}

void wbi_plain_trail_call(struct wbi_plain_trail *trail, const char *service, const void *command,
			  size_t bytes)
{
	char what[WBI_AUDIT_WHAT_MAX], who[WBI_PRINCIPAL_TEXT_MAX];
	size_t used = 0;

	trail->calls++;
	trail->is_call_open = true;
	if (!wbi_audit_allows(trail->audit, WBI_AUDIT_TRAIL))
		return;
	wbi_principal_format(&trail->caller.who, who);
	(void)wbi_audit_add(what, &used, command, bytes);

	const struct wbi_audit_field fields[] = {
		{"connection", NULL, trail->caller.connection},
		{"who", who, 0},
		{"call", NULL, trail->calls},
		{"service", service, 0},
		{"what", what, 0},
		{NULL, NULL, 0},
	};

	wbi_audit_event(trail->audit, WBI_AUDIT_TRAIL, "call", fields,
			"connection %llu: call %llu: %s %s",
			(unsigned long long)trail->caller.connection,
			(unsigned long long)trail->calls, service, what);
}

static void tell_outcome(struct wbi_plain_trail *trail, const char *outcome, const char *detail)
{
	char who[WBI_PRINCIPAL_TEXT_MAX];

	trail->is_call_open = false;
	if (!wbi_audit_allows(trail->audit, WBI_AUDIT_TRAIL))
		return;
	wbi_principal_format(&trail->caller.who, who);

	const struct wbi_audit_field fields[] = {
		{"connection", NULL, trail->caller.connection},
		{"who", who, 0},
		{"call", NULL, trail->calls},
		{"outcome", outcome, 0},
		{"detail", detail, 0},
		{NULL, NULL, 0},
	};

	wbi_audit_event(trail->audit, WBI_AUDIT_TRAIL, "outcome", fields,
			"connection %llu: call %llu: %s%s%s",
			(unsigned long long)trail->caller.connection,
			(unsigned long long)trail->calls, outcome, detail[0] ? " " : "", detail);
}

void wbi_plain_trail_refused(struct wbi_plain_trail *trail, const char *why)
{
	tell_outcome(trail, wbi_outcome_name(WBI_OUTCOME_REFUSED), why);
}

void wbi_plain_trail_ended(struct wbi_plain_trail *trail, const struct wbi_job *job)
{
	const struct wbi_process_end *end = wbi_job_end(job);
	char detail[WBI_SIGNAL_NAME_MAX];

	if (wbi_job_outcome(job) != WBI_JOB_ENDED) {
		tell_outcome(trail, wbi_outcome_name(WBI_OUTCOME_FAILED),
			     wb_err_name(wbi_job_fault(job)->err));
	} else if (end->signaled) {
		wbi_signal_name(end->code, detail, sizeof(detail));
		tell_outcome(trail, wbi_outcome_name(WBI_OUTCOME_SIGNALED), detail);
	} else {
		snprintf(detail, sizeof(detail), "%d", end->code);
		tell_outcome(trail, wbi_outcome_name(WBI_OUTCOME_EXITED), detail);
	}
}

void wbi_plain_trail_left(struct wbi_plain_trail *trail)
{
	if (trail->is_call_open)
		tell_outcome(trail, "dropped", "");
}
