/* Public keys: lines of every kind, the binary form, fingerprints, names. */
#include "fixtures.h"

#include <openssl/crypto.h>
#include <string.h>

#include "../wire/guard.h"
#include "keys/public_key.h"

static enum wb_err parse(const char *line, size_t bytes, struct wb_fault *fault)
{
	struct wbi_public_key key;

	return wbi_public_key_parse(guard_put(line, bytes), bytes, &key, NULL, fault);
}

static void test_line(void **state)
{
	static const char line[] = "  \t" ALICE_KEY " \t alice at\xff home\r\n";
	struct wbi_public_key key;
	struct wbi_slice comment;
	char text[WBI_PUBLIC_KEY_TEXT_SIZE], fingerprint[WBI_FINGERPRINT_SIZE];

	(void)state;
	assert_int_equal(wbi_public_key_parse(line, strlen(line), &key, &comment, NULL), WB_OK);
	assert_int_equal(comment.bytes, strlen("alice at\xff home"));
	assert_memory_equal(comment.data, "alice at\xff home", comment.bytes);
	wbi_public_key_text(&key, text);
	assert_string_equal(text, ALICE_KEY);
	wbi_public_key_fingerprint(&key, fingerprint);
	assert_string_equal(fingerprint, ALICE_FINGERPRINT);
	assert_int_equal(strlen(fingerprint) + 1, WBI_FINGERPRINT_SIZE);
	assert_int_equal(strlen(text) + 1, WBI_PUBLIC_KEY_TEXT_SIZE);
}

static void test_without_comment(void **state)
{
	struct wbi_public_key key;
	struct wbi_slice comment;

	(void)state;
	assert_int_equal(wbi_public_key_parse(ALICE_KEY, strlen(ALICE_KEY), &key, &comment, NULL),
			 WB_OK);
	assert_int_equal(comment.bytes, 0);
	key = key_of("# a comment\n\n" BOB_KEY);
	assert_false(wbi_public_key_equal(&key, &(struct wbi_public_key){{0}}));
}

static void test_other_kinds(void **state)
{
	static const struct {
		const char *line, *name;
	} others[] = {
		{RSA_KEY " r", "ssh-rsa"},
		{ECDSA_KEY, "ecdsa-sha2-nistp256"},
		{ALICE_CERTIFICATE, "ssh-ed25519-cert-v01@openssh.com"},
		{"ssh-new AAAAB3NzaC1uZXcAAAAA", "ssh-new"}, /* a kind unheard of */
	};
	struct wb_fault fault;

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		assert_int_equal(parse(others[i].line, strlen(others[i].line), &fault),
				 WB_ERR_UNSUPPORTED);
		assert_string_equal(fault.field, others[i].name);
		assert_non_null(strstr(fault.text, others[i].name));
	}
}

static void test_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		"\n",
		"# only a comment",
		"ssh-ed25519",
		"ssh-ed25519 ",
		"ssh-ed25519 alice",
		"ssh-ed25519 AAAA",
		"restrict " ALICE_KEY,
		ALICE_KEY "\n" BOB_KEY,
		"SSH-ED25519 AAAAC3NzaC1lZDI1NTE5AAAAIDpz0BqWl3ggFnKWm6JEq4AMLTUCGzvxE2/8Lxq0+q4h",
		"ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIDpz0BqWl3ggFnKWm6JEq4AMLTUCGzvxE2/8Lxq0+q4h",
		"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDpz0BqWl3ggFnKWm6JEq4AMLTUCGzvxE2/8Lxq0+q4=",
		"ssh-ed25519 "
		"AAAAC3NzaC1lZDI1NTE5AAAAIDpz0BqWl3ggFnKWm6JEq4AMLTUCGzvxE2/8Lxq0+q4hAAAA",
		"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAHzpz0BqWl3ggFnKWm6JEq4AMLTUCGzvxE2/8Lxq0+q4h",
		"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5/////zpz0BqWl3ggFnKWm6JEq4AMLTUCGzvxE2/8Lxq0+q4h",
	};
	struct wb_fault fault;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (parse(wrong[i], strlen(wrong[i]), &fault) != WB_ERR_MALFORMED)
			fail_msg("not malformed: %s", wrong[i]);
		assert_true(fault.offset <= strlen(wrong[i]));
	}
}

static void test_every_prefix(void **state)
{
	struct wb_fault fault;

	(void)state;
	for (size_t cut = 0; cut < strlen(ALICE_KEY); cut++)
		assert_int_equal(parse(ALICE_KEY, cut, &fault), WB_ERR_MALFORMED);
	assert_int_equal(parse(ALICE_KEY, strlen(ALICE_KEY), &fault), WB_OK);
}

/* Every byte of the binary form changed: those that are not the key itself are all looked at. */
static void test_blob(void **state)
{
	struct wbi_public_key key = key_of(ALICE_KEY), again;
	uint8_t blob[WBI_PUBLIC_KEY_BLOB_BYTES + 1] = {0};

	(void)state;
	wbi_public_key_to_blob(&key, blob);
	assert_int_equal(wbi_public_key_from_blob(blob, sizeof(blob) - 1, &again, NULL), WB_OK);
	assert_true(wbi_public_key_equal(&key, &again));
	assert_int_equal(wbi_public_key_from_blob(blob, sizeof(blob), &again, NULL),
			 WB_ERR_MALFORMED);
	for (size_t cut = 0; cut < sizeof(blob) - 1; cut++)
		assert_int_equal(wbi_public_key_from_blob(guard_put(blob, cut), cut, &again, NULL),
				 WB_ERR_MALFORMED);
	for (size_t at = 0; at < sizeof(blob) - 1; at++) {
		enum wb_err err;

		blob[at] ^= 1;
		err = wbi_public_key_from_blob(blob, sizeof(blob) - 1, &again, NULL);
		blob[at] ^= 1;
		assert_true((at >= 19) == (err == WB_OK));
		if (!err)
			assert_false(wbi_public_key_equal(&key, &again));
	}
}

static void test_names(void **state)
{
	char text[WBI_KEY_TYPE_NAMES_SIZE];

	(void)state;
	for (int type = WBI_KEY_ED25519; type < WBI_KEY_CERTIFICATE; type++) {
		const char *name = wbi_key_type_name((enum wbi_key_type)type);

		assert_int_equal(wbi_key_type_by_name(name, strlen(name)), type);
	}
	assert_int_equal(wbi_key_type_by_name("ssh-rsa-cert-v01@openssh.com", 28),
			 WBI_KEY_CERTIFICATE);
	assert_int_equal(wbi_key_type_by_name("-cert-v01@openssh.com", 21), WBI_KEY_UNKNOWN);
	assert_int_equal(wbi_key_type_by_name("SSH-RSA", 7), WBI_KEY_UNKNOWN);
	assert_int_equal(wbi_key_type_by_name("", 0), WBI_KEY_UNKNOWN);
	wbi_key_type_names(1u << WBI_KEY_RSA | 1u << WBI_KEY_ECDSA_256, text);
	assert_string_equal(text, "ssh-rsa, ecdsa-sha2-nistp256");
	wbi_key_type_names(0, text);
	assert_string_equal(text, "");
	wbi_key_type_names(UINT32_MAX, text);
	assert_true(strlen(text) < WBI_KEY_TYPE_NAMES_SIZE);
}

/* With either sign of x. Their neighbours, and keys of people, are none. */
static void test_weak_keys(void **state)
{
	static const char *const weak[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	};
	static const char *const neighbours[] = {
		"0200000000000000000000000000000000000000000000000000000000000000",
		"ebffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"efffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7e",
		"ecfffffffffffffffffffffffffffffffffffeffffffffffffffffffffffff7f",
		"27e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	};
	struct wbi_public_key key = key_of(ALICE_KEY);
	size_t count;
	(void)state;

	assert_false(wbi_public_key_is_weak(&key));
	for (size_t i = 0; i < sizeof(weak) / sizeof(weak[0]); i++) {
		OPENSSL_hexstr2buf_ex(key.ed25519, sizeof(key.ed25519), &count, weak[i], '\0');
		assert_true(wbi_public_key_is_weak(&key));
		key.ed25519[31] |= 0x80;
		assert_true(wbi_public_key_is_weak(&key));
	}
	for (size_t i = 0; i < sizeof(neighbours) / sizeof(neighbours[0]); i++) {
		OPENSSL_hexstr2buf_ex(key.ed25519, sizeof(key.ed25519), &count, neighbours[i],
				      '\0');
		assert_false(wbi_public_key_is_weak(&key));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),         cmocka_unit_test(test_without_comment),
		cmocka_unit_test(test_other_kinds),  cmocka_unit_test(test_refused),
		cmocka_unit_test(test_every_prefix), cmocka_unit_test(test_blob),
		cmocka_unit_test(test_names),        cmocka_unit_test(test_weak_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
