/* Private keys: OpenSSH's file, read and written.
 *
 *   "openssh-key-v1" NUL, string cipher, string kdf, string kdf options, u32 keys, string public,
 *   string of: u32 check, u32 the same check, string kind, string public, string seed and public,
 *   string comment, padding 1, 2, 3 … up to a multiple of the cipher's block.
 *
 * Read in three steps: the armour (text to bytes), the envelope (cipher, public part), the secret.
 */
#include "keys/private_key.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "keys/blob.h"
#include "keys/library.h"
#include "keys/lines.h"

#define ARMOUR_BEGIN "-----BEGIN OPENSSH PRIVATE KEY-----"
#define ARMOUR_END   "-----END OPENSSH PRIVATE KEY-----"
#define MAGIC        "openssh-key-v1" /* and its NUL */

enum {
	BLOCK_BYTES = 8, /* of the cipher "none" */
	ARMOUR_COLUMNS = 70,
	BLOB_BYTES_MAX = 512, /* of a key that is written */
};

_Static_assert(sizeof(MAGIC) + 8 + 8 + 4 + 4 + 4 + WBI_PUBLIC_KEY_BLOB_BYTES + 4 + 8 + 4 + 11 + 4 +
			       32 + 4 + 64 + 4 + WBI_PRIVATE_KEY_COMMENT_MAX + BLOCK_BYTES <=
		       BLOB_BYTES_MAX,
	       "the largest key that is written");
_Static_assert(sizeof(ARMOUR_BEGIN) + sizeof(ARMOUR_END) + WBI_BASE64_LENGTH(BLOB_BYTES_MAX) +
			       WBI_BASE64_LENGTH(BLOB_BYTES_MAX) / ARMOUR_COLUMNS + 3 <=
		       WBI_PRIVATE_KEY_TEXT_SIZE,
	       "and its text");

void wbi_private_key_done(struct wbi_private_key *key)
{
	if (key)
		explicit_bzero(key, sizeof(*key));
}

static enum wb_err malformed(struct wb_fault *fault, const char *why)
{
	return wb_fault_set(fault, WB_ERR_MALFORMED, NULL, 0, "private key: %s", why);
}

static enum wb_err no_memory(struct wb_fault *fault)
{
	return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "private key: no memory");
}

/* --- the armour --- */

static bool begins_with(struct wbi_slice text, const char *start)
{
	return text.bytes >= strlen(start) && !memcmp(text.data, start, strlen(start));
}

/* Why a text that has no armour of ours is no key for us. */
static enum wb_err refuse_text(struct wbi_slice text, struct wb_fault *fault)
{
	static const struct {
		const char *start, *name;
	} others[] = {
		{"-----BEGIN ", "PEM"},
		{"PuTTY-User-Key-File-", "PuTTY"},
		{"---- BEGIN SSH2 ", "SSH2"},
		{"SSH PRIVATE KEY FILE FORMAT 1.1", "SSH1"},
	};
	struct wbi_slice rest = text, name = wbi_word_take(&rest);

	if (wbi_key_type_by_name(name.data, name.bytes))
		return malformed(fault, "this is a public key");
	if (begins_with(text, "-----BEGIN OPENSSH"))
		return malformed(fault, "its first line is damaged");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (begins_with(text, others[i].start))
			return wb_fault_set(
				fault, WB_ERR_UNSUPPORTED, others[i].name, 0,
				"private key: a file in %s format; only OpenSSH's own is read "
				"(ssh-keygen -p -f FILE rewrites PEM)",
				others[i].name);
	}
	return malformed(fault, "no key file that OpenSSH writes");
}

/* Takes the base64 between the first line and the last one to `out`, without its line ends.
 * Returns how much that is, or SIZE_MAX where the last line does not come, or is not the last. */
static size_t unwrap(struct wbi_slice text, char *out)
{
	struct wbi_key_lines lines = {text, 0};
	struct wbi_slice line;
	size_t length = 0;
	bool ended = false;

	while (wbi_key_lines_next(&lines, &line)) {
		if (ended)
			return SIZE_MAX;
		ended = wbi_slice_is(line, ARMOUR_END);
		if (ended || lines.number == 1)
			continue;
		memcpy(out + length, line.data, line.bytes);
		length += line.bytes;
	}
	return ended ? length : SIZE_MAX;
}

/* The bytes of a key file, on the heap: the caller wipes and frees `room` bytes. */
struct armour {
	uint8_t *data;
	size_t bytes, room;
};

static void armour_done(struct armour *armour)
{
	if (armour->data)
		explicit_bzero(armour->data, armour->room);
	free(armour->data);
}

static enum wb_err armour_open(struct wbi_slice text, struct armour *ret_armour,
			       struct wb_fault *fault)
{
	struct armour armour = {.room = text.bytes};
	struct wbi_key_lines lines = {text, 0};
	struct wbi_slice first;
	enum wb_err err;
	size_t length;

	if (text.bytes > WBI_PRIVATE_KEY_TEXT_MAX)
		return wb_fault_set(fault, WB_ERR_LIMIT, NULL, 0,
				    "private key: a file of more than %d bytes",
				    WBI_PRIVATE_KEY_TEXT_MAX);
	if (!wbi_key_lines_next(&lines, &first) || lines.number != 1 ||
	    !wbi_slice_is(first, ARMOUR_BEGIN))
		return refuse_text(text, fault);
	armour.data = malloc(armour.room);
	if (!armour.data)
		return no_memory(fault);
	length = unwrap(text, (char *)armour.data);
	err = length == SIZE_MAX ? malformed(fault, "its last line is missing, or not the last")
				 : wbi_base64_decode((const char *)armour.data, length, armour.data,
						     armour.room, &armour.bytes);
	if (length != SIZE_MAX && err)
		err = malformed(fault, "its base64 is damaged or cut");
	if (err)
		armour_done(&armour);
	else
		*ret_armour = armour;
	return err;
}

/* --- the envelope --- */

struct envelope {
	struct wbi_public_key public_key;
	struct wbi_slice secret; /* borrowed; ciphertext where locked */
	bool locked;
};

static enum wb_err read_count(uint32_t count, struct wb_fault *fault)
{
	if (count > 1)
		return wb_fault_set(fault, WB_ERR_LIMIT, NULL, 0,
				    "private key: %u keys in one file", count);
	return count ? WB_OK : malformed(fault, "a file without a key");
}

static enum wb_err read_envelope(const struct armour *armour, struct envelope *ret_envelope,
				 struct wb_fault *fault)
{
	struct wbi_slice rest = {armour->data, armour->bytes}, cipher, kdf, kdf_options, blob;
	uint32_t count;
	enum wb_err err;

	if (rest.bytes < sizeof(MAGIC) || memcmp(rest.data, MAGIC, sizeof(MAGIC)) != 0)
		return malformed(fault, "its content is not openssh-key-v1");
	wbi_skip(&rest, sizeof(MAGIC));
	if (!wbi_blob_string(&rest, &cipher) || !wbi_blob_string(&rest, &kdf) ||
	    !wbi_blob_string(&rest, &kdf_options) || !wbi_blob_u32(&rest, &count))
		return malformed(fault, "its beginning is cut");
	err = read_count(count, fault);
	if (err)
		return err;
	if (!wbi_blob_string(&rest, &blob) || !wbi_blob_string(&rest, &ret_envelope->secret))
		return malformed(fault, "it is cut");
	ret_envelope->locked = !wbi_slice_is(cipher, "none");
	if (!ret_envelope->locked && (!wbi_slice_is(kdf, "none") || kdf_options.bytes))
		return malformed(fault, "a way to a passphrase that locks nothing");
	err = wbi_public_key_from_blob(blob.data, blob.bytes, &ret_envelope->public_key, fault);
	/* A cipher's tag stands behind what is locked; nothing does where nothing is. */
	if (!err && !ret_envelope->locked && rest.bytes)
		return malformed(fault, "there is more behind its end");
	return err;
}

/* --- the secret --- */

/* The public half of a seed. Returns WB_OK or WB_ERR_NOMEM. */
static enum wb_err derive(const uint8_t seed[WBI_PRIVATE_KEY_SEED_BYTES],
			  struct wbi_public_key *ret_key, struct wb_fault *fault)
{
	struct wbi_public_key key;
	size_t bytes = sizeof(key.ed25519);
	EVP_PKEY *pair = NULL;
	bool done;

	if (wbi_library())
		pair = EVP_PKEY_new_raw_private_key_ex(wbi_library(), "ED25519", NULL, seed,
						       WBI_PRIVATE_KEY_SEED_BYTES);
	done = pair && EVP_PKEY_get_raw_public_key(pair, key.ed25519, &bytes);

	EVP_PKEY_free(pair);
	if (!done)
		return no_memory(fault);
	*ret_key = key;
	return WB_OK;
}

static bool is_padding(struct wbi_slice rest)
{
	for (size_t i = 0; i < rest.bytes; i++) {
		if (rest.data[i] != (uint8_t)(i + 1))
			return false;
	}
	return true;
}

static void set_comment(struct wbi_private_key *key, const void *comment, size_t bytes)
{
	key->comment_bytes = bytes;
	if (bytes > WBI_PRIVATE_KEY_COMMENT_MAX)
		key->comment_bytes = WBI_PRIVATE_KEY_COMMENT_MAX;
	if (key->comment_bytes)
		memcpy(key->comment, comment, key->comment_bytes);
}

/* The pair that must be there twice and thrice: in the envelope, beside the seed, behind it. */
static enum wb_err read_pair(const struct envelope *envelope, struct wbi_slice public_half,
			     struct wbi_slice pair, struct wb_fault *fault)
{
	const uint8_t *known = envelope->public_key.ed25519;
	struct wbi_public_key derived;
	enum wb_err err;

	if (public_half.bytes != WBI_PUBLIC_KEY_BYTES ||
	    pair.bytes != WBI_PRIVATE_KEY_SEED_BYTES + WBI_PUBLIC_KEY_BYTES)
		return malformed(fault, "a pair of a wrong size");
	err = derive(pair.data, &derived, fault);
	if (err)
		return err;
	if (memcmp(known, public_half.data, WBI_PUBLIC_KEY_BYTES) != 0 ||
	    memcmp(known, pair.data + WBI_PRIVATE_KEY_SEED_BYTES, WBI_PUBLIC_KEY_BYTES) != 0 ||
	    !wbi_public_key_equal(&envelope->public_key, &derived))
		return malformed(fault, "its public part is not the secret's");
	return WB_OK;
}

static enum wb_err read_secret(const struct envelope *envelope, struct wbi_private_key *ret_key,
			       struct wb_fault *fault)
{
	struct wbi_slice rest = envelope->secret, kind, public_half, pair, comment;
	uint32_t check, again;
	enum wb_err err;

	if (rest.bytes % BLOCK_BYTES)
		return malformed(fault, "its secret part does not fill its blocks");
	if (!wbi_blob_u32(&rest, &check) || !wbi_blob_u32(&rest, &again) || check != again)
		return malformed(fault, "its two check numbers differ");
	if (!wbi_blob_string(&rest, &kind) || !wbi_slice_is(kind, WBI_ED25519_NAME))
		return malformed(fault, "its secret part is of another kind");
	if (!wbi_blob_string(&rest, &public_half) || !wbi_blob_string(&rest, &pair) ||
	    !wbi_blob_string(&rest, &comment))
		return malformed(fault, "its secret part is cut");
	if (!is_padding(rest))
		return malformed(fault, "its padding is not 1, 2, 3 …");
	err = read_pair(envelope, public_half, pair, fault);
	if (err)
		return err;
	ret_key->public_key = envelope->public_key;
	memcpy(ret_key->seed, pair.data, WBI_PRIVATE_KEY_SEED_BYTES);
	set_comment(ret_key, comment.data, comment.bytes);
	return WB_OK;
}

enum wb_err wbi_private_key_parse(const void *text, size_t bytes, struct wbi_private_key *ret_key,
				  struct wb_fault *fault)
{
	struct armour armour = {NULL, 0, 0};
	struct envelope envelope;
	enum wb_err err = armour_open((struct wbi_slice){text, bytes}, &armour, fault);

	if (err)
		return err;
	err = read_envelope(&armour, &envelope, fault);
	if (!err && envelope.locked)
		err = wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0,
				   "private key: locked with a passphrase; load it into ssh-agent "
				   "(ssh-add FILE)");
	if (!err)
		err = read_secret(&envelope, ret_key, fault);
	armour_done(&armour);
	return err;
}

enum wb_err wbi_private_key_peek_public(const void *text, size_t bytes,
					struct wbi_public_key *ret_key, struct wb_fault *fault)
{
	struct armour armour = {NULL, 0, 0};
	struct envelope envelope;
	enum wb_err err = armour_open((struct wbi_slice){text, bytes}, &armour, fault);

	if (err)
		return err;
	err = read_envelope(&armour, &envelope, fault);
	if (!err)
		*ret_key = envelope.public_key;
	armour_done(&armour);
	return err;
}

enum wb_err wbi_private_key_from_seed(const uint8_t seed[WBI_PRIVATE_KEY_SEED_BYTES],
				      const void *comment, size_t comment_bytes,
				      struct wbi_private_key *ret_key, struct wb_fault *fault)
{
	struct wbi_public_key public_key;
	enum wb_err err;

	if (comment_bytes > WBI_PRIVATE_KEY_COMMENT_MAX)
		return wb_fault_set(fault, WB_ERR_LIMIT, NULL, 0,
				    "private key: a comment of more than %d bytes",
				    WBI_PRIVATE_KEY_COMMENT_MAX);
	err = derive(seed, &public_key, fault);
	if (err)
		return err;
	ret_key->public_key = public_key;
	memcpy(ret_key->seed, seed, WBI_PRIVATE_KEY_SEED_BYTES);
	set_comment(ret_key, comment, comment_bytes);
	return WB_OK;
}

/* --- writing --- */

static uint8_t *put_text(uint8_t *at, const char *text)
{
	return wbi_blob_put_string(at, text, strlen(text));
}

static size_t write_secret(const struct wbi_private_key *key, uint32_t check, uint8_t *out)
{
	uint8_t pair[WBI_PRIVATE_KEY_SEED_BYTES + WBI_PUBLIC_KEY_BYTES], *at = out;

	memcpy(pair, key->seed, WBI_PRIVATE_KEY_SEED_BYTES);
	memcpy(pair + WBI_PRIVATE_KEY_SEED_BYTES, key->public_key.ed25519, WBI_PUBLIC_KEY_BYTES);
	at = wbi_blob_put_u32(at, check);
	at = wbi_blob_put_u32(at, check);
	at = put_text(at, WBI_ED25519_NAME);
	at = wbi_blob_put_string(at, key->public_key.ed25519, WBI_PUBLIC_KEY_BYTES);
	at = wbi_blob_put_string(at, pair, sizeof(pair));
	at = wbi_blob_put_string(at, key->comment, key->comment_bytes);
	for (uint8_t pad = 1; (at - out) % BLOCK_BYTES; pad++)
		*at++ = pad;
	explicit_bzero(pair, sizeof(pair));
	return (size_t)(at - out);
}

static size_t write_blob(const struct wbi_private_key *key, uint32_t check,
			 uint8_t out[BLOB_BYTES_MAX])
{
	uint8_t public_blob[WBI_PUBLIC_KEY_BLOB_BYTES], *at = out;
	size_t secret_bytes;

	wbi_public_key_to_blob(&key->public_key, public_blob);
	memcpy(at, MAGIC, sizeof(MAGIC));
	at = put_text(at + sizeof(MAGIC), "none");
	at = put_text(at, "none");
	at = put_text(at, "");
	at = wbi_blob_put_u32(at, 1);
	at = wbi_blob_put_string(at, public_blob, sizeof(public_blob));
	secret_bytes = write_secret(key, check, at + 4);
	at = wbi_blob_put_u32(at, (uint32_t)secret_bytes);
	return (size_t)(at - out) + secret_bytes;
}

static char *put_columns(char *at, const char *base64, size_t length)
{
	while (length) {
		size_t columns = length < ARMOUR_COLUMNS ? length : ARMOUR_COLUMNS;

		at = mempcpy(at, base64, columns);
		*at++ = '\n';
		base64 += columns;
		length -= columns;
	}
	return at;
}

size_t wbi_private_key_format(const struct wbi_private_key *key, uint32_t check,
			      char out[WBI_PRIVATE_KEY_TEXT_SIZE])
{
	uint8_t blob[BLOB_BYTES_MAX];
	char base64[WBI_BASE64_LENGTH(BLOB_BYTES_MAX) + 1], *at;
	size_t length = wbi_base64_encode(blob, write_blob(key, check, blob), base64);

	at = put_columns(stpcpy(out, ARMOUR_BEGIN "\n"), base64, length);
	at = stpcpy(at, ARMOUR_END "\n");
	explicit_bzero(blob, sizeof(blob));
	explicit_bzero(base64, sizeof(base64));
	return (size_t)(at - out);
}
