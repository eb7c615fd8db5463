/* Options: walks a command line with a table, fills what the rows point at, and prints the same
 * table as the usage. GNU habits: --name value, --name=value, -n value, -nvalue, clusters of flags,
 * `--`, options and operands in any order. Abbreviated long names are not taken: a script that
 * uses one breaks on the day when another option begins with the same letters. */
#include "cli/opt.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum {
	PAGE_COLUMNS = 80,
	HELP_COLUMN_MAX = 30, /* a longer option has its help on the next line */
	LABEL_MAX = 64,
	MESSAGE_MAX = 400,
	NUMBER_MAX = 40, /* text of a number with its unit */
	OPTION_ARGUMENTS_MAX = 2,
};

static const struct wbi_opt help_row = {'h', "help", WBI_OPT_FLAG, NULL, "show this help", NULL,
					0,   0};

int wbi_opt_wrong(const struct wbi_command *command, const char *format, ...)
{
	char message[MESSAGE_MAX];
	char shown[2 * MESSAGE_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	wbi_text_escape_message(message, shown, sizeof(shown));
	fprintf(stderr, "waybill %s: %s; see 'waybill help %s'\n", command->name, shown,
		command->name);
	return WBI_EXIT_USAGE;
}

/* Numbers and their units. */

struct unit {
	const char *suffix;
	uint64_t factor;
};

static const struct unit plain_units[] = {{"", 1}, {NULL, 0}};
static const struct unit byte_units[] = {
	{"", 1}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {NULL, 0}};
static const struct unit duration_units[] = {{"", 1000},   {"ms", 1},      {"s", 1000},
					     {"m", 60000}, {"h", 3600000}, {NULL, 0}};

static const struct unit *units_of(enum wbi_opt_kind kind)
{
	if (kind == WBI_OPT_BYTES)
		return byte_units;
	return kind == WBI_OPT_DURATION ? duration_units : plain_units;
}

static const char *form_of(enum wbi_opt_kind kind)
{
	if (kind == WBI_OPT_BYTES)
		return "a size such as 4096, 64K, 10M or 2G";
	return kind == WBI_OPT_DURATION ? "a duration such as 500ms, 60s, 5m or 24h"
					: "a whole number";
}

enum number_result { NUMBER_OK, NUMBER_BAD, NUMBER_HUGE };

static enum number_result parse_number(const char *text, const struct unit *units,
				       uint64_t *ret_value)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t value;

	if (digits == 0)
		return NUMBER_BAD;
	while (units->suffix && strcmp(units->suffix, text + digits) != 0)
		units++;
	if (!units->suffix)
		return NUMBER_BAD;
	errno = 0;
	value = strtoull(text, NULL, 10);
	if (errno == ERANGE || value > UINT64_MAX / units->factor)
		return NUMBER_HUGE;
	*ret_value = value * units->factor;
	return NUMBER_OK;
}

bool wbi_opt_duration(const char *text, uint64_t *ret_ms)
{
	return parse_number(text, duration_units, ret_ms) == NUMBER_OK;
}

/* Writes a number with the largest unit that divides it: what a person would have typed. */
static void format_number(uint64_t value, const struct unit *units, char out[NUMBER_MAX])
{
	const struct unit *best = NULL;

	for (; units->suffix; units++) {
		bool named = *units->suffix != '\0' || units->factor == 1;

		if (named && value % units->factor == 0 && (!best || value >= units->factor))
			best = units;
	}
	snprintf(out, NUMBER_MAX, "%" PRIu64 "%s", best ? value / best->factor : value,
		 best ? best->suffix : "");
}

/* Parsing. */

struct scan {
	const struct wbi_command *command;
	const struct wbi_opt *table;
	int argc;
	char **argv;
	int first; /* the first operand so far: argv[first … next) are operands */
	int next;  /* the first argument that was not looked at yet */
};

static enum wbi_opt_result wrong_range(const struct scan *scan, const struct wbi_opt *opt,
				       const char *label, const char *value)
{
	char min[NUMBER_MAX], max[NUMBER_MAX];

	format_number(opt->min, units_of(opt->kind), min);
	format_number(opt->max, units_of(opt->kind), max);
	wbi_opt_wrong(scan->command, "%s: %s is out of range, give %s to %s", label, value, min,
		      max);
	return WBI_OPT_WRONG;
}

static enum wbi_opt_result set_number(const struct scan *scan, const struct wbi_opt *opt,
				      const char *label, const char *value)
{
	uint64_t number = 0;

	switch (parse_number(value, units_of(opt->kind), &number)) {
	case NUMBER_OK:
		break;
	case NUMBER_BAD:
		wbi_opt_wrong(scan->command, "%s: '%s' is not %s", label, value,
			      form_of(opt->kind));
		return WBI_OPT_WRONG;
	case NUMBER_HUGE:
		return wrong_range(scan, opt, label, value);
	}
	if (number < opt->min || number > opt->max)
		return wrong_range(scan, opt, label, value);
	*(uint64_t *)opt->target = number;
	return WBI_OPT_GO;
}

static enum wbi_opt_result wrong_missing(const struct scan *scan, const struct wbi_opt *opt,
					 const char *label)
{
	wbi_opt_wrong(scan->command, "%s: needs a value (%s)", label, opt->argument);
	return WBI_OPT_WRONG;
}

static enum wbi_opt_result add_to_list(const struct scan *scan, const struct wbi_opt *opt,
				       const char *label, const char *value)
{
	struct wbi_opt_list *list = opt->target;

	if (*value == '\0')
		return wrong_missing(scan, opt, label);
	if (list->count == WBI_OPT_LIST_MAX) {
		wbi_opt_wrong(scan->command, "%s: given more than %d times", label,
			      WBI_OPT_LIST_MAX);
		return WBI_OPT_WRONG;
	}
	list->values[list->count++] = value;
	return WBI_OPT_GO;
}

/* Stores an option's value. label: the option as it was written, for messages. */
static enum wbi_opt_result set(const struct scan *scan, const struct wbi_opt *opt,
			       const char *label, const char *value)
{
	switch (opt->kind) {
	case WBI_OPT_FLAG:
		if (opt == &help_row) {
			wbi_opt_usage(scan->command, scan->table);
			return WBI_OPT_HELP_SHOWN;
		}
		*(bool *)opt->target = true;
		return WBI_OPT_GO;
	case WBI_OPT_TEXT:
		*(const char **)opt->target = value;
		return WBI_OPT_GO;
	case WBI_OPT_LIST:
		return add_to_list(scan, opt, label, value);
	case WBI_OPT_INTEGER:
	case WBI_OPT_BYTES:
	case WBI_OPT_DURATION:
		return set_number(scan, opt, label, value);
	}
	return WBI_OPT_WRONG;
}

/* Takes the argument behind the option as its value; *used counts it. */
static enum wbi_opt_result set_from_next(const struct scan *scan, const struct wbi_opt *opt,
					 const char *label, int *used)
{
	if (scan->next + 1 >= scan->argc)
		return wrong_missing(scan, opt, label);
	*used = 2;
	return set(scan, opt, label, scan->argv[scan->next + 1]);
}

static const struct wbi_opt *find_long(const struct scan *scan, const char *name, size_t bytes)
{
	for (const struct wbi_opt *opt = scan->table; opt->name; opt++)
		if (strlen(opt->name) == bytes && memcmp(opt->name, name, bytes) == 0)
			return opt;
	return bytes == 4 && memcmp(name, "help", 4) == 0 ? &help_row : NULL;
}

static enum wbi_opt_result take_long(const struct scan *scan, const char *text, int *used)
{
	size_t bytes = strcspn(text + 2, "=");
	const struct wbi_opt *opt = find_long(scan, text + 2, bytes);
	const char *value = text[2 + bytes] == '=' ? text + 2 + bytes + 1 : NULL;
	char label[LABEL_MAX];

	snprintf(label, sizeof(label), "%.*s", (int)(2 + bytes), text);
	if (!opt) {
		wbi_opt_wrong(scan->command, "%s: there is no such option", label);
		return WBI_OPT_WRONG;
	}
	if (opt->kind == WBI_OPT_FLAG && value) {
		wbi_opt_wrong(scan->command, "%s: takes no value", label);
		return WBI_OPT_WRONG;
	}
	if (opt->kind == WBI_OPT_FLAG || value)
		return set(scan, opt, label, value);
	return set_from_next(scan, opt, label, used);
}

static const struct wbi_opt *find_short(const struct scan *scan, char name)
{
	for (const struct wbi_opt *opt = scan->table; opt->name; opt++)
		if (opt->short_name == name)
			return opt;
	return name == help_row.short_name ? &help_row : NULL;
}

/* Takes a cluster: flags, then perhaps one option whose value is the rest of it. */
static enum wbi_opt_result take_short(const struct scan *scan, const char *text, int *used)
{
	enum wbi_opt_result result = WBI_OPT_GO;

	for (const char *letter = text + 1; *letter && result == WBI_OPT_GO; letter++) {
		const struct wbi_opt *opt = find_short(scan, *letter);
		char label[] = {'-', *letter, '\0'};

		if (!opt) {
			wbi_opt_wrong(scan->command, "%s: there is no such option", label);
			return WBI_OPT_WRONG;
		}
		if (opt->kind != WBI_OPT_FLAG)
			return letter[1] ? set(scan, opt, label, letter + 1)
					 : set_from_next(scan, opt, label, used);
		result = set(scan, opt, label, NULL);
	}
	return result;
}

/* Moves the `used` arguments of an option before the operands that stood before it. */
static void step_over(struct scan *scan, int used)
{
	char *moved[OPTION_ARGUMENTS_MAX];
	size_t moved_bytes = (size_t)used * sizeof(*moved);
	char **operands = scan->argv + scan->first;

	memcpy(moved, scan->argv + scan->next, moved_bytes);
	memmove(operands + used, operands, (size_t)(scan->next - scan->first) * sizeof(*moved));
	memcpy(operands, moved, moved_bytes);
	scan->first += used;
	scan->next += used;
}

enum wbi_opt_result wbi_opt_parse(const struct wbi_command *command, const struct wbi_opt *table,
				  bool stop_at_operand, int argc, char **argv, int *ret_operands)
{
	struct scan scan = {command, table, argc, argv, 1, 1};
	enum wbi_opt_result result = WBI_OPT_GO;
	bool more = true;

	while (more && scan.next < argc && result == WBI_OPT_GO) {
		const char *text = argv[scan.next];
		int used = 1;

		if (text[0] != '-' || text[1] == '\0') {
			scan.next++; /* an operand; "-" alone is one, too */
			more = !stop_at_operand;
			continue;
		}
		if (strcmp(text, "--") == 0)
			more = false;
		else if (text[1] == '-')
			result = take_long(&scan, text, &used);
		else
			result = take_short(&scan, text, &used);
		if (result == WBI_OPT_GO)
			step_over(&scan, used);
	}
	if (result == WBI_OPT_GO)
		*ret_operands = scan.first;
	return result;
}

/* Printing. */

/* Fills lines with the words of a text. column: where the cursor stands; indent: where further
 * lines begin. Counts bytes, so the texts of this program keep to ASCII. */
static void print_filled(const char *text, size_t bytes, size_t column, size_t indent)
{
	const char *end = text + bytes;
	bool begun = false;

	while (text < end) {
		size_t word = strcspn(text, " \n");

		if (word > (size_t)(end - text))
			word = (size_t)(end - text);
		if (begun && column + 1 + word > PAGE_COLUMNS) {
			printf("\n%*s", (int)indent, "");
			column = indent;
		} else if (begun) {
			putchar(' ');
			column++;
		}
		fwrite(text, 1, word, stdout);
		column += word;
		begun = true;
		text += word + 1;
	}
	putchar('\n');
}

/* Where the paragraph ends: at an empty line, a line that begins with a space, or the end. */
static size_t paragraph_bytes(const char *text)
{
	size_t bytes = strcspn(text, "\n");

	while (bytes > 0 && text[bytes] == '\n' && !strchr("\n ", text[bytes + 1]))
		bytes += 1 + strcspn(text + bytes + 1, "\n");
	return bytes;
}

static void print_details(const char *text)
{
	while (*text) {
		size_t bytes = *text == ' ' ? strcspn(text, "\n") : paragraph_bytes(text);

		if (*text == ' ')
			printf("%.*s\n", (int)bytes, text);
		else
			print_filled(text, bytes, 0, 0);
		text += bytes + (text[bytes] == '\n');
	}
}

static size_t label_of(const struct wbi_opt *opt, char out[LABEL_MAX])
{
	char short_part[] = "    ";

	if (opt->short_name)
		snprintf(short_part, sizeof(short_part), "-%c, ", opt->short_name);
	snprintf(out, LABEL_MAX, "  %s--%s%s%s", short_part, opt->name, opt->argument ? " " : "",
		 opt->argument ? opt->argument : "");
	return strlen(out);
}

static size_t help_column(const struct wbi_opt *table)
{
	char label[LABEL_MAX];
	size_t column = label_of(&help_row, label) + 2;

	for (const struct wbi_opt *opt = table; opt->name; opt++) {
		size_t wanted = label_of(opt, label) + 2;

		if (wanted > column && wanted <= HELP_COLUMN_MAX)
			column = wanted;
	}
	return column;
}

static void print_row(const struct wbi_opt *opt, size_t column)
{
	char label[LABEL_MAX];
	size_t bytes = label_of(opt, label);

	if (bytes + 2 > column)
		printf("%s\n%*s", label, (int)column, "");
	else
		printf("%-*s", (int)column, label);
	print_filled(opt->help, strlen(opt->help), column, column);
}

void wbi_opt_usage(const struct wbi_command *command, const struct wbi_opt *table)
{
	size_t column = help_column(table);

	printf("usage: waybill %s\n\n", command->usage);
	printf("%c%s\n", toupper((unsigned char)*command->summary), command->summary + 1);
	if (*command->details) {
		putchar('\n');
		print_details(command->details);
	}
	printf("\nOptions:\n");
	for (const struct wbi_opt *opt = table; opt->name; opt++)
		print_row(opt, column);
	print_row(&help_row, column);
}
