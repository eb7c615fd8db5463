/* Items and answers: what travels between the two engines that move files.
 *
 * Each is a parcel; items go from the sender to the receiver, answers come back. The codec knows
 * what a field may hold; in which order the kinds may come, and what a name may be, the engines
 * know. Protocol: docs/PROTOCOL.md, "Files". */
#ifndef WBI_FILES_ITEM_H
#define WBI_FILES_ITEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "waybill/digest.h"
#include "waybill/err.h"
#include "waybill/header.h"
#include "waybill/length.h"

enum {
	WBI_ITEM_NAME_MAX = 4095,                  /* bytes of a path, or of a link's target */
	WBI_ITEM_SMALL_BYTES = 128 * 1024,         /* content that travels whole, in a `file` */
	WBI_ITEM_PAYLOAD_BYTES = 256 * 1024,       /* payload of any kind but a `dir_end` */
	WBI_ITEM_LISTING_BYTES = 16 * 1024 * 1024, /* names of a `dir_end` */
	WBI_ITEM_OFFERS_MAX = 256,                 /* offers whose fate is open, at one time */
	WBI_ITEM_BLOCK_DIGEST_BYTES = 16,          /* xxh128, most significant byte first */
	WBI_ITEM_BLOCK_BYTES_MIN = 128 * 1024,     /* smallest block of a basis */
	WBI_ITEM_BLOCKS_MAX = 16384,               /* blocks of a basis */
	WBI_ITEM_OWNER_MAX = 64,                   /* a user's or group's name, with its NUL */
	WBI_ITEM_ERROR_MAX = 24,                   /* a stable name such as "no-space" */
	WBI_ITEM_TEXT_MAX = 200,                   /* a reason, for people */
	WBI_ITEM_HEAD_BYTES_MAX = WB_LENGTH_BYTES + WB_HEADER_BYTES_MAX, /* always room enough */
};

enum wbi_item_kind {
	WBI_ITEM_DIR,      /* a folder; what is in it comes next, then its dir_end */
	WBI_ITEM_FILE,     /* a small file, content and all */
	WBI_ITEM_OFFER,    /* a file whose content comes only if it is wanted */
	WBI_ITEM_DATA,     /* content */
	WBI_ITEM_COPY,     /* content that the receiver has, at the same offset of its basis */
	WBI_ITEM_HOLE,     /* zeros that take no room on the disk */
	WBI_ITEM_END,      /* the content is complete */
	WBI_ITEM_ABORT,    /* the content does not come, or is not completed */
	WBI_ITEM_LINK,     /* a symbolic link */
	WBI_ITEM_HARDLINK, /* another name of a file that was sent */
	WBI_ITEM_DIR_END,  /* nothing more in this folder, but content that was offered */
	WBI_ITEM_DONE,     /* the last item */
};

enum wbi_answer_kind {
	WBI_ANSWER_READY,    /* the first answer */
	WBI_ANSWER_WANT,     /* to an offer: send it, but for these blocks */
	WBI_ANSWER_HAVE,     /* to an offer: the content is there already */
	WBI_ANSWER_SKIP,     /* to an offer: what is there stays */
	WBI_ANSWER_REFUSED,  /* to an offer: it cannot be made */
	WBI_ANSWER_SAVED,    /* everything up to n is on disk, but for what failed */
	WBI_ANSWER_FAILED,   /* an entry came and could not be kept */
	WBI_ANSWER_FINISHED, /* the last answer */
};

/* As struct timespec: the nanoseconds count upwards from the second, also before 1970. On the wire
 * "SECONDS.NNNNNNNNN", so half a second before 1970 is "-1.500000000". */
struct wbi_item_time {
	int64_t seconds;
	uint32_t nanoseconds;
};

/* One item. Which members mean something, its kind says; no pointers, may be copied. */
struct wbi_item {
	enum wbi_item_kind kind;
	uint64_t n;       /* the entry's number, from 1 */
	bool has_size;    /* offer: false where nobody knows it (a stream) */
	bool has_owner;   /* uid, gid, and perhaps their names */
	bool has_listing; /* dir_end: the payload is all that the folder holds */
	uint32_t mode;    /* 0 … 07777 */
	uint32_t uid, gid;
	uint32_t raw_bytes; /* > 0: the payload is one zstd frame of so many bytes of content */
	struct wbi_item_time mtime;
	uint64_t size;
	uint64_t offset, bytes; /* a piece of content; done: bytes is the sum */
	uint64_t files;
	uint64_t payload_bytes;
	char digest[WB_DIGEST_HEX_MAX]; /* of the whole file; "": none */
	char error[WBI_ITEM_ERROR_MAX];
	char text[WBI_ITEM_TEXT_MAX];
	char user[WBI_ITEM_OWNER_MAX], group[WBI_ITEM_OWNER_MAX]; /* "": not known */
	size_t name_bytes, other_bytes;
	char name[WBI_ITEM_NAME_MAX + 1];  /* path relative to the target, any bytes but NUL */
	char other[WBI_ITEM_NAME_MAX + 1]; /* link: its target; hardlink: a name sent before */
};

struct wbi_answer {
	enum wbi_answer_kind kind;
	uint64_t n; /* of the entry; saved: up to which */
	bool fresh; /* ready: nothing is there yet, offers of small files would be in vain */
	bool zstd;  /* ready: payloads may be compressed */
	uint64_t block_bytes, block_count; /* want: the basis, in blocks; the digests are payload */
	uint64_t files, bytes, deleted, failed;
	uint64_t payload_bytes;
	char error[WBI_ITEM_ERROR_MAX];
	char text[WBI_ITEM_TEXT_MAX];
	char expected[WB_DIGEST_HEX_MAX], found[WB_DIGEST_HEX_MAX]; /* "": not about a digest */
};

/* The name on the wire ("dir", "ready"). Never NULL; static. */
const char *wbi_item_kind_name(enum wbi_item_kind kind);
const char *wbi_answer_kind_name(enum wbi_answer_kind kind);

/* The block that a basis of so many bytes is cut into: a power of two, so many that they stay below
 * WBI_ITEM_BLOCKS_MAX. */
uint64_t wbi_item_block_bytes(uint64_t size);

/* Everything is 0 or "" but the kind. */
void wbi_item_init(struct wbi_item *item, enum wbi_item_kind kind);
void wbi_answer_init(struct wbi_answer *answer, enum wbi_answer_kind kind);

/* Sets a name. False: empty, longer than WBI_ITEM_NAME_MAX, or with a NUL in it. */
bool wbi_item_set_name(struct wbi_item *item, const char *name, size_t bytes);
bool wbi_item_set_other(struct wbi_item *item, const char *other, size_t bytes);

/* Writes the parcel's head to `out`; the payload is to follow. Returns WB_OK; WB_ERR_LIMIT (no
 * room); WB_ERR_RANGE, WB_ERR_MALFORMED (a value that no header holds). */
WB_WARN_UNUSED enum wb_err wbi_item_encode(const struct wbi_item *item, void *out, size_t room,
					   size_t *ret_bytes, struct wb_fault *fault);

/* Puts another digest, just as long, into the head of a `file` that has one: so that it can be
 * written before the content is read to behind it. */
void wbi_item_set_digest(void *head, size_t head_bytes, const char *digest);

WB_WARN_UNUSED enum wb_err wbi_answer_encode(const struct wbi_answer *answer, void *out,
					     size_t room, size_t *ret_bytes,
					     struct wb_fault *fault);

/* Takes the head of a parcel from the input; the payload, payload_bytes, follows behind it.
 * *ret_bytes: on DONE the length of the head, on NEED how much input is needed in all.
 * BAD: no such kind, a field that is missing or no value of its kind, too much payload, `crit`. */
enum wb_decode wbi_item_decode(const void *input, size_t bytes, struct wbi_item *ret_item,
			       size_t *ret_bytes, struct wb_fault *fault);
enum wb_decode wbi_answer_decode(const void *input, size_t bytes, struct wbi_answer *ret_answer,
				 size_t *ret_bytes, struct wb_fault *fault);

#endif
