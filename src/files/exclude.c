/* Exclude patterns: see exclude.h. */
#include "files/exclude.h"

#include <fnmatch.h>
#include <string.h>

enum { PATTERN_MAX = 4096 };

static bool matches(const char *pattern, const char *path, bool is_folder)
{
	const char *last = strrchr(path, '/');
	char copy[PATTERN_MAX];
	size_t bytes = strlen(pattern);

	if (bytes == 0 || bytes >= sizeof(copy))
		return false;
	memcpy(copy, pattern, bytes + 1);
	if (copy[bytes - 1] == '/') {
		if (!is_folder)
			return false;
		copy[bytes - 1] = '\0';
	}
	if (!strchr(copy, '/'))
		return fnmatch(copy, last ? last + 1 : path, 0) == 0;
	return fnmatch(copy[0] == '/' ? copy + 1 : copy, path, FNM_PATHNAME) == 0;
}

bool wbi_file_excluded(const char *const *patterns, const char *path, bool is_folder)
{
	for (; patterns && *patterns; patterns++)
		if (matches(*patterns, path, is_folder))
			return true;
	return false;
}
