/* exec, held to a session's grant: see exec_grant.h. */
#include "service/exec_grant.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

enum { STRINGS_BYTES_MAX = 4 * 1024 * 1024 };

static const char original[] = "SSH_ORIGINAL_COMMAND=";

/* A new set of strings, one behind the other, and how many of each kind. */
struct rewrite {
	struct wbi_buf strings;
	size_t argc, envc;
	enum wb_err err;
};

static void add_bytes(struct rewrite *rewrite, const char *text, size_t bytes)
{
	if (!rewrite->err)
		rewrite->err = wbi_buf_append(&rewrite->strings, text, bytes);
}

static void add(struct rewrite *rewrite, const char *text)
{
	add_bytes(rewrite, text, strlen(text) + 1);
}

/* ---- what was asked for, as ssh would have sent it ---- */

/* For a shell: in single quotes, where it needs any. */
static void add_quoted(struct rewrite *rewrite, const char *text)
{
	if (wbi_exec_is_plain_word(text)) {
		add_bytes(rewrite, text, strlen(text));
		return;
	}
	add_bytes(rewrite, "'", 1);
	for (; *text; text++) {
		if (*text == '\'')
			add_bytes(rewrite, "'\\''", 4);
		else
			add_bytes(rewrite, text, 1);
	}
	add_bytes(rewrite, "'", 1);
}

static void add_original(struct rewrite *rewrite, const struct wbi_exec_request *request)
{
	add_bytes(rewrite, original, sizeof(original) - 1);
	if (request->shell) {
		add(rewrite, request->argv[0]);
	} else {
		for (char **word = request->argv; *word; word++) {
			if (word != request->argv)
				add_bytes(rewrite, " ", 1);
			add_quoted(rewrite, *word);
		}
		add_bytes(rewrite, "", 1);
	}
	rewrite->envc++;
}

/* ---- the environment ---- */

/* What sshd takes from a client where nothing else was said, and what no program obeys blindly. */
static bool is_harmless(const char *variable)
{
	return strncmp(variable, "LANG=", 5) == 0 || strncmp(variable, "LC_", 3) == 0;
}

static bool is_set(char *const *list, const char *variable)
{
	size_t name = strcspn(variable, "=") + 1;

	for (; *list; list++)
		if (strncmp(*list, variable, name) == 0)
			return true;
	return false;
}

static void add_environment(struct rewrite *rewrite, const struct wbi_exec_request *request,
			    const struct wbi_grant *grant)
{
	for (char **variable = grant->environment; *variable; variable++) {
		add(rewrite, *variable);
		rewrite->envc++;
	}
	for (char **variable = request->envp; *variable; variable++) {
		if (is_set(grant->environment, *variable) ||
		    (grant->command && !is_harmless(*variable)))
			continue;
		add(rewrite, *variable);
		rewrite->envc++;
	}
}

/* ---- the whole ---- */

static char **point(char **array, size_t count, char **next)
{
	for (size_t i = 0; i < count; i++) {
		array[i] = *next;
		*next += strlen(*next) + 1;
	}
	array[count] = NULL;
	return array + count + 1;
}

/* The request gets the new strings in place of its own. */
static enum wb_err replace(struct wbi_exec_request *request, struct rewrite *rewrite,
			   bool has_folder)
{
	struct wbi_slice all = wbi_buf_peek(&rewrite->strings);
	char **array = calloc(rewrite->argc + rewrite->envc + 2, sizeof(array[0]));
	char *strings = malloc(all.bytes ? all.bytes : 1), *next = strings;

	if (!array || !strings) {
		free(array);
		free(strings);
		return WB_ERR_NOMEM;
	}
	memcpy(strings, all.data, all.bytes);
	wbi_exec_request_done(request);
	request->strings = strings;
	request->argv = array;
	request->envp = point(array, rewrite->argc, &next);
	point(request->envp, rewrite->envc, &next);
	request->folder = has_folder ? next : NULL;
	return WB_OK;
}

static enum wb_err rewrite_request(struct wbi_exec_request *request, const struct wbi_grant *grant)
{
	struct rewrite rewrite = {0};
	bool has_folder = request->folder && !grant->command;
	enum wb_err err;

	wbi_buf_init(&rewrite.strings, STRINGS_BYTES_MAX);
	if (grant->command) {
		add(&rewrite, grant->command);
		rewrite.argc = 1;
	} else {
		for (; request->argv[rewrite.argc]; rewrite.argc++)
			add(&rewrite, request->argv[rewrite.argc]);
	}
	if (grant->command)
		add_original(&rewrite, request);
	add_environment(&rewrite, request, grant);
	if (has_folder)
		add(&rewrite, request->folder);
	err = rewrite.err ? rewrite.err : replace(request, &rewrite, has_folder);
	wbi_buf_done(&rewrite.strings);
	if (!err && grant->command)
		request->shell = true;
	return err;
}

enum wb_err wbi_exec_request_confine(struct wbi_exec_request *request,
				     const struct wbi_grant *grant, struct wb_fault *fault)
{
	if (!grant->exec)
		return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0,
				    "this key may not run commands");
	if (request->terminal && !grant->pty)
		return wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0,
				    "this key may not have a terminal");
	if (!grant->command && !grant->environment[0])
		return WB_OK;
	if (rewrite_request(request, grant) != WB_OK)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "exec: no memory");
	return WB_OK;
}
