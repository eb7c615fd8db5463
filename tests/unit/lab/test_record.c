/* The record and its views: what a run came to, told truthfully in text, check lines and JSON. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lab/view.h"

static void (*body)(struct lab *lab); /* what the made-up experiment does */

static void run_body(struct lab *lab)
{
	body(lab);
}

static void no_cure(struct lab *lab)
{
	(void)lab;
}

static const struct lab_experiment made_up = {
	.name = "made-up",
	.title = {"title", "标题"},
	.claim = {"claim", "说法"},
	.question = {"question", "问题"},
	.choices = {{"first", "甲"}, {"second", "乙"}},
	.why = {"why", "原因"},
	.sources = {"source"},
	.run = run_body,
	.cure_title = {"cure", "解法"},
	.cure = no_cure,
};

static struct lab *run_with(void (*what)(struct lab *))
{
	struct lab *lab = lab_new(&made_up);

	assert_non_null(lab);
	body = what;
	lab_run(lab);
	lab_run_cure(lab);
	return lab;
}

/* What a view prints. The caller frees it. */
static char *printed(void (*show)(const struct lab_view *, const struct lab *),
		     const struct lab *lab, enum lab_language language)
{
	char *text = NULL;
	size_t bytes = 0;
	struct lab_view view = {
		.language = language, .columns = 80, .out = open_memstream(&text, &bytes)};

	assert_non_null(view.out);
	show(&view, lab);
	fclose(view.out);
	return text;
}

static void expect_printed(void (*show)(const struct lab_view *, const struct lab *),
			   const struct lab *lab, enum lab_language language, const char *expected)
{
	char *text = printed(show, lab, language);

	assert_string_equal(text, expected);
	free(text);
}

static const struct lab_text statement = {"it is so", "确实如此"};

static void say_all_verdicts(struct lab *lab)
{
	lab_part(lab, LAB_TEXT("part", "部分"));
	lab_truth(lab, LAB_HOLDS, statement, "%d", 1);
	lab_truth(lab, LAB_VARIES, statement, "%d", 2);
	lab_truth(lab, LAB_SKIPPED, statement, "%d", 3);
	lab_truth(lab, LAB_FAILS, statement, "%d", 4);
}

static void check_prints_a_line_for_each_truth(void **state)
{
	struct lab *lab = run_with(say_all_verdicts);

	(void)state;
	expect_printed(lab_show_truths, lab, LAB_EN,
		       "ok made-up: it is so (1)\n"
		       "differs here: made-up: it is so (2)\n"
		       "skipped: made-up: it is so (3)\n"
		       "FAILS: made-up: it is so (4)\n");
	expect_printed(lab_show_truths, lab, LAB_ZH,
		       "成立 made-up：确实如此 (1)\n"
		       "此处不同：made-up：确实如此 (2)\n"
		       "跳过：made-up：确实如此 (3)\n"
		       "不成立：made-up：确实如此 (4)\n");
	assert_int_equal(lab_verdict(lab), LAB_FAILS);
	lab_free(lab);
}

static void say_nothing(struct lab *lab)
{
	lab_part(lab, LAB_TEXT("part", "部分"));
}

static void say_variation(struct lab *lab)
{
	lab_truth(lab, LAB_HOLDS, statement, "%d", 1);
	lab_truth(lab, LAB_VARIES, statement, "%d", 2);
}

static void say_too_much(struct lab *lab)
{
	for (int i = 0; i <= LAB_ITEMS_MAX; i++)
		lab_truth(lab, LAB_HOLDS, statement, "%d", i);
}

static void verdicts(void **state)
{
	struct lab *nothing = run_with(say_nothing), *variation = run_with(say_variation),
		   *too_much = run_with(say_too_much);

	(void)state;
	assert_int_equal(lab_verdict(nothing), LAB_FAILS); /* no truth stated is no success */
	assert_int_equal(lab_verdict(variation), LAB_VARIES);
	assert_int_equal(lab_verdict(too_much), LAB_FAILS);
	assert_int_equal(too_much->count, LAB_ITEMS_MAX);
	lab_free(nothing);
	lab_free(variation);
	lab_free(too_much);
}

static void say_outcome(struct lab *lab)
{
	lab_truth(lab, LAB_HOLDS, statement, "%d", 1);
	lab_outcome(lab, 1);
}

static void the_prediction_is_compared_with_the_measurement(void **state)
{
	struct lab *lab = run_with(say_outcome);

	(void)state;
	expect_printed(lab_show_outcome, lab, LAB_EN, "\nWhat happened\n  2  second\n");
	lab->prediction = 1;
	expect_printed(lab_show_outcome, lab, LAB_EN,
		       "\nWhat happened\n  2  second\n  You predicted 2: so it was.\n");
	lab->prediction = 0;
	expect_printed(lab_show_outcome, lab, LAB_ZH,
		       "\n实测结果\n  2  乙\n  你的预测是 1：实测并非如此。\n");
	lab->outcome = -1;
	expect_printed(lab_show_outcome, lab, LAB_EN,
		       "\nWhat happened\n  None of the choices; see the figures above.\n");
	lab_free(lab);
}

static void say_call(struct lab *lab)
{
	lab_part(lab, LAB_TEXT("\"quoted\"\n", "部分"));
	errno = EAGAIN;
	lab_call(lab, LAB_CLIENT, lab_now_ns(), -1, "", "send(%s)", "\"x\"");
	assert_int_equal(errno, EAGAIN); /* the caller still has to look at it */
	lab_quiet(lab, true);
	lab_call(lab, LAB_CLIENT, lab_now_ns(), 1, "", "send()");
	lab_remark(lab, statement);
	lab_witness(lab, "source", "%s", "");
	lab_quiet(lab, false);
	lab_truth(lab, LAB_HOLDS, statement, "%d", 1);
}

static void quiet_calls_are_not_recorded(void **state)
{
	struct lab *lab = run_with(say_call);

	(void)state;
	assert_int_equal(lab->count, 3);
	assert_int_equal(lab->items[1].error, EAGAIN);
	assert_string_equal(lab->items[1].detail, "send(\"x\")");
	lab_free(lab);
}

static void show_json(const struct lab_view *view, const struct lab *lab)
{
	assert_true(lab_json(view, lab));
}

static void json_escapes_what_it_must(void **state)
{
	struct lab *lab = run_with(say_call);
	char *text = printed(show_json, lab, LAB_EN);

	(void)state;
	assert_non_null(strstr(text, "\"title\":\"\\\"quoted\\\"\\u000a\""));
	assert_non_null(strstr(text, "\"call\":\"send(\\\"x\\\")\",\"error\":\"EAGAIN\""));
	assert_non_null(strstr(text, "\"verdict\":\"ok\"}\n"));
	free(text);
	lab_free(lab);
}

static int kept_fd;
static pid_t kept_child;

static void leave_things_open(struct lab *lab)
{
	kept_fd = lab_socket(lab, LAB_CLIENT, SOCK_STREAM);
	kept_child = lab_fork(lab);
	if (kept_child == 0)
		for (;;)
			pause();
	lab_truth(lab, LAB_HOLDS, statement, "%d", kept_fd);
}

static void descriptors_and_children_end_with_the_run(void **state)
{
	struct lab *lab = run_with(leave_things_open);

	(void)state;
	assert_true(kept_fd >= 0 && kept_child > 0);
	assert_int_equal(fcntl(kept_fd, F_GETFD), -1);
	assert_int_equal(kill(kept_child, 0), -1);
	lab_free(lab);
	lab_free(NULL);
}

static void cures_can_be_left_out_by_name(void **state)
{
	(void)state;
	unsetenv("WAYBILL_LAB_BREAK");
	assert_true(lab_cure("nodelay"));
	setenv("WAYBILL_LAB_BREAK", "nodelay", 1);
	assert_false(lab_cure("nodelay"));
	assert_true(lab_cure("length"));
	unsetenv("WAYBILL_LAB_BREAK");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(check_prints_a_line_for_each_truth),
		cmocka_unit_test(verdicts),
		cmocka_unit_test(the_prediction_is_compared_with_the_measurement),
		cmocka_unit_test(quiet_calls_are_not_recorded),
		cmocka_unit_test(json_escapes_what_it_must),
		cmocka_unit_test(descriptors_and_children_end_with_the_run),
		cmocka_unit_test(cures_can_be_left_out_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
