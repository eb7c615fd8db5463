/* Grants: see grant.h. */
#include "job/grant.h"

#include <stdlib.h>
#include <string.h>

enum wb_err wbi_grant_new(bool everything, struct wbi_grant **ret_grant)
{
	struct wbi_grant *grant = calloc(1, sizeof(*grant));

	if (!grant || !(grant->environment = calloc(1, sizeof(grant->environment[0])))) {
		free(grant);
		return WB_ERR_NOMEM;
	}
	grant->exec = grant->pty = grant->jobs = grant->put = grant->get = everything;
	*ret_grant = grant;
	return WB_OK;
}

void wbi_grant_free(struct wbi_grant *grant)
{
	if (!grant)
		return;
	for (char **variable = grant->environment; *variable; variable++)
		free(*variable);
	free(grant->environment);
	free(grant->command);
	free(grant->put_root);
	free(grant->get_root);
	free(grant);
}

enum wb_err wbi_grant_set_text(char **place, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return WB_ERR_NOMEM;
	free(*place);
	*place = copy;
	return WB_OK;
}

static bool same_name(const char *a, const char *b)
{
	size_t name = strcspn(a, "=");

	return strncmp(a, b, name) == 0 && b[name] == '=';
}

enum wb_err wbi_grant_set_variable(struct wbi_grant *grant, const char *variable)
{
	size_t count = 0;
	char **list;

	for (; grant->environment[count]; count++)
		if (same_name(grant->environment[count], variable))
			return wbi_grant_set_text(&grant->environment[count], variable);
	list = realloc(grant->environment, (count + 2) * sizeof(list[0]));
	if (!list)
		return WB_ERR_NOMEM;
	grant->environment = list;
	list[count] = list[count + 1] = NULL;
	return wbi_grant_set_text(&list[count], variable);
}
