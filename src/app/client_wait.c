/* What a client waits for: for whoever polls. */
#include <limits.h>
#include <poll.h>

#include "app/client.h"
#include "sys/clock.h"

int wb_client_fd(const struct wb_client *client)
{
	return wbi_client_has_connection(client) || client->state == WBI_CLIENT_SECURING
		       ? client->link.watch.fd
		       : client->fd;
}

/* What the link waits for. ret_now: it need not wait. */
static unsigned link_wants(const struct wb_client *client, bool *ret_now)
{
	*ret_now = false;
	if (!wbi_client_has_connection(client) && client->state != WBI_CLIENT_SECURING)
		return 0;
	return wbi_tls_link_wants(&client->link,
				  wbi_client_has_connection(client)
					  ? wbi_session_conn_wants(&client->conn)
					  : WBI_READ,
				  ret_now);
}

short wb_client_events(const struct wb_client *client)
{
	bool now;
	unsigned wants;

	if (client->state == WBI_CLIENT_DIALING)
		return POLLOUT;
	wants = link_wants(client, &now);
	return (short)((wants & WBI_READ ? POLLIN : 0) | (wants & WBI_WRITE ? POLLOUT : 0));
}

static uint64_t deadline_ms(const struct wb_client *client)
{
	uint64_t deadline = client->leaving ? client->leave_ms : WBI_NEVER_MS, other;

	if (client->state >= WBI_CLIENT_OVER)
		return WBI_NEVER_MS;
	other = wbi_client_has_connection(client) ? wbi_session_conn_deadline(&client->conn)
						  : client->attempt_ms;
	if (other < deadline)
		deadline = other;
	return client->give_up_ms < deadline ? client->give_up_ms : deadline;
}

int wb_client_timeout_ms(const struct wb_client *client)
{
	uint64_t deadline = deadline_ms(client), now_ms;
	bool now;

	(void)link_wants(client, &now);
	if (now || (client->dirty && client->state != WBI_CLIENT_CLOSED))
		return 0;
	if (deadline == WBI_NEVER_MS)
		return -1;
	now_ms = wbi_clock_ms();
	if (deadline <= now_ms)
		return 0;
	return deadline - now_ms > INT_MAX ? INT_MAX : (int)(deadline - now_ms);
}

bool wb_client_is_connected(const struct wb_client *client)
{
	return client->state == WBI_CLIENT_UP;
}

bool wb_client_is_flushed(const struct wb_client *client)
{
	return !client->dirty && !(wbi_client_has_connection(client) &&
				   wbi_session_conn_wants(&client->conn) & WBI_WRITE);
}

bool wb_client_is_closed(const struct wb_client *client)
{
	return client->state == WBI_CLIENT_CLOSED;
}
