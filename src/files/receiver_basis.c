/* The basis: what is here of a file that is wanted, told as digests of blocks.
 *
 * First what an earlier transfer left in its temporary, whole blocks of it, then the old file at
 * the same offsets. So an interrupted transfer and a changed file are one thing: agreeing blocks
 * stay. Digests are computed as the answer is fetched, a bounded piece at a time. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "files/receiver_state.h"
#include "sys/fd.h"

enum {
	BASES_MIN = 4,
	BASES_SHARE =
		32, /* of all descriptors: two of each so many are for the bases of one call */
};

enum { OLD_FLAGS = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC };

unsigned wbi_basis_max(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < BASES_MIN * BASES_SHARE)
		return BASES_MIN;
	if (limit.rlim_cur / BASES_SHARE > WBI_ITEM_OFFERS_MAX)
		return WBI_ITEM_OFFERS_MAX;
	return (unsigned)(limit.rlim_cur / BASES_SHARE);
}

bool wbi_basis_is_named(struct wbi_file_receiver *receiver, const struct wbi_wanted *wanted)
{
	int at = wbi_folder_fd(&receiver->folders, wanted->folder);
	struct stat named;

	return at >= 0 && fstatat(at, wanted->name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       named.st_dev == wanted->old.st_dev && named.st_ino == wanted->old.st_ino;
}

/* Only those that can have a basis are opened, and only those whose name others may know. */
static bool has_basis(const struct wbi_file_receiver *receiver, const struct wbi_wanted *wanted)
{
	bool large = !wanted->has_size || wanted->size > WBI_ITEM_SMALL_BYTES;

	return large && receiver->options.sink < 0 && !wbi_folder_is_fresh(wanted->folder);
}

static struct wbi_wanted *next_asking(const struct wbi_file_receiver *receiver)
{
	return WBI_CONTAINER(receiver->asking.next, struct wbi_wanted, ask);
}

bool wbi_basis_may_begin(const struct wbi_file_receiver *receiver)
{
	unsigned most = receiver->scarce ? 1 : receiver->bases_max;

	return !wbi_list_empty(&receiver->asking) &&
	       (receiver->bases < most || !has_basis(receiver, next_asking(receiver)));
}

static void find_old(struct wbi_file_receiver *receiver, struct wbi_wanted *wanted)
{
	int at = wbi_folder_fd(&receiver->folders, wanted->folder);

	if (at < 0 || receiver->options.no_delta)
		return;
	wanted->old_fd = openat(at, wanted->name, OLD_FLAGS);
	if (wanted->old_fd < 0)
		return;
	receiver->scarce |= wbi_fd_is_scarce(wanted->old_fd);
	if (receiver->scarce || fstat(wanted->old_fd, &wanted->old) != 0 ||
	    !S_ISREG(wanted->old.st_mode) || wanted->old.st_size < WBI_RECEIVER_BASIS_MIN)
		wbi_fd_close(&wanted->old_fd);
}

static void find_left(struct wbi_file_receiver *receiver, struct wbi_wanted *wanted)
{
	int at = wbi_folder_fd(&receiver->folders, wanted->folder), opened;

	if (at < 0)
		return;
	wanted->left =
		wbi_temporary_resume(at, wanted->name, wanted->temporary, &wanted->left_bytes);
	if (wanted->left < 0) {
		/* A size that was told of it, now or in an earlier turn, holds no more. */
		wanted->left_bytes = 0;
		wanted->held = wbi_temporary_look(at, wanted->name, &wanted->held_then);
	}
	opened = wanted->left >= 0 ? wanted->left : wanted->held;
	receiver->scarce = opened >= 0 ? wbi_fd_is_scarce(opened) : errno == EMFILE;
}

/* What another transfer has written so far serves as well as an old file, if it is more: often it
 * is this transfer's own beginning, whose session is still waited for. */
static void prefer_held(const struct wbi_file_receiver *receiver, struct wbi_wanted *wanted)
{
	if (receiver->scarce || wanted->held < 0 ||
	    wanted->held_then.st_size < WBI_RECEIVER_BASIS_MIN ||
	    (wanted->old_fd >= 0 && wanted->old.st_size >= wanted->held_then.st_size))
		return;
	wbi_fd_close(&wanted->old_fd);
	wanted->old_fd = fcntl(wanted->held, F_DUPFD_CLOEXEC, 0);
	wanted->old = wanted->held_then;
	wanted->old_is_held = true;
}

/* One that adds nothing to what was left. */
static void drop_useless_old(struct wbi_wanted *wanted)
{
	if (wanted->basis_bytes <= wanted->kept_bytes)
		wbi_fd_close(&wanted->old_fd);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* How far the two sources reach. Whole blocks only, but for the last one of an old file that is as
 * long as the new one: there the blocks' ends agree, too. */
static void measure(struct wbi_wanted *wanted)
{
	uint64_t old = wanted->old_fd >= 0 ? (uint64_t)wanted->old.st_size : 0;
	uint64_t most = wanted->has_size ? wanted->size : UINT64_MAX, block;

	wanted->block_bytes = block =
		wbi_item_block_bytes(wanted->has_size           ? wanted->size
				     : old > wanted->left_bytes ? old
								: wanted->left_bytes);
	wanted->kept_bytes = least(wanted->left_bytes, most) / block * block;
	wanted->basis_bytes = wanted->kept_bytes;
	if (old > wanted->kept_bytes)
		wanted->basis_bytes = wanted->has_size && old == wanted->size
					      ? old
					      : least(old, most) / block * block;
	drop_useless_old(wanted);
}

/* False: not now. Where descriptors are scarce a call has one file open that it waits for, so that
 * it goes on, and an old file is none that it cannot do without. */
static bool find_basis(struct wbi_file_receiver *receiver, struct wbi_wanted *wanted)
{
	receiver->scarce = false;
	find_left(receiver, wanted);
	find_old(receiver, wanted);
	if (receiver->scarce && receiver->bases > 0) {
		wbi_fd_close(&wanted->left);
		wbi_fd_close(&wanted->held);
		wbi_fd_close(&wanted->old_fd);
		return false;
	}
	prefer_held(receiver, wanted);
	measure(wanted);
	wanted->based = wanted->left >= 0 || wanted->held >= 0 || wanted->old_fd >= 0;
	receiver->bases += wanted->based;
	return true;
}

enum wb_err wbi_basis_begin(struct wbi_file_receiver *receiver, uint8_t *out, size_t room,
			    size_t *ret_bytes)
{
	struct wbi_receiver_basis *basis = &receiver->basis;
	struct wbi_wanted *wanted = next_asking(receiver);
	struct wbi_answer answer;

	if (room < WBI_ITEM_HEAD_BYTES_MAX)
		return WB_OK;
	if (has_basis(receiver, wanted) && !find_basis(receiver, wanted))
		return WB_OK;
	wbi_list_remove(&wanted->ask);
	*basis = (struct wbi_receiver_basis){.of = wanted, .hash = basis->hash};
	wbi_answer_init(&answer, WBI_ANSWER_WANT);
	answer.n = wanted->n;
	if (wanted->basis_bytes && !basis->hash)
		basis->hash = XXH3_createState();
	if (wanted->basis_bytes && basis->hash) {
		answer.block_bytes = wanted->block_bytes;
		answer.block_count = (wanted->basis_bytes - 1) / wanted->block_bytes + 1;
		basis->blocks_left = answer.block_count;
		XXH3_128bits_reset(basis->hash);
	}
	wanted->asked = basis->blocks_left == 0;
	return wbi_answer_encode(&answer, out, room, ret_bytes, &receiver->fault);
}

/* Reads on in the block; what cannot be read is no longer part of the basis. */
static size_t read_basis(struct wbi_file_receiver *receiver, uint64_t block_end)
{
	struct wbi_receiver_basis *basis = &receiver->basis;
	struct wbi_wanted *wanted = basis->of;
	bool left = basis->offset < wanted->kept_bytes;
	size_t bytes = (size_t)least(WBI_RECEIVER_IO_BYTES, block_end - basis->offset);
	ssize_t got = pread(left ? wanted->left : wanted->old_fd, receiver->io, bytes,
			    (off_t)basis->offset);

	if (got <= 0) {
		wanted->basis_bytes =
			least(wanted->basis_bytes,
			      basis->offset / wanted->block_bytes * wanted->block_bytes);
		return 0;
	}
	XXH3_128bits_update(basis->hash, receiver->io, (size_t)got);
	basis->offset += (uint64_t)got;
	return (size_t)got;
}

static void end_block(struct wbi_receiver_basis *basis, uint8_t *out)
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(basis->hash));
	memcpy(out, canonical.digest, WBI_ITEM_BLOCK_DIGEST_BYTES);
	XXH3_128bits_reset(basis->hash);
}

static void end_basis(struct wbi_receiver_basis *basis)
{
	if (basis->of) {
		basis->of->asked = true;
		drop_useless_old(basis->of);
	}
	basis->of = NULL;
}

/* The whole of one block, or as far as the budget goes. True: its digest is written. */
static bool fill_block(struct wbi_file_receiver *receiver, uint8_t *out, size_t *budget)
{
	struct wbi_receiver_basis *basis = &receiver->basis;
	struct wbi_wanted *wanted = basis->of;
	uint64_t end;

	if (!wanted || receiver->err || basis->offset >= wanted->basis_bytes) {
		/* Announced, and not to be had any more. */
		memset(out, 0, WBI_ITEM_BLOCK_DIGEST_BYTES);
		return true;
	}
	end = (basis->offset / wanted->block_bytes + 1) * wanted->block_bytes;
	end = least(end, wanted->basis_bytes);
	while (basis->offset < end) {
		size_t got;
		if (!*budget)
			return false;
		got = read_basis(receiver, end);
		*budget -= got < *budget ? got : *budget;
		if (!got)
			break;
	}
	end_block(basis, out);
	return true;
}

size_t wbi_basis_fill(struct wbi_file_receiver *receiver, uint8_t *out, size_t room, size_t *budget)
{
	struct wbi_receiver_basis *basis = &receiver->basis;
	size_t used = 0;

	while (basis->blocks_left && room - used >= WBI_ITEM_BLOCK_DIGEST_BYTES) {
		if (!fill_block(receiver, out + used, budget))
			break;
		used += WBI_ITEM_BLOCK_DIGEST_BYTES;
		if (--basis->blocks_left == 0)
			end_basis(basis);
	}
	return used;
}

void wbi_basis_forget(struct wbi_file_receiver *receiver, const struct wbi_wanted *wanted)
{
	if (receiver->basis.of == wanted)
		receiver->basis.of = NULL;
}
