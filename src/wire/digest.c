/* Digests: md5 and sha256 from the crypto library, xxh128 inline, behind one face.
 *
 * The library's algorithms are looked up once per process: a look-up costs microseconds, and md5
 * stands on the path of every reply to an old peer. */
#include "waybill/digest.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "wire/digest_wide.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

struct wb_digest {
	enum wb_digest_kind kind;
	bool ended;
	EVP_MD_CTX *crypto;      /* md5, sha256 */
	const EVP_MD *algorithm; /* borrowed: lives as long as the process */
	XXH3_state_t *xxh;       /* xxh128 */
};

static const struct {
	const char *name;
	const char *crypto_name; /* NULL: not the crypto library's */
	size_t bytes;
} kinds[] = {
	[WB_DIGEST_MD5] = {"md5", "MD5", 16},
	[WB_DIGEST_SHA256] = {"sha256", "SHA256", 32},
	[WB_DIGEST_XXH128] = {"xxh128", NULL, 16},
};

enum { KIND_COUNT = sizeof(kinds) / sizeof(kinds[0]) };

/* Several threads may look up at once; the first answer stays. A failure is not remembered. */
static const EVP_MD *algorithm_of(enum wb_digest_kind kind)
{
	static _Atomic(EVP_MD *) cached[KIND_COUNT];
	EVP_MD *known = atomic_load_explicit(&cached[kind], memory_order_acquire);
	EVP_MD *fetched;

	if (known)
		return known;
	fetched = EVP_MD_fetch(NULL, kinds[kind].crypto_name, NULL);
	if (!fetched)
		return NULL;
	if (atomic_compare_exchange_strong(&cached[kind], &known, fetched))
		return fetched;
	EVP_MD_free(fetched);
	return known;
}

static enum wb_err crypto_begin(struct wb_digest *digest)
{
	digest->algorithm = algorithm_of(digest->kind);
	if (!digest->algorithm)
		return WB_ERR_UNSUPPORTED;
	digest->crypto = EVP_MD_CTX_new();
	if (!digest->crypto)
		return WB_ERR_NOMEM;
	return EVP_DigestInit_ex(digest->crypto, digest->algorithm, NULL) ? WB_OK
									  : WB_ERR_UNSUPPORTED;
}

static enum wb_err xxh_begin(struct wb_digest *digest)
{
	digest->xxh = XXH3_createState();
	if (!digest->xxh)
		return WB_ERR_NOMEM;
	XXH3_128bits_reset(digest->xxh);
	return WB_OK;
}

enum wb_err wb_digest_new(enum wb_digest_kind kind, struct wb_digest **ret_digest,
			  struct wb_fault *fault)
{
	struct wb_digest *digest = calloc(1, sizeof(*digest));
	enum wb_err err = WB_ERR_NOMEM;

	if (!digest)
		goto out;
	digest->kind = kind;
	err = kinds[kind].crypto_name ? crypto_begin(digest) : xxh_begin(digest);
	if (err)
		goto out;
	*ret_digest = digest;
	return WB_OK;
out:
	wb_digest_free(digest);
	return wb_fault_set(fault, err, NULL, 0, "%s: %s", kinds[kind].name,
			    err == WB_ERR_NOMEM ? "no memory" : "refused by the crypto library");
}

void wb_digest_free(struct wb_digest *digest)
{
	if (!digest)
		return;
	EVP_MD_CTX_free(digest->crypto);
	XXH3_freeState(digest->xxh);
	free(digest);
}

void wb_digest_update(struct wb_digest *digest, const void *data, size_t bytes)
{
	wbi_digest_update_fn *wide = digest->xxh ? wbi_digest_wide() : NULL;

	assert(!digest->ended);
	if (!bytes)
		return;
	if (wide) {
		wide(digest->xxh, data, bytes);
	} else if (digest->xxh) {
		XXH3_128bits_update(digest->xxh, data, bytes);
	} else {
		int done = EVP_DigestUpdate(digest->crypto, data, bytes);

		assert(done);
		(void)done;
	}
}

static void end_raw(struct wb_digest *digest, uint8_t raw[WB_DIGEST_BYTES_MAX])
{
	if (digest->xxh) {
		XXH128_canonical_t canonical;

		XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(digest->xxh));
		memcpy(raw, canonical.digest, sizeof(canonical.digest));
	} else {
		int done = EVP_DigestFinal_ex(digest->crypto, raw, NULL);

		assert(done);
		(void)done;
	}
}

void wb_digest_hex(struct wb_digest *digest, char out[WB_DIGEST_HEX_MAX])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t raw[WB_DIGEST_BYTES_MAX];
	size_t bytes = kinds[digest->kind].bytes;

	assert(!digest->ended);
	end_raw(digest, raw);
	digest->ended = true;
	for (size_t i = 0; i < bytes; i++) {
		out[2 * i] = digits[raw[i] >> 4];
		out[2 * i + 1] = digits[raw[i] & 15];
	}
	out[2 * bytes] = '\0';
}

void wb_digest_reset(struct wb_digest *digest)
{
	digest->ended = false;
	if (digest->xxh) {
		XXH3_128bits_reset(digest->xxh);
	} else {
		int done = EVP_DigestInit_ex(digest->crypto, digest->algorithm, NULL);

		assert(done);
		(void)done;
	}
}

const char *wb_digest_name(enum wb_digest_kind kind)
{
	return kinds[kind].name;
}

bool wb_digest_by_name(const char *name, enum wb_digest_kind *ret_kind)
{
	for (int kind = 0; kind < KIND_COUNT; kind++) {
		if (!strcmp(name, kinds[kind].name)) {
			*ret_kind = (enum wb_digest_kind)kind;
			return true;
		}
	}
	return false;
}

size_t wb_digest_hex_length(enum wb_digest_kind kind)
{
	return 2 * kinds[kind].bytes;
}

static bool is_hex_digit(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool wb_digest_is_hex(enum wb_digest_kind kind, const char *text, size_t bytes)
{
	if (bytes != wb_digest_hex_length(kind))
		return false;
	for (size_t i = 0; i < bytes; i++) {
		if (!is_hex_digit(text[i]))
			return false;
	}
	return true;
}
