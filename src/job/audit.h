/* The audit trail: one line on stderr for each connection, refusal, call and outcome, and for what
 * a daemon could not do.
 *
 * As text it is a sentence for people. As JSON it is an object a line for machines: "time", "event"
 * and the event's own members, whose names are listed in docs/SECURITY.md and stay as they are.
 *
 * A log that nobody reads must not stop the daemon, and a peer must not fill a disk with it: lines
 * are dropped, and counted, where stderr would block or they come faster than WBI_AUDIT_RATE. What
 * goes as it should (WBI_AUDIT_TRAIL) and what does not (WBI_AUDIT_TROUBLE) are counted apart: a
 * flood of refusals hides no call. */
#ifndef WBI_AUDIT_H
#define WBI_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	WBI_AUDIT_WHAT_MAX = 256, /* of a "what", its NUL included */
	WBI_AUDIT_RATE = 50,      /* lines a second, in the long run; of each kind */
	WBI_AUDIT_BURST = 200,    /* and at once */
};

enum wbi_audit_kind { WBI_AUDIT_TROUBLE, WBI_AUDIT_TRAIL, WBI_AUDIT_KINDS };

enum wbi_audit_format { WBI_AUDIT_TEXT, WBI_AUDIT_JSON };

struct wbi_audit {
	int fd;
	enum wbi_audit_format format;
	struct {
		uint64_t last_ms;
		uint32_t tokens;  /* in thousandths of a line */
		uint64_t dropped; /* since the last line that was written */
	} budgets[WBI_AUDIT_KINDS];
};

/* A member of an event. A list of them ends with one whose name is NULL. */
struct wbi_audit_field {
	const char *name;
	const char *text; /* escaped here; "" is left out; NULL: the number */
	uint64_t number;
};

void wbi_audit_init(struct wbi_audit *audit, int fd, enum wbi_audit_format format);

/* Whether a line of this kind would be written now; if not, it is counted as dropped, and there is
 * no need to make it: thousands of calls a second should not pay for lines that nobody sees. */
bool wbi_audit_allows(struct wbi_audit *audit, enum wbi_audit_kind kind);

/* Writes one line: "waybill serve: …" with the sentence, or the event with its fields. Arguments of
 * the sentence that come from a peer must be escaped already. */
void wbi_audit_event(struct wbi_audit *audit, enum wbi_audit_kind kind, const char *event,
		     const struct wbi_audit_field *fields, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* Adds text of a peer's to a "what" of *used bytes, escaped. false: not all of it fits; it ends in
 * an ellipsis then, so that nobody hides the end of a command behind its beginning, and nothing
 * more may be added. */
bool wbi_audit_add(char what[WBI_AUDIT_WHAT_MAX], size_t *used, const void *text, size_t bytes);

/* Trouble without fields: event "note", with the sentence as its "text". */
void wbi_audit(struct wbi_audit *audit, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
