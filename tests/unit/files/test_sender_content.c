/* The sender: offers, and the content of what is wanted: pieces, blocks that agree, holes, streams,
 * compressed. */
#include "files/compress.h"
#include "sender_fixture.h"

/* ---- offers ---- */

static void test_have_skip_refused(void **state)
{
	struct wbi_answer refused;

	(void)state;
	tree_folder(&tree, "d");
	tree_text(&tree, "d/1", "one");
	tree_text(&tree, "d/2", "two");
	tree_text(&tree, "d/3", "three");
	operand("d");
	begin();
	ready(false);
	pull();
	assert_int_equal(count(WBI_ITEM_OFFER), 3);
	assert_int_equal(count(WBI_ITEM_FILE), 0);
	assert_int_equal(strlen(need(WBI_ITEM_OFFER, "d/1")->item.digest), 32);
	assert_null(find(WBI_ITEM_DONE, NULL));
	assert_int_equal(say(WBI_ANSWER_HAVE, need(WBI_ITEM_OFFER, "d/1")->item.n), WB_OK);
	assert_int_equal(say(WBI_ANSWER_SKIP, need(WBI_ITEM_OFFER, "d/2")->item.n), WB_OK);
	wbi_answer_init(&refused, WBI_ANSWER_REFUSED);
	refused.n = need(WBI_ITEM_OFFER, "d/3")->item.n;
	strcpy(refused.error, "is-a-folder");
	strcpy(refused.text, "3: Is a directory");
	assert_int_equal(say_payload(&refused, NULL), WB_OK);
	pull();
	finish();
	assert_int_equal(failures(), 1);
	assert_failed(0, "is-a-folder");
	assert_int_equal(wbi_file_sender_progress(sender)->bytes_wire, 0);
	assert_int_equal(wbi_file_sender_progress(sender)->files_done, 3); /* d, 1, 2 */
}

static void test_small_wanted(void **state)
{
	uint64_t n;

	(void)state;
	tree_text(&tree, "f", "content");
	operand("f");
	begin();
	ready(false);
	pull();
	n = need(WBI_ITEM_OFFER, "f")->item.n;
	assert_int_equal(say(WBI_ANSWER_WANT, n), WB_OK);
	pull();
	assert_int_equal(check_content(n, (const uint8_t *)"content", 7, NULL), 7);
	finish();
}

static void large_in(size_t this_room)
{
	enum { BYTES = 3 * MIB + 12345 };
	uint8_t *data = malloc(BYTES);
	uint64_t n;

	room = this_room;
	options.source_count = 0;
	tree_noise(data, BYTES, 1);
	tree_write(&tree, "large", data, BYTES);
	operand("large");
	begin();
	ready(true);
	pull();
	assert_string_equal(need(WBI_ITEM_OFFER, "large")->item.digest, "");
	n = need(WBI_ITEM_OFFER, "large")->item.n;
	assert_int_equal(say(WBI_ANSWER_WANT, n), WB_OK);
	pull();
	assert_int_equal(check_content(n, data, BYTES, NULL), BYTES);
	finish();
	assert_int_equal(failures(), 0);
	free(data);
	forget();
	wbi_file_sender_free(sender);
	sender = NULL;
}

static void test_large(void **state)
{
	(void)state;
	large_in(ROOM);
	large_in(WBI_FILE_ROOM_MIN);
	large_in(WBI_FILE_ROOM_MIN + 4321);
	large_in(300 * KIB + 1);
}

/* However many files there are, so many offers are open and no more; one that is answered makes
 * room for the next. */
static void test_many_offers(void **state)
{
	enum { FILES = WBI_ITEM_OFFERS_MAX + 100 };
	char name[32];

	(void)state;
	tree_folder(&tree, "d");
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "d/%04d", i);
		tree_text(&tree, name, name);
	}
	operand("d");
	begin();
	ready(false);
	pull();
	assert_int_equal(count(WBI_ITEM_OFFER), WBI_ITEM_OFFERS_MAX);
	assert_int_equal(say(WBI_ANSWER_HAVE, seen[1].item.n), WB_OK);
	pull();
	assert_int_equal(count(WBI_ITEM_OFFER), WBI_ITEM_OFFERS_MAX + 1);
	/* All are wanted: the last ones are offered while the first ones travel, not after them. */
	for (unsigned i = 2; i < seen_count; i++)
		if (seen[i].item.kind == WBI_ITEM_OFFER)
			assert_int_equal(say(WBI_ANSWER_WANT, seen[i].item.n), WB_OK);
	pull();
	assert_int_equal(count(WBI_ITEM_OFFER), FILES);
	assert_int_equal(count(WBI_ITEM_END), WBI_ITEM_OFFERS_MAX);
	for (unsigned i = 0, ends = 0; i < seen_count; i++) {
		ends += seen[i].item.kind == WBI_ITEM_END;
		if (seen[i].item.kind == WBI_ITEM_OFFER)
			assert_true(ends <= 100);
	}
	assert_null(find(WBI_ITEM_DONE, NULL));
}

/* ---- delta, holes ---- */

static void block_digest(const uint8_t *data, size_t bytes, uint8_t *out)
{
	struct wb_digest *digest;
	char hex[WB_DIGEST_HEX_MAX];

	assert_int_equal(wb_digest_new(WB_DIGEST_XXH128, &digest, NULL), WB_OK);
	wb_digest_update(digest, data, bytes);
	wb_digest_hex(digest, hex);
	wb_digest_free(digest);
	for (size_t i = 0; i < WBI_ITEM_BLOCK_DIGEST_BYTES; i++) {
		const char two[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

		out[i] = (uint8_t)strtoul(two, NULL, 16);
	}
}

static uint64_t offer_with_basis(const char *name, const uint8_t *basis, size_t basis_bytes,
				 uint64_t block)
{
	size_t blocks = (basis_bytes + block - 1) / block;
	uint8_t *digests = malloc(blocks * WBI_ITEM_BLOCK_DIGEST_BYTES + 1);
	struct wbi_answer want;

	operand(name);
	begin();
	ready(false);
	pull();
	wbi_answer_init(&want, WBI_ANSWER_WANT);
	want.n = need(WBI_ITEM_OFFER, name)->item.n;
	want.block_bytes = block;
	want.block_count = blocks;
	want.payload_bytes = blocks * WBI_ITEM_BLOCK_DIGEST_BYTES;
	for (size_t i = 0; i < blocks; i++) {
		size_t bytes = basis_bytes - i * block < block ? basis_bytes - i * block : block;

		block_digest(basis + i * block, bytes, digests + i * WBI_ITEM_BLOCK_DIGEST_BYTES);
	}
	assert_int_equal(say_payload(&want, digests), WB_OK);
	free(digests);
	pull();
	return want.n;
}

static void test_delta(void **state)
{
	enum { BLOCK = 128 * KIB, BYTES = 10 * BLOCK + 777 };
	uint8_t *old = malloc(BYTES), *new = malloc(BYTES);
	uint64_t n;

	(void)state;
	tree_noise(old, BYTES, 2);
	memcpy(new, old, BYTES);
	new[3 * BLOCK + 5] ^= 1;
	new[7 * BLOCK] ^= 1;
	new[8 * BLOCK - 1] ^= 1;
	tree_write(&tree, "f", new, BYTES);
	n = offer_with_basis("f", old, BYTES, BLOCK);
	assert_int_equal(check_content(n, new, BYTES, old), 2 * BLOCK);
	assert_int_equal(wbi_file_sender_progress(sender)->bytes_saved, BYTES - 2 * BLOCK);
	finish();
	free(old);
	free(new);
}

/* What an earlier transfer left: the front agrees, the rest is not there. */
static void test_resume(void **state)
{
	enum { BLOCK = 128 * KIB, BYTES = 2 * MIB + 99, HELD = 6 * BLOCK };
	uint8_t *data = malloc(BYTES);
	uint64_t n;

	(void)state;
	tree_noise(data, BYTES, 3);
	tree_write(&tree, "f", data, BYTES);
	n = offer_with_basis("f", data, HELD, BLOCK);
	assert_int_equal(check_content(n, data, BYTES, data), BYTES - HELD);
	finish();
	free(data);
}

/* Blocks larger than the file calls for are not looked at: each would be read in one go. */
static void test_large_blocks(void **state)
{
	enum { BLOCK = 256 * KIB, BYTES = 2 * MIB };
	uint8_t *data = malloc(BYTES);
	uint64_t n;

	(void)state;
	tree_noise(data, BYTES, 3);
	tree_write(&tree, "f", data, BYTES);
	n = offer_with_basis("f", data, BYTES, BLOCK);
	assert_int_equal(check_content(n, data, BYTES, data), BYTES);
	finish();
	free(data);
}

/* Holes and a basis at once: blocks that differ are sent, holes in them are not. */
static void test_sparse_delta(void **state)
{
	enum { BLOCK = 128 * KIB, BYTES = 16 * BLOCK };
	uint8_t *old = malloc(BYTES), *new = calloc(1, BYTES);
	int fd = openat(tree.fd, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	uint64_t n;

	(void)state;
	tree_noise(old, BYTES, 4);
	/* Data at: the end of block 1, all of block 4 (which agrees), the front of 9 to 10. */
	tree_noise(new + 2 * BLOCK - 8 * KIB, 8 * KIB, 5);
	memcpy(new + 4 * BLOCK, old + 4 * BLOCK, BLOCK);
	tree_noise(new + 9 * BLOCK + 16 * KIB, BLOCK, 6);
	assert_int_equal(ftruncate(fd, BYTES), 0);
	assert_int_equal(pwrite(fd, new + 2 * BLOCK - 8 * KIB, 8 * KIB, 2 * BLOCK - 8 * KIB),
			 8 * KIB);
	assert_int_equal(pwrite(fd, new + 4 * BLOCK, BLOCK, 4 * BLOCK), BLOCK);
	assert_int_equal(pwrite(fd, new + 9 * BLOCK + 16 * KIB, BLOCK, 9 * BLOCK + 16 * KIB),
			 BLOCK);
	close(fd);
	n = offer_with_basis("f", old, BYTES, BLOCK);
	assert_int_equal(check_content(n, new, BYTES, old), BLOCK + 8 * KIB);
	finish();
	free(old);
	free(new);
}

/* Beyond 4 GiB, all but two pages of it nothing. */
static void test_sparse_large(void **state)
{
	const uint64_t size = ((uint64_t)1 << 32) + 3 * MIB;
	int fd = openat(tree.fd, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	uint64_t n, position = 0, sent = 0;

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(pwrite(fd, "front", 5, 0), 5);
	assert_int_equal(pwrite(fd, "end", 3, (off_t)size - 3), 3);
	close(fd);
	operand("f");
	begin();
	ready(true);
	pull();
	n = need(WBI_ITEM_OFFER, "f")->item.n;
	assert_int_equal(need(WBI_ITEM_OFFER, "f")->item.size, size);
	assert_int_equal(say(WBI_ANSWER_WANT, n), WB_OK);
	pull();
	for (unsigned i = 0; i < seen_count; i++) {
		const struct wbi_item *item = &seen[i].item;

		if (item->kind != WBI_ITEM_DATA && item->kind != WBI_ITEM_HOLE)
			continue;
		assert_int_equal(item->offset, position);
		position += item->bytes + item->payload_bytes;
		sent += item->payload_bytes;
	}
	assert_int_equal(position, size);
	assert_true(sent < 1 * MIB);
	assert_int_equal(need(WBI_ITEM_END, NULL)->item.size, size);
	finish();
}

static void test_empty(void **state)
{
	uint64_t n;

	(void)state;
	tree_text(&tree, "f", "");
	operand("f");
	begin();
	ready(false);
	pull();
	n = need(WBI_ITEM_OFFER, "f")->item.n;
	assert_int_equal(say(WBI_ANSWER_WANT, n), WB_OK);
	pull();
	assert_int_equal(check_content(n, (const uint8_t *)"", 0, NULL), 0);
	finish();
}

/* ---- a stream ---- */

static void test_stream(void **state)
{
	static uint8_t data[300 * KIB];
	int pipes[2];
	size_t done = 0;
	uint64_t n;

	(void)state;
	tree_noise(data, sizeof(data), 11);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	sources[0] = (struct wbi_file_source){.stream = pipes[0], .name = "in"};
	options.source_count = 1;
	begin();
	ready(true);
	pull();
	n = need(WBI_ITEM_OFFER, "in")->item.n;
	assert_false(need(WBI_ITEM_OFFER, "in")->item.has_size);
	assert_int_equal(wbi_file_sender_waits_for(sender), -1);
	assert_int_equal(say(WBI_ANSWER_WANT, n), WB_OK);
	while (done < sizeof(data)) {
		size_t piece = sizeof(data) - done < 60000 ? sizeof(data) - done : 60000;

		pull();
		assert_int_equal(wbi_file_sender_waits_for(sender), pipes[0]);
		assert_int_equal(write(pipes[1], data + done, piece), piece);
		done += piece;
	}
	pull();
	assert_null(find(WBI_ITEM_END, NULL));
	close(pipes[1]);
	pull();
	assert_int_equal(wbi_file_sender_waits_for(sender), -1);
	assert_int_equal(check_content(n, data, sizeof(data), NULL), sizeof(data));
	finish();
	assert_int_equal(fcntl(pipes[0], F_GETFD), FD_CLOEXEC); /* it is the caller's */
	close(pipes[0]);
}

/* ---- compression ---- */

static void test_compress(void **state)
{
	enum { BYTES = 2 * MIB };
	uint8_t *data = calloc(1, BYTES), *raw = malloc(WBI_ITEM_PAYLOAD_BYTES);
	struct wbi_decompressor *decompressor = NULL;
	uint64_t n, position = 0;

	(void)state;
	if (!wbi_compress_exists()) {
		print_message("skipped: this build has no zstd\n");
		free(data);
		free(raw);
		skip();
	}
	assert_int_equal(wbi_decompressor_new(&decompressor), WB_OK);
	tree_noise(data + MIB, MIB / 2, 13); /* what does not shrink travels as it is */
	tree_write(&tree, "large", data, BYTES);
	tree_write(&tree, "small", data, 1000);
	options.compress = true;
	operand("large");
	operand("small");
	begin();
	ready(true);
	pull();
	assert_int_equal(need(WBI_ITEM_FILE, "small")->item.raw_bytes, 1000);
	assert_true(need(WBI_ITEM_FILE, "small")->item.payload_bytes < 100);
	assert_int_equal(need(WBI_ITEM_FILE, "small")->item.size, 1000);
	n = need(WBI_ITEM_OFFER, "large")->item.n;
	assert_int_equal(say(WBI_ANSWER_WANT, n), WB_OK);
	pull();
	for (unsigned i = 0; i < seen_count; i++) {
		const struct wbi_item *item = &seen[i].item;
		size_t bytes = item->raw_bytes ? item->raw_bytes : item->payload_bytes;

		if (item->kind != WBI_ITEM_DATA)
			continue;
		assert_int_equal(item->offset, position);
		if (item->raw_bytes)
			assert_int_equal(wbi_decompress(decompressor, seen[i].payload,
							item->payload_bytes, raw, bytes),
					 WB_OK);
		else
			memcpy(raw, seen[i].payload, bytes);
		assert_memory_equal(raw, data + position, bytes);
		position += bytes;
	}
	assert_int_equal(position, BYTES);
	assert_true(wbi_file_sender_progress(sender)->bytes_wire < BYTES * 5 / 8);
	finish();
	wbi_decompressor_free(decompressor);
	free(data);
	free(raw);
}

/* A receiver that cannot take it is not given it. */
static void test_compress_not_there(void **state)
{
	(void)state;
	tree_text(&tree, "f",
		  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	options.compress = true;
	operand("f");
	begin();
	assert_int_equal(say(WBI_ANSWER_READY, 0), WB_OK);
	pull();
	assert_int_equal(need(WBI_ITEM_OFFER, "f")->item.raw_bytes, 0);
	assert_int_equal(say(WBI_ANSWER_WANT, 1), WB_OK);
	pull();
	assert_int_equal(need(WBI_ITEM_DATA, NULL)->item.raw_bytes, 0);
	finish();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_have_skip_refused),
		TEST(test_small_wanted),
		TEST(test_large),
		TEST(test_many_offers),
		TEST(test_delta),
		TEST(test_resume),
		TEST(test_large_blocks),
		TEST(test_sparse_delta),
		TEST(test_sparse_large),
		TEST(test_empty),
		TEST(test_stream),
		TEST(test_compress),
		TEST(test_compress_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
