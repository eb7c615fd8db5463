/* Files and trees to move, and their end. */
#include "../bench.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void bench_write_all(int fd, const void *data, size_t bytes)
{
	const char *next = data;

	while (bytes > 0) {
		ssize_t put = write(fd, next, bytes);
		if (put < 0)
			bench_die("write");
		next += put;
		bytes -= (size_t)put;
	}
}

/* Bytes that no two blocks have in common. */
static void fill(uint64_t *words, size_t bytes, uint64_t *state)
{
	for (size_t i = 0; i < bytes / sizeof(*words); i++) {
		*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		words[i] = *state ^ *state >> 29;
	}
}

void bench_file_make(const char *path, uint64_t bytes, uint64_t seed)
{
	static uint64_t piece[BENCH_PIECE_BYTES / sizeof(uint64_t)];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0)
		bench_die(path);
	while (bytes > 0) {
		size_t now = bytes < BENCH_PIECE_BYTES ? (size_t)bytes : BENCH_PIECE_BYTES;
		fill(piece, BENCH_PIECE_BYTES, &seed);
		bench_write_all(fd, piece, now);
		bytes -= now;
	}
	close(fd);
}

void bench_tree_make(const char *folder)
{
	char path[BENCH_PATH_BYTES];

	if (mkdir(folder, 0755) < 0)
		bench_die(folder);
	for (unsigned i = 0; i < BENCH_TREE_FOLDERS; i++) {
		snprintf(path, sizeof(path), "%s/%03u", folder, i);
		if (mkdir(path, 0755) < 0)
			bench_die(path);
		for (unsigned j = 0; j < BENCH_TREE_FILES / BENCH_TREE_FOLDERS; j++) {
			snprintf(path, sizeof(path), "%s/%03u/%03u", folder, i, j);
			bench_file_make(path, BENCH_TREE_FILE_BYTES, i * BENCH_TREE_FILES + j);
		}
	}
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
	(void)info;
	(void)kind;
	(void)walk;
	return remove(path);
}

void bench_tree_remove(const char *path)
{
	nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS);
	errno = 0;
}
