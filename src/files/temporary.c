/* Temporaries: names, locks, and the sweep. */
#include "files/temporary.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "files/descent.h"
#include "files/remove.h"
#include "sys/fd.h"
#include "sys/rand.h"

static const char before[] = ".waybill-", after[] = ".part";

enum { DIGITS = 32, BEFORE_BYTES = sizeof(before) - 1 };

enum wb_err wbi_temporary_names_init(struct wbi_temporary_names *names, struct wb_fault *fault)
{
	return wbi_rand_fill(names->random, sizeof(names->random), fault);
}

static void write_name(uint64_t high, uint64_t low, char out[WBI_TEMPORARY_NAME_MAX])
{
	static const char digits[] = "0123456789abcdef";
	char *at = out + BEFORE_BYTES;

	memcpy(out, before, BEFORE_BYTES);
	for (int i = 0; i < DIGITS / 2; i++) {
		at[i] = digits[high >> (60 - 4 * i) & 15];
		at[i + DIGITS / 2] = digits[low >> (60 - 4 * i) & 15];
	}
	memcpy(at + DIGITS, after, sizeof(after));
}

void wbi_temporary_name_next(struct wbi_temporary_names *names, char out[WBI_TEMPORARY_NAME_MAX])
{
	write_name(names->random[0], names->random[1]++, out);
}

void wbi_temporary_name_of(const char *name, char out[WBI_TEMPORARY_NAME_MAX])
{
	XXH128_hash_t hash = XXH3_128bits(name, strlen(name));

	write_name(hash.high64, hash.low64, out);
}

bool wbi_temporary_is(const char *name)
{
	return strlen(name) == WBI_TEMPORARY_NAME_MAX - 1 && !memcmp(name, before, BEFORE_BYTES) &&
	       strspn(name + BEFORE_BYTES, "0123456789abcdef") == DIGITS &&
	       !strcmp(name + BEFORE_BYTES + DIGITS, after);
}

/* Once it is locked: is it still what the name says, and nobody else's business? Between open and
 * lock its writer may have given it its final name. */
static bool is_ours(int folder, const char *name, int fd, uint64_t *ret_bytes)
{
	struct stat by_fd, by_name;

	if (fstat(fd, &by_fd) != 0 || fstatat(folder, name, &by_name, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	*ret_bytes = (uint64_t)by_fd.st_size;
	return S_ISREG(by_fd.st_mode) && by_fd.st_nlink == 1 && by_fd.st_uid == geteuid() &&
	       by_fd.st_dev == by_name.st_dev && by_fd.st_ino == by_name.st_ino;
}

int wbi_temporary_resume(int folder, const char *name, char out[WBI_TEMPORARY_NAME_MAX],
			 uint64_t *ret_bytes)
{
	wbi_temporary_name_of(name, out);
	int fd = openat(folder, out, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0 && (flock(fd, LOCK_EX | LOCK_NB) != 0 || !is_ours(folder, out, fd, ret_bytes)))
		wbi_fd_close(&fd);
	return fd;
}

int wbi_temporary_look(int folder, const char *name, struct stat *ret_status)
{
	char temporary[WBI_TEMPORARY_NAME_MAX];
	uint64_t bytes;

	wbi_temporary_name_of(name, temporary);
	int fd = openat(folder, temporary,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0 && (!is_ours(folder, temporary, fd, &bytes) || fstat(fd, ret_status) != 0))
		wbi_fd_close(&fd);
	return fd;
}

void wbi_temporary_retire(int folder, const char *name, int fd, const struct stat *then)
{
	char temporary[WBI_TEMPORARY_NAME_MAX];
	struct stat now;
	uint64_t bytes;

	wbi_temporary_name_of(name, temporary);
	/* Whoever holds the lock owns the name: it is removed for nobody but the dead. */
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &now) == 0 &&
	    now.st_size == then->st_size && now.st_mtim.tv_sec == then->st_mtim.tv_sec &&
	    now.st_mtim.tv_nsec == then->st_mtim.tv_nsec && is_ours(folder, temporary, fd, &bytes))
		unlinkat(folder, temporary, 0);
}

/* Created and locked; -1 also where somebody was quicker. */
static int make(int folder, const char *name)
{
	int fd = openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	uint64_t bytes;

	if (fd < 0)
		return -1;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && is_ours(folder, name, fd, &bytes))
		return fd;
	wbi_fd_close(&fd);
	errno = EEXIST;
	return -1;
}

int wbi_temporary_make(int folder, const char *name, struct wbi_temporary_names *names,
		       char out[WBI_TEMPORARY_NAME_MAX])
{
	wbi_temporary_name_of(name, out);
	int fd = make(folder, out);
	if (fd >= 0 || errno != EEXIST)
		return fd;
	/* It is another transfer's; or this file system knows no locks: then a name that nobody
	 * looks for needs none. */
	wbi_temporary_name_next(names, out);
	return openat(folder, out, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static bool is_stale(int folder, const char *name, int64_t limit, mode_t *ret_type)
{
	struct stat status;

	if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
	    (!S_ISREG(status.st_mode) && !S_ISLNK(status.st_mode) && !S_ISDIR(status.st_mode)))
		return false;
	*ret_type = status.st_mode & S_IFMT;
	/* Not mtime: that may be the one that the file was sent with. */
	return status.st_ctim.tv_sec <= limit;
}

static bool sweep_one(int folder, const char *name, int64_t limit)
{
	mode_t type = 0;
	int fd = -1;
	bool gone = false;

	if (!is_stale(folder, name, limit, &type))
		return false;
	if (type == S_IFREG) {
		fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0 || (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK))
			goto out;
		/* Somebody may have taken it up before we had the lock. */
		if (!is_stale(folder, name, limit, &type))
			goto out;
	}
	gone = type == S_IFDIR ? wbi_remove_tree(folder, name) : unlinkat(folder, name, 0) == 0;
out:
	wbi_fd_close(&fd);
	return gone;
}

unsigned wbi_temporary_sweep(int folder, int64_t age_seconds)
{
	int64_t limit = (int64_t)time(NULL) - age_seconds;
	DIR *listing = wbi_listing_open(folder);
	unsigned gone = 0;
	struct dirent *entry;

	if (!listing)
		return 0;
	while ((entry = wbi_listing_next(listing)))
		if (wbi_temporary_is(entry->d_name) && sweep_one(folder, entry->d_name, limit))
			gone++;
	closedir(listing);
	return gone;
}
