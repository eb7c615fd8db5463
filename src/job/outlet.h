/* An outlet: one output stream of a command. A pipe's read end (or a pseudo-terminal's master), and
 * behind it a spool (all of it, for later) or a log (as it comes, for a reader that is there). */
#ifndef WBI_OUTLET_H
#define WBI_OUTLET_H

#include <stdbool.h>
#include <stdint.h>

#include "job/log.h"
#include "job/spool.h"
#include "sys/loop.h"

/* watch.fd is -1 before the pipe is opened, and once it is at its end or given up. */
struct wbi_outlet {
	struct wbi_watch watch;
	int writer; /* the pipe's other end, while we have it; else -1 */
	struct wbi_loop *loop;
	bool has_log;       /* else a spool */
	bool paused;        /* the log is full: open, but not watched */
	uint64_t paused_ms; /* since when, by the loop's clock */
	bool enlarged;      /* the pipe; once is enough */
	union {
		struct wbi_spool spool;
		struct wbi_log log;
	};
};

/* fn: called as of any watch when bytes or the end have come. Takes no resource. */
void wbi_outlet_init(struct wbi_outlet *outlet, struct wbi_loop *loop, wbi_watch_fn *fn,
		     struct wbi_spool_account *account, size_t memory_bytes);
void wbi_outlet_init_log(struct wbi_outlet *outlet, struct wbi_loop *loop, wbi_watch_fn *fn,
			 struct wbi_log_store *store);

/* Makes the pipe. ret_writer: its other end, for the command. It is the outlet's too, which holds
 * the pipe open by it until wbi_outlet_let_go (repeatable) or _close. */
WB_WARN_UNUSED enum wb_err wbi_outlet_open(struct wbi_outlet *outlet, int *ret_writer,
					   struct wb_fault *fault);

/* The same with a terminal's master; it is the outlet's own from here on. */
void wbi_outlet_open_terminal(struct wbi_outlet *outlet, int master);

void wbi_outlet_let_go(struct wbi_outlet *outlet);

/* Watches it, if it is open. */
WB_WARN_UNUSED enum wb_err wbi_outlet_watch(struct wbi_outlet *outlet, struct wb_fault *fault);

bool wbi_outlet_is_open(const struct wbi_outlet *outlet);

/* Stops listening; what has been kept stays. Repeatable, as is _done, which drops that too. */
void wbi_outlet_close(struct wbi_outlet *outlet);
void wbi_outlet_drop(struct wbi_outlet *outlet); /* what was kept; goes on listening */
void wbi_outlet_done(struct wbi_outlet *outlet);

enum wbi_outlet_use {
	WBI_OUTLET_KEEP,    /* into the spool or the log */
	WBI_OUTLET_DISCARD, /* so that the writer neither blocks nor gets a SIGPIPE */
};

/* Takes one turn's worth (some 1 MiB) of an open outlet, and closes it at the pipe's end.
 * room: the most bytes that a spool may keep. to_end: nobody can write any more, or the end is
 * likely to be there: look for it now instead of waiting for one more event. ret_came: set to true
 * if bytes were taken, else left alone. A log that is full pauses the outlet. Returns WB_OK; as
 * wbi_spool_fill, but never WB_ERR_TIMEOUT; for a log WB_ERR_NOMEM and WB_ERR_SYSTEM: what there is
 * cannot be taken. */
WB_WARN_UNUSED enum wb_err wbi_outlet_drain(struct wbi_outlet *outlet, enum wbi_outlet_use use,
					    uint64_t room, bool to_end, bool *ret_came,
					    struct wb_fault *fault);

/* Listens again if it was paused; unless `always`, only if the log has room. */
void wbi_outlet_resume(struct wbi_outlet *outlet, bool always);

#endif
