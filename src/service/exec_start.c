/* Starting what was asked for: the environment, the search for the program, the folder. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "service/exec_request.h"
#include "sys/account.h"
#include "sys/fd.h"

enum {
	NUMBER_MAX = 48,
	FOLDERS_MAX = 1024, /* of PATH: each is a look at the disk, and the worker waits */
};

static const char default_path[] =
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* ---- the environment ---- */

static bool same_name(const char *a, const char *b)
{
	size_t name = strcspn(a, "=");

	return strncmp(a, b, name + 1) == 0;
}

/* Adds one of ours, unless the client gave its own. */
static void add(char **envp, size_t *count, char *const *given, const char *variable)
{
	for (; *given; given++) {
		if (same_name(*given, variable))
			return;
	}
	envp[(*count)++] = (char *)(uintptr_t)variable;
}

static bool is_locale(const char *variable)
{
	return variable[0] == 'L' &&
	       (strncmp(variable, "LC_", 3) == 0 || strncmp(variable, "LANG=", 5) == 0 ||
		strncmp(variable, "LANGUAGE=", 9) == 0);
}

static size_t count_of(char *const *list)
{
	size_t count = 0;

	while (list[count])
		count++;
	return count;
}

/* The client's, then what it left to us. The strings stay where they are. */
static char **make_env(const struct wbi_exec_request *request, const struct wbi_account *account,
		       const char *number)
{
	enum { OURS = WBI_ACCOUNT_VARIABLES + 4 };
	size_t count = count_of(request->envp);
	char **envp = calloc(count + count_of(environ) + OURS, sizeof(envp[0]));

	if (!envp)
		return NULL;
	memcpy(envp, request->envp, count * sizeof(envp[0]));
	for (int i = 0; i < WBI_ACCOUNT_VARIABLES; i++)
		add(envp, &count, request->envp, account->variables[i]);
	for (char **variable = environ; *variable; variable++) {
		if (is_locale(*variable))
			add(envp, &count, request->envp, *variable);
	}
	add(envp, &count, request->envp, default_path);
	add(envp, &count, request->envp, number);
	if (request->terminal)
		add(envp, &count, request->envp, request->term);
	return envp;
}

static const char *value_of(char *const *envp, const char *name)
{
	size_t bytes = strlen(name);

	for (; *envp; envp++) {
		if (strncmp(*envp, name, bytes) == 0)
			return *envp + bytes;
	}
	return "";
}

/* ---- the program ---- */

static bool is_program(const char *path, int *error)
{
	struct stat status;

	if (stat(path, &status) != 0)
		return false;
	if (S_ISREG(status.st_mode) && access(path, X_OK) == 0)
		return true;
	*error = EACCES;
	return false;
}

/* Looks a name up in the command's own PATH, not the daemon's. Entries that are relative would mean
 * another folder than ours, and are passed over. Returns 0, or ENOENT, or EACCES where all that was
 * found cannot be run. */
static int find_program(const char *name, char *const *envp, char path[PATH_MAX])
{
	const char *folders = value_of(envp, "PATH=");
	int error = ENOENT;
	size_t bytes;

	if (strchr(name, '/')) {
		if (strlen(name) >= PATH_MAX)
			return ENAMETOOLONG;
		memcpy(path, name, strlen(name) + 1);
		return 0;
	}
	for (unsigned i = 0; name[0] && *folders && i < FOLDERS_MAX; i++) {
		bytes = strcspn(folders, ":");
		int wanted = snprintf(path, PATH_MAX, "%.*s/%s", (int)bytes, folders, name);
		if (folders[0] == '/' && wanted < PATH_MAX && is_program(path, &error))
			return 0;
		folders += bytes + (folders[bytes] == ':');
	}
	return error;
}

/* ---- the folder ---- */

/* posix_spawn does not say which of its steps failed. */
static bool is_folder(const char *path)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool enters = fd >= 0 && faccessat(fd, ".", X_OK, AT_EACCESS) == 0;

	wbi_fd_close(&fd);
	return enters;
}

static enum wb_err start_in(const struct wbi_exec_request *request, struct wbi_job_env *env,
			    struct wbi_job_spec *spec, struct wbi_job **ret_job,
			    struct wb_fault *fault)
{
	enum wb_err err = wbi_job_start_live(env, spec, ret_job, fault);

	if (err != WB_ERR_SYSTEM || is_folder(spec->folder))
		return err;
	/* Nobody asked for home: without one a command still runs. */
	if (!request->folder) {
		spec->folder = "/";
		return wbi_job_start_live(env, spec, ret_job, fault);
	}
	return wb_fault_set(fault, WB_ERR_REFUSED, "cwd", 0, "%s: not a folder to be entered",
			    request->folder);
}

/* A relative one begins at home. */
static const char *find_folder(const struct wbi_exec_request *request,
			       const struct wbi_account *account, char folder[PATH_MAX])
{
	if (!request->folder)
		return account->home;
	if (request->folder[0] == '/' ||
	    snprintf(folder, PATH_MAX, "%s/%s", account->home, request->folder) >= PATH_MAX)
		return request->folder;
	return folder;
}

enum wb_err wbi_exec_request_start(const struct wbi_exec_request *request, struct wbi_job_env *env,
				   uint64_t number, struct wbi_job_spec *spec,
				   struct wbi_job **ret_job, struct wb_fault *fault)
{
	static char option[] = "-c";
	const struct wbi_account *account = wbi_account_own();
	char variable[NUMBER_MAX] = "WAYBILL_JOB=", path[PATH_MAX], folder[PATH_MAX];
	char *shell_argv[] = {account ? (char *)(uintptr_t)account->shell : NULL, option,
			      request->argv[0], NULL};
	char **envp;
	enum wb_err err;

	wbi_text_number(number, variable + strlen(variable));
	envp = account ? make_env(request, account, variable) : NULL;
	if (!envp)
		return wb_fault_set(fault, WB_ERR_NOMEM, NULL, 0, "exec: no memory");
	spec->argv = request->shell ? shell_argv : request->argv;
	spec->envp = envp;
	spec->path = path;
	spec->folder = find_folder(request, account, folder);
	spec->terminal = request->terminal;
	spec->rows = request->rows;
	spec->cols = request->cols;
	errno = find_program(spec->argv[0], envp, path);
	if (errno != 0)
		err = wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "%s: %m", spec->argv[0]);
	else
		err = start_in(request, env, spec, ret_job, fault);
	free(envp);
	return err;
}
