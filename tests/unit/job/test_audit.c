/* The audit trail: lines for people, objects for machines, and a limit to both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "job/audit.h"
#include "sys/fd.h"

enum { TEXT_BYTES = 65536 };

struct fixture {
	struct wbi_audit audit;
	int read_end, write_end;
	char text[TEXT_BYTES];
};

static int setup(void **state)
{
	static struct fixture fixture;

	assert_int_equal(wbi_fd_pipe(&fixture.read_end, &fixture.write_end, NULL), WB_OK);
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	wbi_fd_close(&fixture->read_end);
	wbi_fd_close(&fixture->write_end);
	return 0;
}

static const char *taken(struct fixture *fixture)
{
	ssize_t bytes = read(fixture->read_end, fixture->text, TEXT_BYTES - 1);

	fixture->text[bytes > 0 ? bytes : 0] = '\0';
	return fixture->text;
}

static void a_sentence(void **state)
{
	const struct wbi_audit_field fields[] = {{"a", "b", 0}, {NULL, NULL, 0}};
	struct fixture *fixture = *state;

	wbi_audit_init(&fixture->audit, fixture->write_end, WBI_AUDIT_TEXT);
	wbi_audit_event(&fixture->audit, WBI_AUDIT_TRAIL, "call", fields, "it is %d", 7);
	wbi_audit(&fixture->audit, "and %s", "more");
	assert_string_equal(taken(fixture), "waybill serve: it is 7\nwaybill serve: and more\n");
}

static const char *member(json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

/* What came from a peer: no byte of it is one that a terminal acts on, and the object stands. */
static void an_object(void **state)
{
	const struct wbi_audit_field fields[] = {
		{"evil", "\x1b[31m\"\\\n\xff", 0},
		{"none", "", 0},
		{"number", NULL, 9},
		{NULL, NULL, 0},
	};
	struct fixture *fixture = *state;
	json_t *object;

	wbi_audit_init(&fixture->audit, fixture->write_end, WBI_AUDIT_JSON);
	wbi_audit_event(&fixture->audit, WBI_AUDIT_TRAIL, "call", fields, "unused");
	object = json_loads(taken(fixture), 0, NULL);
	assert_non_null(object);
	assert_null(strchr(fixture->text, '\x1b'));
	assert_string_equal(member(object, "event"), "call");
	assert_string_equal(member(object, "evil"), "\\x1B[31m\"\\\\n\\xFF");
	assert_null(json_object_get(object, "none"));
	assert_int_equal(json_integer_value(json_object_get(object, "number")), 9);
	assert_int_equal(strlen(member(object, "time")), strlen("2026-01-02T03:04:05.678Z"));
	json_decref(object);

	wbi_audit(&fixture->audit, "trouble");
	object = json_loads(taken(fixture), 0, NULL);
	assert_string_equal(member(object, "event"), "note");
	assert_string_equal(member(object, "text"), "trouble");
	json_decref(object);
}

static void what_is_too_long_is_cut_and_still_an_object(void **state)
{
	char text[5000];
	const struct wbi_audit_field fields[] = {
		{"a", text, 0}, {"b", text, 0}, {"c", text, 0},
		{"d", text, 0}, {"e", text, 0}, {NULL, NULL, 0},
	};
	struct fixture *fixture = *state;
	json_t *object;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	wbi_audit_init(&fixture->audit, fixture->write_end, WBI_AUDIT_JSON);
	wbi_audit_event(&fixture->audit, WBI_AUDIT_TRAIL, "call", fields, "unused");
	object = json_loads(taken(fixture), 0, NULL);
	assert_non_null(object);
	assert_string_equal(member(object, "event"), "call");
	json_decref(object);
	wbi_audit_init(&fixture->audit, fixture->write_end, WBI_AUDIT_TEXT);
	wbi_audit(&fixture->audit, "%s", text);
	assert_int_equal(strchr(taken(fixture), '\n')[1], '\0');
}

static void trouble_does_not_use_up_the_trail(void **state)
{
	const struct wbi_audit_field none[] = {{NULL, NULL, 0}};
	struct fixture *fixture = *state;

	wbi_audit_init(&fixture->audit, fixture->write_end, WBI_AUDIT_TEXT);
	for (int i = 0; i < 2 * WBI_AUDIT_BURST; i++)
		wbi_audit(&fixture->audit, "x");
	assert_true(fixture->audit.budgets[WBI_AUDIT_TROUBLE].dropped > 0);
	taken(fixture);
	wbi_audit_event(&fixture->audit, WBI_AUDIT_TRAIL, "call", none, "seen");
	assert_string_equal(taken(fixture), "waybill serve: seen\n");
}

/* Nobody reads it: the daemon goes on, and says later how much was lost. */
static void a_full_pipe_holds_nobody_up(void **state)
{
	char filler[4096] = {0};
	struct fixture *fixture = *state;
	int full = fixture->write_end, other;

	assert_int_equal(wbi_fd_pipe_to(&other, &full, NULL), WB_OK);
	while (write(full, filler, sizeof(filler)) > 0)
		;
	wbi_audit_init(&fixture->audit, full, WBI_AUDIT_TEXT);
	wbi_audit(&fixture->audit, "lost");
	assert_int_equal(fixture->audit.budgets[WBI_AUDIT_TROUBLE].dropped, 1);
	fixture->audit.fd = fixture->write_end;
	wbi_audit(&fixture->audit, "seen");
	assert_string_equal(taken(fixture),
			    "waybill serve: 1 lines dropped\nwaybill serve: seen\n");
	wbi_fd_close(&full);
	wbi_fd_close(&other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_sentence),
		TEST(an_object),
		TEST(what_is_too_long_is_cut_and_still_an_object),
		TEST(trouble_does_not_use_up_the_trail),
		TEST(a_full_pipe_holds_nobody_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
