/* Folders that are new, and others who are in the way: folders of theirs, closed ones, with owners,
 * bits and lists of their own; file systems with ways of their own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "receiver_fixture.h"

#include "files/temporary.h"

enum { MIB = 1 << 20, NOBODY = 65534, DEPTH = 100 };

static struct fixture *f;

static int set_up(void **state)
{
	(void)state;
	f = fixture_new();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fixture_free(f);
	return 0;
}

static void make_folder(const char *name, mode_t mode)
{
	assert_int_equal(mkdir(path_of(f, name), 0700), 0);
	assert_int_equal(chmod(path_of(f, name), mode), 0);
}

static void add_closed_dir(const char *name, uint32_t mode)
{
	entry(f, WBI_ITEM_DIR, name)->mode = mode;
	add(f, &scratch, NULL);
}

/* Ends it where it may have failed. */
static void run_to_end(void)
{
	add_done(f);
	(void)run(f);
	assert_non_null(answer_of(f, WBI_ANSWER_FINISHED, 0));
}

static uint64_t finished_files(void)
{
	return answer_of(f, WBI_ANSWER_FINISHED, 0)->files;
}

static const char *joined(const char *folder, const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void find_hidden(char out[WBI_TEMPORARY_NAME_MAX])
{
	DIR *listing = opendir(path_of(f, ""));
	struct dirent *found;

	assert_non_null(listing);
	out[0] = '\0';
	while ((found = readdir(listing)))
		if (wbi_temporary_is(found->d_name))
			memcpy(out, found->d_name, WBI_TEMPORARY_NAME_MAX);
	closedir(listing);
	assert_true(out[0]);
}

static void put_in(const char *folder, const char *name, const char *text)
{
	put_file(path_of(f, joined(folder, name)), text, strlen(text));
}

/* become: what it is in the child only. */
static void in_child(bool (*become)(void), void (*what)(void))
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		if (!become())
			_exit(2);
		what();
		wbi_file_receiver_free(f->receiver);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static bool become_nobody(void)
{
	return setgid(NOBODY) == 0 && setuid(NOBODY) == 0;
}

/* renameat2(2) with a flag fails, as on file systems that know none. */
static bool forbid_rename_flags(void)
{
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[4])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(steps) / sizeof(*steps), steps};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static void without_rename_flags(void)
{
	static const char *const names[] = {"free", "empty", "theirs", "file"};
	char path[32];

	begin(f);
	for (int i = 0; i < 4; i++) {
		add_dir(f, names[i]);
		snprintf(path, sizeof(path), "%s/one", names[i]);
		add_text(f, path, "1");
		add_dir_end(f, names[i]);
	}
	assert_int_equal(run(f), WB_OK);
	make_folder("empty", 0755);
	make_folder("theirs", 0755);
	put_file(path_of(f, "theirs/two"), "2", 1);
	put_file(path_of(f, "file"), "a file", 6);
	run_to_end();
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/one", names[i]);
		assert_text(f, path, "1");
	}
	assert_text(f, "theirs/two", "2");
	assert_text(f, "file", "a file");
	assert_failed(f, 7, "not-a-folder");
	assert_int_equal(finished_files(), 6);
}

static void file_systems_that_may_replace(void **state)
{
	(void)state;
	in_child(forbid_rename_flags, without_rename_flags);
}

/* Not root: a folder that is closed can be neither moved nor moved into. */
static void as_nobody(void (*what)(void))
{
	if (geteuid() != 0) {
		print_message("only root can become somebody else\n");
		skip();
	}
	assert_int_equal(chown(f->root, NOBODY, NOBODY), 0);
	assert_int_equal(chown(path_of(f, ""), NOBODY, NOBODY), 0);
	in_child(become_nobody, what);
}

static void add_closed_tree(void)
{
	begin(f);
	add_closed_dir("d", 0555);
	add_closed_dir("d/mine", 0555);
	add_dir_end(f, "d/mine");
	add_closed_dir("d/deep", 0555);
	add_text(f, "d/deep/one", "1");
	add_dir_end(f, "d/deep");
	add_dir_end(f, "d");
	assert_int_equal(run(f), WB_OK);
}

static void merge_closed(void)
{
	add_closed_tree();
	make_folder("d", 0755);
	make_folder("d/deep", 0555);
	assert_int_equal(chmod(path_of(f, "d"), 0555), 0);
	finish(f);
	assert_int_equal(wbi_file_receiver_failures(f->receiver)->count, 0);
	assert_int_equal(finished_files(), 4);
	assert_text(f, "d/deep/one", "1");
	assert_int_equal(status_of(f, "d").st_mode & 07777, 0555);
	assert_int_equal(status_of(f, "d/deep").st_mode & 07777, 0555);
	assert_int_equal(status_of(f, "d/mine").st_mode & 07777, 0555);
	assert_int_equal(status_of(f, "d/mine").st_mtim.tv_sec, 1000000000);
}

static void closed_folders_merge(void **state)
{
	(void)state;
	as_nobody(merge_closed);
}

/* Somebody else makes the same folders, deeper than there are descriptors. */
static void deep_folders_merge(void **state)
{
	char name[2 * DEPTH + 8] = "d", file[2 * DEPTH + 16];
	struct rlimit before, few;

	(void)state;
	begin(f);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = 30;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (int i = 0; i < DEPTH; i++) {
		add_dir(f, name);
		snprintf(file, sizeof(file), "%s/one", name);
		add_text(f, file, "1");
		strcat(name, "/d");
	}
	for (size_t bytes = strlen(name) - 2; bytes < sizeof(name); bytes -= 2) {
		name[bytes] = '\0';
		add_dir_end(f, name);
	}
	assert_int_equal(run(f), WB_OK);
	for (int i = 0; i < DEPTH; i++) {
		make_folder(name, 0755);
		strcat(name, "/d");
	}
	finish(f);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(wbi_file_receiver_failures(f->receiver)->count, 0);
	assert_text(f, file, "1");
	assert_int_equal(finished_files(), 2 * DEPTH);
}

/* A merge that cannot go on says where. */
static void what_is_in_the_way_is_named(void **state)
{
	const struct wbi_answer *failed;

	(void)state;
	begin(f);
	add_dir(f, "d");
	add_dir(f, "d/sub");
	add_text(f, "d/sub/file", "mine");
	add_dir_end(f, "d/sub");
	add_dir_end(f, "d");
	assert_int_equal(run(f), WB_OK);
	make_folder("d", 0755);
	make_folder("d/sub", 0755);
	make_folder("d/sub/file", 0755);
	add_done(f);
	assert_int_equal(run(f), WB_OK);
	failed = answer_of(f, WBI_ANSWER_FAILED, 1);
	assert_non_null(failed);
	assert_string_equal(failed->text, "d/sub/file: Is a directory");
	assert_int_equal(finished_files(), 0);
	assert_int_equal(temporaries(f), 0);
}

static void sweep_closed(void)
{
	int folder = open(path_of(f, ""), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pid_t child = fork();

	assert_true(child >= 0 && folder >= 0);
	if (child == 0) {
		add_closed_tree();
		_exit(0);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(wbi_temporary_sweep(folder, -1), 1);
	assert_int_equal(temporaries(f), 0);
	close(folder);
}

static void closed_folders_are_swept(void **state)
{
	(void)state;
	as_nobody(sweep_closed);
}

/* Whose it was before, its owner and set-group-ID bit: a transfer without owners leaves them, one
 * with owners sets them. */
static void folders_of_others_keep_what_is_theirs(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		print_message("only root can give folders away\n");
		skip();
	}
	for (int owner = 0; owner < 2; owner++) {
		f->options.owner = owner;
		begin(f);
		for (int deep = 0; deep < 2; deep++) {
			entry(f, WBI_ITEM_DIR, deep ? "d/deep" : "d")->mode = 0750;
			scratch.has_owner = owner;
			scratch.uid = scratch.gid = 1234;
			add(f, &scratch, NULL);
		}
		add_dir_end(f, "d/deep");
		assert_int_equal(run(f), WB_OK);
		make_folder("d", 02775);
		make_folder("d/deep", 02775);
		assert_int_equal(chown(path_of(f, "d"), NOBODY, NOBODY), 0);
		assert_int_equal(chown(path_of(f, "d/deep"), NOBODY, NOBODY), 0);
		put_file(path_of(f, "d/deep/theirs"), "theirs", 6);
		add_dir_end(f, "d");
		finish(f);
		for (int deep = 0; deep < 2; deep++) {
			struct stat status = status_of(f, deep ? "d/deep" : "d");
			assert_int_equal(status.st_uid, owner ? 1234 : NOBODY);
			assert_int_equal(status.st_gid, owner ? 1234 : NOBODY);
			assert_int_equal(status.st_mode & 07777, owner ? 0750 : 02750);
		}
		nftw(path_of(f, "d"), remove_one, 16, FTW_PHYS | FTW_DEPTH);
	}
}

/* What somebody else has there counts as old from then on. */
static void what_is_in_the_others_folder_is_looked_at(void **state)
{
	(void)state;
	f->options.update = true;
	begin(f);
	add_dir(f, "d");
	assert_int_equal(run(f), WB_OK);
	make_folder("d", 0755);
	put_file(path_of(f, "d/newer"), "newer", 5);
	add(f, offer(f, "d/large", 8 * MIB), NULL);
	add(f, offer(f, "d/newer", 7), NULL);
	assert_int_equal(run(f), WB_OK);
	assert_non_null(answer_of(f, WBI_ANSWER_WANT, 2));
	assert_non_null(answer_of(f, WBI_ANSWER_SKIP, 3));
	assert_text(f, "d/newer", "newer");
}

static void nothing_is_asked_for_a_lost_folder(void **state)
{
	(void)state;
	begin(f);
	add_dir(f, "d");
	assert_int_equal(run(f), WB_OK);
	put_file(path_of(f, "d"), "a file", 6);
	add(f, offer(f, "d/large", 8 * MIB), NULL);
	add(f, offer(f, "d/other", 10), NULL);
	add_dir_end(f, "d");
	run_to_end();
	assert_null(answer_of(f, WBI_ANSWER_WANT, 0));
	assert_failed(f, 1, "not-a-folder");
	assert_failed(f, 2, "not-a-folder");
	assert_failed(f, 3, "parent");
	assert_int_equal(finished_files(), 0);
}

/* One whose size nobody knows may be large. */
static void a_stream_is_found_again(void **state)
{
	(void)state;
	begin(f);
	add_dir(f, "d");
	offer(f, "d/stream", 0)->has_size = false;
	add(f, &scratch, NULL);
	assert_int_equal(run(f), WB_OK);
	assert_true(exists(path_of(f, "d")));
}

/* More levels than descriptors are held: each is found again, under the name that it has then. */
static void more_levels_than_descriptors(void **state)
{
	enum { LEVELS = 80 };
	char path[LEVELS * 2 + 8] = "d";
	size_t bytes = 1;

	(void)state;
	begin(f);
	add_dir(f, path);
	for (int i = 1; i < LEVELS; i++, bytes += 2) {
		memcpy(path + bytes, "/d", 3);
		add_dir(f, path);
	}
	for (int i = 0; i < LEVELS; i++, bytes -= 2) {
		path[bytes] = '\0';
		memcpy(path + bytes, "/f", 3);
		add_text(f, path, "text");
		path[bytes] = '\0';
		add_dir_end(f, path);
		if (i == LEVELS / 2) {
			assert_int_equal(run(f), WB_OK);
			assert_false(exists(path_of(f, "d")));
		}
	}
	finish(f);
	assert_int_equal(wbi_file_receiver_failures(f->receiver)->count, 0);
	assert_int_equal(finished_files(), 2 * LEVELS);
	assert_text(f, "d/d/d/f", "text");
	assert_int_equal(status_of(f, "d/d/d").st_mtim.tv_sec, 1000000000);
}

/* What was known of our folder's ACL is not so of the others'. */
static void the_others_folder_has_an_acl(void **state)
{
	/* acl(5): owner all, user 1234 all, group and mask all, others none. */
	static const struct acl {
		uint32_t version;
		struct {
			uint16_t tag, rights;
			uint32_t id;
		} entries[5];
	} acl = {2, {{1, 7, ~0U}, {2, 7, 1234}, {4, 7, ~0U}, {16, 7, ~0U}, {32, 0, ~0U}}};

	(void)state;
	begin(f);
	add_dir(f, "d");
	add_text(f, "d/one", "1");
	assert_int_equal(run(f), WB_OK);
	make_folder("d", 0755);
	if (setxattr(path_of(f, "d"), "system.posix_acl_default", &acl, sizeof(acl), 0) != 0) {
		print_message("no ACLs on the file system of /tmp\n");
		skip();
	}
	add(f, offer(f, "d/large", 8 * MIB), NULL);
	assert_int_equal(run(f), WB_OK);
	add_text(f, "d/two", "2");
	wbi_item_init(&scratch, WBI_ITEM_ABORT);
	scratch.n = 3;
	add(f, &scratch, NULL);
	add_dir_end(f, "d");
	run_to_end();
	assert_int_equal(status_of(f, "d/two").st_mode & 07777, 0644);
}

/* As file systems do it to which two names are one: the last one gets it. */
static void names_that_are_one(void **state)
{
	char hidden[WBI_TEMPORARY_NAME_MAX];
	uint8_t *content = make_content(MIB, 4);

	(void)state;
	for (int round = 0; round < 2; round++) {
		f->options.no_fsync = round;
		begin(f);
		add_dir(f, "d");
		assert_int_equal(run(f), WB_OK);
		find_hidden(hidden);
		put_in(hidden, "file", "first");
		put_in(hidden, "link", "first");
		assert_int_equal(mkdir(path_of(f, joined(hidden, "deep")), 0755), 0);
		put_in(hidden, "deep/stays", "stays");
		put_file(path_of(f, joined(hidden, "deep/big")), content, MIB);
		add_text(f, "d/file", "last");
		add_link(f, "d/link", "file");
		add_dir(f, "d/deep");
		add_text(f, "d/deep/more", "more");
		add(f, offer(f, "d/deep/big", MIB), NULL);
		assert_int_equal(run(f), WB_OK);
		content[MIB - 1]++;
		assert_true(send_wanted(f, f->n, content, MIB) < MIB);
		add_dir_end(f, "d/deep");
		add_dir_end(f, "d");
		if (round) {
			put_file(path_of(f, "d"), "a file", 6);
			run_to_end();
			for (uint64_t n = 1; n <= 6; n++)
				assert_failed(f, n, "not-a-folder");
			assert_int_equal(finished_files(), 0);
			break;
		}
		finish(f);
		assert_text(f, "d/file", "last");
		assert_true(S_ISLNK(status_of(f, "d/link").st_mode));
		assert_text(f, "d/deep/stays", "stays");
		assert_text(f, "d/deep/more", "more");
		assert_file(path_of(f, "d/deep/big"), content, MIB);
		assert_int_equal(finished_files(), 6);
		nftw(path_of(f, "d"), remove_one, 16, FTW_PHYS | FTW_DEPTH);
	}
	free(content);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH(file_systems_that_may_replace),
		WITH(closed_folders_merge),
		WITH(deep_folders_merge),
		WITH(what_is_in_the_way_is_named),
		WITH(closed_folders_are_swept),
		WITH(folders_of_others_keep_what_is_theirs),
		WITH(what_is_in_the_others_folder_is_looked_at),
		WITH(nothing_is_asked_for_a_lost_folder),
		WITH(a_stream_is_found_again),
		WITH(more_levels_than_descriptors),
		WITH(the_others_folder_has_an_acl),
		WITH(names_that_are_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
