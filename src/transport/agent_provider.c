/* The provider behind a key that lives in ssh-agent: see agent_provider.h.
 *
 * Its key management is called ED25519, for TLS asks for that name, but bears a property that only
 * wbi_agent_key_new asks for: all other keys stay the default provider's.
 * Source: provider-keymgmt(7), provider-signature(7), provider-base(7). */
#include "transport/agent_provider.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "keys/provides.h"
#include "transport/agent.h"
#include "transport/identity_state.h"

#define NAME     "waybill-agent"
#define PROPERTY "provider=" NAME
#define IDENTITY "waybill-identity" /* the parameter that carries the pointer */

enum { SECURITY_BITS = 128, KEY_BITS = 256 };

static _Thread_local struct wb_fault *report;

void wbi_agent_report_to(struct wb_fault *fault)
{
	report = fault;
}

/* ---- keys: an identity, borrowed ---- */

struct agent_key {
	const struct wbi_identity *identity;
};

static void *key_new(void *provider)
{
	(void)provider;
	return calloc(1, sizeof(struct agent_key));
}

static void key_free(void *key)
{
	free(key);
}

static int key_has(const void *key, int what)
{
	(void)key;
	(void)what;
	return 1;
}

static const OSSL_PARAM *key_importable(int what)
{
	static const OSSL_PARAM params[] = {OSSL_PARAM_octet_ptr(IDENTITY, NULL, 0),
					    OSSL_PARAM_END};

	(void)what;
	return params;
}

static int key_import(void *key, int what, const OSSL_PARAM params[])
{
	const OSSL_PARAM *param = OSSL_PARAM_locate_const(params, IDENTITY);
	const void *identity;
	size_t bytes;

	(void)what;
	if (!param || !OSSL_PARAM_get_octet_ptr(param, &identity, &bytes))
		return 0;
	((struct agent_key *)key)->identity = identity;
	return 1;
}

static const struct wbi_public_key *public_half(const void *key)
{
	return wbi_identity_key(((const struct agent_key *)key)->identity);
}

static int set_if_asked(OSSL_PARAM params[], const char *name, int number)
{
	OSSL_PARAM *param = OSSL_PARAM_locate(params, name);

	return !param || OSSL_PARAM_set_int(param, number);
}

static int key_get_params(void *key, OSSL_PARAM params[])
{
	OSSL_PARAM *param = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_PUB_KEY);
	OSSL_PARAM *digest = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_MANDATORY_DIGEST);

	return set_if_asked(params, OSSL_PKEY_PARAM_BITS, KEY_BITS) &&
	       set_if_asked(params, OSSL_PKEY_PARAM_SECURITY_BITS, SECURITY_BITS) &&
	       set_if_asked(params, OSSL_PKEY_PARAM_MAX_SIZE, WBI_SIGNATURE_BYTES) &&
	       (!digest || OSSL_PARAM_set_utf8_string(digest, "")) &&
	       (!param || OSSL_PARAM_set_octet_string(param, public_half(key)->ed25519,
						      sizeof(public_half(key)->ed25519)));
}

static const OSSL_PARAM *key_gettable_params(void *provider)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)provider;
	return params;
}

/* Compares with the certificate's key, which is the default provider's. */
static int key_export(void *key, int what, OSSL_CALLBACK *take, void *context)
{
	struct wbi_public_key copy = *public_half(key);
	OSSL_PARAM params[] = {OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, copy.ed25519,
						       sizeof(copy.ed25519)),
			       OSSL_PARAM_END};

	return (what & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) == 0 && take(params, context);
}

static const OSSL_PARAM *key_exportable(int what)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0), OSSL_PARAM_END};

	(void)what;
	return params;
}

static int key_match(const void *a, const void *b, int what)
{
	(void)what;
	return wbi_public_key_equal(public_half(a), public_half(b));
}

static const OSSL_DISPATCH key_functions[] = {
	WBI_PROVIDES(OSSL_FUNC_KEYMGMT_NEW, key_new),
	WBI_PROVIDES(OSSL_FUNC_KEYMGMT_FREE, key_free),
	WBI_PROVIDES(OSSL_FUNC_KEYMGMT_HAS, key_has),
	WBI_PROVIDES(OSSL_FUNC_KEYMGMT_IMPORT, key_import),
	WBI_PROVIDES(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, key_importable),
	WBI_PROVIDES(OSSL_FUNC_KEYMGMT_EXPORT, key_export),
	WBI_PROVIDES(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, key_exportable),
	WBI_PROVIDES(OSSL_FUNC_KEYMGMT_GET_PARAMS, key_get_params),
	WBI_PROVIDES(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, key_gettable_params),
	WBI_PROVIDES(OSSL_FUNC_KEYMGMT_MATCH, key_match),
	{0, NULL},
};

/* ---- signatures ---- */

static void *signature_new(void *provider, const char *properties)
{
	(void)provider;
	(void)properties;
	return calloc(1, sizeof(struct agent_key));
}

static int sign_init(void *signature, const char *digest, void *key, const OSSL_PARAM params[])
{
	(void)params;
	if (digest && digest[0] != '\0')
		return 0;
	*(struct agent_key *)signature = *(struct agent_key *)key;
	return 1;
}

static int sign(void *signature, unsigned char *out, size_t *out_bytes, size_t room,
		const unsigned char *data, size_t bytes)
{
	const struct wbi_identity *identity = ((struct agent_key *)signature)->identity;
	struct wbi_agent *agent = NULL;
	enum wb_err err;

	*out_bytes = WBI_SIGNATURE_BYTES;
	if (!out)
		return 1;
	if (room < WBI_SIGNATURE_BYTES)
		return 0;
	err = wbi_agent_open(identity->agent_path, identity->agent_timeout_ms, &agent, report);
	if (!err)
		err = wbi_agent_sign(agent, wbi_identity_key(identity), data, bytes, out, report);
	wbi_agent_close(agent);
	return err == WB_OK;
}

static const OSSL_DISPATCH signature_functions[] = {
	WBI_PROVIDES(OSSL_FUNC_SIGNATURE_NEWCTX, signature_new),
	WBI_PROVIDES(OSSL_FUNC_SIGNATURE_FREECTX, key_free),
	WBI_PROVIDES(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, sign_init),
	WBI_PROVIDES(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, sign),
	{0, NULL},
};

/* ---- the provider ---- */

static const OSSL_ALGORITHM keys[] = {
	{"ED25519", PROPERTY, key_functions, "Ed25519 in ssh-agent"},
	{NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM signatures[] = {
	{"ED25519", PROPERTY, signature_functions, "Ed25519 in ssh-agent"},
	{NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM *query(void *provider, int operation, int *no_cache)
{
	(void)provider;
	*no_cache = 0;
	switch (operation) {
	case OSSL_OP_KEYMGMT:
		return keys;
	case OSSL_OP_SIGNATURE:
		return signatures;
	default:
		return NULL;
	}
}

static const OSSL_DISPATCH provider_functions[] = {
	WBI_PROVIDES(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query),
	{0, NULL},
};

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *core,
			 const OSSL_DISPATCH **ret_functions, void **ret_provider)
{
	(void)core;
	*ret_functions = provider_functions;
	*ret_provider = (void *)handle;
	return 1;
}

/* ---- the key ---- */

/* Whoever does not ask for this provider by name is to get none of it. */
static bool load(OSSL_LIB_CTX *library)
{
	return OSSL_PROVIDER_add_builtin(library, NAME, provider_init) &&
	       OSSL_PROVIDER_load(library, NAME) &&
	       EVP_set_default_properties(library, "?provider=default");
}

/* There is one library context, and it gets the provider once. */
static bool load_once(OSSL_LIB_CTX *library)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static bool loaded;
	bool done;

	pthread_mutex_lock(&lock);
	loaded = loaded || load(library);
	done = loaded;
	pthread_mutex_unlock(&lock);
	return done;
}

EVP_PKEY *wbi_agent_key_new(OSSL_LIB_CTX *library, const struct wbi_identity *identity)
{
	OSSL_PARAM params[] = {OSSL_PARAM_octet_ptr(IDENTITY, (void *)&identity, sizeof(*identity)),
			       OSSL_PARAM_END};
	EVP_PKEY_CTX *context = NULL;
	EVP_PKEY *key = NULL;

	if (load_once(library))
		context = EVP_PKEY_CTX_new_from_name(library, "ED25519", PROPERTY);
	if (!context || EVP_PKEY_fromdata_init(context) != 1 ||
	    EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(context);
	return key;
}
