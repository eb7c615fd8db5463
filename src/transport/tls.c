/* A TLS connection: see tls.h.
 *
 * The engine asks OpenSSL for one record at a time. Whatever goes wrong goes through fail()
 * once; from then on the connection says the same to everybody who asks. */
#include "transport/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "transport/agent_provider.h"
#include "transport/tls_state.h"

static void set_state(struct wbi_tls *tls, enum wbi_tls_state state)
{
	tls->state = state;
}

/* SSL_get_error wants OpenSSL's queue of errors empty, and emptying one that is costs more than
 * looking. */
static void forget_errors(void)
{
	if (ERR_peek_error())
		ERR_clear_error();
}

/* signing: what the agent said, if it was asked; may be NULL. */
static void fail(struct wbi_tls *tls, const struct wb_fault *signing)
{
	wbi_tls_explain(tls, signing);
	set_state(tls, WBI_TLS_FAILED);
}

/* ---- making and freeing ---- */

/* A copy, because a connection that fails makes its ticket useless. */
static void offer_ticket(struct wbi_tls *tls)
{
	struct wbi_tls_context *context = tls->context;
	SSL_SESSION *copy;

	pthread_mutex_lock(&context->lock);
	copy = context->ticket ? SSL_SESSION_dup(context->ticket) : NULL;
	pthread_mutex_unlock(&context->lock);
	if (copy)
		SSL_set_session(tls->ssl, copy);
	SSL_SESSION_free(copy);
}

enum wb_err wbi_tls_new(struct wbi_tls_context *context, struct wbi_tls **ret_tls,
			struct wb_fault *fault)
{
	struct wbi_tls *tls = calloc(1, sizeof(*tls));
	BIO *bio;

	if (!tls)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "tls: no memory");
	tls->context = context;
	tls->ssl = SSL_new(context->ssl_context);
	bio = wbi_tls_bio_new(tls);
	if (!tls->ssl || !bio) {
		BIO_free(bio);
		wbi_tls_free(tls);
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "tls: no memory");
	}
	SSL_set_app_data(tls->ssl, tls);
	SSL_set_msg_callback_arg(tls->ssl, tls);
	SSL_set_bio(tls->ssl, bio, bio);
	if (context->role == WBI_TLS_SERVER) {
		SSL_set_accept_state(tls->ssl);
	} else {
		SSL_set_connect_state(tls->ssl);
		tls->unread = true; /* it speaks first, and waits for nobody */
		offer_ticket(tls);
	}
	*ret_tls = tls;
	return WB_OK;
}

void wbi_tls_free(struct wbi_tls *tls)
{
	if (!tls)
		return;
	SSL_free(tls->ssl);
	wbi_buf_done(&tls->unsent);
	free(tls);
}

void wbi_tls_set_io(struct wbi_tls *tls, const struct wbi_tls_io *io, void *io_context)
{
	tls->io = io;
	tls->io_context = io_context;
}

void wbi_tls_set_judge(struct wbi_tls *tls, wbi_tls_judge_fn *judge, void *judge_context)
{
	tls->judge = judge;
	tls->judge_context = judge_context;
}

/* ---- the handshake ---- */

/* OpenSSL answers a flood of key updates and keeps a flood of tickets; here neither has an end but
 * the next read from the io, which then fails (tls_io.c). A record of plaintext makes up for one
 * message: nobody honest needs more, and whoever is not known yet has no more than a header's. */
void wbi_tls_on_message(int is_written, int version, int type, const void *data, size_t bytes,
			SSL *ssl, void *context)
{
	struct wbi_tls *tls = context;
	const uint8_t *message = data;

	(void)version;
	(void)ssl;
	if (!tls)
		return;
	if (is_written && type == SSL3_RT_ALERT && bytes == 2)
		tls->alert = message[1];
	if (is_written && type == SSL3_RT_HANDSHAKE && message[0] == SSL3_MT_FINISHED)
		tls->finished_said = true;
	if (!tls->known || is_written || type != SSL3_RT_HANDSHAKE)
		return;
	if (++tls->messages > WBI_TLS_MESSAGES_MAX)
		tls->misdeed = WBI_TLS_FLOOD;
}

static bool take_peer_key(struct wbi_tls *tls)
{
	X509 *shown = SSL_get0_peer_certificate(tls->ssl);
	EVP_PKEY *key = shown ? X509_get0_pubkey(shown) : NULL;
	size_t bytes = sizeof(tls->peer.ed25519);

	return key && EVP_PKEY_is_a(key, "ED25519") &&
	       EVP_PKEY_get_raw_public_key(key, tls->peer.ed25519, &bytes) == 1 &&
	       bytes == sizeof(tls->peer.ed25519);
}

static bool has_agreed_protocol(const struct wbi_tls *tls)
{
	const unsigned char *name;
	unsigned bytes;

	SSL_get0_alpn_selected(tls->ssl, &name, &bytes);
	return bytes == strlen(WBI_TLS_ALPN) && memcmp(name, WBI_TLS_ALPN, bytes) == 0;
}

static void judge_peer(struct wbi_tls *tls)
{
	if (!tls->judged && tls->judge &&
	    tls->judge(tls->judge_context, &tls->peer, &tls->fault) != WB_OK)
		tls->misdeed = WBI_TLS_UNWANTED;
	tls->judged = true;
}

/* The judge comes last: it may ask a user, who need not decide about what is no Waybill. */
static void look_at_peer(struct wbi_tls *tls)
{
	if (!take_peer_key(tls))
		tls->misdeed = WBI_TLS_NOT_ED25519;
	else if (wbi_public_key_is_weak(&tls->peer))
		tls->misdeed = WBI_TLS_WEAK_KEY;
	else if (!has_agreed_protocol(tls))
		tls->misdeed = WBI_TLS_NO_ALPN;
	else
		judge_peer(tls);
}

/* OpenSSL asks for our certificate when it has seen all that the server says in the handshake: its
 * protocol, its signature and its Finished. */
int wbi_tls_before_our_key(SSL *ssl, void *context)
{
	struct wbi_tls *tls = SSL_get_app_data(ssl);

	(void)context;
	look_at_peer(tls);
	return tls->misdeed ? -1 : 1;
}

/* A resumption passes no callback that looks at certificates, nor does a server that asks for none:
 * so everything is looked at here. */
static void conclude(struct wbi_tls *tls)
{
	look_at_peer(tls);
	if (tls->misdeed) {
		fail(tls, NULL);
		return;
	}
	set_state(tls, WBI_TLS_OPEN);
	tls->known = true;
	tls->unread = true; /* the first words may have come with the end of the handshake */
}

/* Whether OpenSSL merely waits for the io. */
static bool is_waiting(struct wbi_tls *tls, int result)
{
	int error = SSL_get_error(tls->ssl, result);

	return !tls->misdeed && (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE);
}

/* reads: what the io has is asked for; else nothing is heard, however much has come. */
static void go_on(struct wbi_tls *tls, bool reads)
{
	struct wb_fault signing = {.err = WB_OK};
	int result;

	tls->drained = !reads;
	tls->unread = false;
	forget_errors();
	wbi_agent_report_to(&signing);
	result = SSL_do_handshake(tls->ssl);
	wbi_agent_report_to(NULL);
	if (result == 1)
		conclude(tls);
	else if (!is_waiting(tls, result))
		fail(tls, &signing);
}

void wbi_tls_say_hello(struct wbi_tls *tls)
{
	if (tls->state == WBI_TLS_HANDSHAKE)
		go_on(tls, false);
}

enum wb_err wbi_tls_handshake(struct wbi_tls *tls, bool *ret_done, struct wb_fault *fault)
{
	if (tls->state == WBI_TLS_HANDSHAKE)
		go_on(tls, true);
	if (tls->state == WBI_TLS_FAILED) {
		if (fault)
			*fault = tls->fault;
		return tls->fault.err;
	}
	*ret_done = tls->state == WBI_TLS_OPEN;
	return WB_OK;
}

static int nothing_moved(const struct wbi_tls *tls)
{
	return tls->state == WBI_TLS_FAILED ? -tls->error : -EAGAIN;
}

/* Whether plaintext can move; if not, *ret_error says why. */
static bool is_ready(struct wbi_tls *tls, ssize_t *ret_error)
{
	if (tls->state == WBI_TLS_HANDSHAKE)
		go_on(tls, true);
	*ret_error = nothing_moved(tls);
	return tls->state == WBI_TLS_OPEN;
}

/* ---- reading ---- */

/* One record, or what fits of it. 0: none; then the connection has ended, failed, or waits. */
static size_t read_record(struct wbi_tls *tls, uint8_t *data, size_t bytes)
{
	size_t got = 0;
	int result;

	forget_errors();
	result = SSL_read_ex(tls->ssl, data, bytes, &got);
	if (result == 1) {
		if (tls->messages > 0)
			tls->messages--;
		return got;
	}
	if (SSL_get_error(tls->ssl, result) == SSL_ERROR_ZERO_RETURN)
		tls->end_heard = true;
	else if (!is_waiting(tls, result))
		fail(tls, NULL);
	return 0;
}

static ssize_t nothing_read(const struct wbi_tls *tls)
{
	if (tls->state == WBI_TLS_FAILED)
		return -tls->error;
	return tls->end_heard ? 0 : -EAGAIN;
}

ssize_t wbi_tls_read(struct wbi_tls *tls, void *data, size_t bytes)
{
	size_t total = 0, got;
	ssize_t error;

	tls->drained = false;
	if (!is_ready(tls, &error))
		return error;
	do {
		got = read_record(tls, (uint8_t *)data + total, bytes - total);
		total += got;
	} while (got > 0 && total < bytes);
	/* What ended this read is there to be told by the next. */
	tls->unread = total == bytes || (total > 0 && nothing_read(tls) != -EAGAIN);
	return total > 0 ? (ssize_t)total : nothing_read(tls);
}

/* ---- writing ---- */

/* A place in the parts of a write. */
struct cursor {
	const struct iovec *part, *end;
	size_t offset; /* in *part */
};

static size_t bytes_of(const struct iovec *parts, int count)
{
	size_t bytes = 0;

	for (int i = 0; i < count; i++)
		bytes += parts[i].iov_len;
	return bytes;
}

static void advance(struct cursor *at, size_t bytes)
{
	while (at->part < at->end && bytes >= at->part->iov_len - at->offset) {
		bytes -= at->part->iov_len - at->offset;
		at->part++;
		at->offset = 0;
	}
	at->offset += bytes;
}

static void gather(struct cursor at, uint8_t *out, size_t bytes)
{
	while (bytes > 0) {
		size_t here = at.part->iov_len - at.offset;

		if (here > bytes)
			here = bytes;
		if (here > 0)
			memcpy(out, (const uint8_t *)at.part->iov_base + at.offset, here);
		out += here;
		bytes -= here;
		advance(&at, here);
	}
}

static bool write_record(struct wbi_tls *tls, const void *data, size_t bytes)
{
	size_t put;
	int result;

	forget_errors();
	if (++tls->records > tls->context->rekey_after) {
		tls->records = 0;
		SSL_key_update(tls->ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
	}
	if (tls->records == WBI_TLS_TICKET_AT && tls->context->role == WBI_TLS_SERVER)
		SSL_new_session_ticket(tls->ssl);
	result = SSL_write_ex(tls->ssl, data, bytes, &put);
	if (result != 1)
		fail(tls, NULL);
	return result == 1;
}

/* A record from one part needs no copy; small parts are put together in one record. */
static bool write_next(struct wbi_tls *tls, const struct cursor *at, size_t bytes)
{
	uint8_t together[WBI_TLS_RECORD_BYTES];

	if (at->part->iov_len - at->offset >= bytes)
		return write_record(tls, (const uint8_t *)at->part->iov_base + at->offset, bytes);
	gather(*at, together, bytes);
	return write_record(tls, together, bytes);
}

/* Takes in the rest of the message that wbi_tls_is_interrupted speaks of, as far as it has come,
 * with what may be right behind it. Whether writing is possible. */
static bool finish_message(struct wbi_tls *tls)
{
	int result;

	if (!wbi_tls_is_interrupted(tls))
		return true;
	tls->drained = false;
	forget_errors();
	result = SSL_do_handshake(tls->ssl);
	if (result == 1)
		tls->unread = true;
	else if (!is_waiting(tls, result))
		fail(tls, NULL);
	return result == 1;
}

/* Writes records until all is taken or something stays unsent. Returns what was taken. */
static size_t write_records(struct wbi_tls *tls, struct cursor at, size_t left)
{
	size_t taken = 0;

	advance(&at, 0);
	while (left > 0 && !tls->write_error && wbi_buf_bytes(&tls->unsent) == 0) {
		size_t bytes = left < WBI_TLS_RECORD_BYTES ? left : WBI_TLS_RECORD_BYTES;

		if (!write_next(tls, &at, bytes))
			break;
		advance(&at, bytes);
		left -= bytes;
		taken += bytes;
	}
	return taken;
}

/* Connections have the memory by turns, for idle ones are many and need none; it is on the heap,
 * for threads may have small stacks. Without it each record goes by itself. */
static size_t write_gathering(struct wbi_tls *tls, struct cursor at, size_t bytes)
{
	struct wbi_tls_gathered *gathered = atomic_exchange(&tls->context->spare, NULL);
	size_t taken;

	if (!gathered)
		gathered = malloc(sizeof(*gathered));
	if (!gathered)
		return write_records(tls, at, bytes);
	gathered->bytes = 0;
	tls->gathered = gathered;
	taken = write_records(tls, at, bytes);
	wbi_tls_send_gathered(tls);
	tls->gathered = NULL;
	free(atomic_exchange(&tls->context->spare, gathered));
	return taken;
}

ssize_t wbi_tls_write(struct wbi_tls *tls, const struct iovec *parts, int count)
{
	struct cursor at = {parts, parts + count, 0};
	size_t bytes = bytes_of(parts, count), taken;
	ssize_t error;

	if (!is_ready(tls, &error))
		return error;
	if (!finish_message(tls))
		return nothing_moved(tls);
	error = wbi_tls_flush(tls);
	if (error || bytes == 0)
		return error;
	taken = bytes > WBI_TLS_RECORD_BYTES ? write_gathering(tls, at, bytes)
					     : write_records(tls, at, bytes);
	/* What is encrypted is taken, sent or not: the next call tells of the error. */
	return taken > 0 ? (ssize_t)taken : -tls->error;
}

int wbi_tls_shutdown(struct wbi_tls *tls)
{
	ssize_t error;

	if (!is_ready(tls, &error))
		return (int)error;
	if (!tls->end_said && !finish_message(tls))
		return nothing_moved(tls);
	if (!tls->end_said) {
		forget_errors();
		tls->end_said = SSL_shutdown(tls->ssl) >= 0;
		if (!tls->end_said)
			fail(tls, NULL);
	}
	return tls->state == WBI_TLS_FAILED ? -tls->error : wbi_tls_flush(tls);
}

/* ---- how it stands ---- */

bool wbi_tls_is_open(const struct wbi_tls *tls)
{
	return tls->state == WBI_TLS_OPEN;
}

bool wbi_tls_awaits_key(const struct wbi_tls *tls)
{
	return tls->state == WBI_TLS_HANDSHAKE && tls->finished_said;
}

bool wbi_tls_has_unsent(const struct wbi_tls *tls)
{
	return wbi_buf_bytes(&tls->unsent) > 0 && !tls->write_error;
}

bool wbi_tls_has_unread(const struct wbi_tls *tls)
{
	return tls->unread || tls->state == WBI_TLS_FAILED;
}

bool wbi_tls_is_choked(const struct wbi_tls *tls)
{
	return wbi_tls_has_unsent(tls) && tls->state != WBI_TLS_FAILED &&
	       wbi_buf_bytes(&tls->unsent) >= WBI_TLS_UNSENT_BYTES;
}

bool wbi_tls_is_interrupted(const struct wbi_tls *tls)
{
	return tls->state == WBI_TLS_OPEN && SSL_in_init(tls->ssl);
}

const struct wbi_public_key *wbi_tls_peer(const struct wbi_tls *tls)
{
	return tls->known ? &tls->peer : NULL;
}

bool wbi_tls_is_resumed(const struct wbi_tls *tls)
{
	return tls->known && SSL_session_reused(tls->ssl);
}

const struct wb_fault *wbi_tls_fault(const struct wbi_tls *tls)
{
	return tls->state == WBI_TLS_FAILED ? &tls->fault : NULL;
}
