/* Trust between a client and a host: see trust.h. */
#include "app/trust.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/known.h"
#include "app/own_keys.h"

struct wbi_trust {
	char host[WBI_KNOWN_HOST_NAME_MAX + 1];
	uint16_t port;
	char *known_hosts; /* NULL: the usual files */
	bool accept_new;
	wb_host_fn *ask;
	void *ask_context;
	bool has_accepted; /* somebody said yes to this one, for as long as we live: */
	struct wbi_public_key accepted;
	struct wbi_known_files *known; /* read for the next judgement; NULL: not yet */
	struct wbi_own_keys *keys;
	const struct wbi_identity *identity; /* shown now; NULL: none yet */
	struct wbi_tls_context *context;     /* with the tickets of that one; NULL: none yet */
};

enum wb_err wbi_trust_new(const struct wb_client_options *options, const char *host, uint16_t port,
			  struct wbi_trust **ret_trust)
{
	struct wbi_trust *trust = calloc(1, sizeof(*trust));
	enum wb_err err;

	if (!trust)
		return WB_ERR_NOMEM;
	snprintf(trust->host, sizeof(trust->host), "%s", host);
	trust->port = port;
	trust->accept_new = options->accept_new;
	trust->ask = options->host;
	trust->ask_context = options->host_context;
	err = wbi_own_keys_new(options->identities, &trust->keys);
	if (!err && options->known_hosts && !(trust->known_hosts = strdup(options->known_hosts)))
		err = WB_ERR_NOMEM;
	if (err)
		wbi_trust_free(trust);
	else
		*ret_trust = trust;
	return err;
}

void wbi_trust_free(struct wbi_trust *trust)
{
	if (!trust)
		return;
	wbi_tls_context_free(trust->context);
	wbi_own_keys_free(trust->keys);
	wbi_known_free(trust->known);
	free(trust->known_hosts);
	free(trust);
}

static void forget_known(struct wbi_trust *trust)
{
	wbi_known_free(trust->known);
	trust->known = NULL;
}

/* ---- our key ---- */

enum wb_err wbi_trust_begin(struct wbi_trust *trust, struct wbi_tls **ret_tls,
			    struct wb_fault *fault)
{
	enum wb_err err = WB_OK;

	forget_known(trust); /* of a connection that did not come so far */
	if (!trust->context)
		err = wbi_tls_context_new(WBI_TLS_CLIENT, NULL, &trust->context, fault);
	return err ? err : wbi_tls_new(trust->context, ret_tls, fault);
}

enum wb_err wbi_trust_show(struct wbi_trust *trust, struct wbi_tls *tls, struct wb_fault *fault)
{
	enum wb_err err = WB_OK;

	if (!trust->identity)
		err = wbi_own_keys_next(trust->keys, &trust->identity, fault);
	return err ? err : wbi_tls_set_identity(tls, trust->identity, fault);
}

bool wbi_trust_next(struct wbi_trust *trust)
{
	wbi_tls_context_free(trust->context);
	trust->context = NULL;
	trust->identity = NULL;
	return wbi_own_keys_next(trust->keys, &trust->identity, NULL) == WB_OK;
}

/* ---- the host's key ---- */

/* An error is met again, and told, when the files are needed. */
void wbi_trust_prepare(struct wbi_trust *trust)
{
	if (!trust->known && !trust->has_accepted)
		(void)!wbi_known_read(trust->known_hosts, &trust->known, NULL);
}

/* What the files say of the key now: a host takes its time with its answer, and somebody may have
 * written to them meanwhile. */
static enum wb_err find(struct wbi_trust *trust, const struct wbi_public_key *key,
			struct wbi_known *ret_known, struct wb_fault *fault)
{
	enum wb_err err = WB_OK;

	if (trust->known && !wbi_known_is_current(trust->known))
		forget_known(trust);
	if (!trust->known)
		err = wbi_known_read(trust->known_hosts, &trust->known, fault);
	if (err)
		return err;
	wbi_known_ask(trust->known, trust->host, trust->port, key, ret_known);
	forget_known(trust);
	return WB_OK;
}

static enum wb_err refuse(const struct wbi_trust *trust, const struct wb_host *host,
			  struct wb_fault *fault)
{
	switch (host->state) {
	case WB_HOST_CHANGED:
		return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0,
				    "THE HOST KEY HAS CHANGED: it is %s now, and line %zu of "
				    "%.60s has another",
				    host->fingerprint, host->line, host->file);
	case WB_HOST_REVOKED:
		return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0,
				    "the host key %s was revoked, by line %zu of %.60s",
				    host->fingerprint, host->line, host->file);
	case WB_HOST_UNKNOWN:
		break;
	}
	return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0,
			    "nobody has said yet that %s is the host key of %.60s%s%.60s",
			    host->fingerprint, trust->host,
			    host->other_kinds[0] ? "; only its other keys are known: " : "",
			    host->other_kinds);
}

static enum wb_err accept(struct wbi_trust *trust, const struct wbi_public_key *key, bool remember,
			  struct wb_fault *fault)
{
	trust->accepted = *key;
	trust->has_accepted = true;
	return remember ? wbi_known_add(trust->known_hosts, trust->host, trust->port, key, fault)
			: WB_OK;
}

static enum wb_host_answer ask(struct wbi_trust *trust, const struct wb_host *host, bool *ret_asked)
{
	enum wb_host_answer answer;

	if (host->state == WB_HOST_UNKNOWN && trust->accept_new)
		return WB_HOST_REMEMBER;
	if (!trust->ask)
		return WB_HOST_REFUSE;
	*ret_asked = true;
	answer = trust->ask(host, trust->ask_context);
	return host->state == WB_HOST_UNKNOWN ? answer : WB_HOST_REFUSE;
}

enum wb_err wbi_trust_judge(struct wbi_trust *trust, const struct wbi_public_key *key,
			    bool *ret_asked, struct wb_fault *fault)
{
	char fingerprint[WBI_FINGERPRINT_SIZE], text[WBI_PUBLIC_KEY_TEXT_SIZE];
	struct wb_host host = {
		.name = trust->host, .port = trust->port, .key = text, .fingerprint = fingerprint};
	struct wbi_known known;
	enum wb_host_answer answer;
	enum wb_err err;

	*ret_asked = false;
	if (trust->has_accepted && wbi_public_key_equal(&trust->accepted, key))
		return WB_OK;
	err = find(trust, key, &known, fault);
	if (err || known.verdict == WBI_HOST_MATCH)
		return err;
	wbi_public_key_fingerprint(key, fingerprint);
	wbi_public_key_text(key, text);
	wbi_known_tell(&known, &host);
	answer = ask(trust, &host, ret_asked);
	if (answer == WB_HOST_REFUSE)
		return refuse(trust, &host, fault);
	return accept(trust, key, answer == WB_HOST_REMEMBER, fault);
}
