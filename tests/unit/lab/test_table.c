/* The table of experiments: none may lack a language, a source, a cure or a program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lab/text.h"
#include "lab/view.h"

enum { EXPERIMENTS = 16, NAME_COLUMNS = 16, LINE_COLUMNS = 80 };

static size_t count(void)
{
	size_t experiments = 0;

	while (lab_experiments[experiments])
		experiments++;
	return experiments;
}

/* Prose: both there, and different. */
static void check_text(struct lab_text text)
{
	assert_non_null(text.en);
	assert_non_null(text.zh);
	assert_true(strlen(text.en) > 0);
	assert_true(strlen(text.zh) > 0);
	for (const char *at = text.en; *at; at++)
		assert_true((unsigned char)*at < 0x80); /* the C locale must be able to show it */
}

static bool has_chinese(const char *text)
{
	return lab_columns(text) > 0 && strpbrk(text, "\xe4\xe5\xe6\xe7\xe8\xe9") != NULL;
}

static void sixteen_experiments_with_names_of_their_own(void **state)
{
	(void)state;
	assert_int_equal(count(), EXPERIMENTS);
	for (size_t i = 0; lab_experiments[i]; i++) {
		assert_true(strlen(lab_experiments[i]->name) < NAME_COLUMNS);
		assert_ptr_equal(lab_find(lab_experiments[i]->name), lab_experiments[i]);
	}
	assert_null(lab_find("no-such"));
}

static void every_text_stands_in_both_languages(void **state)
{
	(void)state;
	for (size_t i = 0; lab_experiments[i]; i++) {
		const struct lab_experiment *experiment = lab_experiments[i];
		const struct lab_text prose[] = {experiment->title, experiment->claim,
						 experiment->question, experiment->why,
						 experiment->cure_title};

		for (size_t text = 0; text < sizeof(prose) / sizeof(prose[0]); text++) {
			check_text(prose[text]);
			assert_true(has_chinese(prose[text].zh));
		}
		for (int choice = 0; choice < LAB_CHOICES_MAX; choice++)
			if (experiment->choices[choice].en || experiment->choices[choice].zh)
				check_text(experiment->choices[choice]);
	}
}

static void titles_fit_in_the_list(void **state)
{
	(void)state;
	for (size_t i = 0; lab_experiments[i]; i++) {
		assert_true(NAME_COLUMNS + lab_columns(lab_experiments[i]->title.en) <=
			    LINE_COLUMNS);
		assert_true(NAME_COLUMNS + lab_columns(lab_experiments[i]->title.zh) <=
			    LINE_COLUMNS);
	}
}

static void every_experiment_has_a_choice_a_source_and_a_cure(void **state)
{
	(void)state;
	for (size_t i = 0; lab_experiments[i]; i++) {
		assert_non_null(lab_experiments[i]->choices[1].en);
		assert_non_null(lab_experiments[i]->sources[0]);
		assert_non_null(lab_experiments[i]->run);
		assert_non_null(lab_experiments[i]->cure);
	}
}

static void every_experiment_has_its_programs(void **state)
{
	(void)state;
	for (size_t i = 0; lab_experiments[i]; i++) {
		const char *c = lab_code(lab_experiments[i], LAB_CODE_C);
		const char *python = lab_code(lab_experiments[i], LAB_CODE_PYTHON);

		assert_non_null(strstr(c, "int main(void)"));
		assert_non_null(strstr(python, "import "));
		assert_string_equal(c + strlen(c) - 2, "}\n");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sixteen_experiments_with_names_of_their_own),
		cmocka_unit_test(every_text_stands_in_both_languages),
		cmocka_unit_test(titles_fit_in_the_list),
		cmocka_unit_test(every_experiment_has_a_choice_a_source_and_a_cure),
		cmocka_unit_test(every_experiment_has_its_programs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
