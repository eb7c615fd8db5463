/* Replays inputs through a fuzz target: every file, and every file below every folder, that the
 * command line names. What CI runs, with any compiler; libFuzzer brings a main of its own. */
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static size_t replayed;

/* Each input gets memory of exactly its size, so that a sanitizer sees a step past it. */
static int replay_file(const char *path, const struct stat *status, int type, struct FTW *place)
{
	size_t bytes = (size_t)status->st_size;
	uint8_t *data;
	FILE *file;
	int failed;

	(void)place;
	if (type == FTW_D)
		return 0;
	data = malloc(bytes ? bytes : 1);
	file = fopen(path, "rb");
	failed = !data || !file || fread(data, 1, bytes, file) != bytes;
	if (failed) {
		perror(path);
	} else {
		LLVMFuzzerTestOneInput(data, bytes);
		replayed++;
	}
	if (file)
		fclose(file);
	free(data);
	return failed;
}

__attribute__((weak)) int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (nftw(argv[i], replay_file, 16, FTW_PHYS)) {
			fprintf(stderr, "%s: %s: cannot be replayed\n", argv[0], argv[i]);
			return 1;
		}
	}
	printf("%s: %zu inputs replayed\n", argv[0], replayed);
	return replayed ? 0 : 1;
}
