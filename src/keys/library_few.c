/* A few algorithms instead of all.
 *
 * OpenSSL 3 makes an object of every algorithm that a provider offers as soon as one of its kind is
 * asked for: some 300, which is most of what a client's start costs, and each certificate is tried
 * with every decoder. So this provider is OpenSSL's default one, but shows what is used here and
 * nothing else. OpenSSL gives the default provider away by name only, never its functions. Where
 * its archive is linked in they can be had all the same, which shows only when the program is
 * linked: hence a weak reference, and all algorithms where it leads nowhere. */
#include "keys/library.h"

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* Of libcrypto.a; in none of its headers. */
OSSL_provider_init_fn ossl_default_provider_init __attribute__((weak));

enum { NAMES_MAX = 8, FUNCTIONS_MAX = 16 };

struct kind {
	int operation;
	const char *names[NAMES_MAX]; /* of each algorithm the name that OpenSSL has first */
	const char *property;         /* NULL: any */
	OSSL_ALGORITHM shown[NAMES_MAX + 1];
};

/* ECDSA is here because libssl takes its absence for that of all signatures by curves; AES-256 is
 * for tickets, SHA-1 for looking at certificates. Random bytes are TLS's affair
 * (transport/kernel_random.h). */
static struct kind kinds[] = {
	{OSSL_OP_DIGEST, {"SHA2-256", "SHA2-384", "SHA2-512", "SHA1"}, NULL, {{0}}},
	{OSSL_OP_CIPHER, {"AES-128-GCM", "ChaCha20-Poly1305", "AES-256-CBC"}, NULL, {{0}}},
	{OSSL_OP_MAC, {"HMAC"}, NULL, {{0}}},
	{OSSL_OP_KDF, {"HKDF", "TLS13-KDF"}, NULL, {{0}}},
	{OSSL_OP_KEYMGMT, {"ED25519", "X25519", "HMAC"}, NULL, {{0}}},
	{OSSL_OP_KEYEXCH, {"X25519"}, NULL, {{0}}},
	{OSSL_OP_SIGNATURE, {"ED25519", "ECDSA", "HMAC"}, NULL, {{0}}},
	{OSSL_OP_DECODER, {"ED25519"}, "SubjectPublicKeyInfo", {{0}}},
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* names: separated by colons, the usual one first. */
static bool begins_with(const char *names, const char *name)
{
	size_t bytes = strlen(name);

	return strncasecmp(names, name, bytes) == 0 &&
	       (names[bytes] == '\0' || names[bytes] == ':');
}

static bool has_name(const char *names, const char *name)
{
	while (!begins_with(names, name)) {
		names = strchr(names, ':');
		if (!names++)
			return false;
	}
	return true;
}

static bool is_used(const struct kind *kind, const OSSL_ALGORITHM *algorithm)
{
	if (kind->property && !strstr(algorithm->property_definition, kind->property))
		return false;
	for (int i = 0; i < NAMES_MAX && kind->names[i]; i++)
		if (begins_with(algorithm->algorithm_names, kind->names[i]))
			return true;
	return false;
}

static void choose(struct kind *kind, const OSSL_ALGORITHM *all)
{
	int count = 0;

	for (; all && all->algorithm_names && count < NAMES_MAX; all++)
		if (is_used(kind, all))
			kind->shown[count++] = *all;
}

static struct kind *kind_of(int operation)
{
	for (size_t i = 0; i < KINDS; i++)
		if (kinds[i].operation == operation)
			return &kinds[i];
	return NULL;
}

/* One that is shown, by any of its names. */
static OSSL_ALGORITHM *find(int operation, const char *name)
{
	struct kind *kind = kind_of(operation);

	for (int i = 0; kind && kind->shown[i].algorithm_names; i++)
		if (has_name(kind->shown[i].algorithm_names, name))
			return &kind->shown[i];
	return NULL;
}

/* Some of them can be had from others. */
static void replace_slow(void)
{
	OSSL_ALGORITHM *cipher = find(OSSL_OP_CIPHER, "AES-128-GCM");
	OSSL_ALGORITHM *signature = find(OSSL_OP_SIGNATURE, "ED25519");
	const OSSL_ALGORITHM *key = find(OSSL_OP_KEYMGMT, "ED25519");

	if (cipher)
		cipher->implementation = wbi_library_gcm(cipher->implementation);
	if (signature && key)
		wbi_library_ed25519(key->implementation, signature);
}

/* OpenSSL asks often: so it is all chosen beforehand. */
static void choose_all(OSSL_FUNC_provider_query_operation_fn *query_all, void *provider)
{
	int no_cache;

	for (size_t i = 0; i < KINDS; i++)
		choose(&kinds[i], query_all(provider, kinds[i].operation, &no_cache));
	replace_slow();
}

static const OSSL_ALGORITHM *query_few(void *provider, int operation, int *no_cache)
{
	const struct kind *kind = kind_of(operation);

	(void)provider;
	*no_cache = 0;
	return kind ? kind->shown : NULL;
}

/* ---- groups ---- */

static OSSL_FUNC_provider_get_capabilities_fn *get_all_capabilities;

struct asker {
	OSSL_CALLBACK *show;
	void *context;
};

/* libssl asks for the algorithm of each group that it is shown, and has an error's text made for
 * each that it is not given. */
static int show_used_group(const OSSL_PARAM *group, void *context)
{
	const OSSL_PARAM *algorithm = OSSL_PARAM_locate_const(group, OSSL_CAPABILITY_TLS_GROUP_ALG);
	const struct asker *asker = context;
	const char *name;

	if (algorithm && OSSL_PARAM_get_utf8_string_ptr(algorithm, &name) &&
	    strcasecmp(name, "X25519") != 0)
		return 1;
	return asker->show(group, asker->context);
}

static int get_few_capabilities(void *provider, const char *kind, OSSL_CALLBACK *show,
				void *context)
{
	struct asker asker = {show, context};

	return get_all_capabilities(provider, kind, show_used_group, &asker);
}

/* ---- the provider ---- */

/* One function of the default provider, or ours in its place. */
static OSSL_DISPATCH replaced(OSSL_DISPATCH function, void *provider)
{
	switch (function.function_id) {
	case OSSL_FUNC_PROVIDER_QUERY_OPERATION:
		choose_all(OSSL_FUNC_provider_query_operation(&function), provider);
		function.function = (void (*)(void))query_few;
		break;
	case OSSL_FUNC_PROVIDER_GET_CAPABILITIES:
		get_all_capabilities = OSSL_FUNC_provider_get_capabilities(&function);
		function.function = (void (*)(void))get_few_capabilities;
		break;
	}
	return function;
}

static int init_few(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *core,
		    const OSSL_DISPATCH **ret_functions, void **ret_provider)
{
	static OSSL_DISPATCH functions[FUNCTIONS_MAX + 1];
	const OSSL_DISPATCH *all;
	int count = 0;

	if (!ossl_default_provider_init(handle, core, &all, ret_provider))
		return 0;
	for (; all->function_id && count < FUNCTIONS_MAX; all++, count++)
		functions[count] = replaced(*all, *ret_provider);
	*ret_functions = functions;
	return !all->function_id;
}

/* The context that has the few and nothing else; NULL: none yet, or none will. */
static _Atomic(const OSSL_LIB_CTX *) served;

int wbi_library_load_few(OSSL_LIB_CTX *library)
{
	static const char name[] = "waybill";

	if (!ossl_default_provider_init || !OSSL_PROVIDER_add_builtin(library, name, init_few) ||
	    !OSSL_PROVIDER_load(library, name))
		return 0;
	atomic_store(&served, library);
	return 1;
}

bool wbi_library_offers(const OSSL_LIB_CTX *library, int operation, const char *name)
{
	return !library || !name || library != atomic_load(&served) || find(operation, name);
}
