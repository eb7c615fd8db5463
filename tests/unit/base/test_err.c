/* Errors: names, and fault records that are whole, cut to fit and safe to print. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "waybill/err.h"

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(wb_err_name(WB_OK), "ok");
	assert_string_equal(wb_err_name(WB_ERR_MALFORMED), "malformed");
	assert_string_equal(wb_err_name(WB_ERR_SYSTEM), "system");
	assert_string_equal(wb_err_name((enum wb_err)99), "unknown");
	assert_string_equal(wb_err_name((enum wb_err) - 1), "unknown");
	for (int err = WB_OK; err <= WB_ERR_SYSTEM; err++)
		assert_string_not_equal(wb_err_name((enum wb_err)err), "unknown");
}

static void test_null_fault(void **state)
{
	(void)state;
	assert_int_equal(wb_fault_set(NULL, WB_ERR_LIMIT, "field", 3, "text %d", 1), WB_ERR_LIMIT);
}

static void test_record(void **state)
{
	struct wb_fault fault;

	(void)state;
	errno = ENOENT;
	assert_int_equal(wb_fault_set(&fault, WB_ERR_RANGE, "size", 17, "size: %d", -1),
			 WB_ERR_RANGE);
	assert_int_equal(fault.err, WB_ERR_RANGE);
	assert_int_equal(fault.system_errno, 0);
	assert_int_equal(fault.offset, 17);
	assert_string_equal(fault.field, "size");
	assert_string_equal(fault.text, "size: -1");
}

static void test_system_keeps_errno(void **state)
{
	struct wb_fault fault;

	(void)state;
	errno = EMFILE;
	assert_int_equal(wb_fault_set(&fault, WB_ERR_SYSTEM, NULL, 0, "open"), WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, EMFILE);
	assert_int_equal(errno, EMFILE);
	assert_string_equal(fault.field, "");
}

static void test_escaped(void **state)
{
	struct wb_fault fault;

	(void)state;
	(void)wb_fault_set(&fault, WB_ERR_ARGUMENT, "a\x1b[2J", 0, "bad\n%s", "\x7f\xc3\xa4\xff");
	assert_string_equal(fault.field, "a\\x1B[2J");
	assert_string_equal(fault.text, "bad\\n\\x7F\xc3\xa4\\xFF");
}

/* A fault's text goes into another's, and so on up the floors: it is escaped as if once. */
static void test_escaped_once(void **state)
{
	struct wb_fault fault;

	(void)state;
	(void)wb_fault_set(&fault, WB_ERR_ARGUMENT, "a\x1b", 0, "'C:\\new\x1b'");
	for (int floor = 0; floor < 3; floor++)
		(void)wb_fault_set(&fault, fault.err, fault.field, 0, "%s", fault.text);
	assert_string_equal(fault.field, "a\\x1B");
	assert_string_equal(fault.text, "'C:\\new\\x1B'");
}

static void test_cut_at_whole_characters(void **state)
{
	struct wb_fault fault;
	char text[300], expected[300];

	(void)state;
	for (size_t ascii = WB_FAULT_TEXT_MAX - 10; ascii < WB_FAULT_TEXT_MAX + 2; ascii++) {
		size_t kept = ascii < WB_FAULT_TEXT_MAX - 1 ? ascii : WB_FAULT_TEXT_MAX - 1;

		memset(text, 'a', ascii);
		strcpy(text + ascii, "\xf0\x9f\x93\xa6\xf0\x9f\x93\xa6\xf0\x9f\x93\xa6");
		memset(expected, 'a', kept);
		for (expected[kept] = '\0'; kept + 4 < WB_FAULT_TEXT_MAX && kept < ascii + 12;
		     kept += 4)
			strcpy(expected + kept, "\xf0\x9f\x93\xa6");
		(void)wb_fault_set(&fault, WB_ERR_ARGUMENT, text, 0, "%s", text);
		assert_string_equal(fault.text, expected);
		assert_int_equal(strlen(fault.field), WB_FAULT_FIELD_MAX - 1);
	}
}

static void test_arguments_may_point_into_the_fault(void **state)
{
	struct wb_fault fault;

	(void)state;
	(void)wb_fault_set(&fault, WB_ERR_CLOSED, "inner", 5, "the end");
	(void)wb_fault_set(&fault, fault.err, fault.field, fault.offset, "read: %s", fault.text);
	assert_string_equal(fault.text, "read: the end");
	assert_string_equal(fault.field, "inner");
	assert_int_equal(fault.offset, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_null_fault),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_system_keeps_errno),
		cmocka_unit_test(test_escaped),
		cmocka_unit_test(test_escaped_once),
		cmocka_unit_test(test_cut_at_whole_characters),
		cmocka_unit_test(test_arguments_may_point_into_the_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
