/* The list of jobs: see job_table.h. It is gone through twice, first for the widths. */
#include "cli/job_table.h"

#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "base/text.h"
#include "waybill/header.h"

enum { SHOWN_BYTES_MAX = 512 };

static const struct {
	const char *field, *title;
} columns[] = {
	{"job", "JOB"},          {"status", "STATUS"},    {"age_ms", "AGE_S"},
	{"stdout_bytes", "OUT"}, {"stderr_bytes", "ERR"}, {"pid", "PID"},
	{"client", "CLIENT"},    {"command", "COMMAND"},
};

enum { COLUMN_COUNT = sizeof(columns) / sizeof(columns[0]), AGE_COLUMN = 2 };

struct row {
	char cells[COLUMN_COUNT][SHOWN_BYTES_MAX];
};

/* ---- one line of the list ---- */

static void format_cell(const struct wb_header *header, unsigned column, char out[SHOWN_BYTES_MAX])
{
	const char *field = columns[column].field;
	char text[SHOWN_BYTES_MAX / 4]; /* each byte may be escaped */
	uint64_t number;
	size_t bytes;

	if (wb_header_get_integer(header, field, &number, NULL) == WB_OK)
		snprintf(out, SHOWN_BYTES_MAX, "%" PRIu64,
			 column == AGE_COLUMN ? number / 1000 : number);
	else if (wb_header_get_text(header, field, text, sizeof(text), &bytes, NULL) == WB_OK)
		wbi_text_escape(text, bytes, out, SHOWN_BYTES_MAX, NULL);
	else
		snprintf(out, SHOWN_BYTES_MAX, "-");
}

/* Takes the first line off the list. False: there is none, or (the list is not empty then) it
 * cannot be read. */
static bool next_row(struct wbi_slice *list, struct row *row)
{
	const uint8_t *end = list->bytes > 0 ? memchr(list->data, '\n', list->bytes) : NULL;
	size_t bytes = end ? (size_t)(end - list->data) : list->bytes;
	struct wb_header header;

	if (list->bytes == 0 || wb_header_parse(&header, list->data, bytes, NULL) != WB_OK)
		return false;
	for (unsigned i = 0; i < COLUMN_COUNT; i++)
		format_cell(&header, i, row->cells[i]);
	bytes += end != NULL;
	list->data += bytes;
	list->bytes -= bytes;
	return true;
}

/* ---- on a terminal ---- */

/* Columns that a character takes; what the locale does not know is taken for one. */
static unsigned width_of(const char *text, size_t bytes)
{
	mbstate_t state = {0};
	wchar_t character;
	int width = -1;

	if (mbrtowc(&character, text, bytes, &state) == bytes)
		width = wcwidth(character);
	return width < 0 ? 1 : (unsigned)width;
}

/* The text's width, or, where that is more than `most`, of what fits; *ret_bytes: how much does. */
static unsigned measure(const char *text, unsigned most, size_t *ret_bytes)
{
	size_t left = strlen(text), used = 0;
	unsigned width = 0;

	while (left > 0) {
		size_t bytes = wbi_utf8_sequence(text + used, left);
		unsigned more = width_of(text + used, bytes);

		if (bytes == 0 || width + more > most)
			break;
		width += more;
		used += bytes;
		left -= bytes;
	}
	*ret_bytes = used;
	return width;
}

static void widen(unsigned widths[COLUMN_COUNT], unsigned column, const char *text)
{
	size_t bytes;
	unsigned width = measure(text, UINT16_MAX, &bytes);

	if (width > widths[column])
		widths[column] = width;
}

static void print_columns(const char *const cells[COLUMN_COUNT],
			  const unsigned widths[COLUMN_COUNT], unsigned width)
{
	unsigned at = 0, begin = 0;

	for (unsigned i = 0; i < COLUMN_COUNT && begin < width; i++) {
		size_t bytes;
		unsigned shown = measure(cells[i], width - begin, &bytes);

		printf("%*s%.*s", (int)(begin - at), "", (int)bytes, cells[i]);
		at = begin + shown;
		begin += widths[i] + 2;
	}
	putchar('\n');
}

static void print_table(struct wbi_slice list, const unsigned widths[COLUMN_COUNT], unsigned width)
{
	const char *cells[COLUMN_COUNT];
	struct row row;

	for (unsigned i = 0; i < COLUMN_COUNT; i++)
		cells[i] = columns[i].title;
	print_columns(cells, widths, width);
	while (next_row(&list, &row)) {
		for (unsigned i = 0; i < COLUMN_COUNT; i++)
			cells[i] = row.cells[i];
		print_columns(cells, widths, width);
	}
}

/* ---- for a script ---- */

static void print_tabs(struct wbi_slice list)
{
	struct row row;

	while (next_row(&list, &row))
		for (unsigned i = 0; i < COLUMN_COUNT; i++)
			printf("%s%c", row.cells[i], i + 1 < COLUMN_COUNT ? '\t' : '\n');
}

bool wbi_job_table_print(struct wbi_slice list, uint16_t width)
{
	unsigned widths[COLUMN_COUNT] = {0};
	struct wbi_slice rest = list;
	struct row row;

	setlocale(LC_CTYPE, "");
	for (unsigned i = 0; i < COLUMN_COUNT; i++)
		widen(widths, i, columns[i].title);
	while (next_row(&rest, &row))
		for (unsigned i = 0; i < COLUMN_COUNT; i++)
			widen(widths, i, row.cells[i]);
	if (rest.bytes > 0)
		return false;
	if (width > 0)
		print_table(list, widths, width);
	else
		print_tabs(list);
	return true;
}
