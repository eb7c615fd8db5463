/* Side by side with OpenSSH's own tools: what ssh-keygen writes we read and the other way round,
 * and of made-up files both say the same. Skipped where there is no ssh-keygen. */
#include "fixtures.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keys/authorized_keys.h"
#include "keys/known_hosts.h"
#include "keys/private_key.h"

enum { OUTPUT_SIZE = 64 * 1024, COMMAND_SIZE = 1024 };

static char folder[] = "/tmp/waybill-keys-XXXXXX";
static bool have_ssh_keygen;

/* Runs a command line in the folder. Returns its exit code, -1 where a signal ended it; out gets
 * its output, as a string. */
static int run(char out[OUTPUT_SIZE], const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static int run(char out[OUTPUT_SIZE], const char *format, ...)
{
	char command[COMMAND_SIZE], line[COMMAND_SIZE + 64];
	va_list arguments;
	size_t bytes;
	FILE *pipe;
	int status;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	snprintf(line, sizeof(line), "cd %s && { %s; } 2>&1 </dev/null", folder, command);
	pipe = popen(line, "r");
	assert_non_null(pipe);
	bytes = fread(out, 1, OUTPUT_SIZE - 1, pipe);
	out[bytes] = '\0';
	status = pclose(pipe);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void run_well(char out[OUTPUT_SIZE], const char *command)
{
	int code = run(out, "%s", command);

	if (code)
		fail_msg("%s: exit %d: %s", command, code, out);
}

static void write_file(const char *name, const void *data, size_t bytes)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fchmod(fileno(file), 0600), 0);
	assert_int_equal(fwrite(data, 1, bytes, file), bytes);
	assert_int_equal(fclose(file), 0);
}

static size_t read_file(const char *name, char out[OUTPUT_SIZE])
{
	char path[256];
	FILE *file;
	size_t bytes;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "r");
	assert_non_null(file);
	bytes = fread(out, 1, OUTPUT_SIZE - 1, file);
	fclose(file);
	out[bytes] = '\0';
	return bytes;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status, (void)type, (void)place;
	return remove(path);
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	have_ssh_keygen = !system("command -v ssh-keygen >/dev/null");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define NEED_SSH_KEYGEN()                                                                          \
	do {                                                                                       \
		if (!have_ssh_keygen)                                                              \
			SKIP("there is no ssh-keygen (openssh-client)");                           \
	} while (0)

/* A key of our own making; the same number is the same key. */
static struct wbi_private_key private_key_of(unsigned number, const char *comment)
{
	uint8_t seed[WBI_PRIVATE_KEY_SEED_BYTES] = {0};
	struct wbi_private_key key;

	memcpy(seed, &number, sizeof(number));
	assert_int_equal(wbi_private_key_from_seed(seed, comment, strlen(comment), &key, NULL),
			 WB_OK);
	return key;
}

static struct wbi_public_key public_key_of(unsigned number)
{
	return private_key_of(number, "").public_key;
}

/* --- private keys --- */

static void test_reads_what_it_writes(void **state)
{
	static const char *const comments[] = {"", "a", "alice@example",
					       "with spaces and \\ ' \xc3\xa4"};
	static char text[OUTPUT_SIZE], public_text[OUTPUT_SIZE];

	(void)state;
	NEED_SSH_KEYGEN();
	for (int i = 0; i < 4; i++) {
		struct wbi_private_key key;
		struct wbi_slice comment;
		struct wbi_public_key public_key;
		struct wb_fault fault;
		size_t bytes;

		write_file("comment", comments[i], strlen(comments[i]));
		run_well(text, "rm -f key key.pub; "
			       "ssh-keygen -q -t ed25519 -N '' -C \"$(cat comment)\" -f key");
		bytes = read_file("key", text);
		if (wbi_private_key_parse(text, bytes, &key, &fault))
			fail_msg("%s", fault.text);
		assert_int_equal(key.comment_bytes, strlen(comments[i]));
		assert_memory_equal(key.comment, comments[i], key.comment_bytes);
		bytes = read_file("key.pub", public_text);
		assert_int_equal(
			wbi_public_key_parse(public_text, bytes, &public_key, &comment, NULL),
			WB_OK);
		assert_true(wbi_public_key_equal(&public_key, &key.public_key));
		assert_int_equal(comment.bytes, strlen(comments[i]));
	}
}

static void test_it_reads_what_we_write(void **state)
{
	static char output[OUTPUT_SIZE];

	(void)state;
	NEED_SSH_KEYGEN();
	for (unsigned i = 0; i < 8; i++) {
		struct wbi_private_key key = private_key_of(i, &"1234567"[i % 8]);
		char text[WBI_PRIVATE_KEY_TEXT_SIZE], line[WBI_PUBLIC_KEY_TEXT_SIZE];

		write_file("ours", text, wbi_private_key_format(&key, i * 0x01010101, text));
		run_well(output, "ssh-keygen -y -f ours");
		wbi_public_key_text(&key.public_key, line);
		assert_memory_equal(output, line, strlen(line));
		/* and it can do with it what a key is for */
		run_well(output, "rm -f hello.sig; echo hello > hello; "
				 "ssh-keygen -Y sign -n test -f ours hello");
	}
}

static void check_refused(const char *make, enum wb_err err, const char *field)
{
	static char text[OUTPUT_SIZE];
	struct wbi_private_key key;
	struct wb_fault fault;
	size_t bytes;

	run_well(text, "rm -f other other.pub");
	run_well(text, make);
	bytes = read_file("other", text);
	if (wbi_private_key_parse(text, bytes, &key, &fault) != err ||
	    strcmp(fault.field, field) != 0)
		fail_msg("%s: '%s': %s", make, fault.field, fault.text);
}

static void test_other_kinds(void **state)
{
	(void)state;
	NEED_SSH_KEYGEN();
	check_refused("ssh-keygen -q -t ed25519 -N secret -a 1 -f other", WB_ERR_REFUSED, "");
	check_refused("ssh-keygen -q -t rsa -b 2048 -N '' -f other", WB_ERR_UNSUPPORTED, "ssh-rsa");
	check_refused("ssh-keygen -q -t rsa -b 2048 -N secret -a 1 -f other", WB_ERR_UNSUPPORTED,
		      "ssh-rsa");
	check_refused("ssh-keygen -q -t ecdsa -b 384 -N '' -f other", WB_ERR_UNSUPPORTED,
		      "ecdsa-sha2-nistp384");
	check_refused("ssh-keygen -q -t ecdsa -m PEM -N '' -f other", WB_ERR_UNSUPPORTED, "PEM");
	check_refused("ssh-keygen -q -t ecdsa -m PKCS8 -N '' -f other", WB_ERR_UNSUPPORTED, "PEM");
}

/* --- fingerprints --- */

static void test_fingerprints(void **state)
{
	enum { COUNT = 300 };
	static char lines[COUNT * 128], output[OUTPUT_SIZE];
	char *at = lines, *rest;

	(void)state;
	NEED_SSH_KEYGEN();
	for (unsigned i = 0; i < COUNT; i++) {
		struct wbi_public_key key = public_key_of(i);

		wbi_public_key_text(&key, at);
		at = stpcpy(strchr(at, '\0'), "\n");
	}
	write_file("keys.pub", lines, (size_t)(at - lines));
	run_well(output, "ssh-keygen -lf keys.pub");
	rest = output;
	for (unsigned i = 0; i < COUNT; i++) {
		struct wbi_public_key key = public_key_of(i);
		char ours[WBI_FINGERPRINT_SIZE], *line = strsep(&rest, "\n");
		char wanted[WBI_FINGERPRINT_SIZE + 32];

		wbi_public_key_fingerprint(&key, ours);
		snprintf(wanted, sizeof(wanted), "256 %s no comment (ED25519)", ours);
		assert_non_null(line);
		assert_string_equal(line, wanted);
	}
}

/* --- authorized_keys --- */

/* Lines with options, in quotes and out of them: both find the key behind them, or none does. (One
 * blank behind options: sshd takes several, ssh-keygen -l does not.) */
static void test_keys_behind_options(void **state)
{
	static const char *const options[] = {
		"",
		"restrict ",
		"restrict,pty\t",
		" \tno-pty ",
		"command=\"a b\" ",
		"command=\"a \\\"b c\\\" d\" ",
		"command=\"ssh-ed25519 AAAA\" ",
		"command=\"\\\\ a\" ",
		"environment=\"A=b c\",no-user-rc ",
		"from=\"*,!10.0.0.0/8\",expiry-time=\"20990101\",COMMAND=\"x\" ",
		"# ",
		"command=\"a b ",
		"restrict, pty ",
		"command=\"a\\\" ",
		"ssh-rsa ",
	};
	enum { COUNT = sizeof(options) / sizeof(options[0]) };
	static char text[COUNT * 256], output[OUTPUT_SIZE];
	struct wbi_authorized_facts facts = {.address = "192.0.2.1"};
	char *at = text;
	int both = 0;

	(void)state;
	NEED_SSH_KEYGEN();
	for (unsigned i = 0; i < COUNT; i++) {
		struct wbi_public_key key = public_key_of(i);

		at = stpcpy(at, options[i]);
		wbi_public_key_text(&key, at);
		at = stpcpy(strchr(at, '\0'), i % 2 ? " a comment, \"with\" all of it\n" : "\n");
	}
	write_file("authorized_keys", text, (size_t)(at - text));
	run_well(output, "ssh-keygen -lf authorized_keys");
	for (unsigned i = 0; i < COUNT; i++) {
		struct wbi_public_key key = public_key_of(i);
		char fingerprint[WBI_FINGERPRINT_SIZE];
		struct wbi_authorized authorized = {.storage = NULL};
		enum wb_err err = wbi_authorized_keys_find(text, (size_t)(at - text), &key, &facts,
							   &authorized, NULL);

		/* A key there whose options are refused is there all the same. */
		wbi_public_key_fingerprint(&key, fingerprint);
		if ((err != WB_ERR_MISSING) != !!strstr(output, fingerprint))
			fail_msg("'%s': %s\n%s", options[i], wb_err_name(err), output);
		both += err != WB_ERR_MISSING;
		wbi_authorized_done(&authorized);
	}
	assert_in_range(both, 10, COUNT - 3);
}

/* --- known_hosts --- */

/* Made-up fields of names; some hashed afterwards. */
static void put_names(char **at, unsigned *seed)
{
	static const char *const pieces[] = {
		"a",         "b",         "ab.example", "AB.example",
		"*",         "?",         "*.example",  "a?.example",
		"192.0.2.1", "192.0.2.*", "[a]:9292",   "[ab.example]:9292",
		"[*]:9292",  "::1",       "[::1]:9292", "",
	};
	unsigned count = 1 + (unsigned)rand_r(seed) % 3;

	for (unsigned i = 0; i < count; i++) {
		const char *piece =
			pieces[(unsigned)rand_r(seed) % (sizeof(pieces) / sizeof(*pieces))];

		if (count == 1 && !*piece)
			piece = "a";
		*at += sprintf(*at, "%s%s%s", i ? "," : "", rand_r(seed) % 5 ? "" : "!", piece);
	}
}

/* One line, and whether its key is key_number's and it is fit to be found. */
static void put_line(char **at, unsigned *seed, unsigned key_number)
{
	struct wbi_public_key key = public_key_of(key_number);
	char text[WBI_PUBLIC_KEY_TEXT_SIZE];
	unsigned kind = (unsigned)rand_r(seed) % 12;

	wbi_public_key_text(&key, text);
	*at += sprintf(*at, "%s", kind == 0 ? "@revoked " : kind == 1 ? "  \t" : "");
	if (kind == 2)
		*at += sprintf(*at, "# ");
	put_names(at, seed);
	*at += sprintf(*at, "%s%s%s\n", kind == 3 ? "\t\t" : " ", text,
		       kind == 4 ? " a comment, with commas" : "");
}

/* The marks of ssh-keygen -F: which lines name the host. '\0' not, 'm' so, 'r' revoked. */
static void ask_ssh_keygen(const char *host, char found[], size_t count)
{
	static char output[OUTPUT_SIZE];
	char *rest = output, *line;

	memset(found, 0, count);
	run(output, "ssh-keygen -F '%s' -f hosts", host);
	while ((line = strsep(&rest, "\n"))) {
		const char *number = strstr(line, " found: line ");

		if (line[0] == '#' && number) {
			size_t index = strtoul(number + 13, NULL, 10) - 1;

			assert_true(index < count);
			found[index] = strstr(number, "REVOKED") ? 'r' : 'm';
		}
	}
}

/* Each line has a key of its own, so that one question after the other shows which lines we think
 * name the host. Where `host` is a name in the file, not a host, port is 22: then it is taken as it
 * is. */
static unsigned compare_host(const char *text, const char *name, const char *host, uint16_t port,
			     unsigned first_key, size_t count)
{
	unsigned matches = 0;
	struct wbi_slice slice = {(const uint8_t *)text, strlen(text)};
	char found[64];

	ask_ssh_keygen(name, found, count);
	for (size_t i = 0; i < count; i++) {
		struct wbi_public_key key = public_key_of(first_key + (unsigned)i);
		struct wbi_known_host_finding finding;
		char ours;

		wbi_known_hosts_find(&slice, 1, host, port, &key, &finding);
		ours = finding.verdict == WBI_HOST_MATCH     ? 'm'
		       : finding.verdict == WBI_HOST_REVOKED ? 'r'
							     : '\0';
		if (ours != found[i] || (ours && finding.line != i + 1))
			fail_msg("%s, line %zu: '%c', ssh-keygen says '%c'\n%s", name, i + 1, ours,
				 found[i], text);
		matches += !!ours;
	}
	return matches;
}

static unsigned compare_file(const char *text, unsigned first_key, size_t count)
{
	unsigned matches = 0;

	static const char *const hosts[] = {"a",         "b",   "AB.example", "xb.example",
					    "192.0.2.1", "::1", "[a]:9292",   "c"};

	write_file("hosts", text, strlen(text));
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		matches += compare_host(text, hosts[i], hosts[i], 22, first_key, count);
	return matches;
}

static void test_known_hosts(void **state)
{
	enum { LINES = 24, ROUNDS = 25 };
	static char text[LINES * 256];
	unsigned seed = 20260901, matches = 0;

	(void)state;
	NEED_SSH_KEYGEN();
	for (unsigned round = 0; round < ROUNDS; round++) {
		char *at = text;

		for (unsigned i = 0; i < LINES; i++)
			put_line(&at, &seed, 1000 + i);
		matches += compare_file(text, 1000, LINES);
	}
	assert_in_range(matches, ROUNDS * LINES / 2, ROUNDS * LINES * 4);
}

/* Hashed by ssh-keygen -H. It makes a line of each name, so one name a line. */
static void test_hashed_hosts(void **state)
{
	static const char *const names[] = {"a", "AB.example", "192.0.2.1", "[a]:9292", "::1", "b"};
	enum { COUNT = sizeof(names) / sizeof(names[0]) };
	static char text[OUTPUT_SIZE], output[OUTPUT_SIZE];
	char *at = text;

	(void)state;
	NEED_SSH_KEYGEN();
	for (unsigned i = 0; i < COUNT; i++) {
		struct wbi_public_key key = public_key_of(1000 + i);

		at += sprintf(at, "%s ", names[i]);
		wbi_public_key_text(&key, at);
		at = stpcpy(strchr(at, '\0'), "\n");
	}
	write_file("hosts", text, (size_t)(at - text));
	run_well(output, "ssh-keygen -H -f hosts");
	read_file("hosts", text);
	assert_null(strstr(text, "example"));
	/* ssh-keygen -F takes a name as it is given, in lower case as ssh asks for it */
	assert_int_equal(compare_host(text, "ab.example", "AB.example", 22, 1000, COUNT), 1);
	assert_int_equal(compare_host(text, "a", "a", 22, 1000, COUNT), 1);
	assert_int_equal(compare_host(text, "192.0.2.1", "192.0.2.1", 22, 1000, COUNT), 1);
	assert_int_equal(compare_host(text, "[a]:9292", "[a]:9292", 22, 1000, COUNT), 1);
	assert_int_equal(compare_host(text, "::1", "::1", 22, 1000, COUNT), 1);
	assert_int_equal(compare_host(text, "c", "c", 22, 1000, COUNT), 0);
}

/* What wbi_known_hosts_format writes ssh-keygen finds, by the name that ssh would ask for. */
static void test_it_finds_what_we_write(void **state)
{
	static char output[OUTPUT_SIZE];
	struct wbi_public_key key = public_key_of(7);
	char line[WBI_KNOWN_HOST_LINE_SIZE];

	(void)state;
	NEED_SSH_KEYGEN();
	assert_int_equal(wbi_known_hosts_format("Box.example", 9292, &key, line, NULL), WB_OK);
	write_file("hosts", line, strlen(line));
	run_well(output, "ssh-keygen -F '[box.example]:9292' -f hosts");
	assert_non_null(strstr(output, "line 1"));
	assert_int_equal(wbi_known_hosts_format("::1", 22, &key, line, NULL), WB_OK);
	write_file("hosts", line, strlen(line));
	run_well(output, "ssh-keygen -F ::1 -f hosts");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_what_it_writes),
		cmocka_unit_test(test_it_reads_what_we_write),
		cmocka_unit_test(test_other_kinds),
		cmocka_unit_test(test_fingerprints),
		cmocka_unit_test(test_keys_behind_options),
		cmocka_unit_test(test_known_hosts),
		cmocka_unit_test(test_hashed_hosts),
		cmocka_unit_test(test_it_finds_what_we_write),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
