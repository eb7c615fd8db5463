/* A call that moves files: what put and get have in common.
 *
 * Reading and writing files blocks, and a worker's thread serves many sessions. So each of these
 * calls has a thread of its own, in which its engine (src/files) runs. It meets the worker's loop
 * at two bounded rings: `in` holds what the client has sent, `out` what it is to be sent; the
 * latter is the stream's source, kept until the client has it. The session, its connections and
 * their loss stay the loop's affair; the thread knows only bytes.
 *
 * A record lives until its thread has ended and the call is forgotten, whichever is later. */
#ifndef WBI_FILES_CALL_H
#define WBI_FILES_CALL_H

#include <pthread.h>
#include <stdbool.h>

#include "service/call_service.h"
#include "service/files_request.h"
#include "sys/ring.h"

struct wbi_files_call;

/* One step of an engine. */
struct wbi_files_step {
	struct wbi_slice in; /* what has come and was not used yet */
	bool in_ended;       /* and nothing will come behind it */
	uint8_t *out;        /* room for what is to be sent */
	size_t room;

	size_t used, written; /* set by the step */
	bool done;            /* likewise: it is over, and `out` says the last of it */
	bool partly;          /* done, but not every file; `out` has told which */
	const char *error; /* where it fails: a stable name, static or of the engine; NULL: err's */
};

/* An engine, as its thread sees it. All of it may block. */
struct wbi_files_ops {
	/* Makes files->engine. root: of the folder that nothing may lead out of, or AT_FDCWD; stays
	 * open until _end. error: as in a step. */
	enum wb_err (*begin)(struct wbi_files_call *files, int root, const char **error,
			     struct wb_fault *fault);
	/* Returns WB_OK, or why nothing more can come of it. */
	enum wb_err (*step)(struct wbi_files_call *files, struct wbi_files_step *step,
			    struct wb_fault *fault);
	bool (*busy)(struct wbi_files_call *files); /* a step has work without further input */
	void (*end)(struct wbi_files_call *files);  /* frees files->engine, which may be NULL */
};

struct wbi_files_call {
	struct wbi_served_call served; /* .call is NULL once nobody wants it any more */
	struct wbi_list node;          /* in env->transfers */
	const struct wbi_files_ops *ops;
	struct wbi_files_request request;
	char *root;    /* the grant's; NULL: none */
	bool confined; /* by that, or the daemon's own: "/" means that folder */
	void *engine;  /* the thread's */
	struct wbi_source source;
	struct wbi_task task; /* posted by the thread when there is news */
	struct wbi_files_claim claim;
	pthread_t thread;
	bool joined;
	uint64_t consumed; /* of stream 0, as far as the engine of the session knows */

	/* Guards the rest, and the counters of the rings. */
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	uint64_t changes; /* counts what the loop did that the thread may wait for */
	struct wbi_ring in, out;
	uint64_t granted; /* of stream 1: the client lets it go so far */
	bool in_ended, stopping;
	bool connected, taken; /* stopping, for a put of the same goes on in its place */
	bool posted;           /* the task is on its way */
	bool ended;            /* the thread's last word: */
	struct wbi_exit exit;  /* how */
};

/* The stable name of what kept an engine from beginning ("not-found", "denied", …). */
const char *wbi_files_error_name(enum wb_err err, const struct wb_fault *fault);

/* Opens a call: reads the request and starts the thread. Ends in wbi_call_accept, or in a refusal.
 * granted: whether the session may do this; root: the folder that its grant names, NULL: none;
 * claims: nobody else is to work at the same path (see files_claim.h). */
void wbi_files_open(struct wbi_call_env *env, struct wbi_event *event,
		    const struct wbi_call_service *service, const struct wbi_files_ops *ops,
		    bool granted, const char *root, bool claims);

/* The thread's: a path of the client's as the system knows it: relative ones begin at the user's
 * home, or at the root where there is one. Heap; NULL: no memory. */
char *wbi_files_path(const struct wbi_files_call *files, const char *path);

/* The rest of a wbi_call_service. */
void wbi_files_event(struct wbi_served_call *served, enum wbi_event_kind kind,
		     struct wbi_event *event);
void wbi_files_connected(struct wbi_served_call *served, bool connected);
void wbi_files_drop(struct wbi_served_call *served);

/* The worker ends, its loop runs no more: ends every thread and frees every record. */
void wbi_files_done(struct wbi_call_env *env);

#endif
