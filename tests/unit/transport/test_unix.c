/* Unix sockets: the file's mode, whose file may be replaced, and waiting for a full queue. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/addr.h"
#include "sys/fd.h"
#include "transport/stream.h"
#include "transport/unix.h"

enum { PATIENCE_MS = 10000 };

/* A folder of the test's own, and the path of a socket in it. */
static char folder[64], path[80];
static struct wbi_addr addr;

static int make_folder(void **state)
{
	struct wbi_uri uri = {.transport = WBI_UNIX};
	unsigned count;
	(void)state;

	snprintf(folder, sizeof(folder), "/tmp/waybill-test-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/s", folder);
	snprintf(uri.host, sizeof(uri.host), "%s", path);
	return wbi_addr_resolve(&uri, true, &addr, 1, &count, NULL);
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static int listen_here(mode_t mode)
{
	struct wb_fault fault;
	int fd;

	if (wbi_unix_listen(&addr, mode, &fd, &fault) != WB_OK)
		fail_msg("%s", fault.text);
	return fd;
}

static void refuse_to_listen(void)
{
	struct wb_fault fault;
	int fd = -1;

	assert_int_equal(wbi_unix_listen(&addr, 0600, &fd, &fault), WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, EADDRINUSE);
	assert_non_null(strstr(fault.text, path));
	assert_int_equal(fd, -1);
}

static int dial_here(void)
{
	struct wb_fault fault;
	int fd;

	if (wbi_unix_dial(&addr, PATIENCE_MS, &fd, &fault) != WB_OK)
		fail_msg("%s", fault.text);
	return fd;
}

static mode_t file_mode(void)
{
	struct stat file;
	assert_int_equal(lstat(path, &file), 0);
	return file.st_mode;
}

static void test_meeting(void **state)
{
	int listener = listen_here(0600), server = -1;
	(void)state;

	assert_int_equal(wbi_unix_accept(listener, &server, NULL), WB_ERR_TIMEOUT);
	int client = dial_here();
	assert_int_equal(wbi_unix_accept(listener, &server, NULL), WB_OK);
	for (int i = 0; i < 2; i++) {
		assert_true(fcntl(i ? client : server, F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(i ? client : server, F_GETFD) & FD_CLOEXEC);
	}
	wbi_fd_close(&client);
	wbi_fd_close(&server);
	wbi_fd_close(&listener);
}

static void test_mode_is_exact_whatever_the_umask(void **state)
{
	static const mode_t umasks[] = {0, 022, 0177, 0777};
	mode_t before = umask(0);
	(void)state;

	for (size_t i = 0; i < sizeof(umasks) / sizeof(umasks[0]); i++) {
		umask(umasks[i]);
		int fd = listen_here(0600);
		assert_int_equal(file_mode(), S_IFSOCK | 0600);
		wbi_fd_close(&fd);
		assert_int_equal(unlink(path), 0);

		fd = listen_here(0666);
		assert_int_equal(file_mode(), S_IFSOCK | 0666);
		wbi_fd_close(&fd);
		assert_int_equal(unlink(path), 0);
	}
	umask(before);
}

static atomic_bool watching;

/* Returns its argument if the file was ever seen with a bit that it must not have. */
static void *watch_mode(void *context)
{
	struct stat file;

	while (watching)
		if (lstat(path, &file) == 0 && (file.st_mode & 0177))
			return context;
	return NULL;
}

/* Not even between bind and chmod. */
static void test_mode_is_never_wider(void **state)
{
	enum { ROUNDS = 2000 };
	mode_t before = umask(0);
	pthread_t thread;
	void *seen;
	(void)state;

	watching = true;
	assert_int_equal(pthread_create(&thread, NULL, watch_mode, path), 0);
	for (int i = 0; i < ROUNDS; i++) {
		int fd = listen_here(0600);
		wbi_fd_close(&fd);
		unlink(path);
	}
	watching = false;
	assert_int_equal(pthread_join(thread, &seen), 0);
	assert_null(seen);
	umask(before);
}

static void test_a_dead_socket_is_replaced(void **state)
{
	int fd = listen_here(0600);
	(void)state;

	wbi_fd_close(&fd);
	assert_int_equal(file_mode() & S_IFMT, S_IFSOCK);
	fd = listen_here(0600);
	int client = dial_here();
	wbi_fd_close(&client);
	wbi_fd_close(&fd);
}

static void test_a_live_socket_is_left_alone(void **state)
{
	int fd = listen_here(0600);
	(void)state;

	refuse_to_listen();
	int client = dial_here();
	wbi_fd_close(&client);
	wbi_fd_close(&fd);
}

/* A full queue does not accept now, but somebody is there. */
static void test_a_busy_socket_is_left_alone(void **state)
{
	int fd = listen_here(0600), clients[2], late = -1;
	(void)state;

	assert_int_equal(listen(fd, 0), 0);
	clients[0] = dial_here();
	assert_int_equal(wbi_unix_dial(&addr, 20, &late, NULL), WB_ERR_TIMEOUT);
	refuse_to_listen();
	assert_int_equal(wbi_unix_accept(fd, &clients[1], NULL), WB_OK);
	late = dial_here();
	wbi_fd_close(&late);
	wbi_fd_close(&clients[0]);
	wbi_fd_close(&clients[1]);
	wbi_fd_close(&fd);
}

static void test_a_datagram_socket_is_left_alone(void **state)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	(void)state;

	assert_int_equal(bind(fd, &addr.any, addr.bytes), 0);
	refuse_to_listen();
	assert_int_equal(file_mode() & S_IFMT, S_IFSOCK);
	wbi_fd_close(&fd);
}

static void test_a_file_is_left_alone(void **state)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	(void)state;

	assert_int_equal(wbi_fd_write_all(fd, "mine", 4, NULL), WB_OK);
	wbi_fd_close(&fd);
	refuse_to_listen();
	assert_int_equal(file_mode() & S_IFMT, S_IFREG);
}

/* Not even a link to a dead socket. */
static void test_a_symbolic_link_is_left_alone(void **state)
{
	char target[100];
	int fd = listen_here(0600);
	(void)state;

	wbi_fd_close(&fd);
	snprintf(target, sizeof(target), "%s/target", folder);
	assert_int_equal(rename(path, target), 0);
	assert_int_equal(symlink(target, path), 0);
	refuse_to_listen();
	assert_int_equal(file_mode() & S_IFMT, S_IFLNK);
	assert_int_equal(unlink(target), 0);
}

static void test_dialling_nobody(void **state)
{
	struct wb_fault fault;
	int fd = -1;
	(void)state;

	assert_int_equal(wbi_unix_dial(&addr, PATIENCE_MS, &fd, &fault), WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, ENOENT);
	assert_non_null(strstr(fault.text, path));

	int dead = listen_here(0600);
	wbi_fd_close(&dead);
	assert_int_equal(wbi_unix_dial(&addr, PATIENCE_MS, &fd, &fault), WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, ECONNREFUSED);
	assert_int_equal(fd, -1);
}

/* A link whose owner waits for the descriptor itself needs no loop. */
static void test_a_link_without_a_loop(void **state)
{
	struct wbi_stream_link stream;
	struct wb_fault fault;
	char text[8] = "ping";
	struct iovec part = {.iov_base = text, .iov_len = 4};
	int ends[2];
	(void)state;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends),
			 0);
	assert_int_equal(wbi_stream_link_init(&stream, NULL, ends[0], NULL, WBI_READ, &fault),
			 WB_OK);
	assert_int_equal(stream.watch.events, WBI_READ);
	wbi_link_want(&stream.link, WBI_READ | WBI_WRITE);
	assert_int_equal(stream.watch.events, WBI_READ | WBI_WRITE);
	assert_int_equal(wbi_link_write(&stream.link, &part, 1), 4);
	assert_int_equal(read(ends[1], text, sizeof(text)), 4);
	assert_int_equal(wbi_link_read(&stream.link, text, sizeof(text)), -EAGAIN);
	wbi_link_close(&stream.link);
	assert_int_equal(stream.watch.fd, -1);
	assert_int_equal(read(ends[1], text, sizeof(text)), 0);
	close(ends[1]);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FOLDER(test_meeting),
		IN_FOLDER(test_mode_is_exact_whatever_the_umask),
		IN_FOLDER(test_mode_is_never_wider),
		IN_FOLDER(test_a_dead_socket_is_replaced),
		IN_FOLDER(test_a_live_socket_is_left_alone),
		IN_FOLDER(test_a_busy_socket_is_left_alone),
		IN_FOLDER(test_a_datagram_socket_is_left_alone),
		IN_FOLDER(test_a_file_is_left_alone),
		IN_FOLDER(test_a_symbolic_link_is_left_alone),
		IN_FOLDER(test_dialling_nobody),
		cmocka_unit_test(test_a_link_without_a_loop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
