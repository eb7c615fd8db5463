/* Errors: the names of the codes, and the one place that fills a fault record. */
#include "waybill/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

static const char *const names[] = {
	[WB_OK] = "ok",
	[WB_ERR_ARGUMENT] = "argument",
	[WB_ERR_MALFORMED] = "malformed",
	[WB_ERR_RANGE] = "range",
	[WB_ERR_MISSING] = "missing",
	[WB_ERR_LIMIT] = "limit",
	[WB_ERR_UNSUPPORTED] = "unsupported",
	[WB_ERR_REFUSED] = "refused",
	[WB_ERR_CLOSED] = "closed",
	[WB_ERR_TIMEOUT] = "timeout",
	[WB_ERR_NOMEM] = "nomem",
	[WB_ERR_SYSTEM] = "system",
};

const char *wb_err_name(enum wb_err err)
{
	size_t index = (size_t)err;

	return index < sizeof(names) / sizeof(names[0]) ? names[index] : "unknown";
}

/* The raw text is cut at the size of the escaped one. A UTF-8 sequence that the cut leaves
 * unfinished is at most 3 bytes at the very end, and the first \xNN for it cannot fit any more: so
 * no half character is ever shown. */
static void set_text(struct wb_fault *fault, const char *format, va_list arguments)
{
	char raw[WB_FAULT_TEXT_MAX];

	if (vsnprintf(raw, sizeof(raw), format, arguments) < 0)
		raw[0] = '\0';
	wbi_text_escape_message(raw, fault->text, sizeof(fault->text));
}

enum wb_err wb_fault_set(struct wb_fault *fault, enum wb_err err, const char *field, size_t offset,
			 const char *format, ...)
{
	int saved_errno = errno;
	/* Made apart from *fault, for the arguments may point into it. */
	struct wb_fault made = {.err = err, .offset = offset};
	va_list arguments;

	if (!fault)
		return err;
	made.system_errno = err == WB_ERR_SYSTEM ? saved_errno : 0;
	if (field)
		wbi_text_escape_message(field, made.field, sizeof(made.field));
	va_start(arguments, format);
	set_text(&made, format, arguments);
	va_end(arguments);
	*fault = made;
	errno = saved_errno;
	return err;
}
