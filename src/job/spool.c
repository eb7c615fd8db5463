/* The spool: small outputs never see a file, large ones never pass through us. */
#include "job/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "sys/fd.h"

enum {
	FIRST_READ = 4096,   /* most outputs are smaller */
	CHUNK = 16384,       /* copied by way of the stack */
	SEND_MOST = 1 << 20, /* offered to the kernel at once */
	SPLICE_MOST = 1 << 20,
};

uint64_t wbi_spool_account_left(const struct wbi_spool_account *account)
{
	uint64_t bytes = account->together ? atomic_load(account->together) : account->bytes;

	return bytes < account->limit_bytes ? account->limit_bytes - bytes : 0;
}

void wbi_spool_account_add(struct wbi_spool_account *account, uint64_t bytes)
{
	account->bytes += bytes;
	if (account->together)
		atomic_fetch_add(account->together, bytes);
}

void wbi_spool_account_drop(struct wbi_spool_account *account, uint64_t bytes)
{
	account->bytes -= bytes;
	if (account->together)
		atomic_fetch_sub(account->together, bytes);
}

void wbi_spool_init(struct wbi_spool *spool, struct wbi_spool_account *account, size_t memory_bytes)
{
	*spool = (struct wbi_spool){.account = account, .file = -1};
	wbi_buf_init(&spool->memory, memory_bytes);
}

void wbi_spool_done(struct wbi_spool *spool)
{
	wbi_buf_done(&spool->memory);
	if (spool->file >= 0)
		wbi_spool_account_drop(spool->account, spool->bytes);
	wbi_fd_close(&spool->file);
	spool->bytes = 0;
}

static void charge(struct wbi_spool *spool, size_t bytes)
{
	spool->bytes += bytes;
	if (spool->file >= 0)
		wbi_spool_account_add(spool->account, bytes);
}

static enum wb_err cannot_keep(const struct wbi_spool *spool, struct wb_fault *fault)
{
	return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "keep output in %s: %m",
			    spool->account->folder);
}

/* An empty pipe is an ordinary answer: no fault is filled for it. */
static enum wb_err nothing_read(struct wb_fault *fault)
{
	if (errno == EAGAIN)
		return WB_ERR_TIMEOUT;
	return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "read output: %m");
}

static ssize_t read_pipe(int pipe, void *data, size_t bytes)
{
	ssize_t taken;

	do
		taken = read(pipe, data, bytes);
	while (taken < 0 && errno == EINTR);
	return taken;
}

/* ---- one step: as much as one read or splice takes ---- */

/* Nothing more may be taken. Whether there is more can only be found out by taking a byte: it is
 * lost, but so is the output then. */
static enum wb_err step_full(const struct wbi_spool *spool, int pipe, size_t most,
			     struct wb_fault *fault)
{
	char byte;
	ssize_t taken = read_pipe(pipe, &byte, 1);

	if (taken < 0)
		return nothing_read(fault);
	if (taken > 0 && most > 0)
		return wb_fault_set(fault, WB_ERR_LIMIT, "max-spool", 0,
				    "the outputs of all commands have filled their room of %llu "
				    "bytes (--max-spool)",
				    (unsigned long long)spool->account->limit_bytes);
	if (taken > 0)
		return wb_fault_set(fault, WB_ERR_LIMIT, "max-output", 0, "too much output");
	return WB_OK;
}

/* What is held decides what is asked for, so that the buffer doubles: 4 KiB, 4, 8, 16, … */
static enum wb_err step_memory(struct wbi_spool *spool, int pipe, size_t most, size_t *ret_asked,
			       size_t *ret_taken, struct wb_fault *fault)
{
	size_t held = wbi_buf_bytes(&spool->memory);
	size_t asked = held < FIRST_READ ? FIRST_READ : held;
	uint8_t *data;
	ssize_t taken;

	if (asked > spool->memory.limit - held)
		asked = spool->memory.limit - held;
	if (asked > most)
		asked = most;
	if (wbi_buf_reserve(&spool->memory, asked, &data) != WB_OK)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "keep output: no memory");
	taken = read_pipe(pipe, data, asked);
	if (taken < 0)
		return nothing_read(fault);
	wbi_buf_commit(&spool->memory, (size_t)taken);
	charge(spool, (size_t)taken);
	*ret_asked = asked;
	*ret_taken = (size_t)taken;
	return WB_OK;
}

static enum wb_err append_file(struct wbi_spool *spool, uint64_t offset, const void *data,
			       size_t bytes, struct wb_fault *fault)
{
	const uint8_t *next = data;

	while (bytes > 0) {
		ssize_t written = pwrite(spool->file, next, bytes, (off_t)offset);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return cannot_keep(spool, fault);
		next += written;
		offset += (uint64_t)written;
		bytes -= (size_t)written;
	}
	return WB_OK;
}

/* From here on everything stands in the file: one place, one sendfile. */
static enum wb_err open_file(struct wbi_spool *spool, struct wb_fault *fault)
{
	struct wbi_slice held = wbi_buf_peek(&spool->memory);
	enum wb_err err = wbi_fd_temporary(spool->account->folder, &spool->file, fault);

	if (!err)
		err = append_file(spool, 0, held.data, held.bytes, fault);
	if (err) {
		wbi_fd_close(&spool->file);
		return err;
	}
	wbi_spool_account_add(spool->account, held.bytes);
	wbi_buf_reset(&spool->memory);
	return WB_OK;
}

/* Also the first step past the memory: the file is made only once there is something to put in. */
static enum wb_err step_copy(struct wbi_spool *spool, int pipe, size_t most, size_t *ret_asked,
			     size_t *ret_taken, struct wb_fault *fault)
{
	char chunk[CHUNK];
	size_t asked = most < CHUNK ? most : CHUNK;
	ssize_t taken = read_pipe(pipe, chunk, asked);
	enum wb_err err = WB_OK;

	if (taken < 0)
		return nothing_read(fault);
	if (taken > 0 && spool->file < 0)
		err = open_file(spool, fault);
	if (!err)
		err = append_file(spool, spool->bytes, chunk, (size_t)taken, fault);
	if (err)
		return err;
	charge(spool, (size_t)taken);
	*ret_asked = asked;
	*ret_taken = (size_t)taken;
	return WB_OK;
}

static enum wb_err step_splice(struct wbi_spool *spool, int pipe, size_t most, size_t *ret_asked,
			       size_t *ret_taken, struct wb_fault *fault)
{
	size_t asked = most < SPLICE_MOST ? most : SPLICE_MOST;
	loff_t offset = (loff_t)spool->bytes;
	ssize_t taken;

	do
		taken = splice(pipe, NULL, spool->file, &offset, asked, SPLICE_F_NONBLOCK);
	while (taken < 0 && errno == EINTR);
	if (taken < 0 && errno == EINVAL) {
		spool->by_copy = true;
		return step_copy(spool, pipe, most, ret_asked, ret_taken, fault);
	}
	if (taken < 0)
		return errno == EAGAIN ? nothing_read(fault) : cannot_keep(spool, fault);
	charge(spool, (size_t)taken);
	*ret_asked = asked;
	*ret_taken = (size_t)taken;
	return WB_OK;
}

static enum wb_err step(struct wbi_spool *spool, int pipe, size_t most, size_t *ret_asked,
			size_t *ret_taken, struct wb_fault *fault)
{
	if (spool->file < 0 && wbi_buf_bytes(&spool->memory) < spool->memory.limit)
		return step_memory(spool, pipe, most, ret_asked, ret_taken, fault);
	if (spool->file < 0 || spool->by_copy)
		return step_copy(spool, pipe, most, ret_asked, ret_taken, fault);
	return step_splice(spool, pipe, most, ret_asked, ret_taken, fault);
}

/* ---- filling, sending, digesting ---- */

static size_t least(uint64_t a, size_t b)
{
	return a < b ? (size_t)a : b;
}

/* What may be taken in the next steps. Memory is every spool's own; a file is charged to the
 * account, from its first byte, which memory held before. */
static size_t room_left(const struct wbi_spool *spool, size_t most)
{
	uint64_t left = wbi_spool_account_left(spool->account);
	size_t held = wbi_buf_bytes(&spool->memory);

	if (spool->file >= 0)
		return least(left, most);
	if (held < spool->memory.limit)
		return least(spool->memory.limit - held, most);
	return left > held ? least(left - held, most) : 0;
}

enum wb_err wbi_spool_fill(struct wbi_spool *spool, int pipe, size_t most, size_t *ret_taken,
			   struct wb_fault *fault)
{
	size_t total = 0, asked = 0, taken = 0;
	enum wb_err err = WB_OK;

	/* A read that came back short has emptied the pipe: asking again would only say so. */
	do {
		size_t room = room_left(spool, most - total);

		if (room == 0 && total > 0)
			break;
		if (room == 0) {
			err = step_full(spool, pipe, most, fault);
			break;
		}
		err = step(spool, pipe, room, &asked, &taken, fault);
		if (err)
			break;
		total += taken;
	} while (taken == asked && total < most);
	if (err == WB_ERR_TIMEOUT && total > 0)
		err = WB_OK;
	if (!err)
		*ret_taken = total;
	return err;
}

static ssize_t send_copy(const struct wbi_spool *spool, uint64_t offset, struct wbi_link *link)
{
	char chunk[CHUNK];
	ssize_t bytes = pread(spool->file, chunk, sizeof(chunk), (off_t)offset);

	if (bytes <= 0)
		return bytes < 0 ? -errno : -EIO;
	struct iovec part = {.iov_base = chunk, .iov_len = (size_t)bytes};
	return wbi_link_write(link, &part, 1);
}

ssize_t wbi_spool_send(const struct wbi_spool *spool, uint64_t offset, struct wbi_link *link)
{
	uint64_t left = spool->bytes - offset;
	size_t most = left < SEND_MOST ? (size_t)left : SEND_MOST;

	if (spool->file < 0) {
		struct wbi_slice held = wbi_buf_peek(&spool->memory);
		struct iovec part = {.iov_base = (void *)(held.data + offset), .iov_len = most};
		return wbi_link_write(link, &part, 1);
	}
	if (link->ops->send_file) {
		ssize_t sent = link->ops->send_file(link, spool->file, (off_t)offset, most);
		if (sent != -EINVAL && sent != -ENOSYS)
			return sent == 0 ? -EIO : sent;
	}
	return send_copy(spool, offset, link);
}

enum wb_err wbi_spool_digest(const struct wbi_spool *spool, uint64_t offset, size_t bytes,
			     struct wb_digest *digest, struct wb_fault *fault)
{
	char chunk[CHUNK];

	if (spool->file < 0) {
		wb_digest_update(digest, wbi_buf_peek(&spool->memory).data + offset, bytes);
		return WB_OK;
	}
	while (bytes > 0) {
		ssize_t taken =
			pread(spool->file, chunk, bytes < CHUNK ? bytes : CHUNK, (off_t)offset);
		if (taken < 0 && errno == EINTR)
			continue;
		if (taken == 0)
			errno = EIO; /* the file is shorter than what was put in */
		if (taken <= 0)
			return wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "read output in %s: %m",
					    spool->account->folder);
		wb_digest_update(digest, chunk, (size_t)taken);
		offset += (uint64_t)taken;
		bytes -= (size_t)taken;
	}
	return WB_OK;
}
