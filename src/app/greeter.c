/* The greeter: see greeter.h. */
#include "app/greeter.h"

#include <stdlib.h>
#include <string.h>

#include "sys/clock.h"
#include "transport/stream.h"

struct greeting {
	struct wbi_greeter *greeter;
	struct wbi_stream_link stream;
	struct wbi_session_conn conn;
	struct wbi_timer timer;
	struct wbi_list node;
	struct wbi_principal who;
	struct wbi_hello hello;
	bool known; /* hello has come, and is to be handed over */
};

enum wb_err wbi_greeter_init(struct wbi_greeter *greeter, struct wbi_worker_shared *shared,
			     struct wbi_loop *loop, struct wbi_audit *audit, const char *user)
{
	*greeter =
		(struct wbi_greeter){.shared = shared, .loop = loop, .audit = audit, .user = user};
	wbi_list_init(&greeter->greetings);
	greeter->scratch = malloc(WBI_SESSION_SCRATCH_BYTES);
	return greeter->scratch ? WB_OK : WB_ERR_NOMEM;
}

/* Leaves the descriptor open: it is closed with the link, or handed over. */
static void unlist(struct greeting *greeting)
{
	wbi_loop_cancel(greeting->greeter->loop, &greeting->timer);
	wbi_list_remove(&greeting->node);
	greeting->greeter->count--;
}

static void drop(struct greeting *greeting)
{
	unlist(greeting);
	wbi_session_conn_done(&greeting->conn);
	wbi_link_close(&greeting->stream.link);
	free(greeting);
}

void wbi_greeter_done(struct wbi_greeter *greeter)
{
	if (!greeter->scratch)
		return;
	while (!wbi_list_empty(&greeter->greetings))
		drop(WBI_CONTAINER(greeter->greetings.next, struct greeting, node));
	free(greeter->scratch);
	greeter->scratch = NULL;
}

static void hand_over(struct greeting *greeting)
{
	struct wbi_greeter *greeter = greeting->greeter;
	struct wbi_handover *handover = calloc(1, sizeof(*handover));
	unsigned worker = 0;

	if (!handover) {
		drop(greeting);
		return;
	}
	unlist(greeting);
	wbi_loop_unwatch(greeter->loop, &greeting->stream.watch);
	handover->fd = greeting->stream.watch.fd;
	handover->conn = greeting->conn;
	handover->hello = greeting->hello;
	handover->who = greeting->who;
	free(greeting);
	/* A full directory is the worker's to tell: it alone writes to the connection. */
	if (wbi_directory_find(greeter->shared->directory, handover->hello.session, &worker) !=
	    WB_OK)
		worker = 0;
	wbi_worker_give(greeter->shared->workers[worker], handover);
}

static void process(struct greeting *greeting, unsigned ready)
{
	struct wbi_session_conn *conn = &greeting->conn;
	uint64_t now_ms = wbi_clock_ms(), deadline_ms;

	wbi_session_conn_process(conn, ready, now_ms);
	if (greeting->known) {
		hand_over(greeting);
		return;
	}
	deadline_ms = wbi_session_conn_deadline(conn);
	if (wbi_session_conn_over(conn) ||
	    wbi_loop_timer(greeting->greeter->loop, &greeting->timer,
			   deadline_ms > now_ms ? deadline_ms - now_ms : 0) != WB_OK) {
		drop(greeting);
		return;
	}
	wbi_link_want(&greeting->stream.link, wbi_session_conn_wants(conn));
}

static void on_link(struct wbi_link *link, unsigned events)
{
	process(WBI_CONTAINER(link, struct greeting, stream.link), events);
}

static void on_timer(struct wbi_timer *timer)
{
	process(WBI_CONTAINER(timer, struct greeting, timer), 0);
}

static void on_hello(struct greeting *greeting, const struct wbi_hello *hello)
{
	if (hello->user[0] != '\0' && strcmp(hello->user, greeting->greeter->user) != 0) {
		wbi_carrier_refuse(greeting->conn.carrier, "refused", false,
				   "this daemon serves another user");
		return;
	}
	greeting->hello = *hello;
	greeting->known = true;
	wbi_session_conn_release(&greeting->conn);
}

static void on_event(struct wbi_session_conn *conn, enum wbi_event_kind kind,
		     struct wbi_event *event)
{
	struct greeting *greeting = WBI_CONTAINER(conn, struct greeting, conn);

	if (kind == WBI_EVENT_HELLO)
		on_hello(greeting, event->hello);
	else if (kind == WBI_EVENT_ERROR && event->problem->ours)
		wbi_audit(greeting->greeter->audit, "a caller was turned away: %s: %s",
			  event->problem->code, event->problem->text);
}

enum wb_err wbi_greeter_accept(struct wbi_greeter *greeter, int fd, const struct wbi_principal *who,
			       struct wb_fault *fault)
{
	struct greeting *greeting = calloc(1, sizeof(*greeting));
	struct wbi_carrier *carrier = NULL;
	enum wb_err err = WB_ERR_NOMEM;

	if (greeting)
		err = wbi_carrier_new(&greeter->shared->session, wbi_clock_ms(), &carrier);
	if (!err)
		err = wbi_stream_link_init(&greeting->stream, greeter->loop, fd, on_link, WBI_READ,
					   fault);
	else
		wb_fault_set(fault, err, NULL, 0, "no memory for a connection");
	if (err) {
		wbi_carrier_free(carrier);
		free(greeting);
		return err;
	}
	if (greeter->count == WBI_GREETINGS_MAX)
		drop(WBI_CONTAINER(greeter->greetings.next, struct greeting, node));
	greeting->greeter = greeter;
	greeting->who = *who;
	greeting->timer.fn = on_timer;
	wbi_session_conn_init(&greeting->conn, &greeting->stream.link, carrier, greeter->scratch,
			      on_event);
	wbi_list_append(&greeter->greetings, &greeting->node);
	greeter->count++;
	process(greeting, 0);
	return WB_OK;
}
