/* The sender: sources that change underfoot, and receivers that misbehave. */
#include "sender_fixture.h"

/* ---- what changes underfoot ---- */

static void check_aborted(const char *error)
{
	struct seen *abort_ = need(WBI_ITEM_ABORT, NULL);

	assert_string_equal(abort_->item.error, error);
	assert_null(find(WBI_ITEM_END, NULL));
	finish();
	assert_int_equal(failures(), 1);
	assert_failed(0, error);
}

static uint64_t offered_large(size_t bytes)
{
	tree_noise_file(&tree, "f", bytes, 9);
	operand("f");
	begin();
	ready(true);
	pull();
	return need(WBI_ITEM_OFFER, "f")->item.n;
}

static void test_vanished(void **state)
{
	uint64_t n = offered_large(MIB);

	(void)state;
	assert_int_equal(unlinkat(tree.fd, "f", 0), 0);
	assert_int_equal(say(WBI_ANSWER_WANT, n), WB_OK);
	pull();
	assert_int_equal(need(WBI_ITEM_ABORT, NULL)->item.n, n);
	check_aborted("not-found");
}

static void test_replaced(void **state)
{
	uint64_t n = offered_large(MIB);

	(void)state;
	assert_int_equal(unlinkat(tree.fd, "f", 0), 0);
	tree_noise_file(&tree, "f", MIB, 10);
	assert_int_equal(say(WBI_ANSWER_WANT, n), WB_OK);
	pull();
	check_aborted("changed");
}

/* As large, and with the same time: still another file. */
static void test_replaced_quietly(void **state)
{
	struct stat was;
	uint64_t n = offered_large(MIB);

	(void)state;
	assert_int_equal(fstatat(tree.fd, "f", &was, 0), 0);
	assert_int_equal(renameat(tree.fd, "f", tree.fd, "away"), 0);
	tree_noise_file(&tree, "f", MIB, 10);
	tree_time(&tree, "f", was.st_mtim.tv_sec, was.st_mtim.tv_nsec);
	assert_int_equal(say(WBI_ANSWER_WANT, n), WB_OK);
	pull();
	check_aborted("changed");
}

/* A file that is longer than it says: the kernel has some. */
static void test_longer_than_it_says(void **state)
{
	(void)state;
	sources[0] = (struct wbi_file_source){.path = "/proc/self/stat", .stream = -1};
	options.source_count = 1;
	begin();
	ready(true);
	pull();
	assert_null(find(WBI_ITEM_FILE, NULL));
	check_aborted("changed");
}

/* Between the listing of its folder and its turn, a link out has taken a file's place. */
static void test_swapped_for_link(void **state)
{
	static uint8_t out[WBI_FILE_ROOM_MIN];
	size_t bytes;

	(void)state;
	tree_text(&tree, "outside", "secret");
	tree_folder(&tree, "d");
	tree_noise_file(&tree, "d/a", 50000, 1);
	tree_text(&tree, "d/b", "b");
	operand("d");
	begin();
	ready(true);
	assert_int_equal(wbi_file_sender_fill(sender, out, sizeof(out), &bytes, NULL), WB_OK);
	assert_true(bytes > 50000);
	assert_int_equal(unlinkat(tree.fd, "d/b", 0), 0);
	assert_int_equal(symlinkat("../outside", tree.fd, "d/b"), 0);
	pull();
	assert_null(find(WBI_ITEM_FILE, NULL));
	check_aborted("link-in-the-way");
}

/* A pipe in the file's place is not waited for. */
static void test_replaced_by_pipe(void **state)
{
	uint64_t n = offered_large(MIB);

	(void)state;
	assert_int_equal(unlinkat(tree.fd, "f", 0), 0);
	assert_int_equal(mkfifoat(tree.fd, "f", 0600), 0);
	assert_int_equal(say(WBI_ANSWER_WANT, n), WB_OK);
	pull();
	check_aborted("changed");
}

/* In the middle of its content. */
static void change_midway(void (*change)(void))
{
	uint64_t n = offered_large(4 * MIB);
	uint8_t *out = malloc(ROOM);
	size_t bytes;

	assert_int_equal(say(WBI_ANSWER_WANT, n), WB_OK);
	assert_int_equal(wbi_file_sender_fill(sender, out, ROOM, &bytes, NULL), WB_OK);
	assert_true(bytes > MIB / 2);
	free(out);
	change();
	pull();
	check_aborted("changed");
}

static void shrink(void)
{
	int fd = openat(tree.fd, "f", O_WRONLY | O_CLOEXEC);

	assert_int_equal(ftruncate(fd, 2 * MIB + 5), 0);
	close(fd);
}

static void grow(void)
{
	int fd = openat(tree.fd, "f", O_WRONLY | O_APPEND | O_CLOEXEC);

	assert_int_equal(write(fd, "more", 4), 4);
	close(fd);
}

static void touch_up(void)
{
	tree_time(&tree, "f", 1, 0);
}

static void test_shrinks(void **state)
{
	(void)state;
	change_midway(shrink);
}

static void test_grows(void **state)
{
	(void)state;
	change_midway(grow);
}

static void test_touched(void **state)
{
	(void)state;
	change_midway(touch_up);
}

/* ---- receivers that misbehave ---- */

static void test_bad_answers(void **state)
{
	static const struct {
		enum wbi_answer_kind kind;
		uint64_t n;
	} cases[] = {
		{WBI_ANSWER_READY, 0}, {WBI_ANSWER_WANT, 99}, {WBI_ANSWER_HAVE, 99},
		{WBI_ANSWER_SKIP, 99}, {WBI_ANSWER_WANT, 0},  {WBI_ANSWER_FINISHED, 0},
	};
	struct wb_fault fault;
	size_t bytes, consumed;
	static uint8_t out[WBI_FILE_ROOM_MIN];

	(void)state;
	tree_noise_file(&tree, "f", MIB, 1);
	operand("f");
	begin();
	assert_int_equal(say(WBI_ANSWER_HAVE, 1), WB_ERR_MALFORMED); /* before `ready` */
	wbi_file_sender_free(sender);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin();
		ready(false);
		pull();
		assert_int_equal(say(cases[i].kind, cases[i].n), WB_ERR_MALFORMED);
		/* Final, whatever comes. */
		assert_int_equal(say(WBI_ANSWER_WANT, 1), WB_ERR_MALFORMED);
		fault.text[0] = '\0';
		assert_int_equal(wbi_file_sender_fill(sender, out, sizeof(out), &bytes, &fault),
				 WB_ERR_MALFORMED);
		assert_int_not_equal(fault.text[0], '\0');
		wbi_file_sender_free(sender);
	}
	begin();
	assert_int_equal(wbi_file_sender_answer(sender, "\xff\xff\xff\xff", 4, &consumed, &fault),
			 WB_ERR_LIMIT);
	wbi_file_sender_free(sender);
	/* The same offer, answered twice. */
	begin();
	ready(false);
	pull();
	assert_int_equal(say(WBI_ANSWER_WANT, 1), WB_OK);
	assert_int_equal(say(WBI_ANSWER_WANT, 1), WB_ERR_MALFORMED);
}

/* A receiver that gives up ends it, in the middle of a file as well. */
static void test_gives_up(void **state)
{
	uint64_t n = offered_large(4 * MIB);
	struct wbi_answer answer;
	uint8_t *out = malloc(ROOM);
	size_t bytes;

	(void)state;
	assert_int_equal(say(WBI_ANSWER_WANT, n), WB_OK);
	assert_int_equal(wbi_file_sender_fill(sender, out, ROOM, &bytes, NULL), WB_OK);
	wbi_answer_init(&answer, WBI_ANSWER_FAILED);
	answer.n = n;
	strcpy(answer.error, "no-space");
	strcpy(answer.text, "f: No space left on device");
	assert_int_equal(say_payload(&answer, NULL), WB_OK);
	wbi_answer_init(&answer, WBI_ANSWER_FINISHED);
	answer.failed = 1;
	assert_int_equal(say_payload(&answer, NULL), WB_OK);
	assert_true(wbi_file_sender_done(sender));
	assert_int_equal(wbi_file_sender_fill(sender, out, ROOM, &bytes, NULL), WB_OK);
	assert_int_equal(bytes, 0);
	assert_int_equal(failures(), 1);
	assert_failed(0, "no-space");
	free(out);
}

static void test_digest_failure(void **state)
{
	struct wbi_answer answer;

	(void)state;
	tree_text(&tree, "f", "x");
	operand("f");
	begin();
	ready(true);
	pull();
	wbi_answer_init(&answer, WBI_ANSWER_FAILED);
	answer.n = 1;
	strcpy(answer.error, "digest");
	strcpy(answer.text, "f: not what was sent");
	strcpy(answer.expected, "00112233445566778899aabbccddeeff");
	strcpy(answer.found, "ffeeddccbbaa99887766554433221100");
	assert_int_equal(say_payload(&answer, NULL), WB_OK);
	assert_failed(0, "digest");
	assert_non_null(strstr(wbi_file_sender_failures(sender)->first[0].text, answer.expected));
	assert_non_null(strstr(wbi_file_sender_failures(sender)->first[0].text, answer.found));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_vanished),
		TEST(test_replaced),
		TEST(test_replaced_by_pipe),
		TEST(test_replaced_quietly),
		TEST(test_longer_than_it_says),
		TEST(test_swapped_for_link),
		TEST(test_shrinks),
		TEST(test_grows),
		TEST(test_touched),
		TEST(test_bad_answers),
		TEST(test_gives_up),
		TEST(test_digest_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
