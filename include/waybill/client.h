/* The client: run commands on a daemon, from any event loop, over connections that may break.
 *
 *   struct wb_client   a session and whatever connection carries it just now
 *   struct wb_call     one command (or one look at a command) within it
 *
 * A client knows no loop and starts no thread. Whoever has one polls for it:
 *
 *   for (;;) {
 *           struct pollfd fd = {wb_client_fd(client), wb_client_events(client), 0};
 *           poll(&fd, 1, wb_client_timeout_ms(client));
 *           wb_client_process(client, fd.revents);
 *   }
 *
 * Everything that happens is told through callbacks, from within wb_client_process and nowhere
 * else. In a callback everything may be called but wb_client_process and wb_client_free. One thread
 * at a time may use a client and its calls.
 *
 * A connection that is lost is made again within wb_client_process: at once, then after 50 ms,
 * doubling to 2 s, for as long as the daemon holds a session without one. The calls go on where
 * they were; no byte comes twice, and no command runs twice.
 * Protocol: docs/PROTOCOL.md, "Sessions". For the simple case there is wb_run, at the end. */
#ifndef WAYBILL_CLIENT_H
#define WAYBILL_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "waybill/err.h"

struct wb_client; /* opaque, heap */
struct wb_call;   /* opaque, heap */

/* ---- the client ---- */

#define WB_RETRY_AS_HELD UINT64_MAX /* as long as the daemon said that it holds a session */

struct wb_client_callbacks {
	/* A connection is up. resumed: the session goes on where it was. */
	void (*connected)(struct wb_client *client, bool resumed, void *context);
	/* A connection was lost, and it is tried again for at most retry_ms. Not repeated for
	 * attempts that fail meanwhile. */
	void (*disconnected)(struct wb_client *client, const struct wb_fault *why,
			     uint64_t retry_ms, void *context);
	/* It is over: refused, given up, or closed. Every call has ended. Once, and the last. */
	void (*closed)(struct wb_client *client, const struct wb_fault *why, void *context);
};

/* A host's key, as somebody is asked about it. Borrowed for the call. */
enum wb_host_state {
	WB_HOST_UNKNOWN, /* nothing is known of this host */
	WB_HOST_CHANGED, /* another key is known: it is refused, whatever the answer */
	WB_HOST_REVOKED, /* this key was revoked: likewise */
};

struct wb_host {
	const char *name; /* as it was written */
	uint16_t port;
	const char *key;         /* "ssh-ed25519 AAAA…" */
	const char *fingerprint; /* "SHA256:…", as ssh-keygen -lf prints it */
	enum wb_host_state state;
	const char *file; /* which file says so, and where; "" and 0 for UNKNOWN */
	size_t line;
	/* What may be behind UNKNOWN: kinds of key that are known for this host and that Waybill
	 * does not take ("ssh-rsa, ecdsa…", or ""); and how many lines made no sense and were
	 * passed over, with the first of them (0, "", 0: none). */
	const char *other_kinds;
	size_t bad_lines;
	const char *bad_file;
	size_t bad_line;
};

enum wb_host_answer {
	WB_HOST_REFUSE,
	WB_HOST_ACCEPT,   /* for as long as this client lives */
	WB_HOST_REMEMBER, /* and for ever: it is written down in known_hosts */
};

/* Called from within wb_client_process. May block: who takes longer than the daemon waits is
 * connected anew. */
typedef enum wb_host_answer wb_host_fn(const struct wb_host *host, void *context);

struct wb_client_options {
	/* "local" (the user's own daemon), "unix:///path", "tcp://127.0.0.1:9292", or over tls
	 * "[user@]host[:port]" and "tls://[user@]host[:port]" (port 9292). */
	const char *uri;
	const char *agent;       /* how to appear in lists, at most 63 bytes; NULL: "libwaybill" */
	uint64_t retry_ms;       /* how long to try again once a connection is lost; 0: never */
	uint32_t silence_ms;     /* a connection that is silent for so long is lost; 0: 45 s */
	const uid_t *server_uid; /* unix, tcp: whose daemon it must be; NULL: our own */
	/* Over tls: key files to show, in this order, NULL-terminated; NULL: Waybill's own
	 * id_ed25519, ~/.ssh/id_ed25519, and what ssh-agent holds. */
	const char *const *identities;
	const char *known_hosts; /* a file; NULL: Waybill's own, ~/.ssh/known_hosts, /etc/ssh's */
	bool accept_new;         /* a host never seen before is trusted, and written down */
	wb_host_fn *host;        /* asked about a key that is not known; NULL: it is refused */
	void *host_context;
	const struct wb_client_callbacks *callbacks; /* each of them may be NULL, and so may this */
	void *context;
};

/* Makes a client and begins to connect. What `options` points to is borrowed for this call only,
 * but for `callbacks`, which must outlive the client.
 *
 * Looks names up, once (blocks for as long as that takes; numeric and unix addresses need none).
 * tcp:// is for loopback only; whether the daemon is ours the kernel is asked before anything is
 * sent. Over tls it is the host's key that is looked at first; known_hosts and key files are read
 * then, and a key in ssh-agent is used there (wb_client_process blocks for so long). Returns WB_OK
 * and the caller owns *ret_client; WB_ERR_ARGUMENT (the URI); WB_ERR_REFUSED (not a loopback
 * address); WB_ERR_UNSUPPORTED (a transport that this build lacks); WB_ERR_NOMEM, WB_ERR_SYSTEM.
 * That nobody listens there is told later, by `closed`. */
WB_WARN_UNUSED enum wb_err wb_client_new(const struct wb_client_options *options,
					 struct wb_client **ret_client, struct wb_fault *fault);

/* Ends it without a word to anybody; its calls are freed too. A daemon that was told nothing holds
 * the session for a while (see wb_client_close). NULL is allowed. */
void wb_client_free(struct wb_client *client);

/* The descriptor to wait for: changes with every connection, -1 while there is none. For which
 * events (POLLIN | POLLOUT; 0: do not poll it), and for how many milliseconds at most (-1: for
 * ever; 0: process at once). Ask again after anything was called. */
int wb_client_fd(const struct wb_client *client);
short wb_client_events(const struct wb_client *client);
int wb_client_timeout_ms(const struct wb_client *client);

/* Does what can be done now and calls back. ready: what poll said (revents), 0 after a timeout.
 * Never blocks. */
void wb_client_process(struct wb_client *client, short ready);

/* Takes leave: what is due is written and the daemon may forget the session. Go on processing
 * until `closed`. Calls that still run are LOST to us, and the daemon ends their commands. */
void wb_client_close(struct wb_client *client);

/* Gives up at once: no more attempts; every call that runs is LOST. `closed` comes with the next
 * wb_client_process. why: told to `closed`; copied. */
void wb_client_give_up(struct wb_client *client, const char *why);

/* This process is about to be stopped (^Z): the daemon is told to hold the session without a
 * deadline. Process until wb_client_is_flushed, stop, and say continue afterwards. */
void wb_client_suspend(struct wb_client *client);
void wb_client_continue(struct wb_client *client);

/* Whether a connection is up; whether nothing waits to be written to it (or there is none); whether
 * `closed` has been told. */
bool wb_client_is_connected(const struct wb_client *client);
bool wb_client_is_flushed(const struct wb_client *client);
bool wb_client_is_closed(const struct wb_client *client);

/* "waiting" (for the next attempt), "dialing", "greeting", "up", "over", "closed": for logs. */
const char *wb_client_state_name(const struct wb_client *client);

/* ---- calls ---- */

enum wb_outcome {
	WB_OUTCOME_EXITED,
	WB_OUTCOME_SIGNALED,
	WB_OUTCOME_TIMEOUT,
	WB_OUTCOME_CANCELLED,
	WB_OUTCOME_REFUSED, /* nothing was started */
	WB_OUTCOME_FAILED,  /* it could not be started */
	WB_OUTCOME_LOST,    /* nobody knows: none or once, perhaps still running */
};

enum { WB_STDOUT = 1, WB_STDERR = 2 };

/* How a call ended. Success is EXITED with code 0 *and* `complete`. No pointers; copy it freely. */
struct wb_result {
	enum wb_outcome outcome;
	bool complete; /* every byte of output arrived, and agrees with its digest, or was not
			  wanted */
	bool has_code;
	uint32_t code; /* EXITED; FAILED where has_code: 127 no such command, 126 not executable */
	char signal[16]; /* SIGNALED: "KILL" */
	bool core;       /* SIGNALED: core dumped */
	char error[32];  /* otherwise: a stable name, and a sentence; both may come from the daemon
			  */
	char text[200];
	char missing[64];         /* what is, where not complete */
	uint64_t output_bytes[3]; /* that arrived, by WB_STDOUT and WB_STDERR */
	bool held_open; /* the command ended while something that it started still held its output
			   open */
	bool has_usage;
	uint64_t user_ms, system_ms, memory_bytes;
};

/* "exited", "signaled", …: as on the wire. Static storage. */
const char *wb_outcome_name(enum wb_outcome outcome);

/* What happens to a call. Each may be NULL. */
struct wb_call_callbacks {
	/* The command runs: wb_call_job and wb_call_pid are known. */
	void (*opened)(struct wb_call *call, void *context);
	/* Output. Returns how much of it was taken. The rest is kept (the daemon sends no more than
	 * what a window holds) and offered again by wb_call_pull. NULL: all output is dropped. */
	size_t (*output)(struct wb_call *call, unsigned stream, const void *data, size_t bytes,
			 void *context);
	/* All output of this stream was taken, and there will be no more. */
	void (*output_end)(struct wb_call *call, unsigned stream, void *context);
	/* wb_call_write takes more again, or will never (the command has closed its stdin). */
	void (*input)(struct wb_call *call, void *context);
	/* It has ended, and all output was taken. Once, and the last. */
	void (*ended)(struct wb_call *call, const struct wb_result *result, void *context);
};

enum wb_on_disconnect {
	WB_DISCONNECT_DEFAULT, /* the daemon's: hold, for a minute */
	WB_DISCONNECT_KILL,    /* a command without a connection is ended */
	WB_DISCONNECT_HOLD,    /* so long that is waited for us: hold_ms */
	WB_DISCONNECT_DETACH,  /* it goes on without us, and can be attached to */
};

struct wb_exec {
	const char *const *argv; /* NULL-terminated, at least one; argv[0] is looked up in PATH */
	bool shell;              /* argv is one line, for the user's shell */
	const char *const
		*env;    /* "NAME=value", NULL-terminated, on top of the daemon's; NULL: none */
	const char *cwd; /* NULL: the home of the daemon's user */
	bool no_input;   /* stdin is /dev/null */
	bool pty;        /* a terminal in place of pipes: no WB_STDERR of its own */
	uint16_t rows, cols;
	const char *term;    /* NULL: "dumb" */
	uint64_t timeout_ms; /* ended after this; 0: never */
	enum wb_on_disconnect on_disconnect;
	uint64_t hold_ms;
	const char *key; /* 1 … 128 bytes: the same key starts nothing twice; NULL: none */
};

/* Asks for a command. Connected or not: it is sent as soon as can be. Everything is copied but
 * `callbacks`, which must outlive the call.
 * Returns WB_OK and the caller owns *ret_call; WB_ERR_ARGUMENT; WB_ERR_LIMIT (more than 1 MiB of
 * arguments, too many calls); WB_ERR_CLOSED (the client is closed); WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wb_client_exec(struct wb_client *client, const struct wb_exec *exec,
					  const struct wb_call_callbacks *callbacks, void *context,
					  struct wb_call **ret_call, struct wb_fault *fault);

/* Asks for a command that runs already, detached or held: its output from where it was left, or
 * from the beginning as far as that is still kept. Otherwise like wb_client_exec. */
struct wb_attach {
	uint64_t job;
	bool from_start;
	bool no_input;
};

WB_WARN_UNUSED enum wb_err wb_client_attach(struct wb_client *client,
					    const struct wb_attach *attach,
					    const struct wb_call_callbacks *callbacks,
					    void *context, struct wb_call **ret_call,
					    struct wb_fault *fault);

/* Lists the jobs that are ours: `output` gets one JSON object a line. */
WB_WARN_UNUSED enum wb_err wb_client_jobs(struct wb_client *client,
					  const struct wb_call_callbacks *callbacks, void *context,
					  struct wb_call **ret_call, struct wb_fault *fault);

/* Ends a job, or sends it a signal ("TERM"; NULL: HUP, TERM, KILL, as far as is needed). */
WB_WARN_UNUSED enum wb_err wb_client_kill(struct wb_client *client, uint64_t job,
					  const char *signal,
					  const struct wb_call_callbacks *callbacks, void *context,
					  struct wb_call **ret_call, struct wb_fault *fault);

/* Frees a call; no callback of it comes any more. One that has not ended is left alone: the daemon
 * may end its command (cancel says so). Until then it is the caller's, also after `ended`; none may
 * be used after wb_client_free. NULL is allowed. */
void wb_call_free(struct wb_call *call);

/* Gives stdin bytes. ret_bytes: how many were taken, perhaps none: then `input` will tell when to
 * go on. Returns WB_OK; WB_ERR_CLOSED: nobody will read them (the command has closed its stdin or
 * ended, or there never was one, or it was ended here); WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wb_call_write(struct wb_call *call, const void *data, size_t bytes,
					 size_t *ret_bytes);

/* How many bytes wb_call_write would take now; 0 also where it never will. */
size_t wb_call_input_room(const struct wb_call *call);
bool wb_call_input_closed(const struct wb_call *call);

/* stdin ends behind what was written (on a pty: ^D). Safe to repeat. */
void wb_call_end_input(struct wb_call *call);

/* Offers kept output to `output` again, until it does not take all. The one function that
 * calls back outside wb_client_process: `output`, `output_end`; never `ended`. */
void wb_call_pull(struct wb_call *call, unsigned stream);

/* No more output of this stream is wanted: what is kept and what still comes is dropped, and the
 * command meets a closed pipe. */
void wb_call_close_output(struct wb_call *call, unsigned stream);

/* Sends a signal ("INT") to the command's processes. Returns WB_OK; WB_ERR_LIMIT: too many are on
 * their way; WB_ERR_ARGUMENT: no name; WB_ERR_CLOSED: it has ended. */
WB_WARN_UNUSED enum wb_err wb_call_signal(struct wb_call *call, const char *name);

/* The window's new size. */
void wb_call_resize(struct wb_call *call, uint16_t rows, uint16_t cols);

/* End it and everything that it runs; `ended` still comes. */
void wb_call_cancel(struct wb_call *call);

uint64_t wb_call_job(const struct wb_call *call); /* the job's number; 0: not known yet */
pid_t wb_call_pid(const struct wb_call *call);
bool wb_call_is_pty(const struct wb_call *call); /* once it was opened */

/* How it ended, or NULL before. Borrowed until the call is freed. */
const struct wb_result *wb_call_result(const struct wb_call *call);

/* ---- the simple case ---- */

/* Caller-owned; the output has a NUL behind it that is not counted. */
struct wb_output {
	struct wb_result result;
	char *out, *err;
	size_t out_bytes, err_bytes;
};

void wb_output_done(struct wb_output *output); /* frees what it holds; safe to repeat */

/* Runs one command to its end, with `input_bytes` of stdin (exec->no_input need not be set where
 * there are none), and keeps its output, at most limit_bytes of each stream. Blocks.
 * Returns WB_OK: it has ended, see ret_output->result (also LOST, or REFUSED); WB_ERR_LIMIT: there
 * was more output than that, and it was cancelled; or as wb_client_new and wb_client_exec. */
WB_WARN_UNUSED enum wb_err wb_run(const char *uri, const struct wb_exec *exec, const void *input,
				  size_t input_bytes, size_t limit_bytes,
				  struct wb_output *ret_output, struct wb_fault *fault);

#endif
