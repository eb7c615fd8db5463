/* exec held to a grant: what is asked for, and what runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "service/exec_grant.h"

/* argv, then envp: "a\0b\0" in one piece, as an `open` brings it. */
static struct wbi_exec_request request_of(const char *const *argv, const char *const *envp,
					  const char *folder)
{
	struct wbi_exec_request request = {0};
	const char *const *lists[2] = {argv, envp};
	char *next;
	size_t at = 0;

	request.strings = next = malloc(4096);
	request.argv = calloc(32, sizeof(request.argv[0]));
	for (int list = 0; list < 2; list++) {
		for (const char *const *word = lists[list]; *word; word++) {
			request.argv[at++] = strcpy(next, *word);
			next += strlen(next) + 1;
		}
		if (list == 0)
			request.envp = request.argv + ++at;
	}
	request.folder = folder ? strcpy(next, folder) : NULL;
	return request;
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NOTHING   ((const char *const[]){NULL})

static void assert_list(char **list, const char *const *expected)
{
	for (; *expected; list++, expected++) {
		assert_non_null(*list);
		assert_string_equal(*list, *expected);
	}
	assert_null(*list);
}

static struct wbi_grant *everything(void)
{
	struct wbi_grant *grant;

	assert_int_equal(wbi_grant_new(true, &grant), WB_OK);
	return grant;
}

static void nothing_changes_by_itself(void **state)
{
	struct wbi_exec_request request = request_of(LIST("a", "b"), LIST("X=1"), "/f");
	struct wbi_grant *grant = everything();
	char **before = request.argv;
	(void)state;

	assert_int_equal(wbi_exec_request_confine(&request, grant, NULL), WB_OK);
	assert_ptr_equal(request.argv, before);
	wbi_exec_request_done(&request);
	wbi_grant_free(grant);
}

static void what_is_not_granted(void **state)
{
	struct wbi_exec_request request = request_of(LIST("a"), NOTHING, NULL);
	struct wbi_grant *grant = everything();
	(void)state;

	grant->pty = false;
	assert_int_equal(wbi_exec_request_confine(&request, grant, NULL), WB_OK);
	request.terminal = true;
	assert_int_equal(wbi_exec_request_confine(&request, grant, NULL), WB_ERR_REFUSED);
	request.terminal = false;
	grant->exec = false;
	assert_int_equal(wbi_exec_request_confine(&request, grant, NULL), WB_ERR_REFUSED);
	wbi_exec_request_done(&request);
	wbi_grant_free(grant);
}

static void the_grants_variables_win(void **state)
{
	struct wbi_exec_request request =
		request_of(LIST("a", ""), LIST("X=mine", "Y=2", "XY=3"), "/f");
	struct wbi_grant *grant = everything();
	(void)state;

	assert_int_equal(wbi_grant_set_variable(grant, "X=theirs"), WB_OK);
	assert_int_equal(wbi_exec_request_confine(&request, grant, NULL), WB_OK);
	assert_list(request.argv, LIST("a", ""));
	assert_list(request.envp, LIST("X=theirs", "Y=2", "XY=3"));
	assert_string_equal(request.folder, "/f");
	assert_false(request.shell);
	wbi_exec_request_done(&request);
	wbi_grant_free(grant);
}

static void a_forced_command(void **state)
{
	struct wbi_exec_request request = request_of(
		LIST("prog", "a b", "it's", ""),
		LIST("LD_PRELOAD=/evil", "LANG=C", "LC_ALL=C", "SSH_ORIGINAL_COMMAND=forged"),
		"/f");
	struct wbi_grant *grant = everything();
	(void)state;

	assert_int_equal(wbi_grant_set_text(&grant->command, "only this"), WB_OK);
	assert_int_equal(wbi_grant_set_variable(grant, "ROLE=ci"), WB_OK);
	assert_int_equal(wbi_exec_request_confine(&request, grant, NULL), WB_OK);
	assert_true(request.shell);
	assert_list(request.argv, LIST("only this"));
	assert_list(request.envp, LIST("SSH_ORIGINAL_COMMAND=prog 'a b' 'it'\\''s' ''", "ROLE=ci",
				       "LANG=C", "LC_ALL=C"));
	assert_null(request.folder);
	wbi_exec_request_done(&request);
	wbi_grant_free(grant);
}

static void a_forced_command_for_a_shells_line(void **state)
{
	struct wbi_exec_request request = request_of(LIST("a | 'b'"), NOTHING, NULL);
	struct wbi_grant *grant = everything();
	(void)state;

	request.shell = true;
	assert_int_equal(wbi_grant_set_text(&grant->command, "x"), WB_OK);
	assert_int_equal(wbi_exec_request_confine(&request, grant, NULL), WB_OK);
	assert_list(request.envp, LIST("SSH_ORIGINAL_COMMAND=a | 'b'"));
	wbi_exec_request_done(&request);
	wbi_grant_free(grant);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_changes_by_itself),
		cmocka_unit_test(what_is_not_granted),
		cmocka_unit_test(the_grants_variables_win),
		cmocka_unit_test(a_forced_command),
		cmocka_unit_test(a_forced_command_for_a_shells_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
