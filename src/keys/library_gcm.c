/* AES-128-GCM at the speed of the processor.
 *
 * OpenSSL before 3.1 leaves the vector instructions for AES alone that newer processors have, which
 * costs bulk data four fifths of its speed. Intel's library for IPsec uses them. So this is
 * OpenSSL's own cipher, but what TLS does most of, one whole record under a key that is there
 * already, goes to that library; not the first ones: for them its code would have to be fetched.
 * Sources: provider-cipher(7), NIST SP 800-38D. */
#include "keys/library.h"

#ifdef HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"

enum {
	KEY_BYTES = 16,
	IV_BYTES = 12,
	TAG_BYTES = 16,
	AAD_BYTES_MAX = 16,
	SLOW_RECORDS = 64, /* of each key's first */
	FUNCTIONS_MAX = 32,
};

struct gcm {
	struct gcm_key_data expanded __attribute__((aligned(64)));
	struct gcm_context_data scratch __attribute__((aligned(64)));
	void *slow; /* OpenSSL's own, with the same key */
	uint8_t key[KEY_BYTES];
	bool has_key, is_able, is_expanded;
	unsigned records;
	/* the record under way */
	bool fast, encrypts, done;
	uint8_t iv[IV_BYTES], aad[AAD_BYTES_MAX], tag[TAG_BYTES], expected[TAG_BYTES];
	size_t aad_bytes;
};

/* OpenSSL's functions. */
static struct {
	OSSL_FUNC_cipher_newctx_fn *new;
	OSSL_FUNC_cipher_freectx_fn *free;
	OSSL_FUNC_cipher_encrypt_init_fn *encrypt, *decrypt;
	OSSL_FUNC_cipher_update_fn *update;
	OSSL_FUNC_cipher_final_fn *final;
	OSSL_FUNC_cipher_get_ctx_params_fn *get;
	OSSL_FUNC_cipher_set_ctx_params_fn *set;
} slow;

/* ---- the other library ----
 *
 * Its front door, a manager, would bring the code for all ciphers and processors along, thirteen
 * megabytes. These are what that leads to for AES-128-GCM and VAES; its header has the first only,
 * and the Makefile tries whether they are there. */

void aes_gcm_precomp_128_vaes_avx512(struct gcm_key_data *key);
void aes_gcm_enc_128_vaes_avx512(const struct gcm_key_data *key, struct gcm_context_data *scratch,
				 uint8_t *out, const uint8_t *in, uint64_t bytes, const uint8_t *iv,
				 const uint8_t *aad, uint64_t aad_bytes, uint8_t *tag,
				 uint64_t tag_bytes);
void aes_gcm_dec_128_vaes_avx512(const struct gcm_key_data *key, struct gcm_context_data *scratch,
				 uint8_t *out, const uint8_t *in, uint64_t bytes, const uint8_t *iv,
				 const uint8_t *aad, uint64_t aad_bytes, uint8_t *tag,
				 uint64_t tag_bytes);

static void expand(struct gcm *gcm)
{
	if (gcm->is_expanded)
		return;
	aes_keyexp_128_enc_avx512(gcm->key, gcm->expanded.expanded_keys);
	aes_gcm_precomp_128_vaes_avx512(&gcm->expanded);
	gcm->is_expanded = true;
}

static void run(struct gcm *gcm, uint8_t *out, const uint8_t *in, size_t bytes)
{
	if (gcm->encrypts)
		aes_gcm_enc_128_vaes_avx512(&gcm->expanded, &gcm->scratch, out, in, bytes, gcm->iv,
					    gcm->aad, gcm->aad_bytes, gcm->tag, TAG_BYTES);
	else
		aes_gcm_dec_128_vaes_avx512(&gcm->expanded, &gcm->scratch, out, in, bytes, gcm->iv,
					    gcm->aad, gcm->aad_bytes, gcm->tag, TAG_BYTES);
	gcm->done = true;
}

/* ---- the cipher ---- */

static void *gcm_new(void *provider)
{
	struct gcm *gcm = aligned_alloc(_Alignof(struct gcm), sizeof(*gcm));

	if (!gcm)
		return NULL;
	memset(gcm, 0, sizeof(*gcm));
	gcm->slow = slow.new(provider);
	if (gcm->slow)
		return gcm;
	free(gcm);
	return NULL;
}

static void gcm_free(void *context)
{
	struct gcm *gcm = context;

	if (!gcm)
		return;
	slow.free(gcm->slow);
	OPENSSL_cleanse(gcm, sizeof(*gcm));
	free(gcm);
}

static void take_key(struct gcm *gcm, const uint8_t *key, size_t bytes)
{
	gcm->has_key = bytes == KEY_BYTES;
	gcm->is_expanded = false;
	gcm->records = 0;
	if (gcm->has_key)
		memcpy(gcm->key, key, KEY_BYTES);
}

/* Begins a record. Returns whether it is a fast one; else it is OpenSSL's. */
static bool begin(struct gcm *gcm, bool encrypts, const uint8_t *key, size_t key_bytes,
		  const uint8_t *iv, size_t iv_bytes, const OSSL_PARAM params[])
{
	gcm->fast = gcm->done = false;
	gcm->encrypts = encrypts;
	gcm->aad_bytes = 0;
	if (key)
		take_key(gcm, key, key_bytes);
	if (key || !gcm->has_key || !iv || iv_bytes != IV_BYTES || (params && params->key))
		return false;
	if (gcm->records < SLOW_RECORDS && ++gcm->records == SLOW_RECORDS)
		gcm->is_able = wbi_cpu_has_wide_aes();
	gcm->fast = gcm->records == SLOW_RECORDS && gcm->is_able;
	if (!gcm->fast)
		return false;
	expand(gcm);
	memcpy(gcm->iv, iv, IV_BYTES);
	return true;
}

static int gcm_encrypt(void *context, const unsigned char *key, size_t key_bytes,
		       const unsigned char *iv, size_t iv_bytes, const OSSL_PARAM params[])
{
	struct gcm *gcm = context;

	return begin(gcm, true, key, key_bytes, iv, iv_bytes, params) ||
	       slow.encrypt(gcm->slow, key, key_bytes, iv, iv_bytes, params);
}

static int gcm_decrypt(void *context, const unsigned char *key, size_t key_bytes,
		       const unsigned char *iv, size_t iv_bytes, const OSSL_PARAM params[])
{
	struct gcm *gcm = context;

	return begin(gcm, false, key, key_bytes, iv, iv_bytes, params) ||
	       slow.decrypt(gcm->slow, key, key_bytes, iv, iv_bytes, params);
}

static int add_aad(struct gcm *gcm, const uint8_t *data, size_t bytes)
{
	if (gcm->done || bytes > AAD_BYTES_MAX - gcm->aad_bytes)
		return 0;
	memcpy(gcm->aad + gcm->aad_bytes, data, bytes);
	gcm->aad_bytes += bytes;
	return 1;
}

/* The whole record comes at once; a second piece is refused. */
static int gcm_update(void *context, unsigned char *out, size_t *ret_bytes, size_t room,
		      const unsigned char *in, size_t bytes)
{
	struct gcm *gcm = context;

	if (!gcm->fast)
		return slow.update(gcm->slow, out, ret_bytes, room, in, bytes);
	*ret_bytes = bytes;
	if (!out)
		return add_aad(gcm, in, bytes);
	if (gcm->done || room < bytes)
		return 0;
	run(gcm, out, in, bytes);
	return 1;
}

static int gcm_final(void *context, unsigned char *out, size_t *ret_bytes, size_t room)
{
	struct gcm *gcm = context;
	uint8_t none = 0;

	if (!gcm->fast)
		return slow.final(gcm->slow, out, ret_bytes, room);
	if (!gcm->done)
		run(gcm, &none, &none, 0);
	gcm->fast = false;
	*ret_bytes = 0;
	return gcm->encrypts || CRYPTO_memcmp(gcm->tag, gcm->expected, TAG_BYTES) == 0;
}

static int gcm_get(void *context, OSSL_PARAM params[])
{
	struct gcm *gcm = context;
	OSSL_PARAM *tag = OSSL_PARAM_locate(params, OSSL_CIPHER_PARAM_AEAD_TAG);

	if (gcm->done && gcm->encrypts && tag)
		return OSSL_PARAM_set_octet_string(tag, gcm->tag, TAG_BYTES);
	return slow.get(gcm->slow, params);
}

static int gcm_set(void *context, const OSSL_PARAM params[])
{
	struct gcm *gcm = context;
	const OSSL_PARAM *tag = OSSL_PARAM_locate_const(params, OSSL_CIPHER_PARAM_AEAD_TAG);
	void *expected = gcm->expected;
	size_t bytes = 0;

	if (gcm->fast && tag)
		return OSSL_PARAM_get_octet_string(tag, &expected, TAG_BYTES, &bytes) &&
		       bytes == TAG_BYTES;
	return slow.set(gcm->slow, params);
}

/* ---- in OpenSSL's place ---- */

#define REPLACE(id, original, own)                                                                 \
	case id:                                                                                   \
		(original) = (void *)entry.function;                                               \
		entry.function = (void (*)(void))(own);                                            \
		return entry

static OSSL_DISPATCH replace(OSSL_DISPATCH entry)
{
	switch (entry.function_id) {
		REPLACE(OSSL_FUNC_CIPHER_NEWCTX, slow.new, gcm_new);
		REPLACE(OSSL_FUNC_CIPHER_FREECTX, slow.free, gcm_free);
		REPLACE(OSSL_FUNC_CIPHER_ENCRYPT_INIT, slow.encrypt, gcm_encrypt);
		REPLACE(OSSL_FUNC_CIPHER_DECRYPT_INIT, slow.decrypt, gcm_decrypt);
		REPLACE(OSSL_FUNC_CIPHER_UPDATE, slow.update, gcm_update);
		REPLACE(OSSL_FUNC_CIPHER_FINAL, slow.final, gcm_final);
		REPLACE(OSSL_FUNC_CIPHER_GET_CTX_PARAMS, slow.get, gcm_get);
		REPLACE(OSSL_FUNC_CIPHER_SET_CTX_PARAMS, slow.set, gcm_set);
	default:
		return entry;
	}
}

/* Those that would be given our context and know only OpenSSL's; nothing here needs them. */
static bool is_foreign(const OSSL_DISPATCH *entry)
{
	return entry->function_id == OSSL_FUNC_CIPHER_DUPCTX ||
	       entry->function_id == OSSL_FUNC_CIPHER_CIPHER;
}

const OSSL_DISPATCH *wbi_library_gcm(const OSSL_DISPATCH *functions)
{
	static OSSL_DISPATCH replaced[FUNCTIONS_MAX + 1];
	int count = 0;

	for (const OSSL_DISPATCH *at = functions; at->function_id; at++) {
		if (count == FUNCTIONS_MAX)
			return functions;
		if (!is_foreign(at))
			replaced[count++] = replace(*at);
	}
	return slow.new &&slow.free &&slow.encrypt &&slow.decrypt &&slow.update &&slow.final &&slow
			       .get &&slow.set
		       ? replaced
		       : functions;
}

#else

const OSSL_DISPATCH *wbi_library_gcm(const OSSL_DISPATCH *functions)
{
	return functions;
}

#endif
