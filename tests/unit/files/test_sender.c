/* The sender: what entries look like, what operands are called, what is left out, what is outside.
 */
#include "sender_fixture.h"

/* ---- into a fresh target ---- */

static void test_small(void **state)
{
	char hex[WB_DIGEST_HEX_MAX];
	struct seen *file;

	(void)state;
	tree_text(&tree, "hello", "hello\n");
	tree_time(&tree, "hello", 1234567890, 123456789);
	assert_int_equal(fchmodat(tree.fd, "hello", 0751, 0), 0);
	operand("hello");
	begin();
	pull();
	assert_int_equal(seen_count, 0); /* nothing before `ready` */
	ready(true);
	pull();
	assert_int_equal(seen_count, 2);
	file = need(WBI_ITEM_FILE, "hello");
	assert_int_equal(file->item.n, 1);
	assert_int_equal(file->item.size, 6);
	assert_int_equal(file->item.mode, 0751);
	assert_int_equal(file->item.mtime.seconds, 1234567890);
	assert_int_equal(file->item.mtime.nanoseconds, 123456789);
	assert_false(file->item.has_owner);
	assert_memory_equal(file->payload, "hello\n", 6);
	digest_hex("hello\n", 6, hex);
	assert_string_equal(file->item.digest, hex);
	assert_int_equal(need(WBI_ITEM_DONE, NULL)->item.files, 1);
	assert_int_equal(need(WBI_ITEM_DONE, NULL)->item.bytes, 6);
	finish();
	assert_int_equal(failures(), 0);
	assert_int_equal(wbi_file_sender_progress(sender)->bytes_wire, 6);
}

static void test_every_digest(void **state)
{
	(void)state;
	tree_text(&tree, "f", "content");
	operand("f");
	for (int kind = WB_DIGEST_MD5; kind <= WB_DIGEST_XXH128; kind++) {
		char hex[WB_DIGEST_HEX_MAX];

		options.digest = (enum wb_digest_kind)kind;
		begin();
		ready(true);
		pull();
		digest_hex("content", 7, hex);
		assert_string_equal(need(WBI_ITEM_FILE, "f")->item.digest, hex);
		finish();
		forget();
		wbi_file_sender_free(sender);
	}
	sender = NULL;
}

/* Names of which each byte needs six in a header: the head is much longer than the content. */
static void test_odd_names(void **state)
{
	char name[256], path[1024] = "";
	size_t used = 0;

	(void)state;
	memset(name, '\x01', 255);
	name[255] = '\0';
	tree_folder(&tree, "d");
	for (int i = 0; i < 3; i++) {
		used += (size_t)snprintf(path + used, sizeof(path) - used, "%s%s", i ? "/" : "d/",
					 name);
		tree_folder(&tree, path);
	}
	snprintf(path + used, sizeof(path) - used, "/f");
	tree_text(&tree, path, "x");
	tree_text(&tree, "d/\xff\xfe", "y");
	tree_text(&tree, "d/\"\\", "z");
	operand("d");
	begin();
	ready(true);
	pull();
	assert_int_equal(need(WBI_ITEM_FILE, path)->item.payload_bytes, 1);
	assert_memory_equal(need(WBI_ITEM_FILE, "d/\xff\xfe")->payload, "y", 1);
	assert_memory_equal(need(WBI_ITEM_FILE, "d/\"\\")->payload, "z", 1);
	finish();
	assert_int_equal(failures(), 0);
}

static void test_tree(void **state)
{
	static const char *const order[] = {"t", "t/a", "t/l", "t/d", "t/d/f", "t/d", "t", ""};

	(void)state;
	tree_folder(&tree, "t");
	tree_folder(&tree, "t/d");
	tree_text(&tree, "t/a", "");
	tree_text(&tree, "t/d/f", "f");
	assert_int_equal(symlinkat("../../nowhere", tree.fd, "t/l"), 0);
	tree_time(&tree, "t/l", -2, 5);
	tree_time(&tree, "t/d", 77, 1);
	operand("t");
	begin();
	ready(true);
	pull();
	assert_int_equal(seen_count, 8);
	for (unsigned i = 0; i < seen_count; i++)
		assert_string_equal(seen[i].item.name, order[i]);
	assert_int_equal(need(WBI_ITEM_DIR, "t/d")->item.mtime.seconds, 77);
	assert_int_equal(need(WBI_ITEM_DIR, "t/d")->item.mode, 0755);
	assert_string_equal(need(WBI_ITEM_LINK, "t/l")->item.other, "../../nowhere");
	assert_int_equal(need(WBI_ITEM_LINK, "t/l")->item.mtime.seconds, -2);
	assert_false(need(WBI_ITEM_DIR_END, "t/d")->item.has_listing);
	finish();
}

/* How operands are called at the other end. */
static void test_operands(void **state)
{
	static const struct {
		const char *path, *name;
	} cases[] = {
		{"d", "d"}, {"d/", "d"}, {"d///", "d"}, {"d/.", "."}, {"d/e/..", "."}, {"d/e", "e"},
	};

	(void)state;
	tree_folder(&tree, "d");
	tree_folder(&tree, "d/e");
	tree_text(&tree, "d/f", "f");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		options.source_count = 0;
		operand(cases[i].path);
		begin();
		ready(true);
		pull();
		assert_string_equal(need(WBI_ITEM_DIR, NULL)->item.name, cases[i].name);
		if (!strcmp(cases[i].name, "."))
			need(WBI_ITEM_FILE, "f");
		finish();
		assert_int_equal(failures(), 0);
		forget();
		wbi_file_sender_free(sender);
	}
	sender = NULL;
}

/* An operand that is a link is followed; what it is called it is called. */
static void test_link_operand(void **state)
{
	(void)state;
	tree_text(&tree, "f", "content");
	tree_folder(&tree, "d");
	tree_text(&tree, "d/x", "x");
	assert_int_equal(symlinkat("f", tree.fd, "to-file"), 0);
	assert_int_equal(symlinkat("d", tree.fd, "to-folder"), 0);
	assert_int_equal(symlinkat("gone", tree.fd, "to-nothing"), 0);
	operand("to-file");
	operand("to-folder");
	operand("to-nothing");
	begin();
	ready(true);
	pull();
	assert_memory_equal(need(WBI_ITEM_FILE, "to-file")->payload, "content", 7);
	need(WBI_ITEM_DIR, "to-folder");
	need(WBI_ITEM_FILE, "to-folder/x");
	finish();
	assert_int_equal(failures(), 1);
	assert_failed(0, "not-found");
	assert_string_equal(need(WBI_ITEM_ABORT, NULL)->item.error, "not-found");
}

static void test_not_recursive(void **state)
{
	(void)state;
	tree_folder(&tree, "d");
	tree_text(&tree, "f", "f");
	options.recursive = false;
	operand("d");
	operand("f");
	begin();
	ready(true);
	pull();
	need(WBI_ITEM_FILE, "f");
	assert_null(find(WBI_ITEM_DIR, NULL));
	finish();
	assert_int_equal(failures(), 1);
	assert_failed(0, "is-a-folder");
}

static void test_special(void **state)
{
	(void)state;
	tree_folder(&tree, "d");
	assert_int_equal(mkfifoat(tree.fd, "d/pipe", 0600), 0);
	tree_text(&tree, "d/z", "z");
	operand("d");
	operand("d/pipe"); /* opening it does not wait for a writer */
	begin();
	ready(true);
	pull();
	need(WBI_ITEM_FILE, "d/z");
	assert_int_equal(count(WBI_ITEM_ABORT), 2);
	finish();
	assert_int_equal(failures(), 2);
	assert_failed(0, "special");
	assert_failed(1, "special");
}

static void test_excludes(void **state)
{
	static const char *const excludes[] = {"*.o", "/sub/", NULL};

	(void)state;
	tree_folder(&tree, "d");
	tree_folder(&tree, "d/sub");
	tree_text(&tree, "d/sub/x", "");
	tree_text(&tree, "d/a.o", "");
	tree_text(&tree, "d/a.c", "");
	options.excludes = excludes;
	operand("d");
	begin();
	ready(true);
	pull();
	assert_int_equal(count(WBI_ITEM_FILE), 1);
	need(WBI_ITEM_FILE, "d/a.c");
	assert_int_equal(count(WBI_ITEM_DIR), 1);
	finish();
}

static void test_hardlinks(void **state)
{
	(void)state;
	tree_folder(&tree, "d");
	tree_text(&tree, "d/a", "same");
	tree_text(&tree, "d/other", "other");
	assert_int_equal(linkat(tree.fd, "d/a", tree.fd, "d/b", 0), 0);
	assert_int_equal(linkat(tree.fd, "d/a", tree.fd, "d/c", 0), 0);
	operand("d");
	begin();
	ready(true);
	pull();
	assert_int_equal(count(WBI_ITEM_FILE), 2);
	assert_string_equal(need(WBI_ITEM_HARDLINK, "d/b")->item.other, "d/a");
	assert_string_equal(need(WBI_ITEM_HARDLINK, "d/c")->item.other, "d/a");
	finish();
}

static void test_owner(void **state)
{
	struct wbi_item *item;

	(void)state;
	tree_text(&tree, "f", "f");
	options.owner = true;
	operand("f");
	begin();
	ready(true);
	pull();
	item = &need(WBI_ITEM_FILE, "f")->item;
	assert_true(item->has_owner);
	assert_int_equal(item->uid, geteuid());
	assert_int_equal(item->gid, getegid());
	if (geteuid() == 0)
		assert_string_equal(item->user, "root");
	finish();
}

/* ---- beneath a root ---- */

static void test_confined(void **state)
{
	static const struct {
		const char *path, *found, *error;
	} cases[] = {
		{"/inside", "inside", NULL},
		{"inside", "inside", NULL},
		{"///inside", "inside", NULL},
		{"good", "good", NULL}, /* a link that stays inside is followed */
		{"d", "d/f", NULL},
		{"../outside", NULL, "outside"},
		{"/../outside", NULL, "outside"},
		{"d/../../outside", NULL, "outside"},
		{"bad", NULL, "outside"},
		{"absolute", NULL, "outside"},
		{"up/outside", NULL, "outside"},
		{"nothing", NULL, "not-found"},
	};
	struct tree root = {.fd = -1};

	(void)state;
	tree_text(&tree, "outside", "secret");
	tree_folder(&tree, "root");
	root.fd = openat(tree.fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	tree_text(&root, "inside", "inside");
	tree_folder(&root, "d");
	tree_text(&root, "d/f", "f");
	assert_int_equal(symlinkat("inside", root.fd, "good"), 0);
	assert_int_equal(symlinkat("../outside", root.fd, "bad"), 0);
	assert_int_equal(symlinkat("/etc/passwd", root.fd, "absolute"), 0);
	assert_int_equal(symlinkat("..", root.fd, "up"), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		options.root = root.fd;
		options.source_count = 1;
		sources[0] = (struct wbi_file_source){.path = cases[i].path, .stream = -1};
		begin();
		ready(true);
		pull();
		if (cases[i].found)
			need(WBI_ITEM_FILE, cases[i].found);
		else
			assert_int_equal(count(WBI_ITEM_FILE), 0);
		finish();
		assert_int_equal(failures(), cases[i].error != NULL);
		if (cases[i].error)
			assert_failed(0, cases[i].error);
		forget();
		wbi_file_sender_free(sender);
	}
	sender = NULL;
	close(root.fd);
}

/* Between the offer and the content a folder on the way becomes a link out. */
static void test_swapped(void **state)
{
	uint64_t n;

	(void)state;
	tree_folder(&tree, "d");
	tree_folder(&tree, "d/e");
	tree_noise_file(&tree, "d/e/f", MIB, 12);
	operand("d");
	begin();
	ready(true);
	pull();
	n = need(WBI_ITEM_OFFER, "d/e/f")->item.n;
	assert_int_equal(renameat(tree.fd, "d/e", tree.fd, "elsewhere"), 0);
	assert_int_equal(symlinkat("../elsewhere", tree.fd, "d/e"), 0);
	assert_int_equal(say(WBI_ANSWER_WANT, n), WB_OK);
	pull();
	assert_int_equal(count(WBI_ITEM_DATA), 0);
	need(WBI_ITEM_ABORT, NULL);
	finish();
	assert_int_equal(failures(), 1);
}

/* ---- what is in a folder ---- */

static void check_listing(const char *folder, const char *names, size_t bytes)
{
	struct seen *end = need(WBI_ITEM_DIR_END, folder);

	assert_true(end->item.has_listing);
	assert_int_equal(end->item.payload_bytes, bytes);
	if (bytes)
		assert_memory_equal(end->payload, names, bytes);
}

static void test_listing(void **state)
{
	static const char *const excludes[] = {"x", NULL};

	(void)state;
	tree_folder(&tree, "d");
	tree_folder(&tree, "d/e");
	tree_text(&tree, "d/x", "");
	options.delete = true;
	options.excludes = excludes;
	operand("d");
	begin();
	ready(true);
	pull();
	check_listing("d/e", "", 0);
	assert_int_equal(need(WBI_ITEM_DIR_END, "d")->item.payload_bytes, 4);
	finish();
}

/* The target itself is a folder like others. */
static void test_listing_of_target(void **state)
{
	(void)state;
	tree_folder(&tree, "d");
	tree_text(&tree, "d/x", "");
	options.delete = true;
	operand("d/.");
	begin();
	ready(true);
	pull();
	check_listing(".", "x", 2);
	finish();
}

static void test_duplicates(void **state)
{
	(void)state;
	tree_folder(&tree, "d");
	tree_text(&tree, "d/x", "");
	tree_text(&tree, "x", "");
	operand("x");
	operand("d/x");
	operand("d/.");
	begin();
	ready(true);
	pull();
	assert_int_equal(count(WBI_ITEM_FILE), 1);
	finish();
	assert_int_equal(failures(), 2);
	assert_failed(0, "duplicate");
	assert_failed(1, "duplicate");
}

/* A listing longer than any room goes on in the next fill. */
static void test_long_listing(void **state)
{
	enum { FILES = 1500, BYTES = 200 };
	char name[BYTES + 12];

	(void)state;
	tree_folder(&tree, "d");
	tree_folder(&tree, "d/s");
	for (int i = 0; i < FILES; i++) {
		memset(name, 'n', sizeof(name));
		snprintf(name + BYTES - 5, sizeof(name) - BYTES + 5, "%04d", i);
		memcpy(name, "d/s/", 4);
		tree_text(&tree, name, "");
	}
	options.delete = true;
	room = WBI_FILE_ROOM_MIN;
	operand("d");
	begin();
	ready(true);
	pull();
	assert_int_equal(need(WBI_ITEM_DIR_END, "d/s")->item.payload_bytes, FILES * (BYTES - 4));
	finish();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_small),         TEST(test_every_digest), TEST(test_odd_names),
		TEST(test_tree),          TEST(test_operands),     TEST(test_link_operand),
		TEST(test_not_recursive), TEST(test_special),      TEST(test_excludes),
		TEST(test_hardlinks),     TEST(test_owner),        TEST(test_confined),
		TEST(test_swapped),       TEST(test_listing),      TEST(test_listing_of_target),
		TEST(test_duplicates),    TEST(test_long_listing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
