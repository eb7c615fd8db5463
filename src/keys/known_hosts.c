/* known_hosts: the lines that name a host, and what they say of its key.
 *
 * The texts are read twice at most. First the lines that hold this very key, for one of them mostly
 * settles it; then those of other keys. A hashed name costs an HMAC to compare, and so only the
 * names of lines that could still change the answer are compared. */
#include "keys/known_hosts.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "keys/library.h"
#include "keys/lines.h"
#include "keys/pattern.h"

enum {
	SSH_PORT = 22,
	HASH_BYTES = 20, /* SHA-1 */
	HASH_LENGTH = (HASH_BYTES + 2) / 3 * 4,
	ENTRY_SIZE = WBI_KNOWN_HOST_NAME_MAX + 9, /* "[name]:65535" and a NUL */
};

/* What is looked for: the names an entry may have, in lower case. */
struct query {
	char exact[ENTRY_SIZE], bare[WBI_KNOWN_HOST_NAME_MAX + 1];
	const struct wbi_public_key *key;
};

enum marker { MARKER_NONE, MARKER_REVOKED, MARKER_AUTHORITY };

/* A line taken apart. */
struct entry {
	enum marker marker;
	struct wbi_slice names;
	enum wbi_key_type type;    /* WBI_KEY_UNKNOWN: well-formed, but of a kind unheard of */
	struct wbi_public_key key; /* of type WBI_KEY_ED25519 */
};

/* A place where something was found; line 0: nowhere. */
struct place {
	size_t text, line;
};

/* --- a line --- */

static bool take_marker(struct wbi_slice *rest, enum marker *ret_marker)
{
	struct wbi_slice word;

	*ret_marker = MARKER_NONE;
	if (!rest->bytes || rest->data[0] != '@')
		return true;
	word = wbi_word_take(rest);
	if (wbi_slice_is(word, "@revoked"))
		*ret_marker = MARKER_REVOKED;
	else if (wbi_slice_is(word, "@cert-authority"))
		*ret_marker = MARKER_AUTHORITY;
	return *ret_marker != MARKER_NONE;
}

/* Returns whether the line makes sense. */
static bool read_entry(struct wbi_slice line, struct entry *ret_entry)
{
	struct wbi_slice rest = line, name;
	enum wb_err err;

	if (!take_marker(&rest, &ret_entry->marker))
		return false;
	ret_entry->names = wbi_word_take(&rest);
	err = wbi_public_key_parse(rest.data, rest.bytes, &ret_entry->key, NULL, NULL);
	name = wbi_word_take(&rest);
	ret_entry->type = wbi_key_type_by_name(name.data, name.bytes);
	return !err || err == WB_ERR_UNSUPPORTED;
}

/* --- its names --- */

/* |1|salt|hash, base64: the HMAC-SHA1 of the name with the salt for a key. */
static bool is_hash_of(struct wbi_slice hashed, const char *name)
{
	uint8_t salt[HASH_BYTES + 1], known[HASH_BYTES + 1], made[EVP_MAX_MD_SIZE];
	const char *text = (const char *)hashed.data;
	size_t salt_bytes, known_bytes;

	if (hashed.bytes != 3 + HASH_LENGTH + 1 + HASH_LENGTH || memcmp(text, "|1|", 3) != 0 ||
	    text[3 + HASH_LENGTH] != '|')
		return false;
	if (wbi_base64_decode(text + 3, HASH_LENGTH, salt, sizeof(salt), &salt_bytes) ||
	    wbi_base64_decode(text + 3 + HASH_LENGTH + 1, HASH_LENGTH, known, sizeof(known),
			      &known_bytes) ||
	    salt_bytes != HASH_BYTES || known_bytes != HASH_BYTES)
		return false;
	return EVP_Q_mac(wbi_library(), "HMAC", NULL, "SHA1", NULL, salt, HASH_BYTES,
			 (const uint8_t *)name, strlen(name), made, sizeof(made), NULL) &&
	       !memcmp(made, known, HASH_BYTES);
}

static bool is_named(const struct entry *entry, const char *name)
{
	struct wbi_slice text = {(const uint8_t *)name, strlen(name)};

	if (entry->names.data[0] == '|')
		return is_hash_of(entry->names, name);
	return wbi_pattern_list_match(entry->names, text);
}

/* --- the search --- */

struct search {
	const struct query *query;
	struct place revoked, exact, bare, changed, bad;
	size_t bad_lines;
	unsigned other_types;
};

static void note(struct place *place, struct place here)
{
	if (!place->line)
		*place = here;
}

static bool is_of_query(const struct entry *entry, const struct query *query)
{
	return entry->type == WBI_KEY_ED25519 && wbi_public_key_equal(&entry->key, query->key);
}

/* First reading: lines with this key. */
static void visit_same(struct search *search, const struct entry *entry, struct place here)
{
	const struct query *query = search->query;
	bool exact, bare;

	if (entry->marker == MARKER_AUTHORITY || !is_of_query(entry, query))
		return;
	exact = is_named(entry, query->exact);
	bare = is_named(entry, query->bare);
	if (entry->marker == MARKER_REVOKED) {
		if (exact || bare)
			note(&search->revoked, here);
	} else if (exact) {
		note(&search->exact, here);
	} else if (bare) {
		note(&search->bare, here);
	}
}

/* Second reading: lines with others. */
static void visit_other(struct search *search, const struct entry *entry, struct place here)
{
	const struct query *query = search->query;

	if (entry->marker != MARKER_NONE || is_of_query(entry, query) ||
	    !is_named(entry, query->exact))
		return;
	if (entry->type == WBI_KEY_ED25519)
		note(&search->changed, here);
	else
		search->other_types |= 1u << entry->type;
}

typedef void visit(struct search *search, const struct entry *entry, struct place here);

static void read_texts(struct search *search, const struct wbi_slice *texts, size_t count,
		       visit *visit_entry)
{
	search->bad_lines = 0;
	for (size_t i = 0; i < count; i++) {
		struct wbi_key_lines lines = {texts[i], 0};
		struct wbi_slice line;
		struct entry entry;

		while (wbi_key_lines_next(&lines, &line)) {
			struct place here = {i, lines.number};

			if (read_entry(line, &entry)) {
				visit_entry(search, &entry, here);
			} else {
				search->bad_lines++;
				note(&search->bad, here);
			}
		}
	}
}

static struct wbi_known_host_finding judge(const struct search *search)
{
	const struct {
		enum wbi_known_host verdict;
		struct place place;
	} answers[] = {
		{WBI_HOST_REVOKED, search->revoked},
		{WBI_HOST_MATCH, search->exact},
		{WBI_HOST_CHANGED, search->changed},
		{WBI_HOST_MATCH, search->bare},
	};
	struct wbi_known_host_finding finding = {
		.verdict = WBI_HOST_UNKNOWN,
		.other_types = search->other_types,
		.bad_lines = search->bad_lines,
		.bad_text = search->bad.text,
		.bad_line = search->bad.line,
	};

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		if (!answers[i].place.line)
			continue;
		finding.verdict = answers[i].verdict;
		finding.text = answers[i].place.text;
		finding.line = answers[i].place.line;
		break;
	}
	return finding;
}

/* "host" at ssh's own port, else "[host]:port". Returns false where the host is too long. */
static bool write_name(const char *host, uint16_t port, char out[ENTRY_SIZE])
{
	if (strlen(host) > WBI_KNOWN_HOST_NAME_MAX)
		return false;
	if (port == SSH_PORT)
		stpcpy(out, host);
	else
		snprintf(out, ENTRY_SIZE, "[%s]:%u", host, port);
	for (char *at = out; *at; at++) {
		if (*at >= 'A' && *at <= 'Z')
			*at = (char)(*at + 32);
	}
	return true;
}

void wbi_known_hosts_find(const struct wbi_slice *texts, size_t count, const char *host,
			  uint16_t port, const struct wbi_public_key *key,
			  struct wbi_known_host_finding *ret_finding)
{
	struct query query = {.key = key};
	struct search search = {.query = &query};
	char bare[ENTRY_SIZE];

	if (write_name(host, port, query.exact) && write_name(host, SSH_PORT, bare)) {
		stpcpy(query.bare, bare);
		read_texts(&search, texts, count, visit_same);
		if (!search.revoked.line && !search.exact.line)
			read_texts(&search, texts, count, visit_other);
	}
	*ret_finding = judge(&search);
}

/* --- writing --- */

static bool is_plain_name(const char *host)
{
	for (const char *at = host; *at; at++) {
		if ((unsigned char)*at <= ' ' || *at == 0x7F || strchr(",*?!|#@[]\"\\", *at))
			return false;
	}
	return *host;
}

enum wb_err wbi_known_hosts_format(const char *host, uint16_t port,
				   const struct wbi_public_key *key,
				   char out[WBI_KNOWN_HOST_LINE_SIZE], struct wb_fault *fault)
{
	char name[ENTRY_SIZE], text[WBI_PUBLIC_KEY_TEXT_SIZE];

	if (!is_plain_name(host) || !write_name(host, port, name))
		return wb_fault_set(fault, WB_ERR_ARGUMENT, NULL, 0,
				    "%s: not a name that known_hosts can hold", host);
	wbi_public_key_text(key, text);
	snprintf(out, WBI_KNOWN_HOST_LINE_SIZE, "%s %s\n", name, text);
	return WB_OK;
}
