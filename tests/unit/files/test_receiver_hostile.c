/* The receiver with a sender that means ill: each thing is one clear error, and changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "receiver_fixture.h"

enum { MIB = 1 << 20, BLOCK = 128 * 1024 };

static struct fixture *f;
static uint8_t *content; /* MIB of it */

static int set_up(void **state)
{
	(void)state;
	f = fixture_new();
	content = make_content(MIB, 1);
	assert_int_equal(mkdir(path_of(f, "../outside"), 0755), 0);
	put_file(path_of(f, "../outside/safe"), "safe", 4);
	put_file(path_of(f, "old"), "old", 3);
	put_file(path_of(f, "big"), content, MIB);
	return 0;
}

/* Nothing outside was touched. */
static void assert_safe(void)
{
	struct stat status = status_of(f, "../outside");

	assert_text(f, "../outside/safe", "safe");
	assert_int_equal(status.st_nlink, 2);
	assert_int_equal(status_of(f, "../outside/safe").st_nlink, 1);
	assert_false(exists(path_of(f, "../x")));
	assert_false(exists(path_of(f, "../outside/x")));
	assert_text(f, "old", "old");
}

static int tear_down(void **state)
{
	(void)state;
	assert_safe();
	free(content);
	fixture_free(f);
	return 0;
}

/* What was added ends the transfer, and goes on ending it. */
static void assert_ends(enum wb_err err, const char *error)
{
	size_t consumed;

	assert_int_equal(run(f), err);
	assert_string_equal(last_error(f), error);
	assert_true(strlen(f->fault.text) > 0);
	assert_false(wbi_file_receiver_done(f->receiver));
	assert_non_null(answer_of(f, WBI_ANSWER_FAILED, 0));
	assert_true(answer_of(f, WBI_ANSWER_FINISHED, 0)->failed > 0);
	assert_int_equal(wbi_file_receiver_take(f->receiver, "x", 1, &consumed, NULL), err);
	wbi_file_receiver_free(f->receiver);
	f->receiver = NULL;
	assert_safe();
}

static void assert_bad(const char *error)
{
	assert_ends(WB_ERR_MALFORMED, error);
}

static void names_that_lead_elsewhere(void **state)
{
	static const char *const bad[] = {
		"..", "../x", "/x",           "a/../../x", "a/..", ".",     "./x",  "a//x",
		"a/", "/",    "../outside/x", "//x",       "a/.",  "..//x", "a/./", "../in/../x",
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		begin(f);
		add_text(f, bad[i], "evil");
		assert_bad("name");
		if (strcmp(bad[i], ".")) { /* a folder may be the target itself */
			begin(f);
			add_dir(f, bad[i]);
			assert_bad("name");
		}
		begin(f);
		add_link(f, bad[i], "x");
		assert_bad("name");
		begin(f);
		add(f, offer(f, bad[i], 5), NULL);
		assert_bad("name");
	}
}

static void names_too_long_or_too_deep(void **state)
{
	char name[WBI_ITEM_NAME_MAX + 1];

	(void)state;
	memset(name, 'n', 256);
	name[256] = '\0';
	begin(f);
	add_text(f, name, "x");
	assert_bad("name");
	for (unsigned i = 0; i < 257; i++)
		memcpy(name + 2 * i, "a/", 2);
	name[2 * 257 - 1] = '\0';
	begin(f);
	add_text(f, name, "x");
	assert_bad("name");
}

/* As deep as it may be, and nothing is left behind. */
static void deep_tree(void **state)
{
	char name[2 * 256];

	(void)state;
	begin(f);
	for (unsigned depth = 1; depth < 256; depth++) {
		if (depth > 1)
			name[2 * depth - 3] = '/';
		memcpy(name + 2 * (depth - 1), "a", 2);
		add_dir(f, name);
	}
	name[2 * 255 - 1] = '/';
	strcpy(name + 2 * 255, "f");
	add_text(f, name, "deep");
	for (unsigned depth = 255; depth > 0; depth--) {
		name[2 * depth - 1] = '\0';
		add_dir_end(f, name);
	}
	finish(f);
	name[2 * 255 - 1] = '/';
	for (unsigned depth = 1; depth < 255; depth++)
		name[2 * depth - 1] = '/';
	assert_text(f, name, "deep");
}

static void temporaries_names_are_reserved(void **state)
{
	(void)state;
	begin(f);
	add_link(f, ".waybill-0123456789abcdef0123456789abcdef.part", "../outside/safe");
	add_text(f, ".waybill-0123456789abcdef0123456789abcde0.part", "x");
	add_done(f);
	assert_int_equal(run(f), WB_OK);
	assert_failed(f, 1, "reserved");
	assert_failed(f, 2, "reserved");
	assert_int_equal(temporaries(f), 0);
}

static void through_a_link_that_was_sent(void **state)
{
	(void)state;
	begin(f);
	add_link(f, "door", "../outside");
	add_text(f, "door/x", "evil");
	assert_bad("order");
	begin(f);
	add_link(f, "door2", "../outside");
	add_dir(f, "door2");
	assert_bad("duplicate");
	/* A link that was there: made by an earlier transfer, say. */
	begin(f);
	add_dir(f, "door");
	add_text(f, "door/x", "evil");
	add(f, offer(f, "door/safe", 4), NULL);
	add_dir_end(f, "door");
	add_done(f);
	assert_int_equal(run(f), WB_OK);
	assert_failed(f, 1, "not-a-folder");
	assert_failed(f, 2, "parent");
	assert_failed(f, 3, "parent");
}

static void folder_becomes_a_link_meanwhile(void **state)
{
	char name[32];

	(void)state;
	assert_int_equal(mkdir(path_of(f, "d"), 0755), 0);
	begin(f);
	add_dir(f, "d");
	add(f, offer(f, "d/x", 4), NULL);
	assert_int_equal(run(f), WB_OK);
	assert_int_equal(rename(path_of(f, "d"), path_of(f, "moved")), 0);
	assert_int_equal(symlink("../outside", path_of(f, "d")), 0);
	add_dir_end(f, "d");
	/* So many others that the descriptor of d is given up. */
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "other%d", i);
		add_dir(f, name);
		add_dir_end(f, name);
	}
	add_data(f, 2, content, 0, 4);
	add_end(f, 2, content, 4);
	add_done(f);
	assert_int_equal(run(f), WB_OK);
	assert_true(wbi_file_receiver_failures(f->receiver)->count > 0);
	assert_false(exists(path_of(f, "d/x")));
}

static void old_file_is_a_link_out(void **state)
{
	(void)state;
	assert_int_equal(symlink("../outside/safe", path_of(f, "door")), 0);
	begin(f);
	offer(f, "door", 4);
	digest_of("safe", 4, WB_DIGEST_XXH128, scratch.digest);
	scratch.mode = 0777;
	add(f, &scratch, NULL);
	assert_int_equal(run(f), WB_OK);
	assert_non_null(answer_of(f, WBI_ANSWER_WANT, 1));
	add_data(f, 1, (const uint8_t *)"safe", 0, 4);
	add_end(f, 1, "safe", 4);
	finish(f);
	assert_int_equal(status_of(f, "../outside/safe").st_mode & 0777, 0644);
	assert_text(f, "door", "safe");
}

static void wrong_numbers(void **state)
{
	(void)state;
	begin(f);
	add_text(f, "a", "x");
	f->n = 0;
	add_text(f, "b", "x");
	assert_bad("order");
	begin(f);
	f->n = UINT64_MAX;
	add_text(f, "a", "x"); /* 0 */
	assert_bad("order");
	begin(f);
	add_text(f, "a", "x");
	add_text(f, "a", "y");
	assert_bad("duplicate");
	assert_text(f, "a", "x");
}

static void wrong_order(void **state)
{
	(void)state;
	begin(f);
	add_text(f, "d/a", "x");
	assert_bad("order");
	begin(f);
	add_dir(f, "d");
	add_dir(f, "d2");
	assert_bad("order");
	begin(f);
	add_dir(f, "e");
	add_text(f, "ef/x", "x"); /* the same letters, another folder */
	assert_bad("order");
	begin(f);
	add_dir(f, "k");
	add_text(f, "l/x", "x"); /* as long a name, another folder */
	assert_bad("order");
	begin(f);
	add_dir_end(f, "d");
	assert_bad("order");
	begin(f);
	add_dir(f, "g");
	add_dir_end(f, "h");
	assert_bad("order");
	begin(f);
	add_dir(f, "i");
	add_done(f);
	assert_bad("order");
	begin(f);
	add(f, offer(f, "new", MIB), NULL);
	add_done(f);
	assert_bad("order");
	begin(f);
	add_done(f);
	add_text(f, "late", "x");
	assert_bad("order");
}

static void content_out_of_order(void **state)
{
	(void)state;
	begin(f);
	add_data(f, 1, content, 0, 10);
	assert_bad("order"); /* of nothing that was offered */
	begin(f);
	add(f, offer(f, "new", MIB), NULL);
	add_data(f, 1, content, 0, 10); /* before `want` was said */
	assert_bad("order");
	begin(f);
	add(f, offer(f, "new", MIB), NULL);
	assert_int_equal(run(f), WB_OK);
	add_data(f, 1, content, 10, 20);
	assert_bad("order");
	begin(f);
	add(f, offer(f, "new", MIB), NULL);
	add(f, offer(f, "new2", MIB), NULL);
	assert_int_equal(run(f), WB_OK);
	add_data(f, 1, content, 0, 10);
	add_data(f, 2, content, 0, 10);
	assert_bad("order");
	begin(f);
	add(f, offer(f, "new", MIB), NULL);
	assert_int_equal(run(f), WB_OK);
	add_data(f, 1, content, 0, 10);
	add_data(f, 1, content, 0, 10);
	assert_bad("order");
}

static void wrong_sizes(void **state)
{
	(void)state;
	begin(f);
	small(f, "new", "x", 1)->size = 2;
	add(f, &scratch, "x");
	assert_bad("size");
	begin(f);
	add(f, offer(f, "new", 10), NULL);
	assert_int_equal(run(f), WB_OK);
	add_data(f, 1, content, 0, 11);
	assert_bad("size");
	begin(f);
	add(f, offer(f, "new", 10), NULL);
	assert_int_equal(run(f), WB_OK);
	add_data(f, 1, content, 0, 9);
	add_end(f, 1, content, 10);
	assert_bad("size");
	begin(f);
	add(f, offer(f, "new", 10), NULL);
	assert_int_equal(run(f), WB_OK);
	add_end(f, 1, content, 10); /* an end without data */
	assert_bad("size");
	begin(f);
	add(f, offer(f, "new", 10), NULL);
	assert_int_equal(run(f), WB_OK);
	add_data(f, 1, content, 0, 9);
	add_end(f, 1, content, 9);
	assert_bad("size");
	assert_false(exists(path_of(f, "new")));
}

static void holes_that_overflow(void **state)
{
	static const uint64_t bytes[] = {11, WB_INTEGER_MAX};

	(void)state;
	for (int i = 0; i < 2; i++) {
		begin(f);
		add(f, offer(f, "new", 10), NULL);
		assert_int_equal(run(f), WB_OK);
		add(f, piece(WBI_ITEM_HOLE, 1, 0, bytes[i]), NULL);
		assert_bad("size");
	}
	begin(f);
	offer(f, "new", 0)->has_size = false;
	add(f, &scratch, NULL);
	assert_int_equal(run(f), WB_OK);
	add_data(f, 1, content, 0, 10);
	add(f, piece(WBI_ITEM_HOLE, 1, 10, WB_INTEGER_MAX), NULL);
	assert_bad("size");
}

/* A hole of petabytes takes a while: the owner gets its thread back, and ends it. */
static void endless_hole(void **state)
{
	size_t consumed;
	struct wbi_slice held;

	(void)state;
	begin(f);
	add(f, offer(f, "new", WB_INTEGER_MAX), NULL);
	assert_int_equal(run(f), WB_OK);
	add(f, piece(WBI_ITEM_HOLE, 1, 0, WB_INTEGER_MAX), NULL);
	held = wbi_buf_peek(&f->input);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(
			wbi_file_receiver_take(f->receiver, held.data, held.bytes, &consumed, NULL),
			WB_OK);
		wbi_buf_consume(&f->input, consumed);
		held = wbi_buf_peek(&f->input);
		assert_true(wbi_file_receiver_busy(f->receiver));
	}
}

static void copy_outside_the_basis(void **state)
{
	(void)state;
	begin(f);
	add(f, offer(f, "new", MIB), NULL);
	assert_int_equal(run(f), WB_OK);
	add(f, piece(WBI_ITEM_COPY, 1, 0, 10), NULL);
	assert_bad("basis");
	begin(f);
	add(f, offer(f, "big", 2 * MIB), NULL);
	assert_int_equal(run(f), WB_OK);
	assert_int_equal(answer_of(f, WBI_ANSWER_WANT, 1)->block_count, MIB / BLOCK);
	add(f, piece(WBI_ITEM_COPY, 1, 0, MIB + 1), NULL);
	assert_bad("basis");
	assert_file(path_of(f, "big"), content, MIB);
}

static void too_many_offers(void **state)
{
	char name[32];

	(void)state;
	begin(f);
	for (int i = 0; i <= WBI_ITEM_OFFERS_MAX; i++) {
		snprintf(name, sizeof(name), "o%d", i);
		add(f, offer(f, name, 10), NULL);
	}
	assert_bad("limit");
}

static void hard_links_to_what_was_not_sent(void **state)
{
	static const char *const bad[] = {"old", "../outside/safe", "/etc/passwd", "a/../old", "."};

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		begin(f);
		add_text(f, "a", "x");
		add_hardlink(f, "b", bad[i]);
		assert_bad("link");
	}
	assert_int_equal(status_of(f, "old").st_nlink, 1);
}

/* `to` names a link that was sent: its own second name, never that of what it points to. */
static void hard_link_to_a_link(void **state)
{
	(void)state;
	begin(f);
	add_link(f, "door", "../outside/safe");
	add_hardlink(f, "door2", "door");
	add_dir(f, "d");
	add_hardlink(f, "d/e", "d");
	add_dir_end(f, "d");
	add_done(f);
	assert_int_equal(run(f), WB_OK);
	assert_true(S_ISLNK(status_of(f, "door2").st_mode));
	assert_failed(f, 4, "is-a-folder");
}

static void deleting_outside(void **state)
{
	static const char names[] = "../outside\0..\0.\0/";

	(void)state;
	f->options.delete = true;
	assert_int_equal(mkdir(path_of(f, "d"), 0755), 0);
	assert_int_equal(symlink("../../outside", path_of(f, "d/door")), 0);
	begin(f);
	add_dir(f, "d");
	wbi_item_init(&scratch, WBI_ITEM_DIR_END);
	assert_true(wbi_item_set_name(&scratch, "d", 1));
	scratch.has_listing = true;
	scratch.payload_bytes = sizeof(names);
	add(f, &scratch, names);
	finish(f);
	assert_false(exists(path_of(f, "d/door")));
	begin(f);
	wbi_item_init(&scratch, WBI_ITEM_DIR_END);
	assert_true(wbi_item_set_name(&scratch, "../outside", 10));
	scratch.has_listing = true;
	add(f, &scratch, NULL);
	assert_bad("order");
}

static void names_without_an_end(void **state)
{
	char names[600];

	(void)state;
	f->options.delete = true;
	assert_int_equal(mkdir(path_of(f, "d"), 0755), 0);
	put_file(path_of(f, "d/stays"), "x", 1);
	memset(names, 'n', sizeof(names));
	begin(f);
	add_dir(f, "d");
	wbi_item_init(&scratch, WBI_ITEM_DIR_END);
	assert_true(wbi_item_set_name(&scratch, "d", 1));
	scratch.has_listing = true;
	scratch.payload_bytes = sizeof(names);
	add(f, &scratch, names);
	add_done(f);
	assert_int_equal(run(f), WB_OK);
	assert_failed(f, 1, "listing");
	assert_text(f, "d/stays", "x");
}

static void quotas(void **state)
{
	(void)state;
	f->options.files_max = 2;
	begin(f);
	add_text(f, "a", "x");
	add_dir(f, "d");
	add_text(f, "d/b", "x");
	assert_ends(WB_ERR_REFUSED, "quota-files");
	assert_text(f, "a", "x");
	assert_false(exists(path_of(f, "d/b")));
	f->options.files_max = 100;
	f->options.bytes_max = 5;
	begin(f);
	add_text(f, "a", "123");
	add_text(f, "b", "123");
	assert_ends(WB_ERR_REFUSED, "quota-bytes");
	assert_text(f, "a", "123");
	begin(f);
	add(f, offer(f, "c", WB_INTEGER_MAX), NULL);
	assert_ends(WB_ERR_REFUSED, "quota-bytes");
	begin(f);
	offer(f, "c", 0)->has_size = false;
	add(f, &scratch, NULL);
	assert_int_equal(run(f), WB_OK);
	add_data(f, 1, content, 0, 6);
	assert_ends(WB_ERR_REFUSED, "quota-bytes");
	assert_false(exists(path_of(f, "c")));
}

static void second_thing_for_one_name(void **state)
{
	(void)state;
	begin_at(f, "one");
	add_text(f, "a", "x");
	add_text(f, "b", "y");
	assert_bad("duplicate");
	assert_text(f, "one", "x");
}

static void not_an_item(void **state)
{
	static const char *const bad[] = {"{\"op\":\"nothing\"}", "{}", "[]", "{\"op\":\"data\"}",
					  "{\"op\":\"done\",\"files\":-1,\"bytes\":0}"};

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint8_t head[4] = {(uint8_t)strlen(bad[i])};
		begin(f);
		assert_int_equal(wbi_buf_append(&f->input, head, 4), WB_OK);
		assert_int_equal(wbi_buf_append(&f->input, bad[i], strlen(bad[i])), WB_OK);
		assert_true(run(f) != WB_OK);
		assert_true(wbi_file_receiver_failures(f->receiver)->count > 0);
	}
}

/* What was complete before the end has its name. */
static void what_was_complete_stays(void **state)
{
	(void)state;
	begin(f);
	entry(f, WBI_ITEM_DIR, "d")->mode = 0500;
	add(f, &scratch, NULL);
	add_text(f, "d/a", "x");
	add_text(f, "..", "evil");
	assert_bad("name");
	assert_text(f, "d/a", "x");
	assert_int_equal(status_of(f, "d").st_mode & 0777, 0500);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH(names_that_lead_elsewhere),
		WITH(names_too_long_or_too_deep),
		WITH(deep_tree),
		WITH(temporaries_names_are_reserved),
		WITH(through_a_link_that_was_sent),
		WITH(folder_becomes_a_link_meanwhile),
		WITH(old_file_is_a_link_out),
		WITH(wrong_numbers),
		WITH(wrong_order),
		WITH(content_out_of_order),
		WITH(wrong_sizes),
		WITH(holes_that_overflow),
		WITH(endless_hole),
		WITH(copy_outside_the_basis),
		WITH(too_many_offers),
		WITH(hard_links_to_what_was_not_sent),
		WITH(hard_link_to_a_link),
		WITH(deleting_outside),
		WITH(names_without_an_end),
		WITH(quotas),
		WITH(second_thing_for_one_name),
		WITH(not_an_item),
		WITH(what_was_complete_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
