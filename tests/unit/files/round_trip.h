/* Both engines in one process, and between them two byte streams that are cut anywhere. */
#ifndef TEST_ROUND_TRIP_H
#define TEST_ROUND_TRIP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "files/receiver.h"
#include "files/sender.h"
#include "files/target.h"
#include "tree.h"

enum { KIB = 1024, MIB = 1024 * 1024, PIPE_BYTES = 4 << 20, WHOLE = -1 };

/* Bytes on their way from one engine to the other. */
struct pipe {
	uint8_t *data;
	size_t bytes;
	uint64_t delivered;
};

static struct tree from, to;
static struct wbi_file_source sources[4];
static char paths[4][128];
static struct wbi_file_sender_options sending;
static struct wbi_file_receiver_options receiving;
static struct wbi_file_sender *sender;
static struct wbi_file_receiver *receiver;
static struct wbi_file_target target;
static struct pipe items, answers;
static uint64_t random_state;

static inline uint32_t random_below(uint32_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 32) % limit);
}

static inline int set_up(void **state)
{
	(void)state;
	tree_make(&from);
	tree_make(&to);
	sending = (struct wbi_file_sender_options){
		.root = AT_FDCWD, .sources = sources, .recursive = true};
	sending.digest = WB_DIGEST_XXH128;
	receiving = WBI_FILE_RECEIVER_DEFAULTS;
	receiving.no_fsync = true; /* there is no loss of power here */
	items.data = malloc(PIPE_BYTES);
	answers.data = malloc(PIPE_BYTES);
	random_state = 88172645463325252u;
	return 0;
}

static inline void end(void)
{
	wbi_file_sender_free(sender);
	wbi_file_receiver_free(receiver);
	if (receiving.target)
		wbi_file_target_close(&target);
	sender = NULL;
	receiver = NULL;
	receiving.target = NULL;
	items.bytes = answers.bytes = 0;
	items.delivered = answers.delivered = 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	end();
	free(items.data);
	free(answers.data);
	tree_remove(&from);
	tree_remove(&to);
	return 0;
}

static inline void operand(const char *path)
{
	size_t i = sending.source_count++;

	snprintf(paths[i], sizeof(paths[i]), "%s/%s", from.path, path);
	sources[i] = (struct wbi_file_source){.path = paths[i], .stream = -1};
}

/* ---- the relay ---- */

static inline void drop_front(struct pipe *pipe, size_t bytes)
{
	memmove(pipe->data, pipe->data + bytes, pipe->bytes - bytes);
	pipe->bytes -= bytes;
	pipe->delivered += bytes;
}

/* Sometimes a few bytes, sometimes all. */
static inline size_t piece_of(size_t bytes)
{
	if (random_below(4) == 0)
		return bytes;
	bytes = bytes < 70000 ? bytes : 70000;
	return bytes ? 1 + random_below((uint32_t)bytes) : 0;
}

static inline bool move_items(enum wb_err *ret_err)
{
	size_t room = WBI_FILE_ROOM_MIN + random_below(512 * KIB), bytes, held = items.bytes, taken;

	if (PIPE_BYTES - items.bytes >= room) {
		*ret_err =
			wbi_file_sender_fill(sender, items.data + items.bytes, room, &bytes, NULL);
		if (*ret_err)
			return false;
		items.bytes += bytes;
	}
	/* A head comes whole in the end. */
	bytes = random_below(2) ? items.bytes : piece_of(items.bytes);
	*ret_err = wbi_file_receiver_take(receiver, items.data, bytes, &taken, NULL);
	drop_front(&items, taken);
	return items.bytes != held || taken > 0 || wbi_file_receiver_busy(receiver);
}

static inline bool move_answers(enum wb_err *ret_err)
{
	size_t room = 64 * KIB + random_below(64 * KIB), bytes, held = answers.bytes, taken = 0;

	if (PIPE_BYTES - answers.bytes >= room) {
		*ret_err = wbi_file_receiver_answers(receiver, answers.data + answers.bytes, room,
						     &bytes, NULL);
		if (*ret_err)
			return false;
		answers.bytes += bytes;
	}
	bytes = random_below(2) ? answers.bytes : piece_of(answers.bytes);
	*ret_err = wbi_file_sender_answer(sender, answers.data, bytes, &taken, NULL);
	drop_front(&answers, taken);
	return answers.bytes != held || taken > 0;
}

static inline void begin(const char *into)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", to.path, into);
	assert_int_equal(wbi_file_target_open(AT_FDCWD, path, false, &target, NULL), WB_OK);
	receiving.target = &target;
	assert_int_equal(wbi_file_sender_new(&sending, &sender, NULL), WB_OK);
	assert_int_equal(wbi_file_receiver_new(&receiving, &receiver, NULL), WB_OK);
}

/* Runs until both are done, or until so many bytes of items have arrived. */
static inline void run(int64_t until_bytes)
{
	unsigned idle = 0;

	while (!wbi_file_sender_done(sender) || !wbi_file_receiver_done(receiver)) {
		enum wb_err err = WB_OK, other = WB_OK;
		bool moved = move_items(&err);

		moved |= !err && move_answers(&other);
		if (err || other)
			fail_msg("%s, %s", wb_err_name(err), wb_err_name(other));
		idle = moved ? 0 : idle + 1;
		if (idle > 1000)
			fail_msg("nobody moves: %zu bytes of items, %zu of answers", items.bytes,
				 answers.bytes);
		if (until_bytes >= 0 && items.delivered >= (uint64_t)until_bytes)
			return;
	}
}

static inline const struct wbi_file_progress *sent(void)
{
	return wbi_file_sender_progress(sender);
}

static inline void assert_failures(uint64_t count)
{
	const struct wbi_file_failures *here = wbi_file_sender_failures(sender),
				       *there = wbi_file_receiver_failures(receiver);

	if (here->count != count || there->count != count)
		fail_msg("%llu failures here, %llu there: %s; %s", (unsigned long long)here->count,
			 (unsigned long long)there->count, here->count ? here->first[0].text : "",
			 there->count ? there->first[0].text : "");
	/* In whichever order: they travel, too. */
	for (uint64_t i = 0, j; i < count; i++) {
		for (j = 0; j < count && there->first[j].n != here->first[i].n; j++)
			;
		assert_true(j < count);
		assert_string_equal(here->first[i].error, there->first[j].error);
	}
}

/* From beginning to end, without a failure. Returns how much content travelled. */
static inline uint64_t transfer(const char *into)
{
	uint64_t wire;

	begin(into);
	run(WHOLE);
	assert_failures(0);
	assert_int_equal(sent()->bytes_known, sent()->bytes_done);
	assert_int_equal(sent()->files_known, sent()->files_done);
	assert_int_equal(sent()->bytes_wire, wbi_file_receiver_progress(receiver)->bytes_wire);
	wire = sent()->bytes_wire;
	end();
	return wire;
}

/* ---- comparing ---- */

static inline void compare_content(int a, int b, off_t size, const char *path)
{
	static uint8_t left[256 * KIB], right[256 * KIB];

	/* Only where there is data at either side; holes are nothing on both. */
	for (off_t at = 0; at < size;) {
		off_t data_a = lseek(a, at, SEEK_DATA), data_b = lseek(b, at, SEEK_DATA);
		off_t next = data_a < 0 ? data_b : data_b < 0 || data_a < data_b ? data_a : data_b;
		ssize_t got_a, got_b;

		if (next < 0)
			return;
		got_a = pread(a, left, sizeof(left), next);
		got_b = pread(b, right, sizeof(right), next);
		if (got_a != got_b || got_a <= 0 || memcmp(left, right, (size_t)got_a))
			fail_msg("%s: differs near %lld", path, (long long)next);
		at = next + got_a;
	}
}

static inline void compare_files(int a, int b, const char *name, const struct stat *is_a,
				 const struct stat *is_b, const char *path)
{
	int fd_a = openat(a, name, O_RDONLY | O_CLOEXEC);
	int fd_b = openat(b, name, O_RDONLY | O_CLOEXEC);

	if (fd_a < 0 || fd_b < 0)
		fail_msg("%s: cannot be opened", path);
	if (is_a->st_size != is_b->st_size)
		fail_msg("%s: %lld bytes, not %lld", path, (long long)is_b->st_size,
			 (long long)is_a->st_size);
	compare_content(fd_a, fd_b, is_a->st_size, path);
	close(fd_a);
	close(fd_b);
	if (is_a->st_blocks * 512 < is_a->st_size / 2 && is_b->st_blocks * 512 > is_b->st_size / 2)
		fail_msg("%s: is no longer sparse", path);
}

static inline void compare_links(int a, int b, const char *name, const char *path)
{
	char left[4096] = "", right[4096] = "";

	if (readlinkat(a, name, left, sizeof(left)) < 0 ||
	    readlinkat(b, name, right, sizeof(right)) < 0 || memcmp(left, right, sizeof(left)))
		fail_msg("%s: '%s' is not '%s'", path, right, left);
}

static inline void compare(int a, int b, const char *path);

static inline void compare_entry(int a, int b, const char *name, const char *path)
{
	char below[8192];
	struct stat is_a, is_b;

	snprintf(below, sizeof(below), "%s/%s", path, name);
	if (fstatat(a, name, &is_a, AT_SYMLINK_NOFOLLOW) != 0 ||
	    fstatat(b, name, &is_b, AT_SYMLINK_NOFOLLOW) != 0)
		fail_msg("%s: not on both sides", below);
	if (is_a.st_mode != is_b.st_mode)
		fail_msg("%s: mode %o, not %o", below, is_b.st_mode, is_a.st_mode);
	if (is_a.st_mtim.tv_sec != is_b.st_mtim.tv_sec ||
	    is_a.st_mtim.tv_nsec != is_b.st_mtim.tv_nsec)
		fail_msg("%s: another time", below);
	if (!S_ISDIR(is_a.st_mode) && is_a.st_nlink != is_b.st_nlink)
		fail_msg("%s: %u names, not %u", below, (unsigned)is_b.st_nlink,
			 (unsigned)is_a.st_nlink);
	if (S_ISREG(is_a.st_mode)) {
		compare_files(a, b, name, &is_a, &is_b, below);
	} else if (S_ISLNK(is_a.st_mode)) {
		compare_links(a, b, name, below);
	} else {
		int down_a = openat(a, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		int down_b = openat(b, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		compare(down_a, down_b, below);
		close(down_a);
		close(down_b);
	}
}

static inline unsigned entries_of(int folder)
{
	DIR *stream = fdopendir(openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	unsigned count = 0;

	tree_need(stream, "fdopendir");
	while (readdir(stream))
		count++;
	closedir(stream);
	return count;
}

/* Two folders hold the same, all the way down. */
static inline void compare(int a, int b, const char *path)
{
	DIR *stream = fdopendir(openat(a, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *entry;

	tree_need(stream, path);
	while ((entry = readdir(stream)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			compare_entry(a, b, entry->d_name, path);
	closedir(stream);
	if (entries_of(a) != entries_of(b))
		fail_msg("%s: holds %u entries, not %u", path, entries_of(b), entries_of(a));
}

static inline void compare_at(const char *here, const char *there)
{
	int a = openat(from.fd, here, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int b = openat(to.fd, there, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	tree_need(a >= 0 && b >= 0, there);
	compare(a, b, there);
	close(a);
	close(b);
}

/* ---- a tree of every kind ---- */

static inline void make_sparse(const char *path, off_t size, off_t data_at)
{
	int fd = openat(from.fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	tree_need(fd >= 0 && ftruncate(fd, size) == 0, path);
	tree_need(pwrite(fd, "in the middle of nothing", 24, data_at) == 24, path);
	close(fd);
}

static inline void make_names(void)
{
	char name[300];

	tree_folder(&from, "t/names");
	for (int byte = 1; byte < 256; byte++) {
		if (byte == '/')
			continue;
		snprintf(name, sizeof(name), "t/names/x%c", byte);
		tree_text(&from, name, name);
	}
	memcpy(name, "t/names/", 8);
	memset(name + 8, '\xf0', 255);
	name[8 + 255] = '\0';
	tree_text(&from, name, "as long as it gets");
	tree_folder(&from, "t/names/\xe4\xb8\xad\xe6\x96\x87");
	tree_text(&from, "t/names/\xe4\xb8\xad\xe6\x96\x87/\xd6\xd0\xce\xc4", "two encodings");
	tree_text(&from, "t/names/...", "not the parent");
	tree_text(&from, "t/names/ ", "a space");
	tree_text(&from, "t/names/-rf", "an option");
}

static inline void make_times(void)
{
	tree_folder(&from, "t/times");
	tree_text(&from, "t/times/before", "");
	tree_time(&from, "t/times/before", -1, 500000000);
	tree_text(&from, "t/times/begin", "");
	tree_time(&from, "t/times/begin", 0, 0);
	tree_text(&from, "t/times/late", "");
	tree_time(&from, "t/times/late", 4000000000, 999999999);
}

static inline void make_tree(void)
{
	static const mode_t modes[] = {0, 0400, 0644, 0777, 0111};
	char path[64];

	tree_folder(&from, "t");
	tree_text(&from, "t/empty", "");
	tree_text(&from, "t/one", "1");
	tree_noise_file(&from, "t/small", 128 * KIB, 1);
	tree_noise_file(&from, "t/just-large", 128 * KIB + 1, 2);
	tree_noise_file(&from, "t/large", 3 * MIB + 777, 3);
	tree_folder(&from, "t/empty-folder");
	tree_folder(&from, "t/deep");
	tree_folder(&from, "t/deep/er");
	tree_noise_file(&from, "t/deep/er/file", 5000, 4);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		snprintf(path, sizeof(path), "t/mode-%03o", modes[i]);
		tree_text(&from, path, path);
		tree_need(!fchmodat(from.fd, path, modes[i], 0), path);
	}
	tree_need(!symlinkat("one", from.fd, "t/link"), "link");
	tree_need(!symlinkat("../../../etc/passwd", from.fd, "t/link-out"), "link");
	tree_need(!symlinkat("/nowhere\xff", from.fd, "t/link-dead"), "link");
	tree_need(!symlinkat(".", from.fd, "t/link-loop"), "link");
	tree_time(&from, "t/link", 12345, 678);
	tree_need(!linkat(from.fd, "t/small", from.fd, "t/deep/small-again", 0), "hard link");
	tree_need(!linkat(from.fd, "t/large", from.fd, "t/a-large-again", 0), "hard link");
	make_sparse("t/sparse", 8 * MIB, 5 * MIB + 100);
	make_sparse("t/sparse-small", 100 * KIB, 50 * KIB);
	make_names();
	make_times();
	tree_need(!fchmodat(from.fd, "t/empty-folder", 0555, 0), "mode");
	tree_time(&from, "t/deep", 77777, 7);
	tree_time(&from, "t", 99999, 9);
}

#endif
