/* Pumps through TLS: what a descriptor says, to a connection; bare OpenSSL, and a link of ours. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <unistd.h>

#include "../bench.h"
#include "tls_pump.h"
#include "transport/tls_link.h"

enum { BLOCK_BYTES = 4 * BENCH_BUFFER_BYTES, WAIT_MS = 10000 };

static uint8_t block[BLOCK_BYTES];

/* ---- bare OpenSSL ---- */

static SSL_CTX *bare_context(bool server)
{
	SSL_CTX *context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	X509 *certificate = X509_new();

	X509_set_version(certificate, X509_VERSION_3);
	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_set_pubkey(certificate, key);
	if (!X509_sign(certificate, key, NULL) ||
	    !SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) ||
	    !SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") ||
	    !SSL_CTX_use_certificate(context, certificate) || !SSL_CTX_use_PrivateKey(context, key))
		bench_die("bare OpenSSL");
	X509_free(certificate);
	EVP_PKEY_free(key);
	return context;
}

void bench_tls_pump_bare(int from, int to)
{
	static SSL_CTX *context;
	SSL *ssl;
	ssize_t got;

	if (!context)
		context = bare_context(true);
	ssl = SSL_new(context);
	SSL_set_fd(ssl, to);
	if (SSL_accept(ssl) != 1)
		bench_die("SSL_accept");
	while ((got = read(from, block, sizeof(block))) > 0)
		if (SSL_write(ssl, block, (int)got) != got)
			bench_die("SSL_write");
	SSL_shutdown(ssl);
	SSL_free(ssl);
}

uint64_t bench_tls_read_bare(int fd)
{
	static SSL_CTX *context;
	uint64_t total = 0;
	SSL *ssl;
	int got;

	if (!context)
		context = bare_context(false);
	ssl = SSL_new(context);
	SSL_set_fd(ssl, fd);
	if (SSL_connect(ssl) != 1)
		bench_die("SSL_connect");
	while ((got = SSL_read(ssl, block, sizeof(block))) > 0)
		total += (uint64_t)got;
	SSL_free(ssl);
	return total;
}

/* ---- our link ---- */

static struct wbi_tls_context *link_context(enum wbi_tls_role role)
{
	const uint8_t seed[WBI_PRIVATE_KEY_SEED_BYTES] = {(uint8_t)(role + 1)};
	struct wbi_private_key key;
	struct wbi_identity *identity;
	struct wbi_tls_context *context;

	if (wbi_private_key_from_seed(seed, "", 0, &key, NULL) ||
	    wbi_identity_new(&key, &identity, NULL) ||
	    wbi_tls_context_new(role, identity, &context, NULL))
		bench_die("a TLS context");
	return context;
}

static void open_link(struct wbi_stream_link *stream, struct wbi_tls_context *context, int fd)
{
	struct wbi_tls *tls;

	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	if (wbi_tls_new(context, &tls, NULL) ||
	    wbi_tls_link_init(stream, tls, NULL, fd, NULL, 0, NULL))
		bench_die("a TLS link");
}

/* Until the link can go on with what is wanted. */
static void await(struct wbi_stream_link *stream, unsigned wanted)
{
	bool now;
	unsigned wants = wbi_tls_link_wants(stream, wanted, &now);
	struct pollfd wait = {.fd = stream->watch.fd};

	wait.events = (short)((wants & WBI_READ ? POLLIN : 0) | (wants & WBI_WRITE ? POLLOUT : 0));
	if (!now && poll(&wait, 1, WAIT_MS) <= 0)
		bench_die("waiting for a TLS link");
	wbi_tls_link_ready(stream, (wait.revents & POLLIN ? WBI_READ : 0) |
					   (wait.revents & POLLOUT ? WBI_WRITE : 0));
}

static void write_link(struct wbi_stream_link *stream, size_t bytes)
{
	struct iovec part = {block, bytes};

	while (part.iov_len > 0) {
		ssize_t put = wbi_link_write(&stream->link, &part, 1);

		if (put == -EAGAIN) {
			await(stream, WBI_WRITE);
			continue;
		}
		if (put < 0)
			bench_die("writing a TLS link");
		part.iov_base = (uint8_t *)part.iov_base + put;
		part.iov_len -= (size_t)put;
	}
}

void bench_tls_pump_link(int from, int to)
{
	static struct wbi_tls_context *context;
	struct wbi_stream_link stream;
	ssize_t got;

	if (!context)
		context = link_context(WBI_TLS_SERVER);
	open_link(&stream, context, dup(to));
	while ((got = read(from, block, sizeof(block))) > 0)
		write_link(&stream, (size_t)got);
	wbi_link_shutdown(&stream.link);
	while (wbi_tls_has_unsent(wbi_tls_link_peek(&stream)))
		await(&stream, 0);
	wbi_link_close(&stream.link);
}

uint64_t bench_tls_read_link(int fd)
{
	static struct wbi_tls_context *context;
	struct wbi_stream_link stream;
	uint64_t total = 0;
	ssize_t got;

	if (!context)
		context = link_context(WBI_TLS_CLIENT);
	open_link(&stream, context, dup(fd));
	while ((got = wbi_link_read(&stream.link, block, sizeof(block))) != 0) {
		if (got == -EAGAIN)
			await(&stream, WBI_READ);
		else if (got < 0)
			bench_die("reading a TLS link");
		else
			total += (uint64_t)got;
	}
	wbi_link_close(&stream.link);
	return total;
}
