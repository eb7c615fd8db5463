/* Round trips that are cut, that fail, and that come by chance. */
#include "round_trip.h"
#include <sys/socket.h>
#include <sys/un.h>

#include "files/compress.h"

/* ---- cuts ---- */

static void cut_after(size_t size, uint64_t bytes)
{
	uint64_t first, second;

	begin("");
	run((int64_t)bytes);
	first = wbi_file_receiver_progress(receiver)->bytes_wire;
	end();
	assert_false(tree_has(&to, "f")); /* no part of it has its name */
	second = transfer("");
	compare_at(".", ".");
	/* Again travels only what was not there, but for a block. */
	if (first + second > size + 128 * KIB + 70000)
		fail_msg("%llu and %llu of %zu", (unsigned long long)first,
			 (unsigned long long)second, size);
	assert_int_equal(unlinkat(to.fd, "f", 0), 0);
}

static void test_resume(void **state)
{
	enum { BYTES = 6 * MIB + 4321 };

	(void)state;
	tree_noise_file(&from, "f", BYTES, 1);
	tree_time(&from, "f", 1, 1);
	operand("f");
	for (uint64_t bytes = 100000; bytes < BYTES; bytes += 1700000)
		cut_after(BYTES, bytes);
}

/* Cut again and again, each time a little further; a tree, and files of which some have changed. */
static void test_many_cuts(void **state)
{
	(void)state;
	make_tree();
	operand("t");
	for (int64_t bytes = 1000; bytes < 3 * MIB; bytes = bytes * 3 / 2) {
		begin("");
		run(bytes);
		end();
	}
	transfer("");
	compare_at("t", "t");
}

/* Beyond 4 GiB: two pages of data and nothing in between. */
static void test_beyond_4_gib(void **state)
{
	const off_t size = ((off_t)1 << 32) + 12345;

	(void)state;
	tree_folder(&from, "t");
	make_sparse("t/f", size, size - 100);
	operand("t");
	assert_true(transfer("") < MIB);
	compare_at("t", "t");
}

static void test_compressed(void **state)
{
	uint8_t *data;
	uint64_t wire;

	(void)state;
	if (!wbi_compress_exists()) {
		print_message("skipped: this build has no zstd\n");
		skip();
	}
	data = calloc(1, 4 * MIB);
	tree_need(data, "memory");
	memset(data, 'x', 4 * MIB);
	tree_noise(data + MIB, MIB, 1);
	tree_folder(&from, "t");
	tree_write(&from, "t/large", data, 4 * MIB);
	tree_write(&from, "t/small", data, 50000);
	free(data);
	sending.compress = true;
	operand("t");
	wire = transfer("");
	compare_at("t", "t");
	assert_true(wire < 2 * MIB);
}

/* ---- what goes wrong ---- */

static void make_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", from.path, path);
	tree_need(!bind(fd, (struct sockaddr *)&address, sizeof(address)), path);
	close(fd);
}

/* Each is told on both sides, and the rest arrives. */
static void test_failures(void **state)
{
	(void)state;
	tree_folder(&from, "t");
	tree_need(!mkfifoat(from.fd, "t/pipe", 0600), "pipe");
	make_socket("t/socket");
	tree_text(&from, "t/folder-there", "");
	tree_folder(&from, "t/file-there");
	tree_text(&from, "t/file-there/x", "");
	tree_text(&from, "t/z", "z");
	tree_folder(&to, "t");
	tree_folder(&to, "t/folder-there");
	tree_text(&to, "t/file-there", "");
	operand("t");
	operand("gone");
	begin("");
	run(WHOLE);
	assert_failures(6); /* and the one in the folder that could not be made */
	assert_true(tree_has(&to, "t/z"));
	end();
}

/* A file that changes while it travels is not there afterwards; the old one is. */
static void test_changes_underfoot(void **state)
{
	size_t bytes;
	uint8_t *data;
	int fd;

	(void)state;
	tree_noise_file(&from, "f", 4 * MIB, 1);
	tree_text(&to, "f", "old");
	operand("f");
	begin("");
	run(MIB);
	fd = openat(from.fd, "f", O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
	run(WHOLE);
	assert_failures(1);
	assert_string_equal(wbi_file_receiver_failures(receiver)->first[0].error, "changed");
	end();
	data = tree_read(&to, "f", &bytes);
	assert_string_equal((char *)data, "old");
	free(data);
}

/* ---- by chance ---- */

static void random_file(const char *path)
{
	static const uint32_t sizes[] = {1, 4096, 131073, 400000, 1500000};
	uint32_t size = random_below(sizes[random_below(5)]);

	(void)unlinkat(from.fd, path, 0);
	tree_noise_file(&from, path, size, random_below(5));
}

/* Makes, changes, moves and removes a few things in a tree that is at most two folders deep. */
static void random_change(void)
{
	char path[64], other[64];
	uint32_t a = random_below(3), b = random_below(6), c = random_below(6);
	bool done;

	if (a == 0)
		snprintf(path, sizeof(path), "t/f%u", b);
	else
		snprintf(path, sizeof(path), "t/d%u/f%u", b % 3, c);
	snprintf(other, sizeof(other), "t/d%u/f%u", c % 3, b);

	/* What cannot be done is left. */
	switch (random_below(9)) {
	case 0:
		done = !unlinkat(from.fd, path, 0);
		break;
	case 1:
		done = !unlinkat(from.fd, path, 0) && !symlinkat(other, from.fd, path);
		break;
	case 2:
		done = !unlinkat(from.fd, other, 0) && !linkat(from.fd, path, from.fd, other, 0);
		break;
	case 3:
		done = !renameat(from.fd, path, from.fd, other);
		break;
	case 4:
		done = tree_has(&from, path);
		if (done)
			tree_time(&from, path, random_below(1 << 30), random_below(1000000000));
		break;
	default:
		random_file(path);
		done = true;
	}
	(void)done;
}

static void test_by_chance(void **state)
{
	uint64_t seed;

	(void)state;
	tree_folder(&from, "t");
	tree_folder(&from, "t/d0");
	tree_folder(&from, "t/d1");
	tree_folder(&from, "t/d2");
	operand("t");
	sending.delete = receiving.delete = true;
	for (seed = 1; seed <= 40; seed++) {
		random_state = seed * UINT64_C(0x9E3779B97F4A7C15);
		for (unsigned i = 0; i < 12; i++)
			random_change();
		if (seed % 3 == 0) {
			begin("");
			run(random_below(400000));
			end();
		}
		transfer("");
		compare_at("t", "t");
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_resume),     TEST(test_many_cuts), TEST(test_beyond_4_gib),
		TEST(test_compressed), TEST(test_failures),  TEST(test_changes_underfoot),
		TEST(test_by_chance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
