/* What is not there is answered at once.
 *
 * libssl asks by name for some seventy algorithms before its first word, and where there are few
 * (library_few.c), OpenSSL goes through all its tables for each of the others and makes an error's
 * text of it. And it learns what each kind of key was called of old, which nobody here asks. A
 * client that lives for three milliseconds has no time for that, so in our programs the linker
 * leads these calls here first (--wrap of ld(1), see the Makefile): __wrap_F is called in place of
 * F, which is __real_F. Where nobody says --wrap, nothing of this file is linked. */
#include <openssl/core_dispatch.h>
#include <openssl/evp.h>

#include "keys/library.h"

/* NULL, and no error: libssl takes it for a cipher, say, that this OpenSSL was built without. */
#define ASK_FIRST(type, operation)                                                                 \
	type *__real_##type##_fetch(OSSL_LIB_CTX *library, const char *name, const char *wanted);  \
	type *__wrap_##type##_fetch(OSSL_LIB_CTX *library, const char *name, const char *wanted);  \
	type *__wrap_##type##_fetch(OSSL_LIB_CTX *library, const char *name, const char *wanted)   \
	{                                                                                          \
		return wbi_library_offers(library, operation, name)                                \
			       ? __real_##type##_fetch(library, name, wanted)                      \
			       : NULL;                                                             \
	}

ASK_FIRST(EVP_CIPHER, OSSL_OP_CIPHER)
ASK_FIRST(EVP_KEYEXCH, OSSL_OP_KEYEXCH)
ASK_FIRST(EVP_KEYMGMT, OSSL_OP_KEYMGMT)
ASK_FIRST(EVP_MD, OSSL_OP_DIGEST)
ASK_FIRST(EVP_SIGNATURE, OSSL_OP_SIGNATURE)

int __wrap_EVP_PKEY_asn1_get_count(void);

/* Of the kinds of keys whose names of old are learnt. */
int __wrap_EVP_PKEY_asn1_get_count(void)
{
	return 0;
}
