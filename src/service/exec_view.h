/* A view: one call that looks at a job, its own (exec) or one that was there before (attach). Only
 * exec's own files include this.
 *
 *     call ◀─ exec_view ─▶ exec_job ─▶ wbi_job
 */
#ifndef WBI_EXEC_VIEW_H
#define WBI_EXEC_VIEW_H

#include "service/exec_job.h"

enum { WBI_EXEC_RESTS_MAX = 32 << 20 }; /* bytes, of all views of a worker */

/* Bytes that an earlier view had sent and not got acknowledged when its job was taken: they are its
 * client's still, while the job's logs belong to somebody else now. Before that it stands for a
 * stream that the job does not have: ended, and empty. */
struct wbi_exec_rest {
	struct wbi_source source;
	uint64_t from;
	uint64_t bytes; /* of data; they count in env->rest_bytes */
	uint8_t *data;
};

struct wbi_exec_view {
	struct wbi_served_call served;
	struct wbi_exec_job *job; /* NULL: it was taken by another view */
	bool connected;
	struct wbi_exec_rest
		rests[2]; /* streams 1 and 2, where the job has no log for them (any more) */
};

/* Heap; NULL: no memory. The call does not know of it before its owner is set to &view->served. */
struct wbi_exec_view *wbi_exec_view_new(struct wbi_call_env *env, struct wbi_call *call);

/* Of a view that no job has any more, or never had. */
void wbi_exec_view_free(struct wbi_exec_view *view);

/* The fields of `opened`. context: the struct wbi_exec_job. */
void wbi_exec_view_put_opened(struct wb_header_writer *writer, void *context);

/* View and job know each other from here on, and the job's logs are what the call's streams are
 * read from. The call was accepted. */
void wbi_exec_view_join(struct wbi_exec_view *view, struct wbi_exec_job *exec);

/* Copies into the view what its client may still ask for of the job's logs. Nothing else changes
 * yet. Returns WB_OK, WB_ERR_LIMIT (WBI_EXEC_RESTS_MAX), WB_ERR_NOMEM. */
WB_WARN_UNUSED enum wb_err wbi_exec_view_keep_rests(struct wbi_exec_view *view);

/* After that: the job goes to another view. This one's client, should it come back, gets what was
 * on its way to it, and hears that the job is gone. */
void wbi_exec_view_part(struct wbi_exec_view *view);

/* Whether output of that number goes to the client: not where it was not opened, or is not wanted
 * any more. */
bool wbi_exec_view_reads(const struct wbi_exec_view *view, int stream);

/* Whether a stream of a call brings output of a job: number 1 or 2, to the client. */
bool wbi_exec_view_is_output(const struct wbi_stream *stream);

/* Told to the view, by the job: exit stands; a stream has more; input has moved. */
void wbi_exec_view_ended(struct wbi_exec_view *view);
void wbi_exec_view_output(struct wbi_exec_view *view, int stream);
void wbi_exec_view_input(struct wbi_exec_view *view, size_t bytes);

#endif
