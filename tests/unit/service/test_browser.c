/* What looks like a browser, and what does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "service/browser.h"

static int refused(const char *text, size_t bytes)
{
	return wbi_browser_check((const uint8_t *)text, bytes) != NULL;
}

#define REFUSED(text) assert_true(refused(text, sizeof(text) - 1))
#define ALLOWED(text) assert_false(refused(text, sizeof(text) - 1))

static void test_http_requests_are_refused(void **state)
{
	(void)state;
	REFUSED("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	REFUSED("GET / HTTP/1.1\n");
	REFUSED("GET / HTTP/1.1");
	REFUSED("GET / HTTP/1.1\r");
	REFUSED("POST /;id; HTTP/1.0\r\n");
	REFUSED("HTTP/2.0");
	REFUSED("\r\n\nGET / HTTP/1.1\r\n");
	REFUSED(" GET / HTTP/1.1 \t\r\n");
}

static void test_what_only_mentions_http_is_allowed(void **state)
{
	(void)state;
	ALLOWED("");
	ALLOWED("\n");
	ALLOWED("curl http://localhost/");
	ALLOWED("echo HTTP/1.1 | cat");
	ALLOWED("echo HTTP/11");
	ALLOWED("echo HTTP/1.");
	ALLOWED("TTP/1.1");
	ALLOWED("echo a\nGET / HTTP/1.1\n");
	ALLOWED("\n\n");
}

static void test_a_nul_anywhere_is_refused(void **state)
{
	(void)state;
	REFUSED("\0");
	REFUSED("echo hi\0");
	REFUSED("echo a\necho b\0echo c");
	REFUSED("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
}

static void test_bytes_behind_the_end_are_not_looked_at(void **state)
{
	(void)state;
	assert_false(refused("echo hi\0", 7));
	assert_false(refused("GET / HTTP/1.1", 13));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http_requests_are_refused),
		cmocka_unit_test(test_what_only_mentions_http_is_allowed),
		cmocka_unit_test(test_a_nul_anywhere_is_refused),
		cmocka_unit_test(test_bytes_behind_the_end_are_not_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
