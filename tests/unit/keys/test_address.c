/* Addresses and networks from text, against libc's reader of addresses; and patterns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../wire/guard.h"
#include "keys/address.h"
#include "keys/pattern.h"

static struct wbi_slice slice_of(const char *text)
{
	return (struct wbi_slice){(const uint8_t *)text, strlen(text)};
}

static bool parse(const char *text, struct wbi_address *ret_address)
{
	return wbi_address_parse((struct wbi_slice){guard_put(text, strlen(text)), strlen(text)},
				 ret_address);
}

/* What libc makes of it, mapped addresses undone. */
static bool libc_parse(const char *text, struct wbi_address *ret_address)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	uint8_t data[16] = {0};
	size_t from = 0;

	ret_address->bytes = 4;
	if (inet_pton(AF_INET, text, data) != 1) {
		ret_address->bytes = 16;
		if (inet_pton(AF_INET6, text, data) != 1)
			return false;
		if (!memcmp(data, mapped, sizeof(mapped))) {
			ret_address->bytes = 4;
			from = 12;
		}
	}
	memcpy(ret_address->data, data + from, ret_address->bytes);
	return true;
}

static void compare(const char *text)
{
	struct wbi_address ours = {0}, theirs = {0};
	bool accepted = parse(text, &ours);

	if (accepted != libc_parse(text, &theirs))
		fail_msg("%s: %s here, not so by libc", text, accepted ? "accepted" : "refused");
	if (accepted && (ours.bytes != theirs.bytes || memcmp(ours.data, theirs.data, ours.bytes)))
		fail_msg("%s: another address than libc's", text);
}

static void test_like_libc(void **state)
{
	static const char *const texts[] = {
		"",
		"0.0.0.0",
		"255.255.255.255",
		"256.0.0.1",
		"1.2.3",
		"1.2.3.4.5",
		"1.2.3.4.",
		".1.2.3.4",
		"01.2.3.4",
		"1.2.3.04",
		"1..2.3",
		"1.2.3.4 ",
		"1000.1.1.1",
		"::",
		"::1",
		"1::",
		":",
		":::",
		":1",
		"1:",
		"1:2:3:4:5:6:7:8",
		":1:2:3:4:5:6:7:8",
		"1:2:3:4:5:6:7:8:",
		"1:2:3:4:5:6:7",
		"1:2:3:4:5:6:7:8:9",
		"1:2:3:4:5:6:7::",
		"::2:3:4:5:6:7:8",
		"1::2::3",
		"1:2:3::4:5:6:7:8",
		"12345::",
		"fe80::g",
		"::ffff:1.2.3.4",
		"::FFFF:1.2.3.4",
		"::1.2.3.4",
		"1.2.3.4::",
		"::1.2.3.4:5",
		"1:2:3:4:5:6:1.2.3.4",
		"1:2:3:4:5:6:7:1.2.3.4",
		"1:2:3:4:5::1.2.3.4",
		"::1.2.3",
		"2001:db8::192.0.2.33",
		"[::1]",
		"::1/128",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		compare(texts[i]);
}

/* Random texts of the characters that addresses are made of, and good ones with one changed. */
static void test_like_libc_random(void **state)
{
	static const char alphabet[] = "0123456789abcdefF::::....";
	static const char *const good[] = {"192.0.2.17", "2001:db8:0:1:2:3:4:5", "::ffff:10.1.2.3",
					   "fe80::1:2", "1:2:3:4:5:6:7:8"};
	unsigned seed = 20260901;

	(void)state;
	for (int round = 0; round < 200000; round++) {
		char text[32];
		size_t length = (size_t)rand_r(&seed) % 20;

		if (round % 2) {
			stpcpy(text, good[(size_t)rand_r(&seed) % 5]);
			length = strlen(text);
			text[(size_t)rand_r(&seed) % length] =
				alphabet[(size_t)rand_r(&seed) % (sizeof(alphabet) - 1)];
		} else {
			for (size_t i = 0; i < length; i++)
				text[i] = alphabet[(size_t)rand_r(&seed) % (sizeof(alphabet) - 1)];
			text[length] = '\0';
		}
		compare(text);
	}
}

static void test_zone(void **state)
{
	struct wbi_address with, without;

	(void)state;
	assert_true(parse("fe80::1%eth0", &with));
	assert_true(parse("fe80::1", &without));
	assert_memory_equal(with.data, without.data, 16);
	assert_false(parse("%eth0", &with));
}

static void test_ipv4_text(void **state)
{
	char text[WBI_ADDRESS_TEXT_SIZE];
	struct wbi_address address;

	(void)state;
	assert_true(parse("::ffff:255.255.255.255", &address));
	wbi_address_ipv4_text(&address, text);
	assert_string_equal(text, "255.255.255.255");
	assert_true(parse("::1", &address));
	wbi_address_ipv4_text(&address, text);
	assert_string_equal(text, "");
}

/* -1: no network. */
static int holds(const char *network_text, const char *address_text)
{
	struct wbi_network network;
	struct wbi_address address;

	assert_true(parse(address_text, &address));
	if (!wbi_network_parse((struct wbi_slice){guard_put(network_text, strlen(network_text)),
						  strlen(network_text)},
			       &network))
		return -1;
	return wbi_network_holds(&network, &address);
}

static void test_networks(void **state)
{
	static const struct {
		const char *network, *address;
		int holds;
	} cases[] = {
		{"10.0.0.0/8", "10.255.1.2", 1},
		{"10.0.0.0/8", "11.0.0.1", 0},
		{"10.0.0.1", "10.0.0.1", 1},
		{"10.0.0.1", "10.0.0.2", 0},
		{"10.0.0.1/32", "10.0.0.1", 1},
		{"0.0.0.0/0", "203.0.113.9", 1},
		{"0.0.0.0/0", "::1", 0},
		{"::/0", "::1", 1},
		{"::/0", "203.0.113.9", 0},
		{"192.0.2.128/25", "192.0.2.127", 0},
		{"192.0.2.128/25", "192.0.2.128", 1},
		{"192.0.2.4/30", "192.0.2.7", 1},
		{"192.0.2.4/30", "192.0.2.8", 0},
		{"2001:db8::/33", "2001:db8:7fff::1", 1},
		{"2001:db8::/33", "2001:db8:8000::1", 0},
		{"2001:DB8:0::1", "2001:db8::1", 1},
		{"::ffff:10.0.0.0/104", "10.1.1.1", 1},
		{"::ffff:10.0.0.0/104", "::ffff:10.1.1.1", 1},
		{"::ffff:10.0.0.0/104", "11.1.1.1", 0},
		{"::ffff:0.0.0.0/96", "11.1.1.1", 1},
		{"10.0.0.0/8", "::ffff:10.1.1.1", 1},
		{"10.0.0.1/8", "10.0.0.1", -1}, /* bits beyond the prefix */
		{"2001:db8::1/64", "::1", -1},
		{"10.0.0.0/33", "10.0.0.1", -1},
		{"::/129", "::1", -1},
		{"10.0.0.0/", "10.0.0.1", -1},
		{"10.0.0.0/08", "10.0.0.1", -1},
		{"10.0.0.0/-8", "10.0.0.1", -1},
		{"10.0.0.0/8/8", "10.0.0.1", -1},
		{"10.0.0.0/255.0.0.0", "10.0.0.1", -1},
		{"10.0.0.0/8 ", "10.0.0.1", -1},
		{"10/8", "10.0.0.1", -1},
		{"/8", "10.0.0.1", -1},
		{"", "10.0.0.1", -1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (holds(cases[i].network, cases[i].address) != cases[i].holds)
			fail_msg("%s, %s: not %d", cases[i].network, cases[i].address,
				 cases[i].holds);
	}
}

/* Against fnmatch, which means the same by * and ? where no bracket, backslash or case comes in. */
static void test_patterns_like_fnmatch(void **state)
{
	static const char alphabet[] = "ab*?.";
	unsigned seed = 4711;

	(void)state;
	for (int round = 0; round < 200000; round++) {
		char pattern[10], text[10];
		size_t pattern_bytes = (size_t)rand_r(&seed) % 9;
		size_t text_bytes = (size_t)rand_r(&seed) % 9;

		for (size_t i = 0; i < pattern_bytes; i++)
			pattern[i] = alphabet[(size_t)rand_r(&seed) % 5];
		pattern[pattern_bytes] = '\0';
		for (size_t i = 0; i < text_bytes; i++)
			text[i] = "ab."[(size_t)rand_r(&seed) % 3];
		text[text_bytes] = '\0';
		if (wbi_pattern_match(slice_of(pattern), slice_of(text)) !=
		    !fnmatch(pattern, text, 0))
			fail_msg("'%s' '%s'", pattern, text);
	}
}

static void test_pattern_lists(void **state)
{
	static const struct {
		const char *list, *text;
		bool matches;
	} cases[] = {
		{"a", "a", true},
		{"A", "a", true},
		{"a", "A", true},
		{"a,b", "b", true},
		{"a,b", "c", false},
		{"*,!b", "a", true},
		{"*,!b", "b", false},
		{"!b,*", "b", false},
		{"!b", "a", false},
		{"!b", "b", false},
		{"!*", "a", false},
		{"*", "", true},
		{"", "", true}, /* one pattern, the empty one */
		{"", "a", false},
		{"a,", "", true},
		{"a,,b", "b", true},
		{"!!a", "!a", false},
		{"*.example.com,!test.*", "www.example.com", true},
		{"*.example.com,!test.*", "test.example.com", false},
		{"[box]:22", "[box]:22", true},
		{"[a]", "a", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wbi_slice list = slice_of(cases[i].list);

		list.data = guard_put(list.data, list.bytes);
		if (wbi_pattern_list_match(list, slice_of(cases[i].text)) != cases[i].matches)
			fail_msg("'%s' '%s'", cases[i].list, cases[i].text);
	}
}

/* What a matcher that goes back to every star would need years for. */
static void test_pattern_of_many_stars(void **state)
{
	char pattern[2001], text[256];

	(void)state;
	for (size_t i = 0; i < 2000; i += 2)
		memcpy(pattern + i, "*a", 2);
	pattern[2000] = '\0';
	memset(text, 'a', 255);
	text[255] = '\0';
	assert_false(wbi_pattern_match(slice_of(pattern), slice_of(text)));
	pattern[400] = 'b';
	pattern[401] = '\0';
	assert_false(wbi_pattern_match(slice_of(pattern), slice_of(text)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_like_libc),     cmocka_unit_test(test_like_libc_random),
		cmocka_unit_test(test_zone),          cmocka_unit_test(test_ipv4_text),
		cmocka_unit_test(test_networks),      cmocka_unit_test(test_patterns_like_fnmatch),
		cmocka_unit_test(test_pattern_lists), cmocka_unit_test(test_pattern_of_many_stars),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
