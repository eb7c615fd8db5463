/* The last word about a transfer: what failed, what was moved, and the exit code. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/outcome.h"
#include "cli/transfer.h"
#include "waybill/header.h"

enum { LINE_BYTES_MAX = 4096, EXIT_SIGNAL = 128 };

/* What it came to, by stable names. */
enum end { COMPLETE, PARTIAL, FAILED, INTERRUPTED };

static const char *const end_names[] = {
	[COMPLETE] = "complete",
	[PARTIAL] = "partial",
	[FAILED] = "failed",
	[INTERRUPTED] = "interrupted",
};

static enum end end_of(const struct wbi_transfer *transfer)
{
	const struct wb_result *result = &transfer->result;

	if (transfer->interrupted)
		return INTERRUPTED;
	if (transfer->err || !transfer->ended || result->outcome != WB_OUTCOME_EXITED ||
	    !result->complete || !transfer->ops->done(transfer->engine))
		return FAILED;
	if (transfer->ops->failures(transfer->engine)->count > 0 || result->code != 0)
		return PARTIAL;
	return COMPLETE;
}

/* Why the whole of it failed: its stable name, and a sentence. */
static const char *why(const struct wbi_transfer *transfer, const char **ret_text)
{
	const struct wb_result *result = &transfer->result;

	*ret_text = transfer->fault.text;
	if (transfer->err)
		return wb_err_name(transfer->err);
	*ret_text = result->text[0] ? result->text : result->missing;
	if (result->error[0])
		return result->error;
	if (!(*ret_text)[0])
		*ret_text = "the other side ended before it was done";
	return result->outcome == WB_OUTCOME_EXITED ? "incomplete"
						    : wb_outcome_name(result->outcome);
}

/* ---- for people ---- */

static void say_failures(const struct wbi_transfer *transfer)
{
	const struct wbi_file_failures *failures = transfer->ops->failures(transfer->engine);
	uint64_t shown = 0;

	for (; shown < failures->count && shown < WBI_FILE_FAILURES_MAX && failures->first; shown++)
		fprintf(stderr, "waybill %s: %s\n", transfer->command->name,
			failures->first[shown].text);
	if (failures->count > shown)
		fprintf(stderr, "waybill %s: and %" PRIu64 " more\n", transfer->command->name,
			failures->count - shown);
}

/* What ended it all may have been one of the files that failed. */
static bool is_said(const struct wbi_transfer *transfer, const char *text)
{
	const struct wbi_file_failures *failures = transfer->ops->failures(transfer->engine);

	for (uint64_t i = 0; i < failures->count && i < WBI_FILE_FAILURES_MAX && failures->first;
	     i++)
		if (!strcmp(failures->first[i].text, text))
			return true;
	return false;
}

static void say_end(const struct wbi_transfer *transfer, enum end end)
{
	char shown[512], where[256];
	const char *text;

	wbi_text_escape_message(transfer->destination, where, sizeof(where));
	if (end == INTERRUPTED) {
		fprintf(stderr, "waybill %s: %s: interrupted; the same command goes on from here\n",
			transfer->command->name, where);
		return;
	}
	why(transfer, &text);
	wbi_text_escape_message(text, shown, sizeof(shown));
	if (!is_said(transfer, shown))
		fprintf(stderr, "waybill %s: %s: %s\n", transfer->command->name, where, shown);
}

static void say_summary(const struct wbi_transfer *transfer, uint64_t now_ms)
{
	const struct wbi_file_progress *progress = transfer->ops->progress(transfer->engine);
	uint64_t failed = transfer->ops->failures(transfer->engine)->count;
	char wire[WBI_PROGRESS_BYTES_MAX], saved[WBI_PROGRESS_BYTES_MAX];
	char verified[WBI_PROGRESS_BYTES_MAX];

	wbi_progress_bytes(progress->bytes_wire, wire);
	wbi_progress_bytes(progress->bytes_saved, saved);
	wbi_progress_bytes(progress->bytes_verified, verified);
	fprintf(stderr, "%" PRIu64 " %s in %.1f s: %s %s, %s saved, %s verified",
		progress->files_done, progress->files_done == 1 ? "file" : "files",
		(double)(now_ms - transfer->started_ms) / 1000, wire, transfer->ops->did, saved,
		verified);
	if (failed > 0)
		fprintf(stderr, "; %" PRIu64 " failed", failed);
	fprintf(stderr, "\n");
}

/* ---- for scripts ---- */

static void print_line(struct wb_header_writer *writer, const char *line)
{
	size_t bytes;

	if (wb_header_finish(writer, &bytes, NULL) == WB_OK)
		printf("%.*s\n", (int)bytes, line);
}

static void print_failures(const struct wbi_transfer *transfer)
{
	const struct wbi_file_failures *failures = transfer->ops->failures(transfer->engine);
	struct wb_header_writer writer;
	char line[LINE_BYTES_MAX];

	for (uint64_t i = 0; i < failures->count && i < WBI_FILE_FAILURES_MAX && failures->first;
	     i++) {
		wb_header_writer_init(&writer, line, sizeof(line));
		wb_header_put_string(&writer, "error", failures->first[i].error);
		wb_header_put_string(&writer, "text", failures->first[i].text);
		print_line(&writer, line);
	}
}

static void print_summary(const struct wbi_transfer *transfer, enum end end, uint64_t now_ms)
{
	const struct wbi_file_progress *progress = transfer->ops->progress(transfer->engine);
	struct wb_header_writer writer;
	char line[LINE_BYTES_MAX];
	const char *text;

	wb_header_writer_init(&writer, line, sizeof(line));
	wb_header_put_string(&writer, "outcome", end_names[end]);
	wb_header_put_integer(&writer, "files", progress->files_done);
	wb_header_put_integer(&writer, "bytes", progress->bytes_done);
	wb_header_put_integer(&writer, "bytes_sent", progress->bytes_wire);
	wb_header_put_integer(&writer, "bytes_saved", progress->bytes_saved);
	wb_header_put_integer(&writer, "bytes_verified", progress->bytes_verified);
	wb_header_put_integer(&writer, "failed", transfer->ops->failures(transfer->engine)->count);
	wb_header_put_integer(&writer, "elapsed_ms", now_ms - transfer->started_ms);
	if (end == FAILED) {
		wb_header_put_string(&writer, "error", why(transfer, &text));
		wb_header_put_string(&writer, "text", text);
	}
	print_line(&writer, line);
}

int wbi_transfer_report(const struct wbi_transfer *transfer, uint64_t now_ms)
{
	enum end end = end_of(transfer);

	say_failures(transfer);
	if (end == FAILED || end == INTERRUPTED)
		say_end(transfer, end);
	if (wbi_transfer_flags.json) {
		print_failures(transfer);
		print_summary(transfer, end, now_ms);
	} else if (!wbi_transfer_flags.quiet) {
		say_summary(transfer, now_ms);
	}
	switch (end) {
	case COMPLETE:
		return EXIT_SUCCESS;
	case PARTIAL:
		return EXIT_FAILURE;
	case INTERRUPTED:
		return EXIT_SIGNAL + transfer->interrupted;
	default:
		return WBI_EXIT_NO_OUTCOME;
	}
}
