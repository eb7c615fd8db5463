/* The audit trail: see audit.h. */
#include "job/audit.h"

#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "sys/clock.h"

enum { LINE_MAX_BYTES = 1024 }; /* below PIPE_BUF, so that poll's word on a pipe holds for it */

void wbi_audit_init(struct wbi_audit *audit, int fd)
{
	*audit = (struct wbi_audit){
		.fd = fd, .last_ms = wbi_clock_ms(), .tokens = WBI_AUDIT_BURST * 1000};
}

static bool take_token(struct wbi_audit *audit)
{
	uint64_t now_ms = wbi_clock_ms();
	uint64_t tokens = audit->tokens + (now_ms - audit->last_ms) * WBI_AUDIT_RATE;

	audit->last_ms = now_ms;
	audit->tokens = tokens < WBI_AUDIT_BURST * 1000 ? (uint32_t)tokens : WBI_AUDIT_BURST * 1000;
	if (audit->tokens < 1000)
		return false;
	audit->tokens -= 1000;
	return true;
}

static bool would_block(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};

	return poll(&poll_fd, 1, 0) != 1 || !(poll_fd.revents & POLLOUT);
}

void wbi_audit(struct wbi_audit *audit, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	va_list args;
	int bytes = 0, more;

	if (!take_token(audit) || would_block(audit->fd)) {
		audit->dropped++;
		return;
	}
	if (audit->dropped > 0)
		bytes = snprintf(line, sizeof(line), "waybill serve: %llu lines dropped\n",
				 (unsigned long long)audit->dropped);
	audit->dropped = 0;
	bytes += snprintf(line + bytes, sizeof(line) - (size_t)bytes, "waybill serve: ");
	va_start(args, format);
	more = vsnprintf(line + bytes, sizeof(line) - (size_t)bytes - 1, format, args);
	va_end(args);
	bytes += more;
	if (more < 0 || (size_t)bytes > sizeof(line) - 2)
		bytes = (int)sizeof(line) - 2;
	line[bytes++] = '\n';
	if (write(audit->fd, line, (size_t)bytes) < 0)
		audit->dropped++;
}
