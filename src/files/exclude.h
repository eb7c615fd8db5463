/* What --exclude leaves out.
 *
 * A pattern is fnmatch(3)'s. Without a slash it is compared with the last component of a path; with
 * one, with the whole path below the operand, where a star matches no slash ("/build" is only the
 * operand's own build). A slash at its end: only folders. A folder that is left out is left out
 * with everything in it. */
#ifndef WBI_FILES_EXCLUDE_H
#define WBI_FILES_EXCLUDE_H

#include <stdbool.h>

/* Whether one of `patterns` (NULL-terminated; NULL: none) matches. path: below the operand, without
 * a slash at its front. */
bool wbi_file_excluded(const char *const *patterns, const char *path, bool is_folder);

#endif
