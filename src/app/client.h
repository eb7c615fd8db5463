/* The client, inside: what its files share. The public face is waybill/client.h.
 *
 *   client.c        the life of a client: attempts, connections, the end
 *   client_dial.c   one connection: dialling, and whether it is our daemon that answers
 *   client_call.c   a call: output kept and offered, stdin kept until it has arrived
 *   client_open.c   what is asked for: exec, attach, jobs, kill
 *   client_run.c    the blocking helper */
#ifndef WBI_CLIENT_H
#define WBI_CLIENT_H

#include "base/buf.h"
#include "base/list.h"
#include "conn/session_conn.h"
#include "session/session.h"
#include "sys/addr.h"
#include "sys/peer.h"
#include "transport/stream.h"
#include "waybill/client.h"

/* ---- dialling (client_dial.c) ---- */

enum { WBI_DIAL_ADDRESSES_MAX = 8 };

/* Where a daemon is, looked up once. */
struct wbi_target {
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

/* ---- the client (client.c) ---- */

enum wbi_client_state {
	WBI_CLIENT_WAITING, /* for the next attempt */
	WBI_CLIENT_DIALING,
	WBI_CLIENT_GREETING, /* `hello` was sent, or is about to be */
	WBI_CLIENT_UP,
	WBI_CLIENT_OVER, /* no connection any more; calls end, then `closed` is told */
	WBI_CLIENT_CLOSED,
};

struct wb_client {
	struct wbi_target target;
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
	bool input_wanted; /* a write was cut short */

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

/* An event of the engine that names a call. */
void wbi_client_call_event(struct wb_call *call, enum wbi_event_kind kind,
			   const struct wbi_event *event);

/* The client gives up: calls of which nothing was sent are not lost, they were never made. */
void wbi_client_mark_unsent(struct wb_client *client);

/* Tells `ended` where it is due. Returns whether calls are left that have not ended. */
bool wbi_client_end_calls(struct wb_client *client);
void wbi_client_bury(struct wb_client *client); /* frees the dead */

#endif
