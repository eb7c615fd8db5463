/* The outcome of a command: see outcome.h. */
#include "cli/outcome.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "sys/fd.h"
#include "sys/signal_name.h"
#include "waybill/header.h"

enum { LINE_BYTES_MAX = 4096, SIGNAL_CODE = 128, CODE_MAX = 255 };

/* One without a name travels as its number. */
static int signal_number(const char *name)
{
	int known = wbi_signal_number(name);
	char *end;
	long number = strtol(name, &end, 10);

	if (known)
		return known;
	return number > 0 && number <= SIGRTMAX && *end == '\0' ? (int)number : 0;
}

/* What cannot be relied upon is no outcome, whatever the daemon called it. NULL: nothing. */
static const char *what_is_missing(const struct wb_result *result)
{
	if (result->outcome != WB_OUTCOME_EXITED)
		return NULL;
	if (!result->complete)
		return result->missing;
	/* Its last byte would pass for a code, and 256 for success. */
	return result->code > CODE_MAX ? "a code that no command can have" : NULL;
}

int wbi_outcome_code(const struct wb_result *result)
{
	int number;

	switch (result->outcome) {
	case WB_OUTCOME_EXITED:
		return what_is_missing(result) ? WBI_EXIT_NO_OUTCOME : (int)result->code;
	case WB_OUTCOME_SIGNALED:
		number = signal_number(result->signal);
		return number ? SIGNAL_CODE + number : WBI_EXIT_NO_OUTCOME;
	case WB_OUTCOME_TIMEOUT:
		return WBI_EXIT_TIMEOUT;
	case WB_OUTCOME_FAILED:
		return result->has_code && result->code > 0 && result->code <= CODE_MAX
			       ? (int)result->code
			       : WBI_EXIT_NO_OUTCOME;
	default:
		return WBI_EXIT_NO_OUTCOME;
	}
}

void wbi_outcome_explain(const struct wbi_command *command, const char *destination,
			 const struct wb_result *result)
{
	const char *what = wb_outcome_name(result->outcome);
	const char *text = result->text[0] ? result->text : result->error;
	const char *missing = what_is_missing(result);
	char shown[512], where[256];

	if (missing) {
		what = "lost";
		text = missing;
	} else if (result->outcome == WB_OUTCOME_SIGNALED && !signal_number(result->signal)) {
		text = result->signal; /* there is none like that here */
	} else if (result->outcome == WB_OUTCOME_EXITED || result->outcome == WB_OUTCOME_SIGNALED ||
		   result->outcome == WB_OUTCOME_TIMEOUT) {
		return;
	}
	wbi_text_escape(text, strlen(text), shown, sizeof(shown), NULL);
	wbi_text_escape(destination, strlen(destination), where, sizeof(where), NULL);
	fprintf(stderr, "waybill %s: %s: %s%s%s\n", command->name, where, what,
		shown[0] ? ": " : "", shown);
}

static void put_how(struct wb_header_writer *writer, const struct wb_result *result)
{
	bool incomplete = what_is_missing(result);

	wb_header_put_string(writer, "outcome",
			     incomplete ? "lost" : wb_outcome_name(result->outcome));
	if (result->has_code && !incomplete)
		wb_header_put_integer(writer, "code", result->code);
	if (result->outcome == WB_OUTCOME_SIGNALED) {
		wb_header_put_string(writer, "signal", result->signal);
		wb_header_put_bool(writer, "core", result->core);
	}
	if (incomplete)
		wb_header_put_string(writer, "error", "incomplete");
	else if (result->error[0])
		wb_header_put_string(writer, "error", result->error);
	if (result->text[0])
		wb_header_put_string(writer, "text", result->text);
	wb_header_put_bool(writer, "complete", result->complete);
	if (result->missing[0])
		wb_header_put_string(writer, "missing", result->missing);
}

enum wb_err wbi_outcome_write(int fd, const struct wb_result *result, uint64_t job,
			      struct wb_fault *fault)
{
	char line[LINE_BYTES_MAX];
	struct wb_header_writer writer;
	size_t bytes;
	enum wb_err err;

	wb_header_writer_init(&writer, line, sizeof(line) - 1);
	put_how(&writer, result);
	if (job)
		wb_header_put_integer(&writer, "job", job);
	wb_header_put_integer(&writer, "stdout_bytes", result->output_bytes[WB_STDOUT]);
	wb_header_put_integer(&writer, "stderr_bytes", result->output_bytes[WB_STDERR]);
	if (result->held_open)
		wb_header_put_bool(&writer, "held_open", true);
	if (result->has_usage) {
		wb_header_put_integer(&writer, "user_ms", result->user_ms);
		wb_header_put_integer(&writer, "system_ms", result->system_ms);
		wb_header_put_integer(&writer, "memory_bytes", result->memory_bytes);
	}
	err = wb_header_finish(&writer, &bytes, fault);
	if (err)
		return err;
	line[bytes++] = '\n';
	return wbi_fd_write_all(fd, line, bytes, fault);
}
