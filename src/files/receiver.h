/* The receiver: items in, files out, answers back. Every byte that it takes is somebody else's.
 *
 * What it promises: nothing outside the target; a name that holds the whole file, old or new, at
 * every moment and after every crash; a digest that was computed over what went to the disk; and,
 * unless told otherwise, `saved` only for what would survive a loss of power.
 *
 * It knows no connection. Its owner moves the bytes, from one thread:
 *
 *   wbi_file_receiver_take(receiver, data, bytes, &consumed, &fault)    as items arrive
 *   wbi_file_receiver_answers(receiver, out, room, &bytes, &fault)      until it gives 0
 *
 * and goes on calling both (take with 0 bytes will do) while wbi_file_receiver_busy: each call does
 * a bounded piece of work, so that the owner can look at its clock. Until answers are taken, take
 * may refuse to consume. Every call may block on the disk.
 * Protocol: docs/PROTOCOL.md, "Files". */
#ifndef WBI_FILES_RECEIVER_H
#define WBI_FILES_RECEIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "files/progress.h"
#include "files/target.h"
#include "waybill/digest.h"
#include "waybill/err.h"

struct wbi_file_receiver; /* opaque, heap */

struct wbi_file_receiver_options {
	/* Where files go; borrowed, to be open as long as the receiver lives. */
	const struct wbi_file_target *target;
	/* >= 0 in place of a target: one file's bytes are written here in order (a pipe, a
	 * terminal), with no temporary; its digest is checked at the end. Borrowed. */
	int sink;
	const char
		*sink_name; /* what errors of the sink are told of; NULL: of the file. Borrowed */
	enum wb_digest_kind digest;  /* of files; the one that the call agreed on */
	uint64_t bytes_max;          /* sum of sizes that a call may bring; UINT64_MAX: no limit */
	uint64_t files_max;          /* entries of every kind; UINT64_MAX: no limit */
	bool update;                 /* leave what is as new or newer here */
	bool delete;                 /* in folders that are sent, remove what was not */
	const char *const *excludes; /* what is never removed (see exclude.h); borrowed, or NULL */
	/* Whoever asked for files takes no others: what may come at the top, by name, "." being a
	 * tree that is spread in the target. NULL-terminated, borrowed; NULL: the sender chooses.
	 */
	const char *const *asked;
	bool asked_folders; /* and these may be folders */
	bool owner;         /* set user and group (only root can) */
	bool no_fsync;      /* `saved` says only that a name is there, not that it would survive */
	bool no_delta;      /* old files are no basis; left-over temporaries still are */
};

/* The options that change nothing: every limit off, every flag false, no sink, no target. */
#define WBI_FILE_RECEIVER_DEFAULTS                                                                 \
	(struct wbi_file_receiver_options)                                                         \
	{                                                                                          \
		.sink = -1, .digest = WB_DIGEST_XXH128, .bytes_max = UINT64_MAX,                   \
		.files_max = UINT64_MAX                                                            \
	}

/* Begins; `ready` is the first answer. Returns WB_OK and the caller owns *ret_receiver;
 * WB_ERR_NOMEM, WB_ERR_UNSUPPORTED (the digest). If the thread is to be restricted
 * (wbi_landlock_restrict), then before this. */
WB_WARN_UNUSED enum wb_err wbi_file_receiver_new(const struct wbi_file_receiver_options *options,
						 struct wbi_file_receiver **ret_receiver,
						 struct wb_fault *fault);

/* Ends, at any moment. What is complete gets its name; what is not stays as a temporary where it
 * can be resumed, and goes where it cannot. NULL is fine. */
void wbi_file_receiver_free(struct wbi_file_receiver *receiver);

/* Takes the next items. *ret_consumed is always set; give the rest again, with more behind it
 * (heads of items must come whole: up to 4 + 16,384 bytes are left unconsumed for want of more).
 *
 * Returns WB_OK also where entries fail: those are answered, counted and listed. Any other result
 * is final: WB_ERR_MALFORMED (no such item, or not now), WB_ERR_LIMIT (of the protocol),
 * WB_ERR_REFUSED (a quota), WB_ERR_SYSTEM (the disk is full or read-only), WB_ERR_NOMEM. What was
 * complete has been named, answers are still to be taken, and the same error comes again. Its
 * stable name is the last failure's `error`. */
WB_WARN_UNUSED enum wb_err wbi_file_receiver_take(struct wbi_file_receiver *receiver,
						  const void *data, size_t bytes,
						  size_t *ret_consumed, struct wb_fault *fault);

/* Fills `out` (room >= 64 KiB) with answers; a payload may be cut at the end and goes on in the
 * next call. *ret_bytes 0: nothing to say just now. Fails only with NOMEM, or as take did. */
WB_WARN_UNUSED enum wb_err wbi_file_receiver_answers(struct wbi_file_receiver *receiver, void *out,
						     size_t room, size_t *ret_bytes,
						     struct wb_fault *fault);

/* There is work to do that needs no further input: digests of a basis, a long copy, a batch. */
bool wbi_file_receiver_busy(const struct wbi_file_receiver *receiver);

/* `done` has come, all is on disk and named, and every answer has been taken, `finished` last. The
 * items may end before that only by an error. */
bool wbi_file_receiver_done(const struct wbi_file_receiver *receiver);

/* Borrowed; current until the next call. */
const struct wbi_file_progress *
wbi_file_receiver_progress(const struct wbi_file_receiver *receiver);
const struct wbi_file_failures *
wbi_file_receiver_failures(const struct wbi_file_receiver *receiver);

#endif
