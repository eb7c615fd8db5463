/* The TLS engine against peers that it must refuse, each with words of its own: what is no TLS at
 * all, other versions and protocols, other keys or none, false signatures, floods. The other side
 * is bare OpenSSL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "tls_wire.h"

enum { OUR_KEY = 1, PEER_KEY = 2, OTHER_KEY = 3, PATIENCE = 100 };

static struct wire wire;
static struct side ours;

/* ---- the foreign side ---- */

struct foreign {
	SSL_CTX *context;
	SSL *ssl;
};

static struct foreign foreign;

static EVP_PKEY *ed25519(uint8_t number)
{
	const uint8_t seed[32] = {number};

	return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
}

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

/* A certificate as any tool would make it, signed by its own key. */
static X509 *certificate(EVP_PKEY *key, EVP_PKEY *signer)
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

static void show(EVP_PKEY *key)
{
	EVP_PKEY *signer = EVP_PKEY_is_a(key, "RSA") ? NULL : ed25519(PEER_KEY);
	X509 *made = certificate(key, signer ? signer : key);

	assert_int_equal(SSL_CTX_use_certificate(foreign.context, made), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(foreign.context, key), 1);
	X509_free(made);
	EVP_PKEY_free(signer);
	EVP_PKEY_free(key);
}

static int accept_any(int ok, X509_STORE_CTX *store)
{
	(void)ok;
	(void)store;
	return 1;
}

static int choose_first(SSL *ssl, const unsigned char **out, unsigned char *out_bytes,
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
static void meet_peer(bool server)
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

static void begin(bool server)
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
static void relay(void)
{
	uint8_t data[4096];
	int n;

	while ((n = (int)end_read(&wire.ends[1], data, sizeof(data))) > 0)
		BIO_write(SSL_get_rbio(foreign.ssl), data, n);
	while ((n = BIO_read(SSL_get_wbio(foreign.ssl), data, sizeof(data))) > 0)
		end_write(&wire.ends[1], data, (size_t)n);
}

/* Both go as far as they get. */
static void shake(void)
{
	for (int i = 0; i < PATIENCE; i++) {
		side_step(&ours);
		relay();
		SSL_do_handshake(foreign.ssl);
		relay();
	}
	ERR_clear_error();
}

static int set_up(void **state)
{
	(void)state;
	foreign = (struct foreign){0};
	ours = (struct side){0};
	wire_open(&wire);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	SSL_free(foreign.ssl);
	SSL_CTX_free(foreign.context);
	side_close(&ours);
	wire_close(&wire);
	return 0;
}

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

/* ---- keys ---- */

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

/* ---- floods, once it is known ---- */

static void flood_with_key_updates(int kind, int count)
{
	char got[8];

	meet_peer(false);
	show(ed25519(PEER_KEY));
	begin(false);
	shake();
	expect_open(&ours);
	for (int i = 0; i < count; i++) {
		assert_int_equal(SSL_key_update(foreign.ssl, kind), 1);
		SSL_do_handshake(foreign.ssl);
		relay();
		wbi_tls_read(ours.tls, got, sizeof(got));
	}
}

static void test_key_updates_are_fine(void **state)
{
	char got[8];
	(void)state;

	flood_with_key_updates(SSL_KEY_UPDATE_REQUESTED, 20);
	assert_int_equal(SSL_write(foreign.ssl, "x", 1), 1);
	relay();
	assert_int_equal(wbi_tls_read(ours.tls, got, sizeof(got)), 1);
	assert_int_equal(put(&ours, "y", 1), 1);
	relay();
	assert_int_equal(SSL_read(foreign.ssl, got, sizeof(got)), 1);
}

static void test_key_updates_without_end(void **state)
{
	(void)state;
	flood_with_key_updates(SSL_KEY_UPDATE_NOT_REQUESTED, 100);
	expect_fault(&ours, WB_ERR_LIMIT, "without end");
}

/* A word in between is no excuse. */
static void test_key_updates_with_a_little_text(void **state)
{
	char got[8];
	(void)state;

	flood_with_key_updates(SSL_KEY_UPDATE_NOT_REQUESTED, 0);
	for (int i = 0; i < 100; i++) {
		if (i % 8 == 0)
			assert_int_equal(SSL_write(foreign.ssl, "x", 1), 1);
		assert_int_equal(SSL_key_update(foreign.ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		SSL_do_handshake(foreign.ssl);
		relay();
		wbi_tls_read(ours.tls, got, sizeof(got));
	}
	expect_fault(&ours, WB_ERR_LIMIT, "without end");
}

/* It asks and asks, and takes none of the answers. */
static void test_answers_that_nobody_takes(void **state)
{
	(void)state;
	wire.ends[0].room = 4096;
	flood_with_key_updates(SSL_KEY_UPDATE_REQUESTED, 100);
	expect_fault(&ours, WB_ERR_LIMIT, "without end");
}

static void test_tickets_without_end(void **state)
{
	char got[8];
	(void)state;

	meet_peer(true);
	show(ed25519(PEER_KEY));
	SSL_CTX_set_session_id_context(foreign.context, (const uint8_t *)"x", 1);
	begin(true);
	shake();
	expect_open(&ours);
	for (int i = 0; i < 100; i++) {
		SSL_new_session_ticket(foreign.ssl);
		SSL_do_handshake(foreign.ssl);
		relay();
		wbi_tls_read(ours.tls, got, sizeof(got));
	}
	expect_fault(&ours, WB_ERR_LIMIT, "without end");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

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
		TEST(test_client_without_a_key),
		TEST(test_client_with_rsa),
		TEST(test_server_with_rsa),
		TEST(test_false_signature),
		TEST(test_unproven_key_is_not_judged),
		TEST(test_host_that_asks_for_no_key),
		TEST(test_refused_by_the_peer),
		TEST(test_key_updates_are_fine),
		TEST(test_key_updates_without_end),
		TEST(test_key_updates_with_a_little_text),
		TEST(test_answers_that_nobody_takes),
		TEST(test_tickets_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
