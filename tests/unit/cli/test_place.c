/* Places of put and get: what is here, what is elsewhere, and where the one ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/transfer_place.c" /* the program's own floor is in no library */

static const struct {
	const char *text, *destination, *path; /* destination NULL: here */
} rows[] = {
	{"file", NULL, "file"},
	{"./a:b", NULL, "./a:b"},
	{"/a:b", NULL, "/a:b"},
	{"-", NULL, "-"},
	{":x", NULL, ":x"},
	{"host:x", "host", "x"},
	{"host:", "host", "."},
	{"user@host:/srv/in", "user@host", "/srv/in"},
	{"host:a:b", "host", "a:b"},
	{"[::1]:x", "[::1]", "x"},
	{"local:dir/", "local", "dir/"},
	{"tcp://127.0.0.1:9292:/srv/in", "tcp://127.0.0.1:9292", "/srv/in"},
	{"tcp://[::1]:9292:x", "tcp://[::1]:9292", "x"},
	{"tls://host:x", "tls://host", "x"},
	{"tls://host:22x", "tls://host", "22x"},
	{"tls://host:22:", "tls://host:22", "."},
	{"tls://user@host:9292:a:b", "tls://user@host:9292", "a:b"},
	{"unix:///run/w.sock:in/", "unix:///run/w.sock", "in/"},
	{"unix:///run/w.sock:9", "unix:///run/w.sock", "9"},
	{"a/b://c:d", NULL, "a/b://c:d"},
};

static void test_rows(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct wbi_place place;
		struct wb_fault fault;

		assert_int_equal(wbi_place_parse(rows[i].text, &place, &fault), WB_OK);
		assert_int_equal(place.remote, rows[i].destination != NULL);
		assert_string_equal(place.path, rows[i].path);
		if (rows[i].destination)
			assert_string_equal(place.destination, rows[i].destination);
	}
}

static void test_no_path(void **state)
{
	static const char *const texts[] = {"tcp://127.0.0.1:9292", "tls://host", "unix:///run/w",
					    "tls://host/x"};
	struct wbi_place place;
	struct wb_fault fault;

	(void)state;
	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(wbi_place_parse(texts[i], &place, &fault), WB_ERR_ARGUMENT);
		assert_non_null(strstr(fault.text, ":PATH"));
	}
}

static void test_long(void **state)
{
	char text[WBI_PLACE_DESTINATION_MAX + 8];
	struct wbi_place place;

	(void)state;
	memset(text, 'h', sizeof(text));
	memcpy(text + WBI_PLACE_DESTINATION_MAX, ":x", 3);
	assert_int_equal(wbi_place_parse(text, &place, NULL), WB_ERR_ARGUMENT);
	memcpy(text + WBI_PLACE_DESTINATION_MAX - 1, ":x", 3);
	assert_int_equal(wbi_place_parse(text, &place, NULL), WB_OK);
	assert_int_equal(strlen(place.destination), WBI_PLACE_DESTINATION_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_no_path),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
