/* waybill lab: every phenomenon of socket programming, live, on this machine's own kernel. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/opt.h"
#include "lab/view.h"

static struct {
	bool all, check, json, code, python, no_ask;
	const char *language;
} options;

static const struct wbi_opt table[] = {
	{'a', "all", WBI_OPT_FLAG, NULL, "every experiment, one after another", &options.all, 0, 0},
	{0, "check", WBI_OPT_FLAG, NULL, "one line for each truth; exit 1 if one fails here",
	 &options.check, 0, 0},
	{0, "json", WBI_OPT_FLAG, NULL, "one JSON object for each experiment", &options.json, 0, 0},
	{0, "code", WBI_OPT_FLAG, NULL, "print the fewest lines of C that show it", &options.code,
	 0, 0},
	{0, "python", WBI_OPT_FLAG, NULL, "the same in Python", &options.python, 0, 0},
	{'n', "no-ask", WBI_OPT_FLAG, NULL, "do not ask for a prediction", &options.no_ask, 0, 0},
	{0, "lang", WBI_OPT_TEXT, "en|zh", "language (default: the locale's)", &options.language, 0,
	 0},
	{0},
};

enum { COLUMNS_MIN = 60, COLUMNS_MAX = 100, COLUMNS_PIPE = 80 };

static unsigned terminal_columns(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return COLUMNS_PIPE;
	if (size.ws_col < COLUMNS_MIN)
		return COLUMNS_MIN;
	return size.ws_col > COLUMNS_MAX ? COLUMNS_MAX : size.ws_col;
}

static bool view_init(struct lab_view *view)
{
	const char *no_colour = getenv("NO_COLOR"), *language = options.language;
	bool terminal = isatty(STDOUT_FILENO);

	*view = (struct lab_view){
		.language = lab_locale_language(),
		.columns = terminal ? terminal_columns() : COLUMNS_PIPE,
		.terminal = terminal,
		.colour = terminal && !(no_colour && *no_colour),
		.plain = !lab_locale_utf8(),
		.out = stdout,
	};
	if (language && strcmp(language, "en") != 0 && strcmp(language, "zh") != 0) {
		fprintf(stderr, "waybill lab: --lang: must be en or zh; see 'waybill help lab'\n");
		return false;
	}
	if (language)
		view->language = language[0] == 'z' ? LAB_ZH : LAB_EN;
	/* Who asks for Chinese has a terminal that shows it. */
	view->plain = view->plain && view->language == LAB_EN;
	return true;
}

/* Asks which choice will come true; -1 where the reader would rather see. */
static int ask_prediction(const struct lab_view *view, const struct lab_experiment *experiment)
{
	char line[64], *end;
	int choices = 0;

	while (choices < LAB_CHOICES_MAX && experiment->choices[choices].en)
		choices++;
	for (;;) {
		long choice;

		fprintf(view->out,
			lab_say(view, LAB_TEXT("Your prediction, 1 to %d (Enter: just show): ",
					       "你的预测，1 到 %d（回车：直接看）：")),
			choices);
		fflush(view->out);
		if (!fgets(line, sizeof(line), stdin) || line[0] == '\n')
			return -1;
		choice = strtol(line, &end, 10);
		if (end != line && choice >= 1 && choice <= choices)
			return (int)choice - 1;
	}
}

static void show_part(struct lab *lab, void *context)
{
	lab_show_pending(context, lab);
}

static void run_text(struct lab_view *view, struct lab *lab)
{
	bool ask = !options.no_ask && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);

	lab_show_head(view, lab->experiment);
	if (ask)
		lab->prediction = ask_prediction(view, lab->experiment);
	fflush(view->out);
	view->shown = 0;
	lab->on_part = show_part;
	lab->context = view;
	lab_run(lab);
	lab_show_outcome(view, lab);
	lab_show_why(view, lab->experiment);
	lab_show_cure_head(view, lab->experiment);
	lab_run_cure(lab);
	lab_show_end(view, lab->experiment);
}

/* Runs one experiment. Returns whether all went well: the output, and with --check the truths. */
static bool run_experiment(struct lab_view *view, const struct lab_experiment *experiment)
{
	struct lab *lab = lab_new(experiment);
	bool good = true;

	if (!lab) {
		fprintf(stderr, "waybill lab: %s: out of memory\n", experiment->name);
		return false;
	}
	if (options.json || options.check) {
		lab_run(lab);
		lab_run_cure(lab);
	} else {
		run_text(view, lab);
	}
	if (options.json)
		good = lab_json(view, lab);
	else if (options.check)
		lab_show_truths(view, lab);
	if (options.check && lab_verdict(lab) == LAB_FAILS)
		good = false;
	lab_free(lab);
	return good && !ferror(view->out);
}

/* Without it every statement would fail for a reason that is none of its own. */
static bool loopback_works(void)
{
	if (lab_loopback_works())
		return true;
	fprintf(stderr, "waybill lab: 127.0.0.1: %s; is the loopback interface up?\n",
		lab_error_name(errno));
	return false;
}

static int run_all(struct lab_view *view)
{
	bool good = true;

	for (size_t i = 0; lab_experiments[i]; i++) {
		if (i > 0 && !options.json && !options.check)
			fputc('\n', view->out);
		good = run_experiment(view, lab_experiments[i]) && good;
	}
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run_named(struct lab_view *view, const char *name)
{
	const struct lab_experiment *experiment = lab_find(name);
	char shown[64];

	if (!experiment) {
		wbi_text_escape(name, strlen(name), shown, sizeof(shown), NULL);
		fprintf(stderr, "waybill lab: %s: there is no such experiment; see 'waybill lab'\n",
			shown);
		return WBI_EXIT_USAGE;
	}
	if (options.code || options.python) {
		lab_show_code(view, experiment, options.code ? LAB_CODE_C : LAB_CODE_PYTHON);
		return fflush(view->out) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	return loopback_works() && run_experiment(view, experiment) ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run_list(const struct lab_view *view)
{
	if (options.json)
		return lab_json_list(view) ? EXIT_SUCCESS : EXIT_FAILURE;
	lab_show_list(view);
	return fflush(view->out) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int usage_error(const char *what)
{
	fprintf(stderr, "waybill lab: %s; see 'waybill help lab'\n", what);
	return WBI_EXIT_USAGE;
}

static int run_lab(const struct wbi_command *command, int argc, char **argv)
{
	struct lab_view view;
	int operands = 0;

	switch (wbi_opt_parse(command, table, false, argc, argv, &operands)) {
	case WBI_OPT_HELP_SHOWN:
		return EXIT_SUCCESS;
	case WBI_OPT_WRONG:
		return WBI_EXIT_USAGE;
	case WBI_OPT_GO:
		break;
	}
	if (!view_init(&view))
		return WBI_EXIT_USAGE;
	if (argc - operands > 1)
		return usage_error("one experiment at a time, or --all");
	if (options.all && (argc > operands || options.code || options.python))
		return usage_error("--all: goes with neither a name nor --code nor --python");
	if (options.all)
		return loopback_works() ? run_all(&view) : EXIT_FAILURE;
	if (argc > operands)
		return run_named(&view, argv[operands]);
	if (options.check || options.code || options.python)
		return usage_error("which experiment? A name or --all is missing");
	return run_list(&view);
}

const struct wbi_command wbi_command_lab;
const struct wbi_command wbi_command_lab = {
	.name = "lab",
	.summary = "see what the kernel really does: socket experiments, live",
	.usage = "lab [NAME | --all] [options]",
	.details = "Without a name it lists the experiments. Each runs on real sockets on\n"
		   "loopback and shows every system call, what the kernel says about it,\n"
		   "why, and the cure. Every figure is measured in that run. English or\n"
		   "Chinese, by the locale.",
	.run = run_lab,
};
