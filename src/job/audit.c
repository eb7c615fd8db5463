/* The audit trail: see audit.h. */
#include "job/audit.h"

#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "sys/clock.h"
#include "waybill/header.h"

enum {
	LINE_MAX_BYTES = 2048, /* below PIPE_BUF, so that poll's word on a pipe holds for it */
	TEXT_MAX = 512,        /* of one member */
	TIME_MAX = 40,
};

struct line {
	char text[LINE_MAX_BYTES];
	size_t bytes;
};

void wbi_audit_init(struct wbi_audit *audit, int fd, enum wbi_audit_format format)
{
	*audit = (struct wbi_audit){.fd = fd, .format = format};
	for (int i = 0; i < WBI_AUDIT_KINDS; i++) {
		audit->budgets[i].last_ms = wbi_clock_ms();
		audit->budgets[i].tokens = WBI_AUDIT_BURST * 1000;
	}
}

/* Brings the tokens up to now. Whether there is one for a line. */
static bool has_token(struct wbi_audit *audit, enum wbi_audit_kind kind)
{
	uint64_t now_ms = wbi_clock_ms();
	uint64_t tokens = audit->budgets[kind].tokens +
			  (now_ms - audit->budgets[kind].last_ms) * WBI_AUDIT_RATE;

	audit->budgets[kind].last_ms = now_ms;
	if (tokens > WBI_AUDIT_BURST * 1000)
		tokens = WBI_AUDIT_BURST * 1000;
	audit->budgets[kind].tokens = (uint32_t)tokens;
	return tokens >= 1000;
}

bool wbi_audit_allows(struct wbi_audit *audit, enum wbi_audit_kind kind)
{
	bool allowed = has_token(audit, kind);

	audit->budgets[kind].dropped += !allowed;
	return allowed;
}

static bool take_token(struct wbi_audit *audit, enum wbi_audit_kind kind)
{
	bool taken = has_token(audit, kind);

	audit->budgets[kind].tokens -= taken ? 1000 : 0;
	return taken;
}

static bool would_block(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};

	return poll(&poll_fd, 1, 0) != 1 || !(poll_fd.revents & POLLOUT);
}

/* ---- lines ---- */

static void end_line(struct line *line)
{
	if (line->bytes > sizeof(line->text) - 1)
		line->bytes = sizeof(line->text) - 1;
	line->text[line->bytes++] = '\n';
}

static void make_text(struct line *line, uint64_t dropped, const char *sentence)
{
	int bytes = 0;

	if (dropped > 0)
		bytes = snprintf(line->text, sizeof(line->text),
				 "waybill serve: %llu lines dropped\n",
				 (unsigned long long)dropped);
	bytes += snprintf(line->text + bytes, sizeof(line->text) - (size_t)bytes,
			  "waybill serve: %s", sentence);
	line->bytes = (size_t)bytes;
	end_line(line);
}

static void put_time(struct wb_header_writer *writer)
{
	char text[TIME_MAX], whole[TIME_MAX];
	struct timespec now;
	struct tm parts;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &parts);
	strftime(whole, sizeof(whole), "%Y-%m-%dT%H:%M:%S", &parts);
	snprintf(text, sizeof(text), "%.20s.%03ldZ", whole, now.tv_nsec / 1000000);
	wb_header_put_string(writer, "time", text);
}

static void put_field(struct wb_header_writer *writer, const struct wbi_audit_field *field)
{
	char text[TEXT_MAX];

	if (!field->text) {
		wb_header_put_integer(writer, field->name, field->number);
	} else if (field->text[0]) {
		wbi_text_escape_message(field->text, text, sizeof(text));
		wb_header_put_string(writer, field->name, text);
	}
}

static void make_json(struct line *line, uint64_t dropped, const char *event,
		      const struct wbi_audit_field *fields)
{
	struct wb_header_writer writer;

	wb_header_writer_init(&writer, line->text, sizeof(line->text) - 1);
	put_time(&writer);
	wb_header_put_string(&writer, "event", event);
	for (; fields->name; fields++)
		put_field(&writer, fields);
	if (dropped > 0)
		wb_header_put_integer(&writer, "lines_dropped", dropped);
	if (wb_header_finish(&writer, &line->bytes, NULL) != WB_OK)
		line->bytes = (size_t)snprintf(line->text, sizeof(line->text),
					       "{\"event\":\"%s\",\"cut\":true}", event);
	end_line(line);
}

static void write_line(struct wbi_audit *audit, enum wbi_audit_kind kind, const char *event,
		       const struct wbi_audit_field *fields, const char *sentence)
{
	uint64_t *dropped = &audit->budgets[kind].dropped;
	struct line line;

	if (!take_token(audit, kind) || would_block(audit->fd)) {
		++*dropped;
		return;
	}
	if (audit->format == WBI_AUDIT_JSON)
		make_json(&line, *dropped, event, fields);
	else
		make_text(&line, *dropped, sentence);
	*dropped = 0;
	if (write(audit->fd, line.text, line.bytes) < 0)
		++*dropped;
}

void wbi_audit_event(struct wbi_audit *audit, enum wbi_audit_kind kind, const char *event,
		     const struct wbi_audit_field *fields, const char *format, ...)
{
	char sentence[LINE_MAX_BYTES / 2];
	va_list args;

	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	write_line(audit, kind, event, fields, sentence);
}

bool wbi_audit_add(char what[WBI_AUDIT_WHAT_MAX], size_t *used, const void *text, size_t bytes)
{
	static const char ellipsis[] = "…";
	size_t room = WBI_AUDIT_WHAT_MAX - strlen(ellipsis), taken;

	*used += wbi_text_escape(text, bytes, what + *used, room - *used, &taken);
	if (taken == bytes)
		return true;
	stpcpy(what + *used, ellipsis);
	return false;
}

void wbi_audit(struct wbi_audit *audit, const char *format, ...)
{
	char sentence[LINE_MAX_BYTES / 2];
	const struct wbi_audit_field fields[] = {{"text", sentence, 0}, {NULL, NULL, 0}};
	va_list args;

	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	write_line(audit, WBI_AUDIT_TROUBLE, "note", fields, sentence);
}
