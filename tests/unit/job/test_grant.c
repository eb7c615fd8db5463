/* Grants: what each kind of caller may do, decided in one place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "job/policy.h"

static void a_uid_may_everything(void **state)
{
	struct wbi_grant *grant;
	(void)state;

	assert_int_equal(wbi_policy_grant_uid(&grant), WB_OK);
	assert_true(grant->exec && grant->pty && grant->jobs && grant->put && grant->get);
	assert_null(grant->command);
	assert_null(grant->environment[0]);
	assert_null(grant->put_root);
	assert_int_equal(grant->expires, 0);
	wbi_grant_free(grant);
	wbi_grant_free(NULL);
}

/* A line that allows everything. */
static struct wbi_authorized all(const char *const *environment)
{
	return (struct wbi_authorized){
		.pty = true,
		.exec = true,
		.jobs = true,
		.put = {.allowed = true},
		.get = {.allowed = true},
		.environment = environment,
	};
}

static void a_key_may_what_its_line_says(void **state)
{
	static const char *const variables[] = {"A=1", "B=2", NULL};
	struct wbi_authorized line = all(variables);
	struct wbi_grant *grant;
	(void)state;

	assert_int_equal(wbi_policy_grant_key(&line, &grant), WB_OK);
	assert_true(grant->exec && grant->pty && grant->jobs && grant->put && grant->get);
	assert_string_equal(grant->environment[1], "B=2");
	assert_null(grant->environment[2]);
	wbi_grant_free(grant);

	line.exec = line.pty = line.jobs = line.get.allowed = false;
	line.put.root = "/in";
	line.expires = true;
	line.expires_s = 99;
	assert_int_equal(wbi_policy_grant_key(&line, &grant), WB_OK);
	assert_false(grant->exec || grant->pty || grant->jobs || grant->get);
	assert_true(grant->put);
	assert_string_equal(grant->put_root, "/in");
	assert_int_equal(grant->expires, 100);
	wbi_grant_free(grant);
}

static void a_forced_command(void **state)
{
	static const char *const none[] = {NULL};
	struct wbi_authorized line = all(none);
	struct wbi_grant *grant;
	(void)state;

	line.command = "only this";
	line.put.allowed = false;
	line.get.root = "/out";
	assert_int_equal(wbi_policy_grant_key(&line, &grant), WB_OK);
	assert_string_equal(grant->command, "only this");
	assert_false(grant->put);
	assert_true(grant->get);
	assert_string_equal(grant->get_root, "/out");
	wbi_grant_free(grant);
}

static void a_variable_has_one_value(void **state)
{
	struct wbi_grant *grant;
	(void)state;

	assert_int_equal(wbi_grant_new(false, &grant), WB_OK);
	assert_int_equal(wbi_grant_set_variable(grant, "A=1"), WB_OK);
	assert_int_equal(wbi_grant_set_variable(grant, "AB=2"), WB_OK);
	assert_int_equal(wbi_grant_set_variable(grant, "A=3"), WB_OK);
	assert_string_equal(grant->environment[0], "A=3");
	assert_string_equal(grant->environment[1], "AB=2");
	assert_null(grant->environment[2]);
	wbi_grant_free(grant);
}

static void a_listener_for_keys_may_stand_anywhere(void **state)
{
	const struct wbi_policy policy = {.uid_count = 0};
	struct wbi_uri uri = {.transport = WBI_TCP, .host = "0.0.0.0"};
	struct wbi_addr addr;
	unsigned count;
	(void)state;

	assert_int_equal(wbi_addr_resolve(&uri, true, &addr, 1, &count, NULL), WB_OK);
	assert_int_equal(wbi_policy_may_listen(&policy, WBI_DOOR_KEY, &addr, NULL), WB_OK);
	assert_int_equal(wbi_policy_may_listen(&policy, WBI_DOOR_SESSION, &addr, NULL),
			 WB_ERR_REFUSED);
	assert_int_equal(wbi_policy_may_listen(&policy, WBI_DOOR_PLAIN, &addr, NULL),
			 WB_ERR_REFUSED);
}

/* The daemon's own user sees what keys did in its name; keys see their own. */
static void whose_is_whose(void **state)
{
	const struct wbi_principal user = {.kind = WBI_PRINCIPAL_UID, .uid = 7};
	const struct wbi_principal other = {.kind = WBI_PRINCIPAL_UID, .uid = 8};
	const struct wbi_principal key = {.kind = WBI_PRINCIPAL_KEY, .uid = 7, .key = {1}};
	const struct wbi_principal second = {.kind = WBI_PRINCIPAL_KEY, .uid = 7, .key = {2}};
	char text[WBI_PRINCIPAL_TEXT_MAX];
	(void)state;

	assert_true(wbi_principal_covers(&user, &user));
	assert_true(wbi_principal_covers(&user, &key));
	assert_false(wbi_principal_covers(&other, &key));
	assert_false(wbi_principal_covers(&key, &user));
	assert_false(wbi_principal_covers(&key, &second));
	assert_false(wbi_principal_equal(&user, &key));
	wbi_principal_format(&user, text);
	assert_string_equal(text, "uid:7");
	wbi_principal_format(&key, text);
	assert_memory_equal(text, "SHA256:", 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_uid_may_everything),
		cmocka_unit_test(a_key_may_what_its_line_says),
		cmocka_unit_test(a_forced_command),
		cmocka_unit_test(a_variable_has_one_value),
		cmocka_unit_test(a_listener_for_keys_may_stand_anywhere),
		cmocka_unit_test(whose_is_whose),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
