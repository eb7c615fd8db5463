/* Addresses: good and bad URIs, resolving, and what is loopback. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sys/addr.h"

#define PATH_10  "/aaaaaaaaa"
#define PATH_100 PATH_10 PATH_10 PATH_10 PATH_10 PATH_10 PATH_10 PATH_10 PATH_10 PATH_10 PATH_10

/* ---- URIs ---- */

static const struct {
	const char *text;
	struct wbi_uri uri;
} good[] = {
	{"tcp://127.0.0.1:8080", {WBI_TCP, "", "127.0.0.1", 8080, true}},
	{"upper+tcp://127.0.0.1:0", {WBI_TCP, "upper", "127.0.0.1", 0, true}},
	{"exec-length+tcp://localhost:65535", {WBI_TCP, "exec-length", "localhost", 65535, true}},
	{"upper+udp://[::1]:8092", {WBI_UDP, "upper", "::1", 8092, true}},
	{"tls://host-1.example_x.org", {WBI_TLS, "", "host-1.example_x.org", 0, false}},
	{"tls://[fe80::1%eth0]:9292", {WBI_TLS, "", "fe80::1%eth0", 9292, true}},
	{"tcp://[::ffff:127.0.0.1]", {WBI_TCP, "", "::ffff:127.0.0.1", 0, false}},
	{"unix:///run/waybill.sock", {WBI_UNIX, "", "/run/waybill.sock", 0, false}},
	{"unix:///a b:c@[d]", {WBI_UNIX, "", "/a b:c@[d]", 0, false}},
	{"some-thing-9+unix:///s", {WBI_UNIX, "some-thing-9", "/s", 0, false}},
	{"a23456789-b23456789-c23+tcp://h", {WBI_TCP, "a23456789-b23456789-c23", "h", 0, false}},
	{"unix://" PATH_100 "/234567", {WBI_UNIX, "", PATH_100 "/234567", 0, false}},
};

static void test_good_uris(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		const struct wbi_uri *want = &good[i].uri;
		char text[WBI_URI_TEXT_MAX];
		struct wbi_uri uri;

		if (wbi_uri_parse(good[i].text, &uri, NULL) != WB_OK)
			fail_msg("refused: %s", good[i].text);
		assert_int_equal(uri.transport, want->transport);
		assert_string_equal(uri.service, want->service);
		assert_string_equal(uri.host, want->host);
		assert_int_equal(uri.port, want->port);
		assert_int_equal(uri.has_port, want->has_port);
		wbi_uri_format(&uri, text);
		assert_string_equal(text, good[i].text);
	}
}

/* What the error must say, so that the person knows what to write. */
static const struct {
	const char *text;
	const char *says;
} bad[] = {
	{"", "not a URI"},
	{"127.0.0.1:8080", "tcp://HOST:PORT"},
	{"/run/waybill.sock", "unix:///PATH"},
	{"http://localhost", "tcp, udp, unix or tls"},
	{"://localhost", "tcp, udp, unix or tls"},
	{"TCP://localhost", "tcp, udp, unix or tls"},
	{"upper+://localhost", "tcp, udp, unix or tls"},
	{"+tcp://localhost", "not a service"},
	{"Upper+tcp://localhost", "not a service"},
	{"a+b+tcp://localhost", "not a service"},
	{"a23456789-b23456789-c234+tcp://h", "1 to 23 of"},
	{"a23456789-b23456789-c23456789+tcp://h", "nothing that long"},
	{"tcp://", "no host"},
	{"tcp://:8080", "no host"},
	{"tcp://::1:8080", "in brackets"},
	{"tcp://[::1:8080", "in brackets"},
	{"tcp://[127.0.0.1]:8080", "not an IPv6 address"},
	{"tcp://[]:8080", "not an IPv6 address"},
	{"tcp://[::1%]:8080", "not an IPv6 address"},
	{"tcp://[::1]8080", "only :PORT"},
	{"tcp://host/", "only :PORT"},
	{"tcp://user@host", "only :PORT"},
	{"tcp://host name", "only :PORT"},
	{"tls://\xc3\xa9.example", "written in ASCII"},
	{"tls://caf\xc3\xa9:8080", "written in ASCII"},
	{"tcp://host:", "0 to 65535"},
	{"tcp://host:65536", "0 to 65535"},
	{"tcp://host:99999999999999999999", "0 to 65535"},
	{"tcp://host:-1", "0 to 65535"},
	{"tcp://host:80x", "0 to 65535"},
	{"tcp://host:80/", "0 to 65535"},
	{"unix://relative.sock", "unix:///path"},
	{"unix://", "unix:///path"},
	{"unix:///a\nb", "control character"},
	{"unix://" PATH_100 "/2345678", "at most 107 bytes, this one 108"},
};

static void test_bad_uris(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct wbi_uri uri, untouched;
		struct wb_fault fault;

		memset(&uri, 'x', sizeof(uri));
		untouched = uri;
		if (wbi_uri_parse(bad[i].text, &uri, &fault) != WB_ERR_ARGUMENT)
			fail_msg("accepted: %s", bad[i].text);
		assert_memory_equal(&uri, &untouched, sizeof(uri));
		if (!strstr(fault.text, bad[i].says))
			fail_msg("\"%s\" does not say \"%s\"", fault.text, bad[i].says);
	}
}

static void test_a_host_has_its_limit(void **state)
{
	struct wbi_uri uri;
	char text[300] = "tcp://";
	(void)state;

	memset(text + 6, 'h', 255);
	assert_int_equal(wbi_uri_parse(text, &uri, NULL), WB_OK);
	text[6 + 255] = 'h';
	assert_int_equal(wbi_uri_parse(text, &uri, NULL), WB_ERR_ARGUMENT);
}

/* ---- resolving ---- */

static struct wbi_addr resolve_one(const char *text)
{
	struct wbi_addr addr;
	struct wbi_uri uri;
	unsigned count;

	assert_int_equal(wbi_uri_parse(text, &uri, NULL), WB_OK);
	assert_int_equal(wbi_addr_resolve(&uri, true, &addr, 1, &count, NULL), WB_OK);
	assert_int_equal(count, 1);
	return addr;
}

static const struct {
	const char *uri, *text;
	bool loopback, wildcard;
	uint16_t port;
} resolved[] = {
	{"tcp://127.0.0.1:8080", "127.0.0.1:8080", true, false, 8080},
	{"udp://127.255.255.254:1", "127.255.255.254:1", true, false, 1},
	{"tcp://128.0.0.1:1", "128.0.0.1:1", false, false, 1},
	{"tcp://0.0.0.0:0", "0.0.0.0:0", false, true, 0},
	{"tcp://[::1]:8080", "[::1]:8080", true, false, 8080},
	{"udp://[::]:9", "[::]:9", false, true, 9},
	{"tcp://[::2]", "[::2]:0", false, false, 0},
	{"tcp://[::ffff:127.1.2.3]:5", "127.1.2.3:5", true, false, 5},
	{"tcp://[::ffff:128.1.2.3]:5", "128.1.2.3:5", false, false, 5},
	{"tls://[::ffff:0.0.0.0]:5", "0.0.0.0:5", false, true, 5},
	{"unix:///run/w.sock", "/run/w.sock", true, false, 0},
};

static void test_resolved_addresses(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(resolved) / sizeof(resolved[0]); i++) {
		struct wbi_addr addr = resolve_one(resolved[i].uri);
		char text[WBI_ADDR_TEXT_MAX];

		wbi_addr_format(&addr, text);
		assert_string_equal(text, resolved[i].text);
		assert_int_equal(wbi_addr_is_loopback(&addr), resolved[i].loopback);
		assert_int_equal(wbi_addr_is_wildcard(&addr), resolved[i].wildcard);
		assert_int_equal(wbi_addr_port(&addr), resolved[i].port);
	}
}

static void test_a_name_is_looked_up(void **state)
{
	struct wbi_addr addr = resolve_one("tcp://localhost:80");
	(void)state;
	assert_true(wbi_addr_is_loopback(&addr));
	assert_int_equal(wbi_addr_port(&addr), 80);
}

/* RFC 6761 reserves .invalid; without any name server the look-up fails as a system error. */
static void test_no_such_name_is_an_error(void **state)
{
	struct wbi_uri uri;
	struct wbi_addr addr;
	struct wb_fault fault;
	unsigned count = 77;
	(void)state;

	assert_int_equal(wbi_uri_parse("tcp://no-such-host.invalid:1", &uri, NULL), WB_OK);
	assert_int_not_equal(wbi_addr_resolve(&uri, false, &addr, 1, &count, &fault), WB_OK);
	assert_true(fault.err == WB_ERR_ARGUMENT || fault.err == WB_ERR_SYSTEM);
	assert_non_null(strstr(fault.text, "no-such-host.invalid"));
	assert_int_equal(count, 77);
}

static void format_unix_name(const char *name, size_t bytes, const char *want)
{
	struct wbi_addr addr = {.un.sun_family = AF_UNIX};
	char text[WBI_ADDR_TEXT_MAX];

	memcpy(addr.un.sun_path, name, bytes);
	addr.bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
	wbi_addr_format(&addr, text);
	assert_string_equal(text, want);
}

static void test_unix_names_as_text(void **state)
{
	char longest[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char want[sizeof(longest) + 1] = "";
	(void)state;

	format_unix_name("", 0, "unix");
	format_unix_name("\0abc", 4, "@abc");
	format_unix_name("/a\033[2J", 7, "/a\\x1B[2J");
	memset(longest, '/', sizeof(longest)); /* 108 bytes and no NUL: the kernel allows it */
	memset(want, '/', sizeof(longest));
	format_unix_name(longest, sizeof(longest), want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_uris),
		cmocka_unit_test(test_bad_uris),
		cmocka_unit_test(test_a_host_has_its_limit),
		cmocka_unit_test(test_resolved_addresses),
		cmocka_unit_test(test_a_name_is_looked_up),
		cmocka_unit_test(test_no_such_name_is_an_error),
		cmocka_unit_test(test_unix_names_as_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
