/* Descending: see descent.h. */
#include "files/descent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "sys/beneath.h"
#include "sys/fd.h"

enum { FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, NAMES_FIRST = 4096 };

DIR *wbi_listing_open(int folder)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *listing = fd >= 0 ? fdopendir(fd) : NULL;

	if (!listing) {
		int error = errno;
		wbi_fd_close(&fd);
		errno = error;
	}
	return listing;
}

struct dirent *wbi_listing_next(DIR *listing)
{
	struct dirent *entry;

	do {
		errno = 0;
		entry = readdir(listing);
	} while (entry && (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")));
	return entry;
}

bool wbi_kept_names_add(struct wbi_kept_names *kept, const char *name)
{
	size_t bytes = strlen(name) + 1;

	if (kept->bytes + bytes > kept->room) {
		size_t room = kept->room ? 2 * kept->room : NAMES_FIRST;
		char *names = realloc(kept->names, room);
		if (!names)
			return false;
		kept->names = names;
		kept->room = room;
	}
	memcpy(kept->names + kept->bytes, name, bytes);
	kept->bytes += bytes;
	return true;
}

void wbi_kept_names_done(struct wbi_kept_names *kept)
{
	free(kept->names);
	*kept = (struct wbi_kept_names){0};
}

const char *wbi_kept_names_next(const struct wbi_kept_names *kept, const char *name)
{
	const char *next = name ? name + strlen(name) + 1 : kept->names;

	return kept->names && next < kept->names + kept->bytes ? next : NULL;
}

void wbi_descent_init(struct wbi_descent *descent, const char *top)
{
	descent->bytes = descent->top_bytes = strlen(top);
	descent->depth = 0;
	memcpy(descent->path, top, descent->bytes + 1);
}

bool wbi_descent_push(struct wbi_descent *descent, const char *name, size_t *ret_bytes)
{
	size_t bytes = strlen(name), slash = descent->bytes > 0;

	if (descent->bytes + slash + bytes > WBI_ITEM_NAME_MAX ||
	    descent->depth >= WBI_DESCENT_DEPTH_MAX) {
		errno = ENAMETOOLONG;
		return false;
	}
	*ret_bytes = descent->bytes;
	descent->path[descent->bytes] = '/';
	memcpy(descent->path + descent->bytes + slash, name, bytes + 1);
	descent->bytes += slash + bytes;
	descent->depth++;
	return true;
}

void wbi_descent_pop(struct wbi_descent *descent, size_t bytes)
{
	descent->bytes = bytes;
	descent->path[bytes] = '\0';
	descent->depth--;
}

int wbi_descent_open_parent(struct wbi_descent *descent, size_t bytes, int top,
			    const struct stat *is)
{
	const char *below = descent->path + descent->top_bytes;
	char cut = descent->path[bytes];
	struct stat status;
	int fd;

	descent->path[bytes] = '\0';
	fd = wbi_beneath_open(top, below + (*below == '/'), FLAGS, 0, WBI_BENEATH_NO_LINKS);
	descent->path[bytes] = cut;
	if (fd >= 0 && (fstat(fd, &status) != 0 || status.st_dev != is->st_dev ||
			status.st_ino != is->st_ino)) {
		wbi_fd_close(&fd);
		errno = ESTALE;
	}
	return fd;
}
