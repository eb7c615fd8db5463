/* A client's connection over tls: the handshake, and whose key the host shows. Before that is known
 * to be the right one nothing is sent, nor any key of ours shown. */
#include <string.h>

#include "app/client.h"
#include "sys/clock.h"

enum { PATIENCE_MS = 5000 }; /* what is left of the time that the daemon has is for signing */

/* Whoever was asked may have thought for longer than the daemon waits: then the handshake ends
 * here, and the next one, which asks nobody, goes through. */
static enum wb_err judge(void *context, const struct wbi_public_key *key, struct wb_fault *fault)
{
	struct wb_client *client = context;
	uint64_t since_ms = wbi_clock_ms();
	bool asked;
	enum wb_err err = wbi_trust_judge(client->trust, key, &asked, fault);

	if (err == WB_ERR_SYSTEM) /* of ours, and no connection that was lost */
		fault->err = err = WB_ERR_REFUSED;
	client->late = !err && asked && wbi_clock_ms() - since_ms > PATIENCE_MS;
	return client->late ? wb_fault_set(fault, WB_ERR_TIMEOUT, NULL, 0, "tls: asked too long")
			    : err;
}

enum wb_err wbi_client_secure(struct wb_client *client, struct wb_fault *fault)
{
	struct wbi_tls *tls;
	enum wb_err err = wbi_trust_begin(client->trust, &tls, fault);

	if (err)
		return err;
	client->late = false;
	wbi_tls_set_judge(tls, judge, client);
	err = wbi_tls_link_init(&client->link, tls, NULL, client->fd, NULL, WBI_READ, fault);
	if (err) {
		wbi_tls_free(tls);
		return err;
	}
	client->fd = -1;
	wbi_tls_say_hello(tls);
	return WB_OK;
}

enum wb_err wbi_client_show_key(struct wb_client *client, struct wb_fault *fault)
{
	enum wb_err err = wbi_trust_show(client->trust, wbi_tls_link_peek(&client->link), fault);

	if (!err)
		wbi_trust_prepare(client->trust);
	return err;
}

enum wb_err wbi_client_secure_step(struct wb_client *client, unsigned ready, bool *ret_done,
				   bool *ret_late, struct wb_fault *fault)
{
	struct wbi_tls *tls = wbi_tls_link_peek(&client->link);
	enum wb_err err;

	(void)wbi_tls_link_ready(&client->link, ready);
	err = wbi_tls_handshake(tls, ret_done, fault);
	*ret_late = client->late;
	return client->late ? WB_OK : err;
}

bool wbi_client_try_next_key(struct wb_client *client, const char *code)
{
	if (!client->trust || client->known ||
	    (strcmp(code, "unknown-key") != 0 && strcmp(code, "key-refused") != 0))
		return false;
	client->next_key = true;
	return true;
}

const struct wb_fault *wbi_client_tls_fault(const struct wb_client *client)
{
	const struct wbi_tls *tls = client->trust ? wbi_tls_link_peek(&client->link) : NULL;
	const struct wb_fault *fault = tls ? wbi_tls_fault(tls) : NULL;

	return fault && fault->err != WB_ERR_CLOSED && fault->err != WB_ERR_SYSTEM ? fault : NULL;
}
