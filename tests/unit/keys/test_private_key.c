/* Private keys: ssh-keygen's files read and written, and each way to be damaged told apart. */
#include "fixtures.h"

#include <stdlib.h>
#include <string.h>

#include "../wire/guard.h"
#include "base/base64.h"
#include "keys/private_key.h"

static enum wb_err parse(const char *text, size_t bytes, struct wbi_private_key *ret_key,
			 struct wb_fault *fault)
{
	return wbi_private_key_parse(guard_put(text, bytes), bytes, ret_key, fault);
}

static void check_refused(const char *text, enum wb_err err, const char *needle)
{
	struct wbi_private_key key;
	struct wb_fault fault;

	if (parse(text, strlen(text), &key, &fault) != err || fault.err != err ||
	    !strstr(fault.text, needle))
		fail_msg("%s: not '%s' for %s", fault.text, needle, text);
	assert_int_equal(parse(text, strlen(text), &key, NULL), err);
}

/* --- a file taken apart, changed, and put together again --- */

struct file {
	uint8_t blob[1024];
	size_t bytes;
};

/* Where things lie in Alice's. */
enum { AT_CIPHER = 15 + 4, AT_KDF = AT_CIPHER + 8, AT_KDF_OPTIONS = AT_KDF + 4 };
enum {
	AT_COUNT = AT_KDF_OPTIONS + 4,
	AT_PUBLIC = AT_COUNT + 4 + 4,
	AT_SECRET = AT_PUBLIC + 51 + 4
};
enum { AT_KIND = AT_SECRET + 8 + 4, AT_AGAIN = AT_KIND + 11 + 4, AT_SEED = AT_AGAIN + 32 + 4 };
enum { AT_LAST = AT_SEED + 32, AT_COMMENT = AT_LAST + 32 + 4, AT_PADDING = AT_COMMENT + 13 };

static struct file alice_file(void)
{
	struct file file;
	char base64[1024];
	size_t length = 0;
	const char *at = strchr(ALICE_FILE, '\n');

	for (; strncmp(at, "\n---", 4) != 0; at++) {
		if (*at != '\n')
			base64[length++] = *at;
	}
	assert_int_equal(
		wbi_base64_decode(base64, length, file.blob, sizeof(file.blob), &file.bytes),
		WB_OK);
	assert_int_equal(file.bytes % 8, (AT_SECRET) % 8);
	return file;
}

static void put_text(const struct file *file, char out[2048])
{
	char base64[1500];

	wbi_base64_encode(file->blob, file->bytes, base64);
	stpcpy(stpcpy(stpcpy(out, "-----BEGIN OPENSSH PRIVATE KEY-----\n"), base64),
	       "\n-----END OPENSSH PRIVATE KEY-----\n");
}

static enum wb_err parse_file(const struct file *file, struct wb_fault *fault)
{
	struct wbi_private_key key;
	char text[2048];

	put_text(file, text);
	return parse(text, strlen(text), &key, fault);
}

/* --- the tests --- */

static void test_read(void **state)
{
	struct wbi_public_key public_key = key_of(ALICE_KEY);
	struct wbi_private_key key;
	struct file file = alice_file();

	(void)state;
	assert_int_equal(parse(ALICE_FILE, strlen(ALICE_FILE), &key, NULL), WB_OK);
	assert_true(wbi_public_key_equal(&key.public_key, &public_key));
	assert_memory_equal(key.seed, file.blob + AT_SEED, 32);
	assert_int_equal(key.comment_bytes, 13);
	assert_memory_equal(key.comment, "alice@example", 13);
	wbi_private_key_done(&key);
	for (size_t i = 0; i < sizeof(key); i++)
		assert_int_equal(((uint8_t *)&key)[i], 0);
	wbi_private_key_done(NULL);
}

/* With the same check number ours is ssh-keygen's file, byte for byte. */
static void test_written_as_ssh_keygen_does(void **state)
{
	char text[WBI_PRIVATE_KEY_TEXT_SIZE];
	struct wbi_private_key key;
	struct file file = alice_file();
	const uint8_t *check = file.blob + AT_SECRET;
	size_t length;

	(void)state;
	assert_int_equal(
		wbi_private_key_from_seed(file.blob + AT_SEED, "alice@example", 13, &key, NULL),
		WB_OK);
	length = wbi_private_key_format(&key,
					(uint32_t)check[0] << 24 | (uint32_t)check[1] << 16 |
						(uint32_t)check[2] << 8 | check[3],
					text);
	assert_string_equal(text, ALICE_FILE);
	assert_int_equal(length, strlen(ALICE_FILE));
}

/* Comments of every length: there and back, whatever padding they need. */
static void test_every_comment(void **state)
{
	uint8_t seed[32] = {1}, comment[WBI_PRIVATE_KEY_COMMENT_MAX + 1];
	struct wb_fault fault;

	(void)state;
	for (size_t i = 0; i < sizeof(comment); i++)
		comment[i] = (uint8_t)(255 - i);
	for (size_t bytes = 0; bytes <= WBI_PRIVATE_KEY_COMMENT_MAX; bytes++) {
		char text[WBI_PRIVATE_KEY_TEXT_SIZE];
		struct wbi_private_key key, again;
		size_t length;

		assert_int_equal(wbi_private_key_from_seed(seed, comment, bytes, &key, NULL),
				 WB_OK);
		length = wbi_private_key_format(&key, (uint32_t)bytes * 0x01234567, text);
		assert_int_equal(length, strlen(text));
		assert_true(length < sizeof(text));
		if (parse(text, length, &again, &fault))
			fail_msg("%zu bytes: %s", bytes, fault.text);
		assert_int_equal(again.comment_bytes, bytes);
		assert_memory_equal(again.comment, comment, bytes);
		assert_memory_equal(again.seed, seed, 32);
	}
	assert_int_equal(wbi_private_key_from_seed(seed, comment, sizeof(comment),
						   &(struct wbi_private_key){.seed = {0}}, &fault),
			 WB_ERR_LIMIT);
}

static void test_long_comment_is_cut(void **state)
{
	struct file file = alice_file();
	size_t bytes = file.bytes - AT_PADDING + 400;
	struct wbi_private_key key;
	char text[2048];

	(void)state;
	memset(file.blob + AT_COMMENT, 'x', 13 + 400);
	file.blob[AT_COMMENT - 2] = (uint8_t)((13 + 400) >> 8);
	file.blob[AT_COMMENT - 1] = (uint8_t)(13 + 400);
	for (size_t i = 1; i <= bytes - 400; i++)
		file.blob[AT_PADDING + 400 + i - 1] = (uint8_t)i;
	file.bytes += 400;
	file.blob[AT_SECRET - 2] = (uint8_t)((file.bytes - AT_SECRET) >> 8);
	file.blob[AT_SECRET - 1] = (uint8_t)(file.bytes - AT_SECRET);
	put_text(&file, text);
	assert_int_equal(parse(text, strlen(text), &key, NULL), WB_OK);
	assert_int_equal(key.comment_bytes, WBI_PRIVATE_KEY_COMMENT_MAX);
}

static void test_line_ends(void **state)
{
	char text[2 * sizeof(ALICE_FILE)], *to = text;
	struct wbi_private_key key;

	(void)state;
	for (const char *at = ALICE_FILE; *at; at++) {
		if (*at == '\n')
			*to++ = '\r';
		*to++ = *at;
	}
	assert_int_equal(parse(text, (size_t)(to - text), &key, NULL), WB_OK);
	to = stpcpy(to, "\n \r\n");
	assert_int_equal(parse(text, (size_t)(to - text), &key, NULL), WB_OK);
	assert_int_equal(parse(ALICE_FILE, strlen(ALICE_FILE) - 1, &key, NULL), WB_OK);
}

static void test_locked(void **state)
{
	struct wbi_public_key known = key_of(LOCKED_KEY), public_key;

	(void)state;
	check_refused(LOCKED_FILE, WB_ERR_REFUSED, "ssh-agent");
	assert_int_equal(
		wbi_private_key_peek_public(LOCKED_FILE, strlen(LOCKED_FILE), &public_key, NULL),
		WB_OK);
	assert_true(wbi_public_key_equal(&public_key, &known));
	known = key_of(ALICE_KEY);
	assert_int_equal(
		wbi_private_key_peek_public(ALICE_FILE, strlen(ALICE_FILE), &public_key, NULL),
		WB_OK);
	assert_true(wbi_public_key_equal(&public_key, &known));
	assert_int_equal(
		wbi_private_key_peek_public(ECDSA_FILE, strlen(ECDSA_FILE), &public_key, NULL),
		WB_ERR_UNSUPPORTED);
}

static void test_other_kinds(void **state)
{
	(void)state;
	check_refused(ECDSA_FILE, WB_ERR_UNSUPPORTED, "ecdsa-sha2-nistp256");
	check_refused("-----BEGIN RSA PRIVATE KEY-----\nMIIC\n-----END RSA PRIVATE KEY-----\n",
		      WB_ERR_UNSUPPORTED, "PEM");
	check_refused("-----BEGIN PRIVATE KEY-----\n", WB_ERR_UNSUPPORTED, "PEM");
	check_refused("PuTTY-User-Key-File-3: ssh-ed25519\n", WB_ERR_UNSUPPORTED, "PuTTY");
	check_refused("---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n", WB_ERR_UNSUPPORTED, "SSH2");
	check_refused(ALICE_KEY " alice@example\n", WB_ERR_MALFORMED, "this is a public key");
	check_refused(RSA_KEY "\n", WB_ERR_MALFORMED, "this is a public key");
	check_refused("", WB_ERR_MALFORMED, "no key file");
	check_refused("hello\n", WB_ERR_MALFORMED, "no key file");
	check_refused("\n" ALICE_FILE, WB_ERR_MALFORMED, "no key file");
}

static void test_armour(void **state)
{
	(void)state;
	check_refused("-----BEGIN OPENSSH PRIVATE KEY-----", WB_ERR_MALFORMED, "last line");
	check_refused(ALICE_FILE "more\n", WB_ERR_MALFORMED, "last line");
	check_refused(ALICE_FILE ALICE_FILE, WB_ERR_MALFORMED, "last line");
	check_refused("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl!nNz\n"
		      "-----END OPENSSH PRIVATE KEY-----\n",
		      WB_ERR_MALFORMED, "base64");
	check_refused("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\n"
		      "-----END OPENSSH PRIVATE KEY-----\n",
		      WB_ERR_MALFORMED, "openssh-key-v1");
	check_refused("-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----\n",
		      WB_ERR_MALFORMED, "openssh-key-v1");
}

static void test_every_prefix(void **state)
{
	struct wbi_private_key key;
	struct file file = alice_file();
	size_t whole = file.bytes;

	(void)state;
	for (size_t cut = strlen("-----BEGIN OPENSSH"); cut + 1 < strlen(ALICE_FILE); cut++)
		assert_int_equal(parse(ALICE_FILE, cut, &key, NULL), WB_ERR_MALFORMED);
	for (file.bytes = 0; file.bytes < whole; file.bytes++)
		assert_int_equal(parse_file(&file, NULL), WB_ERR_MALFORMED);
	assert_int_equal(parse_file(&file, NULL), WB_OK);
}

/* Every bit of the file: only the check numbers (both) and the comment may be anything. */
static void test_every_bit(void **state)
{
	struct file file = alice_file();
	struct wb_fault fault;

	(void)state;
	for (size_t bit = 0; bit < 8 * file.bytes; bit++) {
		size_t at = bit / 8;
		uint8_t mask = (uint8_t)(1u << bit % 8);
		bool free_byte = at >= AT_COMMENT && at < AT_PADDING;

		file.blob[at] ^= mask;
		if ((parse_file(&file, &fault) == WB_OK) != free_byte)
			fail_msg("byte %zu bit %zu: %s", at, bit % 8, fault.text);
		file.blob[at] ^= mask;
	}
}

static void check_change(size_t at, const char *bytes, size_t count, enum wb_err err,
			 const char *needle)
{
	struct file file = alice_file();
	struct wb_fault fault;

	memcpy(file.blob + at, bytes, count);
	if (parse_file(&file, &fault) != err || !strstr(fault.text, needle))
		fail_msg("byte %zu: '%s', not '%s'", at, fault.text, needle);
}

static void test_what_is_wrong(void **state)
{
	struct file file = alice_file();
	struct wb_fault fault;

	(void)state;
	check_change(AT_SECRET, "", 1, WB_ERR_MALFORMED, "check numbers");
	check_change(AT_SECRET + 4, "", 1, WB_ERR_MALFORMED, "check numbers");
	check_change(AT_COUNT, "\0\0\0\2", 4, WB_ERR_LIMIT, "2 keys");
	check_change(AT_COUNT, "\0\0\0\0", 4, WB_ERR_MALFORMED, "without a key");
	check_change(AT_PUBLIC + 19, "", 1, WB_ERR_MALFORMED, "not the secret's");
	check_change(AT_AGAIN, "", 1, WB_ERR_MALFORMED, "not the secret's");
	check_change(AT_LAST, "", 1, WB_ERR_MALFORMED, "not the secret's");
	check_change(AT_SEED, "", 1, WB_ERR_MALFORMED, "not the secret's");
	check_change(AT_KIND, "x", 1, WB_ERR_MALFORMED, "another kind");
	check_change(AT_PUBLIC + 4, "x", 1, WB_ERR_UNSUPPORTED, "xsh-ed25519");
	check_change(AT_CIPHER, "nine", 4, WB_ERR_REFUSED, "locked");
	check_change(AT_KDF, "nine", 4, WB_ERR_MALFORMED, "passphrase");
	check_change(AT_COMMENT - 4, "\xff\xff\xff\xff", 4, WB_ERR_MALFORMED, "cut");
	memset(file.blob + file.bytes, 0, 8);
	file.bytes += 8;
	assert_int_equal(parse_file(&file, &fault), WB_ERR_MALFORMED);
	assert_non_null(strstr(fault.text, "behind its end"));
}

/* Her comment needs no padding. One that is shorter leaves its last bytes for it. */
static void test_padding(void **state)
{
	struct file file = alice_file();
	struct wb_fault fault;

	(void)state;
	for (uint8_t pad = 1; pad <= 7; pad++) {
		uint8_t *padding = file.blob + AT_PADDING - pad;

		file.blob[AT_COMMENT - 1] = (uint8_t)(13 - pad);
		for (uint8_t i = 0; i < pad; i++)
			padding[i] = (uint8_t)(i + 1);
		assert_int_equal(parse_file(&file, NULL), WB_OK);
		for (uint8_t i = 0; i < pad; i++) {
			padding[i] ^= 4;
			assert_int_equal(parse_file(&file, &fault), WB_ERR_MALFORMED);
			assert_non_null(strstr(fault.text, "padding"));
			padding[i] ^= 4;
		}
	}
}

static void test_no_padding(void **state)
{
	struct file file = alice_file();
	struct wb_fault fault;

	(void)state;
	for (uint8_t cut = 1; cut <= 8; cut++) {
		file.bytes--;
		file.blob[AT_COMMENT - 1]--;
		file.blob[AT_SECRET - 1]--;
		assert_int_equal(parse_file(&file, &fault), cut < 8 ? WB_ERR_MALFORMED : WB_OK);
		if (cut < 8)
			assert_non_null(strstr(fault.text, "blocks"));
	}
}

static void test_size(void **state)
{
	size_t bytes = WBI_PRIVATE_KEY_TEXT_MAX;
	char *text = malloc(bytes + 1);
	struct wbi_private_key key;

	(void)state;
	assert_non_null(text);
	memset(text, '\n', bytes + 1);
	memcpy(text, ALICE_FILE, strlen(ALICE_FILE));
	assert_int_equal(parse(text, bytes, &key, NULL), WB_OK);
	assert_int_equal(parse(text, bytes + 1, &key, NULL), WB_ERR_LIMIT);
	free(text);
}

/* RFC 8032, section 7.1, test 1. */
static void test_derived(void **state)
{
	static const uint8_t seed[] = {0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60,
				       0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
				       0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19,
				       0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60};
	static const uint8_t known[] = {0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7,
					0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a,
					0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25,
					0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a};
	struct wbi_private_key key;

	(void)state;
	assert_int_equal(wbi_private_key_from_seed(seed, NULL, 0, &key, NULL), WB_OK);
	assert_memory_equal(key.public_key.ed25519, known, 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_written_as_ssh_keygen_does),
		cmocka_unit_test(test_every_comment),
		cmocka_unit_test(test_long_comment_is_cut),
		cmocka_unit_test(test_line_ends),
		cmocka_unit_test(test_locked),
		cmocka_unit_test(test_other_kinds),
		cmocka_unit_test(test_armour),
		cmocka_unit_test(test_every_prefix),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_what_is_wrong),
		cmocka_unit_test(test_padding),
		cmocka_unit_test(test_no_padding),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_derived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
