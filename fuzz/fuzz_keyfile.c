/* Key files: what is accepted is written again and must come back the same.
 *
 * The input is taken for a private key's text, for the bytes within one (a fuzzer that had to
 * invent base64 would never come so far), for a public key's line and for its binary form. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "keys/private_key.h"
#include "keys/public_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static void check_fault(const struct wb_fault *fault, enum wb_err err)
{
	CHECK(fault->err == err);
	CHECK(fault->text[0]);
	CHECK(wbi_utf8_prefix(fault->text, strlen(fault->text)) == strlen(fault->text));
	for (const char *at = fault->text; *at; at++)
		CHECK((unsigned char)*at >= 0x20);
}

static void check_public_key(const struct wbi_public_key *key)
{
	char text[WBI_PUBLIC_KEY_TEXT_SIZE], fingerprint[WBI_FINGERPRINT_SIZE];
	uint8_t blob[WBI_PUBLIC_KEY_BLOB_BYTES];
	struct wbi_public_key again;

	wbi_public_key_text(key, text);
	CHECK(!wbi_public_key_parse(text, strlen(text), &again, NULL, NULL));
	CHECK(wbi_public_key_equal(key, &again));
	wbi_public_key_to_blob(key, blob);
	CHECK(!wbi_public_key_from_blob(blob, sizeof(blob), &again, NULL));
	CHECK(wbi_public_key_equal(key, &again));
	wbi_public_key_fingerprint(key, fingerprint);
	CHECK(strlen(fingerprint) == WBI_FINGERPRINT_SIZE - 1);
}

static void try_private(const void *text, size_t bytes)
{
	char written[WBI_PRIVATE_KEY_TEXT_SIZE];
	struct wbi_private_key key, again;
	struct wbi_public_key public_key;
	struct wb_fault fault;
	enum wb_err err = wbi_private_key_parse(text, bytes, &key, &fault);
	enum wb_err public_err = wbi_private_key_peek_public(text, bytes, &public_key, NULL);

	if (err)
		check_fault(&fault, err);
	CHECK((!err || err == WB_ERR_REFUSED) <= !public_err);
	if (!public_err)
		check_public_key(&public_key);
	if (err)
		return;
	CHECK(wbi_public_key_equal(&key.public_key, &public_key));
	CHECK(key.comment_bytes <= sizeof(key.comment));
	CHECK(!wbi_private_key_parse(written, wbi_private_key_format(&key, 7, written), &again,
				     NULL));
	CHECK(again.comment_bytes == key.comment_bytes);
	CHECK(!memcmp(again.comment, key.comment, key.comment_bytes));
	CHECK(!memcmp(again.seed, key.seed, sizeof(key.seed)));
	wbi_private_key_done(&key);
	wbi_private_key_done(&again);
}

static void try_private_within(const uint8_t *data, size_t bytes)
{
	static const char begin[] = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
	static const char end[] = "\n-----END OPENSSH PRIVATE KEY-----\n";
	size_t length = WBI_BASE64_LENGTH(bytes);
	char *text = malloc(sizeof(begin) + length + sizeof(end)), *at;

	CHECK(text);
	at = stpcpy(text, begin);
	at += wbi_base64_encode(data, bytes, at);
	at = stpcpy(at, end);
	try_private(text, (size_t)(at - text));
	free(text);
}

static void try_public(const uint8_t *data, size_t bytes)
{
	struct wbi_public_key key;
	struct wbi_slice comment;
	struct wb_fault fault;
	enum wb_err err = wbi_public_key_parse(data, bytes, &key, &comment, &fault);

	if (err)
		check_fault(&fault, err);
	if (!err) {
		CHECK(comment.data >= data && comment.data + comment.bytes <= data + bytes);
		check_public_key(&key);
	}
	err = wbi_public_key_from_blob(data, bytes, &key, &fault);
	if (err)
		check_fault(&fault, err);
	else
		check_public_key(&key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	try_private(data, bytes);
	try_private_within(data, bytes);
	try_public(data, bytes);
	return 0;
}
