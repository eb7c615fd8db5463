/* The client, inside: what its files share. The public face is waybill/client.h.
 *
 *   client.c        the life of a client: attempts, connections, the end
 *   client_dial.c   one connection: dialling, and whether it is our daemon that answers
 *   client_secure.c the same over tls: the handshake, and whose key the host shows
 *   client_wait.c   what a client waits for
 *   client_call.c   a call: output kept and offered, stdin kept until it has arrived
 *   client_open.c   what is asked for: exec, attach, jobs, kill
 *   client_run.c    the blocking helper */
#ifndef WBI_CLIENT_H
#define WBI_CLIENT_H

#include "app/destination.h"
#include "app/trust.h"
#include "base/buf.h"
#include "base/list.h"
#include "conn/session_conn.h"
#include "session/session.h"
#include "sys/addr.h"
#include "sys/peer.h"
#include "transport/tls_link.h"
#include "waybill/client.h"

/* ---- dialling (client_dial.c) ---- */

enum { WBI_DIAL_ADDRESSES_MAX = 8 };

/* Where a daemon is, looked up once. */
struct wbi_target {
	struct wbi_destination destination;
	struct wbi_addr addrs[WBI_DIAL_ADDRESSES_MAX];
	unsigned count;
	uid_t server_uid;
	struct wbi_peer_finder *finder; /* for tcp; made when it is first needed */
};

/* Returns as wb_client_new. Ends with _done, also after a failure. */
WB_WARN_UNUSED enum wb_err wbi_target_init(struct wbi_target *target, const char *uri,
					   struct wb_fault *fault);
void wbi_target_done(struct wbi_target *target);

/* Begins to connect to address `i`. ret_pending: wait until *ret_fd is writable, then _finish.
 * Returns WB_OK; WB_ERR_TIMEOUT: its queue is full, try again; WB_ERR_SYSTEM: nobody there. */
WB_WARN_UNUSED enum wb_err wbi_dial_begin(const struct wbi_target *target, unsigned i, int *ret_fd,
					  bool *ret_pending, struct wb_fault *fault);
WB_WARN_UNUSED enum wb_err wbi_dial_finish(const struct wbi_target *target, unsigned i, int fd,
					   struct wb_fault *fault);

/* Is it the daemon of target->server_uid that is at the other end? Nothing may be sent before.
 * Returns WB_OK, WB_ERR_REFUSED, WB_ERR_SYSTEM. */
WB_WARN_UNUSED enum wb_err wbi_dial_check(struct wbi_target *target, unsigned i, int fd,
					  struct wb_fault *fault);

/* ---- tls (client_secure.c) ---- */

struct wb_client;

/* Begins the handshake on the descriptor that was dialled, which the link owns afterwards: says
 * hello, and reads no answer yet. Returns as wbi_trust_begin. */
WB_WARN_UNUSED enum wb_err wbi_client_secure(struct wb_client *client, struct wb_fault *fault);

/* Reads the key that we show, and known_hosts, while the host is at its answer. Returns as
 * wbi_trust_show. */
WB_WARN_UNUSED enum wb_err wbi_client_show_key(struct wb_client *client, struct wb_fault *fault);

/* Takes the handshake further. ret_done: it has held and the host is the right one. ret_late: the
 * answer took so long that the connection is best made anew. Returns WB_OK; WB_ERR_REFUSED (the
 * host's key); or why TLS failed. */
WB_WARN_UNUSED enum wb_err wbi_client_secure_step(struct wb_client *client, unsigned ready,
						  bool *ret_done, bool *ret_late,
						  struct wb_fault *fault);

/* Why TLS has ended the connection: NULL where it is merely lost. A daemon that refuses our
 * handshake is heard of only behind it (RFC 8446, section 2). Borrowed from the connection. */
const struct wb_fault *wbi_client_tls_fault(const struct wb_client *client);

/* Whether the daemon's `error` was about the key that we showed, and there is another to show. */
bool wbi_client_try_next_key(struct wb_client *client, const char *code);

/* ---- the client (client.c) ---- */

enum wbi_client_state {
	WBI_CLIENT_WAITING, /* for the next attempt */
	WBI_CLIENT_DIALING,
	WBI_CLIENT_SECURING, /* the TLS handshake; nothing of ours was sent yet */
	WBI_CLIENT_GREETING, /* `hello` was sent, or is about to be */
	WBI_CLIENT_UP,
	WBI_CLIENT_OVER, /* no connection any more; calls end, then `closed` is told */
	WBI_CLIENT_CLOSED,
};

struct wb_client {
	struct wbi_target target;
	struct wbi_trust *trust; /* over tls; NULL otherwise */
	bool next_key;           /* another key of ours is to be shown at once */
	bool late;               /* it took long to say that the host is the right one */
	uint64_t retry_ms;
	const struct wb_client_callbacks *callbacks; /* NULL: none */
	void *context;
	char agent[WBI_AGENT_MAX];

	enum wbi_client_state state;
	struct wbi_session *session;
	/* Each call is in one of these. */
	struct wbi_list calls;  /* without a result, or with output to be taken */
	struct wbi_list ending; /* `ended` is to be told */
	struct wbi_list ended;  /* and was; the caller's to free */
	struct wbi_list dead;   /* freed by the caller in a callback: to be freed behind it */
	bool dispatching;
	bool dirty; /* something was done that the connection has not seen yet */

	/* the attempt under way */
	int fd;              /* DIALING */
	unsigned addr;       /* which address is tried */
	unsigned attempts;   /* since a connection carried anything */
	uint64_t attempt_ms; /* WAITING: when; DIALING: until when */
	uint64_t give_up_ms; /* while there is no connection; WBI_NEVER_MS: not counted yet */
	bool known;          /* there was a `welcome` once */
	bool told;           /* `disconnected` was, of this loss */

	/* GREETING, UP */
	struct wbi_stream_link link;
	struct wbi_session_conn conn;
	uint8_t *scratch;
	bool carried; /* this connection has moved something for a call */

	/* how it ends */
	bool final;   /* no further attempt makes sense */
	bool leaving; /* wb_client_close */
	uint64_t leave_ms;
	char code[WBI_CODE_MAX]; /* of `why`: a stable name */
	struct wb_fault why;
};

/* A session's connection, that is: one that parcels go over. */
static inline bool wbi_client_has_connection(const struct wb_client *client)
{
	return client->state == WBI_CLIENT_GREETING || client->state == WBI_CLIENT_UP;
}

/* The client is to be processed soon. */
void wbi_client_touch(struct wb_client *client);

/* ---- calls (client_call.c) ---- */

struct wbi_call_output {
	struct wbi_buf kept;
	uint64_t bytes; /* that arrived */
	bool ended;     /* eof came */
	bool told;      /* output_end was */
	bool closed;    /* not wanted */
	bool offering;  /* `kept` is lent to a callback just now */
};

struct wb_call {
	struct wb_client *client;
	struct wbi_list node;
	struct wbi_call *engine; /* NULL once it has ended, or was freed by the caller */
	const struct wb_call_callbacks *callbacks;
	void *context;
	struct wbi_call_output outputs[WB_STDERR + 1];
	bool starved; /* no memory to keep output: it was cancelled */
	bool held_open;

	/* stdin: `input` holds what the daemon has not acknowledged */
	struct wbi_source source;
	struct wbi_buf input;
	uint64_t input_base;
	bool input_closed;
	bool input_wanted;            /* a write was cut short */
	struct wbi_source *own_input; /* somebody's own source in place of `input`; NULL: none */

	uint64_t job;
	pid_t pid;
	bool pty;
	bool unsent; /* the client gave up before a byte of it was sent */
	bool has_result, queued, dead;
	struct wb_result result;
};

/* Opens a call of any service. open: as for wbi_call_open. Otherwise like wb_client_exec. */
WB_WARN_UNUSED enum wb_err wbi_client_open(struct wb_client *client, const struct wbi_open *open,
					   const struct wb_call_callbacks *callbacks, void *context,
					   struct wb_call **ret_call, struct wb_fault *fault);

/* stdin comes from the caller's own source, which outlives the call, and not by wb_call_write. Its
 * owner is told by `input` whenever the daemon has taken some, and says _wake when it has more.
 * To be called right after the call was opened. */
void wbi_client_set_input(struct wb_call *call, struct wbi_source *source);
void wbi_client_wake_input(struct wb_call *call);

/* How much of stdin went into a connection so far (and may have to go again). */
uint64_t wbi_client_input_sent(const struct wb_call *call);

/* An event of the engine that names a call. */
void wbi_client_call_event(struct wb_call *call, enum wbi_event_kind kind,
			   const struct wbi_event *event);

/* The client gives up: calls of which nothing was sent are not lost, they were never made. */
void wbi_client_mark_unsent(struct wb_client *client);

/* Tells `ended` where it is due. Returns whether calls are left that have not ended. */
bool wbi_client_end_calls(struct wb_client *client);
void wbi_client_bury(struct wb_client *client); /* frees the dead */

#endif
