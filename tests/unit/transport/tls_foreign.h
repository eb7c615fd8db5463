/* A peer that is bare OpenSSL, across a wire from one of our own. */
#ifndef TLS_FOREIGN_H
#define TLS_FOREIGN_H

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "tls_wire.h"

enum { OUR_KEY = 1, PEER_KEY = 2, OTHER_KEY = 3, PATIENCE = 100 };

static struct wire wire;
static struct side ours;

struct foreign {
	SSL_CTX *context;
	SSL *ssl;
};

static struct foreign foreign;

static inline EVP_PKEY *ed25519(uint8_t number)
{
	const uint8_t seed[32] = {number};

	return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
}

/* A certificate as any tool would make it, signed by its own key. */
static inline X509 *certificate(EVP_PKEY *key, EVP_PKEY *signer)
{
	X509 *made = X509_new();

	assert_int_equal(X509_set_version(made, X509_VERSION_3), 1);
	ASN1_INTEGER_set(X509_get_serialNumber(made), 4711);
	X509_gmtime_adj(X509_getm_notBefore(made), -7200);
	X509_gmtime_adj(X509_getm_notAfter(made), -3600); /* long past: nobody asks */
	X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_ASC,
				   (const uint8_t *)"somebody", -1, -1, 0);
	X509_set_issuer_name(made, X509_get_subject_name(made));
	assert_int_equal(X509_set_pubkey(made, key), 1);
	assert_true(X509_sign(made, signer, EVP_PKEY_is_a(signer, "RSA") ? EVP_sha256() : NULL) >
		    0);
	return made;
}

static inline void show(EVP_PKEY *key)
{
	EVP_PKEY *signer = EVP_PKEY_is_a(key, "RSA") ? NULL : ed25519(PEER_KEY);
	X509 *made = certificate(key, signer ? signer : key);

	assert_int_equal(SSL_CTX_use_certificate(foreign.context, made), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(foreign.context, key), 1);
	X509_free(made);
	EVP_PKEY_free(signer);
	EVP_PKEY_free(key);
}

static inline int accept_any(int ok, X509_STORE_CTX *store)
{
	(void)ok;
	(void)store;
	return 1;
}

static inline int choose_first(SSL *ssl, const unsigned char **out, unsigned char *out_bytes,
			       const unsigned char *in, unsigned in_bytes, void *context)
{
	(void)ssl;
	(void)in_bytes;
	(void)context;
	*out = in + 1;
	*out_bytes = in[0];
	return SSL_TLSEXT_ERR_OK;
}

/* A peer that would be let in; a test then spoils one thing. server: what the peer is. */
static inline void meet_peer(bool server)
{
	static const uint8_t alpn[] = "\x09waybill/1";

	side_open(&ours, server ? WBI_TLS_CLIENT : WBI_TLS_SERVER, OUR_KEY);
	side_connect(&ours, &wire.ends[0]);
	foreign.context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	assert_non_null(foreign.context);
	SSL_CTX_set_verify(foreign.context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
			   accept_any);
	if (server)
		SSL_CTX_set_alpn_select_cb(foreign.context, choose_first, NULL);
	else
		assert_int_equal(SSL_CTX_set_alpn_protos(foreign.context, alpn, sizeof(alpn) - 1),
				 0);
}

static inline void begin(bool server)
{
	foreign.ssl = SSL_new(foreign.context);
	SSL_set_bio(foreign.ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	BIO_set_mem_eof_return(SSL_get_rbio(foreign.ssl), -1);
	if (server)
		SSL_set_accept_state(foreign.ssl);
	else
		SSL_set_connect_state(foreign.ssl);
}

/* Between the wire and the foreign side's memory. */
static inline void relay(void)
{
	uint8_t data[4096];
	int n;

	while ((n = (int)end_read(&wire.ends[1], data, sizeof(data))) > 0)
		BIO_write(SSL_get_rbio(foreign.ssl), data, n);
	while ((n = BIO_read(SSL_get_wbio(foreign.ssl), data, sizeof(data))) > 0)
		end_write(&wire.ends[1], data, (size_t)n);
}

/* Both go as far as they get. */
static inline void shake(void)
{
	for (int i = 0; i < PATIENCE; i++) {
		side_step(&ours);
		relay();
		SSL_do_handshake(foreign.ssl);
		relay();
	}
	ERR_clear_error();
}

static inline int set_up(void **state)
{
	(void)state;
	foreign = (struct foreign){0};
	ours = (struct side){0};
	wire_open(&wire);
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	SSL_free(foreign.ssl);
	SSL_CTX_free(foreign.context);
	side_close(&ours);
	wire_close(&wire);
	return 0;
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#endif
