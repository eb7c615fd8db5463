/* Public keys: the binary form, the line, the fingerprint, and the names of the kinds. */
#include "keys/public_key.h"

#include <assert.h>
#include <openssl/sha.h>
#include <string.h>

#include "keys/blob.h"
#include "keys/lines.h"

static const char *const type_names[] = {
	[WBI_KEY_UNKNOWN] = "unknown",
	[WBI_KEY_ED25519] = WBI_ED25519_NAME,
	[WBI_KEY_RSA] = "ssh-rsa",
	[WBI_KEY_ECDSA_256] = "ecdsa-sha2-nistp256",
	[WBI_KEY_ECDSA_384] = "ecdsa-sha2-nistp384",
	[WBI_KEY_ECDSA_521] = "ecdsa-sha2-nistp521",
	[WBI_KEY_DSA] = "ssh-dss",
	[WBI_KEY_SK_ED25519] = "sk-ssh-ed25519@openssh.com",
	[WBI_KEY_SK_ECDSA] = "sk-ecdsa-sha2-nistp256@openssh.com",
	[WBI_KEY_XMSS] = "ssh-xmss@openssh.com",
	[WBI_KEY_CERTIFICATE] = "certificate",
};

enum { TYPE_COUNT = sizeof(type_names) / sizeof(type_names[0]), NAME_BYTES_MAX = 64 };

static bool is_certificate(const void *name, size_t bytes)
{
	static const char tail[] = "-cert-v01@openssh.com";
	size_t tail_bytes = sizeof(tail) - 1;

	return bytes > tail_bytes &&
	       !memcmp((const char *)name + bytes - tail_bytes, tail, tail_bytes);
}

enum wbi_key_type wbi_key_type_by_name(const void *name, size_t bytes)
{
	struct wbi_slice slice = {name, bytes};

	for (int type = WBI_KEY_ED25519; type < WBI_KEY_CERTIFICATE; type++) {
		if (wbi_slice_is(slice, type_names[type]))
			return (enum wbi_key_type)type;
	}
	return is_certificate(name, bytes) ? WBI_KEY_CERTIFICATE : WBI_KEY_UNKNOWN;
}

const char *wbi_key_type_name(enum wbi_key_type type)
{
	return type_names[(size_t)type < TYPE_COUNT ? type : WBI_KEY_UNKNOWN];
}

void wbi_key_type_names(unsigned types, char out[WBI_KEY_TYPE_NAMES_SIZE])
{
	char *end = out;

	for (int type = 0; type < TYPE_COUNT; type++) {
		if (!(types & 1u << type))
			continue;
		if (end != out)
			end = stpcpy(end, ", ");
		end = stpcpy(end, type_names[type]);
	}
	*end = '\0';
}

static enum wb_err refuse_type(struct wbi_slice name, struct wb_fault *fault)
{
	char text[NAME_BYTES_MAX + 1] = "";

	memcpy(text, name.data, name.bytes);
	return wb_fault_set(fault, WB_ERR_UNSUPPORTED, text, 0,
			    "public key: %s is not supported, only %s is", text, WBI_ED25519_NAME);
}

enum wb_err wbi_public_key_from_blob(const void *blob, size_t bytes, struct wbi_public_key *ret_key,
				     struct wb_fault *fault)
{
	struct wbi_slice rest = {blob, bytes}, name, key;

	if (!wbi_blob_string(&rest, &name) || !name.bytes || name.bytes > NAME_BYTES_MAX)
		return wb_fault_set(fault, WB_ERR_MALFORMED, NULL, 0,
				    "public key: its binary form names no kind");
	if (!wbi_slice_is(name, WBI_ED25519_NAME))
		return refuse_type(name, fault);
	if (!wbi_blob_string(&rest, &key) || key.bytes != WBI_PUBLIC_KEY_BYTES || rest.bytes)
		return wb_fault_set(fault, WB_ERR_MALFORMED, NULL, bytes - rest.bytes,
				    "public key: not 32 bytes of %s and nothing else",
				    WBI_ED25519_NAME);
	memcpy(ret_key->ed25519, key.data, WBI_PUBLIC_KEY_BYTES);
	return WB_OK;
}

void wbi_public_key_to_blob(const struct wbi_public_key *key,
			    uint8_t out[WBI_PUBLIC_KEY_BLOB_BYTES])
{
	uint8_t *at = wbi_blob_put_string(out, WBI_ED25519_NAME, strlen(WBI_ED25519_NAME));

	wbi_blob_put_string(at, key->ed25519, WBI_PUBLIC_KEY_BYTES);
}

/* Whether the binary form begins with this name. Only its beginning is decoded: some kinds are
 * thousands of bytes long, and nothing else of them is wanted. */
static bool names_itself(struct wbi_slice base64, struct wbi_slice name)
{
	uint8_t prefix[4 + NAME_BYTES_MAX + 2];
	size_t length = WBI_BASE64_LENGTH(4 + name.bytes), bytes;
	struct wbi_slice rest = {prefix, 0}, found;

	if (base64.bytes < length ||
	    wbi_base64_decode((const char *)base64.data, length, prefix, sizeof(prefix), &bytes))
		return false;
	rest.bytes = bytes;
	return wbi_blob_string(&rest, &found) && found.bytes == name.bytes &&
	       !memcmp(found.data, name.data, name.bytes);
}

static enum wb_err parse_ed25519(struct wbi_slice base64, struct wbi_public_key *ret_key,
				 struct wb_fault *fault)
{
	uint8_t blob[WBI_PUBLIC_KEY_BLOB_BYTES];
	size_t bytes;

	if (wbi_base64_decode((const char *)base64.data, base64.bytes, blob, sizeof(blob), &bytes))
		return wb_fault_set(fault, WB_ERR_MALFORMED, NULL, 0,
				    "public key: damaged, or cut, or longer than %s is",
				    WBI_ED25519_NAME);
	return wbi_public_key_from_blob(blob, bytes, ret_key, fault);
}

enum wb_err wbi_public_key_parse(const void *line, size_t bytes, struct wbi_public_key *ret_key,
				 struct wbi_slice *ret_comment, struct wb_fault *fault)
{
	struct wbi_key_lines lines = {{line, bytes}, 0};
	struct wbi_slice rest, name, base64;
	enum wb_err err;

	if (!wbi_key_lines_next(&lines, &rest) || lines.rest.bytes)
		return wb_fault_set(fault, WB_ERR_MALFORMED, NULL, 0, "public key: not one line");
	name = wbi_word_take(&rest);
	base64 = wbi_word_take(&rest);
	if (name.bytes > NAME_BYTES_MAX || !names_itself(base64, name))
		return wb_fault_set(fault, WB_ERR_MALFORMED, NULL,
				    (size_t)(name.data - (const uint8_t *)line),
				    "public key: not a kind of key and its base64");
	if (!wbi_slice_is(name, WBI_ED25519_NAME))
		return refuse_type(name, fault);
	err = parse_ed25519(base64, ret_key, fault);
	if (!err && ret_comment)
		*ret_comment = rest;
	if (err && fault)
		fault->offset = (size_t)(base64.data - (const uint8_t *)line);
	return err;
}

void wbi_public_key_text(const struct wbi_public_key *key, char out[WBI_PUBLIC_KEY_TEXT_SIZE])
{
	uint8_t blob[WBI_PUBLIC_KEY_BLOB_BYTES];

	wbi_public_key_to_blob(key, blob);
	wbi_base64_encode(blob, sizeof(blob), stpcpy(out, WBI_ED25519_NAME " "));
}

void wbi_public_key_fingerprint(const struct wbi_public_key *key, char out[WBI_FINGERPRINT_SIZE])
{
	uint8_t blob[WBI_PUBLIC_KEY_BLOB_BYTES], digest[SHA256_DIGEST_LENGTH];
	char base64[WBI_BASE64_LENGTH(sizeof(digest)) + 1];
	const uint8_t *made;

	wbi_public_key_to_blob(key, blob);
	made = SHA256(blob, sizeof(blob), digest);
	assert(made);
	(void)made;
	base64[wbi_base64_encode(digest, sizeof(digest), base64) - 1] = '\0'; /* its one "=" */
	stpcpy(stpcpy(out, "SHA256:"), base64);
}

/* The five values of y that the eight points of small order have, and the two that mean one of them
 * modulo 2^255 - 19. The last bit is the sign of x, and says nothing here. */
bool wbi_public_key_is_weak(const struct wbi_public_key *key)
{
	static const uint8_t weak[][WBI_PUBLIC_KEY_BYTES] = {
		{0},
		{1},
		{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
		 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
		 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
		{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b,
		 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39,
		 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
	};
	struct wbi_public_key y = *key;
	bool high = true; /* 2^255 - 20 (order 2), - 19 (0) or - 18 (1) */

	y.ed25519[WBI_PUBLIC_KEY_BYTES - 1] &= 0x7f;
	for (size_t i = 0; i < sizeof(weak) / sizeof(weak[0]); i++)
		if (memcmp(y.ed25519, weak[i], WBI_PUBLIC_KEY_BYTES) == 0)
			return true;
	for (size_t i = 1; i < WBI_PUBLIC_KEY_BYTES - 1; i++)
		high = high && y.ed25519[i] == 0xff;
	return high && y.ed25519[WBI_PUBLIC_KEY_BYTES - 1] == 0x7f && y.ed25519[0] >= 0xec &&
	       y.ed25519[0] <= 0xee;
}

bool wbi_public_key_equal(const struct wbi_public_key *a, const struct wbi_public_key *b)
{
	return !memcmp(a->ed25519, b->ed25519, WBI_PUBLIC_KEY_BYTES);
}
