/* Content that is there already: on the disk before it is said to be, of a file that somebody
 * writes into at that moment, and of one that is somebody else's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "receiver_fixture.h"

#include "files/commit.h"

enum { SMALL = 1000, LARGE = 512 * 1024, NOBODY = 65534, OTHER = 65533 };

static const size_t sizes[] = {SMALL, LARGE};

static struct fixture *f;
static uint8_t *content;

/* ---- a disk that can be watched, and that fails ---- */

static unsigned syncs; /* of the whole file system */
static int fail_sync;

int syncfs(int fd)
{
	syncs++;
	if (fail_sync) {
		errno = fail_sync;
		return -1;
	}
	return (int)syscall(SYS_syncfs, fd);
}

static int set_up(void **state)
{
	(void)state;
	f = fixture_new();
	content = make_content(LARGE, 1);
	syncs = 0;
	fail_sync = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fail_sync = 0;
	free(content);
	fixture_free(f);
	return 0;
}

/* A sender offers small files with their digest, and reads large ones when they are wanted. */
static void offer_content(size_t size)
{
	struct wbi_item *item = offer(f, "file", size);

	if (size == SMALL)
		digest_of(content, size, f->options.digest, item->digest);
	add(f, item, NULL);
	assert_int_equal(run(f), WB_OK);
}

/* All of it as far as the sender is concerned: nothing travels. */
static void send_same(size_t size)
{
	begin(f);
	offer_content(size);
	if (size == SMALL)
		assert_non_null(answer_of(f, WBI_ANSWER_HAVE, 1));
	else
		assert_int_equal(send_wanted(f, 1, content, size), 0);
}

static void is_synced_before_it_is_said(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		f->options.no_fsync = i % 2;
		put_file(path_of(f, "file"), content, sizes[i / 2]);
		send_same(sizes[i / 2]);
		syncs = 0;
		finish(f);
		assert_int_equal(answer_of(f, WBI_ANSWER_FINISHED, 0)->files, 1);
		assert_true(f->options.no_fsync ? syncs == 0 : syncs > 0);
	}
}

/* It is no new file that could be left without its name; but it must not count as saved. */
static void the_disk_does_not_take_it(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		fail_sync = 0;
		put_file(path_of(f, "file"), content, sizes[i]);
		send_same(sizes[i]);
		fail_sync = EIO;
		add_done(f);
		assert_int_equal(run(f), WB_ERR_SYSTEM);
		assert_string_equal(last_error(f), "io");
		assert_null(answer_of(f, WBI_ANSWER_SAVED, 1));
		assert_true(answer_of(f, WBI_ANSWER_FINISHED, 0)->failed > 0);
	}
}

/* Each new one is told of as what it is, and the transfer goes on. */
static void the_disk_does_not_take_new_ones(void **state)
{
	char name[16];

	(void)state;
	begin(f);
	for (unsigned i = 0; i <= WBI_SYNC_EACH_MAX; i++) {
		snprintf(name, sizeof(name), "new%u", i);
		add_text(f, name, "new");
	}
	assert_int_equal(run(f), WB_OK);
	fail_sync = EIO;
	add_done(f);
	assert_int_equal(run(f), WB_OK);
	assert_failed(f, 1, "io");
	assert_int_equal(wbi_file_receiver_failures(f->receiver)->count, WBI_SYNC_EACH_MAX + 1);
	assert_false(exists(path_of(f, "new0")));
}

/* Behind the receiver, which has read it and found it the same. */
static void changed_in_place_after_it_was_read(void **state)
{
	int fd;

	(void)state;
	put_file(path_of(f, "file"), content, LARGE);
	begin(f);
	offer_content(LARGE);
	add(f, piece(WBI_ITEM_COPY, 1, 0, LARGE), NULL);
	assert_int_equal(run(f), WB_OK);
	fd = open(path_of(f, "file"), O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "changed", 7, 0), 7);
	close(fd);
	add_end(f, 1, content, LARGE);
	add_done(f);
	assert_int_equal(run(f), WB_OK);
	assert_failed(f, 1, "changed");
	assert_int_equal(temporaries(f), 0);
	memcpy(content, "changed", 7);
	assert_file(path_of(f, "file"), content, LARGE);
}

/* Its mode and time are not ours to set: the content gets a file of our own. */
static void somebody_else_s(void **state)
{
	struct stat status;

	(void)state;
	if (geteuid() != 0) {
		print_message("SKIPPED: only root can make a file that is somebody else's\n");
		skip();
	}
	assert_int_equal(chmod(f->root, 0755), 0);
	assert_int_equal(chmod(path_of(f, ""), 0777), 0);
	for (unsigned i = 0; i < 2; i++) {
		(void)unlink(path_of(f, "file"));
		put_file(path_of(f, "file"), content, sizes[i]);
		assert_int_equal(chown(path_of(f, "file"), OTHER, OTHER), 0);
		assert_int_equal(seteuid(NOBODY), 0);
		begin(f);
		offer_content(sizes[i]);
		(void)send_wanted(f, 1, content, sizes[i]);
		add_done(f);
		enum wb_err err = run(f);
		assert_int_equal(seteuid(0), 0);
		assert_int_equal(err, WB_OK);
		assert_string_equal(last_error(f), "");
		assert_file(path_of(f, "file"), content, sizes[i]);
		status = status_of(f, "file");
		assert_int_equal(status.st_uid, NOBODY);
		assert_int_equal(status.st_mtim.tv_sec, 1000000000);
		assert_int_equal(temporaries(f), 0);
	}
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH(is_synced_before_it_is_said),
		WITH(the_disk_does_not_take_it),
		WITH(the_disk_does_not_take_new_ones),
		WITH(changed_in_place_after_it_was_read),
		WITH(somebody_else_s),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
