/* authorized_keys: the input is an address on a line of its own and the text of a file.
 *
 * Whatever the text is: what lets in has strings that end and means the same alone as among others;
 * a bare line behind it always lets in; and Waybill's own file never lets in less of sshd's
 * options. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "keys/authorized_keys.h"
#include "keys/lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDpz0BqWl3ggFnKWm6JEq4AMLTUCGzvxE2/8Lxq0+q4h"

enum { NOW_S = 1788264000 };

static struct wbi_public_key key;

static void check_authorized(const struct wbi_authorized *authorized)
{
	CHECK(authorized->line);
	for (const char *const *at = authorized->environment; *at; at++) {
		CHECK(strchr(*at, '=') > *at);
		for (const char *const *other = authorized->environment; other < at; other++)
			CHECK(strncmp(*at, *other, (size_t)(strchr(*at, '=') - *at) + 1) != 0);
	}
	CHECK(!authorized->expires || authorized->expires_s >= NOW_S);
	CHECK(!authorized->put.root || authorized->put.root[0] == '/');
	CHECK(!authorized->get.root || authorized->get.root[0] == '/');
	CHECK(!authorized->put.root || authorized->put.allowed);
	CHECK(!authorized->get.root || authorized->get.allowed);
	CHECK(!authorized->command || strlen(authorized->command) < WBI_AUTHORIZED_LINE_MAX);
}

static void check_fault(const struct wb_fault *fault, enum wb_err err, size_t bytes)
{
	CHECK(err == WB_ERR_MISSING || err == WB_ERR_REFUSED);
	CHECK(fault->err == err && fault->text[0] && fault->offset <= bytes);
	CHECK(wbi_utf8_prefix(fault->text, strlen(fault->text)) == strlen(fault->text));
	for (const char *at = fault->text; *at; at++)
		CHECK((unsigned char)*at >= 0x20);
}

/* The line that let in, and no other. */
static void check_alone(struct wbi_slice text, const struct wbi_authorized_facts *facts,
			const struct wbi_authorized *authorized)
{
	struct wbi_key_lines lines = {text, 0};
	struct wbi_slice line;
	struct wbi_authorized alone;

	while (wbi_key_lines_next(&lines, &line) && lines.number != authorized->line)
		;
	CHECK(lines.number == authorized->line);
	CHECK(!wbi_authorized_keys_find(line.data, line.bytes, &key, facts, &alone, NULL));
	CHECK(alone.line == 1);
	CHECK(alone.pty == authorized->pty && alone.exec == authorized->exec &&
	      alone.jobs == authorized->jobs && alone.expires == authorized->expires);
	CHECK(!alone.command == !authorized->command);
	CHECK(!alone.command || !strcmp(alone.command, authorized->command));
	wbi_authorized_done(&alone);
}

static void check_bare_line(struct wbi_slice text, const struct wbi_authorized_facts *facts)
{
	static const char line[] = "\n" KEY;
	size_t bytes = text.bytes + sizeof(line) - 1;
	uint8_t *joined = malloc(bytes);
	struct wbi_authorized authorized;

	CHECK(joined);
	if (text.bytes)
		memcpy(joined, text.data, text.bytes);
	memcpy(joined + text.bytes, line, sizeof(line) - 1);
	CHECK(!wbi_authorized_keys_find(joined, bytes, &key, facts, &authorized, NULL));
	wbi_authorized_done(&authorized);
	free(joined);
}

static enum wb_err try_text(struct wbi_slice text, const struct wbi_authorized_facts *facts)
{
	struct wbi_authorized authorized;
	struct wb_fault fault;
	enum wb_err err =
		wbi_authorized_keys_find(text.data, text.bytes, &key, facts, &authorized, &fault);

	if (err) {
		check_fault(&fault, err, text.bytes);
	} else {
		check_authorized(&authorized);
		check_alone(text, facts, &authorized);
		wbi_authorized_done(&authorized);
	}
	check_bare_line(text, facts);
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	const uint8_t *end = bytes ? memchr(data, '\n', bytes) : NULL;
	size_t address_bytes = end ? (size_t)(end - data) : bytes;
	struct wbi_authorized_facts facts = {.now_s = NOW_S, .utc_offset_s = 7200};
	struct wbi_slice text = {data, 0};
	char address[100] = "";
	enum wb_err err;

	CHECK(!wbi_public_key_parse(KEY, strlen(KEY), &key, NULL, NULL));
	if (end)
		text = (struct wbi_slice){end + 1, bytes - address_bytes - 1};
	if (address_bytes >= sizeof(address))
		address_bytes = sizeof(address) - 1;
	if (address_bytes)
		memcpy(address, data, address_bytes);
	facts.address = address_bytes ? address : NULL;
	err = try_text(text, &facts);
	facts.own_file = true;
	CHECK(!try_text(text, &facts) || err);
	return 0;
}
