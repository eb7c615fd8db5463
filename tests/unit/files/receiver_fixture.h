/* A receiver with its target, fed item by item in pieces of any size, and its answers taken apart.
 */
#ifndef RECEIVER_FIXTURE_H
#define RECEIVER_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "files/item.h"
#include "files/receiver.h"

enum { FIXTURE_ANSWERS_MAX = 4096, FIXTURE_ROOM = 64 * 1024 };

struct fixture {
	char root[64]; /* holds the target "in", and what lies outside of it */
	struct wbi_file_target target;
	struct wbi_file_receiver_options options;
	struct wbi_file_receiver *receiver;
	size_t split; /* bytes fed at a time; 0: all at once */
	uint64_t n;
	enum wb_err err;
	struct wb_fault fault;
	struct wbi_buf input, output;
	struct wbi_answer answers[FIXTURE_ANSWERS_MAX];
	unsigned answer_count;
	uint8_t blocks[WBI_ITEM_PAYLOAD_BYTES]; /* of the last `want` that had any */
	uint64_t blocks_left;
	size_t blocks_bytes;
};

/* ---- the disk ---- */

static inline const char *path_of(const struct fixture *f, const char *name)
{
	static char paths[4][8192];
	static unsigned turn;
	char *path = paths[turn++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/in/%s", f->root, name);
	return path;
}

static inline void put_file(const char *path, const void *data, size_t bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, bytes), bytes);
	close(fd);
}

static inline void assert_file(const char *path, const void *data, size_t bytes)
{
	uint8_t *held = malloc(bytes + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	size_t done = 0;
	ssize_t got;

	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	while ((got = read(fd, held + done, bytes + 1 - done)) > 0)
		done += (size_t)got;
	assert_int_equal(done, bytes);
	assert_true(!memcmp(held, data, bytes));
	free(held);
	close(fd);
}

static inline void assert_text(const struct fixture *f, const char *name, const char *text)
{
	assert_file(path_of(f, name), text, strlen(text));
}

static inline bool exists(const char *path)
{
	struct stat status;

	return lstat(path, &status) == 0;
}

static inline struct stat status_of(const struct fixture *f, const char *name)
{
	struct stat status;

	if (lstat(path_of(f, name), &status) != 0)
		fail_msg("%s: %s", name, strerror(errno));
	return status;
}

static unsigned counted_temporaries;

static inline int count_temporary(const char *path, const struct stat *status, int type,
				  struct FTW *where)
{
	(void)status;
	(void)type;
	counted_temporaries += strncmp(path + where->base, ".waybill-", 9) == 0;
	return 0;
}

static inline unsigned temporaries(const struct fixture *f)
{
	counted_temporaries = 0;
	nftw(f->root, count_temporary, 16, FTW_PHYS);
	return counted_temporaries;
}

static inline int remove_one(const char *path, const struct stat *status, int type,
			     struct FTW *where)
{
	(void)status;
	(void)type;
	(void)where;
	return remove(path);
}

/* ---- its life ---- */

static inline void fixture_init(struct fixture *f)
{
	char in[80];

	memset(f, 0, sizeof(*f));
	snprintf(f->root, sizeof(f->root), "/tmp/waybill-receiver-XXXXXX");
	assert_non_null(mkdtemp(f->root));
	snprintf(in, sizeof(in), "%s/in", f->root);
	assert_int_equal(mkdir(in, 0755), 0);
	f->options = WBI_FILE_RECEIVER_DEFAULTS;
	f->target.folder = -1;
	wbi_buf_init(&f->input, 64 << 20);
	wbi_buf_init(&f->output, 1 << 20);
}

static inline void fixture_done(struct fixture *f)
{
	wbi_file_receiver_free(f->receiver);
	wbi_file_target_close(&f->target);
	wbi_buf_done(&f->input);
	wbi_buf_done(&f->output);
	nftw(f->root, remove_one, 16, FTW_PHYS | FTW_DEPTH);
}

static inline struct fixture *fixture_new(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	fixture_init(f);
	return f;
}

static inline void fixture_free(struct fixture *f)
{
	fixture_done(f);
	free(f);
}

/* Begins (again) on what `path` within the target names. */
static inline void begin_at(struct fixture *f, const char *path)
{
	wbi_file_receiver_free(f->receiver);
	f->receiver = NULL;
	wbi_file_target_close(&f->target);
	wbi_buf_reset(&f->input);
	wbi_buf_reset(&f->output);
	f->n = 0;
	f->answer_count = 0;
	f->blocks_left = f->blocks_bytes = 0;
	f->err = WB_OK;
	f->options.target = &f->target;
	if (f->options.sink < 0)
		assert_int_equal(
			wbi_file_target_open(AT_FDCWD, path_of(f, path), false, &f->target, NULL),
			WB_OK);
	assert_int_equal(wbi_file_receiver_new(&f->options, &f->receiver, NULL), WB_OK);
}

static inline void begin(struct fixture *f)
{
	begin_at(f, "");
}

/* ---- answers ---- */

static inline void take_answers(struct fixture *f)
{
	for (;;) {
		struct wbi_slice held = wbi_buf_peek(&f->output);
		size_t bytes;
		if (f->blocks_left && held.bytes) {
			bytes = held.bytes < f->blocks_left ? held.bytes : (size_t)f->blocks_left;
			memcpy(f->blocks + f->blocks_bytes, held.data, bytes);
			f->blocks_bytes += bytes;
			f->blocks_left -= bytes;
			wbi_buf_consume(&f->output, bytes);
			continue;
		}
		assert_true(f->answer_count < FIXTURE_ANSWERS_MAX);
		struct wbi_answer *answer = &f->answers[f->answer_count];
		if (!held.bytes || wbi_answer_decode(held.data, held.bytes, answer, &bytes, NULL) !=
					   WB_DECODE_DONE)
			return;
		f->answer_count++;
		if (answer->payload_bytes)
			f->blocks_bytes = 0;
		f->blocks_left = answer->payload_bytes;
		wbi_buf_consume(&f->output, bytes);
	}
}

static inline void drain(struct fixture *f)
{
	uint8_t *out;
	size_t bytes;

	do {
		assert_int_equal(wbi_buf_reserve(&f->output, FIXTURE_ROOM, &out), WB_OK);
		(void)!wbi_file_receiver_answers(f->receiver, out, FIXTURE_ROOM, &bytes, NULL);
		wbi_buf_commit(&f->output, bytes);
		take_answers(f);
	} while (bytes > 0);
}

/* The last answer of this kind about n (0: about any), or NULL. */
static inline const struct wbi_answer *answer_of(const struct fixture *f, enum wbi_answer_kind kind,
						 uint64_t n)
{
	for (unsigned i = f->answer_count; i-- > 0;)
		if (f->answers[i].kind == kind && (!n || f->answers[i].n == n))
			return &f->answers[i];
	return NULL;
}

static inline void assert_failed(const struct fixture *f, uint64_t n, const char *error)
{
	const struct wbi_answer *answer = answer_of(f, WBI_ANSWER_FAILED, n);

	if (!answer)
		answer = answer_of(f, WBI_ANSWER_REFUSED, n);
	if (!answer)
		fail_msg("%llu did not fail", (unsigned long long)n);
	assert_string_equal(answer->error, error);
}

static inline const char *last_error(const struct fixture *f)
{
	const struct wbi_file_failures *failures = wbi_file_receiver_failures(f->receiver);

	return failures->count ? failures->first[failures->count - 1].error : "";
}

/* ---- items ---- */

/* Hands over what is held, in pieces, until nothing moves. */
static inline enum wb_err run(struct fixture *f)
{
	size_t given = 0;

	for (;;) {
		struct wbi_slice held = wbi_buf_peek(&f->input);
		size_t consumed, more = f->split ? f->split : held.bytes;
		given = given + more < held.bytes ? given + more : held.bytes;
		f->err =
			wbi_file_receiver_take(f->receiver, held.data, given, &consumed, &f->fault);
		wbi_buf_consume(&f->input, consumed);
		given -= consumed;
		drain(f);
		if (f->err)
			return f->err;
		if (!consumed && given == wbi_buf_bytes(&f->input) &&
		    !wbi_file_receiver_busy(f->receiver))
			return WB_OK;
	}
}

/* Adds an item and its payload to what is to be handed over. */
static inline void add(struct fixture *f, struct wbi_item *item, const void *payload)
{
	uint8_t *out;
	size_t bytes;

	assert_int_equal(wbi_buf_reserve(&f->input, WBI_ITEM_HEAD_BYTES_MAX, &out), WB_OK);
	assert_int_equal(wbi_item_encode(item, out, WBI_ITEM_HEAD_BYTES_MAX, &bytes, NULL), WB_OK);
	wbi_buf_commit(&f->input, bytes);
	if (payload)
		assert_int_equal(wbi_buf_append(&f->input, payload, (size_t)item->payload_bytes),
				 WB_OK);
}

static struct wbi_item scratch;

static inline struct wbi_item *entry(struct fixture *f, enum wbi_item_kind kind, const char *name)
{
	wbi_item_init(&scratch, kind);
	scratch.n = ++f->n;
	scratch.mode = 0644;
	scratch.mtime = (struct wbi_item_time){1000000000, 123456789};
	assert_true(wbi_item_set_name(&scratch, name, strlen(name)));
	return &scratch;
}

static inline void digest_of(const void *data, size_t bytes, enum wb_digest_kind kind,
			     char out[WB_DIGEST_HEX_MAX])
{
	struct wb_digest *digest;

	assert_int_equal(wb_digest_new(kind, &digest, NULL), WB_OK);
	wb_digest_update(digest, data, bytes);
	wb_digest_hex(digest, out);
	wb_digest_free(digest);
}

static inline struct wbi_item *small(struct fixture *f, const char *name, const void *data,
				     size_t bytes)
{
	struct wbi_item *item = entry(f, WBI_ITEM_FILE, name);

	item->has_size = true;
	item->size = item->payload_bytes = bytes;
	digest_of(data, bytes, f->options.digest, item->digest);
	return item;
}

static inline void add_text(struct fixture *f, const char *name, const char *text)
{
	add(f, small(f, name, text, strlen(text)), text);
}

static inline void add_dir(struct fixture *f, const char *name)
{
	entry(f, WBI_ITEM_DIR, name)->mode = 0755;
	add(f, &scratch, NULL);
}

static inline void add_dir_end(struct fixture *f, const char *name)
{
	wbi_item_init(&scratch, WBI_ITEM_DIR_END);
	assert_true(wbi_item_set_name(&scratch, name, strlen(name)));
	add(f, &scratch, NULL);
}

static inline void add_link(struct fixture *f, const char *name, const char *to)
{
	entry(f, WBI_ITEM_LINK, name);
	assert_true(wbi_item_set_other(&scratch, to, strlen(to)));
	add(f, &scratch, NULL);
}

static inline void add_hardlink(struct fixture *f, const char *name, const char *to)
{
	entry(f, WBI_ITEM_HARDLINK, name);
	assert_true(wbi_item_set_other(&scratch, to, strlen(to)));
	add(f, &scratch, NULL);
}

static inline struct wbi_item *offer(struct fixture *f, const char *name, uint64_t size)
{
	struct wbi_item *item = entry(f, WBI_ITEM_OFFER, name);

	item->has_size = true;
	item->size = size;
	return item;
}

static inline struct wbi_item *piece(enum wbi_item_kind kind, uint64_t n, uint64_t offset,
				     uint64_t bytes)
{
	wbi_item_init(&scratch, kind);
	scratch.n = n;
	scratch.offset = offset;
	scratch.bytes = bytes;
	if (kind == WBI_ITEM_DATA)
		scratch.payload_bytes = bytes;
	return &scratch;
}

/* data items from `from` up to `to`. */
static inline void add_data(struct fixture *f, uint64_t n, const uint8_t *content, uint64_t from,
			    uint64_t to)
{
	while (from < to) {
		uint64_t bytes =
			to - from < WBI_ITEM_PAYLOAD_BYTES ? to - from : WBI_ITEM_PAYLOAD_BYTES;
		add(f, piece(WBI_ITEM_DATA, n, from, bytes), content + from);
		from += bytes;
	}
}

static inline void add_end(struct fixture *f, uint64_t n, const void *content, uint64_t size)
{
	wbi_item_init(&scratch, WBI_ITEM_END);
	scratch.n = n;
	scratch.has_size = true;
	scratch.size = size;
	digest_of(content, size, f->options.digest, scratch.digest);
	add(f, &scratch, NULL);
}

static inline void add_done(struct fixture *f)
{
	wbi_item_init(&scratch, WBI_ITEM_DONE);
	add(f, &scratch, NULL);
}

/* Ends it, and asserts that all went well. */
static inline void finish(struct fixture *f)
{
	add_done(f);
	if (run(f))
		fail_msg("%s", f->fault.text);
	assert_true(wbi_file_receiver_done(f->receiver));
	assert_non_null(answer_of(f, WBI_ANSWER_FINISHED, 0));
	assert_int_equal(temporaries(f), 0);
}

/* Content that no two blocks of have in common. */
static inline uint8_t *make_content(size_t bytes, unsigned seed)
{
	uint8_t *content = malloc(bytes);
	uint64_t state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;

	assert_non_null(content);
	for (size_t i = 0; i < bytes; i++) {
		state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		content[i] = (uint8_t)(state >> 56);
	}
	return content;
}

static inline void block_digest(const uint8_t *content, size_t bytes, uint8_t out[16])
{
	char hex[WB_DIGEST_HEX_MAX];

	digest_of(content, bytes, WB_DIGEST_XXH128, hex);
	for (int i = 0; i < 16; i++) {
		unsigned byte;
		sscanf(hex + 2 * i, "%2x", &byte);
		out[i] = (uint8_t)byte;
	}
}

/* What the sender does: copies blocks whose digests agree, sends the others. Returns what it sent.
 */
static inline uint64_t send_wanted(struct fixture *f, uint64_t n, const uint8_t *content,
				   uint64_t size)
{
	const struct wbi_answer *want = answer_of(f, WBI_ANSWER_WANT, n);
	uint64_t sent = 0, offset = 0;

	assert_non_null(want);
	for (uint64_t i = 0; i < want->block_count && offset < size; i++) {
		uint64_t bytes =
			size - offset < want->block_bytes ? size - offset : want->block_bytes;
		uint8_t mine[16];
		block_digest(content + offset, bytes, mine);
		if (!memcmp(mine, f->blocks + 16 * i, 16)) {
			add(f, piece(WBI_ITEM_COPY, n, offset, bytes), NULL);
		} else {
			add_data(f, n, content, offset, offset + bytes);
			sent += bytes;
		}
		offset += bytes;
	}
	add_data(f, n, content, offset, size);
	sent += size - offset;
	add_end(f, n, content, size);
	return sent;
}

#endif
