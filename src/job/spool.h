/* A spool: the output of one stream of a command, kept until it can be sent.
 *
 * In memory up to a limit, then in an unlinked temporary file, into which the kernel moves the
 * bytes (splice) without passing them through us. */
#ifndef WBI_SPOOL_H
#define WBI_SPOOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "transport/link.h"
#include "waybill/digest.h"
#include "waybill/err.h"

/* What the spools of one environment share: one account, one folder. Only files are charged: what
 * fits in a spool's own memory is always kept, however much a reader who does not read makes others
 * hold.
 */
struct wbi_spool_account {
	const char *folder;   /* for temporary files */
	uint64_t limit_bytes; /* all files together */
	uint64_t bytes;       /* of this account's files */
	/* Of all accounts under one limit, whatever their threads; NULL: this is the only one. Two
	 * that look at the same moment may pass the limit by what each takes in one step. */
	_Atomic uint64_t *together;
};

/* What may still be charged; and charging, or giving back. */
uint64_t wbi_spool_account_left(const struct wbi_spool_account *account);
void wbi_spool_account_add(struct wbi_spool_account *account, uint64_t bytes);
void wbi_spool_account_drop(struct wbi_spool_account *account, uint64_t bytes);

/* Invariant: either file is -1 and memory holds all `bytes`, or memory is empty and file does. */
struct wbi_spool {
	struct wbi_spool_account *account;
	struct wbi_buf memory;
	int file; /* -1 while everything fits in memory */
	uint64_t bytes;
	bool by_copy; /* this file system knows no splice */
};

/* memory_bytes: the most that is held in memory (> 0). Takes no memory. */
void wbi_spool_init(struct wbi_spool *spool, struct wbi_spool_account *account,
		    size_t memory_bytes);
void wbi_spool_done(struct wbi_spool *spool); /* gives the account back what it held; repeatable */

/* Takes what a non-blocking pipe holds now, at most `most` bytes.
 * ret_taken: bytes taken; 0 at the pipe's end; less than `most`: the pipe was empty for a moment,
 * or is at its end. Returns WB_OK; WB_ERR_TIMEOUT: nothing there now (no fault); WB_ERR_LIMIT:
 * there is more than `most` = 0 (fault field "max-output") or the account allows ("max-spool");
 * WB_ERR_NOMEM; WB_ERR_SYSTEM: the disk said no (ENOSPC) or the like. After the last three bytes
 * may be missing: kill the writer and throw the spool away. */
WB_WARN_UNUSED enum wb_err wbi_spool_fill(struct wbi_spool *spool, int pipe, size_t most,
					  size_t *ret_taken, struct wb_fault *fault);

/* Sends from `offset` what the link takes now; the kernel reads the file itself where it can.
 * Returns > 0, -EAGAIN, or another -errno; offset < spool->bytes. */
ssize_t wbi_spool_send(const struct wbi_spool *spool, uint64_t offset, struct wbi_link *link);

/* Digests `bytes` bytes from `offset` (in steps, so that one command's gigabytes hold up nobody);
 * offset + bytes <= spool->bytes. Returns WB_OK or WB_ERR_SYSTEM. */
WB_WARN_UNUSED enum wb_err wbi_spool_digest(const struct wbi_spool *spool, uint64_t offset,
					    size_t bytes, struct wb_digest *digest,
					    struct wb_fault *fault);

#endif
