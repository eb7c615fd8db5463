/* A destination: see destination.h. */
#include "app/destination.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* ---- into a URI ---- */

/* The user that stands before `@`, and what stands behind it. */
static enum wb_err split_user(const char **rest, char user[WBI_USER_MAX], struct wb_fault *fault)
{
	const char *at = strrchr(*rest, '@');
	size_t bytes = at ? (size_t)(at - *rest) : 0;

	if (!at)
		return WB_OK;
	if (bytes == 0 || bytes >= WBI_USER_MAX)
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0,
				    "%.80s: 1 to %d bytes of a user's name stand before @", *rest,
				    WBI_USER_MAX - 1);
	memcpy(user, *rest, bytes);
	user[bytes] = '\0';
	*rest = at + 1;
	return WB_OK;
}

/* ::1 cannot be mistaken for a host and a port: it has more colons. */
static bool is_bare_ipv6(const char *host)
{
	const char *colon = strchr(host, ':');

	return host[0] != '[' && colon && strchr(colon + 1, ':');
}

static enum wb_err write_tls(const char *text, char out[WBI_URI_TEXT_MAX], char user[WBI_USER_MAX],
			     struct wb_fault *fault)
{
	const char *host = text;
	bool bare;
	enum wb_err err = split_user(&host, user, fault);

	if (err)
		return err;
	if (!host[0] || strchr(host, '/'))
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0,
				    "%.80s: not a destination: write local, HOST, HOST:PORT, "
				    "unix:///PATH or tcp://127.0.0.1:PORT",
				    text);
	bare = is_bare_ipv6(host);
	if (snprintf(out, WBI_URI_TEXT_MAX, "tls://%s%s%s", bare ? "[" : "", host,
		     bare ? "]" : "") >= WBI_URI_TEXT_MAX)
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0, "address: too long");
	return WB_OK;
}

static enum wb_err expand(const char *text, char out[WBI_URI_TEXT_MAX], char user[WBI_USER_MAX],
			  struct wb_fault *fault)
{
	static const char tls[] = "tls://";

	if (strcmp(text, "local") == 0)
		return wbi_uri_local(out, fault);
	if (strncmp(text, tls, sizeof(tls) - 1) == 0)
		return write_tls(text + sizeof(tls) - 1, out, user, fault);
	if (!strstr(text, "://"))
		return write_tls(text, out, user, fault);
	if (snprintf(out, WBI_URI_TEXT_MAX, "%s", text) >= WBI_URI_TEXT_MAX)
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0, "address: too long");
	return WB_OK;
}

/* ---- whether it can be gone to ---- */

static enum wb_err check(const struct wbi_uri *uri, struct wb_fault *fault)
{
	if (uri->service[0])
		return wb_fault_set(
			fault, WB_ERR_ARGUMENT, NULL, 0,
			"%s: a plain service has no sessions; 'waybill talk' speaks to it",
			uri->service);
	if (uri->transport == WBI_UDP)
		return wb_fault_set(fault, WB_ERR_UNSUPPORTED, NULL, 0,
				    "address: udp:// carries no sessions");
	if (uri->transport != WBI_UNIX && (!uri->has_port || uri->port == 0))
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0, "address: it needs a port");
	return WB_OK;
}

enum wb_err wbi_destination_parse(const char *text, struct wbi_destination *ret_destination,
				  struct wb_fault *fault)
{
	struct wbi_destination destination = {0};
	char expanded[WBI_URI_TEXT_MAX];
	struct wbi_uri *uri = &destination.uri;
	enum wb_err err = expand(text, expanded, destination.user, fault);

	if (!err)
		err = wbi_uri_parse(expanded, uri, fault);
	if (!err && uri->transport == WBI_TLS && !uri->has_port) {
		uri->port = WBI_SESSION_PORT;
		uri->has_port = true;
	}
	if (!err)
		err = check(uri, fault);
	if (!err)
		*ret_destination = destination;
	return err;
}
