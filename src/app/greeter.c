/* The greeter: see greeter.h. */
#include "app/greeter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "job/policy.h"
#include "sys/clock.h"
#include "sys/fd.h"
#include "transport/tls_link.h"

enum {
	TLS_HANDSHAKE_RECORD = 0x16, /* the first byte of TLS (RFC 8446, section 5.1) */
	/* What a client has for its key's signature, of the connection's age: ssh-agent may have to
	 * ask somebody, and a client gives it a minute. Who abuses it takes places of its own
	 * source in the crowd, and the oldest goes first. */
	SIGNING_MS = 75000,
};

struct greeting {
	struct wbi_greeter *greeter;
	struct wbi_crowd_member member;
	struct wbi_stream_link stream;
	struct wbi_session_conn conn;
	struct wbi_timer timer;
	struct wbi_caller caller;
	struct wbi_hello hello;
	struct wbi_grant *grant;
	uint64_t since_ms;
	bool securing;    /* the handshake of TLS is under way */
	bool unread;      /* over tls, and its first byte has not come: TLS begins with it */
	bool known;       /* hello has come and was found good: to be handed over */
	bool turned_away; /* it may not call, and only waits until it has heard so */
	bool closed;      /* the link is gone already */
};

enum wb_err wbi_greeter_init(struct wbi_greeter *greeter, struct wbi_worker_shared *shared,
			     struct wbi_loop *loop, struct wbi_audit *audit, const char *user)
{
	*greeter =
		(struct wbi_greeter){.shared = shared, .loop = loop, .audit = audit, .user = user};
	wbi_crowd_init(&greeter->crowd);
	greeter->scratch = malloc(WBI_SESSION_SCRATCH_BYTES);
	return greeter->scratch ? WB_OK : WB_ERR_NOMEM;
}

/* Leaves the descriptor open: it is closed with the link, or handed over. */
static void unlist(struct greeting *greeting)
{
	wbi_loop_cancel(greeting->greeter->loop, &greeting->timer);
	wbi_crowd_leave(&greeting->greeter->crowd, &greeting->member);
}

static void drop(struct greeting *greeting)
{
	unlist(greeting);
	wbi_session_conn_done(&greeting->conn);
	if (!greeting->closed)
		wbi_link_close(&greeting->stream.link);
	wbi_grant_free(greeting->grant);
	free(greeting);
}

static struct greeting *greeting_of(struct wbi_crowd_member *member)
{
	return WBI_CONTAINER(member, struct greeting, member);
}

void wbi_greeter_done(struct wbi_greeter *greeter)
{
	struct wbi_list *members = &greeter->crowd.members;

	if (!greeter->scratch)
		return;
	while (!wbi_list_empty(members))
		drop(greeting_of(WBI_CONTAINER(members->next, struct wbi_crowd_member, node)));
	free(greeter->scratch);
	greeter->scratch = NULL;
}

/* ---- refusals ---- */

static void log_refusal(struct greeting *greeting, const char *code, const char *text)
{
	const struct wbi_caller *caller = &greeting->caller;
	char who[WBI_PRINCIPAL_TEXT_MAX] = "", from[WBI_ADDR_TEXT_MAX];
	const struct wbi_audit_field fields[] = {
		{"from", from, 0}, {"who", who, 0}, {"code", code, 0},
		{"text", text, 0}, {NULL, NULL, 0},
	};

	wbi_addr_format(&caller->from, from);
	if (caller->named)
		wbi_principal_format(&caller->who, who);
	wbi_audit_event(greeting->greeter->audit, WBI_AUDIT_TROUBLE, "refused", fields,
			"refused %s%s%s: %s: %s", from, who[0] ? ", " : "", who, code, text);
}

/* Nothing more comes of it, and nobody could be told. */
static void log_failure(struct greeting *greeting)
{
	const struct wbi_tls *tls = greeting->closed ? NULL : wbi_tls_link_peek(&greeting->stream);
	const struct wb_fault *fault = tls ? wbi_tls_fault(tls) : NULL;

	if (fault) /* which names itself, and what has failed is said by the code */
		log_refusal(greeting, "tls",
			    fault->text + (strncmp(fault->text, "tls: ", 5) == 0 ? 5 : 0));
}

static void on_deadline(struct greeting *greeting)
{
	log_refusal(greeting, "timeout", "it did not say who it is in time");
	drop(greeting);
}

/* ---- the first byte ---- */

/* TLS begins: the link is made anew, with it inside. */
static enum wb_err begin_tls(struct greeting *greeting, struct wb_fault *fault);

static void on_event(struct wbi_session_conn *conn, enum wbi_event_kind kind,
		     struct wbi_event *event);

/* The handshake is done: now the time runs in which `hello` is due. */
static void begin_session(struct greeting *greeting, uint64_t now_ms)
{
	struct wbi_session_conn *conn = &greeting->conn;
	struct wbi_carrier *carrier;

	greeting->securing = false;
	if (wbi_carrier_new(&greeting->greeter->shared->session, now_ms, &carrier) != WB_OK) {
		conn->failed = true;
		return;
	}
	wbi_session_conn_done(conn);
	wbi_session_conn_init(conn, &greeting->stream.link, carrier, greeting->greeter->scratch,
			      on_event);
}

/* Goes on with the handshake. Returns whether it is done, or has failed, so that the session has
 * its turn; its time does not run before. */
static bool secure(struct greeting *greeting, unsigned ready, uint64_t now_ms)
{
	bool done = false;

	if (!greeting->securing ||
	    wbi_tls_handshake(wbi_tls_link_peek(&greeting->stream), &done, NULL) != WB_OK)
		return true;
	if (done)
		begin_session(greeting, now_ms);
	return done || ready & WBI_HANGUP;
}

static uint64_t deadline(const struct greeting *greeting)
{
	const struct wbi_tls *tls = wbi_tls_link_peek(&greeting->stream);

	return greeting->securing && wbi_tls_awaits_key(tls)
		       ? greeting->since_ms + SIGNING_MS
		       : wbi_session_conn_deadline(&greeting->conn);
}

/* Looks at the first byte of a connection to a tls listener. Who speaks parcels without TLS is told
 * so in parcels. Returns false while there is none. */
static bool read_first_byte(struct greeting *greeting)
{
	struct wb_fault fault;
	uint8_t first;
	ssize_t got = recv(greeting->stream.watch.fd, &first, 1, MSG_PEEK);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	greeting->unread = false;
	if (got != 1)
		greeting->conn.failed = true; /* it went away without a word: nothing to tell */
	else if (first != TLS_HANDSHAKE_RECORD)
		wbi_carrier_refuse(greeting->conn.carrier, "tls", false,
				   "plain text on a port that speaks TLS: give tls://");
	else if (begin_tls(greeting, &fault) != WB_OK)
		greeting->conn.failed = true;
	return true;
}

/* ---- coming in ---- */

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
	wbi_tls_link_take(&greeting->stream, &handover->fd, &handover->tls);
	handover->conn = greeting->conn;
	handover->hello = greeting->hello;
	handover->who = greeting->caller.who;
	handover->from = greeting->caller.from;
	handover->grant = greeting->grant;
	free(greeting);
	/* A full directory is the worker's to tell: it alone writes to the connection. */
	if (wbi_directory_find(greeter->shared->directory, handover->hello.session, &worker,
			       NULL) != WB_OK)
		worker = 0;
	wbi_worker_give(greeter->shared->workers[worker], handover);
}

/* Does whatever can be done; the greeting may be gone afterwards. */
static void process(struct greeting *greeting, unsigned ready)
{
	struct wbi_session_conn *conn = &greeting->conn;
	uint64_t now_ms = wbi_clock_ms(), deadline_ms;

	if ((!greeting->unread || read_first_byte(greeting)) && secure(greeting, ready, now_ms))
		wbi_session_conn_process(conn, ready, now_ms);
	if (greeting->known) {
		hand_over(greeting);
		return;
	}
	deadline_ms = deadline(greeting);
	if (wbi_session_conn_over(conn) ||
	    wbi_loop_timer(greeting->greeter->loop, &greeting->timer,
			   deadline_ms > now_ms ? deadline_ms - now_ms : 0) != WB_OK) {
		log_failure(greeting);
		drop(greeting);
		return;
	}
	wbi_link_want(&greeting->stream.link, wbi_session_conn_wants(conn));
}

static void on_link(struct wbi_link *link, unsigned events)
{
	process(WBI_CONTAINER(link, struct greeting, stream.link), events);
}

/* A deadline before the end of the handshake: there is no way to say so. */
static void on_timer(struct wbi_timer *timer)
{
	struct greeting *greeting = WBI_CONTAINER(timer, struct greeting, timer);

	if (deadline(greeting) <= wbi_clock_ms() && (greeting->unread || greeting->securing))
		on_deadline(greeting);
	else
		process(greeting, 0);
}

static enum wb_err begin_tls(struct greeting *greeting, struct wb_fault *fault)
{
	struct wbi_greeter *greeter = greeting->greeter;
	struct wbi_tls *tls, *none;
	int fd;
	enum wb_err err = wbi_tls_new(greeter->tls, &tls, fault);

	if (err)
		return err;
	wbi_tls_link_take(&greeting->stream, &fd, &none);
	err = wbi_tls_link_init(&greeting->stream, tls, greeter->loop, fd, on_link, WBI_READ,
				fault);
	if (err) {
		greeting->closed = true;
		wbi_tls_free(tls);
		wbi_fd_close(&fd);
	}
	greeting->securing = !err;
	return err;
}

/* ---- who it is ---- */

/* What it may do; false: it was told that it may not come in. */
static bool authorise(struct greeting *greeting)
{
	struct wbi_caller *caller = &greeting->caller;
	struct wbi_carrier *carrier = greeting->conn.carrier;
	const struct wbi_tls *tls = wbi_tls_link_peek(&greeting->stream);
	const struct wbi_public_key *key = tls ? wbi_tls_peer(tls) : NULL;
	struct wbi_denial denial;

	if (!caller->shows_key) {
		if (wbi_policy_grant_uid(&greeting->grant) == WB_OK)
			return true;
		wbi_carrier_refuse(carrier, "internal", true, "the daemon has no memory for this");
		return false;
	}
	if (!key) {
		wbi_carrier_refuse(carrier, "tls", false, "no key was shown");
		return false;
	}
	caller->who = (struct wbi_principal){.kind = WBI_PRINCIPAL_KEY, .uid = geteuid()};
	memcpy(caller->who.key, key->ed25519, sizeof(caller->who.key));
	caller->named = true;
	if (wbi_authority_decide(greeting->greeter->shared->authority, key, &caller->from,
				 &greeting->grant, &denial) == WB_OK)
		return true;
	log_refusal(greeting, denial.code, denial.why.text);
	wbi_carrier_refuse(carrier, denial.code, false, denial.told);
	return false;
}

static void on_hello(struct greeting *greeting, const struct wbi_hello *hello)
{
	if (greeting->turned_away || !authorise(greeting))
		return;
	if (hello->user[0] != '\0' && strcmp(hello->user, greeting->greeter->user) != 0) {
		wbi_carrier_refuse(greeting->conn.carrier, "user", false,
				   "this daemon serves another user");
		return;
	}
	greeting->hello = *hello;
	greeting->known = true;
	wbi_session_conn_release(&greeting->conn);
}

/* What authorise() has refused it has logged, with more than the peer is told; and so has the
 * listener. */
static bool is_logged(const struct greeting *greeting)
{
	return greeting->turned_away ||
	       (greeting->caller.shows_key && greeting->caller.named && !greeting->grant);
}

static void on_event(struct wbi_session_conn *conn, enum wbi_event_kind kind,
		     struct wbi_event *event)
{
	struct greeting *greeting = WBI_CONTAINER(conn, struct greeting, conn);

	if (kind == WBI_EVENT_HELLO)
		on_hello(greeting, event->hello);
	else if (kind == WBI_EVENT_ERROR && event->problem->ours && !is_logged(greeting))
		log_refusal(greeting, event->problem->code, event->problem->text);
}

/* ---- accepting ---- */

/* For the crowd: those of whom the kernel has said that they may come in have no budget. */
static const struct wbi_addr *source_of(const struct wbi_caller *caller)
{
	return caller->shows_key || caller->refusal ? &caller->from : NULL;
}

static void make_room(struct wbi_greeter *greeter, const struct wbi_caller *caller)
{
	struct wbi_crowd_member *victim = wbi_crowd_victim(&greeter->crowd, source_of(caller));

	if (!victim)
		return;
	log_refusal(greeting_of(victim), "crowd", "others came while it had not said who it is");
	drop(greeting_of(victim));
}

enum wb_err wbi_greeter_accept(struct wbi_greeter *greeter, int fd, const struct wbi_caller *caller,
			       struct wb_fault *fault)
{
	struct greeting *greeting = calloc(1, sizeof(*greeting));
	struct wbi_carrier *carrier = NULL;
	enum wb_err err = WB_ERR_NOMEM;

	if (greeting)
		err = wbi_carrier_new(&greeter->shared->session, wbi_clock_ms(), &carrier);
	if (!err)
		err = wbi_tls_link_init(&greeting->stream, NULL, greeter->loop, fd, on_link,
					WBI_READ, fault);
	else
		wb_fault_set(fault, err, NULL, 0, "no memory for a connection");
	if (err) {
		wbi_carrier_free(carrier);
		free(greeting);
		return err;
	}
	make_room(greeter, caller);
	greeting->greeter = greeter;
	greeting->caller = *caller;
	greeting->since_ms = wbi_clock_ms();
	greeting->unread = caller->shows_key;
	greeting->turned_away = caller->refusal != NULL;
	greeting->timer.fn = on_timer;
	wbi_session_conn_init(&greeting->conn, &greeting->stream.link, carrier, greeter->scratch,
			      on_event);
	wbi_crowd_join(&greeter->crowd, &greeting->member, source_of(caller));
	if (caller->refusal)
		wbi_carrier_refuse(carrier, "refused", false, caller->refusal);
	process(greeting, 0);
	return WB_OK;
}
