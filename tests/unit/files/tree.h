/* Trees of files for tests: made in a folder of their own, compared, removed. */
#ifndef TEST_TREE_H
#define TEST_TREE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One folder, by its name and open. */
struct tree {
	char path[64];
	int fd;
};

static inline void tree_need(bool truth, const char *what)
{
	if (!truth)
		fail_msg("%s: %s", what, strerror(errno));
}

/* A folder on a disk that knows holes and nanoseconds, which /tmp is wherever tests run. */
static inline void tree_make(struct tree *tree)
{
	snprintf(tree->path, sizeof(tree->path), "/tmp/waybill-files-XXXXXX");
	tree_need(mkdtemp(tree->path), "mkdtemp");
	tree->fd = open(tree->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	tree_need(tree->fd >= 0, tree->path);
}

static inline int tree_open_up(const char *path, const struct stat *status, int type,
			       struct FTW *place)
{
	(void)status, (void)place;
	return type == FTW_D || type == FTW_DNR ? chmod(path, 0700) : 0;
}

static inline int tree_remove_one(const char *path, const struct stat *status, int type,
				  struct FTW *place)
{
	(void)status, (void)type, (void)place;
	return remove(path);
}

static inline void tree_remove(struct tree *tree)
{
	close(tree->fd);
	tree_need(!nftw(tree->path, tree_open_up, 16, FTW_PHYS), "opening up");
	tree_need(!nftw(tree->path, tree_remove_one, 16, FTW_PHYS | FTW_DEPTH), "removing");
}

static inline void tree_folder(const struct tree *tree, const char *path)
{
	tree_need(!mkdirat(tree->fd, path, 0755), path);
}

static inline void tree_write(const struct tree *tree, const char *path, const void *data,
			      size_t bytes)
{
	int fd = openat(tree->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	tree_need(fd >= 0, path);
	tree_need(write(fd, data, bytes) == (ssize_t)bytes, path);
	close(fd);
}

static inline void tree_text(const struct tree *tree, const char *path, const char *text)
{
	tree_write(tree, path, text, strlen(text));
}

/* Bytes that no two files and no two blocks share, as long as the seeds differ. */
static inline void tree_noise(uint8_t *data, size_t bytes, uint64_t seed)
{
	uint64_t x = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;

	for (size_t i = 0; i < bytes; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		data[i] = (uint8_t)x;
	}
}

static inline void tree_noise_file(const struct tree *tree, const char *path, size_t bytes,
				   uint64_t seed)
{
	uint8_t *data = malloc(bytes + 1);

	tree_need(data, "memory");
	tree_noise(data, bytes, seed);
	tree_write(tree, path, data, bytes);
	free(data);
}

static inline void tree_time(const struct tree *tree, const char *path, time_t seconds,
			     long nanoseconds)
{
	const struct timespec times[2] = {{seconds, nanoseconds}, {seconds, nanoseconds}};

	tree_need(!utimensat(tree->fd, path, times, AT_SYMLINK_NOFOLLOW), path);
}

static inline bool tree_has(const struct tree *tree, const char *path)
{
	struct stat status;

	return fstatat(tree->fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The whole file, with a NUL behind it; the caller frees it. */
static inline uint8_t *tree_read(const struct tree *tree, const char *path, size_t *ret_bytes)
{
	int fd = openat(tree->fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat status;
	uint8_t *data;
	size_t done = 0;
	ssize_t got;

	tree_need(fd >= 0 && fstat(fd, &status) == 0, path);
	data = malloc((size_t)status.st_size + 1);
	tree_need(data, "memory");
	while ((got = read(fd, data + done, (size_t)status.st_size - done)) > 0)
		done += (size_t)got;
	close(fd);
	data[done] = '\0';
	*ret_bytes = done;
	return data;
}

#endif
