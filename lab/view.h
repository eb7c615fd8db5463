/* Views of a record: for a person (text), for a program (JSON), for CI (check). */
#ifndef LAB_VIEW_H
#define LAB_VIEW_H

#include <stdio.h>

#include "lab/record.h"

enum lab_language { LAB_EN, LAB_ZH };

struct lab_view {
	enum lab_language language;
	unsigned columns;
	bool terminal;
	bool colour;
	bool plain; /* ASCII only: the locale is not UTF-8 */
	FILE *out;
	size_t shown; /* items of the record that have been printed */
};

const char *lab_say(const struct lab_view *view, struct lab_text text);

/* The language that LC_ALL, LC_MESSAGES and LANG ask for, and whether they say UTF-8. */
enum lab_language lab_locale_language(void);
bool lab_locale_utf8(void);

/* Text: the head (claim, question, choices), what was recorded since, what came of it, the end. */
void lab_show_list(const struct lab_view *view);
void lab_show_head(const struct lab_view *view, const struct lab_experiment *experiment);
void lab_show_pending(struct lab_view *view, const struct lab *lab);
void lab_show_outcome(const struct lab_view *view, const struct lab *lab);
void lab_show_why(const struct lab_view *view, const struct lab_experiment *experiment);
void lab_show_cure_head(const struct lab_view *view, const struct lab_experiment *experiment);
void lab_show_end(const struct lab_view *view, const struct lab_experiment *experiment);

/* Check: one line for each truth. */
void lab_show_truths(const struct lab_view *view, const struct lab *lab);

/* JSON: one object on one line. False: it could not be written. */
bool lab_json(const struct lab_view *view, const struct lab *lab);
bool lab_json_list(const struct lab_view *view);

/* The fewest lines that show it, with the commands that run them in a comment at the top. */
enum lab_code { LAB_CODE_C, LAB_CODE_PYTHON };
const char *lab_code(const struct lab_experiment *experiment, enum lab_code code);
void lab_show_code(const struct lab_view *view, const struct lab_experiment *experiment,
		   enum lab_code code);

#endif
