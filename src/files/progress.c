/* Failures: a bounded list, and a count that knows no bound. */
#include "files/progress.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

void wbi_file_progress_name(struct wbi_file_progress *progress, const char *name)
{
	size_t bytes = strnlen(name, sizeof(progress->current) - 1);

	memcpy(progress->current, name, bytes);
	progress->current[bytes] = '\0';
}

void wbi_file_failures_add(struct wbi_file_failures *failures, uint64_t n, const char *error,
			   const char *format, ...)
{
	uint64_t place = failures->count++;
	char text[WB_FAULT_TEXT_MAX * 2];
	va_list arguments;

	if (!failures->first)
		failures->first = calloc(WBI_FILE_FAILURES_MAX, sizeof(*failures->first));
	if (!failures->first || place >= WBI_FILE_FAILURES_MAX)
		return;
	struct wbi_file_failure *failure = &failures->first[place];
	failure->n = n;
	snprintf(failure->error, sizeof(failure->error), "%s", error);
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	wbi_text_escape_message(text, failure->text, sizeof(failure->text));
}

void wbi_file_failures_done(struct wbi_file_failures *failures)
{
	if (!failures)
		return;
	free(failures->first);
	*failures = (struct wbi_file_failures){0};
}

const char *wbi_file_error_name(int system_errno)
{
	switch (system_errno) {
	case ENOSPC:
		return "no-space";
	case EDQUOT:
		return "disk-quota";
	case EROFS:
		return "read-only";
	case EACCES:
	case EPERM:
		return "denied";
	case ENOENT:
		return "not-found";
	case ENOTDIR:
		return "not-a-folder";
	case EISDIR:
		return "is-a-folder";
	case EEXIST:
	case ENOTEMPTY:
		return "exists";
	case ELOOP:
		return "link-in-the-way";
	case ENAMETOOLONG:
		return "name-too-long";
	case EFBIG:
		return "too-large";
	case EMFILE:
	case ENFILE:
		return "too-many-open";
	case ESTALE:
		return "changed";
	case EBUSY:
	case ETXTBSY:
		return "busy";
	default:
		return "io";
	}
}
