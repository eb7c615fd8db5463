/* Columns and line breaks: what keeps the lab within 80 columns in either language. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lab/text.h"

static void columns_count_wide_characters_twice(void **state)
{
	(void)state;
	assert_int_equal(lab_columns(""), 0);
	assert_int_equal(lab_columns("recv(1024)"), 10);
	assert_int_equal(lab_columns("粘包"), 4);
	assert_int_equal(lab_columns("两次 send。"), 11);
	assert_int_equal(lab_columns("│─·"), 3);
	assert_int_equal(lab_columns("（）"), 4);
	assert_int_equal(lab_columns("𠀀"), 2);
}

static void columns_survive_bytes_that_are_no_text(void **state)
{
	(void)state;
	assert_int_equal(lab_columns("\xe4\xbd"), 2); /* cut in mid-character: a column a byte */
	assert_int_equal(lab_columns("\xff"), 1);
	assert_int_equal(lab_line_bytes("\xff\xff\xff", 2), 2);
}

static void lines_end_at_spaces(void **state)
{
	(void)state;
	assert_int_equal(lab_line_bytes("one two three", 80), 13);
	assert_int_equal(lab_line_bytes("one two three", 7), 8); /* its space may hang over */
	assert_int_equal(lab_line_bytes("one two three", 6), 4);
	assert_int_equal(lab_line_bytes("first\nsecond", 80), 5);
	assert_int_equal(lab_line_bytes("", 80), 0);
}

static void long_words_are_cut(void **state)
{
	(void)state;
	assert_int_equal(lab_line_bytes("abcdefgh", 3), 3);
	assert_int_equal(lab_line_bytes("粘包", 1), 3); /* never nothing: that would not end */
}

static void chinese_breaks_between_characters_but_not_before_a_stop(void **state)
{
	(void)state;
	assert_int_equal(lab_line_bytes("一二三四", 4), 6);
	assert_int_equal(lab_line_bytes("一二三。四", 6), 6);   /* not before the stop */
	assert_int_equal(lab_line_bytes("一二（三四）", 6), 6); /* not behind the bracket */
	assert_int_equal(lab_line_bytes("一send二", 4), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_count_wide_characters_twice),
		cmocka_unit_test(columns_survive_bytes_that_are_no_text),
		cmocka_unit_test(lines_end_at_spaces),
		cmocka_unit_test(long_words_are_cut),
		cmocka_unit_test(chinese_breaks_between_characters_but_not_before_a_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
