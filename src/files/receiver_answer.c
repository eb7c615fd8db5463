/* Answers and failures: what the receiver says, to the other side and to its owner. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "files/receiver_state.h"

enum { SHOWN_ROOM = WBI_ITEM_TEXT_MAX / 2 + 1, SHOWN_PATH = SHOWN_ROOM - 16 };

enum wb_err wbi_receiver_answer(struct wbi_file_receiver *receiver, const struct wbi_answer *answer)
{
	uint8_t *out;
	size_t bytes;
	enum wb_err err = wbi_buf_reserve(&receiver->answers, WBI_ITEM_HEAD_BYTES_MAX, &out);

	if (!err)
		err = wbi_answer_encode(answer, out, WBI_ITEM_HEAD_BYTES_MAX, &bytes,
					&receiver->fault);
	if (err) {
		wb_fault_set(&receiver->fault, err, NULL, 0, "no room for an answer");
		return receiver->err = err;
	}
	wbi_buf_commit(&receiver->answers, bytes);
	return WB_OK;
}

enum wb_err wbi_receiver_answer_n(struct wbi_file_receiver *receiver, enum wbi_answer_kind kind,
				  uint64_t n)
{
	struct wbi_answer answer;

	wbi_answer_init(&answer, kind);
	answer.n = n;
	return wbi_receiver_answer(receiver, &answer);
}

/* Of a long path the end says more than the beginning. */
static void show(const char *name, char out[SHOWN_ROOM])
{
	size_t bytes = strlen(name);
	const char *slash = bytes < SHOWN_ROOM ? NULL : strchr(name + bytes - SHOWN_PATH, '/');

	if (slash)
		name = slash + 1;
	snprintf(out, SHOWN_ROOM, "%s", slash ? ".../" : "");
	wbi_text_escape(name, strlen(name), out + strlen(out), SHOWN_ROOM - strlen(out), NULL);
}

static const char *reason(int error)
{
	return error == ESTALE ? "somebody else changed it meanwhile" : strerror(error);
}

/* "name: why", escaped. */
static void write_text(char out[WBI_ITEM_TEXT_MAX], const char *name, const char *why)
{
	char shown[SHOWN_ROOM];

	show(name, shown);
	snprintf(out, WBI_ITEM_TEXT_MAX, "%s%s%s", shown, shown[0] ? ": " : "", why);
}

static enum wb_err tell(struct wbi_file_receiver *receiver, const struct wbi_answer *answer)
{
	wbi_file_failures_add(&receiver->failures, answer->n, answer->error, "%s%s%s%s%s",
			      answer->text, answer->expected[0] ? ", expected " : "",
			      answer->expected, answer->expected[0] ? ", found " : "",
			      answer->found);
	return wbi_receiver_answer(receiver, answer);
}

enum wb_err wbi_receiver_fail(struct wbi_file_receiver *receiver, enum wbi_answer_kind kind,
			      uint64_t n, const char *name, const char *error, const char *why)
{
	struct wbi_answer answer;

	wbi_answer_init(&answer, kind);
	answer.n = n;
	snprintf(answer.error, sizeof(answer.error), "%s", error);
	write_text(answer.text, name, why);
	return tell(receiver, &answer);
}

enum wb_err wbi_receiver_fail_digest(struct wbi_file_receiver *receiver, uint64_t n,
				     const char *name, const char *expected, const char *found)
{
	struct wbi_answer answer;

	wbi_answer_init(&answer, WBI_ANSWER_FAILED);
	answer.n = n;
	snprintf(answer.error, sizeof(answer.error), "digest");
	write_text(answer.text, name, "what arrived is not what was sent");
	memcpy(answer.expected, expected, sizeof(answer.expected));
	memcpy(answer.found, found, sizeof(answer.found));
	return tell(receiver, &answer);
}

enum wb_err wbi_receiver_fail_errno(struct wbi_file_receiver *receiver, enum wbi_answer_kind kind,
				    uint64_t n, const char *name, int error)
{
	char shown[SHOWN_ROOM];
	const char *stable = wbi_file_error_name(error);

	if (receiver->err)
		return receiver->err;
	/* It is not the file that cannot be written. */
	if (receiver->options.sink >= 0 && receiver->options.sink_name)
		name = receiver->options.sink_name;
	if (error == ENOSPC || error == EDQUOT || error == EROFS) {
		show(name, shown);
		errno = error;
		return wbi_receiver_stop(receiver, WB_ERR_SYSTEM, n, stable, "%s: %s", shown,
					 strerror(error));
	}
	return wbi_receiver_fail(receiver, kind, n, name, stable, reason(error));
}

enum wb_err wbi_receiver_fail_at(struct wbi_file_receiver *receiver, uint64_t n,
				 const struct wbi_folder *folder, const char *name, int error)
{
	char path[WBI_FOLDER_PATH_MAX];

	return wbi_receiver_fail_errno(receiver, WBI_ANSWER_FAILED, n,
				       wbi_folder_path(folder, name, path), error);
}

static void tell_finished(struct wbi_file_receiver *receiver)
{
	struct wbi_answer answer;

	if (receiver->finished)
		return;
	wbi_answer_init(&answer, WBI_ANSWER_FINISHED);
	answer.files = receiver->saved_files;
	answer.bytes = receiver->saved_bytes;
	answer.deleted = receiver->deleted;
	answer.failed = receiver->failures.count;
	if (!wbi_receiver_answer(receiver, &answer))
		receiver->finished = true;
}

enum wb_err wbi_receiver_finish(struct wbi_file_receiver *receiver)
{
	tell_finished(receiver);
	return receiver->err;
}

enum wb_err wbi_receiver_stop(struct wbi_file_receiver *receiver, enum wb_err err, uint64_t n,
			      const char *error, const char *format, ...)
{
	struct wbi_answer answer;
	va_list arguments;
	int system_errno = errno;

	if (receiver->err)
		return receiver->err;
	wbi_answer_init(&answer, WBI_ANSWER_FAILED);
	answer.n = n;
	snprintf(answer.error, sizeof(answer.error), "%s", error);
	va_start(arguments, format);
	vsnprintf(answer.text, sizeof(answer.text), format, arguments);
	va_end(arguments);
	errno = system_errno;
	receiver->err = wb_fault_set(&receiver->fault, err, NULL, 0, "%s", answer.text);
	wbi_small_drop(receiver);
	/* A full disk gets its room back. */
	wbi_content_drop(receiver, system_errno != ENOSPC && system_errno != EDQUOT);
	/* A flush that is under way tells the end itself, when all is counted. */
	if (!receiver->flushing)
		(void)wbi_receiver_flush(receiver);
	(void)tell(receiver, &answer);
	if (!receiver->flushing)
		tell_finished(receiver);
	return receiver->err;
}

enum wb_err wbi_receiver_bad(struct wbi_file_receiver *receiver, const char *error, const char *why)
{
	errno = 0;
	return wbi_receiver_stop(receiver, WB_ERR_MALFORMED, receiver->item.n, error,
				 "the sender: '%s' %s", wbi_item_kind_name(receiver->item.kind),
				 why);
}
