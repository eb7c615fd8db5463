/* talk, inside: one connection to a plain service, and one exchange after another on it.
 *
 * Blocking style, with poll and deadlines: there is one peer, and a person waits for it. */
#ifndef WBI_TALK_H
#define WBI_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/lines.h"
#include "cli/show.h"
#include "sys/addr.h"
#include "waybill/err.h"

#define WBI_TALK_NEVER UINT64_MAX

enum { WBI_TALK_CHUNK_BYTES = 65536 };

struct wbi_talk {
	int fd;
	uint64_t timeout_ms; /* for the rest of a reply that has begun; for a datagram */
	struct wbi_show *show;
	bool verbose;                        /* the frame of each reply goes to stderr */
	uint8_t chunk[WBI_TALK_CHUNK_BYTES]; /* of a reply on its way to `show` */
};

/* Opens a connection (for udp, a socket that hears only its peer). Returns WB_OK and sets talk->fd,
 * or WB_ERR_REFUSED (no address for that name), WB_ERR_TIMEOUT, WB_ERR_SYSTEM. */
WB_WARN_UNUSED enum wb_err wbi_talk_connect(struct wbi_talk *talk, const struct wbi_uri *uri,
					    struct wb_fault *fault);

/* The deadline, in ms of wbi_clock_ms, that is timeout_ms from now. */
uint64_t wbi_talk_deadline_ms(const struct wbi_talk *talk);

/* Waits for `events` of poll. ret_events may be NULL. Returns WB_OK, WB_ERR_TIMEOUT ("silence for
 * 10 s"), WB_ERR_SYSTEM. */
WB_WARN_UNUSED enum wb_err wbi_talk_wait(struct wbi_talk *talk, short events, uint64_t deadline_ms,
					 short *ret_events, struct wb_fault *fault);

/* Reads what is there, at most `size` bytes, > 0, waiting for the first of them.
 * Returns WB_OK; WB_ERR_CLOSED at the end; WB_ERR_TIMEOUT; WB_ERR_SYSTEM. The fault says why only:
 * the caller adds in which part of the reply (wbi_talk_cut). */
WB_WARN_UNUSED enum wb_err wbi_talk_receive(struct wbi_talk *talk, void *data, size_t size,
					    uint64_t deadline_ms, size_t *ret_bytes,
					    struct wb_fault *fault);

/* Sends all of it. A peer that takes no byte for timeout_ms is an error. */
WB_WARN_UNUSED enum wb_err wbi_talk_send(struct wbi_talk *talk, const void *data, size_t bytes,
					 struct wb_fault *fault);

/* Between two exchanges nothing may have come: bytes that nobody asked for would be taken for the
 * next reply. Returns WB_OK, WB_ERR_MALFORMED, WB_ERR_CLOSED, WB_ERR_SYSTEM. */
WB_WARN_UNUSED enum wb_err wbi_talk_check_quiet(struct wbi_talk *talk, struct wb_fault *fault);

/* Turns a failure of _receive or _wait into the line for the person: how much of what had come.
 * Returns fault->err. */
enum wb_err wbi_talk_cut(struct wb_fault *fault, uint64_t got, uint64_t whole, const char *what);

/* One exchange: sends a piece of a line and shows what it brings. */
typedef enum wb_err wbi_talk_exchange_fn(struct wbi_talk *talk, const struct wbi_line_piece *piece,
					 struct wb_fault *fault);

wbi_talk_exchange_fn wbi_talk_upper_tcp;
wbi_talk_exchange_fn wbi_talk_upper_udp;
wbi_talk_exchange_fn wbi_talk_exec_length;
wbi_talk_exchange_fn wbi_talk_exec_header;

#endif
