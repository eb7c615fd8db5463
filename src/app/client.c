/* The life of a client: attempts, connections, the end. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/client.h"
#include "sys/clock.h"
#include "sys/fd.h"
#include "sys/rand.h"

enum {
	DIAL_MS = 10000,
	LEAVE_MS = 2000, /* for the last words */
	RETRY_FIRST_MS = 50,
	RETRY_MOST_MS = 2000,
	/* A daemon whose door is crowded drops whoever has not said who it is. */
	FIRST_RETRY_MS = 5000,
};

static const char *const state_names[] = {
	[WBI_CLIENT_WAITING] = "waiting",
	[WBI_CLIENT_DIALING] = "dialing",
	[WBI_CLIENT_SECURING] = "securing",
	[WBI_CLIENT_GREETING] = "greeting",
	[WBI_CLIENT_UP] = "up",
	[WBI_CLIENT_OVER] = "over",
	[WBI_CLIENT_CLOSED] = "closed",
};

const char *wb_client_state_name(const struct wb_client *client)
{
	return state_names[client->state];
}

static void set_state(struct wb_client *client, enum wbi_client_state state)
{
	client->state = state;
}

void wbi_client_touch(struct wb_client *client)
{
	client->dirty = true;
}

/* ---- making and freeing ---- */

static enum wb_err make_session(struct wb_client *client, uint32_t silence_ms,
				struct wb_fault *fault)
{
	uint8_t random[WBI_SESSION_ID_BYTES + WBI_SECRET_BYTES];
	struct wbi_session_config config = {
		.role = WBI_CLIENT,
		.limits = wbi_session_limits_default,
		.agent = client->agent,
		.user = client->target.destination.user[0] ? client->target.destination.user : NULL,
	};
	enum wb_err err = wbi_rand_fill(random, sizeof(random), fault);

	if (silence_ms) {
		config.limits.dead_ms = silence_ms;
		config.limits.ping_ms = silence_ms / 3;
	}
	if (!err)
		err = wbi_session_new(&config, random, random + WBI_SESSION_ID_BYTES,
				      wbi_clock_ms(), &client->session, fault);
	explicit_bzero(random, sizeof(random));
	return err;
}

enum wb_err wb_client_new(const struct wb_client_options *options, struct wb_client **ret_client,
			  struct wb_fault *fault)
{
	enum wb_err err = WB_ERR_NOMEM;
	struct wb_client *client = calloc(1, sizeof(*client));

	if (!client)
		return wb_fault_set(fault, err, NULL, 0, "client: no memory");
	wbi_list_init(&client->calls);
	wbi_list_init(&client->ending);
	wbi_list_init(&client->ended);
	wbi_list_init(&client->dead);
	client->fd = -1;
	client->retry_ms = options->retry_ms;
	client->callbacks = options->callbacks;
	client->context = options->context;
	client->give_up_ms = WBI_NEVER_MS;
	snprintf(client->agent, sizeof(client->agent), "%s",
		 options->agent ? options->agent : "libwaybill");
	err = wbi_target_init(&client->target, options->uri, fault);
	if (!err && options->server_uid)
		client->target.server_uid = *options->server_uid;
	if (!err && client->target.destination.uri.transport == WBI_TLS &&
	    wbi_trust_new(options, client->target.destination.uri.host,
			  client->target.destination.uri.port, &client->trust))
		err = wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "client: no memory");
	if (!err)
		err = make_session(client, options->silence_ms, fault);
	/* Touched only as far as a read fills it. */
	if (!err && !(client->scratch = malloc(WBI_SESSION_SCRATCH_BYTES)))
		err = wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "client: no memory");
	if (err) {
		wb_client_free(client);
		return err;
	}
	*ret_client = client;
	return WB_OK;
}

static void drop_connection(struct wb_client *client)
{
	if (wbi_client_has_connection(client))
		wbi_session_conn_done(&client->conn);
	if (wbi_client_has_connection(client) || client->state == WBI_CLIENT_SECURING)
		wbi_link_close(&client->link.link);
	wbi_fd_close(&client->fd);
}

static void free_calls(struct wbi_list *calls)
{
	while (!wbi_list_empty(calls))
		wb_call_free(WBI_CONTAINER(calls->next, struct wb_call, node));
}

void wb_client_free(struct wb_client *client)
{
	if (!client)
		return;
	drop_connection(client);
	free_calls(&client->calls);
	free_calls(&client->ending);
	free_calls(&client->ended);
	wbi_client_bury(client);
	wbi_session_free(client->session);
	wbi_trust_free(client->trust);
	wbi_target_done(&client->target);
	free(client->scratch);
	free(client);
}

/* ---- the end ---- */

static void note_why(struct wb_client *client, const char *code, const struct wb_fault *fault)
{
	snprintf(client->code, sizeof(client->code), "%s", code);
	if (fault)
		client->why = *fault;
}

static void on_call_event(enum wbi_event_kind kind, const struct wbi_event *event)
{
	struct wb_call *call = event->call->owner;

	if (call)
		wbi_client_call_event(call, kind, event);
}

/* No connection any more, and no further attempt. */
static void go_over(struct wb_client *client)
{
	struct wbi_event event;

	drop_connection(client);
	set_state(client, WBI_CLIENT_OVER);
	wbi_client_mark_unsent(client);
	wbi_session_give_up(client->session);
	while (wbi_session_event(client->session, &event) != WBI_EVENT_NONE)
		if (event.kind == WBI_EVENT_EXIT)
			on_call_event(event.kind, &event);
	client->dirty = true;
}

static void tell_closed(struct wb_client *client)
{
	const struct wb_client_callbacks *callbacks = client->callbacks;

	set_state(client, WBI_CLIENT_CLOSED);
	if (callbacks && callbacks->closed)
		callbacks->closed(client, &client->why, client->context);
}

/* ---- attempts ---- */

static uint64_t retry_delay_ms(unsigned attempts)
{
	uint64_t delay_ms = RETRY_FIRST_MS;

	if (attempts == 0)
		return 0;
	while (--attempts && delay_ms < RETRY_MOST_MS)
		delay_ms *= 2;
	return delay_ms < RETRY_MOST_MS ? delay_ms : RETRY_MOST_MS;
}

static uint64_t hold_ms(const struct wb_client *client)
{
	if (client->trust && !client->known && client->retry_ms > FIRST_RETRY_MS)
		return FIRST_RETRY_MS;
	return client->retry_ms == WB_RETRY_AS_HELD ? client->session->hold_ms : client->retry_ms;
}

static void tell_disconnected(struct wb_client *client, uint64_t now_ms)
{
	const struct wb_client_callbacks *callbacks = client->callbacks;

	if (!client->known || client->told)
		return;
	client->told = true;
	if (callbacks && callbacks->disconnected)
		callbacks->disconnected(client, &client->why, client->give_up_ms - now_ms,
					client->context);
}

/* There is no connection, client->why says why not. Waits for the next attempt, or gives up. */
static void try_later(struct wb_client *client, uint64_t now_ms)
{
	set_state(client, WBI_CLIENT_WAITING);
	if (client->give_up_ms == WBI_NEVER_MS)
		client->give_up_ms = now_ms + hold_ms(client);
	client->attempt_ms = now_ms + retry_delay_ms(client->attempts++);
	if (client->final || client->leaving || client->give_up_ms <= now_ms)
		go_over(client);
	else
		tell_disconnected(client, now_ms);
}

/* With another key, or after a long look at the host's. */
static void connect_anew(struct wb_client *client, uint64_t now_ms)
{
	set_state(client, WBI_CLIENT_WAITING);
	client->attempt_ms = now_ms;
	client->dirty = true;
}

static void connection_lost(struct wb_client *client, uint64_t now_ms)
{
	drop_connection(client);
	if (client->carried)
		client->attempts = 0;
	if (client->next_key && wbi_trust_next(client->trust)) {
		client->next_key = false;
		connect_anew(client, now_ms);
		return;
	}
	client->final = client->final || client->next_key;
	try_later(client, now_ms);
}

static wbi_session_conn_fn on_event;

/* The link stands: `hello` is due. */
static enum wb_err begin_session(struct wb_client *client, uint64_t now_ms, struct wb_fault *fault)
{
	struct wbi_carrier *carrier;
	enum wb_err err = WB_OK;

	if (wbi_carrier_new(&client->session->config, now_ms, &carrier))
		err = wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "connect: no memory");
	if (err)
		return err;
	client->carried = false;
	wbi_session_conn_init(&client->conn, &client->link.link, carrier, client->scratch,
			      on_event);
	set_state(client, WBI_CLIENT_GREETING);
	return wbi_session_attach(client->session, carrier, now_ms, fault);
}

/* An address did not answer: the next one, or all of them again later. At the very first attempt a
 * plain refusal is an answer: nobody is there, and nobody has anything to lose. */
static void dial_failed(struct wb_client *client, const struct wb_fault *fault, uint64_t now_ms)
{
	drop_connection(client);
	note_why(client, fault->err == WB_ERR_REFUSED ? "refused" : "connect", fault);
	set_state(client, WBI_CLIENT_WAITING);
	if (!client->final && ++client->addr < client->target.count) {
		client->attempt_ms = now_ms;
		return;
	}
	client->addr = 0;
	client->final = client->final || (!client->known && fault->err != WB_ERR_TIMEOUT);
	try_later(client, now_ms);
}

static enum wb_err begin_plain(struct wb_client *client, uint64_t now_ms, struct wb_fault *fault)
{
	enum wb_err err = wbi_tls_link_init(&client->link, NULL, NULL, client->fd, NULL, 0, fault);

	if (err)
		return err;
	client->fd = -1;
	set_state(client, WBI_CLIENT_SECURING);
	return begin_session(client, now_ms, fault);
}

static enum wb_err begin_securing(struct wb_client *client, struct wb_fault *fault)
{
	enum wb_err err = wbi_client_secure(client, fault);

	if (!err) {
		set_state(client, WBI_CLIENT_SECURING);
		err = wbi_client_show_key(client, fault);
	}
	if (err)
		client->final = true; /* there is no key to show, and none will be found */
	client->dirty = true;
	return err;
}

/* Somebody else's key stays somebody else's; a daemon that went away may be there again. */
static void securing_failed(struct wb_client *client, const struct wb_fault *fault, uint64_t now_ms)
{
	if (fault->err != WB_ERR_CLOSED && fault->err != WB_ERR_SYSTEM) {
		client->final = true;
		dial_failed(client, fault, now_ms);
		return;
	}
	note_why(client, "lost", fault);
	connection_lost(client, now_ms);
}

static void process_securing(struct wb_client *client, unsigned ready, uint64_t now_ms)
{
	struct wb_fault fault;
	bool done = false, late = false;
	enum wb_err err = wbi_client_secure_step(client, ready, &done, &late, &fault);

	now_ms = wbi_clock_ms(); /* whoever was asked, a person or ssh-agent, took his time */
	if (!err && late) {
		drop_connection(client);
		connect_anew(client, now_ms);
	} else if (!err && done) {
		err = begin_session(client, now_ms, &fault);
	} else if (!err && client->attempt_ms <= now_ms) {
		err = wb_fault_set(&fault, WB_ERR_CLOSED, NULL, 0, "tls: no answer within %d s",
				   DIAL_MS / 1000);
	}
	if (err)
		securing_failed(client, &fault, now_ms);
}

static void dialed(struct wb_client *client, uint64_t now_ms)
{
	struct wb_fault fault;
	enum wb_err err = wbi_dial_finish(&client->target, client->addr, client->fd, &fault);

	if (!err)
		err = wbi_dial_check(&client->target, client->addr, client->fd, &fault);
	if (!err)
		err = client->trust ? begin_securing(client, &fault)
				    : begin_plain(client, now_ms, &fault);
	if (err)
		dial_failed(client, &fault, now_ms);
}

static void attempt(struct wb_client *client, uint64_t now_ms)
{
	struct wb_fault fault;
	bool pending;
	enum wb_err err =
		wbi_dial_begin(&client->target, client->addr, &client->fd, &pending, &fault);

	if (err) {
		dial_failed(client, &fault, now_ms);
		return;
	}
	set_state(client, WBI_CLIENT_DIALING);
	client->attempt_ms = now_ms + DIAL_MS;
	if (!pending)
		dialed(client, now_ms);
}

/* ---- events of the engine ---- */

/* `resumed` in its header is not all: a server that was restarted resumes what it has begun itself,
 * where its first welcome was lost. */
static void on_welcome(struct wb_client *client, bool resumed)
{
	const struct wb_client_callbacks *callbacks = client->callbacks;

	set_state(client, WBI_CLIENT_UP);
	client->known = true;
	client->told = false;
	client->give_up_ms = WBI_NEVER_MS;
	client->addr = 0;
	if (callbacks && callbacks->connected)
		callbacks->connected(client, resumed, client->context);
}

/* Why the daemon refuses a key that it knows says more than that it does not know the next one. */
static bool says_more(const struct wb_client *client, const struct wbi_problem *problem)
{
	return client->known || strcmp(problem->code, "unknown-key") != 0 ||
	       strcmp(client->code, "key-refused") != 0;
}

static void on_problem(struct wb_client *client, const struct wbi_problem *problem)
{
	struct wb_fault fault;

	wb_fault_set(&fault, problem->ours ? WB_ERR_MALFORMED : WB_ERR_REFUSED, problem->field,
		     problem->offset, "%s%s", problem->ours ? "bad answer: " : "", problem->text);
	if (says_more(client, problem))
		note_why(client, problem->code, &fault);
	if (wbi_client_try_next_key(client, problem->code))
		return;
	client->final = client->final || !problem->retry;
}

static void on_bye(struct wb_client *client)
{
	struct wb_fault fault;

	wb_fault_set(&fault, WB_ERR_CLOSED, NULL, 0, "the daemon has ended the session");
	note_why(client, "bye", &fault);
	client->final = true;
}

/* What was said before the end says more than how it came. */
static void on_closed(struct wb_client *client, const char *text)
{
	struct wb_fault fault;

	if (client->leaving || strcmp(text, "error") == 0 || strcmp(text, "bye") == 0)
		return;
	wb_fault_set(&fault, WB_ERR_CLOSED, NULL, 0, "%s", text);
	note_why(client, "lost", &fault);
}

static void on_event(struct wbi_session_conn *conn, enum wbi_event_kind kind,
		     struct wbi_event *event)
{
	struct wb_client *client = WBI_CONTAINER(conn, struct wb_client, conn);

	switch (kind) {
	case WBI_EVENT_WELCOME:
		on_welcome(client, event->resumed);
		break;
	case WBI_EVENT_BYE:
		on_bye(client);
		break;
	case WBI_EVENT_ERROR:
		on_problem(client, event->problem);
		client->carried = false;
		break;
	case WBI_EVENT_CLOSED:
		on_closed(client, event->text ? event->text : "the connection was lost");
		break;
	default:
		if (event->call) {
			client->carried = true;
			on_call_event(kind, event);
		}
		break;
	}
}

/* ---- the public face ---- */

static unsigned link_events(short ready)
{
	return (unsigned)((ready & POLLIN ? WBI_READ : 0) | (ready & POLLOUT ? WBI_WRITE : 0) |
			  (ready & (POLLERR | POLLHUP | POLLNVAL) ? WBI_HANGUP : 0));
}

static void process_connection(struct wb_client *client, short ready, uint64_t now_ms)
{
	const struct wb_fault *fault;

	wbi_session_conn_process(&client->conn,
				 wbi_tls_link_ready(&client->link, link_events(ready)), now_ms);
	if (!wbi_session_conn_over(&client->conn))
		return;
	fault = wbi_client_tls_fault(client);
	if (fault) {
		note_why(client, "tls", fault);
		client->final = true;
	}
	connection_lost(client, now_ms);
}

static void process_dialing(struct wb_client *client, short ready, uint64_t now_ms)
{
	struct wb_fault fault;

	if (ready) {
		dialed(client, now_ms);
	} else if (client->attempt_ms <= now_ms) {
		wb_fault_set(&fault, WB_ERR_TIMEOUT, NULL, 0, "connect: no answer within %d s",
			     DIAL_MS / 1000);
		dial_failed(client, &fault, now_ms);
	}
}

static void process_state(struct wb_client *client, short ready, uint64_t now_ms)
{
	uint64_t end_ms = client->leaving ? client->leave_ms : WBI_NEVER_MS;

	if (client->state == WBI_CLIENT_WAITING && client->attempt_ms <= now_ms) {
		attempt(client, now_ms);
		ready = 0; /* it spoke of another descriptor */
	} else if (client->state == WBI_CLIENT_DIALING) {
		process_dialing(client, ready, now_ms);
		ready = 0;
	}
	if (client->state == WBI_CLIENT_SECURING) {
		process_securing(client, link_events(ready), now_ms);
		ready = 0;
	}
	if (wbi_client_has_connection(client))
		process_connection(client, ready, now_ms);
	if (client->state < WBI_CLIENT_OVER && client->give_up_ms < end_ms)
		end_ms = client->give_up_ms;
	if (client->state < WBI_CLIENT_OVER && end_ms <= now_ms)
		go_over(client);
}

void wb_client_process(struct wb_client *client, short ready)
{
	client->dirty = false;
	client->dispatching = true;
	if (client->state < WBI_CLIENT_OVER)
		process_state(client, ready, wbi_clock_ms());
	/* A callback may have added to what is to be written. */
	if (client->dirty && wbi_client_has_connection(client)) {
		client->dirty = false;
		process_connection(client, 0, wbi_clock_ms());
	}
	if (!wbi_client_end_calls(client) && client->state == WBI_CLIENT_OVER)
		tell_closed(client);
	client->dispatching = false;
	wbi_client_bury(client);
}

void wb_client_close(struct wb_client *client)
{
	if (client->leaving || client->state >= WBI_CLIENT_OVER)
		return;
	client->leaving = true;
	client->leave_ms = wbi_clock_ms() + (client->state == WBI_CLIENT_UP ? LEAVE_MS : 0);
	note_why(client, "closed", NULL);
	wb_fault_set(&client->why, WB_ERR_CLOSED, NULL, 0, "closed");
	if (client->state == WBI_CLIENT_UP)
		wbi_session_bye(client->session);
	client->dirty = true;
}

void wb_client_give_up(struct wb_client *client, const char *why)
{
	if (client->state >= WBI_CLIENT_OVER)
		return;
	wb_fault_set(&client->why, WB_ERR_CLOSED, NULL, 0, "%s", why);
	note_why(client, "given_up", NULL);
	client->final = true;
	client->leaving = true;
	client->leave_ms = 0;
	client->dirty = true;
}

void wb_client_suspend(struct wb_client *client)
{
	wbi_session_suspend(client->session);
	client->dirty = true;
}

/* However long we were stopped, the hold begins to count now: the daemon did not count either. */
void wb_client_continue(struct wb_client *client)
{
	wbi_session_continue(client->session);
	if (client->give_up_ms != WBI_NEVER_MS)
		client->give_up_ms = wbi_clock_ms() + hold_ms(client);
	client->dirty = true;
}
