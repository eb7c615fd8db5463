/* The sender: files and trees in, items out, answers back.
 *
 * What it promises: what it reads it reads once and in order; the digest that it states is that of
 * the bytes it sent; a file that changes while it is read is told as changed, never sent as if it
 * were whole; what the receiver has already does not travel again.
 *
 * It knows no connection. Its owner moves the bytes, from one thread:
 *
 *   wbi_file_sender_fill(sender, out, room, &bytes, &fault)           until it gives 0
 *   wbi_file_sender_answer(sender, data, bytes, &consumed, &fault)    as answers arrive
 *
 * Every call may block on the disk, but not on a pipe (see wbi_file_sender_waits_for).
 * Protocol: docs/PROTOCOL.md, "Files". */
#ifndef WBI_FILES_SENDER_H
#define WBI_FILES_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "files/progress.h"
#include "waybill/digest.h"
#include "waybill/err.h"

struct wbi_file_sender; /* opaque, heap */

enum { WBI_FILE_ROOM_MIN = 64 * 1024 };

/* One operand. */
struct wbi_file_source {
	const char *path; /* of a file or folder; NULL where `stream` is meant */
	int stream;       /* in place of a path: a descriptor whose length nobody knows */
	const char *name; /* how a stream is called at the other end */
};

struct wbi_file_sender_options {
	/* A folder that paths may not leave, "/" at their front meaning it; or AT_FDCWD: paths are
	 * the user's own. Borrowed while the sender lives. */
	int root;
	const struct wbi_file_source *sources;
	size_t source_count;         /* >= 1 */
	const char *const *excludes; /* NULL-terminated (see exclude.h), or NULL */
	enum wb_digest_kind digest;
	bool recursive; /* folders too; without it they are failures */
	bool owner;     /* tell users and groups */
	bool delete;    /* tell what is in each folder, so that the rest can be deleted there */
	bool compress;  /* where this build and the receiver can */
};

/* How a source's path is called at the other end: *ret_name points into path, behind its last slash
 * but those at its end. Returns the name's length; 0: it has none of its own ("/", ".", ".."), and
 * what is in it travels without one, spread in the target. */
size_t wbi_file_source_name(const char *path, const char **ret_name);

/* Begins; nothing is opened yet, and everything in the options is borrowed while the sender lives.
 * Returns WB_OK and the caller owns *ret_sender; WB_ERR_NOMEM, WB_ERR_UNSUPPORTED. */
WB_WARN_UNUSED enum wb_err wbi_file_sender_new(const struct wbi_file_sender_options *options,
					       struct wbi_file_sender **ret_sender,
					       struct wb_fault *fault);
void wbi_file_sender_free(struct wbi_file_sender *sender); /* NULL is fine */

/* Looks, before anybody is asked to take them, whether one of the sources can be sent: it can be
 * opened, and is of a kind that is sent. If none can, each is counted and listed as a failure, and
 * the sender is done. Call before the first fill, or not at all. */
bool wbi_file_sender_check(struct wbi_file_sender *sender);

/* Writes the next bytes of the item stream to `out`, room >= WBI_FILE_ROOM_MIN. *ret_bytes 0: it
 * waits for answers, or for its input, or it is done.
 * Returns WB_OK also where files cannot be read: those are told to the receiver, counted and
 * listed. WB_ERR_NOMEM is final, as is a bad answer before. */
WB_WARN_UNUSED enum wb_err wbi_file_sender_fill(struct wbi_file_sender *sender, void *out,
						size_t room, size_t *ret_bytes,
						struct wb_fault *fault);

/* Takes answers, in any split. *ret_consumed is always set; give the rest again, with more behind
 * it (heads must come whole). Returns WB_OK; WB_ERR_MALFORMED, WB_ERR_LIMIT: not what a receiver
 * says; final. */
WB_WARN_UNUSED enum wb_err wbi_file_sender_answer(struct wbi_file_sender *sender, const void *data,
						  size_t bytes, size_t *ret_consumed,
						  struct wb_fault *fault);

/* The receiver has said `finished`: nothing will be sent or is to be taken any more. */
bool wbi_file_sender_done(const struct wbi_file_sender *sender);

/* A descriptor that must become readable before fill goes on (a stream), or -1. */
int wbi_file_sender_waits_for(const struct wbi_file_sender *sender);

/* Borrowed; current until the next call. Failures hold both sides': what could not be read here and
 * what the receiver refused or could not keep. */
const struct wbi_file_progress *wbi_file_sender_progress(const struct wbi_file_sender *sender);
const struct wbi_file_failures *wbi_file_sender_failures(const struct wbi_file_sender *sender);

#endif
