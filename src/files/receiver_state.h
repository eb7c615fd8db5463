/* The receiver, inside: what its files share.
 *
 *   receiver.c          its life: items taken apart, batches, the end
 *   receiver_entry.c    entries: where they belong, folders, offers
 *   receiver_link.c     links
 *   receiver_small.c    a small file, content and all
 *   receiver_content.c  the content of a file that was wanted
 *   receiver_basis.c    what is here already, told in blocks
 *   receiver_answer.c   answers, failures */
#ifndef WBI_FILES_RECEIVER_STATE_H
#define WBI_FILES_RECEIVER_STATE_H

#include "base/buf.h"
#include "files/commit.h"
#include "files/compress.h"
#include "files/item.h"
#include "files/names.h"
#include "files/receiver.h"

enum {
	WBI_RECEIVER_DEPTH_MAX = 256,
	WBI_RECEIVER_IO_BYTES = 256 * 1024,
	WBI_RECEIVER_TURN_BYTES = 32 << 20, /* worked through in one call, about */
	WBI_RECEIVER_BASIS_MIN =
		WBI_ITEM_BLOCK_BYTES_MIN,       /* an old file below has no whole block */
	WBI_RECEIVER_ANSWERS_MAX = 1 << 20,     /* held until they are fetched */
	WBI_RECEIVER_NAMES_MAX = 3 << 20,       /* remembered of a call */
	WBI_RECEIVER_LATER_BYTES_MAX = 8 << 20, /* hard links that wait for their files */
	WBI_RECEIVER_STALE_SECONDS = 7 * 24 * 3600,
};

/* A folder that has begun and not ended; the first is the target. */
struct wbi_level {
	struct wbi_folder *folder;
	size_t path_bytes; /* of receiver->path: its name as the sender says it */
};

/* A file that was offered and is wanted. */
struct wbi_wanted {
	struct wbi_list node; /* in receiver->wanted */
	struct wbi_list ask;  /* in receiver->asking until its `want` has begun */
	bool asked;           /* the whole `want` is written */
	uint64_t n;
	struct wbi_folder *folder; /* in use */
	char *name;
	uint64_t path_hash;
	bool has_size;
	uint64_t size;
	struct wbi_attributes attributes;
	/* The basis: first what an earlier transfer left, then the old file. */
	int left; /* its temporary, locked; -1: none */
	char temporary[WBI_TEMPORARY_NAME_MAX];
	uint64_t left_bytes; /* its size */
	uint64_t kept_bytes; /* what of it is in the basis: whole blocks */
	int held;            /* what another transfer of it holds; -1: none */
	struct stat held_then;
	bool old_is_held; /* that one serves as the old file */
	/* The old file, open from when its digests are told: whoever replaces it meanwhile, another
	 * transfer of the same tree for one, leaves what they are of. -1: none. */
	int old_fd;
	struct stat old;      /* as it was then */
	uint64_t basis_bytes; /* in all */
	uint64_t block_bytes;
	bool based; /* one of receiver->bases: it has, or had, some of these open */
};

/* Content on its way to the disk. The steps run in this order, each up to its end: replay (what was
 * left in the old file until it was seen to differ), copy, hole. */
struct wbi_receiver_content {
	struct wbi_wanted *of; /* NULL: none */
	int fd;                /* the temporary, or the sink; -1: none */
	int old;               /* the old file; -1: none */
	struct wb_digest *digest;
	uint64_t position; /* everything below is there, and in the digest */
	uint64_t replay_until, copy_until, hole_until;
	uint64_t pushed;  /* below that the kernel was asked to start writing */
	uint64_t present; /* bytes that the temporary had when it was taken up */
	bool same;        /* so far the old file is the new one: nothing is written */
	bool dropped;     /* failed: the rest is passed over */
	bool ending;      /* `end` has come */
	char expected[WB_DIGEST_HEX_MAX];
};

/* A small file under way. */
struct wbi_receiver_small {
	struct wbi_folder *folder; /* NULL: none, or it is passed over */
	int fd;
	uint32_t made_mode;
	struct wbi_attributes attributes;
	char temporary[WBI_TEMPORARY_NAME_MAX]; /* "": it has its name, its folder is hidden */
	char name[WBI_FILE_NAME_MAX + 1];
	struct wb_digest *digest;
};

/* A hard link that waits until the file has its name. */
struct wbi_later {
	struct wbi_list node;
	uint64_t n;
	struct wbi_folder *folder; /* in use */
	uint64_t to_hash;
	const char *to; /* beneath the target, as it is called here */
	size_t bytes;   /* of the allocation */
	char name[];    /* then the target's path */
};

/* The `want` that is being written. */
struct wbi_receiver_basis {
	struct wbi_wanted *of; /* NULL while blocks_left > 0: it was aborted, zeros follow */
	uint64_t blocks_left;
	uint64_t offset; /* of the next byte to be read */
	void *hash;      /* XXH3_state_t of a block; allocated once */
};

struct wbi_file_receiver {
	struct wbi_file_receiver_options options;
	struct wbi_file_target target;
	enum wb_err err; /* final */
	struct wb_fault fault;
	bool ended;    /* `done` has come */
	bool finished; /* `finished` is written */
	bool flushing; /* a flush is under way */

	struct wbi_item item; /* the one whose payload is coming */
	bool within;          /* an item has begun */
	uint64_t payload_left;
	uint64_t n; /* of the last entry */
	uint64_t files, bytes;
	uint64_t saved_files, saved_bytes, deleted;
	unsigned top_entries;
	bool spread; /* the operand is the target itself */

	struct wbi_folders folders;
	struct wbi_commit commit;
	struct wbi_temporary_names temporaries;
	struct wbi_names names;
	char path[WBI_ITEM_NAME_MAX + 1]; /* of the deepest folder that has not ended */
	struct wbi_level levels[WBI_RECEIVER_DEPTH_MAX + 2];
	unsigned depth; /* index of the deepest */

	struct wbi_list wanted; /* in order of n */
	unsigned wanted_count;
	struct wbi_list asking;
	unsigned bases, bases_max; /* how many of the wanted are based, and may be */
	bool scarce; /* descriptors were, when the last one was to be based: one at a time */
	struct wbi_list later;
	size_t later_bytes;
	struct wbi_receiver_basis basis;
	struct wbi_receiver_content content;
	struct wbi_receiver_small small;

	struct wbi_names listing; /* of the dir_end that is coming */
	char part[WBI_FILE_NAME_MAX + 1];
	size_t part_bytes;
	bool listing_bad;

	struct wbi_buf answers;
	struct wbi_file_progress progress;
	struct wbi_file_failures failures;
	uint8_t *io;                           /* WBI_RECEIVER_IO_BYTES */
	struct wbi_decompressor *decompressor; /* NULL until the first compressed payload */
	uint8_t *packed;                       /* one, as it arrives */
	size_t packed_bytes;
};

/* How much content the item brings. */
static inline uint64_t wbi_receiver_content_bytes(const struct wbi_item *item)
{
	return item->raw_bytes ? item->raw_bytes : item->payload_bytes;
}

/* ---- receiver_answer.c ---- */

/* Queues an answer. */
enum wb_err wbi_receiver_answer(struct wbi_file_receiver *receiver,
				const struct wbi_answer *answer);

/* An answer that says nothing but its kind and number. */
enum wb_err wbi_receiver_answer_n(struct wbi_file_receiver *receiver, enum wbi_answer_kind kind,
				  uint64_t n);

/* An entry did not make it: noted, and answered as `kind` (REFUSED or FAILED). The transfer goes
 * on: WB_OK, unless there is no memory. */
enum wb_err wbi_receiver_fail(struct wbi_file_receiver *receiver, enum wbi_answer_kind kind,
			      uint64_t n, const char *name, const char *error, const char *why);

/* The same for content whose digest is another one. */
enum wb_err wbi_receiver_fail_digest(struct wbi_file_receiver *receiver, uint64_t n,
				     const char *name, const char *expected, const char *found);

/* The same for an errno. A full or read-only disk ends the transfer. */
enum wb_err wbi_receiver_fail_errno(struct wbi_file_receiver *receiver, enum wbi_answer_kind kind,
				    uint64_t n, const char *name, int error);

/* The same for one that came, and was to be `name` in `folder`. */
enum wb_err wbi_receiver_fail_at(struct wbi_file_receiver *receiver, uint64_t n,
				 const struct wbi_folder *folder, const char *name, int error);

/* The end: notes why, names what is complete, answers. Returns err, from now on for ever. */
enum wb_err wbi_receiver_stop(struct wbi_file_receiver *receiver, enum wb_err err, uint64_t n,
			      const char *error, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* The last answer. */
enum wb_err wbi_receiver_finish(struct wbi_file_receiver *receiver);

/* A sender that does what none does. */
enum wb_err wbi_receiver_bad(struct wbi_file_receiver *receiver, const char *error,
			     const char *why);

/* ---- receiver.c ---- */

/* Gives everything complete its name, durably, and says so. */
enum wb_err wbi_receiver_flush(struct wbi_file_receiver *receiver);

/* ---- receiver_entry.c ---- */

/* Splits item.name: the folder it belongs to, which must be the deepest, and its name there. NULL:
 * the error has been dealt with and stands in *ret_err (WB_OK: passed over). */
struct wbi_folder *wbi_receiver_place(struct wbi_file_receiver *receiver, const char **ret_name,
				      enum wb_err *ret_err);
enum wb_err wbi_receiver_dir(struct wbi_file_receiver *receiver);
enum wb_err wbi_receiver_dir_end_begin(struct wbi_file_receiver *receiver);
void wbi_receiver_listing(struct wbi_file_receiver *receiver, const uint8_t *data, size_t bytes);
enum wb_err wbi_receiver_dir_end(struct wbi_file_receiver *receiver);
enum wb_err wbi_receiver_offer(struct wbi_file_receiver *receiver);
/* What is wrong with a name, or NULL: no honest sender's is empty, absolute, too long or too deep,
 * or leads elsewhere. */
const char *wbi_receiver_name_fault(const char *name, size_t bytes);
/* An entry is there. */
void wbi_receiver_done_entry(struct wbi_file_receiver *receiver);

/* ---- receiver_link.c ---- */

enum wb_err wbi_receiver_link(struct wbi_file_receiver *receiver);
enum wb_err wbi_receiver_hardlink(struct wbi_file_receiver *receiver);
/* Makes those hard links whose files have their names. */
enum wb_err wbi_receiver_link_later(struct wbi_file_receiver *receiver);

/* ---- receiver_small.c ---- */

enum wb_err wbi_small_begin(struct wbi_file_receiver *receiver);
enum wb_err wbi_small_data(struct wbi_file_receiver *receiver, const uint8_t *data, size_t bytes);
enum wb_err wbi_small_end(struct wbi_file_receiver *receiver);
void wbi_small_drop(struct wbi_file_receiver *receiver);

/* Makes a temporary that is not to be found again. Returns its descriptor or -1 with errno. */
int wbi_small_make(struct wbi_file_receiver *receiver, struct wbi_folder *folder, uint32_t mode,
		   char temporary[WBI_TEMPORARY_NAME_MAX], uint32_t *ret_made_mode);

/* ---- receiver_content.c ---- */

/* data, copy, hole, end, abort. */
enum wb_err wbi_content_item(struct wbi_file_receiver *receiver);
enum wb_err wbi_content_data(struct wbi_file_receiver *receiver, const uint8_t *data, size_t bytes);
/* There is work left of an item that was taken. */
bool wbi_content_busy(const struct wbi_file_receiver *receiver);
/* A piece of it; *budget counts down. */
enum wb_err wbi_content_work(struct wbi_file_receiver *receiver, size_t *budget);
/* Leaves the content under way; its temporary stays if it can be resumed and keep is true. */
void wbi_content_drop(struct wbi_file_receiver *receiver, bool keep);
void wbi_wanted_free(struct wbi_file_receiver *receiver, struct wbi_wanted *wanted);

/* ---- receiver_basis.c ---- */

/* How many wanted files may be based: each holds two descriptors, and the rest is for others. */
unsigned wbi_basis_max(void);
/* There is a wanted file to be asked for, and its turn has come: where descriptors for another
 * basis are not to be had, that is when an earlier file has ended. */
bool wbi_basis_may_begin(const struct wbi_file_receiver *receiver);
/* Finds what is here of that file, and writes the head of its `want`. *ret_bytes 0: there is not
 * room enough, or its turn has not come after all. */
enum wb_err wbi_basis_begin(struct wbi_file_receiver *receiver, uint8_t *out, size_t room,
			    size_t *ret_bytes);
/* Writes digests into `out` as far as room and budget reach. */
size_t wbi_basis_fill(struct wbi_file_receiver *receiver, uint8_t *out, size_t room,
		      size_t *budget);
/* The old file of a wanted one still has the name. */
bool wbi_basis_is_named(struct wbi_file_receiver *receiver, const struct wbi_wanted *wanted);
void wbi_basis_forget(struct wbi_file_receiver *receiver, const struct wbi_wanted *wanted);

#endif
