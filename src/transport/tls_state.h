/* Inside the TLS engine: what its files share.
 *
 *   tls.c           a connection: handshake, reading, writing
 *   tls_context.c   what connections share: OpenSSL's start, the certificate, tickets
 *   tls_io.c        OpenSSL's view of the bytes below: budgets, what was not taken yet
 *   tls_fault.c     why it failed, in words
 *   tls_key.c       OpenSSL's key of an identity */
#ifndef WBI_TLS_STATE_H
#define WBI_TLS_STATE_H

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdint.h>

#include "base/buf.h"
#include "transport/tls.h"

enum {
	WBI_TLS_FIRST_BYTES = 8, /* enough to tell what the peer speaks */
	WBI_TLS_SEALED_BYTES = 5 + WBI_TLS_RECORD_BYTES + 1 + 16, /* a full record, RFC 8446, 5.2 */
	WBI_TLS_GATHERED_BYTES = 8 * WBI_TLS_SEALED_BYTES,
	WBI_TLS_MESSAGES_MAX = 32,     /* behind the handshake, beyond one for each record */
	WBI_TLS_REKEY_AFTER = 1 << 22, /* records; RFC 8446, 5.5 allows 2^24.5 */
};

struct wbi_tls_context {
	SSL_CTX *ssl_context;
	const struct wbi_identity *identity;
	enum wbi_tls_role role;
	unsigned rekey_after;
	pthread_mutex_t lock;
	SSL_SESSION *ticket; /* client: of the newest connection; under the lock */
	_Atomic(struct wbi_tls_gathered *) spare; /* for the next write of several records */
};

enum wbi_tls_state {
	WBI_TLS_HANDSHAKE,
	WBI_TLS_OPEN,
	WBI_TLS_FAILED,
};

/* What of a peer's conduct OpenSSL does not refuse by itself, or not in words of ours. */
enum wbi_tls_misdeed {
	WBI_TLS_NONE,
	WBI_TLS_NO_ALPN,
	WBI_TLS_NOT_ED25519,
	WBI_TLS_WEAK_KEY,
	WBI_TLS_OVER_BUDGET,
	WBI_TLS_FLOOD,
	WBI_TLS_UNWANTED, /* our own judge has said why */
};

/* Records of one write, to be sent together: a record at a time, each would wake the peer. */
struct wbi_tls_gathered {
	size_t bytes;
	uint8_t data[WBI_TLS_GATHERED_BYTES];
};

struct wbi_tls {
	SSL *ssl;
	struct wbi_tls_context *context;
	enum wbi_tls_state state;
	enum wbi_tls_misdeed misdeed;
	struct wbi_public_key peer;
	bool known;              /* the peer is: the handshake has held */
	wbi_tls_judge_fn *judge; /* NULL: none */
	void *judge_context;
	bool judged;
	bool finished_said; /* our last message of the handshake was written */

	/* below (tls_io.c) */
	const struct wbi_tls_io *io;
	void *io_context;
	struct wbi_buf unsent;             /* said by OpenSSL, and not taken by the io */
	struct wbi_tls_gathered *gathered; /* during a write of several records; else NULL */
	bool drained;    /* the io had less than was asked for: asking again is a waste */
	bool ended;      /* the io is at its end */
	int read_error;  /* errno */
	int write_error; /* errno */
	size_t received; /* before the peer is known */
	uint8_t first[WBI_TLS_FIRST_BYTES];

	/* above */
	bool unread;       /* a read may find something without the io */
	bool end_said;     /* close_notify was written */
	bool end_heard;    /* and read */
	int alert;         /* that was sent because of what the peer did; 0: none */
	unsigned messages; /* of the handshake kind beyond the records of plaintext */
	unsigned records;  /* written under this key */
	int error;         /* FAILED: errno that reads and writes return */
	struct wb_fault fault;
};

/* ---- tls_io.c ---- */

/* OpenSSL's two ends of tls->io. NULL: no memory. */
BIO *wbi_tls_bio_new(struct wbi_tls *tls);

/* Sends what a write has gathered; what is not taken is unsent. */
void wbi_tls_send_gathered(struct wbi_tls *tls);

/* ---- tls.c ---- */

/* The server's key is proven, and OpenSSL is about to show ours: 1, or -1 where the server has not
 * agreed to our protocol, or the judge says no. */
int wbi_tls_before_our_key(SSL *ssl, void *context);

/* OpenSSL tells of a message: those behind the handshake are counted, our alerts are noted. */
void wbi_tls_on_message(int is_written, int version, int type, const void *data, size_t bytes,
			SSL *ssl, void *context);

/* ---- tls_fault.c ---- */

/* OpenSSL has given up (SSL_get_error was not WANT_...), or we have: fills tls->fault and ->error
 * from OpenSSL's queue of errors, the misdeed, and what came from the io. signing: what the agent
 * said if it was asked (else err is WB_OK); may be NULL. */
void wbi_tls_explain(struct wbi_tls *tls, const struct wb_fault *signing);

/* ---- tls_key.c ---- */

/* Starts OpenSSL for TLS; returns the library context, NULL if that does not work. */
OSSL_LIB_CTX *wbi_tls_library(void);

/* The identity's key as OpenSSL wants it, once the library has started. NULL: no memory, or not to
 * be had. */
EVP_PKEY *wbi_tls_key_new(const struct wbi_identity *identity);

#endif
