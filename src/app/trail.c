/* The trail of sessions: see trail.h. */
#include "app/trail.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

enum { ID_SHOWN_BYTES = 4, ID_TEXT_MAX = 2 * ID_SHOWN_BYTES + 1 };

/* Which session, and whose: what every line says. */
struct subject {
	char id[ID_TEXT_MAX];
	char who[WBI_PRINCIPAL_TEXT_MAX];
};

static struct wbi_audit *audit_of(struct wbi_served_session *served)
{
	return &served->env->audit;
}

static void describe(const struct wbi_served_session *served, struct subject *subject)
{
	for (int i = 0; i < ID_SHOWN_BYTES; i++)
		snprintf(subject->id + 2 * i, 3, "%02x", served->session->id[i]);
	wbi_principal_format(&served->who, subject->who);
}

/* ---- sessions ---- */

void wbi_trail_begun(struct wbi_served_session *served, const struct wbi_addr *from)
{
	char address[WBI_ADDR_TEXT_MAX], agent[4 * WBI_AGENT_MAX];
	struct subject subject;
	const struct wbi_audit_field fields[] = {
		{"session", subject.id, 0}, {"who", subject.who, 0}, {"from", address, 0},
		{"agent", agent, 0},        {NULL, NULL, 0},
	};

	describe(served, &subject);
	wbi_addr_format(from, address);
	wbi_text_escape(served->agent, strlen(served->agent), agent, sizeof(agent), NULL);
	wbi_audit_event(audit_of(served), WBI_AUDIT_TRAIL, "session", fields,
			"session %s: %s from %s, %s", subject.id, subject.who, address, agent);
}

/* The same machine, whatever port it has now. */
static bool is_same_place(const struct wbi_addr *a, const struct wbi_addr *b)
{
	char text_a[WBI_ADDR_TEXT_MAX], text_b[WBI_ADDR_TEXT_MAX];

	wbi_addr_format(a, text_a);
	wbi_addr_format(b, text_b);
	text_a[a->any.sa_family == AF_UNIX ? 0 : strrchr(text_a, ':') - text_a] = '\0';
	text_b[b->any.sa_family == AF_UNIX ? 0 : strrchr(text_b, ':') - text_b] = '\0';
	return strcmp(text_a, text_b) == 0;
}

void wbi_trail_returned(struct wbi_served_session *served, const struct wbi_addr *from)
{
	char address[WBI_ADDR_TEXT_MAX];
	struct subject subject;
	const struct wbi_audit_field fields[] = {
		{"session", subject.id, 0},
		{"who", subject.who, 0},
		{"from", address, 0},
		{NULL, NULL, 0},
	};

	if (is_same_place(&served->from, from))
		return;
	describe(served, &subject);
	wbi_addr_format(from, address);
	wbi_audit_event(audit_of(served), WBI_AUDIT_TRAIL, "returned", fields,
			"session %s: %s goes on from %s", subject.id, subject.who, address);
}

void wbi_trail_withdrawn(struct wbi_served_session *served, const struct wbi_denial *denial)
{
	struct subject subject;
	const struct wbi_audit_field fields[] = {
		{"session", subject.id, 0},    {"who", subject.who, 0}, {"code", denial->code, 0},
		{"text", denial->why.text, 0}, {NULL, NULL, 0},
	};

	describe(served, &subject);
	wbi_audit_event(audit_of(served), WBI_AUDIT_TROUBLE, "withdrawn", fields,
			"session %s: %s is not let in any more: %s: %s", subject.id, subject.who,
			denial->code, denial->why.text);
}

void wbi_trail_ended(struct wbi_served_session *served)
{
	struct subject subject;
	const struct wbi_audit_field fields[] = {
		{"session", subject.id, 0},
		{"who", subject.who, 0},
		{NULL, NULL, 0},
	};

	if (!served->grant)
		return; /* nobody was ever let into it */
	describe(served, &subject);
	wbi_audit_event(audit_of(served), WBI_AUDIT_TRAIL, "ended", fields, "session %s: ended",
			subject.id);
}

/* ---- calls ---- */

/* The first strings of the payload: a command's words, or paths. What follows them (environment)
 * may be secret. */
static void add_strings(const struct wbi_event *event, const char *count_name,
			char out[WBI_AUDIT_WHAT_MAX])
{
	const char *at = (const char *)event->data.data, *end = at + event->data.bytes;
	uint64_t count = 0;
	size_t used = 0;

	if (wb_header_get_integer(event->header, count_name, &count, NULL) != WB_OK)
		return;
	for (; count > 0 && at < end; count--) {
		size_t bytes = strnlen(at, (size_t)(end - at));

		if ((used > 0 && !wbi_audit_add(out, &used, " ", 1)) ||
		    !wbi_audit_add(out, &used, at, bytes))
			return;
		at += bytes + 1;
	}
}

void wbi_trail_call(struct wbi_served_session *served, const struct wbi_event *event)
{
	char what[WBI_AUDIT_WHAT_MAX] = "", service[4 * WBI_SERVICE_MAX];
	struct subject subject;
	uint64_t job = 0;
	const struct wbi_call *call = event->call;

	if (!served || !wbi_audit_allows(audit_of(served), WBI_AUDIT_TRAIL))
		return;
	describe(served, &subject);
	wbi_text_escape(call->service, strlen(call->service), service, sizeof(service), NULL);
	add_strings(event, "argc", what);
	add_strings(event, "paths", what);
	if (wb_header_get_integer(event->header, "job", &job, NULL) == WB_OK)
		snprintf(what, sizeof(what), "job %llu", (unsigned long long)job);

	const struct wbi_audit_field fields[] = {
		{"session", subject.id, 0}, {"who", subject.who, 0}, {"call", NULL, call->id},
		{"service", service, 0},    {"what", what, 0},       {NULL, NULL, 0},
	};

	wbi_audit_event(audit_of(served), WBI_AUDIT_TRAIL, "call", fields,
			"session %s: call %llu: %s %s", subject.id, (unsigned long long)call->id,
			service, what);
}

/* "exited 0", "signaled KILL", "refused denied". */
static void format_outcome(const struct wbi_call *call, const char **ret_name, char detail[64])
{
	const struct wbi_exit *exit = &call->result.exit;

	if (call->state < WBI_CALL_ENDING) {
		*ret_name = "dropped";
		return;
	}
	*ret_name = wbi_outcome_name(exit->outcome);
	if (exit->signal[0])
		snprintf(detail, 64, "%s", exit->signal);
	else if (exit->error[0])
		snprintf(detail, 64, "%s", exit->error);
	else if (exit->has_code)
		snprintf(detail, 64, "%u", exit->code);
}

void wbi_trail_outcome(struct wbi_served_session *served, const struct wbi_call *call)
{
	char detail[64] = "";
	const char *name;
	struct subject subject;

	if (!served || !wbi_audit_allows(audit_of(served), WBI_AUDIT_TRAIL))
		return;
	describe(served, &subject);
	format_outcome(call, &name, detail);

	const struct wbi_audit_field fields[] = {
		{"session", subject.id, 0}, {"who", subject.who, 0}, {"call", NULL, call->id},
		{"outcome", name, 0},       {"detail", detail, 0},   {NULL, NULL, 0},
	};

	wbi_audit_event(audit_of(served), WBI_AUDIT_TRAIL, "outcome", fields,
			"session %s: call %llu: %s%s%s", subject.id, (unsigned long long)call->id,
			name, detail[0] ? " " : "", detail);
}
