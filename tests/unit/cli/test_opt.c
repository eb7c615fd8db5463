/* Options: every form in which one can be written, and every way in which one can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/opt.c" /* the program's own floor is in no library */

enum { ARGUMENTS_MAX = 80, OUTPUT_MAX = 8192, OUTPUT_COLUMNS = 80 };

static struct {
	bool flag, quiet;
	const char *text;
	struct wbi_opt_list list;
	uint64_t number, size, duration_ms;
} values;

static const struct wbi_opt table[] = {
	{'f', "flag", WBI_OPT_FLAG, NULL, "a flag", &values.flag, 0, 0},
	{'q', "quiet", WBI_OPT_FLAG, NULL, "another", &values.quiet, 0, 0},
	{'t', "text", WBI_OPT_TEXT, "TEXT", "some text", &values.text, 0, 0},
	{'l', "list", WBI_OPT_LIST, "ITEM", "many", &values.list, 0, 0},
	{'n', "number", WBI_OPT_INTEGER, "N",
	 "a number with an explanation that is a good deal longer than one line of eighty columns",
	 &values.number, 1, 100},
	{0, "size", WBI_OPT_BYTES, "BYTES", "a size", &values.size, 1024, UINT64_C(1) << 40},
	{0, "a-rather-long-name", WBI_OPT_DURATION, "DURATION", "a time", &values.duration_ms, 1,
	 24 * 3600 * 1000},
	{0},
};

static const struct wbi_command command = {
	.name = "test",
	.summary = "try options",
	.usage = "test [options] FILE",
	.details = "A first paragraph that is so long that it has to be folded, for no terminal is "
		   "as wide as this line would be.\nThe same\nparagraph.\n\n  kept    as it "
		   "is\nthe last",
};

static int argument_count;
static char *arguments[ARGUMENTS_MAX + 1];
static int operands;

/* Runs the parser on words separated by single spaces; "" is written as ''. */
static enum wbi_opt_result parse_until(bool stop_at_operand, const char *line)
{
	static char copy[1024];
	char *next = copy;

	memset(&values, 0, sizeof(values));
	operands = -1;
	snprintf(copy, sizeof(copy), "test %s", line);
	argument_count = 0;
	while (next && *next) {
		char *word = strsep(&next, " ");

		arguments[argument_count++] = strcmp(word, "''") == 0 ? word + 2 : word;
	}
	arguments[argument_count] = NULL;
	return wbi_opt_parse(&command, table, stop_at_operand, argument_count, arguments,
			     &operands);
}

static enum wbi_opt_result parse(const char *line)
{
	return parse_until(false, line);
}

/* Collects what a stream gets. */
struct capture {
	FILE *stream;
	int saved_fd;
	FILE *file;
};

static struct capture capture_begin(FILE *stream)
{
	struct capture capture = {stream, dup(fileno(stream)), tmpfile()};

	assert_non_null(capture.file);
	fflush(stream);
	dup2(fileno(capture.file), fileno(stream));
	return capture;
}

static char *capture_end(struct capture *capture)
{
	static char text[OUTPUT_MAX];
	size_t bytes;

	fflush(capture->stream);
	rewind(capture->file);
	bytes = fread(text, 1, sizeof(text) - 1, capture->file);
	text[bytes] = '\0';
	dup2(capture->saved_fd, fileno(capture->stream));
	close(capture->saved_fd);
	fclose(capture->file);
	return text;
}

static void assert_wrong(const char *line, const char *words)
{
	struct capture capture = capture_begin(stderr);
	enum wbi_opt_result result = parse(line);
	char *text = capture_end(&capture);

	assert_int_equal(result, WBI_OPT_WRONG);
	assert_int_equal(operands, -1);
	assert_ptr_equal(strstr(text, "waybill test: "), text);
	assert_non_null(strstr(text, "; see 'waybill help test'\n"));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	if (!strstr(text, words))
		fail_msg("no '%s' in: %s", words, text);
}

static void test_nothing(void **state)
{
	(void)state;
	assert_int_equal(parse(""), WBI_OPT_GO);
	assert_int_equal(operands, argument_count);
}

static void test_long_forms(void **state)
{
	(void)state;
	assert_int_equal(parse("--flag --text one --number=7 --text=two=3"), WBI_OPT_GO);
	assert_true(values.flag);
	assert_string_equal(values.text, "two=3");
	assert_int_equal(values.number, 7);
	assert_int_equal(parse("--text="), WBI_OPT_GO);
	assert_string_equal(values.text, "");
	assert_int_equal(parse("--text --flag"), WBI_OPT_GO); /* a value may look like an option */
	assert_string_equal(values.text, "--flag");
	assert_false(values.flag);
}

static void test_short_forms(void **state)
{
	(void)state;
	assert_int_equal(parse("-fqn5"), WBI_OPT_GO);
	assert_true(values.flag && values.quiet);
	assert_int_equal(values.number, 5);
	assert_int_equal(parse("-fn 6 -tx=y"), WBI_OPT_GO);
	assert_int_equal(values.number, 6);
	assert_string_equal(values.text, "x=y");
}

static void test_operands_keep_their_order(void **state)
{
	(void)state;
	assert_int_equal(parse("a -f b --text x c -q - -- -d"), WBI_OPT_GO);
	assert_true(values.flag && values.quiet);
	assert_int_equal(argument_count - operands, 5);
	assert_string_equal(arguments[operands], "a");
	assert_string_equal(arguments[operands + 1], "b");
	assert_string_equal(arguments[operands + 2], "c");
	assert_string_equal(arguments[operands + 3], "-");
	assert_string_equal(arguments[operands + 4], "-d");
}

static void test_the_first_operand_ends_it(void **state)
{
	(void)state;
	assert_int_equal(parse_until(true, "-f host -q --text"), WBI_OPT_GO);
	assert_true(values.flag);
	assert_false(values.quiet);
	assert_int_equal(argument_count - operands, 3);
	assert_string_equal(arguments[operands], "host");
	assert_int_equal(parse_until(true, "-f -- -q"), WBI_OPT_GO);
	assert_false(values.quiet);
	assert_string_equal(arguments[operands], "-q");
}

static void test_an_empty_operand(void **state)
{
	(void)state;
	assert_int_equal(parse("'' -f"), WBI_OPT_GO);
	assert_int_equal(argument_count - operands, 1);
	assert_string_equal(arguments[operands], "");
}

static void test_lists(void **state)
{
	char line[1024] = "";

	(void)state;
	assert_int_equal(parse("-l a x --list b -lc"), WBI_OPT_GO);
	assert_int_equal(values.list.count, 3);
	assert_string_equal(values.list.values[2], "c");
	for (int i = 0; i < WBI_OPT_LIST_MAX; i++)
		strcat(line, i ? " -lx" : "-lx");
	assert_int_equal(parse(line), WBI_OPT_GO);
	assert_int_equal(values.list.count, WBI_OPT_LIST_MAX);
	strcat(line, " -lx");
	assert_wrong(line, "-l: given more than 64 times");
	assert_wrong("--list=", "--list: needs a value (ITEM)");
	assert_wrong("-l ''", "-l: needs a value (ITEM)");
}

static void test_numbers(void **state)
{
	(void)state;
	assert_int_equal(parse("-n 1"), WBI_OPT_GO);
	assert_int_equal(parse("-n 100"), WBI_OPT_GO);
	assert_wrong("-n 0", "-n: 0 is out of range, give 1 to 100");
	assert_wrong("--number=101", "--number: 101 is out of range");
	assert_wrong("-n 99999999999999999999999", "out of range");
	assert_wrong("-n -1", "'-1' is not a whole number");
	assert_wrong("-n 1x", "'1x' is not a whole number");
	assert_wrong("-n ''", "'' is not a whole number");
	assert_wrong("-n 1K", "'1K' is not a whole number");
}

static void test_sizes(void **state)
{
	(void)state;
	assert_int_equal(parse("--size 4096"), WBI_OPT_GO);
	assert_int_equal(values.size, 4096);
	assert_int_equal(parse("--size 64K"), WBI_OPT_GO);
	assert_int_equal(values.size, 65536);
	assert_int_equal(parse("--size=1024G"), WBI_OPT_GO);
	assert_true(values.size == UINT64_C(1) << 40);
	assert_wrong("--size 1025G", "give 1K to 1024G");
	assert_wrong("--size 18446744073709551615K", "out of range");
	assert_wrong("--size 1k", "is not a size such as");
}

static void test_durations(void **state)
{
	static const struct {
		const char *line;
		uint64_t ms;
	} cases[] = {{"--a-rather-long-name 500ms", 500},
		     {"--a-rather-long-name 2", 2000},
		     {"--a-rather-long-name 60s", 60000},
		     {"--a-rather-long-name 5m", 300000},
		     {"--a-rather-long-name=24h", 86400000}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(parse(cases[i].line), WBI_OPT_GO);
		assert_int_equal(values.duration_ms, cases[i].ms);
	}
	assert_wrong("--a-rather-long-name 0", "give 1ms to 24h");
	assert_wrong("--a-rather-long-name 1.5s", "is not a duration such as");
	assert_wrong("--a-rather-long-name 25h", "give 1ms to 24h");
}

static void test_wrong(void **state)
{
	(void)state;
	assert_wrong("--nope", "--nope: there is no such option");
	assert_wrong("--fla", "--fla: there is no such option");
	assert_wrong("--flags", "--flags: there is no such option");
	assert_wrong("-x", "-x: there is no such option");
	assert_wrong("-fx", "-x: there is no such option");
	assert_wrong("--flag=yes", "--flag: takes no value");
	assert_wrong("--text", "--text: needs a value (TEXT)");
	assert_wrong("-ft", "-t: needs a value (TEXT)");
	assert_wrong("--=x", "--: there is no such option");
	assert_wrong("--\x1b[2J", "--\\x1B[2J");
	assert_wrong("-\xff", "-\\xFF");
	assert_wrong("--C:\\x", "--C:\\x: there is no such option");
}

static void test_help(void **state)
{
	struct capture capture = capture_begin(stdout);
	enum wbi_opt_result result = parse("--flag -h --nope");
	char *text = capture_end(&capture);

	(void)state;
	assert_int_equal(result, WBI_OPT_HELP_SHOWN);
	assert_ptr_equal(strstr(text, "usage: waybill test [options] FILE\n"), text);
	assert_non_null(strstr(text, "\nTry options\n"));
	assert_non_null(strstr(text, "The same paragraph.\n\n  kept    as it is\nthe last\n\n"));
	assert_non_null(strstr(text, "\n  -f, --flag "));
	assert_non_null(strstr(text, "\n      --size BYTES "));
	assert_non_null(strstr(text, "\n  -h, --help "));
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		assert_in_range(strlen(line), 1, OUTPUT_COLUMNS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_long_forms),
		cmocka_unit_test(test_short_forms),
		cmocka_unit_test(test_operands_keep_their_order),
		cmocka_unit_test(test_the_first_operand_ends_it),
		cmocka_unit_test(test_an_empty_operand),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
