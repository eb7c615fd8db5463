/* The reply of the plain exec services: a head, then a command's stdout and stderr, or a message in
 * place of both. Protocol: "Plain services". */
#ifndef WBI_REPLY_H
#define WBI_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "job/spool.h"
#include "transport/link.h"
#include "waybill/digest.h"
#include "waybill/err.h"

enum wbi_reply_framing {
	WBI_REPLY_LENGTH, /* i32 LE size */
	WBI_REPLY_HEADER, /* i32 LE n, n bytes of JSON {"filename", "total_size", "md5"} */
};

enum { WBI_REPLY_HEAD_MAX = 192 };

/* Caller-owned; borrows the spools and the message's copy is its own. */
struct wbi_reply {
	enum wbi_reply_framing framing;
	char head[WBI_REPLY_HEAD_MAX];
	size_t head_bytes;
	char message[WB_FAULT_TEXT_MAX];
	size_t message_bytes;
	const struct wbi_spool *output[2]; /* stdout, stderr; NULL where there is a message */
	struct wb_digest *digest;          /* NULL until digesting begins */
	uint64_t digested;
	uint64_t sent; /* of head, message and output together */
};

void wbi_reply_init(struct wbi_reply *reply, enum wbi_reply_framing framing);
void wbi_reply_done(struct wbi_reply *reply);

/* What the payload is: a command's complete output (borrowed until done), or a message (copied). */
void wbi_reply_output(struct wbi_reply *reply, const struct wbi_spool *out,
		      const struct wbi_spool *err);
void wbi_reply_message(struct wbi_reply *reply, const char *message);

/* Digests up to `most` more bytes of the payload. Returns WB_OK and whether that was the last of
 * it, or WB_ERR_SYSTEM, WB_ERR_NOMEM, WB_ERR_UNSUPPORTED. */
WB_WARN_UNUSED enum wb_err wbi_reply_digest(struct wbi_reply *reply, size_t most,
					    bool *ret_complete, struct wb_fault *fault);

/* Writes the head, once the payload (and for WBI_REPLY_HEADER its digest; a message is digested
 * here) is there. Returns WB_OK, WB_ERR_RANGE (an int32 cannot announce the size), or as above. */
WB_WARN_UNUSED enum wb_err wbi_reply_head(struct wbi_reply *reply, struct wb_fault *fault);

/* Sends what the link takes in one write. Returns 0 once everything has been sent, 1 if more
 * is left and the link may take it, -EAGAIN, or another -errno. */
int wbi_reply_send(struct wbi_reply *reply, struct wbi_link *link);

#endif
