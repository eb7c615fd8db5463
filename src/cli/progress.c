/* The line that shows how a transfer stands: see progress.h. */
#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/terminal.h"

enum {
	BAR_COLUMNS = 20,
	LINE_MAX_BYTES = 1024,
	SAMPLE_MS = 500,  /* the rate is measured anew after so long */
	KEPT_PERCENT = 70 /* and so much of the old one stays */
};

void wbi_progress_bytes(uint64_t bytes, char out[WBI_PROGRESS_BYTES_MAX])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	unsigned unit = 0;

	while (value >= 1000 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	snprintf(out, WBI_PROGRESS_BYTES_MAX, unit > 0 && value < 100 ? "%.1f %s" : "%.0f %s",
		 value, units[unit]);
}

void wbi_progress_init(struct wbi_progress *progress, int fd)
{
	*progress = (struct wbi_progress){.fd = fd};
}

int wbi_progress_timeout_ms(const struct wbi_progress *progress, uint64_t now_ms)
{
	uint64_t due_ms = progress->shown_ms + WBI_PROGRESS_EVERY_MS;

	if (progress->fd < 0)
		return -1;
	return due_ms > now_ms ? (int)(due_ms - now_ms) : 0;
}

static void put(const struct wbi_progress *progress, const char *text, size_t bytes)
{
	/* What a terminal does not take is lost, and no harm done. */
	(void)!write(progress->fd, text, bytes);
}

void wbi_progress_erase(struct wbi_progress *progress)
{
	static const char erase[] = "\r\033[K";

	if (!progress->standing)
		return;
	put(progress, erase, sizeof(erase) - 1);
	progress->standing = false;
}

static void measure(struct wbi_progress *progress, uint64_t bytes, uint64_t now_ms)
{
	uint64_t passed_ms = now_ms - progress->sample_ms;
	double rate;

	if (progress->sampled && passed_ms < SAMPLE_MS)
		return;
	if (progress->sampled) {
		rate = (double)(bytes - progress->sample_bytes) * 1000 / (double)passed_ms;
		progress->rate =
			progress->rate > 0
				? (progress->rate * KEPT_PERCENT + rate * (100 - KEPT_PERCENT)) /
					  100
				: rate;
	}
	progress->sampled = true;
	progress->sample_ms = now_ms;
	progress->sample_bytes = bytes;
}

static size_t add_bar(char *out, size_t size, double share)
{
	static const char full[] = "####################", empty[] = "....................";
	int columns = (int)(share * BAR_COLUMNS);

	return (size_t)snprintf(out, size, "[%.*s%.*s] %3.0f%%  ", columns, full,
				BAR_COLUMNS - columns, empty, share * 100);
}

static size_t add_left(char *out, size_t size, double seconds)
{
	uint64_t left = seconds < 360000 ? (uint64_t)seconds + 1 : 360000;

	if (left >= 3600)
		return (size_t)snprintf(out, size, "  %" PRIu64 ":%02u:%02u left", left / 3600,
					(unsigned)(left / 60 % 60), (unsigned)(left % 60));
	return (size_t)snprintf(out, size, "  %" PRIu64 ":%02u left", left / 60,
				(unsigned)(left % 60));
}

static size_t add_rate(const struct wbi_progress *progress, char *out, size_t size, uint64_t left)
{
	char rate[WBI_PROGRESS_BYTES_MAX];
	size_t used;

	if (progress->rate < 1)
		return 0;
	wbi_progress_bytes((uint64_t)progress->rate, rate);
	used = (size_t)snprintf(out, size, "  %s/s", rate);
	if (left > 0)
		used += add_left(out + used, size - used, (double)left / progress->rate);
	return used;
}

static size_t add_files(char *out, size_t size, const struct wbi_file_progress *files)
{
	if (files->files_known > 1 && files->files_known > files->files_done)
		return (size_t)snprintf(out, size, "  %" PRIu64 " of %" PRIu64 " files",
					files->files_done, files->files_known);
	if (files->files_done <= 1)
		return 0;
	return (size_t)snprintf(out, size, "  %" PRIu64 " files", files->files_done);
}

/* The name has what columns are left. What was escaped is one column a byte, or looks a little
 * short where it is not. */
static size_t add_name(char *out, size_t size, const char *name, size_t columns)
{
	char shown[2 * WBI_FILE_CURRENT_MAX];
	size_t bytes = wbi_text_escape(name, strlen(name), shown, sizeof(shown), NULL);

	if (bytes == 0 || columns < 4)
		return 0;
	if (bytes > columns - 2)
		bytes = wbi_utf8_prefix(shown, columns - 2);
	return (size_t)snprintf(out, size, "  %.*s", (int)bytes, shown);
}

void wbi_progress_show(struct wbi_progress *progress, const struct wbi_file_progress *files,
		       uint64_t now_ms)
{
	char line[LINE_MAX_BYTES], done[WBI_PROGRESS_BYTES_MAX];
	uint64_t known = files->bytes_known > files->bytes_done ? files->bytes_known : 0;
	uint64_t left = known ? known - files->bytes_done : 0;
	uint16_t rows, columns;
	size_t used = 0, from = 4;

	if (progress->fd < 0 || wbi_progress_timeout_ms(progress, now_ms) > 0)
		return;
	measure(progress, files->bytes_done, now_ms);
	wbi_terminal_size(&rows, &columns);
	used += (size_t)snprintf(line, sizeof(line), "\r\033[K");
	if (known)
		used += add_bar(line + used, sizeof(line) - used,
				(double)files->bytes_done / (double)known);
	wbi_progress_bytes(files->bytes_done, done);
	used += (size_t)snprintf(line + used, sizeof(line) - used, "%s", done);
	used += add_rate(progress, line + used, sizeof(line) - used, left);
	used += add_files(line + used, sizeof(line) - used, files);
	if (used - from + 1 < columns)
		used += add_name(line + used, sizeof(line) - used, files->current,
				 columns - (used - from) - 1);
	else
		used = columns + from - 1;
	put(progress, line, used);
	progress->standing = true;
	progress->shown_ms = now_ms;
}
