/* What the TLS connections of one side share: see tls.h. */
#include <assert.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "transport/tls_state.h"

static const uint8_t alpn[] = "\x09" WBI_TLS_ALPN; /* RFC 7301: with its length before it */

/* ---- the certificate ---- */

/* RFC 8410's certificate of an Ed25519 key, and nothing about whose it is: serial number 1, names
 * "CN=waybill", valid from 1970 until RFC 5280's "no end". Its own signature stays at zeros. It
 * would prove nothing that the handshake's does not, and an agent would have to ask its user twice.
 */
#define ALGORITHM 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70
#define NAME                                                                                       \
	0x30, 0x12, 0x31, 0x10, 0x30, 0x0e, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x07, 'w', 'a',    \
		'y', 'b', 'i', 'l', 'l'
/* clang-format off */
static const uint8_t certificate[] = {
	0x30, 0x81, 0xd2,
	  0x30, 0x81, 0x85,
	    0xa0, 0x03, 0x02, 0x01, 0x02,
	    0x02, 0x01, 0x01,
	    ALGORITHM,
	    NAME,
	    0x30, 0x20,
	      0x17, 0x0d, '7', '0', '0', '1', '0', '1', '0', '0', '0', '0', '0', '0', 'Z',
	      0x18, 0x0f, '9', '9', '9', '9', '1', '2', '3', '1', '2', '3', '5', '9', '5', '9', 'Z',
	    NAME,
	    0x30, 0x2a, ALGORITHM, 0x03, 0x21, 0x00,
	      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	  ALGORITHM,
	  0x03, 0x41, 0x00,
	    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
};
/* clang-format on */

enum {
	BEHIND_KEY_BYTES = 7 + 3 + 64,
	KEY_AT = sizeof(certificate) - BEHIND_KEY_BYTES - WBI_PUBLIC_KEY_BYTES,
};

static void make_certificate(const struct wbi_public_key *key, uint8_t der[sizeof(certificate)])
{
	memcpy(der, certificate, sizeof(certificate));
	memcpy(der + KEY_AT, key->ed25519, sizeof(key->ed25519));
}

/* For all connections of a context (ssl is NULL), or for one of them (context is NULL). */
static enum wb_err use_identity(SSL_CTX *context, SSL *ssl, const struct wbi_identity *identity,
				struct wb_fault *fault)
{
	uint8_t der[sizeof(certificate)];
	EVP_PKEY *key = wbi_tls_key_new(identity);
	bool done = false;

	make_certificate(wbi_identity_key(identity), der);
	if (key && context)
		done = SSL_CTX_use_certificate_ASN1(context, sizeof(der), der) == 1 &&
		       SSL_CTX_use_PrivateKey(context, key) == 1;
	else if (key)
		done = SSL_use_certificate_ASN1(ssl, der, sizeof(der)) == 1 &&
		       SSL_use_PrivateKey(ssl, key) == 1;
	EVP_PKEY_free(key);
	ERR_clear_error();
	return done ? WB_OK
		    : wb_fault_set(fault, WB_ERR_UNSUPPORTED, NULL, 0,
				   "tls: this OpenSSL takes no Ed25519 key");
}

enum wb_err wbi_tls_set_identity(struct wbi_tls *tls, const struct wbi_identity *identity,
				 struct wb_fault *fault)
{
	return use_identity(NULL, tls->ssl, identity, fault);
}

/* ---- what is asked of the peer ---- */

/* In place of OpenSSL's own judgement of certificates, which is about chains and dates. */
static int judge_certificate(X509_STORE_CTX *store, void *context)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	X509 *shown = X509_STORE_CTX_get0_cert(store);
	EVP_PKEY *key = shown ? X509_get0_pubkey(shown) : NULL;

	(void)context;
	if (key && EVP_PKEY_is_a(key, "ED25519"))
		return 1;
	((struct wbi_tls *)SSL_get_app_data(ssl))->misdeed = WBI_TLS_NOT_ED25519;
	X509_STORE_CTX_set_error(store, X509_V_ERR_UNSUPPORTED_SIGNATURE_ALGORITHM);
	return 0;
}

/* A client that offers nothing at all never gets as far as choose_protocol. */
static int look_at_hello(SSL *ssl, int *alert, void *context)
{
	const unsigned char *data;
	size_t bytes;

	(void)context;
	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation,
				      &data, &bytes))
		return SSL_CLIENT_HELLO_SUCCESS;
	((struct wbi_tls *)SSL_get_app_data(ssl))->misdeed = WBI_TLS_NO_ALPN;
	*alert = SSL_AD_NO_APPLICATION_PROTOCOL;
	return SSL_CLIENT_HELLO_ERROR;
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_bytes,
			   const unsigned char *offered, unsigned offered_bytes, void *context)
{
	(void)context;
	if (SSL_select_next_proto((unsigned char **)out, out_bytes, alpn, sizeof(alpn) - 1, offered,
				  offered_bytes) == OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_OK;
	((struct wbi_tls *)SSL_get_app_data(ssl))->misdeed = WBI_TLS_NO_ALPN;
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* ---- tickets ---- */

/* A copy, because OpenSSL makes the ticket of a connection useless that ends without a word, and
 * that is when it is needed. */
static int keep_ticket(SSL *ssl, SSL_SESSION *ticket)
{
	struct wbi_tls_context *context = ((struct wbi_tls *)SSL_get_app_data(ssl))->context;
	SSL_SESSION *copy = SSL_SESSION_dup(ticket), *older;

	if (!copy)
		return 0;

	pthread_mutex_lock(&context->lock);
	older = context->ticket;
	context->ticket = copy;
	pthread_mutex_unlock(&context->lock);
	SSL_SESSION_free(older);
	return 0;
}

/* ---- the context ---- */

static bool set_client(SSL_CTX *ssl_context)
{
	SSL_CTX_set_session_cache_mode(ssl_context,
				       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ssl_context, keep_ticket);
	SSL_CTX_set_cert_cb(ssl_context, wbi_tls_before_our_key, NULL);
	return SSL_CTX_set_alpn_protos(ssl_context, alpn, sizeof(alpn) - 1) == 0; /* 0 is good */
}

static bool set_server(SSL_CTX *ssl_context)
{
	static const uint8_t name[] = WBI_TLS_ALPN;

	SSL_CTX_set_session_cache_mode(ssl_context, SSL_SESS_CACHE_OFF);
	/* Ours comes first, but for a client whose processor has no AES. */
	SSL_CTX_set_options(ssl_context,
			    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_client_hello_cb(ssl_context, look_at_hello, NULL);
	SSL_CTX_set_alpn_select_cb(ssl_context, choose_protocol, NULL);
	return SSL_CTX_set_num_tickets(ssl_context, 0) == 1 &&
	       SSL_CTX_set_session_id_context(ssl_context, name, sizeof(name) - 1) == 1 &&
	       SSL_CTX_set1_client_sigalgs_list(ssl_context, "ed25519") == 1;
}

/* AES-128-GCM first: where processors have AES it is the fastest, and the key exchange is no
 * stronger. */
static bool set_both(SSL_CTX *ssl_context)
{
	SSL_CTX_set_options(ssl_context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_mode(ssl_context, SSL_MODE_RELEASE_BUFFERS);
	/* One record ahead, and no more: it moves all it has of others for each, to align it. */
	SSL_CTX_set_read_ahead(ssl_context, 1);
	SSL_CTX_set_verify(ssl_context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ssl_context, judge_certificate, NULL);
	SSL_CTX_set_msg_callback(ssl_context, wbi_tls_on_message);
	return SSL_CTX_set_min_proto_version(ssl_context, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_max_proto_version(ssl_context, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_ciphersuites(
		       ssl_context, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256") == 1 &&
	       SSL_CTX_set1_groups_list(ssl_context, "X25519") == 1 &&
	       SSL_CTX_set1_sigalgs_list(ssl_context, "ed25519") == 1;
}

static enum wb_err set_up(struct wbi_tls_context *context, struct wb_fault *fault)
{
	OSSL_LIB_CTX *library = wbi_tls_library();
	SSL_CTX *made;

	if (!library)
		return wb_fault_set(fault, WB_ERR_UNSUPPORTED, NULL, 0,
				    "tls: OpenSSL does not start");
	made = SSL_CTX_new_ex(library, NULL,
			      context->role == WBI_TLS_SERVER ? TLS_server_method()
							      : TLS_client_method());
	context->ssl_context = made;
	if (!made || !set_both(made) ||
	    !(context->role == WBI_TLS_SERVER ? set_server(made) : set_client(made)))
		return wb_fault_set(fault, WB_ERR_UNSUPPORTED, NULL, 0,
				    "tls: this OpenSSL has no TLS 1.3 with Ed25519 and X25519");
	return context->identity ? use_identity(made, NULL, context->identity, fault) : WB_OK;
}

enum wb_err wbi_tls_context_new(enum wbi_tls_role role, const struct wbi_identity *identity,
				struct wbi_tls_context **ret_context, struct wb_fault *fault)
{
	struct wbi_tls_context *context = calloc(1, sizeof(*context));
	enum wb_err err;

	assert(identity || role == WBI_TLS_CLIENT);
	if (!context)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "tls: no memory");
	context->role = role;
	context->identity = identity;
	context->rekey_after = WBI_TLS_REKEY_AFTER;
	pthread_mutex_init(&context->lock, NULL);
	err = set_up(context, fault);
	ERR_clear_error();
	if (err) {
		wbi_tls_context_free(context);
		return err;
	}
	*ret_context = context;
	return WB_OK;
}

void wbi_tls_context_free(struct wbi_tls_context *context)
{
	if (!context)
		return;
	SSL_SESSION_free(context->ticket);
	SSL_CTX_free(context->ssl_context);
	pthread_mutex_destroy(&context->lock);
	free(context->spare);
	free(context);
}
