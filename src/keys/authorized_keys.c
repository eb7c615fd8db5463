/* authorized_keys: from the lines that hold a key to what its owner may do. */
#include "keys/authorized_keys.h"

#include <stdlib.h>
#include <string.h>

#include "keys/address.h"
#include "keys/authorized_options.h"
#include "keys/lines.h"
#include "keys/pattern.h"

void wbi_authorized_done(struct wbi_authorized *authorized)
{
	if (!authorized)
		return;
	free(authorized->storage);
	memset(authorized, 0, sizeof(*authorized));
}

/* --- a line --- */

enum line_kind { LINE_OURS, LINE_OTHER, LINE_BAD };

/* A line begins with a key, or with options and then a key, as for sshd: a first word that is no
 * kind of key is options. */
static enum line_kind read_line(struct wbi_slice line, const struct wbi_public_key *key,
				struct wbi_slice *ret_options)
{
	struct wbi_public_key found;
	size_t options_bytes = 0;
	enum wb_err err;

	if (line.bytes > WBI_AUTHORIZED_LINE_MAX)
		return LINE_BAD;
	err = wbi_public_key_parse(line.data, line.bytes, &found, NULL, NULL);
	if (err == WB_ERR_MALFORMED) {
		struct wbi_slice rest = line;

		options_bytes = wbi_authorized_options_measure(line);
		if (options_bytes == SIZE_MAX)
			return LINE_BAD;
		wbi_skip(&rest, options_bytes);
		wbi_skip_blanks(&rest);
		err = wbi_public_key_parse(rest.data, rest.bytes, &found, NULL, NULL);
	}
	*ret_options = (struct wbi_slice){line.data, options_bytes};
	if (err)
		return err == WB_ERR_UNSUPPORTED ? LINE_OTHER : LINE_BAD;
	return wbi_public_key_equal(&found, key) ? LINE_OURS : LINE_OTHER;
}

/* --- from= --- */

static struct wbi_slice slice_of(const char *text)
{
	return (struct wbi_slice){(const uint8_t *)text, strlen(text)};
}

/* Digits, dots and slashes only, or anything with a slash: it was meant to be a network. */
static bool is_meant_as_network(struct wbi_slice pattern)
{
	size_t at = 0;

	if (memchr(pattern.data, '/', pattern.bytes))
		return true;
	while (at < pattern.bytes && memchr("0123456789.", pattern.data[at], 11))
		at++;
	return at == pattern.bytes;
}

struct knocker {
	struct wbi_address address;
	struct wbi_slice text; /* as it was given, but IPv4 as IPv4 */
};

/* Returns NULL where one of the patterns lets them in and no negated one keeps them out; else why
 * not (static). */
static const char *check_patterns(struct wbi_slice list, const struct knocker *knocker)
{
	struct wbi_slice pattern;
	bool negated, found = false, barred = false;

	while (wbi_pattern_next(&list, &pattern, &negated)) {
		struct wbi_network network;
		bool matches;

		if (wbi_network_parse(pattern, &network))
			matches = wbi_network_holds(&network, &knocker->address);
		else if (is_meant_as_network(pattern)) /* the empty one, too */
			return "a network in it makes no sense";
		else
			matches = wbi_pattern_match(pattern, knocker->text);
		found |= matches && !negated;
		barred |= matches && negated;
	}
	return found && !barred ? NULL : "the address is not one of those";
}

static const char *check_from(const char *from, const char *address)
{
	char ipv4[WBI_ADDRESS_TEXT_SIZE];
	struct knocker knocker;

	if (!address)
		return "there is no address to compare";
	knocker.text = slice_of(address);
	if (!wbi_address_parse(knocker.text, &knocker.address))
		return "the address is not numeric";
	wbi_address_ipv4_text(&knocker.address, ipv4);
	if (ipv4[0])
		knocker.text = slice_of(ipv4);
	return check_patterns(slice_of(from), &knocker);
}

/* --- the verdict on a line --- */

static enum wb_err judge_options(const struct wbi_authorized_options *options,
				 const struct wbi_authorized_facts *facts, struct wb_fault *fault)
{
	const char *wrong;

	if (options->principals)
		return wb_fault_set(fault, WB_ERR_REFUSED, "principals", 0,
				    "principals: only a certificate has any");
	if (options->allowed.expires && facts->now_s > options->allowed.expires_s)
		return wb_fault_set(fault, WB_ERR_REFUSED, "expiry-time", 0,
				    "expiry-time: %s has passed", options->expiry_time);
	wrong = options->from ? check_from(options->from, facts->address) : NULL;
	if (wrong)
		return wb_fault_set(fault, WB_ERR_REFUSED, "from", 0, "from: %s: %s",
				    facts->address ? facts->address : "no address", wrong);
	return WB_OK;
}

/* Returns WB_OK; WB_ERR_MISSING (a certificate authority: not a line of this key's); and the errors
 * of reading and judging. */
static enum wb_err read_options(struct wbi_slice text, const struct wbi_authorized_facts *facts,
				struct wbi_authorized *ret_authorized, struct wb_fault *fault)
{
	struct wbi_authorized_options options;
	enum wb_err err = wbi_authorized_options_parse(text, facts->own_file, facts->utc_offset_s,
						       &options, fault);

	if (err)
		return err;
	err = options.authority ? WB_ERR_MISSING : judge_options(&options, facts, fault);
	if (err)
		wbi_authorized_done(&options.allowed);
	else
		*ret_authorized = options.allowed;
	return err;
}

/* --- the search --- */

struct count {
	size_t bad, first_bad;
};

static enum wb_err missing(const struct count *count, struct wb_fault *fault)
{
	if (!count->bad)
		return wb_fault_set(fault, WB_ERR_MISSING, NULL, 0, "no line has this key");
	return wb_fault_set(fault, WB_ERR_MISSING, "line", 0,
			    "no line has this key (%zu make no sense or are too long, the first is "
			    "line %zu)",
			    count->bad, count->first_bad);
}

static void keep_first(struct wb_fault *first, const struct wb_fault *why, size_t line,
		       size_t offset)
{
	if (!first->err)
		wb_fault_set(first, why->err, why->field, offset, "line %zu: %s", line, why->text);
}

enum wb_err wbi_authorized_keys_find(const void *text, size_t bytes,
				     const struct wbi_public_key *key,
				     const struct wbi_authorized_facts *facts,
				     struct wbi_authorized *ret_authorized, struct wb_fault *fault)
{
	struct wbi_key_lines lines = {{text, bytes}, 0};
	struct wb_fault first = {.err = WB_OK}, why;
	struct count count = {0, 0};
	struct wbi_slice line, options;
	enum wb_err err;

	while (wbi_key_lines_next(&lines, &line)) {
		enum line_kind kind = read_line(line, key, &options);

		if (kind == LINE_BAD && !count.bad++)
			count.first_bad = lines.number;
		if (kind != LINE_OURS)
			continue;
		err = read_options(options, facts, ret_authorized, &why);
		if (!err)
			ret_authorized->line = lines.number;
		if (!err || err == WB_ERR_NOMEM)
			goto out;
		if (err == WB_ERR_REFUSED)
			keep_first(&first, &why, lines.number,
				   (size_t)(line.data - (const uint8_t *)text));
	}
	why = first;
	err = first.err ? first.err : missing(&count, &why);
out:
	if (err && fault)
		*fault = why;
	return err;
}
