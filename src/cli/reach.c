/* How a daemon is reached: see reach.h. */
#include "cli/reach.h"

#include <string.h>
#include <unistd.h>

#include "cli/ask_host.h"
#include "waybill/waybill.h"

struct wbi_reach wbi_reach;

static uid_t server_uid;
static const char *identities[WBI_OPT_LIST_MAX + 1]; /* the list has no end of its own */
static struct wbi_ask_host asked;

void wbi_reach_init(void)
{
	wbi_reach = (struct wbi_reach){.retry_ms = WB_RETRY_AS_HELD, .server_uid = geteuid()};
}

void wbi_reach_client(const char *destination, struct wb_client_options *ret_options)
{
	server_uid = (uid_t)wbi_reach.server_uid;
	memcpy(identities, wbi_reach.identities.values,
	       wbi_reach.identities.count * sizeof(identities[0]));
	asked = (struct wbi_ask_host){destination, wbi_reach.known_hosts};
	*ret_options = (struct wb_client_options){
		.uri = destination,
		.agent = "waybill/" WB_VERSION,
		.retry_ms = wbi_reach.retry_ms,
		.silence_ms = (uint32_t)wbi_reach.silence_ms,
		.server_uid = &server_uid,
		.identities = identities[0] ? identities : NULL,
		.known_hosts = wbi_reach.known_hosts,
		.accept_new = wbi_reach.accept_new,
		.host = wbi_ask_host,
		.host_context = &asked,
	};
}
