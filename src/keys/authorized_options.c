/* The options before a key: sshd's grammar, a table of what is known, and one function for each
 * that means something here. */
#include "keys/authorized_options.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "keys/authorized_value.h"
#include "keys/lines.h"

enum { NAME_SIZE = WB_FAULT_FIELD_MAX };

/* The strings of one line: no more bytes than its options have. */
struct storage {
	const char *environment[WBI_AUTHORIZED_ENVIRONMENT_MAX + 1];
	size_t environment_count;
	char text[];
};

/* Options being read. */
struct reading {
	struct wbi_authorized_options *options;
	struct storage *storage;
	char *free_text; /* where the next string goes */
	int32_t utc_offset_s;
};

/* What an option does. value: NULL for a flag. Returns NULL, or what is wrong (static). */
typedef const char *apply(struct reading *reading, char *value, bool negated);

static const char *apply_nothing(struct reading *reading, char *value, bool negated)
{
	(void)reading, (void)value, (void)negated;
	return NULL;
}

static const char *apply_restrict(struct reading *reading, char *value, bool negated)
{
	(void)value, (void)negated;
	reading->options->allowed.pty = false;
	return NULL;
}

static const char *apply_authority(struct reading *reading, char *value, bool negated)
{
	(void)value, (void)negated;
	reading->options->authority = true;
	return NULL;
}

static const char *apply_pty(struct reading *reading, char *value, bool negated)
{
	(void)value;
	reading->options->allowed.pty = !negated;
	return NULL;
}

static const char *set_once(const char **to, const char *value)
{
	if (*to)
		return "there twice";
	*to = value;
	return NULL;
}

static const char *apply_command(struct reading *reading, char *value, bool negated)
{
	(void)negated;
	return set_once(&reading->options->allowed.command, value);
}

static const char *apply_from(struct reading *reading, char *value, bool negated)
{
	(void)negated;
	return set_once(&reading->options->from, value);
}

static const char *apply_principals(struct reading *reading, char *value, bool negated)
{
	(void)negated;
	return set_once(&reading->options->principals, value);
}

/* The earliest of several counts. */
static const char *apply_expiry(struct reading *reading, char *value, bool negated)
{
	struct wbi_authorized *allowed = &reading->options->allowed;
	int64_t time_s;

	(void)negated;
	if (!wbi_authorized_time(value, reading->utc_offset_s, &time_s))
		return "not a time (YYYYMMDD[HHMM[SS]][Z])";
	if (!allowed->expires || time_s < allowed->expires_s) {
		allowed->expires_s = time_s;
		reading->options->expiry_time = value;
	}
	allowed->expires = true;
	return NULL;
}

/* The first of several values for a name counts. */
static const char *apply_environment(struct reading *reading, char *value, bool negated)
{
	struct storage *storage = reading->storage;
	size_t name_bytes = wbi_authorized_name_bytes(value);

	(void)negated;
	if (!name_bytes)
		return "not NAME=value";
	for (size_t i = 0; i < storage->environment_count; i++) {
		if (!strncmp(storage->environment[i], value, name_bytes + 1))
			return NULL;
	}
	if (storage->environment_count == WBI_AUTHORIZED_ENVIRONMENT_MAX)
		return "too many of them";
	storage->environment[storage->environment_count++] = value;
	return NULL;
}

static const char *apply_permit(struct reading *reading, char *value, bool negated)
{
	const char *wrong = set_once(&reading->options->permit, value);

	(void)negated;
	return wrong ? wrong : wbi_authorized_permit(value, &reading->options->allowed);
}

enum option_kind { FLAG, FLAG_OR_NO, VALUE, OWN_VALUE };

static const struct option {
	const char *name;
	enum option_kind kind;
	apply *apply;
} known_options[] = {
	{"restrict", FLAG, apply_restrict},
	{"cert-authority", FLAG, apply_authority},
	{"pty", FLAG_OR_NO, apply_pty},
	{"command", VALUE, apply_command},
	{"from", VALUE, apply_from},
	{"expiry-time", VALUE, apply_expiry},
	{"environment", VALUE, apply_environment},
	{"principals", VALUE, apply_principals},
	{"permit", OWN_VALUE, apply_permit},
	/* Moot: nothing is forwarded here, no ~/.ssh/rc is run, and an Ed25519 key without
	   hardware can be asked neither for a touch nor for a PIN. */
	{"port-forwarding", FLAG_OR_NO, apply_nothing},
	{"agent-forwarding", FLAG_OR_NO, apply_nothing},
	{"x11-forwarding", FLAG_OR_NO, apply_nothing},
	{"user-rc", FLAG_OR_NO, apply_nothing},
	{"touch-required", FLAG_OR_NO, apply_nothing},
	{"verify-required", FLAG_OR_NO, apply_nothing},
	{"permitopen", VALUE, apply_nothing},
	{"permitlisten", VALUE, apply_nothing},
	{"tunnel", VALUE, apply_nothing},
};

/* --- the grammar --- */

size_t wbi_authorized_options_measure(struct wbi_slice line)
{
	bool quoted = false;
	size_t at = 0;

	for (; at < line.bytes; at++) {
		if (line.data[at] == '\\' && at + 1 < line.bytes && line.data[at + 1] == '"')
			at++;
		else if (line.data[at] == '"')
			quoted = !quoted;
		else if (!quoted && (line.data[at] == ' ' || line.data[at] == '\t'))
			break;
	}
	return quoted ? SIZE_MAX : at;
}

/* Takes "value" from the front, into the storage, with \" for a quote and no other escape. Returns
 * NULL where there is no such thing. */
static char *take_value(struct reading *reading, struct wbi_slice *rest)
{
	char *value = reading->free_text, *to = value;
	size_t at = 1;

	if (!rest->bytes || rest->data[0] != '"')
		return NULL;
	while (at < rest->bytes && rest->data[at] != '"') {
		if (rest->data[at] == '\\' && at + 1 < rest->bytes && rest->data[at + 1] == '"')
			at++;
		*to++ = (char)rest->data[at++];
	}
	if (at == rest->bytes)
		return NULL;
	*to++ = '\0';
	reading->free_text = to;
	wbi_skip(rest, at + 1);
	return value;
}

static struct wbi_slice take_name(struct wbi_slice *rest)
{
	struct wbi_slice name = {rest->data, 0};

	while (name.bytes < rest->bytes && rest->data[name.bytes] != '=' &&
	       rest->data[name.bytes] != ',')
		name.bytes++;
	wbi_skip(rest, name.bytes);
	return name;
}

static const struct option *find_option(struct wbi_slice name, bool own_file, bool *ret_negated)
{
	struct wbi_slice positive = name;

	*ret_negated = name.bytes > 3 && !strncasecmp((const char *)name.data, "no-", 3);
	if (*ret_negated)
		wbi_skip(&positive, 3);
	for (size_t i = 0; i < sizeof(known_options) / sizeof(known_options[0]); i++) {
		const struct option *option = &known_options[i];

		if (!wbi_slice_is_nocase(*ret_negated ? positive : name, option->name))
			continue;
		if ((*ret_negated && option->kind != FLAG_OR_NO) ||
		    (option->kind == OWN_VALUE && !own_file))
			return NULL;
		return option;
	}
	return NULL;
}

/* Reads one option from the front. Returns NULL, or what is wrong with it (static). */
static const char *read_option(struct reading *reading, struct wbi_slice name, bool own_file,
			       struct wbi_slice *rest)
{
	bool negated, has_value = rest->bytes && rest->data[0] == '=';
	const struct option *option = find_option(name, own_file, &negated);
	char *value = NULL;

	if (!option)
		return !own_file && wbi_slice_is_nocase(name, "permit")
			       ? "an option for Waybill's own file only"
			       : "unknown option";
	if (has_value != (option->kind == VALUE || option->kind == OWN_VALUE))
		return has_value ? "takes no value" : "has no value";
	if (has_value) {
		wbi_skip(rest, 1);
		value = take_value(reading, rest);
		if (!value)
			return "its value is not in quotes";
	}
	if (rest->bytes && rest->data[0] != ',')
		return "something behind it that is no comma";
	return option->apply(reading, value, negated);
}

static enum wb_err refuse_option(struct wbi_slice name, const char *wrong, struct wb_fault *fault)
{
	char text[NAME_SIZE] = "";
	size_t bytes = name.bytes < NAME_SIZE ? name.bytes : NAME_SIZE - 1;

	memcpy(text, name.data, bytes);
	return wb_fault_set(fault, WB_ERR_REFUSED, text, 0, "%s: %s", *text ? text : "an option",
			    *text ? wrong : "empty");
}

static enum wb_err read_options(struct reading *reading, struct wbi_slice text, bool own_file,
				struct wb_fault *fault)
{
	struct wbi_slice rest = text;
	bool more = text.bytes > 0;

	while (more) {
		struct wbi_slice name = take_name(&rest);
		const char *wrong = read_option(reading, name, own_file, &rest);

		if (wrong)
			return refuse_option(name, wrong, fault);
		more = rest.bytes > 0; /* then it is a comma, and another option has to follow */
		if (more)
			wbi_skip(&rest, 1);
	}
	return WB_OK;
}

/* Unless it says otherwise, a line allows everything; but one with a command allows that command,
 * and so no files. */
static void settle(struct reading *reading)
{
	struct wbi_authorized *allowed = &reading->options->allowed;

	if (!reading->options->permit)
		allowed->put.allowed = allowed->get.allowed = !allowed->command;
	allowed->environment = reading->storage->environment;
}

enum wb_err wbi_authorized_options_parse(struct wbi_slice text, bool own_file, int32_t utc_offset_s,
					 struct wbi_authorized_options *ret_options,
					 struct wb_fault *fault)
{
	struct wbi_authorized_options options = {
		.allowed = {.pty = true, .exec = true, .jobs = true}};
	struct reading reading = {.options = &options, .utc_offset_s = utc_offset_s};
	enum wb_err err;

	if (text.bytes && memchr(text.data, '\0', text.bytes))
		return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0, "options: a NUL byte in them");
	reading.storage = calloc(1, sizeof(*reading.storage) + text.bytes + 1);
	if (!reading.storage)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "options: no memory");
	reading.free_text = reading.storage->text;
	options.allowed.storage = reading.storage;
	err = read_options(&reading, text, own_file, fault);
	settle(&reading);
	if (err)
		wbi_authorized_done(&options.allowed);
	else
		*ret_options = options;
	return err;
}
