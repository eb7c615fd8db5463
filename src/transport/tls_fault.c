/* Why a TLS connection failed, in words: OpenSSL's codes, our own refusals, and what plain text
 * looks like where TLS should begin. */
#include <ctype.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/sslerr.h>
#include <string.h>

#include "transport/tls_state.h"

/* ---- what is no TLS at all ---- */

enum { RECORD_ALERT = 21, RECORD_HANDSHAKE = 22 };

static bool begins_with(const struct wbi_tls *tls, const char *text)
{
	return tls->received >= strlen(text) && memcmp(tls->first, text, strlen(text)) == 0;
}

static bool is_record(const struct wbi_tls *tls)
{
	return tls->first[0] >= RECORD_ALERT - 1 && tls->first[0] <= RECORD_HANDSHAKE + 1 &&
	       (tls->received < 2 || tls->first[1] == 3);
}

/* A length that a header may have, then a JSON object. */
static bool is_parcel(const struct wbi_tls *tls)
{
	return tls->received >= 5 && tls->first[2] == 0 && tls->first[3] == 0 &&
	       tls->first[4] == '{';
}

static bool is_text(const struct wbi_tls *tls)
{
	size_t bytes = tls->received < sizeof(tls->first) ? tls->received : sizeof(tls->first);

	for (size_t i = 0; i < bytes; i++)
		if (!isprint(tls->first[i]) && !isspace(tls->first[i]))
			return false;
	return true;
}

static const char *foreign_tongue(const struct wbi_tls *tls)
{
	static const char *const web[] = {"GET ",  "POST ",   "HEAD ",  "PUT ",
					  "HTTP/", "CONNECT", "OPTIONS"};

	if (begins_with(tls, "SSH-"))
		return "the peer speaks ssh, not TLS";
	for (size_t i = 0; i < sizeof(web) / sizeof(web[0]); i++)
		if (begins_with(tls, web[i]))
			return "the peer speaks HTTP, not TLS";
	if (is_parcel(tls))
		return "the peer speaks parcels without TLS: one side means tcp://, the other "
		       "tls://";
	return is_text(tls) ? "plain text where TLS should begin" : "the peer does not speak TLS";
}

/* ---- words for codes ---- */

struct words {
	int code;
	enum wb_err err;
	const char *text;
};

static const struct words misdeeds[] = {
	{WBI_TLS_NO_ALPN, WB_ERR_UNSUPPORTED, "the peer does not speak " WBI_TLS_ALPN},
	{WBI_TLS_NOT_ED25519, WB_ERR_REFUSED,
	 "the peer's certificate holds no Ed25519 key; only those are taken"},
	{WBI_TLS_WEAK_KEY, WB_ERR_REFUSED,
	 "the peer's key is of small order: anybody could sign for it"},
	{WBI_TLS_OVER_BUDGET, WB_ERR_LIMIT, "the peer sends too much before it is known"},
	{WBI_TLS_FLOOD, WB_ERR_LIMIT, "the peer sends key updates or tickets without end"},
	{0, WB_OK, NULL},
};

#define NO_TLS13  "the peer offers no TLS 1.3"
#define NO_KEY    "the peer shows no certificate with an Ed25519 key"
#define NO_COMMON "no way to sign or encrypt in common; Ed25519, X25519 and AES-128-GCM are needed"
#define BAD_SIGNATURE                                                                              \
	"the peer's signature of the handshake does not hold: the key that it shows is not its "   \
	"own"

static const struct words reasons[] = {
	{SSL_R_UNSUPPORTED_PROTOCOL, WB_ERR_UNSUPPORTED, NO_TLS13},
	{SSL_R_VERSION_TOO_LOW, WB_ERR_UNSUPPORTED, NO_TLS13},
	{SSL_R_WRONG_SSL_VERSION, WB_ERR_UNSUPPORTED, NO_TLS13},
	{SSL_R_UNKNOWN_PROTOCOL, WB_ERR_UNSUPPORTED, NO_TLS13},
	{SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, WB_ERR_REFUSED, NO_KEY},
	{SSL_R_NO_SHARED_CIPHER, WB_ERR_UNSUPPORTED, NO_COMMON},
	{SSL_R_NO_SUITABLE_KEY_SHARE, WB_ERR_UNSUPPORTED, NO_COMMON},
	{SSL_R_NO_SUITABLE_GROUPS, WB_ERR_UNSUPPORTED, NO_COMMON},
	{SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, WB_ERR_UNSUPPORTED, NO_COMMON},
	{SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, WB_ERR_UNSUPPORTED, NO_COMMON},
	{SSL_R_MISSING_SIGALGS_EXTENSION, WB_ERR_UNSUPPORTED, NO_COMMON},
	{SSL_R_WRONG_SIGNATURE_TYPE, WB_ERR_REFUSED,
	 "the peer signs the handshake with another kind of key than Ed25519"},
	{SSL_R_BAD_SIGNATURE, WB_ERR_REFUSED, BAD_SIGNATURE},
	{SSL_R_CERTIFICATE_VERIFY_FAILED, WB_ERR_REFUSED, NO_KEY},
	{SSL_R_BAD_EXTENSION, WB_ERR_MALFORMED, "bad TLS: an extension that nobody asked for"},
	{0, WB_OK, NULL},
};

/* What the peer says in an alert (RFC 8446, 6.2), where more can be said than its name. */
static const struct words alerts[] = {
	{SSL_AD_HANDSHAKE_FAILURE, WB_ERR_REFUSED,
	 "the peer refuses: nothing in common; Ed25519, X25519 and AES-128-GCM are needed"},
	{SSL_AD_PROTOCOL_VERSION, WB_ERR_UNSUPPORTED, "the peer refuses: it has no TLS 1.3"},
	{SSL_AD_NO_APPLICATION_PROTOCOL, WB_ERR_UNSUPPORTED,
	 "the peer refuses: it does not speak " WBI_TLS_ALPN},
	{SSL_AD_CERTIFICATE_REQUIRED, WB_ERR_REFUSED,
	 "the peer refuses: it wants a certificate with an Ed25519 key"},
	{SSL_AD_UNSUPPORTED_CERTIFICATE, WB_ERR_REFUSED,
	 "the peer refuses: it does not take our certificate"},
	{SSL_AD_DECRYPT_ERROR, WB_ERR_REFUSED,
	 "the peer refuses: for it, our signature of the handshake does not hold"},
	{0, WB_OK, NULL},
};

static const struct words *words_for(const struct words *table, int code)
{
	while (table->text && table->code != code)
		table++;
	return table->text ? table : NULL;
}

static void say(struct wbi_tls *tls, const struct words *words)
{
	wb_fault_set(&tls->fault, words->err, NULL, 0, "tls: %s", words->text);
}

/* ---- which of them it is ---- */

static void explain_alert(struct wbi_tls *tls, int alert)
{
	const struct words *words = words_for(alerts, alert);

	if (words)
		say(tls, words);
	else
		wb_fault_set(&tls->fault, WB_ERR_REFUSED, NULL, 0, "tls: the peer refuses: %s",
			     SSL_alert_desc_string_long(alert));
}

static void explain_reason(struct wbi_tls *tls, unsigned long code)
{
	int reason = ERR_GET_REASON(code);
	const struct words *words = words_for(reasons, reason);
	if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		wb_fault_set(&tls->fault, WB_ERR_CLOSED, NULL, 0, "tls: %s",
			     tls->known ? "the connection has ended, and the peer did not say so"
					: "the peer hung up during the handshake");
	else if (reason > SSL_AD_REASON_OFFSET)
		explain_alert(tls, reason - SSL_AD_REASON_OFFSET);
	else if (words)
		say(tls, words);
	else
		wb_fault_set(&tls->fault, WB_ERR_MALFORMED, NULL, 0, "tls: bad TLS: %s (%d)",
			     tls->alert ? SSL_alert_desc_string_long(tls->alert) : "refused",
			     reason);
}

/* An agent that cannot be reached is no connection that was lost: trying again would ask its user
 * again. */
static void explain_signing(struct wbi_tls *tls, const struct wb_fault *signing)
{
	tls->fault = *signing;
	if (signing->err == WB_ERR_CLOSED || signing->err == WB_ERR_SYSTEM)
		tls->fault.err = WB_ERR_REFUSED;
}

static int errno_of(const struct wbi_tls *tls)
{
	if (tls->fault.err == WB_ERR_SYSTEM)
		return tls->fault.system_errno;
	return tls->fault.err == WB_ERR_CLOSED ? ECONNRESET : EPROTO;
}

/* The first in the queue, for what follows is its consequence: of libssl's, if there is one. What
 * lies below names the same thing otherwise, from one version to the next. */
static unsigned long first_error(void)
{
	unsigned long first = ERR_peek_error(), code;

	do
		code = ERR_get_error();
	while (code && ERR_GET_LIB(code) != ERR_LIB_SSL);
	return code ? code : first;
}

void wbi_tls_explain(struct wbi_tls *tls, const struct wb_fault *signing)
{
	unsigned long code = first_error();

	if (tls->misdeed == WBI_TLS_UNWANTED)
		; /* it is in tls->fault */
	else if (signing && signing->err)
		explain_signing(tls, signing);
	else if (tls->misdeed)
		say(tls, words_for(misdeeds, (int)tls->misdeed));
	else if (tls->read_error) {
		errno = tls->read_error;
		wb_fault_set(&tls->fault, WB_ERR_SYSTEM, NULL, 0, "connection: %m");
	} else if (!tls->known && tls->received > 0 && !is_record(tls))
		wb_fault_set(&tls->fault, WB_ERR_MALFORMED, NULL, 0, "tls: %s",
			     foreign_tongue(tls));
	else
		explain_reason(tls, code);
	tls->error = errno_of(tls);
	ERR_clear_error();
}
