/* OpenSSL's view of the bytes below a connection: a BIO that asks tls->io, sends several records
 * together, and holds what the io would not take.
 *
 * The BIO takes every write, so that OpenSSL never has a record half written, which it could only
 * finish with the very same data. tls.c starts no new record while something is unsent. */
#include <errno.h>
#include <openssl/bio.h>
#include <string.h>

#include "transport/tls_state.h"

/* Beyond the unsent bytes at which reading stops: what one read may add to them. */
enum { SLACK_BYTES = 65536 };

/* A write alone must not stop reading: two peers that wait to write would wait for ever. It leaves
 * at most what was gathered, the record that did not fit, and a key update or ticket before it. */
_Static_assert((int)WBI_TLS_UNSENT_BYTES > WBI_TLS_GATHERED_BYTES + 2 * WBI_TLS_SEALED_BYTES,
	       "a write stops reading");

/* ---- reading ---- */

static size_t allowance(struct wbi_tls *tls, size_t bytes)
{
	size_t left = WBI_TLS_HANDSHAKE_BYTES - tls->received;

	if (tls->state != WBI_TLS_HANDSHAKE || bytes <= left)
		return bytes;
	if (left == 0)
		tls->misdeed = WBI_TLS_OVER_BUDGET;
	return left;
}

static void note_received(struct wbi_tls *tls, const uint8_t *data, size_t bytes)
{
	if (tls->state != WBI_TLS_HANDSHAKE)
		return;
	for (size_t i = 0; i < bytes && tls->received + i < sizeof(tls->first); i++)
		tls->first[tls->received + i] = data[i];
	tls->received += bytes;
}

/* Nothing to be had now: none has come, or the peer must first take what it makes us say. */
static int try_later(BIO *bio)
{
	BIO_set_retry_read(bio);
	return -1;
}

static int io_read(BIO *bio, char *data, int bytes)
{
	struct wbi_tls *tls = BIO_get_data(bio);
	size_t wanted;
	ssize_t n;

	BIO_clear_retry_flags(bio);
	if (tls->drained || wbi_tls_is_choked(tls))
		return try_later(bio);
	wanted = allowance(tls, (size_t)bytes);
	if (tls->misdeed)
		return -1;
	n = tls->io->read(tls->io_context, data, wanted);
	if (n == -EAGAIN)
		return try_later(bio);
	if (n < 0)
		tls->read_error = (int)-n;
	tls->ended = n == 0;
	if (n <= 0)
		return (int)(n < 0 ? -1 : 0);
	tls->drained = (size_t)n < wanted;
	note_received(tls, (const uint8_t *)data, (size_t)n);
	return (int)n;
}

/* ---- writing ---- */

static void hold_back(struct wbi_tls *tls, const void *data, size_t bytes)
{
	if (wbi_buf_append(&tls->unsent, data, bytes) != WB_OK)
		tls->write_error = ENOBUFS;
}

static void send_now(struct wbi_tls *tls, const void *data, size_t bytes)
{
	ssize_t n = 0;

	if (!tls->write_error && wbi_buf_bytes(&tls->unsent) == 0)
		n = tls->io->write(tls->io_context, data, bytes);
	if (n < 0 && n != -EAGAIN)
		tls->write_error = (int)-n;
	if (n < 0)
		n = 0;
	if (!tls->write_error && (size_t)n < bytes)
		hold_back(tls, (const uint8_t *)data + n, bytes - (size_t)n);
}

void wbi_tls_send_gathered(struct wbi_tls *tls)
{
	if (tls->gathered->bytes > 0)
		send_now(tls, tls->gathered->data, tls->gathered->bytes);
	tls->gathered->bytes = 0;
}

static void gather(struct wbi_tls *tls, const void *data, size_t bytes)
{
	struct wbi_tls_gathered *gathered = tls->gathered;

	if (bytes > sizeof(gathered->data) - gathered->bytes)
		wbi_tls_send_gathered(tls);
	if (bytes > sizeof(gathered->data)) {
		send_now(tls, data, bytes);
		return;
	}
	memcpy(gathered->data + gathered->bytes, data, bytes);
	gathered->bytes += bytes;
	/* No later: if the io takes none of it now, no further record is to be made and held. */
	if (sizeof(gathered->data) - gathered->bytes < WBI_TLS_SEALED_BYTES)
		wbi_tls_send_gathered(tls);
}

static int io_write(BIO *bio, const char *data, int bytes)
{
	struct wbi_tls *tls = BIO_get_data(bio);

	if (tls->gathered)
		gather(tls, data, (size_t)bytes);
	else
		send_now(tls, data, (size_t)bytes);
	return bytes;
}

int wbi_tls_flush(struct wbi_tls *tls)
{
	while (!tls->write_error && wbi_buf_bytes(&tls->unsent) > 0) {
		struct wbi_slice rest = wbi_buf_peek(&tls->unsent);
		ssize_t n = tls->io->write(tls->io_context, rest.data, rest.bytes);

		if (n == -EAGAIN)
			return -EAGAIN;
		if (n < 0)
			tls->write_error = (int)-n;
		else
			wbi_buf_consume(&tls->unsent, (size_t)n);
	}
	wbi_buf_reset(&tls->unsent);
	return -tls->write_error;
}

/* ---- the BIO ---- */

static long io_control(BIO *bio, int command, long number, void *pointer)
{
	(void)number;
	(void)pointer;
	if (command == BIO_CTRL_EOF)
		return ((struct wbi_tls *)BIO_get_data(bio))->ended;
	return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method;

static void make_method(void)
{
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "waybill");
	if (method && BIO_meth_set_read(method, io_read) && BIO_meth_set_write(method, io_write) &&
	    BIO_meth_set_ctrl(method, io_control))
		return;
	BIO_meth_free(method);
	method = NULL;
}

BIO *wbi_tls_bio_new(struct wbi_tls *tls)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	BIO *bio;

	pthread_once(&once, make_method);
	bio = method ? BIO_new(method) : NULL;
	if (!bio)
		return NULL;
	wbi_buf_init(&tls->unsent, WBI_TLS_UNSENT_BYTES + SLACK_BYTES);
	BIO_set_data(bio, tls);
	BIO_set_init(bio, 1);
	return bio;
}
