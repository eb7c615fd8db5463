/* Reading an `open` of exec: fields from the header, byte strings from the payload. */
#include "service/exec_request.h"

#include <stdlib.h>
#include <string.h>

struct counts {
	uint64_t argc, envc;
	bool folder;
};

/* ---- fields ---- */

static enum wb_err get_integer(const struct wb_header *header, const char *name, uint64_t most,
			       uint64_t *value, struct wb_fault *fault)
{
	enum wb_err err;

	if (!wb_header_find(header, name))
		return WB_OK;
	err = wb_header_get_integer(header, name, value, fault);
	if (!err && *value > most)
		err = wb_fault_set(fault, WB_ERR_RANGE, name, 0, "%s: at most %llu", name,
				   (unsigned long long)most);
	return err;
}

static enum wb_err get_bool(const struct wb_header *header, const char *name, bool *value,
			    struct wb_fault *fault)
{
	return wb_header_find(header, name) ? wb_header_get_bool(header, name, value, fault)
					    : WB_OK;
}

static enum wb_err get_policy(const struct wb_header *header, enum wbi_exec_policy *policy,
			      struct wb_fault *fault)
{
	static const char *const names[] = {
		[WBI_EXEC_KILL] = "kill", [WBI_EXEC_HOLD] = "hold", [WBI_EXEC_DETACH] = "detach"};

	*policy = WBI_EXEC_HOLD;
	if (!wb_header_find(header, "on_disconnect"))
		return WB_OK;
	for (int i = WBI_EXEC_KILL; i <= WBI_EXEC_DETACH; i++) {
		if (wb_header_text_is(header, "on_disconnect", names[i])) {
			*policy = (enum wbi_exec_policy)i;
			return WB_OK;
		}
	}
	return wb_fault_set(fault, WB_ERR_MALFORMED, "on_disconnect", 0,
			    "on_disconnect: not kill, hold or detach");
}

static enum wb_err get_terminal(struct wbi_exec_request *request, const struct wb_header *header,
				struct wb_fault *fault)
{
	enum { NAME = sizeof("TERM=") - 1 };
	uint64_t rows = 0, cols = 0;
	enum wb_err err = get_bool(header, "pty", &request->terminal, fault);

	if (err || !request->terminal)
		return err;
	memcpy(request->term, "TERM=dumb", sizeof("TERM=dumb"));
	err = get_integer(header, "rows", UINT16_MAX, &rows, fault);
	if (!err)
		err = get_integer(header, "cols", UINT16_MAX, &cols, fault);
	if (!err && wb_header_find(header, "term"))
		err = wb_header_get_text(header, "term", request->term + NAME, WBI_EXEC_TERM_MAX,
					 NULL, fault);
	request->rows = (uint16_t)rows;
	request->cols = (uint16_t)cols;
	return err;
}

static enum wb_err get_fields(struct wbi_exec_request *request, const struct wb_header *header,
			      struct counts *counts, struct wb_fault *fault)
{
	enum wb_err err = wb_header_get_integer(header, "argc", &counts->argc, fault);

	if (!err)
		err = get_integer(header, "envc", WB_INTEGER_MAX, &counts->envc, fault);
	if (!err)
		err = get_bool(header, "cwd", &counts->folder, fault);
	if (!err)
		err = get_bool(header, "shell", &request->shell, fault);
	if (!err)
		err = get_integer(header, "timeout_ms", WB_INTEGER_MAX, &request->timeout_ms,
				  fault);
	if (!err)
		err = get_integer(header, "hold_ms", WB_INTEGER_MAX, &request->hold_ms, fault);
	if (!err)
		err = get_policy(header, &request->policy, fault);
	if (!err)
		err = get_terminal(request, header, fault);
	return err;
}

/* ---- strings ---- */

/* The counts are the peer's word; what they say must agree with what is there, before memory is
 * taken for it. */
static enum wb_err check_counts(const struct counts *counts, const struct wbi_exec_request *request,
				struct wbi_slice payload, struct wb_fault *fault)
{
	const uint8_t *at = payload.data, *end = payload.data + payload.bytes;
	uint64_t strings = 0;

	for (; at < end && (at = memchr(at, '\0', (size_t)(end - at))) != NULL; at++)
		strings++;
	if (payload.bytes == 0 || end[-1] != '\0' || counts->argc > strings ||
	    counts->envc > strings || counts->argc + counts->envc + counts->folder != strings)
		return wb_fault_set(fault, WB_ERR_MALFORMED, "argc", 0,
				    "argc, envc, cwd: not what the payload holds");
	if (counts->argc == 0 || (request->shell && counts->argc != 1))
		return wb_fault_set(fault, WB_ERR_MALFORMED, "argc", 0, "argc: %s",
				    request->shell ? "a shell takes one line" : "no command");
	return WB_OK;
}

static char **fill(char **array, uint64_t count, char **next)
{
	for (uint64_t i = 0; i < count; i++) {
		array[i] = *next;
		*next += strlen(*next) + 1;
	}
	array[count] = NULL;
	return array;
}

static enum wb_err check_env(char *const *envp, struct wb_fault *fault)
{
	for (; *envp; envp++) {
		if (**envp == '=' || !strchr(*envp, '='))
			return wb_fault_set(fault, WB_ERR_MALFORMED, "envc", 0,
					    "envc: an entry is no NAME=value");
	}
	return WB_OK;
}

static enum wb_err take_strings(struct wbi_exec_request *request, const struct counts *counts,
				struct wbi_slice payload, struct wb_fault *fault)
{
	char *next;

	request->strings = malloc(payload.bytes);
	request->argv = calloc(counts->argc + counts->envc + 2, sizeof(request->argv[0]));
	if (!request->strings || !request->argv)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "exec: no memory");
	memcpy(request->strings, payload.data, payload.bytes);
	next = request->strings;
	fill(request->argv, counts->argc, &next);
	request->envp = fill(request->argv + counts->argc + 1, counts->envc, &next);
	request->folder = counts->folder ? next : NULL;
	return check_env(request->envp, fault);
}

enum wb_err wbi_exec_request_read(struct wbi_exec_request *ret_request,
				  const struct wb_header *header, struct wbi_slice payload,
				  struct wb_fault *fault)
{
	struct counts counts = {0};
	enum wb_err err;

	*ret_request = (struct wbi_exec_request){0};
	err = get_fields(ret_request, header, &counts, fault);
	if (!err)
		err = check_counts(&counts, ret_request, payload, fault);
	if (!err)
		err = take_strings(ret_request, &counts, payload, fault);
	return err;
}

void wbi_exec_request_done(struct wbi_exec_request *request)
{
	free(request->argv);
	free(request->strings);
}

bool wbi_exec_is_plain_word(const char *text)
{
	return text[0] && text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					    "0123456789_@%+=:,./-")] == '\0';
}
