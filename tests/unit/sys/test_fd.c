/* Descriptors: their flags, temporary files, and moving whole buffers. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/fd.h"

static bool is_close_on_exec(int fd)
{
	return fcntl(fd, F_GETFD) & FD_CLOEXEC;
}

static bool is_non_blocking(int fd)
{
	return fcntl(fd, F_GETFL) & O_NONBLOCK;
}

static void test_close_is_safe_to_repeat(void **state)
{
	int fd = dup(0);
	int closed = fd;
	(void)state;

	assert_true(fd >= 0);
	wbi_fd_close(&fd);
	assert_int_equal(fd, -1);
	assert_int_equal(fcntl(closed, F_GETFD), -1);
	wbi_fd_close(&fd);
}

static void test_pipe_flags(void **state)
{
	int reader, writer;
	(void)state;

	assert_int_equal(wbi_fd_pipe(&reader, &writer, NULL), WB_OK);
	assert_true(is_close_on_exec(reader) && is_close_on_exec(writer));
	assert_true(is_non_blocking(reader));
	assert_false(is_non_blocking(writer));
	wbi_fd_close(&reader);
	wbi_fd_close(&writer);
}

static void test_limit_is_raised(void **state)
{
	struct rlimit old, low, now;
	unsigned long before = 0;
	(void)state;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = 64;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(wbi_fd_raise_limit(&before, NULL), WB_OK);
	assert_int_equal(before, 64);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
	assert_int_equal(now.rlim_cur, old.rlim_max);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

/* /proc has no O_TMPFILE and lets nobody make a file: the error must come from either way. */
static void test_temporary_file_has_no_name(void **state)
{
	struct wb_fault fault;
	struct stat file;
	int fd = -1;
	(void)state;

	assert_int_equal(wbi_fd_temporary("/tmp", &fd, NULL), WB_OK);
	assert_int_equal(fstat(fd, &file), 0);
	assert_int_equal(file.st_nlink, 0);
	assert_int_equal(file.st_mode & 0777, 0600);
	assert_true(is_close_on_exec(fd));
	assert_int_equal(wbi_fd_write_all(fd, "waybill", 7, NULL), WB_OK);
	wbi_fd_close(&fd);

	assert_int_equal(wbi_fd_temporary("/tmp/no such folder", &fd, &fault), WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, ENOENT);
	assert_non_null(strstr(fault.text, "/tmp/no such folder"));
	assert_int_equal(wbi_fd_temporary("/proc", &fd, NULL), WB_ERR_SYSTEM);
	assert_int_equal(fd, -1);
}

enum { LARGE = 4 << 20 };

static void *write_large(void *context)
{
	char *data = malloc(LARGE);

	memset(data, 'w', LARGE);
	enum wb_err err = wbi_fd_write_all(*(int *)context, data, LARGE, NULL);
	free(data);
	return err ? context : NULL;
}

static void test_whole_buffers_cross_a_non_blocking_socket(void **state)
{
	char *data = calloc(1, LARGE);
	pthread_t thread;
	void *failed;
	int ends[2];
	(void)state;

	assert_non_null(data);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	assert_int_equal(pthread_create(&thread, NULL, write_large, &ends[0]), 0);
	assert_int_equal(wbi_fd_read_all(ends[1], data, LARGE, NULL), WB_OK);
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
	for (int i = 0; i < LARGE; i++)
		if (data[i] != 'w')
			fail_msg("byte %d is %d", i, data[i]);
	free(data);
	close(ends[0]);
	close(ends[1]);
}

static void test_early_end_says_where(void **state)
{
	struct wb_fault fault;
	char data[8];
	int ends[2];
	(void)state;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(wbi_fd_write_all(ends[0], "abc", 3, NULL), WB_OK);
	wbi_fd_close(&ends[0]);
	assert_int_equal(wbi_fd_read_all(ends[1], data, sizeof(data), &fault), WB_ERR_CLOSED);
	assert_int_equal(fault.offset, 3);
	wbi_fd_close(&ends[1]);
}

/* SIGPIPE would end the test program. */
static void test_a_gone_reader_is_an_error_and_no_signal(void **state)
{
	struct wb_fault fault;
	int ends[2];
	(void)state;

	signal(SIGPIPE, SIG_DFL);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	wbi_fd_close(&ends[1]);
	assert_int_equal(wbi_fd_write_all(ends[0], "abc", 3, &fault), WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, EPIPE);
	wbi_fd_close(&ends[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_close_is_safe_to_repeat),
		cmocka_unit_test(test_pipe_flags),
		cmocka_unit_test(test_limit_is_raised),
		cmocka_unit_test(test_temporary_file_has_no_name),
		cmocka_unit_test(test_whole_buffers_cross_a_non_blocking_socket),
		cmocka_unit_test(test_early_end_says_where),
		cmocka_unit_test(test_a_gone_reader_is_an_error_and_no_signal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
