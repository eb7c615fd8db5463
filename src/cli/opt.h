/* Options: one table a command, which both parses and prints the usage. */
#ifndef WBI_OPT_H
#define WBI_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wbi_opt_kind {
	WBI_OPT_FLAG,     /* bool *: set to true */
	WBI_OPT_TEXT,     /* const char **: the argument, borrowed from argv */
	WBI_OPT_LIST,     /* struct wbi_opt_list *: each use adds one, never an empty one */
	WBI_OPT_INTEGER,  /* uint64_t *: min … max */
	WBI_OPT_BYTES,    /* uint64_t *: the same, with K, M, G (powers of 1,024) */
	WBI_OPT_DURATION, /* uint64_t *, in ms: 500ms, 60s, 5m, 24h; a bare number is seconds */
};

enum {
	WBI_OPT_LIST_MAX = 64,
	WBI_EXIT_USAGE = 2, /* the exit code of every command where its command line is wrong */
};

struct wbi_opt_list {
	const char *values[WBI_OPT_LIST_MAX];
	unsigned count;
};

/* A row. The table ends with a row whose `name` is NULL. */
struct wbi_opt {
	char short_name;  /* 0: none */
	const char *name; /* long name without dashes */
	enum wbi_opt_kind kind;
	const char *argument; /* its name in the usage ("URI"); NULL for a flag */
	const char *help;     /* a sentence; folded where it is longer than a line */
	void *target;
	uint64_t min, max; /* for numbers, both included */
};

/* A command of the program: a row of the table in main.c. */
struct wbi_command {
	const char *name;
	const char *summary; /* one line, no full stop: "run the daemon" */
	const char *usage;   /* "serve [options]": the synopsis behind "waybill " */
	const char *details; /* a paragraph or two for `help CMD`; may be "" */
	int (*run)(const struct wbi_command *command, int argc, char **argv); /* argv[0] = name */
};

enum wbi_opt_result { WBI_OPT_GO, WBI_OPT_HELP_SHOWN, WBI_OPT_WRONG };

/* Parses argv[1…]; options may stand after operands, `--` ends them, unless stop_at_operand (then
 * the first operand ends them, as exec needs). `--help` and -h print the usage to stdout.
 * ret_operands: index of the first operand (operands are moved to the end of argv, in order).
 * WRONG: exit with WBI_EXIT_USAGE; stderr has got "waybill CMD: --x: why; see 'waybill help CMD'".
 */
enum wbi_opt_result wbi_opt_parse(const struct wbi_command *command, const struct wbi_opt *table,
				  bool stop_at_operand, int argc, char **argv, int *ret_operands);

/* Reads a duration that is part of an argument ("hold=60s"), as WBI_OPT_DURATION does. */
bool wbi_opt_duration(const char *text, uint64_t *ret_ms);

/* Prints what `waybill help CMD` prints. Paragraphs of `details` are filled to the page's width; an
 * empty line parts them, and a line that begins with a space stays as it is. */
void wbi_opt_usage(const struct wbi_command *command, const struct wbi_opt *table);

/* Says on stderr what is wrong with a command line, in one line as above (escaped, so that it may
 * quote the command line). Returns WBI_EXIT_USAGE, for the caller to exit with. */
int wbi_opt_wrong(const struct wbi_command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The rows of main.c, each from a cmd_*.c. */
extern const struct wbi_command wbi_command_attach;
extern const struct wbi_command wbi_command_exec;
extern const struct wbi_command wbi_command_get;
extern const struct wbi_command wbi_command_jobs;
extern const struct wbi_command wbi_command_keygen;
extern const struct wbi_command wbi_command_kill;
extern const struct wbi_command wbi_command_lab;
extern const struct wbi_command wbi_command_put;
extern const struct wbi_command wbi_command_serve;
extern const struct wbi_command wbi_command_talk;
extern const struct wbi_command wbi_command_trust;

#endif
