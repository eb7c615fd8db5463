/* ssh-agent: the real one, which signs a handshake; and one of our own that misbehaves. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "keys/blob.h"
#include "sys/clock.h"
#include "sys/fd.h"
#include "tls_wire.h"
#include "transport/agent.h"

enum { PATIENCE_MS = 20000, SHORT_MS = 60, KEYS = 8, PATH_BYTES = 96 };

static char folder[PATH_BYTES];
static char agent_path[PATH_BYTES + 8];

static int set_up(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/waybill-test-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(agent_path, sizeof(agent_path), "%s/agent", folder);
	return 0;
}

static void remove_file(const char *name)
{
	char path[PATH_BYTES + 32];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	unlink(path);
}

static int tear_down(void **state)
{
	(void)state;
	remove_file("agent");
	remove_file("key");
	remove_file("key.pub");
	remove_file("rsa");
	remove_file("rsa.pub");
	assert_int_equal(rmdir(folder), 0);
	return 0;
}

/* ---- an agent of our own ---- */

struct reply {
	uint8_t data[512];
	size_t bytes;
	bool hangs; /* says no more, but stays */
};

struct fake {
	int listener;
	struct reply reply;
	pthread_t thread;
};

static void *answer(void *context)
{
	struct fake *fake = context;
	int fd = accept4(fake->listener, NULL, NULL, SOCK_CLOEXEC);
	uint8_t head[4], body[8192];

	if (recv(fd, head, 4, MSG_WAITALL) == 4)
		recv(fd, body, (size_t)head[2] << 8 | head[3], MSG_WAITALL);
	send(fd, fake->reply.data, fake->reply.bytes, MSG_NOSIGNAL);
	if (fake->reply.hangs)
		recv(fd, head, 1, 0); /* until the other hangs up */
	wbi_fd_close(&fd);
	return NULL;
}

static void fake_open(struct fake *fake)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", agent_path);
	fake->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fake->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fake->listener, 1), 0);
	assert_int_equal(pthread_create(&fake->thread, NULL, answer, fake), 0);
}

static void fake_close(struct fake *fake)
{
	pthread_join(fake->thread, NULL);
	wbi_fd_close(&fake->listener);
	unlink(agent_path);
}

/* What the agent's client makes of an answer to a list, or to a request to sign. */
static enum wb_err try(const struct reply *reply, bool sign, struct wb_fault *fault)
{
	const struct wbi_public_key key = {{1}};
	struct fake fake = {.reply = *reply};
	struct wbi_agent_key keys[KEYS];
	struct wbi_agent *agent = NULL;
	uint8_t signature[WBI_SIGNATURE_BYTES];
	size_t count = 99;
	enum wb_err err;

	fake_open(&fake);
	assert_int_equal(
		wbi_agent_open(agent_path, reply->hangs ? SHORT_MS : PATIENCE_MS, &agent, fault),
		WB_OK);
	err = sign ? wbi_agent_sign(agent, &key, "data", 4, signature, fault)
		   : wbi_agent_list(agent, keys, KEYS, &count, NULL, fault);
	if (err)
		assert_int_equal(count, 99);
	wbi_agent_close(agent);
	fake_close(&fake);
	return err;
}

static struct reply reply_of(int type, const void *body, size_t bytes)
{
	struct reply reply = {.bytes = 5 + bytes};

	wbi_blob_put_u32(reply.data, (uint32_t)bytes + 1);
	reply.data[4] = (uint8_t)type;
	if (bytes > 0)
		memcpy(reply.data + 5, body, bytes);
	return reply;
}

static void expect_answer(const struct reply *reply, bool sign, enum wb_err want, const char *words)
{
	struct wb_fault fault = {0};
	enum wb_err err = try(reply, sign, &fault);

	if (err != want || (words && !strstr(fault.text, words)))
		fail_msg("%s: %s; wanted %s: %s", wb_err_name(err), fault.text, wb_err_name(want),
			 words);
}

static void test_refusal(void **state)
{
	struct reply reply = reply_of(5, NULL, 0);
	(void)state;

	expect_answer(&reply, false, WB_ERR_REFUSED, "refuses");
	expect_answer(&reply, true, WB_ERR_REFUSED, "its user said no");
}

static void test_damaged_answers(void **state)
{
	static const uint8_t short_list[] = {0, 0, 0, 2, 0, 0, 0, 1, 'x', 0, 0, 0, 1, 'y'};
	static const uint8_t long_string[] = {0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 'x'};
	struct reply reply;
	(void)state;

	reply = reply_of(12, short_list, sizeof(short_list));
	expect_answer(&reply, false, WB_ERR_MALFORMED, "damaged");
	reply = reply_of(12, long_string, sizeof(long_string));
	expect_answer(&reply, false, WB_ERR_MALFORMED, "damaged");
	expect_answer(&reply, true, WB_ERR_MALFORMED, "something else");
	reply = reply_of(14, long_string, sizeof(long_string));
	expect_answer(&reply, true, WB_ERR_MALFORMED, "damaged");
	reply = reply_of(12, NULL, 0);
	expect_answer(&reply, false, WB_ERR_MALFORMED, "damaged");
	reply = (struct reply){.bytes = 4};
	expect_answer(&reply, false, WB_ERR_MALFORMED, "empty");
	reply = (struct reply){.data = {0x7f, 0xff, 0xff, 0xff, 12}, .bytes = 5};
	expect_answer(&reply, false, WB_ERR_LIMIT, "2147483647 bytes");
}

static void test_answers_that_do_not_come(void **state)
{
	struct reply reply = {.data = {0, 0, 0, 9, 12}, .bytes = 5};
	(void)state;

	expect_answer(&reply, false, WB_ERR_CLOSED, "hung up");
	reply.hangs = true;
	expect_answer(&reply, false, WB_ERR_TIMEOUT, "60 ms");
	expect_answer(&reply, true, WB_ERR_TIMEOUT, "60 ms");
}

/* Keys of other kinds are counted; a comment is made fit for a terminal; what is over is left. */
static void test_list(void **state)
{
	struct wbi_agent_key keys[1];
	struct fake fake = {0};
	struct wbi_agent *agent;
	uint8_t body[256], blob[WBI_PUBLIC_KEY_BLOB_BYTES], *end = body;
	struct wbi_public_key key = {{7}};
	size_t count, others;
	(void)state;

	wbi_public_key_to_blob(&key, blob);
	end = wbi_blob_put_u32(end, 3);
	end = wbi_blob_put_string(end, "\0\0\0\7ssh-rsa", 11);
	end = wbi_blob_put_string(end, "r", 1);
	end = wbi_blob_put_string(end, blob, sizeof(blob));
	end = wbi_blob_put_string(end, "me\x1b[31m", 7);
	end = wbi_blob_put_string(end, blob, sizeof(blob));
	end = wbi_blob_put_string(end, "", 0);
	fake.reply = reply_of(12, body, (size_t)(end - body));
	fake_open(&fake);
	assert_int_equal(wbi_agent_open(agent_path, PATIENCE_MS, &agent, NULL), WB_OK);
	assert_int_equal(wbi_agent_list(agent, keys, 1, &count, &others, NULL), WB_OK);
	assert_int_equal(count, 1);
	assert_int_equal(others, 1);
	assert_true(wbi_public_key_equal(&keys[0].key, &key));
	assert_string_equal(keys[0].comment, "me\\x1B[31m");
	wbi_agent_close(agent);
	fake_close(&fake);
}

static void test_nobody_there(void **state)
{
	struct wbi_agent *agent = NULL;
	struct wb_fault fault;
	char path[200];
	(void)state;

	assert_int_equal(wbi_agent_open(agent_path, 1000, &agent, &fault), WB_ERR_SYSTEM);
	assert_int_equal(fault.system_errno, ENOENT);
	assert_int_equal(wbi_agent_open("", 1000, &agent, &fault), WB_ERR_ARGUMENT);
	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(wbi_agent_open(path, 1000, &agent, &fault), WB_ERR_ARGUMENT);
	assert_null(agent);
}

/* ---- handshakes ---- */

static void open_client(struct side *client, const struct wbi_public_key *key, int timeout_ms)
{
	struct wb_fault fault;

	*client = (struct side){0};
	assert_int_equal(
		wbi_identity_new_in_agent(key, agent_path, timeout_ms, &client->identity, NULL),
		WB_OK);
	if (wbi_tls_context_new(WBI_TLS_CLIENT, client->identity, &client->context, &fault))
		fail_msg("%s", fault.text);
}

/* Takes the handshake to its end; the caller looks how it went. */
static void meet_server(struct side *client, struct side *server, struct wire *wire)
{
	wire_open(wire);
	side_connect(client, &wire->ends[0]);
	side_connect(server, &wire->ends[1]);
	for (int i = 0; i < 10; i++) {
		side_step(client);
		side_step(server);
	}
}

static void expect_handshake_fault(enum wb_err err, const char *words, int timeout_ms)
{
	struct wbi_public_key key = private_key(1).public_key;
	struct side client, server;
	struct wire wire;

	open_client(&client, &key, timeout_ms);
	side_open(&server, WBI_TLS_SERVER, 2);
	meet_server(&client, &server, &wire);
	expect_fault(&client, err, words);
	assert_false(wbi_tls_is_open(server.tls));
	side_close(&client);
	side_close(&server);
	wire_close(&wire);
}

static void test_handshake_without_an_agent(void **state)
{
	(void)state;
	expect_handshake_fault(WB_ERR_REFUSED, "ssh-agent at", PATIENCE_MS);
}

static void test_handshake_that_the_agent_refuses(void **state)
{
	struct fake fake = {.reply = reply_of(5, NULL, 0)};
	(void)state;

	fake_open(&fake);
	expect_handshake_fault(WB_ERR_REFUSED, "ssh-agent refuses", PATIENCE_MS);
	fake_close(&fake);
}

static void test_handshake_with_a_deaf_agent(void **state)
{
	struct fake fake = {.reply = {.hangs = true}};
	(void)state;

	fake_open(&fake);
	expect_handshake_fault(WB_ERR_TIMEOUT, "no answer", SHORT_MS);
	fake_close(&fake);
}

/* It signs, but with nothing: the server sees that. */
static void test_handshake_with_a_lying_agent(void **state)
{
	struct wbi_public_key key = private_key(1).public_key;
	struct fake fake = {0};
	struct side client, server;
	struct wire wire;
	uint8_t body[128], whole[128], *end;
	(void)state;

	end = wbi_blob_put_string(whole, WBI_ED25519_NAME, strlen(WBI_ED25519_NAME));
	end = wbi_blob_put_string(end, (const uint8_t[WBI_SIGNATURE_BYTES]){1}, 64);
	end = wbi_blob_put_string(body, whole, (size_t)(end - whole));
	fake.reply = reply_of(14, body, (size_t)(end - body));
	fake_open(&fake);
	open_client(&client, &key, PATIENCE_MS);
	side_open(&server, WBI_TLS_SERVER, 2);
	meet_server(&client, &server, &wire);
	expect_fault(&server, WB_ERR_REFUSED, "signature of the handshake does not hold");
	side_close(&client);
	side_close(&server);
	wire_close(&wire);
	fake_close(&fake);
}

/* ---- the real one ---- */

static pid_t start(const char *const argv[], int out)
{
	posix_spawn_file_actions_t actions;
	char socket_variable[PATH_BYTES + 32];
	char *environment[] = {socket_variable, NULL};
	pid_t pid;

	snprintf(socket_variable, sizeof(socket_variable), "SSH_AUTH_SOCK=%s", agent_path);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	if (out >= 0)
		posix_spawn_file_actions_adddup2(&actions, out, 1);
	if (posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environment) != 0)
		pid = -1;
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

static void run(const char *const argv[])
{
	pid_t pid = start(argv, -1);
	int status = -1;

	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status != 0)
		fail_msg("%s: status %x", argv[0], (unsigned)status);
}

/* It says where it listens once it does. */
static pid_t start_agent(void)
{
	const char *argv[] = {"ssh-agent", "-D", "-a", agent_path, NULL};
	char line[8];
	int out[2];
	pid_t pid;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid = start(argv, out[1]);
	wbi_fd_close(&out[1]);
	if (pid > 0)
		assert_int_equal(wbi_fd_read_all(out[0], line, sizeof(line), NULL), WB_OK);
	wbi_fd_close(&out[0]);
	return pid;
}

static void add_key(const char *type, const char *name, const char *comment)
{
	char path[PATH_BYTES + 16];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	run((const char *[]){"ssh-keygen", "-q", "-t", type, "-N", "", "-C", comment, "-f", path,
			     NULL});
	run((const char *[]){"ssh-add", "-q", path, NULL});
}

static void check_signature(const struct wbi_public_key *key, const uint8_t *signature,
			    const void *data, size_t bytes)
{
	EVP_PKEY *public_half = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->ed25519,
							    sizeof(key->ed25519));
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	assert_int_equal(EVP_DigestVerifyInit(context, NULL, NULL, NULL, public_half), 1);
	assert_int_equal(EVP_DigestVerify(context, signature, WBI_SIGNATURE_BYTES, data, bytes), 1);
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(public_half);
}

static struct wbi_public_key list_and_sign(void)
{
	struct wbi_agent_key keys[KEYS];
	struct wbi_agent *agent;
	uint8_t signature[WBI_SIGNATURE_BYTES];
	size_t count, others;

	assert_int_equal(wbi_agent_open(agent_path, PATIENCE_MS, &agent, NULL), WB_OK);
	assert_int_equal(wbi_agent_list(agent, keys, KEYS, &count, &others, NULL), WB_OK);
	assert_int_equal(count, 1);
	assert_int_equal(others, 1);
	assert_string_equal(keys[0].comment, "a comment");
	assert_int_equal(wbi_agent_sign(agent, &keys[0].key, "data", 4, signature, NULL), WB_OK);
	check_signature(&keys[0].key, signature, "data", 4);
	wbi_agent_close(agent);
	return keys[0].key;
}

/* The second connection resumes the first, and asks no agent. */
static void shake_hands_twice(const struct wbi_public_key *key, pid_t agent)
{
	struct side client, server;
	struct wire wire;

	open_client(&client, key, PATIENCE_MS);
	side_open(&server, WBI_TLS_SERVER, 2);
	meet_server(&client, &server, &wire);
	expect_open(&client);
	expect_open(&server);
	assert_true(wbi_public_key_equal(wbi_tls_peer(server.tls), key));
	take_ticket(&client, &server);
	wire_close(&wire);

	kill(agent, SIGTERM);
	assert_int_equal(waitpid(agent, NULL, 0), agent);
	meet_server(&client, &server, &wire);
	expect_open(&client);
	assert_true(wbi_tls_is_resumed(server.tls));
	assert_true(wbi_public_key_equal(wbi_tls_peer(server.tls), key));
	wire_close(&wire);
	side_close(&client);
	side_close(&server);
}

/* A key of the default provider beside one in the agent: neither gets in the other's way. */
static void shake_hands_without(void)
{
	struct side client, server;
	struct wire wire;

	side_open(&client, WBI_TLS_CLIENT, 3);
	side_open(&server, WBI_TLS_SERVER, 2);
	meet_server(&client, &server, &wire);
	expect_open(&client);
	expect_open(&server);
	side_close(&client);
	side_close(&server);
	wire_close(&wire);
}

static void test_real_agent(void **state)
{
	struct wbi_public_key key;
	pid_t agent = start_agent();
	(void)state;

	if (agent < 0) {
		print_message("SKIPPED: ssh-agent, ssh-add and ssh-keygen are not here "
			      "(openssh-client)\n");
		skip();
	}
	add_key("rsa", "rsa", "another");
	add_key("ed25519", "key", "a comment");
	key = list_and_sign();
	shake_hands_twice(&key, agent);
	shake_hands_without();
}

static void test_key_that_was_taken_away(void **state)
{
	struct wbi_public_key key;
	pid_t agent = start_agent();
	(void)state;

	if (agent < 0) {
		print_message("SKIPPED: ssh-agent, ssh-add and ssh-keygen are not here "
			      "(openssh-client)\n");
		skip();
	}
	add_key("rsa", "rsa", "another");
	add_key("ed25519", "key", "a comment");
	key = list_and_sign();
	run((const char *[]){"ssh-add", "-q", "-D", NULL});
	expect_handshake_fault(WB_ERR_REFUSED, "does not hold the key", PATIENCE_MS);
	(void)key;
	kill(agent, SIGTERM);
	assert_int_equal(waitpid(agent, NULL, 0), agent);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_refusal),
		TEST(test_damaged_answers),
		TEST(test_answers_that_do_not_come),
		TEST(test_list),
		TEST(test_nobody_there),
		TEST(test_handshake_without_an_agent),
		TEST(test_handshake_that_the_agent_refuses),
		TEST(test_handshake_with_a_deaf_agent),
		TEST(test_handshake_with_a_lying_agent),
		TEST(test_real_agent),
		TEST(test_key_that_was_taken_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
