/* authorized_keys: which line lets in, from where, and what is said to those it does not. */
#include "authorized_fixture.h"

static void test_lines(void **state)
{
	(void)state;
	assert_int_equal(line_of(ALICE, &plain), 1);
	assert_int_equal(line_of("# " ALICE "\n\r\n \t " BOB ALICE, &plain), 5);
	assert_int_equal(line_of(RSA_KEY "\n" ECDSA_KEY "\n" ALICE_CERTIFICATE "\n" ALICE, &plain),
			 4);
	assert_int_equal(line_of("restrict " RSA_KEY "\n" ALICE ALICE, &plain), 2);
	assert_int_equal(line_of(ALICE_KEY "\r\n", &plain), 1);
	assert_int_equal(
		line_of(ALICE_KEY " a \"comment\" # with \xff what, ever = it likes", &plain), 1);
	assert_int_equal(line_of("\tpty\t \t" ALICE, &plain), 1);
	assert_int_equal(line_of("nonsense\n" ALICE, &plain), 2);
}

static void test_missing(void **state)
{
	static const char *const texts[] = {"",
					    "\n",
					    "# " ALICE,
					    BOB,
					    RSA_KEY,
					    ALICE_CERTIFICATE,
					    "cert-authority " ALICE,
					    "cert-authority,restrict,principals=\"a\" " ALICE};
	struct wbi_authorized authorized;
	struct wb_fault fault;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(find(texts[i], &plain, &authorized, &fault), WB_ERR_MISSING);
		assert_int_equal(fault.err, WB_ERR_MISSING);
		assert_null(strstr(fault.text, "line 1"));
		assert_string_equal(fault.field, "");
	}
	assert_int_equal(
		find(BOB "command=\"x " ALICE "ssh-ed25519 AAAA\n", &plain, &authorized, &fault),
		WB_ERR_MISSING);
	assert_string_equal(fault.field, "line");
	assert_non_null(strstr(fault.text, "2 make no sense"));
	assert_non_null(strstr(fault.text, "line 2"));
}

static void test_defaults(void **state)
{
	struct wbi_authorized authorized = enter(ALICE, &plain);

	(void)state;
	assert_true(authorized.pty && authorized.exec && authorized.jobs);
	assert_true(authorized.put.allowed && authorized.get.allowed);
	assert_null(authorized.put.root);
	assert_null(authorized.get.root);
	assert_null(authorized.command);
	assert_null(authorized.environment[0]);
	assert_false(authorized.expires);
	wbi_authorized_done(&authorized);
	wbi_authorized_done(&authorized);
	wbi_authorized_done(NULL);
}

static void test_from(void **state)
{
	static const struct {
		const char *from, *address;
		bool let_in;
	} cases[] = {
		{"192.0.2.7", "192.0.2.7", true},
		{"192.0.2.8", "192.0.2.7", false},
		{"192.0.2.0/24", "192.0.2.7", true},
		{"192.0.2.*", "192.0.2.7", true},
		{"192.0.?.7", "192.0.2.7", true},
		{"10.0.0.0/8,192.0.2.0/24", "192.0.2.7", true},
		{"*", "192.0.2.7", true},
		{"*,!192.0.2.7", "192.0.2.7", false},
		{"!192.0.2.7,*", "192.0.2.7", false},
		{"!192.0.2.0/28,192.0.2.0/24", "192.0.2.7", false},
		{"!192.0.2.0/28,192.0.2.0/24", "192.0.2.77", true},
		{"!192.0.2.8", "192.0.2.7", false}, /* nothing that lets in */
		{"!192.0.2.*,*", "192.0.2.7", false},
		{"192.0.2.7", "::ffff:192.0.2.7", true},
		{"192.0.2.*", "::ffff:192.0.2.7", true},
		{"::ffff:192.0.2.0/120", "192.0.2.7", true},
		{"!192.0.2.7,*", "::ffff:192.0.2.7", false},
		{"2001:db8::/32", "2001:db8::1", true},
		{"2001:DB8:0:0::1", "2001:db8::1", true},
		{"2001:db8::*", "2001:db8::1", true},
		{"2001:db8::/32", "2001:db9::1", false},
		{"::/0", "192.0.2.7", false},
		{"fe80::/10", "fe80::1%eth0", true},
		{"fe80::1%eth0", "fe80::1%eth0", true},
		{"fe80::1%eth1", "fe80::1%eth0", false},
		{"host.example", "192.0.2.7", false}, /* no names are looked up */
		{"*.example,192.0.2.7", "192.0.2.7", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wbi_authorized_facts facts = plain;
		struct wbi_authorized authorized;
		char text[512];
		enum wb_err err;

		facts.address = cases[i].address;
		snprintf(text, sizeof(text), "from=\"%s\" %s", cases[i].from, ALICE);
		err = find(text, &facts, &authorized, NULL);
		if (err != (cases[i].let_in ? WB_OK : WB_ERR_REFUSED))
			fail_msg("%s: %s: %s", cases[i].from, cases[i].address, wb_err_name(err));
		if (!err)
			wbi_authorized_done(&authorized);
	}
}

static void test_from_refused(void **state)
{
	static const char *const wrong[] = {
		"192.0.2.7/24", "*,!10.0.0.0/33",  "*,10.0.0.0/", "*,!10.1", "*,", "", "!",
		"*,,*",         "*,2001:db8::1/64"};
	struct wbi_authorized_facts facts = plain;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char text[512];

		snprintf(text, sizeof(text), "from=\"%s\" %s", wrong[i], ALICE);
		check_refused(text, &plain, "from", "makes no sense");
	}
	check_refused("from=\"*\",from=\"*\" " ALICE, &plain, "from", "twice");
	check_refused("from=\"10.0.0.1\" " ALICE, &plain, "from", "192.0.2.7");
	facts.address = NULL;
	check_refused("from=\"*\" " ALICE, &facts, "from", "no address");
	facts.address = "host.example";
	check_refused("from=\"*\" " ALICE, &facts, "from", "not numeric");
	facts.address = NULL;
	assert_int_equal(line_of(ALICE, &facts), 1);
}

/* A line that does not let in does not keep a later one from it; the first reason is told. */
static void test_first_that_lets_in(void **state)
{
	struct wb_fault fault;
	struct wbi_authorized authorized;

	(void)state;
	assert_int_equal(line_of("foo " ALICE "from=\"10.0.0.1\" " ALICE "pty " ALICE
				 "no-pty " ALICE,
				 &plain),
			 3);
	assert_int_equal(
		find("# x\nfrom=\"10.0.0.1\" " ALICE "foo " ALICE, &plain, &authorized, &fault),
		WB_ERR_REFUSED);
	assert_string_equal(fault.field, "from");
	assert_non_null(strstr(fault.text, "line 2:"));
	assert_int_equal(fault.offset, 4);
	/* what is wrong with a line for others is nobody's business */
	assert_int_equal(find("foo " BOB, &plain, &authorized, &fault), WB_ERR_MISSING);
}

static void test_line_limit(void **state)
{
	char text[WBI_AUTHORIZED_LINE_MAX + 2];
	struct wbi_authorized authorized;
	struct wb_fault fault;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	memcpy(text, ALICE_KEY " ", strlen(ALICE_KEY " "));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(find(text, &plain, &authorized, &fault), WB_ERR_MISSING);
	assert_non_null(strstr(fault.text, "too long"));
	text[sizeof(text) - 2] = '\n';
	assert_int_equal(line_of(text, &plain), 1);
}

static void test_nul(void **state)
{
	static const char text[] = "command=\"ls\0 -l\" " ALICE;
	struct wbi_public_key alice = key_of(ALICE_KEY);
	struct wbi_authorized authorized;
	struct wb_fault fault;

	(void)state;
	assert_int_equal(wbi_authorized_keys_find(text, sizeof(text) - 1, &alice, &plain,
						  &authorized, &fault),
			 WB_ERR_REFUSED);
	assert_non_null(strstr(fault.text, "NUL"));
}

/* Every prefix of a file with everything in it, and every byte of it changed: nothing is read that
 * is not there, and what gets in has strings that end. */
static void test_every_change(void **state)
{
	static const char good[] =
		"from=\"192.0.2.0/24,!10.*\",command=\"a "
		"\\\"b\\\"\",environment=\"A=1\",restrict,pty,"
		"expiry-time=\"20300101Z\",permit=\"exec,put:/a\\,b,get:/c\" " ALICE;
	char text[sizeof(good)];
	struct wbi_authorized authorized;
	struct wbi_public_key alice = key_of(ALICE_KEY);

	(void)state;
	for (size_t cut = 0; cut < sizeof(good) - 1; cut++) {
		enum wb_err err = wbi_authorized_keys_find(guard_put(good, cut), cut, &alice, &own,
							   &authorized, NULL);

		if (!err)
			wbi_authorized_done(&authorized);
		assert_true((err == WB_OK) ==
			    (cut >= sizeof(good) - 1 - strlen(" alice@example\n")));
	}
	memcpy(text, good, sizeof(good));
	for (size_t at = 0; at < sizeof(good) - 1; at++) {
		for (int byte = 0; byte < 256; byte++) {
			enum wb_err err;

			text[at] = (char)byte;
			err = wbi_authorized_keys_find(guard_put(text, sizeof(good) - 1),
						       sizeof(good) - 1, &alice, &own, &authorized,
						       NULL);
			if (!err)
				wbi_authorized_done(&authorized);
		}
		text[at] = good[at];
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),        cmocka_unit_test(test_missing),
		cmocka_unit_test(test_defaults),     cmocka_unit_test(test_from),
		cmocka_unit_test(test_from_refused), cmocka_unit_test(test_first_that_lets_in),
		cmocka_unit_test(test_line_limit),   cmocka_unit_test(test_nul),
		cmocka_unit_test(test_every_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
