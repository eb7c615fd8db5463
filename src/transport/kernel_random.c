/* Random bytes for OpenSSL: see kernel_random.h. A provider with one algorithm. */
#include "transport/kernel_random.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <stdint.h>

#include "keys/provides.h"
#include "sys/rand.h"

#define NAME "waybill-random"

enum {
	STRENGTH_BITS = 256,
	REQUEST_BYTES_MAX = 256, /* what wbi_rand_fill gives at once; OpenSSL asks again */
};

/* ---- a generator, of which there is nothing to keep ---- */

static void *generator_new(void *provider, void *parent, const OSSL_DISPATCH *parents)
{
	static char generator;

	(void)provider;
	(void)parent;
	(void)parents;
	return &generator;
}

static void generator_free(void *generator)
{
	(void)generator;
}

static int instantiate(void *generator, unsigned strength, int resists_prediction,
		       const unsigned char *text, size_t bytes, const OSSL_PARAM *params)
{
	(void)generator;
	(void)resists_prediction;
	(void)text;
	(void)bytes;
	(void)params;
	return strength <= STRENGTH_BITS;
}

static int uninstantiate(void *generator)
{
	(void)generator;
	return 1;
}

static int generate(void *generator, unsigned char *out, size_t bytes, unsigned strength,
		    int resists_prediction, const unsigned char *more, size_t more_bytes)
{
	(void)generator;
	(void)resists_prediction;
	(void)more;
	(void)more_bytes;
	return strength <= STRENGTH_BITS && bytes <= REQUEST_BYTES_MAX &&
	       wbi_rand_fill(out, bytes, NULL) == WB_OK;
}

/* The kernel needs no lock of ours. */
static int enable_locking(void *generator)
{
	(void)generator;
	return 1;
}

static const OSSL_PARAM *gettable(void *generator, void *provider)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_int(OSSL_RAND_PARAM_STATE, NULL),
		OSSL_PARAM_uint(OSSL_RAND_PARAM_STRENGTH, NULL),
		OSSL_PARAM_size_t(OSSL_RAND_PARAM_MAX_REQUEST, NULL),
		OSSL_PARAM_END,
	};

	(void)generator;
	(void)provider;
	return params;
}

static int get(void *generator, OSSL_PARAM *params)
{
	OSSL_PARAM *state = OSSL_PARAM_locate(params, OSSL_RAND_PARAM_STATE);
	OSSL_PARAM *strength = OSSL_PARAM_locate(params, OSSL_RAND_PARAM_STRENGTH);
	OSSL_PARAM *request = OSSL_PARAM_locate(params, OSSL_RAND_PARAM_MAX_REQUEST);

	(void)generator;
	return (!state || OSSL_PARAM_set_int(state, EVP_RAND_STATE_READY)) &&
	       (!strength || OSSL_PARAM_set_uint(strength, STRENGTH_BITS)) &&
	       (!request || OSSL_PARAM_set_size_t(request, REQUEST_BYTES_MAX));
}

static const OSSL_DISPATCH functions[] = {
	WBI_PROVIDES(OSSL_FUNC_RAND_NEWCTX, generator_new),
	WBI_PROVIDES(OSSL_FUNC_RAND_FREECTX, generator_free),
	WBI_PROVIDES(OSSL_FUNC_RAND_INSTANTIATE, instantiate),
	WBI_PROVIDES(OSSL_FUNC_RAND_UNINSTANTIATE, uninstantiate),
	WBI_PROVIDES(OSSL_FUNC_RAND_GENERATE, generate),
	WBI_PROVIDES(OSSL_FUNC_RAND_ENABLE_LOCKING, enable_locking),
	WBI_PROVIDES(OSSL_FUNC_RAND_GETTABLE_CTX_PARAMS, gettable),
	WBI_PROVIDES(OSSL_FUNC_RAND_GET_CTX_PARAMS, get),
	{0, NULL},
};

/* ---- the provider ---- */

static const OSSL_ALGORITHM *query(void *provider, int operation, int *no_cache)
{
	static const OSSL_ALGORITHM generators[] = {
		{NAME, "provider=" NAME, functions, "getrandom(2)"},
		{NULL, NULL, NULL, NULL},
	};

	(void)provider;
	*no_cache = 0;
	return operation == OSSL_OP_RAND ? generators : NULL;
}

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *core,
			 const OSSL_DISPATCH **ret_functions, void **ret_provider)
{
	static const OSSL_DISPATCH provider_functions[] = {
		WBI_PROVIDES(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query),
		{0, NULL},
	};

	(void)core;
	*ret_functions = provider_functions;
	*ret_provider = (void *)(uintptr_t)handle;
	return 1;
}

bool wbi_kernel_random_use(OSSL_LIB_CTX *library)
{
	return OSSL_PROVIDER_add_builtin(library, NAME, provider_init) &&
	       OSSL_PROVIDER_load(library, NAME) &&
	       RAND_set_DRBG_type(library, NAME, NULL, NULL, NULL);
}
