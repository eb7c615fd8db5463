/* Destinations: what may be written, and what it means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "app/destination.h"

static void what_can_be_written(void **state)
{
	static const struct {
		const char *text;
		enum wbi_transport transport;
		const char *host;
		unsigned port;
		const char *user;
	} cases[] = {
		{"host", WBI_TLS, "host", 9292, ""},
		{"host:22", WBI_TLS, "host", 22, ""},
		{"me@host", WBI_TLS, "host", 9292, "me"},
		{"a@b@host:1", WBI_TLS, "host", 1, "a@b"},
		{"tls://host", WBI_TLS, "host", 9292, ""},
		{"tls://me@host:1", WBI_TLS, "host", 1, "me"},
		{"::1", WBI_TLS, "::1", 9292, ""},
		{"me@::1", WBI_TLS, "::1", 9292, "me"},
		{"[::1]:22", WBI_TLS, "::1", 22, ""},
		{"tls://[::1]", WBI_TLS, "::1", 9292, ""},
		{"127.0.0.1:1", WBI_TLS, "127.0.0.1", 1, ""},
		{"tcp://127.0.0.1:1", WBI_TCP, "127.0.0.1", 1, ""},
		{"unix:///a@b", WBI_UNIX, "/a@b", 0, ""},
		{"local", WBI_UNIX, "/run/x/waybill.sock", 0, ""},
	};
	struct wbi_destination found;
	struct wb_fault fault;
	(void)state;

	setenv("XDG_RUNTIME_DIR", "/run/x", 1);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (wbi_destination_parse(cases[i].text, &found, &fault) != WB_OK)
			fail_msg("%s: %s", cases[i].text, fault.text);
		assert_int_equal(found.uri.transport, cases[i].transport);
		assert_string_equal(found.uri.host, cases[i].host);
		assert_int_equal(found.uri.port, cases[i].port);
		assert_string_equal(found.user, cases[i].user);
	}
}

static void what_cannot(void **state)
{
	static const struct {
		const char *text;
		enum wb_err err;
	} cases[] = {
		{"", WB_ERR_ARGUMENT},
		{"@host", WB_ERR_ARGUMENT},
		{"host:", WB_ERR_ARGUMENT},
		{"host:x", WB_ERR_ARGUMENT},
		{"host:0", WB_ERR_ARGUMENT},
		{"host:65536", WB_ERR_ARGUMENT},
		{"/run/socket", WB_ERR_ARGUMENT},
		{"host name", WB_ERR_ARGUMENT},
		{"host\x1b[2J", WB_ERR_ARGUMENT},
		{"tcp://127.0.0.1", WB_ERR_ARGUMENT},
		{"me@tcp://127.0.0.1:1", WB_ERR_ARGUMENT},
		{"udp://127.0.0.1:1", WB_ERR_UNSUPPORTED},
		{"upper+tcp://127.0.0.1:1", WB_ERR_ARGUMENT},
		{"12345678901234567890123456789012345678901234567890123456789012345@h",
		 WB_ERR_ARGUMENT},
	};
	struct wbi_destination found;
	(void)state;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (wbi_destination_parse(cases[i].text, &found, NULL) != cases[i].err)
			fail_msg("%s", cases[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_can_be_written),
		cmocka_unit_test(what_cannot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
