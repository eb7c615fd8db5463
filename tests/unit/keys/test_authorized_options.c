/* authorized_keys: what each option grants or takes, and which of them refuse the key. */
#include "authorized_fixture.h"

static void test_pty(void **state)
{
	static const struct {
		const char *options;
		bool pty;
	} cases[] = {
		{"no-pty", false},
		{"pty", true},
		{"restrict", false},
		{"restrict,pty", true},
		{"pty,restrict", false},
		{"RESTRICT,Pty", true},
		{"No-PTY", false},
		{"no-pty,pty", true},
		{"restrict,no-pty", false},
		{"no-port-forwarding,no-agent-forwarding,no-X11-forwarding,no-user-rc", true},
		{"port-forwarding,agent-forwarding,x11-forwarding,user-rc", true},
		{"no-touch-required,verify-required", true},
		{"permitopen=\"a:1\",permitopen=\"b:2\",permitlisten=\"8080\",tunnel=\"0\"", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[512];
		struct wbi_authorized authorized;

		snprintf(text, sizeof(text), "%s %s", cases[i].options, ALICE);
		authorized = enter(text, &plain);
		if (authorized.pty != cases[i].pty)
			fail_msg("%s", cases[i].options);
		assert_true(authorized.exec && authorized.put.allowed);
		wbi_authorized_done(&authorized);
	}
}

static void test_command(void **state)
{
	static const struct {
		const char *option, *command;
	} cases[] = {
		{"command=\"ls -l\"", "ls -l"},
		{"COMMAND=\"ls\"", "ls"},
		{"command=\"\"", ""},
		{"command=\"echo \\\"a b\\\" \\n \\\\ , = #\"", "echo \"a b\" \\n \\\\ , = #"},
		{"command=\"a\tb\"", "a\tb"},
		{"pty,command=\"x,no-pty\",user-rc", "x,no-pty"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[512];
		struct wbi_authorized authorized;

		snprintf(text, sizeof(text), "%s %s", cases[i].option, ALICE);
		authorized = enter(text, &plain);
		assert_string_equal(authorized.command, cases[i].command);
		assert_true(authorized.exec && authorized.pty);
		assert_false(authorized.put.allowed || authorized.get.allowed);
		wbi_authorized_done(&authorized);
	}
	check_refused("command=\"a\",command=\"b\" " ALICE, &plain, "command", "twice");
}

static void test_environment(void **state)
{
	struct wbi_authorized authorized =
		enter("environment=\"A=1\",environment=\"AB=a \\\"b\\\"=c\","
		      "environment=\"A=2\",environment=\"_9=\" " ALICE,
		      &plain);

	(void)state;
	assert_string_equal(authorized.environment[0], "A=1");
	assert_string_equal(authorized.environment[1], "AB=a \"b\"=c");
	assert_string_equal(authorized.environment[2], "_9=");
	assert_null(authorized.environment[3]);
	wbi_authorized_done(&authorized);
	check_refused("environment=\"A\" " ALICE, &plain, "environment", "NAME=value");
	check_refused("environment=\"=1\" " ALICE, &plain, "environment", "NAME=value");
	check_refused("environment=\"A-B=1\" " ALICE, &plain, "environment", "NAME=value");
	check_refused("environment=\"A =1\" " ALICE, &plain, "environment", "NAME=value");
	check_refused("environment=\"\" " ALICE, &plain, "environment", "NAME=value");
}

static void test_environment_limit(void **state)
{
	char text[8192], *at = text;
	struct wbi_authorized authorized;

	(void)state;
	for (int i = 0; i < WBI_AUTHORIZED_ENVIRONMENT_MAX; i++)
		at += sprintf(at, "environment=\"N%d=%d\",", i, i);
	stpcpy(at, "environment=\"N0=again\" " ALICE);
	authorized = enter(text, &plain);
	assert_string_equal(authorized.environment[63], "N63=63");
	assert_null(authorized.environment[64]);
	wbi_authorized_done(&authorized);
	stpcpy(at, "environment=\"M=1\" " ALICE);
	check_refused(text, &plain, "environment", "too many");
}

static void test_expiry(void **state)
{
	static const struct {
		const char *time;
		int32_t utc_offset_s;
		int64_t expires_s; /* 0: refused as no time */
	} cases[] = {
		{"20260901Z", 0, 1788220800},
		{"20260901", 0, 1788220800},
		{"20260901", 7200, 1788213600},
		{"20260901", -3600, 1788224400},
		{"20260901Z", 7200, 1788220800},
		{"20260901z", 7200, 1788220800},
		{"20260901UTC", 7200, 1788220800},
		{"202609011200Z", 0, 1788264000},
		{"20260901115959Z", 0, 1788263999},
		{"20380119031408Z", 0, 2147483648},
		{"99991231235959Z", 0, 253402300799},
		{"20240229Z", 0, 1709164800},
		{"20000229Z", 0, 951782400},
		{"20230229Z", 0, 0},
		{"21000229Z", 0, 0},
		{"20260931Z", 0, 0},
		{"20261301Z", 0, 0},
		{"20260001Z", 0, 0},
		{"20260900Z", 0, 0},
		{"202609012400Z", 0, 0},
		{"202609011260Z", 0, 0},
		{"20260901120060Z", 0, 0},
		{"2026090112Z", 0, 0},
		{"2026090Z", 0, 0},
		{"", 0, 0},
		{"Z", 0, 0},
		{"20260901ZZ", 0, 0},
		{"20260901+01", 0, 0},
		{" 20260901", 0, 0},
		{"always", 0, 0},
		{"00000101Z", 0, 0},
		{"2026-09-01", 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wbi_authorized_facts facts = plain;
		struct wbi_authorized authorized;
		char text[512];

		facts.utc_offset_s = cases[i].utc_offset_s;
		snprintf(text, sizeof(text), "expiry-time=\"%s\" %s", cases[i].time, ALICE);
		if (!cases[i].expires_s) {
			check_refused(text, &facts, "expiry-time", "not a time");
			continue;
		}
		facts.now_s = cases[i].expires_s; /* the last second */
		authorized = enter(text, &facts);
		assert_true(authorized.expires && authorized.expires_s == cases[i].expires_s);
		wbi_authorized_done(&authorized);
		facts.now_s++;
		check_refused(text, &facts, "expiry-time", cases[i].time);
	}
}

static void test_earliest_expiry(void **state)
{
	struct wbi_authorized authorized = enter("expiry-time=\"20270101Z\",expiry-time="
						 "\"20261001Z\",expiry-time=\"20280101Z\" " ALICE,
						 &plain);

	(void)state;
	assert_int_equal(authorized.expires_s, 1790812800);
	wbi_authorized_done(&authorized);
	check_refused("expiry-time=\"20270101Z\",expiry-time=\"20200101Z\" " ALICE, &plain,
		      "expiry-time", "20200101Z has passed");
}

static void test_options_refused(void **state)
{
	static const struct {
		const char *options, *field, *needle;
	} cases[] = {
		{"foo", "foo", "unknown"},
		{"foo=\"bar\"", "foo", "unknown"},
		{"pty,foo,restrict", "foo", "unknown"},
		{"ptyx", "ptyx", "unknown"},
		{"no-", "no-", "unknown"},
		{"no-restrict", "no-restrict", "unknown"},
		{"no-command=\"x\"", "no-command", "unknown"},
		{"no-cert-authority", "no-cert-authority", "unknown"},
		{"no-no-pty", "no-no-pty", "unknown"},
		{"pty,", "", "empty"},
		{",pty", "", "empty"},
		{"pty,,pty", "", "empty"},
		{"=\"x\"", "", "empty"},
		{"command", "command", "no value"},
		{"command=ls", "command", "quotes"},
		{"command=", "command", "quotes"},
		{"command=\"ls\"x", "command", "comma"},
		{"command=\"ls\"\"x\"", "command", "comma"},
		{"command =\"ls\"", "command", ""}, /* the blank ends the options */
		{"pty=\"yes\"", "pty", "takes no value"},
		{"principals=\"a\"", "principals", "certificate"},
		{"permit=\"exec\"", "permit", "own file"},
		{"no-permit=\"exec\"", "no-permit", "unknown"},
		{"foo\x1b[2J", "foo\\x1B[2J", "unknown"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[512];

		snprintf(text, sizeof(text), "%s %s", cases[i].options, ALICE);
		if (strchr(cases[i].options, ' ')) {
			struct wbi_authorized authorized;

			assert_int_equal(find(text, &plain, &authorized, NULL), WB_ERR_MISSING);
			continue;
		}
		check_refused(text, &plain, cases[i].field, cases[i].needle);
	}
}

static void test_permit(void **state)
{
	static const struct {
		const char *permit; /* as it stands between the quotes */
		bool exec, jobs, put, get;
		const char *put_root, *get_root;
	} cases[] = {
		{"", false, false, false, false, NULL, NULL},
		{"exec", true, false, false, false, NULL, NULL},
		{"jobs", false, true, false, false, NULL, NULL},
		{"put", false, false, true, false, NULL, NULL},
		{"get,put,jobs,exec", true, true, true, true, NULL, NULL},
		{"exec,put:/srv/in,get:/srv/out", true, false, true, true, "/srv/in", "/srv/out"},
		{"put:/", false, false, true, false, "/", NULL},
		{"put:/a b,get:/c", false, false, true, true, "/a b", "/c"},
		{"put:/a\\,b", false, false, true, false, "/a,b", NULL},
		{"put:/a\\\\b", false, false, true, false, "/a\\b", NULL},
		{"put:/a\\\"b", false, false, true, false, "/a\"b", NULL},
		{"put:/a\\b", false, false, true, false, "/ab", NULL},
		{"put:/a:b=c", false, false, true, false, "/a:b=c", NULL},
		{"get:/\xc3\xa4\xff", false, false, false, true, NULL, "/\xc3\xa4\xff"},
		{"put:/a\\\\/,get:/b", false, false, true, true, "/a\\/", "/b"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wbi_authorized authorized;
		char text[512];

		snprintf(text, sizeof(text), "permit=\"%s\" %s", cases[i].permit, ALICE);
		authorized = enter(text, &own);
		if (authorized.exec != cases[i].exec || authorized.jobs != cases[i].jobs ||
		    authorized.put.allowed != cases[i].put ||
		    authorized.get.allowed != cases[i].get)
			fail_msg("%s", cases[i].permit);
		assert_string_equal(authorized.put.root ? authorized.put.root : "none",
				    cases[i].put_root ? cases[i].put_root : "none");
		assert_string_equal(authorized.get.root ? authorized.get.root : "none",
				    cases[i].get_root ? cases[i].get_root : "none");
		assert_true(authorized.pty);
		wbi_authorized_done(&authorized);
	}
}

static void test_permit_refused(void **state)
{
	static const struct {
		const char *permit, *needle;
	} cases[] = {
		{"all", "only exec"},
		{"EXEC", "only exec"},
		{"exec,", "only exec"},
		{",exec", "only exec"},
		{"exec jobs", "only exec"},
		{"exec:/bin", "only exec"},
		{"put:", "does not begin with /"},
		{"put:srv", "does not begin with /"},
		{"put:~/x", "does not begin with /"},
		{"put:/a,put:/b", "twice"},
		{"put,put:/b", "twice"},
		{"exec,exec", "twice"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[512];

		snprintf(text, sizeof(text), "permit=\"%s\" %s", cases[i].permit, ALICE);
		check_refused(text, &own, "permit", cases[i].needle);
	}
	check_refused("permit=\"exec\",permit=\"jobs\" " ALICE, &own, "permit", "twice");
}

/* What permit= says counts, with a command as well. */
static void test_permit_with_command(void **state)
{
	struct wbi_authorized authorized =
		enter("command=\"x\",permit=\"exec,put:/a\" " ALICE, &own);

	(void)state;
	assert_true(authorized.exec && authorized.put.allowed);
	assert_false(authorized.get.allowed || authorized.jobs);
	wbi_authorized_done(&authorized);
	authorized = enter("permit=\"put:/a\",command=\"x\" " ALICE, &own);
	assert_true(authorized.put.allowed);
	assert_string_equal(authorized.command, "x");
	assert_false(authorized.exec);
	wbi_authorized_done(&authorized);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pty),
		cmocka_unit_test(test_command),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_environment_limit),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_earliest_expiry),
		cmocka_unit_test(test_options_refused),
		cmocka_unit_test(test_permit),
		cmocka_unit_test(test_permit_refused),
		cmocka_unit_test(test_permit_with_command),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
