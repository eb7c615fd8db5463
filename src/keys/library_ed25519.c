/* Ed25519 at the speed of the processor.
 *
 * OpenSSL computes with limbs of 32 bits here, whatever the processor has; libsodium's have 51, and
 * take half the time. Each side of a handshake signs once and verifies once, which is most of what
 * the handshake costs. So these are OpenSSL's own keys, and libsodium's signatures by them.
 * Sources: provider-signature(7), provider-keymgmt(7), RFC 8032, RFC 8410 section 3. */
#include "keys/library.h"

#ifdef HAVE_SODIUM
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <sodium/crypto_sign_ed25519.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "keys/provides.h"

enum {
	SEED_BYTES = crypto_sign_ed25519_SEEDBYTES,
	PUBLIC_BYTES = crypto_sign_ed25519_PUBLICKEYBYTES,
	SIGNATURE_BYTES = crypto_sign_ed25519_BYTES,
};

/* A key, for signing or for verifying, as libsodium has it: the seed, then the public half. */
struct signer {
	uint8_t secret[SEED_BYTES + PUBLIC_BYTES];
	bool has_seed, has_public;
};

static OSSL_FUNC_keymgmt_export_fn *export_key; /* of OpenSSL's kind of key */

/* ---- the key ---- */

/* What is shown is a copy, made for us and freed as it is: so it is wiped here. */
static bool take(const OSSL_PARAM *params, const char *name, uint8_t *out, size_t bytes)
{
	const OSSL_PARAM *part = OSSL_PARAM_locate_const(params, name);
	void *to = out;
	size_t got;

	if (!part || !OSSL_PARAM_get_octet_string(part, &to, bytes, &got) || got != bytes)
		return false;
	OPENSSL_cleanse(part->data, bytes);
	return true;
}

static int take_halves(const OSSL_PARAM *params, void *context)
{
	struct signer *signer = context;

	signer->has_public =
		take(params, OSSL_PKEY_PARAM_PUB_KEY, signer->secret + SEED_BYTES, PUBLIC_BYTES);
	signer->has_seed = take(params, OSSL_PKEY_PARAM_PRIV_KEY, signer->secret, SEED_BYTES);
	return 1;
}

/* Without a key it is the one from before. No digest may be named, nor anything else: the signature
 * is of the whole message, and plain. */
static bool begin(struct signer *signer, const char *digest, void *key, int selection,
		  const OSSL_PARAM *params)
{
	if ((digest && digest[0]) || (params && params->key))
		return false;
	if (!key)
		return signer->has_public;
	OPENSSL_cleanse(signer, sizeof(*signer));
	return export_key(key, selection, take_halves, signer) == 1 && signer->has_public;
}

/* ---- signing and verifying ---- */

static void *signer_new(void *provider, const char *wanted)
{
	(void)provider;
	(void)wanted;
	return OPENSSL_zalloc(sizeof(struct signer));
}

static void signer_free(void *signer)
{
	OPENSSL_clear_free(signer, sizeof(struct signer));
}

static void *signer_copy(void *signer)
{
	return OPENSSL_memdup(signer, sizeof(struct signer));
}

static int sign_init(void *context, const char *digest, void *key, const OSSL_PARAM params[])
{
	struct signer *signer = context;

	return begin(signer, digest, key, OSSL_KEYMGMT_SELECT_KEYPAIR, params) && signer->has_seed;
}

/* A context may be used the other way than it was begun: hence it is looked what it has. */
static int sign(void *context, unsigned char *out, size_t *ret_bytes, size_t room,
		const unsigned char *message, size_t bytes)
{
	struct signer *signer = context;

	*ret_bytes = SIGNATURE_BYTES;
	if (!out)
		return 1;
	return signer->has_seed && room >= SIGNATURE_BYTES &&
	       crypto_sign_ed25519_detached(out, NULL, message, bytes, signer->secret) == 0;
}

static int verify_init(void *context, const char *digest, void *key, const OSSL_PARAM params[])
{
	return begin(context, digest, key, OSSL_KEYMGMT_SELECT_PUBLIC_KEY, params);
}

static int verify(void *context, const unsigned char *signature, size_t signature_bytes,
		  const unsigned char *message, size_t bytes)
{
	struct signer *signer = context;

	return signer->has_public && signature_bytes == SIGNATURE_BYTES &&
	       crypto_sign_ed25519_verify_detached(signature, message, bytes,
						   signer->secret + SEED_BYTES) == 0;
}

/* ---- what a certificate calls it ---- */

static const OSSL_PARAM *gettable(void *signer, void *provider)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)signer;
	(void)provider;
	return params;
}

static int get(void *signer, OSSL_PARAM *params)
{
	/* SEQUENCE { OBJECT IDENTIFIER 1.3.101.112 }, in DER. */
	static const uint8_t identifier[] = {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70};
	OSSL_PARAM *wanted = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_ALGORITHM_ID);

	(void)signer;
	return !wanted || OSSL_PARAM_set_octet_string(wanted, identifier, sizeof(identifier));
}

static const OSSL_DISPATCH functions[] = {
	WBI_PROVIDES(OSSL_FUNC_SIGNATURE_NEWCTX, signer_new),
	WBI_PROVIDES(OSSL_FUNC_SIGNATURE_FREECTX, signer_free),
	WBI_PROVIDES(OSSL_FUNC_SIGNATURE_DUPCTX, signer_copy),
	WBI_PROVIDES(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, sign_init),
	WBI_PROVIDES(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, sign),
	WBI_PROVIDES(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_INIT, verify_init),
	WBI_PROVIDES(OSSL_FUNC_SIGNATURE_DIGEST_VERIFY, verify),
	WBI_PROVIDES(OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS, gettable),
	WBI_PROVIDES(OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS, get),
	{0, NULL},
};

void wbi_library_ed25519(const OSSL_DISPATCH *keys, OSSL_ALGORITHM *signatures)
{
	for (; keys->function_id; keys++)
		if (keys->function_id == OSSL_FUNC_KEYMGMT_EXPORT)
			export_key = OSSL_FUNC_keymgmt_export(keys);
	if (!export_key)
		return;
	signatures->implementation = functions;
	signatures->algorithm_description = "Ed25519 by libsodium";
}

#else

void wbi_library_ed25519(const OSSL_DISPATCH *keys, OSSL_ALGORITHM *signatures)
{
	(void)keys;
	(void)signatures;
}

#endif
