/* The sender, inside: what its files share.
 *
 *   sender.c          its life: fill, answers
 *   sender_scan.c     operands and trees become items
 *   sender_file.c     regular files: those that travel whole, those that are offered
 *   sender_content.c  the content of one file that was wanted, with what need not travel left out
 */
#ifndef WBI_FILES_SENDER_STATE_H
#define WBI_FILES_SENDER_STATE_H

#include <sys/stat.h>

#include "base/list.h"
#include "files/compress.h"
#include "files/item.h"
#include "files/links.h"
#include "files/names.h"
#include "files/sender.h"
#include "files/walk.h"

enum {
	WBI_SENDER_BLOCKS_BYTES_MAX = 4 << 20, /* digests of bases, of all offers together */
	WBI_SENDER_SCRATCH_BYTES = WBI_ITEM_SMALL_BYTES + 1, /* a small file, and its end */
	WBI_SENDER_HEAD_BYTES = 256,                         /* of a `data`, at most */
};

/* new -> scanning -> scanned -> told -> finished */
enum wbi_sender_phase {
	WBI_SENDER_NEW,      /* `ready` has not come */
	WBI_SENDER_SCANNING, /* there are operands left */
	WBI_SENDER_SCANNED,  /* some offers are open still */
	WBI_SENDER_TOLD,     /* `done` was sent */
	WBI_SENDER_FINISHED,
};

/* Something offered whose fate is not known yet. */
struct wbi_offer {
	struct wbi_list node; /* in sender->wanted, or alone */
	uint64_t n;           /* 0: a free slot */
	size_t source;        /* which operand */
	char *path;           /* below it; "" for the operand itself */
	char *name;           /* at the other end */
	struct stat stat;     /* when it was offered; a stream's is all 0 */
	bool wanted;
	uint8_t *blocks; /* digests of what the receiver has, or NULL */
	uint64_t block_bytes, block_count;
	size_t blocks_held; /* bytes of them that have come */
};

/* The file that is being sent. */
struct wbi_content {
	struct wbi_offer *offer; /* NULL: none */
	int fd;
	bool stream;
	bool sparse;         /* holes are looked for */
	uint64_t offset;     /* everything below was sent */
	uint64_t extent_end; /* up to here there is no hole; <= offset: not looked yet */
	uint64_t data_end;   /* up to here it is known that the block must travel */
	uint64_t copy_offset, copy_bytes; /* agreed, and not told yet */
	unsigned pause;                   /* so many pieces are not worth trying to compress */
	struct wb_digest *digest;
};

/* A small file that is open, and did not fit behind what was in `out` already. */
struct wbi_held {
	int fd; /* -1: none */
	struct stat stat;
	const char *path; /* below the operand; good as long as the walk does not move */
};

struct wbi_file_sender {
	struct wbi_file_sender_options options;
	enum wbi_sender_phase phase;
	enum wb_err err; /* final */
	struct wb_fault fault;
	bool fresh, compresses;
	bool scan_due; /* a file's content has travelled since the last step of the scan */
	uint64_t n, done_files, done_bytes;

	size_t source;          /* the operand under way */
	struct wbi_names names; /* that operands have had */
	struct wbi_walk *walk;
	bool nameless; /* the operand's content goes straight into the target */
	char base[WBI_FILE_CURRENT_MAX + 1]; /* how the operand is called */
	const char *listing;                 /* what is left of one to be sent */
	size_t listing_bytes;
	struct wbi_held held;
	struct wbi_links links;
	uid_t last_uid;
	gid_t last_gid;
	char last_user[WBI_ITEM_OWNER_MAX], last_group[WBI_ITEM_OWNER_MAX];

	struct wbi_offer offers[WBI_ITEM_OFFERS_MAX];
	unsigned offer_count;
	size_t blocks_bytes; /* of all offers */
	struct wbi_list wanted;
	struct wbi_offer *telling; /* whose digests are coming */
	size_t telling_left;
	struct wbi_content content;
	int waits_for;

	struct wb_digest *digest; /* of small files */
	struct wb_digest *block;  /* xxh128, of one block */
	struct wbi_item item;     /* the one being written */
	struct wbi_file_progress progress;
	struct wbi_file_failures failures;

	uint8_t *out; /* of the fill under way */
	size_t room, used;
	uint64_t work_left;                /* content that it may still look at */
	struct wbi_compressor *compressor; /* NULL: nothing is compressed */
	uint8_t scratch[WBI_SENDER_SCRATCH_BYTES];
	uint8_t packed[WBI_SENDER_SCRATCH_BYTES];
};

/* ---- sender.c ---- */

/* Encodes sender->item and counts it as written. Its payload is to follow. */
enum wb_err wbi_sender_emit(struct wbi_file_sender *sender);

/* The same with its payload, compressed where that pays; there is room for it as it is. bytes: at
 * most WBI_SENDER_SCRATCH_BYTES. */
enum wb_err wbi_sender_emit_content(struct wbi_file_sender *sender, const uint8_t *data,
				    size_t bytes);

/* Counts sender->item's payload as written; `bytes` is how much content that was. */
void wbi_sender_count(struct wbi_file_sender *sender, size_t bytes);

/* Tells both sides that something does not travel. n: of its offer, or 0. name: for people. error:
 * a stable name, or NULL: errno says which. why: a sentence; NULL: errno's. */
enum wb_err wbi_sender_fail(struct wbi_file_sender *sender, uint64_t n, const char *name,
			    const char *error, const char *why);

/* Its first half: only this side knows. sender->item is what would tell the other. */
void wbi_sender_note_failure(struct wbi_file_sender *sender, uint64_t n, const char *name,
			     const char *error, const char *why);

/* A free slot, or NULL. */
struct wbi_offer *wbi_offer_new(struct wbi_file_sender *sender);
void wbi_offer_free(struct wbi_file_sender *sender, struct wbi_offer *offer);

/* ---- sender_scan.c ---- */

/* There are operands left, and one more offer may be open. */
bool wbi_sender_may_scan(const struct wbi_file_sender *sender);

/* One operand or entry further. *ret_moved: false where `out` is too full for it. */
enum wb_err wbi_sender_scan(struct wbi_file_sender *sender, bool *ret_moved);

/* Goes on with a listing. */
void wbi_sender_list(struct wbi_file_sender *sender);

/* Opens a regular file again. Returns a descriptor or -1 with errno. */
int wbi_sender_open(struct wbi_file_sender *sender, const struct wbi_offer *offer);

/* Begins sender->item with the name "operand/path"; false where that is too long. */
bool wbi_sender_begin(struct wbi_file_sender *sender, enum wbi_item_kind kind, const char *path);

/* sender->item gets the next number, and mode, times, size and owner. */
void wbi_sender_facts(struct wbi_file_sender *sender, const struct stat *stat);

/* The entry that sender->item names is known now. */
void wbi_sender_known(struct wbi_file_sender *sender, uint64_t bytes);

/* The entry that sender->item names does not travel; as wbi_sender_fail. */
enum wb_err wbi_sender_fail_entry(struct wbi_file_sender *sender, const char *error,
				  const char *why);

/* ---- sender_file.c ---- */

/* A regular file, open as fd, which is the sender's from now on; sender->item has its name.
 * *ret_moved: false where it is held back for want of room. */
enum wb_err wbi_sender_file(struct wbi_file_sender *sender, int fd, const struct stat *stat,
			    const char *path, bool *ret_moved);

/* The one that was held back. */
enum wb_err wbi_sender_file_held(struct wbi_file_sender *sender);

/* Something whose length nobody knows; sender->item has its name. */
enum wb_err wbi_sender_stream(struct wbi_file_sender *sender);

/* ---- sender_content.c ---- */

enum wb_err wbi_content_begin(struct wbi_file_sender *sender);
enum wb_err wbi_content_step(struct wbi_file_sender *sender, bool *ret_moved);
void wbi_content_end(struct wbi_file_sender *sender); /* closes; frees the offer */

static inline size_t wbi_sender_room(const struct wbi_file_sender *sender)
{
	return sender->room - sender->used;
}

#endif
