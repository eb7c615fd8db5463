/* A folder gets its name, or what is in it goes where somebody else was quicker. */
#ifndef WBI_FILES_MERGE_H
#define WBI_FILES_MERGE_H

#include <stddef.h>

/* Renames within the open folder `parent`, and replaces nothing, save that where the file system
 * cannot promise that it replaces an empty folder. Returns 0, or -1 with errno: EEXIST where
 * something has the name. Source: rename(2), RENAME_NOREPLACE. */
int wbi_rename_new(int parent, const char *from, const char *to);

/* Moves what the folder `from` holds into the folder `to`, both in the open folder `parent`, and
 * removes `from`. Files and links replace what has their name, folders are merged; those that were
 * there may become writable for their owner, and it is the caller's to set their modes and times.
 * No link is followed. Returns 0, or -1 with errno: then some of it may have been moved, and
 * ret_where, of `room` bytes, has the path below `to`, cut, at which it could not go on. */
int wbi_merge(int parent, const char *from, const char *to, char *ret_where, size_t room);

#endif
