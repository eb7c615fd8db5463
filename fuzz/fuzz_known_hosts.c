/* known_hosts: the input is a host on a line of its own and the text of a file.
 *
 * Whatever the text is: cut in two at a line's end it says the same as in one; a line for the host
 * behind it makes it match unless the key is revoked; a line that revokes has the last word. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keys/known_hosts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDpz0BqWl3ggFnKWm6JEq4AMLTUCGzvxE2/8Lxq0+q4h"

static struct wbi_public_key key;

static struct wbi_known_host_finding find(const struct wbi_slice *texts, size_t count,
					  const char *host, uint16_t port)
{
	struct wbi_known_host_finding finding;

	wbi_known_hosts_find(texts, count, host, port, &key, &finding);
	CHECK(!finding.line == (finding.verdict == WBI_HOST_UNKNOWN));
	CHECK(!finding.bad_line == !finding.bad_lines);
	CHECK(finding.text < count + !count && finding.bad_text < count + !count);
	CHECK(!(finding.other_types & 1u << WBI_KEY_ED25519));
	return finding;
}

/* Behind a text and a newline, another text. */
static enum wbi_known_host with_line(struct wbi_slice text, const char *line, const char *host,
				     uint16_t port)
{
	struct wbi_slice texts[] = {text, {(const uint8_t *)line, strlen(line)}};
	size_t bytes = text.bytes + 1 + strlen(line);
	uint8_t *joined = malloc(bytes);
	struct wbi_slice whole = {joined, bytes};
	enum wbi_known_host verdict;

	CHECK(joined);
	if (text.bytes)
		memcpy(joined, text.data, text.bytes);
	joined[text.bytes] = '\n';
	memcpy(joined + text.bytes + 1, line, strlen(line));
	verdict = find(&whole, 1, host, port).verdict;
	CHECK(verdict == find(texts, 2, host, port).verdict);
	free(joined);
	return verdict;
}

static void check_cut(struct wbi_slice text, const struct wbi_known_host_finding *finding,
		      const char *host, uint16_t port)
{
	struct wbi_slice halves[2] = {text, text};
	const uint8_t *middle =
		memchr(text.data + text.bytes / 2, '\n', text.bytes - text.bytes / 2);
	struct wbi_known_host_finding cut;

	if (!middle)
		return;
	halves[0].bytes = (size_t)(middle + 1 - text.data);
	halves[1].data += halves[0].bytes;
	halves[1].bytes -= halves[0].bytes;
	cut = find(halves, 2, host, port);
	CHECK(cut.verdict == finding->verdict);
	CHECK(cut.bad_lines == finding->bad_lines);
	CHECK(cut.other_types == finding->other_types);
}

static void try_host(struct wbi_slice text, const char *host, uint16_t port)
{
	struct wbi_known_host_finding finding = find(&text, 1, host, port);
	char line[WBI_KNOWN_HOST_LINE_SIZE], revoked[WBI_KNOWN_HOST_LINE_SIZE + 16];
	enum wbi_known_host verdict;

	if (text.bytes)
		check_cut(text, &finding, host, port);
	if (wbi_known_hosts_format(host, port, &key, line, NULL))
		return;
	verdict = with_line(text, line, host, port);
	CHECK(verdict == (finding.verdict == WBI_HOST_REVOKED ? WBI_HOST_REVOKED : WBI_HOST_MATCH));
	snprintf(revoked, sizeof(revoked), "@revoked %s", line);
	CHECK(with_line(text, revoked, host, port) == WBI_HOST_REVOKED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	const uint8_t *end = bytes ? memchr(data, '\n', bytes) : NULL;
	size_t host_bytes = end ? (size_t)(end - data) : bytes;
	struct wbi_slice text = {data, 0};
	char host[300] = "";

	CHECK(!wbi_public_key_parse(KEY, strlen(KEY), &key, NULL, NULL));
	if (end)
		text = (struct wbi_slice){end + 1, bytes - host_bytes - 1};
	if (host_bytes >= sizeof(host))
		host_bytes = sizeof(host) - 1;
	if (host_bytes)
		memcpy(host, data, host_bytes);
	try_host(text, host, 22);
	try_host(text, host, 9292);
	return 0;
}
