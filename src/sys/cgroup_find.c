/* Our own cgroup, where it is and whether it is ours to divide: see cgroup.h. Source: proc(5),
 * cgroups(7). */
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sys/cgroup.h"

/* "\040" for a blank and the like, in place. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		if (from[0] == '\\' && from[1] && from[2] && from[3]) {
			*to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

/* 36 35 98:0 ROOT POINT rw,noatime shared:1 - cgroup2 SOURCE OPTIONS */
static bool read_mount(char *line, char **ret_root, char **ret_point)
{
	char *rest = line, *fields[5] = {NULL};

	for (int i = 0; i < 5 && rest; i++)
		fields[i] = strsep(&rest, " ");
	rest = rest ? strstr(rest, " - ") : NULL;
	if (!rest || strncmp(rest, " - cgroup2 ", 11) != 0)
		return false;
	*ret_root = fields[3];
	*ret_point = fields[4];
	unescape(*ret_root);
	unescape(*ret_point);
	return true;
}

/* What `path` is below `root`: "" or "/…". NULL: it is not below it. */
static const char *path_below(const char *path, const char *root)
{
	size_t bytes = strcmp(root, "/") == 0 ? 0 : strlen(root);

	if (strncmp(path, root, bytes) != 0 || (path[bytes] != '/' && path[bytes] != '\0'))
		return NULL;
	return strcmp(path + bytes, "/") == 0 ? "" : path + bytes;
}

/* heap; NULL: it has none in version 2. */
static char *read_own(FILE *own)
{
	char *line = NULL, *path = NULL;
	size_t room = 0;

	while (!path && getline(&line, &room, own) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "0::/", 4) == 0)
			path = strdup(line + 3);
	}
	free(line);
	return path;
}

bool wbi_cgroup_locate(FILE *mounts, FILE *own, char ret_folder[WBI_CGROUP_PATH_MAX])
{
	char *line = NULL, *root, *point, *path = read_own(own);
	size_t room = 0;
	bool found = false;

	/* "/..": beyond the root of our cgroup namespace. */
	while (path && strncmp(path, "/..", 3) != 0 && !found &&
	       getline(&line, &room, mounts) > 0) {
		const char *below = read_mount(line, &root, &point) ? path_below(path, root) : NULL;
		int bytes = below ? snprintf(ret_folder, WBI_CGROUP_PATH_MAX, "%s%s", point, below)
				  : -1;

		found = bytes > 0 && bytes < WBI_CGROUP_PATH_MAX;
	}
	free(line);
	free(path);
	return found;
}

/* Root may write everywhere: for it only systemd's mark says whose a cgroup is. */
static bool is_delegated(const char *folder)
{
	static const char *const marks[] = {"trusted.delegate", "user.delegate"};
	char value;

	if (geteuid() != 0)
		return true;
	for (int i = 0; i < 2; i++)
		if (getxattr(folder, marks[i], &value, 1) == 1 && value == '1')
			return true;
	return false;
}

enum wb_err wbi_cgroup_open_own(struct wbi_cgroup **ret_cgroup, struct wb_fault *fault)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	FILE *own = fopen("/proc/self/cgroup", "re");
	char folder[WBI_CGROUP_PATH_MAX];
	enum wb_err err;

	if (!mounts || !own)
		err = wb_fault_set(fault, WB_ERR_SYSTEM, NULL, 0, "where we are in cgroups: %m");
	else if (!wbi_cgroup_locate(mounts, own, folder))
		err = wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0,
				   "no mount of cgroup (version 2) shows ours");
	else if (!is_delegated(folder))
		err = wb_fault_set(fault, WB_ERR_REFUSED, NULL, 0, "%.100s: not delegated to us",
				   folder);
	else
		err = wbi_cgroup_open(folder, ret_cgroup, fault);
	if (mounts)
		fclose(mounts);
	if (own)
		fclose(own);
	return err;
}
