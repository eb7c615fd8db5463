/* Round trips: what is at the one end is then at the other, and nothing travels that need not. */
#include "round_trip.h"

/* ---- there ---- */

static void test_every_kind(void **state)
{
	(void)state;
	make_tree();
	operand("t");
	for (unsigned seed = 1; seed <= 8; seed++) {
		char into[16];

		snprintf(into, sizeof(into), "copy-%u", seed);
		random_state = seed * UINT64_C(0x9E3779B97F4A7C15);
		sending.digest = receiving.digest = (enum wb_digest_kind)(seed % 3);
		sending.delete = receiving.delete = seed % 2;
		sending.owner = receiving.owner = seed == 4 && geteuid() == 0;
		sending.compress = seed > 6;
		transfer(into);
		compare_at("t", into);
	}
}

/* Into a folder that is there, by its own name; a second time almost nothing travels. */
static void test_again(void **state)
{
	uint64_t wire;

	(void)state;
	make_tree();
	operand("t");
	transfer("");
	compare_at("t", "t");
	wire = transfer("");
	compare_at("t", "t");
	/* What is small is had; of what is sparse only data that no block has could travel. */
	assert_true(wire < 64 * KIB);
}

static void test_changed(void **state)
{
	int fd;
	uint64_t wire;

	(void)state;
	tree_folder(&from, "t");
	tree_noise_file(&from, "t/a", 3000, 1);
	tree_noise_file(&from, "t/large", 20 * MIB, 2);
	tree_noise_file(&from, "t/grown", 2 * MIB, 3);
	tree_noise_file(&from, "t/shrunk", 2 * MIB, 4);
	operand("t");
	transfer("");
	tree_noise_file(&from, "t/a", 3000, 5);
	fd = openat(from.fd, "t/large", O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "changed", 7, 7 * MIB), 7);
	close(fd);
	fd = openat(from.fd, "t/grown", O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_int_equal(write(fd, "more", 4), 4);
	close(fd);
	fd = openat(from.fd, "t/shrunk", O_WRONLY | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, MIB + 5), 0);
	close(fd);
	wire = transfer("");
	compare_at("t", "t");
	assert_true(wire <= 3000 + 128 * KIB + 128 * KIB + 128 * KIB);
	/* Without deltas the large ones travel whole. */
	fd = openat(from.fd, "t/large", O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "again", 5, 9 * MIB), 5);
	close(fd);
	receiving.no_delta = true;
	wire = transfer("");
	compare_at("t", "t");
	assert_true(wire >= 20 * MIB);
}

static void test_update(void **state)
{
	size_t bytes;
	uint8_t *data;

	(void)state;
	tree_folder(&from, "t");
	tree_folder(&to, "t");
	tree_text(&from, "t/older", "from");
	tree_text(&from, "t/newer", "from");
	tree_text(&to, "t/older", "to");
	tree_text(&to, "t/newer", "to");
	tree_time(&from, "t/older", 1000, 0);
	tree_time(&to, "t/older", 1000, 1);
	tree_time(&from, "t/newer", 1000, 1);
	tree_time(&to, "t/newer", 1000, 0);
	receiving.update = true;
	operand("t");
	transfer("");
	data = tree_read(&to, "t/older", &bytes);
	assert_string_equal((char *)data, "to");
	free(data);
	data = tree_read(&to, "t/newer", &bytes);
	assert_string_equal((char *)data, "from");
	free(data);
}

static void test_delete(void **state)
{
	static const char *const excludes[] = {"*.keep", "/sub/own/", NULL};

	(void)state;
	make_tree();
	operand("t");
	transfer("");
	tree_text(&to, "t/extra", "x");
	tree_text(&to, "t/extra.keep", "x");
	tree_folder(&to, "t/extra-folder");
	tree_text(&to, "t/extra-folder/x", "x");
	tree_text(&to, "beside", "x");
	/* Nothing is deleted unless both want it. */
	transfer("");
	assert_true(tree_has(&to, "t/extra"));
	sending.delete = true;
	transfer("");
	assert_true(tree_has(&to, "t/extra"));
	receiving.delete = true;
	sending.excludes = receiving.excludes = excludes;
	transfer("");
	assert_false(tree_has(&to, "t/extra"));
	assert_false(tree_has(&to, "t/extra-folder"));
	assert_true(tree_has(&to, "t/extra.keep"));
	assert_true(tree_has(&to, "beside"));
	sending.excludes = receiving.excludes = NULL;
	transfer("");
	compare_at("t", "t");
}

/* What is left out is neither sent nor deleted. */
static void test_excludes(void **state)
{
	static const char *const excludes[] = {"*.o", "/build/", NULL};

	(void)state;
	tree_folder(&from, "t");
	tree_folder(&from, "t/build");
	tree_text(&from, "t/build/x", "");
	tree_text(&from, "t/a.o", "");
	tree_text(&from, "t/a.c", "");
	tree_folder(&to, "t");
	tree_folder(&to, "t/build");
	tree_text(&to, "t/build/theirs", "");
	tree_text(&to, "t/b.o", "");
	tree_text(&to, "t/b.c", "");
	sending.excludes = receiving.excludes = excludes;
	sending.delete = receiving.delete = true;
	operand("t");
	transfer("");
	assert_true(tree_has(&to, "t/a.c"));
	assert_false(tree_has(&to, "t/a.o"));
	assert_false(tree_has(&to, "t/build/x"));
	assert_true(tree_has(&to, "t/build/theirs"));
	assert_true(tree_has(&to, "t/b.o"));
	assert_false(tree_has(&to, "t/b.c"));
}

/* ---- where to ---- */

static void test_file_by_another_name(void **state)
{
	size_t bytes;
	uint8_t *data;

	(void)state;
	tree_text(&from, "f", "first");
	operand("f");
	transfer("g");
	tree_text(&from, "f", "second");
	transfer("g");
	data = tree_read(&to, "g", &bytes);
	assert_string_equal((char *)data, "second");
	free(data);
	assert_int_equal(entries_of(to.fd), 3);
}

/* An operand that ends in a dot is spread in the target, which may be new or not. */
static void test_spread(void **state)
{
	static const char *const excludes[] = {"/deep/extra", NULL};
	struct stat before, after;

	(void)state;
	make_tree();
	operand("t/.");
	transfer("new");
	compare_at("t", "new");
	tree_folder(&to, "old");
	tree_text(&to, "old/extra", "x");
	tree_need(!fchmodat(to.fd, "old", 0700, 0), "mode");
	tree_need(!fstatat(to.fd, "old", &before, 0), "old");
	transfer("old");
	assert_true(tree_has(&to, "old/extra"));
	sending.delete = receiving.delete = true;
	transfer("old");
	assert_false(tree_has(&to, "old/extra"));
	compare_at("t", "old");
	/* Patterns are compared with what is below the operand, here as elsewhere. */
	tree_text(&to, "old/deep/extra", "x");
	tree_text(&to, "old/deep/er/extra", "x");
	sending.excludes = receiving.excludes = excludes;
	transfer("old");
	assert_true(tree_has(&to, "old/deep/extra"));
	assert_false(tree_has(&to, "old/deep/er/extra"));
	/* It was there before: its mode is its own. */
	tree_need(!fstatat(to.fd, "old", &after, 0), "old");
	assert_int_equal(before.st_mode, after.st_mode);
}

static void test_several(void **state)
{
	(void)state;
	tree_folder(&from, "d");
	tree_text(&from, "d/x", "x");
	tree_text(&from, "f", "f");
	operand("d");
	operand("f");
	transfer("");
	assert_true(tree_has(&to, "d/x"));
	assert_true(tree_has(&to, "f"));
}

static void test_stream(void **state)
{
	enum { BYTES = 50000 };
	uint8_t *data;
	size_t bytes;
	int pipes[2];

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	data = malloc(BYTES);
	tree_noise(data, BYTES, 1);
	assert_int_equal(write(pipes[1], data, BYTES), BYTES);
	close(pipes[1]);
	sources[0] = (struct wbi_file_source){.stream = pipes[0], .name = "stream"};
	sending.source_count = 1;
	transfer("");
	close(pipes[0]);
	tree_write(&from, "expected", data, BYTES);
	free(data);
	data = tree_read(&to, "stream", &bytes);
	assert_int_equal(bytes, BYTES);
	free(data);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_kind),
		TEST(test_again),
		TEST(test_changed),
		TEST(test_update),
		TEST(test_delete),
		TEST(test_excludes),
		TEST(test_file_by_another_name),
		TEST(test_spread),
		TEST(test_several),
		TEST(test_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
