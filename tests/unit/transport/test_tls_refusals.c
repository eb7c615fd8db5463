/* The TLS engine against peers that it must refuse, each with words of its own: what is no TLS at
 * all, other versions and protocols, other keys or none, false signatures. The other side is bare
 * OpenSSL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include "tls_foreign.h"

/* ---- who gets in ---- */

/* Made by another tool, expired, for another name: what counts is the key. */
static void test_any_certificate_of_ed25519(void **state)
{
	struct wbi_private_key key = private_key(PEER_KEY);
	(void)state;

	for (int server = 0; server < 2; server++) {
		meet_peer(server);
		show(ed25519(PEER_KEY));
		begin(server);
		shake();
		expect_open(&ours);
		assert_true(wbi_public_key_equal(wbi_tls_peer(ours.tls), &key.public_key));
		assert_true(SSL_is_init_finished(foreign.ssl));
		assert_string_equal(SSL_get_version(foreign.ssl), "TLSv1.3");
		assert_string_equal(SSL_get_cipher_name(foreign.ssl), "TLS_AES_128_GCM_SHA256");
		tear_down(NULL);
		set_up(NULL);
	}
}

/* Other programs must be able to read ours. */
static void test_our_certificate(void **state)
{
	struct wbi_private_key key = private_key(OUR_KEY);
	uint8_t raw[32];
	size_t bytes = sizeof(raw);
	char name[64];
	X509 *shown;
	(void)state;

	meet_peer(false);
	show(ed25519(PEER_KEY));
	begin(false);
	shake();
	shown = SSL_get0_peer_certificate(foreign.ssl);
	assert_non_null(shown);
	assert_int_equal(EVP_PKEY_get_raw_public_key(X509_get0_pubkey(shown), raw, &bytes), 1);
	assert_memory_equal(raw, key.public_key.ed25519, 32);
	assert_int_equal(X509_get_version(shown), X509_VERSION_3);
	X509_NAME_oneline(X509_get_subject_name(shown), name, sizeof(name));
	assert_string_equal(name, "/CN=waybill");
	assert_true(X509_cmp_current_time(X509_get0_notBefore(shown)) < 0);
	assert_true(X509_cmp_current_time(X509_get0_notAfter(shown)) > 0);
}

/* ---- no TLS at all ---- */

static void test_plain_text(void **state)
{
	static const struct {
		const char *text;
		size_t bytes;
		const char *words;
	} cases[] = {
		{"GET / HTTP/1.1\r\n\r\n", 18, "speaks HTTP"},
		{"POST /x HTTP/1.1\r\n", 18, "speaks HTTP"},
		{"HTTP/1.1 400 Bad Request\r\n", 26, "speaks HTTP"},
		{"SSH-2.0-OpenSSH_9.2p1\r\n", 23, "speaks ssh"},
		{"\x18\0\0\0{\"op\":\"hello\",\"waybill\":1}", 30, "parcels without TLS"},
		{"hello there, anybody?\n", 22, "plain text"},
		{"\0\1\2\3\4\5\6\7\x08", 9, "does not speak TLS"},
		{"\xff\xfe\xfd\xfc\xfb\xfa", 6, "does not speak TLS"},
	};
	(void)state;

	for (int role = 0; role < 2; role++)
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			side_open(&ours, role ? WBI_TLS_SERVER : WBI_TLS_CLIENT, OUR_KEY);
			side_connect(&ours, &wire.ends[0]);
			side_step(&ours);
			end_write(&wire.ends[1], cases[i].text, cases[i].bytes);
			side_step(&ours);
			expect_fault(&ours, WB_ERR_MALFORMED, cases[i].words);
			side_close(&ours);
			ours = (struct side){0};
			wire_close(&wire);
			wire_open(&wire);
		}
}

static void test_too_much_before_it_is_known(void **state)
{
	/* A client hello of 65,000 bytes, in records of 16 KiB. */
	static const uint8_t head[] = {22, 3, 1, 0x40, 0, 1, 0, 0xfd, 0xe8, 3, 3};
	uint8_t record[5 + 16384] = {0};
	(void)state;

	meet_peer(false);
	memcpy(record, head, sizeof(head));
	end_write(&wire.ends[1], record, sizeof(record));
	memcpy(record, head, 5);
	record[5] = 0;
	end_write(&wire.ends[1], record, sizeof(record));
	for (int i = 0; i < PATIENCE; i++)
		side_step(&ours);
	expect_fault(&ours, WB_ERR_LIMIT, "before it is known");
}

/* ---- versions and protocols ---- */

static void test_tls_1_2_only(void **state)
{
	(void)state;
	for (int server = 0; server < 2; server++) {
		meet_peer(server);
		show(ed25519(PEER_KEY));
		SSL_CTX_set_max_proto_version(foreign.context, TLS1_2_VERSION);
		begin(server);
		shake();
		expect_fault(&ours, WB_ERR_UNSUPPORTED, "no TLS 1.3");
		tear_down(NULL);
		set_up(NULL);
	}
}

static void test_no_protocol_named(void **state)
{
	(void)state;
	for (int server = 0; server < 2; server++) {
		meet_peer(server);
		show(ed25519(PEER_KEY));
		if (server)
			SSL_CTX_set_alpn_select_cb(foreign.context, NULL, NULL);
		else
			SSL_CTX_set_alpn_protos(foreign.context, NULL, 0);
		begin(server);
		shake();
		expect_fault(&ours, WB_ERR_UNSUPPORTED, "does not speak waybill/1");
		assert_null(SSL_get0_peer_certificate(foreign.ssl)); /* nor do we say more */
		tear_down(NULL);
		set_up(NULL);
	}
}

static void test_another_protocol(void **state)
{
	static const uint8_t alpn[] = "\x02h2\x08http/1.1";
	(void)state;

	meet_peer(false);
	show(ed25519(PEER_KEY));
	SSL_CTX_set_alpn_protos(foreign.context, alpn, sizeof(alpn) - 1);
	begin(false);
	shake();
	expect_fault(&ours, WB_ERR_UNSUPPORTED, "does not speak waybill/1");
}

static void test_no_cipher_in_common(void **state)
{
	(void)state;
	meet_peer(false);
	show(ed25519(PEER_KEY));
	SSL_CTX_set_ciphersuites(foreign.context, "TLS_AES_256_GCM_SHA384");
	begin(false);
	shake();
	expect_fault(&ours, WB_ERR_UNSUPPORTED, "in common");
}

/* One whose processor has no AES puts the other first. */
static void test_cipher_that_a_client_prefers(void **state)
{
	(void)state;
	meet_peer(false);
	show(ed25519(PEER_KEY));
	SSL_CTX_set_ciphersuites(foreign.context,
				 "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256");
	begin(false);
	shake();
	expect_open(&ours);
	assert_string_equal(SSL_get_cipher_name(foreign.ssl), "TLS_CHACHA20_POLY1305_SHA256");
}

/* ---- keys ---- */

/* Shows one key and signs with another. */
static EVP_PKEY *false_key(void)
{
	struct wbi_private_key shown = private_key(PEER_KEY), used = private_key(OTHER_KEY);
	OSSL_PARAM params[] = {
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, shown.public_key.ed25519, 32),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, used.seed, 32),
		OSSL_PARAM_END,
	};
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "ED25519", NULL);
	EVP_PKEY *key = NULL;

	assert_int_equal(EVP_PKEY_fromdata_init(context), 1);
	assert_int_equal(EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, params), 1);
	EVP_PKEY_CTX_free(context);
	return key;
}

static void test_client_without_a_key(void **state)
{
	(void)state;
	meet_peer(false);
	begin(false);
	shake();
	expect_fault(&ours, WB_ERR_REFUSED, "no certificate with an Ed25519 key");
}

static void test_client_with_rsa(void **state)
{
	(void)state;
	meet_peer(false);
	show(EVP_RSA_gen(2048));
	begin(false);
	shake();
	expect_fault(&ours, WB_ERR_REFUSED, "Ed25519");
}

static void test_server_with_rsa(void **state)
{
	(void)state;
	meet_peer(true);
	show(EVP_RSA_gen(2048));
	begin(true);
	shake();
	expect_fault(&ours, WB_ERR_REFUSED, "nothing in common");
}

/* The key is right, and would be let in; but who shows it does not have it. */
static void test_false_signature(void **state)
{
	(void)state;
	for (int server = 0; server < 2; server++) {
		meet_peer(server);
		show(false_key());
		begin(server);
		shake();
		expect_fault(&ours, WB_ERR_REFUSED, "signature of the handshake does not hold");
		assert_null(wbi_tls_peer(ours.tls));
		tear_down(NULL);
		set_up(NULL);
	}
}

static unsigned judged;

static enum wb_err refuse_key(void *context, const struct wbi_public_key *key,
			      struct wb_fault *fault)
{
	(void)context;
	(void)key;
	judged++;
	return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0, "not whom we want");
}

/* A host that cannot sign with the key that it shows: nobody is asked about that key. */
static void test_unproven_key_is_not_judged(void **state)
{
	(void)state;
	judged = 0;
	meet_peer(true);
	wbi_tls_set_judge(ours.tls, refuse_key, NULL);
	show(false_key());
	begin(true);
	shake();
	expect_fault(&ours, WB_ERR_REFUSED, "signature of the handshake does not hold");
	assert_int_equal(judged, 0);
}

/* A host that does not want to know who we are is judged all the same. */
static void test_host_that_asks_for_no_key(void **state)
{
	(void)state;
	judged = 0;
	meet_peer(true);
	SSL_CTX_set_verify(foreign.context, SSL_VERIFY_NONE, NULL);
	wbi_tls_set_judge(ours.tls, refuse_key, NULL);
	show(ed25519(PEER_KEY));
	begin(true);
	shake();
	expect_fault(&ours, WB_ERR_REFUSED, "not whom we want");
	assert_int_equal(judged, 1);
}

static int choose_another(SSL *ssl, const unsigned char **out, unsigned char *out_bytes,
			  const unsigned char *in, unsigned in_bytes, void *context)
{
	(void)ssl;
	(void)in;
	(void)in_bytes;
	(void)context;
	*out = (const unsigned char *)"h2";
	*out_bytes = 2;
	return SSL_TLSEXT_ERR_OK;
}

static enum wb_err take_key(void *context, const struct wbi_public_key *key, struct wb_fault *fault)
{
	(void)context;
	(void)key;
	(void)fault;
	judged++;
	return WB_OK;
}

/* What is no Waybill does not see our key, and nobody is asked whether its own is right. */
static void test_no_key_for_another_protocol(void **state)
{
	(void)state;
	for (int another = 0; another < 2; another++) {
		judged = 0;
		meet_peer(true);
		wbi_tls_set_judge(ours.tls, take_key, NULL);
		show(ed25519(PEER_KEY));
		SSL_CTX_set_alpn_select_cb(foreign.context, another ? choose_another : NULL, NULL);
		begin(true);
		shake();
		assert_non_null(wbi_tls_fault(ours.tls));
		if (!another)
			expect_fault(&ours, WB_ERR_UNSUPPORTED, "does not speak waybill/1");
		assert_null(SSL_get0_peer_certificate(foreign.ssl));
		assert_false(SSL_is_init_finished(foreign.ssl));
		assert_int_equal(judged, 0);
		tear_down(NULL);
		set_up(NULL);
	}
}

static int refuse_all(X509_STORE_CTX *store, void *context)
{
	(void)context;
	X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REVOKED);
	return 0;
}

/* What the other side says in an alert is told. A client is done before the server has looked. */
static void test_refused_by_the_peer(void **state)
{
	char got[8];
	(void)state;

	meet_peer(true);
	show(ed25519(PEER_KEY));
	SSL_CTX_set_cert_verify_callback(foreign.context, refuse_all, NULL);
	begin(true);
	shake();
	assert_int_equal(wbi_tls_read(ours.tls, got, sizeof(got)), -EPROTO);
	expect_fault(&ours, WB_ERR_REFUSED, "the peer refuses: certificate revoked");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_any_certificate_of_ed25519),
		TEST(test_our_certificate),
		TEST(test_plain_text),
		TEST(test_too_much_before_it_is_known),
		TEST(test_tls_1_2_only),
		TEST(test_no_protocol_named),
		TEST(test_another_protocol),
		TEST(test_no_cipher_in_common),
		TEST(test_cipher_that_a_client_prefers),
		TEST(test_client_without_a_key),
		TEST(test_client_with_rsa),
		TEST(test_server_with_rsa),
		TEST(test_false_signature),
		TEST(test_unproven_key_is_not_judged),
		TEST(test_host_that_asks_for_no_key),
		TEST(test_no_key_for_another_protocol),
		TEST(test_refused_by_the_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
