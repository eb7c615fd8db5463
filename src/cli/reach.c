/* How a daemon is reached: see reach.h. */
#include "cli/reach.h"

#include <unistd.h>

#include "waybill/waybill.h"

struct wbi_reach wbi_reach;

static uid_t server_uid;

void wbi_reach_init(void)
{
	wbi_reach = (struct wbi_reach){.retry_ms = WB_RETRY_AS_HELD, .server_uid = geteuid()};
}

void wbi_reach_client(const char *destination, struct wb_client_options *ret_options)
{
	server_uid = (uid_t)wbi_reach.server_uid;
	*ret_options = (struct wb_client_options){
		.uri = destination,
		.agent = "waybill/" WB_VERSION,
		.retry_ms = wbi_reach.retry_ms,
		.silence_ms = (uint32_t)wbi_reach.silence_ms,
		.server_uid = &server_uid,
	};
}
