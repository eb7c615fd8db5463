/* TLS: an engine of bytes in and bytes out. It knows no socket, no loop and no clock.
 *
 * TLS 1.3 only, ALPN `waybill/1`, and on both sides a certificate that is nothing but a wrapping of
 * an Ed25519 key. Any such key is let through: whoever owns the connection asks wbi_tls_peer once
 * the handshake is done, resumed or not, and decides. No chain, name or date counts, and neither
 * does the certificate's own signature; what counts is that the handshake was signed with the key.
 *
 * Bytes move through two functions that the owner gives (struct wbi_tls_io): straight from the
 * peer into the engine's buffer and straight out of it. One connection is used by one thread at a
 * time, a context by any number. tls_link.h puts a socket below all this.
 * Protocol: "Trust". Sources: RFC 8446, RFC 7301, RFC 8410. */
#ifndef WBI_TLS_H
#define WBI_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "keys/public_key.h"
#include "transport/identity.h"
#include "waybill/err.h"

#define WBI_TLS_ALPN "waybill/1"

enum {
	WBI_TLS_RECORD_BYTES = 16384,    /* of plaintext, at most */
	WBI_TLS_HANDSHAKE_BYTES = 16384, /* that a peer may send before it is known */
	WBI_TLS_TICKET_AT = 8,           /* the record of a server that its ticket precedes */
	WBI_TLS_UNSENT_BYTES = 262144,   /* past that nothing more is read from the peer */
};

/* ---- what all connections of a side share ---- */

enum wbi_tls_role { WBI_TLS_CLIENT, WBI_TLS_SERVER };

struct wbi_tls_context; /* opaque, heap */

/* This is where OpenSSL starts: make one only where TLS is spoken. identity: of all its
 * connections; borrowed until the context and they are freed. A client's may be NULL: see
 * wbi_tls_set_identity. A server makes its ticket keys here; a client keeps the newest ticket, in
 * memory, for its next connection: so a client's context is for one server. A ticket comes to those
 * that stay: making it costs a quarter of the server's handshake, and nobody comes back to a short
 * call. Returns WB_OK; WB_ERR_NOMEM; WB_ERR_UNSUPPORTED: this OpenSSL lacks something. Does not
 * block. */
WB_WARN_UNUSED enum wb_err wbi_tls_context_new(enum wbi_tls_role role,
					       const struct wbi_identity *identity,
					       struct wbi_tls_context **ret_context,
					       struct wb_fault *fault);

/* After the last of its connections was freed. NULL is allowed. */
void wbi_tls_context_free(struct wbi_tls_context *context);

/* ---- one connection ---- */

/* Where bytes come from and go to; each returns > 0, -EAGAIN, or another -errno; read also 0 at the
 * end of the stream. */
struct wbi_tls_io {
	ssize_t (*read)(void *context, void *data, size_t bytes);
	ssize_t (*write)(void *context, const void *data, size_t bytes);
};

struct wbi_tls; /* opaque, heap */

/* A connection before its handshake. Returns WB_OK or WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_tls_new(struct wbi_tls_context *context, struct wbi_tls **ret_tls,
				       struct wb_fault *fault);
void wbi_tls_free(struct wbi_tls *tls); /* says nothing to the peer; NULL is allowed */

/* Sets (or changes) where bytes come from and go to. io: static. */
void wbi_tls_set_io(struct wbi_tls *tls, const struct wbi_tls_io *io, void *io_context);

/* For a client: writes its first words, and reads no answer yet. What follows may call the judge.
 */
void wbi_tls_say_hello(struct wbi_tls *tls);

/* For a client whose context has no identity: whom this connection shows. Due before its handshake
 * goes on, but not before wbi_tls_say_hello: so a key can be read while the server is at work.
 * identity: borrowed until tls is freed.
 * Returns WB_OK; WB_ERR_UNSUPPORTED as wbi_tls_context_new. Does not block. */
WB_WARN_UNUSED enum wb_err wbi_tls_set_identity(struct wbi_tls *tls,
						const struct wbi_identity *identity,
						struct wb_fault *fault);

/* Is that the key of whom we want to speak with? Returns WB_OK, or says in `fault` why not: that
 * ends the handshake and is what wbi_tls_fault says. May block; may not touch the connection. */
typedef enum wb_err wbi_tls_judge_fn(void *context, const struct wbi_public_key *key,
				     struct wb_fault *fault);

/* For a client: has the server's key judged once it is proven and `waybill/1` agreed, and before
 * our own key is shown or signs anything; after a resumption, which shows none, before the
 * handshake counts as done. Not set: every key will do. */
void wbi_tls_set_judge(struct wbi_tls *tls, wbi_tls_judge_fn *judge, void *judge_context);

/* Takes the handshake as far as the bytes go. ret_done: it has held, and wbi_tls_peer is known.
 * Reading and writing do this too; a client calls it to look at the server's key before the first
 * byte of its own.
 * Returns WB_OK or what wbi_tls_fault says. Blocks only where an agent signs (see identity.h). */
WB_WARN_UNUSED enum wb_err wbi_tls_handshake(struct wbi_tls *tls, bool *ret_done,
					     struct wb_fault *fault);

/* Plaintext, with the meaning of wbi_link_read and wbi_link_write (-EAGAIN also until the handshake
 * is done). A write takes whole records, from several parts where those are small; what it took is
 * taken, even where the io did not take it yet: see wbi_tls_flush; -EAGAIN also while
 * wbi_tls_is_interrupted.
 * Read: 0 is an end that the peer said itself; -ECONNRESET is one that it did not. -EPROTO:
 * wbi_tls_fault says what. */
ssize_t wbi_tls_read(struct wbi_tls *tls, void *data, size_t bytes);
ssize_t wbi_tls_write(struct wbi_tls *tls, const struct iovec *parts, int count);

/* Writes what the io did not take before. 0: nothing is left; -EAGAIN; or another -errno. */
int wbi_tls_flush(struct wbi_tls *tls);

/* Says the end of what we write (close_notify); reading goes on. 0: said and flushed; -EAGAIN: call
 * again once wbi_tls_flush returns 0, the handshake is done and wbi_tls_is_interrupted is over; or
 * another -errno. */
int wbi_tls_shutdown(struct wbi_tls *tls);

bool wbi_tls_is_open(const struct wbi_tls *tls);    /* the handshake is done, nothing has failed */
bool wbi_tls_awaits_key(const struct wbi_tls *tls); /* a server: all that is left is the peer's */
bool wbi_tls_has_unsent(const struct wbi_tls *tls); /* for wbi_tls_flush */
bool wbi_tls_has_unread(const struct wbi_tls *tls); /* a read need not wait for the io */

/* The peer takes nothing of what it makes us say (WBI_TLS_UNSENT_BYTES): reading is of no use
 * before wbi_tls_flush has got some of it through. */
bool wbi_tls_is_choked(const struct wbi_tls *tls);

/* A message of TLS's own came in part, and nothing can be written before the io has had the rest.
 */
bool wbi_tls_is_interrupted(const struct wbi_tls *tls);

/* The peer's key, proven; NULL until the handshake is done. Borrowed from the connection. After a
 * resumption it is the key of the handshake that made the ticket: whoever decides by a list that
 * may have changed decides anew. */
const struct wbi_public_key *wbi_tls_peer(const struct wbi_tls *tls);
bool wbi_tls_is_resumed(const struct wbi_tls *tls);

/* Why it failed, in words that may be shown; NULL as long as it has not. err is WB_ERR_MALFORMED
 * (not TLS, or bad TLS), WB_ERR_UNSUPPORTED (no TLS 1.3, no waybill/1), WB_ERR_REFUSED (no
 * certificate, not Ed25519, signature does not hold, the peer refuses us, or the agent is not there
 * to sign), WB_ERR_LIMIT, WB_ERR_CLOSED (it went away), WB_ERR_SYSTEM; or what the agent or the
 * judge has answered. */
const struct wb_fault *wbi_tls_fault(const struct wbi_tls *tls);

#endif
