/* known_hosts: which line speaks for a host, and what the lines come to together. */
#include "fixtures.h"

#include <stdio.h>
#include <string.h>

#include "../wire/guard.h"
#include "keys/known_hosts.h"

#define ALICE  " " ALICE_KEY "\n"
#define BOB    " " BOB_KEY "\n"
#define LOCKED " " LOCKED_KEY "\n"

static struct wbi_known_host_finding find(const char *text, const char *host, uint16_t port)
{
	struct wbi_slice slice = {guard_put(text, strlen(text)), strlen(text)};
	struct wbi_known_host_finding finding;
	struct wbi_public_key alice = key_of(ALICE_KEY);

	wbi_known_hosts_find(&slice, 1, host, port, &alice, &finding);
	return finding;
}

/* Who comes is always Alice. */
struct expectation {
	const char *text, *host;
	uint16_t port;
	enum wbi_known_host verdict;
	size_t line;
};

static void check(const struct expectation *expectations, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct expectation *wanted = &expectations[i];
		struct wbi_known_host_finding finding =
			find(wanted->text, wanted->host, wanted->port);

		if (finding.verdict != wanted->verdict || finding.line != wanted->line)
			fail_msg("%s port %u: verdict %d line %zu, not %d line %zu:\n%s",
				 wanted->host, wanted->port, finding.verdict, finding.line,
				 wanted->verdict, wanted->line, wanted->text);
	}
}

#define CHECK(expectations) check(expectations, sizeof(expectations) / sizeof((expectations)[0]))

static void test_names(void **state)
{
	static const struct expectation expectations[] = {
		{"", "box", 22, WBI_HOST_UNKNOWN, 0},
		{"box" ALICE, "box", 22, WBI_HOST_MATCH, 1},
		{"box" ALICE, "BOX", 22, WBI_HOST_MATCH, 1},
		{"BoX" ALICE, "box", 22, WBI_HOST_MATCH, 1},
		{"box" ALICE, "bo", 22, WBI_HOST_UNKNOWN, 0},
		{"box" ALICE, "boxy", 22, WBI_HOST_UNKNOWN, 0},
		{"a,box,b" ALICE, "box", 22, WBI_HOST_MATCH, 1},
		{"# box" ALICE "\n \t\n  box" ALICE, "box", 22, WBI_HOST_MATCH, 4},
		{"box\t \tssh-ed25519\t" /* blanks of any kind */
		 "AAAAC3NzaC1lZDI1NTE5AAAAIDpz0BqWl3ggFnKWm6JEq4AMLTUCGzvxE2/8Lxq0+q4h x y\r\n",
		 "box", 22, WBI_HOST_MATCH, 1},
		{"box " ALICE_KEY, "box", 22, WBI_HOST_MATCH, 1}, /* no newline at the end */
		{"*.example" ALICE, "box.example", 22, WBI_HOST_MATCH, 1},
		{"*.example,!box.example" ALICE, "box.example", 22, WBI_HOST_UNKNOWN, 0},
		{"!box.example,*.example" ALICE, "box.example", 22, WBI_HOST_UNKNOWN, 0},
		{"!box.example" ALICE, "other.example", 22, WBI_HOST_UNKNOWN, 0},
		{"b?x" ALICE, "box", 22, WBI_HOST_MATCH, 1},
		{"::1" ALICE, "::1", 22, WBI_HOST_MATCH, 1},
		{"[::1]:9292" ALICE, "::1", 9292, WBI_HOST_MATCH, 1},
	};

	(void)state;
	CHECK(expectations);
}

static void test_ports(void **state)
{
	static const struct expectation expectations[] = {
		{"[box]:9292" ALICE, "box", 9292, WBI_HOST_MATCH, 1},
		{"[box]:9292" ALICE, "box", 9293, WBI_HOST_UNKNOWN, 0},
		{"[box]:9292" ALICE, "box", 22, WBI_HOST_UNKNOWN, 0},
		{"[box]:9292" BOB, "box", 9292, WBI_HOST_CHANGED, 1},
		{"[box]:22" ALICE, "box", 22, WBI_HOST_UNKNOWN, 0}, /* as ssh has it */
		/* the bare name: a match counts, a mismatch says nothing of this port */
		{"box" ALICE, "box", 9292, WBI_HOST_MATCH, 1},
		{"box" BOB, "box", 9292, WBI_HOST_UNKNOWN, 0},
		{"box" BOB, "box", 22, WBI_HOST_CHANGED, 1},
		/* the port's own entry goes first */
		{"box" ALICE "[box]:9292" BOB, "box", 9292, WBI_HOST_CHANGED, 2},
		{"box" ALICE "[box]:9292" ALICE, "box", 9292, WBI_HOST_MATCH, 2},
		{"[box]:9292" ALICE "box" BOB, "box", 9292, WBI_HOST_MATCH, 1},
		{"*" ALICE, "box", 9292, WBI_HOST_MATCH, 1},
		{"*" BOB, "box", 9292, WBI_HOST_CHANGED, 1},
		{"[*]:9292" ALICE, "box", 9292, WBI_HOST_MATCH, 1},
	};

	(void)state;
	CHECK(expectations);
}

static void test_several_keys(void **state)
{
	static const struct expectation expectations[] = {
		{"box" BOB "box" ALICE, "box", 22, WBI_HOST_MATCH, 2},
		{"box" ALICE "box" BOB, "box", 22, WBI_HOST_MATCH, 1},
		{"box" BOB "box" LOCKED, "box", 22, WBI_HOST_CHANGED, 1},
		{"other" ALICE "box" BOB, "box", 22, WBI_HOST_CHANGED, 2},
	};

	(void)state;
	CHECK(expectations);
}

static void test_marks(void **state)
{
	static const struct expectation expectations[] = {
		{"@revoked box" ALICE, "box", 22, WBI_HOST_REVOKED, 1},
		{"@revoked\tbox" ALICE, "box", 22, WBI_HOST_REVOKED, 1},
		{"box" ALICE "@revoked box" ALICE, "box", 22, WBI_HOST_REVOKED, 2},
		{"[box]:9292" ALICE "@revoked box" ALICE, "box", 9292, WBI_HOST_REVOKED, 2},
		{"[box]:9292" BOB "@revoked [box]:9292" ALICE, "box", 9292, WBI_HOST_REVOKED, 2},
		{"@revoked [box]:9292" ALICE "box" ALICE, "box", 22, WBI_HOST_MATCH, 2},
		{"box" ALICE "@revoked *" ALICE, "box", 9292, WBI_HOST_REVOKED, 2},
		{"box" ALICE "@revoked other" ALICE, "box", 22, WBI_HOST_MATCH, 1},
		{"box" ALICE "@revoked box" BOB, "box", 22, WBI_HOST_MATCH, 1},
		{"@revoked box" BOB, "box", 22, WBI_HOST_UNKNOWN, 0},
		{"@cert-authority box" ALICE, "box", 22, WBI_HOST_UNKNOWN, 0},
		{"@cert-authority box" BOB, "box", 22, WBI_HOST_UNKNOWN, 0},
		{"@other box" ALICE, "box", 22, WBI_HOST_UNKNOWN, 0},
		{"@REVOKED box" ALICE, "box", 22, WBI_HOST_UNKNOWN, 0},
		{"@revoked @cert-authority" ALICE, "@cert-authority", 22, WBI_HOST_REVOKED, 1},
	};

	(void)state;
	CHECK(expectations);
}

static void test_hashed(void **state)
{
	static const struct expectation expectations[] = {
		{HASHED_HOSTS, "example.com", 22, WBI_HOST_MATCH, 1},
		{HASHED_HOSTS, "EXAMPLE.com", 22, WBI_HOST_MATCH, 1},
		{HASHED_HOSTS, "192.0.2.7", 22, WBI_HOST_MATCH, 2},
		{HASHED_HOSTS, "example.com", 9292, WBI_HOST_MATCH, 1},
		{HASHED_HOSTS, "box.example", 9292, WBI_HOST_MATCH, 3},
		{HASHED_HOSTS, "box.example", 22, WBI_HOST_UNKNOWN, 0},
		{HASHED_HOSTS, "example.org", 22, WBI_HOST_UNKNOWN, 0},
		{"@revoked " HASHED_HOSTS, "example.com", 22, WBI_HOST_REVOKED, 1},
		{"|1|QursJsHHamXFMZAo/yAF4uBmsZc=|PPuE7T0F4Fy1V7jf/ixEc+dTnNw=" BOB, "example.com",
		 22, WBI_HOST_CHANGED, 1},
		/* not what ssh-keygen writes */
		{"|1|QursJsHHamXFMZAo/yAF4uBmsZc|PPuE7T0F4Fy1V7jf/ixEc+dTnNw=" ALICE, "example.com",
		 22, WBI_HOST_UNKNOWN, 0},
		{"|1|QursJsHHamXFMZAo/yAF4uBmsZcA|PPuE7T0F4Fy1V7jf/ixEc+dTnNw=" ALICE,
		 "example.com", 22, WBI_HOST_UNKNOWN, 0},
		{"|2|QursJsHHamXFMZAo/yAF4uBmsZc=|PPuE7T0F4Fy1V7jf/ixEc+dTnNw=" ALICE,
		 "example.com", 22, WBI_HOST_UNKNOWN, 0},
		{"|1|QursJsHHamXFMZAo/yAF4uBmsZc=|PPuE7T0F4Fy1V7jf/ixEc+dTnN0=" ALICE,
		 "example.com", 22, WBI_HOST_UNKNOWN, 0},
		{"|1|QursJsHHamXFMZAo/yAF4uBmsZc=|PPuE7T0F4Fy1V7jf/ixEc+dTnNw=,*" ALICE,
		 "example.com", 22, WBI_HOST_UNKNOWN, 0},
		{"|1||" ALICE, "example.com", 22, WBI_HOST_UNKNOWN, 0},
		{"|" ALICE, "example.com", 22, WBI_HOST_UNKNOWN, 0},
		{"*,|1|" ALICE, "example.com", 22, WBI_HOST_MATCH, 1},
	};

	(void)state;
	CHECK(expectations);
}

static void test_other_kinds(void **state)
{
	static const char text[] = "box " RSA_KEY "\n"
				   "box " ECDSA_KEY "\n"
				   "other " ALICE_CERTIFICATE "\n";
	struct wbi_known_host_finding finding = find(text, "box", 22);
	char names[WBI_KEY_TYPE_NAMES_SIZE];

	(void)state;
	assert_int_equal(finding.verdict, WBI_HOST_UNKNOWN);
	wbi_key_type_names(finding.other_types, names);
	assert_string_equal(names, "ssh-rsa, ecdsa-sha2-nistp256");
	assert_int_equal(finding.bad_lines, 0);
	finding = find(text, "box", 9292);
	assert_int_equal(finding.other_types, 0);
	finding = find("box " RSA_KEY "\nbox" BOB, "box", 22);
	assert_int_equal(finding.verdict, WBI_HOST_CHANGED);
	assert_int_equal(finding.other_types, 1u << WBI_KEY_RSA);
}

static void test_bad_lines(void **state)
{
	static const char text[] = "box" ALICE /* 1 */
				   "box\n"
				   "box ssh-ed25519\n"
				   "box ssh-ed25519 AAAA\n"
				   "box # ssh-ed25519\n" /* 5 */
				   "@other box" ALICE "@revoked\n"
				   "@revoked box\n"
				   "box 1024 35 1234567\n"
				   "# box\n" /* 10 */
				   "box restrict" ALICE;
	struct wbi_known_host_finding finding = find(text, "box", 22);

	(void)state;
	assert_int_equal(finding.verdict, WBI_HOST_MATCH);
	assert_int_equal(finding.line, 1);
	assert_int_equal(finding.bad_lines, 9);
	assert_int_equal(finding.bad_line, 2);
	finding = find(text, "unheard.of", 22); /* read twice, counted once */
	assert_int_equal(finding.verdict, WBI_HOST_UNKNOWN);
	assert_int_equal(finding.bad_lines, 9);
}

/* A NUL within a line makes it no entry of the name before the NUL. */
static void test_nul(void **state)
{
	static const char text[] = "box\0" ALICE;
	struct wbi_slice slice = {(const uint8_t *)text, sizeof(text) - 1};
	struct wbi_public_key alice = key_of(ALICE_KEY);
	struct wbi_known_host_finding finding;

	(void)state;
	wbi_known_hosts_find(&slice, 1, "box", 22, &alice, &finding);
	assert_int_equal(finding.verdict, WBI_HOST_UNKNOWN);
}

/* Several files are one: the better answer counts, wherever it stands. */
static void test_several_texts(void **state)
{
	static const char *const texts[] = {"box" BOB "nonsense\n", "", "other" BOB "box" ALICE,
					    "@revoked box" ALICE};
	struct wbi_slice slices[4];
	struct wbi_public_key alice = key_of(ALICE_KEY);
	struct wbi_known_host_finding finding;

	(void)state;
	for (int i = 0; i < 4; i++)
		slices[i] = (struct wbi_slice){(const uint8_t *)texts[i], strlen(texts[i])};
	slices[1] = (struct wbi_slice){NULL, 0};
	wbi_known_hosts_find(slices, 4, "box", 22, &alice, &finding);
	assert_int_equal(finding.verdict, WBI_HOST_REVOKED);
	assert_int_equal(finding.text, 3);
	wbi_known_hosts_find(slices, 3, "box", 22, &alice, &finding);
	assert_int_equal(finding.verdict, WBI_HOST_MATCH);
	assert_int_equal(finding.text, 2);
	assert_int_equal(finding.line, 2);
	wbi_known_hosts_find(slices, 2, "box", 22, &alice, &finding);
	assert_int_equal(finding.verdict, WBI_HOST_CHANGED);
	assert_int_equal(finding.text, 0);
	assert_int_equal(finding.bad_text, 0);
	assert_int_equal(finding.bad_line, 2);
	wbi_known_hosts_find(NULL, 0, "box", 22, &alice, &finding);
	assert_int_equal(finding.verdict, WBI_HOST_UNKNOWN);
}

static void test_format(void **state)
{
	static const char *const hosts[] = {"box.example", "::1", "fe80::1%eth0", "192.0.2.1",
					    "M\xc3\xbcnster"};
	static const uint16_t ports[] = {1, 22, 9292, 65535};
	struct wbi_public_key alice = key_of(ALICE_KEY);
	char line[WBI_KNOWN_HOST_LINE_SIZE], host[WBI_KNOWN_HOST_NAME_MAX + 1];

	(void)state;
	for (int i = 0; i < 5; i++) {
		for (int j = 0; j < 4; j++) {
			assert_int_equal(
				wbi_known_hosts_format(hosts[i], ports[j], &alice, line, NULL),
				WB_OK);
			assert_int_equal(find(line, hosts[i], ports[j]).verdict, WBI_HOST_MATCH);
			assert_int_equal(find(line, hosts[i], 2222).verdict,
					 ports[j] == 22 ? WBI_HOST_MATCH : WBI_HOST_UNKNOWN);
		}
	}
	assert_int_equal(wbi_known_hosts_format("Box", 9292, &alice, line, NULL), WB_OK);
	assert_string_equal(line, "[box]:9292" ALICE);
	assert_int_equal(wbi_known_hosts_format("box", 22, &alice, line, NULL), WB_OK);
	assert_string_equal(line, "box" ALICE);
	memset(host, 'x', sizeof(host) - 1);
	host[sizeof(host) - 1] = '\0';
	assert_int_equal(wbi_known_hosts_format(host, 65535, &alice, line, NULL), WB_OK);
	assert_int_equal(strlen(line) + 1, WBI_KNOWN_HOST_LINE_SIZE);
	assert_int_equal(find(line, host, 65535).verdict, WBI_HOST_MATCH);
}

static void test_format_refused(void **state)
{
	static const char *const hosts[] = {"",    "a b",  "a\nb", "a,b", "*",    "a?",    "!a",
					    "|1|", "@rev", "#a",   "[a]", "a\tb", "a\x7f", "\"a"};
	struct wbi_public_key alice = key_of(ALICE_KEY);
	char line[WBI_KNOWN_HOST_LINE_SIZE], host[WBI_KNOWN_HOST_NAME_MAX + 2];
	struct wb_fault fault;

	(void)state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		assert_int_equal(wbi_known_hosts_format(hosts[i], 22, &alice, line, &fault),
				 WB_ERR_ARGUMENT);
	memset(host, 'x', sizeof(host) - 1);
	host[sizeof(host) - 1] = '\0';
	assert_int_equal(wbi_known_hosts_format(host, 22, &alice, line, &fault), WB_ERR_ARGUMENT);
	assert_int_equal(find("*" ALICE, host, 22).verdict, WBI_HOST_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),          cmocka_unit_test(test_ports),
		cmocka_unit_test(test_several_keys),   cmocka_unit_test(test_marks),
		cmocka_unit_test(test_hashed),         cmocka_unit_test(test_other_kinds),
		cmocka_unit_test(test_bad_lines),      cmocka_unit_test(test_nul),
		cmocka_unit_test(test_several_texts),  cmocka_unit_test(test_format),
		cmocka_unit_test(test_format_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
