/* The two engines that move files, each against a peer that says anything.
 *
 * The input is text, so that what mutates stays close to what means something: its first line is
 * options; then come parcels, each a header, a newline, a payload, and a newline and a form feed.
 * What stands before a header on the wire, its length, is put there here.
 *
 * 'r': the items of a hostile sender, for a receiver whose target holds links that lead out of it.
 * Whatever it is told, beside the target nothing changes.
 * 's': the answers of a hostile receiver. Whatever it is told, the sender says only items that
 * decode. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files/item.h"
#include "files/receiver.h"
#include "files/sender.h"
#include "files/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

enum {
	WIRE_MAX = 1 << 17,
	OPTIONS_MAX = 16,
	ROOM = WBI_FILE_ROOM_MIN + 1000,
	TURNS_MAX = 1000,
	LARGE_BYTES = 300 * 1024,
	BYTES_LIMIT = 1 << 20,
	FILES_LIMIT = 50,
};

/* ---- a place to play ---- */

/* ground/safe is never to change; ground/target is the receiver's, ground/source the sender's. */
static char ground[64];
static int ground_fd = -1;
static struct stat safe_was, ground_was;

static void put_file(const char *path, const void *data, size_t bytes)
{
	int fd = openat(ground_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	CHECK(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes);
	close(fd);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status, (void)type;
	CHECK(place->level < 300);
	return remove(path);
}

static void remove_tree(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s%s%s", ground, name[0] ? "/" : "", name);
	/* Folders of any mode have been left behind; only root gets into all of them. */
	CHECK(nftw(path, remove_one, 32, FTW_PHYS | FTW_DEPTH) == 0 || geteuid() != 0);
}

static void leave_ground(void)
{
	remove_tree("");
}

static void make_source(void)
{
	static uint8_t large[LARGE_BYTES];

	memset(large, 'l', sizeof(large));
	CHECK(mkdirat(ground_fd, "source", 0755) == 0);
	CHECK(mkdirat(ground_fd, "source/d", 0755) == 0);
	put_file("source/large", large, sizeof(large));
	put_file("source/small", "small", 5);
	put_file("source/d/x", "", 0);
	CHECK(symlinkat("nowhere", ground_fd, "source/link") == 0);
	CHECK(linkat(ground_fd, "source/small", ground_fd, "source/twin", 0) == 0);
}

static void make_ground(void)
{
	snprintf(ground, sizeof(ground), "/tmp/waybill-fuzz-XXXXXX");
	CHECK(mkdtemp(ground));
	ground_fd = open(ground, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(ground_fd >= 0);
	make_source();
	CHECK(mkdirat(ground_fd, "safe", 0755) == 0);
	put_file("safe/file", "safe", 4);
	CHECK(mkdirat(ground_fd, "target", 0755) == 0);
	CHECK(fstatat(ground_fd, "safe", &safe_was, 0) == 0);
	CHECK(fstat(ground_fd, &ground_was) == 0);
	atexit(leave_ground);
}

static void make_target(void)
{
	CHECK(mkdirat(ground_fd, "target", 0755) == 0 || errno == EEXIST);
	CHECK(mkdirat(ground_fd, "target/d", 0755) == 0);
	put_file("target/old", "old", 3);
	put_file("target/d/x", "x", 1);
	CHECK(symlinkat("../safe", ground_fd, "target/out") == 0);
	CHECK(symlinkat("../safe/file", ground_fd, "target/file") == 0);
	CHECK(symlinkat("../../safe", ground_fd, "target/d/out") == 0);
}

static bool same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_mode == b->st_mode && a->st_uid == b->st_uid &&
	       a->st_nlink == b->st_nlink && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void check_safe(const struct stat *file_was)
{
	struct stat now;
	char text[8] = "";
	int fd = openat(ground_fd, "safe/file", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	CHECK(fd >= 0 && read(fd, text, sizeof(text)) == 4 && !memcmp(text, "safe", 4));
	CHECK(fstat(fd, &now) == 0 && same(&now, file_was));
	close(fd);
	CHECK(fstatat(ground_fd, "safe", &now, 0) == 0 && same(&now, &safe_was));
	/* Nothing beside the target was made, moved or removed. */
	CHECK(fstat(ground_fd, &now) == 0 && now.st_nlink == ground_was.st_nlink);
	CHECK(now.st_mtim.tv_sec == ground_was.st_mtim.tv_sec &&
	      now.st_mtim.tv_nsec == ground_was.st_mtim.tv_nsec);
}

/* ---- the wire ---- */

/* One parcel off the text; returns what is left of it. */
static size_t add_parcel(const uint8_t *text, size_t bytes, uint8_t *wire, size_t *used)
{
	static const char mark[] = "\n\f";
	const uint8_t *end = memmem(text, bytes, mark, 2);
	size_t parcel = end ? (size_t)(end - text) : bytes, rest = end ? parcel + 2 : bytes;
	const uint8_t *newline = memchr(text, '\n', parcel);
	size_t header = newline ? (size_t)(newline - text) : parcel;
	size_t payload = parcel - header - (newline != NULL);

	if (*used + 4 + header + payload > WIRE_MAX)
		return 0;
	CHECK(wb_length_encode(WB_LENGTH_U32_LE, header, wire + *used, NULL) == WB_OK);
	memcpy(wire + *used + 4, text, header);
	memcpy(wire + *used + 4 + header, text + parcel - payload, payload);
	*used += 4 + header + payload;
	return bytes - rest;
}

static size_t make_wire(const uint8_t *text, size_t bytes, uint8_t *wire)
{
	size_t used = 0;

	while (bytes > 0) {
		size_t left = add_parcel(text, bytes, wire, &used);

		text += bytes - left;
		bytes = left;
	}
	return used;
}

static bool has(const char *options, char option)
{
	return strchr(options, option) != NULL;
}

/* ---- the receiver ---- */

static struct wbi_file_receiver_options receiver_options(const char *options,
							 const struct wbi_file_target *target)
{
	struct wbi_file_receiver_options choice = WBI_FILE_RECEIVER_DEFAULTS;

	choice.target = target;
	choice.bytes_max = BYTES_LIMIT;
	choice.files_max = FILES_LIMIT;
	choice.update = has(options, 'u');
	choice.delete = has(options, 'x');
	choice.owner = has(options, 'o');
	choice.no_delta = has(options, 'w');
	choice.no_fsync = true;
	return choice;
}

static void drain(struct wbi_file_receiver *receiver)
{
	static uint8_t out[ROOM];
	size_t bytes;

	for (int turn = 0; turn < TURNS_MAX; turn++)
		if (wbi_file_receiver_answers(receiver, out, sizeof(out), &bytes, NULL) || !bytes)
			return;
}

static void feed_receiver(struct wbi_file_receiver *receiver, const uint8_t *wire, size_t bytes,
			  size_t piece)
{
	size_t done = 0, held = 0;

	for (int turn = 0; turn < TURNS_MAX; turn++) {
		size_t consumed = 0;
		enum wb_err err =
			wbi_file_receiver_take(receiver, wire + done, held, &consumed, NULL);

		CHECK(consumed <= held);
		done += consumed;
		held -= consumed;
		drain(receiver);
		if (err || wbi_file_receiver_done(receiver))
			return;
		if (!consumed && done + held == bytes && !wbi_file_receiver_busy(receiver))
			return;
		held = bytes - done - held < piece ? bytes - done : held + piece;
	}
}

static void run_receiver(const char *options, const uint8_t *wire, size_t bytes)
{
	struct wbi_file_receiver_options choice;
	struct wbi_file_receiver *receiver;
	struct wbi_file_target target;
	struct stat file_was;
	char path[128];

	make_target();
	CHECK(fstatat(ground_fd, "safe/file", &file_was, 0) == 0);
	CHECK(fstat(ground_fd, &ground_was) == 0);
	snprintf(path, sizeof(path), "%s/target/%s", ground, has(options, 'a') ? "as" : "");
	CHECK(wbi_file_target_open(AT_FDCWD, path, false, &target, NULL) == WB_OK);
	choice = receiver_options(options, &target);
	CHECK(wbi_file_receiver_new(&choice, &receiver, NULL) == WB_OK);
	feed_receiver(receiver, wire, bytes, has(options, 'p') ? 7 : WIRE_MAX);
	wbi_file_receiver_free(receiver);
	wbi_file_target_close(&target);
	check_safe(&file_was);
	remove_tree("target");
}

/* ---- the sender ---- */

static void check_items(const uint8_t *out, size_t bytes, size_t *payload_left)
{
	static struct wbi_item item;
	size_t done = 0;

	while (done < bytes) {
		size_t taken = bytes - done < *payload_left ? bytes - done : *payload_left;

		*payload_left -= taken;
		done += taken;
		if (*payload_left || done == bytes)
			continue;
		CHECK(wbi_item_decode(out + done, bytes - done, &item, &taken, NULL) ==
		      WB_DECODE_DONE);
		done += taken;
		*payload_left = item.payload_bytes;
	}
}

static bool pull(struct wbi_file_sender *sender, size_t *payload_left)
{
	static uint8_t out[ROOM];
	size_t bytes;

	for (;;) {
		if (wbi_file_sender_fill(sender, out, sizeof(out), &bytes, NULL))
			return false;
		if (!bytes)
			return true;
		check_items(out, bytes, payload_left);
	}
}

static void feed_sender(struct wbi_file_sender *sender, const uint8_t *wire, size_t bytes,
			size_t piece)
{
	size_t done = 0, held = 0, payload_left = 0;

	while (pull(sender, &payload_left) && !wbi_file_sender_done(sender)) {
		size_t consumed = 0;

		if (done + held == bytes)
			return;
		held = bytes - done - held < piece ? bytes - done : held + piece;
		if (wbi_file_sender_answer(sender, wire + done, held, &consumed, NULL))
			return;
		CHECK(consumed <= held);
		done += consumed;
		held -= consumed;
	}
}

static void run_sender(const char *options, const uint8_t *wire, size_t bytes)
{
	char path[128];
	const struct wbi_file_source source = {.path = path, .stream = -1};
	struct wbi_file_sender_options choice = {.root = AT_FDCWD,
						 .sources = &source,
						 .source_count = 1,
						 .digest = WB_DIGEST_XXH128,
						 .recursive = true,
						 .owner = has(options, 'o'),
						 .delete = has(options, 'x'),
						 .compress = has(options, 'z')};
	struct wbi_file_sender *sender;

	snprintf(path, sizeof(path), "%s/source%s", ground, has(options, 'a') ? "/." : "");
	CHECK(wbi_file_sender_new(&choice, &sender, NULL) == WB_OK);
	feed_sender(sender, wire, bytes, has(options, 'p') ? 7 : WIRE_MAX);
	wbi_file_sender_free(sender);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static uint8_t wire[WIRE_MAX];
	const uint8_t *newline = memchr(data, '\n', bytes);
	char options[OPTIONS_MAX] = "";
	size_t option_bytes, wire_bytes;

	if (!newline)
		return 0;
	option_bytes = (size_t)(newline - data);
	if (option_bytes >= sizeof(options))
		return 0;
	memcpy(options, data, option_bytes);
	if (ground_fd < 0)
		make_ground();
	wire_bytes = make_wire(newline + 1, bytes - option_bytes - 1, wire);
	if (has(options, 's'))
		run_sender(options, wire, wire_bytes);
	else
		run_receiver(options, wire, wire_bytes);
	return 0;
}
